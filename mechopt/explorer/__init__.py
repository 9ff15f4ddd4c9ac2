"""The explorer: a local page on which the terms of a problem can be moved and the plan watched.

`terms` to move, `answers` to them, `server` and its page. May import all but the commands.
"""

"""The explorer: a local page on which the terms of a problem can be moved and the plan watched."""

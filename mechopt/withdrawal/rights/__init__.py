"""Other rights and other readings of staying: a part, re-assignment, users who may be lost.

One module each, called by `withdrawal.check`. May import the stage and what lies below it.
"""

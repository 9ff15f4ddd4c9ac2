"""What would restore stability: least extra payments, a uniform scaling, a failure bonus.

One module each. May import the stage (`withdrawal`) and what lies below it.
"""

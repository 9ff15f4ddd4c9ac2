"""Plans that still cross the threshold when users drop out (docs: practice).

`solve` is the mechanism. May import what `known` may; the law of the loss is in `dropouts`.
"""

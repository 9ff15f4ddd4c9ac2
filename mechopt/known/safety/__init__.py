"""Plans that still cross the threshold when users drop out (FORMULATION section 12).

`solve` is the mechanism. May import what `known` may; the law of the loss is in `dropouts`.
"""

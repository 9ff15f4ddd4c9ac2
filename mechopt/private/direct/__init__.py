"""The optimal direct mechanism on count states: arrays, solving, metrics, words.

`layout` has the columns, `incentives` and `arrays` the rows, `optimise` the linear program, `solve`
is the mechanism. May import what `private` may.
"""

"""HiGHS: a linear program in, an answer with an honest status out; rows read from Pyomo models.

The one place that knows a solver. May import the ground only.
"""

"""Every numerical tolerance of the package, named, with its reason.

Exact data (integers, `Decimal`, `Fraction`) never use these: they are decided exactly.

Knife edges have one rule. With float data a row holds when it is violated by no more than the
rounding of the sums in it (`rounding`); the answer then says that it was reached up to rounding.
Beyond that the row does not hold.
"""

from __future__ import annotations

# Relative tolerance on money in comparisons of float data (utilities, payments, W1 slacks).
# Payments come from a few multiplications and one subtraction, so their error is a few ulps
# (1e-16 relative); 1e-9 leaves room for data that were rounded to ten digits on the way.
MONEY = 1e-9

# Relative tolerance on totals of data against a threshold, for float data. The totals the
# package itself returns reach their threshold exactly; this one serves X − x_i and foreign plans.
DATA = 1e-9

# The most that rounding is ever taken to explain, relative: sums of thousands of terms, in any
# order. What a user can give, v / θ, is itself rounded (three users with v / θ = 1/3 do reach
# T = 1). Plans then reach T exactly, and the few ulps come out of participation, within MONEY.
REACH = 1e-12

# The same where the number of terms is not at hand: sums of up to 10^6 terms in any order.
TOTALS = REACH


def rounding(terms: int) -> float:
    """What a sum of so many rounded numbers may be off by, relative; a few ulps, at most REACH.

    In decisions about leaving it must stay below the smallest burden that can be pivotal; what
    lies between it and DATA is decided as it stands and reported as a tie.
    """
    return min(REACH, (terms + 8) * 2.0**-52)


# HiGHS works to 1e-7 primal and dual feasibility and 1e-6 integrality; what it returns is
# compared with exact answers at this relative tolerance, never better.
SOLVER = 1e-6

# Probabilities must sum to one within this (they are then used as given, not rescaled).
PROBABILITY = 1e-9

# What a handful of additions and products leave of a difference of equals, relative to the money
# in it: some fifty ulps. A need below it is none; a supporting line that gains less gains nothing.
ULPS = 1e-14

# For divisors that may be 0 where 0 / 0 is to be 0: below every product of two quantities that are
# taken (`problem.arguments` takes 1e-60 to 1e60), and above the subnormal numbers.
TINY = 1e-300

# How near below T_m a total may lie and still be counted as reaching it by those who leave, as a
# part of the distance that plans keep (`problem.aims.noticed`). Between the half of it that checks
# forgive and the whole: so neither the rounding of a plan nor that of its check turns the decision.
FORGIVEN = 0.75

# How near a count (units, steps, points of a grid) worked out from float data must be to a whole
# number to be one.
WHOLE = 1e-9

# Below this a number is shown as 0.
SHOWN = 1e-12

# What HiGHS is asked for: tightly, where its answer is used as it stands; in MILPs, whose binaries
# at its own 1e-6 buy an "optimal" lie; where tight tolerances and presolve give no verdict, its
# own; and the smallest coefficient that it does not drop.
TIGHT, MILP, FEASIBILITY = 1e-10, 1e-9, 1e-7
COEFFICIENT = 1e-12

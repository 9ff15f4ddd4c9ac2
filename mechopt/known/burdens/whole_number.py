"""The number of users asked is whole: a bound beyond the linear relaxation.

Where being asked at all costs something (a contact, a least amount), the relaxation asks a fraction
of the last user. Either at most k users are asked or at least k + 1; each side is bounded with a
price on the number, up or down, at its best. A user counts where his curve leaves 0 by a gap.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np

from mechopt.arrays import BoolArray
from mechopt.known.burdens.knapsack_relaxation import Knapsack, Relaxed, relax

MOST_USERS = 20_000  # beyond, the fraction of one user is no more than accuracy leaves open
_HALVINGS = 50


def count_bound(problem: Knapsack, root: Relaxed, enough: float) -> float:
    """A bound on f (money), not below that of `root`; looked for until it reaches `enough`."""
    curves = problem.curves
    at_zero = np.flatnonzero(curves.burden == 0)
    counted = np.zeros(curves.n, dtype=bool)
    counted[curves.user[at_zero]] = ~curves.joined[at_zero]
    floor, part = _asked(problem, root, counted)
    if not part or curves.n > MOST_USERS:
        return root.bound
    below = _side(problem, counted, floor, 1.0, enough)
    if below <= root.bound:
        return root.bound
    return max(root.bound, min(below, _side(problem, counted, floor + 1, -1.0, enough)))


def _asked(problem: Knapsack, relaxed: Relaxed, counted: BoolArray) -> tuple[int, bool]:
    """How many counted users are asked, and whether another one is in part."""
    curves = problem.curves
    number, part = int(np.count_nonzero(counted & (relaxed.burden > 0))), False
    for split in relaxed.splits:
        if curves.burden[split.start] == 0 and counted[curves.user[split.start]]:
            number, part = number - 1, True
    return number, part


def _side(problem: Knapsack, counted: BoolArray, number: int, sign: float, enough: float) -> float:
    """The bound if at most (`sign` 1) or at least (−1) that many counted users are asked."""
    curves = problem.curves
    asked = (curves.burden > 0) & counted[curves.user]
    name = "need" if problem.first == "pay" else "cost"
    low, high, best = 0.0, 2 * float(np.abs(problem.value).max(initial=0.0)), -inf
    for _ in range(_HALVINGS):
        price = (low + high) / 2
        priced = replace(curves, **{name: problem.value + sign * price * asked})
        found = relax(replace(problem, curves=priced))
        if found is None:
            return inf
        best = max(best, found.bound - sign * price * number)
        floor, part = _asked(problem, found, counted)
        beyond = sign * (floor + 0.5 * part - number)
        if beyond == 0 or best >= enough:
            break
        low, high = (price, high) if beyond > 0 else (low, price)
    return best

"""The multiple-choice knapsack with every curve replaced by its lower convex envelope.

That is the LP relaxation of the multiple-choice formulation. It is solved by taking envelope
segments in order of slope; the budget is priced, at the best multiplier, in every node. At most
one user (two with a budget) is left between points that the curve does not connect. All bounds
are evaluated in floating point from the data; no solver tolerance enters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray, exact_sum
from mechopt.known.burdens.level_curves import LevelCurves


@dataclass(frozen=True, eq=False)
class Knapsack:
    """Reach `total` (data) by burdens on `curves` at least Σ need ("pay") or Σ cost ("cost").

    :budget: money, the most Σ need may be; inf for none (with `first` = "pay" it is not used)
    """

    curves: LevelCurves
    total: float
    first: str
    budget: float = inf

    @property
    def value(self) -> FloatArray:
        """f at the points, money."""
        return self.curves.need if self.first == "pay" else self.curves.cost

    @property
    def slack(self) -> float:
        """Data by which a sum of burdens may miss the total through rounding."""
        return tolerances.REACH * self.total


@dataclass(frozen=True)
class SplitUser:
    """A user whom the relaxation puts at `where` (data), between two unconnected points."""

    start: int
    stop: int
    where: float


@dataclass(frozen=True, eq=False)
class Relaxed:
    """LP relaxation: bound on f, prices, burdens (n,), Σ cost and Σ need there, split users."""

    bound: float
    data_price: float
    budget_price: float
    burden: FloatArray
    cost: float
    need: float
    splits: tuple[SplitUser, ...]


def relax(problem: Knapsack) -> Relaxed | None:
    """The LP relaxation; None if even that has no solution."""
    if problem.first == "pay" or problem.budget == inf:
        return _by_slope(problem, problem.value, 0.0)
    return _within_budget(problem)


def envelope(curves: LevelCurves, value: FloatArray) -> IntArray:
    """The points on the lower convex envelope of each user's curve, ascending."""
    points = np.arange(curves.user.size)
    user, burden = curves.user, curves.burden
    while points.size > 2:
        before, middle, after = points[:-2], points[1:-1], points[2:]
        left = (value[middle] - value[before]) * (burden[after] - burden[middle])
        right = (value[after] - value[middle]) * (burden[middle] - burden[before])
        # Each of these lies above a chord, so all of them may go at once.
        above = (user[before] == user[after]) & (left > right)
        if not above.any():
            break
        points = np.concatenate((points[:1], middle[~above], points[-1:]))
    return points


def _by_slope(problem: Knapsack, value: FloatArray, budget_price: float) -> Relaxed | None:
    """Least Σ value over the envelopes: segments in order of slope, the last one in part."""
    curves, slack = problem.curves, problem.slack
    points = envelope(curves, value)
    user, burden = curves.user[points], curves.burden[points]
    linked = np.flatnonzero(user[1:] == user[:-1])
    lowest = points[np.append(True, user[1:] != user[:-1])]
    x = curves.burden[lowest].copy()
    missing = -exact_sum(x, -problem.total)
    width = burden[linked + 1] - burden[linked]
    if missing < -slack or missing > exact_sum(width) + slack:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):  # width 0: no number, and sorted last
        slope = (value[points[linked + 1]] - value[points[linked]]) / width
    _straighten(slope, user[linked])
    order = np.argsort(slope, kind="stable")
    reach = np.cumsum(width[order])
    cut = int(np.searchsorted(reach, missing, side="left"))
    part = np.zeros(width.size)
    part[order[:cut]] = 1.0
    splits: tuple[SplitUser, ...] = ()
    price = 0.0
    if cut < order.size:
        last = int(order[cut])
        rest = max(missing - (float(reach[cut - 1]) if cut else 0.0), 0.0)
        part[last] = min(rest / width[last], 1.0)
        price = float(slope[last])
    elif order.size:
        price = float(slope[order[-1]])
    x += np.bincount(user[linked], weights=part * width, minlength=curves.n)
    if cut < order.size and slack < rest < width[last] - slack:
        start, stop = int(points[linked[last]]), int(points[linked[last] + 1])
        if not curves.joined[start:stop].all():
            splits = (SplitUser(start, stop, float(x[curves.user[start]])),)
    totals = [
        float(column[lowest].sum() + part @ (column[points[linked + 1]] - column[points[linked]]))
        for column in (value, curves.cost, curves.need)
    ]
    return Relaxed(totals[0], price, budget_price, x, totals[1], totals[2], splits)


def _straighten(slope: FloatArray, owner: IntArray) -> None:
    """Make each user's slopes ascend exactly, in place: rounding must not reverse his segments."""
    same = owner[1:] == owner[:-1]
    while True:
        falls = np.flatnonzero(same & (slope[1:] < slope[:-1]))
        if not falls.size:
            return
        slope[falls + 1] = slope[falls]


_HINT = 1e-12  # weight of the need in a tie
_MOST_LINES = 60  # supporting lines of the budget's dual; a handful are needed


def _within_budget(problem: Knapsack) -> Relaxed | None:
    """Least Σ cost over the envelopes with Σ need ≤ budget: the best multiplier, by lines."""
    curves, budget = problem.curves, problem.budget
    free = _by_slope(problem, curves.cost, 0.0)
    # Among equal costs the least need: at price 0 whole stretches of a curve are ties.
    over = _by_slope(problem, curves.cost + _HINT * curves.need, 0.0)
    if over is None or free is None:
        return None
    if over.need <= budget * (1 + tolerances.REACH):
        return replace(over, bound=free.bound)
    under = _by_slope(problem, curves.need, inf)
    if under is None or under.need > budget * (1 + tolerances.REACH):
        return None
    best = over
    bound = free.bound
    for _ in range(_MOST_LINES):
        price = max(0.0, (under.cost - over.cost) / (over.need - under.need))
        middle = _by_slope(problem, curves.cost + price * curves.need, price)
        assert middle is not None
        if middle.bound - price * budget > bound:
            best, bound = middle, middle.bound - price * budget
        line = over.cost + price * over.need
        if middle.bound >= line - tolerances.ULPS * abs(line):
            break
        if middle.need > budget:
            over = middle
        else:
            under = middle
        if over.need - under.need <= 0:
            break
    weight = min(1.0, max(0.0, (budget - under.need) / (over.need - under.need)))
    burden = weight * over.burden + (1 - weight) * under.burden
    value = curves.cost + best.budget_price * curves.need
    splits = _splits_of_mix(curves, value, over, under, burden)
    return replace(best, bound=bound, burden=burden, splits=splits)


def _splits_of_mix(
    curves: LevelCurves, value: FloatArray, over: Relaxed, under: Relaxed, burden: FloatArray
) -> tuple[SplitUser, ...]:
    """Users for whom a mix of two relaxed solutions is no point of the curve, the worst first."""
    moved = np.flatnonzero(over.burden != under.burden).tolist()
    moved += [int(curves.user[split.start]) for split in (*over.splits, *under.splits)]
    found = []
    for who in dict.fromkeys(moved):
        first, stop = int(curves.start[who]), int(curves.start[who + 1])
        mine = curves.of_user(who)
        hull = envelope(mine, value[first:stop])
        where = float(burden[who])
        edge = int(np.searchsorted(mine.burden[hull], where, side="right"))
        left, right = hull[max(edge - 1, 0)], hull[min(edge, hull.size - 1)]
        reach = mine.burden[right] - mine.burden[left]
        if mine.joined[left:right].all() or reach <= 0:
            continue
        share = (where - mine.burden[left]) / reach
        if tolerances.REACH < share < 1 - tolerances.REACH:
            worth = min(share, 1 - share) * reach
            found.append((worth, SplitUser(first + int(left), first + int(right), where)))
    return tuple(split for _, split in sorted(found, key=lambda pair: -pair[0]))

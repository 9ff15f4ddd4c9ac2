"""A level's range of totals cut into intervals on which users' choices do not change.

In an interval it is settled who must stay, who must leave and who is free; the free of an
equilibrium are a subset with data between two ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.errors import TooLarge
from mechopt.withdrawal.knapsack import least_cost
from mechopt.withdrawal.stage import Stage

CELLS = 40_000_000  # intervals × users that are examined per level
CELLS_PER_SECOND = 25_000_000


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals [low, high) of totals within a level, and what users may do on each, (J, m)."""

    low: FloatArray
    high: FloatArray
    may_stay: BoolArray
    may_leave: BoolArray


def settled_at(stage: Stage, level: int) -> BoolArray:
    """Who stays in every equilibrium of the level, (n,).

    From level 1 on those are users with r_i < η_i v_i b: whatever the others do, leaving loses them
    more by exclusion than it gains.
    """
    if not level:
        return np.zeros(stage.n, dtype=bool)
    free = stage.r - stage.lost * stage.shares[level]
    gains = free < -np.abs(stage.money_tolerance)
    return np.asarray(stage.able & gains, dtype=bool)


def intervals_of(
    stage: Stage, level: int, users: IntArray, base: float, seconds: float
) -> Intervals:
    """The level's range of totals, cut where one of `users` changes; the others give `base`.

    TooLarge if that takes more memory than there is for it, or more than `seconds`.
    """
    removed = stage.removed[users]
    edges = np.concatenate(([-inf], stage.reached, [inf]))
    low = max(float(edges[level]), base)
    high = min(float(edges[level + 1]), float(stage.total + stage.reached[0]))
    cuts = np.concatenate([edge + removed for edge in stage.reached])
    cuts = np.concatenate([cuts, *(edge - removed for edge in stage.reached)])
    cuts = np.unique(cuts[(cuts > low) & (cuts < high)])
    lows, highs = np.concatenate(([low], cuts)), np.concatenate((cuts, [high]))
    if lows.size * users.size > min(CELLS, seconds * CELLS_PER_SECOND):
        raise TooLarge(f"{lows.size} intervals of totals × {users.size} users")
    middle = ((lows + highs) / 2)[:, None]
    without, back = stage.level_of(middle - removed), stage.level_of(middle + removed)
    tolerance = stage.money_tolerance[users]
    keep = stage.staying_pays(users, np.full((1, 1), level)) - stage.leaving_pays(users, without)
    join = stage.staying_pays(users, back) - stage.leaving_pays(users, level)
    may_stay, may_leave = keep >= -tolerance, join <= tolerance
    # Neighbouring intervals with the same choices are one.
    same = (may_stay[1:] == may_stay[:-1]) & (may_leave[1:] == may_leave[:-1])
    first = np.concatenate(([True], ~same.all(axis=1)))
    last = np.concatenate((first[1:], [True]))
    return Intervals(lows[first], highs[last], may_stay[first], may_leave[first])


class Stretch(NamedTuple):
    """One interval: who must stay, who is free, the room left for the free, and what it can give.

    :relaxed: bound on the objective (to be minimised; negated when maximising)
    :fixed: weight of those who must stay
    """

    relaxed: float
    must: BoolArray
    free: BoolArray
    room: tuple[float, float]
    fixed: float


def promising(
    stage: Stage,
    intervals: Intervals,
    removed: FloatArray,
    cost: FloatArray,
    given: tuple[float, float],
    *,
    worst: bool,
) -> list[Stretch]:
    """The intervals that can hold an equilibrium, most promising first.

    :given: data and cost of the users who are not in question
    """
    base, certain = given
    margin = tolerances.REACH * 100 * float(stage.total)  # more than the solver overlooks
    fits = (intervals.may_stay | intervals.may_leave).all(axis=1)
    found = []
    for row in np.flatnonzero(fits).tolist():
        must = ~intervals.may_leave[row]
        free = intervals.may_stay[row] & ~must
        data = base + float(removed[must].sum())
        fixed = certain + float(cost[must].sum())
        low, high = float(intervals.low[row]) - data, float(intervals.high[row]) - data
        if high <= 0 or removed[free].sum() < low:
            continue
        guess = _relaxed(removed[free], cost[free], (low, high), worst=worst)
        relaxed = -(fixed + guess) if worst else fixed + guess
        found.append(Stretch(relaxed, must, free, (low, high - margin), fixed))
    return sorted(found, key=lambda one: one.relaxed)


def cover_only(stage: Stage, users: IntArray, base: float) -> Intervals:
    """K = 1, best: one interval, the willing with r_i > η_i v_i b_1 free (a cheapest cover is
    pivotal)."""
    r, tolerance = stage.r[users], stage.money_tolerance[users]
    alone = r - stage.lost[users] * stage.shares[1]
    willing = stage.v[users] * stage.shares[1] - r >= -tolerance
    low = np.array([max(float(stage.reached[0]), base)])
    high = np.array([float(stage.total) * (1 + tolerances.DATA) + tolerances.TINY])
    return Intervals(low, high, willing[None, :], (alone >= -tolerance)[None, :])


def _relaxed(
    data: FloatArray, cost: FloatArray, room: tuple[float, float], *, worst: bool
) -> float:
    """Bound on Σ cost over fractions of `data` totalling between the two ends of `room`."""
    if worst:
        need = data.sum() - room[1]
        return float(cost.sum() - least_cost(data, cost, need))
    return least_cost(data, cost, room[0])

"""Pure equilibria of the simultaneous protocol: all of them (small), the best and the worst.

For a fixed total X, what each user may do depends on X alone: he may stay iff staying pays at least
what leaving does at X − δ_i x_i, and leave iff the same holds at X + δ_i x_i. Both change
only where X ± δ_i x_i crosses a threshold. So the line of totals is cut into intervals on which
each user is free, bound to stay, bound to leave, or has no choice at all, and on each interval the
cheapest (or dearest) equilibrium is a two-sided knapsack. Intervals whose relaxation cannot beat
the incumbent are never solved.

One threshold: every one of the willing with r_i > η_i v_i b_1 in a cheapest cover of T is pivotal
(else a cheaper cover exists), so the best equilibrium is a covering knapsack, with no condition
left over. It is NP-hard in general (weakly); what is proved is said by the status.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import inf
from time import perf_counter

import numpy as np

from mechopt import memory, tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.errors import TooLarge
from mechopt.status import Status
from mechopt.withdrawal.knapsack import cheapest_cover
from mechopt.withdrawal.level_intervals import (
    Stretch,
    cover_only,
    intervals_of,
    promising,
    settled_at,
)
from mechopt.withdrawal.simultaneous import best_reply_outcome, is_equilibrium
from mechopt.withdrawal.stage import Array, Stage, as_float

LISTED = 20  # users with x_i > 0 up to which all 2^n stay-sets are looked at
ENUMERATED = 14  # … and up to which best and worst are found that way


class Goal(Enum):
    """Which equilibrium is asked for: (highest level?, greatest weight?, weigh level 0 too?).

    At level 0 everybody recovers what is reversible, so that all social costs are the same.
    """

    BEST = (True, False, False)
    WORST = (False, True, False)
    MOST_DATA = (True, True, True)
    LEAST_DATA = (False, False, True)

    @property
    def high(self) -> bool:
        return self.value[0]

    @property
    def maximize(self) -> bool:
        return self.value[1]

    @property
    def weighs_level_0(self) -> bool:
        return self.value[2]


@dataclass(frozen=True, eq=False)
class Extreme:
    """An extreme equilibrium: stay-set (None if none is known), and what is proved.

    :status: OPTIMAL (proved), FEASIBLE (the bounds are open), INFEASIBLE (there is no pure
        equilibrium), UNKNOWN (none was found, none excluded)
    :level_bound: no equilibrium reaches beyond this level (for the worst: below it)
    :bound: no equilibrium of that level has a better objective value
    """

    stay: BoolArray | None
    status: Status
    level: int | None
    level_bound: int
    objective: float | None
    bound: float | None


def list_equilibria(stage: Stage) -> BoolArray:
    """All pure equilibria, shape (number, n), everyone-stays-like sets last; x_i = 0 stay.

    Raises TooLarge above 20 users with x_i > 0.
    """
    users = stage.movers
    if users.size > LISTED:
        raise TooLarge(
            f"{users.size} users with positive burden have 2^{users.size} stay-sets; all "
            f"equilibria are listed up to {LISTED}. Ask for the best and worst instead"
        )
    count = 1 << users.size
    number = np.arange(count)
    totals = np.full(count, stage.total - stage.removed[users].sum(), dtype=stage.x.dtype)
    for position, user in enumerate(users.tolist()):
        size = 1 << position
        totals[size : 2 * size] = totals[:size] + stage.removed[user]
    level = stage.level_of(totals)
    fits = np.ones(count, dtype=bool)
    every = np.arange(stage.levels + 1)
    for position, user in enumerate(users.tolist()):
        other = level[number ^ (1 << position)]
        stays = (number >> position & 1).astype(bool)
        pays_stay, pays_leave = stage.staying_pays(user, every), stage.leaving_pays(user, every)
        slack = (pays_stay[:, None] - pays_leave[None, :]).astype(stage.x.dtype)
        tolerance = abs(stage.money_tolerance[user])
        keeps, goes = slack >= -tolerance, slack <= tolerance
        fits &= np.where(stays, keeps[level, other], goes[other, level])
    chosen = np.flatnonzero(fits)
    memory.refuse_beyond(
        "equilibria",
        f"a list of {chosen.size:,} equilibria among {stage.n:,} users",
        chosen.size * stage.n,
        "Ask for the best and worst instead.",
    )
    stay = np.ones((chosen.size, stage.n), dtype=bool)
    stay[:, users] = (chosen[:, None] >> np.arange(users.size) & 1).astype(bool)
    return stay


def all_leave_is_equilibrium(stage: Stage) -> bool:
    """Whether "everybody leaves" is an equilibrium (False if nobody has anything to withdraw)."""
    if not stage.movers.size:
        return False
    return is_equilibrium(stage, ~stage.able)


def extreme_equilibrium(
    stage: Stage, weights: Array, goal: Goal, *, time_limit: float = 60.0
) -> Extreme:
    """The equilibrium that is extreme first in its level, then in Σ weights over those who stay.

    weights (n,) ≥ 0; positive wherever r_i > 0 if the goal minimises them.
    """
    if stage.movers.size <= ENUMERATED:
        return _among_all(stage, weights, goal)
    stage = _in_float(stage)
    weight = as_float(weights)
    until = perf_counter() + time_limit
    lowest, highest = (int(stage.level_of(end)) for end in (stage.left_behind, stage.total))
    levels = range(highest, lowest - 1, -1) if goal.high else range(lowest, highest + 1)
    level_bound: int | None = None
    replies: BoolArray | None = None
    for level in levels:
        now = perf_counter()
        if now > until and level != levels[0]:  # cutting a level into intervals takes time as well
            found = Extreme(None, Status.UNKNOWN, level, level, None, None)
        else:
            found = _at_level(stage, weight, level, goal, max(until, now + 0.5))
        if found.status is Status.INFEASIBLE:
            continue
        if level_bound is None:
            level_bound = level
        if found.stay is None:
            replies = best_reply_outcome(stage) if replies is None else replies
            found = _by_best_replies(stage, weight, found, replies)
        if found.stay is not None:
            proved = found.status is Status.OPTIMAL and level_bound == level
            status = Status.OPTIMAL if proved else Status.FEASIBLE
            return Extreme(found.stay, status, level, level_bound, found.objective, found.bound)
    if level_bound is None:
        return Extreme(None, Status.INFEASIBLE, None, highest, None, None)
    return Extreme(None, Status.UNKNOWN, None, level_bound, None, None)


def _by_best_replies(stage: Stage, weight: FloatArray, found: Extreme, stay: BoolArray) -> Extreme:
    """Where best replies lead, if that is an equilibrium of the level at which none was found."""
    if found.level != stage.level_of(stage.total_of(stay)) or not is_equilibrium(stage, stay):
        return found
    value = float(weight[stay & stage.able].sum())
    return Extreme(stay, Status.FEASIBLE, found.level, found.level_bound, value, found.bound)


def _among_all(stage: Stage, weights: Array, goal: Goal) -> Extreme:
    stays = list_equilibria(stage)
    if not len(stays):
        return Extreme(None, Status.INFEASIBLE, None, stage.levels, None, None)
    users = stage.movers
    inside = stays[:, users]
    levels = stage.level_of(
        stage.left_behind + np.where(inside, stage.removed[users], 0).sum(axis=1)
    )
    values = np.where(inside, weights[users], 0).sum(axis=1)
    if not goal.weighs_level_0:
        values = np.where(levels > 0, values, 0)
    extreme = levels.max() if goal.high else levels.min()
    among = np.flatnonzero(levels == extreme)
    place = values[among].argmax() if goal.maximize else values[among].argmin()
    row = int(among[place])
    value = float(values[row])
    return Extreme(stays[row], Status.OPTIMAL, int(extreme), int(extreme), value, value)


def _in_float(stage: Stage) -> Stage:
    if not stage.exact:
        return stage
    x, committed = as_float(stage.x), as_float(stage.committed)
    removed, v, lost = as_float(stage.removed), as_float(stage.v), as_float(stage.lost)
    delta = np.divide(removed, x - committed, out=np.ones(stage.n), where=stage.able)
    return Stage.from_arrays(
        x,
        as_float(stage.r),
        v,
        delta,
        as_float(stage.thresholds),
        as_float(stage.shares[1:]),
        as_float(stage.bonus),
        exclusion=np.divide(lost, v, out=np.zeros(stage.n), where=v > 0),
        committed=committed,
    )


def failing_equilibrium(stage: Stage) -> BoolArray | None:
    """A stay-set at level 0 that is an equilibrium, if an easy one exists.

    Without bonuses: everybody leaves. With: the strictly willing stay, and so do the others in
    turn as long as nothing is trained. For one threshold and bonuses for all or none this finds an
    equilibrium whenever there is one: whoever is strictly willing and away must not be able to
    reach T alone (with a bonus he must not even be away), so more stayers only help.
    """
    users = stage.movers
    stay = ~stage.able
    total = stage.left_behind
    if (stage.bonus[users] > 0).any():
        gain = stage.v[users] * stage.shares[1] - stage.r[users]
        keen = gain > stage.money_tolerance[users]
        for user in (*users[keen].tolist(), *users[~keen].tolist()):
            if total + stage.removed[user] < stage.reached[0]:
                stay[user], total = True, total + stage.removed[user]
    if total >= stage.reached[0] or not is_equilibrium(stage, stay):
        return None
    return stay


def _uniform_one_threshold(stage: Stage) -> bool:
    """One threshold and bonuses for all or for none."""
    bonus = stage.bonus[stage.movers] > 0
    return stage.levels == 1 and bool(bonus.all() or not bonus.any())


def _at_level(stage: Stage, weight: FloatArray, level: int, goal: Goal, until: float) -> Extreme:
    """Extreme equilibrium at one level."""
    worst, anyone = goal.maximize, not level and not goal.weighs_level_0
    if not level:
        failing = failing_equilibrium(stage)
        if failing is None and _uniform_one_threshold(stage):
            return Extreme(None, Status.INFEASIBLE, level, level, None, None)
        if failing is not None and anyone:
            return Extreme(failing, Status.OPTIMAL, level, level, 0.0, 0.0)
    settled = settled_at(stage, level)
    users = stage.movers[~settled[stage.movers]]
    removed, cost = stage.removed[users], weight[users]
    base = float(stage.left_behind) + float(stage.removed[settled].sum())
    certain = 0.0 if anyone else float(weight[settled].sum())
    if stage.levels == 1 and level == 1 and not worst:
        intervals = cover_only(stage, users, base)
    else:
        try:
            left = max(0.0, until - perf_counter())
            intervals = intervals_of(stage, level, users, base, left)
        except TooLarge:
            return Extreme(None, Status.UNKNOWN, level, level, None, None)
    if anyone:
        cost = np.zeros(users.size)
    search = _Search(stage, level, users, cost, ~stage.able | settled, -1.0 if worst else 1.0)
    for each in promising(stage, intervals, removed, cost, (base, certain), worst=worst):
        if not search.went_on(each, until) or (search.best is not None and anyone):
            break
    return search.found(anyone=anyone)


@dataclass(eq=False)
class _Search:
    """The best equilibrium of a level, interval by interval.

    :certain: who stays in any case, (n,); sign : −1 if the goal is the worst
    :best: value (to be minimised), who stays, the gap that is no gap; bounds : of all intervals
    """

    stage: Stage
    level: int
    users: IntArray
    cost: FloatArray
    certain: BoolArray
    sign: float
    best: tuple[float, BoolArray, float] | None = None
    bounds: list[float] = field(default_factory=list)
    unsettled: bool = False

    def went_on(self, each: Stretch, until: float) -> bool:
        """Solve an interval; False if it, and with it all after it, need not or cannot be."""
        best, left = self.best, until - perf_counter()
        enough = best is not None and each.relaxed >= best[0] - best[2]
        if enough or left <= 0:
            self.bounds.append(each.relaxed)
            self.unsettled |= not enough
            return False
        cover = cheapest_cover(
            self.stage.removed[self.users][each.free],
            self.cost[each.free],
            each.room,
            maximize=self.sign < 0,
            time_limit=left,
            cutoff=None if best is None else self.sign * best[0] - each.fixed,
        )
        if cover.taken is not None:
            self.take(each, cover.taken, cover.given)
        if cover.status not in (Status.OPTIMAL, Status.INFEASIBLE):
            self.unsettled = True
        if cover.status is not Status.INFEASIBLE:
            known = -inf if cover.bound is None else self.sign * (each.fixed + cover.bound)
            self.bounds.append(max(each.relaxed, known))
        return True

    def take(self, each: Stretch, taken: BoolArray, given: float) -> None:
        stage, stay = self.stage, self.certain.copy()
        stay[self.users[each.must]] = True
        stay[self.users[each.free]] = taken
        spent = float(self.cost[each.free][taken].sum())
        value = self.sign * (each.fixed + spent)
        if stage.level_of(stage.total_of(stay)) != self.level or not is_equilibrium(stage, stay):
            self.unsettled = True  # the solver's rounding put it on the wrong side of an end
        elif self.best is None or value < self.best[0]:
            self.best = (value, stay, tolerances.SOLVER * abs(spent - given))

    def found(self, *, anyone: bool) -> Extreme:
        """What is known after the last interval; any stay-set will do if `anyone`."""
        level, best, open_bound = self.level, self.best, min(self.bounds, default=inf)
        if best is None:
            if not self.unsettled:
                return Extreme(None, Status.INFEASIBLE, level, level, None, None)
            return Extreme(None, Status.UNKNOWN, level, level, None, self.sign * open_bound)
        proved = anyone or open_bound >= best[0] - best[2]
        status = Status.OPTIMAL if proved else Status.FEASIBLE
        bound = best[0] if anyone else min(open_bound, best[0])
        return Extreme(best[1], status, level, level, self.sign * best[0], self.sign * bound)

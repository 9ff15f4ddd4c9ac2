"""What would restore stability: least extra payments, a uniform scaling, a failure bonus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import words
from mechopt.answer.plan import Plan
from mechopt.arrays import IntArray
from mechopt.errors import InvalidOption
from mechopt.problem import cost_curves as curves
from mechopt.status import Status
from mechopt.withdrawal.equilibria import Goal, extreme_equilibrium, failing_equilibrium
from mechopt.withdrawal.sequential import (
    LevelArray,
    chosen_levels,
    sequential_path,
    step_back,
)
from mechopt.withdrawal.simultaneous import all_stay_slack
from mechopt.withdrawal.stage import Array, Stage, field_of, order_of, plan_columns, stage_of

if TYPE_CHECKING:
    from mechopt.problem.instance import Instance

NODES = 20_000  # nodes of the search for the least sequential payments
EXHAUSTED = 10  # users up to which every critical scaling is tried
TRIED = 400  # critical scalings tried above that


@dataclass(frozen=True, eq=False)
class Restoration:
    """The least extra payments after which everyone stays.

    extra : (n,) money, Fractions for exact input; None if no payment helps (X < T_1)
    total : their sum; bound : no smaller sum is enough; status OPTIMAL if the two agree
    plan : the plan with these payments
    """

    extra: Array | None = field(repr=False)
    total: float
    bound: float
    status: Status
    plan: Plan | None = field(repr=False)


def least_extra_payments(
    instance: Instance,
    plan: Plan,
    protocol: str = "simultaneous",
    order: Any = "small-first",
    *,
    time_limit: float = 60.0,
) -> Restoration:
    """Least Σ extra payments (on top of t) after which everyone staying is stable.

    Simultaneous and coalition: each user is paid what (W1) lacks; exact. Sequential: paid from
    the last mover to the first what his threat lacks. That is optimal for one threshold, for two
    with X = T_2 and δ = 1 (F10: paying anybody more only weakens the threats before him), and
    whenever it meets the bound of F5 (nobody after a withdrawal stays); otherwise a search over
    the payments that change some later decision, complete unless it meets its limit of nodes or of
    time (seconds).

    Raises InvalidOption, InvalidPlan as `check_withdrawal`.
    """
    words.choose("protocol", protocol, ("simultaneous", "sequential", "coalition"))
    stage = stage_of(instance, plan)
    if stage.movers.size and not stage.level_of(stage.total):
        return Restoration(None, inf, inf, Status.INFEASIBLE, None)
    extra = np.zeros(stage.n, dtype=stage.x.dtype) + stage.thresholds[0] * 0
    if protocol != "sequential":
        slack, _ = all_stay_slack(stage)
        extra[stage.movers] = _lacking(-slack, stage.money_tolerance[stage.movers])
        bound = extra.sum()
    else:
        movers = order_of(instance, stage, order)
        movers = movers[stage.able[movers]]
        until = perf_counter() + time_limit
        search = _PaymentSearch(stage, movers, until, unconditional=plan.unconditional)
        extra[movers], bound = search.run()
    proved = bool(bound >= extra.sum())
    return Restoration(
        extra=extra,
        total=float(extra.sum()),
        bound=float(bound),
        status=Status.OPTIMAL if proved else Status.FEASIBLE,
        plan=_paid_plan(instance, plan, stage, extra, protocol, order),
    )


def _lacking(lack: Array, tolerance: Array) -> Array:
    """What is lacking, 0 where it is inside the tolerance."""
    return np.where(lack > tolerance, lack, lack * 0)


def _paid_plan(
    instance: Instance, plan: Plan, stage: Stage, extra: Array, protocol: str, order: Any
) -> Plan:
    burden, payment, bonus = plan_columns(instance, plan, exact=stage.exact)
    return Plan.from_arrays(
        instance,
        burden,
        payment + extra,
        failure_bonus=bonus,
        protocol=protocol,
        order=order,
        unconditional=plan.unconditional,
    )


class _PaymentSearch:
    """Branch and bound from the last mover to the first; the state is L_{i+1} and the money spent.

    A mover must be paid what his threat lacks, given what those after him are paid; paying more
    matters only where it changes one of his decisions off the path.
    """

    def __init__(
        self, stage: Stage, movers: IntArray, until: float, *, unconditional: bool
    ) -> None:
        self.stage, self.movers, self.unconditional = stage, movers, unconditional
        self.until = until
        self.width = stage.levels + 1
        self.zero = stage.thresholds[0] * 0
        self.x = stage.x[movers]
        self.kept = (stage.x - stage.removed)[movers]
        self.before = stage.settled + np.concatenate(([self.zero], np.cumsum(self.x)))[:-1]
        self.level = int(stage.level_of(stage.total))
        # If i leaves, at least what nobody can take away after him remains (F5).
        after = np.cumsum(self.kept[::-1])[::-1]
        least = stage.level_of(self.before + after)
        tolerance = stage.money_tolerance[movers]
        floor = stage.r[movers] - stage.loss(movers, self.level, least)
        self.floor = _lacking(floor, tolerance)
        self.floor_before = np.concatenate(([self.zero], np.cumsum(self.floor)))
        self.best: Array | None = None
        self.best_total: Any = inf
        self.nodes = 0

    def run(self) -> tuple[Array, Any]:
        """Extra payments (m,) in the order of moving, and the proved bound on their sum."""
        count = self.movers.size
        extra = np.zeros(count, dtype=self.stage.x.dtype) + self.zero
        end = (self.stage.reached, np.arange(self.width, dtype=np.int32))
        greedy = self._greedy(*end, extra)
        self.best, self.best_total = greedy, greedy.sum()
        floor = self.floor_before[-1]
        if self.best_total <= floor or self._greedy_is_optimal():
            return greedy, self.best_total
        complete = self._search(count - 1, *end, extra, self.zero) if count <= 64 else False
        return self.best, self.best_total if complete else floor

    def _greedy_is_optimal(self) -> bool:
        stage = self.stage
        if self.unconditional:
            return False
        if stage.levels == 1:
            return True
        two = stage.levels == 2 and bool(stage.total <= stage.thresholds[1])
        return two and self.level == 2 and bool(np.all(self.kept == 0))

    def _need(self, position: int, at: Array, level: LevelArray) -> Any:
        """What this mover's threat lacks when those after him play (at, level)."""
        stage, user = self.stage, self.movers[position]
        place = at.searchsorted(self.before[position] + self.kept[position], side="right")
        lack = stage.r[user] - stage.loss(user, self.level, level[place])
        return lack if lack > stage.money_tolerance[user] else self.zero

    def _back(
        self, position: int, at: Array, level: LevelArray, paid: Any
    ) -> tuple[Array, LevelArray]:
        user = self.movers[position : position + 1]
        stage = self.stage.paying(user, paid, unconditional=self.unconditional)
        table = chosen_levels(stage, np.zeros(1, dtype=np.int64))[0]
        return step_back(at, level, self.x[position], self.kept[position], table, self.width)

    def _greedy(self, at: Array, level: LevelArray, extra: Array) -> Array:
        extra = extra.copy()
        for position in range(self.movers.size - 1, -1, -1):
            extra[position] = self._need(position, at, level)
            at, level = self._back(position, at, level, extra[position])
        return extra

    def _search(
        self, position: int, at: Array, level: LevelArray, extra: Array, spent: Any
    ) -> bool:
        """Whether the subtree was searched completely."""
        self.nodes += 1
        if self.nodes > NODES or perf_counter() > self.until:
            return False
        if position < 0:
            if spent < self.best_total:
                self.best, self.best_total = extra.copy(), spent
            return True
        need = self._need(position, at, level)
        complete = True
        for paid in (need, *self._turning_points(position, need)):
            if spent + paid + self.floor_before[position] >= self.best_total:
                break
            extra[position] = paid
            complete &= self._search(
                position - 1, *self._back(position, at, level, paid), extra, spent + paid
            )
        return complete

    def _turning_points(self, position: int, need: Any) -> list[Any]:
        """Payments above `need` at which he begins to prefer staying to leaving at some pair."""
        stage, user = self.stage, self.movers[position]
        r, levels = stage.r[user], range(self.width)
        points = {
            r - stage.loss(user, up, down) for up in levels[1:] for down in levels if up != down
        }
        if self.unconditional:
            points |= {stage.leaving_pays(user, down) - stage.bonus[user] for down in levels[1:]}
        return sorted(point for point in points if point > need)


# -- uniform scaling ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Scaling:
    """The largest λ such that everyone accepts the burdens λ x with the payments as they are.

    factor : λ (Fraction for exact input); 0 if only the null plan is accepted
    attained : False if λ is a supremum: every smaller factor close to it is accepted, itself not
    bound : no larger factor is accepted; status OPTIMAL if it equals the factor
    """

    factor: Any
    attained: bool
    bound: Any
    status: Status


def largest_scaling(
    instance: Instance,
    plan: Plan,
    protocol: str = "simultaneous",
    order: Any = "small-first",
) -> Scaling:
    """The largest uniform scaling of the burdens that everyone still accepts, λ x_i ≤ cap_i.

    Simultaneous, coalition, and sequential with one threshold: exact, by a sweep over the factors
    at which somebody's loss (W1) or the level changes. Sequential with several: between the
    simultaneous factor and the bound of F5, all critical factors up to 10 users, a sample above.
    """
    words.choose("protocol", protocol, ("simultaneous", "sequential", "coalition"))
    stage = stage_of(instance, plan)
    zero = stage.thresholds[0] * 0
    if not stage.movers.size:
        raise InvalidOption("scaling: the plan asks nothing of anybody")
    if stage.committed.any():
        raise InvalidOption("scaling: committed data cannot be scaled; leave `committed` out")
    curve = _Curve(instance, plan, stage)
    alone = curve.sweep(stage.total - stage.removed)
    if protocol != "sequential" or stage.levels == 1:
        return Scaling(alone[0], alone[1], alone[0], Status.OPTIMAL)
    positions = order_of(instance, stage, order)
    kept = stage.x - stage.removed
    least = np.zeros(stage.n, dtype=stage.x.dtype) + zero
    ahead = np.cumsum(stage.x[positions]) - stage.x[positions]
    behind = np.cumsum(kept[positions][::-1])[::-1]
    least[positions] = ahead + behind
    above = curve.sweep(least)
    if above == alone:
        return Scaling(alone[0], alone[1], alone[0], Status.OPTIMAL)
    return _sequential_scaling(curve, positions, alone, above)


class _Curve:
    """The stage as a function of λ: x, removed and the reversible cost scale, t and f do not."""

    def __init__(self, instance: Instance, plan: Plan, stage: Stage) -> None:
        self.stage = stage
        exact = stage.exact
        burden, self.payment, _ = plan_columns(instance, plan, exact=exact)
        self.x = burden
        fields = ("cost", "widths", "slopes", "reversibility", "capacity")
        self.cost, self.widths, self.slopes, self.rho, self.capacity = (
            field_of(instance, name, exact) for name in fields
        )
        movers = stage.movers
        self.highest = (self.capacity[movers] / self.x[movers]).min()

    def at(self, factor: Any) -> Stage:
        """The stage with burdens λ x."""
        stage = self.stage
        x = self.x * factor
        refund = self.rho * curves.cost_of(self.cost, self.widths, self.slopes, x)
        return stage.scaled(factor, refund - self.payment)

    def accepts(self, factor: Any, positions: IntArray) -> bool:
        """Whether everyone stays in the sequential outcome at λ."""
        stage = self.at(factor)
        return bool(stage.level_of(stage.total)) and bool(
            sequential_path(stage, positions).stay.all()
        )

    def limit(self, worth: Array) -> Array:
        """The largest λ at which ρ_i C_i(λ x_i) ≤ t_i + worth_i, for each mover; −1 if none."""
        movers = self.stage.movers
        money = self.payment + worth
        never = money < 0
        rho = np.where(self.rho > 0, self.rho, 1)
        most = curves.affordable(
            self.cost, self.widths, self.slopes, np.where(never, 0, money) / rho
        )
        most = np.where(self.rho > 0, most, self.capacity)
        return np.where(never[movers], -1, most[movers] / self.x[movers])

    def sweep(self, rest: Array) -> tuple[Any, bool]:
        """Largest λ with v_i (B(λ X) − B(λ rest_i)) ≥ r_i(λ) for all movers, and if attained.

        Bad intervals of λ are collected per level; the answer is the end of the first gap from
        above. Ends are pairs (λ, side): side 0 is λ itself, −1 just below, +1 just above.
        """
        stage = self.stage
        total, rest = stage.total, rest[stage.movers]
        never = np.full(rest.shape, self.highest * 2, dtype=stage.x.dtype)
        positive = rest > 0
        # starts[m]: the λ from which level m is left when the user is gone
        starts = [np.zeros(rest.shape, dtype=stage.x.dtype) + total * 0]
        for threshold in stage.thresholds:
            starts.append(np.where(positive, threshold / np.where(positive, rest, 1), never))
        starts.append(never)
        for level in range(stage.levels, 0, -1):
            low = stage.thresholds[level - 1] / total
            current: tuple[Any, int] = (self.highest, 0)
            if level < stage.levels and stage.thresholds[level] / total <= self.highest:
                current = (stage.thresholds[level] / total, -1)
            if current < (low, 0):
                continue
            bad: list[tuple[Any, Any, int]] = []  # (top, bottom, side of the bottom)
            for after in range(level + 1):
                limit = self.limit(stage.loss(slice(None), level, after))
                begin, end = np.maximum(starts[after], low), starts[after + 1]
                faulty = (begin < end) & (limit < end) & (begin <= self.highest)
                closed = limit < begin
                bottom = np.where(closed, begin, limit)
                bad += zip(
                    end[faulty].tolist(),
                    bottom[faulty].tolist(),
                    np.where(closed, 0, 1)[faulty].tolist(),
                )
            found = _first_gap(bad, current)
            if found >= (low, 0):
                return found[0], found[1] == 0
        return total * 0, True


def _first_gap(bad: list[tuple[Any, Any, int]], current: tuple[Any, int]) -> tuple[Any, int]:
    """The highest end ≤ `current` outside all bad intervals [bottom, top)."""
    bad.sort(key=lambda interval: interval[0], reverse=True)
    for top, bottom, side in bad:
        if (top, -1) < current:
            break
        if (bottom, side) <= current:
            current = (bottom, side - 1)
    return current


def _sequential_scaling(
    curve: _Curve, positions: IntArray, alone: tuple[Any, bool], above: tuple[Any, bool]
) -> Scaling:
    low, high = alone[0], above[0]
    complete = curve.stage.movers.size <= EXHAUSTED
    points = sorted({p for p in _critical(curve, complete) if low < p <= high} | {high})
    if not complete and len(points) > TRIED:
        points = [points[i] for i in np.linspace(0, len(points) - 1, TRIED).astype(int)]
    ends = [low, *points]
    for position in range(len(points) - 1, -1, -1):
        point = points[position]
        if curve.accepts(point, positions):
            return _scaling(point, True, high, complete)
        if curve.accepts((ends[position] + point) / 2, positions):
            return _scaling(point, False, high, complete)
    return _scaling(low, alone[1], high, complete)


def _scaling(factor: Any, attained: bool, bound: Any, complete: bool) -> Scaling:
    proved = complete or factor == bound
    status = Status.OPTIMAL if proved else Status.FEASIBLE
    return Scaling(factor, attained, factor if proved else bound, status)


def _critical(curve: _Curve, complete: bool) -> Iterator[Any]:
    """Factors at which a decision or a level can change: all of them if `complete`."""
    stage = curve.stage
    for up, down in product(range(stage.levels + 1), repeat=2):
        limit = curve.limit(stage.loss(slice(None), up, down))
        yield from limit[limit > 0].tolist()
    totals = [stage.left_behind]
    for user in stage.movers.tolist():
        more = [total + stage.removed[user] for total in totals]
        totals = totals + more if complete else [*totals, more[-1]]
    for threshold in stage.thresholds:
        yield from (threshold / total for total in set(totals) if total > 0)


# -- failure bonus ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FailureBonus:
    """The least failure bonus after which every simultaneous equilibrium trains.

    bonus : 0 whenever some bonus works: either none is needed (`any_positive` False), or every
        positive one works, however small (`any_positive` True); None if no bonus is enough
    status : OPTIMAL if proved; UNKNOWN if a limit was met
    """

    bonus: float | None
    any_positive: bool
    status: Status


def least_failure_bonus(
    instance: Instance, plan: Plan, *, time_limit: float = 60.0
) -> FailureBonus:
    """The least f after which no equilibrium without training is left (F6, any K).

    At level 0 a bonus only breaks the indifference between leaving and staying, so its size does
    not matter: either every positive one works or none does. A failing equilibrium survives iff
    some set S with X_S < T_1 has only outsiders who would tip the balance and do not want to:
    for K = 1, iff the strictly willing together stay below T. The bonus also pays nothing on
    path. Equilibria need not exist; "every equilibrium trains" is then true of none.
    """
    stage = stage_of(instance, plan)
    if not stage.movers.size:
        return FailureBonus(None, False, Status.OPTIMAL)
    raised = not np.all(stage.bonus[stage.movers] > 0)
    if raised:
        lowest = _lowest_level(stage, time_limit)
        if lowest is None:
            return FailureBonus(None, False, Status.UNKNOWN)
        if lowest > 0:
            return FailureBonus(0.0, False, Status.OPTIMAL)
        stage = stage.with_bonus(stage.thresholds[0] * 0 + 1)
    lowest = _lowest_level(stage, time_limit)
    if lowest is None:
        return FailureBonus(None, False, Status.UNKNOWN)
    return FailureBonus(0.0 if lowest else None, raised and bool(lowest), Status.OPTIMAL)


def _lowest_level(stage: Stage, time_limit: float) -> int | None:
    """Lowest level of an equilibrium; K if there is no equilibrium; None if not settled."""
    if failing_equilibrium(stage) is not None:
        return 0
    found = extreme_equilibrium(stage, stage.removed, Goal.LEAST_DATA, time_limit=time_limit)
    if found.status is Status.INFEASIBLE:
        return stage.levels
    if found.level_bound > 0:
        return found.level_bound
    return 0 if found.level == 0 else None

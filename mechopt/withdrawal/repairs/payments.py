"""The least extra payments after which everyone stays."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import words
from mechopt.answer.plan import Plan
from mechopt.arrays import IntArray
from mechopt.status import Status
from mechopt.withdrawal.moves import order_of
from mechopt.withdrawal.sequential import (
    LevelArray,
    chosen_levels,
    step_back,
)
from mechopt.withdrawal.simultaneous import all_stay_slack
from mechopt.withdrawal.stage import Array, Stage, plan_columns, stage_of

if TYPE_CHECKING:
    from mechopt.problem.instance import Instance


SEARCHED = 64  # movers up to which the search is tried: with more it ends at NODES, undecided
NODES = 20_000  # nodes of the search for the least sequential payments


@dataclass(frozen=True, eq=False)
class Restoration:
    """The least extra payments after which everyone stays.

    :extra: (n,) money, Fractions for exact input; None if no payment helps (X < T_1)
    :total: their sum; bound : no smaller sum is enough; status OPTIMAL if the two agree
    :plan: the plan with these payments
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
        complete = self._search(count - 1, *end, extra, self.zero) if count <= SEARCHED else False
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

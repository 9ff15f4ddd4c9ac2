"""The largest uniform scaling of the burdens that everyone accepts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import words
from mechopt.answer.plan import Plan
from mechopt.arrays import IntArray
from mechopt.errors import InvalidOption
from mechopt.problem import cost_curves as curves
from mechopt.status import Status
from mechopt.withdrawal.moves import order_of
from mechopt.withdrawal.sequential import (
    sequential_path,
)
from mechopt.withdrawal.stage import Array, Stage, field_of, plan_columns, stage_of

if TYPE_CHECKING:
    from mechopt.problem.instance import Instance


EXHAUSTED = 10  # users up to which every critical scaling is tried
TRIED = 400  # critical scalings tried above that


@dataclass(frozen=True, eq=False)
class Scaling:
    """The largest λ such that everyone accepts the burdens λ x with the payments as they are.

    :factor: λ (Fraction for exact input); 0 if only the null plan is accepted
    :attained: False if λ is a supremum: every smaller factor close to it is accepted, itself not
    :bound: no larger factor is accepted; status OPTIMAL if it equals the factor
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

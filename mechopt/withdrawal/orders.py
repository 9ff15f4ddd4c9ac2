"""Which orders of moving sustain a plan, and which order is best."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt.arrays import IntArray
from mechopt.errors import TooLarge
from mechopt.status import Status
from mechopt.withdrawal.moves import ORDERS, order_of
from mechopt.withdrawal.outcome import Outcome, outcome_of
from mechopt.withdrawal.sequential import Path, sequential_path
from mechopt.withdrawal.simultaneous import all_stay_slack
from mechopt.withdrawal.stage import Array, Stage, reversible_cost, stage_of

if TYPE_CHECKING:
    from mechopt.answer.plan import Plan
    from mechopt.problem.instance import Instance

EXHAUSTED = 7  # users up to which all orders are tried (7! = 5,040)
SWAPS = 500  # orders tried by the local search above that


@dataclass(frozen=True, eq=False)
class BestOrder:
    """The order under which the sequential outcome is best.

    order (n,): users in the order in which they move; stable: everyone stays and it trains;
    outcome: what happens; status: OPTIMAL (all orders tried, or no order can do better), else
    FEASIBLE (named orders and a local search); name: of the order, "" if it has none.
    """

    order: IntArray = field(repr=False)
    stable: bool
    outcome: Outcome
    status: Status
    name: str


def sustaining_orders(instance: Instance, plan: Plan) -> IntArray:
    """All orders of the users with x_i > 0 in which everyone stays, shape (number, m).

    Lexicographic. Raises TooLarge above 7 such users; `best_order` has no such limit.
    """
    stage = stage_of(instance, plan)
    users = stage.movers
    if users.size > EXHAUSTED:
        raise TooLarge(
            f"{users.size} users have {users.size}! orders; all are tried up to {EXHAUSTED}"
        )
    if not stage.level_of(stage.total) and users.size:
        return np.zeros((0, users.size), dtype=np.int64)
    rest = np.flatnonzero(~stage.able)
    kept = [
        order
        for order in permutations(users.tolist())
        if sequential_path(
            stage, np.concatenate((np.array(order, dtype=np.int64), rest))
        ).stay.all()
    ]
    return np.array(kept, dtype=np.int64).reshape(len(kept), users.size)


def best_order(instance: Instance, plan: Plan) -> BestOrder:
    """The order whose outcome is best: everyone stays, then highest share, then least social cost.

    Up to 7 users with x_i > 0 all orders are tried. Above: the named orders; by r_i / v_i, the
    most reluctant first and last (F5: whoever moves early has little data behind him, so that his
    withdrawal can undo most); then swaps of neighbours, at most 500. If (W1) holds every order
    sustains the plan (F1); if some r_i exceeds v_i B(X), none does.
    """
    stage = stage_of(instance, plan)
    cost = reversible_cost(instance, plan_burden(stage, plan), exact=stage.exact)
    rest = np.flatnonzero(~stage.able)
    named = {name: order_of(instance, stage, name) for name in ORDERS}
    need = reluctance(stage)
    tried = [*named.values(), np.argsort(-need, kind="stable"), np.argsort(need, kind="stable")]
    proved = stage.movers.size <= EXHAUSTED
    if stage.movers.size <= EXHAUSTED:
        tried += [
            np.concatenate((np.array(order, dtype=np.int64), rest))
            for order in permutations(stage.movers.tolist())
        ]
    best = _choose(stage, cost, tried)
    if not proved and not best[0][0] and _may_sustain(stage):
        best = _swap(stage, cost, best)
    (stable, *_), order, path = best
    outcome = outcome_of(instance, plan, stage, path.stay, path.level)
    names = [name for name, positions in named.items() if np.array_equal(positions, order)]
    return BestOrder(
        order=order,
        stable=bool(stable),
        outcome=outcome,
        status=Status.OPTIMAL if proved or stable else Status.FEASIBLE,
        name=names[0] if names else "",
    )


def plan_burden(stage: Stage, plan: Plan) -> Array:
    """The burdens in the arithmetic of the stage."""
    assert plan.burden is not None
    return stage.x if stage.exact else plan.burden


def reluctance(stage: Stage) -> np.ndarray:
    """r_i / v_i as floats, ±inf where v_i = 0."""
    r, v = stage.r.astype(np.float64), stage.v.astype(np.float64)
    without = np.where(r > 0, np.inf, np.where(r < 0, -np.inf, 0.0))
    return np.divide(r, v, out=without, where=v > 0)


def _may_sustain(stage: Stage) -> bool:
    """Whether some order might keep everyone: nobody wants to leave even if that undoes all."""
    users = stage.movers
    top, bottom = (int(stage.level_of(end)) for end in (stage.total, stage.left_behind))
    slack, _ = all_stay_slack(stage)
    if stage.levels > 1:
        slack = stage.staying_pays(users, top) - stage.leaving_pays(users, bottom)
    return top > 0 and bool(np.all(slack >= -stage.money_tolerance[users]))


Scored = tuple[tuple[Any, ...], IntArray, Path]


def _score(stage: Stage, cost: Array, order: IntArray) -> Scored:
    path = sequential_path(stage, order)
    stable = bool(path.stay.all()) and (path.level > 0 or not stage.movers.size)
    spent = cost[path.stay].sum() if path.level else 0
    return (stable, path.level, -spent), order, path


def _choose(stage: Stage, cost: Array, orders: list[IntArray]) -> Scored:
    best = _score(stage, cost, orders[0])
    for order in orders[1:]:
        other = _score(stage, cost, order)
        if other[0] > best[0]:
            best = other
    return best


def _swap(stage: Stage, cost: Array, best: Scored) -> Scored:
    """Swaps of neighbours, first improvement, until none helps or the limit is met."""
    left, improved = SWAPS, True
    while improved and left > 0:
        improved = False
        for position in range(stage.n - 1):
            if left <= 0 or best[0][0]:
                return best
            order = best[1].copy()
            order[[position, position + 1]] = order[[position + 1, position]]
            left -= 1
            other = _score(stage, cost, order)
            if other[0] > best[0]:
                best, improved = other, True
    return best

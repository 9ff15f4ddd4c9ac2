"""Safe plans of what may be asked (docs: practice): burdens of a total, every plan, a bound.

Whole units, least amounts, fixed burdens, contacts, groups and steps are those of `known.practice`;
what holds a user is here what he expects, whatever the total (`aim.SafeAim.held_by`).
"""

from __future__ import annotations

from math import inf
from time import perf_counter

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import FloatArray, IntArray
from mechopt.known.practice.curves import Terms
from mechopt.known.practice.few import few_plans
from mechopt.known.practice.search import ExcessSearch
from mechopt.known.safety.aim import CONFIDENT, Safe, SafeAim

_USERS = 14  # whose losses are all looked at
_BLOCK = 256  # plans at a time


def terms(aim: SafeAim, held_by: FloatArray, total: float) -> Terms:
    """What has to be paid where users are held by so much money (n,) and `total` data are asked."""
    reserve = max(total - aim.threshold, 0.0)
    return Terms(
        aim.unbudgeted, aim.level, reserve, "participation", aim.transfers, aim.charged, held_by
    )


def burdens(
    aim: SafeAim, held_by: FloatArray, total: float, quantity: str, limit: float, deadline: float
) -> FloatArray:
    """The cheapest burdens of at least `total`, (n,); 0 if there are none."""
    asked = terms(aim, held_by, total)
    for first, most in ((quantity, limit if quantity == "cost" else inf), ("pay", inf)):
        found = ExcessSearch(asked, first, deadline, 0, most)
        found.run()
        if found.burden is not None:
            return found.burden
    return np.zeros(aim.instance.n)


def least(aim: SafeAim, quantity: str, total: float, deadline: float) -> float:
    """No plan of at least `total` data takes less of `quantity`, money; inf if there is none."""
    found = ExcessSearch(terms(aim, aim.gain, total), quantity, deadline, 0)
    found.run()
    return found.bound


def every_plan(
    aim: SafeAim, quantity: str, limit: float, deadline: float
) -> tuple[Safe | None, float, bool] | None:
    """As `exact.solve`; None if plans or users are too many to look at one by one.

    In sequence the plan holds in every order, and the bound is that of participation alone.
    """
    instance, (low, high) = aim.instance, aim.range
    room = arrays.exact_sum(high) - aim.threshold
    freely = terms(aim, aim.gain, aim.threshold)
    plans = few_plans(freely, low, high, room) if instance.n <= _USERS else None
    if plans is None:
        return None
    size = plans.burden.shape
    need = freely.need(plans.burden.reshape(-1), 0.0, np.tile(np.arange(size[1]), size[0]))
    payment = freely.practice.rounded_up(need).reshape(size)
    spent = payment.sum(axis=1) + plans.contact
    cost = plans.cost + plans.contact if aim.charged else plans.cost
    first, second = (spent, cost) if quantity == "pay" else (cost, spent)
    within = spent <= limit * (1 + tolerances.REACH)
    if not aim.transfers:
        within &= (payment <= 0).all(axis=1)
    order = np.flatnonzero(within)
    order = order[np.lexsort((second[order], first[order]))]
    best: Safe | None = None
    other, bound = inf, inf
    for block in np.array_split(order, -(-order.size // _BLOCK) or 1):
        for at in block[_may_be_safe(aim, plans.burden[block])].tolist():
            if best is not None and first[at] > best.value * (1 + tolerances.ULPS):
                return best, min(bound, best.value), True
            if perf_counter() > deadline:
                return best, min(bound, float(first[at])), False
            found = aim.priced(plans.burden[at], quantity)
            if not aim.is_safe(found.crossing):
                continue
            if aim.order is not None:
                bound = min(bound, float(first[at]))
            if aim.over(found.burden, found.payment, limit) > 0:
                continue
            mine = aim.worth("cost" if quantity == "pay" else "pay", found.burden, found.payment)
            if best is None or (found.value, mine) < (best.value, other):
                best, other = found, mine
    return best, bound if best is None else min(bound, best.value), True


def _may_be_safe(aim: SafeAim, burden: FloatArray) -> IntArray:
    """Positions of the plans (N, n) whose crossing probability may be enough."""
    n = aim.instance.n
    inside = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.float64)
    left = inside + (1 - inside) * (1 - aim.instance.removable)
    reached = left @ burden.T >= aim.threshold * (1 - 2 * tolerances.TOTALS)
    weight = np.zeros(len(inside))
    for chance, hazard in aim.hazards.states:
        weight += chance * np.where(inside > 0, 1 - hazard, hazard).prod(axis=1)
    return np.flatnonzero(weight @ reached >= aim.confidence - 2 * CONFIDENT)

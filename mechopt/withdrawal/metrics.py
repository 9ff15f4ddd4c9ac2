"""The metrics of the model, computed from a plan's raw numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import IntArray, exact_sum
from mechopt.errors import NotSupported, TooLarge
from mechopt.withdrawal.stage import sunk_cost

if TYPE_CHECKING:
    from mechopt.answer.plan import Plan
    from mechopt.withdrawal.check import WithdrawalReport


def plan_metrics(plan: Plan) -> dict[str, Any]:
    """All metrics of a plan if everyone stays, and its stability under both protocols."""
    reports = {name: _report(plan, name) for name in ("simultaneous", "sequential")}
    return {
        **totals(plan),
        "stable": {
            name: {
                "stable": None if report is None else report.stable,
                "margin": None if report is None else report.margin,
            }
            for name, report in reports.items()
        },
    }


def totals(plan: Plan) -> dict[str, Any]:
    """The metrics but stability: they need the check under the plan's own protocol only."""
    found = amounts(plan)
    assert plan.burden is not None
    asked = plan.burden > plan.instance.committed
    own = _report(plan, plan.protocol) if plan.protocol in ("simultaneous", "sequential") else None
    staying = int((asked & own.outcome.stay).sum()) if own else int(asked.sum())
    return {**found, "participation": staying / int(asked.sum()) if asked.any() else 0.0}


def amounts(plan: Plan) -> dict[str, float]:
    """The metrics that need no withdrawal check: data, money and the share reached."""
    instance = plan.instance
    assert plan.burden is not None
    assert plan.payment is not None
    share, level = plan.share or 0.0, plan.level or 0
    cost = instance.cost_of(plan.burden)
    if level == 0 and not plan.unconditional:  # data deleted, the reversible part recovered
        cost = sunk_cost(instance, plan.burden, exact=False)
    pays = level > 0 or plan.unconditional
    social_cost = exact_sum(cost)
    paid = exact_sum(plan.payment) if pays else 0.0
    # Whoever was asked was contacted, whatever comes of it.
    contact = instance.practice.contact_of(plan.burden) if instance.practice else 0.0
    expenditure = paid + contact
    value = instance.provider_value * share
    return {
        "improvement": share,
        "data": (plan.total or 0.0) if level else 0.0,
        "social_cost": social_cost,
        "expenditure": expenditure,
        "leakage": (1 - share) * paid,
        "provider_surplus": value - expenditure,
        "welfare": value + exact_sum(instance.value * share) - social_cost - contact,
    }


def pivotal(plan: Plan) -> IntArray:
    """Users whose data alone decide the level reached: B falls when δ_i x_i leaves, positions."""
    assert plan.burden is not None
    if not plan.level:
        return np.zeros(0, dtype=np.int64)
    threshold = float(plan.instance.thresholds[plan.level - 1])
    left = (plan.total or 0.0) - plan.instance.removable * plan.burden
    falls = left < threshold * (1 - tolerances.REACH)
    if plan.is_exact:
        exact = plan.exact("burden").sum() - plan.instance.exact("removable") * plan.exact("burden")
        falls = (exact < plan.instance.exact("thresholds")[plan.level - 1]).astype(bool)
    return np.flatnonzero(falls & (plan.burden > 0))


def _report(plan: Plan, protocol: str) -> WithdrawalReport | None:
    """The plan's check; None if another protocol than its own is too large to decide."""
    try:
        return plan.withdrawal(protocol)
    except (TooLarge, NotSupported):
        if protocol == plan.protocol:
            raise
        return None

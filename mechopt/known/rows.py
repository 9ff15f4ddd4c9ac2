"""Every row of a plan, and its stability, before it is called optimal or feasible.

One vectorised pass over the users, the same tolerances as the audit's. What holds only up to
rounding is said (`tolerances`); a plan that fails is not returned as an answer.
"""

from __future__ import annotations

import numpy as np

from mechopt import tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray, IntArray, exact_sum
from mechopt.problem.instance import Instance
from mechopt.status import Status
from mechopt.withdrawal.simultaneous import all_stay_slack
from mechopt.withdrawal.stage import Stage


def checked(plan: Plan, level: int, note: str = "") -> Plan:
    """`plan`, which is to reach `level`, as it is, or UNKNOWN with the row that fails.

    :note: what is known to hold up to rounding alone; said as the reason
    """
    fault = _fault(plan, level)
    if fault:
        return plan.replace(
            status=Status.UNKNOWN,
            reason=f"the best plan found does not hold in floating point: {fault}; give exact "
            'numbers (integers, "1/3", Fraction, Decimal)',
        )
    said = ", ".join(filter(None, (note, _over_budget(plan))))
    return plan.replace(reason=said) if said else plan


def short_by(data: float, unit: float, level: int) -> str:
    """That a level is reached up to rounding."""
    return f"level {level} is reached up to rounding, {data * unit:.1g} of data short"


def _over_budget(plan: Plan) -> str:
    instance = plan.instance
    if instance.budget == np.inf or plan.payment is None:
        return ""
    over = exact_sum(plan.payment, -instance.budget)
    return (
        ""
        if over <= 0
        else (f"the budget is kept up to rounding, {over * instance.units.money:.1g} over")
    )


def _fault(plan: Plan, level: int) -> str:
    """The first row that does not hold, in words; empty if all do."""
    instance, x, t = plan.instance, plan.burden, plan.payment
    assert x is not None
    assert t is not None
    beyond = np.flatnonzero(x > instance.capacity * (1 + tolerances.DATA))
    if beyond.size:
        return f"{instance.name(int(beyond[0]))} gives more than the capacity (A2)"
    total, practice = float(instance.thresholds[level - 1]), instance.practice
    excess = exact_sum(x, -total, -plan.reserve) if plan.reserve else (plan.total or 0.0) - total
    contact = 0.0 if practice is None else practice.contact_of(x)
    if practice is not None:  # whole units are counted as such
        excess = float(practice.total(x) - practice.goal(total, plan.reserve))
    if excess < 0:
        return "the total is short of the threshold (A1)"
    cost = instance.cost_of(x)
    gain = 0.0 if plan.mechanism == "subsidy" else instance.value * instance.share_at(level)
    lost = cost - gain
    lost -= t
    loses = np.flatnonzero(lost > tolerances.MONEY * cost)
    if loses.size:  # few at most: now with all that counts as a row's scale
        scale = np.maximum(np.maximum(cost, t), gain)[loses]
        loses = loses[lost[loses] > tolerances.MONEY * scale]
    if loses.size:
        return f"{instance.name(int(loses[0]))} loses by taking part (A3)"
    if instance.budget < np.inf and (
        exact_sum(t, contact, -instance.budget) > tolerances.MONEY * instance.budget
    ):
        return "payments exceed the budget (A4)"
    if plan.mechanism != "burdens" or plan.protocol == "none":
        return ""
    if plan.dropout is not None:  # who stays when others are lost was decided with the payments
        return ""
    if instance.levels > 1 or plan.reserve > 0:
        return _leaving(plan, cost)
    return _not_needed(plan, cost, excess)


def _not_needed(plan: Plan, cost: FloatArray, excess: float) -> str:
    """One threshold met just so: whoever is not needed to reach it leaves, if he gains by it."""
    instance, x, t = plan.instance, plan.burden, plan.payment
    assert x is not None
    assert t is not None
    least = excess + tolerances.rounding(instance.n) * float(instance.thresholds[0])
    spare = needless(instance, x, least)
    enjoyed = instance.value[spare] * instance.shares[0]
    gain = instance.reversibility[spare] * cost[spare] - t[spare]
    gain -= instance.exclusion[spare] * enjoyed  # what whoever leaves is shut out of (F14)
    leaves = spare[gain > tolerances.MONEY * np.maximum(enjoyed, cost[spare])]
    return f"{instance.name(int(leaves[0]))} is asked for next to nothing" if leaves.size else ""


def needless(instance: Instance, burden: FloatArray, data: float) -> IntArray:
    """Users asked who take no more than `data` with them."""
    few: IntArray = np.flatnonzero((burden * instance.removable <= data) & (burden > 0))
    return few


def _leaving(plan: Plan, cost: FloatArray) -> str:
    """(W1); what is sustained in sequence was decided when the plan was accepted."""
    if plan.protocol == "sequential":
        return ""
    assert plan.payment is not None
    instance = plan.instance
    assert plan.payment is not None
    stage = Stage.from_arrays(
        plan.burden,
        instance.reversibility * cost - plan.payment,
        instance.value,
        instance.removable,
        instance.thresholds,
        instance.shares,
        exclusion=instance.exclusion,  # what is committed is not designed for, but built on
        scale=instance.value * float(instance.shares[-1])
        + instance.reversibility * cost
        + plan.payment,
    )
    slack, _ = all_stay_slack(stage)
    leaves = stage.movers[slack < -stage.money_tolerance[stage.movers]]
    return f"{plan.instance.name(int(leaves[0]))} gains by leaving (A5)" if leaves.size else ""

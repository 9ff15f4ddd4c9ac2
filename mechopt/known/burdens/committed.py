"""Burdens on top of data committed for good (docs: rights): the problem of what is open.

Users have given y_i already; C_i(y_i) is spent and nothing of it leaves. What can still be asked of
them, z = x − y, costs C(y + z) − C(y), removes δ z when withdrawn and recovers ρ of that cost; the
thresholds still to be reached are T_k − Σ y. So it is an instance again, and the null outcome is
to ask for nothing more: x = y, t = 0, at the level that Σ y reaches. Everybody must be at least as
well off as in that (A3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mechopt import arrays
from mechopt.answer.plan import Plan
from mechopt.arrays import exact_sum
from mechopt.errors import NotSupported
from mechopt.known.levels import Wanted, value_of
from mechopt.problem.aims import objective_value, required_total
from mechopt.problem.instance import Instance
from mechopt.problem.practice import refuse_with
from mechopt.status import Status


@dataclass(frozen=True, eq=False)
class Open:
    """What is open: the instance of the rest (None: nothing), and the level reached already."""

    instance: Instance | None
    level: int


def open_problem(instance: Instance) -> Open:
    """The instance of what can still be asked for and reached. Raises NotSupported."""
    committed = instance.committed
    given = exact_sum(committed)
    level = instance.level_of(given)
    if level and instance.has_exclusion:
        raise NotSupported(
            "committed: the data given reach a threshold already, and some users can be excluded"
        )
    refuse_with(instance, "committed")
    start = np.cumsum(instance.widths, axis=1) - instance.widths
    used = np.clip(committed[:, None] - start, 0.0, instance.widths)
    widths = instance.widths - used
    if level == instance.levels or not widths.any():
        return Open(None, level)
    thresholds = np.array(
        [-exact_sum(committed, -float(threshold)) for threshold in instance.thresholds[level:]]
    )
    return Open(
        instance.replace(
            segments=(widths, instance.slopes),
            committed=0,
            thresholds=np.maximum.accumulate(thresholds),
            shares=instance.shares[level:] - instance.share_at(level),
        ),
        level,
    )


def on_top(
    instance: Instance,
    solve: Callable[[Instance, float | None], Plan],
    wanted: Wanted,
) -> Plan:
    """`solve(open instance, open target)` as a plan of the whole instance."""
    objective, target = wanted.objective, wanted.target
    rest = open_problem(instance)
    share = instance.share_at(rest.level)
    spent = exact_sum(instance.cost_of(instance.committed))
    nothing = objective_value(instance, objective, share, 0.0, spent)
    fields = wanted.fields()
    idle: dict[str, Any] = {
        "burden": arrays.freeze(np.array(instance.committed)),
        "payment": arrays.freeze(np.zeros(instance.n)),
        "objective": nothing,
    }
    met = target is not None and target <= share
    if rest.instance is None or met:
        reason = "the data committed are enough" if met else "nothing more can be asked or reached"
        short = objective in ("expenditure", "social-cost") and not met
        if short and share < (instance.shares[-1] if target is None else target):
            return Plan(instance, Status.INFEASIBLE, reason=reason, **fields)
        return Plan(instance, Status.NULL, bound=nothing, reason=reason, **idle, **fields)
    plan = solve(rest.instance, None if target is None else target - share)
    fields |= {"solver": plan.solver, "details": plan.details, "reason": plan.reason}
    fields |= {"shortfall": plan.shortfall, "status": plan.status, "order": plan.order}
    bound = None if plan.bound is None else plan.bound + nothing
    if plan.burden is None or plan.payment is None:
        return Plan(instance, bound=bound, **fields)
    if not plan.level:
        return Plan(instance, bound=bound, **idle, **fields)
    level = rest.level + plan.level
    burden = instance.committed + plan.burden
    amount = required_total(instance, level, wanted.reserve)
    if plan.dropout is None:
        upper = np.where(plan.burden > 0, instance.capacity, burden)
        burden = arrays.settle(burden, upper, amount)
    else:  # more than the threshold, for those who may be lost; committed data are not lost
        aim = {**plan.dropout, "level": rest.level + int(plan.dropout["level"])}
        fields["details"] = {**plan.details, "dropout": aim}
    return Plan(
        instance,
        burden=arrays.freeze(burden),
        payment=plan.payment,
        objective=value_of(instance, objective, instance.share_at(level), burden, plan.payment),
        bound=bound,
        **fields,
    )

"""Your own constraint: a formulation of ours with rows of yours, solved and checked like a plan."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray
from mechopt.errors import InvalidOption, NotSupported
from mechopt.known.burdens.level_curves import payment_needed
from mechopt.known.levels import spending, value_of
from mechopt.problem.aims import required_total
from mechopt.problem.instance import Instance
from mechopt.status import Status

PLANS = ("burdens", "burdens-levels", "burdens-levels-bigm", "burdens-practice", "subsidy")
_NEAR = 1e-6  # relative: what a solver's tolerance may leave of one of your rows


@dataclass(frozen=True, eq=False)
class Source:
    """Where a model came from, kept on the model: `build_model` puts it there."""

    problem: Any
    name: str
    options: dict[str, Any]
    rows: frozenset[str]  # names of the constraints it had


def solve_model(model: Any, *, time_limit: float | None = None, seed: int = 0) -> Plan:
    """The Plan of a Pyomo model from `build_model`, with the constraints you added.

    Status, objective and bound are those of the model with your rows. Burdens are moved by no more
    than the solver's tolerance so that the threshold is met exactly; payments are at least what
    keeps everyone (A3, W1). What our audit refuses is not returned: status UNKNOWN, with the
    reason. `details["own_rows"]` has your rows with their value and whether they hold; `audit` and
    `check_withdrawal` work on the plan as on any other.

    Two examples (`burdens-levels` meets the threshold exactly, so payments do not depend on how
    much more is collected). At most 50 people::

        model = mo.build_model(instance, "burdens-levels", objective="expenditure")
        model.asked = pyo.Var(model.USERS, domain=pyo.Binary)
        model.who = pyo.Constraint(
            model.USERS,
            rule=lambda m, i: m.burden[i] <= float(instance.capacity[i]) * m.asked[i],
        )
        model.at_most_50 = pyo.Constraint(expr=pyo.quicksum(model.asked.values()) <= 50)
        plan = mo.solve_model(model)

    No more than a third from one company, `firm` naming everybody's::

        model = mo.build_model(instance, "burdens-levels", objective="expenditure")
        total = pyo.quicksum(model.burden[i] for i in model.USERS)
        model.a_third = pyo.Constraint(
            sorted(set(firm)),
            rule=lambda m, one: 3 * sum(m.burden[i] for i in m.USERS if firm[i] == one) <= total,
        )
        plan = mo.solve_model(model)

    Raises InvalidOption if the model is not one of `build_model`, NotSupported for formulations
    that are not of a plan (private costs, posted offers, withdrawal stages).
    """
    source = getattr(model, "mechopt_source", None)
    if not isinstance(source, Source):
        raise InvalidOption("solve_model: expected a Pyomo model from build_model")
    if source.name not in PLANS:
        raise NotSupported(
            f"solve_model: {source.name!r} is not the problem of a plan; those are "
            f"{', '.join(PLANS)}"
        )
    from mechopt.solver import highs

    answer = highs.solve_model(model, twice=True, time_limit=time_limit, seed=seed)
    fields = _fields(model, source, seed)
    fields["solver"] = highs.version()
    if answer.status is Status.INFEASIBLE:
        reason = "no plan satisfies every row of the model, yours included"
        return Plan(instance=source.problem, status=Status.INFEASIBLE, reason=reason, **fields)
    if answer.x is None:
        reason = f"the solver stopped without a plan: {answer.termination}"
        bound = answer.bound if answer.bound is not None and isfinite(answer.bound) else None
        return Plan(
            instance=source.problem, status=Status.UNKNOWN, reason=reason, bound=bound, **fields
        )
    return _checked(_plan(model, source, answer, fields))


def _fields(model: Any, source: Source, seed: int) -> dict[str, Any]:
    import pyomo.environ as pyo

    options = source.options
    subsidy = source.name == "subsidy"
    active = list(model.component_data_objects(pyo.Objective, active=True))
    own = len(active) != 1 or active[0].parent_component() is not model.component("objective")
    return {
        "mechanism": "subsidy" if subsidy else "burdens",
        "protocol": "none" if subsidy else options.get("protocol", "simultaneous"),
        "objective_name": None if own else options.get("objective", "provider-surplus"),
        "reserve": float(options.get("reserve", 0.0)),
        "options": {"formulation": source.name, **options},
        "seed": seed,
    }


def _plan(model: Any, source: Source, answer: Any, fields: dict[str, Any]) -> Plan:
    """The plan of the values in the model, with its objective and what is proved of it."""
    import pyomo.environ as pyo

    instance: Instance = source.problem
    rows = _own_rows(model, source)
    level = next((k for k in model.LEVELS if (model.reach[k].value or 0) > 0.5), 0)
    fields["details"] = {"own_rows": rows}
    if level == 0:
        return Plan.null(
            instance,
            bound=answer.bound,
            objective=answer.objective,
            reason="nothing that the rows of the model allow is better than doing nothing",
            **fields,
        )
    total = required_total(instance, level, fields["reserve"])
    burden = _burden(model, instance, total)
    reached = max(total, arrays.exact_sum(burden))
    payment = np.maximum([pyo.value(model.pay[i]) for i in model.USERS], 0.0)
    if fields["mechanism"] == "subsidy":
        need = instance.cost_of(burden)
    else:
        stage = fields["protocol"] != "none"
        need = payment_needed(instance, level, reached, burden, withdrawal=stage)
    transfers = source.options.get("transfers", True)
    payment[payment <= _NEAR * np.maximum(need, instance.cost_of(burden))] = 0.0
    if transfers:
        payment = np.maximum(payment, need)
        if instance.practice is not None:
            payment = instance.practice.rounded_up(payment)
    share = instance.share_at(level)
    spent, cost = spending(instance, burden, payment), arrays.exact_sum(instance.cost_of(burden))
    amount, near = answer.objective, _NEAR * max(1.0, cost, spent)
    if fields["objective_name"] is not None:
        amount = value_of(instance, fields["objective_name"], share, burden, payment)
    bound = answer.bound if isfinite(answer.bound) else None
    if bound is not None and abs(bound - amount) <= near:
        maximised = fields["objective_name"] in ("provider-surplus", "welfare", "improvement")
        bound = max(bound, amount) if maximised else min(bound, amount)
    proved = answer.status is Status.OPTIMAL and bound is not None and abs(bound - amount) <= near
    return Plan(
        instance=instance,
        status=Status.OPTIMAL if proved else Status.FEASIBLE,
        burden=arrays.freeze(burden),
        payment=arrays.freeze(np.asarray(payment, dtype=np.float64)),
        objective=amount,
        bound=bound,
        **fields,
    )


def _burden(model: Any, instance: Instance, total: float) -> FloatArray:
    """Burdens of the model, free of the solver's dust, that meet the total exactly."""
    import pyomo.environ as pyo

    burden = np.array([pyo.value(model.burden[i]) for i in model.USERS], dtype=np.float64)
    burden[burden < tolerances.DATA * instance.capacity] = 0.0
    burden = np.clip(burden, 0.0, instance.capacity)
    practice = instance.practice
    if practice is not None:
        whole = practice.free & (practice.unit > 0)
        counts = practice.counts(burden)
        from mechopt.problem.practice import counted

        burden[whole] = counted(counts[whole], practice.unit[whole])
        burden = np.where(practice.free, burden, practice.fixed)
        if whole.any():
            return burden
    short = total - arrays.exact_sum(burden)
    if abs(short) > _NEAR * total:
        return burden  # above by more than dust: yours or the model's choice
    return arrays.settle(burden, np.where(burden > 0, instance.capacity, 0.0), total)


def _own_rows(model: Any, source: Source) -> list[dict[str, Any]]:
    """The constraints that were added, at the values of the solver."""
    import pyomo.environ as pyo

    rows = []
    for part in model.component_objects(pyo.Constraint, active=True):
        if part.name in source.rows:
            continue
        for row in part.values():
            value = float(pyo.value(row.body))
            low, high = row.lower, row.upper
            low, high = (None if side is None else float(pyo.value(side)) for side in (low, high))
            room = _NEAR * max(1.0, abs(value), abs(low or 0.0), abs(high or 0.0))
            holds = (low is None or value >= low - room) and (high is None or value <= high + room)
            rows.append(
                {"name": row.name, "value": value, "low": low, "high": high, "holds": holds}
            )
    return rows


def _checked(plan: Plan) -> Plan:
    """`plan`, or without its numbers if a row of ours (or of yours) does not hold."""
    from mechopt.audits.plans import audit_plan

    verdict = audit_plan(plan.instance, plan)
    broken = [row["name"] for row in plan.details["own_rows"] if not row["holds"]]
    if verdict.ok and not broken:
        return plan
    why = f"your row {broken[0]} does not hold" if broken else str(verdict).splitlines()[-1].strip()
    return plan.replace(
        status=Status.UNKNOWN,
        burden=None,
        payment=None,
        objective=None,
        reason=f"what the solver returned does not pass the check: {why}",
    )

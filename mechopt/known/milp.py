"""Solving a known-cost mechanism through its Pyomo formulation and HiGHS.

The reference route: slower than selection, and tied to it by tests. Ties are broken in stages:
the objective first, then (for `improvement`) payments, then social cost.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import arrays, tolerances, words
from mechopt.answer.plan import Plan
from mechopt.arrays import settle
from mechopt.formulations import FORMULATIONS
from mechopt.known.levels import Wanted, infeasible, no_such_share, value_of
from mechopt.known.natural import in_natural_units
from mechopt.problem.aims import MINIMISED, required_total
from mechopt.problem.instance import Instance
from mechopt.solver import highs
from mechopt.status import Status


def solve(instance: Instance, formulation: str, wanted: Wanted) -> Plan:
    """Build in natural units, solve, round the level, re-solve with ties broken, read the plan."""
    return in_natural_units(
        instance,
        lambda natural, data: _solve(
            natural, formulation, replace(wanted, reserve=wanted.reserve / data)
        ),
    )


def _solve(instance: Instance, formulation: str, wanted: Wanted) -> Plan:
    objective, target, lowest = wanted.objective, wanted.target, wanted.lowest(instance)
    fields = wanted.fields(solver=highs.version())
    if lowest == 0:
        return Plan.null(instance, reason="a target share of 0 is met by doing nothing", **fields)
    if lowest > instance.levels:
        return no_such_share(instance, target, fields)
    options = {"objective": objective, "target": target, "reserve": wanted.reserve}
    if formulation != "subsidy":
        options |= {"transfers": wanted.transfers, "protocol": wanted.protocol}
    began = perf_counter()
    with highs.paused_gc():
        model = words.load(FORMULATIONS[formulation])(instance, **options)
    first = highs.solve_model(model, twice=True, time_limit=wanted.time_limit, seed=wanted.seed)
    if first.status is Status.INFEASIBLE:
        return infeasible(
            instance, target, "no plan satisfies every row", {"constraint": "model"}, fields
        )
    if first.x is None or first.objective is None or first.bound is None:
        return Plan(
            instance=instance,
            status=Status.UNKNOWN,
            reason=f"the solver stopped: {first.termination}",
            bound=first.bound,
            **fields,
        )
    level = next((k for k in model.LEVELS if model.reach[k].value == 1), 0)
    scale = max(1.0, abs(first.objective))
    beats_null = objective in (*MINIMISED, "improvement") or (
        first.objective > tolerances.SOLVER * scale
    )
    if level == 0 or not beats_null:
        proved = first.status is Status.OPTIMAL
        return Plan.null(
            instance,
            status=Status.NULL if proved else Status.FEASIBLE,
            bound=0.0 if proved else first.bound,
            reason="no plan that reaches a threshold is better than doing nothing",
            **fields,
        )
    for k in model.LEVELS:
        model.reach[k].fix(1 if k == level else 0)
    left = wanted.time_limit
    if left is not None:
        left = max(0.1, left - (perf_counter() - began))
    _break_ties(model, objective, left, wanted.seed)
    return _read(instance, model, level, wanted, first)


def _break_ties(model: Any, objective: str, time_limit: float | None, seed: int) -> None:
    """Hold the objective, minimise payments (if it was the share) and then social cost."""
    import pyomo.environ as pyo

    stages = {
        "provider-surplus": (model.expenditure, model.social_cost),
        "expenditure": (model.expenditure, model.social_cost),
        "improvement": (model.expenditure, model.social_cost),
        "welfare": (model.social_cost, model.expenditure),
        "social-cost": (model.social_cost, model.expenditure),
    }[objective]
    model.objective.deactivate()
    for position, quantity in enumerate(stages):
        model.add_component(f"stage_{position}", pyo.Objective(expr=quantity))
        solution = highs.solve_model(model, time_limit=time_limit, seed=seed)
        if solution.status is not Status.OPTIMAL or solution.objective is None:
            return  # the incumbent of the stage before stays loaded
        model.component(f"stage_{position}").deactivate()
        room = tolerances.MONEY * max(1.0, abs(solution.objective))
        model.add_component(
            f"hold_{position}", pyo.Constraint(expr=quantity <= solution.objective + room)
        )


def _read(
    instance: Instance, model: Any, level: int, wanted: Wanted, first: highs.Solution
) -> Plan:
    transfers = wanted.transfers
    gain = instance.value * instance.share_at(level)
    upper = instance.capacity if transfers else instance.affordable(gain)
    burden = np.array([model.burden[i]() for i in model.USERS])
    total = required_total(instance, level, wanted.reserve)
    burden[burden < tolerances.DATA * np.minimum(instance.capacity, total)] = 0.0  # dust
    burden = np.clip(burden, 0.0, upper)
    burden = settle(burden, upper, total)
    cost = instance.cost_of(burden)
    least = np.zeros(instance.n)
    if wanted.mechanism == "subsidy":
        least = cost
    elif wanted.protocol != "none":
        held = instance.reversibility * cost - instance.exclusion * gain
        least = np.where(instance.removable == 0, held, 0.0)
    payment = np.maximum(0.0, np.maximum(cost - gain, least)) if transfers else 0.0 * cost
    payment[payment <= tolerances.REACH * cost] = 0.0
    share = instance.share_at(level)
    amount = value_of(instance, wanted.objective, share, burden, payment)
    bound = first.bound if first.bound is not None and isfinite(first.bound) else None
    near = tolerances.SOLVER * max(1.0, abs(amount), arrays.exact_sum(cost))
    proved = first.status is Status.OPTIMAL and bound is not None and abs(bound - amount) <= near
    return Plan(
        instance=instance,
        status=Status.OPTIMAL if proved else Status.FEASIBLE,
        burden=arrays.freeze(burden),
        payment=arrays.freeze(payment),
        objective=amount,
        bound=bound,
        **wanted.fields(solver=highs.version()),
    )

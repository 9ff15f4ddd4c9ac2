"""Personalized subsidies: full compensation (S1) instead of participation.

Equations: models/subsidy/README.md.
"""

from __future__ import annotations

import pyomo.environ as pyo

from mechopt.formulations import parts
from mechopt.formulations.parts import Model
from mechopt.problem.instance import Instance


def build(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    target: float | None = None,
    reserve: float = 0.0,
) -> Model:
    """The MILP of the model; at fixed `reach` an LP. Options as for `subsidy.solve`."""
    model = parts.new_model(instance, "subsidy")
    parts.add_burdens(model, instance)
    parts.add_payments(model, instance, transfers=True)
    parts.add_levels(model, instance, objective, target, reserve)
    parts.add_threshold(model, instance, reserve)
    model.compensation = pyo.Constraint(
        model.USERS, rule=lambda m, i: m.pay[i] >= m.cost[i], doc="(S1) compensation"
    )
    parts.add_budget(model, instance)
    parts.add_no_leakage(model, instance)
    parts.add_objective(model, instance, objective)
    return model

"""Personalized burdens with withdrawal rights, one threshold (or none of the rights, any K).

Sets: USERS, SEGMENTS, LEVELS. Variables: give[i, j] (data), pay[i] (money), reach[k] (binary).
Equations: models/burdens/README.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyomo.environ as pyo

from mechopt.errors import NotSupported
from mechopt.formulations import parts
from mechopt.formulations.parts import Model
from mechopt.problem.instance import Instance


def build(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    protocol: str = "simultaneous",
    target: float | None = None,
    transfers: bool = True,
    reserve: float = 0.0,
) -> Model:
    """The MILP of the model; at fixed `reach` an LP. Options as for `burdens.solve`.

    Raises NotSupported with several thresholds, or a reserve, under a withdrawal protocol.
    """
    if protocol != "none" and (instance.levels > 1 or reserve > 0):
        raise NotSupported(
            "the formulation 'burdens' has one threshold and no reserve (fact F7); "
            "use 'burdens-levels' or 'burdens-levels-bigm'"
        )
    model = parts.new_model(instance, "burdens")
    parts.add_burdens(model, instance)
    parts.add_payments(model, instance, transfers=transfers)
    parts.add_levels(model, instance, objective, target, reserve)
    parts.add_threshold(model, instance, reserve)
    add_participation(model, instance)
    parts.add_budget(model, instance)
    if protocol != "none":
        add_obedience(model, instance, lambda i: model.cost[i])
    parts.add_no_leakage(model, instance)
    parts.add_objective(model, instance, objective)
    return model


def add_participation(model: Model, instance: Instance) -> None:
    """Everyone is at least as well off as in the null outcome."""
    model.participation = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: float(instance.value[i]) * m.share + m.pay[i] >= m.cost[i],
        doc="(A3) participation",
    )


def add_obedience(model: Model, instance: Instance, cost: Callable[[int], Any]) -> None:
    """Users whose data stay behind anyway must be paid what leaving would give back.

    :cost: of what user i may take back, money, as an expression of the model
    """
    model.REMAINING = pyo.Set(
        initialize=[i for i in range(instance.n) if instance.removable[i] == 0],
        within=model.USERS,
        doc="users whose data stay when they leave",
    )
    model.obedience = pyo.Constraint(
        model.REMAINING,
        rule=lambda m, i: (
            (
                m.pay[i] + float(instance.exclusion[i] * instance.value[i]) * m.share
                >= float(instance.reversibility[i]) * cost(i)
            )
            if instance.exclusion[i]
            else m.pay[i] >= float(instance.reversibility[i]) * cost(i)
        ),
        doc="(A5) obedience",
    )

"""Personalized burdens with withdrawal rights, one threshold (or none of the rights, any K).

Sets: USERS, SEGMENTS, LEVELS. Variables: give[i, j] (data), pay[i] (money), reach[k] (binary).

    Σ_i x_i ≥ Σ_k (T_k + R) reach_k                       threshold        (A1)
    0 ≤ give_ij ≤ width_ij                                capacity         (A2)
    v_i Σ_k b_k reach_k + t_i ≥ C_i(x_i)                  participation    (A3)
    Σ_i t_i ≤ β                                           budget           (A4)
    η_i v_i Σ_k b_k reach_k + t_i ≥ ρ_i C_i(x_i)  if δ_i = 0   obedience   (A5)
    x_i ≤ cap_i Σ_k reach_k,  Σ_k reach_k ≤ 1             no leakage       (A6)
    Σ_{k: b_k ≥ target} reach_k = 1                       target, if any   (T1)

With one threshold and R = 0 the total is met exactly at an optimum, everybody who removes data by
leaving is pivotal, and (A3) implies obedience for him (F7); (A5) remains for δ_i = 0.
"""

from __future__ import annotations

import pyomo.environ as pyo

from mechopt.errors import NotSupported
from mechopt.formulations import parts
from mechopt.formulations.parts import Model
from mechopt.problem.aims import MINIMISED, check_options
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
    """The MILP of FORMULATION 4.3; at fixed `reach` an LP. Options as for `burdens.solve`.

    Raises NotSupported with several thresholds, or a reserve, under a withdrawal protocol.
    """
    if protocol != "none" and (instance.levels > 1 or reserve > 0):
        raise NotSupported(
            "the formulation 'burdens' has one threshold and no reserve (fact F7); "
            "use 'burdens-levels' or 'burdens-levels-bigm'"
        )
    lowest = check_options(instance, objective, target, reserve)
    model = parts.new_model(instance, "burdens")
    parts.add_burdens(model, instance)
    parts.add_payments(model, instance, transfers=transfers)
    parts.add_levels(model, instance, lowest if objective in MINIMISED else None)
    parts.add_threshold(model, instance, reserve)
    add_participation(model, instance)
    parts.add_budget(model, instance)
    if protocol != "none":
        add_obedience(model, instance)
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


def add_obedience(model: Model, instance: Instance) -> None:
    """Users whose data stay behind anyway must be paid what leaving would give back."""
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
                >= float(instance.reversibility[i]) * m.cost[i]
            )
            if instance.exclusion[i]
            else m.pay[i] >= float(instance.reversibility[i]) * m.cost[i]
        ),
        doc="(A5) obedience",
    )

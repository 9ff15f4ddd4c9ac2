"""Burdens that can be carried out: whole units, least amounts, contacts, steps, groups.

The textbook model of several thresholds (`burdens-levels-bigm`), whose total may exceed the
threshold, with the terms of practice. Sets: USERS, SEGMENTS, LEVELS, and FREE, users
whose burden is to be chosen. Further variables: asked[i] (binary), units[i], steps[i] (integer),
full[i, j] (binary): segment j is used up. Equations: models/burdens-practice/README.md.
"""

from __future__ import annotations

from math import ceil, isnan
from typing import Any

import pyomo.environ as pyo

from mechopt import tolerances
from mechopt.formulations import burdens_levels_bigm as bigm
from mechopt.formulations import parts
from mechopt.formulations.burdens import add_participation
from mechopt.formulations.parts import Model
from mechopt.problem.aims import MARGIN
from mechopt.problem.instance import Instance


def build(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    target: float | None = None,
    transfers: bool = True,
    reserve: float = 0.0,
) -> Model:
    """The MILP for all levels. Options as for `burdens.solve`; InvalidOption if they are not."""
    bigm.refuse_large(instance)
    model = parts.new_model(instance, "burdens-practice")
    parts.add_burdens(model, instance)
    parts.add_payments(model, instance, transfers=transfers)
    parts.add_levels(model, instance, objective, target, reserve)
    parts.add_threshold(model, instance, reserve)
    bigm.add_level_above(model, instance, reserve)
    add_participation(model, instance)
    bigm.add_leaving(model, instance)
    bigm.add_obedience(model, instance)
    parts.add_no_leakage(model, instance)
    add_asked(model, instance)
    add_amounts(model, instance)
    add_steps(model, instance, transfers=transfers)
    add_groups(model, instance)
    parts.add_budget(model, instance)
    parts.add_objective(model, instance, objective)
    return model


def add_asked(model: Model, instance: Instance) -> None:
    """asked[i]: whoever gives something is asked; `contacts` is what that costs the provider."""
    model.asked = pyo.Var(model.USERS, domain=pyo.Binary, doc="user i is asked")
    model.asks = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: m.burden[i] <= float(instance.capacity[i]) * m.asked[i],
        doc="(B0) only who is asked gives",
    )
    model.contacts = pyo.Expression(
        expr=sum(float(instance.contact_cost[i]) * model.asked[i] for i in model.USERS)
    )


def add_amounts(model: Model, instance: Instance) -> None:
    """What may be asked: at least the least, whole units, or the burden that is given."""
    free = [i for i in range(instance.n) if isnan(instance.fixed[i])]
    model.FREE = pyo.Set(initialize=free, within=model.USERS, doc="users whose burden is chosen")
    something = MARGIN * float(instance.thresholds[0])
    model.required = pyo.Constraint(
        [i for i in free if instance.required[i] > 0],
        rule=lambda m, i: (
            m.burden[i]
            >= max(float(instance.least[i]), float(instance.unit[i]), something)
            * sum(m.reach[k] for k in m.LEVELS)
        ),
        doc="(B3) must be asked for something",
    )
    least = [i for i in free if instance.least[i] > 0]
    model.least = pyo.Constraint(
        least,
        rule=lambda m, i: m.burden[i] >= float(instance.least[i]) * m.asked[i],
        doc="(B1) at least this if asked",
    )
    whole = [i for i in free if instance.unit[i] > 0]
    most = {i: int(instance.capacity[i] / instance.unit[i] * (1 + tolerances.REACH)) for i in whole}
    model.units = pyo.Var(
        whole,
        domain=pyo.NonNegativeIntegers,
        bounds=lambda _, i: (0, most[i]),
        doc="number of units asked of user i",
    )
    model.whole_units = pyo.Constraint(
        whole,
        rule=lambda m, i: m.burden[i] == float(instance.unit[i]) * m.units[i],
        doc="(B2) whole units",
    )
    fixed = [i for i in range(instance.n) if not isnan(instance.fixed[i])]
    model.fixed_burden = pyo.Constraint(
        fixed,
        rule=lambda m, i: (
            m.burden[i] == float(instance.fixed[i]) * sum(m.reach[k] for k in m.LEVELS)
        ),
        doc="(B3) the burden that is given",
    )


def add_steps(model: Model, instance: Instance, *, transfers: bool) -> None:
    """Payments are multiples of the step; none where nothing is paid."""
    step = float(instance.payment_step)
    if step == 0 or not transfers:
        return
    most = [
        ceil(cost / step - tolerances.WHOLE)
        for cost in instance.cost_of(instance.capacity).tolist()
    ]
    for i in model.USERS:
        model.pay[i].setub(most[i] * step)  # rounded up, it may exceed the whole cost
    model.steps = pyo.Var(
        model.USERS,
        domain=pyo.NonNegativeIntegers,
        bounds=lambda _, i: (0, most[i]),
        doc="steps paid to user i",
    )
    model.whole_steps = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: m.pay[i] == step * m.steps[i],
        doc="(B4) whole steps",
    )


def add_groups(model: Model, instance: Instance) -> None:
    """Limits on a group's data, or on its share of the social cost."""
    if not (instance.group_least or instance.group_most):
        return
    runs = sum(model.reach[k] for k in model.LEVELS)
    whole = sum(model.cost[i] for i in model.USERS)

    def row(limits: Any, label: str, *, least: bool) -> Any:
        kind, limit = limits[label]
        mine = [i for i in model.USERS if instance.group[i] == label]
        if kind == "share":
            amount, bound = sum(model.cost[i] for i in mine), float(limit) * whole
        else:
            amount, bound = sum(model.burden[i] for i in mine), float(limit) * runs
        return amount >= bound if least else amount <= bound

    model.group_least = pyo.Constraint(
        list(instance.group_least),
        rule=lambda _, label: row(instance.group_least, label, least=True),
        doc="(B5) group, at least",
    )
    model.group_most = pyo.Constraint(
        list(instance.group_most),
        rule=lambda _, label: row(instance.group_most, label, least=False),
        doc="(B6) group, at most",
    )
    kinds = {kind for kind, _ in (*instance.group_least.values(), *instance.group_most.values())}
    if "share" in kinds and instance.widths.shape[1] > 1:
        add_order(model, instance)


def add_order(model: Model, instance: Instance) -> None:
    """full[i, j]: segment j is used up before the next, dearer one is begun."""
    inner = [(i, j) for i in model.USERS for j in model.SEGMENTS if j + 1 in model.SEGMENTS]
    model.full = pyo.Var(inner, domain=pyo.Binary, doc="segment j of user i is used up")
    model.first_full = pyo.Constraint(
        inner,
        rule=lambda m, i, j: m.give[i, j] >= float(instance.widths[i, j]) * m.full[i, j],
        doc="(B7) used up",
    )
    model.then_next = pyo.Constraint(
        inner,
        rule=lambda m, i, j: m.give[i, j + 1] <= float(instance.widths[i, j + 1]) * m.full[i, j],
        doc="(B7) then the next",
    )

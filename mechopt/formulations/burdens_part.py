"""Simultaneous withdrawal of any part, with payments, linear costs (F15).

The sheet is models/burdens-part/README.md; its tags are those of the components here.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from mechopt.errors import NotSupported
from mechopt.formulations import parts
from mechopt.formulations.parts import Model
from mechopt.problem.aims import leaving_loss
from mechopt.problem.instance import Instance


def build(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    target: float | None = None,
    transfers: bool = True,
) -> Model:
    """The MILP for all levels. Options as for `burdens.solve`; NotSupported for curved costs."""
    if not instance.linear:
        raise NotSupported("the formulation 'burdens-part' has linear costs; `solve` has any")
    model = parts.new_model(instance, "burdens-part")
    parts.add_levels(model, instance, objective, target)
    rate = (instance.cost * instance.slopes[:, 0]).tolist()
    cap = instance.capacity.tolist()
    model.give = pyo.Var(
        model.USERS, model.LEVELS, bounds=lambda _, i, k: (0, cap[i]), doc="(A2) data, if level k"
    )
    model.pay_at = pyo.Var(
        model.USERS,
        model.LEVELS,
        bounds=lambda _, i, k: (0, rate[i] * cap[i] if transfers else 0.0),
        doc="payment t_i if level k is reached, money",
    )
    model.burden = pyo.Expression(
        model.USERS, rule=lambda m, i: sum(m.give[i, k] for k in m.LEVELS)
    )
    model.cost = pyo.Expression(model.USERS, rule=lambda m, i: rate[i] * m.burden[i])
    model.pay = pyo.Expression(model.USERS, rule=lambda m, i: sum(m.pay_at[i, k] for k in m.LEVELS))
    model.capacity = pyo.Constraint(
        model.USERS,
        model.LEVELS,
        rule=lambda m, i, k: m.give[i, k] <= cap[i] * m.reach[k],
        doc="(A2) capacity, and nothing at a level that is not reached",
    )
    model.threshold = pyo.Constraint(
        model.LEVELS,
        rule=lambda m, k: (
            sum(m.give[i, k] for i in m.USERS) == float(instance.thresholds[k - 1]) * m.reach[k]
        ),
        doc="(A1) threshold",
    )
    model.participation = pyo.Constraint(
        model.USERS,
        model.LEVELS,
        rule=lambda m, i, k: (
            float(instance.value[i] * instance.share_at(k)) * m.reach[k] + m.pay_at[i, k]
            >= rate[i] * m.give[i, k]
        ),
        doc="(A3) participation",
    )
    add_obedience(model, instance, rate, cap)
    parts.add_budget(model, instance)
    parts.add_objective(model, instance, objective)
    return model


def add_obedience(model: Model, instance: Instance, rate: list[float], cap: list[float]) -> None:
    """Nobody gains by taking back what still leaves level m, for any m."""
    shares = {(k, m): leaving_loss(instance, k, m) for k in model.LEVELS for m in range(k + 1)}

    def amount(i: int, k: int, m: int) -> float:
        """D_m: what user i can take back with level m left; his capacity if that is all."""
        delta = float(instance.removable[i])
        if m == 0 or delta == 0:
            return cap[i]
        return min(cap[i], float(instance.thresholds[k - 1] - instance.thresholds[m - 1]) / delta)

    places = [
        (i, k, m)
        for i in model.USERS
        for k in model.LEVELS
        for m in range(k + 1)
        if amount(i, k, m) > 0
    ]
    model.STOPS = pyo.Set(dimen=3, initialize=places, doc="user, level, level settled for")
    model.BEYOND = pyo.Set(
        dimen=3,
        initialize=[place for place in places if amount(*place) < cap[place[0]]],
        within=model.STOPS,
        doc="where a burden can exceed what is taken back",
    )
    model.beyond = pyo.Var(model.BEYOND, domain=pyo.Binary, doc="the burden may exceed D_m")

    def held(m: Model, i: int, k: int, stop: int) -> Any:
        loss = float(shares[k, stop][i])
        return loss * m.reach[k] + m.pay_at[i, k]

    def recovered(i: int) -> float:
        return float(instance.reversibility[i]) * rate[i]

    model.whole = pyo.Constraint(
        model.STOPS,
        rule=lambda m, i, k, stop: (
            held(m, i, k, stop)
            >= recovered(i) * m.give[i, k]
            - (
                recovered(i) * (cap[i] - amount(i, k, stop)) * m.beyond[i, k, stop]
                if (i, k, stop) in m.BEYOND
                else 0.0
            )
        ),
        doc="(R1) all he could take back is not worth it",
    )
    model.part = pyo.Constraint(
        model.BEYOND,
        rule=lambda m, i, k, stop: (
            held(m, i, k, stop) >= recovered(i) * amount(i, k, stop) * m.beyond[i, k, stop]
        ),
        doc="(R2) nor is the part that leaves the level",
    )

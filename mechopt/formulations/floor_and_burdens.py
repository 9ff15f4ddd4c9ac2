"""Floor and burdens, one threshold: a price buys floors for certain, burdens come on top.

The sheet is models/floor-and-burdens/README.md; its tags are those of the components here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo

from mechopt.errors import NotSupported
from mechopt.formulations import parts
from mechopt.formulations.burdens import add_obedience
from mechopt.formulations.parts import Model
from mechopt.formulations.posted_price import refuse_large
from mechopt.problem.instance import Instance


def build(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    target: float | None = None,
    transfers: bool = True,
) -> Model:
    """The MILP over all candidate prices. Options as for `floor_and_burdens.solve`.

    Raises NotSupported for several thresholds, TooLarge above 1,000 users (solve needs no model).
    """
    if instance.levels > 1:
        raise NotSupported("the formulation has one threshold; `solve` takes several")
    refuse_large(instance, "floor-and-burdens")
    model = parts.new_model(instance, "floor-and-burdens")
    parts.add_burdens(model, instance)
    parts.add_payments(model, instance, transfers=transfers)
    parts.add_levels(model, instance, objective, target)
    parts.add_threshold(model, instance, 0.0)
    add_floors(model, instance)
    add_rights(model, instance)
    model.expenditure = pyo.Expression(
        expr=model.floor_payment + sum(model.pay[i] for i in model.USERS), doc="payments, money"
    )
    model.social_cost = pyo.Expression(expr=sum(model.cost[i] for i in model.USERS))
    if instance.budget < float("inf"):
        model.budget = pyo.Constraint(expr=model.expenditure <= instance.budget, doc="(A4) budget")
    parts.add_objective_of(model, instance, objective)
    return model


def add_floors(model: Model, instance: Instance) -> None:
    """One price; every segment that it pays for is given."""
    rate = instance.cost[:, None] * instance.slopes
    prices = np.append(0.0, np.unique(rate[instance.widths > 0])).tolist()
    model.PRICES = pyo.RangeSet(0, len(prices) - 1, doc="candidate prices p")
    model.choose = pyo.Var(model.PRICES, domain=pyo.Binary, doc="price p is paid for floors")
    model.one_price = pyo.Constraint(
        expr=sum(model.choose[p] for p in model.PRICES) == 1, doc="(P2) one price"
    )

    def bought(m: Model, i: int, j: int) -> Any:
        paid = [p for p in m.PRICES if p and rate[i, j] <= prices[p]]
        return float(instance.widths[i, j]) * sum(m.choose[p] for p in paid)

    model.floor = pyo.Constraint(
        model.USERS,
        model.SEGMENTS,
        rule=lambda m, i, j: m.give[i, j] >= bought(m, i, j),
        doc="(P1) floors are given",
    )
    model.floor_cost = pyo.Expression(
        model.USERS,
        rule=lambda m, i: sum(float(rate[i, j]) * bought(m, i, j) for j in m.SEGMENTS),
        doc="cost of the floor, money",
    )
    supply = [
        0.0 if not p else float(instance.widths[rate <= prices[p]].sum()) for p in model.PRICES
    ]
    model.floor_payment = pyo.Expression(
        expr=sum(prices[p] * supply[p] * model.choose[p] for p in model.PRICES),
        doc="paid for floors, money",
    )
    model.on_top = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: (
            m.burden[i] - sum(bought(m, i, j) for j in m.SEGMENTS)
            <= float(instance.capacity[i]) * m.reach[1]
        ),
        doc="(A6) nothing more unless the threshold is reached",
    )


def add_rights(model: Model, instance: Instance) -> None:
    """What is asked beyond the floor is worth it, and is not taken back."""
    model.participation = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: (
            float(instance.value[i]) * m.share + m.pay[i] >= m.cost[i] - m.floor_cost[i]
        ),
        doc="(A3) participation beyond the floor",
    )
    add_obedience(model, instance, lambda i: model.cost[i] - model.floor_cost[i])

"""Posted price: one price per data unit, users answer with their floor, payment in any case.

The candidate prices are 0 and every distinct θ_i · slope. Payments do not depend on `reach`: below
the threshold they leak. Equations: models/posted-price/README.md.
"""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo

from mechopt.errors import TooLarge
from mechopt.formulations import parts
from mechopt.formulations.parts import Model
from mechopt.problem.instance import Instance

MOST_USERS = 1_000  # floor[i, p] is dense: n² numbers


def build(
    instance: Instance, *, objective: str = "provider-surplus", target: float | None = None
) -> Model:
    """The MILP of the model. Raises TooLarge above 1,000 users (solve needs no model)."""
    refuse_large(instance, "posted-price")
    model = parts.new_model(instance, "posted-price")
    rate = instance.cost[:, None] * instance.slopes
    prices = np.append(0.0, np.unique(rate[instance.widths > 0]))
    model.PRICES = pyo.RangeSet(0, prices.size - 1, doc="candidate prices p")
    model.choose = pyo.Var(model.PRICES, domain=pyo.Binary, doc="price p is posted")
    model.give = pyo.Var(
        model.USERS,
        bounds=lambda _, i: (0, float(instance.capacity[i])),
        doc="(A2) data user i gives",
    )
    model.floor_response = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: (
            m.give[i]
            == sum(
                float(instance.widths[i][rate[i] <= prices[p]].sum()) * m.choose[p]
                for p in m.PRICES
            )
        ),
        doc="(P1) floor response",
    )
    model.one_price = pyo.Constraint(
        expr=sum(model.choose[p] for p in model.PRICES) == 1, doc="(P2) one price"
    )
    supplied = [instance.widths[rate <= price] for price in prices]
    add_offer(
        model,
        spent=[float(price * part.sum()) for price, part in zip(prices, supplied)],
        cost=[float((rate * instance.widths)[rate <= price].sum()) for price in prices],
    )
    parts.add_levels(model, instance, objective, target)
    parts.add_threshold(model, instance, 0.0)
    add_offer_budget(model, instance)
    parts.add_objective_of(model, instance, objective)
    return model


def refuse_large(instance: Instance, name: str) -> None:
    """TooLarge where every user meets every candidate offer too often."""
    if instance.n > MOST_USERS:
        raise TooLarge(
            f"the {name} model has {instance.n:,}² coefficients; the limit is "
            f"{MOST_USERS:,} users. `solve` needs no model"
        )


def add_offer(model: Model, *, spent: list[float], cost: list[float]) -> None:
    """Burdens, payments and social cost of the offer that is chosen."""
    offers = list(model.choose)
    model.burden = pyo.Expression(model.USERS, rule=lambda m, i: m.give[i])
    model.expenditure = pyo.Expression(
        expr=sum(spent[p] * model.choose[p] for p in offers), doc="payments, money"
    )
    model.social_cost = pyo.Expression(
        expr=sum(cost[p] * model.choose[p] for p in offers), doc="Σ C_i, money"
    )


def add_offer_budget(model: Model, instance: Instance) -> None:
    """Payments within the budget; no row if there is none."""
    if instance.budget < float("inf"):
        model.budget = pyo.Constraint(expr=model.expenditure <= instance.budget, doc="(A4) budget")

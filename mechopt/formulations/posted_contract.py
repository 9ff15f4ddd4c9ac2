"""Posted contract: q for everyone who gives at least f; even splits of a threshold.

Equations: models/posted-contract/README.md.
"""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo

from mechopt import tolerances
from mechopt.formulations import parts
from mechopt.formulations.parts import Model
from mechopt.formulations.posted_price import add_offer, add_offer_budget, refuse_large
from mechopt.problem.instance import Instance


def build(
    instance: Instance, *, objective: str = "provider-surplus", target: float | None = None
) -> Model:
    """The MILP over even-split contracts. Raises TooLarge above 1,000 users."""
    refuse_large(instance, "posted-contract")
    floors, pays, accepts, costs = [0.0], [0.0], [np.zeros(instance.n, dtype=bool)], [0.0]
    for threshold in instance.thresholds.tolist():
        for m in range(1, instance.n + 1):
            floor = threshold / m
            cost = instance.cost_of(np.full(instance.n, floor))
            able = instance.capacity >= floor * (1 - tolerances.REACH)
            if able.sum() < m:
                continue
            pay = float(np.sort(cost[able])[m - 1])
            floors.append(floor)
            pays.append(pay)
            accepts.append(able & (cost <= pay))
            costs.append(float(cost[accepts[-1]].sum()))
    model = parts.new_model(instance, "posted-contract")
    model.CONTRACTS = pyo.RangeSet(0, len(floors) - 1, doc="candidate contracts c; 0 = none")
    model.choose = pyo.Var(model.CONTRACTS, domain=pyo.Binary, doc="contract c is posted")
    model.give = pyo.Var(
        model.USERS,
        bounds=lambda _, i: (0, float(instance.capacity[i]) * (1 + tolerances.REACH)),
        doc="(A2) data user i gives",
    )
    model.acceptance = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: (
            m.give[i] == sum(floors[c] * m.choose[c] for c in m.CONTRACTS if accepts[c][i])
        ),
        doc="(Q1) acceptance",
    )
    model.one_contract = pyo.Constraint(
        expr=sum(model.choose[c] for c in model.CONTRACTS) == 1, doc="(Q2) one contract"
    )
    add_offer(
        model,
        spent=[pay * int(who.sum()) for pay, who in zip(pays, accepts)],
        cost=costs,
    )
    parts.add_levels(model, instance, objective, target)
    parts.add_threshold(model, instance, 0.0)
    add_offer_budget(model, instance)
    parts.add_objective_of(model, instance, objective)
    return model

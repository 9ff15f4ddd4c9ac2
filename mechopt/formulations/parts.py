"""Constraint families that several formulations share; one function per family.

Index sets: USERS i = 0..n-1, SEGMENTS j = 0..J-1, LEVELS k = 1..K (k = 0 is the null outcome:
all `reach[k]` are 0). Data in the instance's units, money likewise.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from mechopt import memory
from mechopt.errors import InvalidOption
from mechopt.problem.aims import MINIMISED, check_options
from mechopt.problem.instance import Instance

Model = Any  # pyomo.environ.ConcreteModel


def new_model(instance: Instance, name: str) -> Model:
    """An empty model with the index sets. TooLarge if the users alone are too many for Pyomo."""
    memory.refuse_beyond(
        f"formulation {name}",
        f"a Pyomo model of {instance.n:,} users with {instance.widths.shape[1]} cost segments",
        4 * memory.PER_COMPONENT * instance.widths.size,
        "`solve` needs no model",
    )
    model = pyo.ConcreteModel(name=name)
    model.USERS = pyo.RangeSet(0, instance.n - 1, doc="users i")
    model.SEGMENTS = pyo.RangeSet(0, instance.widths.shape[1] - 1, doc="cost segments j")
    model.LEVELS = pyo.RangeSet(1, instance.levels, doc="levels k; none reached = null outcome")
    return model


def add_burdens(model: Model, instance: Instance) -> None:
    """give[i, j]: data of user i on segment j, and with it burden and cost."""
    model.give = pyo.Var(
        model.USERS,
        model.SEGMENTS,
        bounds=lambda _, i, j: (0, float(instance.widths[i, j])),
        doc="(A2) data user i gives on segment j, within its width",
    )
    model.burden = pyo.Expression(
        model.USERS,
        rule=lambda m, i: sum(m.give[i, j] for j in m.SEGMENTS),
        doc="burden x_i, data",
    )
    model.cost = pyo.Expression(
        model.USERS,
        rule=lambda m, i: sum(
            float(instance.cost[i] * instance.slopes[i, j]) * m.give[i, j] for j in m.SEGMENTS
        ),
        doc="cost C_i(x_i), money",
    )


def add_payments(model: Model, instance: Instance, *, transfers: bool) -> None:
    """pay[i] ≥ 0, never more than the full cost of everything i could give."""
    most = instance.cost_of(instance.capacity)
    model.pay = pyo.Var(
        model.USERS,
        bounds=lambda _, i: (0, float(most[i]) if transfers else 0.0),
        doc="payment t_i, money",
    )


def add_levels(
    model: Model, instance: Instance, objective: str, target: float | None, reserve: float = 0.0
) -> None:
    """reach[k] ∈ {0, 1}: at most one level is chosen, and one that meets the target if any is.

    InvalidOption if the options are none.
    """
    lowest = check_options(instance, objective, target, reserve)
    model.reach = pyo.Var(model.LEVELS, domain=pyo.Binary, doc="level k is the one reached")
    model.one_level = pyo.Constraint(
        expr=sum(model.reach[k] for k in model.LEVELS) <= 1, doc="(A6) one level, or none"
    )
    model.share = pyo.Expression(
        expr=sum(float(instance.shares[k - 1]) * model.reach[k] for k in model.LEVELS),
        doc="share of the improvement reached",
    )
    if objective not in MINIMISED:
        return
    if lowest > instance.levels:
        raise InvalidOption(f"target: the highest share is {float(instance.shares[-1]):g}")
    if lowest:
        model.target = pyo.Constraint(
            expr=sum(model.reach[k] for k in model.LEVELS if k >= lowest) == 1,
            doc="(T1) the target share is reached",
        )


def add_threshold(model: Model, instance: Instance, reserve: float) -> None:
    """The total reaches the threshold of the chosen level, plus the reserve."""
    model.threshold = pyo.Constraint(
        expr=sum(model.burden[i] for i in model.USERS)
        >= sum(
            (float(instance.thresholds[k - 1]) + reserve) * model.reach[k] for k in model.LEVELS
        ),
        doc="(A1) threshold",
    )


def add_no_leakage(model: Model, instance: Instance) -> None:
    """Nothing is collected unless a level is reached (payments follow: they are minimised)."""
    model.no_leakage = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: (
            m.burden[i] <= float(instance.capacity[i]) * sum(m.reach[k] for k in m.LEVELS)
        ),
        doc="(A6) null outcome: nothing collected",
    )


def add_budget(model: Model, instance: Instance) -> None:
    """Payments within the budget; no row if there is none."""
    if instance.budget < float("inf"):
        model.budget = pyo.Constraint(
            expr=sum(model.pay[i] for i in model.USERS) + _contacts(model) <= instance.budget,
            doc="(A4) budget",
        )


def _contacts(model: Model) -> Any:
    """What asking costs, in models that know who is asked (docs: practice)."""
    return getattr(model, "contacts", 0.0)


def add_objective(model: Model, instance: Instance, objective: str) -> None:
    """The objective of section 4, with payments and cost summed over the users."""
    paid = sum(model.pay[i] for i in model.USERS)
    model.expenditure = pyo.Expression(expr=paid + _contacts(model))
    model.social_cost = pyo.Expression(expr=sum(model.cost[i] for i in model.USERS))
    add_objective_of(model, instance, objective)


def add_objective_of(model: Model, instance: Instance, objective: str) -> None:
    """The objective in terms of `share`, `expenditure` and `social_cost`."""
    provider, everyone = instance.provider_value, float(instance.value.sum())
    expressions = {
        "provider-surplus": (provider * model.share - model.expenditure, pyo.maximize),
        "welfare": (
            (provider + everyone) * model.share - model.social_cost - _contacts(model),
            pyo.maximize,
        ),
        "expenditure": (model.expenditure, pyo.minimize),
        "social-cost": (model.social_cost, pyo.minimize),
        "improvement": (model.share, pyo.maximize),
    }
    expression, sense = expressions[objective]
    model.objective = pyo.Objective(expr=expression, sense=sense, doc=f"(OBJ) {objective}")

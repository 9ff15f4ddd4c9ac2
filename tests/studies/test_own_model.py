"""Your own constraint: models of ours with rows of yours."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

import mechopt as mo


def crowd(n: int = 30, **terms: object) -> mo.Instance:
    rng = np.random.default_rng(5)
    return mo.Instance(
        cost=rng.lognormal(0, 0.5, n),
        value=rng.lognormal(1, 0.5, n),
        capacity=5.0,
        thresholds=[50.0],
        **terms,
    )


@pytest.mark.parametrize("name", ["burdens", "burdens-levels"])
def test_without_rows_of_yours_it_is_the_plan_of_solve(name: str) -> None:
    instance = crowd()
    model = mo.build_model(instance, name, objective="expenditure")
    plan = mo.solve_model(model)
    assert plan.status == "optimal"
    ours = mo.solve(instance, "burdens", objective="expenditure")
    assert plan.objective == pytest.approx(ours.objective, abs=1e-6)
    assert mo.audit(instance, plan).ok


def test_at_most_so_many_people() -> None:
    instance = crowd()
    model = mo.build_model(instance, "burdens-levels", objective="expenditure")
    model.asked = pyo.Var(model.USERS, domain=pyo.Binary)
    model.who = pyo.Constraint(
        model.USERS, rule=lambda m, i: m.burden[i] <= float(instance.capacity[i]) * m.asked[i]
    )
    model.at_most = pyo.Constraint(expr=pyo.quicksum(model.asked.values()) <= 11)
    plan = mo.solve_model(model)
    assert plan.status == "optimal"
    assert plan.burden is not None
    assert int((plan.burden > 0).sum()) <= 11
    assert plan.withdrawal().stable
    assert mo.audit(instance, plan).ok
    free = mo.solve(instance, "burdens", objective="expenditure")
    assert plan.objective > free.objective
    assert {"at_most"} < {row["name"].split("[")[0] for row in plan.details["own_rows"]}


def test_no_more_than_a_third_from_one_company() -> None:
    instance = crowd()
    firm = np.array(["north", "south", "south"])[np.arange(instance.n) % 3]
    model = mo.build_model(instance, "burdens-levels", objective="social-cost")
    total = pyo.quicksum(model.burden[i] for i in model.USERS)
    model.a_third = pyo.Constraint(
        ["north", "south"],
        rule=lambda m, one: 2 * sum(m.burden[i] for i in m.USERS if firm[i] == one) <= total,
    )
    plan = mo.solve_model(model)
    assert plan.status == "optimal"
    assert plan.burden is not None
    for one in ("north", "south"):
        assert plan.burden[firm == one].sum() <= 25 + 1e-6


def test_rows_that_cannot_be_met_are_infeasible() -> None:
    model = mo.build_model(crowd(), "burdens-levels", objective="expenditure")
    model.nobody = pyo.Constraint(expr=pyo.quicksum(model.burden[i] for i in model.USERS) <= 49)
    plan = mo.solve_model(model)
    assert plan.status == "infeasible"
    assert "yours included" in plan.reason


def test_an_objective_of_yours() -> None:
    instance = crowd()
    model = mo.build_model(instance, "burdens-levels", objective="expenditure")
    model.objective.deactivate()
    model.mine = pyo.Objective(expr=sum(model.burden[i] for i in range(5)), sense=pyo.maximize)
    plan = mo.solve_model(model)
    assert plan.objective_name is None
    assert plan.objective == pytest.approx(25)


def test_foreign_models_are_refused() -> None:
    with pytest.raises(mo.InvalidOption, match="build_model"):
        mo.solve_model(pyo.ConcreteModel())
    with pytest.raises(mo.NotSupported, match="posted-price"):
        mo.solve_model(mo.build_model(crowd(), "posted-price"))

"""Rows read directly are those of Pyomo's standard form; what is not simple is left to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

import mechopt as mo
from mechopt.solver import highs
from mechopt.solver.linear_rows import read_rows
from mechopt.studies import catalogue


def assert_same(model: Any) -> None:
    assert read_rows(model) is not None
    mine, pyomos = highs.from_pyomo(model), highs._from_standard_form(model)
    assert mine.column_names() == pyomos.column_names()
    assert mine.row_names() == pyomos.row_names()
    one, other = mine.program, pyomos.program
    assert (one.offset, one.maximize) == (other.offset, other.maximize)
    for field in ("start", "index", "lower", "upper"):
        assert (getattr(one, field) == getattr(other, field)).all(), field
    for field in ("cost", "value", "row_lower", "row_upper"):
        assert getattr(one, field) == pytest.approx(getattr(other, field), rel=1e-15), field
    assert np.array_equal(one.integer, other.integer) or one.integer is other.integer is None


@pytest.mark.parametrize("name", catalogue.names())
def test_every_formulation(name: str) -> None:
    model = catalogue.entry(name).model()
    if any(one.fixed for one in model.component_data_objects(pyo.Var)):
        assert read_rows(model) is None
    else:
        assert_same(model)


def test_random_models() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 5, 30):
        cost, value, capacity = rng.lognormal(0, 1, (3, n))
        top = float(capacity.sum())
        instance = mo.Instance(
            cost, value, capacity, [0.5 * top], provider_value=top, budget=top, removable=0
        )
        for objective in ("provider-surplus", "welfare", "expenditure"):
            assert_same(mo.build_model(instance, "burdens", objective=objective))


def simple() -> Any:
    model = pyo.ConcreteModel()
    model.x = pyo.Var([2, 0, 1], bounds=(0, 3))
    model.unused = pyo.Var()
    model.z = pyo.Var(domain=pyo.Binary)
    model.twice = pyo.Expression(expr=2 * (model.x[1] - 3 * model.z + 1))
    model.between = pyo.Constraint(expr=(1, model.x[0] + model.x[2] + model.x[0], 4))
    model.named = pyo.Constraint(expr=model.twice - 0.5 * model.twice <= 3 - model.x[0])
    model.gone = pyo.Constraint(expr=model.x[0] - model.x[0] + model.z >= 0.5)
    model.goal = pyo.Objective(expr=model.x[0] / 4 + -(model.twice) + 7, sense=pyo.maximize)
    return model


def test_duplicates_constants_and_named_expressions() -> None:
    model = simple()
    assert_same(model)
    del model.goal
    assert_same(model)


def test_left_to_pyomo() -> None:
    fixed = simple()
    fixed.x[2].fix(1.0)
    assert read_rows(fixed) is None
    assert highs.solve_model(fixed).status is mo.Status.OPTIMAL
    parameter = simple()
    parameter.p = pyo.Param(initialize=2.0, mutable=True)
    parameter.goal.set_value(parameter.p * parameter.x[0])
    assert read_rows(parameter) is None
    curved = simple()
    curved.goal.set_value(curved.x[0] * curved.x[1])
    assert read_rows(curved) is None
    special = simple()
    special.goal.set_value(special.x[0])
    special.sos = pyo.SOSConstraint(var=special.x, sos=1)
    assert read_rows(special) is None

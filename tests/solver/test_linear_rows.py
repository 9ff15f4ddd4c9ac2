"""What is read of a Pyomo model is what Pyomo's standard form says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

import mechopt as mo
from mechopt.solver import highs
from mechopt.studies import catalogue


def assert_same(model: Any) -> None:
    mine = highs.from_pyomo(model)
    form = LinearStandardFormCompiler().write(model, mixed_form=True, set_sense=None)
    # There a two-sided constraint is two adjacent rows with the same coefficients.
    rows = [row.constraint for row in form.rows]
    fresh = [place for place, row in enumerate(rows) if place == 0 or row is not rows[place - 1]]
    lower, upper = np.full(len(rows), -np.inf), np.full(len(rows), np.inf)
    for place, row in enumerate(form.rows):
        first = max(one for one in fresh if one <= place)
        if row.bound_type <= 0:
            lower[first] = form.rhs[place]
        if row.bound_type >= 0:
            upper[first] = form.rhs[place]
    matrix = form.A.tocsr()[fresh]
    matrix.sort_indices()
    program = mine.program
    assert mine.column_names() == [one.name for one in form.columns]
    assert mine.row_names() == [rows[place].name for place in fresh]
    assert (program.start == matrix.indptr).all()
    assert (program.index == matrix.indices).all()
    assert program.value == pytest.approx(matrix.data, rel=1e-15)
    assert program.row_lower == pytest.approx(lower[fresh], rel=1e-15)
    assert program.row_upper == pytest.approx(upper[fresh], rel=1e-15)
    for one, low, high in zip(form.columns, program.lower, program.upper):
        assert (low, high) == (
            -np.inf if one.lb is None else one.lb,
            np.inf if one.ub is None else one.ub,
        )
    whole = [not one.is_continuous() for one in form.columns]
    assert whole == (program.integer.tolist() if program.is_mip else [False] * len(whole))
    if form.objectives:
        assert program.cost == pytest.approx(form.c.toarray().reshape(-1), rel=1e-15)
        assert program.offset == form.c_offset[0]
        assert program.maximize == (form.objectives[0].sense == pyo.maximize)
    else:
        assert (not program.cost.any(), program.offset, program.maximize) == (True, 0.0, False)


@pytest.mark.parametrize("name", catalogue.names())
def test_every_formulation(name: str) -> None:
    assert_same(catalogue.entry(name).model())


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


def test_fixed_variables_and_parameters_are_numbers() -> None:
    fixed = simple()
    fixed.x[2].fix(1.0)
    fixed.limit = pyo.Param(initialize=2.0, mutable=True)
    fixed.within = pyo.Constraint(expr=fixed.x[0] + fixed.x[2] <= fixed.limit)
    fixed.goal.set_value(fixed.limit * fixed.x[0])
    read = highs.from_pyomo(fixed)  # by hand: Pyomo 6.9 shifts columns beside a fixed variable
    assert read.column_names() == ["x[0]", "x[1]", "z"]
    assert read.row_names() == ["between", "named", "gone", "within"]
    program = read.program
    rows = np.zeros((4, 3))
    rows[np.repeat(np.arange(4), np.diff(program.start)), program.index] = program.value
    assert rows.tolist() == [[2, 0, 0], [1, 1, -3], [0, 0, 1], [1, 0, 0]]
    assert program.row_lower.tolist() == [0, -np.inf, 0.5, -np.inf]
    assert program.row_upper.tolist() == [3, 2, np.inf, 1]
    assert (program.cost.tolist(), program.maximize) == ([2, 0, 0], True)
    fixed.free = pyo.Constraint(expr=fixed.x[2] <= 4)  # no variable is left in it
    assert "free" not in highs.from_pyomo(fixed).row_names()
    assert highs.solve_model(fixed).status is mo.Status.OPTIMAL
    fixed.broken = pyo.Constraint(expr=fixed.x[2] >= 4)
    assert highs.solve_model(fixed).status is mo.Status.INFEASIBLE


def test_what_highs_is_not_given() -> None:
    curved = simple()
    curved.goal.set_value(curved.x[0] * curved.x[1])
    with pytest.raises(mo.SolverError, match="goal: is not linear"):
        highs.from_pyomo(curved)
    special = simple()
    special.sos = pyo.SOSConstraint(var=special.x, sos=1)
    with pytest.raises(mo.SolverError, match="SOSConstraint"):
        highs.from_pyomo(special)
    two = simple()
    two.other = pyo.Objective(expr=two.z)
    with pytest.raises(mo.SolverError, match="second objective"):
        highs.from_pyomo(two)

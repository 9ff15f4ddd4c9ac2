"""One LP or MILP, given as arrays, through every tool's own modelling interface.

Each function takes a `LinearProgram`, writes the same columns and rows the way the tool wants
them, solves on one thread and returns the objective. What is timed includes writing the model and
excludes the import of the tool. MILP gaps are set to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import Any

import numpy as np

from mechopt.solver.highs import LinearProgram

Tool = Callable[[LinearProgram], float]


def highspy_arrays(program: LinearProgram) -> float:
    """highspy, one passModel."""
    import highspy

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = program.columns, program.rows
    lp.col_cost_, lp.offset_ = program.cost, program.offset
    lp.col_lower_, lp.col_upper_ = program.lower, program.upper
    lp.row_lower_, lp.row_upper_ = program.row_lower, program.row_upper
    lp.sense_ = highspy.ObjSense.kMaximize if program.maximize else highspy.ObjSense.kMinimize
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = program.columns, program.rows
    lp.a_matrix_.start_, lp.a_matrix_.index_ = program.start, program.index
    lp.a_matrix_.value_ = program.value
    if program.is_mip:
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(flag)] for flag in program.integer]
    highs = highspy.Highs()
    for name, setting in (("output_flag", False), ("threads", 1), ("mip_rel_gap", 0.0)):
        highs.setOptionValue(name, setting)
    highs.passModel(lp)
    highs.run()
    assert highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(highs.getInfo().objective_function_value)


def _rows(program: LinearProgram) -> Iterator[tuple[list[int], list[float], float, float]]:
    starts = program.start.tolist()
    index, value = program.index.tolist(), program.value.tolist()
    sides = zip(program.row_lower.tolist(), program.row_upper.tolist())
    for one, other, (low, high) in zip(starts, starts[1:], sides):
        yield index[one:other], value[one:other], low, high


def pyomo_model(program: LinearProgram) -> Any:
    """Rule-based Pyomo: a Var over columns, a Constraint over rows."""
    import pyomo.environ as pyo

    model = pyo.ConcreteModel()
    lower, upper = program.lower.tolist(), program.upper.tolist()
    bounds = [
        (None if low == -inf else low, None if high == inf else high)
        for low, high in zip(lower, upper)
    ]
    integer = np.zeros(program.columns, bool) if program.integer is None else program.integer
    domains = [pyo.Integers if flag else pyo.Reals for flag in integer.tolist()]
    model.x = pyo.Var(
        range(program.columns), bounds=lambda _, j: bounds[j], domain=lambda _, j: domains[j]
    )
    rows = list(_rows(program))

    def row(m: Any, i: int) -> Any:
        index, value, low, high = rows[i]
        body = sum(a * m.x[j] for j, a in zip(index, value))
        if low == high:
            return body == low
        if low == -inf:
            return body <= high
        return body >= low if high == inf else (low, body, high)

    model.rows = pyo.Constraint(range(program.rows), rule=row)
    cost = program.cost.tolist()
    model.goal = pyo.Objective(
        expr=sum(c * model.x[j] for j, c in enumerate(cost) if c) + program.offset,
        sense=pyo.maximize if program.maximize else pyo.minimize,
    )
    return model


def pyomo_appsi(program: LinearProgram) -> float:
    """Pyomo, SolverFactory("appsi_highs")."""
    import pyomo.environ as pyo

    model = pyomo_model(program)
    solver = pyo.SolverFactory("appsi_highs")
    solver.options.update({"threads": 1, "mip_rel_gap": 0.0})
    solver.solve(model)
    return float(pyo.value(model.goal))


def pyomo_newer(program: LinearProgram) -> float:
    """Pyomo, the redesigned interface of pyomo.contrib.solver."""
    import pyomo.environ as pyo
    from pyomo.contrib.solver.solvers.highs import Highs

    model = pyomo_model(program)
    Highs().solve(model, threads=1, rel_gap=0.0)
    return float(pyo.value(model.goal))


def mechopt_road(program: LinearProgram) -> float:
    """The same Pyomo model, through mechopt.solver.highs (standard form, one passModel)."""
    import pyomo.environ as pyo

    from mechopt.solver import highs

    with highs.paused_gc():
        model = pyomo_model(program)
    highs.solve_model(model)
    return float(pyo.value(model.goal))


def linopy(program: LinearProgram) -> float:
    """linopy, vectorised: rows of equal length as one array expression."""
    import linopy as lp
    import pandas as pd
    import xarray as xr

    model = lp.Model()
    columns = pd.RangeIndex(program.columns, name="column")
    kinds = program.integer if program.is_mip else np.zeros(program.columns, dtype=bool)
    names = np.zeros(program.columns, dtype=np.int64)
    for flag, name in ((False, "x"), (True, "y")):
        where = np.flatnonzero(kinds == flag)
        if where.size:
            index = columns[where]
            variable = model.add_variables(
                xr.DataArray(program.lower[where], coords=[index]),
                xr.DataArray(program.upper[where], coords=[index]),
                name=name,
                integer=flag,
            )
            names[where] = variable.labels.values
    length = np.diff(program.start)
    for terms in np.unique(length[length > 0]):
        rows = np.flatnonzero(length == terms)
        entry = program.start[rows][:, None] + np.arange(terms)
        low, high = program.row_lower[rows], program.row_upper[rows]
        for sign, mine, side in (
            ("=", low == high, high),
            ("<=", (low < high) & np.isfinite(high), high),
            (">=", (low < high) & np.isfinite(low), low),
        ):
            if not mine.any():
                continue
            picked = entry[mine]
            expression = lp.LinearExpression(
                xr.Dataset(
                    {
                        "coeffs": (("row", "_term"), program.value[picked]),
                        "vars": (("row", "_term"), names[program.index[picked]]),
                        "const": ("row", np.zeros(picked.shape[0])),
                    },
                    coords={"row": rows[mine]},
                ),
                model,
            )
            sides = xr.DataArray(side[mine], coords={"row": rows[mine]}, dims="row")
            model.add_constraints(expression, sign, sides)
    used = np.flatnonzero(program.cost)
    objective = lp.LinearExpression(
        xr.Dataset(
            {"coeffs": ("_term", program.cost[used]), "vars": ("_term", names[used]), "const": 0.0}
        ),
        model,
    )
    model.add_objective(objective, sense="max" if program.maximize else "min")
    model.solve("highs", io_api="direct", output_flag=False, threads=1, mip_rel_gap=0.0)
    return float(model.objective.value) + program.offset


def scipy_milp(program: LinearProgram) -> float:
    """scipy.optimize.milp (its own HiGHS)."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    sign = -1.0 if program.maximize else 1.0
    matrix = csr_array(
        (program.value, program.index, program.start), shape=(program.rows, program.columns)
    )
    found = milp(
        sign * program.cost,
        integrality=program.integer,
        bounds=Bounds(program.lower, program.upper),
        constraints=LinearConstraint(matrix, program.row_lower, program.row_upper),
        options={"mip_rel_gap": 0.0},
    )
    assert found.status == 0, found.message
    return sign * float(found.fun) + program.offset


def _ortools(program: LinearProgram, solver: str) -> float:
    from ortools.linear_solver.python import model_builder as builder

    model = builder.Model()
    flags = program.integer.tolist() if program.is_mip else [False] * program.columns
    columns = [
        model.new_var(low, high, flag, None)
        for low, high, flag in zip(program.lower.tolist(), program.upper.tolist(), flags)
    ]
    for index, value, low, high in _rows(program):
        body = builder.LinearExpr.weighted_sum([columns[j] for j in index], value)
        model.add_linear_constraint(body, low, high)
    goal = builder.LinearExpr.weighted_sum(columns, program.cost.tolist())
    model.maximize(goal) if program.maximize else model.minimize(goal)
    session = builder.Solver(solver)
    if solver == "SCIP":
        session.set_solver_specific_parameters("limits/gap = 0")
    status = session.solve(model)
    assert status == builder.SolveStatus.OPTIMAL, status
    return float(session.objective_value) + program.offset


def ortools_glop(program: LinearProgram) -> float:
    """OR-tools, GLOP."""
    return _ortools(program, "GLOP")


def ortools_pdlp(program: LinearProgram) -> float:
    """OR-tools, PDLP (first order: its optimum is good to about 1e-6 only)."""
    return _ortools(program, "PDLP")


def ortools_scip(program: LinearProgram) -> float:
    """OR-tools, its SCIP."""
    return _ortools(program, "SCIP")


def ortools_cpsat(program: LinearProgram) -> float:
    """OR-tools, CP-SAT: integer variables only, coefficients times 10 must be integers."""
    from ortools.sat.python import cp_model

    def integral(numbers: Any) -> list[int]:
        scaled = 10 * np.asarray(numbers, dtype=np.float64)
        whole = np.rint(scaled)
        assert np.allclose(scaled, whole, rtol=0, atol=1e-6), "coefficients are no tenths"
        return [int(number) for number in whole]

    def side(number: float) -> int:
        return integral([number])[0] if abs(number) < inf else (-FAR if number < 0 else FAR)

    model = cp_model.CpModel()
    columns = [
        model.new_int_var(int(low), int(min(high, FAR / 1e6)), "")
        for low, high in zip(program.lower.tolist(), program.upper.tolist())
    ]
    weighted_sum = cp_model.LinearExpr.weighted_sum
    for index, value, low, high in _rows(program):
        body = weighted_sum([columns[j] for j in index], integral(value))
        model.add_linear_constraint(body, side(low), side(high))
    goal = weighted_sum(columns, integral(program.cost))
    model.maximize(goal) if program.maximize else model.minimize(goal)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    status = solver.solve(model)
    assert status == cp_model.OPTIMAL, solver.status_name(status)
    return float(solver.objective_value) / 10 + program.offset


FAR = 10**15  # in place of infinite bounds of rows; columns without one may reach a millionth of it


def scip(program: LinearProgram) -> float:
    """SCIP through pyscipopt."""
    from pyscipopt import Model, quicksum

    model = Model()
    model.hideOutput()
    flags = program.integer.tolist() if program.is_mip else [False] * program.columns
    columns = [
        model.addVar(
            lb=None if low == -inf else low,
            ub=None if high == inf else high,
            vtype="I" if flag else "C",
            obj=c,
        )
        for low, high, flag, c in zip(
            program.lower.tolist(), program.upper.tolist(), flags, program.cost.tolist()
        )
    ]
    for index, value, low, high in _rows(program):
        body = quicksum(a * columns[j] for j, a in zip(index, value))
        if low == high:
            model.addCons(body == low)
            continue
        if low > -inf:
            model.addCons(body >= low)
        if high < inf:
            model.addCons(body <= high)
    model.setMaximize() if program.maximize else model.setMinimize()
    model.setParam("limits/gap", 0.0)
    model.optimize()
    assert model.getStatus() == "optimal", model.getStatus()
    return float(model.getObjVal()) + program.offset


LP_TOOLS: dict[str, Tool] = {
    "highspy arrays": highspy_arrays,
    "Pyomo appsi_highs": pyomo_appsi,
    "Pyomo newer HiGHS": pyomo_newer,
    "Pyomo mechopt road": mechopt_road,
    "linopy": linopy,
    "scipy milp": scipy_milp,
    "OR-tools GLOP": ortools_glop,
    "OR-tools PDLP": ortools_pdlp,
    "SCIP": scip,
}
MIP_TOOLS: dict[str, Tool] = {
    name: tool for name, tool in LP_TOOLS.items() if name not in ("OR-tools GLOP", "OR-tools PDLP")
} | {"OR-tools SCIP": ortools_scip}

"""The road from Pyomo to HiGHS: handing a built model over, and building, handing over, solving.

The model is the readable formulation of the direct mechanism (DSIC); every route gets the same one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from private_costs import SHAPES, population
from spec import OURS, Route, Spec

import mechopt as mo
from mechopt.private.direct import arrays as direct_arrays
from mechopt.private.direct.optimise import SETTINGS
from mechopt.problem.direct_terms import DirectTerms
from mechopt.solver import highs

SHAPES[969] = (16, 4)  # 13,400 rows
SIZES = (66, 286, 969, 3876)  # 3876: 65,000 rows


def build(problem: mo.Population) -> Any:
    return mo.build_model(problem, "direct-dsic")


def hand_over(model: Any) -> float:
    """Standard form, one passModel."""
    return float(highs.Session(highs.from_pyomo(model).program).program.rows)


def hand_over_appsi(model: Any) -> float:
    """appsi adds variables and constraints in portions; rows are what Pyomo calls constraints."""
    from pyomo.contrib.appsi.solvers import Highs

    solver = Highs()
    solver.set_instance(model)
    return float(solver._solver_model.getNumRow())


def hand_over_newer(model: Any) -> float:
    from pyomo.contrib.solver.solvers.highs import Highs

    solver = Highs()
    solver.set_instance(model)
    return float(solver._solver_model.getNumRow())


def hand_over_file(model: Any) -> float:
    """Pyomo writes an LP file, HiGHS reads it."""
    import highspy

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.lp")
        model.write(path)
        solver = highspy.Highs()
        solver.setOptionValue("output_flag", False)
        solver.readModel(path)
        return float(solver.getNumRow())


def hand_over_arrays(problem: mo.Population) -> float:
    """No Pyomo at all: what building the same rows as arrays and passing them takes."""
    return float(highs.Session(direct_arrays.build(problem, DirectTerms()).program).program.rows)


def by_road(problem: mo.Population) -> float:
    return highs.solve_model(build(problem), **SETTINGS).objective


def by_arrays(problem: mo.Population) -> float:
    return highs.solve(direct_arrays.build(problem, DirectTerms()).program, **SETTINGS).objective


def by_appsi(problem: mo.Population) -> float:
    import pyomo.environ as pyo

    model = build(problem)
    solver = pyo.SolverFactory("appsi_highs")
    solver.options.update({"threads": 1, "solver": "simplex"})
    solver.solve(model)
    return float(pyo.value(next(model.component_data_objects(pyo.Objective, active=True))))


def by_newer(problem: mo.Population) -> float:
    import pyomo.environ as pyo
    from pyomo.contrib.solver.solvers.highs import Highs

    model = build(problem)
    Highs().solve(model, threads=1, solver_options={"solver": "simplex"})
    return float(pyo.value(next(model.component_data_objects(pyo.Objective, active=True))))


HANDOFF = Spec(
    "handoff",
    "Handing a built Pyomo model to HiGHS (answer: rows)",
    "states",
    SIZES,
    (286, 969),
    population,
    {
        OURS: Route(hand_over, build),
        "Pyomo appsi_highs": Route(hand_over_appsi, build),
        "Pyomo newer HiGHS": Route(hand_over_newer, build),
        "LP file": Route(hand_over_file, build),
        "arrays, no Pyomo": Route(hand_over_arrays),
    },
)
TOTAL = Spec(
    "total",
    "Building, handing over and solving the direct mechanism",
    "states",
    SIZES,
    (286, 969),
    population,
    {
        OURS: Route(by_road),
        "arrays, no Pyomo": Route(by_arrays),
        "Pyomo appsi_highs": Route(by_appsi),
        "Pyomo newer HiGHS": Route(by_newer),
    },
)

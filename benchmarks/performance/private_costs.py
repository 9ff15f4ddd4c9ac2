"""Benchmarks with private costs: direct mechanisms (DSIC, BIC, closed form), and a sweep over V.

The other tools get the textbook model: payments as variables, every incentive pair a row.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tools
from spec import OURS, Route, Spec

import mechopt as mo
from mechopt.private.direct.optimise import optimise
from mechopt.problem.direct_terms import DirectTerms
from mechopt.solver import highs
from mechopt.solver.highs import LinearProgram

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "direct"))
import textbook

# (users, types) of each size: the size is the number of count states.
SHAPES = {
    6: (2, 3),
    21: (5, 3),
    66: (10, 3),
    286: (10, 4),
    816: (15, 4),
    861: (40, 3),
    1771: (20, 4),
    3876: (15, 5),
    10_626: (20, 5),
    46_376: (30, 5),
}
SWEEP = np.linspace(0.4, 1.0, 10)


def population(states: int, value: float = 0.4) -> mo.Population:
    """One group with evenly spaced costs; T = 3n/4."""
    n, m = SHAPES[states]
    group = mo.Group(n, np.linspace(0.3, 1.5, m), np.full(m, 1 / m), value, 4.0)
    return mo.Population([group], [0.75 * n], provider_value=0.8 * n)


def procurement(states: int) -> mo.Population:
    """No user values: the closed form applies."""
    return population(states, value=0.0)


def dsic(problem: mo.Population) -> float:
    return mo.solve(problem, "direct").objective


def our_lp(problem: mo.Population) -> float:
    """`direct` as it is without the closed form: the linear program, cleaned and audited."""
    return float(optimise(problem, DirectTerms()).objective or 0.0)


def bic(problem: mo.Population) -> float:
    return mo.solve(problem, "direct", incentive="bic", withdrawal_rights="truthful").objective


def textbook_bic(problem: mo.Population) -> LinearProgram:
    """The textbook DSIC arrays with their incentive rows averaged over the others' costs."""
    from scipy.sparse import csr_array, vstack

    program = textbook.arrays(problem)
    group, others = problem.groups[0], problem.states.others[0]
    pairs, faced = group.types * (group.types - 1), others.probability.size
    first = program.rows - pairs * faced
    matrix = csr_array(
        (program.value, program.index, program.start), shape=(program.rows, program.columns)
    )
    weights = csr_array(
        (
            np.tile(others.probability, pairs),
            np.arange(pairs * faced),
            faced * np.arange(pairs + 1),
        ),
        shape=(pairs, pairs * faced),
    )
    matrix = csr_array(vstack([matrix[:first], weights @ matrix[first:]]))
    return LinearProgram(
        cost=program.cost,
        start=matrix.indptr.astype(np.int32),
        index=matrix.indices.astype(np.int32),
        value=matrix.data,
        row_lower=np.append(program.row_lower[:first], np.zeros(pairs)),
        row_upper=np.append(program.row_upper[:first], np.full(pairs, np.inf)),
        lower=program.lower,
        upper=program.upper,
        maximize=True,
    )


def warm_sweep(problem: mo.Population) -> float:
    """Ten provider values, one LP re-solved from its last basis."""
    from sweep import sweep_provider_value

    values = (problem.n * SWEEP).tolist()
    return sum(one.objective for one in sweep_provider_value(problem, values))


def cold_sweep(problem: mo.Population) -> float:
    return sum(dsic(problem.replace(provider_value=v)) for v in (problem.n * SWEEP).tolist())


def array_sweep(problem: mo.Population) -> float:
    """The textbook arrays in highspy, costs changed in place."""
    import highspy

    program = textbook.arrays(problem)
    session = highs.Session(program)
    runs = np.arange(len(problem.states))
    total = 0.0
    for value in problem.n * SWEEP:
        session.highs.changeColsCost(
            runs.size, runs.astype(np.int32), value * problem.states.probability
        )
        session.highs.run()
        assert session.highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        total += session.highs.getInfo().objective_function_value
    return float(total)


def appsi_sweep(problem: mo.Population) -> float:
    """The textbook model in Pyomo, persistent appsi_highs, V a mutable parameter."""
    import pyomo.environ as pyo
    from pyomo.contrib.appsi.solvers import Highs

    model = textbook.pyomo_model(problem)
    model.V = pyo.Param(initialize=0.0, mutable=True)
    law = problem.states.probability.tolist()
    counts = problem.states.counts.tolist()
    model.surplus.deactivate()
    model.goal = pyo.Objective(
        expr=sum(
            law[s]
            * (
                model.V * model.p[s]
                - sum(counts[s][k] * model.t[s, k] for k in model.K if counts[s][k])
            )
            for s in model.S
        ),
        sense=pyo.maximize,
    )
    solver = Highs()
    total = 0.0
    for value in problem.n * SWEEP:
        model.V.value = float(value)
        solver.solve(model)
        total += pyo.value(model.goal)
    return float(total)


def _tools(arrays: Any, tolerance: float = 1e-6) -> dict[str, Route]:
    """Every tool on the textbook arrays; writing these arrays is part of the time."""

    def route(tool: tools.Tool) -> Any:
        return lambda problem: tool(arrays(problem))

    return {
        name: Route(route(tool), tolerance=1e-4 if "PDLP" in name else tolerance)
        for name, tool in tools.LP_TOOLS.items()
    }


def _states(problem: mo.Population) -> mo.Population:
    """A fresh copy, so that no route profits from states another has listed."""
    return problem.replace()


def _with_copy(routes: dict[str, Route]) -> dict[str, Route]:
    return {name: replace(route, prepare=_states) for name, route in routes.items()}


DSIC = Spec(
    "direct-dsic",
    "Direct mechanism, DSIC: provider surplus",
    "states",
    (6, 21, 66, 286, 816, 861, 1771, 3876, 10_626),
    (66, 286),
    population,
    _with_copy({OURS: Route(dsic), **_tools(textbook.arrays)}),
)
BIC = Spec(
    "direct-bic",
    "Direct mechanism, BIC with ex-post participation: provider surplus",
    "states",
    (6, 21, 66, 286, 816, 861, 1771, 3876),
    (66,),
    population,
    _with_copy({OURS: Route(bic), **_tools(textbook_bic)}),
)
CLOSED = Spec(
    "procurement",
    "Procurement without user values: closed form",
    "states",
    (6, 21, 66, 286, 816, 861, 1771, 3876, 10_626, 46_376),
    (66, 861),
    procurement,
    # Their objective is not scaled: at 10,626 states HiGHS is optimal to 5e-6 only.
    _with_copy(
        {
            OURS: Route(dsic),
            "mechopt, LP": Route(our_lp, tolerance=1e-8),
            **_tools(textbook.arrays, 1e-5),
        }
    ),
)
SWEEPS = Spec(
    "sweep",
    "Ten provider values, DSIC: sum of the optima",
    "states",
    (21, 66, 286, 816, 1771),
    (66,),
    population,
    _with_copy(
        {
            "mechopt, ten solves": Route(cold_sweep),
            OURS: Route(warm_sweep),
            # Unscaled: state probabilities fall below HiGHS' tolerance of 1e-7, so these are
            # optimal to about 1e-5 only.
            "highspy arrays, warm": Route(array_sweep, tolerance=1e-4),
            "Pyomo appsi, persistent": Route(appsi_sweep, tolerance=1e-4),
        }
    ),
)

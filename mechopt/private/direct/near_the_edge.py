"""Beyond the LP: the same LP on the states near the edge, all else as a known mechanism has it.

The bound by classes (`large.interim_bound`) says what running is worth in each state, and the rule
that follows it (`large.cutoff`) is right where that is far from 0 or the state is hardly ever met.
What is left free is run probability, burdens and access in the states nearest to 0, and the
utilities of everybody whom another report leads to one of them. Every row that holds a free column
is kept as it is, so the answer is a mechanism like any other, and audited as one. The states are as
many as it takes: twice as many each time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.errors import SolverError
from mechopt.private.direct.extract import AUDIT, extract, objective_of, verified
from mechopt.private.direct.layout import Layout
from mechopt.private.direct.optimise import SETTINGS, build_for
from mechopt.private.direct.units import in_units
from mechopt.problem.direct_size import predict_size
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population
from mechopt.problem.units import natural_population
from mechopt.solver import highs
from mechopt.solver.linear_program import LinearProgram

# From here on the LP takes minutes to hours, but with two types in all.
SLOW_ROWS = 150_000
FIRST = 500  # states free at first
_MOST_ROWS = 4_000_000  # of the LP that they are taken from: a gigabyte
_BUILDING = 3e-6  # seconds per row of it, at most
_MOST_STATES = 1 / 4  # of all: with more, the whole LP is as quick
_RARE = 1e-6  # probability of all the states that are never free


@dataclass(frozen=True)
class Sought:
    """When to stop: at this value (in the caller's money) or this time (`perf_counter`)."""

    value: float
    ends: float


def applies(population: Population, terms: DirectTerms) -> bool:
    """Whether the LP is slow, but small enough to take parts of it, and its rows are of states."""
    known = terms.incentive == "dsic" and terms.transfers and terms.randomized
    return known and SLOW_ROWS < predict_size(population, terms).rows <= _MOST_ROWS


def improved(known: DirectMechanism, worth: FloatArray, sought: Sought) -> DirectMechanism:
    """The best mechanism found from `known`, audited; `known` itself, as it is, if none is better.

    :worth: of running in each state, money, shape (S,): states are freed where it is near 0

    Needs the terms that `applies` asks for, one threshold, linear costs and no budgets.
    """
    found, units = 0, natural_population(known.population)

    def better(scaled: Population) -> DirectMechanism:
        nonlocal found
        _, burden, payment = known._answer()
        start = known.replace(
            population=scaled,
            burden=burden / units.data,
            payment=payment / units.money,
            objective=objective_of(known) / units.money,
        )
        made = _searched(start, worth, replace(sought, value=sought.value / units.money))
        found = made.details.get("free_states", 0)
        return made

    if perf_counter() + _BUILDING * predict_size(known.population, known.terms).rows > sought.ends:
        return known
    answer = in_units(known.population, better)
    return answer if found else known


def _searched(known: DirectMechanism, worth: FloatArray, sought: Sought) -> DirectMechanism:
    """The LP with ever more free states, each time from the best known."""
    population, terms = known.population, known.terms
    built = build_for(population, terms)
    x, order = _columns_of(built.layout, known), _order(known, worth)
    best, number = known, FIRST
    while perf_counter() < sought.ends:
        free = np.zeros(worth.size, dtype=bool)
        free[order[:number]] = True
        columns = _free_columns(built.layout, free)
        program = restricted(built.program, x, columns)
        left = max(0.0, sought.ends - perf_counter())
        try:
            # Presolved, such a part ended without a verdict in two of three runs.
            found = highs.solve(program, time_limit=left, presolve="off", **SETTINGS)
        except SolverError:
            break
        if found.x is None:
            break
        point = x.copy()
        point[columns] = found.x
        about = {"solver": highs.version(), "seed": known.seed}
        made = verified(population, terms, extract(built.layout, point), about)
        value = objective_of(made)
        if made.details["violation"] <= AUDIT and value > (best.objective or 0.0):
            details = {**made.details, "free_states": int(free.sum())}
            best, x = made.replace(objective=value, status=known.status, details=details), point
        number *= 2
        if value >= sought.value or number > _MOST_STATES * order.size:
            break
    return best


def _order(known: DirectMechanism, worth: FloatArray) -> IntArray:
    """The states that may be free, the likeliest and nearest to the edge first.

    Unweighted by √q the first thousand of 135,751 states were mostly rare ones, of no use. Where
    the mechanism runs although it should not, or the reverse, and that costs a
    thousandth of all such, a state counts as at the edge.
    """
    chance = known.population.states.probability
    rare = np.argsort(chance, kind="stable")
    rare = rare[np.cumsum(chance[rare]) < _RARE]
    wrong = np.isfinite(worth) & ((worth > 0) != (known._answer()[0][:, 0] > 0.5))
    loss = np.where(wrong, chance, 0.0) * np.where(wrong, np.abs(worth), 0.0)
    away = np.abs(worth) / np.sqrt(np.maximum(chance, tolerances.TINY))
    away[loss > loss.sum() / 1000] = 0.0
    away[rare] = away[~np.isfinite(worth)] = inf
    order = np.argsort(away, kind="stable")
    return order[: int(np.isfinite(away).sum())]


def _columns_of(layout: Layout, known: DirectMechanism) -> FloatArray:
    """The mechanism as a point of the LP, shape (columns,)."""
    run, burden, payment = known._answer()
    x, cells = np.zeros(layout.columns), np.arange(layout.C)
    at = layout.space.cell_state, 0, layout.space.cell_type
    chance = run[layout.space.cell_state, 0]
    entered = chance if known.access is None else known.access[at]
    worth = layout.value * layout.b[0] * entered
    x[layout.p(0, np.arange(layout.S))] = run[:, 0]
    x[layout.y(0, 0, cells)] = burden[at]
    x[layout.u_start + cells] = payment[at] + worth - layout.theta * layout.slope[:, 0] * burden[at]
    x[layout.a_start : layout.w_start] = entered[layout.barred]
    return x


def _free_columns(layout: Layout, free: BoolArray) -> BoolArray:
    """Outcomes in the free states (S,) and utilities on all chains through them, (columns,)."""
    space, chosen = layout.space, np.zeros(layout.columns, dtype=bool)
    mine = np.flatnonzero(free[space.cell_state])
    chosen[layout.p(0, np.flatnonzero(free))] = True
    chosen[layout.y(0, 0, mine)] = True
    chosen[layout.access(0, mine)] = True
    for g, others in enumerate(space.others):
        touched = others.state[free[others.state].any(axis=1)]
        types = layout.population.first_type[g] + np.arange(touched.shape[1])
        chosen[layout.u_start + space.cell[touched, types]] = True
    return chosen


def restricted(program: LinearProgram, x: FloatArray, free: BoolArray) -> LinearProgram:
    """The program in its `free` columns (n,), the others as in `x`, with the rows that hold one.

    A row that `x` misses by rounding is as wide as that: `x` stays a point of it.
    """
    row = np.repeat(np.arange(program.rows), np.diff(program.start))
    mine, part = free[program.index], program.value * x[program.index]
    size = np.bincount(row[mine], minlength=program.rows)
    kept = size > 0
    fixed = np.bincount(row[~mine], part[~mine], minlength=program.rows)[kept]
    moved = np.bincount(row[mine], part[mine], minlength=program.rows)[kept]
    return replace(
        program,
        cost=program.cost[free],
        start=np.concatenate([[0], np.cumsum(size[kept])]).astype(np.int32),
        index=(np.cumsum(free) - 1)[program.index[mine]].astype(np.int32),
        value=program.value[mine],
        row_lower=np.minimum(program.row_lower[kept] - fixed, moved),
        row_upper=np.maximum(program.row_upper[kept] - fixed, moved),
        lower=np.minimum(program.lower, x)[free],
        upper=np.maximum(program.upper, x)[free],
    )

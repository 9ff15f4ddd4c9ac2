"""The direct-mechanism problem as arrays: the production path, one LinearProgram per call.

Here are the rows about outcomes (D1, D2, D7, F14), the objective, the bounds and `build`; columns
and terms are in `layout`, the users' rows in `incentives`. The readable twin is
`mechopt.formulations.direct`; tests prove the two to be one model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

import numpy as np

from mechopt.arrays import FloatArray, IntArray
from mechopt.private.direct.incentives import add_incentives, add_obedience, add_participation
from mechopt.private.direct.layout import (
    EXPECTATION,
    Layout,
    Rows,
    Term,
    access_term,
    burden_terms,
    payment_terms,
    run_term,
    shape_terms,
)
from mechopt.problem.direct_terms import DirectTerms, payment_bounds
from mechopt.problem.population import Population
from mechopt.solver.highs import LinearProgram

# Relative distance kept from an open end of a stretch of burdens: at the end itself the user who
# leaves would not drop a level. Far above the solver's tolerance.
STRICT = 1e-6


# -- row families, in the order of the sheet ------------------------------------------------------


def add_threshold(layout: Layout, rows: Rows) -> None:
    """(D1) Σ_i x_i(ω) = T_k p_k(ω)."""
    cells, states = np.arange(layout.C), np.arange(layout.S)
    for k, threshold in enumerate(layout.population.thresholds):
        one = [(states, layout.p(k, states), np.full(layout.S, -threshold))]
        held = layout.space.cell_state
        one += burden_terms(layout, k, held, cells, layout.count)
        rows.add("D1 threshold", layout.S, 0, 0, one)


def add_capacity(layout: Layout, rows: Rows) -> None:
    """(D2) y_j ≤ width_j p, where D1 does not already imply it."""
    for k, threshold in enumerate(layout.population.thresholds):
        for j in range(layout.J):
            real = layout.width[:, j] > 0
            cells = np.flatnonzero(real & (layout.width[:, j] * layout.count < threshold))
            at = np.arange(cells.size)
            rows.add(
                "D2 capacity",
                cells.size,
                -inf,
                0,
                [
                    (at, layout.y(k, j, cells), np.ones(cells.size)),
                    *run_term(layout, k, at, cells, -layout.width[cells, j]),
                ],
            )


def add_payments(layout: Layout, rows: Rows) -> None:
    """(D2) t ≥ 0, nothing paid in the null outcome (t ≤ t̄ p), budgets."""
    if not layout.terms.transfers:
        return
    cells, states = np.arange(layout.C), np.arange(layout.S)
    population, space = layout.population, layout.space
    for k in range(layout.K):
        rows.add("D2 payment", layout.C, 0, inf, payment_terms(layout, k, cells, cells, 1.0))
    if population.budget < inf:
        for k in range(layout.K):
            terms = payment_terms(layout, k, space.cell_state, cells, layout.count)
            terms.append((states, layout.p(k, states), np.full(layout.S, -population.budget)))
            rows.add("D2 budget", layout.S, -inf, 0, terms)
    else:
        for k in range(layout.K):
            most = payment_bounds(population, k)[layout.group]
            terms = payment_terms(layout, k, cells, cells, 1.0)
            terms += run_term(layout, k, cells, cells, -most)
            rows.add("D2 null", layout.C, -inf, 0, terms)
    if population.expected_budget < inf:
        weight = EXPECTATION * space.probability[space.cell_state] * layout.count
        at = np.zeros(layout.C, dtype=np.int64)
        spent = [t for k in range(layout.K) for t in payment_terms(layout, k, at, cells, weight)]
        top = EXPECTATION * population.expected_budget
        rows.add("D2 expected budget", 1, -inf, top, spent)


def add_access(layout: Layout, rows: Rows) -> None:
    """(F14) (1 − η) p ≤ a ≤ p, where users can be excluded."""
    cells = layout.barred
    at = np.arange(cells.size)
    for k in range(layout.K):
        more = access_term(layout, k, at, cells, 1.0)
        rows.add("F14 access", at.size, -inf, 0, [*more, *run_term(layout, k, at, cells, -1.0)])
        some = layout.eta[cells] < 1  # for η = 1 the bound a ≥ 0 says it
        mine, place = cells[some], np.arange(int(some.sum()))
        least = run_term(layout, k, place, mine, -(1 - layout.eta[mine]))
        more = access_term(layout, k, place, mine, 1.0)
        rows.add("F14 access", place.size, 0, inf, [*more, *least])


def add_lottery(layout: Layout, rows: Rows) -> None:
    """(D2) Σ_k p_k ≤ 1; with one level this is a bound."""
    if layout.K > 1:
        states = np.arange(layout.S)
        one = np.ones(layout.S)
        every = [(states, layout.p(k, states), one) for k in range(layout.K)]
        rows.add("D2 lottery", layout.S, -inf, 1, every)


def add_floor(layout: Layout, rows: Rows, floor: float) -> None:
    """E[B(X)] ≥ floor."""
    states = np.arange(layout.S)
    at = np.zeros(layout.S, dtype=np.int64)
    weight = EXPECTATION * layout.space.probability
    terms = [(at, layout.p(k, states), weight * layout.b[k]) for k in range(layout.K)]
    rows.add("target", 1, EXPECTATION * floor, inf, terms)


def add_stretches(layout: Layout, rows: Rows) -> IntArray:
    """(D5) The exact loss for K > 1: one binary per cell, level k ≥ 2 and stretch of burdens.

    A user who leaves level k with burden x drops to level m where T_m ≤ T_k − δ x < T_{m+1}, so x
    lies in one of k stretches. h_m = p on the one chosen, 0 elsewhere; the strict inequality is
    kept by STRICT. Returns the binaries.
    """
    binaries: list[IntArray] = []
    rho_value = (layout.rho > 0) & (layout.value > 0) & ~layout.fixed
    cells = np.flatnonzero(rho_value)
    at = np.arange(cells.size)
    one = np.ones(cells.size)
    removable = layout.population.of_type("removable")[layout.space.cell_type[cells]]
    edges = np.concatenate([[0.0], layout.population.thresholds])  # T_0 = 0, T_1, …, T_K
    for k in range(1, layout.K if cells.size else 0):
        held = np.full((k + 1, layout.C), -1, dtype=np.int64)
        total = run_term(layout, k, at, cells, -1.0)
        chosen: list[Term] = []
        least = burden_terms(layout, k, at, cells, 1.0)
        most = burden_terms(layout, k, at, cells, 1.0)
        for m in range(k + 1):
            held[m, cells] = layout.columns + at
            flag = layout.columns + cells.size + at
            layout.columns += 2 * cells.size
            binaries.append(flag)
            here = held[m, cells]
            low = 0.0 if m == k else (edges[k + 1] - edges[m + 1]) * (1 + STRICT)
            total.append((at, here, one))
            chosen.append((at, flag, one))
            least.append((at, here, -low / removable))
            most.append((at, here, -(edges[k + 1] - edges[m]) / removable))
            rows.add("D5 stretch", at.size, -inf, 0, [(at, here, one), (at, flag, -one)])
        rows.add("D5 stretch", at.size, 0, 0, total)
        rows.add("D5 stretch", at.size, 1, 1, chosen)
        rows.add("D5 stretch", at.size, 0, inf, least)
        rows.add("D5 stretch", at.size, -inf, 0, most)
        layout.stretch[k] = held
    return np.concatenate(binaries) if binaries else np.zeros(0, dtype=np.int64)


def add_segment_order(layout: Layout, rows: Rows) -> IntArray:
    """Segment j + 1 is used only if j is full: one binary per cell and step; returns them."""
    binaries: list[IntArray] = []
    cells = np.arange(layout.C)
    for k in range(layout.K):
        for j in range(layout.J - 1):
            some = cells[layout.width[:, j + 1] > 0]
            at = np.arange(some.size)
            full = layout.columns + at
            layout.columns += some.size
            binaries.append(full)
            this, after = layout.width[some, j], layout.width[some, j + 1]
            fill = [(at, layout.y(k, j, some), np.ones(some.size)), (at, full, -this)]
            fill += run_term(layout, k, at, some, -this)
            rows.add("D2 segment full", some.size, -this, inf, fill)
            use = [(at, layout.y(k, j + 1, some), np.ones(some.size)), (at, full, -after)]
            rows.add("D2 segment next", some.size, -inf, 0, use)
    return np.concatenate(binaries) if binaries else np.zeros(0, dtype=np.int64)


# -- objective, bounds, program -------------------------------------------------------------------


def objective_costs(
    layout: Layout, objective: str, provider_value: float, law: FloatArray | None = None
) -> FloatArray:
    """Coefficients of the objective, shape (columns,); maximised unless it is a cost.

    :law: probabilities of the states, shape (S,), if they are not the population's
    """
    space, population = layout.space, layout.population
    states, cells = np.arange(layout.S), np.arange(layout.C)
    law = space.probability if law is None else law
    weight = law[space.cell_state] * layout.count
    costs = np.zeros(layout.columns)
    at = np.zeros(layout.C, dtype=np.int64)

    def put(terms: Iterable[Term]) -> None:
        for _, columns, coefficients in terms:
            use = columns >= 0
            np.add.at(costs, columns[use], coefficients[use])

    enjoyed = population.users_value
    for k in range(layout.K):
        here = layout.p(k, states)
        share = law * layout.b[k]
        if objective == "improvement":
            costs[here] += share
        elif objective == "provider-surplus":
            costs[here] += provider_value * share
            if layout.terms.transfers:
                put(payment_terms(layout, k, at, cells, -weight))
        elif objective == "welfare":
            costs[here] += provider_value * share
            if layout.barred.size:
                put(access_term(layout, k, at, cells, weight * layout.value * layout.b[k]))
            else:
                costs[here] += enjoyed * share
            put(shape_terms(layout, k, at, cells, -weight * layout.theta))
        elif objective == "social-cost":
            put(shape_terms(layout, k, at, cells, weight * layout.theta))
        elif layout.terms.transfers:  # expenditure
            put(payment_terms(layout, k, at, cells, weight))
    return costs


def column_bounds(layout: Layout) -> tuple[FloatArray, FloatArray]:
    """Lower and upper bounds, shape (columns,); y ≤ min(width, T_k / count)."""
    lower, upper = np.full(layout.columns, -inf), np.full(layout.columns, inf)
    lower[: layout.u_start] = 0.0
    upper[: layout.y_start] = 1.0
    cells = np.arange(layout.C)
    for k, threshold in enumerate(layout.population.thresholds):
        for j in range(layout.J):
            some = cells[layout.width[:, j] > 0]
            top = np.minimum(layout.width[some, j], threshold / layout.count[some])
            upper[layout.y(k, j, some)] = top
        if layout.terms.transfers:
            bounded = np.full(layout.C, layout.terms.participation == "ex-post")
            if layout.terms.obedient:
                bounded |= (layout.rho == 1) & (layout.keep(k, cells) == 0)
            start = layout.u_start + k * layout.C
            lower[start : start + layout.C] = np.where(bounded, 0.0, -inf)
    lower[layout.a_start : layout.w_start], upper[layout.a_start : layout.w_start] = 0.0, 1.0
    return lower, upper


def implied_bounds(layout: Layout, program: LinearProgram) -> tuple[FloatArray, FloatArray]:
    """Bounds of the columns with those that rows imply where there are none, shape (columns,).

    A utility lies between minus the dearest cost and value plus the most paid; so does what a
    misreporter gets, which no row keeps above the better of staying and leaving.
    """
    population = layout.population
    top = min(float(population.thresholds[-1]), max(g.capacity for g in population.groups))
    cost = max(float(g.costs[-1] * g.slopes[-1]) for g in population.groups) * top
    paid = 0.0
    if layout.terms.transfers:
        most = max(float(payment_bounds(population, k).max()) for k in range(layout.K))
        paid = min(population.budget, most)
    far = cost + paid + max(float(g.value) for g in population.groups)
    return np.maximum(program.lower, -far), np.minimum(program.upper, far)


@dataclass(frozen=True, eq=False)
class DirectProgram:
    """The linear program, its layout, how many rows each family has, and where they are."""

    program: LinearProgram
    layout: Layout
    families: dict[str, int]
    floor_row: int | None
    names: list[tuple[str, int, int]]


def build(
    population: Population,
    terms: DirectTerms,
    *,
    pairs: str = "adjacent",
    floor: float | None = None,
    ordered: bool = False,
    kept: float = 1.0,
) -> DirectProgram:
    """The direct-mechanism problem as one LinearProgram.

    :pairs: "adjacent" or "all" incentive rows under DSIC (with θ g linear in θ they are
        equivalent: single crossing). floor : adds the row E[B] ≥ floor (−inf: a free row, to be
        tightened later); `terms.target` is the default. ordered : binaries that fill segments in
        order. kept : the part of b_{k−1} that whoever leaves level k is taken to enjoy (1: at most
        that, the safe reading; 0: a relaxation).
    """
    layout, rows = Layout(population, terms, kept), Rows()
    add_threshold(layout, rows)
    add_capacity(layout, rows)
    add_access(layout, rows)
    add_lottery(layout, rows)
    add_payments(layout, rows)
    exact = terms.levels == "exact" and terms.obedient
    stretches = add_stretches(layout, rows) if exact else np.zeros(0, dtype=np.int64)
    held = slice(layout.w_start, layout.columns)
    add_incentives(layout, rows, pairs)
    add_participation(layout, rows)
    add_obedience(layout, rows)
    binaries = add_segment_order(layout, rows) if ordered else np.zeros(0, dtype=np.int64)
    floor = terms.target if floor is None else floor
    floor_row = None
    if floor is not None:
        floor_row = rows.count
        add_floor(layout, rows, floor)
    lower, upper = column_bounds(layout)
    lower[held], upper[held] = 0.0, 1.0
    lower[binaries], upper[binaries] = 0.0, 1.0
    integer = np.zeros(layout.columns, dtype=bool)
    integer[binaries] = integer[stretches] = True
    integer[: layout.y_start] = not terms.randomized
    matrix = rows.matrix(layout.columns)
    program = LinearProgram(
        cost=objective_costs(layout, terms.objective, population.provider_value),
        start=matrix.indptr.astype(np.int32),
        index=matrix.indices.astype(np.int32),
        value=matrix.data,
        row_lower=np.concatenate(rows.lower),
        row_upper=np.concatenate(rows.upper),
        lower=lower,
        upper=upper,
        integer=integer if integer.any() else None,
        maximize=terms.maximise,
    )
    return DirectProgram(program, layout, rows.families, floor_row, rows.names)

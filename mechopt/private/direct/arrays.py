"""The direct-mechanism problem as arrays: the production path, one LinearProgram per call.

Columns, K levels, S states, C cells (state, type), J_g segments of group g:

    p[k, ω]      probability that level k is run in state ω
    y[k, j, c]   burden of a user of cell c on segment j, times p      (x = Σ_j y_j)
    u[k, c]      utility of a truthful user of cell c from level k, times p; without transfers
                 it is v b_k a − θ g and is substituted out
    a[k, c]      access of a user of cell c to level k, times p, in [(1 − η) p, p] (F14); p itself,
                 and no variable, where nobody can be excluded
    w[k, d]      utility of a misreporter who may withdraw (D6), per deviation d = (cell, true type)

Payments are not variables: t = u + θ Σ_j s_j y_j − v b_k a. Two numbers describe withdrawal at
level k: *keep* = v b_{k−1} (what the user who leaves still enjoys at most, the safe reading of
FORMULATION section 5; v b_k if nothing of his is removable) and (1 − ρ) θ g, what is sunk.
The readable twin is `mechopt.formulations.direct`; tests prove the two to be one model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from mechopt.arrays import FloatArray, IntArray
from mechopt.problem.direct_terms import DirectTerms, payment_bounds
from mechopt.problem.population import Population
from mechopt.solver.highs import LinearProgram

# Rows that are expectations have coefficients down to the smallest state probability; HiGHS drops
# those below small_matrix_value, so such rows are multiplied by this before they are passed.
EXPECTATION = 1e4
# Relative distance kept from an open end of a stretch of burdens: at the end itself the user who
# leaves would not drop a level. Far above the solver's tolerance.
STRICT = 1e-6


class Layout:
    """Where each variable of the sheet lives among the columns."""

    def __init__(self, population: Population, terms: DirectTerms, kept: float = 1.0) -> None:
        self.population, self.terms, self.kept = population, terms, kept
        self.space = space = population.states
        self.K, self.S, self.C = population.levels, len(space), space.cells
        self.M = population.type_costs.size
        self.b = population.shares
        self.b_below = np.concatenate([[0.0], self.b[:-1]])
        group = population.group_of_type[space.cell_type]
        self.group = group
        self.theta = population.type_costs[space.cell_type]
        self.count = space.cell_count.astype(np.float64)
        self.value = population.of_type("value")[space.cell_type]
        self.eta = population.of_type("exclusion")[space.cell_type]
        self.rho = population.of_type("reversibility")[space.cell_type]
        self.fixed = population.of_type("removable")[space.cell_type] == 0
        self.J = max(g.widths.size for g in population.groups)
        shape = (len(population.groups), self.J)
        widths, slopes = np.zeros(shape), np.zeros(shape)
        for number, g in enumerate(population.groups):
            widths[number, : g.widths.size] = g.widths
            slopes[number, : g.slopes.size] = g.slopes
        self.width, self.slope = widths[group], slopes[group]  # (C, J), 0 where no segment
        self._place_columns()

    def _place_columns(self) -> None:
        self.segment_place = np.full((self.C, self.J), -1, dtype=np.int64)
        real = self.width.T > 0  # (J, C): segment-major, as the columns run
        self.Y = int(real.sum())
        self.segment_place.T[real] = np.arange(self.Y)
        self.y_start = self.K * self.S
        self.u_start = self.y_start + self.K * self.Y
        self.a_start = self.u_start + (self.K * self.C if self.terms.transfers else 0)
        self.barred = np.flatnonzero(
            (self.eta > 0) & (self.value > 0)
        )  # cells with access of its own
        self.access_place = np.full(self.C, -1, dtype=np.int64)
        self.access_place[self.barred] = np.arange(self.barred.size)
        self.w_start = self.a_start + self.K * self.barred.size
        self.columns = self.w_start
        # level -> column of run probability with stretch m, (k + 1, C), −1 where the safe loss is
        # the loss (see add_stretches)
        self.stretch: dict[int, IntArray] = {}

    def p(self, k: int, states: IntArray) -> IntArray:
        return k * self.S + states

    def access(self, k: int, cells: IntArray) -> IntArray:
        place = self.access_place[cells]
        own = self.a_start + k * self.barred.size + place
        return np.where(place >= 0, own, self.p(k, self.space.cell_state[cells]))

    def y(self, k: int, j: int, cells: IntArray) -> IntArray:
        place = self.segment_place[cells, j]
        return np.where(place >= 0, self.y_start + k * self.Y + place, -1)

    def keep(self, k: int, cells: IntArray) -> FloatArray:
        """What a user of the cell still enjoys at most after leaving level k, money."""
        share = np.where(self.fixed[cells], self.b[k], self.kept * self.b_below[k])
        return (1 - self.eta[cells]) * self.value[cells] * share


Term = tuple[IntArray, IntArray, FloatArray]  # rows, columns, coefficients


@dataclass
class Rows:
    """Rows under construction, in the order they are added."""

    count: int = 0
    terms: list[Term] = field(default_factory=list)
    lower: list[FloatArray] = field(default_factory=list)
    upper: list[FloatArray] = field(default_factory=list)
    families: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, size: int, low: Any, high: Any, terms: Iterable[Term]) -> None:
        """`size` rows low ≤ Σ terms ≤ high; terms count their rows from 0."""
        if size == 0:
            return
        for rows, columns, coefficients in terms:
            use = (columns >= 0) & (coefficients != 0)
            self.terms.append((rows[use] + self.count, columns[use], coefficients[use]))
        for side, sides in ((low, self.lower), (high, self.upper)):
            given = isinstance(side, np.ndarray) and side.ndim
            sides.append(side if given else np.full(size, side, dtype=np.float64))
        self.count += size
        self.families[name] = self.families.get(name, 0) + size

    def matrix(self, columns: int) -> Any:
        from scipy.sparse import csr_array

        rows, places, numbers = (np.concatenate(parts) for parts in zip(*self.terms))
        matrix = csr_array((numbers, (rows, places)), shape=(self.count, columns))
        matrix.sum_duplicates()
        return matrix


def one_each(factor: Any, rows: IntArray) -> FloatArray:
    """`factor` as one number per row (tiny programs spend their time on calls like this)."""
    if isinstance(factor, np.ndarray) and factor.shape == rows.shape:
        return factor
    return np.full(rows.shape, factor, dtype=np.float64)


def burden_terms(
    layout: Layout, k: int, rows: IntArray, cells: IntArray, factor: Any
) -> list[Term]:
    """factor · x."""
    factors = one_each(factor, rows)
    return [(rows, layout.y(k, j, cells), factors) for j in range(layout.J)]


def shape_terms(layout: Layout, k: int, rows: IntArray, cells: IntArray, factor: Any) -> list[Term]:
    """factor · Σ_j s_j y_j, the burden weighted by its slopes."""
    factors = one_each(factor, rows)
    return [
        (rows, layout.y(k, j, cells), factors * layout.slope[cells, j]) for j in range(layout.J)
    ]


def run_term(layout: Layout, k: int, rows: IntArray, cells: IntArray, factor: Any) -> list[Term]:
    """factor · p in the cell's state."""
    factors = one_each(factor, rows)
    return [(rows, layout.p(k, layout.space.cell_state[cells]), factors)]


def access_term(layout: Layout, k: int, rows: IntArray, cells: IntArray, factor: Any) -> list[Term]:
    """factor · a, the access of the cell: p where nobody can be excluded."""
    return [(rows, layout.access(k, cells), one_each(factor, rows))]


def utility_terms(
    layout: Layout, k: int, rows: IntArray, cells: IntArray, factor: Any
) -> list[Term]:
    """factor · u: a column, or v b_k a − θ g without transfers."""
    factors = one_each(factor, rows)
    if layout.terms.transfers:
        return [(rows, layout.u_start + k * layout.C + cells, factors)]
    worth = layout.value[cells] * layout.b[k]
    return [
        *access_term(layout, k, rows, cells, factors * worth),
        *shape_terms(layout, k, rows, cells, -factors * layout.theta[cells]),
    ]


def payment_terms(
    layout: Layout, k: int, rows: IntArray, cells: IntArray, factor: Any
) -> list[Term]:
    """factor · t = factor · (u + θ g − v b_k a)."""
    factors = one_each(factor, rows)
    worth = layout.value[cells] * layout.b[k]
    return [
        *utility_terms(layout, k, rows, cells, factors),
        *shape_terms(layout, k, rows, cells, factors * layout.theta[cells]),
        *access_term(layout, k, rows, cells, -factors * worth),
    ]


def keep_terms(layout: Layout, k: int, rows: IntArray, cells: IntArray) -> list[Term]:
    """−(what a user of the cell still enjoys after leaving level k)."""
    place = layout.stretch.get(k)
    if place is None:
        return run_term(layout, k, rows, cells, -layout.keep(k, cells))
    fixed = np.where(place[0, cells] < 0, layout.keep(k, cells), 0.0)
    terms = run_term(layout, k, rows, cells, -fixed)
    for m in range(1, k + 1):
        enjoyed = (1 - layout.eta[cells]) * layout.value[cells] * layout.b_below[m]
        terms.append((rows, place[m, cells], -enjoyed))
    return terms


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


def deviations(layout: Layout, pairs: str) -> Iterator[tuple[int, int, int]]:
    """(group, true type, reported type) within the group; "adjacent" or "all"."""
    for g, group in enumerate(layout.population.groups):
        for true in range(group.types):
            for told in range(group.types):
                if true != told and (pairs == "all" or abs(true - told) == 1):
                    yield g, true, told


def deviation_cells(layout: Layout, g: int, true: int, told: int) -> tuple[IntArray, IntArray]:
    """Cells of the truthful and of the misreporting user, for every ω_−i, shape (R,) each."""
    state = layout.space.others[g].state
    first = layout.population.first_type[g]
    cell = layout.space.cell
    return cell[state[:, true], first + true], cell[state[:, told], first + told]


def needs_second_thoughts(layout: Layout, g: int) -> bool:
    """Whether D6 needs the variables w: a misreporter's max{stay, withdraw}.

    Not if nothing is recovered (ρ = 0: staying is always better), and not under DSIC with one
    level, where the maximum is two rows.
    """
    terms = layout.terms
    if not terms.honest_and_obedient or layout.population.groups[g].reversibility == 0:
        return False
    return terms.incentive == "bic" or layout.K > 1


def add_incentives(layout: Layout, rows: Rows, pairs: str) -> None:
    """(D3) nobody gains by misreporting, and (D6) not by withdrawing after it either."""
    terms = layout.terms
    if terms.incentive == "none":
        return
    if terms.incentive == "bic":
        pairs = "all"
    for g, true, told in deviations(layout, pairs):
        if not needs_second_thoughts(layout, g):
            _add_staying(layout, rows, g, true, told)
    if not terms.honest_and_obedient:
        return
    for g, true, told in deviations(layout, "all"):
        if needs_second_thoughts(layout, g):
            _add_second_thoughts(layout, rows, g, true, told)
        elif terms.incentive == "dsic" and not _withdrawal_is_idle(layout, g):
            _add_leaving(layout, rows, g, true, told)


def _in_expectation(layout: Layout, g: int, true: int) -> tuple[IntArray, Any, int]:
    """Row of each ω_−i, its weight, number of rows: one per ω_−i (DSIC) or one in all (BIC)."""
    chance = layout.space.others[g].given(true)
    if layout.terms.incentive == "dsic":
        return np.arange(chance.size), np.ones(chance.size), chance.size
    return np.zeros(chance.size, dtype=np.int64), EXPECTATION * chance, 1


def _add_staying(layout: Layout, rows: Rows, g: int, true: int, told: int) -> None:
    honest, lying = deviation_cells(layout, g, true, told)
    at, weight, size = _in_expectation(layout, g, true)
    dearer = layout.theta[lying[0]] - layout.theta[honest[0]]
    gain: list[Term] = []
    for k in range(layout.K):
        gain += utility_terms(layout, k, at, honest, weight)
        gain += utility_terms(layout, k, at, lying, -weight)
        gain += shape_terms(layout, k, at, lying, -weight * dearer)
    rows.add("D3 incentive", size, 0, inf, gain)


def _withdrawal_is_idle(layout: Layout, g: int) -> bool:
    """DSIC, one level: whether D6 follows from u ≥ 0 (or from ρ = 0)."""
    group = layout.population.groups[g]
    if group.reversibility == 0:
        return True
    return _no_keep(layout, g) and (
        layout.terms.participation == "ex-post" or group.reversibility == 1
    )


def _no_keep(layout: Layout, g: int) -> bool:
    group = layout.population.groups[g]
    return group.value == 0 or (layout.K == 1 and group.removable > 0)


def _add_leaving(layout: Layout, rows: Rows, g: int, true: int, told: int) -> None:
    """(D6) under DSIC, K = 1: u(θ) ≥ keep p' − (1 − ρ) θ g' state by state."""
    honest, lying = deviation_cells(layout, g, true, told)
    at = np.arange(honest.size)
    sunk = (1 - layout.rho[honest[0]]) * layout.theta[honest[0]]
    rows.add(
        "D6 withdrawal",
        honest.size,
        0,
        inf,
        [
            *utility_terms(layout, 0, at, honest, 1.0),
            *shape_terms(layout, 0, at, lying, sunk),
            *keep_terms(layout, 0, at, lying),
        ],
    )


def _add_second_thoughts(layout: Layout, rows: Rows, g: int, true: int, told: int) -> None:
    """(D6) Σ_k u ≥ Σ_k w, with w ≥ stay and w ≥ withdraw, level by level."""
    honest, lying = deviation_cells(layout, g, true, told)
    dearer = layout.theta[lying[0]] - layout.theta[honest[0]]
    sunk = (1 - layout.rho[honest[0]]) * layout.theta[honest[0]]
    size = honest.size
    at = np.arange(size)
    first = layout.columns
    layout.columns += layout.K * size
    for k in range(layout.K):
        best = [(at, first + k * size + at, np.ones(size))]
        stay = utility_terms(layout, k, at, lying, -1.0)
        stay += shape_terms(layout, k, at, lying, -dearer)
        rows.add("D6 stay", size, 0, inf, best + stay)
        leave = keep_terms(layout, k, at, lying)
        leave += shape_terms(layout, k, at, lying, sunk)
        rows.add("D6 withdraw", size, 0, inf, best + leave)
    row, weight, count = _in_expectation(layout, g, true)
    gain: list[Term] = []
    for k in range(layout.K):
        gain += utility_terms(layout, k, row, honest, weight)
        gain.append((row, first + k * size + at, -weight))
    rows.add("D3 incentive", count, 0, inf, gain)


def add_participation(layout: Layout, rows: Rows) -> None:
    """(D4) ex post (a bound on u where u is a column) or interim."""
    cells = np.arange(layout.C)
    if layout.terms.participation == "ex-post":
        if not layout.terms.transfers:
            for k in range(layout.K):
                terms = utility_terms(layout, k, cells, cells, 1.0)
                rows.add("D4 participation", layout.C, 0, inf, terms)
        return
    for g, group in enumerate(layout.population.groups):
        for true in range(group.types):
            chance = EXPECTATION * layout.space.others[g].given(true)
            at = np.zeros(chance.size, dtype=np.int64)
            honest, _ = deviation_cells(layout, g, true, true)
            terms = []
            for k in range(layout.K):
                terms += utility_terms(layout, k, at, honest, chance)
            rows.add("D4 participation", 1, 0, inf, terms)


def add_obedience(layout: Layout, rows: Rows) -> None:
    """(D5) u ≥ keep p − (1 − ρ) θ g, level by level, where it says more than D4 and t ≥ 0."""
    if not layout.terms.obedient:
        return
    for k in range(layout.K):
        everybody = np.arange(layout.C)
        keep = layout.keep(k, everybody)
        idle = layout.rho == 0
        if layout.terms.participation == "ex-post":
            idle |= keep == 0
        if layout.terms.transfers:
            idle |= (keep == 0) & (layout.rho == 1)  # the bound u ≥ 0
        cells = np.flatnonzero(~idle)
        at = np.arange(cells.size)
        sunk = (1 - layout.rho[cells]) * layout.theta[cells]
        rows.add(
            "D5 obedience",
            cells.size,
            0,
            inf,
            [
                *utility_terms(layout, k, at, cells, 1.0),
                *shape_terms(layout, k, at, cells, sunk),
                *keep_terms(layout, k, at, cells),
            ],
        )


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

    law : probabilities of the states, shape (S,), if they are not the population's
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

    enjoyed = sum(group.size * group.value for group in population.groups)
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


@dataclass(frozen=True, eq=False)
class DirectProgram:
    """The linear program, its layout, and how many rows each family has."""

    program: LinearProgram
    layout: Layout
    families: dict[str, int]
    floor_row: int | None


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

    pairs : "adjacent" or "all" incentive rows under DSIC (with θ g linear in θ they are
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
    return DirectProgram(program, layout, rows.families, floor_row)

"""The columns of the direct-mechanism problem, and what its rows are made of.

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
docs: model; v b_k if nothing of his is removable) and (1 − ρ) θ g, what is sunk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mechopt.arrays import FloatArray, IntArray
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population

# Rows that are expectations have coefficients down to the smallest state probability; HiGHS drops
# those below small_matrix_value, so such rows are multiplied by this before they are passed.
EXPECTATION = 1e4


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
        # first column of w, cells of the report, true type and report as type columns (see D6)
        self.deviations: list[tuple[int, IntArray, int, int]] = []

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
    names: list[tuple[str, int, int]] = field(default_factory=list)  # family, first row, rows

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
        self.names.append((name, self.count, size))
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

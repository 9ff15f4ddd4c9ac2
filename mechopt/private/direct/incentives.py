"""Rows about what users want: incentives (D3, D6), participation (D4), obedience (D5)."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

import numpy as np

from mechopt.arrays import IntArray
from mechopt.private.direct.layout import (
    EXPECTATION,
    Layout,
    Rows,
    Term,
    keep_terms,
    shape_terms,
    utility_terms,
)
from mechopt.problem.direct_terms import nothing_kept


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


def add_incentives(layout: Layout, rows: Rows, pairs: str) -> None:
    """(D3) nobody gains by misreporting, and (D6) not by withdrawing after it either."""
    terms, groups = layout.terms, layout.population.groups
    if terms.incentive == "none":
        return
    if terms.incentive == "bic":
        pairs = "all"
    for g, true, told in deviations(layout, pairs):
        if not terms.double_deviation(groups[g], layout.K):
            _add_staying(layout, rows, g, true, told)
    if not terms.honest_and_obedient:
        return
    for g, true, told in deviations(layout, "all"):
        if terms.double_deviation(groups[g], layout.K):
            _add_double_deviation(layout, rows, g, true, told)
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
    return nothing_kept(group, layout.K) and (
        layout.terms.participation == "ex-post" or group.reversibility == 1
    )


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


def _add_double_deviation(layout: Layout, rows: Rows, g: int, true: int, told: int) -> None:
    """(D6) Σ_k u ≥ Σ_k w, with w ≥ stay and w ≥ withdraw, level by level."""
    honest, lying = deviation_cells(layout, g, true, told)
    dearer = layout.theta[lying[0]] - layout.theta[honest[0]]
    sunk = (1 - layout.rho[honest[0]]) * layout.theta[honest[0]]
    size = honest.size
    at = np.arange(size)
    first, column = layout.columns, layout.population.first_type[g]
    layout.columns += layout.K * size
    layout.deviations.append((first, lying, int(column) + true, int(column) + told))
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

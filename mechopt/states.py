"""Count states: with exchangeable users a profile of reports matters only through its counts.

A state ω says how many users of each group report each cost. A group of n users and m types has
C(n + m − 1, m − 1) of them, numbered by the colex rank of their "bars" (stars and bars); states
of several groups are numbered in mixed radix, the last group running fastest.
Source: FORMULATION section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations
from math import comb, prod
from typing import TYPE_CHECKING

import numpy as np

from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import TooLarge

if TYPE_CHECKING:
    from mechopt.population import Population

# More states than this are not enumerated: their arrays alone would take gigabytes.
STATE_LIMIT = 5_000_000


def state_count(population: Population) -> int:
    """Π_g C(n_g + m_g − 1, m_g − 1), computed without enumerating anything."""
    return prod(comb(g.size + g.types - 1, g.types - 1) for g in population.groups)


def compositions(total: int, parts: int) -> IntArray:
    """All ways to write `total` as an ordered sum of `parts` counts, by rank, shape (S, parts)."""
    if parts == 1:
        return np.full((1, 1), total, dtype=np.int64)
    places = range(total + parts - 1)
    flat = np.fromiter(chain.from_iterable(combinations(places, parts - 1)), dtype=np.int64)
    bars = flat.reshape(-1, parts - 1)
    edges = np.empty((bars.shape[0], parts + 1), dtype=np.int64)
    edges[:, 0], edges[:, -1], edges[:, 1:-1] = -1, total + parts - 1, bars
    counts = np.diff(edges, axis=1) - 1
    ordered = np.empty_like(counts)
    ordered[rank(counts)] = counts
    return ordered


def rank(counts: IntArray) -> IntArray:
    """Position of each row of `counts` (…, m) among the compositions of its sum."""
    parts = counts.shape[-1]
    position = np.zeros(counts.shape[:-1], dtype=np.int64)
    if parts == 1:
        return position
    bars = np.cumsum(counts[..., :-1], axis=-1) + np.arange(parts - 1)
    top = int(bars.max()) + 1
    for j in range(parts - 1):
        table = np.array([comb(s, j + 1) for s in range(top)], dtype=np.int64)
        position = position + table[bars[..., j]]
    return position


def multinomial(counts: IntArray, probabilities: FloatArray) -> FloatArray:
    """Probability of each row of counts (S, m) under independent draws."""
    total = int(counts[0].sum())
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])
    logs = log_factorial[total] - log_factorial[counts].sum(axis=1)
    return np.exp(logs + counts @ np.log(probabilities))


@dataclass(frozen=True, eq=False)
class Others:
    """What one user of a group may face: the profiles ω_−i of everybody else.

    probability : q(ω_−i), shape (R,)
    state : index of ω_−i + e_k, the state if the user reports type k, shape (R, m_g)
    """

    probability: FloatArray
    state: IntArray


class StateSpace:
    """The count states of a population: counts (S, M), probability (S,), and cells.

    A *cell* is a pair (state, type column) with at least one such user: burdens and payments
    exist only there. `cell[ω, j]` is its number or −1; `cell_state`, `cell_type` go back.

    Raises TooLarge, before enumerating, beyond STATE_LIMIT states.
    """

    def __init__(self, population: Population) -> None:
        size = state_count(population)
        if size > STATE_LIMIT:
            raise TooLarge(
                f"the population has {size:,} count states, more than the {STATE_LIMIT:,} that "
                "are enumerated; use fewer types per group, or fewer or larger groups"
            )
        self.population = population
        self._counts = [compositions(g.size, g.types) for g in population.groups]
        self._laws = [
            multinomial(counts, group.probabilities)
            for counts, group in zip(self._counts, population.groups)
        ]
        self.shape = tuple(counts.shape[0] for counts in self._counts)
        grid = np.indices(self.shape).reshape(len(self.shape), -1)
        self.counts: IntArray = np.concatenate(
            [counts[index] for counts, index in zip(self._counts, grid)], axis=1
        )
        self.probability: FloatArray = np.prod(
            [law[index] for law, index in zip(self._laws, grid)], axis=0
        )
        self.cell_state, self.cell_type = np.nonzero(self.counts)

    def __len__(self) -> int:
        return int(self.counts.shape[0])

    @property
    def cells(self) -> int:
        """Number of (state, type) pairs with a user."""
        return int(self.cell_state.size)

    @cached_property
    def cell(self) -> IntArray:
        """Number of the cell of (state, type column), −1 where nobody is, shape (S, M)."""
        numbers = np.full(self.counts.shape, -1, dtype=np.int64)
        numbers[self.cell_state, self.cell_type] = np.arange(self.cells)
        return numbers

    @cached_property
    def cell_count(self) -> IntArray:
        """Users in each cell, shape (C,)."""
        return self.counts[self.cell_state, self.cell_type]

    @cached_property
    def others(self) -> tuple[Others, ...]:
        """Per group, what one of its users may face."""
        return tuple(self._others(g) for g in range(len(self.shape)))

    def _others(self, g: int) -> Others:
        group = self.population.groups[g]
        rest = compositions(group.size - 1, group.types)
        own = np.stack(
            [rank(rest + np.eye(group.types, dtype=np.int64)[k]) for k in range(group.types)],
            axis=1,
        )
        law = multinomial(rest, group.probabilities)
        spans = [rest.shape[0] if h == g else size for h, size in enumerate(self.shape)]
        grid = np.indices(spans).reshape(len(spans), -1)
        strides = [prod(self.shape[h + 1 :]) for h in range(len(self.shape))]
        base = np.zeros(grid.shape[1], dtype=np.int64)
        chance = law[grid[g]]
        for h, stride in enumerate(strides):
            if h != g:
                base += stride * grid[h]
                chance = chance * self._laws[h][grid[h]]
        return Others(chance, base[:, None] + strides[g] * own[grid[g]])

    def index(self, counts: IntArray) -> int:
        """Number of the state with these counts, shape (M,)."""
        number = 0
        start = 0
        for size, table in zip(self.shape, self._counts):
            part = counts[start : start + table.shape[1]]
            number = number * size + int(rank(part[None, :])[0])
            start += table.shape[1]
        return number

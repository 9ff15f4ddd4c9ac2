"""Count states: with exchangeable users a profile of reports matters only through its counts.

A state ω says how many users of each group report each cost. A group of n users and m types has
C(n + m − 1, m − 1) of them, numbered by the colex rank of their "bars" (stars and bars); states
of several groups are numbered in mixed radix, the last group running fastest.
Source: docs: model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb, prod
from typing import TYPE_CHECKING

import numpy as np

from mechopt import memory
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import TooLarge

if TYPE_CHECKING:
    from mechopt.problem.population import Population

# More states than this are not enumerated: their arrays alone would take gigabytes.
STATE_LIMIT = 5_000_000


def state_count(population: Population) -> int:
    """Π_g C(n_g + m_g − 1, m_g − 1), computed without enumerating anything."""
    return prod(comb(g.size + g.types - 1, g.types - 1) for g in population.groups)


def compositions(total: int, parts: int) -> IntArray:
    """All ways to write `total` as an ordered sum of `parts` counts, by rank, shape (S, parts).

    Colex order is recursive: the compositions of s into k + 1 parts are those of 0, 1, …, s into
    k parts, one after another, completed by what is missing.
    """
    if parts == 1:
        return np.full((1, 1), total, dtype=np.int64)
    prefix = np.arange(total + 1, dtype=np.int64)[:, None]  # of 0, 1, …, total into 1 part
    for k in range(1, parts - 1):
        sums = prefix.sum(axis=1)
        sizes = [comb(s + k, k) for s in range(total + 1)]
        wider = np.empty((sum(sizes), k + 1), dtype=np.int64)
        end = 0
        for s, size in enumerate(sizes):
            block = wider[end : end + size]
            block[:, :k] = prefix[:size]
            block[:, k] = s - sums[:size]
            end += size
        prefix = wider
    last = total - prefix.sum(axis=1, keepdims=True)
    return np.concatenate([prefix, last], axis=1)


def rank(counts: IntArray) -> IntArray:
    """Position of each row of `counts` (…, m) among the compositions of its sum."""
    position = np.zeros(counts.shape[:-1], dtype=np.int64)
    for j, bar in enumerate(_bars(counts)):
        position += _binomials(int(bar.max()) + 1, j)[bar]
    return position


def rank_with_one_more(counts: IntArray) -> IntArray:
    """Position of counts + e_k among the compositions of sum + 1, for every k, shape (R, m)."""
    rows, parts = counts.shape
    position = np.zeros((parts, rows), dtype=np.int64)
    for j, bar in enumerate(_bars(counts)):  # one more in part k moves the bars j ≥ k by one
        table = _binomials(int(bar.max()) + 2, j)
        position[: j + 1] += table[bar + 1]
        position[j + 1 :] += table[bar]
    return position.T


def _bars(counts: IntArray) -> list[IntArray]:
    """Positions of the m − 1 bars between the parts (stars and bars)."""
    bars, reached = [], np.zeros(counts.shape[:-1], dtype=np.int64)
    for j in range(counts.shape[-1] - 1):
        reached = reached + counts[..., j]
        bars.append(reached + j)
    return bars


def _binomials(top: int, j: int) -> IntArray:
    """C(s, j + 1) for s = 0 … top − 1."""
    return np.array([comb(s, j + 1) for s in range(top)], dtype=np.int64)


def multinomial(counts: IntArray, probabilities: FloatArray) -> FloatArray:
    """Probability of each row of counts (S, m) under independent draws.

    Logarithms of 10,000 factorial have 17 digits before they are taken from each other: they are
    added up in the longest floats there are.
    """
    total, long = int(counts[0].sum()), np.longdouble
    log_factorial = np.zeros(total + 1, dtype=long)
    np.cumsum(np.log(np.arange(1, total + 1, dtype=long)), out=log_factorial[1:])
    logs = log_factorial[total] - log_factorial[counts].sum(axis=1)
    logs += (counts * np.log(np.asarray(probabilities, dtype=long))).sum(axis=1)
    return np.exp(logs).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Others:
    """What one user of a group may face: the profiles ω_−i of everybody else.

    :probability: q(ω_−i), shape (R,)
    :state: index of ω_−i + e_k, the state if the user reports type k, shape (R, m_g)
    :by_type: q(ω_−i | own type k), shape (R, m_g); None if types are independent
    """

    probability: FloatArray
    state: IntArray
    by_type: FloatArray | None = None

    def given(self, true: int) -> FloatArray:
        """q(ω_−i) for a user of type `true` (its number in the group), shape (R,)."""
        return self.probability if self.by_type is None else self.by_type[:, true]


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
        types = sum(group.types for group in population.groups)
        memory.refuse_beyond(
            "population",
            f"{size:,} count states of {types} types",
            60.0 * size * types,  # counts, cells and what each user may face
            "Use fewer types per group, or fewer or larger groups.",
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
        if population.law is not None:
            self.probability = population.law.probability(population.groups, self.counts)

    def __len__(self) -> int:
        return int(self.counts.shape[0])

    @cached_property
    def _occupied(self) -> tuple[IntArray, IntArray]:
        state, kind = np.nonzero(self.counts)
        return state, kind

    @property
    def cell_state(self) -> IntArray:
        """State of each cell, shape (C,)."""
        return self._occupied[0]

    @property
    def cell_type(self) -> IntArray:
        """Type column of each cell, shape (C,)."""
        return self._occupied[1]

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
        own = rank_with_one_more(rest)
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
        state = base[:, None] + strides[g] * own[grid[g]]
        if self.population.law is None:
            return Others(chance, state)
        first = self.population.first_type[g]
        users = self.counts[state, np.arange(first, first + group.types)]
        joint = self.probability[state] * users / group.size  # own type k and ω_−i
        return Others(joint.sum(axis=1), state, joint / joint.sum(axis=0))

    def index(self, counts: IntArray) -> int:
        """Number of the state with these counts, shape (M,)."""
        number = 0
        start = 0
        for size, table in zip(self.shape, self._counts):
            part = counts[start : start + table.shape[1]]
            number = number * size + int(rank(part[None, :])[0])
            start += table.shape[1]
        return number

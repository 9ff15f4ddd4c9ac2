"""The law of costs in a ball around the estimate that is worst for given values of the states.

Every group has its own ball, independent of the others'; the users of a group draw independently
from one and the same law f in it. The expectation of values h(ω) is then a polynomial in f, of
degree n_g in each group's, and not convex. It is minimised exactly, up to a stated tolerance:

* the balls (total variation, Wasserstein) are polytopes, cut into simplices around the estimate;
* on a simplex with corners V the polynomial has the Bernstein coefficients
  b_c = E[h | c_v users of the group draw from V_v]. No value on the simplex is below the least
  coefficient, and those at corners (c = n e_v) are values; with n_g = 1 there are no others;
* simplices that might hold less than the best value are halved along an edge until none does.

The least coefficient is a bound for more than was asked: it also holds if every user has a law of
his own in the simplex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from itertools import combinations, product
from math import comb, inf
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import TooLarge
from mechopt.problem.population import Group, Population
from mechopt.problem.states import compositions, multinomial, rank, rank_with_one_more

MOST_TYPES = 6  # of a group; the ball of seven has thousands of simplices
MOST_NODES = 20_000
_NO_DISTANCE = 1e-15  # what rounding leaves of the distance of a law to itself
CLOSED = 1e-10  # relative to the largest |h|: where the search for the worst law stops


@dataclass(frozen=True, eq=False)
class Worst:
    """low ≤ min_f E_f[h] ≤ value, and the laws (one per group, shape (m_g,)) that attain value."""

    low: float
    value: float
    laws: tuple[FloatArray, ...]


class Ball:
    """The laws within `radius` of a population's, group by group.

    :distance: "total-variation", ½ Σ |f − f̂| ≤ radius, or "wasserstein",
        Σ_k (c_{k+1} − c_k) |F_k − F̂_k| ≤ radius (money per data unit)
    :radius: one per group
    """

    def __init__(self, population: Population, distance: str, radius: tuple[float, ...]) -> None:
        self.population, self.distance, self.radius = population, distance, radius
        self.simplices = [
            _simplices(group, distance, one) for group, one in zip(population.groups, self.radius)
        ]

    def contains(self, laws: tuple[FloatArray, ...], slack: float = tolerances.PROBABILITY) -> bool:
        """Whether the laws lie in the balls, up to `slack` of the radius."""
        return all(
            distance_of(group, law, self.distance) <= one * (1 + slack) + _NO_DISTANCE
            for group, law, one in zip(self.population.groups, laws, self.radius)
        )

    def worst(
        self, values: FloatArray, *, maximise: bool = False, time_limit: float | None = None
    ) -> Worst:
        """The law that is worst for E[values] (shape (S,)): the least, or the greatest."""
        if maximise:
            other = self.worst(-values, time_limit=time_limit)
            return Worst(-other.low, -other.value, other.laws)
        search = _Search(self.population, values)
        ends = inf if time_limit is None else perf_counter() + time_limit
        for corners in product(*self.simplices):
            search.start(corners)
        while search.open() and search.nodes < MOST_NODES and perf_counter() < ends:
            search.halve()
        return search.found()


class _Search:
    """Simplices that may hold a lower value than the best one found, lowest bound first."""

    def __init__(self, population: Population, values: FloatArray) -> None:
        self.groups = population.groups
        shape = [comb(g.size + g.types - 1, g.types - 1) for g in self.groups]
        self.table = values.reshape(shape)
        self.slack = CLOSED * max(float(np.abs(values).max(initial=0.0)), tolerances.TINY)
        self.at = np.ix_(*(_corners(group.size, group.types) for group in self.groups))
        self.best, self.laws = inf, tuple(group.probabilities for group in self.groups)
        self.queue: list[tuple[float, int, tuple[FloatArray, ...], FloatArray]] = []
        self.nodes = 0

    def start(self, corners: tuple[FloatArray, ...]) -> None:
        bent = self.table
        for axis, (group, one) in enumerate(zip(self.groups, corners)):
            bent = _along(bernstein(group.size, one), bent, axis)
        self._look(corners, bent)

    def _look(self, corners: tuple[FloatArray, ...], bent: FloatArray) -> None:
        """Note the values at the corners; keep the simplices if more may be inside."""
        self.nodes += 1
        values = bent[self.at]
        place = np.unravel_index(int(np.argmin(values)), values.shape)
        if values[place] < self.best:
            self.best = float(values[place])
            self.laws = tuple(one[k] for one, k in zip(corners, place))
        low = float(bent.min())
        if low < self.best - self.slack:
            heappush(self.queue, (low, self.nodes, corners, bent))

    def open(self) -> bool:
        return bool(self.queue) and self.queue[0][0] < self.best - self.slack

    def halve(self) -> None:
        """Cut the lowest in two along the edge along which its coefficients bend upwards most.

        Where they bend along no edge none is below those at the corners.
        """
        _, _, corners, bent = heappop(self.queue)
        bends = []
        for axis, group in enumerate(self.groups):
            along = np.moveaxis(bent, axis, 0)
            for v, w in combinations(range(group.types if group.size > 1 else 0), 2):
                one, both, other = (along[at] for at in _edge(group.size, group.types, v, w))
                bends.append((float((one - 2 * both + other).max()), axis, v, w))
        _, axis, v, w = max(bends)
        group = self.groups[axis]
        for first, second in ((v, w), (w, v)):
            half = corners[axis].copy()
            half[first] = (half[v] + half[w]) / 2
            turned = _along(_halving(group.size, group.types, first, second), bent, axis)
            self._look((*corners[:axis], half, *corners[axis + 1 :]), turned)

    def found(self) -> Worst:
        low = min(self.best, self.queue[0][0]) if self.queue else self.best
        return Worst(low, self.best, self.laws)


def probability(population: Population, laws: tuple[FloatArray, ...]) -> FloatArray:
    """Probabilities of the states under these laws of the groups, shape (S,)."""
    space = population.states
    joint = np.ones(len(space))
    for first, law in zip(population.first_type, laws):
        counts = space.counts[:, first : first + law.size]
        here = law > 0
        possible = ~(counts[:, ~here] > 0).any(axis=1)
        joint *= possible
        joint[possible] *= multinomial(counts[possible][:, here], law[here])
    return joint


def distance_of(group: Group, law: FloatArray, distance: str) -> float:
    """How far `law` is from the group's own."""
    if distance == "total-variation":
        return float(np.abs(law - group.probabilities).sum()) / 2
    gap = np.diff(group.costs * group.slopes[0])
    return float(gap @ np.abs(np.cumsum(law - group.probabilities)[:-1]))


def _simplices(group: Group, distance: str, radius: float) -> list[FloatArray]:
    """The ball of a group as simplices, corners as rows, shape (m, m) each."""
    law, m = group.probabilities, group.types
    if m == 1 or radius == 0:
        return [np.tile(law, (m, 1))]
    if m > MOST_TYPES:
        raise TooLarge(
            f"robust: a group has {m} types; the ball around its law is searched exactly up to "
            f"{MOST_TYPES} types. Merge neighbouring costs"
        )
    if distance == "total-variation":
        rows = [
            [float(k in some) for k in range(m)]
            for r in range(1, m)
            for some in combinations(range(m), r)
        ]
        most = radius
    else:
        gap = np.diff(group.costs * group.slopes[0])
        signs = np.array(list(product((1.0, -1.0), repeat=m - 1))) * gap
        rows = [[float(one[k:].sum()) for k in range(m)] for one in signs]
        most = radius / float(gap.min())
    # In coordinates d with f = f̂ + most · d, Σ d = 0, the last of them eliminated.
    steep = np.array(rows) * (most / radius)
    sides = [[*(row[:-1] - row[-1]), -1.0] for row in steep]
    for k in range(m):
        if law[k] <= 2 * most:
            floor = np.zeros(m)
            floor[k] = -1.0
            sides.append([*(floor[:-1] - floor[-1]), -float(law[k]) / most])
    corners = _vertices(np.array(sides))
    if m == 2:
        faces = [[0], [1]]
    else:
        from scipy.spatial import ConvexHull

        faces = ConvexHull(corners).simplices.tolist()
    full = law + most * np.column_stack([corners, -corners.sum(axis=1)])
    full = np.maximum(full, 0.0)
    full /= full.sum(axis=1, keepdims=True)
    return [np.vstack([law, full[face]]) for face in faces]


def _vertices(sides: FloatArray) -> FloatArray:
    """Vertices of {d : a d + b ≤ 0 for every row (a, b)}, the origin inside, each once."""
    if sides.shape[1] == 2:
        ends = -sides[:, 1] / sides[:, 0]
        return np.array([[ends[ends < 0].max()], [ends[ends > 0].min()]])
    from scipy.spatial import HalfspaceIntersection

    found = HalfspaceIntersection(sides, np.zeros(sides.shape[1] - 1)).intersections
    _, first = np.unique(np.round(found, 9), axis=0, return_index=True)
    return np.asarray(found[first], dtype=np.float64)


# -- Bernstein coefficients -----------------------------------------------------------------------


def bernstein(users: int, corners: FloatArray) -> FloatArray:
    """P(count state ω | c_v of `users` draw from law corners[v]), shape (S, S): rows c, columns ω.

    Row c is row c − e_v of one user fewer, and one more draw from corner v.
    """
    m = corners.shape[1]
    chance = np.ones((1, 1))
    for n in range(1, users + 1):
        before, more, last, parent = _steps(n, m)
        rows = chance[parent]
        chance = np.zeros((last.size, before))
        for k in range(m):
            chance[:, more[:, k]] += corners[last, k][:, None] * rows
    return chance


@lru_cache(maxsize=256)
def _steps(n: int, m: int) -> tuple[int, IntArray, IntArray, IntArray]:
    """States of n users; from n − 1 users' with one more of type k; last user and rest of each."""
    counts, fewer = compositions(n, m), compositions(n - 1, m)
    last = np.argmax(counts > 0, axis=1)
    rest = counts.copy()
    rest[np.arange(last.size), last] -= 1
    return counts.shape[0], rank_with_one_more(fewer), last, rank(rest)


@lru_cache(maxsize=512)
def _halving(users: int, m: int, one: int, other: int) -> FloatArray:
    """Coefficients on the half simplex whose corner `one` is the middle of `one` and `other`."""
    corners = np.eye(m)
    corners[one, other] = corners[one, one] = 0.5
    return bernstein(users, corners)


@lru_cache(maxsize=1024)
def _edge(users: int, m: int, v: int, w: int) -> tuple[IntArray, IntArray, IntArray]:
    """States of all but two users with both of type v, one of v and one of w, both of w."""
    rest, unit = compositions(users - 2, m), np.eye(m, dtype=np.int64)
    return rank(rest + 2 * unit[v]), rank(rest + unit[v] + unit[w]), rank(rest + 2 * unit[w])


@lru_cache(maxsize=256)
def _corners(users: int, m: int) -> IntArray:
    """States in which all users are of one type, shape (m,)."""
    return rank(users * np.eye(m, dtype=np.int64))


def _along(matrix: FloatArray, table: FloatArray, axis: int) -> FloatArray:
    return np.moveaxis(np.tensordot(matrix, table, axes=(1, axis)), 0, axis)

"""The law of costs in a ball around the estimate that is worst for given values of the states.

Every group has its own ball, independent of the others'; the users of a group draw independently
from one and the same law f in it. The expectation of values h(ω) is then a polynomial in f, of
degree n_g in each group's, and not convex. It is minimised exactly, up to a stated tolerance:

* the balls (total variation, Wasserstein) are polytopes, cut into simplices around the estimate;
* on a simplex with corners V the polynomial has the Bernstein coefficients
  b_c = E[h | c_v users of the group draw from V_v]. No value on the simplex is below the least
  coefficient, and those at corners (c = n e_v) are values; with n_g = 1 there are no others;
* where moving users from one corner to another lowers every coefficient, the least is on the face
  without the first; where one group is left and the polynomial is convex (its second differences
  are positive semidefinite), it lies above its tangent at the least point;
* other simplices that might hold less than the best value are halved along an edge.

The least coefficient is a bound for more than was asked: it also holds if every user has a law of
his own in the simplex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from itertools import combinations, product
from math import comb, inf
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import TooLarge
from mechopt.private.simplex_polynomial import (
    Bends,
    along,
    bends_of,
    bernstein,
    corner_states,
    descend,
    halving,
    lowest_face,
    on_face,
    split,
)
from mechopt.problem.population import Group, Population
from mechopt.problem.states import multinomial

MOST_TYPES = 6  # of a group; the ball of seven has thousands of simplices
MOST_NODES = 20_000
_NEAR = 1e-2  # of the slack: where a descent ends
_BENT = 0.1  # of what is open: concave by less, a tangent is tried as a bound
_TRIED = 4  # simplices looked into before a law that is bad enough will do
_NO_DISTANCE = 1e-15  # what rounding leaves of the distance of a law to itself
Laws = tuple[FloatArray, ...]  # one per group, or the corners of a simplex of them as rows
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

    @cached_property
    def coefficients(self) -> list[list[FloatArray]]:
        """Per group and simplex: what turns values of the states into its coefficients, (S, S)."""
        return [
            [bernstein(group.size, one) for one in some]
            for group, some in zip(self.population.groups, self.simplices)
        ]

    def contains(self, laws: tuple[FloatArray, ...], slack: float = tolerances.PROBABILITY) -> bool:
        """Whether the laws lie in the balls, up to `slack` of the radius."""
        return all(
            distance_of(group, law, self.distance) <= one * (1 + slack) + _NO_DISTANCE
            for group, law, one in zip(self.population.groups, laws, self.radius)
        )

    def worst(
        self,
        values: FloatArray,
        *,
        maximise: bool = False,
        enough: float | None = None,
        time_limit: float | None = None,
    ) -> Worst:
        """The law that is worst for E[values] (shape (S,)): the least, or the greatest.

        :enough: below it (above, to maximise) a law will do, however far the worst lies from it
        """
        if maximise:
            other = self.worst(
                -values, enough=None if enough is None else -enough, time_limit=time_limit
            )
            return Worst(-other.low, -other.value, other.laws)
        search = _Subdivision(self.population, values)
        ends = inf if time_limit is None else perf_counter() + time_limit
        for corners, turns in zip(product(*self.simplices), product(*self.coefficients)):
            search.start(corners, turns)
        while search.open() and search.nodes < MOST_NODES and perf_counter() < ends:
            if enough is not None and search.best < enough and search.halved >= _TRIED:
                break
            search.step()
        return search.found()


class _Subdivision:
    """Simplices that may hold a lower value than the best one found, lowest bound first."""

    def __init__(self, population: Population, values: FloatArray) -> None:
        self.users = [group.size for group in population.groups]
        shape = [comb(g.size + g.types - 1, g.types - 1) for g in population.groups]
        self.table = values.reshape(shape)
        self.slack = CLOSED * max(float(np.abs(values).max(initial=0.0)), tolerances.TINY)
        self.best, self.laws = inf, tuple(group.probabilities for group in population.groups)
        self.low = inf  # the least bound of what was left out because it is near the best
        self.queue: list[tuple[float, int, Laws, FloatArray]] = []
        self.seen: set[bytes] = set()  # faces, which neighbours share
        self.nodes = self.halved = 0

    def start(self, corners: Laws, turns: Laws) -> None:
        bent = self.table
        for axis, turn in enumerate(turns):
            bent = along(turn, bent, axis)
        self._look(corners, bent)

    def _look(self, corners: Laws, bent: FloatArray, low: float = -inf) -> None:
        """Note the values at the corners; keep the simplices if more may be inside."""
        self.nodes += 1
        at = np.ix_(*(corner_states(n, len(one)) for n, one in zip(self.users, corners)))
        values = bent[at]
        place = np.unravel_index(int(np.argmin(values)), values.shape)
        self._note(float(values[place]), tuple(one[k] for one, k in zip(corners, place)))
        self._keep(max(low, float(bent.min())), corners, bent)

    def _note(self, value: float, laws: Laws) -> None:
        if value < self.best:
            self.best, self.laws = value, laws

    def _keep(self, low: float, corners: Laws, bent: FloatArray) -> None:
        if low < self.best - self.slack:
            heappush(self.queue, (low, self.nodes, corners, bent))
        else:
            self.low = min(self.low, low)

    def open(self) -> bool:
        return bool(self.queue) and self.queue[0][0] < self.best - self.slack

    def step(self) -> None:
        """The lowest simplices: a face of theirs if the least is there, else their least where the
        polynomial is convex, else both halves."""
        low, _, corners, bent = heappop(self.queue)
        for axis, one in enumerate(corners):
            kept = lowest_face(self.users[axis], np.moveaxis(bent, axis, 0), len(one))
            if kept.size < len(one):
                self._look_at_face(low, corners, bent, axis, kept)
                return
        bends = [
            bends_of(n, np.moveaxis(bent, axis, 0), len(one))
            for axis, (n, one) in enumerate(zip(self.users, corners))
        ]
        for axis, bend in enumerate(bends):
            faces = split(bend)
            if faces is not None:
                for kept in faces:
                    self._look_at_face(low, corners, bent, axis, kept)
                return
        low = self._bound(low, corners, bent, bends)
        if low < self.best - self.slack:
            self._halve(low, corners, bent, bends)
        else:
            self.low = min(self.low, low)

    def _look_at_face(
        self, low: float, corners: Laws, bent: FloatArray, axis: int, kept: IntArray
    ) -> None:
        one = corners[axis]
        face = (*corners[:axis], one[kept], *corners[axis + 1 :])
        key = b"".join(np.round(part, 13).tobytes() for part in face)
        if key not in self.seen:
            self.seen.add(key)
            self._look(face, bent.take(on_face(self.users[axis], len(one), kept), axis), low)

    def _bound(self, low: float, corners: Laws, bent: FloatArray, bends: list[Bends]) -> float:
        """`low`, or more where one group alone is left to move and the polynomial is convex, or
        little less: then its tangent at the least point bounds it. That point is noted."""
        self.halved += 1
        free = [axis for axis, one in enumerate(corners) if len(one) > 1]
        if len(free) != 1:
            return low
        axis = free[0]
        loss = bends[axis].concave
        if loss > _BENT * (self.best - low) and self.halved & (self.halved - 1):
            return low  # descents 1, 2, 4, 8, … are for the value they find
        users, size = self.users[axis], len(corners[axis])
        point, value, under = descend(users, bent.ravel(), size, self.slack * _NEAR)
        laws = [one[0] for one in corners]
        laws[axis] = point @ corners[axis]
        self._note(value, tuple(laws))
        return max(low, value - under - loss)

    def _halve(self, low: float, corners: Laws, bent: FloatArray, bends: list[Bends]) -> None:
        """Cut in two along the edge along which the coefficients bend upwards most.

        Where they bend along no edge none is below those at the corners.
        """
        axis = int(np.argmax([float(one.most.max()) for one in bends]))
        v, w = np.unravel_index(int(np.argmax(bends[axis].most)), bends[axis].most.shape)
        size = len(corners[axis])
        for first, second in ((int(v), int(w)), (int(w), int(v))):
            half = corners[axis].copy()
            half[first] = (half[v] + half[w]) / 2
            turned = along(halving(self.users[axis], size, first, second), bent, axis)
            self._look((*corners[:axis], half, *corners[axis + 1 :]), turned, low)

    def found(self) -> Worst:
        open_ = self.queue[0][0] if self.queue else inf
        return Worst(min(self.best, self.low, open_), self.best, self.laws)


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

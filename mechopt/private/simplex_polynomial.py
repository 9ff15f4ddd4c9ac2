"""Polynomials on a simplex by their Bernstein coefficients, one per count of users at its corners.

The polynomial is E_f[h], h a value per count state, f = Σ λ_v V_v a law on the simplex with corners
V: of degree `users` in the weights λ, with coefficients b_c = E[h | c_v users draw from V_v].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import comb, inf

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.problem.states import compositions, rank, rank_with_one_more

_NEWTON, _BACK = 60, 20  # steps of a descent, and how often one is halved


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
def halving(users: int, m: int, one: int, other: int) -> FloatArray:
    """Coefficients on the half simplex whose corner `one` is the middle of `one` and `other`."""
    corners = np.eye(m)
    corners[one, other] = corners[one, one] = 0.5
    return bernstein(users, corners)


@dataclass(frozen=True, eq=False)
class Bends:
    """Second differences of the coefficients along the edges, (v, v): the most and the least; and
    how far below its tangents the polynomial can be at most for not being convex."""

    most: FloatArray
    least: FloatArray
    concave: float


def bends_of(users: int, bent: FloatArray, corners: int) -> Bends:
    """Of the coefficients of one group, the first axis; others' axes are taken as they come."""
    if users == 1 or corners == 1:
        none = np.zeros((corners, corners))
        return Bends(none, none, 0.0)
    second = bent[_two_more(users, corners)]  # (R, v, v, others)
    second = np.moveaxis(second.reshape(*second.shape[:3], -1), 3, 1).reshape(-1, corners, corners)
    own = np.einsum("rvv->rv", second)
    bends = own[:, :, None] + own[:, None, :] - 2 * second
    inner = _without_sum(corners)
    least = float(np.linalg.eigvalsh(inner.T @ second @ inner)[:, 0].min())
    concave = users * (users - 1) * max(0.0, -least)
    return Bends(bends.max(axis=0), bends.min(axis=0), concave)


def split(bends: Bends) -> tuple[IntArray, IntArray] | None:
    """Two faces one of which holds a least point, for the polynomial is concave between them.

    For laws p, q of two faces the second derivative along p − q is Σ p_v q_w bend_vw less half of
    Σ p_v p_w bend_vw and of Σ q_v q_w bend_vw.
    """
    size = len(bends.most)
    joined = (bends.most > 0) | np.eye(size, dtype=bool)
    for _ in range(size):
        joined |= joined @ joined
    for one in np.unique(joined, axis=0):
        if one.all() or size < 3:
            break
        inside = sum(max(0.0, -float(bends.least[np.ix_(f, f)].min())) for f in (one, ~one))
        if float(bends.most[np.ix_(one, ~one)].max()) <= -inside / 2:
            return np.flatnonzero(one), np.flatnonzero(~one)
    return None


def lowest_face(users: int, bent: FloatArray, corners: int) -> IntArray:
    """The corners whose face holds a least point: without those from which it pays to move."""
    if corners == 1:
        return np.arange(1)
    first = bent[_one_more(users, corners)]  # (R, v, others)
    first = np.moveaxis(first.reshape(*first.shape[:2], -1), 2, 1).reshape(-1, corners)
    falls = (first[:, :, None] - first[:, None, :]).max(axis=0) <= 0  # [v, w]: w to v never rises
    np.fill_diagonal(falls, False)
    left = np.ones(corners, dtype=bool)
    for w in range(corners):
        left[w] = not (falls[:, w] & left).any()
    return np.flatnonzero(left)


def descend(
    users: int, bent: FloatArray, corners: int, near: float
) -> tuple[FloatArray, float, float]:
    """A local minimum over the weights of the corners, by Newton steps: (weights (v,), value, how
    far below the value its tangent is somewhere on the simplex).

    :bent: the coefficients of one group, shape (S,); near : how far below will do
    """
    point = np.full(corners, 1 / corners)
    value, slope, curve = _tangent(users, bent, point)
    for _ in range(_NEWTON):
        if slope @ point - slope.min() <= near:
            break
        free = (point > 0) | (slope <= slope.min())
        for move in _moves(point, slope, curve, free):
            with np.errstate(divide="ignore"):
                room = np.where(move < 0, -point / np.minimum(move, -tolerances.TINY), inf)
            far = min(1.0, float(room.min()))
            for _ in range(_BACK):
                other = np.maximum(point + far * move, 0.0)
                other /= other.sum()
                reached = _tangent(users, bent, other)
                if reached[0] < value:
                    break
                far /= 2
            if reached[0] < value:
                break
        if reached[0] >= value:
            break
        point, (value, slope, curve) = other, reached
    return point, value, float(slope @ point - slope.min())


def _moves(
    point: FloatArray, slope: FloatArray, curve: FloatArray, free: BoolArray
) -> Iterator[FloatArray]:
    """Directions to descend in: Newton's among the free corners, then to the best corner."""
    at = np.flatnonzero(free)
    system = np.ones((at.size + 1, at.size + 1))
    system[:-1, :-1], system[-1, -1] = curve[np.ix_(at, at)], 0.0
    found = np.linalg.lstsq(system, np.append(-slope[at], 0.0), rcond=None)[0]
    move = np.zeros(point.size)
    move[at] = found[:-1] - found[:-1].mean()
    if slope @ move < 0:
        yield move
    move = -point.copy()
    move[int(np.argmin(slope))] += 1
    yield move


def _tangent(
    users: int, bent: FloatArray, point: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """Value, first (v,) and second derivatives (v, v) by the weights of the corners."""
    corners, curve = point.size, np.zeros((point.size, point.size))
    for n in range(users, 2, -1):
        bent = bent[_one_more(n, corners)] @ point
    if users > 1:
        curve = bent[_two_more(2, corners)][0]
        bent = bent[_one_more(2, corners)] @ point
    slope = bent[_one_more(1, corners)][0]
    return float(slope @ point), users * slope, users * (users - 1) * curve


@lru_cache(maxsize=1024)
def _one_more(users: int, corners: int) -> IntArray:
    """States of all but one user, with one more of each corner, (R, v)."""
    return rank_with_one_more(compositions(users - 1, corners))


@lru_cache(maxsize=256)
def _two_more(users: int, corners: int) -> IntArray:
    """States of all but two users, with one more of corner v and one of w, (R, v, v)."""
    rest, unit = compositions(users - 2, corners), np.eye(corners, dtype=np.int64)
    both = unit[:, None] + unit[None]
    states = rest[:, None, None] + both
    return rank(states.reshape(-1, corners)).reshape(-1, corners, corners)


@lru_cache(maxsize=256)
def _without_sum(corners: int) -> FloatArray:
    """An orthonormal basis of the moves that keep the sum of weights, (v, v − 1)."""
    return np.linalg.qr(np.eye(corners)[:, 1:] - np.eye(corners)[:, :1])[0]


def on_face(users: int, corners: int, kept: IntArray) -> IntArray:
    """The states of a simplex in which nobody is at a corner that is not kept."""
    states = np.zeros((comb(users + kept.size - 1, kept.size - 1), corners), dtype=np.int64)
    states[:, kept] = compositions(users, kept.size)
    return rank(states)


@lru_cache(maxsize=256)
def corner_states(users: int, m: int) -> IntArray:
    """States in which all users are of one type, shape (m,)."""
    return rank(users * np.eye(m, dtype=np.int64))


def along(matrix: FloatArray, table: FloatArray, axis: int) -> FloatArray:
    return np.moveaxis(np.tensordot(matrix, table, axes=(1, axis)), 0, axis)

"""The best prices of a zone relaxation: cutting planes in a box around the best so far."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray
from mechopt.known.sequential.relaxation import (
    Relaxation,
    Value,
    evaluate,
    evaluated,
    nearest_open,
    reduced_weight,
    sample,
)

_STEPS = 120  # evaluations, at most
CLOSE = 3e-5  # relative: when the prices are good enough
_FAR = 0.01  # of the bound: a cutoff further away says nothing about how good prices need to be
_PIVOTS = 200  # of the program that chooses the next prices, at most
_TINY = 1e-11
_LEAST_ROOM = 1e-9  # of typical prices: how far the next ones may move, at least
_NOTHING = 1e-6  # of what the total costs on average: so little counts as nothing
_SIMILAR, _SAMPLE = 0.1, 2000  # prices of a similar problem are that near; users of a sample
# Of typical prices: the least, so that users count in a row whose price is nothing if that is free.
_LEAST_PRICE = 1e-12
_MANY = 400  # users from which on only a part of them is open …
_WIDEST = 8.0  # times the change of prices for which everybody else stays where he is
_ROUNDS = 6  # … and how often, before all are


def best_prices(
    relaxation: Relaxation,
    start: FloatArray | None = None,
    *,
    cutoff: float = inf,
    deadline: float = inf,
    close: float = CLOSE,
    room: float = 0.5,
    slack: float = 0.0,
) -> Value:
    """The best bound found; stops early once it exceeds `cutoff` (money).

    Of many users only those who are nearest to another choice are looked at, until everybody is
    again. What the few allow is an upper limit on what all do.

    :slack: of what is missing to the cutoff, or of a part of the bound, how much may be left
    :room: how far the prices may move at first, of typical ones
    """
    scale = _scale(relaxation)
    if start is None:
        start = np.append(scale[0], np.zeros(scale.size - 1))
    start = np.maximum(start, _LEAST_PRICE * scale)
    nothing = _NOTHING * scale[0] * relaxation.zones.total
    precise = close, slack, nothing
    if room > _SIMILAR and relaxation.points.burden.shape[1] >= 4 * _SAMPLE:
        few = sample(relaxation, _SAMPLE)
        first = _Ascent(scale, evaluate(few, start), (inf, deadline), precise, room)
        start, room = first.climb(few).prices, _SIMILAR
    reduced = reduced_weight(relaxation, start)
    whole = evaluated(relaxation, start, reduced)
    if whole.bound == inf:
        return whole
    ascent = _Ascent(scale, whole, (cutoff, deadline), precise, room)
    evaluations, many = 1, whole.chosen.size >= _MANY
    wide, center = 1.0, None
    for _ in range(_ROUNDS if many else 0):
        if center is not whole:
            part, reach = nearest_open(relaxation, whole, reduced)
            center = whole
        near = ascent.climb(part, wide * reach / scale[0])
        if near is not whole:
            there = reduced_weight(relaxation, near.prices)
            found = evaluated(relaxation, near.prices, there)
            evaluations += 1
            ascent.add(found)
            narrow = near.bound - found.bound < 0.1 * (near.bound - whole.bound)
            wide = min(2 * wide, _WIDEST) if narrow else max(wide / 2, 1.0)
            if found.bound > whole.bound:
                whole, reduced = found, there
            ascent.best = whole
        elif wide < _WIDEST:
            wide = _WIDEST
        done = ascent.missing() <= ascent.enough() or whole.bound >= cutoff
        if done or perf_counter() > deadline:
            break
    else:
        before = len(ascent.cuts)
        whole = ascent.climb(relaxation)
        evaluations += len(ascent.cuts) - before
    return replace(whole, mixed=ascent.mixed(), evaluations=evaluations)


class _Ascent:
    """Cutting planes in a box around the best prices so far.

    :until: the bound that is enough, and the time, of `perf_counter`
    :precise: `close` and `slack` of `best_prices`, and what counts as nothing, money
    """

    def __init__(
        self,
        scale: FloatArray,
        first: Value,
        until: tuple[float, float],
        precise: tuple[float, float, float],
        room: float,
    ) -> None:
        self.scale, self.best, self.room = scale, first, room
        self.cutoff, self.deadline = until
        self.close, self.slack, self.nothing = precise
        self.cuts, self.master = [first], _Master(scale, first)
        self.shares = np.ones(1)

    def add(self, found: Value) -> None:
        self.cuts.append(found)
        self.master.add(found)

    def enough(self) -> float:
        """How far below the best bound there may be ours, money."""
        missing = min(self.cutoff - self.best.bound, _FAR * abs(self.best.bound))
        return max(self.close * max(abs(self.best.bound), self.nothing), self.slack * missing)

    def missing(self) -> float:
        """How much better the best bound can be than ours, money."""
        return self.master.solve(0 * self.scale, self._far())[0] - self.best.bound

    def _far(self) -> FloatArray:
        return self.best.prices + 1e6 * self.scale

    def climb(self, relaxation: Relaxation, reach: float = inf) -> Value:
        """The best value of the relaxation with prices no further away than `reach`, of `scale`.

        `best` is that of one that allows no more.
        """
        low, high = (self.best.prices + sign * reach * self.scale for sign in (-1, 1))
        for _ in range(_STEPS):
            if self.best.bound >= self.cutoff or perf_counter() > self.deadline:
                break
            best, room = self.best, self.room * self.scale
            least, most = np.maximum(best.prices - room, low), np.minimum(best.prices + room, high)
            upper, prices, self.shares = self.master.solve(least, most)
            gain = upper - best.bound
            inside = bool((np.abs(prices - best.prices) < 0.999 * room).all())
            if gain <= self.enough():
                if inside or self.room > min(1e6, 2 * reach):
                    break
                self.room *= 8
                continue
            found = evaluate(relaxation, prices)
            self.add(found)
            if found.bound == inf:
                self.best = found
                break
            if found.bound > best.bound:
                if found.bound - best.bound > 0.5 * gain and not inside:
                    self.room *= 2
                self.best = found
            elif found.bound < best.bound - gain:
                self.room = max(self.room / 2, _LEAST_ROOM)
        return self.best

    def mixed(self) -> IntArray:
        """Points (n,) that balance the rows."""
        balanced = self.master.solve(0 * self.scale, self._far())[2]
        return _mix(self.cuts, balanced if balanced.any() else self.shares)


def _mix(cuts: list[Value], shares: FloatArray) -> IntArray:
    """Points (n,) that balance the rows: every user's from one of the cuts, in these shares.

    Where users are alike the best prices leave whole groups undecided, and any of the cuts alone
    would move all of them; those whose points differ between cuts are dealt out evenly.
    """
    used = np.flatnonzero(shares > tolerances.PROBABILITY)
    if used.size <= 1:
        return cuts[int(used[0]) if used.size else 0].chosen
    stack = np.stack([cuts[place].chosen for place in used.tolist()])
    edges = np.cumsum(shares[used]) / shares[used].sum()
    split = np.flatnonzero((stack != stack[0]).any(axis=0))
    size = cuts[int(used[0])].burden[split] + cuts[int(used[-1])].burden[split]
    kind = np.unique(stack[:, split], axis=1, return_inverse=True)[1].reshape(-1)
    rank = np.empty(split.size)
    rank[np.lexsort((size, kind))] = np.arange(split.size)
    turn = np.searchsorted(edges, (rank * 0.6180339887498949 + 0.5) % 1.0)
    mixed = stack[0].copy()
    mixed[split] = stack[np.minimum(turn, used.size - 1), split]
    return mixed


def _scale(relaxation: Relaxation) -> FloatArray:
    """Typical prices: what a data unit costs, and as much for the rows; 1 for the budget."""
    instance = relaxation.zones.instance
    typical = float(
        instance.cost_of(instance.capacity).sum() / max(instance.capacity.sum(), tolerances.TINY)
    )
    scale = np.full(
        1 + relaxation.zones.rows + (relaxation.budget < inf), max(typical, tolerances.TINY)
    )
    if relaxation.budget < inf:
        scale[-1] = 1.0
    return scale


class _Master:
    """The prices (≥ 0, in a box) at which the cuts allow the highest bound.

    max t, t ≤ bound_c + slope_c (p − prices_c), by the simplex method on its dual, where cuts are
    columns: a basis stays feasible when cuts are added or the box moves. A handful of rows, asked
    for thousands of times, so no solver is called.
    """

    def __init__(self, scale: FloatArray, first: Value) -> None:
        size = scale.size
        self.scale, self.size = scale, size
        slope = first.slope * scale
        self.reference = max(abs(first.bound), float(np.abs(slope).max()), tolerances.TINY)
        # Rows (m, 1 + size) of constraints on (t, p): p from above, from below, then the cuts.
        self.rows = np.zeros((2 * size, 1 + size))
        self.rows[:size, 1:], self.rows[size:, 1:] = np.eye(size), -np.eye(size)
        self.heights = np.empty(0)
        ends = np.arange(size) + np.where(slope >= 0, 0, size)
        self.basis = np.append(ends, 2 * size)
        self.add(first)

    def add(self, cut: Value) -> None:
        slope = cut.slope * self.scale / self.reference
        self.rows = np.concatenate((self.rows, np.append(1.0, -slope)[None, :]))
        height = cut.bound / self.reference - slope @ (cut.prices / self.scale)
        self.heights = np.append(self.heights, height)

    def solve(self, low: FloatArray, high: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """(the bound the cuts allow, prices, the shares of the cuts) in the box."""
        ends = high / self.scale, -np.maximum(low / self.scale, 0.0)
        limits = np.concatenate((*ends, self.heights))
        weights = np.zeros(self.basis.size)
        point = np.zeros(self.basis.size)
        for step in range(_PIVOTS):
            inverse = np.linalg.inv(self.rows[self.basis])
            point, weights = inverse @ limits[self.basis], inverse[0]
            room = limits - self.rows @ point
            room[self.basis] = 0.0
            short = np.flatnonzero(room < -_TINY * (1 + np.abs(limits)))
            if not short.size:
                break
            enters = int(short[0] if step > _PIVOTS // 2 else room.argmin())
            change = self.rows[enters] @ inverse
            able = change > _TINY
            if not able.any():
                break
            ratio = np.where(able, np.maximum(weights, 0.0) / np.where(able, change, 1.0), inf)
            self.basis[int(ratio.argmin())] = enters
        shares = np.zeros(self.heights.size)
        cuts = self.basis >= 2 * self.size
        shares[self.basis[cuts] - 2 * self.size] = np.maximum(weights[cuts], 0.0)
        prices = np.maximum(point[1:], _LEAST_PRICE) * self.scale
        return float(point[0]) * self.reference, prices, shares

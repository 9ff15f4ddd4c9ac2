"""The zone relaxation's bound: a Lagrangian in one price per row, everything else separable.

min Σ w_i over the points, s.t. Σ x ≥ X and, for every row m, Σ_{counting at m} δ x ≥ G_m − d_m
with a shortfall d_m that one user makes good (Z), and Σ need ≤ budget. Any prices give a bound;
the best are found by cutting planes in a box around the best so far.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, combinations
from math import inf
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.known.sequential.points import Points
from mechopt.problem.zones import Zones

_STEPS = 120  # evaluations, at most
CLOSE = 3e-5  # relative: when the prices are good enough
_FAR = 0.01  # of the bound: a cutoff further away says nothing about how good prices need to be
_PIVOTS = 200  # of the program that chooses the next prices, at most
_SHARED = 4  # rows whose keys may be one user, at most
_TINY = 1e-11
_LEAST_ROOM = 1e-9  # of typical prices: how far the next ones may move, at least
_NOTHING = 1e-6  # of what the total costs on average: so little counts as nothing


_Key = tuple[int, int, float, float]  # user, end, part, what that costs


@dataclass(frozen=True, eq=False)
class Relaxation:
    """One relaxation: the points, and what the rows ask for.

    weight (P, n) : what is minimised, money; inf where there is no point
    asked (M,) : G_m − d_m, data; keys : per row (row, least δ x of the key, data), for rows that
    count on a key; budget : on Σ need, money, inf if there is no such row
    """

    zones: Zones
    points: Points
    weight: FloatArray
    asked: FloatArray
    keys: tuple[tuple[int, float], ...] = ()
    budget: float = inf


@dataclass(frozen=True, eq=False)
class Value:
    """The Lagrangian at prices (1 + M [+ 1],): its value, a supergradient, the points chosen (n,).

    burden (n,) : data, at these points (a key may be between two); mixed (n,) : points that balance
    the rows
    """

    prices: FloatArray
    bound: float
    slope: FloatArray
    chosen: IntArray
    burden: FloatArray
    mixed: IntArray | None = None
    evaluations: int = 0


def reduced_weight(relaxation: Relaxation, prices: FloatArray) -> FloatArray:
    """w − what burdens earn at these prices, money, (P, n)."""
    zones, points = relaxation.zones, relaxation.points
    removable = zones.instance.removable
    worth = points.table @ prices[1 : 1 + zones.rows] if zones.rows else np.zeros(len(points.table))
    reduced = np.take(worth, points.code)
    if (removable != 1).any():
        reduced *= removable
    reduced += prices[0]
    reduced *= -points.burden
    reduced += relaxation.weight
    if relaxation.budget < inf:
        reduced += prices[-1] * np.where(relaxation.weight < inf, points.need, 0.0)
    return reduced


def evaluate(relaxation: Relaxation, prices: FloatArray) -> Value:
    """A bound at these prices: of data, of each row, and of the budget if there is one."""
    zones, points = relaxation.zones, relaxation.points
    removable = zones.instance.removable
    reduced = reduced_weight(relaxation, prices)
    chosen = reduced.argmin(axis=0)
    users = np.arange(chosen.size)
    bound = reduced[chosen, users].sum() + prices[0] * zones.total
    bound += prices[1 : 1 + zones.rows] @ relaxation.asked
    burden, need = points.burden[chosen, users], points.need[chosen, users]
    keys = _cheapest_keys(relaxation, reduced, chosen)
    if keys is None:
        return Value(prices, inf, np.zeros(prices.size), chosen, burden)
    for user, end, part, extra in keys:
        bound += extra
        if extra > 0:
            chosen[user] = end
            burden[user], need[user] = (
                (1 - part) * column[end, user] + part * column[end - 1, user]
                for column in (points.burden, points.need)
            )
    taken = np.bincount(
        points.code[chosen, users], weights=removable * burden, minlength=len(points.table)
    )
    slope = [zones.total - burden.sum(), *(relaxation.asked - taken @ points.table)]
    if relaxation.budget < inf:
        bound -= prices[-1] * relaxation.budget
        slope.append(float(need.sum()) - relaxation.budget)
    return Value(prices, float(bound), np.array(slope), chosen, burden)


def _cheapest_keys(
    relaxation: Relaxation, reduced: FloatArray, chosen: IntArray
) -> list[_Key] | None:
    """Keys for all rows that ask for one, at the least cost; one user may be that of several.

    None: there are none. Of more than `_SHARED` rows only the dearest count.
    """
    alone = {one: _cheapest_key(relaxation, reduced, chosen, (one,)) for one in relaxation.keys}
    if any(key is None for key in alone.values()):
        return None
    dear = {one: key for one, key in alone.items() if key is not None and key[-1] > 0}
    if len(dear) < 2:
        return list(dear.values())
    known: dict[tuple[tuple[int, float], ...], _Key | None] = {
        (one,): key for one, key in dear.items()
    }

    def served(rows: list[tuple[int, float]]) -> list[_Key]:
        """The cheapest keys of these rows: that of the first serves some of the others too."""
        found: list[list[_Key]] = [] if rows else [[]]
        for others in chain.from_iterable(
            combinations(rows[1:], size) for size in range(len(rows))
        ):
            some = (rows[0], *others)
            if some not in known:
                known[some] = _cheapest_key(relaxation, reduced, chosen, some)
            if (key := known[some]) is not None:
                found.append([key, *served([one for one in rows[1:] if one not in others])])
        return min(found, key=_added)

    return served(sorted(dear, key=lambda one: -dear[one][-1])[:_SHARED])


def _added(keys: list[_Key]) -> float:
    return sum(key[-1] for key in keys)


def _cheapest_key(
    relaxation: Relaxation,
    reduced: FloatArray,
    chosen: IntArray,
    rows: tuple[tuple[int, float], ...],
) -> _Key | None:
    """Somebody must be the key of all these (row, enough), with δ x ≥ enough.

    He is at the upper end of a cell, or by `part` of the way down from it. None: nobody can be.
    """
    points, removable = relaxation.points, relaxation.zones.instance.removable
    upper = np.arange(2, len(points.zone), 2)
    enough = max(least for _, least in rows)
    named: BoolArray = np.logical_and.reduce([points.key[:, row] for row, _ in rows])
    able = named[points.code[upper]]
    able &= removable * points.burden[upper] >= enough
    able &= relaxation.weight[upper] < inf
    users = np.arange(chosen.size)
    high, low = reduced[upper], reduced[upper - 1]
    width = points.burden[upper] - points.burden[upper - 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (points.burden[upper] - enough / removable) / width
        part = np.where(width > 0, np.clip(part, 0.0, 1.0), 0.0)
        other = np.where(able, high + part * (low - high), inf)
    down = other < high
    change = np.where(able, np.minimum(high, other), inf) - reduced[chosen, users]
    place, user = np.unravel_index(int(np.argmin(change)), change.shape)
    if not change[place, user] < inf:
        return None
    taken = float(part[place, user]) if down[place, user] else 0.0
    return int(user), int(upper[place]), taken, max(0.0, float(change[place, user]))


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

    :slack: of what is missing to the cutoff, or of a part of the bound, how much may be left
    :room: how far the prices may move at first, of typical ones
    """
    scale = _scale(relaxation)
    if start is None:
        start = np.append(scale[0], np.zeros(scale.size - 1))
    best = evaluate(relaxation, start)
    if best.bound == inf:
        return best
    cuts, master = [best], _Master(scale, best)
    shares = np.ones(1)
    for _ in range(_STEPS):
        if best.bound >= cutoff or perf_counter() > deadline:
            break
        upper, prices, shares = master.solve(best.prices, room)
        gain = upper - best.bound
        inside = bool((np.abs(prices - best.prices) < 0.999 * room * scale).all())
        enough = close * max(abs(best.bound), _NOTHING * scale[0] * relaxation.zones.total)
        missing = min(cutoff - best.bound, _FAR * abs(best.bound))
        if gain <= max(enough, slack * missing):
            if inside or room > 1e6:
                break
            room *= 8
            continue
        found = evaluate(relaxation, prices)
        if found.bound == inf:
            return found
        cuts.append(found)
        master.add(found)
        if found.bound > best.bound:
            if found.bound - best.bound > 0.5 * gain and not inside:
                room *= 2
            best = found
        else:
            room = max(room / 2, _LEAST_ROOM) if found.bound < best.bound - gain else room
    balanced = master.solve(best.prices, 1e6)[2]
    mixed = _mix(cuts, balanced if balanced.any() else shares)
    return replace(best, mixed=mixed, evaluations=len(cuts))


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
    """The prices (≥ 0, within a radius of a centre) at which the cuts allow the highest bound.

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

    def solve(self, centre: FloatArray, radius: float) -> tuple[float, FloatArray, FloatArray]:
        """(the bound the cuts allow, prices, the shares of the cuts) in the box."""
        middle = centre / self.scale
        limits = np.concatenate((middle + radius, -np.maximum(middle - radius, 0.0), self.heights))
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
        prices = np.maximum(point[1:] * self.scale, 0.0)
        return float(point[0]) * self.reference, prices, shares

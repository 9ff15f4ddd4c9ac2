"""The zone problem as points: every user's curves, zone by zone, cut where anything changes.

In a cell of a zone need and cost are linear in the burden and the rows in which the user counts
are the same, so the relaxation needs the ends of the cells only. Arrays are (P, n): one row per
end, the same number for every user; ends that a user does not have are at infinite need.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.problem.aims import MARGIN
from mechopt.problem.zones import Zones, unwilling

_TABLE = 16  # bits up to which a table has the number of each mask
_ROUNDING = 1e-13  # of the money compared: so small a payment is what rounding leaves of none


@dataclass(frozen=True, eq=False)
class Box:
    """What the order allows: bounds a_m ≤ ξ_m ≤ c_m on the place of the last user below row m.

    :by: "designed" (no bounds), "small-first", "large-first" (places are burdens, data), or
        "given" (places are positions in the order)
    :low, high: (M,); place : (n,) positions in a given order

    Whoever is below a row is below the next, so ξ_m comes no later than ξ_{m+1}.
    """

    by: str
    low: FloatArray
    high: FloatArray
    place: IntArray | None = None

    def keep(self, first: int) -> Box:
        """The bounds of the rows from `first` on."""
        return replace(self, low=self.low[first:], high=self.high[first:])

    def only(self, row: int, low: float, high: float) -> Box:
        """The part of the box with low ≤ ξ_row ≤ high, as far as the other rows are concerned."""
        lows, highs = self.low.copy(), self.high.copy()
        lows[row], highs[row] = low, high
        if self.by == "large-first":  # larger burdens come earlier
            lows = np.maximum.accumulate(lows[::-1])[::-1]
            highs = np.minimum.accumulate(highs)
        else:
            lows = np.maximum.accumulate(lows)
            highs = np.minimum.accumulate(highs[::-1])[::-1]
        return replace(self, low=lows, high=highs)

    @property
    def empty(self) -> bool:
        return bool((self.low > self.high).any())


@dataclass(frozen=True, eq=False)
class Points:
    """burden (data), cost and need (money), code, (P, n): need is inf where there is no point.

    zone (P,): after the first row, every two are the ends of a cell; table (U, M): the rows m in
    which a user at a point with code u counts; key (U, M): where he would if his zone were high
    enough
    """

    burden: FloatArray
    cost: FloatArray
    need: FloatArray
    code: npt.NDArray[np.int32]
    zone: IntArray
    table: BoolArray
    key: BoolArray


def points(zones: Zones, *, paid: bool = True, margin: float = 0.0) -> Points:
    """All points of the zone problem, in any order. paid=False: only where no payment is needed."""
    instance, rows = zones.instance, zones.rows
    ranges = [unwilling(zones, row, margin=margin) for row in range(rows)]
    nothing = np.zeros(instance.n)
    burden, cost, need = [nothing], [nothing], [nothing]
    zone, code = [0], [np.zeros(instance.n, dtype=np.int64)]
    for own in range(rows + 1):
        low, high = _allowed(zones, own, paid)
        breaks = [_clip(edge, low, high) for edge in _breaks(zones, ranges, own)]
        grid = _distinct(np.stack([low, *breaks, high]))
        here = np.stack([_rows_at(zones, ranges, own, (a + b) / 2) for a, b in pairwise(grid)])
        for left, right, rows_here, void in _cells(grid, here, high < low):
            for end in (left, right):
                spent = instance.cost_of(end)
                pay = np.maximum(
                    spent - zones.gain, instance.reversibility * spent - zones.loss[own]
                )
                pay[pay <= _ROUNDING * (spent + zones.gain)] = 0.0
                burden.append(end)
                cost.append(spent)
                need.append(np.where(void, inf, pay))
                code.append(rows_here)
                zone.append(own)
    masks, compact = _numbered(np.stack(code), 2 * rows)
    bits = (masks[:, None] >> np.arange(2 * rows)) & 1 == 1
    return Points(
        np.stack(burden),
        np.stack(cost),
        np.stack(need),
        compact,
        np.array(zone),
        bits[:, :rows],
        bits[:, rows:],
    )


def _numbered(masks: IntArray, bits: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """The different masks, ascending, and the number of each."""
    if bits > _TABLE:
        known, place = np.unique(masks, return_inverse=True)
        return known, place.reshape(masks.shape).astype(np.int32)
    number = np.zeros(1 << bits, dtype=np.int32)
    known = np.flatnonzero(np.bincount(masks.ravel(), minlength=1 << bits))
    number[known] = np.arange(known.size)
    found: npt.NDArray[np.int32] = number[masks]
    return known, found


def _cells(
    grid: FloatArray, code: IntArray, closed: BoolArray
) -> Iterator[tuple[FloatArray, FloatArray, IntArray, BoolArray]]:
    """(left, right, rows, void), (n,) each: the cells of the grid that are worth having.

    A cell of one point is, if the user counts in other rows there than in the cell before. Users
    have their first such cell in the first of these, and so on.
    """
    left, right = grid[:-1], grid[1:]
    kept = np.empty(code.shape, dtype=bool)
    last = np.full(closed.size, -1, dtype=np.int64)
    for place in range(len(code)):
        new = (right[place] > left[place]) | ((code[place] != last) & (right[place] > 0))
        kept[place] = new & ~closed
        last = np.where(kept[place], code[place], last)
    cells, users = np.nonzero(kept)
    slot = (np.cumsum(kept, axis=0) - 1)[cells, users]
    shape = (int(slot.max(initial=-1)) + 1, closed.size)
    lefts, rights, codes = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int64)
    void = np.ones(shape, dtype=bool)
    for to, what in ((lefts, left), (rights, right), (codes, code), (void, ~kept)):
        to[slot, users] = what[cells, users]
    return zip(lefts, rights, codes, void)


def within(points: Points, box: Box) -> Points:
    """The points in a box: users of zone l come between ξ_l and ξ_{l+1}.

    Who comes earlier can as well be in a lower zone: he loses more there, and counts in as many
    rows. Cells are cut where the box ends.
    """
    if box.by == "designed":
        return points
    cells = points.zone[2::2]
    if box.by == "given":
        assert box.place is not None
        low, high = np.append(-inf, box.low)[cells], np.append(box.high, inf)[cells]
        closed = (box.place <= low[:, None]) | (box.place > high[:, None])
        kept = np.append(True, np.repeat(~closed.all(axis=1), 2))
        need = points.need.copy()
        need[1:][np.repeat(closed, 2, axis=0)] = inf
        return _only(points, kept, points.burden[kept], points.cost[kept], need[kept])
    sign = 1 if box.by == "small-first" else -1
    first, last = (box.low, box.high) if sign > 0 else (box.high, box.low)
    first, last = np.append(-sign * inf, first)[cells], np.append(last, sign * inf)[cells]
    least, most = (first, last) if sign > 0 else (last, first)
    low, high = points.burden[1::2], points.burden[2::2]
    left, right = np.maximum(low, least[:, None]), np.minimum(high, most[:, None])
    closed = left > right
    some = ~closed.all(axis=1)
    kept = np.append(True, np.repeat(some, 2))
    burden, cost, need = points.burden[kept], points.cost[kept], points.need[kept]
    left, right, low, high = (it[some] for it in (left, right, low, high))
    closed = closed[some]
    with np.errstate(invalid="ignore", divide="ignore"):
        width = high - low
        one = np.where(width > 0, (left - low) / width, 0.0)
        other = np.where(width > 0, (high - right) / width, 0.0)
        for column in (cost, need):
            begin, end = column[1::2].copy(), column[2::2].copy()
            rise = end - begin
            column[1::2] = np.where(one > 0, begin + one * rise, begin)
            column[2::2] = np.where(other > 0, end - other * rise, end)
    burden[1::2], burden[2::2] = np.minimum(left, high), np.maximum(right, low)
    need[1::2][closed] = need[2::2][closed] = inf
    need[np.isnan(need)] = inf
    return _only(points, kept, burden, cost, need)


def _only(
    points: Points, kept: BoolArray, burden: FloatArray, cost: FloatArray, need: FloatArray
) -> Points:
    return replace(
        points,
        burden=burden,
        cost=cost,
        need=need,
        code=points.code[kept],
        zone=points.zone[kept],
    )


def _clip(edge: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    return np.minimum(np.maximum(edge, low), np.maximum(low, high))


def _distinct(grid: FloatArray) -> FloatArray:
    """The grid (B, n) sorted by column, without rows that repeat the one before for everybody."""
    grid.sort(axis=0)
    if len(grid) == 2:
        return grid
    kept = np.append(True, (grid[1:] > grid[:-1]).any(axis=1))
    return grid[kept] if kept.sum() > 1 else grid[:2]


def _allowed(zones: Zones, own: int, paid: bool) -> tuple[FloatArray, FloatArray]:
    """Burdens [low, high] open to users of zone `own`, (n,) each; 0 is a point of the first."""
    instance = zones.instance
    low, high = np.zeros(instance.n), instance.capacity.copy()
    if not paid:
        with np.errstate(divide="ignore", invalid="ignore"):
            obeys = np.where(
                instance.reversibility > 0, zones.loss[own] / instance.reversibility, inf
            )
        money = np.minimum(np.minimum(zones.gain, obeys), instance.cost_of(instance.capacity))
        high = np.minimum(high, instance.affordable(money))
    return low, high


def _breaks(
    zones: Zones, ranges: list[tuple[FloatArray, FloatArray]], own: int
) -> list[FloatArray]:
    """Where need, cost or the rows in which a user of zone `own` counts can change, (n,) each."""
    instance = zones.instance
    recovered = instance.reversibility
    most = instance.cost_of(instance.capacity)
    with np.errstate(divide="ignore", invalid="ignore"):
        turns = [
            zones.gain,
            np.where(recovered > 0, zones.loss[own] / recovered, inf),
            np.where(recovered < 1, (zones.gain - zones.loss[own]) / (1 - recovered), inf),
        ]
    found = [instance.affordable(np.fmin(turn, most)) for turn in turns]
    found += list(np.cumsum(instance.widths, axis=1).T[:-1])
    for low, high in ranges:
        found += [np.minimum(low, instance.capacity), np.maximum(high, 0.0)]
    near = instance.capacity * (1 - tolerances.REACH)  # only the rounding of what costs C(cap)
    return [np.where(edge >= near, instance.capacity, edge) for edge in found]


def _rows_at(
    zones: Zones,
    ranges: list[tuple[FloatArray, FloatArray]],
    own: int,
    burden: FloatArray,
) -> IntArray:
    """Bits: the rows in which users of zone `own` with these burdens count, then (M higher) those
    in which they, in a lower zone, can be the key: unwilling ones, unless there are users whom the
    zone above does not hold although they are willing; then anybody whose own data are enough.

    On the edge (loss = step) nobody is unwilling, as in F11.
    """
    found = np.zeros(burden.size, dtype=np.int64)
    for row, (low, high) in enumerate(ranges):
        sustained = zones.loss[own] > zones.step[row] + MARGIN * zones.gain
        counts = (burden >= low) & (burden <= high) & sustained
        if row >= own:
            alone = counts if everyone_can_wait(zones, row) else burden > 0
            found |= alone.astype(np.int64) << (row + zones.rows)
            continue
        found |= counts.astype(np.int64) << row
    return found


def everyone_can_wait(zones: Zones, row: int) -> bool:
    """Whether all who are willing at the row are held in the zone above it (s_m ≤ b_K − b_m)."""
    return bool((zones.loss[row + 1] >= zones.step[row])[zones.instance.removable > 0].all())

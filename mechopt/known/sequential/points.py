"""The zone problem as points: every user's curves, zone by zone, cut where anything changes.

In a cell of a zone need and cost are linear in the burden and the rows in which the user counts
are the same, so the relaxation needs the ends of the cells only. Arrays are (P, n): one row per
end, the same number for every user; ends that a user does not have are at infinite need.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

import numpy as np
import numpy.typing as npt

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.problem.aims import MARGIN
from mechopt.problem.zones import Zones, unwilling


@dataclass(frozen=True, eq=False)
class Box:
    """What the order allows: bounds a_m ≤ ξ_m ≤ c_m on the place of the last user below row m.

    :by: "designed" (no bounds), "small-first", "large-first" (places are burdens, data), or
        "given" (places are positions in the order)
    :low, high: (M,); place : (n,) positions in a given order
    """

    by: str
    low: FloatArray
    high: FloatArray
    place: IntArray | None = None

    def keep(self, first: int) -> Box:
        """The bounds of the rows from `first` on."""
        return replace(self, low=self.low[first:], high=self.high[first:])


@dataclass(frozen=True, eq=False)
class Points:
    """burden (data), cost and need (money), code, (P, n): need is inf where there is no point.

    zone, cell (P,): rows of one cell are its two ends; table (U, M): the rows m in which a user at
    a point with code u counts; key (U, M): where he would if his zone were high enough
    """

    burden: FloatArray
    cost: FloatArray
    need: FloatArray
    code: npt.NDArray[np.int32]
    zone: IntArray
    cell: IntArray
    table: BoolArray
    key: BoolArray


def points(zones: Zones, box: Box, *, paid: bool = True, margin: float = 0.0) -> Points:
    """All points of the zone problem in a box. paid=False: only burdens that need no payment."""
    instance, rows = zones.instance, zones.rows
    ranges = [unwilling(zones, row, margin=margin) for row in range(rows)]
    nothing = np.zeros(instance.n)
    burden, cost, need = [nothing], [nothing], [nothing]
    zone, cell, code = [0], [0], [np.zeros(instance.n, dtype=np.int64)]
    for own in range(rows + 1):
        low, high = _allowed(zones, box, own, paid)
        breaks = [_clip(edge, low, high) for edge in _breaks(zones, box, ranges, own)]
        grid = _distinct(np.stack([low, *breaks, high]))
        for left, right in pairwise(grid):
            middle = (left + right) / 2
            here = _rows_at(zones, box, ranges, own, middle)
            void = high < low
            number = cell[-1] + 1
            for end in (left, right):
                spent = instance.cost_of(end)
                pay = np.maximum(
                    spent - zones.gain, instance.reversibility * spent - zones.loss[own]
                )
                pay[pay <= 1e-13 * (spent + zones.gain)] = 0.0
                burden.append(end)
                cost.append(spent)
                need.append(np.where(void, inf, pay))
                code.append(here)
                zone.append(own)
                cell.append(number)
    masks, compact = np.unique(np.stack(code), return_inverse=True)
    bits = (masks[:, None] >> np.arange(2 * rows)) & 1 == 1
    return Points(
        np.stack(burden),
        np.stack(cost),
        np.stack(need),
        compact.reshape(len(code), instance.n).astype(np.int32),
        np.array(zone),
        np.array(cell),
        bits[:, :rows],
        bits[:, rows:],
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


def _allowed(zones: Zones, box: Box, own: int, paid: bool) -> tuple[FloatArray, FloatArray]:
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
    if own < zones.rows:
        if box.by == "small-first":
            high = np.minimum(high, box.high[own])
        elif box.by == "large-first":
            low = np.full(instance.n, box.low[own])
        elif box.by == "given":
            assert box.place is not None
            high = np.where(box.place <= box.high[own], high, 0.0)
    return low, high


def _breaks(
    zones: Zones, box: Box, ranges: list[tuple[FloatArray, FloatArray]], own: int
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
    for row, (low, high) in enumerate(ranges):
        found += [np.minimum(low, instance.capacity), np.maximum(high, 0.0)]
        if row < own and box.by == "small-first":
            found.append(np.full(instance.n, box.low[row]))
        elif row < own and box.by == "large-first":
            found.append(np.full(instance.n, box.high[row]))
    near = instance.capacity * (1 - tolerances.REACH)  # only the rounding of what costs C(cap)
    return [np.where(edge >= near, instance.capacity, edge) for edge in found]


def _rows_at(
    zones: Zones,
    box: Box,
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
        if box.by == "small-first":
            counts &= burden >= box.low[row]
        elif box.by == "large-first":
            counts &= burden <= box.high[row]
        elif box.by == "given":
            assert box.place is not None
            counts &= box.place > box.low[row]
        found |= counts.astype(np.int64) << row
    return found


def everyone_can_wait(zones: Zones, row: int) -> bool:
    """Whether all who are willing at the row are held in the zone above it (s_m ≤ b_K − b_m)."""
    return bool((zones.loss[row + 1] >= zones.step[row])[zones.instance.removable > 0].all())

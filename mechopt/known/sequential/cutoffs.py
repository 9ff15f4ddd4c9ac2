"""Where in the order the last user below each row comes: conflicts, decisions, and slices.

At given prices a box of cutoffs ξ is weak only because every user chooses his own ξ in it. If ξ_m
is confined to a slice of its range, some users' choices get dearer, and what they add is a bound
on the cost of that slice. A user counts in several rows in proportion to what each row does to
him, so the sums over rows hold together: the bound of the box is its value plus, row by row, the
cheapest slice. Slices that cost too much are cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray
from mechopt.known.sequential.points import Box
from mechopt.known.sequential.relaxation import Relaxation, Value, reduced_weight
from mechopt.known.sequential.task import SequentialTask, given_order
from mechopt.problem.aims import MARGIN

_SLICES = 8  # of every row's range
_CAPPED = 8  # users per key whose additional cost is cut to that of the next


def places(box: Box, burden: FloatArray) -> FloatArray:
    """Where users come in the order, given what they are asked for, (n,)."""
    return burden if box.place is None else box.place.astype(float)


def whole_box(task: SequentialTask, rows: int) -> Box:
    """The box of a task's order, with every place open."""
    nothing, everything = np.zeros(rows), np.full(rows, inf)
    order = given_order(task)
    if order is not None:
        place = np.empty(order.size, dtype=np.int64)
        place[order] = np.arange(order.size)
        return Box("given", nothing - 1, np.full(rows, float(order.size)), place)
    if task.designed:
        return Box("designed", nothing, everything)
    most = float(task.instance.capacity.max())
    return Box(task.order, nothing, np.full(rows, most))


def conflict(
    relaxation: Relaxation, box: Box, value: Value, row: int
) -> tuple[float, float] | None:
    """(data, place): users below the row who come after some who count at it, and where to cut."""
    if box.by == "designed":
        return None
    grid, chosen, burden = relaxation.points, value.chosen, value.burden
    everyone = np.arange(chosen.size)
    below = np.flatnonzero((grid.zone[chosen] <= row) & (burden > 0))
    counting = np.flatnonzero(grid.table[grid.code[chosen, everyone], row] & (burden > 0))
    if not below.size or not counting.size:
        return None
    sign = -1.0 if box.by == "large-first" else 1.0
    place = sign * places(box, burden)
    one, other = place[below], place[counting]
    late, early = one > other.min(), other < one.max()
    if not late.any() or not early.any():
        return None
    where = np.concatenate((one[late], other[early]))
    data = np.concatenate((burden[below[late]], burden[counting[early]]))
    order = np.argsort(where, kind="stable")
    half = int(np.searchsorted(np.cumsum(data[order]), data.sum() / 2))
    at = sign * float(where[order[min(half, order.size - 1)]])
    low, high = float(box.low[row]), float(box.high[row])
    if box.by == "given":
        at = np.floor(at) + 0.5
    if not low + tolerances.DATA * abs(high) < at < high - tolerances.DATA * abs(high):
        at = (low + high) / 2
        if not low < at < high or high - low <= tolerances.DATA * abs(high):
            return None
    return float(min(burden[below[late]].sum(), burden[counting[early]].sum())), at


def decided(relaxation: Relaxation, box: Box, value: Value) -> Box:
    """The box with every place decided: where the relaxation would cut."""
    if box.by == "designed":
        return box
    at = np.empty(relaxation.zones.rows)
    place = places(box, value.burden)
    for row in range(relaxation.zones.rows):
        found = conflict(relaxation, box, value, row)
        if found is not None:
            at[row] = found[1]
            continue
        below = place[(relaxation.points.zone[value.chosen] <= row) & (value.burden > 0)]
        last = below.min(initial=inf) if box.by == "large-first" else below.max(initial=0.0)
        at[row] = np.clip(last, box.low[row], box.high[row])
    ordered = np.minimum.accumulate(at) if box.by == "large-first" else np.maximum.accumulate(at)
    return at_places(box, ordered)


def at_places(box: Box, at: FloatArray) -> Box:
    """The box of just these cutoffs (M,), apart: ties would be broken by position."""
    apart = MARGIN * np.abs(at)
    return replace(box, low=at + apart, high=at - apart)


def sliced(
    relaxation: Relaxation,
    box: Box,
    value: Value,
    longest: Callable[[int, Box], float],
    cutoff: float,
) -> tuple[float, Box]:
    """A better bound for the box at the prices of `value`, and what of it is below `cutoff`.

    :longest: the most data of a user below a row in a box
    """
    wide = [row for row in range(relaxation.zones.rows) if box.low[row] < box.high[row]]
    if box.by == "designed" or not wide:
        return value.bound, box
    reduced = reduced_weight(relaxation, value.prices)
    edges = np.array([np.linspace(box.low[row], box.high[row], _SLICES + 1) for row in wide])
    found = [
        _dearer(relaxation, box, value, reduced, row, ends)
        for row, ends in zip(wide, edges, strict=True)
    ]
    most = np.zeros((len(wide), value.chosen.size))
    for number, (mine, dearer) in enumerate(found):
        most[number, mine] = dearer.max(axis=0, initial=0.0)
    # The key's own additional cost does not count: nobody's counts for more than `cap`.
    cap = inf
    if relaxation.keys:
        rank = min(_CAPPED * len(relaxation.keys), value.chosen.size - 1)
        cap = float(np.sort(most.max(axis=0))[::-1][rank])
    share = most / np.maximum(most.sum(axis=0), tolerances.TINY)
    costs = np.empty((len(wide), _SLICES))
    for number, (row, (mine, dearer)) in enumerate(zip(wide, found, strict=True)):
        costs[number] = (np.minimum(dearer, cap) * share[number, mine]).sum(axis=1)
        for place in range(_SLICES):
            there = box.only(row, *edges[number, place : place + 2].tolist())
            asked = (
                max(float(relaxation.zones.gap[row]) - longest(row, there), 0.0)
                - relaxation.asked[row]
            )
            costs[number, place] += max(0.0, float(asked * value.prices[1 + row]))
    floor = value.bound - (len(relaxation.keys) * cap if relaxation.keys else 0.0)
    cheapest = costs.min(axis=1)
    bound = max(value.bound, floor + float(cheapest.sum()))
    for number, row in enumerate(wide):
        kept = np.flatnonzero(floor + (cheapest.sum() - cheapest[number]) + costs[number] < cutoff)
        if not kept.size:
            return inf, box
        low, high = edges[number, kept[0]], edges[number, kept[-1] + 1]
        box = box.only(row, max(low, box.low[row]), min(high, box.high[row]))
    return bound, box


def _dearer(
    relaxation: Relaxation, box: Box, value: Value, reduced: FloatArray, row: int, edges: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Users (m,) whose chosen points not all of the row's range allows, and what each slice of it
    adds to their reduced weights, money, (slices, m). In their cells these are linear."""
    zone, place = relaxation.points.zone[value.chosen], places(box, value.burden)
    first, last = (edges[-1], edges[0]) if box.by == "large-first" else (edges[0], edges[-1])
    sign = -1.0 if box.by == "large-first" else 1.0
    late, early = sign * (place - first) > 0, sign * (place - last) < 0
    off = ((zone == row) & late) | ((zone == row + 1) & early)
    mine = np.flatnonzero(off & (value.burden > 0))
    zone = relaxation.points.zone
    others = (zone != row) & (zone != row + 1) | (np.arange(zone.size) == 0)
    base = reduced[others][:, mine].min(axis=0)
    dearer = np.empty((edges.size - 1, mine.size))
    cells = []
    for own in (row, row + 1):
        upper = np.flatnonzero(zone[2::2] == own) * 2 + 2
        ends = [
            it[np.ix_(at, mine)]
            for it in (relaxation.points.burden, reduced)
            for at in (upper - 1, upper)
        ]
        cells.append(ends)
    for slot in range(edges.size - 1):
        low, high = float(edges[slot]), float(edges[slot + 1])
        least = base
        for own, ends in enumerate(cells):
            # Zone `row` comes before the last place of the slice, the zone above after the first.
            if box.by == "given":
                allowed = place[mine] <= high if own == 0 else place[mine] > low
                here = np.where(allowed, np.minimum(ends[2], ends[3]).min(axis=0, initial=inf), inf)
            elif (own == 0) == (box.by == "small-first"):
                here = _below(ends[0], ends[1], ends[2], ends[3], high).min(axis=0, initial=inf)
            else:
                here = _below(-ends[1], -ends[0], ends[3], ends[2], -low).min(axis=0, initial=inf)
            least = np.minimum(least, here)
        dearer[slot] = least
    return mine, np.clip(dearer - reduced[:, mine].min(axis=0), 0.0, 1e300)


def _below(
    low: FloatArray, high: FloatArray, at_low: FloatArray, at_high: FloatArray, most: float
) -> FloatArray:
    """The least of linear functions on [low, high] ∩ (−∞, most], inf where that is empty."""
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(high > most, (most - low) / (high - low), 1.0)
        end = at_low + part * (at_high - at_low)
    end = np.where(part == 1.0, at_high, end)
    return np.where((low > most) | np.isnan(end), inf, np.minimum(at_low, end))

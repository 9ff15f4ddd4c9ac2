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
from mechopt.known.sequential.points import Box, Points, of_users, within
from mechopt.known.sequential.relaxation import Relaxation, Value, reduced_weight
from mechopt.problem.aims import MARGIN

_SLICES = 10  # of every row's range
_CAPPED = 8  # users per key whose additional cost is cut to that of the next


def places(box: Box, burden: FloatArray) -> FloatArray:
    """Where users come in the order, given what they are asked for, (n,)."""
    return burden if box.place is None else box.place.astype(float)


def conflict(task: Relaxation, box: Box, value: Value, row: int) -> tuple[float, float] | None:
    """(data, place): users below the row who come after some who count at it, and where to cut."""
    if box.by == "designed":
        return None
    grid, chosen, burden = task.points, value.chosen, value.burden
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


def decided(task: Relaxation, box: Box, value: Value) -> Box:
    """The box with every place decided: where the relaxation would cut."""
    if box.by == "designed":
        return box
    at = np.empty(task.zones.rows)
    place = places(box, value.burden)
    for row in range(task.zones.rows):
        found = conflict(task, box, value, row)
        if found is not None:
            at[row] = found[1]
            continue
        below = place[(task.points.zone[value.chosen] <= row) & (value.burden > 0)]
        last = below.min(initial=inf) if box.by == "large-first" else below.max(initial=0.0)
        at[row] = np.clip(last, box.low[row], box.high[row])
    ordered = np.minimum.accumulate(at) if box.by == "large-first" else np.maximum.accumulate(at)
    return at_places(box, ordered)


def at_places(box: Box, at: FloatArray) -> Box:
    """The box of just these cutoffs (M,), apart: ties would be broken by position."""
    apart = MARGIN * np.abs(at)
    return replace(box, low=at + apart, high=at - apart)


def sliced(
    task: Relaxation,
    whole: Points,
    box: Box,
    value: Value,
    weigh: Callable[[Points], FloatArray],
    longest: Callable[[int, Box], float],
    cutoff: float,
) -> tuple[float, Box]:
    """A better bound for the box at the prices of `value`, and what of it is below `cutoff`.

    :whole: the points without the box; longest : the most data of a user below a row in a box
    """
    prices, rows = value.prices, task.zones.rows
    open_rows = [row for row in range(rows) if box.low[row] < box.high[row]]
    if box.by == "designed" or not open_rows:
        return value.bound, box
    reduced = reduced_weight(task, prices)
    at_best, zone = reduced.min(axis=0), task.points.zone
    edges = [np.linspace(box.low[row], box.high[row], _SLICES + 1) for row in open_rows]
    dearer, users = [], []
    most = np.zeros((len(open_rows), at_best.size))
    for number, row in enumerate(open_rows):
        mine = _affected(task, box, value, row)
        part = of_users(whole, mine, (whole.zone == row) | (whole.zone == row + 1))
        others = reduced[(zone != row) & (zone != row + 1) | (np.arange(zone.size) == 0)]
        otherwise = others[:, mine].min(axis=0)
        there = box if box.place is None else replace(box, place=box.place[mine])
        some = replace(task, points=part)
        added = np.empty((_SLICES, mine.size))
        for place in range(_SLICES):
            low, high = float(edges[number][place]), float(edges[number][place + 1])
            grid = within(part, there.only(row, low, high))
            some = replace(task, points=grid, weight=weigh(grid))
            least = reduced_weight(some, prices, mine).min(axis=0)
            added[place] = np.minimum(least, otherwise) - at_best[mine]
        dearer.append(np.maximum(added, 0.0))
        users.append(mine)
        most[number, mine] = np.minimum(dearer[-1], 1e300).max(axis=0, initial=0.0)
    # The key's own additional cost does not count: nobody's counts for more than `cap`.
    together = most.max(axis=0)
    cap = inf
    if task.keys:
        rank = min(_CAPPED * len(task.keys), together.size - 1)
        cap = float(np.sort(together)[::-1][rank])
    share = most / np.maximum(most.sum(axis=0), 1e-300)
    costs = []
    for number, row in enumerate(open_rows):
        mine = users[number]
        cost = (np.minimum(dearer[number], cap) * share[number, mine]).sum(axis=1)
        for place in range(_SLICES):
            low, high = float(edges[number][place]), float(edges[number][place + 1])
            most_data = longest(row, box.only(row, low, high))
            asked = max(float(task.zones.gap[row]) - most_data, 0.0) - float(task.asked[row])
            cost[place] += max(0.0, asked) * float(prices[1 + row])
        costs.append(cost)
    floor = value.bound - (len(task.keys) * cap if task.keys else 0.0)
    cheapest = np.array([cost.min() for cost in costs])
    bound = max(value.bound, floor + float(cheapest.sum()))
    for number, row in enumerate(open_rows):
        there = floor + float(cheapest.sum() - cheapest[number]) + costs[number]
        kept = np.flatnonzero(there < cutoff)
        if not kept.size:
            return inf, box
        low, high = edges[number][kept[0]], edges[number][kept[-1] + 1]
        box = box.only(row, max(low, box.low[row]), min(high, box.high[row]))
    return bound, box


def _affected(task: Relaxation, box: Box, value: Value, row: int) -> IntArray:
    """Users (m,) whose chosen points not all of the row's range allows."""
    zone, place = task.points.zone[value.chosen], places(box, value.burden)
    low, high = float(box.low[row]), float(box.high[row])
    if box.by == "large-first":
        off = ((zone == row) & (place < high)) | ((zone == row + 1) & (place > low))
    else:
        off = ((zone == row) & (place > low)) | ((zone == row + 1) & (place < high))
    return np.flatnonzero(off & (value.burden > 0))

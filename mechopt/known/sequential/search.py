"""Branch and bound on what the zone relaxation leaves open, with plans rounded on the way.

A node decides, from the highest row down, whether anybody is in a zone below the row; then, for
each row in force, between which bounds the shortfall d_m lies that a key user makes good (whoever
is the key gives δ x ≥ d_m himself), and between which bounds the last user below the row comes in
the order. Every node is a Lagrangian bound; the least bound of the open nodes holds for all plans.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, product
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.known.burdens.simultaneous_level import LevelSolution
from mechopt.known.sequential.plans import improved
from mechopt.known.sequential.points import Box, Points, points
from mechopt.known.sequential.relaxation import Relaxation, Value, best_prices
from mechopt.known.sequential.rounding import best_keys, plan_at
from mechopt.known.sequential.task import Task, given_order
from mechopt.problem.aims import MARGIN
from mechopt.problem.zones import Zones, zones

_NODES = 400  # at most
_WORK = 2e9  # points evaluated, at most
# Users chosen again to complete a plan, and seconds for the MILP (and for making the plan milder).
_TRIES = ((300, 0.5), (1000, 2.0))
_SPARE = 2e-3  # of the longest burden: data beyond what the rows ask for
_KEPT = 2e-3  # relative: a plan this close to what was promised is good enough
_FINISHING = 0.15  # of the time: to complete plans after the search
_PROMISING = 12  # nodes that all are asked what plans they promise; later ones every other time
_BALANCED = 1e-8  # relative: prices so good that the points chosen balance the rows
_NEAR = 0.1  # how far prices may move at first, from those of a similar problem
_WORTH = 2e-4  # relative: what a plan must promise to be worth completing
_PRECISE = 1e-6  # relative: a branch that promises less than this is not worth it


@dataclass(frozen=True, eq=False)
class Node:
    """Rows from `first` on are in force; the zones below are one, with the loss of zone `lowest`.

    short_low, short_high (M − first,) : bounds on d_m, data; box : bounds on the order
    """

    first: int
    lowest: int
    short_low: FloatArray
    short_high: FloatArray
    box: Box
    zones: Zones
    relaxation: Relaxation
    value: Value


class Search:
    """The open nodes, the best plan and the bound of one level's problem."""

    def __init__(self, task: Task, best: LevelSolution | None, floor: float) -> None:
        self.task, self.best, self.floor = task, best, floor
        self.whole = zones(task.below, task.reserve)
        self.box = _whole_box(task, self.whole.rows)
        self.threats = self._with_threats()
        self.heap: list[tuple[float, int, Node]] = []
        self.number = count()
        self.settled = inf  # the least bound of nodes that cannot be split further
        self.work = 0.0
        self.promised: list[float] = []  # what plans would cost, but for rounding …
        self.promises: list[Any] = []  # … and those that have not been completed

    # -- the bound ------------------------------------------------------------------------------

    @property
    def bound(self) -> float:
        least = min(self.heap[0][0] if self.heap else inf, self.settled)
        return max(self.floor, min(least, self.value))

    @property
    def value(self) -> float:
        if self.best is None or self.best.answer.allocation is None:
            return inf
        return self.best.answer.allocation.value

    def run(self) -> None:
        """Until plan and bound meet, nothing is left to split, or the effort is spent."""
        began, end = perf_counter(), self.task.deadline
        until = end - _FINISHING * max(0.0, end - began)
        self._open(*self._root())
        due = 0
        for nodes in range(_NODES):
            if not self.heap or perf_counter() > until or self.work > _WORK:
                break
            if self.heap[0][0] >= self.value - _PRECISE * abs(self.value):
                return
            _, _, node = heapq.heappop(self.heap)
            if node.first == 0 or node.lowest:
                if nodes < _PROMISING or nodes % 2:
                    self._promise(node)
                if nodes >= due and self.promises:
                    due = nodes + 1 if self.task.designed else 2 * nodes + 4
                    self._fulfil()
                if node.value.bound >= self.value - _PRECISE * abs(self.value):
                    self.settled = min(self.settled, node.value.bound)
                    continue
            children = list(self._children(node))
            if not children:
                self.settled = min(self.settled, node.value.bound)
            for child in children:
                self._open(*child, parent=node)
        while self.promises and perf_counter() < end:
            self._fulfil()

    def _open(
        self,
        first: int,
        lowest: int,
        short: tuple[FloatArray, FloatArray],
        box: Box,
        parent: Node | None = None,
    ) -> None:
        """Bound a node and keep it, unless it is no better than the best plan or empty."""
        part = self.whole.keep(first, lowest)
        unchanged = parent is not None and parent.box is box and parent.zones.rows == part.rows
        if unchanged and parent is not None and parent.lowest == lowest:
            grid, weight = parent.relaxation.points, parent.relaxation.weight
        else:
            grid = points(part, box, paid=self.task.budget > 0)
            weight = _weight(self.task, grid)
        low, high = short
        asked = np.where(self.threats[first:], np.maximum(part.gap - high, 0.0), 0.0)
        keys = tuple((row, float(low[row])) for row in np.flatnonzero(low > 0).tolist())
        relaxation = Relaxation(part, grid, weight, asked, keys, _budget(self.task))
        start = None if parent is None else _prices_from(parent, relaxation)
        value = best_prices(
            relaxation,
            start,
            cutoff=self.value,
            deadline=self.task.deadline,
            room=0.5 if parent is None or parent.zones.rows != part.rows else _NEAR,
        )
        self.work += value.evaluations * grid.burden.size
        bound = value.bound if parent is None else max(value.bound, parent.value.bound)
        if bound == inf:
            return
        value = replace(value, bound=bound)
        node = Node(first, lowest, low, high, box, part, relaxation, value)
        heapq.heappush(self.heap, (bound, next(self.number), node))

    def _root(self) -> tuple[int, int, tuple[FloatArray, FloatArray], Box]:
        rows = self.whole.rows
        return rows, 0, (np.zeros(0), np.zeros(0)), self.box.keep(rows)

    # -- branching ------------------------------------------------------------------------------

    def _children(
        self, node: Node
    ) -> Iterator[tuple[int, int, tuple[FloatArray, FloatArray], Box]]:
        low, high = node.short_low, node.short_high
        if node.first and not node.lowest:
            yield node.first, node.first, (low, high), node.box
            row = node.first - 1
            most = self._longest(row, self.box)
            gap = float(self.whole.gap[row])
            if self.threats[row]:
                short = np.append(0.0, low), np.append(most, high)
            elif most >= gap:
                short = np.append(gap, low), np.append(gap, high)
            else:
                return
            yield row, 0, short, self.box.keep(row)
            return
        scores: list[tuple[float, int, str, float]] = []
        for row in range(node.zones.rows):
            price = float(node.value.prices[1 + row])
            at = _longest_key(node, row)
            if at <= low[row] * (1 + tolerances.SOLVER):  # the key just gives what he must
                at = (low[row] + high[row]) / 2
            if self.threats[node.first + row] and low[row] < at < high[row]:
                scores.append((price * (high[row] - at), row, "short", at))
            conflict = _conflict(node, row)
            if conflict is not None:
                scores.append((price * conflict[0], row, "order", conflict[1]))
        if not scores:
            return
        score, row, kind, at = max(scores)
        if score <= _PRECISE * abs(node.value.bound):
            return
        if kind == "short":
            for below in (True, False):
                one, other = low.copy(), high.copy()
                (other if below else one)[row] = at
                yield node.first, node.lowest, (one, other), node.box
            return
        for below in (True, False):
            box_low, box_high = node.box.low.copy(), node.box.high.copy()
            (box_high if below else box_low)[row] = at
            box = replace(node.box, low=box_low, high=box_high)
            shorter = high.copy()
            most = self._longest(row, box)
            shorter[row] = min(shorter[row], most) if self.threats[node.first + row] else high[row]
            if shorter[row] >= low[row]:
                yield node.first, node.lowest, (low, shorter), box

    def _longest(self, row: int, box: Box) -> float:
        """The most data that one user below the row can take away."""
        instance = self.task.instance
        most = instance.capacity
        if self.task.budget < inf:
            most = np.minimum(most, instance.affordable(self.task.gain + self.task.budget))
        if box.by == "small-first":
            most = np.minimum(most, box.high[row])
        return float((instance.removable * most).max(initial=0.0))

    def _with_threats(self) -> BoolArray:
        """(M,): whether anybody can be kept above a row and be unwilling at it."""
        whole = self.whole
        above, needed = whole.loss[1:], whole.step + MARGIN * whole.gain
        return np.asarray((above > needed).any(axis=1))

    # -- plans ----------------------------------------------------------------------------------

    def _promise(self, node: Node) -> None:
        """What a plan with the order of the node's relaxation would cost, but for rounding."""
        task = self.task
        box = _decided(node)
        grid = points(node.zones, box, paid=task.budget > 0, margin=2 * MARGIN)
        weight = _weight(task, grid)
        relaxation = Relaxation(node.zones, grid, weight, node.zones.gap, (), _budget(task))
        value = node.value
        best = min(self.value, *self.promised) if self.promised else self.value
        for _ in range(2):
            keys = best_keys(relaxation, value.prices, designed=task.designed)
            asked = np.maximum(node.zones.gap - _made_good(relaxation, keys), 0.0)
            value = best_prices(
                replace(relaxation, asked=asked),
                value.prices,
                cutoff=best,
                deadline=task.deadline,
                room=_NEAR,
            )
            self.work += value.evaluations * grid.burden.size
            if value.bound >= best * (1 - _WORTH):
                return
        self.promised.append(value.bound)
        heapq.heappush(self.promises, (value.bound, next(self.number), relaxation, value, keys))

    def _fulfil(self) -> None:
        """Complete the most promising plan."""
        task = self.task
        promised, _, relaxation, value, keys = heapq.heappop(self.promises)
        if promised >= self.value * (1 - _WORTH):
            self.promises.clear()
            return
        asked = np.maximum(relaxation.zones.gap - _made_good(relaxation, keys), 0.0)
        value = best_prices(
            replace(relaxation, asked=asked),
            value.prices,
            deadline=task.deadline,
            close=_BALANCED,
            room=_NEAR,
        )
        longest = self._longest(0, self.box)
        # With rows met exactly everything is a tie, and the recursion has to tell subsets apart.
        spares = (_SPARE * longest, longest) if relaxation.zones.rows > 1 else (0.0,)
        for (core, seconds), spare in product(_TRIES, spares):
            left = max(0.1, min(seconds, 0.3 * (task.deadline - perf_counter())))
            candidate = plan_at(
                relaxation,
                value,
                keys,
                designed=task.designed,
                time_limit=left,
                core_size=core,
                spare=spare,
            )
            if candidate is not None:
                until = perf_counter() + left
                self.best = improved(task, candidate, self.best, until)
            if self.value <= promised * (1 + _KEPT) or perf_counter() > task.deadline:
                return


def _whole_box(task: Task, rows: int) -> Box:
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


def _budget(task: Task) -> float:
    return task.budget if task.quantity == "cost" and task.budget > 0 else inf


def _weight(task: Task, grid: Points) -> FloatArray:
    """What is minimised; without payments the least cost, for "pay" as well."""
    if task.quantity == "pay" and task.budget > 0:
        return grid.need
    return np.where(grid.need < inf, grid.cost, inf)


def _prices_from(parent: Node, relaxation: Relaxation) -> FloatArray:
    """The parent's prices, 0 for a new row."""
    rows = relaxation.zones.rows
    fresh = rows - parent.zones.rows
    prices = parent.value.prices
    return np.concatenate((prices[:1], np.zeros(max(fresh, 0)), prices[1:][-len(prices) + 1 :]))


def _made_good(relaxation: Relaxation, keys: list[tuple[int, int]]) -> FloatArray:
    """The most data of the keys, row by row, (M,)."""
    grid, removable = relaxation.points, relaxation.zones.instance.removable
    most = np.zeros(relaxation.zones.rows)
    for user, point in keys:
        own = removable[user] * grid.burden[point, user]
        most = np.maximum(most, grid.key[grid.code[point, user]] * own)
    return most


def _longest_key(node: Node, row: int) -> float:
    return float(_longest_keys(node)[row])


def _longest_keys(node: Node) -> FloatArray:
    """The most data of a user who can be the key of each row at the chosen points, (rows,)."""
    grid, value = node.relaxation.points, node.value
    own = node.zones.instance.removable * value.burden
    able = grid.key[grid.code[value.chosen, np.arange(own.size)]]
    return (able * own[:, None]).max(axis=0, initial=0.0)


def _places(node: Node, users: IntArray) -> FloatArray:
    """Where users come in the order, given what they are asked for."""
    box = node.box
    if box.by == "given":
        assert box.place is not None
        return box.place[users].astype(float)
    return node.value.burden[users]


def _conflict(node: Node, row: int) -> tuple[float, float] | None:
    """(data, place): users below the row who come after some who count at it, and where to cut."""
    if node.box.by == "designed":
        return None
    grid, chosen = node.relaxation.points, node.value.chosen
    everyone = np.arange(chosen.size)
    burden = node.value.burden
    below = np.flatnonzero((grid.zone[chosen] <= row) & (burden > 0))
    counting = np.flatnonzero(grid.table[grid.code[chosen, everyone], row] & (burden > 0))
    if not below.size or not counting.size:
        return None
    sign = -1.0 if node.box.by == "large-first" else 1.0
    one, other = sign * _places(node, below), sign * _places(node, counting)
    late, early = one > other.min(), other < one.max()
    if not late.any() or not early.any():
        return None
    where = np.concatenate((one[late], other[early]))
    data = np.concatenate((burden[below[late]], burden[counting[early]]))
    order = np.argsort(where, kind="stable")
    half = int(np.searchsorted(np.cumsum(data[order]), data.sum() / 2))
    at = sign * float(where[order[min(half, order.size - 1)]])
    low, high = float(node.box.low[row]), float(node.box.high[row])
    if node.box.by == "given":
        at = np.floor(at) + 0.5
    if not low + tolerances.DATA * abs(high) < at < high - tolerances.DATA * abs(high):
        at = (low + high) / 2
        if not low < at < high or high - low <= tolerances.DATA * abs(high):
            return None
    return float(min(burden[below[late]].sum(), burden[counting[early]].sum())), at


def _decided(node: Node) -> Box:
    """The box with every place decided: where the relaxation would cut."""
    if node.box.by == "designed":
        return node.box
    at = np.empty(node.zones.rows)
    for row in range(node.zones.rows):
        conflict = _conflict(node, row)
        if conflict is not None:
            at[row] = conflict[1]
            continue
        grid, chosen = node.relaxation.points, node.value.chosen
        below = np.flatnonzero((grid.zone[chosen] <= row) & (node.value.burden > 0))
        places = _places(node, below)
        last = places.min(initial=inf) if node.box.by == "large-first" else places.max(initial=0.0)
        at[row] = np.clip(last, node.box.low[row], node.box.high[row])
    ordered = (
        np.minimum.accumulate(at) if node.box.by == "large-first" else np.maximum.accumulate(at)
    )
    apart = MARGIN * np.abs(ordered)  # ties would be broken by position
    return replace(node.box, low=ordered + apart, high=ordered - apart)

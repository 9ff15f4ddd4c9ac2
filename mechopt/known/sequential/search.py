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

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray
from mechopt.known.levels import LevelAnswer
from mechopt.known.sequential.cutoffs import at_places, conflict, decided, sliced, whole_box
from mechopt.known.sequential.plans import improved
from mechopt.known.sequential.points import Box, Points, points, within
from mechopt.known.sequential.prices import CLOSE, best_prices
from mechopt.known.sequential.relaxation import Relaxation, Value
from mechopt.known.sequential.rounding import best_keys, made_good, plan_at
from mechopt.known.sequential.task import SequentialTask
from mechopt.problem.aims import MARGIN
from mechopt.problem.zones import Zones, zones

_NODES, _WORK = 1000, 2e9  # nodes and points evaluated, at most
# Users chosen again to complete a plan, and seconds for the MILP.
_TRIES = ((300, 0.5), (1000, 2.0))
_SPARES, _LEAST = (0.3, 0.2, 0.1), 2e-3  # of the longest burden: data beyond what rows ask for
_KEPT, _GOOD = 2e-3, 2e-2  # relative: so close to what was promised a plan will do (several rows)
_FINISHING, _COMPLETING = 0.15, 0.4  # of the time, for plans: after the search, and meanwhile
_PROMISING = 12  # nodes that all are asked what plans they promise; later ones every other time
_BALANCED = 1e-8  # relative: prices so good that the points chosen balance the rows
_NEAR = 0.1  # how far prices may move at first, from those of a similar problem
_WORTH = 2e-4  # relative: what a plan must promise to be worth completing
# Of the longest burden: by how much cutoffs move at first, last; moves per cutoff, at most.
_MOVED, _NEAREST, _TRIED = 0.08, 0.002, 30
_MOVING = 20_000  # users up to which they are moved
# Of the range: a cutoff known so well is split last; of the price of data: what a slack row counts.
_NARROW, _FREE = 0.05, 1e-3
_SLACK = 0.03  # of what a node's bound is below the best plan: how good its prices need to be
_SHRINKING = 3  # times a node is bounded, in smaller and smaller boxes
_PRECISE = 1e-6  # relative: a branch that promises less than this is not worth it


@dataclass(frozen=True, eq=False)
class Node:
    """Rows from `first` on are in force; the zones below are one, with the loss of zone `lowest`.

    short_low, short_high (M − first,) : bounds on d_m, data; box : bounds on the order; bounded :
    those of the relaxation, of which the box is what has not been excluded
    """

    first: int
    lowest: int
    short_low: FloatArray
    short_high: FloatArray
    box: Box
    bounded: Box
    zones: Zones
    relaxation: Relaxation
    value: Value


# (first, lowest, bounds on d_m, box) of a node to be opened.
Child = tuple[int, int, tuple[FloatArray, FloatArray], Box]


@dataclass(frozen=True, eq=False)
class Split:
    """Whether anybody is below a `row`, or at a cut: of its shortfall d ("short", data) or of the
    `place` of its key (as in `Box`).

    :sides: the nodes, None for one that is empty
    """

    of: str
    row: int
    cut: float
    sides: dict[str, Child | None]


@dataclass(frozen=True, eq=False)
class Promise:
    """Prices and keys (user, point) of a plan to be completed, and what it costs but for rounding.

    relaxation : with every cutoff decided, and the rows less what the keys make good
    """

    cost: float
    relaxation: Relaxation
    value: Value
    keys: list[tuple[int, int]]


class ZoneSearch:
    """The open nodes, the best plan and the bound of one level's problem."""

    def __init__(
        self,
        task: SequentialTask,
        best: LevelAnswer | None,
        floor: float,
        *,
        slicing: bool = True,
    ) -> None:
        self.task, self.best, self.floor, self.slicing = task, best, floor, slicing
        self.whole = zones(task.below, task.reserve)
        self.box = whole_box(task, self.whole.rows)
        self.width = self.box.high - self.box.low
        self.threats = self._with_threats()
        self.known: dict[tuple[int, int, float], Points] = {}
        self.heap: list[tuple[float, int, Node]] = []
        self.number = count()
        self.settled = inf  # the least bound of nodes that cannot be split further
        self.work = 0.0
        self.cutoffs: FloatArray | None = None  # of the best promise; at first, to begin with
        self.promised: list[float] = []  # what plans would cost, but for rounding …
        self.promises: list[tuple[float, int, Promise]] = []  # … and those not yet completed
        self.filling: Iterator[None] | None = None  # the one being completed, step by step
        self.completing = 0.0  # seconds spent on that

    # -- the bound ------------------------------------------------------------------------------

    @property
    def bound(self) -> float:
        least = min(self.heap[0][0] if self.heap else inf, self.settled)
        return max(self.floor, min(least, self.value))

    @property
    def value(self) -> float:
        if self.best is None or self.best.allocation is None:
            return inf
        return self.best.allocation.value

    def run(self) -> None:
        """Until plan and bound meet, nothing is left to split, or the effort is spent."""
        began, end = perf_counter(), self.task.deadline
        until = end - _FINISHING * max(0.0, end - began)
        self.open(self.root())
        for nodes in range(_NODES):
            if not self.heap or perf_counter() > until or self.work > _WORK:
                break
            if self.heap[0][0] >= self.value - _PRECISE * abs(self.value):
                return
            _, _, node = heapq.heappop(self.heap)
            if node.first == 0 or node.lowest:
                if nodes < _PROMISING or nodes % 2:
                    self._promise(node)
                spent = perf_counter() - began
                ready = self.promises or self.filling
                if ready and (self.value == inf or self.completing < _COMPLETING * spent):
                    self._fulfil()
                if node.value.bound >= self.value - _PRECISE * abs(self.value):
                    self.settled = min(self.settled, node.value.bound)
                    continue
            split = self.split(node)
            if split is None:
                self.settled = min(self.settled, node.value.bound)
                continue
            for child in split.sides.values():
                if child is not None:
                    self.open(child, parent=node)
        while (self.promises or self.filling) and perf_counter() < end:
            self._fulfil()

    def open(self, child: Child, parent: Node | None = None) -> Node | None:
        """Bound a node and keep it; None if it is empty."""
        first, lowest, short, box = child
        part = self.whole.keep(first, lowest)
        same = parent is not None and (parent.first, parent.lowest) == (first, lowest)
        low, high = short
        bound = 0.0 if parent is None else parent.value.bound
        room = _NEAR if parent is not None and parent.zones.rows == part.rows else 0.5
        start, task = None, self.task
        whole = first == 0 and parent is not None and parent.first > 0  # the first with all rows
        for _ in range(_SHRINKING):
            if same and parent is not None and parent.bounded is box:
                grid, weight = parent.relaxation.points, parent.relaxation.weight
            else:
                grid = within(self._points(first, lowest), box)
                weight = _weight(task, grid)
            asked = np.where(self.threats[first:], np.maximum(part.gap - high, 0.0), 0.0)
            keys = tuple((row, float(low[row])) for row in np.flatnonzero(low > 0).tolist())
            relaxation = Relaxation(part, grid, weight, asked, keys, task.spendable)
            if start is None and parent is not None:
                start = _prices_from(parent, relaxation)
            value = best_prices(
                relaxation,
                start,
                cutoff=self.value,
                deadline=task.deadline,
                room=room,
                slack=0.0 if whole else _SLACK,
                close=_PRECISE if whole else CLOSE,
            )
            self.work += value.evaluations * grid.burden.size
            bounded, bound = box, max(bound, value.bound)
            if self.slicing and bound < self.value and perf_counter() < task.deadline:
                better, box = sliced(relaxation, box, value, self._longest, self.value)
                bound = max(bound, better)
            if bound == inf or box.empty:
                return None
            high = self._shorter(first, high, box)
            if (high < low).any():
                return None
            start, room = value.prices, _NEAR
            if not _smaller(box, bounded):
                break
        value = replace(value, bound=bound)
        node = Node(first, lowest, low, high, box, bounded, part, relaxation, value)
        heapq.heappush(self.heap, (bound, next(self.number), node))
        return node

    def _points(self, first: int, lowest: int, margin: float = 0.0) -> Points:
        """The points in any order of the rows from `first` on."""
        if (first, lowest, margin) not in self.known:
            paid = self.task.budget > 0
            zones = self.whole.keep(first, lowest)
            self.known[first, lowest, margin] = points(zones, paid=paid, margin=margin)
        return self.known[first, lowest, margin]

    def root(self) -> Child:
        rows = self.whole.rows
        return rows, 0, (np.zeros(0), np.zeros(0)), self.box.keep(rows)

    # -- branching ------------------------------------------------------------------------------

    def split(self, node: Node) -> Split | None:
        """How a node is split, if anything is left that would raise its bound."""
        low, high = node.short_low, node.short_high
        if node.first and not node.lowest:
            row = node.first - 1
            nobody: Child = (node.first, node.first, (low, high), node.box)
            most = self._longest(row, self.box)
            gap = float(self.whole.gap[row])
            least, most = (0.0, most) if self.threats[row] else (gap, min(most, gap))
            short = np.append(least, low), np.append(most, high)
            some = None if most < least else (row, 0, short, self.box.keep(row))
            return Split("row", row, 0.0, {"nobody": nobody, "somebody": some})
        scores: list[tuple[bool, float, int, str, float]] = []
        longest = _longest_keys(node)
        for row in range(node.zones.rows):
            price = float(node.value.prices[1 + row])
            at = float(longest[row])
            if at <= low[row] * (1 + tolerances.SOLVER):  # the key just gives what he must
                at = (low[row] + high[row]) / 2
            if self.threats[node.first + row] and low[row] < at < high[row]:
                scores.append((True, price * (high[row] - at), row, "short", at))
            cut = conflict(node.relaxation, node.box, node.value, row)
            if cut is not None:
                width = (node.box.high - node.box.low)[row] / self.width[node.first + row]
                price = max(price, _FREE * float(node.value.prices[0]))
                scores.append((width > _NARROW, price * cut[0], row, "place", cut[1]))
        scores = [one for one in scores if one[1] > _PRECISE * abs(node.value.bound)]
        if not scores:
            return None
        _, _, row, of, at = max(scores)
        sides: dict[str, Child | None] = {}
        for side in ("below", "above"):
            if of == "short":
                one, other = low.copy(), high.copy()
                (other if side == "below" else one)[row] = at
                sides[side] = node.first, node.lowest, (one, other), node.box
                continue
            ends = (node.box.low[row], at) if side == "below" else (at, node.box.high[row])
            box = node.box.only(row, *map(float, ends))
            shorter = self._shorter(node.first, high, box)
            empty = box.empty or (shorter < low).any()
            sides[side] = None if empty else (node.first, node.lowest, (low, shorter), box)
        return Split(of, node.first + row, at, sides)

    def _shorter(self, first: int, high: FloatArray, box: Box) -> FloatArray:
        """The bounds from above on d_m, as far as users below the rows can make good, (rows,)."""
        most = np.array([self._longest(row, box) for row in range(high.size)])
        return np.where(self.threats[first:], np.minimum(high, most), high)

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
        best = min(self.value, *self.promised) if self.promised else self.value
        box = decided(node.relaxation, node.box, node.value)
        if not self.promised and self.cutoffs is not None:
            box = at_places(node.box, self.cutoffs[node.first :])
        first = Promise(node.value.bound, node.relaxation, node.value, [])
        found = self._promised_at(node, box, first, best)
        if found is None:
            return
        if box.by in ("small-first", "large-first"):
            if self.task.instance.n <= _MOVING:
                found, box = self._moved(node, box, found)
            if node.first == 0 and found.cost < best:
                self.cutoffs = box.low
        self.promised.append(found.cost)
        heapq.heappush(self.promises, (found.cost, next(self.number), found))

    def _promised_at(self, node: Node, box: Box, near: Promise, best: float) -> Promise | None:
        """The promise of cutoffs decided, if it is below `best`; prices start from those near."""
        task = self.task
        grid = within(self._points(node.first, node.lowest, margin=2 * MARGIN), box)
        weight = _weight(task, grid)
        value = near.value
        for _ in range(1 if near.keys else 2):
            relaxation = Relaxation(node.zones, grid, weight, node.zones.gap, (), task.spendable)
            keys = best_keys(relaxation, value.prices, designed=task.designed)
            asked = np.maximum(node.zones.gap - made_good(relaxation, keys), 0.0)
            relaxation = replace(relaxation, asked=asked)
            value = best_prices(
                relaxation, value.prices, cutoff=best, deadline=task.deadline, room=_NEAR
            )
            self.work += value.evaluations * grid.burden.size
            if value.bound >= best * (1 - _WORTH):
                return None
        return Promise(value.bound, relaxation, value, keys)

    def _moved(self, node: Node, box: Box, found: Promise) -> tuple[Promise, Box]:
        """A better promise by moving one cutoff at a time, by less and less."""
        at, step = box.low.copy(), _MOVED * float(self.box.high.max())
        tries = _TRIED * at.size
        while step > _NEAREST * float(self.box.high.max()):
            better = False
            for row, sign in product(range(at.size), (1, -1)):
                moved = at.copy()
                moved[row] += sign * step
                ordered = np.sort(moved) if box.by == "small-first" else np.sort(moved)[::-1]
                tries -= 1
                if tries < 0 or perf_counter() > self.task.deadline:
                    return found, at_places(box, at)
                if (ordered != moved).any() or moved.min() <= 0:
                    continue
                other = self._promised_at(node, at_places(box, moved), found, found.cost)
                if other is not None:
                    found, at, better = other, moved, True
            if not better:
                step /= 2
        return found, at_places(box, at)

    def _fulfil(self) -> None:
        """One step of completing the most promising plan."""
        began = perf_counter()
        if self.filling is None:
            self.filling = self._completed()
        if next(self.filling, self) is self:
            self.filling = None
        self.completing += perf_counter() - began

    def _completed(self) -> Iterator[None]:
        promised, _, found = heapq.heappop(self.promises)
        if promised >= self.value * (1 - _WORTH):
            self.promises.clear()
            return
        several = found.relaxation.zones.rows > 1
        for core, seconds in _TRIES:
            # With rows met exactly everything is a tie, and the recursion tells subsets apart.
            for spare in _SPARES if several else ():
                better = self._filled(found, core, seconds, spare)
                yield
                if not better and spare == _SPARES[0]:
                    self._filled(found, core, seconds, 1.0)
                if not better:
                    break
            self._filled(found, core, seconds, _LEAST if several else 0.0)
            yield
            if self.value <= promised * (1 + (_GOOD if several else _KEPT)):
                return

    def _filled(self, found: Promise, core: int, seconds: float, spare: float) -> bool:
        """Whether the promise, with so much to spare (of the longest burden), is a better plan."""
        task, before = self.task, self.value
        left = min(seconds, 0.3 * (task.deadline - perf_counter()))
        if left <= 0:
            return False
        data = spare * self._longest(0, self.box)
        more = replace(found.relaxation, asked=found.relaxation.asked + data)
        prices = found.value.prices
        value = best_prices(more, prices, deadline=task.deadline, close=_BALANCED, room=_NEAR)
        more = replace(more, asked=more.zones.gap)
        if value.bound >= before:
            return False
        candidate = plan_at(
            more,
            value,
            found.keys,
            designed=task.designed,
            time_limit=left,
            deadline=task.deadline,
            core_size=core,
            spare=data,
        )
        if candidate is not None:
            until = min(perf_counter() + left, task.deadline)
            self.best = improved(task, candidate, self.best, until)
        return self.value < before


def _smaller(box: Box, before: Box) -> bool:
    """Whether the box is so much smaller that new prices are worth finding."""
    width, was = box.high - box.low, before.high - before.low
    return bool((width < 0.6 * was).any())


def _weight(task: SequentialTask, grid: Points) -> FloatArray:
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


def _longest_keys(node: Node) -> FloatArray:
    """The most data of a user who can be the key of each row at the chosen points, (rows,)."""
    grid, value = node.relaxation.points, node.value
    own = node.zones.instance.removable * value.burden
    able = grid.key[grid.code[value.chosen, np.arange(own.size)]]
    return (able * own[:, None]).max(axis=0, initial=0.0)

"""A few users: branch and bound on what the game after a withdrawal relies on.

A node bounds three kinds of numbers from either side: net reversible burdens r_j, totals that are
left when a set of users has gone, and differences of burdens where the order depends on them (in a
designed order, who comes before whom). The rest is a linear program. Where everybody stays at its
solution, the node is solved. Else somebody leaves because the level finally reached without him is
too high, and `Reasons` says why: facts that force it. In every plan he is held as he is, or one of
these facts fails: that is how the node is split, so nothing is lost and the same point never
comes back. Strict inequalities hold by `STRICT`.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from itertools import count
from math import inf
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.arrays import exact_sum
from mechopt.known.levels import LevelAnswer
from mechopt.known.sequential.plans import improved
from mechopt.known.sequential.reasons import (
    STRICT,
    Bounds,
    Key,
    Point,
    Reasons,
    scale_of,
    split,
)
from mechopt.known.sequential.task import Candidate, SequentialTask
from mechopt.problem.instance import Instance
from mechopt.solver import highs, runs
from mechopt.solver.builder import Builder
from mechopt.status import Status
from mechopt.tolerances import TINY

_MOST = 8  # users
_NEAR = STRICT / 20  # of what all users gain: a plan this close to the bound is optimal
_DEAREST = 1e8  # times all gains: what all the data from one user need cost at most
_INSIDE = 1e-12  # of the total: what is met by so much more is met after rounding, too
_TRIED = 16  # nodes between two attempts to make plans of points at which somebody leaves …
_TRYING = 0.05  # … and seconds for each


def small_enough(task: SequentialTask) -> bool:
    return task.instance.n <= _MOST


def by_cases(
    task: SequentialTask, best: LevelAnswer | None, bound: float
) -> tuple[LevelAnswer | None, float]:
    """The least bound of all cases, and the plans found; inf: none is sustained."""
    search = _CaseSearch(task, best)
    least = runs.in_own_thread(lambda: search.run(bound), stop=search.stop)
    value = search.value
    if value - least <= _NEAR * exact_sum(task.gain):
        least = value
    return search.best, max(bound, least)


@dataclass(frozen=True, eq=False)
class _Case:
    bound: float
    bounds: Bounds
    point: Point


class _CaseSearch:
    """The open nodes and the best plan."""

    def __init__(self, task: SequentialTask, best: LevelAnswer | None) -> None:
        self.task, self.best = task, best
        self.program = _CaseProgram(task)
        self.reasons = Reasons(task)
        self.stopped = False
        self.settled = inf  # the least bound of nodes that no plan could be made of

    @property
    def value(self) -> float:
        if self.best is None or self.best.allocation is None:
            return inf
        return self.best.allocation.value

    def stop(self) -> None:
        """End the search at its next node."""
        self.stopped = True

    def run(self, floor: float) -> float:
        """The least bound of all nodes, inf where none is left."""
        near = _NEAR * exact_sum(self.task.gain)
        number = count()
        root = self.program.solve({}, floor)
        heap = [] if root is None else [(root.bound, next(number), root)]
        for turn in count():
            if not heap or heap[0][0] >= self.value - near:
                break
            if self.stopped or perf_counter() > self.task.deadline:
                return min(heap[0][0], self.settled, self.program.undecided)
            bound, _, node = heapq.heappop(heap)
            why = self.reasons.leaves(node.point, node.bounds)
            if why is None:
                self._settle(node, near)
                continue
            if turn % _TRIED == 0:
                self._try(node, min(self.task.deadline, perf_counter() + _TRYING))
            for bounds in split(node.bounds, why, self.reasons.acyclic):
                child = self.program.solve(bounds, bound)
                if child is not None and child.bound < self.value - near:
                    heapq.heappush(heap, (child.bound, -next(number), child))
        return min(heap[0][0] if heap else inf, self.settled, self.program.undecided)

    def _settle(self, node: _Case, near: float) -> None:
        """A plan worth the bound of a node at which everybody stays, or its bound is all there is.

        Where the point is on the edge of a fact the recursion may see what rounding took from it.
        """
        self._try(node, self.task.deadline)
        if node.bound < self.value - near:
            step = {key: 0.0 if key[0] == "r" else _INSIDE for key in node.bounds}
            edges = {
                key: (low + step[key], high - step[key]) for key, (low, high) in node.bounds.items()
            }
            inside = self.program.solve(edges, node.bound)
            if inside is not None:
                self._try(inside, self.task.deadline)
        if node.bound < self.value - near:
            self.settled = min(self.settled, node.bound)

    def _try(self, node: _Case, until: float) -> None:
        """A plan from the point, if it is better than the best one."""
        task, point = self.task, node.point
        spent = point.r * self.program.scale
        burden = np.clip(point.burden * task.total, 0.0, task.instance.capacity)
        order = self.reasons.order(node.point, node.bounds) if task.designed else None
        candidate = Candidate("case by case", burden, spent, burden > 0, order)
        self.best = improved(replace(task, deadline=until), candidate, self.best, until)


def _bounded(task: SequentialTask) -> Instance:
    """The users, with no cost beyond what rules them out: HiGHS takes no 10^15 beside a 1."""
    instance = task.below
    most = _DEAREST * exact_sum(scale_of(task)) / (instance.slopes.max(axis=1) * task.total)
    return instance.replace(cost=np.minimum(instance.cost, most))


class _CaseProgram:
    """The linear program of a node, in units of the total and of what users gain."""

    def __init__(self, task: SequentialTask) -> None:
        self.task, self.users = task, _bounded(task)
        instance, gain = self.users, task.gain
        self.n = instance.n
        self.scale = scale_of(task)
        self.unit = max(float(gain.mean()), TINY)
        self.pays = task.quantity == "pay" and task.budget > 0
        build = Builder()
        self.give, self.rows = [], {}
        total = build.row(1.0, inf)  # more can be worth it: the game is not monotone
        budget = build.row(-inf, task.budget / self.unit) if 0 < task.budget < inf else None
        for user in range(self.n):
            columns = []
            own = build.row(-inf, float(gain[user] / self.scale[user]))
            takes = build.row(-inf, float(gain[user] / self.scale[user]))
            recovered = float(instance.reversibility[user])
            theta = float(instance.cost[user])
            for width, slope in zip(
                instance.widths[user].tolist(), instance.slopes[user].tolist(), strict=True
            ):
                cost = theta * slope * task.total
                weight = 0.0 if self.pays else cost / self.unit
                column = build.column(weight, 0.0, width / task.total)
                columns.append(column)
                build.entry(total, column, 1.0)
                build.entry(own, column, recovered * cost / float(self.scale[user]))
                build.entry(takes, column, cost / float(self.scale[user]))
            most = float(instance.cost_of(instance.capacity)[user]) * (task.budget > 0)
            pay = build.column(float(self.pays), 0.0, most / self.unit)
            for row in (own, takes):
                build.entry(row, pay, -self.unit / float(self.scale[user]))
            if budget is not None:
                build.entry(budget, pay, 1.0)
            self.rows["r", user] = own
            self.give.append((columns, pay))
        self.default = {key: (-inf, float(gain[key[1]] / self.scale[key[1]])) for key in self.rows}
        self.size = len(build.row_lower)
        self.session = highs.Session(
            build.program(),
            primal_feasibility_tolerance=tolerances.TIGHT,
            dual_feasibility_tolerance=tolerances.TIGHT,
        )
        self.applied: Bounds = {}
        self.undecided = inf  # the least bound of nodes that HiGHS did not decide

    def solve(self, bounds: Bounds, floor: float) -> _Case | None:
        """The node of these bounds; None if it is empty. `floor` is a bound already, money."""
        kept = {key: at for key, at in bounds.items() if not self._combinatorial(key)}
        for key in [*self.applied, *kept]:
            low, high = kept.get(key, (-inf, inf))
            if self.applied.get(key, (-inf, inf)) == (low, high):
                continue
            if key not in self.rows:
                self._add(key)
            least, most = self.default.get(key, (-inf, inf))
            self.session.change_row(self.rows[key], max(low, least), min(high, most))
        self.applied = kept
        solution = self.session.solve()
        if solution.status is Status.INFEASIBLE:
            return None
        if solution.x is None or solution.bound is None:  # no answer of HiGHS: nothing is excluded
            self.undecided = min(self.undecided, floor)
            return None
        x = solution.x
        burden = np.array([sum(x[column] for column in columns) for columns, _ in self.give])
        paid = np.array([x[pay] for _, pay in self.give]) * self.unit
        instance, task = self.users, self.task
        cost = instance.cost_of(np.clip(burden * task.total, 0.0, instance.capacity))
        r = (instance.reversibility * cost - paid) / self.scale
        value = 0.0 if task.quantity == "pay" and not self.pays else solution.bound * self.unit
        return _Case(max(floor, value), bounds, Point(burden, r))

    def _combinatorial(self, key: Key) -> bool:
        return key[0] == "order" and self.task.designed

    def _add(self, key: Key) -> None:
        removable = self.users.removable
        weight = np.zeros(self.n)
        if key[0] == "left":
            gone = np.array([key[1] >> user & 1 for user in range(self.n)])
            weight += 1.0 - removable * gone
        else:
            weight[key[1]], weight[key[2]] = -1.0, 1.0
        columns = [column for own, _ in self.give for column in own]
        value = [weight[user] for user, (own, _) in enumerate(self.give) for _ in own]
        self.session.add_row(-inf, inf, columns, value)
        self.rows[key] = self.size
        self.size += 1

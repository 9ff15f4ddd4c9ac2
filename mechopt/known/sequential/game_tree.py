"""The game tree as a MILP: the last resort for a handful of users.

For one order of the users: z says which levels every stay-set reaches, d what every mover decides
after somebody has left, w the level finally reached from there, so that nobody's leaving pays.
Stated with weak inequalities it is a bound, with strict ones its plans are sustained. An order
that depends on the burdens, or is designed, is one of all orders.
"""

from __future__ import annotations

from itertools import permutations
from math import inf
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray, exact_sum
from mechopt.known.burdens.simultaneous_level import LevelSolution
from mechopt.known.sequential.plans import improved
from mechopt.known.sequential.task import Candidate, Task, given_order
from mechopt.solver import highs
from mechopt.solver.builder import Builder
from mechopt.status import Status

# Relative: by how much strict inequalities hold. HiGHS 1.16 loses optima at 1e-7; who is closer to
# a tie than this counts as indifferent, against the plan.
_STRICT = 1e-6
_ANY_ORDER = 4  # users of whom all orders are tried …
_ONE_ORDER = 6  # … and users up to whom a given order is


def small_enough(task: Task) -> bool:
    return task.instance.n <= (_ANY_ORDER if given_order(task) is None else _ONE_ORDER)


def by_game_tree(
    task: Task, best: LevelSolution | None, bound: float
) -> tuple[LevelSolution | None, float]:
    """The least bound of all orders in question, and the plans found; inf: none is sustained."""
    given = given_order(task)
    orders = [given] if given is not None else map(np.array, permutations(range(task.instance.n)))
    least = inf
    near = 10 * _STRICT * exact_sum(task.gain)
    for order in orders:
        if perf_counter() > task.deadline:
            return best, bound
        value = (
            inf if best is None or best.answer.allocation is None else best.answer.allocation.value
        )
        exact, _ = _solve(task, order, 0.0)
        if exact < value - near:
            # Ties that only the weak inequalities allow are no plans: the strict ones decide.
            strictly, found = _solve(task, order, _STRICT)
            exact = max(exact, strictly - near)
            if found is not None:
                best = improved(task, found, best, task.deadline)
        least = min(least, exact)
    value = inf if best is None or best.answer.allocation is None else best.answer.allocation.value
    return best, max(bound, value if value - least <= near else least)


class _Tree:
    """The MILP of one order; `strict` > 0: strict inequalities hold by that much."""

    def __init__(self, task: Task, order: IntArray, strict: float) -> None:
        self.task, self.order, self.strict = task, order.tolist(), strict
        self.instance = task.below
        self.shares = np.append(0.0, self.instance.shares)
        self.steps = np.diff(self.shares)
        self.build = Builder()
        self.reach: dict[frozenset[int], list[int]] = {}
        pays = task.quantity == "pay" and task.budget > 0
        instance = self.instance
        self.give = [
            [
                self.build.column(0.0 if pays else theta * slope, 0.0, width)
                for width, slope in zip(widths, slopes)
            ]
            for theta, widths, slopes in zip(
                instance.cost.tolist(), instance.widths.tolist(), instance.slopes.tolist()
            )
        ]
        full = instance.cost_of(instance.capacity) * (task.budget > 0)
        self.pay = [self.build.column(1.0 if pays else 0.0, 0.0, most) for most in full.tolist()]
        self._participation()
        self._order_by_burden()
        self.left = [self._subgame(place) for place in range(instance.n)]

    def cost(self, row: int, user: int, factor: float) -> None:
        """Add factor · C_user to a row."""
        theta = float(self.instance.cost[user])
        for column, slope in zip(self.give[user], self.instance.slopes[user].tolist()):
            self.build.entry(row, column, factor * theta * slope)

    def data(self, row: int, user: int, factor: float) -> None:
        for column in self.give[user]:
            self.build.entry(row, column, factor)

    def _participation(self) -> None:
        task, build = self.task, self.build
        total = build.row(task.total, inf)  # more can be worth it: the tree is not monotone
        budget = build.row(-inf, task.budget) if 0 < task.budget < inf else None
        for user in range(self.instance.n):
            self.data(total, user, 1.0)
            row = build.row(-inf, float(task.gain[user]))
            self.cost(row, user, 1.0)
            build.entry(row, self.pay[user], -1.0)
            if budget is not None:
                build.entry(budget, self.pay[user], 1.0)

    def _order_by_burden(self) -> None:
        if not isinstance(self.task.order, str) or self.task.order not in (
            "small-first",
            "large-first",
        ):
            return
        sign = 1.0 if self.task.order == "small-first" else -1.0
        for first, second in zip(self.order[:-1], self.order[1:]):
            apart = self.strict * self.task.total if first > second else 0.0
            row = self.build.row(apart, inf)
            self.data(row, second, sign)
            self.data(row, first, -sign)

    def _levels(self, gone: frozenset[int]) -> list[int]:
        """z: which levels are reached when `gone` have left."""
        if gone not in self.reach:
            build, instance = self.build, self.instance
            columns: list[int] = []
            everything = float(instance.capacity.sum())
            for level in range(instance.levels):
                threshold = float(instance.thresholds[level])
                column = build.column(0.0, 0.0, 1.0, whole=True)
                above = build.row(0.0, inf)
                below = build.row(-inf, threshold * (1 - self.strict))
                build.entry(above, column, -threshold)
                build.entry(below, column, threshold * (1 - self.strict) - everything)
                for user in range(instance.n):
                    kept = 1.0 - (float(instance.removable[user]) if user in gone else 0.0)
                    self.data(above, user, kept)
                    self.data(below, user, kept)
                if columns:
                    monotone = build.row(-inf, 0.0)
                    build.entry(monotone, column, 1.0)
                    build.entry(monotone, columns[-1], -1.0)
                columns.append(column)
            self.reach[gone] = columns
        return self.reach[gone]

    def _subgame(self, place: int) -> list[int]:
        """w after the mover at `place` leaves, those before him staying; he must not gain."""
        build, instance, user = self.build, self.instance, self.order[place]
        after = self._outcome(frozenset((user,)), place + 1)
        value = float(instance.value[user])
        enjoyed = 1 - float(instance.exclusion[user])
        row = build.row(-inf, value * float(self.shares[-1]))
        self.cost(row, user, float(instance.reversibility[user]))
        build.entry(row, self.pay[user], -1.0)
        for column, step in zip(after, self.steps.tolist()):
            build.entry(row, column, value * enjoyed * step)
        return after

    def _outcome(self, gone: frozenset[int], place: int) -> list[int]:
        """w: the levels finally reached when `gone` have left and it is the turn of `place`."""
        if place == len(self.order):
            return self._levels(gone)
        build, user = self.build, self.order[place]
        stays = self._outcome(gone, place + 1)
        leaves = self._outcome(gone | {user}, place + 1)
        decides = build.column(0.0, 0.0, 1.0, whole=True)
        result = []
        for one, other in zip(stays, leaves):
            column = build.column(0.0, 0.0, 1.0)
            for sign in (1.0, -1.0):
                for child, flag in ((one, 1.0), (other, -1.0)):
                    row = build.row(-inf, 1.0 if flag > 0 else 0.0)
                    build.entry(row, column, sign)
                    build.entry(row, child, -sign)
                    build.entry(row, decides, flag)
            result.append(column)
        self._prefers(user, decides, stays, leaves)
        return result

    def _prefers(self, user: int, decides: int, stays: list[int], leaves: list[int]) -> None:
        """He stays iff v B(stay) − r, or 0 if nothing is trained, is ≥ (1 − η) v B(leave)."""
        build, instance = self.build, self.instance
        value = float(instance.value[user])
        enjoyed = 1 - float(instance.exclusion[user])
        top = value * float(self.shares[-1])
        borne = float(instance.reversibility[user] * instance.cost_of(instance.capacity)[user])
        most = top + borne + float(instance.cost_of(instance.capacity)[user])
        strict = self.strict * max(top, tolerances.TINY)
        trained = stays[0]
        for wants in (True, False):
            # trained: gain ≥ −most (1 − d) − most (1 − τ), gain ≤ −strict + most d + most (1 − τ)
            row = build.row(-2 * most, inf) if wants else build.row(-inf, most - strict)
            for one, other, step in zip(stays, leaves, self.steps.tolist()):
                build.entry(row, one, value * step)
                build.entry(row, other, -enjoyed * value * step)
            self.cost(row, user, -float(instance.reversibility[user]))
            build.entry(row, self.pay[user], 1.0)
            build.entry(row, decides, -most)
            build.entry(row, trained, -most if wants else most)
            # not trained: 0 ≥ (1 − η) v B(leave) if he stays
            row = build.row(-inf, most) if wants else build.row(strict, inf)
            for other, step in zip(leaves, self.steps.tolist()):
                build.entry(row, other, enjoyed * value * step)
            build.entry(row, decides, most)
            build.entry(row, trained, -most if wants else most)


def _solve(task: Task, order: IntArray, strict: float) -> tuple[float, Candidate | None]:
    """(bound, plan) of one order; the bound is inf if nothing is sustained."""
    tree = _Tree(task, order, strict)
    left = max(0.1, task.deadline - perf_counter())
    program = tree.build.program()
    solution = highs.solve_twice(program, time_limit=left)
    if solution.status is Status.INFEASIBLE:
        return inf, None
    bound = max(0.0, solution.bound) if solution.bound is not None else 0.0
    if task.quantity == "pay" and task.budget == 0:
        bound = 0.0
    if solution.x is None:
        return bound, None
    x = solution.x
    burden = np.array([sum(x[column] for column in columns) for columns in tree.give])
    burden = np.clip(burden, 0.0, task.instance.capacity)
    kept = _kept(task, tree, x)
    return bound, Candidate("game tree", burden, kept, burden > 0, order if task.designed else None)


def _kept(task: Task, tree: _Tree, x: FloatArray) -> FloatArray:
    """What leaving costs every user by the model, money, (n,)."""
    instance = task.instance
    share = np.zeros(instance.n)
    for place, user in enumerate(tree.order):
        share[user] = float(np.round(x[tree.left[place]]) @ tree.steps)
    return instance.value * (tree.shares[-1] - (1 - instance.exclusion) * share)

"""The best plan that one state can be asked for at one level, exactly: the game case by case.

The users of a state are known, so is what a plan of theirs is worth at given multipliers. Which
plans everybody stays in is decided as with known costs (`known.sequential.cases`): a node bounds
net reversible burdens, totals and the order where the game depends on them, the rest is a linear
program; somebody who leaves at its solution leaves for facts, one of which fails in every plan. The
same facts say what a misreporter keeps when he goes on his turn.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from math import inf

import numpy as np

from mechopt import tolerances
from mechopt.answer.lottery import Draw
from mechopt.arrays import FloatArray
from mechopt.errors import SolverError
from mechopt.known.sequential.reasons import Bounds, Key, Point, Reasons, scale_of, split, within
from mechopt.known.sequential.task import SequentialTask
from mechopt.problem.direct_terms import DirectTerms, payment_bounds
from mechopt.problem.population import Population
from mechopt.solver import highs
from mechopt.solver.builder import Builder
from mechopt.status import Status


@dataclass(frozen=True, eq=False)
class Prices:
    """What a plan of one state and level is worth, in its users' means by type.

    constant; burden, utility (M,) per unit; misreport: per unit of what a user of type `true`
    gets who reported `told`, {(told, true): number ≤ 0}.
    """

    constant: float
    burden: FloatArray
    utility: FloatArray
    misreport: Mapping[tuple[int, int], float]


@dataclass(frozen=True, eq=False)
class _Node:
    """worth: of no plan in it more; kept: levels that users are known to keep when they go."""

    worth: float
    bounds: Bounds
    kept: dict[int, int]
    point: Point
    paid: FloatArray


class Pricing:
    """The plans of a state at level k (from 0)."""

    def __init__(self, population: Population, terms: DirectTerms, state: int, k: int) -> None:
        self.population, self.terms, self.state, self.k = population, terms, state, k
        self.users = population.states.counts[state]
        self.kind = np.repeat(np.arange(self.users.size), self.users)
        self.theta = population.type_costs[self.kind]
        of = population.of_type
        self.value, self.rho = of("value")[self.kind], of("reversibility")[self.kind]
        self.removable = of("removable")[self.kind]
        self.top = float(population.thresholds[k])
        task = SequentialTask(
            population.instance(self.theta),
            k + 1,
            "cost",
            0.0,
            self.top,
            "small-first",
            inf,
            inf,
            0,
        )
        self.reasons, self.scale = Reasons(task), scale_of(task)
        self.gain = self.value * float(population.shares[k])
        self.shares = np.concatenate([[0.0], population.shares])

    def best(
        self, prices: Prices, enough: float, late: Callable[[], bool]
    ) -> tuple[float, Draw | None]:
        """(what no sustained plan is worth more than, the best plan); −inf if there is none.

        A worth of no more than `enough`, or being `late`, ends the search without a plan.
        """
        program = _Program(self, prices)
        number = count()
        root = program.solve({}, {}, inf)
        heap = [] if root is None else [(-root.worth, next(number), root)]
        while heap:
            worth = max(-heap[0][0], program.undecided)
            if worth <= enough or late():
                return worth, None
            node = heapq.heappop(heap)[2]
            cases = self._cases(node, program)
            if cases is None:
                return worth, self._draw(node)
            for bounds, kept in cases:
                child = program.solve(bounds, kept, node.worth)
                if child is not None:
                    heapq.heappush(heap, (-child.worth, -next(number), child))
        return program.undecided, None

    def _cases(self, node: _Node, program: _Program) -> list[tuple[Bounds, dict[int, int]]] | None:
        """The cases that a node falls into; None if its point is a plan, worth what it says."""
        why = self.reasons.leaves(node.point, node.bounds)
        if why is not None:
            return [(one, node.kept) for one in split(node.bounds, why, self.reasons.acyclic)]
        for user, level, facts in self.reasons.kept(node.point, node.bounds):
            if user not in program.matters or level <= node.kept.get(user, 0):
                continue
            cases = [(one, node.kept) for one in split(node.bounds, facts, self.reasons.acyclic)]
            all_hold: Bounds | None = node.bounds
            for fact in facts:
                all_hold = None if all_hold is None else within(all_hold, fact)
            if all_hold is not None:
                cases.append((all_hold, {**node.kept, user: level}))
            return cases
        return None

    def _draw(self, node: _Node) -> Draw:
        """The plan with its places in the order in which they move, equals exactly equal."""
        order = self.reasons.order(node.point, node.bounds)
        burden = np.maximum.accumulate(node.point.burden[order])
        burden[burden < tolerances.SHOWN] = 0.0
        burden *= self.top / burden.sum()
        return Draw(self.state, self.k, 0.0, self.kind[order], burden, node.paid[order])


class _Program:
    """The linear program of a node, in units of the total and of what users gain."""

    def __init__(self, pricing: Pricing, prices: Prices) -> None:
        self.pricing, self.constant = pricing, prices.constant
        self.build, self.rows = Builder(), dict[Key, int]()
        self.give: list[int] = []
        self.pay: list[int] = []
        self.leaving: list[tuple[int, int]] = []  # user, row of what a misreporter gets who goes
        users = range(pricing.kind.size)
        self.total = self.build.row(1.0, 1.0)
        self.default: Bounds = {}
        for user in users:
            self._user(user, prices)
        budget = pricing.population.budget
        if self.pay and budget < inf:
            row = self.build.row(-inf, budget)
            for pay in self.pay:
                self.build.entry(row, pay, 1.0)
        self.size = len(self.build.row_lower)
        self.session = highs.Session(
            self.build.program(),
            objective_scale=1.0 / max(1.0, *map(abs, self.build.cost)),
            primal_feasibility_tolerance=tolerances.TIGHT,
            dual_feasibility_tolerance=tolerances.TIGHT,
        )
        kind = pricing.kind
        for user in users[1:]:  # users of a type are numbered as they move
            if kind[user] == kind[user - 1]:
                self._add(("order", user - 1, user))
                self.default["order", user - 1, user] = (0.0, inf)
                self.session.change_row(self.size - 1, 0.0, inf)
        self.matters = {user for user, _ in self.leaving}
        self.applied: Bounds = {}
        self.undecided = -inf  # the most that nodes are worth which HiGHS did not decide

    def _user(self, user: int, prices: Prices) -> None:
        pricing, build = self.pricing, self.build
        population, terms = pricing.population, pricing.terms
        kind, top = int(pricing.kind[user]), pricing.top
        theta, gain = float(pricing.theta[user]), float(pricing.gain[user])
        refund, scale = float(pricing.rho[user]) * theta, float(pricing.scale[user])
        count = float(pricing.users[kind])
        each = float(prices.utility[kind]) / count
        self.constant += each * gain
        most = min(float(population.of_type("capacity")[kind]) / top, 1.0)
        worth = float(prices.burden[kind]) / count - each * theta
        give = build.column(-worth * top, 0.0, most)
        self.give.append(give)
        build.entry(self.total, give, 1.0)
        # r in units of the gain; part of the bounds, as in the cases of known costs
        own = self.rows["r", user] = build.row(-inf, gain / scale)
        self.default["r", user] = (-inf, gain / scale)
        build.entry(own, give, refund * top / scale)
        rows = [(own, -1.0 / scale)]
        if terms.participation == "ex-post":
            takes = build.row(-inf, gain)
            build.entry(takes, give, theta * top)
            rows.append((takes, -1.0))
        for (told, true), price in prices.misreport.items():
            if told == kind and price:
                cost = float(population.type_costs[true]) * top
                gets = build.column(-price / count, -inf, inf)
                stays, leaves = build.row(gain, inf), build.row(0.0, inf)
                for row, share in ((stays, 1.0), (leaves, 1.0 - float(pricing.rho[user]))):
                    build.entry(row, gets, 1.0)
                    build.entry(row, give, share * cost)
                rows.append((stays, -1.0))
                self.leaving.append((user, leaves))
        if terms.transfers:
            bound = float(payment_bounds(population, pricing.k)[population.group_of_type[kind]])
            pay = build.column(-each, 0.0, bound)
            self.pay.append(pay)
            for row, weight in rows:
                build.entry(row, pay, weight)

    def solve(self, bounds: Bounds, kept: dict[int, int], most: float) -> _Node | None:
        """The node of these bounds; None if it is empty. `most`: it is worth no more."""
        for key in [*self.applied, *bounds]:
            low, high = bounds.get(key, (-inf, inf))
            if self.applied.get(key, (-inf, inf)) == (low, high):
                continue
            if key not in self.rows:
                self._add(key)
            least, top = self.default.get(key, (-inf, inf))
            self.session.change_row(self.rows[key], max(low, least), min(high, top))
        self.applied = bounds
        pricing = self.pricing
        for user, row in self.leaving:
            left = float(pricing.value[user] * pricing.shares[kept.get(user, 0)])
            self.session.change_row(row, left, inf)
        try:
            found = self.session.solve()
        except SolverError:
            self.undecided = max(self.undecided, most)
            return None
        if found.status is Status.INFEASIBLE:
            return None
        if found.x is None or found.bound is None:  # no answer of HiGHS: nothing is excluded
            self.undecided = max(self.undecided, most)
            return None
        given = found.x[self.give]
        paid = np.maximum(found.x[self.pay], 0.0) if self.pay else np.zeros(given.size)
        r = (pricing.rho * pricing.theta * given * pricing.top - paid) / pricing.scale
        worth = min(most, self.constant - found.bound)
        return _Node(worth, bounds, kept, Point(given, r), paid)

    def _add(self, key: Key) -> None:
        """A row of the game: what is left, or who gives more."""
        removable = self.pricing.removable
        weight = np.zeros(removable.size)
        if key[0] == "left":
            gone = np.array([key[1] >> user & 1 for user in range(removable.size)])
            weight += 1.0 - removable * gone
        else:
            weight[key[1]], weight[key[2]] = -1.0, 1.0
        self.session.add_row(-inf, inf, self.give, weight)
        self.rows[key] = self.size
        self.size += 1

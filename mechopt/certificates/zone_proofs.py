"""Proofs for users who decide in turn where steps grow: the tree of zones and its prices (F12).

The search for a sequential bound (`mechopt.known.sequential.search`) is run once more without
plans; its cases and prices, rounded to fractions, are the proof. What they prove is worked out
by the checker alone, so a price that is a little off costs a little of the bound and no more.
"""

from __future__ import annotations

import heapq
from fractions import Fraction
from math import frexp, inf, ldexp
from time import perf_counter
from typing import Any

import numpy as np

from mechopt.answer.plan import Plan
from mechopt.arrays import exact_sum
from mechopt.exact.prices import LevelProblem
from mechopt.known.allocation import Allocation
from mechopt.known.levels import LevelAnswer
from mechopt.known.sequential.search import Split, ZoneSearch
from mechopt.known.sequential.task import SequentialTask
from mechopt.problem.aims import as_noticed, required_total
from mechopt.problem.instance import Instance
from mechopt.problem.units import natural

_SECONDS = 3.0  # for the search of a level
_CHOICES = 30_000  # corners of users, zones and leaves that a proof may ask to look at, about
_CORNERS = 6  # of a user in a zone, about
_BITS, _GRID = 24, 40  # of a price or a cut; of a user's share in the bound, of what all costs
_BEYOND = 1e-9  # relative: a bound so far above what any plan costs shows that there is none
_CLOSE = 1e-6  # relative: a leaf this close to the answer needs no further cases


def zone_node(problem: LevelProblem, instance: Instance, plan: Plan) -> dict[str, Any] | None:
    """A proof node for the level from the zones of users; None if there is nothing to branch on."""
    return _Tree(problem, instance, plan).grown()


class _Tree:
    """The search's tree as a proof: every open node is a leaf with its prices."""

    def __init__(self, problem: LevelProblem, instance: Instance, plan: Plan) -> None:
        provider, level = problem.provider, problem.level
        self.scaled = scaled = as_noticed(natural(instance))
        self.terms = provider.transfers, provider.aim.counts_cost
        reserve = float(provider.reserve) / scaled.units.data
        order = "designed" if provider.free else provider.order
        quantity = "cost" if self.terms[1] else "pay"
        self.task = SequentialTask(
            scaled,
            level,
            quantity,
            reserve,
            required_total(scaled, level, reserve),
            order,
            scaled.budget if provider.transfers else 0.0,
            perf_counter() + _SECONDS,
            plan.seed or 0,
        )
        value = inf if problem.best is None else float(problem.best[0]) / scaled.units.money
        nothing = np.zeros(instance.n)
        best = LevelAnswer(level, Allocation(nothing, value, 0.0, 0.0, 0.0), nothing, quantity)
        self.search = ZoneSearch(self.task, best, 0.0, slicing=False)
        size = instance.n * (1 + self.search.whole.rows) * _CORNERS
        self.most_leaves = 1 + self.search.whole.rows + _CHOICES // size
        self.most = exact_sum(scaled.cost_of(scaled.capacity))  # what any plan costs, at most
        if quantity == "pay" and self.task.budget > 0:
            self.most = min(self.most, self.task.budget)
        self.enough = min(value * (1 - _CLOSE), self.most * (1 + _CLOSE))

    def grown(self) -> dict[str, Any] | None:
        search = self.search
        root = search.open(search.root()) if search.whole.rows else None
        if root is None:
            return None
        tree = self._leaf(root.value.prices, root.value.bound)
        places = {root: tree}
        leaves = 1
        while search.heap and leaves < self.most_leaves:
            if search.heap[0][0] >= self.enough or perf_counter() > self.task.deadline:
                break
            node = heapq.heappop(search.heap)[-1]
            split = search.split(node)
            if split is None:
                continue
            place, leaves = places.pop(node), leaves + 1
            place.clear()
            for side, child in split.sides.items():
                opened = None if child is None else search.open(child, parent=node)
                if opened is not None:
                    place[side] = self._leaf(opened.value.prices, opened.value.bound)
                    places[opened] = place[side]
                else:  # empty, for the checker as well
                    added = np.zeros(int(side == "somebody"))
                    prices = node.value.prices
                    place[side] = self._leaf(np.concatenate((prices[:1], added, prices[1:])), 0.0)
            self._name(place, split)
        return {"zones": tree}

    def _name(self, place: dict[str, Any], split: Split) -> None:
        """What a node is split by, in the caller's units."""
        if split.of == "row":
            return
        data = split.of == "short" or isinstance(self.task.order, str)
        cut = Fraction(_short(split.cut) * (self.scaled.units.data if data else 1.0))
        if split.of == "place" and self.task.order == "large-first":  # places are −x there
            cut = -cut
            place["below"], place["above"] = place["above"], place["below"]
        row = int(self.search.whole.level[split.row])
        place.update({"of": split.of, "row": row, "cut": cut})

    def _leaf(self, prices: Any, bound: float) -> dict[str, Any]:
        units = self.scaled.units
        if self.task.quantity == "pay" or self.task.budget in (0, inf):
            prices = np.append(prices, 0.0)
        per_data = units.of((-1, 1))
        paid, of_data = float(prices[-1]), prices[:-1] * per_data
        rounded = [Fraction(_short(float(price))) for price in of_data]
        grid = Fraction(ldexp(1.0, frexp(self.most * units.money)[1] - _GRID))
        beyond = bound > self.most * (1 + _BEYOND)
        if beyond and self.most == self.task.budget:
            paid = 1.0
        return {
            "shows": "unreachable" if beyond else "bound",
            "data_price": rounded[0],
            "budget_price": Fraction(_short(paid)),
            "row_prices": rounded[1:],
            "grid": grid,
        }


def _short(number: float) -> float:
    """`number` to its first binary digits, so that fractions stay short."""
    mantissa, exponent = frexp(number)
    return ldexp(round(ldexp(mantissa, _BITS)), exponent - _BITS)

"""Floor and burdens (docs: rights): a price buys floors for certain, burdens come on top.

At price s every user gives his floor y_i = x_i⁰(s), the largest maximiser of s x − C_i(x), and is
paid s y_i whatever happens; the floors are committed. Burdens with withdrawal rights are asked on
x_i − y_i, with payments t_i of their own. s = 0 is `burdens`; no burdens is `posted-price`.

*With personal payments the price buys nothing* (simultaneous, coalition or no protocol): take the
same burdens at s = 0 and pay s y_i + t_i. Since s y_i ≥ C_i(y_i) ≥ ρ_i C_i(y_i), participation and
(W1) hold a fortiori (whoever leaves takes at least as much with him and forgoes more), and nothing
costs more. So it is strictly better only where payments cannot be personal (`transfers=False`), or
perhaps in the sequential protocol; there every price is looked at.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from time import perf_counter
from typing import Any

from mechopt import tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray, exact_sum, freeze
from mechopt.errors import InvalidOption, NotSupported
from mechopt.known.burdens.committed import open_problem
from mechopt.known.burdens.solve import plan_for
from mechopt.known.levels import Wanted
from mechopt.known.posted_price import floor_response, supply_curve
from mechopt.known.posted_price import solve as posted_price
from mechopt.problem.aims import MINIMISED, lead, objective_value, weakest
from mechopt.problem.instance import Instance
from mechopt.problem.practice import refuse_with
from mechopt.status import Status
from mechopt.withdrawal.moves import burden_sign

PATIENCE = 60.0  # seconds over all prices if no time limit is given


def solve(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    protocol: str = "simultaneous",
    order: Any = "small-first",
    target: float | None = None,
    transfers: bool = True,
    price: float | None = None,
    withdrawal: str = "whole",
    time_limit: float | None = None,
    seed: int = 0,
) -> Plan:
    """The best price and burdens together, exact over all candidate prices θ_i · slope and 0.

    :transfers: whether burdens may carry payments of their own; without them the price is the only
        money
    :price: only this one (money per data unit)

    `details`: price, floor (data, per user), floor_payment (money, in all), better_than_parts.
    """
    wanted = Wanted(
        mechanism="floor-and-burdens",
        objective=objective,
        protocol=protocol,
        order=order,
        target=target,
        transfers=transfers,
        seed=seed,
        withdrawal=withdrawal,
    )
    wanted.lowest(instance)
    refuse_with(instance, "floor-and-burdens")
    if instance.has_committed:
        raise NotSupported("floor-and-burdens: not together with committed")
    if price is not None and not 0 <= price < inf:
        raise InvalidOption(f"price: must be ≥ 0 and finite (money per data unit), got {price!r}")
    search = _Search(instance, wanted)
    dominated = transfers and protocol != "sequential"
    prices = [0.0] if dominated else supply_curve(instance).price.tolist()
    if price is not None:
        prices = [float(price)]
    search.run(prices, perf_counter() + (PATIENCE if time_limit is None else time_limit))
    return search.answer(whole=price is None)


class _Search:
    """Prices in ascending order; what the floors cost only grows, so the search can stop early."""

    def __init__(self, instance: Instance, wanted: Wanted) -> None:
        self.instance, self.wanted = instance, wanted
        self.objective, self.lowest = wanted.objective, max(wanted.lowest(instance), 1)
        self.minimise = self.objective in MINIMISED
        self.best: Plan | None = None
        self.first: Plan | None = None  # at the first price
        self.bounds: list[float] = []
        self.stopped = False
        # On floors no order by burden is designed for: plans that hold in any order (F1) serve it.
        self.any_order = bool(
            wanted.protocol == "sequential" and instance.levels > 1 and burden_sign(wanted.order)
        )

    def run(self, prices: list[float], until: float) -> None:
        for place, price in enumerate(prices):
            floor = floor_response(self.instance, price)
            paid = price * exact_sum(floor)
            limit = self._limit(paid)
            within = paid <= self.instance.budget * (1 + tolerances.REACH)
            if not within or (place and self._worse(limit)):
                break
            if place and perf_counter() > until:
                self.stopped = True
                self.bounds.append(limit)
                break
            if place == 0 or self._reaches(floor):
                self._consider(price, floor, paid, max(0.1, until - perf_counter()))

    def _limit(self, paid: float) -> float:
        """What no plan with floors paid so much, or more, can beat."""
        top = float(self.instance.shares[-1])
        return objective_value(self.instance, self.objective, top, paid, 0.0)

    def _worse(self, limit: float) -> bool:
        """Whether nothing within `limit` improves on the best plan."""
        if self.best is None or self.best.objective is None:
            return False
        # For the share, too: the price paid is the lowest that reaches it.
        best = self.best.objective if self.minimise else max(self.best.objective, 0.0)
        return lead(self.objective, limit, best) <= 0

    def _reaches(self, floor: FloatArray) -> bool:
        """Whether the wanted level can be reached at all on top of these floors, (A2) and (A3)."""
        if self.wanted.transfers or not (self.minimise or self.instance.levels == 1):
            return True
        wanted = self.lowest if self.minimise else 1
        rest = open_problem(self.instance.replace(committed=floor, exclusion=0))
        if rest.instance is None or rest.level >= wanted:
            return True
        level = wanted - rest.level
        gain = rest.instance.value * rest.instance.share_at(level)
        reach = exact_sum(rest.instance.affordable(gain))
        return reach >= float(rest.instance.thresholds[level - 1]) * (1 - tolerances.REACH)

    def _consider(self, price: float, floor: FloatArray, paid: float, seconds: float) -> None:
        instance = self.instance
        budget = None if instance.budget == inf else max(0.0, instance.budget - paid)
        floored = instance.replace(committed=floor if price else 0, budget=budget)
        asked = replace(self.wanted, mechanism="burdens", time_limit=seconds)
        elsewhere = price > 0 and self.any_order
        if elsewhere:
            asked = replace(asked, protocol="simultaneous")
        plan = plan_for(floored, asked)
        details = {
            **plan.details,
            "price": price,
            "floor": floor.tolist() if price else [0.0] * instance.n,
            "floor_payment": paid,
        }
        extra = {"provider-surplus": -paid, "expenditure": paid}.get(self.objective, 0.0)
        changes: dict[str, Any] = {
            "instance": instance,
            "mechanism": "floor-and-burdens",
            "details": details,
            "objective": None if plan.objective is None else plan.objective + extra,
            "bound": None if plan.bound is None else plan.bound + extra,
        }
        reached = (plan.level or 0) >= self.lowest
        if elsewhere:
            changes |= {"protocol": "sequential", "order": self.wanted.order}
            self.stopped = True
            self.bounds.append(self._limit(paid))
        elif plan.bound is not None and (reached or not self.minimise):
            self.bounds.append(plan.bound + extra)
        if plan.burden is not None and plan.payment is not None:
            if price:
                changes["payment"] = freeze(plan.payment + price * floor)
            if plan.level and plan.status is Status.NULL:  # the floors alone reach it
                changes["status"] = Status.OPTIMAL
        plan = plan.replace(**changes)
        self.first = plan if self.first is None else self.first
        useful = reached if self.minimise else plan.level or price == 0  # else paid for in vain
        if plan.burden is not None and useful and self._improves(plan):
            self.best = plan

    def _improves(self, plan: Plan) -> bool:
        best = self.best
        if best is None or best.objective is None:
            return True
        assert plan.objective is not None
        if not plan.level and best.level:
            return False
        gain = lead(self.objective, plan.objective, best.objective)
        return gain > tolerances.REACH * max(abs(best.objective), abs(plan.objective))

    def answer(self, *, whole: bool) -> Plan:
        """The best plan with the bound over all prices."""
        assert self.first is not None
        plan = self.first if self.best is None else self.best
        if self.best is None and self.stopped:  # neither a plan nor a proof that there is none
            nothing = {"burden": None, "payment": None, "objective": None}
            return plan.replace(status=Status.UNKNOWN, bound=min(self.bounds), **nothing)
        if self.best is None or plan.objective is None or plan.bound is None:
            return plan
        bound = weakest(self.objective, self.bounds)
        within = abs(bound - plan.objective) <= tolerances.MONEY * max(1.0, abs(plan.objective))
        status = plan.status
        if plan.status is Status.FEASIBLE and within:
            status = Status.OPTIMAL
        elif not within and (plan.status is not Status.NULL or self.stopped):
            status = Status.FEASIBLE
        better = False
        if whole and plan.details["price"] > 0 and plan.level:
            other = posted_price(self.instance, objective=self.objective, target=self.wanted.target)
            better = self._beats(plan, self.first) and self._beats(plan, other)
        details = {**plan.details, "better_than_parts": better}
        return plan.replace(bound=bound, status=status, details=details)

    def _beats(self, plan: Plan, other: Plan) -> bool:
        assert plan.objective is not None
        if other.objective is None or not other.level:
            return True
        gain = lead(self.objective, plan.objective, other.objective)
        return gain > tolerances.MONEY * max(1.0, abs(plan.objective))

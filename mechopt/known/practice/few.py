"""Problems with few plans: all of them, each decided exactly.

Where every free user is asked in whole units, a level has finitely many plans. If they are few
they are listed: totals and groups' data in whole numbers, payments by the same need as everywhere.
In sequence the least payments of a plan are among finitely many, too: a user's decisions depend on
his payment only by which differences v (b_a − (1 − η) b_c) his net reversible burden r exceeds.
Plans come by what participation alone takes, which no protocol undercuts, and their payments by
their sum, until no better one is left; the exact game (F2, F3) decides each.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import permutations
from math import ceil, floor, inf, lcm, prod
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray, exact_sum
from mechopt.known.burdens.level_curves import cost_of
from mechopt.known.practice.curves import Terms
from mechopt.problem.instance import Instance
from mechopt.problem.practice import Practice, counted, typed
from mechopt.withdrawal.moves import order_of
from mechopt.withdrawal.sequential import sequential_path
from mechopt.withdrawal.stage import Stage

MOST_PLANS = 50_000  # plans that are listed
_COUNTED = 2**52  # parts that a float holds exactly
_REORDERED = 5  # users whose every order is tried where the order is designed


@dataclass(frozen=True, eq=False)
class Found:
    """The best plan, (n,) burdens in data and payments in money, or None; and what is proved.

    :over_budget: least money of a plan that only the budget refuses, inf if there is none
    :second: what decides among equals (cost, or money), money
    :order: in which users decide (n,), where it was chosen
    """

    burden: FloatArray | None
    payment: FloatArray | None
    value: float
    bound: float
    over_budget: float
    plans: int
    second: float = inf
    order: IntArray | None = None


@dataclass(frozen=True, eq=False)
class Few:
    """All burdens that reach the level and respect the groups, shape (N, n), and their terms.

    :excess: X − (T + R), data; cost, contact : Σ C_i and Σ κ_i, money; each of shape (N,)
    """

    terms: Terms
    burden: FloatArray
    excess: FloatArray
    cost: FloatArray
    contact: FloatArray

    def best(self, quantity: str, limit: float) -> Found:
        """The least "pay" or "cost" under the protocol's own need, money within `limit`."""
        payment = self._payments(self.terms)
        return self._least(quantity, limit, payment)

    def best_in_sequence(
        self, quantity: str, limit: float, order: Any, deadline: float
    ) -> Found | None:
        """The same in sequence; None if there are too many users for every order."""
        designed = isinstance(order, str) and order == "designed"
        if designed and self.burden.shape[1] > _REORDERED:
            return None
        found = self.best(quantity, limit)  # holds in every order (F1)
        freely = replace(self.terms, rights="participation")
        payment = self._payments(freely)
        spent = payment.sum(axis=1) + self.contact
        first, second = self._worth(quantity, spent)
        within = (spent <= limit * (1 + tolerances.REACH)) & self._unpaid(payment)
        turn = np.lexsort((second, first))
        for at in turn[within[turn]].tolist():
            if (first[at], second[at]) >= (found.value, found.second):
                if first[at] > found.value:
                    break
                continue
            top = limit if quantity == "cost" else min(limit, found.value)
            paid = self._held(at, payment[at], order, top - float(self.contact[at]), deadline)
            if paid is None:
                if perf_counter() > deadline:  # it may hold with payments that were not tried
                    return replace(found, bound=min(found.value, float(first[at])))
                continue
            given, who_first = paid
            spends = np.array([exact_sum(given) + float(self.contact[at])])
            value, other = (float(one[0]) for one in self._worth(quantity, spends, at))
            if (value, other) < (found.value, found.second):
                found = replace(
                    found, burden=self.burden[at].copy(), payment=given, value=value,
                    second=other, order=who_first,
                )  # fmt: skip
        return replace(found, bound=found.value)

    # -- all at once ------------------------------------------------------------------------------

    def _payments(self, terms: Terms) -> FloatArray:
        """The least payments of every plan in steps, shape (N, n), money."""
        paid = np.empty_like(self.burden)
        users = np.arange(self.burden.shape[1])
        for excess in np.unique(self.excess).tolist():
            mine = np.flatnonzero(self.excess == excess)
            who = np.tile(users, mine.size)
            need = terms.need(self.burden[mine].reshape(-1), excess, who)
            paid[mine] = terms.practice.rounded_up(need).reshape(mine.size, -1)
        return paid

    def _unpaid(self, payment: FloatArray) -> BoolArray:
        none = np.ones(payment.shape[0], dtype=bool)
        return none if self.terms.transfers else np.all(payment <= 0, axis=1)

    def _worth(
        self, quantity: str, spent: FloatArray, at: Any = slice(None)
    ) -> tuple[FloatArray, FloatArray]:
        """What is minimised, and what decides among equals; money."""
        cost = np.atleast_1d(self.cost[at])
        if self.terms.charged:
            cost = cost + np.atleast_1d(self.contact[at])
        return (spent, cost) if quantity == "pay" else (cost, spent)

    def _least(self, quantity: str, limit: float, payment: FloatArray) -> Found:
        spent = payment.sum(axis=1) + self.contact
        allowed = self._unpaid(payment)
        within = allowed & (spent <= limit * (1 + tolerances.REACH))
        over = float(spent[allowed & ~within].min(initial=inf))
        if not within.any():
            return Found(None, None, inf, inf, over, spent.size)
        first, second = self._worth(quantity, spent)
        least = float(first[within].min())
        near = np.flatnonzero(within & (first <= least * (1 + tolerances.ULPS)))
        at = int(near[np.argmin(second[near])])
        value, plan = float(first[at]), self.burden[at].copy()
        return Found(plan, payment[at].copy(), value, value, over, spent.size, float(second[at]))

    # -- one plan in sequence ---------------------------------------------------------------------

    def _held(
        self, at: int, least: FloatArray, order: Any, limit: float, deadline: float
    ) -> tuple[FloatArray, IntArray | None] | None:
        """The least payments (n,) above `least` that keep everyone, within `limit`; the order."""
        instance, burden = self.terms.instance, self.burden[at]
        cost = instance.cost_of(burden)
        recovered = instance.reversibility * cost
        movers = np.flatnonzero(burden > 0)
        stage = Stage.from_arrays(
            burden, recovered - least, instance.value, instance.removable, instance.thresholds,
            instance.shares, exclusion=instance.exclusion, scale=cost + instance.value,
        )  # fmt: skip
        orders = list(_orders(instance, stage, order))
        for payment in self._by_sum(least, recovered, movers, limit):
            if perf_counter() > deadline:
                return None
            held = replace(stage, r=recovered - payment)
            for turn in orders:
                path = sequential_path(held, turn)
                if path.level == self.terms.level and path.stay.all():
                    designed = isinstance(order, str) and order == "designed"
                    return payment, turn if designed else None
        return None

    def _by_sum(
        self, least: FloatArray, recovered: FloatArray, movers: IntArray, limit: float
    ) -> Iterator[FloatArray]:
        """Payments (n,) that can make a difference, by their sum, while it is within `limit`."""
        instance = self.terms.instance
        top = limit * (1 + tolerances.REACH)
        shares = np.append(0.0, instance.shares)
        lists = []
        for user in movers.tolist():
            stays = shares[1:, None] - (1 - instance.exclusion[user]) * shares[None, :]
            at = (recovered[user] - instance.value[user] * stays).reshape(-1)
            at = self.terms.practice.rounded_up(np.maximum(at, 0.0))
            at = at[at > least[user]] if self.terms.transfers else at[:0]
            lists.append([float(least[user]), *np.unique(at).tolist()])
        start = (exact_sum(least), (0,) * len(lists), 0)
        heap = [start]
        while heap and heap[0][0] <= top:
            total, place, last = heapq.heappop(heap)
            payment = least.copy()
            payment[movers] = [some[one] for some, one in zip(lists, place)]
            yield payment
            for more in range(last, len(lists)):
                if place[more] + 1 < len(lists[more]):
                    step = lists[more][place[more] + 1] - lists[more][place[more]]
                    after = (*place[:more], place[more] + 1, *place[more + 1 :])
                    heapq.heappush(heap, (total + step, after, more))


def _orders(instance: Instance, stage: Stage, order: Any) -> Iterator[IntArray]:
    """The orders (n,) in question for the burdens of the stage."""
    if not (isinstance(order, str) and order == "designed"):
        yield order_of(instance, stage, order)
        return
    rest = np.setdiff1d(np.arange(stage.n), stage.movers)
    for turn in permutations(stage.movers.tolist()):
        yield np.concatenate((np.array(turn, dtype=np.int64), rest))


def few_plans(terms: Terms, low: FloatArray, high: FloatArray, widest: float) -> Few | None:
    """All plans of a level, if every burden is in whole units or fixed and they are few.

    :low, high: what whoever is asked may be asked for, data, (n,); `widest` : the largest excess
        above the goal that does not reach another level, data
    """
    practice, n = terms.practice, terms.instance.n
    if (practice.free & (practice.unit == 0)).any() or widest < 0:
        return None
    chosen_from = practice.free & (low <= high) & (~practice.required | (low < high))
    if 2 ** min(int(chosen_from.sum()), 60) > MOST_PLANS:
        return None
    free = practice.free
    if (np.maximum(low, high)[free] > _COUNTED * practice.unit[free]).any():
        return None  # beyond what floats count
    counts = [_counts(terms, user, low, high) for user in range(n)]
    number = prod(some.size for some in counts)
    if not 0 < number <= MOST_PLANS:
        return None
    size = [typed(float(u)) if free else typed(float(x))
            for u, x, free in zip(practice.unit, practice.fixed, practice.free)]  # fmt: skip
    parts = lcm(*(one.denominator for one in size))
    in_parts = [int(one * parts) for one in size]
    if max(part * int(some.max()) for part, some in zip(in_parts, counts)) * n > _COUNTED:
        return None
    place = np.indices([some.size for some in counts]).reshape(n, -1)
    chosen = np.array([some[at] for some, at in zip(counts, place)])
    data = chosen * np.array(in_parts)[:, None]
    total, goal = data.sum(axis=0), terms.goal
    kept = (total >= ceil(goal * parts)) & (total <= floor((goal + Fraction(widest)) * parts))
    kept &= (chosen > 0).any(axis=0)
    unit = np.where(practice.free, practice.unit, practice.fixed)
    burden = np.column_stack(
        [practice.fixed[i] * row if not practice.free[i] else counted(row * 1.0, 0 * row + unit[i])
         for i, row in enumerate(chosen[:, kept])]
    )  # fmt: skip
    users = np.tile(np.arange(n), burden.shape[0])
    borne = cost_of(terms.instance, users, burden.reshape(-1)).reshape(burden.shape)
    fits = groups_hold(terms.practice, data[:, kept].T / parts, borne)
    excess = np.array([float(Fraction(int(one), parts) - goal) for one in total[kept][fits]])
    contact = (np.where(burden > 0, practice.contact, 0.0)).sum(axis=1)
    return Few(terms, burden[fits], excess, borne.sum(axis=1)[fits], contact[fits])


def _counts(terms: Terms, user: int, low: FloatArray, high: FloatArray) -> IntArray:
    """How many units a user may be asked for; a fixed burden counts as one."""
    practice = terms.practice
    if not practice.free[user]:
        return np.ones(1, dtype=np.int64)
    unit = float(practice.unit[user])
    least, most = (int(np.rint(end[user] / unit)) for end in (low, high))
    some = np.arange(max(least, 1), min(most, least + MOST_PLANS) + 1)
    return some if practice.required[user] else np.append(0, some)


def groups_hold(practice: Practice, data: FloatArray, borne: FloatArray) -> BoolArray:
    """Which plans keep the groups' limits; data and costs (N, n)."""
    holds = np.ones(data.shape[0], dtype=bool)
    for place in range(len(practice.labels)):
        mine = practice.group == place
        for amounts, least, most in (
            (data, practice.data_least[place], practice.data_most[place]),
            (borne, practice.share_least[place], practice.share_most[place]),
        ):
            whole, part = amounts.sum(axis=1), amounts[:, mine].sum(axis=1)
            scale = 1.0 if amounts is data else whole
            room = tolerances.REACH * whole
            holds &= (part >= least * scale - room) & (part <= most * scale + room)
    return holds

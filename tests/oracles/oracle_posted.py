"""Oracles for posted offers and for coalitions, by definition, in Fractions; no package code."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, pairwise
from typing import Any

from tests.oracles.brute_force import User, improvement

F = Fraction


def best_price(instance: Any, objective: str) -> tuple[Fraction, Fraction] | None:
    """(optimum, payments) over all marginal costs, prices between them and 0; None: none does."""
    users = [User(instance, i) for i in range(instance.n)]
    rates = sorted({F(0), *(rate for user in users for rate in user.rates)})
    between = [(a + b) / 2 for a, b in pairwise(rates)]
    outcomes = []
    for price in [*rates, *between, rates[-1] + 1]:
        given = [_floor(user, price) for user in users]
        outcomes.append((given, price * sum(given, F(0))))
    return _best(instance, users, outcomes, objective)


def _floor(user: User, price: Fraction) -> Fraction:
    """The largest maximiser of s x − C(x) among the ends of segments."""
    ends = [sum(user.widths[:k], F(0)) for k in range(len(user.widths) + 1)]
    return max(ends, key=lambda x: (price * x - user.cost(x), x))


def best_contract(
    instance: Any, objective: str, *, splits_only: bool = False, extra: int = 6
) -> tuple[Fraction, Fraction] | None:
    """(optimum, payments) over floors T_k / m, capacities and a grid, with every q that matters.

    splits_only: f = T_k / m with q the m-th lowest cost, and nothing else.
    """
    users = [User(instance, i) for i in range(instance.n)]
    T = instance.exact("thresholds").tolist()
    nothing = ([F(0)] * len(users), F(0))
    outcomes = [nothing]
    sizes = [(t / m, m) for t in T for m in range(1, len(users) + 1)]
    if not splits_only:
        top = max(user.capacity for user in users)
        sizes += [(user.capacity, 0) for user in users if user.capacity > 0]
        sizes += [(top * F(k, extra), 0) for k in range(1, extra + 1)]
    for size, m in sizes:
        costs = sorted(user.cost(size) for user in users if user.capacity >= size)
        if splits_only:
            costs = costs[m - 1 : m]
        for pay in costs:
            given = [
                size if user.capacity >= size and user.cost(size) <= pay else F(0) for user in users
            ]
            outcomes.append((given, pay * sum(x > 0 for x in given)))
    return _best(instance, users, outcomes, objective)


def _best(
    instance: Any, users: list[User], outcomes: Any, objective: str
) -> tuple[Fraction, Fraction] | None:
    V = F(instance.exact("provider_value")[()])
    everyone = sum((user.value for user in users), F(0))
    budget = None if instance.budget == float("inf") else F(instance.exact("budget")[()])
    top = instance.exact("shares").tolist()[-1]
    best = None
    for given, spent in outcomes:
        if budget is not None and spent > budget:
            continue
        b = improvement(instance, sum(given, F(0)))
        cost = sum((user.cost(x) for user, x in zip(users, given)), F(0))
        if objective in ("expenditure", "social-cost"):
            if b < top:
                continue
            worth = -(spent if objective == "expenditure" else cost)
        elif objective == "improvement":
            worth = b
        elif objective == "welfare":
            worth = (V + everyone) * b - cost
        else:
            worth = V * b - spent
        if best is None or (worth, -spent) > best:
            best = worth, -spent
    if best is None:
        return None
    return abs(best[0]), -best[1]


def a_coalition_gains(instance: Any, x: list[Fraction], t: list[Fraction]) -> bool:
    """Whether all members of some coalition gain by leaving together: every subset."""
    users = [User(instance, i) for i in range(instance.n)]
    total = sum(x, F(0))
    b = improvement(instance, total)
    givers = [i for i in range(instance.n) if x[i] > 0]
    for count in range(1, len(givers) + 1):
        for members in combinations(givers, count):
            left = total - sum((users[i].delta * x[i] for i in members), F(0))
            after = improvement(instance, left)
            if all(
                users[i].value * after - (1 - users[i].rho) * users[i].cost(x[i])
                > users[i].value * b + t[i] - users[i].cost(x[i])
                for i in members
            ):
                return True
    return False

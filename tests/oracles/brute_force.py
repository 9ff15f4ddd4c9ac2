"""Oracles for the known-cost mechanisms, in exact arithmetic, sharing no code with the package."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product
from typing import Any

F = Fraction


class User:
    """One user's curve in Fractions, by definition."""

    def __init__(self, instance: Any, i: int) -> None:
        self.rates = [
            instance.exact("cost")[i] * slope for slope in instance.exact("slopes")[i].tolist()
        ]
        self.widths = instance.exact("widths")[i].tolist()
        self.capacity = sum(self.widths, F(0))
        self.value = instance.exact("value")[i]
        self.rho = instance.exact("reversibility")[i]
        self.delta = instance.exact("removable")[i]

    def cost(self, x: Fraction) -> Fraction:
        total, left = F(0), x
        for rate, width in zip(self.rates, self.widths):
            step = min(left, width)
            total, left = total + rate * step, left - step
        assert left == 0
        return total

    def reach(self, money: Fraction) -> Fraction:
        """The largest x with cost ≤ money."""
        x = F(0)
        for rate, width in zip(self.rates, self.widths):
            step = min(width, money / rate) if rate else width
            x, money = x + step, money - rate * step
        return x

    def kinks(self, gain: Fraction) -> list[Fraction]:
        """Where cost or payment need may change slope."""
        points = [F(0)]
        for width in self.widths:
            points.append(points[-1] + width)
        points.append(self.reach(gain))
        if self.rho < 1:
            points.append(self.reach(gain / (1 - self.rho)))
        return sorted(set(points))


def improvement(instance: Any, total: Fraction) -> Fraction:
    share = F(0)
    for threshold, b in zip(instance.exact("thresholds"), instance.exact("shares")):
        if total >= threshold:
            share = b
    return share


def need(instance: Any, user: User, x: Fraction, total: Fraction, protocol: str) -> Fraction:
    """The least payment under participation (A3) and, unless "none", W1."""
    b = improvement(instance, total)
    cost = user.cost(x)
    least = max(F(0), cost - user.value * b)
    if protocol != "none" and x > 0:
        lost = user.value * (b - improvement(instance, total - user.delta * x))
        least = max(least, user.rho * cost - lost)
    return least


def burdens(
    instance: Any, objective: str, transfers: bool, protocol: str
) -> tuple[Fraction, Fraction] | None:
    """(optimum, social cost of the canonical plan) for K = 1; None if the outcome is null.

    Enumerates the vertices: everybody at a kink but one user who fills the threshold, or two who
    fill threshold and budget.
    """
    users = [User(instance, i) for i in range(instance.n)]
    threshold, b = instance.exact("thresholds")[0], instance.exact("shares")[0]
    everyone = sum((user.value for user in users), F(0))
    provider = F(instance.exact("provider_value")[()])
    budget = None if instance.budget == float("inf") else F(instance.exact("budget")[()])
    best: tuple[Fraction, Fraction, Fraction] | None = None
    for x in _vertices(instance, users, threshold, b, budget, protocol):
        total = sum(x, F(0))
        if total < threshold:
            continue
        pay = [need(instance, user, xi, total, protocol) for user, xi in zip(users, x)]
        spent, cost = sum(pay, F(0)), sum((u.cost(xi) for u, xi in zip(users, x)), F(0))
        if (not transfers and spent > 0) or (budget is not None and spent > budget):
            continue
        key = {
            "provider-surplus": (spent - provider * b, cost),
            "welfare": (cost - (provider + everyone) * b, cost),
            "expenditure": (spent, cost),
            "social-cost": (cost, cost),
            "improvement": (-b, spent, cost),
        }[objective]
        key = (key[0], key[1], key[2]) if len(key) == 3 else (key[0], F(0), key[1])
        if best is None or key < best:
            best = key
    if best is None:
        return None
    if objective in ("provider-surplus", "welfare"):
        return None if best[0] >= 0 else (-best[0], best[2])
    return (b if objective == "improvement" else best[0]), best[2]


def _vertices(
    instance: Any,
    users: list[User],
    threshold: Fraction,
    b: Fraction,
    budget: Fraction | None,
    protocol: str,
) -> Any:
    kinks = [user.kinks(user.value * b) for user in users]
    n = len(users)
    for free in range(n):
        for others in product(*(kinks[i] for i in range(n) if i != free)):
            rest = threshold - sum(others, F(0))
            point = [*others[:free], max(F(0), rest), *others[free:]]
            if point[free] <= users[free].capacity:
                yield point
    if budget is None:
        return
    for a, c in combinations(range(n), 2):
        fixed = [i for i in range(n) if i not in (a, c)]
        for others in product(*(kinks[i] for i in fixed)):
            x = dict(zip(fixed, others))
            spent = sum((need(instance, users[i], x[i], threshold, protocol) for i in fixed), F(0))
            left = threshold - sum(others, F(0))
            for low, high in zip(kinks[a], kinks[a][1:]):
                for start, end in zip(kinks[c], kinks[c][1:]):
                    found = _meet(
                        instance,
                        users[a],
                        (low, high),
                        users[c],
                        (start, end),
                        left,
                        budget - spent,
                        threshold,
                        protocol,
                    )
                    if found is not None:
                        x[a], x[c] = found
                        yield [x[i] for i in range(n)]


def _meet(
    instance: Any,
    one: User,
    span: tuple[Fraction, Fraction],
    other: User,
    reach: tuple[Fraction, Fraction],
    total: Fraction,
    money: Fraction,
    threshold: Fraction,
    protocol: str,
) -> tuple[Fraction, Fraction] | None:
    """x, y on given linear pieces with x + y = total and need(x) + need(y) = money."""

    def line(user: User, low: Fraction, high: Fraction) -> tuple[Fraction, Fraction]:
        third, two = low + (high - low) / 3, low + 2 * (high - low) / 3
        at = need(instance, user, third, threshold, protocol)
        slope = (need(instance, user, two, threshold, protocol) - at) / (two - third)
        return slope, at - slope * third

    (s, p), (t, q) = line(one, *span), line(other, *reach)
    if s == t:
        return None
    x = (money - p - q - t * total) / (s - t)
    y = total - x
    if span[0] <= x <= span[1] and reach[0] <= y <= reach[1]:
        return x, y
    return None

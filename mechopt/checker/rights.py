"""Other rights: a part may be taken back, re-assignment; data committed for good."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, pairwise
from typing import Any

from .data import ZERO, Levels, User, number, numbers, require, total

Offer = tuple[Fraction, Fraction, Fraction]  # burden x, cost C(x), payment needed
Column = list[Fraction]
ON_TOP = "burdens, improvement and objective are those on top of the data committed"


# -- a part may be taken back ---------------------------------------------------------------------


def claims(user: User, levels: Levels, level: int, amount: Fraction, x: Fraction) -> Column:
    """What must be paid at least so that a user who gives x keeps all of it, reason by reason.

    Nothing; taking part; and for every m ≤ `level`, as `amount` is there in all: settling for T_m,
    he takes min(x, (amount − T_m) / δ) back, recovers ρ of its cost, and (1 − η) v b_m is left.
    """
    b, cost = levels.b, user.curve.cost(x)
    found = [ZERO, cost - user.value * b[level]]
    for m in range(level + 1):
        kept = ZERO
        if m > 0 and user.delta > 0:
            kept = max(ZERO, x - (amount - levels.T[m - 1]) / user.delta)
        back = user.rho * (cost - user.curve.cost(kept))
        found.append(back - user.loss(b[level], b[m]))
    return found


def all_keep(levels: Levels, users: list[User], x: Column, t: Column) -> bool:
    """Whether nobody gains by any part while the others keep everything; so too in any order."""
    amount = total(x)
    level = levels.level(amount)
    return level > 0 and all(
        max(claims(user, levels, level, amount, given)) <= paid
        for user, given, paid in zip(users, x, t)
        if given > 0
    )


def part_offers(
    user: User, levels: Levels, level: int, amount: Fraction, ends: tuple[Fraction, Fraction]
) -> list[Offer]:
    """Corners between which the largest claim is linear: bends of each, and where two meet."""
    low, high = ends
    edges = [ZERO]
    for width, _ in user.curve.pieces:
        edges.append(edges[-1] + width)
    cuts = {low, high, *edges}
    if user.delta > 0:
        for m in range(1, level + 1):
            cuts |= {edge + (amount - levels.T[m - 1]) / user.delta for edge in edges}
    bends = sorted(x for x in cuts if low <= x <= high)
    corners = set(bends)
    for x, y in pairwise(bends):
        here, there = (claims(user, levels, level, amount, one) for one in (x, y))
        for i, j in combinations(range(len(here)), 2):
            before, after = here[i] - here[j], there[i] - there[j]
            if before * after < 0:
                corners.add(x + (y - x) * before / (before - after))
    return [
        (x, user.curve.cost(x), max(claims(user, levels, level, amount, x)))
        for x in sorted(corners)
    ]


# -- re-assignment --------------------------------------------------------------------------------


def replaced(levels: Levels, users: list[User], paid: bool) -> list[bool]:
    """Without whom one threshold is reached all the same: by what others can give, unpaid unless
    `paid`."""
    b = levels.b[1]
    reach = [u.curve.capacity if paid else u.curve.inverse(u.value * b) for u in users]
    return [total(reach) - one >= levels.T[0] for one in reach]


def all_take_part(
    levels: Levels, users: list[User], x: Column, t: Column, replaceable: list[bool]
) -> bool:
    """Whether nobody would rather see the mechanism run again without him."""
    b, amount = levels.b, total(x)
    level = levels.level(amount)
    for user, given, paid, other in zip(users, x, t, replaceable):
        after = level if other else levels.level(amount - user.removes(given))
        if given > 0 and user.curve.cost(given) - paid > user.loss(b[level], b[after]):
            return False
    return level > 0


# -- committed data -------------------------------------------------------------------------------


def opened(problem: dict[str, Any], terms: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The problem of what is still open: data, improvement and cost on top of those committed.

    y_i is given for good: what is asked, z = x − y, costs C(y + z) − C(y); thresholds and shares
    lose what Σ y reaches. The null outcome asks for nothing more.
    """
    given = [number(user.get("committed", 0)) for user in problem["users"]]
    if not any(given):
        return problem, terms
    require(min(given) >= 0, "committed data out of range")
    require(terms["protocol"] != "sequential", "committed data in sequence are not dealt with")
    T, b = numbers(problem["thresholds"]), [ZERO, *numbers(problem["shares"])]
    reached = sum(threshold <= total(given) for threshold in T)
    require(reached < len(T), "the data committed reach every threshold")
    excluded = any(number(user.get("exclusion", 0)) for user in problem["users"])
    require(not (reached and excluded), "a threshold is reached already, and users are excluded")
    users = []
    for user, y in zip(problem["users"], given):
        widths, left = [], y
        for width in numbers(user["widths"]):
            widths.append(width - min(width, left))
            left -= min(width, left)
        require(left == 0, "committed data out of range")
        users.append({**user, "committed": 0, "widths": widths})
    target = terms["target"]
    if target is not None:
        target = number(target) - b[reached]
        require(target > 0, "the target is met by the data committed")
    rest = {
        **problem,
        "users": users,
        "thresholds": [threshold - total(given) for threshold in T[reached:]],
        "shares": [share - b[reached] for share in b[reached + 1 :]],
    }
    return rest, {**terms, "target": target}

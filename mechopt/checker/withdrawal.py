"""Who stays: the withdrawal verdicts on a plan, from their definitions."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from typing import Any

from .data import ZERO, Levels, User, require, total
from .zones import surely_stay

Column = list[Fraction]
Steps = tuple[Column, list[int]]


def verdicts(
    levels: Levels, users: list[User], x: Column, t: Column, order: Any
) -> dict[str, bool]:
    """Whether everyone stays, by protocol.

    No coalition gains by leaving together iff nobody gains alone: whoever gains with others keeps
    v B of what they all leave behind; alone he leaves behind more, and gains at least as much.
    """
    alone = all_stay(levels, users, x, t)
    in_turn = all_stay_in_turn(levels, users, x, t, order)
    return {"simultaneous": alone, "coalition": alone, "sequential": in_turn}


def at_risk(users: list[User], x: Column, t: Column) -> Column:
    """r_i = ρ_i (C_i(x_i) − C_i(y_i)) − t_i: what leaving recovers beyond the payment forgone."""
    return [user.recovers(given) - paid for user, given, paid in zip(users, x, t)]


def all_stay(levels: Levels, users: list[User], x: Column, t: Column) -> bool:
    """(W1) v_i (B(X) − (1 − η_i) B(X − δ_i (x_i − y_i))) ≥ r_i for all who can leave; B(X) > 0."""
    everything, b = total(x), levels.b
    share = b[levels.level(everything)]
    return share > 0 and all(
        user.loss(share, b[levels.level(everything - user.removes(given))]) >= r
        for user, given, r in zip(users, x, at_risk(users, x, t))
        if given > user.committed
    )


def all_stay_in_turn(levels: Levels, users: list[User], x: Column, t: Column, order: Any) -> bool:
    """Whether everyone stays in the subgame-perfect outcome (F3), an indifferent user staying.

    `after`: the level finally reached, from the last mover to the first, as a step function of
    the total that those before leave behind: (totals at which it changes, levels from there on).
    """
    places = list(range(len(users)))
    if order in ("small-first", "large-first"):
        places.sort(key=lambda i: x[i] if order == "small-first" else -x[i])
    else:
        require(sorted(order) == places, "the order is no permutation of the users")
        places = order
    before_all = total(x[i] for i in places if x[i] == users[i].committed)
    places = [i for i in places if x[i] > users[i].committed]
    r, b = at_risk(users, x, t), levels.b
    if surely_stay(levels, users, x, r, places):
        return True

    def stays(i: int, high: int, low: int) -> bool:
        """Whether i prefers staying, with level `high`, to leaving, with level `low`."""
        return users[i].loss(b[high], b[low]) >= (r[i] if high else ZERO)

    def choices(i: int, before: Fraction, then: Steps) -> tuple[int, int]:
        """The level finally reached if i stays, and if i leaves."""
        left = before + x[i] - users[i].removes(x[i])
        high, low = (bisect_right(then[0], one) - 1 for one in (before + x[i], left))
        return then[1][high], then[1][low]

    after: list[Steps] = [([ZERO, *levels.T], list(range(levels.K + 1)))]
    steps = 0
    for i in reversed(places):
        shifts = (x[i], x[i] - users[i].removes(x[i]))
        changes: Column = []
        outcome: list[int] = []
        for start in sorted({max(ZERO, s - shift) for s in after[-1][0] for shift in shifts}):
            high, low = choices(i, start, after[-1])
            final = high if stays(i, high, low) else low
            if not outcome or outcome[-1] != final:
                changes.append(start)
                outcome.append(final)
        after.append((changes, outcome))
        steps += len(changes)
        require(steps <= 50_000 + 50 * len(users), "too many turns of the outcome to be followed")
    before = before_all
    for i, then in zip(places, reversed(after[:-1])):
        if not stays(i, *choices(i, before, then)):
            return False
        before += x[i]
    return levels.level(before) > 0

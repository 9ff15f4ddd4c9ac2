"""Why the level finally reached after a withdrawal is what it is: facts that force it.

A fact bounds one number from one side: `("r", j)`, the net reversible burden of j in units of his
gain v b_K; `("left", gone)`, the data left when a set of users (bits) has gone, in units of the
total; `("order", i, j)`, x_j − x_i for i < j. By the game itself:

- *at least m*: those with r_j ≤ v_j (b_m − (1 − η) b_{m−1}) stay if m fails without them, so m is
  reached if they (and those who have stayed before) suffice; else by the game, mover by mover;
- *at most m*: nobody with r_j > v_j b_q stays where q is reached in the end, so q is out of reach
  if the others do not suffice; else by the game.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any

import numpy as np

from mechopt.arrays import FloatArray, IntArray
from mechopt.known.sequential.task import SequentialTask, given_order
from mechopt.tolerances import TINY

STRICT = 4e-9  # by how much strict inequalities hold, of a user's gain or of the total
_HALF = STRICT / 2

Key = tuple[Any, ...]
Bounds = dict[Key, tuple[float, float]]
Fact = tuple[Key, float, float]  # one of the two bounds is finite


@dataclass(frozen=True, eq=False)
class Point:
    """burden (n,), of the total; r (n,), of what each user gains."""

    burden: FloatArray
    r: FloatArray


def scale_of(task: SequentialTask) -> FloatArray:
    """What each user gains, v b_K, money (n,); on average, where that is nothing."""
    gain = task.gain
    return np.where(gain > 0, gain, max(float(gain.mean()), TINY))


def negated(fact: Fact) -> Fact:
    """What holds where the fact does not."""
    key, low, high = fact
    return (key, -inf, low - STRICT) if low > -inf else (key, high + STRICT, inf)


def within(bounds: Bounds, fact: Fact) -> Bounds | None:
    """The bounds with the fact as well; None if that is empty."""
    key, low, high = fact
    least, most = bounds.get(key, (-inf, inf))
    low, high = max(low, least), min(high, most)
    return None if low > high else {**bounds, key: (low, high)}


def implied(bounds: Bounds, fact: Fact) -> bool:
    """Whether the bounds contain the fact."""
    key, low, high = fact
    least, most = bounds.get(key, (-inf, inf))
    return least >= low - _HALF and most <= high + _HALF


def split(bounds: Bounds, why: list[Fact], possible: Any) -> list[Bounds]:
    """The cases in which one of the facts fails and those before it hold."""
    found: list[Bounds] = []
    rest: Bounds | None = bounds
    for fact in why:
        assert rest is not None
        if implied(rest, fact):
            continue
        case = within(rest, negated(fact))
        if case is not None and possible(case):
            found.append(case)
        rest = within(rest, fact)
        if rest is None or not possible(rest):
            break
    return found


@cache
def _sets(n: int) -> tuple[FloatArray, IntArray]:
    """Members of every set of users (2^n, n), and every set with one user more (n, 2^n)."""
    gone = np.arange(1 << n)
    members = (gone[:, None] >> np.arange(n) & 1).astype(np.float64)
    return members, gone[None, :] | 1 << np.arange(n)[:, None]


class Reasons:
    """The game of one level's problem at different points."""

    def __init__(self, task: SequentialTask) -> None:
        instance, given = task.below, given_order(task)
        self.n, self.top = instance.n, instance.levels
        self.removable = instance.removable.tolist()
        self.given = None if given is None else given.tolist()
        self.by = "given" if given is not None else task.order
        self.reached = [0.0, *(instance.thresholds / task.total).tolist()]
        shares = np.append(0.0, instance.shares)
        enjoyed = (1 - instance.exclusion)[:, None, None]
        worth = instance.value / scale_of(task)
        # cut[j][a][c]: he stays for level a rather than leave for c iff r_j is no more than this.
        cut = worth[:, None, None] * (shares[None, :, None] - enjoyed * shares[None, None, :])
        self.cut, self.cuts = cut.tolist(), cut
        self.enjoys = enjoyed[:, 0, 0] * instance.value > 0
        self.sets, self.without = _sets(self.n)
        self.zone = cut[:, -1, :]  # (n, K + 1): r up to which each outcome holds him

    # -- a point ----------------------------------------------------------------------------------

    def leaves(self, point: Point, bounds: Bounds) -> list[Fact] | None:
        """Somebody who leaves: that he is held, or what forces that he is not; None: all stay.

        Of those who leave, who can be refuted by the fewest facts that the bounds leave open.
        """
        order = self._set(point, bounds)
        self._play(order)
        found: list[Fact] | None = None
        fewest = inf, 0.0
        for place, user in enumerate(order):
            gone, rest = 1 << user, tuple(order[place + 1 :])
            after = self._outcome(gone, rest)
            if self.r[user] <= self.cut[user][self.top][after] + _HALF:
                continue
            least = next(
                m for m in range(after + 1) if self.r[user] > self.cut[user][self.top][m] + _HALF
            )
            why = self._simply(user, order[:place], rest, least, bounds)
            if why is None:
                why = [*self._lower(gone, rest, least), *self._order_facts(order, place)]
            held = self.cut[user][self.top][least]
            why = [(("r", user), held + STRICT, inf), *dict.fromkeys(why)]
            still = sum(not implied(bounds, fact) for fact in why), held - self.r[user]
            if still < fewest:
                found, fewest = why, still
        return found

    def kept(self, point: Point, bounds: Bounds) -> Iterator[tuple[int, int, list[Fact]]]:
        """(user, level, what forces that at least this level is left when he goes on his turn)."""
        order = self._set(point, bounds)
        self._play(order)
        for place, user in enumerate(order):
            gone, rest = 1 << user, tuple(order[place + 1 :])
            level = self._outcome(gone, rest)
            if level and self.x[user] > 0:
                why = [*self._lower(gone, rest, level), *self._order_facts(order, place)]
                yield user, level, list(dict.fromkeys(why))

    def order(self, point: Point, bounds: Bounds) -> IntArray:
        """The order (n,) in which users decide at this point."""
        return np.array(self._set(point, bounds))

    def acyclic(self, bounds: Bounds) -> bool:
        """Whether a designed order can respect the bounds (others follow from burdens)."""
        return self.by != "designed" or self._arranged(bounds, list(range(self.n))) is not None

    def _set(self, point: Point, bounds: Bounds) -> list[int]:
        self.x, self.r = point.burden.tolist(), point.r
        self.takes = [share * own for share, own in zip(self.removable, self.x, strict=True)]
        self.total = sum(self.x)
        if self.given is not None:
            return self.given
        if self.by != "designed":
            sign = 1.0 if self.by == "small-first" else -1.0
            return self._by_burden(sign)
        held = (point.r[:, None] <= self.zone + _HALF) & (np.arange(self.top + 1) < self.top)
        zone = np.where(held, np.arange(self.top + 1), 0).max(axis=1)
        sort = sorted(range(self.n), key=lambda user: (zone[user], self.takes[user]))
        arranged = self._arranged(bounds, sort)
        assert arranged is not None
        return arranged

    def _by_burden(self, sign: float) -> list[int]:
        """Users by burden, those nearer than rounding by position."""
        order = sorted(range(self.n), key=lambda user: sign * self.x[user])
        for end in range(1, self.n):  # insertion: a handful of users, nearly sorted
            place = end
            while place and self._swapped(order[place - 1], order[place], sign):
                order[place - 1], order[place] = order[place], order[place - 1]
                place -= 1
        return order

    def _swapped(self, one: int, other: int, sign: float) -> bool:
        return one > other and abs(self.x[one] - self.x[other]) <= _HALF

    def _arranged(self, bounds: Bounds, wished: list[int]) -> list[int] | None:
        """The wished order as far as the bounds allow; None if they are in a circle."""
        before: dict[int, set[int]] = {user: set() for user in wished}
        for key, (low, high) in bounds.items():
            if key[0] == "order":
                one, other = key[1], key[2]
                if low > -inf:
                    before[other].add(one)
                if high < inf:
                    before[one].add(other)
        left, found = list(wished), []
        while left:
            ready = next((user for user in left if not before[user].intersection(left)), None)
            if ready is None:
                return None
            left.remove(ready)
            found.append(ready)
        return found

    # -- the game ---------------------------------------------------------------------------------

    def _play(self, order: list[int]) -> None:
        """The levels finally reached from every set of users gone, backwards through the order."""
        self.left = self.total - self.sets @ np.array(self.takes)
        level = np.searchsorted(self.reached[1:], self.left + _HALF, side="right")
        self.level = level.tolist()
        every = np.arange(self.top + 1)
        stays = self.r[:, None, None] <= self.cuts + _HALF
        stays[:, 0, :] = ~self.enjoys[:, None] | (every == 0)
        chosen = np.where(stays, every[:, None], every[None, :])
        self.final = [level]
        for user in reversed(order):
            level = chosen[user][level, level[self.without[user]]]
            self.final.append(level)

    def _outcome(self, gone: int, rest: tuple[int, ...]) -> int:
        """The level finally reached when `gone` have left and `rest` are still to decide."""
        return int(self.final[len(rest)][gone])

    def _outcomes(self, gone: int, rest: tuple[int, ...]) -> tuple[int, int]:
        return self._outcome(gone, rest[1:]), self._outcome(gone | 1 << rest[0], rest[1:])

    def _stays(self, user: int, stay: int, leave: int) -> bool:
        if stay == 0:
            return leave == 0 or not self.enjoys[user]
        return bool(self.r[user] <= self.cut[user][stay][leave] + _HALF)

    # -- why --------------------------------------------------------------------------------------

    def _simply(
        self, user: int, earlier: list[int], rest: tuple[int, ...], level: int, bounds: Bounds
    ) -> list[Fact] | None:
        """That the level is reached, by those who gain by staying if it fails without them."""
        facts: dict[int, Fact] = {}
        for other in rest:
            held = self.cut[other][level][level - 1]
            if self.r[other] <= held + _HALF:
                facts[other] = (("r", other), -inf, held)
        for other in earlier:
            held = self.cut[other][level][level - 1]
            if self.r[other] <= held + _HALF:
                facts[other] = (("r", other), -inf, held)
            first = self._before(other, user)
            if other not in facts or (first is not None and implied(bounds, first)):
                facts[other] = first or (("r", other), -inf, inf)
        gone = sum(1 << other for other in range(self.n) if other not in facts)
        needed = self.reached[level]
        if self.left[gone] < needed - _HALF:
            return None
        for other in sorted(facts, key=lambda other: self.takes[other]):
            if implied(bounds, facts[other]):
                continue
            if self.left[gone | 1 << other] >= needed - _HALF:
                gone |= 1 << other
                del facts[other]
        return [*facts.values(), (("left", gone), needed, inf)]

    def _lower(self, gone: int, rest: tuple[int, ...], level: int) -> list[Fact]:
        """That at least this level is reached from here (it is)."""
        if level == 0:
            return []
        held = {
            user: (("r", user), -inf, self.cut[user][level][level - 1])
            for user in rest
            if self.r[user] <= self.cut[user][level][level - 1] + _HALF
        }
        without = gone | sum(1 << user for user in rest if user not in held)
        needed = self.reached[level]
        if self.left[without] >= needed - _HALF:
            for user in sorted(held, key=lambda user: self.takes[user]):
                if self.left[without | 1 << user] >= needed - _HALF:
                    without |= 1 << user
                    del held[user]
            return [*held.values(), (("left", without), needed, inf)]
        user, later = rest[0], rest[1:]
        stay, leave = self._outcomes(gone, rest)
        if stay >= level and leave >= level:
            one = self._lower(gone, later, level)
            return one + self._lower(gone | 1 << user, later, level)
        return self._choice(gone, rest, level, None)

    def _upper(self, gone: int, rest: tuple[int, ...], level: int) -> list[Fact]:
        """That at most this level is reached from here (it is)."""
        facts: list[Fact] | None = []
        for more in range(level + 1, self.level[gone] + 1):
            found = self._unreachable(gone, rest, more)
            facts = None if facts is None or found is None else facts + found
        if facts is not None:
            now = self.level[gone]
            if now < self.top:
                facts.append((("left", gone), -inf, self.reached[now + 1] - STRICT))
            return facts
        user, later = rest[0], rest[1:]
        stay, leave = self._outcomes(gone, rest)
        if stay <= level and leave <= level:
            one = self._upper(gone, later, level)
            return one + self._upper(gone | 1 << user, later, level)
        return self._choice(gone, rest, None, level)

    def _unreachable(self, gone: int, rest: tuple[int, ...], level: int) -> list[Fact] | None:
        """That the level is not reached in the end: who would stay for it does not suffice."""
        facts: dict[int, Fact] = {}
        for user in rest:
            if self.r[user] > self.cut[user][level][0] + _HALF:
                facts[user] = (("r", user), self.cut[user][level][0] + STRICT, inf)
        without = gone | sum(1 << user for user in facts)
        short = self.reached[level] - STRICT
        if self.left[without] > short + _HALF:
            return None
        for user in sorted(facts, key=lambda user: self.takes[user]):
            if self.left[without & ~(1 << user)] <= short + _HALF:
                without &= ~(1 << user)
                del facts[user]
        return [*facts.values(), (("left", without), -inf, short)]

    def _choice(
        self, gone: int, rest: tuple[int, ...], least: int | None, most: int | None
    ) -> list[Fact]:
        """What the next mover does, and what follows from it: at least, or at most, that level."""
        user, later = rest[0], rest[1:]
        stay, leave = self._outcomes(gone, rest)
        one, other = (gone, later), (gone | 1 << user, later)
        stays = self._stays(user, stay, leave)
        facts: list[Fact] = []
        if stay == 0:  # nothing to stay for: he leaves if that leaves anything he enjoys
            facts += self._upper(*one, 0)
            facts += self._lower(*other, leave) if not stays else self._upper(*other, leave)
            return facts
        if stays:
            facts.append((("r", user), -inf, self.cut[user][stay][leave]))
            facts += self._lower(*one, stay)
            # Where leaving leads to a wanted level as well, no matter; else it leads to no more.
            if least is None or leave < least - 1:
                facts += self._upper(*other, leave)
            if most is not None:
                facts += self._upper(*one, most)
            return facts
        facts.append((("r", user), self.cut[user][stay][leave] + STRICT, inf))
        facts += self._lower(*other, leave)
        if least is None or stay < least - 1:
            facts += self._upper(*one, stay)
        if most is not None:
            facts += self._upper(*other, most)
        elif not self.enjoys[user]:  # were nothing reached if he stays, he would stay
            facts += self._lower(*one, 1)
        return facts

    def _order_facts(self, order: list[int], place: int) -> list[Fact]:
        """The order as far as the game after the mover at `place` depends on it."""
        pairs = [(order[before], order[place]) for before in range(place)]
        pairs += [(order[at], order[at + 1]) for at in range(place, len(order) - 1)]
        found = [self._before(*pair) for pair in pairs]
        return [fact for fact in found if fact is not None]

    def _before(self, one: int, other: int) -> Fact | None:
        """That one decides before the other; None if that is given."""
        if self.given is not None:
            return None
        key = ("order", min(one, other), max(one, other))
        rising = (one < other) == (self.by != "large-first")
        tie = one < other  # equal burdens: by position
        if rising:
            return (key, 0.0 if tie else STRICT, inf)
        return (key, -inf, 0.0 if tie else -STRICT)

"""What a user can be asked for in practice: his curve, cut down to what may be asked.

The curves of a level (`level_curves`) are functions of any burden. Here only 0, burdens from the
least on, and multiples of the unit are left; whoever is asked costs the provider the contact; and
payments rise in steps. All this changes one user's curve at a time, so a level stays a
multiple-choice knapsack.

Where all free users have the same unit, burdens are counted in it, and the straight line between
two multiples stands for the multiples between them: a cut at a whole number falls on one. With
several units every multiple is a point of its own. Where payments come in steps every unit is one;
if they are too many, only those near the prices at which the level is bought (`Focus`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray, exact_sum
from mechopt.known.burdens import level_curves
from mechopt.known.burdens.level_curves import LevelCurves
from mechopt.problem.aims import MARGIN, required_total
from mechopt.problem.instance import Instance
from mechopt.problem.practice import Practice, ceiling, counted, flooring, typed

MOST_POINTS = 4_000_000  # beyond, steps (or mixed units) are relaxed and met by rounding up
_FINEST = Fraction(1, 10**5)  # of the goal: a grid of totals that a solver tells apart
MOST_STAIRS = 200_000  # beyond, a line through their corners stands for them


@dataclass(frozen=True, eq=False)
class Terms:
    """What has to be paid for, at which level: everything a user's curve depends on.

    :rights: "withdrawal" (A3 and W1), "participation" (A3), "cost" (subsidies: in full)
    :held_by: money, (n,); with "participation", what holds a user whatever he gives
    """

    instance: Instance
    level: int
    reserve: float
    rights: str
    transfers: bool
    charged: bool  # whether the contact counts in the cost (welfare)
    held_by: FloatArray | None = None

    @property
    def practice(self) -> Practice:
        """The instance's terms of section 11."""
        practice = self.instance.practice
        assert practice is not None
        return practice

    @property
    def goal(self) -> Fraction:
        """T_k + R, as `Practice.goal`."""
        threshold = float(self.instance.thresholds[self.level - 1])
        return self.practice.goal(threshold, self.reserve)

    @property
    def unit(self) -> float:
        """The unit that all free users share; 0 if they have none, or several."""
        sizes = np.unique(self.practice.unit[self.practice.free])
        return float(sizes[0]) if sizes.size == 1 else 0.0

    @property
    def grid(self) -> Fraction:
        """What all free users' units are multiples of, data; 0 if some have none, or if tiny."""
        sizes = [typed(size) for size in np.unique(self.practice.unit[self.practice.free]).tolist()]
        if not sizes or sizes[0] == 0:
            return Fraction(0)
        parts = lcm(*(size.denominator for size in sizes))
        grid = Fraction(gcd(*(int(size * parts) for size in sizes)), parts)
        return grid if len(sizes) == 1 or grid > _FINEST * self.goal else Fraction(0)

    def need(self, burden: FloatArray, excess: float, users: Any = slice(None)) -> FloatArray:
        """Least payments, before rounding up to steps, if the total is the goal and `excess`."""
        if self.rights == "cost":
            return level_curves.cost_of(self.instance, users, burden)
        total = required_total(self.instance, self.level, self.reserve) + excess
        return level_curves.payment_needed(
            self.instance,
            self.level,
            total,
            burden,
            withdrawal=self.rights == "withdrawal",
            users=users,
            held_by=self.held_by,
        )

    def payment(self, burden: FloatArray) -> FloatArray | None:
        """The least payments in steps for burdens (n,); None if they need some and none may be."""
        practice = self.practice
        excess = max(0.0, float(practice.total(burden) - self.goal))
        need = self.need(burden, excess)
        if not self.transfers:
            return None if (need > 0).any() else np.zeros(self.instance.n)
        return practice.rounded_up(need)


@dataclass(frozen=True, eq=False)
class AskedCurves:
    """Curves of what may be asked, burdens in units of `scale` (data), fixed ones taken out.

    :borne: C_i at the points, money (the curves' cost has the contact in it where that is charged)
    :coarse: payments are not in steps yet, there being too many units: a lower bound
    """

    curves: LevelCurves
    scale: float
    borne: FloatArray
    coarse: bool = False


@dataclass(frozen=True)
class Focus:
    """Prices around which whole units count one by one: f = cost · C + need · t − data · x.

    With data and need anywhere in their ranges, a point left out has an f more than `width` (money)
    above another of its user's: a straight line of slope d in f, rounded up to steps, has at its
    j-th unit at least d j − need · step more than at its lower end.
    """

    cost: float
    need: tuple[float, float]
    data: tuple[float, float]
    width: float

    def holds(self, data: float, need: float) -> bool:
        """Whether these prices are among those it is made for."""
        return self.data[0] <= data <= self.data[1] and self.need[0] <= need <= self.need[1]

    def units(
        self, number: IntArray, cost: FloatArray, need: FloatArray, step: float
    ) -> tuple[IntArray, IntArray]:
        """The first unit of each line to look at and how many; slopes per unit, money."""
        least = self.cost * cost + self.need[0] * need - self.data[1]
        most = self.cost * cost + self.need[1] * need - self.data[0]
        rise = np.maximum(np.maximum(least, -most), tolerances.TINY)
        room = np.minimum((self.need[1] * step + self.width) / rise, 1e9)
        count = np.minimum(room.astype(np.int64) + 1, number)
        return np.where(most < 0, number - count, 0), count


def asked_curves(terms: Terms, excess: float, focus: Focus | None = None) -> AskedCurves:
    """The curves if the total is the goal and `excess`; a lower bound if it is more.

    `focus`: which units are looked at, where not all can be (see `AskedCurves.coarse`).
    """
    instance, practice = terms.instance, terms.practice
    base = _base(terms, excess)
    free = practice.free
    whole = free & (practice.unit > 0)
    found = [_fixed(terms, excess)]
    if (free & ~whole).any():
        found.append(_from_least(terms, base, free & ~whole, practice.range(instance.capacity)[0]))
    if whole.any():
        found.append(_whole_units(terms, base, whole, excess))
    curves = _sorted(instance.n, *(np.concatenate(parts) for parts in zip(*found)))
    if practice.required.any():
        curves = curves.keep((curves.burden > 0) | ~practice.required[curves.user])
    if not terms.transfers:
        curves = curves.keep(curves.need <= 0)
    coarse = False
    if practice.step and terms.transfers:
        if terms.unit == 0:
            curves = _stairs(curves, practice.step, MARGIN * float(terms.goal))
        elif focus is not None or _units(curves).sum() <= MOST_POINTS:
            curves = _units_in_steps(curves, practice.step, focus)
        else:
            coarse = True
    some = curves.burden > 0
    some |= ~free[curves.user] & (practice.fixed[curves.user] > 0)
    contact = np.where(some, practice.contact[curves.user], 0.0)
    cost = curves.cost + contact if terms.charged else curves.cost
    borne = curves.cost
    curves = replace(curves, cost=cost, need=curves.need + contact)
    return AskedCurves(curves, terms.unit or 1.0, borne, coarse)


Points = tuple[IntArray, FloatArray, FloatArray, FloatArray, BoolArray]


def _base(terms: Terms, excess: float) -> LevelCurves:
    if terms.rights == "withdrawal":
        return level_curves.level_curves(terms.instance, terms.level, terms.reserve + excess)
    curves = level_curves.unbound_curves(terms.instance, terms.level, terms.held_by)
    return replace(curves, need=curves.cost.copy()) if terms.rights == "cost" else curves


def _sorted(n: int, *columns: Any) -> LevelCurves:
    """Curves from points in any order (ties in the order given)."""
    user, burden = columns[0], columns[1]
    order = np.lexsort((burden, user))
    user = user[order]
    start = np.searchsorted(user, np.arange(n + 1))
    burden, cost, need, joined = (column[order] for column in columns[1:])
    return LevelCurves(user, burden, cost, need, joined, start)


def _fixed(terms: Terms, excess: float) -> Points:
    """One point per fixed user, at burden 0: what he gives is no longer to be chosen."""
    users = np.flatnonzero(~terms.practice.free)
    burden = terms.practice.fixed[users]
    cost = level_curves.cost_of(terms.instance, users, burden)
    need = terms.need(burden, excess, users)
    return users, 0.0 * burden, cost, need, np.zeros(users.size, dtype=bool)


def _from_least(terms: Terms, base: LevelCurves, mine: BoolArray, low: FloatArray) -> Points:
    """Users without a unit: 0, and the curve from the least on (where there is one)."""
    practice = terms.practice
    gap = mine & ((low > 0) | (practice.contact > 0) | practice.required)
    low = np.maximum(low, MARGIN * float(terms.goal))  # asked at all is asked for something
    user, burden = base.user, base.burden
    plain = mine[user] & ~gap[user]
    above = gap[user] & (burden >= low[user])
    ends = np.append(burden[1:], 0.0)
    crossing = gap[user] & base.joined & (burden < low[user]) & (ends > low[user])
    at = np.flatnonzero(crossing)
    part = (low[user[at]] - burden[at]) / (burden[at + 1] - burden[at])
    zero = np.flatnonzero(gap)
    kept = plain | above

    def column(values: FloatArray) -> FloatArray:
        between = values[at] + part * (values[at + 1] - values[at])
        return np.concatenate((np.zeros(zero.size), between, values[kept]))

    return (
        np.concatenate((zero, user[at], user[kept])),
        np.concatenate((np.zeros(zero.size), low[user[at]], burden[kept])),
        column(base.cost),
        column(base.need),
        np.concatenate((np.zeros(zero.size, bool), np.ones(at.size, bool), base.joined[kept])),
    )


def _whole_units(terms: Terms, base: LevelCurves, mine: BoolArray, excess: float) -> Points:
    """Users with a unit: 0 and multiples, those beside a bend or jump of the curve as points."""
    instance, unit, common = terms.instance, terms.practice.unit, terms.unit
    low, high = terms.practice.range(instance.capacity)
    able = mine & (low <= high * (1 + tolerances.REACH))
    least, most = np.zeros(instance.n), np.zeros(instance.n)
    with np.errstate(divide="ignore", invalid="ignore"):
        least[able], most[able] = (np.rint(end[able] / unit[able]) for end in (low, high))
    users = np.flatnonzero(able)
    everyone = np.flatnonzero(mine)
    lines = common > 0 or (most - least)[able].sum() > MOST_POINTS
    if lines:
        some = able[base.user]
        owner, at = base.user[some], base.burden[some]
        size = unit[owner]
        beside = [flooring(at, size), flooring(at, size) + 1, ceiling(at, size)]
        owner = np.concatenate((users, users, *[owner] * 3))
        count = np.concatenate((least[users], most[users], *beside))
    else:
        number = (most - least + 1)[users].astype(np.int64)
        owner = np.repeat(users, number)
        first = np.cumsum(number) - number
        count = least[owner] + (np.arange(owner.size) - np.repeat(first, number))
    count = np.clip(count, least[owner], most[owner])
    wide = float(most.max(initial=0.0)) + 2
    key = np.sort(np.concatenate((everyone * wide, owner * wide + count)).astype(np.int64))
    key = key[np.append(True, key[1:] != key[:-1])]
    owner = (key // int(wide)).astype(np.int64)
    count = (key - owner * int(wide)).astype(np.float64)
    burden = counted(count, unit[owner])
    cost = level_curves.cost_of(instance, owner, burden)
    need = terms.need(burden, excess, owner)
    after = _level_after(terms, burden, excess, owner)
    joined = np.zeros(owner.size, dtype=bool)
    if lines:  # between two multiples on one stretch of the curve, all are on the line
        practice = terms.practice
        joined[:-1] = (owner[1:] == owner[:-1]) & (after[1:] == after[:-1]) & (count[:-1] > 0)
        from_zero = (practice.least <= unit) & (practice.contact == 0)
        joined[:-1] |= (owner[1:] == owner[:-1]) & (count[:-1] == 0) & from_zero[owner[:-1]]
    return owner, count if common else burden, cost, need, joined


def _level_after(terms: Terms, burden: FloatArray, excess: float, users: IntArray) -> IntArray:
    if terms.rights != "withdrawal":
        return np.zeros(burden.size, dtype=np.int64)
    total = required_total(terms.instance, terms.level, terms.reserve) + excess
    return level_curves.level_after(terms.instance, total, burden, users)


def _units(curves: LevelCurves) -> IntArray:
    """How many whole units each joined line has, both ends counted."""
    lines = np.flatnonzero(curves.joined)
    return np.rint(curves.burden[lines + 1] - curves.burden[lines]).astype(np.int64) + 1


def _units_in_steps(curves: LevelCurves, step: float, focus: Focus | None) -> LevelCurves:
    """Needs of whole units rounded up to multiples of `step`; every unit becomes a point."""
    lines, number = np.flatnonzero(curves.joined), _units(curves)
    width = np.maximum(number - 1.0, 1.0)
    dearer = (curves.cost[lines + 1] - curves.cost[lines]) / width
    rise = (curves.need[lines + 1] - curves.need[lines]) / width
    first = np.zeros_like(number)
    if focus is not None:
        first, number = focus.units(number, dearer, rise, step)
    line, place = _repeated(number)
    place += first[line]
    at = lines[line]
    lone = _lone(curves)
    columns = (
        np.concatenate((curves.user[at], curves.user[lone])),
        np.concatenate((curves.burden[at] + place, curves.burden[lone])),
        np.concatenate((curves.cost[at] + place * dearer[line], curves.cost[lone])),
        ceiling(np.concatenate((curves.need[at] + place * rise[line], curves.need[lone])), step)
        * step,
    )
    return _merged(curves.n, *columns, np.zeros(line.size + lone.size, dtype=bool))


def _lone(curves: LevelCurves) -> IntArray:
    """Points that belong to no line."""
    return np.flatnonzero(~curves.joined & ~np.append(False, curves.joined[:-1]))


def _stairs(curves: LevelCurves, step: float, margin: float) -> LevelCurves:
    """Needs rounded up to multiples of `step`: each rising line becomes stairs.

    Where they are too many, its first and its last stair and the line through the corners between
    them: a lower bound, met at the corners.
    """
    lines = np.flatnonzero(curves.joined)
    begin, end = curves.burden[lines], curves.burden[lines + 1]
    low, high = curves.need[lines], curves.need[lines + 1]
    cost, dearer = curves.cost[lines], curves.cost[lines + 1]
    first = ceiling(low, step)
    last = np.maximum(ceiling(high, step), first)
    stairs = (last - first).astype(np.int64) + 1
    number = stairs if stairs.sum() <= MOST_STAIRS else np.minimum(stairs, 3)
    line, place = _repeated(number)
    final = place == number[line] - 1
    more = np.where(final, last[line], first[line] + place)
    chord = (stairs[line] > number[line]) & (place == 1)
    more = np.where(chord, last[line] - 1, more)
    paid = np.where(chord, first[line], more)
    rise = np.where(high > low, high - low, 1.0)

    def reach(count: FloatArray) -> FloatArray:
        share = np.clip((count * step - low[line]) / rise[line], 0.0, 1.0)
        return begin[line] + share * (end - begin)[line]

    right = np.where(final, end[line], reach(more))
    before = np.where(chord, reach(paid), reach(paid - 1) + margin)
    left = np.where(place == 0, begin[line], before)
    kept = (left < right) | ((left == right) & (place == 0))
    line, paid, more, left, right = (column[kept] for column in (line, paid, more, left, right))
    slope = (dearer - cost)[line] / np.where(end > begin, end - begin, 1.0)[line]
    costs = [cost[line] + (x - begin[line]) * slope for x in (left, right)]
    user = curves.user[lines][line]
    lone = _lone(curves)
    none = np.zeros(user.size + lone.size, dtype=bool)
    parts = (
        (user, user, curves.user[lone]),
        (left, right, curves.burden[lone]),
        (*costs, curves.cost[lone]),
        (paid * step, more * step, ceiling(curves.need[lone], step) * step),
        (left < right, none),
    )
    user, burden, cost, need, joined = (np.concatenate(part) for part in parts)
    return _merged(curves.n, user, burden, cost, need, joined)


def _repeated(number: IntArray) -> tuple[IntArray, IntArray]:
    """Every line as often as `number` says, and which of its repetitions it is."""
    line = np.repeat(np.arange(number.size), number)
    return line, np.arange(line.size) - np.repeat(np.cumsum(number) - number, number)


def _merged(
    n: int,
    user: IntArray,
    burden: FloatArray,
    cost: FloatArray,
    need: FloatArray,
    joined: BoolArray,
) -> LevelCurves:
    """Curves from points, where those that are the same become one that is joined as either was."""
    order = np.lexsort((~joined, need, burden, user))
    user, burden, cost = user[order], burden[order], cost[order]
    need, joined = need[order], joined[order]
    same = (user[1:] == user[:-1]) & (burden[1:] == burden[:-1]) & (need[1:] == need[:-1])
    fresh = np.append(True, ~same)
    linked = np.logical_or.reduceat(joined, np.flatnonzero(fresh))
    start = np.searchsorted(user[fresh], np.arange(n + 1))
    return LevelCurves(user[fresh], burden[fresh], cost[fresh], need[fresh], linked, start)


def split_at_bends(curves: LevelCurves) -> tuple[LevelCurves, IntArray]:
    """The curves as pieces of one slope of cost each, and where each of their points came from.

    Where dearer data can be an advantage (a group's share of the cost), lines of a convex piece
    would not be taken in order.
    """
    inner = np.flatnonzero(curves.joined & np.append(False, curves.joined[:-1]))
    rise = curves.cost[inner + 1] - curves.cost[inner]
    before = curves.cost[inner] - curves.cost[inner - 1]
    width = curves.burden[inner + 1] - curves.burden[inner]
    width_before = curves.burden[inner] - curves.burden[inner - 1]
    left, right = rise * width_before, before * width
    bends = inner[np.abs(left - right) > tolerances.REACH * (np.abs(left) + np.abs(right))]
    source = np.insert(np.arange(curves.user.size), bends, bends)
    joined = curves.joined[source]
    joined[bends + np.arange(bends.size)] = False
    user = curves.user[source]
    start = np.searchsorted(user, np.arange(curves.n + 1))
    burden, cost, need = (column[source] for column in (curves.burden, curves.cost, curves.need))
    return LevelCurves(user, burden, cost, need, joined, start), source


def with_excess(curves: LevelCurves, room: float) -> LevelCurves:
    """The curves and one more user, who takes up to `room` of the total off for nothing.

    He turns "at least" into "exactly": the total asked for is `room` more, and what he gives of it
    nobody else has to.
    """
    n = curves.n
    ends = np.array([0.0, room]) if room > 0 else np.zeros(1)
    none = np.zeros(ends.size)
    return LevelCurves(
        np.append(curves.user, np.full(ends.size, n)),
        np.append(curves.burden, ends),
        np.append(curves.cost, none),
        np.append(curves.need, none),
        np.append(curves.joined, np.arange(ends.size) < ends.size - 1),
        np.append(curves.start, curves.user.size + ends.size),
    )


def most_of(curves: LevelCurves) -> float:
    """The most that all users together can give on these curves, scaled data."""
    return exact_sum(np.maximum.reduceat(curves.burden, curves.start[:-1]))

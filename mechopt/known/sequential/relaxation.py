"""The zone relaxation's bound: a Lagrangian in one price per row, everything else separable.

min Σ w_i over the points, s.t. Σ x ≥ X and, for every row m, Σ_{counting at m} δ x ≥ G_m − d_m
with a shortfall d_m that one user makes good (Z), and Σ need ≤ budget. Any prices give a bound;
the best are found by cutting planes in a box around the best so far.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, combinations
from math import inf
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.known.sequential.points import Points
from mechopt.problem.zones import Zones

_SHARED = 4  # rows whose keys may be one user, at most
_OPEN, _RIVALS = 8, 16  # of the users who are not tied one in so many is open; a row's keys are
_NEAREST, _WIDE = 8, 4.0  # points of theirs, at most; how much further away they may be
_TIED = 1e-4  # of prices: whoever is moved by less is tied
_BLOCK = 60_000  # numbers worked on at a time


_Key = tuple[int, int, float, float]  # user, end, part, what that costs


@dataclass(frozen=True, eq=False)
class Relaxation:
    """One relaxation: the points, and what the rows ask for.

    weight (P, n) : what is minimised, money; inf where there is no point
    asked (M,) : G_m − d_m, data; keys : per row (row, least δ x of the key, data), for rows that
    count on a key; budget : on Σ need, money, inf if there is no such row
    others : if points and weight are those of some users only, what the others have chosen
    """

    zones: Zones
    points: Points
    weight: FloatArray
    asked: FloatArray
    keys: tuple[tuple[int, float], ...] = ()
    budget: float = inf
    others: _Others | None = None

    @property
    def removable(self) -> FloatArray:
        """δ of the users whose points these are."""
        own = self.zones.instance.removable
        return own if self.others is None else own[self.others.users]


@dataclass(frozen=True, eq=False)
class _Others:
    """Everybody's points chosen and burdens (n,), those of `users` (c,) being open again.

    weight, money, and taken (1 + M [+ 1],), as in a slope: of the users who are not; place (P, c) :
    which points these are; rivals : users besides who may be keys, at all their points
    """

    users: IntArray
    chosen: IntArray
    burden: FloatArray
    weight: float
    taken: FloatArray
    place: IntArray | None = None
    rivals: tuple[IntArray, Relaxation] | None = None

    def everybody(self, chosen: IntArray, burden: FloatArray) -> tuple[IntArray, FloatArray]:
        """Points and burdens (n,), these being of `users`."""
        point, given = self.chosen.copy(), self.burden.copy()
        mine = chosen if self.place is None else self.place[chosen, np.arange(chosen.size)]
        point[self.users], given[self.users] = mine, burden
        return point, given


@dataclass(frozen=True, eq=False)
class Value:
    """The Lagrangian at prices (1 + M [+ 1],): its value, a supergradient, the points chosen (n,).

    burden (n,) : data, at these points (a key may be between two); mixed (n,) : points that balance
    the rows
    """

    prices: FloatArray
    bound: float
    slope: FloatArray
    chosen: IntArray
    burden: FloatArray
    mixed: IntArray | None = None
    evaluations: int = 0


def reduced_weight(relaxation: Relaxation, prices: FloatArray) -> FloatArray:
    """w − what burdens earn at these prices, money, (P, n)."""
    rows, points, removable = relaxation.zones.rows, relaxation.points, relaxation.removable
    worth = points.table @ prices[1 : 1 + rows] if rows else np.zeros(len(points.table))
    whole = bool((removable == 1).all())
    reduced = np.empty(points.burden.shape)
    for some in _blocks(points):
        block = reduced[:, some]
        np.take(worth, points.code[:, some], out=block, mode="clip")
        if not whole:
            block *= removable[some]
        block += prices[0]
        block *= points.burden[:, some]
        np.subtract(relaxation.weight[:, some], block, out=block)
        if relaxation.budget < inf:
            paid = np.where(relaxation.weight[:, some] < inf, points.need[:, some], 0.0)
            block += prices[-1] * paid
    return reduced


def _blocks(points: Points) -> list[slice]:
    """Users few enough at a time for their points to stay in the processor's cache."""
    size = max(1, _BLOCK // len(points.burden))
    return [slice(at, at + size) for at in range(0, points.burden.shape[1] or 1, size)]


def evaluate(relaxation: Relaxation, prices: FloatArray) -> Value:
    """A bound at these prices: of data, of each row, and of the budget if there is one."""
    return evaluated(relaxation, prices, reduced_weight(relaxation, prices))


def evaluated(relaxation: Relaxation, prices: FloatArray, reduced: FloatArray) -> Value:
    """As `evaluate`, with the reduced weights at hand."""
    least, chosen, burden, taken = _chosen(relaxation, reduced)
    if (others := relaxation.others) is not None:
        least += others.weight - float(prices @ others.taken)
        taken = taken + others.taken
        chosen, burden = others.everybody(chosen, burden)
        if others.rivals is not None:
            users, able = others.rivals
            more, chosen[users], burden[users], given = _chosen(able, reduced_weight(able, prices))
            least, taken = least + more, taken + given
    limited = [-relaxation.budget] if relaxation.budget < inf else []
    asked = np.array([relaxation.zones.total, *relaxation.asked, *limited])
    bound = float(least + prices @ asked) if least < inf else inf
    return Value(prices, bound, asked - taken, chosen, burden)


def _chosen(
    relaxation: Relaxation, reduced: FloatArray
) -> tuple[float, IntArray, FloatArray, FloatArray]:
    """(the least reduced weights, the points and burdens (c,), what is taken); inf: no key."""
    points, removable = relaxation.points, relaxation.removable
    chosen = np.concatenate([reduced[:, some].argmin(axis=0) for some in _blocks(points)])
    users = np.arange(chosen.size)
    least = float(reduced[chosen, users].sum())
    burden, need = points.burden[chosen, users], points.need[chosen, users]
    keys = _cheapest_keys(relaxation, reduced, chosen)
    for user, end, part, extra in keys or ():
        least += extra
        if extra > 0:
            chosen[user] = end
            burden[user], need[user] = (
                (1 - part) * column[end, user] + part * column[end - 1, user]
                for column in (points.burden, points.need)
            )
    taken = _taken(relaxation, points.code[chosen, users], removable * burden, burden, need)
    return (inf if keys is None else least), chosen, burden, taken


def _taken(
    relaxation: Relaxation,
    code: IntArray,
    removed: FloatArray,
    burden: FloatArray,
    need: FloatArray,
) -> FloatArray:
    """What users give, what counts in each row, and − what they are paid if that is limited."""
    table = relaxation.points.table
    counted = np.bincount(code, weights=removed, minlength=len(table)) @ table
    paid = [-float(need.sum())] if relaxation.budget < inf else []
    return np.array([burden.sum(), *counted, *paid])


def _cheapest_keys(
    relaxation: Relaxation, reduced: FloatArray, chosen: IntArray
) -> list[_Key] | None:
    """Keys for all rows that ask for one, at the least cost; one user may be that of several.

    None: there are none. Of more than `_SHARED` rows only the dearest count.
    """
    alone = {one: _cheapest_key(relaxation, reduced, chosen, (one,)) for one in relaxation.keys}
    if any(key is None for key in alone.values()):
        return None
    dear = {one: key for one, key in alone.items() if key is not None and key[-1] > 0}
    if len(dear) < 2:
        return list(dear.values())
    known: dict[tuple[tuple[int, float], ...], _Key | None] = {
        (one,): key for one, key in dear.items()
    }

    def served(rows: list[tuple[int, float]]) -> list[_Key]:
        """The cheapest keys of these rows: that of the first serves some of the others too."""
        found: list[list[_Key]] = [] if rows else [[]]
        for others in chain.from_iterable(
            combinations(rows[1:], size) for size in range(len(rows))
        ):
            some = (rows[0], *others)
            if some not in known:
                known[some] = _cheapest_key(relaxation, reduced, chosen, some)
            if (key := known[some]) is not None:
                found.append([key, *served([one for one in rows[1:] if one not in others])])
        return min(found, key=_added)

    return served(sorted(dear, key=lambda one: -dear[one][-1])[:_SHARED])


def _added(keys: list[_Key]) -> float:
    return sum(key[-1] for key in keys)


def _cheapest_key(
    relaxation: Relaxation,
    reduced: FloatArray,
    chosen: IntArray,
    rows: tuple[tuple[int, float], ...],
) -> _Key | None:
    """Somebody must be the key of all these (row, enough), with δ x ≥ enough.

    He is at the upper end of a cell, or by `part` of the way down from it. None: nobody can be.
    """
    change, part = _key_changes(relaxation, reduced, chosen, rows)
    place, user = np.unravel_index(int(np.argmin(change)), change.shape)
    if not change[place, user] < inf:
        return None
    down, extra = float(part[place, user]), max(0.0, float(change[place, user]))
    return int(user), 2 * int(place) + 2, down, extra


def _key_changes(
    relaxation: Relaxation,
    reduced: FloatArray,
    chosen: IntArray,
    rows: tuple[tuple[int, float], ...],
) -> tuple[FloatArray, FloatArray]:
    """If a user is the key: (what that costs, money, the part of the way down), (cells, c)."""
    points, removable = relaxation.points, relaxation.removable
    upper = np.arange(2, len(points.zone), 2)
    enough = max(least for _, least in rows)
    named: BoolArray = np.logical_and.reduce([points.key[:, row] for row, _ in rows])
    able = named[points.code[upper]]
    able &= removable * points.burden[upper] >= enough
    able &= relaxation.weight[upper] < inf
    high, low = reduced[upper], reduced[upper - 1]
    width = points.burden[upper] - points.burden[upper - 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (points.burden[upper] - enough / removable) / width
        part = np.where(width > 0, np.clip(part, 0.0, 1.0), 0.0)
        other = np.where(able, high + part * (low - high), inf)
    least = np.where(able, np.minimum(high, other), inf)
    return least - reduced[chosen, np.arange(chosen.size)], np.where(other < high, part, 0.0)


def nearest_points(
    relaxation: Relaxation, reduced: FloatArray, chosen: IntArray
) -> tuple[IntArray, FloatArray]:
    """(points, smallest changes of prices that would move the user there), (k, n), nearest first.

    The first is the one chosen. Where all that changes is that he counts in fewer rows, none does.
    """
    points, removable = relaxation.points, relaxation.removable
    least = tolerances.DATA * relaxation.zones.instance.capacity
    rows = points.table.sum(axis=1)
    most = min(_NEAREST, len(points.zone))
    near, change = np.empty((most, chosen.size), dtype=np.int64), np.empty((most, chosen.size))
    for some in _blocks(points):
        burden, mine = points.burden[:, some], chosen[some]
        own = np.arange(mine.size)
        counted = rows[points.code[:, some]] * (removable[some] * burden)
        counted -= counted[mine, own]
        apart = np.abs(burden - burden[mine, own])
        really = (apart > least[some]) | (counted > least[some])
        dearer = reduced[:, some] - reduced[mine, np.arange(chosen.size)[some]]
        np.abs(counted, out=counted)
        counted += apart
        with np.errstate(divide="ignore", invalid="ignore"):
            dearer /= counted
        dearer[~really] = inf
        dearer[mine, own] = -inf
        first = np.argpartition(dearer, most - 1, axis=0)[:most] if most < len(dearer) else None
        if first is None:
            first = np.tile(np.arange(most)[:, None], (1, mine.size))
        values = dearer[first, own]
        order = np.argsort(values, axis=0, kind="stable")
        near[:, some] = first[order, own]
        change[:, some] = values[order, own]
    return near, change


def nearest_open(
    relaxation: Relaxation, value: Value, reduced: FloatArray
) -> tuple[Relaxation, float]:
    """With only those users and points open that small changes of prices can choose, or that may be
    keys; and how small (money per data).

    What it allows, the whole one does not allow less: its value is never below.
    """
    points, n = relaxation.points, value.chosen.size
    near, change = nearest_points(relaxation, reduced, value.chosen)
    second = change[min(1, len(change) - 1)]
    apart = second[second > _TIED * np.abs(value.prices).max()]
    most = apart.size // _OPEN
    reach = float(np.partition(apart, most)[most]) if apart.size else inf
    rivals = np.zeros(n, dtype=bool)
    for key in relaxation.keys:
        dearer = _key_changes(relaxation, reduced, value.chosen, (key,))[0].min(axis=0)
        rivals[np.argpartition(dearer, _RIVALS)[:_RIVALS]] = True
    is_open = (second <= reach) & ~rivals
    fixed = ~is_open & ~rivals
    at = value.chosen[fixed], np.flatnonzero(fixed)
    burden = points.burden[at]
    removed = relaxation.removable[fixed] * burden
    taken = _taken(relaxation, points.code[at], removed, burden, points.need[at])
    users, able = np.flatnonzero(is_open), np.flatnonzero(rivals)
    here = near[:, users]
    here = np.where(change[:, users] <= _WIDE * reach, here, here[0])
    others = _Others(
        users, value.chosen, value.burden, float(relaxation.weight[at].sum()), taken, here
    )
    if relaxation.keys:
        some = _only(relaxation, (slice(None), able))
        nobody = replace(others, users=able)
        others = replace(others, rivals=(able, replace(some, others=nobody)))
    return replace(_only(relaxation, (here, users)), keys=(), others=others), reach


def _only(relaxation: Relaxation, at: tuple[Any, IntArray]) -> Relaxation:
    points = relaxation.points
    some = {name: getattr(points, name)[at] for name in ("burden", "cost", "need", "code")}
    return replace(relaxation, points=replace(points, **some), weight=relaxation.weight[at])


def sample(relaxation: Relaxation, size: int) -> Relaxation:
    """What every so many-th user makes of it, without keys: prices of many users are nearly its."""
    n = relaxation.points.burden.shape[1]
    users = np.arange(0, n, n // size)
    part, nothing = users.size / n, np.zeros(n)
    chosen = np.zeros(n, dtype=np.int64)
    rows = 1 + relaxation.zones.rows + (relaxation.budget < inf)
    return replace(
        _only(relaxation, (slice(None), users)),
        zones=replace(relaxation.zones, total=part * relaxation.zones.total),
        asked=part * relaxation.asked,
        keys=(),
        budget=part * relaxation.budget,
        others=_Others(users, chosen, nothing, 0.0, np.zeros(rows)),
    )

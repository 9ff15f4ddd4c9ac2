"""A plan from the prices of a zone relaxation: most users where the prices put them.

The users whose second choice is nearly as good form the core; everybody else stays where he is. A
linear program, or for few users a MILP, chooses the core's zones and burdens, so that the total is
met exactly and every row (Z) holds, with a key: one user below row m, unwilling there, whose own
data count for everyone else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from time import perf_counter
from typing import NamedTuple

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray, exact_sum
from mechopt.known.sequential.points import Points
from mechopt.known.sequential.relaxation import Relaxation, Value, nearest_points, reduced_weight
from mechopt.known.sequential.task import Candidate
from mechopt.problem.aims import MARGIN
from mechopt.solver import highs
from mechopt.solver.builder import Builder

_CORE = 24  # users up to which a MILP chooses everybody's points, and the keys
_LOOSE = 20  # users who may still change cells when the others are decided
_DECISIONS = 60  # cells decided after the linear program; a few more than there are rows
_CELLS = 6  # of each of them, the best
_BUILDING = 2e-4  # seconds to build and first solve the core's program, per user and zone, about
_GAP = 1e-4  # relative, at which the MILP may stop: its plan is checked, and its bound not used


def plan_at(
    relaxation: Relaxation,
    value: Value,
    keys: list[tuple[int, int]],
    *,
    designed: bool,
    time_limit: float,
    deadline: float,
    core_size: int,
    spare: float = 0.0,
) -> Candidate | None:
    """The plan around the relaxation's choice at `value`; None if the core cannot complete one.

    :keys: (user, point) that stay as they are
    :time_limit: for the MILP, seconds; nothing is begun that would not end by the deadline
    :core_size: users who are chosen again; spare : data beyond what the rows (Z) ask for
    """
    zones, points = relaxation.zones, relaxation.points
    if len(points.zone) == 1:  # nobody may give anything
        return None
    removable = zones.instance.removable
    reduced = reduced_weight(relaxation, value.prices)
    chosen = (value.chosen if value.mixed is None else value.mixed).copy()
    users = np.arange(chosen.size)
    near, change = nearest_points(relaxation, reduced, chosen)
    few = users.size <= _CORE  # then the MILP also names the keys
    if not few:
        for user, point in keys:
            chosen[user], change[:, user] = point, inf
    core = users if few else _core(points, (near, change), chosen, core_size)
    if perf_counter() + _BUILDING * core.size * (1 + zones.rows) > deadline:
        return None
    limits = (time_limit, deadline)
    found = _solve_core(relaxation, (reduced, chosen), core, spare, limits, whole=few)
    if found is None:
        return None
    burden = points.burden[chosen, users]
    ends, part = found
    chosen[core] = ends
    down = np.maximum(ends - 1, 0)
    burden[core] = points.burden[ends, core] * part + points.burden[down, core] * (1 - part)
    zone = np.where(burden > 0, points.zone[chosen], 0)
    code = points.code[chosen, users]
    if designed:  # whoever does not count at the row below his zone can as well be in a lower one
        highest = (points.table[code] * np.arange(1, zones.rows + 1)).max(axis=1, initial=0)
        zone = np.where(zone > highest, highest, zone)
    counted = points.table[code].any(axis=1) | points.key[code].any(axis=1)
    order = _threats_last(zones.rows, zone, points.key[code], removable * burden)
    kept = zones.loss[zone, users]
    return Candidate(
        "zones (F12)", burden, kept, counted & (burden > 0), order if designed else None
    )


def best_keys(
    relaxation: Relaxation, prices: FloatArray, *, designed: bool
) -> list[tuple[int, int]]:
    """(user, point) of the key of each row: who makes good most for what it costs him.

    In the designed order he is in the zone just below the row: he moves last of those below it.
    """
    points, removable = relaxation.points, relaxation.zones.instance.removable
    reduced = reduced_weight(relaxation, prices)
    dearer = reduced - reduced.min(axis=0)
    found: list[tuple[int, int]] = []
    for row in range(relaxation.zones.rows):
        able = points.key[:, row][points.code] & (dearer < inf)
        if designed:
            able &= (points.zone == row)[:, None]
        worth = np.where(able, prices[1 + row] * removable * points.burden - dearer, -inf)
        point, user = np.unravel_index(int(worth.argmax()), worth.shape)
        if worth[point, user] > 0:
            found.append((int(user), int(point)))
    return found


def made_good(relaxation: Relaxation, keys: list[tuple[int, int]]) -> FloatArray:
    """The most data of the keys, row by row, (M,)."""
    grid, removable = relaxation.points, relaxation.zones.instance.removable
    most = np.zeros(relaxation.zones.rows)
    for user, point in keys:
        own = removable[user] * grid.burden[point, user]
        most = np.maximum(most, grid.key[grid.code[point, user]] * own)
    return most


def _outside(relaxation: Relaxation, chosen: IntArray, core: IntArray, spare: float) -> _Rest:
    """What everybody but the core gives, counts for and is paid at the chosen points."""
    zones, points = relaxation.zones, relaxation.points
    users = np.arange(chosen.size)
    fixed = np.ones(chosen.size, dtype=bool)
    fixed[core] = False
    burden = np.where(fixed, points.burden[chosen, users], 0.0)
    threats = zones.instance.removable * burden
    code = points.code[chosen, users]
    below = np.bincount(points.zone[chosen[burden > 0]], minlength=zones.rows + 1) > 0
    asked = zones.gap + MARGIN * (zones.total - zones.gap) + spare
    return _Rest(
        total=-exact_sum(burden, -zones.total),
        asked=asked - threats @ points.table[code],
        key=(points.key[code] * threats[:, None]).max(axis=0, initial=0.0),
        needed=np.logical_or.accumulate(below)[:-1],
        budget=relaxation.budget - float(points.need[chosen, users][fixed].sum()),
        weight=float(relaxation.weight[chosen, users][fixed].sum()),
    )


def _threats_last(rows: int, zone: IntArray, keys: BoolArray, own: FloatArray) -> IntArray:
    """An order (n,): by zone, and of those below row m in the highest such zone the key last."""
    last = np.zeros(zone.size, dtype=np.int64)
    for row in range(rows):
        under = zone[zone <= row]
        if under.size:
            able = (zone == under.max()) & keys[:, row]
            if able.any():
                last[np.argmax(np.where(able, own, -1.0))] = 1
    return np.lexsort((own, last, zone))


def _core(
    points: Points, nearest: tuple[IntArray, FloatArray], chosen: IntArray, most: int
) -> IntArray:
    """The users nearest to another choice: as many of any kind as for each row that it changes.

    :nearest: as `nearest_points` says
    """
    near, change = nearest
    users = np.arange(chosen.size)
    own, other = points.table[points.code[chosen, users]], points.table[points.code[near, users]]
    each = most // (1 + own.shape[1])
    first = change[1]
    picked = [np.argsort(first, kind="stable")[:each]]
    for row in range(own.shape[1]):
        least = np.where(other[:, :, row] != own[:, row], change, inf).min(axis=0)
        some = np.argsort(least, kind="stable")[:each]
        picked.append(some[least[some] < inf])
    core = np.unique(np.concatenate(picked))
    core = core[first[core] < inf]
    return core[np.argsort(first[core], kind="stable")]


@dataclass(frozen=True, eq=False)
class _Rest:
    """What is left for the core: data, rows (M,), money; the weight of the others.

    :key: the largest key outside, data; needed : rows with somebody outside below them, (M,)
    """

    total: float
    asked: FloatArray
    key: FloatArray
    needed: BoolArray
    budget: float
    weight: float


def _solve_core(
    relaxation: Relaxation,
    value: tuple[FloatArray, IntArray],
    core: IntArray,
    spare: float,
    limits: tuple[float, float],
    *,
    whole: bool,
) -> tuple[IntArray, FloatArray] | None:
    """For every core user the upper end of his cell and the part of it taken, (c,) each.

    :value: reduced weights and the points chosen outside; limits : see `plan_at`
    :whole: False: by the linear program, whose split users are decided one after the other
    """
    reduced, chosen = value
    model = _CoreModel(relaxation, _outside(relaxation, chosen, core, spare), whole=whole)
    best = np.minimum(reduced[np.ix_(model.upper, core)], reduced[np.ix_(model.lower, core)])
    names_keys = core.size == chosen.size
    for place, user in enumerate(core.tolist()):
        model.add_user(place, user, best[:, place], names_keys=names_keys)
    program = model.program()
    if whole:
        left = min(limits[0], limits[1] - perf_counter())
        x = highs.solve(program, time_limit=max(0.0, left), mip_rel_gap=_GAP).x
    else:
        x = _dive(program, [(cell.place, cell.pick) for cell in model.taken], *limits)
    if x is None:
        return None
    tops, part = np.zeros(core.size, dtype=np.int64), np.zeros(core.size)
    for cell in model.taken:
        if x[cell.pick] > 0.5:
            tops[cell.place] = model.upper[cell.number]
            below, above = x[cell.below], x[cell.above]
            part[cell.place] = float(np.clip(above / max(below + above, 0.5), 0.0, 1.0))
    return tops, part


class _Cell(NamedTuple):
    """A cell that a core user may take: columns of taking it, and of its ends' weights."""

    place: int
    number: int
    pick: int
    below: int
    above: int


class _CoreModel:
    """The MILP of the core: a cell for everybody, the rows (Z) they must make good, the keys."""

    def __init__(self, relaxation: Relaxation, rest: _Rest, *, whole: bool) -> None:
        self.relaxation, self.rest, points = relaxation, rest, relaxation.points
        self.upper = np.concatenate(([0], np.arange(2, len(points.zone), 2)))
        self.lower = np.maximum(self.upper - 1, 0)
        self.taken: list[_Cell] = []
        self.build = build = Builder()
        rows = relaxation.zones.rows
        self.demand = [build.row(-inf, inf) for _ in range(rows)]
        self.amount = build.row(rest.total, rest.total)
        self.money = build.row(-inf, rest.budget) if relaxation.budget < inf else None
        largest = float(np.abs(relaxation.weight[relaxation.weight < inf]).max(initial=0.0))
        self.scale = max(largest, tolerances.TINY)
        self.key_row: list[int] = []
        self.used: list[int] = []
        for row in range(rows):
            least = float(rest.needed[row] or not whole)
            self.used.append(build.column(0.0, least, 1.0, whole=True))
            build.bound(self.demand[row], 0.0, inf)
            build.entry(self.demand[row], self.used[row], -max(float(rest.asked[row]), -1e300))
            self.key_row.append(build.row(-inf, 1.0))
            other = build.column(0.0, 0.0, 1.0 if rest.key[row] > 0 else 0.0, whole=True)
            build.entry(self.key_row[row], other, 1.0)
            build.entry(self.demand[row], other, float(rest.key[row]))

    def program(self) -> highs.LinearProgram:
        return self.build.program(self.rest.weight / self.scale)

    def add_user(self, place: int, user: int, best: FloatArray, *, names_keys: bool) -> None:
        """One of his `_CELLS` best cells, and, with `names_keys`, whether he is a row's key."""
        points = self.relaxation.points
        at, below = points.burden[self.upper, user], points.burden[self.lower, user]
        real = (at - below > tolerances.REACH * at) & (
            self.relaxation.weight[self.upper, user] < inf
        )
        order = np.flatnonzero(real)[np.argsort(best[real], kind="stable")][:_CELLS].tolist()
        order += [] if 0 in order else [0]
        one = self.build.row(1.0, 1.0)
        keys: dict[int, list[_Cell]] = {}
        for number in order:
            cell = self.add_cell(place, user, number, one)
            code = points.code[int(self.upper[number]), user]
            for row in np.flatnonzero(points.key[code] & names_keys).tolist():
                keys.setdefault(row, []).append(cell)
        for row, cells in keys.items():
            self.add_key(user, row, cells)

    def add_cell(self, place: int, user: int, number: int, one: int) -> _Cell:
        """A cell: what its two ends give, cost and count for, and the rows it lies below."""
        build, points, removable = (
            self.build,
            self.relaxation.points,
            self.relaxation.zones.instance.removable,
        )
        high, low = int(self.upper[number]), int(self.lower[number])
        ends = []
        pick = build.column(0.0, 0.0, 1.0, whole=True)
        build.entry(one, pick, 1.0)
        parted = build.row(0.0, 0.0)
        build.entry(parted, pick, -1.0)
        for end in (low, high):
            given, code = float(points.burden[end, user]), points.code[end, user]
            weight = build.column(float(self.relaxation.weight[end, user]) / self.scale, 0.0, 1.0)
            ends.append(weight)
            build.entry(parted, weight, 1.0)
            build.entry(self.amount, weight, given)
            if self.money is not None:
                build.entry(self.money, weight, float(points.need[end, user]))
            for row in np.flatnonzero(points.table[code]).tolist():
                build.entry(self.demand[row], weight, float(removable[user]) * given)
        cell = _Cell(place, number, pick, *ends)
        self.taken.append(cell)
        if points.burden[high, user] > 0:
            for row in range(int(points.zone[high]), self.relaxation.zones.rows):
                under = build.row(-inf, 0.0)
                build.entry(under, pick, 1.0)
                build.entry(under, self.used[row], -1.0)
        return cell

    def add_key(self, user: int, row: int, cells: list[_Cell]) -> None:
        """He may be the row's key in these cells, with the data that he gives there."""
        build, burden = self.build, self.relaxation.points.burden[:, user]
        removable = float(self.relaxation.zones.instance.removable[user])
        most = removable * max(float(burden[self.upper[cell.number]]) for cell in cells)
        named = build.column(0.0, 0.0, 1.0, whole=True)
        data = build.column(0.0, 0.0, most)
        build.entry(self.key_row[row], named, 1.0)
        build.entry(self.demand[row], data, 1.0)
        able, owned, meant = (build.row(-inf, 0.0) for _ in range(3))
        build.entry(able, named, 1.0)
        build.entry(owned, data, 1.0)
        build.entry(meant, data, 1.0)
        build.entry(meant, named, -most)
        for cell in cells:
            build.entry(able, cell.pick, -1.0)
            build.entry(owned, cell.below, -removable * float(burden[self.lower[cell.number]]))
            build.entry(owned, cell.above, -removable * float(burden[self.upper[cell.number]]))


def _dive(
    program: highs.LinearProgram,
    picks: list[tuple[int, int]],
    time_limit: float,
    deadline: float,
) -> FloatArray | None:
    """A vertex in which every user has one cell: those that are split are decided in turn.

    :picks: (user, column) of every cell
    """
    left = min(10 * time_limit, deadline - perf_counter())
    session = highs.Session(replace(program, integer=None), time_limit=max(0.0, left))
    user, column = (np.array(part) for part in zip(*picks))
    lower, upper = program.lower.copy(), program.upper.copy()
    free = np.ones(column.size, dtype=bool)
    tried = False
    last = None
    for _ in range(_DECISIONS):
        if perf_counter() > deadline:
            return None
        x = session.solve().x
        if x is None:  # the last decision left no plan: the other way round
            if last is None:
                return None
            session.change_bounds([last], [0.0], [0.0])
            last = None
            continue
        share = x[column]
        split = np.flatnonzero(
            (share > tolerances.FEASIBILITY) & (share < 1 - tolerances.FEASIBILITY)
        )
        if not split.size:
            return x
        # Those furthest from a change (the core is sorted) keep their cells from now on.
        whole = np.flatnonzero(free & (share >= 1 - tolerances.FEASIBILITY))
        if whole.size <= _LOOSE and not tried:
            tried = True
            left = max(0.0, min(time_limit, deadline - perf_counter()))
            found = highs.solve(
                replace(program, lower=lower, upper=upper), time_limit=left, mip_rel_gap=_GAP
            )
            if found.x is not None:
                return found.x
        kept = whole[-(whole.size // 3) :] if whole.size > _LOOSE else whole[:0]
        mine = np.isin(user, user[kept])
        free &= ~mine
        fixed, level = column[mine], np.round(share[mine])
        lower[fixed] = upper[fixed] = level
        session.change_bounds(fixed, level, level)
        if tried:
            last = int(column[split[np.argmax(share[split])]])
            session.change_bounds([last], [1.0], [1.0])
    return None

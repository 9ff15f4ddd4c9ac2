"""What each user can be asked for where a part may be taken back, and the payment it needs (F15).

At level k with total P = T_k + R, whoever settles for level m takes D_m = (P − T_m) / δ_i back (all
he can if that is less; all for m = 0). So the payment needed is the largest of

    0,   C(x) − v b_k   (A3),   ρ (C(x) − C(x − min(D_m, x))) − v (b_k − (1 − η) b_m),  m = 0 … k,

continuous and non-decreasing in x: without payments the burdens accepted are an interval from 0.
With payments there are bends the wrong way (at x = D_m the need stops growing), where the curve is
cut so that its pieces are convex; the pieces are apart by `MARGIN`.
"""

from __future__ import annotations

from math import inf

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.known.burdens.level_curves import LevelCurves, cost_of, without_rounding
from mechopt.problem.aims import MARGIN, leaving_loss, required_total
from mechopt.problem.instance import Instance


def part_payment(instance: Instance, level: int, total: float, burden: FloatArray) -> FloatArray:
    """The least payments that keep everyone from taking anything back, money, shape (n,)."""
    users = np.arange(instance.n)
    need = _needs(instance, level, total, users, burden).max(axis=0)
    return without_rounding(need, instance.cost_of(burden), instance.value)


def all_or_nothing(instance: Instance, level: int, total: float) -> bool:
    """Whether whoever takes a part back may as well take all: it costs the same level."""
    return len(_in_question(instance, level, total)) == 1


def part_curves(instance: Instance, level: int, reserve: float) -> LevelCurves:
    """The curves of all users at `level` (1-based), total T_level + reserve."""
    total = required_total(instance, level, reserve)
    user, burden = _bends(instance, level, total)
    for _ in range(level + 3):  # add the places where the largest need changes from one to another
        where, extra = _crossings(instance, level, total, user, burden)
        if not extra.size:
            break
        order = np.lexsort((np.append(burden, extra), np.append(user, where)))
        user, burden = np.append(user, where)[order], np.append(burden, extra)[order]
    cost = cost_of(instance, user, burden)
    need = _needs(instance, level, total, user, burden).max(axis=0)
    need = without_rounding(need, cost, instance.value[user])
    return _cut(user, burden, cost, need, instance.n)


def _needs(
    instance: Instance, level: int, total: float, user: IntArray, burden: FloatArray
) -> FloatArray:
    """The terms of the need at each point, money, a row per term."""
    cost = cost_of(instance, user, burden)
    recovered = instance.reversibility[user]
    gain = instance.value * instance.share_at(level)
    terms = [0.0 * cost, cost - gain[user]]
    for m, amount in _in_question(instance, level, total):
        kept: FloatArray | float = 0.0
        if amount is not None:
            kept = cost_of(instance, user, np.maximum(burden - amount[user], 0.0))
        terms.append(recovered * (cost - kept) - leaving_loss(instance, level, m)[user])
    return np.stack(terms)


def _in_question(
    instance: Instance, level: int, total: float
) -> list[tuple[int, FloatArray | None]]:
    """(m, D_m) of the levels that may bind; None: everybody can take back all he gives.

    Of those the highest binds before the others; at no reserve level k itself asks for nothing.
    """
    found: list[tuple[int, FloatArray | None]] = []
    for m in range(level, 0, -1):
        amount = _amount(instance, level, total, m)
        if (amount >= instance.capacity).all():
            return [*found, (m, None)]
        if amount.any():
            found.append((m, amount))
    return [*found, (0, None)]


def _amount(instance: Instance, level: int, total: float, m: int) -> FloatArray:
    """D_m, data, (n,): what can be taken back with level m ≥ 1 left; inf: all of it."""
    room = max(total - float(instance.thresholds[m - 1]), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(instance.removable > 0, room / instance.removable, inf)


def _bends(instance: Instance, level: int, total: float) -> tuple[IntArray, FloatArray]:
    """Burdens between which every term of the need is linear: (user, burden), ascending."""
    ends = [np.zeros(instance.n), *np.cumsum(instance.widths, axis=1).T[:-1]]
    settled = _in_question(instance, level, total)
    amounts = [amount for _, amount in settled if amount is not None]
    columns = [*ends, instance.capacity]
    columns += [amount + end for amount in amounts for end in ends]
    grid = np.sort(np.minimum(np.column_stack(columns), instance.capacity[:, None]), axis=1)
    fresh = np.ones(grid.shape, dtype=bool)
    fresh[:, 1:] = grid[:, 1:] > grid[:, :-1] * (1 + MARGIN)
    fresh[:, 1:] &= grid[:, :-1] < instance.capacity[:, None]
    user = np.broadcast_to(np.arange(instance.n)[:, None], grid.shape)[fresh]
    return user, grid[fresh]


def _crossings(
    instance: Instance, level: int, total: float, user: IntArray, burden: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Within each cell: where the largest term on the left meets the largest on the right."""
    terms = _needs(instance, level, total, user, burden)
    cell = np.flatnonzero(user[1:] == user[:-1])
    low, high = terms[:, cell], terms[:, cell + 1]
    every = np.arange(cell.size)
    # of those equal at one end, by the other end
    first = (low + tolerances.REACH * high).argmax(axis=0)
    last = (high + tolerances.REACH * low).argmax(axis=0)
    down = low[first, every] - low[last, every]
    up = high[last, every] - high[first, every]
    scale = instance.value[user[cell]] + np.abs(low).max(axis=0) + np.abs(high).max(axis=0)
    some = (first != last) & (down > tolerances.REACH * scale) & (up > tolerances.REACH * scale)
    share = down[some] / (down[some] + up[some])
    start, stop = burden[cell[some]], burden[cell[some] + 1]
    where = start + share * (stop - start)
    inside = (where > start * (1 + MARGIN)) & (where < stop * (1 - MARGIN))
    return user[cell[some]][inside], where[inside]


def _cut(
    user: IntArray, burden: FloatArray, cost: FloatArray, need: FloatArray, n: int
) -> LevelCurves:
    """The curves, with a new piece begun wherever the need bends downwards."""
    joined = np.append(user[1:] == user[:-1], False)
    width = np.diff(burden, append=0.0)
    slope = np.divide(np.diff(need, append=0.0), width, out=np.zeros(need.size), where=joined)
    inner = joined & np.append(False, joined[:-1])
    before = np.append(0.0, slope[:-1])
    bends = np.flatnonzero(inner & (slope < before * (1 - tolerances.MONEY)))
    step = np.minimum(MARGIN * burden[bends], width[bends] / 2)
    share = step / width[bends]

    def after(column: FloatArray) -> FloatArray:
        return column[bends] + share * (column[bends + 1] - column[bends])

    joined[bends] = False
    place = bends + 1
    link: BoolArray = np.insert(joined, place, True)
    user = np.insert(user, place, user[bends])
    start = np.searchsorted(user, np.arange(n + 1))
    burden, cost, need = (
        np.insert(column, place, after(column)) for column in (burden, cost, need)
    )
    return LevelCurves(user, burden, cost, need, link, start)

"""What each user can be asked for at a level, and the payment it needs: curves with jumps.

Fix the level k and the total P = T_k + R (w.l.o.g., fact F8). If user i leaves, P − δ_i x_i is
left, on level m say. The payment needed to keep him is

    max{0, C_i(x) − v_i b_k (A3), ρ_i C_i(x) − v_i (b_k − (1 − η_i) b_m) (W1)},

convex while m is the same, and jumping down where a larger burden makes his leaving cost a
further level. One curve per user, given by points; between joined points cost and need are linear.

The jump is at P − δ x = T_m, where leaving still keeps level m: the lower need holds only
strictly beyond it. An optimum there is a limit that no plan attains, so burdens beyond a jump
keep the distance `MARGIN`, and the problem so stated has an optimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.problem import cost_curves
from mechopt.problem.aims import (
    MARGIN,
    leaving_loss,
    noticed,
    pivotal_from,
    required_total,
)
from mechopt.problem.instance import Instance


@dataclass(frozen=True, eq=False)
class LevelCurves:
    """Points of all users' curves, ordered by user, then burden; shape (N,) each.

    :burden: data; cost, need : money; joined : the straight line to the next point belongs to the
        curve; start : first point of each user, and N at the end, shape (n + 1,)
    """

    user: IntArray
    burden: FloatArray
    cost: FloatArray
    need: FloatArray
    joined: BoolArray
    start: IntArray

    @property
    def n(self) -> int:
        return self.start.size - 1

    def keep(self, kept: BoolArray) -> LevelCurves:
        """The curves with only the points `kept` (N,); links to removed points are cut."""
        joined = self.joined & kept & np.append(kept[1:], False)
        count = np.concatenate(([0], np.cumsum(kept)))
        return LevelCurves(
            self.user[kept],
            self.burden[kept],
            self.cost[kept],
            self.need[kept],
            joined[kept],
            count[self.start],
        )

    def of_user(self, user: int) -> LevelCurves:
        """The curve of one user, renumbered to 0."""
        own = slice(int(self.start[user]), int(self.start[user + 1]))
        zero = np.zeros(own.stop - own.start, dtype=np.int64)
        return LevelCurves(
            zero,
            self.burden[own],
            self.cost[own],
            self.need[own],
            self.joined[own],
            np.array([0, zero.size]),
        )

    def without_payment(self) -> LevelCurves:
        """What can be asked for with t = 0."""
        return self.keep(self.need <= 0)


def level_after(
    instance: Instance, total: float, burden: FloatArray, users: Any = slice(None)
) -> IntArray:
    """The level left if user i alone withdraws from `total`, shape (n,); near misses count as met.

    This is the cautious reading within tolerance: the user loses no more than surely lost.
    """
    forgiving = instance.thresholds - tolerances.FORGIVEN * noticed(instance, total)
    left = total - instance.removable[users] * burden
    return np.asarray(arrays.count_within(forgiving, left))


def payment_needed(
    instance: Instance,
    level: int,
    total: float,
    burden: FloatArray,
    *,
    withdrawal: bool = True,
    users: Any = slice(None),
    held_by: FloatArray | None = None,
) -> FloatArray:
    """The least payments that keep everyone at `level` (A3 and W1), money, shape (n,).

    `users` : whose burdens these are (positions), where they are not everybody's; `held_by` : money
    (n,), what holds a user whatever he gives
    """
    shares = np.append(0.0, instance.shares)
    value = instance.value[users]
    cost = cost_of(instance, users, burden)
    need = cost - value * shares[level]
    if held_by is not None:
        need = np.maximum(need, instance.reversibility[users] * cost - held_by[users])
    if withdrawal:
        after = np.minimum(level_after(instance, total, burden, users), level)
        loss = leaving_loss(instance, level, after, users)
        need = np.maximum(need, instance.reversibility[users] * cost - loss)
    return without_rounding(need, cost, value)


def least_burden(instance: Instance, level: int, reserve: float) -> FloatArray:
    """Without a reserve: the least positive burden worth asking for, data, shape (n,).

    Leaving with less than the margin is not surely noticed, so (W1) then gives nothing. For users
    who accept the margin unpaid this matters only to the last of a selection (`distinct` sees to
    him) and 0 is returned; for the others a burden is 0 or at least the margin.
    """
    if reserve > 0:
        return np.zeros(instance.n)
    shares = np.append(0.0, instance.shares)
    threshold = float(instance.thresholds[level - 1])
    edge = pivotal_from(instance, threshold, threshold)
    edge = np.where(edge < inf, edge, 0.0)
    loss = leaving_loss(instance, level, level - 1)
    cost = instance.cost_of(edge)
    unpaid = (cost <= instance.value * shares[level]) & (instance.reversibility * cost <= loss)
    return np.where(unpaid, 0.0, edge)


def distinct(instance: Instance, level: int, total: float, burden: FloatArray) -> FloatArray:
    """`burden` with no positive burden so small that leaving is lost in the tolerance of T_k.

    Such a burden (rounding, or the last user of a selection) is raised to the margin by lowering
    another user's, one whose own pivotal level stays the same. Same sum, up to rounding. Dust whose
    cost is itself within the tolerance on money is left alone.
    """
    threshold = float(instance.thresholds[level - 1])
    if total > threshold:
        return burden
    taken = instance.removable * burden
    small = np.flatnonzero((taken > 0) & (taken < MARGIN * threshold))
    if small.size:
        cost = instance.reversibility[small] * cost_of(instance, small, burden[small])
        gain = instance.value[small] * instance.share_at(level)
        small = small[cost > 0.1 * tolerances.MONEY * gain]
    if small.size == 0:
        return burden
    burden = burden.copy()
    for user in small.tolist():
        wanted = MARGIN * threshold / float(instance.removable[user])
        step = wanted - float(burden[user])
        lowered = np.maximum(burden - step, 0.0)
        same = level_after(instance, total, burden) == level_after(instance, total, lowered)
        giver = int(np.argmax(np.where(same, lowered, -1.0)))
        if wanted <= instance.capacity[user] and giver != user and lowered[giver] > 0:
            burden[giver] -= step
            burden[user] = wanted
    return burden


def level_curves(instance: Instance, level: int, reserve: float) -> LevelCurves:
    """The curves of all users at `level` (1-based), total T_level + reserve."""
    total = required_total(instance, level, reserve)
    low = np.zeros(instance.n)
    least = least_burden(instance, level, reserve)
    blocks = []
    for after in range(level, -1, -1):
        high, beyond = instance.capacity.copy(), np.full(instance.n, inf)
        if after > 0:
            threshold = float(instance.thresholds[after - 1])
            beyond = pivotal_from(instance, total, threshold)
            jump = np.where(beyond < inf, _over(total - threshold, instance.removable), inf)
            high = np.minimum(high, jump)
        if after == level and reserve == 0:
            open_ = (high > low) | (least > 0)  # what stays behind anyway; or just x = 0
        else:
            open_ = low <= high
        if open_.any():
            left = _enjoyed(instance, level, after)
            blocks.append(_block(instance, np.flatnonzero(open_), low, high, level, left))
        if after == 0:
            break
        # Whoever accepts small burdens unpaid starts at 0 (`least_burden`).
        low = np.where(open_ | (after < level), np.maximum(beyond, 0.0), 0.0)
    user, burden, cost, need, joined = (np.concatenate(column) for column in zip(*blocks))
    order = np.argsort(user, kind="stable")  # blocks come in ascending burden
    user = user[order]
    start = np.searchsorted(user, np.arange(instance.n + 1))
    return LevelCurves(user, burden[order], cost[order], need[order], joined[order], start)


def unbound_curves(
    instance: Instance, level: int, held_by: FloatArray | None = None
) -> LevelCurves:
    """The curves where what holds a user does not depend on what he gives.

    Where nobody can withdraw, only participation (A3) asks for payment; else users are `held_by`
    so much money, (n,), at most v b_k.
    """
    everyone = np.arange(instance.n)
    left = _enjoyed(instance, level, 0)
    if held_by is not None:
        left = held_by, instance.value * instance.share_at(level) - held_by
    low = np.zeros(instance.n)
    user, burden, cost, need, joined = _block(
        instance, everyone, low, instance.capacity, level, left
    )
    start = np.searchsorted(user, np.arange(instance.n + 1))
    return LevelCurves(user, burden, cost, need, joined, start)


def _enjoyed(instance: Instance, level: int, after: int) -> tuple[FloatArray, FloatArray]:
    """What a leaver loses if his leaving leaves level `after`, and what he still enjoys, money."""
    left = instance.value * instance.share_at(after)
    if instance.has_exclusion:
        left = left - instance.exclusion * left
    return leaving_loss(instance, level, after), left


def _over(data: float, removable: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(removable > 0, data / removable, inf)


def without_rounding(need: FloatArray, cost: FloatArray, value: FloatArray) -> FloatArray:
    """Needs that are only rounding (a burden at the very edge of what is free) are none."""
    return np.where(need <= tolerances.ULPS * (cost + value), 0.0, need)


def _block(
    instance: Instance,
    users: IntArray,
    low: FloatArray,
    high: FloatArray,
    level: int,
    leaver: tuple[FloatArray, FloatArray],
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray, BoolArray]:
    """Points of `users` on the interval [low, high] where a leaver loses and still enjoys that."""
    value, recovered = instance.value, instance.reversibility
    gain = value * instance.share_at(level)
    loss, left = leaver
    with np.errstate(divide="ignore", invalid="ignore"):
        turns = (  # costs at which A3 binds, W1 binds, and the two cross
            gain,
            np.where(recovered > 0, loss / recovered, inf),
            np.where(recovered < 1, left / (1 - recovered), inf),
        )
    most = instance.cost_of(instance.capacity)
    columns = [low, high, *(instance.affordable(np.fmin(turn, most)) for turn in turns)]
    columns += list(np.cumsum(instance.widths, axis=1).T[:-1])
    grid = np.column_stack([column[users] for column in columns])
    grid = np.sort(np.clip(grid, low[users, None], high[users, None]), axis=1)
    fresh = np.ones(grid.shape, dtype=bool)
    fresh[:, 1:] = grid[:, 1:] > grid[:, :-1]
    cost = np.column_stack(
        [cost_of(instance, users, grid[:, column]) for column in range(grid.shape[1])]
    )
    need = np.maximum(
        cost - gain[users, None],
        recovered[users, None] * cost - loss[users, None],
    )
    need = without_rounding(need, cost, value[users, None])
    owner = np.broadcast_to(users[:, None], grid.shape)[fresh]
    joined = np.append(owner[1:] == owner[:-1], False)
    return owner, grid[fresh], cost[fresh], need[fresh], joined


def cost_of(instance: Instance, users: Any, burden: FloatArray) -> FloatArray:
    """C_i of the burdens of some users (positions), money."""
    return cost_curves.cost_of(
        instance.cost[users], instance.widths[users], instance.slopes[users], burden
    )

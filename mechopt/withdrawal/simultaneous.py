"""Simultaneous withdrawal: everyone decides at once; everyone staying is stable iff (W1) holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.withdrawal.moves import ascending
from mechopt.withdrawal.sequential import one_threshold
from mechopt.withdrawal.stage import Array, Stage


def simultaneous_slack(
    x: Any, r: Any, v: Any, delta: Any, thresholds: Any, shares: Any, bonus: Any = 0, **rights: Any
) -> FloatArray:
    """What each user loses by leaving alone when everyone else stays, money, shape (n,).

    v_i (B(X) − (1 − η_i) B(X − δ_i (x_i − y_i))) − r_i, the slack of (W1); the bonus f_i if
    X < T_1; `inf` where x_i = y_i. `rights`: exclusion η and committed y, 0 unless given.
    Negative beyond the tolerance means that the user leaves.
    """
    stage = Stage.from_arrays(x, r, v, delta, thresholds, shares, bonus, **rights)
    slack = np.full(stage.n, np.inf)
    slack[stage.movers] = all_stay_slack(stage)[0].astype(np.float64)
    return slack


def all_stay_slack(stage: Stage) -> tuple[Array, IntArray]:
    """Slack of (W1) and the level after leaving alone, for each of `stage.movers`."""
    users: Any = stage.movers
    if users.size == stage.n:
        users = slice(None)
    level = int(stage.level_of(stage.total))
    without = stage.level_of(stage.without(users))
    slack = stage.staying_pays(users, level) - stage.leaving_pays(users, without)
    return slack, without


def gains_of(stage: Stage, stay: BoolArray) -> Array:
    """What each user gains by deciding otherwise, given the others; shape (n,), money.

    0 for users with nothing to withdraw. A stay-set is an equilibrium iff no gain exceeds the
    tolerance.
    """
    total = stage.total_of(stay)
    level = stage.level_of(total)
    users = np.arange(stage.n)
    without = stage.level_of(total - stage.removed)
    back = stage.level_of(total + stage.removed)
    leave = stage.leaving_pays(users, without) - stage.staying_pays(users, level)
    join = stage.staying_pays(users, back) - stage.leaving_pays(users, level)
    return np.where(stage.able, np.where(stay, leave, join), 0)


def is_equilibrium(stage: Stage, stay: BoolArray) -> bool:
    """Whether the stay-set (n,) is a pure Nash equilibrium of the payoffs of section 2."""
    return bool(np.all(gains_of(stage, stay) <= np.abs(stage.money_tolerance)))


MAX_SWEEPS = 100


def best_reply_outcome(stage: Stage) -> BoolArray:
    """Stay-set reached from everyone staying by best replies, those who lose most moving first.

    Users are swept in ascending order of v_i b_L − r_i (L the level if everyone stays), leaving
    or returning whenever that pays, until nobody moves. With one threshold the first sweep ends
    in an equilibrium, and it trains whenever some equilibrium does (F2, F4). With several it may
    cycle; it then stops after 100 sweeps, and `is_equilibrium` tells.
    """
    level = max(int(stage.level_of(stage.total)), 1)
    order = ascending(stage.v * stage.shares[level] - stage.r)
    if stage.levels == 1:
        return one_threshold(stage, order).stay
    stay = np.ones(stage.n, dtype=bool)
    for _ in range(MAX_SWEEPS):
        if not _sweep(stage, stay, order):
            break
    return stay


def _sweep(stage: Stage, stay: BoolArray, order: IntArray) -> bool:
    moved = False
    total = stage.total_of(stay)
    for user in order[stage.able[order]].tolist():
        removed = stage.removed[user]
        high = total if stay[user] else total + removed
        low = total - removed if stay[user] else total
        top, bottom = stage.level_of(high), stage.level_of(low)
        slack = stage.staying_pays(user, top) - stage.leaving_pays(user, bottom)
        tolerance = stage.money_tolerance[user]
        wants = slack >= -tolerance if stay[user] else slack > tolerance
        if wants != stay[user]:
            stay[user], total, moved = wants, high if wants else low, True
    return moved

"""The threat that holds a sequential mover: what would happen if he left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mechopt.arrays import IntArray
from mechopt.errors import InvalidOption
from mechopt.withdrawal.sequential import Path, sequential_path
from mechopt.withdrawal.stage import Stage


@dataclass(frozen=True, eq=False)
class Threat:
    """What follows if one mover leaves, those before him having moved as they do.

    user; level_if_stays, level_if_leaves: finally reached; slack: what he loses by leaving,
    money (negative: he does leave); followers: users who then leave although they stay otherwise;
    total: data finally left, if he leaves.
    """

    user: int
    level_if_stays: int
    level_if_leaves: int
    slack: float
    followers: IntArray
    total: float


def threat_of(stage: Stage, path: Path, user: int) -> Threat:
    """The subgame after `user` has left; InvalidOption if he never moves."""
    place = np.flatnonzero(path.movers == user)
    if not place.size:
        raise InvalidOption(f"user {user} has no burden to withdraw (or is not a user)")
    row = int(place[0])
    before, after = path.movers[:row], path.movers[row + 1 :]
    left = stage.x - stage.removed
    so_far = np.where(path.stay[before], stage.x[before], left[before]).sum() + left[user]
    so_far = so_far + stage.settled
    without = reply(stage, after, so_far)
    slack = stage.staying_pays(user, int(path.if_stays[row])) - stage.leaving_pays(
        user, int(path.if_leaves[row])
    )
    with_him = path.stay[after]
    if not path.stay[user]:  # the path is what happens after he left
        with_him = reply(stage, after, so_far - left[user] + stage.x[user])
    total = so_far + np.where(without, stage.x[after], left[after]).sum()
    return Threat(
        user=int(user),
        level_if_stays=int(path.if_stays[row]),
        level_if_leaves=int(path.if_leaves[row]),
        slack=float(slack),
        followers=after[with_him & ~without],
        total=float(total),
    )


def reply(stage: Stage, movers: IntArray, so_far: object) -> np.ndarray:
    """Who of `movers` (m,), in this order, stays when those before them have left `so_far`."""
    if not movers.size:
        return np.zeros(0, dtype=bool)
    rest = stage.subgame(movers, so_far)
    return sequential_path(rest, np.arange(movers.size)).stay

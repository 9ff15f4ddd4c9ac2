"""Decisions inside the tolerance of float data, and what would follow if they went the other way.

Exact numbers have no such decisions: equal is equal, and an indifferent user stays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mechopt.arrays import IntArray
from mechopt.withdrawal.sequential import sequential_path
from mechopt.withdrawal.simultaneous import all_stay_slack
from mechopt.withdrawal.stage import Array, Stage


class Tie(NamedTuple):
    """One decision inside the tolerance.

    :kind: "user" (he is indifferent and was taken to stay), "total" (the data that remain are
        within the tolerance of a threshold, and reach it or not by less than that)
    :user: who is indifferent, or after whose withdrawal the total is a tie; −1: the total with
        everyone staying
    :gap: money the user loses by leaving ("user"), data above the threshold ("total")
    :level, other: level reached if he leaves / with that total as decided; if decided otherwise.
        A "user" tie: level if he stays and if he leaves
    """

    kind: str
    user: int
    gap: float
    level: int
    other: int


class Turned(NamedTuple):
    """The verdict if all ties of one kind were decided the other way."""

    stable: bool
    level: int
    share: float


def user_ties(
    stage: Stage, users: IntArray, slack: Array, if_stays: IntArray, if_leaves: IntArray
) -> list[Tie]:
    """Users whose slack (m,) is inside the tolerance."""
    if stage.exact:
        return []
    rows = np.flatnonzero(np.abs(slack) <= stage.money_tolerance[users])
    return [
        Tie("user", int(users[row]), float(slack[row]), int(if_stays[row]), int(if_leaves[row]))
        for row in rows
    ]


def total_ties(stage: Stage) -> list[Tie]:
    """X, and X after one user's withdrawal, where they are within the tolerance of a threshold.

    If X is at T_k, so that X − δ_i x_i differs from it by δ_i x_i, only the first is a tie.
    """
    if stage.exact:
        return []
    users = stage.movers
    totals = np.concatenate(([stage.total], stage.without(users)))
    names = np.concatenate(([-1], users))
    level = stage.level_of(totals)
    low = stage.counting_ties(reached=False).level_of(totals)
    high = stage.counting_ties(reached=True).level_of(totals)
    own = np.arange(totals.size) > 0
    other = np.where((high > level) & ~(own & (high > low[0])), high, low)
    tied = other != level
    near = np.maximum(level, other)
    return [
        Tie(
            "total",
            int(names[row]),
            float(totals[row] - stage.thresholds[near[row] - 1]),
            int(level[row]),
            int(other[row]),
        )
        for row in np.flatnonzero(tied)
    ]


def verdict(stage: Stage, order: IntArray | None) -> Turned:
    """Stable or not, and the level: sequential if an order is given, else W1 (level all-stay)."""
    level = int(stage.level_of(stage.total))
    if order is None:
        slack, _ = all_stay_slack(stage)
        stays = bool(np.all(slack >= -stage.money_tolerance[stage.movers]))
    else:
        path = sequential_path(stage, order)
        stays, level = bool(path.stay.all()), path.level
    stable = stays and (level > 0 or not stage.movers.size)
    return Turned(stable, level, float(stage.shares[level]))

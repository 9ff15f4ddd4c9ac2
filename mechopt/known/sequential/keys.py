"""Key users: plans in which one user's leaving after anybody else's costs everyone several levels.

His burden bridges the gap to a lower threshold, and he is unwilling at every level in between.
Whoever leaves before him sets him off as well, so everyone is pivotal for both (the collapse of F5,
with one user instead of all).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import numpy as np

from mechopt.arrays import FloatArray, IntArray
from mechopt.formulations.burdens_sequential_steps import unwilling_range
from mechopt.known.burdens import level_curves, simultaneous_level
from mechopt.known.sequential.task import Candidate, SequentialTask, choose_rest, given_order

_KEYS = 24  # key users tried per level


def key_users(task: SequentialTask) -> Iterator[Candidate]:
    """Plans in which one user's leaving after anybody else's costs everyone several levels."""
    instance, level = task.instance, task.level
    shares = np.append(0.0, instance.shares)
    place = _places(task)
    for down in range(level - 1):  # the level left after two have left
        edge = task.total - instance.thresholds[down] * (1 - level_curves.MARGIN)
        worth = float(shares[level - 1] - shares[down])
        low, high = unwilling_range(task.below, worth)
        with np.errstate(divide="ignore"):
            low = np.maximum(low, np.where(instance.removable > 0, edge / instance.removable, inf))
        users = np.flatnonzero((low <= high) & (low <= task.total))
        paid = np.maximum(0.0, instance.cost_of(np.where(low < inf, low, 0.0)) - task.gain)
        users = users[np.lexsort((instance.cost_of(np.minimum(low, high))[users], paid[users]))]
        for key in users[:_KEYS].tolist():
            kept = instance.value * (shares[level] - shares[down])
            if place is not None:
                after = place > place[key]
                beneath = instance.value * (shares[level] - shares[level - 1])
                kept = np.where(after, beneath, kept)
            burden = _around(task, key, float(low[key]), float(high[key]), kept)
            if burden is None:
                continue
            order = None
            if task.designed:
                order = np.argsort(np.where(np.arange(instance.n) == key, inf, burden))
            yield Candidate("key user", burden, kept, np.arange(instance.n) == key, order)


def _places(task: SequentialTask) -> IntArray | None:
    given = given_order(task)
    if given is None:
        return None
    place = np.empty(given.size, dtype=np.int64)
    place[given] = np.arange(given.size)
    return place


def _around(
    task: SequentialTask, key: int, low: float, high: float, kept: FloatArray
) -> FloatArray | None:
    """The best burdens with the key user in [low, high]; None if they do not reach the total."""
    instance = task.instance
    base = np.zeros(instance.n)
    base[key] = low
    pieces = simultaneous_level.pieces_kept_by(instance, task.gain, kept, base, 0.0 * base)
    others = pieces.user != key
    beyond = ~others & (np.arange(others.size) > 0)  # the first piece is his base
    length = pieces.length.copy()
    room = high - low
    for piece in np.flatnonzero(beyond).tolist():
        length[piece] = min(length[piece], room)
        room -= length[piece]
    some = others | beyond
    if task.budget == 0:
        some &= pieces.pay == 0
    return choose_rest(task, pieces, some, length, base, kept)

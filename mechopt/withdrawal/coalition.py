"""Coalitions: sets of users who all gain by changing their decisions together.

From everyone staying a coalition can only leave. Whoever gains when a coalition leaves gains at
least as much by leaving alone: the others' data stay, and v_i B is non-decreasing in what is left.
So a blocking coalition exists iff some user gains alone, that is iff (W1) fails, for any number of
thresholds; the search below is for the largest one. From another stay-set some may also return
together, which nobody may want to do alone: the coordination failure is of that kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.withdrawal.stage import Array, Stage, as_float


@dataclass(frozen=True, eq=False)
class Coalition:
    """A blocking coalition.

    users (m,) positions; gains (m,) money, each > 0; stay (n,) the stay-set it brings about;
    level and total (data) then reached.
    """

    users: IntArray
    gains: FloatArray
    stay: BoolArray
    level: int
    total: float


def blocking_coalition(stage: Stage, stay: BoolArray | None = None) -> Coalition | None:
    """A set of users who all gain strictly by changing their decisions together, or None: proved.

    :stay: (n,) what they start from; None is everyone staying. From there the coalition returned is
        one with the most members; from elsewhere, one that reaches the highest level it can. Exact
        for any number of thresholds, O(K n log n).
    """
    if stay is None:
        return _leaving_together(stage)
    return _changing_together(stage, stay)


def _leaving_together(stage: Stage) -> Coalition | None:
    users = stage.movers
    top = int(stage.level_of(stage.total))
    now = stage.staying_pays(users, top)
    best: IntArray | None = None
    for level in range(top + 1):
        gain = stage.leaving_pays(users, level) - now
        eager = users[gain > stage.money_tolerance[users]]
        if not eager.size:
            continue
        if level:  # as many as can leave without falling below this level, smallest first
            eager = eager[np.argsort(stage.removed[eager], kind="stable")]
            left = stage.total - np.cumsum(stage.removed[eager])
            eager = eager[left >= stage.reached[level - 1]]
        if eager.size and (best is None or eager.size > best.size):
            best = eager
    if best is None:
        return None
    stay = np.ones(stage.n, dtype=bool)
    stay[best] = False
    return _coalition(stage, np.ones(stage.n, dtype=bool), stay)


def _changing_together(stage: Stage, stay: BoolArray) -> Coalition | None:
    """For each level to be reached: everyone who gains there by staying returns (more data never
    hurts a member at levels ≥ 1), and of those who gain by leaving at most one is needed."""
    users = stage.movers
    here, away = users[stay[users]], users[~stay[users]]
    total = stage.total_of(stay)
    level = int(stage.level_of(total))
    for target in range(stage.levels, 0, -1):
        gain = stage.staying_pays(away, target) - stage.leaving_pays(away, level)
        back = away[gain > stage.money_tolerance[away]]
        if back.size and total + stage.removed[back].sum() >= stage.reached[target - 1]:
            return _after(stage, stay, back)
    gains = stage.leaving_pays(here, stage.level_of(total - stage.removed[here]))
    gains = gains - stage.staying_pays(here, level)
    alone = here[gains > stage.money_tolerance[here]]
    if alone.size:
        return _after(stage, stay, alone[:1])
    # At level 0 a return pays only the failure bonus, and only if nothing is trained after it.
    bonus = stage.bonus[away] - stage.leaving_pays(away, level)
    back = away[bonus > stage.money_tolerance[away]]
    if back.size and not level:
        one = back[np.argmin(stage.removed[back])]
        if total + stage.removed[one] < stage.reached[0]:
            return _after(stage, stay, np.array([one]))
    return None


def _after(stage: Stage, stay: BoolArray, changed: IntArray) -> Coalition:
    other = stay.copy()
    other[changed] = ~other[changed]
    return _coalition(stage, stay, other)


def _coalition(stage: Stage, before: BoolArray, after: BoolArray) -> Coalition:
    total = stage.total_of(after)
    level = int(stage.level_of(total))
    users = np.flatnonzero(before != after)
    gains = (
        payoffs(stage, after, level)[users]
        - payoffs(stage, before, int(stage.level_of(stage.total_of(before))))[users]
    )
    return Coalition(users, as_float(gains), after, level, float(total))


def payoffs(stage: Stage, stay: BoolArray, level: int) -> Array:
    """Payoffs (n,), money, measured from −(1 − ρ_i) C_i(x_i)."""
    everyone = np.arange(stage.n)
    at = np.full(stage.n, level)
    return np.where(stay, stage.staying_pays(everyone, at), stage.leaving_pays(everyone, at))

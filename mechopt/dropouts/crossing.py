"""`crossing`: the probability that training happens although some users are lost.

User i is lost with probability h_i for reasons outside the model (docs: practice); δ_i x_i
of data goes with him. Training happens if what is left reaches T_1.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil, log
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import FloatArray
from mechopt.dropouts.hazards import Hazards, hazards_of
from mechopt.dropouts.laws import CUT, UNLIKELY, LossLaw, at_most, laws_of_loss
from mechopt.errors import InvalidPlan
from mechopt.problem.instance import Instance

if TYPE_CHECKING:
    from mechopt.answer.plan import Plan


@dataclass(frozen=True, eq=False)
class Crossing:
    """How safe a plan is: the law of X_S, in data (docs/explanation/practice.md).

    :probability: P(X_S ≥ T_1), an estimate between the certified bounds low and high; `exact`
        whether the two agree to 10⁻⁹
    :levels: (K, 3) estimate, low and high of P(X_S ≥ T_k)
    :lost: data lost on average; spread : its standard deviation
    :slack: data beyond T_1; slacks : beyond every threshold, (K,)
    :laws: of the loss, one tuple per level, one law per state of the world
    """

    probability: float
    low: float
    high: float
    levels: FloatArray = field(repr=False)
    lost: float
    spread: float
    removed: FloatArray = field(repr=False)
    slack: float
    slacks: FloatArray = field(repr=False)
    hazards: Hazards = field(repr=False)
    laws: tuple[tuple[LossLaw, ...], ...] = field(repr=False)
    level: int = field(default=1, repr=False)

    @property
    def exact(self) -> bool:
        """Whether low and high agree to 10⁻⁹."""
        return self.high - self.low <= tolerances.PROBABILITY

    def at(self, level: int) -> Crossing:
        """The same losses, with probability, low, high and slack those of T_level (1-based)."""
        probability, low, high = self.levels[level - 1].tolist()
        slack = float(self.slacks[level - 1])
        return replace(self, probability=probability, low=low, high=high, slack=slack, level=level)

    @cached_property
    def without(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Bounds for every user on P(training) given that he stays, and given that he is gone.

        (stay low, stay high, gone low, gone high), each (n,). From the law F of all losses by
        F_{−i}(s) = Σ_j (−q)^j F(s − j a_i) / (1 − h_i), q = h_i / (1 − h_i); for h_i > 1/2 from
        the law without him. That he is not lost makes the calm state more likely (Bayes).
        """
        found = np.zeros((4, self.removed.size))
        kept = 1 - self.hazards.mean
        for (prior, hazard), law in zip(self.hazards.states, self.laws[self.level - 1]):
            chance = np.where(kept > 0, prior * (1 - hazard) / np.where(kept > 0, kept, 1), 0.0)
            for row, at in ((0, np.full(self.removed.size, self.slack)), (2, self._gone)):
                low, high = _without_each(law, self.removed, hazard, at, self.slack)
                found[row] += chance * low
                found[row + 1] += chance * high
        stay_low, stay_high, gone_low, gone_high = np.clip(found, 0.0, 1.0)
        return stay_low, stay_high, gone_low, gone_high

    def held(self, instance: Instance) -> FloatArray:
        """Certified lower bounds of v_i (E[B | i stays] − (1 − η_i) E[B | i leaves]), money, (n,).

        What keeps a user who is not lost himself, nobody following him.
        """
        share = np.zeros(instance.n)
        for level, step in enumerate(np.diff(instance.shares, prepend=0.0).tolist(), start=1):
            stay, _, _, gone = self.at(level).without
            more = stay - (1 - instance.exclusion) * gone
            share += step * np.maximum(more, instance.exclusion * stay)  # stay ≥ gone
        return np.multiply(instance.value, share)

    @property
    def _gone(self) -> FloatArray:
        return self.slack - self.removed

    @cached_property
    def pivotal(self) -> tuple[FloatArray, FloatArray]:
        """Bounds (low, high) on P(user i decides whether it happens | he is not lost), (n,)."""
        stay_low, stay_high, gone_low, gone_high = self.without
        asked = self.removed > 0
        low = np.where(asked, np.maximum(stay_low - gone_high, 0.0), 0.0)
        high = np.where(asked, np.minimum(stay_high - gone_low, 1.0), 0.0)
        return low, high

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the probabilities and what is lost."""
        return {
            "probability": self.probability,
            "low": self.low,
            "high": self.high,
            "exact": self.exact,
            "levels": self.levels.tolist(),
            "lost": self.lost,
            "spread": self.spread,
        }

    def __str__(self) -> str:
        doubt = "" if self.exact else f" (certified: {self.low:.4%} to {self.high:.4%})"
        return (
            f"training happens with probability {self.probability:.4%}{doubt}; "
            f"{self.lost:g} ± {self.spread:g} data are lost, {self.slack:g} can be spared"
        )


def crossing(instance: Instance, plan: Plan, dropout: Any = 0.0, shock: Any = None) -> Crossing:
    """P(X_S ≥ T_1) of a plan whose users are lost with the hazards `dropout` (docs: practice).

    :dropout: h in [0, 1], a scalar, one per user, or a mapping from group label to hazard
    :shock: (π, factor): with probability π all hazards are multiplied by factor, capped at 1

    Exact for data in whole units (any n) and where few combinations of losses are possible; else
    certified bounds `low` and `high`. A total within the rounding of sums (`tolerances.TOTALS`) of
    a threshold counts as reaching it, as in the withdrawal stage.

    Raises InvalidPlan for a plan without burdens or of another length; InvalidOption.
    """
    if plan.burden is None:
        raise InvalidPlan(f"burden: the plan has none (its status is {plan.status.value!r})")
    if plan.burden.shape != (instance.n,):
        raise InvalidPlan(
            f"burden: has shape {plan.burden.shape}, but the instance has {instance.n} users"
        )
    return crossing_of(instance, plan.burden, hazards_of(instance, dropout, shock))


def crossing_of(
    instance: Instance, burden: FloatArray, hazards: Hazards, *, fine: bool = True, level: int = 1
) -> Crossing:
    """`crossing` from burdens (n,) and hazards that are checked already; coarse if not `fine`.

    Of the levels below `level` little is worked out.
    """
    removed = removed_by(instance, burden)
    thresholds = instance.thresholds
    slacks = np.array([arrays.exact_sum(burden, -float(threshold)) for threshold in thresholds])
    slacks += tolerances.TOTALS * thresholds
    by_state: list[list[LossLaw]] = []
    levels = np.zeros((thresholds.size, 3))
    lost = square = variance = 0.0
    for chance, hazard in hazards.states:
        rooms = np.minimum(slacks, _in_question(slacks[level - 1 :], removed, hazard))
        by_state.append(laws_of_loss(removed, hazard, rooms, fine=fine))
        for row, law, slack in zip(levels, by_state[-1], slacks[:, None]):
            row += chance * np.concatenate((law.estimate(slack), *law.bounds(slack)))
        mean = float((hazard * removed).sum())
        lost += chance * mean
        square += chance * mean * mean
        variance += chance * float((hazard * (1 - hazard) * removed**2).sum())
    levels[slacks < 0] = 0.0
    levels = np.clip(levels, 0.0, 1.0)
    spread = float(np.sqrt(max(variance + square - lost * lost, 0.0)))
    probability, low, high = levels[0].tolist()
    return Crossing(
        probability=probability,
        low=low,
        high=high,
        levels=levels,
        lost=lost,
        spread=spread,
        removed=removed,
        slack=float(slacks[0]),
        slacks=slacks,
        hazards=hazards,
        laws=tuple(zip(*by_state)),
    )


def _in_question(slacks: FloatArray, removed: FloatArray, hazard: FloatArray) -> float:
    """The largest slack, data, that may be lost, also by those who are counted twice and thrice.

    Lower thresholds are reached for sure (`Law.surely`).
    """
    odds = float(np.max(hazard / np.maximum(1 - hazard, 0.5), where=hazard <= 0.5, initial=0.0))
    turns = ceil(log(UNLIKELY) / log(odds)) if 0 < odds < 0.5 else 40
    most = at_most(removed, hazard) + turns * float(removed.max(initial=0.0))
    return float(np.max(slacks, where=slacks < most, initial=float(slacks.min())))


def removed_by(instance: Instance, burden: FloatArray) -> FloatArray:
    """What leaves with each user, δ_i (x_i − y_i), data, shape (n,)."""
    return instance.removable * np.maximum(burden - instance.committed, 0.0)


def _without_each(
    law: LossLaw, removed: FloatArray, hazard: FloatArray, at: FloatArray, most: float
) -> tuple[FloatArray, FloatArray]:
    """Bounds on P(L − a_i Z_i ≤ at_i) for every i, given the law of L up to `most`."""
    low, high = np.zeros(removed.size), np.zeros(removed.size)
    usual = (hazard <= 0.5) | (removed == 0)
    ratio = np.where(usual, hazard / np.maximum(1 - hazard, 0.5), 0.0)
    weight, place, open_ = np.ones(removed.size), at.astype(float), np.flatnonzero(usual)
    sign = 1
    for _ in range(100_000):
        less, more = law.bounds(place[open_])
        one, other = (less, more) if sign > 0 else (-more, -less)
        low[open_] += weight[open_] * one
        high[open_] += weight[open_] * other
        weight[open_] *= ratio[open_]
        place[open_] -= removed[open_]
        open_ = open_[(weight[open_] > CUT) & (place[open_] >= 0) & (removed[open_] > 0)]
        sign = -sign
        if not open_.size:
            break
    scale = np.where(usual & (removed > 0), 1 / np.maximum(1 - hazard, 0.5), 1.0)
    low, high = low * scale, high * scale
    rare = np.flatnonzero(~usual)
    pairs: dict[tuple[float, float], LossLaw] = {}
    for user in rare.tolist():
        pair = (float(removed[user]), float(hazard[user]))
        if pair not in pairs:
            others = np.arange(removed.size) != user
            (pairs[pair],) = laws_of_loss(removed[others], hazard[others], np.array([most]))
        low[user], high[user] = (float(one[0]) for one in pairs[pair].bounds(at[user : user + 1]))
    gone = at < 0
    low[gone] = high[gone] = 0.0
    return np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)

"""What users of a safe plan can be held by at most (R2).

Let F be the event that the plan fails, P(F) ≤ α. For every state of the world and all w_i ≥ 0,
E[Σ w_i (Z_i − h_i) 1_F] = Σ w_i h_i (1 − h_i) π_i, where π_i is the probability that i decides
whether it fails, and is at most what the α worst outcomes of Σ w_i (Z_i − h_i) add up to:

    Σ_i w_i h_i (1 − h_i) π_i ≤ min_q α q + E(Σ w_i (Z_i − h_i) − q)⁺                        (R2)

The w_i are chosen whole multiples of a unit, so the law of the sum is exact. With several
thresholds b_top − B(X) takes the place of 1_F: at most b_top, and but for α at most b_top − b_k.
In sequence others may follow a leaver, and R2 says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray
from mechopt.dropouts.laws import at_most, laws_of_loss
from mechopt.known.allocation import Pieces
from mechopt.known.safety.aim import CONFIDENT, SafeAim

_PLACES = 2000
_DOUBT = 1e-9
SCALES = ((1.0, 1.0), (1.0, 1.5))  # of the weights in the calm state and in a shock


@dataclass(frozen=True, eq=False)
class Relied:
    """R2 with weights: Σ weight_i π_i ≤ ceiling; (n,) each, money.

    :decides: the π_i of the α worst outcomes, roughly
    :least: what i is held by for sure; more : what he is held by if he decides everything. With
        a multiplier κ on R2 he is held by what he has not paid κ · weight_i / more_i of
    """

    aim: SafeAim
    weight: FloatArray
    ceiling: float
    decides: FloatArray
    least: FloatArray
    more: FloatArray

    def part(self, multiplier: float) -> FloatArray:
        """What of a payment that is saved is charged, in [0, 1], (n,)."""
        more = np.where(self.more > 0, self.more, 1.0)
        return np.where(self.more > 0, np.minimum(multiplier * self.weight / more, 1.0), 1.0)

    def pieces(self, multiplier: float) -> Pieces:
        """The users' curves at a multiplier κ ≥ 0 on R2."""
        return self.aim.pieces(self.least, self.part(multiplier))

    def charged(self, multiplier: float, cost: FloatArray) -> FloatArray:
        """Σ weight_i π_i where costs (n,) are paid in the best way at κ, by user, (n,)."""
        aim, part = self.aim, self.part(multiplier)
        due = aim.reversible * cost
        saved = np.clip(due - self.least, 0.0, aim.gain - self.least)
        paid = part * saved + np.maximum(due - aim.gain, 0.0)
        decides = (part < 1) & (paid >= cost - aim.gain) & (self.more > 0)
        return np.where(decides, self.weight * saved / np.where(decides, self.more, 1.0), 0.0)

    def leant(self, multiplier: float, burden: FloatArray) -> FloatArray:
        """π_i where burdens (n,) are paid in the best way at κ; 1 where it costs nothing, (n,)."""
        asked = self.charged(multiplier, self.aim.instance.cost_of(burden))
        return np.where(self.weight > 0, asked / np.where(self.weight > 0, self.weight, 1.0), 1.0)


def free(aim: SafeAim) -> Relied:
    """Without R2: everybody is held by everything he gains."""
    nothing = np.zeros(aim.instance.n)
    return Relied(aim, nothing, 0.0, nothing, aim.gain, nothing)


def relied(aim: SafeAim, weight: FloatArray, scales: tuple[float, ...]) -> Relied | None:
    """R2 with weights near `weight`, money, (n,), and so many times that in each state."""
    instance = aim.instance
    most = instance.value * aim.most_share
    least = np.minimum(instance.exclusion * most, aim.gain)
    row = _row(aim, weight, scales)
    return None if row is None else Relied(aim, *row, least, most - instance.exclusion * most)


def _row(
    aim: SafeAim, weight: FloatArray, scales: tuple[float, ...]
) -> tuple[FloatArray, float, FloatArray] | None:
    """(coefficients near `weight`, the most that Σ coefficient_i π_i can be, π_i there)."""
    alpha = 1 - aim.confidence + CONFIDENT
    kept = np.maximum(1 - aim.hazards.mean, tolerances.TINY)
    states = [(p, h, s) for (p, h), s in zip(aim.hazards.states, scales) if p > 0]
    wanted = []
    for _, hazard, scale in states:
        risky = (hazard > 0) & (hazard < 1)
        wanted.append(np.where(risky, scale * weight / np.where(risky, hazard, 1) / kept, 0.0))
    reach = max(at_most(w, h) for w, (_, h, _) in zip(wanted, states))
    if reach <= 0:
        return None
    unit = reach / _PLACES
    coefficient = np.full(aim.instance.n, np.inf)
    parts: _Parts = []
    sizes, above = [], 0.0
    for w, (chance, hazard, _) in zip(wanted, states):
        size = np.rint(w / unit)
        sizes.append(size)
        # given that i is not lost, the state has probability chance (1 − h_i) / kept_i
        coefficient = np.minimum(coefficient, np.where(hazard < 1, hazard * size, np.inf))
        top = np.ceil(at_most(size, hazard))
        (law,) = laws_of_loss(size, hazard, np.array([top]))
        places = np.arange(top + 1)
        low, high = law.bounds(places)
        doubt = float((high - low).max()) + tolerances.REACH
        if doubt > _DOUBT:
            return None
        above += chance * 2 * doubt * float(size.sum())
        parts.append(
            (chance, places - float((hazard * size).sum()), np.diff((low + high) / 2, prepend=0.0))
        )
    sure = aim.instance.share_at(aim.level) / aim.most_share
    place, worst = _worst(alpha, parts)
    ceiling = sure * worst + (1 - sure) * _beyond(0.0, parts) + above
    coefficient = np.where(np.isfinite(coefficient), coefficient, 0.0)
    decides = np.zeros(coefficient.size)
    for (chance, at, mass), size, (_, hazard, _) in zip(parts, sizes, states):
        tails = np.append(np.cumsum(mass[::-1])[::-1], 0.0)
        sooner, cut = (np.searchsorted(at, q, side="right") for q in (place - size, place))
        decides += chance * (1 - hazard) / kept * (tails[sooner] - tails[cut])
    return coefficient * kept * unit, ceiling * unit, decides


_Parts = list[tuple[float, FloatArray, FloatArray]]  # (chance, places less their mean, masses)


def _beyond(q: float, parts: _Parts) -> float:
    """E(ℓ − q)⁺, ℓ the sum less its mean."""
    return sum(c * float((np.maximum(at - q, 0) * mass).sum()) for c, at, mass in parts)


def _worst(alpha: float, parts: _Parts) -> tuple[float, float]:
    """(q ≥ 0, α q + E(ℓ − q)⁺) where that is least."""
    low, high = 0.0, max(0.0, *(float(at[-1]) for _, at, _ in parts))
    for _ in range(60):
        middle = (low + high) / 2
        chance = sum(c * float(mass[at > middle].sum()) for c, at, mass in parts)
        low, high = (middle, high) if chance > alpha else (low, middle)
    return high, alpha * high + _beyond(high, parts)

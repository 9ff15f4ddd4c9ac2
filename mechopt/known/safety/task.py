"""What a safe plan must meet, and what it takes: shared by the search, the exact way and the bound.

One threshold T with share b. With drop-outs, user i who is not lost decides whether training
happens with probability held_i = P(X ≥ T | i stays) − (1 − η_i) P(X ≥ T | i leaves). He takes part
if v_i b + t_i ≥ C_i (A3) and stays if v_i b held_i ≥ r_i = ρ_i C_i − t_i. So the least payment is

    t_i = max(0, C_i(x_i) − v_i b, ρ_i C_i(x_i) − v_i b held_i)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray
from mechopt.dropouts.crossing import Crossing, crossing_of
from mechopt.dropouts.hazards import Hazards
from mechopt.known.allocation import Pieces
from mechopt.problem.instance import Instance

CONFIDENT = tolerances.PROBABILITY  # how far a certified probability may be below what is asked


@dataclass(frozen=True, eq=False)
class Task:
    """An instance with one threshold, its hazards, and the crossing probability asked for.

    :rights: whether users may withdraw (A5)
    """

    instance: Instance
    hazards: Hazards
    confidence: float
    rights: bool

    @property
    def threshold(self) -> float:
        return float(self.instance.thresholds[0])

    @cached_property
    def gain(self) -> FloatArray:
        """v_i b, money, shape (n,)."""
        return self.instance.value * self.instance.share_at(1)

    @cached_property
    def reversible(self) -> FloatArray:
        """ρ_i, or 0 where nobody may withdraw, shape (n,)."""
        return self.instance.reversibility if self.rights else np.zeros(self.instance.n)

    def crossing(self, burden: FloatArray, *, fine: bool = True) -> Crossing:
        """How safe burdens (n,) are; with bounds further apart, and faster, if not `fine`."""
        return crossing_of(self.instance, burden, self.hazards, fine=fine)

    def is_safe(self, found: Crossing) -> bool:
        """Whether the certified probability is at least what is asked for."""
        return found.low >= self.confidence - CONFIDENT

    def held_by(self, found: Crossing) -> FloatArray:
        """v_i b held_i, money, from the certified side, shape (n,)."""
        return np.multiply(self.gain, held(self.instance, found))

    def payments(self, burden: FloatArray, held_by: FloatArray) -> FloatArray:
        """The least payments for burdens (n,) that leave users held by so much money, (n,)."""
        cost = self.instance.cost_of(burden)
        need = np.maximum(cost - self.gain, self.reversible * cost - held_by)
        return np.where(need > tolerances.REACH * cost, need, 0.0)

    def pieces(self, held_by: FloatArray) -> Pieces:
        """The users' curves max(0, C − v b, ρ C − held_by), cut where they change their slope."""
        return curves(self.instance, self.gain, self.reversible, held_by)


def held(instance: Instance, found: Crossing) -> FloatArray:
    """The certified lower bound of held_i, shape (n,)."""
    stay, _, _, gone = found.without
    return np.maximum(stay - (1 - instance.exclusion) * gone, 0.0)


def curves(instance: Instance, gain: FloatArray, rho: FloatArray, held_by: FloatArray) -> Pieces:
    """Pieces of max(0, C − gain, ρ C − held_by), for 0 ≤ held_by ≤ gain; (n,) each."""
    n, segments = instance.widths.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(rho > 0, held_by / np.where(rho > 0, rho, 1), np.inf)
        full = np.where(rho < 1, (gain - held_by) / np.where(rho < 1, 1 - rho, 1), np.inf)
    # up to `first` nothing is paid; then ρ of the cost; from `second` on all of it
    first = np.minimum(free, gain)
    second = np.where(free < gain, np.maximum(full, first), gain)
    length, cost, pay = (np.zeros((3 * segments, n)) for _ in range(3))
    spent = np.zeros(n)
    for j in range(segments):
        rate = instance.cost * instance.slopes[:, j]
        end = spent + rate * instance.widths[:, j]
        marks = [spent, np.clip(first, spent, end), np.clip(second, spent, end), end]
        shares: tuple[Any, ...] = (0.0, rho, 1.0)
        paid = rate > 0
        for part, share in enumerate(shares):
            row = part * segments + j
            length[row] = (marks[part + 1] - marks[part]) / np.where(paid, rate, 1.0)
            if part == 0:
                length[row] = np.where(paid, length[row], instance.widths[:, j])
            cost[row], pay[row] = rate, rate * share
        spent = end
    return Pieces(
        np.tile(np.arange(n), 3 * segments), length.reshape(-1), cost.reshape(-1), pay.reshape(-1)
    )

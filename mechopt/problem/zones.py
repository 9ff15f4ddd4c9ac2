"""Zones of the sequential protocol (F12): what leaving costs, and who is unwilling at which level.

The target is level K with X = T_K + R in all. The levels m that a withdrawal can collapse are
1..K − 1, and K if R > 0; G_m = X − T_m. A user of zone l is left with level l at least if he goes,
so he stays only if r ≤ loss_l = v (b_K − (1 − η) b_l). He is unwilling at m if r > step_m = v s_m,
s_m = b_m − (1 − η) b_{m−1}. These arrays are all that the design problem knows of rights and
shares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray
from mechopt.problem.aims import required_total
from mechopt.problem.instance import Instance


@dataclass(frozen=True, eq=False)
class Zones:
    """The highest level of `instance`, rows m and zones l between them.

    :total: X, data; level (M,) : the levels m that have a row, ascending; gap (M,) : G_m, data;
        gain (n,) : v b_K, money; step (M, n) : money; loss (M + 1, n) : money, of the zone below
        the first row, …, above the last
    """

    instance: Instance
    total: float
    level: IntArray
    gap: FloatArray
    gain: FloatArray
    step: FloatArray
    loss: FloatArray

    @property
    def rows(self) -> int:
        return int(self.level.size)

    def keep(self, first: int, lowest: int) -> Zones:
        """Rows from `first` on; the zones below them are one, with the loss of zone `lowest`.

        lowest = first: nobody is in a lower zone. lowest = 0: the rows left out do not bind.
        """
        return replace(
            self,
            level=self.level[first:],
            gap=self.gap[first:],
            step=self.step[first:],
            loss=np.concatenate((self.loss[lowest : lowest + 1], self.loss[first + 1 :])),
        )


def zones(instance: Instance, reserve: float, *, most_rows: int = 12) -> Zones:
    """The zones of the highest level; of more than `most_rows` rows, the upper ones.

    Leaving a row out is a relaxation: its zones become one, at the larger loss of the lower.
    """
    shares = np.append(0.0, instance.shares)
    top = instance.levels
    total = required_total(instance, top, reserve)
    level = np.arange(1, top + (reserve > 0), dtype=np.int64)[-most_rows:]
    left = np.concatenate(([0], level))  # the level surely kept in each zone
    value = instance.value
    enjoyed = 1 - instance.exclusion  # of what is reached, by whoever has left
    loss = value * (shares[top] - enjoyed * shares[left][:, None])
    # Who takes nothing away changes nothing by leaving.
    loss = np.where(instance.removable > 0, loss, value * (shares[top] - enjoyed * shares[top]))
    step = value * (shares[level][:, None] - enjoyed * shares[level - 1][:, None])
    gap = total - instance.thresholds[level - 1]
    return Zones(instance, total, level, gap, value * shares[top], step, loss)


def unwilling(zones: Zones, row: int, *, margin: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """[x̲, x̄], data, (n,) each: burdens whose least payment leaves r ≥ step_m; empty if x̲ > x̄.

    At the least payment r = min(ρ C, v b_K − (1 − ρ) C, loss_l). margin : of v b_K, by which r is
    to exceed step_m
    """
    instance = zones.instance
    recovered, top = instance.reversibility, instance.cost_of(instance.capacity)
    worth = zones.step[row] + margin * zones.gain
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(recovered > 0, worth / recovered, inf)
        most = np.where(recovered < 1, (zones.gain - worth) / (1 - recovered), inf)
    low = instance.affordable(np.minimum(least, top))
    low = np.where(least > top, inf, low)
    low = np.maximum(low, instance.capacity * tolerances.DATA * (margin > 0))
    high = np.where(most >= top, instance.capacity, instance.affordable(np.clip(most, 0.0, top)))
    return low, np.where((instance.removable > 0) & (most >= 0), high, -1.0)

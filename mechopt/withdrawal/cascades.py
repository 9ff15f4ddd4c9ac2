"""What one withdrawal sets off: the level finally reached, between two bounds, without recursion.

User i leaves, everybody before him has stayed. With s the data that then remain of the movers up
to him, and all sums over the later movers j:

- *At most.* Suppose levels above q are out of reach. Nobody with r_j > v_j b_q stays on a path that
  ends at level q: leaving pays at least 0. So level q is out of reach as well if

      s + Σ_{r_j ≤ v_j b_q} x_j + Σ_{r_j > v_j b_q} (1 − δ_j) x_j < T_q.

- *At least.* By induction from the last mover, level q is reached or passed if

      s + Σ_{r_j ≤ v_j (b_q − b_{q−1})} x_j + Σ_{others} (1 − δ_j) x_j ≥ T_q:

  whoever has r_j ≤ v_j (b_q − b_{q−1}) and without whom it fails stays, as that gains him a level.
  With exclusion a level q lost to q − 1 costs v_j (b_q − (1 − η_j) b_{q−1}), here as below.

For q = 1 the two are complements, so with two thresholds they decide everything (F10). The second
is stronger than the prefix bound (W2, F5), which counts nobody who moves later; the first contains
F5's collapse condition. Both hold with failure bonuses: those are paid at level 0 only.

The second becomes stronger if it asks what is left for j: no more than level ℓ, that of
X − a_i − a_j. So he stays already if r_j ≤ v_j (b_q − b_min(ℓ, q − 1)): `least_levels_after`,
for pairs of users.
"""

from __future__ import annotations

import numpy as np

from mechopt.arrays import IntArray
from mechopt.withdrawal.stage import Array, Stage


def levels_after(stage: Stage, movers: IntArray) -> tuple[IntArray, IntArray]:
    """(at least, at most): bounds on the level finally reached if this mover leaves, shape (m,).

    :movers: (m,), in the order in which they move; those before him have stayed.
    """
    x, removed = stage.x[movers], stage.removed[movers]
    v, r, tolerance = stage.v[movers], stage.r[movers], stage.money_tolerance[movers]
    left = stage.settled + np.cumsum(x) - removed  # of the movers up to him, and of others
    most = np.asarray(stage.level_of(stage.total - removed), dtype=np.int64)
    least = np.zeros(movers.size, dtype=np.int64)
    for level in range(stage.levels, 0, -1):
        reached = stage.reached[level - 1]
        leaves = v * stage.shares[level] - r < -tolerance
        fails = left + _later(np.where(leaves, x - removed, x)) < reached
        most[fails & (most == level)] = level - 1
        step = stage.loss(movers, level, level - 1)
        holds = left + _later(np.where(step - r < -tolerance, x - removed, x)) >= reached
        least[holds & (least < level)] = level
    return np.minimum(least, most), most


def least_levels_after(stage: Stage, movers: IntArray) -> IntArray:
    """The stronger lower bound, by pairs of movers: O(m² K) time and memory; shape (m,)."""
    x, removed = stage.x[movers], stage.removed[movers]
    r, tolerance = stage.r[movers], stage.money_tolerance[movers]
    rest = np.asarray(stage.level_of(stage.total - removed[:, None] - removed[None, :]))
    left = stage.settled + np.cumsum(x) - removed
    later = np.triu(np.ones((movers.size, movers.size), dtype=bool), 1)
    least = np.zeros(movers.size, dtype=np.int64)
    for level in range(stage.levels, 0, -1):
        step = stage.loss(movers, level, np.minimum(rest, level - 1))
        stays = np.where(step - r < -tolerance, x - removed, x)
        holds = left + np.where(later, stays, x * 0).sum(axis=1) >= stage.reached[level - 1]
        least[holds & (least < level)] = level
    return least


def everyone_stays(stage: Stage, movers: IntArray) -> bool | None:
    """Whether the subgame-perfect outcome keeps everyone, if the bounds decide it; else None."""
    level = stage.level_of(stage.total)
    least, most = levels_after(stage, movers)
    if _held(stage, movers, level, most):
        return True
    return None if _held(stage, movers, level, least) else False


def _held(stage: Stage, movers: IntArray, level: int, after: IntArray) -> bool:
    lost = stage.loss(movers, level, after)
    return bool((lost - stage.r[movers] >= -stage.money_tolerance[movers]).all())


def _later(data: Array) -> Array:
    """Σ_{j > i}, shape (m,)."""
    return np.cumsum(data[::-1])[::-1] - data

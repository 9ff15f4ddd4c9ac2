"""Levels that a withdrawal can collapse, and the burdens at which users are unwilling there.

Equations: models/burdens-sequential/README.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mechopt import tolerances, words
from mechopt.arrays import FloatArray
from mechopt.formulations.parts import Model
from mechopt.problem.aims import MARGIN, required_total
from mechopt.problem.instance import Instance

THREATS = ("possible", "certain")


@dataclass(frozen=True, eq=False)
class Step:
    """A level m that a withdrawal can collapse, and who is unwilling there, level q being left.

    :gap: G_m with its margin (taking this much surely misses T_m), data
    :gain: b_m − b_{m−1}
    :low, high: [x̲, x̄] (n,), data: burdens at which r_j > v_j (b_m − b_q) can hold; empty if
        low > high
    :held_by: the lowest level h ≥ 1 with b_K − b_h ≤ b_m − b_q, 0 if there is none (S5)
    """

    level: int
    gap: float
    gain: float
    low: FloatArray
    high: FloatArray
    held_by: int


def steps(instance: Instance, *, reserve: float = 0.0, threats: str = "possible") -> list[Step]:
    """The levels that can collapse, ascending: 1..K − 1, and K if there is a reserve.

    With "possible" threats level m − 1 is left to the unwilling at m, with "certain" none.
    """
    words.choose("threats", threats, THREATS)
    return [
        step_of(instance, level, level - 1 if threats == "possible" else 0, reserve)
        for level in range(1, instance.levels + (reserve > 0))
    ]


def step_of(instance: Instance, level: int, base: int, reserve: float) -> Step:
    shares = np.append(0.0, instance.shares)
    top = instance.levels
    worth = float(shares[level] - shares[base])
    low, high = unwilling_range(instance, worth)
    lost = shares[top] - shares[1 : top + (reserve > 0)]  # if level 1, 2, … is left
    weak = np.flatnonzero(lost <= worth + MARGIN * shares[top])
    threshold = float(instance.thresholds[level - 1])
    gap = required_total(instance, top, reserve) - threshold * (1 - MARGIN)
    gain = float(shares[level] - shares[level - 1])
    return Step(level, gap, gain, low, high, int(weak[0]) + 1 if weak.size else 0)


def excess_of(model: Model) -> Any:
    return model.excess if hasattr(model, "excess") else 0.0


def beyond(model: Model, counted: Any) -> Any:
    """What (S2) must cover beyond G_m: the excess, if `counted` is 1."""
    excess = excess_of(model)
    return excess - excess.ub * (1 - counted) if hasattr(model, "excess") else 0.0


def unwilling_range(instance: Instance, worth: float) -> tuple[FloatArray, FloatArray]:
    """[x̲, x̄], data, shape (n,) each: burdens at which `worth` (a share) would not keep a user."""
    value, recovered = instance.value, instance.reversibility
    most_share = float(instance.shares[-1])
    top = instance.cost_of(instance.capacity)
    slack = 2 * MARGIN * value
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(recovered > 0, (value * worth + slack) / recovered, np.inf)
        most = np.where(
            recovered < 1, (value * (most_share - worth) - slack) / (1 - recovered), top
        )
    low = instance.affordable(np.minimum(least, top))
    low = np.where(least > top, np.inf, low)
    high = instance.affordable(np.clip(most, 0.0, top))
    # r > v w ≥ 0 needs a positive burden even if v = 0.
    low = np.maximum(low, instance.capacity * tolerances.DATA)
    return low, np.where(instance.removable > 0, high, -1.0)

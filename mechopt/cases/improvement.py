"""The thresholds of generated problems: where the steps are, and what shape they have."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np

from mechopt import draws
from mechopt.errors import InvalidOption
from mechopt.problem.improvement_curves import step_curve_from_distribution, step_curve_from_losses

STEPS = ("uncertain", "learning-curve")
SHAPES = {"linear": 1.0, "diminishing": 0.5, "accelerating": 2.0}  # exponents a of b_k = (k/K)^a


def exponent(shape: str | float) -> float:
    """a of b_k = (k / K)^a; InvalidOption for an unknown shape, or a not > 0 and finite."""
    if isinstance(shape, str) and shape in SHAPES:
        return SHAPES[shape]
    try:
        power = float(shape)
    except (TypeError, ValueError):
        power = 0.0
    if not 0 < power < inf:
        raise InvalidOption(
            f"shape: must be {', '.join(map(repr, SHAPES))} or an exponent > 0, got {shape!r}"
        )
    return power


@dataclass(frozen=True)
class Steps:
    """K steps of a kind (`STEPS`) with shares (k / K)^power."""

    levels: int
    kind: str
    power: float


def steps_to(top: Any, steps: Steps) -> tuple[Any, Any]:
    """Thresholds ending at `top` (data) and shares (k / K)^power."""
    levels, power = steps.levels, steps.power
    if levels == 1:
        return [top], None
    parts = [Fraction(k, levels) for k in range(1, levels + 1)]
    if isinstance(top, Fraction):  # exact data stay exact: equal steps
        exact = int(power) if power.is_integer() else 0
        return [part * top for part in parts], [
            part**exact if exact else Fraction(repr(float(part) ** power)) for part in parts
        ]
    shares = np.arange(1, levels + 1) / levels
    if power != 1:
        shares = draws.rounded(draws.exp(power * draws.log(shares)))
    if steps.kind == "uncertain":
        curve = step_curve_from_distribution("lognormal", levels, median=1.0, log_sd=0.5)
        if power == 1:
            shares = curve.shares
    else:
        curve = step_curve_from_losses(_WMT19[0], [1 - gain for gain in _WMT19[1]], shares.tolist())
    return draws.rounded(top * (curve.thresholds / curve.thresholds[-1])), shares


# Examples and the median share of the gain reached over 30 models (Lin et al., ICML 2024).
_WMT19 = (
    (0, 200, 800, 3_200, 12_800, 51_200, 204_800, 819_200, 1_638_400),
    (0, 0.20, 0.26, 0.36, 0.50, 0.68, 0.85, 0.96, 1),
)

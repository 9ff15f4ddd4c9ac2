"""Continuous cost distributions as finite ones, with the error this makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mechopt import arrays
from mechopt.arrays import FloatArray
from mechopt.errors import InvalidOption
from mechopt.words import choose

_FINE = 512  # quantiles per type on which means and errors are computed (midpoint rule)


@dataclass(frozen=True, eq=False)
class Discretised:
    """Costs (money per data unit) and probabilities of m types, and what was lost.

    shift : mean |cost − its type's cost| when draws are coupled by rank (Wasserstein-1 distance)
    worst : largest such shift over the quantiles used; kolmogorov : largest gap of the two
        distribution functions, at most 1/m
    """

    costs: FloatArray
    probabilities: FloatArray
    shift: float
    worst: float
    kolmogorov: float


def discretise(
    quantile: Callable[[FloatArray], FloatArray], types: int, *, rule: str = "mean"
) -> Discretised:
    """`types` equally likely costs from a quantile function (e.g. `scipy.stats.….ppf`).

    rule : "mean", the mean of each slice (expected cost is kept); "upper", its upper end at the
        last midpoint (whoever accepts the type's terms would accept at the true cost too)

    Raises InvalidOption if quantiles are not positive, finite and increasing from type to type.
    """
    choose("rule", rule, ("mean", "upper"))
    if isinstance(types, bool) or not isinstance(types, int) or types < 1:
        raise InvalidOption(f"types: must be a whole number ≥ 1, got {types!r}")
    levels = (np.arange(types * _FINE) + 0.5) / (types * _FINE)
    fine = np.asarray(quantile(levels), dtype=np.float64)
    if fine.shape != levels.shape or not np.isfinite(fine).all() or (fine <= 0).any():
        raise InvalidOption("quantile: must return finite costs > 0, one per probability")
    slices = fine.reshape(types, _FINE)
    costs = slices.mean(axis=1) if rule == "mean" else slices[:, -1].copy()
    if (np.diff(fine) < 0).any() or (np.diff(costs) <= 0).any():
        raise InvalidOption(
            "quantile: costs do not increase from type to type; use fewer types, or list the atoms"
        )
    gap = np.abs(slices - costs[:, None])
    below = (slices <= costs[:, None]).mean(axis=1)
    return Discretised(
        arrays.freeze(costs),
        arrays.freeze(np.full(types, 1 / types)),
        float(gap.mean()),
        float(gap.max()),
        float(np.maximum(below, 1 - below).max() / types),
    )

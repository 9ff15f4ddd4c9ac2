"""Continuous cost distributions and observed costs as finite types, with the error this makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np

from mechopt import arrays
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import InvalidOption
from mechopt.words import choose

_FINE = 512  # quantiles per type on which means and errors are computed (midpoint rule)


@dataclass(frozen=True, eq=False)
class Discretised:
    """Costs (money per data unit) and probabilities of m types, and what was lost.

    :shift: mean |cost − its type's cost| when draws are coupled by rank (Wasserstein-1 distance)
    :worst: largest such shift over the quantiles used; kolmogorov : largest gap of the two
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

    :rule: "mean", the mean of each slice (expected cost is kept); "upper", its upper end at the
        last midpoint (whoever accepts the type's terms would accept at the true cost too)

    Raises InvalidOption if quantiles are negative, not finite and increasing from type to type.
    """
    choose("rule", rule, ("mean", "upper"))
    if isinstance(types, bool) or not isinstance(types, int) or types < 1:
        raise InvalidOption(f"types: must be a whole number ≥ 1, got {types!r}")
    levels = (np.arange(types * _FINE) + 0.5) / (types * _FINE)
    fine = np.asarray(quantile(levels), dtype=np.float64)
    if fine.shape != levels.shape or not np.isfinite(fine).all() or (fine < 0).any():
        raise InvalidOption("quantile: must return finite costs ≥ 0, one per probability")
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


# -- observed costs -------------------------------------------------------------------------------

_CUTS = 1000  # places between observed costs where types may be parted


@dataclass(frozen=True, eq=False)
class Estimate(Discretised):
    """Observed costs as m types; the errors are those against the observed distribution.

    :observations: people asked. How far the true distribution may lie from the observed one is
        `radius`.
    """

    observations: int = 0

    def radius(self, confidence: float = 0.95, *, distance: str = "total-variation") -> float:
        """The true law of the types lies within this of the estimate with this confidence.

        See `confidence_radius`.
        """
        spread = np.diff(self.costs) if distance == "wasserstein" else None
        return confidence_radius(
            self.observations, self.costs.size, confidence, distance=distance, gaps=spread
        )


def confidence_radius(
    observations: int,
    types: int,
    confidence: float = 0.95,
    *,
    distance: str = "total-variation",
    gaps: FloatArray | None = None,
) -> float:
    """How far the law of `types` types may lie from its frequencies among `observations` draws.

    :distance: "total-variation", ½ Σ |f − f̂|, at most
        √(ln((2^m − 2) / α) / 2N) (Weissman et al. 2003, exact union bound over events); or
        "wasserstein", Σ_k gap_k |F_k − F̂_k| in money per data unit, at most Σ gap times the
        Dvoretzky–Kiefer–Wolfowitz bound √(ln(2 / α) / 2N) (Massart 1990)
    :gaps: c_{k+1} − c_k, shape (m − 1,), for "wasserstein"
    """
    choose("distance", distance, ("total-variation", "wasserstein"))
    if not 0 < confidence < 1:
        raise InvalidOption(f"confidence: must lie in (0, 1), got {confidence!r}")
    if observations < 1:
        raise InvalidOption(f"observations: must be ≥ 1, got {observations!r}")
    if types == 1:
        return 0.0
    miss = 1 - confidence
    if distance == "total-variation":
        return min(1.0, sqrt(log((2.0**types - 2) / miss) / (2 * observations)))
    span = float(np.sum(gaps)) if gaps is not None else 1.0
    return span * min(1.0, sqrt(log(2 / miss) / (2 * observations)))


def from_observations(costs: Any, types: int, *, rule: str = "mean") -> Estimate:
    """At most `types` types for observed costs (money per data unit, shape (N,)).

    The sorted costs are parted where the mean shift of a cost to its type's is least (dynamic
    programming over the distinct costs; beyond 1,000 of them, over 1,000 quantiles). Equal costs
    stay together; fewer distinct costs than `types` are taken as they are.

    :rule: "mean" of each part (expected cost is kept) or its "upper" end (whoever accepts the
        type's terms accepts at the true cost too)
    """
    choose("rule", rule, ("mean", "upper"))
    if isinstance(types, bool) or not isinstance(types, int) or types < 1:
        raise InvalidOption(f"types: must be a whole number ≥ 1, got {types!r}")
    try:
        given = np.asarray(costs, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidOption("costs: expected a list of numbers, one per person asked") from None
    if given.ndim != 1 or given.size == 0:
        raise InvalidOption("costs: expected one number per person asked, and at least one person")
    bad = np.flatnonzero(~(np.isfinite(given) & (given >= 0)))
    if bad.size:
        raise InvalidOption(
            f"costs[{bad[0]}]: must be ≥ 0 and finite (money per data unit), got "
            f"{given[bad[0]]:g}; give people who never sell the highest price, or leave them out"
        )
    atoms, weight = np.unique(given, return_counts=True)
    ends = _parting(atoms, weight, min(types, atoms.size), rule)
    part = np.searchsorted(ends, np.arange(atoms.size), side="right")
    law = np.bincount(part, weight) / given.size
    centre = np.bincount(part, weight * atoms) / np.bincount(part, weight)
    if rule == "upper":
        centre = atoms[np.append(ends, atoms.size) - 1]
    moved = np.abs(atoms - centre[part])
    observed = np.cumsum(weight) / given.size
    typed = np.concatenate([[0.0], np.cumsum(law)])[np.searchsorted(centre, atoms, side="right")]
    at_types = np.concatenate([[0.0], observed])[np.searchsorted(atoms, centre, side="right")]
    before = np.concatenate([[0.0], observed])[np.searchsorted(atoms, centre, side="left")]
    steps = np.concatenate([[0.0], np.cumsum(law)])
    gap = np.concatenate([observed - typed, at_types - steps[1:], before - steps[:-1]])
    return Estimate(
        arrays.freeze(centre),
        arrays.freeze(law),
        float(weight @ moved / given.size),
        float(moved.max()),
        float(np.abs(gap).max()),
        int(given.size),
    )


def _parting(atoms: FloatArray, weight: IntArray, types: int, rule: str) -> IntArray:
    """First atoms of parts 2 … m, such that the mean shift is least, shape (types − 1,)."""
    if types == atoms.size:
        return np.arange(1, atoms.size)
    cuts = np.arange(atoms.size + 1)
    if atoms.size > _CUTS:
        mass = np.cumsum(weight) / weight.sum()
        inner = np.searchsorted(mass, np.arange(1, _CUTS) / _CUTS) + 1
        cuts = np.unique(np.concatenate([[0], inner, [atoms.size]]))
    count = np.concatenate([[0.0], np.cumsum(weight)])
    total = np.concatenate([[0.0], np.cumsum(weight * atoms)])
    start, end = cuts[:, None], cuts[None, :]
    inside = end > start
    mass = np.where(inside, count[end] - count[start], 1.0)
    if rule == "mean":
        centre = np.where(inside, (total[end] - total[start]) / mass, 0.0)
        middle = np.clip(np.searchsorted(atoms, centre), start, np.maximum(end, start))
    else:
        centre, middle = np.broadcast_to(atoms[end - 1], mass.shape), np.maximum(end, start)
    below = centre * (count[middle] - count[start]) - (total[middle] - total[start])
    above = (total[end] - total[middle]) - centre * (count[end] - count[middle])
    shift = np.where(inside, below + above, np.inf)
    best, choice = shift[0], []
    for _ in range(types - 1):
        through = best[:, None] + shift
        choice.append(np.argmin(through, axis=0))
        best = np.min(through, axis=0)
    ends, place = [], cuts.size - 1
    for chosen in reversed(choice):
        place = int(chosen[place])
        ends.append(int(cuts[place]))
    return np.array(sorted(ends), dtype=np.int64)

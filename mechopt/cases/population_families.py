"""Families of populations (costs private) by name, and the thresholds set from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mechopt import arrays, draws
from mechopt.arrays import FloatArray
from mechopt.cases import calibration
from mechopt.cases.improvement import Steps, steps_to
from mechopt.errors import InvalidOption
from mechopt.problem.population import Group, Population


def _population_uniform(
    n: int,
    *,
    types: int = 3,
    cost: tuple[float, float] = (0.5, 1.5),
    value: float = 1.0,
    capacity: float = 4.0,
    seed: int,
) -> list[Group]:
    """n users alike, costs equally likely on an even grid."""
    check_whole("types", types, 1, "costs")
    low, high = cost
    costs = draws.rounded(low + (high - low) * np.arange(types) / max(types - 1, 1))
    return [Group(n, costs, _equal(types), value, capacity)]


def _population_two_type(
    n: int,
    *,
    low: float = 0.25,
    high: float = 1.0,
    share_low: float = 0.6,
    value: float = 1.0,
    capacity: float = 20.0,
    seed: int,
) -> list[Group]:
    """n users alike, each of low or high cost."""
    return [Group(n, [low, high], [share_low, 1 - share_low], value, capacity)]


def _population_lognormal(
    n: int,
    *,
    types: int = 4,
    log_sd: float = 0.5,
    value: float = 1.0,
    capacity: float = 4.0,
    seed: int,
) -> list[Group]:
    """n users alike, costs lognormal with median 1, as the medians of equally likely slices."""
    check_whole("types", types, 1, "costs")
    costs = draws.rounded(draws.exp(log_sd * draws.normal_quantile(_middles(types))))
    return [Group(n, costs, _equal(types), value, capacity)]


def _population_groups(
    n: int, *, heavy_share: float = 0.25, types: int = 2, seed: int
) -> list[Group]:
    """Casual users and fewer heavy users, who value the improvement more and can give more."""
    check_whole("types", types, 1, "costs")
    heavy = min(max(round(heavy_share * n), 0), n)
    costs = draws.rounded(draws.exp(0.5 * draws.normal_quantile(_middles(types))))
    sizes = {(0.8, 2.0): n - heavy, (2.4, 8.0): heavy}
    return [
        Group(size, costs, _equal(types), value, capacity)
        for (value, capacity), size in sizes.items()
        if size
    ]


def _population_individual(n: int, *, seed: int) -> list[Group]:
    """Every user her own group: two possible costs, value and capacity drawn."""
    fields = {
        field: lognormal_draw(seed, field, n, sd)
        for field, sd in (("cost", 0.3), ("value", 0.5), ("capacity", 0.5))
    }
    return [
        Group(1, [cost, 2 * cost], _equal(2), value, 4 * capacity)
        for cost, value, capacity in zip(*(fields[f].tolist() for f in fields))
    ]


def _population_prism(n: int, *, types: int = 3, seed: int) -> list[Group]:
    """n users alike with PRISM's median capacity and value and the calibrated cost law."""
    check_whole("types", types, 1, "costs")
    capacity = 48.0
    monthly = calibration.MONTHLY_COST * draws.exp(
        calibration.COST_LOG_SD * draws.normal_quantile(_middles(types))
    )
    value = draws.rounded(draws.exp(np.array([calibration.VALUE_MU])))[0]
    costs = draws.rounded(monthly / capacity + calibration.EFFORT)
    return [Group(n, costs, _equal(types), float(value), capacity)]


POPULATIONS: dict[str, Callable[..., list[Group]]] = {
    "population-uniform": _population_uniform,
    "population-two-type": _population_two_type,
    "population-lognormal": _population_lognormal,
    "population-groups": _population_groups,
    "population-individual": _population_individual,
    "population-prism": _population_prism,
}


def population_of(
    groups: list[Group],
    tightness: float,
    steps: Steps,
    provider_value: float | None,
    budget: float | None,
) -> Population:
    gives = [
        group.size * chance * (min(group.capacity, group.value / cost) if cost else group.capacity)
        for group in groups
        for cost, chance in zip(group.costs.tolist(), group.probabilities.tolist())
    ]
    thresholds, shares = steps_to(tightness * arrays.exact_sum(np.array(gives)), steps)
    worth = arrays.exact_sum(np.array([group.size * group.value for group in groups]))
    return Population(
        groups,
        draws.rounded(np.array(thresholds)),
        shares,
        provider_value=worth if provider_value is None else provider_value,
        budget=budget,
    )


# -- draws and checks -----------------------------------------------------------------------------


def lognormal_draw(seed: int, field: str, n: int, log_sd: float) -> FloatArray:
    return draws.rounded(draws.exp(log_sd * draws.normal(seed, field, n)))


def _middles(types: int) -> FloatArray:
    return (np.arange(types) + 0.5) / types


def _equal(types: int) -> list[float]:
    return [1 / types] * types


def check_whole(name: str, value: object, least: int, what: str) -> None:
    good = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least
    if not good:
        raise InvalidOption(f"{name}: must be a whole number ≥ {least} ({what}), got {value!r}")

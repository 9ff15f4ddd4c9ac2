"""Generated problems: named families of instances and populations, the same on every platform.

Every family draws its fields from separate seeded streams (`mechopt.draws`), so that two calls
that differ in one parameter share all other random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import isfinite
from typing import Any

import numpy as np

from mechopt import arrays, draws, words
from mechopt.arrays import FloatArray
from mechopt.cases import calibration
from mechopt.cases.improvement import STEPS, Steps, exponent, steps_to
from mechopt.cases.population_families import (
    POPULATIONS,
    check_whole,
    lognormal_draw,
    population_of,
)
from mechopt.errors import InvalidOption
from mechopt.problem.cost_curves import affordable
from mechopt.problem.instance import Instance


def families(kind: str = "instance") -> dict[str, str]:
    """Name -> one line of what it is, of all families of a kind: "instance" or "population".

    Raises InvalidOption for another kind.
    """
    words.choose("kind", kind, _FAMILIES)
    return {
        name: (function.__doc__ or "").partition("\n")[0]
        for name, function in _FAMILIES[kind].items()
    }


def generate(
    family: str,
    n: int,
    *,
    tightness: float | None = None,
    levels: int = 1,
    steps: str = "uncertain",
    shape: str | float = "linear",
    reversibility: float = 1,
    removable: float = 1,
    exclusion: float = 0,
    provider_value: float | None = None,
    budget: float | None = None,
    seed: int = 0,
    **parameters: Any,
) -> Any:
    """An Instance (or a Population, for the families named so) with n users.

    :tightness: T_K / Σ min(cap_i, v_i / θ_i), the part of what all users together would give for
        their own benefit (in expectation, for a population); above 1 burdens alone cannot reach
        T_K. Default 0.8, and 1 for "knife-edge"
    :levels: K. With several, `steps` says what they are: "uncertain", a lognormal belief about the
        threshold with log-sd 0.5; "learning-curve", the steps of a fine-tuning curve (WMT19 median
        of Lin et al. 2024, arXiv 2402.02314). Both scaled to T_K
    :shape: of the improvement, shares b_k = (k / K)^a: "linear" (a = 1), "diminishing" (1/2),
        "accelerating" (2), or the exponent a > 0. A learning curve keeps its own shape: the
        thresholds are where it reaches these shares. What sequential withdrawal is worth depends
        on it (F11): with "linear", the default, nothing, exactly on the edge
    :provider_value: V, money; default Σ v_i (20 per user in the calibrated families)
    :reversibility, removable, exclusion, budget: ρ, δ, η of all users and β
    :seed: an integer ≥ 0; same arguments, same problem, bit for bit
    :parameters: those of the family, keyword arguments of its function in this module

    Raises InvalidOption for an unknown family or parameter (with the nearest name) or a bad value.
    """
    words.choose("family", family, [*_INSTANCES, *POPULATIONS])
    words.choose("steps", steps, STEPS)
    curve = Steps(levels, steps, exponent(shape))
    check_whole("n", n, 1, "users")
    check_whole("levels", levels, 1, "thresholds")
    check_whole("seed", seed, 0, "any whole number")
    if tightness is None:
        tightness = 1.0 if family == "knife-edge" else 0.8
    if not (isfinite(tightness) and tightness > 0):
        raise InvalidOption(f"tightness: must be > 0 and finite, got {tightness:g}")
    rights = {"reversibility": reversibility, "removable": removable, "exclusion": exclusion}
    family_of = POPULATIONS.get(family) or _INSTANCES[family]
    drawn = words.call(family_of, f"family {family!r}", n, {**parameters, "seed": seed})
    if family in POPULATIONS:
        groups = [group.replace(**rights) for group in drawn]
        return population_of(groups, tightness, curve, provider_value, budget)
    return _instance_of({**drawn, **rights}, tightness, curve, provider_value, budget)


def _instance_of(
    fields: dict[str, Any],
    tightness: float,
    steps: Steps,
    provider_value: float | None,
    budget: float | None,
) -> Instance:
    usual = fields.pop("provider_value", None)
    worth = usual if provider_value is None else provider_value
    draft = Instance(**fields, thresholds=1)
    thresholds, shares = steps_to(_reach(draft, tightness), steps)
    if tightness <= 1 and not draft.is_exact:
        thresholds[-1] = _within(float(thresholds[-1]), float(_reach(draft, 1.0)))
    return draft.replace(
        thresholds=thresholds,
        shares=shares,
        provider_value=arrays.exact_sum(draft.value) if worth is None else worth,
        budget=budget,
    )


# -- families of instances ------------------------------------------------------------------------


def _uniform(
    n: int,
    *,
    cost: tuple[float, float] = (0.5, 1.5),
    value: tuple[float, float] = (0.0, 2.0),
    capacity: tuple[float, float] = (0.5, 1.5),
    seed: int,
) -> dict[str, Any]:
    """Costs, values and capacities uniform on intervals, independent."""
    ranges = {"cost": cost, "value": value, "capacity": capacity}
    return {
        field: draws.rounded(low + (high - low) * draws.uniform(seed, field, n))
        for field, (low, high) in ranges.items()
    }


def _lognormal(
    n: int,
    *,
    cost_log_sd: float = 0.5,
    value_log_sd: float = 1.0,
    capacity_log_sd: float = 0.5,
    seed: int,
) -> dict[str, Any]:
    """Costs, values and capacities lognormal with median 1, independent."""
    spreads = {"cost": cost_log_sd, "value": value_log_sd, "capacity": capacity_log_sd}
    return {field: lognormal_draw(seed, field, n, sd) for field, sd in spreads.items()}


def _pareto(n: int, *, tail: float = 2.5, lowest: float = 0.5, seed: int) -> dict[str, Any]:
    """Costs Pareto, P(θ > c) = (lowest / c)^tail; values and capacities lognormal."""
    return {**_lognormal(n, seed=seed), "cost": _pareto_draw(seed, "cost", n, tail, lowest)}


def _two_type(
    n: int, *, low: float = 0.25, high: float = 4.0, share_low: float = 0.87, seed: int
) -> dict[str, Any]:
    """Costs low or high, as privacy costs seem to be (87 % sell at the lowest price, Paliński)."""
    cheap = draws.uniform(seed, "cost", n) < share_low
    return {**_lognormal(n, seed=seed), "cost": np.where(cheap, low, high)}


def _heavy_tailed(n: int, *, tail: float = 1.1, seed: int) -> dict[str, Any]:
    """Capacities Pareto from 1 with tail index near 1: a few users hold most of the data."""
    return {**_lognormal(n, seed=seed), "capacity": _pareto_draw(seed, "capacity", n, tail, 1.0)}


def _copula(
    n: int,
    *,
    cost_value: float = -0.2,
    cost_capacity: float = -0.22,
    value_capacity: float = 0.47,
    log_sd: tuple[float, float, float] = (0.5, 1.0, 0.5),
    seed: int,
) -> dict[str, Any]:
    """Cost, value and capacity lognormal, tied by a Gaussian copula with these correlations."""
    capacity, fresh_cost, fresh_value = (
        draws.normal(seed, field, n) for field in ("capacity", "cost", "value")
    )
    apart = cost_value - cost_capacity * value_capacity
    own = (1 - cost_capacity**2, 1 - value_capacity**2)
    if min(own) < 0 or apart**2 > own[0] * own[1]:
        raise InvalidOption(
            f"cost_value, cost_capacity, value_capacity: {cost_value:g}, {cost_capacity:g} and "
            f"{value_capacity:g} cannot be the correlations of three variables"
        )
    # Cholesky factor of the correlations of (capacity, cost, value), written out
    on_cost = apart / np.sqrt(own[0]) if own[0] else 0.0
    cost = cost_capacity * capacity + np.sqrt(own[0]) * fresh_cost
    value = (
        value_capacity * capacity
        + on_cost * fresh_cost
        + np.sqrt(own[1] - on_cost**2) * fresh_value
    )
    scores = {"cost": cost, "value": value, "capacity": capacity}
    return {
        field: draws.rounded(draws.exp(sd * score))
        for (field, score), sd in zip(scores.items(), log_sd)
    }


def _clustered(
    n: int,
    *,
    weights: tuple[float, ...] = (0.2, 0.6, 0.2),
    cost: tuple[float, ...] = (4.0, 1.0, 0.3),
    value: tuple[float, ...] = (0.5, 1.0, 3.0),
    capacity: tuple[float, ...] = (0.5, 1.0, 5.0),
    log_sd: float = 0.1,
    seed: int,
) -> dict[str, Any]:
    """Segments of similar users (wary, typical, keen), lognormal around each segment's centre."""
    centres = {"cost": cost, "value": value, "capacity": capacity}
    if any(len(centre) != len(weights) for centre in centres.values()):
        raise InvalidOption("weights, cost, value, capacity: give as many of each")
    edges = np.array([arrays.exact_sum(np.array(weights[: k + 1])) for k in range(len(weights))])
    segment = np.searchsorted(edges, draws.uniform(seed, "segment", n) * edges[-1], side="right")
    return {
        field: draws.rounded(np.array(centre)[segment] * lognormal_draw(seed, field, n, log_sd))
        for field, centre in centres.items()
    }


def _convex(n: int, *, slopes: tuple[float, ...] = (1.0, 2.0, 4.0), seed: int) -> dict[str, Any]:
    """Lognormal users whose costs are convex: capacity in equal segments of rising slope."""
    fields = _lognormal(n, seed=seed)
    widths = np.repeat(fields.pop("capacity")[:, None] / len(slopes), len(slopes), axis=1)
    return {**fields, "segments": (widths, np.broadcast_to(np.array(slopes), widths.shape))}


def _homogeneous(
    n: int, *, cost: float = 1.0, value: float = 1.0, capacity: float = 2.0, seed: int
) -> dict[str, Any]:
    """Users all alike."""
    alike = {"cost": cost, "value": value, "capacity": capacity}
    return {field: np.full(n, number) for field, number in alike.items()}


def _knife_edge(n: int, *, seed: int) -> dict[str, Any]:
    """Exact integers on every edge: with tightness 1 all give all they would, with none to spare.

    Costs 1, 2 or 4; v_i / θ_i is 1 or 2, so that users at that burden are indifferent and burdens
    are equal; half of the capacities bind as well. Thresholds are exact multiples of the total.
    """
    cost = [1 << int(3 * u) for u in draws.uniform(seed, "cost", n)]
    gives = [1 + int(2 * u) for u in draws.uniform(seed, "value", n)]
    spare = [int(2 * u) for u in draws.uniform(seed, "capacity", n)]
    return {
        "cost": cost,
        "value": [theta * x for theta, x in zip(cost, gives)],
        "capacity": [x + more for x, more in zip(gives, spare)],
        "provider_value": sum(theta * x for theta, x in zip(cost, gives)),
    }


# Quantiles of what contributors gave; linear between them, rounded to whole units.
_PRISM = (
    (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.995, 1),
    (4, 9, 27, 35, 39, 42, 45, 48, 51, 54, 59, 66, 73, 85, 91, 144),
)
_COMMON_VOICE = (
    (0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 1),
    (1, 1, 2, 2, 4, 7, 10, 19, 29, 45, 62, 107, 157, 324, 878),
)


def _prism(n: int, *, never_sell: float = calibration.NEVER_SELL, seed: int) -> dict[str, Any]:
    """Capacities like PRISM's raters (Kirk et al. 2024): nearly alike; costs, values calibrated.

    Quantiles of 1,396 people's rated responses (CC-BY-4.0). Costs, values and the share who never
    sell follow `mechopt.cases.calibration`, which lists their sources.
    """
    return _calibrated(n, _PRISM, never_sell, seed)


def _common_voice(
    n: int, *, never_sell: float = calibration.NEVER_SELL, seed: int
) -> dict[str, Any]:
    """Capacities like Common Voice's contributors: tail index near 1; costs, values calibrated.

    Quantiles of 575 people's validated English clips (delta 13, CC0). Otherwise as "prism".
    """
    return _calibrated(n, _COMMON_VOICE, never_sell, seed)


def _withdrawal_shock(
    n: int, *, women: float = 0.5, forties: float = 0.13, seed: int
) -> dict[str, Any]:
    """As "prism", with groups that leave at different rates; hazards: `cases.dropouts`.

    Labels "women", "men", each also "… 40-49", whose rates are those of NHS England's data opt-outs
    before and after June 2021. women, forties : shares of people.
    """
    sex = np.where(draws.uniform(seed, "sex", n) < women, "women", "men")
    older = draws.uniform(seed, "age", n) < forties
    group = np.where(older, np.char.add(sex, " 40-49"), sex)
    return {**_prism(n, seed=seed), "group": group.tolist()}


def _calibrated(
    n: int, quantiles: tuple[tuple[float, ...], tuple[float, ...]], never_sell: float, seed: int
) -> dict[str, Any]:
    at, units = (np.array(column, dtype=float) for column in quantiles)
    capacity = np.rint(draws.interpolate(draws.uniform(seed, "capacity", n), at, units))
    cost, value = calibration.draw_cost_and_value(capacity, seed=seed)
    capacity[calibration.never_selling(n, never_sell, seed)] = 0
    return {
        "cost": cost,
        "value": value,
        "capacity": capacity,
        "provider_value": calibration.PROVIDER_VALUE_PER_USER * n,
    }


_INSTANCES: dict[str, Callable[..., dict[str, Any]]] = {
    "uniform": _uniform,
    "lognormal": _lognormal,
    "pareto": _pareto,
    "two-type": _two_type,
    "heavy-tailed": _heavy_tailed,
    "copula": _copula,
    "clustered": _clustered,
    "convex": _convex,
    "homogeneous": _homogeneous,
    "knife-edge": _knife_edge,
    "prism": _prism,
    "common-voice": _common_voice,
    "withdrawal-shock": _withdrawal_shock,
}
_FAMILIES: dict[str, Mapping[str, Callable[..., Any]]]
_FAMILIES = {"instance": _INSTANCES, "population": POPULATIONS}


# -- thresholds -----------------------------------------------------------------------------------


def _reach(draft: Instance, tightness: float) -> float | Fraction:
    """tightness · Σ min(cap_i, C_i⁻¹(v_i)), exact if the instance is."""
    if draft.is_exact:
        fields = (draft.exact(name) for name in ("cost", "widths", "slopes", "value"))
        return Fraction(repr(float(tightness))) * affordable(*fields).sum()
    total = tightness * arrays.exact_sum(draft.affordable(draft.value))
    if not total > 0:
        raise InvalidOption("nobody would give anything (all values or capacities are 0)")
    return total


_SPARE = 1e-11  # relative


def _within(threshold: float, reach: float) -> float:
    """The threshold, or where rounding put it at the edge of `reach` or beyond, just below.

    By `_SPARE` at least: more than what float data leave undecided.
    """
    edge = reach * (1 - _SPARE)
    return threshold if threshold <= edge else float(f"{edge * (1 - _SPARE):.12g}")


def _pareto_draw(seed: int, field: str, n: int, tail: float, lowest: float) -> FloatArray:
    return draws.rounded(lowest * draws.exp(-draws.log(draws.uniform(seed, field, n)) / tail))

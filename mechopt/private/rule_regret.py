"""Regret of a rule that takes reports at face value: over the types, and over every report > 0.

A user who reports r is given x(r), which falls in r while the level reached stays the same: a
dearer report is asked later, and for less. So what the user expects rises in r except where one of
the others' profiles no longer reaches its level without more from her, r g(T_k − O) = her stake,
or where, under "least-cost", her place among the costs changes. The best reports are among these
finitely many, just below them, or beyond all bounds; they are tried, all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from time import perf_counter

import numpy as np

from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import InvalidOption, NotSupported, TooLarge
from mechopt.private.regret import Regret
from mechopt.private.rules import apply_rule, kept, stakes, sustainable
from mechopt.problem.population import Population
from mechopt.problem.states import STATE_LIMIT, state_count

BEYOND = 2.0**60  # times the largest critical report: as good as not asked for anything
# Reports times profiles that are tried one by one; beyond, the critical reports are thinned.
MOST_TRIED = 2_000_000


def rule_regret(
    population: Population,
    rule: str,
    *,
    reports: str = "types",
    samples: int | None = None,
    seed: int = 0,
    seconds: float = inf,
) -> Regret:
    """Regret of a rule: exact through counts (`samples=None`), or Monte Carlo over the others.

    :reports: "types", or "all" for every report > 0 (the supremum). With more than MOST_TRIED
        pairs of reports and profiles the critical reports are thinned, around the best one less;
        the regret is then a lower bound and `exact` False; so it is where `seconds` are over

    With samples the standard error of the largest expected gain is stated; the maximum over
    pairs of types biases it upwards by less than a few of them.
    """
    if samples is None and state_count(population) > STATE_LIMIT:
        raise TooLarge("regret: too many states to enumerate; give samples= for Monte Carlo")
    if samples is not None and (isinstance(samples, bool) or samples < 2):
        raise InvalidOption(f"samples: must be a whole number ≥ 2, got {samples!r}")
    if reports not in ("types", "all"):
        raise InvalidOption(f"reports: must be 'types' or 'all', got {reports!r}")
    best, worst, exact = Regret(0.0, 0.0, 0, 0, samples=samples or 0), 0.0, True
    random, deadline = np.random.default_rng(seed), perf_counter() + seconds
    for g, group in enumerate(population.groups):
        others, weight = others_of(population, g, samples, random)
        first = population.first_type[g]
        honest = np.column_stack(
            [
                outcomes(population, rule, g, cost, others)[:, k]
                for k, cost in enumerate(group.costs)
            ]
        )
        for told in _tried(population, rule, g, (others, weight), reports, deadline):
            exact &= told >= 0
            if perf_counter() > deadline:
                exact = False
                break
            gain = outcomes(population, rule, g, abs(told), others) - honest
            gain[:, group.costs == abs(told)] = 0.0
            worst = max(worst, float(gain.max()))
            expected = (weight * gain).sum(axis=0)
            true = int(np.argmax(expected))
            if expected[true] > best.interim:
                error = 0.0 if samples is None else float(gain[:, true].std(ddof=1) / samples**0.5)
                near = int(np.argmin(np.abs(group.costs - abs(told))))
                best = Regret(
                    float(expected[true]), 0.0, first + true, first + near, error, samples or 0,
                    abs(told),
                )  # fmt: skip
    return replace(best, ex_post=worst, exact=exact)


def _tried(
    population: Population,
    rule: str,
    g: int,
    profiles: tuple[IntArray, FloatArray],
    reports: str,
    deadline: float,
) -> Iterator[float]:
    """Reports of a user of group g to be tried; negative where the list was thinned."""
    others, weight = profiles
    if reports == "types":
        yield from population.groups[g].costs.tolist()
        return
    critical = critical_reports(population, rule, g, others)
    if critical.size * others.shape[0] <= MOST_TRIED:
        yield from critical.tolist()
        return
    few = max(8, MOST_TRIED // others.shape[0] // 2)
    places = np.unique(np.linspace(0, critical.size - 1, few).astype(np.int64))
    group = population.groups[g]

    def most(place: int) -> float:
        if perf_counter() > deadline:
            return -inf
        found = outcomes(population, rule, g, float(critical[place]), others)
        return float((weight * found).sum(axis=0).max())

    best = int(places[np.argmax([most(place) for place in places])])
    around = np.arange(max(0, best - few // 2), min(critical.size, best + few // 2))
    for place in np.union1d(places, around):
        yield -float(critical[place])
    yield from (-group.costs).tolist()


def critical_reports(population: Population, rule: str, g: int, others: IntArray) -> FloatArray:
    """The reports among which a best one is (see the module), ascending, money per data unit."""
    group = population.groups[g]
    found = [population.groups[g].costs]
    for level, threshold in enumerate(population.thresholds):
        stake = stakes(group, population.shares, level)
        supplied = others @ sustainable(population, level)
        need = np.unique(threshold - supplied)
        need = need[(need > 0) & (need <= group.capacity)]
        if stake > 0 and need.size:
            found.append(stake / group.shape(need))
        if stake > 0:  # where the report starts to bind the burden, segment by segment
            found.append(stake / group.shape(np.cumsum(group.widths)))
    if rule == "least-cost":
        rates = np.concatenate(
            [
                population.groups[h].costs[:, None] * population.groups[h].slopes
                for h in range(len(population.groups))
            ],
            axis=None,
        )
        found.append((rates[:, None] / group.slopes).ravel())
    sure = np.unique(np.concatenate(found))
    return np.unique(np.concatenate([sure, np.nextafter(sure, 0), [BEYOND * float(sure[-1])]]))


def outcomes(
    population: Population, rule: str, g: int, report: float, others: IntArray
) -> FloatArray:
    """Payoff of a user of group g who reports `report`, by profile of the others and true type.

    Money, shape (R, m_g): the better of staying and, if something is asked of her, withdrawing.
    """
    told, column, counts = with_report(population, g, report, others)
    run, burden = apply_rule(told, rule, counts)
    group, given = population.groups[g], burden[:, :, column]
    shaped = group.shape(given)
    left = np.array([kept(group, population.shares, k) for k in range(population.levels)])
    payoff = np.empty((others.shape[0], group.types))
    for true, theta in enumerate(group.costs):
        cost = theta * shaped
        stay = group.value * population.shares * run - cost
        leave = left * run - (1 - group.reversibility) * cost
        payoff[:, true] = np.where(given > 0, np.maximum(stay, leave), stay).sum(axis=1)
    return payoff


def with_report(
    population: Population, g: int, report: float, others: IntArray
) -> tuple[Population, int, IntArray]:
    """(population in which the report is a type of group g, its column, counts with the user)."""
    group, first = population.groups[g], population.first_type[g]
    place = int(np.searchsorted(group.costs, report))
    if place < group.types and group.costs[place] == report:
        counts = others.copy()
        counts[:, first + place] += 1
        return population, first + place, counts
    costs = np.insert(group.costs, place, report)
    wider = group.replace(costs=costs, probabilities=np.full(costs.size, 1 / costs.size))
    groups = [wider if h == g else other for h, other in enumerate(population.groups)]
    return (
        population.replace(groups=groups),
        first + place,
        np.insert(others, first + place, 1, axis=1),
    )


def others_of(
    population: Population,
    g: int,
    samples: int | None = None,
    random: np.random.Generator | None = None,
) -> tuple[IntArray, FloatArray]:
    """Counts of everybody but one user of group g, (R, M), and weights by her type (R, m_g)."""
    if samples is None or random is None:
        others = population.states.others[g]
        counts = population.states.counts[others.state[:, 0]].copy()
        counts[:, population.first_type[g]] -= 1
        types = range(population.groups[g].types)
        return counts, np.column_stack([others.given(k) for k in types])
    if population.law is not None:
        raise NotSupported("regret: with a law of its own only exactly, without samples=")
    drawn = [
        random.multinomial(
            group.size - (h == g), group.probabilities / group.probabilities.sum(), size=samples
        )
        for h, group in enumerate(population.groups)
    ]
    return np.concatenate(drawn, axis=1), np.full(
        (samples, population.groups[g].types), 1 / samples
    )

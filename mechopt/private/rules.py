"""Allocation rules that take reported costs at face value, and their regret.

"least-cost" fills the cheapest reported costs first, "proportional" shares the burden in
proportion to value/cost; both ask nobody for more than the report can sustain without payment
(participation, and obedience with the loss b_k − b_{k−1}), aim at the highest level so reachable,
and do nothing where none is. Neither is incentive compatible: `rule_regret` says by how much, and
`misreports` what users then report.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.arrays import FloatArray, IntArray
from mechopt.private.direct.expectations import expectations
from mechopt.problem import cost_curves as curves
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.group import Group
from mechopt.problem.population import Population
from mechopt.status import Status
from mechopt.words import choose


def stakes(group: Group, shares: FloatArray, level: int) -> float:
    """The most unpaid cost at which a user of the group takes part and stays, money."""
    gain = group.value * float(shares[level])
    if group.reversibility == 0:
        return gain
    return min(gain, (gain - kept(group, shares, level)) / group.reversibility)


def kept(group: Group, shares: FloatArray, level: int) -> float:
    """What who leaves level `level` still enjoys at most (the safe reading), money."""
    if group.removable == 0:
        return group.value * float(shares[level]) * (1 - group.exclusion)
    below = float(shares[level - 1]) if level else 0.0
    return group.value * below * (1 - group.exclusion)


def sustainable(population: Population, level: int) -> FloatArray:
    """The most a user of each type gives unpaid at level `level` (0-based), data, shape (M,)."""
    amounts = []
    for group in population.groups:
        rows = (group.types, group.widths.size)
        amounts.append(
            curves.affordable(
                group.costs,
                np.broadcast_to(group.widths, rows),
                np.broadcast_to(group.slopes, rows),
                np.full(group.types, stakes(group, population.shares, level)),
            )
        )
    return np.concatenate(amounts)


def least_cost(
    population: Population, counts: IntArray, level: int, most: FloatArray
) -> FloatArray:
    """Cheapest marginal cost first, ties shared in proportion to what is left, (S, M) data."""
    column, rate, length = _pieces(population, most)
    left = np.full(counts.shape[0], population.thresholds[level])
    burden = np.zeros(counts.shape)
    for price in np.unique(rate):
        now = np.flatnonzero(rate == price)
        offered = counts[:, column[now]] @ length[now]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(offered > 0, np.minimum(left, offered) / offered, 0.0)
        for piece in now:
            burden[:, column[piece]] += share * length[piece]
        left = left - np.minimum(left, offered)
    return burden


def _pieces(population: Population, most: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    column, rate, length = [], [], []
    for j, theta in enumerate(population.type_costs):
        group = population.groups[population.group_of_type[j]]
        start = 0.0
        for width, slope in zip(group.widths, group.slopes):
            part = min(float(width), float(most[j]) - start)
            if part > 0:
                column.append(j)
                rate.append(float(theta * slope))
                length.append(part)
            start += float(width)
    return np.array(column, dtype=np.int64), np.array(rate), np.array(length)


def proportional(
    population: Population, counts: IntArray, level: int, most: FloatArray
) -> FloatArray:
    """x_j = min(most_j, λ v_j/θ_j) with λ such that Σ x = T, (S, M) data.

    Who gives gladly (θ = 0) comes first, in proportion to what he can give.
    """
    glad = population.type_costs == 0
    weight = population.of_type("value") / np.where(glad, np.inf, population.type_costs)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(weight > 0, most / weight, np.inf)
    threshold = float(population.thresholds[level])
    gladly = counts[:, glad] @ most[glad]
    first = np.minimum(1.0, threshold / np.maximum(gladly, threshold * tolerances.TINY))
    left = threshold - np.minimum(gladly, threshold)
    scale = np.full(counts.shape[0], np.nan)
    full, open_ = np.zeros(counts.shape[0]), counts @ weight
    for j in np.argsort(ratio, kind="stable"):
        with np.errstate(divide="ignore", invalid="ignore"):
            candidate = (left - full) / open_
        found = np.isnan(scale) & (candidate <= ratio[j] * (1 + tolerances.REACH))
        scale[found] = candidate[found]
        full = full + counts[:, j] * most[j] * (not glad[j])
        open_ = open_ - counts[:, j] * weight[j]
    burden = np.minimum(most, np.nan_to_num(scale)[:, None] * weight)
    burden[:, glad] = first[:, None] * most[glad]
    return burden


RULES: dict[str, Callable[[Population, IntArray, int, FloatArray], FloatArray]] = {
    "least-cost": least_cost,
    "proportional": proportional,
}


def apply_rule(
    population: Population, rule: str, counts: IntArray
) -> tuple[FloatArray, FloatArray]:
    """(run (S, K) of 0/1, burden (S, K, M)) at the reported counts (S, M)."""
    choose("rule", rule, RULES)
    run = np.zeros((counts.shape[0], population.levels))
    burden = np.zeros((counts.shape[0], population.levels, counts.shape[1]))
    todo = np.ones(counts.shape[0], dtype=bool)
    for level in range(population.levels - 1, -1, -1):
        most = sustainable(population, level)
        threshold = population.thresholds[level]
        can = todo & (counts @ most >= threshold * (1 - tolerances.REACH))
        given = RULES[rule](population, counts[can], level, most)
        burden[can, level] = np.where(counts[can] > 0, given, 0.0)
        run[can, level] = 1.0
        todo &= ~can
    return run, burden


def solve(population: Population, *, rule: str = "proportional", seed: int = 0) -> DirectMechanism:
    """The rule as a mechanism, if users report truthfully; `metrics["regret"]` says if they will.

    "regret" is over every report > 0, "regret_types" over the types alone; both count a
    misreporter's right to withdraw. Where not every report was tried, for their number or the time
    limit, "regret_exact" is False and the regret at least "regret". TooLarge beyond STATE_LIMIT
    states.
    """
    run, burden = apply_rule(population, rule, population.states.counts)
    terms = DirectTerms(objective="improvement", incentive="none", transfers=False)
    mechanism = DirectMechanism(
        population,
        terms,
        Status.FEASIBLE,
        run=run,
        burden=burden,
        payment=np.zeros(burden.shape),
        mechanism=f"rule {rule}",
        solver="rule",
        seed=seed,
    )
    return mechanism.replace(objective=expectations(mechanism)["improvement"])

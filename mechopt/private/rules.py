"""Allocation rules that take reported costs at face value, and their regret.

"least-cost" fills the cheapest reported costs first, "proportional" shares the burden in
proportion to value/cost; both ask nobody for more than the report can sustain without payment
(participation, and obedience with the loss b_k − b_{k−1}), aim at the highest level so reachable,
and do nothing where none is. Neither is incentive compatible: `rule_regret` says by how much.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import InvalidOption, TooLarge
from mechopt.private.regret import Regret
from mechopt.problem import cost_curves as curves
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population
from mechopt.problem.states import STATE_LIMIT, state_count
from mechopt.status import Status
from mechopt.words import choose


def sustainable(population: Population, level: int) -> FloatArray:
    """The most a user of each type gives unpaid at level `level` (0-based), data, shape (M,)."""
    shares = np.concatenate([[0.0], population.shares])
    amounts = []
    for group in population.groups:
        gain = group.value * shares[level + 1]
        loss = gain - group.value * shares[level] if group.removable > 0 else 0.0
        sunk = group.reversibility
        money = min(gain, loss / sunk) if sunk > 0 else gain
        m = group.types
        rows = (m, group.widths.size)
        amounts.append(
            curves.affordable(
                group.costs,
                np.broadcast_to(group.widths, rows),
                np.broadcast_to(group.slopes, rows),
                np.full(m, money),
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
    """x_j = min(most_j, λ v_j/θ_j) with λ such that Σ x = T, (S, M) data."""
    value = np.array([group.value for group in population.groups])[population.group_of_type]
    weight = value / population.type_costs
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(weight > 0, most / weight, np.inf)
    threshold = float(population.thresholds[level])
    scale = np.full(counts.shape[0], np.nan)
    full, open_ = np.zeros(counts.shape[0]), counts @ weight
    for j in np.argsort(ratio, kind="stable"):
        with np.errstate(divide="ignore", invalid="ignore"):
            candidate = (threshold - full) / open_
        found = np.isnan(scale) & (candidate <= ratio[j] * (1 + tolerances.REACH))
        scale[found] = candidate[found]
        full = full + counts[:, j] * most[j]
        open_ = open_ - counts[:, j] * weight[j]
    return np.minimum(most, np.nan_to_num(scale)[:, None] * weight)


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

    Regret counts a misreporter's right to withdraw. TooLarge beyond STATE_LIMIT states.
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
    return mechanism.replace(objective=mechanism.metrics["improvement"])


def rule_regret(
    population: Population, rule: str, *, samples: int | None = None, seed: int = 0
) -> Regret:
    """Regret of a rule: exact through counts (`samples=None`), or Monte Carlo over the others.

    With samples the standard error of the largest expected gain is stated; the maximum over
    pairs of types biases it upwards by less than a few of them.
    """
    if samples is None and state_count(population) > STATE_LIMIT:
        raise TooLarge("regret: too many states to enumerate; give samples= for Monte Carlo")
    if samples is not None and (isinstance(samples, bool) or samples < 2):
        raise InvalidOption(f"samples: must be a whole number ≥ 2, got {samples!r}")
    best, worst = Regret(0.0, 0.0, 0, 0, samples=samples or 0), 0.0
    random = np.random.default_rng(seed)
    for g, group in enumerate(population.groups):
        others, weight = _others(population, g, samples, random)
        gain = _gains(population, rule, g, others)
        first = population.first_type[g]
        for true in range(group.types):
            for told in range(group.types):
                one = gain[:, true, told]
                expected = float(weight @ one)
                worst = max(worst, float(one.max()))
                if expected > best.interim:
                    error = 0.0 if samples is None else float(one.std(ddof=1) / samples**0.5)
                    best = Regret(expected, 0.0, first + true, first + told, error, samples or 0)
    return Regret(best.interim, worst, best.true, best.told, best.standard_error, best.samples)


def _others(
    population: Population, g: int, samples: int | None, random: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Counts of everybody but one user of group g, (R, M), and their weights (R,)."""
    if samples is None:
        others = population.states.others[g]
        counts = population.states.counts[others.state[:, 0]].copy()
        counts[:, population.first_type[g]] -= 1
        return counts, others.probability
    drawn = [
        random.multinomial(
            group.size - (h == g), group.probabilities / group.probabilities.sum(), size=samples
        )
        for h, group in enumerate(population.groups)
    ]
    return np.concatenate(drawn, axis=1), np.full(samples, 1 / samples)


def _gains(population: Population, rule: str, g: int, others: IntArray) -> FloatArray:
    """Gain of type `true` from telling `told` and then staying or leaving, (R, m, m) money."""
    group, first = population.groups[g], population.first_type[g]
    m, rows = group.types, others.shape[0]
    below = np.concatenate([[0.0], population.shares[:-1]])
    kept = below if group.removable > 0 else population.shares
    utility = np.zeros((rows, m, m))  # (R, true, told)
    for told in range(m):
        counts = others.copy()
        counts[:, first + told] += 1
        run, burden = apply_rule(population, rule, counts)
        given = burden[:, :, first + told]
        for true in range(m):
            cost = group.costs[true] * group.shape(given)
            stay = group.value * population.shares * run - cost
            leave = group.value * kept * run - (1 - group.reversibility) * cost
            if true != told:
                stay = np.where(given > 0, np.maximum(stay, leave), stay)
            utility[:, true, told] = stay.sum(axis=1)
    honest = np.einsum("rtt->rt", utility)
    return utility - honest[:, :, None]

"""Regret over every report, and what users report to a rule: held against the definition."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest

import mechopt as mo
from mechopt.private.misreports import equilibria, equilibrium
from mechopt.private.rule_regret import rule_regret

RULES = ("least-cost", "proportional")


def burdens(rule, value, cap, threshold, reports):
    """One threshold, ρ = 1: the rule by its words, one user after another; None if it fails."""
    most = [min(cap, value / report) if report else cap for report in reports]
    if sum(most) < threshold - 1e-12:
        return None
    if rule == "proportional":
        gladly = sum(m for m, r in zip(most, reports) if r == 0)
        if gladly >= threshold:
            return [m * threshold / gladly if r == 0 else 0.0 for m, r in zip(most, reports)]
        reports = [r or 1e-300 for r in reports]
        low, high = 0.0, 1e12
        for _ in range(60):
            scale = (low + high) / 2
            enough = sum(min(m, scale * value / r) for m, r in zip(most, reports)) >= threshold
            low, high = (low, scale) if enough else (scale, high)
        return [min(m, high * value / r) for m, r in zip(most, reports)]
    given, left = [0.0] * len(reports), threshold
    for price in sorted(set(reports)):
        mine = [i for i, report in enumerate(reports) if report == price]
        offered = sum(most[i] for i in mine)
        for i in mine:
            given[i] = most[i] * min(left, offered) / offered
        left -= min(left, offered)
    return given


def payoff(rule, value, cap, threshold, true, told, others):
    given = burdens(rule, value, cap, threshold, [told, *others])
    return 0.0 if given is None else max(0.0, value - true * given[0])


def gain(rule, n, costs, law, value, cap, threshold, true, told):
    total = 0.0
    for kinds in product(range(len(costs)), repeat=n - 1):
        others = [costs[k] for k in kinds]
        weight = prod(law[k] for k in kinds)
        stake = (rule, value, cap, threshold, true)
        total += weight * (payoff(*stake, told, others) - payoff(*stake, true, others))
    return total


def test_the_numbers_of_the_issue():
    population = mo.Population([mo.Group(3, [1, 2], [0.5, 0.5], 3, 4)], [4.0])
    metrics = mo.solve(population, "rule", rule="least-cost").metrics
    assert metrics["regret_types"] == pytest.approx(1.5)
    assert metrics["regret"] == pytest.approx(11 / 6)
    with_299 = gain("least-cost", 3, [1, 2], [0.5, 0.5], 3, 4, 4, 1, 2.99)
    assert with_299 == pytest.approx(11 / 6)
    metrics = mo.solve(population, "rule", rule="proportional").metrics
    assert metrics["regret_types"] == pytest.approx(0.6)
    with_29 = gain("proportional", 3, [1, 2], [0.5, 0.5], 3, 4, 4, 1, 2.9)
    assert with_29 == pytest.approx(0.856, abs=0.001)
    assert metrics["regret"] >= with_29


@pytest.mark.parametrize("rule", RULES)
def test_regret_is_the_supremum_over_reports(rule):
    random = np.random.default_rng(4)
    for _ in range(4):
        n = int(random.integers(2, 4))
        costs = np.sort(random.choice(np.arange(9), 2, replace=False)) / 4
        law = [0.3, 0.7]
        value, cap = float(random.integers(1, 5)) / 2, 2.0
        threshold = float(random.integers(2, 2 * n + 1)) / 2
        population = mo.Population([mo.Group(n, costs, law, value, cap)], [threshold])
        found = rule_regret(population, rule, reports="all")
        stake = (rule, n, costs, law, value, cap, threshold)
        grid = np.concatenate([np.geomspace(0.05, 50, 60), costs, costs[costs > 0] - 1e-9, [1e7]])
        best = max(gain(*stake, true, told) for true in costs for told in grid)
        assert found.exact
        assert found.interim >= best - 1e-6  # nothing on the grid is better
        assert found.interim == pytest.approx(  # and it is attained
            max([0.0, *(gain(*stake, true, found.report or 1.0) for true in costs)]), abs=1e-6
        )


def test_an_equilibrium_is_one_by_the_definition_and_all_are_found():
    random = np.random.default_rng(9)
    circles = 0
    for trial in range(8):
        rule = RULES[trial % 2]
        costs = np.sort(random.choice(np.arange(9), 2, replace=False)) / 4
        value, law, cap = float(random.integers(2, 6)) / 2, [0.4, 0.6], 2.0
        threshold = float(random.integers(2, 5)) / 2
        reports = np.unique([*costs, 0.3, 1.1, 2.9])
        population = mo.Population([mo.Group(2, costs, law, value, cap)], [threshold])
        stable = set()
        for one, two in product(reports, repeat=2):
            told = (one, two)

            def expects(true, report, told=told, stake=(rule, value, cap, threshold)):
                return sum(
                    chance * payoff(*stake, true, report, [other])
                    for chance, other in zip((0.4, 0.6), told)
                )

            if all(
                expects(cost, mine) >= expects(cost, other) - 1e-9
                for cost, mine in zip(costs, told)
                for other in reports
            ):
                stable.add(told)
        every = {tuple(one.reports) for one in equilibria(population, rule, reports=[reports])}
        assert every == stable
        found = equilibrium(population, rule, reports=[reports])
        circles += not found.found
        assert not found.found or tuple(found.reports) in stable
    assert circles < 8


def test_best_responses_in_a_circle_do_not_hide_an_equilibrium():
    population = mo.Population([mo.Group(3, [1, 2], [0.5, 0.5], value=3, capacity=4)], [4.0])
    reports = [[1, 1.5, 2, 2.99]]
    every = equilibria(population, "least-cost", reports=reports)
    one = equilibrium(population, "least-cost", reports=reports)
    assert one.found
    assert one.gain <= 1e-9
    assert one.reports.tolist() in [other.reports.tolist() for other in every]

"""Robust mechanisms: brute-force max–min, monotone in the radius, radius 0 the nominal optimum."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import mechopt as mo
from mechopt.private.worst_law import Ball, distance_of, probability
from mechopt.problem.direct_terms import payment_bounds
from tests.oracles import oracle_robust
from tests.problems import random_population, without_rights

DISTANCES = ("total-variation", "wasserstein")
OBJECTIVES = ("provider-surplus", "welfare", "improvement", "social-cost", "expenditure")


def individuals(random):
    """Two or three users, each with a law of her own: the worst laws are vertices of the balls."""
    population = random_population(random, users=3, types=3, segments=False)
    return without_rights(population, "exclusion").individual()


@pytest.mark.parametrize("part", range(4))
def test_optimum_is_the_brute_force_maximin_over_vertices(part):
    random = np.random.default_rng(part)
    for trial in range(12):
        population = individuals(random)
        objective, transfers = OBJECTIVES[trial % 5], bool(random.integers(2))
        distance, radius = DISTANCES[trial % 2], float(random.uniform(0.02, 0.6))
        vertices = [
            oracle_robust.ball_vertices(group.costs, group.probabilities, distance, radius)
            for group in population.groups
        ]
        target = 0.3 if objective in ("social-cost", "expenditure") else None
        truth = oracle_robust.maximin(
            population,
            list(product(*vertices)),
            objective,
            transfers,
            target,
            payment_bounds(population, 0),
        )
        answer = mo.solve(
            population,
            "direct",
            objective=objective,
            transfers=transfers,
            target=target,
            robust=distance,
            radius=radius,
        )
        if truth is None:
            assert str(answer.status) == "infeasible"
            continue
        assert str(answer.status) == "optimal", answer.reason
        assert answer.objective == pytest.approx(truth, abs=2e-6)
        assert mo.audit(population, answer).ok


def test_optimum_with_alike_users_is_the_maximin_over_a_fine_grid_of_laws():
    random = np.random.default_rng(5)
    for trial in range(10):
        n = int(random.integers(2, 4))
        group = mo.Group(
            n,
            np.sort(random.choice(np.arange(1, 13), 2, replace=False)) / 4,
            [0.4, 0.6],
            value=float(random.integers(0, 4)) / 2,
            capacity=2.0,
        )
        population = mo.Population([group], [float(random.integers(1, 5))], provider_value=4.0)
        objective = OBJECTIVES[trial % 3]
        radius = float(random.uniform(0.05, 0.35))
        grid = [np.array([one, 1 - one]) for one in np.linspace(0.4 - radius, 0.4 + radius, 161)]
        truth = oracle_robust.maximin(population, [(law,) for law in grid], objective, True)
        answer = mo.solve(
            population, "direct", objective=objective, robust="total-variation", radius=radius
        )
        assert answer.objective <= truth + 1e-7  # the grid is part of the ball
        assert answer.objective >= truth - 2e-3  # and fine


def test_the_worst_law_is_below_every_law_tried_and_in_the_ball():
    random = np.random.default_rng(7)
    for trial in range(20):
        population = random_population(random, users=5, types=4)
        distance, radius = DISTANCES[trial % 2], float(random.uniform(0.01, 0.5))
        ball = Ball(population, distance, (radius,) * len(population.groups))
        values = random.normal(size=len(population.states))
        worst = ball.worst(values)
        assert ball.contains(worst.laws)
        assert probability(population, worst.laws) @ values == pytest.approx(worst.value, abs=1e-9)
        assert worst.value - worst.low <= 1e-8
        for _ in range(60):
            laws = []
            for group in population.groups:
                other = random.dirichlet(np.ones(group.types) * random.choice([0.1, 1]))
                far = distance_of(group, other, distance)
                step = min(1.0, radius / far) if far else 0.0
                laws.append(group.probabilities + step * (other - group.probabilities))
            assert probability(population, tuple(laws)) @ values >= worst.low - 1e-9


def test_a_least_point_on_an_edge_or_inside_is_found_at_once():
    """Five types: convex along a valley that lies on an edge of the ball, concave across it."""
    group = mo.Group(4, [0.25, 0.5, 1.0, 1.5, 2.0], [0.3, 0.1, 0.2, 0.2, 0.2], 0.5, 2.0)
    population = mo.Population([group], [1.0])
    counts = population.states.counts
    random = np.random.default_rng(8)
    for trial in range(6):
        slope = random.normal(size=5)
        line = counts @ slope
        values = (line - line.mean()) ** 2 - 2 * trial * counts[:, 3] ** 2
        ball = Ball(population, DISTANCES[trial % 2], (0.2,))
        worst = ball.worst(values)
        size = np.abs(values).max()
        assert worst.value - worst.low <= 2e-10 * size
        assert ball.contains(worst.laws)
        assert probability(population, worst.laws) @ values == pytest.approx(
            worst.value, abs=1e-12 * size
        )
        for _ in range(200):  # no law of the ball brings less
            other = random.dirichlet(np.ones(5) * random.choice([0.3, 3]))
            far = distance_of(group, other, ball.distance)
            law = group.probabilities + min(1.0, 0.2 / far) * (other - group.probabilities)
            assert probability(population, (law,)) @ values >= worst.low - 1e-12 * size


def test_a_limit_leaves_an_answer_with_a_bound():
    """Five types, three thresholds, a target: what is found in time keeps it under every law."""
    costs = [0.434272, 0.449259, 0.885178, 1.31721, 1.70677]
    group = mo.Group(3, costs, [0.3, 0.1, 0.2, 0.2, 0.2], value=0.78, capacity=2.0)
    population = mo.Population([group], [1.0, 3.0, 5.0], [0.3, 0.6, 1.0], provider_value=6.0)
    options = {"objective": "social-cost", "target": 0.3, "robust": "wasserstein", "radius": 0.19}
    answer = mo.solve(population, "direct", time_limit=6, **options)
    assert answer.has_answer, answer.reason
    assert mo.audit(population, answer).ok
    assert answer.bound <= answer.objective
    ball = Ball(population, "wasserstein", (0.19,))
    assert ball.worst(answer.run @ population.shares).low >= 0.3 - 1e-8
    assert ball.worst(
        (population.states.counts * answer.costs.sum(axis=1)).sum(axis=1), maximise=True
    ).low == pytest.approx(answer.objective, rel=1e-6)


def test_radius_0_is_the_nominal_optimum_bit_for_bit():
    random = np.random.default_rng(11)
    for trial in range(8):
        population = random_population(random, users=3, types=3, values=trial % 4 != 0)
        options = {"objective": OBJECTIVES[trial % 3], "randomized": trial % 3 != 1}
        plain = mo.solve(population, "direct", **options)
        robust = mo.solve(population, "direct", robust=DISTANCES[trial % 2], radius=0, **options)
        assert robust.objective == plain.objective
        assert robust.bound == plain.bound
        for name in ("run", "burden", "payment"):
            assert np.array_equal(getattr(robust, name), getattr(plain, name))


def test_the_guarantee_falls_with_the_radius_and_is_one():
    population = mo.Population(
        [mo.Group(6, [0.25, 0.7, 1.0], [0.5, 0.2, 0.3], value=0.4, capacity=2.0)],
        [6.0],
        provider_value=3.0,
    )
    random = np.random.default_rng(3)
    for distance in DISTANCES:
        last = np.inf
        for radius in (0.0, 0.03, 0.1, 0.25):
            answer = mo.solve(population, "direct", robust=distance, radius=radius)
            assert str(answer.status) == "optimal"
            assert answer.objective <= last + 1e-9
            last = answer.objective
            if radius:
                details = answer.details
                assert details["nominal_guarantees"] <= answer.objective + 1e-9
                assert details["price"] >= -1e-9
                assert details["nominal"] - details["price"] >= answer.objective - 1e-9
                for _ in range(20):
                    law = random.dirichlet(np.ones(3))
                    far = distance_of(population.groups[0], law, distance)
                    near = 0.5 * min(1.0, radius / far)
                    shifted = population.groups[0].probabilities * (1 - near) + near * law
                    gain = probability(population, (shifted,)) @ (
                        3.0 * answer.run[:, 0]
                        - (population.states.counts * answer.payment[:, 0, :]).sum(axis=1)
                    )
                    assert gain >= answer.objective - 1e-9


def test_expected_budget_and_target_hold_under_every_law():
    population = mo.Population(
        [mo.Group(4, [0.5, 1.5], [0.5, 0.5], value=0.2, capacity=2.0)],
        [3.0],
        provider_value=5.0,
        expected_budget=0.8,
    )
    answer = mo.solve(population, "direct", robust="total-variation", radius=0.2)
    space = population.states
    spent = (space.counts * answer.payment[:, 0, :]).sum(axis=1)
    for chance in np.linspace(0.3, 0.7, 41):
        law = probability(population, (np.array([chance, 1 - chance]),))
        assert law @ spent <= 0.8 + 1e-8
    least = mo.solve(
        population.replace(expected_budget=None),
        "direct",
        objective="expenditure",
        target=0.5,
        robust="total-variation",
        radius=0.2,
    )
    for chance in np.linspace(0.3, 0.7, 41):
        law = probability(population, (np.array([chance, 1 - chance]),))
        assert law @ least.run[:, 0] >= 0.5 - 1e-8


def test_units_do_not_matter():
    group = mo.Group(3, [0.25, 1.0], [0.6, 0.4], value=0.5, capacity=2.0)
    population = mo.Population([group], [3.0], provider_value=2.0)
    money, data = 2.0**30, 2.0**-20
    other = mo.Population(
        [
            mo.Group(
                3,
                group.costs * money / data,
                [0.6, 0.4],
                value=0.5 * money,
                capacity=2.0 * data,
            )
        ],
        [3.0 * data],
        provider_value=2.0 * money,
    )
    one = mo.solve(population, "direct", robust="wasserstein", radius=0.1)
    two = mo.solve(other, "direct", robust="wasserstein", radius=0.1 * money / data)
    assert two.objective / money == pytest.approx(one.objective, rel=1e-9)


def test_words_for_what_is_not_possible():
    population = mo.Population([mo.Group(2, [1, 2], [0.5, 0.5], 1, 2)], [2.0])
    for options, words in (
        ({"robust": "total-variation"}, "radius"),
        ({"radius": 0.1}, "robust"),
        ({"robust": "tv", "radius": 0.1}, "robust"),
        ({"robust": "wasserstein", "radius": -1}, "radius"),
        ({"robust": "wasserstein", "radius": 0.1, "incentive": "bic"}, "dsic"),
        ({"robust": "wasserstein", "radius": 0.1, "symmetric": False}, "symmetric"),
    ):
        with pytest.raises(mo.InvalidOption, match=words):
            mo.solve(population, "direct", **options)


def test_a_robust_mechanism_survives_its_file(tmp_path):
    population = mo.Population([mo.Group(2, [1, 2], [0.5, 0.5], 1, 2)], [2.0], provider_value=3.0)
    answer = mo.solve(population, "direct", robust="total-variation", radius=0.1)
    answer.write(tmp_path / "m.json")
    back = mo.read(tmp_path / "m.json")
    assert back.terms == answer.terms
    assert mo.audit(population, back).ok


@pytest.mark.parametrize("mechanism", ["posted-price", "posted-contract"])
def test_posted_offers_guarantee_the_worst_case_over_laws(mechanism):
    random = np.random.default_rng(21)
    for trial in range(4):
        group = mo.Group(
            int(random.integers(2, 5)), [0.5, 1.5], [0.5, 0.5], value=0.5, capacity=2.0
        )
        population = mo.Population([group], [3.0], provider_value=8.0)
        objective = ("provider-surplus", "welfare", "improvement", "expenditure")[trial]
        target = 0.2 if objective == "expenditure" else None
        options = {"objective": objective, "target": target}
        answer = mo.solve(population, mechanism, robust="total-variation", radius=0.2, **options)
        name = objective.replace("-", "_")
        given = []
        for chance in np.linspace(0.3, 0.7, 41):
            other = population.replace(groups=[group.replace(probabilities=[chance, 1 - chance])])
            made = mo.solve(other, mechanism, objective=objective, **answer.offer)
            given.append(made.metrics[name])
        worst = max(given) if objective == "expenditure" else min(given)
        assert answer.objective == pytest.approx(worst, abs=2e-3)
        assert mo.audit(population, answer).ok
        plain = mo.solve(population, mechanism, **options)
        again = mo.solve(population, mechanism, robust="wasserstein", radius=0, **options)
        assert again.objective == plain.objective

"""Certificates where costs are correlated, or their law is known only up to a ball."""

from __future__ import annotations

from copy import deepcopy
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import mechopt as mo
from mechopt import checker
from mechopt.certificates.robust_proofs import worst_law
from mechopt.checker.laws import Ball, halves, least
from mechopt.private.worst_law import Ball as FloatBall
from mechopt.private.worst_law import distance_of
from tests.certificates.checked import sealed
from tests.problems import random_population as draw
from tests.problems import shocked, without_rights


@pytest.mark.parametrize("incentive", ["dsic", "bic"])
@pytest.mark.parametrize("participation", ["ex-post", "interim"])
def test_correlated_optima_are_proved(incentive, participation):
    population = shocked()
    table = population.replace(
        law={
            "counts": population.states.counts.tolist(),
            "probabilities": population.states.probability.tolist(),
        }
    )
    found = []
    for one in (population, table):
        answer = mo.solve(one, "direct", incentive=incentive, participation=participation)
        certificate = mo.certify(one, answer)
        assert certificate.agrees, certificate.remark
        assert certificate.status == "optimal"
        found.append(float(certificate.optimum))
    assert found[0] == pytest.approx(found[1], abs=1e-9)


@pytest.mark.parametrize("part", range(2))
def test_robust_guarantees_are_proved(part):
    random = np.random.default_rng(60 + part)
    for trial in range(6):
        # one threshold, linear costs, a few users; at most three types
        population = draw(random, users=3, types=3, segments=False)
        population = without_rights(
            population, thresholds=population.thresholds[-1:], shares=None, expected_budget=None
        )
        options = {
            "objective": ("provider-surplus", "welfare", "improvement")[trial % 3],
            "transfers": bool(random.integers(2)),
            "robust": ("total-variation", "wasserstein")[trial % 2],
            "radius": round(float(random.uniform(0.02, 0.5)), 3),
        }
        answer = mo.solve(population, "direct", **options)
        certificate = mo.certify(population, answer)
        assert certificate.agrees, certificate.remark
        assert certificate.status in ("optimal", "feasible")
        gap = float(certificate.bound - certificate.optimum)
        assert 0 <= gap <= 2e-9 * max(1.0, abs(float(certificate.bound)))
        assert "this holds against every law of costs in the ball" in checker.verify(
            certificate.document
        )


@pytest.mark.parametrize(
    ("levels", "objective", "options"),
    [
        (1, "expenditure", {"target": 0.4}),
        (1, "social-cost", {"target": 0.2, "transfers": False}),
        (2, "provider-surplus", {}),
        (1, "improvement", {"randomized": False}),
    ],
)
def test_rows_that_are_expectations_are_proved_under_every_law(levels, objective, options):
    """A target and an expected budget; several thresholds; lotteries or not; four types."""
    law = [0.3, 0.3, 0.2, 0.2]
    population = mo.Population(
        [
            mo.Group(1, [0.25, 0.5, 1, 1.5], law, value=0.75, capacity=2.0),
            mo.Group(2, [0.5, 1], [0.5, 0.5], value=0.5, capacity=1.0),
        ],
        [1.0, 2.5][:levels],
        shares=[0.5, 1.0][:levels] if levels > 1 else None,
        provider_value=2.0,
        expected_budget=0.75,
    )
    asked = {"robust": "wasserstein", "radius": 0.125, "objective": objective, **options}
    answer = mo.solve(population, "direct", **asked)
    certificate = mo.certify(population, answer)
    assert certificate.agrees, certificate.remark
    assert certificate.status in ("optimal", "feasible")
    gap = abs(float(certificate.bound - certificate.optimum))
    assert gap <= 1e-8 * max(1.0, abs(float(certificate.bound)))
    if "target" in options:
        forged = deepcopy(dict(certificate.document))
        forged["terms"]["target"] = str(Fraction(forged["terms"]["target"]) + Fraction(1, 100))
        with pytest.raises(checker.Refuted):
            checker.verify(sealed(forged))


def test_a_target_out_of_reach_under_some_law_is_excluded():
    population = mo.Population([mo.Group(2, [1, 3], [0.5, 0.5], 1, 2)], [2.0])
    options = {"objective": "social-cost", "transfers": False, "target": 0.2}
    known = mo.solve(population, "direct", **options)
    assert str(known.status) == "optimal"
    answer = mo.solve(population, "direct", robust="total-variation", radius=0.45, **options)
    assert str(answer.status) == "infeasible"
    assert mo.certify(population, answer).status == "infeasible"


def test_radius_0_proves_the_nominal_optimum():
    population = mo.Population([mo.Group(2, [1, 2], [0.5, 0.5], 1, 2)], [2.0], provider_value=3.0)
    nominal = mo.certify(population, mo.solve(population, "direct"))
    answer = mo.solve(population, "direct", robust="wasserstein", radius=0)
    assert mo.certify(population, answer).optimum == nominal.optimum == Fraction(7, 4)


@pytest.fixture(scope="module")
def document():
    groups = [mo.Group(2, [1, 2], [0.5, 0.5], 1, 2), mo.Group(1, [1, 3], [0.5, 0.5], 1, 2)]
    population = mo.Population(groups, [2.0], provider_value=3.0)
    answer = mo.solve(population, "direct", robust="total-variation", radius=0.1)
    return dict(mo.certify(population, answer).document)


def test_more_than_is_guaranteed_is_refuted(document):
    checker.verify(document)
    for change in ("guarantee", "radius", "weight", "outside"):
        forged = deepcopy(document)
        if change == "guarantee":
            more = str(Fraction(forged["answer"]["guarantee"]) + Fraction(1, 1000))
            forged["answer"]["guarantee"] = forged["claim"]["optimum"] = more
        elif change == "radius":
            forged["terms"]["radius"] = ["1/5", "1/5"]
        elif change == "weight":
            forged["proof"]["laws"][0]["weight"] = "1/3"
        else:
            forged["proof"]["laws"][0]["laws"][0] = ["9/10", "1/10"]
        with pytest.raises(checker.Refuted):
            checker.verify(sealed(forged))


def test_the_checkers_ball_is_the_ball():
    """Every law of the ball, and no other, is a mean of some part's corners; the corners are in."""
    random = np.random.default_rng(70)
    for trial in range(20):
        m = int(random.integers(2, 6))
        law = random.integers(1, 6, m)
        costs = np.cumsum(random.integers(1, 5, m)) / 4
        group = mo.Group(1, costs, law / law.sum(), 0.0, 1.0)
        distance = ("total-variation", "wasserstein")[trial % 2]
        radius = Fraction(int(random.integers(1, 60)), 100)
        exact = tuple(Fraction(int(one), int(law.sum())) for one in law)
        money = tuple(Fraction(one) for one in costs.tolist())
        ball = Ball({"robust": distance, "radius": [str(radius)]}, [(exact, money)])
        area = 0.0
        for (corners,) in ball.boxes:
            for corner in corners:
                assert ball.holds(0, corner)
                other = np.array([float(one) for one in corner])
                assert distance_of(group, other, distance) <= float(radius) + 1e-12
            points = np.array([[float(one) for one in corner[:-1]] for corner in corners])
            sides = points[1:] - points[0]
            area += abs(float(np.linalg.det(sides)))
        population = mo.Population([group], [1.0])
        other_area = 0.0
        for one in FloatBall(population, distance, (float(radius),)).simplices[0]:
            other_area += abs(float(np.linalg.det((one[1:] - one[0])[:, :-1])))
        assert area == pytest.approx(other_area, rel=1e-9)


def test_coefficients_bound_the_polynomial():
    random = np.random.default_rng(71)
    states = [(a, 2 - a, b, 2 - b) for a, b in product(range(3), repeat=2)]
    values = {w: Fraction(int(random.integers(-9, 9))) for w in states}
    box = tuple(
        ((Fraction(1, 5), Fraction(4, 5)), (Fraction(7, 10), Fraction(3, 10))) for _ in range(2)
    )

    def expected(first, second):
        def chance(cheap, count):
            return (1, 2, 1)[count] * cheap**count * (1 - cheap) ** (2 - count)

        return sum(
            chance(first, w[0]) * chance(second, w[2]) * value for w, value in values.items()
        )

    lowest = least(values, box)
    finer = min(least(values, half) for half in halves(values, box))
    grid = [Fraction(1, 5) + Fraction(k, 20) for k in range(11)]
    truth = min(expected(one, other) for one, other in product(grid, grid))
    assert lowest <= finer <= truth


def test_the_worst_of_five_types_is_found_in_fractions_and_shown_by_the_checker():
    """Beside a least point on an edge halves alone would grow thin: faces end the search."""
    law, costs = (1, 3, 2, 2, 2), (1, 2, 3, 5, 6)
    group = mo.Group(3, np.array(costs) / 4, np.array(law) / 10, 0.5, 1.0)
    population = mo.Population([group], [1.0])
    counts = population.states.counts
    exact = [(tuple(Fraction(one, 10) for one in law), tuple(Fraction(one, 4) for one in costs))]
    random = np.random.default_rng(72)
    for trial in range(4):
        distance = ("total-variation", "wasserstein")[trial % 2]
        values = random.integers(-8, 9, len(counts)) + (counts @ random.integers(-2, 3, 5)) ** 2
        ball = Ball({"robust": distance, "radius": ["3/20"]}, exact)
        table = {tuple(row): Fraction(int(one)) for row, one in zip(counts.tolist(), values)}
        low, value, _ = worst_law(ball, table)
        found = FloatBall(population, distance, (0.15,)).worst(values.astype(float))
        assert value - low <= Fraction(1, 10**9) * max(1, abs(value))
        assert float(value) == pytest.approx(found.value, abs=1e-8)
        ball.guaranteed(table, low)
        with pytest.raises(checker.Refuted):
            ball.guaranteed(table, value + Fraction(1, 10**9))


def test_laws_that_exclude_a_type_leave_no_zeros_in_the_exact_program():
    """A worst law on the edge of the simplex gives states a weight of 0; it was divided by."""
    law = [0.5037617222736934, 0.22280335999411235, 0.27343491773219425]
    groups = [mo.Group(1, [0.75, 1.0, 2.25], law, 1.5, 2.5), mo.Group(1, [1.5], [1.0], 0.5, 3.0)]
    population = mo.Population(groups, [1.0], [0.8], provider_value=3.0)
    answer = mo.solve(
        population, "direct", objective="improvement", transfers=False,
        robust="wasserstein", radius=0.32734675879368513,
    )  # fmt: skip
    certificate = mo.certify(population, answer)
    assert certificate.status == "optimal"
    assert certificate.agrees

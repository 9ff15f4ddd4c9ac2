"""Mechanisms that draw from plans held by what a withdrawal sets off: held against a grid of plans,
the exact game, their files and their deployment."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import mechopt as mo
from mechopt.withdrawal import sequential
from tests.oracles import oracle_lottery


def accelerating(size=3, **more):
    group = mo.Group(size, [0.25, 1.0], [0.6, 0.4], value=1.0, capacity=20.0)
    top = 1.2 * size
    return mo.Population(
        [group], [0.35 * top, 0.7 * top, top], [0.1, 0.4, 1.0], provider_value=1.0, **more
    )


def solved(population, **options):
    options = {"objective": "improvement", "transfers": False, **options}
    return mo.solve(population, "direct", protocol="sequential", **options)


def pairs(count, seed=3):
    random = np.random.default_rng(seed)
    for _ in range(count):
        costs = np.sort(random.choice(np.arange(1, 13), 2, replace=False)) / 8
        chances = random.dirichlet([3.0, 3.0])
        value, cap = float(random.uniform(0.5, 2)), float(random.uniform(0.8, 4))
        rho = float(random.choice([1.0, 0.6]))
        levels = int(random.integers(2, 4))
        top = 2 * min(cap, value / costs[0]) * random.uniform(0.3, 0.8)
        thresholds = [*np.sort(random.uniform(0.2, 0.95, levels - 1)) * top, top]
        shares = [*np.sort(random.uniform(0.05, 0.6, levels - 1)), 1.0]
        yield costs, chances, value, cap, rho, thresholds, shares


def test_two_users_against_all_plans_on_a_grid():
    better = 0
    for costs, chances, value, cap, rho, thresholds, shares in pairs(40):
        group = mo.Group(2, costs, chances, value, cap, reversibility=rho)
        population = mo.Population([group], thresholds, shares, provider_value=1.0)
        answer = solved(population)
        assert str(answer.status) == "optimal"
        assert mo.audit(population, answer).ok
        grid = oracle_lottery.best(costs, chances, value, cap, rho, thresholds, shares, steps=240)
        assert answer.objective >= grid - 1e-7  # the grid's plans are plans
        assert answer.objective <= grid + 0.03  # and as good as all but for its width
        better += answer.plans is not None
    assert better >= 4


def test_three_users_against_all_plans_on_a_coarse_grid():
    for costs, chances, value, cap, rho, thresholds, shares in pairs(5, seed=11):
        top = thresholds[-1] * 1.5
        thresholds = [top * edge for edge in np.linspace(0.5, 1, len(thresholds))]
        group = mo.Group(3, costs, chances, value, cap, reversibility=rho)
        answer = solved(mo.Population([group], thresholds, shares, provider_value=1.0))
        grid = oracle_lottery.best(
            costs, chances, value, cap, rho, thresholds, shares, steps=12, users=3
        )
        assert answer.objective - 1e-7 <= answer.bound
        assert grid <= answer.bound + 1e-7


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_growing_shares_without_payments_are_proved(size):
    """Nothing is sustained at once; in sequence most of what participation allows, with proof."""
    population = accelerating(size)
    at_once = mo.solve(population, "direct", objective="improvement", transfers=False)
    answer = solved(population)
    assert at_once.objective == pytest.approx(0.0, abs=1e-9)
    assert str(answer.status) == "optimal"
    assert answer.objective > 0.75
    assert mo.audit(population, answer).ok
    assert answer.metrics["regret"] <= 1e-9
    assert answer.metrics["stable"]["sequential"]["stable"]
    assert not answer.metrics["stable"]["simultaneous"]["stable"]


def test_nothing_to_be_had_is_proved_where_multipliers_grow_beyond_bounds():
    """Six users: whoever lies may leave as well, and no plan takes everything from her then."""
    population = accelerating(6)
    answer = solved(population)
    assert answer.objective == pytest.approx(0.0, abs=1e-9)
    assert answer.bound <= 1e-6


def test_every_plan_that_is_dealt_out_is_left_by_nobody():
    population = accelerating(3)
    answer = solved(population)
    seen = set()
    for seed in range(60):
        plan = answer.assign([0.25, 1.0, 0.25], seed=seed)
        if not plan.burden.any():
            continue
        seen.add(tuple(np.round(plan.burden, 6)))
        value, cost = np.ones(3), np.array([0.25, 1.0, 0.25])
        assert sequential.sequential_everyone_stays(
            plan.burden,
            cost * plan.burden - 1e-8,
            value,
            np.ones(3),
            population.thresholds,
            population.shares,
            order=plan.details["order"],
        )
    assert len(seen) > 1  # equal users are not always asked for the same


def test_what_is_dealt_out_is_what_is_expected():
    population = accelerating(2)
    answer = solved(population)
    state = population.states.index(np.array([1, 1]))
    burdens = [answer.assign([0.25, 1.0], seed=seed).burden for seed in range(800)]
    expected = answer.burden[state].sum(axis=0)
    assert np.mean(burdens, axis=0) == pytest.approx(expected, abs=0.1)


def test_file_and_faults_in_it(tmp_path):
    population = accelerating(2)
    answer = solved(population)
    answer.write(tmp_path / "m.json")
    back = mo.read(tmp_path / "m.json")
    assert mo.audit(population, back).ok
    assert back.to_dict() == answer.to_dict()
    said = json.loads((tmp_path / "m.json").read_text())
    plan = said["states"]["plans"][0]
    for name, wrong, words in (
        ("state", 99, r"plans\[0\].state"),
        ("level", -1, r"plans\[0\].level"),
        ("type", [7, 7], "type"),
        ("burden", [1.0], "burden"),
        ("chance", "often", "chance"),
    ):
        kept, plan[name] = plan[name], wrong
        (tmp_path / "f.json").write_text(json.dumps(said))
        with pytest.raises(mo.InvalidFile, match=words):
            mo.read(tmp_path / "f.json")
        plan[name] = kept


def test_a_plan_that_somebody_leaves_fails_the_audit():
    population = accelerating(3)
    answer = solved(population)
    bad = []
    for one in answer.plans:
        burden = np.full(one.burden.size, one.burden.sum() / one.burden.size)
        bad.append(replace(one, burden=burden))
    assert not mo.audit(population, answer.replace(plans=tuple(bad))).ok


def test_payments_targets_and_interim_terms():
    random = np.random.default_rng(5)
    for _ in range(6):
        costs = np.sort(random.choice(np.arange(1, 13), 2, replace=False)) / 8
        group = mo.Group(
            int(random.integers(2, 4)),
            costs,
            [0.5, 0.5],
            1.0,
            2.0,
            removable=random.choice([1, 0.7]),
        )
        top = group.size * random.uniform(0.4, 1.2)
        population = mo.Population(
            [group], [0.3 * top, 0.7 * top, top], [0.1, 0.4, 1.0], provider_value=2.0, budget=1.0
        )
        for options in (
            {"objective": "provider-surplus", "transfers": True, "incentive": "bic"},
            {"objective": "expenditure", "transfers": True, "target": 0.3},
            {"objective": "welfare", "transfers": False, "participation": "interim"},
        ):
            one = mo.solve(population, "direct", **options)
            two = solved(population, **options)
            if not two.has_answer:
                assert str(two.status) == "infeasible"
                assert str(one.status) == "infeasible"
                continue
            assert mo.audit(population, two).ok
            sign = 1 if two.terms.maximise else -1
            assert sign * (two.bound - two.objective) >= 0
            if one.has_answer:
                assert sign * (two.objective - one.objective) >= -1e-7


def test_a_short_limit_leaves_a_bound():
    population = accelerating(5)
    answer = solved(population, time_limit=0.02)
    assert answer.bound >= answer.objective
    assert answer.objective <= 0.801361 + 1e-6 <= answer.bound + 1e-6


def test_words():
    population = accelerating(3)
    answer = solved(population)
    assert "places" in answer.summary()
    with pytest.raises(mo.NotSupported, match="in sequence"):
        answer.worth()
    with pytest.raises(mo.NotSupported, match="in sequence"):
        mo.certify(population, answer)

"""Direct mechanisms under small-first withdrawal: between W1 and the relaxation, played through."""

from __future__ import annotations

import numpy as np
import pytest

import mechopt as mo
from mechopt.withdrawal import sequential


def everyone_stays(population, answer):
    """Every state and level played through by the withdrawal stage, from the plan it deploys."""
    for state, counts in enumerate(population.states.counts):
        kind = np.repeat(np.arange(counts.size), counts)
        group = population.group_of_type[kind]
        value = np.array([population.groups[g].value for g in group])
        rho = np.array([population.groups[g].reversibility for g in group])
        delta = np.array([population.groups[g].removable for g in group])
        for k in range(population.levels):
            chance = answer.run[state, k]
            if chance == 0:
                continue
            given = answer.burden[state, k, kind] / chance
            paid = answer.payment[state, k, kind] / chance
            owed = rho * population.type_costs[kind] * given - paid
            if not sequential.sequential_everyone_stays(
                given, owed - 1e-8, value, delta, population.thresholds, population.shares
            ):
                return False
    return True


def test_between_the_simultaneous_optimum_and_the_bound_and_it_holds():
    random = np.random.default_rng(0)
    better = 0
    for trial in range(8):
        size, cap = int(random.integers(2, 5)), float(random.integers(2, 6)) / 2
        costs = np.sort(random.choice(np.arange(1, 13), 2, replace=False)) / 4
        top = float(random.uniform(0.3, 0.8)) * size * cap
        group = mo.Group(size, costs, [0.5, 0.5], float(random.uniform(0.5, 3)), cap)
        population = mo.Population(
            [group],
            [top * random.uniform(0.4, 0.9), top],
            [random.uniform(0.3, 0.9), 1.0],
            provider_value=3.0,
        )
        options = {
            "transfers": trial == 0,
            "objective": ("welfare", "improvement")[trial % 2],
        }
        one = mo.solve(population, "direct", **options)
        two = mo.solve(population, "direct", protocol="sequential", **options)
        assert two.objective >= one.objective - 1e-7
        assert two.bound >= two.objective - 1e-7
        assert mo.audit(population, two).ok
        assert everyone_stays(population, two)
        better += two.objective > one.objective + 1e-4
    assert better


def test_diminishing_returns_make_it_the_simultaneous_problem():
    group = mo.Group(6, [0.5, 1.5], [0.5, 0.5], value=1.0, capacity=1.0)
    population = mo.Population([group], [2.0, 3.5], [0.7, 1.0], provider_value=4.0)
    one = mo.solve(population, "direct")
    two = mo.solve(population, "direct", protocol="sequential")
    assert str(two.status) == "optimal"
    assert two.objective == one.objective
    assert two.details["same_as_simultaneous"].startswith("diminishing")
    assert mo.audit(population, two).ok
    assert everyone_stays(population, two)


def test_one_threshold_words_and_file(tmp_path):
    group = mo.Group(3, [0.5, 1.5], [0.5, 0.5], value=1.0, capacity=1.0)
    single = mo.Population([group], [2.0], provider_value=4.0)
    assert (
        mo.solve(single, "direct", protocol="sequential").objective
        == mo.solve(single, "direct").objective
    )
    double = mo.Population([group], [1.0, 2.0], [0.2, 1.0], provider_value=4.0)
    answer = mo.solve(double, "direct", protocol="sequential")
    answer.write(tmp_path / "m.json")
    back = mo.read(tmp_path / "m.json")
    assert back.terms.protocol == "sequential"
    assert mo.audit(double, back).ok
    with pytest.raises(mo.InvalidOption, match="protocol"):
        mo.solve(double, "direct", protocol="coalition")

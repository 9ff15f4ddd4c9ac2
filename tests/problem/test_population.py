"""Populations: validation, count states, draws, files, discretisation."""

from __future__ import annotations

import json
import math
import pickle
from itertools import product

import numpy as np
import pytest

import mechopt as mo
from mechopt.private.direct.optimise import build_for
from mechopt.problem.direct_size import predict_size, refuse_if_large
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.discretise import discretise
from mechopt.problem.states import StateSpace, compositions, rank, state_count
from tests.problems import random_population


def group(**changes):
    given = {"size": 2, "costs": [1, 2], "probabilities": [0.5, 0.5], "value": 1, "capacity": 10}
    return mo.Group(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"probabilities": [0.5, 0.4]}, "0.1 below 1"),
        ({"probabilities": [0.5, 0.6]}, "0.1 above 1"),
        ({"probabilities": [1.0]}, "has 1 entries, but costs has 2"),
        ({"probabilities": [1.0, 0.0]}, "leave the type out"),
        ({"costs": [2, 1]}, "sort the types by cost"),
        ({"costs": [1, 1]}, "listed twice"),
        ({"costs": [-1, 1]}, "costs[0]: must be ≥ 0"),
        ({"costs": [1, math.nan]}, "costs[1]"),
        ({"costs": ["x", 1]}, "costs[0]: 'x' is not a number"),
        ({"size": 0}, "size: must be a whole number ≥ 1 (users), got 0"),
        ({"size": -3}, "got -3"),
        ({"size": 1.5}, "got 1.5"),
        ({"size": 10**309}, "size: must be at most 1,000,000,000,000"),
        ({"size": True}, "got True"),
        ({"value": -1}, "value: must be ≥ 0"),
        ({"value": [1, 2]}, "value: expected one number"),
        ({"capacity": None}, "capacity: missing"),
        ({"capacity": -1}, "capacity: must be > 0"),
        ({"reversibility": 2}, "reversibility: must lie in [0, 1], got 2"),
        ({"removable": -0.1}, "removable"),
        ({"capacity": None, "segments": ([1, 2], [2, 1])}, "slopes must not decrease"),
        ({"segments": ([1, 2], [1, 2])}, "segment widths sum to 3"),
        ({"capacity": None, "segments": 3}, "expected a pair"),
    ],
)
def test_bad_group(changes, words):
    with pytest.raises(mo.InvalidPopulation) as caught:
        group(**changes)
    assert words in str(caught.value)


def test_all_faults_are_reported_together():
    with pytest.raises(mo.InvalidPopulation) as caught:
        group(size=0, costs=[2, 1], value=-1)
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"groups": []}, "there are none"),
        ({"groups": [3]}, "groups[0]: expected a Group"),
        ({"thresholds": [2, 1]}, "thresholds[1]: must exceed"),
        ({"thresholds": [1, 2], "shares": None}, "shares: missing"),
        ({"thresholds": [0]}, "must be > 0"),
        ({"shares": [1.5]}, "shares[0]: must lie in (0, 1]"),
        ({"shares": [0.5, 1]}, "shares: has 2 entries"),
        ({"provider_value": -1}, "provider_value"),
        ({"provider_value": math.inf}, "provider_value"),
        ({"budget": -1}, "budget"),
        ({"expected_budget": -1}, "expected_budget"),
    ],
)
def test_bad_population(changes, words):
    with pytest.raises(mo.InvalidPopulation) as caught:
        mo.Population(**{"groups": [group()], "thresholds": [1.0], **changes})
    assert words in str(caught.value)


def test_round_trip_and_identity():
    random = np.random.default_rng(3)
    for _ in range(50):
        population = random_population(random, segments=True, levels=int(random.integers(1, 4)))
        again = mo.Population.from_dict(json.loads(json.dumps(population.to_dict())))
        assert again == population
        assert hash(again) == hash(population)
        assert pickle.loads(pickle.dumps(population)) == population
    assert population != population.replace(provider_value=99)
    with pytest.raises(AttributeError, match="replace"):
        population.budget = 3
    with pytest.raises(mo.InvalidPopulation, match="bugdet"):
        population.replace(bugdet=3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("groups"), "groups: missing"),
        (lambda d: d.update(kind="instance"), "kind"),
        (lambda d: d.update(schema_version=9), "schema_version"),
        (lambda d: d.update(extra=1), "extra: not a field"),
        (lambda d: d["groups"][0].update(costz=1), "groups[0].costz"),
        (lambda d: d["groups"][0].update(size=0), "groups[0].size"),
    ],
)
def test_bad_documents(change, words):
    document = mo.Population([group()], [1.0]).to_dict()
    change(document)
    with pytest.raises(mo.InvalidInput) as caught:
        mo.Population.from_dict(document)
    assert words in str(caught.value)


@pytest.mark.parametrize(("total", "parts"), [(0, 3), (1, 1), (5, 2), (4, 4), (2, 9)])
def test_compositions_are_complete_and_ranked(total, parts):
    table = compositions(total, parts)
    assert len(table) == math.comb(total + parts - 1, parts - 1)
    assert (table.sum(axis=1) == total).all()
    assert len({tuple(row) for row in table.tolist()}) == len(table)
    assert (rank(table) == np.arange(len(table))).all()


def test_states_against_all_profiles():
    random = np.random.default_rng(8)
    for _ in range(30):
        population = random_population(random, users=4)
        space = population.states
        assert len(space) == state_count(population)
        laws = [population.groups[g].probabilities for g in population.group_of_user]
        expected = np.zeros(len(space))
        for profile in product(*(range(law.size) for law in laws)):
            counts = np.zeros(population.type_costs.size, dtype=int)
            for g, k in zip(population.group_of_user, profile):
                counts[population.first_type[g] + k] += 1
            chance = math.prod(law[k] for law, k in zip(laws, profile))
            expected[space.index(counts)] += chance
        assert space.probability == pytest.approx(expected, abs=1e-14)


def test_what_a_user_faces_is_the_law_of_the_others():
    random = np.random.default_rng(9)
    for _ in range(30):
        population = random_population(random, users=4)
        space = population.states
        for g, (group_, others) in enumerate(zip(population.groups, space.others)):
            assert others.probability.sum() == pytest.approx(1)
            for k, chance in enumerate(group_.probabilities):
                column = population.first_type[g] + k
                reached = np.bincount(others.state[:, k], others.probability, minlength=len(space))
                direct = space.probability * space.counts[:, column] / (group_.size * chance)
                assert reached == pytest.approx(direct, abs=1e-14)


def test_samples_follow_the_law_and_the_seed():
    population = mo.Population([group(size=3), group(size=1, costs=[4, 8])], [1.0])
    costs = population.sample_costs(20_000, seed=4)
    assert costs.shape == (20_000, 4)
    assert (costs[:, 0] == 1).mean() == pytest.approx(0.5, abs=0.02)
    assert set(np.unique(costs[:, 3])) == {4.0, 8.0}
    assert (population.sample_costs(5, seed=1) == population.sample_costs(5, seed=1)).all()
    instance = population.sample(seed=2)
    assert instance.n == 4
    assert instance.thresholds.tolist() == [1.0]


def test_predicted_size_bounds_what_is_built():
    random = np.random.default_rng(10)
    for i in range(60):
        population = random_population(random, levels=1 + i % 2)
        terms = DirectTerms(
            incentive=("dsic", "bic")[i % 2],
            participation=("ex-post", "interim")[i // 2 % 2],
            withdrawal_rights=(True, "truthful", False)[i % 3],
            transfers=bool(i // 3 % 2),
        )
        size, built = predict_size(population, terms), build_for(population, terms)
        assert size.states == len(population.states)
        assert size.cells == population.states.cells
        spare = 1 + population.type_costs.size**2 * 2  # expectation rows
        assert built.program.rows <= size.rows + spare
        assert built.layout.columns <= size.columns


def test_too_large_is_refused_with_advice_before_building():
    many = mo.Population([group(size=60, costs=np.arange(1, 7), probabilities=[1 / 6] * 6)], [30.0])
    with pytest.raises(mo.TooLarge) as caught:
        mo.solve(many, "direct")
    for words in ("states", "rows", "MB", "types per group would fit", "limit"):
        assert words in str(caught.value)
    with pytest.raises(mo.TooLarge, match="states"):
        StateSpace(many.replace(groups=[many.groups[0].replace(size=300)]))
    refuse_if_large(mo.Population([group()], [1.0]), DirectTerms())


def test_discretised_uniform():
    m = 5
    found = discretise(lambda q: 1 + q, m)
    assert found.costs == pytest.approx(1 + (np.arange(m) + 0.5) / m)
    assert found.probabilities.sum() == pytest.approx(1)
    assert found.shift == pytest.approx(1 / (4 * m), rel=1e-3)
    assert found.worst == pytest.approx(1 / (2 * m), rel=1e-2)
    assert found.kolmogorov == pytest.approx(1 / (2 * m), rel=1e-2)
    upper = discretise(lambda q: 1 + q, m, rule="upper")
    assert (upper.costs > found.costs).all()
    with pytest.raises(mo.InvalidOption, match="increase"):
        discretise(lambda q: np.ones_like(q), 2)
    with pytest.raises(mo.InvalidOption, match="types"):
        discretise(lambda q: 1 + q, 0)

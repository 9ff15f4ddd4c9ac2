"""Populations from observed costs: the parting of least shift, its errors, the radius."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import log, sqrt

import numpy as np
import pytest

import mechopt as mo
from mechopt.problem.discretise import confidence_radius, from_observations


def shift_of(costs, parts, rule):
    """Mean |cost − its type's cost| of a parting into consecutive parts, from the definition."""
    total = 0.0
    for part in parts:
        centre = np.mean(part) if rule == "mean" else max(part)
        total += sum(abs(cost - centre) for cost in part)
    return total / len(costs)


def test_the_parting_has_the_least_shift_of_all():
    random = np.random.default_rng(0)
    for trial in range(40):
        costs = np.sort(random.choice(np.arange(1, 9), int(random.integers(3, 9))) / 2)
        rule = ("mean", "upper")[trial % 2]
        types = int(random.integers(1, 4))
        distinct = np.unique(costs)
        m = min(types, distinct.size)
        least = np.inf
        for cuts in combinations(range(1, distinct.size), m - 1):
            ends = [0, *cuts, distinct.size]
            parts = [[c for c in costs if c in distinct[a:b]] for a, b in pairwise(ends)]
            least = min(least, shift_of(costs, parts, rule))
        found = from_observations(costs, types, rule=rule)
        assert found.shift == pytest.approx(least, abs=1e-12)
        assert found.probabilities.sum() == pytest.approx(1, abs=1e-12)
        if rule == "mean":
            assert found.costs @ found.probabilities == pytest.approx(costs.mean())
        grid = np.linspace(0, 5, 2001)
        observed = (costs[:, None] <= grid).mean(axis=0)
        typed = (found.probabilities[:, None] * (found.costs[:, None] <= grid)).sum(axis=0)
        assert np.abs(observed - typed).max() <= found.kolmogorov + 1e-12


def test_the_radius_covers_as_often_as_it_says():
    random = np.random.default_rng(1)
    law = np.array([0.5, 0.3, 0.2])
    for distance, gaps in (("total-variation", None), ("wasserstein", np.array([1.0, 2.0]))):
        radius = confidence_radius(100, 3, 0.9, distance=distance, gaps=gaps)
        drawn = random.multinomial(100, law, size=4000) / 100
        if gaps is None:
            far = np.abs(drawn - law).sum(axis=1) / 2
        else:
            far = np.abs(np.cumsum(drawn - law, axis=1)[:, :2]) @ gaps
        assert (far <= radius).mean() >= 0.9
    assert confidence_radius(100, 2, 0.95) == pytest.approx(sqrt(log(2 / 0.05) / 200))
    assert confidence_radius(10**6, 3) < 0.01 * confidence_radius(50, 3) * 1.5


def test_groups_by_label_and_words_for_faults():
    population = mo.Population.from_samples(
        [1.0, 2.0, 2.5, 7.0],
        group=["a", "a", "b", "b"],
        types=1,
        size={"a": 3, "b": 5},
        capacity=2.0,
        value=1.0,
        thresholds=[4.0],
    )
    assert [group.size for group in population.groups] == [3, 5]
    assert [group.costs.tolist() for group in population.groups] == [[1.5], [4.75]]
    assert [estimate.observations for estimate in population.estimates] == [2, 2]
    assert population.replace(provider_value=2).estimates is None
    with pytest.raises(mo.InvalidOption, match=r"costs\[1\]"):
        mo.Population.from_samples([1, -1], size=2, capacity=1, thresholds=[1])
    with pytest.raises(mo.InvalidPopulation, match="labels"):
        mo.Population.from_samples([1, 2], group=["a"], size=2, capacity=1, thresholds=[1])
    with pytest.raises(mo.InvalidPopulation, match="no entry for the group 'b'"):
        mo.Population.from_samples(
            [1, 2], group=["a", "b"], size={"a": 2}, capacity=1, thresholds=[1]
        )


def test_the_command_writes_the_population(tmp_path, capsys):
    from mechopt.cli import main

    survey = tmp_path / "survey.csv"
    survey.write_text("id,cost\n1,1\n2,2\n3,2\n4,9\n")
    out = tmp_path / "p.json"
    given = ["--types", "2", "--size", "4", "--capacity", "3", "--threshold", "5"]
    assert main(["calibrate-population", str(survey), *given, "--out", str(out)]) == 0
    assert "4 people asked" in capsys.readouterr().out
    assert mo.read(out).groups[0].types == 2
    survey.write_text("id,cost\n1,1\n2,never\n")
    assert main(["calibrate-population", str(survey), *given, "--out", str(out)]) == 2
    assert "line 3" in capsys.readouterr().err

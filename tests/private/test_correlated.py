"""Correlated types: laws over count states, Bayesian rows given one's own type, Crémer–McLean."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import mechopt as mo
from mechopt.formulations.direct import build
from mechopt.solver import highs
from tests.problems import SHOCK, shocked


def as_table(population):
    space = population.states
    return population.replace(
        law={"counts": space.counts.tolist(), "probabilities": space.probability.tolist()}
    )


def test_probabilities_are_those_of_the_profiles():
    population = shocked()
    total = {}
    for kinds in product((0, 1), repeat=3):
        chance = sum(
            weight * np.prod([law[0][k] for k in kinds])
            for weight, law in zip(SHOCK["probabilities"], SHOCK["worlds"])
        )
        counts = (kinds.count(0), kinds.count(1))
        total[counts] = total.get(counts, 0.0) + chance
    space = population.states
    for counts, chance in zip(space.counts.tolist(), space.probability):
        assert chance == pytest.approx(total[tuple(counts)])
    others = space.others[0]
    for own in (0, 1):
        assert others.given(own).sum() == pytest.approx(1)
        for state, chance in zip(others.state, others.given(own)):
            rest = space.counts[state[own]].copy()
            rest[own] -= 1
            joint = sum(
                weight
                * law[0][own]
                * (1 if rest[0] != 1 else 2)
                * law[0][0] ** rest[0]
                * law[0][1] ** rest[1]
                for weight, law in zip(SHOCK["probabilities"], SHOCK["worlds"])
            )
            assert chance == pytest.approx(joint / population.groups[0].probabilities[own])


@pytest.mark.parametrize("incentive", ["dsic", "bic"])
@pytest.mark.parametrize("participation", ["ex-post", "interim"])
def test_arrays_formulation_and_table_agree_and_pass_the_audit(incentive, participation):
    population = shocked()
    options = {"incentive": incentive, "participation": participation}
    answer = mo.solve(population, "direct", **options)
    assert str(answer.status) == "optimal"
    assert mo.audit(population, answer).ok
    written = highs.solve_model(build(population, objective="provider-surplus", **options))
    assert written.objective == pytest.approx(answer.objective, abs=1e-6)
    table = as_table(population)
    again = mo.solve(table, "direct", **options)
    assert again.objective == pytest.approx(answer.objective, abs=1e-9)
    assert mo.audit(table, again).ok


def test_equal_worlds_are_independent_draws():
    law = {"worlds": [[[0.45, 0.55]]] * 2, "probabilities": [0.3, 0.7]}
    for options in ({}, {"incentive": "bic", "participation": "interim"}):
        plain = mo.solve(shocked(law=None), "direct", **options)
        other = mo.solve(shocked(law=law), "direct", **options)
        assert other.objective == pytest.approx(plain.objective, abs=1e-8)


def pair(agree):
    """Two users, costs 1 or 2, alike with probability `agree`; they value nothing."""
    law = {
        "counts": [[2, 0], [1, 1], [0, 2]],
        "probabilities": [agree / 2, 1 - agree, agree / 2],
    }
    group = mo.Group(2, [1, 2], [0.5, 0.5], value=0.0, capacity=2.0, reversibility=0)
    return mo.Population([group], [2.0], provider_value=20.0, law=law)


@pytest.mark.parametrize("agree", [0.2, 0.41, 0.43, 0.5, 0.6])
def test_correlation_extracts_the_rents(agree):
    """Crémer–McLean (1988), with payments that may not be negative.

    A dear user works where the other is dear as well, 1 unit each, and is paid 2a/(1 − a) where the
    other is cheap. Who is cheap and says dear then expects −(1 − a) + 2a²/(1 − a): no rent is left
    iff √2 a ≤ 1 − a, a ≤ 0.4142.
    """
    population = pair(agree)
    options = {"participation": "interim", "withdrawal_rights": False}
    bayes = mo.solve(population, "direct", incentive="bic", **options)
    first_best = mo.solve(population, "complete-information")
    assert mo.audit(population, bayes).ok
    if agree <= 2**0.5 - 1:
        assert bayes.objective == pytest.approx(first_best.objective, abs=1e-6)
        assert float(np.max(bayes.interim.utility)) == pytest.approx(0, abs=1e-6)
    else:
        assert bayes.objective < first_best.objective - 1e-3
    dominant = mo.solve(population, "direct", incentive="dsic")
    assert dominant.objective < first_best.objective - 1e-3  # no law helps against dominance


def test_files_draws_and_refusals(tmp_path):
    population = shocked()
    population.write(tmp_path / "p.json")
    assert mo.read(tmp_path / "p.json") == population
    answer = mo.solve(population, "direct", incentive="bic")
    answer.write(tmp_path / "m.json")
    assert mo.audit(population, mo.read(tmp_path / "m.json")).ok
    drawn = population.sample_costs(4000, seed=1)
    cheap = (drawn == 1).sum(axis=1)
    for counts, chance in zip(population.states.counts, population.states.probability):
        assert (cheap == counts[0]).mean() == pytest.approx(chance, abs=0.03)
    offer = mo.solve(population, "posted-price")
    assert mo.audit(population, offer).ok
    assert population.individual().states.probability.sum() == pytest.approx(1)
    with pytest.raises(mo.InvalidPopulation, match=r"groups\[0\]\.probabilities"):
        shocked(law={"worlds": [[[0.8, 0.2]]], "probabilities": [1.0]})
    with pytest.raises(mo.InvalidPopulation, match=r"law\.counts"):
        shocked(law={"counts": [[2, 0]], "probabilities": [1.0]})
    with pytest.raises(mo.InvalidPopulation, match="law"):
        shocked(law="shock")
    with pytest.raises(mo.NotSupported, match="independent"):
        mo.bracket(population)
    with pytest.raises(mo.InvalidOption, match="robust"):
        mo.solve(population, "direct", robust="wasserstein", radius=0.1)
    assert mo.certify(population, answer).status == "optimal"

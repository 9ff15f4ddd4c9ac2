"""Excludable direct mechanisms (F14): access in [(1 − η) p, p], and what it changes."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import mechopt as mo
from mechopt import checker
from mechopt.private.large.assignment import rule_mechanism
from mechopt.private.large.bracket import rules

# two-type costs 1/4 (60 %) or 1, v = 1, cap 4, T = 0.8 of what users would give (F14)
GOOD = {2: 0.642, 4: 0.423, 8: 0.184, 16: 0.034, 32: 0.001, 64: 0.000, 128: 0.000}
CLUB = {2: 0.840, 4: 0.765, 8: 0.699, 16: 0.733, 32: 0.748, 64: 0.785, 128: 0.845}


def example(n: int, *, tightness: float = 0.8, exclusion: float = 0.0) -> mo.Population:
    group = mo.Group(
        size=n,
        costs=[0.25, 1.0],
        probabilities=[0.6, 0.4],
        value=1.0,
        capacity=4.0,
        exclusion=exclusion,
    )
    return mo.Population(groups=[group], thresholds=[tightness * n * (0.6 * 4 + 0.4 * 1)])


def best(population: mo.Population, **options: object) -> mo.DirectMechanism:
    options = {"objective": "improvement", "transfers": False, **options}
    mechanism = mo.solve(population, "direct", **options)
    assert mechanism.status is mo.Status.OPTIMAL
    audit = mo.audit(population, mechanism)
    assert audit.ok, audit.violations[:3]
    return mechanism


@pytest.mark.parametrize("n", GOOD)
def test_success_probabilities_with_and_without_exclusion(n: int) -> None:
    assert best(example(n)).objective == pytest.approx(GOOD[n], abs=6e-4)
    assert best(example(n, exclusion=1.0)).objective == pytest.approx(CLUB[n], abs=6e-4)


def test_a_lower_threshold_is_reached_almost_surely() -> None:
    assert best(example(32, tightness=0.6)).objective == pytest.approx(0.0246, abs=6e-5)
    assert best(example(32, tightness=0.6, exclusion=1)).objective == pytest.approx(0.992, abs=6e-4)


@pytest.mark.parametrize("incentive", ["dsic", "bic"])
@pytest.mark.parametrize("participation", ["ex-post", "interim"])
@pytest.mark.parametrize("transfers", [True, False])
def test_more_exclusion_never_hurts_the_provider(
    incentive: str, participation: str, transfers: bool
) -> None:
    for reversibility in (1.0, 0.5):
        values = []
        for eta in (0.0, 0.3, 0.7, 1.0):
            population = example(4, exclusion=eta).replace(provider_value=4.0)
            group = population.groups[0].replace(reversibility=reversibility)
            population = population.replace(groups=[group])
            mechanism = best(
                population,
                objective="provider-surplus",
                incentive=incentive,
                participation=participation,
                transfers=transfers,
            )
            values.append(mechanism.objective)
            if eta:
                a, p = mechanism.access, mechanism.run[:, :, None]
                present = population.states.counts[:, None, :] > 0
                assert (a <= p + 1e-9)[present].all()
                assert (a >= (1 - eta) * p - 1e-9)[present].all()
        assert (np.diff(values) >= -1e-7).all()


def test_two_levels_and_welfare() -> None:
    population = example(4, exclusion=1.0).replace(
        thresholds=[4, 8], shares=[0.4, 1], provider_value=2.0
    )
    for objective in ("welfare", "provider-surplus", "improvement"):
        for transfers in (True, False):
            mechanism = best(population, objective=objective, transfers=transfers)
            bare = population.replace(groups=[population.groups[0].replace(exclusion=0)])
            plain = best(bare, objective=objective, transfers=transfers)
            assert mechanism.objective >= plain.objective - 1e-7


def test_files_assignment_and_metrics(tmp_path: Path) -> None:
    population = example(4, exclusion=1.0)
    mechanism = best(population)
    mechanism.write(tmp_path / "m.json")
    back = mo.read(tmp_path / "m.json")
    assert np.array_equal(back.access, mechanism.access)
    assert mo.audit(population, back).ok
    assert mechanism.metrics["access"] == pytest.approx(0.654, abs=0.06)
    plan = mechanism.assign([0.25, 0.25, 1.0, 1.0], seed=1)
    if plan.level:
        assert len(plan.details["access"]) == 4
    wrong = mechanism.replace(access=mechanism.access * 0)
    assert "D4" in {violation.tag for violation in mo.audit(population, wrong).violations}


@pytest.mark.parametrize("incentive", ["dsic", "bic"])
@pytest.mark.parametrize("objective", ["improvement", "welfare", "provider-surplus"])
def test_certified_in_exact_arithmetic(incentive: str, objective: str) -> None:
    for eta, removable in ((1, 1), (0.5, 1), (0.5, 0)):
        group = mo.Group(3, [0.25, 1.0], [0.6, 0.4], 1.0, 4.0, exclusion=eta, removable=removable)
        population = mo.Population([group], [6.72], provider_value=3.0)
        for transfers in (True, False):
            mechanism = best(
                population, objective=objective, incentive=incentive, transfers=transfers
            )
            certificate = mo.certify(population, mechanism)
            assert certificate.status == "optimal"
            assert certificate.agrees, certificate.remark
            document = json.loads(json.dumps(certificate.document))
            group_data = document["problem"]["groups"][0]
            assert Fraction(group_data["exclusion"]) == Fraction(eta)
            group_data["exclusion"] = 0  # forged: the proof does not hold for a public good
            document["seal"] = checker.seal_of(document)
            if certificate.optimum != mo.certify(
                population.replace(groups=[group.replace(exclusion=0)]),
                best(
                    population.replace(groups=[group.replace(exclusion=0)]),
                    objective=objective, incentive=incentive, transfers=transfers,
                ),
            ).optimum:  # fmt: skip
                with pytest.raises(checker.Refuted):
                    checker.verify(document)
    two = mo.Population([mo.Group(2, [0.25, 1.0], [0.6, 0.4], 1.0, 4.0, exclusion=1.0)], [4, 6],
                        shares=[0.5, 1])  # fmt: skip
    mechanism = best(two, transfers=False)
    assert mo.certify(two, mechanism).agrees


# -- beyond counting ------------------------------------------------------------------------------


@pytest.mark.parametrize("transfers", [True, False])
def test_bracket_with_exclusion_holds_the_optimum(transfers: bool) -> None:
    """Random populations: the rules pass the audit of every row, and the LP lies in between."""
    rng = np.random.default_rng(transfers)
    kinds = set()
    for number in range(25):
        groups = [
            mo.Group(
                int(rng.integers(1, 4)),
                np.cumsum(rng.integers(1, 9, 2) - [rng.integers(2), 0]) / 8,
                [0.5, 0.5],
                value=float(rng.integers(0, 9)) / 4,
                capacity=float(rng.integers(1, 7)) / 2,
                reversibility=float(rng.choice([0.0, 0.5, 1.0])),
                removable=float(rng.choice([0.0, 0.5, 1.0])),
                exclusion=float(rng.choice([0.0, 0.5, 1.0])),
            )
            for _ in range(int(rng.integers(1, 3)))
        ]
        groups[0] = groups[0].replace(exclusion=1.0)
        total = sum(group.size * group.capacity for group in groups)
        population = mo.Population(
            groups, [max(0.5, round(total * rng.uniform(0.2, 0.8)) / 2)], provider_value=3.0
        )
        objective = ("improvement", "provider-surplus", "welfare")[number % 3]
        found = mo.bracket(population, objective=objective, transfers=transfers)
        options = {"objective": objective, "transfers": transfers}
        loose = mo.solve(population, "direct", incentive="bic", participation="interim",
                         withdrawal_rights=False, **options)  # fmt: skip
        tight = mo.solve(population, "direct", **options)
        assert tight.status is loose.status is mo.Status.OPTIMAL
        assert loose.objective <= found.upper + 1e-7
        assert found.lower <= tight.objective + 1e-7
        for rule, worth, exact in rules(population, objective, transfers):
            kinds.add((rule.kind, len(np.unique(rule.order))))
            mechanism = rule_mechanism(population, rule, tight.terms)
            audit = mo.audit(population, mechanism)
            assert audit.ok, (rule, audit.violations[:3])
            true = mechanism.metrics[objective.replace("-", "_")]
            assert worth <= true + 1e-9
            if exact:
                assert worth == pytest.approx(true, abs=1e-9)
    assert kinds >= {("fee for access", 1), ("fee for access", 2)}  # all pay, or some do not
    assert transfers == (("virtual-cost rule with a fee for access", 2) in kinds)


def test_a_fee_before_purchases_closes_the_interval_of_partial_exclusion() -> None:
    """Half of the improvement can be denied: what is charged for it is not paid for."""
    widths = {}
    for n in (1000, 1_000_000):
        group = mo.Group(n, [0.25, 1.0, 2.0], [1 / 3] * 3, value=1.0, capacity=4.0, exclusion=0.5)
        population = mo.Population([group], [1.1 * n], provider_value=0.6 * n)
        found = mo.bracket(population)
        assert found.mechanism == "virtual-cost rule with a fee for access"
        assert mo.audit(population, found).ok
        widths[n] = found.gap
        plain = mo.bracket(population.replace(groups=[group.replace(exclusion=0.0)]))
        assert found.lower > 1.2 * plain.upper
        metrics, error = found.metrics, found.metrics["standard_error"]
        assert metrics["provider_surplus"] + 5 * error["provider_surplus"] >= found.lower
    assert widths[1000] < 1e-3
    assert widths[1_000_000] < 1e-5


def test_a_rule_with_a_fee_survives_its_file(tmp_path: Path) -> None:
    group = mo.Group(40, [0.25, 1.0, 2.0], [1 / 3] * 3, value=1.0, capacity=4.0, exclusion=0.5)
    population = mo.Population([group], [44.0], provider_value=24.0)
    found = mo.bracket(population)
    assert found.rule.fee is not None
    found.write(tmp_path / "b.json")
    back = mo.read(tmp_path / "b.json")
    assert np.array_equal(back.rule.fee, found.rule.fee)
    reports = [0.25] * 10 + [1.0] * 15 + [2.0] * 15
    assert back.assign(reports).burden == pytest.approx(found.assign(reports).burden)


def test_the_interval_at_a_million_users() -> None:
    """F14's asymptotics: T at 0.8 is reached almost surely with exclusion, never without."""
    widths = {}
    for n in (1000, 10_000, 1_000_000):
        club = mo.bracket(example(n, exclusion=1.0), objective="improvement", transfers=False)
        assert club.mechanism == "fee for access"
        widths[n] = club.upper - club.lower
    assert widths[1000] < 0.01
    assert widths[1_000_000] < 1e-9
    good = mo.bracket(example(1_000_000), objective="improvement", transfers=False)
    assert good.upper < 0.01


def test_access_of_a_deployed_fee() -> None:
    population = example(1000, exclusion=1.0)
    found = mo.bracket(population, objective="improvement", transfers=False)
    reports = [0.25] * 600 + [1.0] * 400
    plan = found.assign(reports)
    assert plan.total == pytest.approx(2240)
    access = np.array(plan.details["access"])
    assert (access[:600] == 1).all()
    assert access[600:] == pytest.approx(1 - 2240 / 2404)  # what one more payer would be left
    assert found.metrics["regret"] == 0

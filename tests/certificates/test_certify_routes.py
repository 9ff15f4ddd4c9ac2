"""Certificates of posted offers, coalitions, reserves, several segments, exact losses."""

from __future__ import annotations

from fractions import Fraction as F
from math import inf

import numpy as np
import pytest

import mechopt as mo
from mechopt.certificates import plan_proofs
from mechopt.checker import data, withdrawal
from tests.certificates.checked import certified
from tests.oracles import oracle_levels, oracle_posted
from tests.problems import random_instance

OBJECTIVES = ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement")


def value_of(certificate: mo.Certificate) -> F | None:
    return certificate.optimum if certificate.status == "optimal" else None


def nothing_is_null(found: tuple[F, F] | None, objective: str) -> F | None:
    if found is None or (found[0] == 0 and objective not in ("expenditure", "social-cost")):
        return None
    return found[0]  # a target may cost nothing where somebody gives gladly


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_posted_prices_against_all_prices(objective: str) -> None:
    rng = np.random.default_rng([41, len(objective)])
    for _ in range(25):
        instance = random_instance(
            rng, users=int(rng.integers(1, 5)), levels=int(rng.integers(1, 4)), exact=True
        )
        certificate = certified(instance, mo.solve(instance, "posted-price", objective=objective))
        truth = oracle_posted.best_price(instance, objective)
        assert value_of(certificate) == nothing_is_null(truth, objective)
        if certificate.status == "optimal" and objective == "improvement":
            assert truth is not None
            assert F(certificate.document["claim"]["also"]["least_payments"]) == truth[1]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_posted_contracts_against_many_contracts(objective: str) -> None:
    """Where costs count the claim is about even splits only, and says so."""
    rng = np.random.default_rng([42, len(objective)])
    costs_count = objective in ("welfare", "social-cost")
    for _ in range(25):
        instance = random_instance(
            rng, users=int(rng.integers(1, 5)), levels=int(rng.integers(1, 3)), exact=True
        )
        plan = mo.solve(instance, "posted-contract", objective=objective)
        certificate = certified(instance, plan)
        truth = oracle_posted.best_contract(instance, objective, splits_only=costs_count)
        assert value_of(certificate) == nothing_is_null(truth, objective)
        offers = certificate.document["claim"]["also"]["offers"]
        assert offers == ("even splits of a threshold" if costs_count else "all")


def test_the_only_offer_allowed(worked: mo.Instance) -> None:
    """Worked example 1: s = 2 pays 40 at T = 11; s = 1 pays 10 and leaks all of it."""
    far = worked.replace(thresholds=[11])
    dear = certified(far, mo.solve(far, "posted-price", objective="expenditure", price=2))
    cheap = certified(far, mo.solve(far, "posted-price", price=1.0))
    assert (dear.optimum, cheap.optimum) == (40, -10)
    contract = mo.solve(far, "posted-contract", floor=5.5, payment=11)
    assert certified(far, contract).optimum == 100 - 22
    poor = far.replace(budget=9)
    plan = mo.solve(poor, "posted-price", price=1.0)
    assert plan.status is mo.Status.INFEASIBLE
    assert certified(poor, plan).status == "infeasible"


def test_posted_offers_to_a_population_are_refused() -> None:
    group = mo.Group(2, costs=[1, 2], probabilities=["1/2", "1/2"], value=1, capacity=10)
    population = mo.Population([group], thresholds="5/4", provider_value=9)
    for mechanism in ("posted-price", "posted-contract"):
        with pytest.raises(mo.NotSupported, match="no optimality proof"):
            mo.certify(population, mo.solve(population, mechanism))
    full = mo.solve(population, "complete-information", objective="improvement", transfers=False)
    assert certified(population, full).optimum == F(3, 4)


def test_an_enumeration_beyond_reach_is_refused(
    worked: mo.Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_proofs, "MOST_EVALUATIONS", 8)
    with pytest.raises(mo.TooLarge, match="9 evaluations"):
        mo.certify(worked, mo.solve(worked, "posted-contract"))


def test_coalitions_have_the_simultaneous_optimum_and_nobody_gains() -> None:
    rng = np.random.default_rng(43)
    asked = 0
    for _ in range(40):
        instance = random_instance(rng, users=3, levels=int(rng.integers(1, 4)), exact=True)
        objective = OBJECTIVES[rng.integers(5)]
        together = certified(
            instance, mo.solve(instance, "burdens", objective=objective, protocol="coalition")
        )
        alone = certified(instance, mo.solve(instance, "burdens", objective=objective))
        assert (together.status, together.optimum) == (alone.status, alone.optimum)
        stays = together.document["claim"]["also"].get("stays")
        if stays:
            answer = together.document["answer"]
            x, t = ([F(one) for one in answer[name]] for name in ("burden", "payment"))
            assert stays["coalition"] is not oracle_posted.a_coalition_gains(instance, x, t)
            asked += 1
    assert asked > 10


def test_the_coalition_verdict_on_any_plan() -> None:
    """W1 and every subset agree, also where somebody leaves."""
    rng = np.random.default_rng(44)
    seen = set()
    for _ in range(200):
        instance = random_instance(rng, users=4, levels=int(rng.integers(1, 4)), exact=True)
        x = [
            min(F(int(k), 2), c) for k, c in zip(rng.integers(0, 9, 4), instance.exact("capacity"))
        ]
        t = [F(int(k), 4) for k in rng.integers(0, 5, 4)]
        users = [
            data.User(
                {
                    name: instance.exact(name)[i]
                    for name in ("cost", "value", "reversibility", "removable")
                }
                | {name: list(instance.exact(name)[i]) for name in ("widths", "slopes")}
            )
            for i in range(4)
        ]
        levels = data.Levels(
            {
                "thresholds": list(instance.exact("thresholds")),
                "shares": list(instance.exact("shares")),
                "provider_value": 0,
                "budget": None,
            }
        )
        if levels.level(sum(x)) == 0:
            continue
        verdict = withdrawal.verdicts(levels, users, x, t, "small-first")["coalition"]
        assert verdict is not oracle_posted.a_coalition_gains(instance, x, t)
        seen.add(verdict)
    assert seen == {True, False}


@pytest.mark.parametrize("objective", ["expenditure", "social-cost"])
def test_a_reserve_with_several_thresholds_against_the_oracle(objective: str) -> None:
    rng = np.random.default_rng([45, len(objective)])
    closed = reached = 0
    for _ in range(40):
        instance = random_instance(rng, users=3, levels=int(rng.integers(2, 4)), exact=True)
        reserve = float(rng.integers(1, 9)) / 4
        target = float(instance.shares[rng.integers(instance.levels)])
        plan = mo.solve(instance, "burdens", objective=objective, reserve=reserve, target=target)
        certificate = certified(instance, plan)
        first = int(np.searchsorted(instance.shares, target)) + 1
        truth = min(
            oracle_levels.level_optimum(
                instance,
                level,
                "pay" if objective == "expenditure" else "cost",
                reserve=reserve,
                budget=float(instance.budget),
            )
            for level in range(first, instance.levels + 1)
        )
        closed += certificate.status in ("optimal", "infeasible")
        if certificate.status == "infeasible":
            assert truth == inf
        elif certificate.status == "optimal":
            reached += 1
            assert float(certificate.optimum or 0) == pytest.approx(truth, abs=1e-9)
        else:
            assert float(certificate.bound or 0) <= truth + 1e-9
    assert closed >= 34
    assert reached >= 10


def test_several_segments_are_filled_in_order_or_the_gap_is_stated() -> None:
    rng = np.random.default_rng(46)
    statuses = []
    for _ in range(40):
        types = int(rng.integers(2, 4))
        half = F(int(rng.integers(1, 9)), 4)
        group = mo.Group(
            2,
            [F(int(c), 4) for c in np.sort(rng.choice(np.arange(1, 13), types, replace=False))],
            [F(1, types)] * types,
            F(int(rng.integers(1, 5)), 2),
            segments=([half, half], [F(1), F(3)]),
            reversibility=F(int(rng.integers(0, 3)), 2),
        )
        population = mo.Population([group], thresholds=half * int(rng.integers(1, 4)))
        mechanism = mo.solve(
            population, "direct", objective="improvement", transfers=False, incentive="bic"
        )
        certificate = certified(population, mechanism)
        statuses.append(certificate.status)
        if certificate.status != "optimal":
            assert "segments" in certificate.document["about"]["not_proved"][0]
        if certificate.status == "feasible":
            assert certificate.optimum <= certificate.bound
            assert float(certificate.optimum) == pytest.approx(mechanism.objective, abs=1e-7)
    assert statuses.count("optimal") > 20


def test_exact_losses_at_several_levels_have_an_answer_and_a_bound() -> None:
    group = mo.Group(2, costs=[1, 2], probabilities=["1/2", "1/2"], value=2, capacity=4)
    population = mo.Population([group], thresholds=[1, 3], shares=["1/2", 1], provider_value=3)
    safe = mo.solve(population, "direct", objective="improvement", transfers=False)
    exact = mo.solve(population, "direct", objective="improvement", transfers=False, levels="exact")
    assert certified(population, safe).status == "optimal"
    certificate = certified(population, exact)
    assert certificate.status in ("optimal", "feasible")
    assert certificate.optimum <= F(exact.objective).limit_denominator(10**6) <= certificate.bound

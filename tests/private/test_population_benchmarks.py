"""Posted offers, the first best and allocation rules on populations, against enumeration."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mechopt as mo
from mechopt.commands.show import answer_text
from mechopt.private.benchmarks import contract_amounts, price_amounts, supply_law
from mechopt.private.rule_regret import rule_regret
from mechopt.private.rules import RULES
from tests.private.test_direct import population_of
from tests.problems import profiles, random_population


def test_posted_price_known_answers(shared_data):
    cases = json.loads((shared_data / "known_answers.json").read_text())["cases"]
    cases = [case for case in cases if case["id"].startswith("GT10")]
    assert len(cases) == 4
    metric = {"prob": "improvement", "leak": "leakage", "profit": "provider_surplus"}
    for case in cases:
        population = population_of(case["instance"])
        price = case["instance"].get("posted_price")
        if price is None:
            answer = mo.solve(population, "posted-price")
            assert answer.objective == pytest.approx(case["value"], abs=1e-7)
            assert answer.offer == {"price": 1.0}
        else:
            answer = mo.solve(population, "posted-price", price=float(price))
            name = metric[case["id"].split(".")[-1]]
            assert answer.metrics[name] == pytest.approx(case["value"], abs=1e-7)


def test_posted_metrics_by_enumeration():
    random = np.random.default_rng(21)
    for i in range(40):
        population = random_population(random, segments=True, levels=1 + i % 2)
        price = float(random.integers(0, 10)) / 2
        answer = mo.solve(population, "posted-price", price=price)
        amounts = np.concatenate([price_amounts(g, price) for g in population.groups])
        improvement = spent = leaked = 0.0
        for chance, columns in profiles(population):
            total = amounts[columns].sum()
            level = int((population.thresholds <= total + 1e-12).sum())
            share = population.shares[level - 1] if level else 0.0
            improvement += chance * share
            spent += chance * price * total
            leaked += chance * (1 - share) * price * total
        metrics = answer.metrics
        assert metrics["improvement"] == pytest.approx(improvement)
        assert metrics["expenditure"] == pytest.approx(spent)
        assert metrics["leakage"] == pytest.approx(leaked)


@pytest.mark.parametrize("mechanism", ["posted-price", "posted-contract"])
def test_no_offer_on_a_grid_beats_the_best(mechanism):
    random = np.random.default_rng(22)
    for _ in range(12):
        population = random_population(random)
        best = mo.solve(population, mechanism, objective="provider-surplus")
        assert best.status == "optimal"
        assert best.objective >= 0
        for one in np.linspace(0, 8, 33):
            floors = np.linspace(0.25, 4, 16) if mechanism == "posted-contract" else [None]
            for floor in floors:
                offer = {"price": one} if floor is None else {"payment": one, "floor": floor}
                given = mo.solve(population, mechanism, objective="provider-surplus", **offer)
                if given.metrics["within_budget"]:
                    assert given.objective <= best.objective + 1e-9


def test_posted_offers_scale_to_many_users():
    population = mo.Population(
        [mo.Group(2000, [1, 2, 5], [0.5, 0.3, 0.2], 0, 1)], [900], provider_value=2000
    )
    answer = mo.solve(population, "posted-price", price=1)
    assert answer.metrics["improvement"] == pytest.approx(1, abs=1e-4)
    totals, chances = supply_law(population, [price_amounts(population.groups[0], 1)])
    assert chances.sum() == pytest.approx(1)
    assert chances @ totals == pytest.approx(1000)


def test_contract_is_taken_by_whom_it_pays():
    group = mo.Group(1, [1, 2, 3], [0.2, 0.3, 0.5], 0, 2)
    assert contract_amounts(group, 2.0, 1.0).tolist() == [1.0, 1.0, 0.0]
    assert contract_amounts(group, 9.0, 2.5).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("mechanism", "options", "words"),
    [
        ("posted-price", {"price": -1}, "price"),
        ("posted-price", {"price": "x"}, "price"),
        ("posted-price", {"price": 1, "target": 0.5, "objective": "expenditure"}, "target"),
        ("posted-contract", {"payment": 1}, "give both"),
        ("posted-contract", {"payment": 1, "floor": 0}, "floor"),
        ("rule", {"rule": "leastcost"}, "least-cost"),
    ],
)
def test_bad_offers(mechanism, options, words):
    population = random_population(np.random.default_rng(1))
    with pytest.raises(mo.InvalidOption) as caught:
        mo.solve(population, mechanism, **options)
    assert words in str(caught.value)


def test_impossible_target_of_a_posted_price():
    population = mo.Population([mo.Group(1, [1], [1.0], 0, 1)], [5])
    answer = mo.solve(population, "posted-price", objective="expenditure")
    assert answer.status == "infeasible"
    assert "out of reach" in answer.reason
    assert not answer.has_answer


def test_first_best_bounds_every_mechanism_and_matches_each_state():
    random = np.random.default_rng(23)
    for i in range(20):
        population = random_population(random, budgets=False)
        transfers = bool(i % 2)
        objective = ("provider-surplus", "improvement")[i // 2 % 2]
        first = mo.solve(
            population, "complete-information", objective=objective, transfers=transfers
        )
        total = 0.0
        for chance, columns in profiles(population):
            instance = population.instance(population.type_costs[columns])
            plan = mo.solve(
                instance, "complete-information", objective=objective, transfers=transfers
            )
            total += chance * plan.objective if plan.has_answer else 0.0
        assert first.objective == pytest.approx(total, abs=1e-7)
        direct = mo.solve(population, "direct", objective=objective, transfers=transfers)
        assert direct.objective <= first.objective + 1e-8


@pytest.mark.parametrize("rule", sorted(RULES))
def test_rules_are_sustainable_and_their_regret_exact(rule):
    random = np.random.default_rng(24)
    some = 0
    for i in range(25):
        population = random_population(
            random, segments=rule == "least-cost", levels=1 + i % 2, budgets=False
        )
        answer = mo.solve(population, "rule", rule=rule)
        audit = mo.audit(population, answer)
        assert audit.ok, str(audit)
        exact = rule_regret(population, rule)
        assert exact.interim == pytest.approx(answer.metrics["regret_types"], abs=1e-12)
        assert exact.ex_post >= exact.interim - 1e-12
        some += exact.interim > 1e-6
    assert some > 2


def test_a_regret_cut_short_says_so():
    population = mo.Population([mo.Group(30, [1, 1.5, 2, 3], [0.25] * 4, 1, 10, 0.5)], [12.75])
    whole = mo.solve(population, "rule", rule="proportional")
    short = mo.solve(population, "rule", rule="proportional", time_limit=1e-6)
    assert rule_regret(population, "proportional", reports="all").exact
    assert "regret_exact" not in whole.metrics
    assert short.metrics["regret_exact"] is False
    assert whole.metrics["regret_types"] <= short.metrics["regret"] <= whole.metrics["regret"]
    assert "regret, at least" in answer_text(short)
    assert "at least" not in answer_text(whole)


def test_monte_carlo_regret_is_within_its_standard_error():
    population = mo.Population([mo.Group(5, [1, 1.5, 2], [0.3, 0.3, 0.4], 1, 10, 0.5)], [2.75])
    exact = rule_regret(population, "least-cost")
    drawn = rule_regret(population, "least-cost", samples=4000, seed=3)
    assert 0 < drawn.standard_error < 0.05
    assert abs(drawn.interim - exact.interim) <= 5 * drawn.standard_error
    large = population.replace(groups=[population.groups[0].replace(size=3000)], thresholds=[1500])
    assert rule_regret(large, "proportional", samples=200).samples == 200
    with pytest.raises(mo.InvalidOption, match="samples"):
        rule_regret(population, "least-cost", samples=1)

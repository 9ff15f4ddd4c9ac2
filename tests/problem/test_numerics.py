"""Badly scaled data and knife edges: the right answer, or UNKNOWN with the reason.

The judge is the certificate: exact arithmetic on the data as typed. Wherever the solver says
OPTIMAL, NULL or INFEASIBLE, exact arithmetic must not contradict it.
"""

from __future__ import annotations

from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest

import mechopt as mo


def judged(problem: Any, mechanism: str, **options: Any) -> tuple[Any, mo.Certificate]:
    """The answer and its certificate; the answer must not be contradicted."""
    answer = mo.solve(problem, mechanism, **options)
    certificate = mo.certify(problem, answer)
    assert certificate.agrees, (certificate.remark, options)
    if answer.status is mo.Status.UNKNOWN:
        assert answer.reason
    return answer, certificate


def typed(rng: np.random.Generator, number: float) -> float:
    """`number` with one to sixteen digits, as somebody would type it."""
    return float(f"{number:.{rng.integers(1, 17)}g}")


def wild_instance(rng: np.random.Generator) -> mo.Instance:
    """Costs 1e-9 to 1e9, capacities 1 to 1e8, thresholds within 1e-17 to 1e-5 of an edge."""
    n = int(rng.integers(1, 7))
    cost = [typed(rng, 10 ** rng.uniform(-9, 9)) for _ in range(n)]
    capacity = [typed(rng, 10 ** rng.uniform(0, 8)) for _ in range(n)]
    value = [typed(rng, c * k * 10 ** rng.uniform(-3, 1)) for c, k in zip(cost, capacity)]
    exact = [[F(repr(one)) for one in column] for column in (cost, value, capacity)]
    most = sum(exact[2])
    free = sum(min(k, v / c) for c, v, k in zip(*exact))
    edge = F(int(rng.integers(-1, 2)), 10 ** int(rng.integers(5, 18)))
    threshold = (most, free, most * F(3, 10))[rng.integers(3)] * (1 + edge)
    levels = [threshold / 2, threshold] if rng.integers(3) == 0 else [threshold]
    worth = F(repr(typed(rng, sum(value) * 10 ** rng.uniform(-2, 2))))
    budget = F(repr(typed(rng, sum(value) * 10 ** rng.uniform(-3, 0))))
    give: dict[str, Any] = {
        "cost": exact[0],
        "value": exact[1],
        "capacity": exact[2],
        "thresholds": levels,
        "shares": [F(1, 2), F(1)][-len(levels) :],
        "provider_value": worth,
        "budget": None if rng.integers(3) else budget,
    }
    if rng.integers(2):
        return mo.Instance(**give)
    return mo.Instance(
        **{
            key: [float(one) for one in entry]
            if isinstance(entry, list)
            else entry and float(entry)
            for key, entry in give.items()
        }
    )


@pytest.mark.parametrize("seed", range(6))
def test_wild_instances(seed: int) -> None:
    rng = np.random.default_rng([31, seed])
    decided = 0
    for _ in range(25):
        instance = wild_instance(rng)
        answer, _ = judged(
            instance,
            "burdens",
            objective=rng.choice(["provider-surplus", "welfare", "expenditure", "social-cost"]),
            transfers=bool(rng.integers(2)),
            protocol=str(rng.choice(["simultaneous", "sequential", "none"])),
        )
        decided += answer.status in (mo.Status.OPTIMAL, mo.Status.NULL)
        assert answer.status is not mo.Status.UNKNOWN or not instance.is_exact
        if answer.has_answer and answer.status is not mo.Status.UNKNOWN:
            assert mo.audit(instance, answer).ok
    assert decided >= 20


EDGE = F(1, 10**15)


@pytest.mark.parametrize(
    ("threshold", "status"),
    [
        (F(3), mo.Status.OPTIMAL),
        (3 - EDGE, mo.Status.OPTIMAL),
        (3 + EDGE, mo.Status.NULL),
        (3 + F(1, 10**40), mo.Status.NULL),
    ],
)
@pytest.mark.parametrize("mechanism", ["burdens", "subsidy", "complete-information"])
def test_exact_data_decide_capacity_edges_exactly(
    threshold: F, status: mo.Status, mechanism: str
) -> None:
    instance = mo.Instance(
        cost=[1, 1, 1], value=9, capacity=["1/3", "2/3", 2], thresholds=[threshold]
    )
    answer, _ = judged(instance, mechanism, objective="social-cost")
    assert answer.status is status


@pytest.mark.parametrize(
    ("threshold", "status"),
    [
        (F(1), mo.Status.OPTIMAL),
        (1 - EDGE, mo.Status.OPTIMAL),
        (1 + EDGE, mo.Status.NULL),
    ],
)
def test_three_thirds_reach_one_without_payments(threshold: F, status: mo.Status) -> None:
    instance = mo.Instance(cost=3, value=[1, 1, 1], capacity=9, thresholds=[threshold])
    answer, _ = judged(instance, "burdens", objective="social-cost", transfers=False)
    assert answer.status is status


@pytest.mark.parametrize(
    ("budget", "status"), [("1/3", "optimal"), ("33333333333333/10e13", "null")]
)
def test_a_budget_met_exactly_or_missed_by_a_hair(budget: str, status: str) -> None:
    budget = budget.replace("10e13", "100000000000000")
    instance = mo.Instance(cost=[1], value=0, capacity=9, thresholds=["1/3"], budget=budget)
    answer, _ = judged(instance, "burdens", objective="expenditure")
    assert answer.status == status


def test_float_data_hold_up_to_rounding_and_the_answer_says_so() -> None:
    """1/3 as a float is a little less than 1/3."""
    instance = mo.Instance(cost=1.0, value=[1 / 3] * 3, capacity=9.0, thresholds=[1.0])
    answer, certificate = judged(instance, "burdens", objective="social-cost", transfers=False)
    assert answer.status is mo.Status.OPTIMAL
    assert answer.reason == "level 1 is reached up to rounding, 6e-17 of data short"
    assert certificate.status == "null"  # as the decimals are written
    beyond = mo.solve(instance.replace(thresholds=[1 + 1e-13]), "burdens", transfers=False)
    assert beyond.status is mo.Status.NULL
    assert "short by" in beyond.reason


def test_decimals_that_binary_misses() -> None:
    """0.1 + 0.2 = 0.3 as typed, although not in binary."""
    instance = mo.Instance(cost=1.0, value=9.0, capacity=[0.1, 0.2], thresholds=[0.3])
    assert judged(instance, "burdens", objective="social-cost")[0].status is mo.Status.OPTIMAL


@pytest.mark.parametrize("seed", range(4))
def test_wild_populations(seed: int) -> None:
    """Money around 1e-6 to 1e6, data up to 1e7, probabilities down to 1e-15."""
    rng = np.random.default_rng([32, seed])
    answered = 0
    for _ in range(12):
        types, users = int(rng.integers(2, 4)), int(rng.integers(1, 4))
        money, data = 10 ** rng.uniform(-6, 6), 10 ** rng.uniform(0, 7)
        costs = np.sort(money / data * 10 ** rng.uniform(-2, 2, types))
        law = 10 ** rng.uniform(-15, 0, types) if rng.integers(2) else rng.dirichlet([1.0] * types)
        group = mo.Group(
            users,
            costs,
            law / law.sum(),
            float(money * 10 ** rng.uniform(-1, 1)),
            float(f"{data:.6g}"),
        )
        population = mo.Population(
            [group],
            thresholds=float(f"{data * users * rng.uniform(0.2, 1):.7g}"),
            provider_value=float(money * 10 ** rng.uniform(-2, 2)),
        )
        answer = mo.solve(
            population,
            "direct",
            objective=str(rng.choice(["provider-surplus", "welfare", "improvement"])),
            incentive=str(rng.choice(["dsic", "bic"])),
            transfers=bool(rng.integers(2)),
        )
        certificate = mo.certify(population, answer)
        assert certificate.agrees, certificate.remark
        answered += answer.status is mo.Status.OPTIMAL
    assert answered >= 8


def test_tiny_money_is_not_lost_in_the_solver_tolerance() -> None:
    """Costs of 1e-11: with the solver's absolute tolerance 0.9876 once passed for optimal."""
    costs, value = [2.3e-12, 5.4e-11], 1.1e-4
    small = mo.Group(3, costs, [0.35, 0.65], value, 2.1e6)
    large = mo.Group(3, [c * 1e6 for c in costs], [0.35, 0.65], value * 1e6, 2.1e6)
    answers = [
        mo.solve(
            mo.Population([group], thresholds=2.05598e6),
            "direct",
            objective="improvement",
            incentive="bic",
            transfers=False,
        )
        for group in (small, large)
    ]
    assert answers[0].objective == pytest.approx(answers[1].objective, rel=1e-9)


def test_a_budget_of_zero_is_no_payments_not_no_rounding() -> None:
    """Free burdens reach T exactly; in floats they miss it by an ulp, which is no payment."""
    instance = mo.Instance(
        cost=["7/3", 1],
        value=["14/3", "4/3"],
        capacity=["7/3", "8/3"],
        thresholds=["5/6"],
        shares=["1/4"],
        provider_value="31/2",
        budget=0,
    )
    for protocol in ("simultaneous", "sequential", "none"):
        answer, certificate = judged(instance, "burdens", objective="welfare", protocol=protocol)
        assert answer.status is mo.Status.OPTIMAL
        assert certificate.optimum == F(31, 8)


@pytest.mark.parametrize("kind", [float, F])
def test_a_posted_price_whose_total_is_the_threshold(kind: Any) -> None:
    """0.2 + 0.6 + 0.8 + 0.3 is 1.9 as typed; in binary it falls short by an ulp."""
    instance = mo.Instance(
        cost=[kind(one) for one in (F("0.6"), F("0.6"), F("0.3"), F("0.5"))],
        value=0,
        capacity=[kind(one) for one in (F("0.2"), F("0.6"), F("0.8"), F("0.3"))],
        thresholds=[kind(F("1.5")), kind(F("1.9"))],
        shares=[kind(F(1, 8)), kind(F(5, 8))],
    )
    answer, certificate = judged(instance, "posted-price", objective="improvement")
    assert answer.objective == 0.625
    assert certificate.optimum == F(5, 8)
    assert mo.audit(instance, answer).ok


@pytest.mark.parametrize("protocol", ["simultaneous", "sequential"])
def test_rounding_is_not_asked_of_a_user_who_gives_nothing(protocol: str) -> None:
    """0.3 + 0.6 falls short of 0.9 by an ulp; user 0 loses by giving anything at all."""
    instance = mo.Instance(
        cost=[0.7, 0.1, 0.1],
        value=[0, 0.1, 0.2],
        capacity=[0.3, 0.3, 0.6],
        thresholds=[0.9, 1.3],
        shares=[0.5, 0.875],
        reversibility=[0.5, 1, 0.5],
        provider_value=15,
    )
    answer, certificate = judged(
        instance, "burdens", objective="welfare", transfers=False, protocol=protocol
    )
    assert mo.audit(instance, answer).ok
    assert answer.burden is not None
    assert answer.burden[0] == 0
    assert certificate.status == "optimal"


@pytest.mark.parametrize("mechanism", ["posted-price", "posted-contract"])
def test_wild_posted_offers(mechanism: str) -> None:
    decided = 0
    for seed in range(40):
        rng = np.random.default_rng([33, seed])
        instance = wild_instance(rng)
        objective = str(rng.choice(["provider-surplus", "expenditure", "improvement"]))
        answer, _ = judged(instance, mechanism, objective=objective)
        decided += answer.status is mo.Status.OPTIMAL
        assert mo.audit(instance, answer).ok
    assert decided >= 10


def test_a_contract_that_misses_by_one_part_in_10_to_the_17() -> None:
    for short, status in ((0, mo.Status.OPTIMAL), (1, mo.Status.NULL)):
        threshold = F("39861.0457294") * (1 + F(short, 10**17))
        instance = mo.Instance(
            cost=[1], value=0, capacity=["39861.0457294"], thresholds=[threshold]
        )
        assert judged(instance, "posted-contract", objective="improvement")[0].status is status


def test_a_user_without_capacity_in_the_sequential_model() -> None:
    """His variables stand in no row, so that the solver gives them no value."""
    instance = mo.Instance(
        cost=["8/3", "7/3", "5/3"],
        value=[4, 0, 1],
        capacity=["7/3", 0, "5/3"],
        thresholds=[1, 3],
        shares=["1/4", 1],
        reversibility=[0, 1, 1],
        removable=[1, "1/2", "1/2"],
        budget="10/3",
    )
    answer, certificate = judged(
        instance, "burdens", objective="expenditure", protocol="sequential", order=[0, 1, 2]
    )
    assert answer.status is mo.Status.OPTIMAL
    assert certificate.bound <= F(answer.objective)

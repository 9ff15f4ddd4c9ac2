"""Plans with a crossing probability: against every way in which sets of users may win."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.dropouts import hazards_of
from mechopt.known.safety import bound
from mechopt.known.safety.task import Task
from tests.oracles import oracle_dropouts as oracle

CASES = 12  # a block; the recorded run had 50, 200 problems in all


def draw(rng: np.random.Generator, n: int) -> dict[str, Any]:
    data = {
        "cost": rng.integers(0, 9, n) / 4,
        "value": rng.integers(0, 13, n) / 2,
        "capacity": rng.integers(1, 13, n) / 2,
        "reversibility": rng.choice([0, 0.5, 1, 1], n),
        "removable": rng.choice([0.5, 1, 1, 1], n),
        "exclusion": rng.choice([0, 0, 0.5, 1], n),
        "share": float(rng.choice([0.5, 1])),
    }
    data["threshold"] = float(np.ceil(data["capacity"].sum() * rng.uniform(0.2, 0.9) * 4) / 4)
    return data


def instance_of(data: dict[str, Any], **more: Any) -> mo.Instance:
    given = {key: value for key, value in data.items() if key not in ("threshold", "share")}
    return mo.Instance(**given, thresholds=[data["threshold"]], shares=[data["share"]], **more)


@pytest.mark.parametrize("block", range(4))
def test_equals_brute_force(block: int) -> None:
    """Tiny problems: least payments, or out of reach."""
    rng = np.random.default_rng(block)
    told = 0
    for case in range(CASES):
        n = 2 if case % 3 == 0 else 3
        data, hazard = draw(rng, n), rng.integers(0, 9, n) / 16
        shock = (float(rng.choice([0, 0.25])), float(rng.choice([0.5, 2.0])))
        confidence = float(rng.choice([0.5, 0.7, 0.8, 0.9, 0.97]))
        least = oracle.least_safe_payment(data, hazard, shock, confidence)
        instance = instance_of(data)
        plan = mo.solve(
            instance,
            "burdens",
            objective="expenditure",
            dropout=hazard,
            shock=shock,
            confidence=confidence,
        )
        if least == np.inf:
            assert plan.status is mo.Status.NULL
            continue
        told += 1
        scale = max(1.0, float((data["cost"] * data["capacity"]).sum()))
        assert plan.status is mo.Status.OPTIMAL
        assert plan.objective == pytest.approx(least, abs=1e-5 * scale)
        assert mo.audit(instance, plan).ok
        assert mo.crossing(instance, plan, hazard, shock).low >= confidence - 1e-9
        task = Task(instance, hazards_of(instance, hazard, shock), confidence, True)
        for spread in (0.0, 0.1 * data["threshold"], data["threshold"]):
            assert bound.least(task, "pay", spread) <= least + 1e-6 * scale
            cost = float(instance.cost_of(plan.burden).sum())
            assert bound.least(task, "cost", spread) <= cost + 1e-6 * scale
    assert told


def test_more_users_are_bounded_and_audited() -> None:
    instance = mo.generate("lognormal", n=16, seed=1, tightness=0.6)
    options: dict[str, Any] = {"dropout": 0.03, "shock": (0.1, 1.8)}
    plans = [
        mo.solve(instance, "burdens", objective="expenditure", confidence=c, **options)
        for c in (0.5, 0.9)
    ]
    for plan in plans:
        assert plan.status in (mo.Status.FEASIBLE, mo.Status.OPTIMAL)
        assert plan.bound <= plan.objective
        assert mo.audit(instance, plan).ok
        assert plan.withdrawal().stable
    assert plans[0].objective <= plans[1].objective
    assert plans[1].total > instance.thresholds[0]
    assert plans[1].details["crossing"]["low"] >= 0.9 - 1e-9


def test_the_other_objectives_and_rights() -> None:
    instance = mo.generate("lognormal", n=14, seed=2, tightness=0.5)
    for objective in ("provider-surplus", "welfare", "social-cost", "improvement"):
        plan = mo.solve(instance, "burdens", objective=objective, dropout=0.02, confidence=0.9)
        assert mo.audit(instance, plan).ok
        assert plan.level == 1
    free = mo.solve(
        instance, "burdens", objective="expenditure", protocol="none", dropout=0.02, confidence=0.9
    )
    held = mo.solve(instance, "burdens", objective="expenditure", dropout=0.02, confidence=0.9)
    assert free.objective <= held.objective


def test_a_plan_keeps_its_drop_outs_in_a_file(tmp_path: Any) -> None:
    instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[8])
    plan = mo.solve(instance, "burdens", objective="expenditure", dropout=0.03, confidence=0.95)
    path = tmp_path / "plan.json"
    plan.write(path)
    back = mo.read(path)
    assert back.dropout == {"hazard": 0.03, "shock": None, "confidence": 0.95}
    assert mo.audit(instance, back).ok
    assert not mo.audit(instance, back.replace(details={})).ok  # without drop-outs: not held
    worse = back.replace(details={**back.details, "dropout": {**back.dropout, "confidence": 0.999}})
    assert "confidence" in str(mo.audit(instance, worse))


def test_out_of_reach_and_over_budget() -> None:
    instance = mo.Instance(cost=[1, 2], value=1, capacity=4, thresholds=[7])
    plan = mo.solve(instance, "burdens", dropout=0.1, confidence=0.95, objective="expenditure")
    assert plan.status is mo.Status.NULL
    assert "0.81" in plan.reason
    plan = mo.solve(
        instance.replace(budget=1), "burdens", dropout=0.1, confidence=0.5, objective="expenditure"
    )
    assert plan.status is mo.Status.NULL
    assert "short by" in plan.reason


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dropout": 0.1}, "confidence: dropout and confidence go together"),
        ({"confidence": 0.9}, "dropout: dropout and confidence go together"),
        ({"dropout": 0.1, "confidence": 1.5}, "must lie in"),
        ({"dropout": 0.1, "confidence": 0.9, "reserve": 1.0}, "reserve"),
        ({"dropout": 0.1, "confidence": 0.9, "protocol": "sequential"}, "sequential"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    instance = mo.Instance(cost=[1, 2], value=1, capacity=4, thresholds=[3])
    with pytest.raises(mo.MechoptError, match=said):
        mo.solve(instance, "burdens", **options)


def test_the_price_of_safety() -> None:
    instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[8])
    frontier = mo.frontier(
        instance, over="confidence", values=[0.9, 0.95, 0.99], objective="expenditure", dropout=0.03
    )
    spent = [row["expenditure"] for row in frontier]
    assert spent == sorted(spent)
    assert spent[0] == 0 < spent[1]


def test_the_family_with_a_shock() -> None:
    instance = mo.generate("withdrawal-shock", n=300, seed=1, tightness=0.5)
    hazards = mo.withdrawal_shock()
    assert set(instance.group.tolist()) == set(hazards["dropout"])
    plan = mo.solve(instance, "burdens", objective="expenditure")
    found = mo.crossing(instance, plan, **hazards)
    assert found.high < 0.1  # a plan without a reserve does not survive the first losses
    calm = hazards_of(instance, **hazards).states[0][1].mean()
    assert 0.02 < calm < 0.035

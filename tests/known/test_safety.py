"""Plans with a crossing probability: against every way in which sets of users may win."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.dropouts import hazards_of
from mechopt.known.safety import bound, exact
from mechopt.known.safety.aim import SafeAim
from tests.known import safety_cases as brute

CASES = 12  # a block; benchmarks/campaign/brute_force.py runs many more


def instance_of(data: dict[str, Any], **more: Any) -> mo.Instance:
    return mo.Instance(**data, **more)


@pytest.mark.parametrize("block", range(4))
def test_equals_brute_force(block: int) -> None:
    """Tiny problems: least payments, or out of reach."""
    told = sum(brute.compare(*brute.draw(block, case, 1), None) for case in range(CASES))
    assert told


@pytest.mark.parametrize("order", [None, "given", "small-first"])
def test_several_thresholds_equal_brute_force(order: Any) -> None:
    told = sum(brute.compare(*brute.draw(100, case, 2, users=2), order) for case in range(CASES))
    assert told


@pytest.mark.parametrize("order", ["given", "small-first", "large-first"])
def test_in_sequence_equals_brute_force(order: Any) -> None:
    told = sum(brute.compare(*brute.draw(200, case, 1), order) for case in range(4))
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
    options: dict[str, Any] = {"dropout": 0.02, "confidence": 0.9, "time_limit": 2}
    for objective in ("provider-surplus", "welfare", "social-cost", "improvement"):
        plan = mo.solve(instance, "burdens", objective=objective, **options)
        assert mo.audit(instance, plan).ok
        assert plan.level == 1
    free = mo.solve(instance, "burdens", objective="expenditure", protocol="none", **options)
    held = mo.solve(instance, "burdens", objective="expenditure", **options)
    assert free.objective <= held.objective


def test_a_plan_keeps_its_drop_outs_in_a_file(tmp_path: Any) -> None:
    instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[8])
    plan = mo.solve(instance, "burdens", objective="expenditure", dropout=0.03, confidence=0.95)
    path = tmp_path / "plan.json"
    plan.write(path)
    back = mo.read(path)
    assert back.dropout == {"hazard": 0.03, "shock": None, "confidence": 0.95, "level": 1}
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
        ({"dropout": 0.1, "confidence": 0.9, "protocol": "reassign"}, "reassign"),
        (
            {"dropout": 0.1, "confidence": 0.9, "protocol": "sequential", "order": "designed"},
            "designed",
        ),
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


@pytest.mark.parametrize("shock", [None, (0.1, 1.8)])
def test_rows_hold_for_safe_plans(shock: Any) -> None:
    """What bounds a plan from below must hold for every safe plan, also for one that is just so."""
    rng = np.random.default_rng(3)
    capacity = rng.uniform(8, 12, 3000)
    instance = mo.Instance(
        cost=rng.uniform(1, 3, 3000), value=9, capacity=capacity, thresholds=0.7 * capacity.sum()
    )
    hazards = hazards_of(instance, rng.uniform(0.02, 0.05, 3000), shock)
    for confidence in (0.85, 0.95):
        aim = SafeAim(instance, hazards, confidence, False)
        rows = bound._tail_rows(aim)
        assert rows
        for give in (capacity, capacity * (instance.cost < 2.8), np.minimum(capacity, 9)):
            low, high = 0.0, 1.0
            for _ in range(20):  # as little as is safe
                part = (low + high) / 2
                safe = aim.is_safe(aim.crossing(give * part, fine=False))
                low, high = (low, part) if safe else (part, high)
            assert high < 1
            assert all(float(weights @ give) * high >= amount for weights, amount in rows)
            assert any(float(weights @ give) * high < amount * 1.03 for weights, amount in rows)


@pytest.mark.parametrize(("seed", "case", "users"), [(31, 669, 2), (7, 179, 3)])
def test_a_threshold_that_takes_everything_is_in_reach(seed: int, case: int, users: int) -> None:
    """T_2 is all that users have: their shares of T_1 add up to an ulp less than T_2 / T_1."""
    assert brute.compare(*brute.draw(seed, case, 2, users), None)


@pytest.mark.parametrize(
    ("levels", "order", "users"),
    [(1, None, 3), (1, "given", 3), (1, "small-first", 3), (2, None, 2), (2, "given", 2)],
)
def test_whole_units_and_committed_data_equal_brute_force(
    levels: int, order: Any, users: int
) -> None:
    """With least amounts, contacts, steps, fixed burdens and groups; or on top of what is given."""
    told = 0
    kinds = (brute.in_units, brute.committed)[: 1 if order == "small-first" else 2]
    for kind in kinds:
        for case in range(5):
            data, dropouts, rng = brute.draw(1, case, levels, users)
            told += brute.compare(kind(data, rng), dropouts, rng, order)
    assert told


@pytest.mark.parametrize(
    ("n", "unit", "status"), [(12, 0.1, mo.Status.FEASIBLE), (8, 0.5, mo.Status.OPTIMAL)]
)
def test_more_users_in_units_are_bounded_and_audited(n: int, unit: float, status: Any) -> None:
    """Users whose plans are too many to count, and such whose are not; a budget; nobody paid."""
    instance = mo.generate("lognormal", n=n, seed=1, tightness=0.7)
    instance = instance.replace(unit=unit, least=0.2, contact_cost=0.05, payment_step=0.01)
    asked: dict[str, Any] = {"objective": "expenditure", "dropout": 0.03, "confidence": 0.9}
    asked |= {"time_limit": 2} if n > 10 else {}
    for more in ({}, {"protocol": "none"}, {"protocol": "sequential"}):
        plan = mo.solve(instance, "burdens", **asked, **more)
        assert plan.status is status or "protocol" in more
        assert plan.bound <= plan.objective
        assert mo.audit(instance, plan).ok
        assert mo.crossing(instance, plan, 0.03).low >= 0.9 - 1e-9
    for change, more, said in (
        ({}, {"transfers": False}, "paid"),
        ({"budget": 0.3}, {}, "but 0.3 may be spent"),
    ):
        refused = mo.solve(instance.replace(**change), "burdens", **asked, **more)
        if status is mo.Status.OPTIMAL:
            assert refused.status is mo.Status.NULL
            assert said in refused.reason
        else:
            assert refused.status in (mo.Status.NULL, mo.Status.UNKNOWN)


def test_eight_users_are_proved() -> None:
    """Every set of users who may be left is told apart; in sequence between two such bounds."""
    instance = mo.generate("lognormal", n=8, seed=2, tightness=0.7)
    asked: dict[str, Any] = {"objective": "expenditure", "dropout": 0.03, "confidence": 0.9}
    plan = mo.solve(instance, "burdens", **asked)
    assert plan.status is mo.Status.OPTIMAL
    ordered = mo.solve(instance, "burdens", protocol="sequential", **asked)
    free = mo.solve(instance, "burdens", protocol="none", **asked)
    assert free.objective == pytest.approx(ordered.bound, abs=1e-6)
    assert ordered.objective == pytest.approx(plan.objective, abs=1e-6)
    for one in (plan, ordered, free):
        assert mo.audit(instance, one).ok


def test_committed_data_do_not_drop_out() -> None:
    instance = mo.Instance(
        cost=[1, 2, 4], value=6, capacity=10, thresholds=[8], committed=[7.5, 0, 0]
    )
    asked: dict[str, Any] = {"objective": "expenditure", "dropout": 0.1}
    plain = mo.solve(instance, "burdens", objective="expenditure")
    assert mo.crossing(instance, plain, 0.1).high < 0.95
    plan = mo.solve(instance, "burdens", confidence=0.95, **asked)
    assert plan.status is mo.Status.OPTIMAL
    assert plan.details["crossing"]["low"] >= 0.95 - 1e-9
    assert mo.crossing(instance, plan, 0.1).low >= 0.95 - 1e-9
    assert plan.dropout["level"] == 1
    assert plan.total < 10
    with pytest.raises(mo.NotSupported, match="committed"):
        mo.solve(instance.replace(unit=0.5), "burdens", confidence=0.95, **asked)
    with pytest.raises(mo.NotSupported, match="drop-outs the order 'small-first'"):
        mo.solve(instance, "burdens", protocol="sequential", confidence=0.95, **asked)


@pytest.mark.parametrize("rights", [True, False])
def test_only_the_likeliest_sets_bound_what_all_of_them_prove(
    rights: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where few losses are told apart: a bound below the optimum, a plan that is safe above it."""
    for seed in range(2):
        instance = mo.generate("lognormal", n=7, seed=seed, tightness=0.9)
        aim = SafeAim(instance, hazards_of(instance, 0.03, (0.1, 1.5)), 0.93, rights)
        _, proved, ended = exact.solve(aim, "pay", np.inf, np.inf)
        assert ended
        for part in (1.0, 1e-3):  # up to two lost; more
            monkeypatch.setattr(exact, "_TENTH", part)
            plan, least = exact.likely(aim, "pay", np.inf, 10.0)
            assert 0.8 * proved <= least <= proved + 1e-5
            assert plan.value >= proved - 1e-5
            assert aim.is_safe(plan.crossing)

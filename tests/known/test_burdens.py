"""Burdens, subsidy, complete information, one threshold: known answers, brute force, HiGHS."""

from __future__ import annotations

import json
from fractions import Fraction
from math import fsum
from pathlib import Path

import numpy as np
import pytest

import mechopt as mo
from mechopt.exact.prices import LevelProblem
from tests.oracles import brute_force
from tests.problems import random_instance

OBJECTIVES = ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement")


def test_worked_example_without_payments(worked: mo.Instance) -> None:
    plan = mo.solve(worked, "burdens", objective="social-cost", transfers=False)
    assert plan.status is mo.Status.OPTIMAL
    assert plan.burden.tolist() == [6, 2, 0]
    assert plan.objective == 10
    assert plan.bound == pytest.approx(10, abs=1e-12)


def test_worked_example_with_payments(worked: mo.Instance) -> None:
    plan = mo.solve(worked, "burdens", objective="social-cost")
    assert plan.burden.tolist() == [8, 0, 0]
    assert plan.payment.tolist() == [2, 0, 0]
    assert plan.objective == 8


def test_worked_example_out_of_reach(worked: mo.Instance) -> None:
    far = worked.replace(thresholds=[11])
    null = mo.solve(far, "burdens", objective="expenditure", transfers=False)
    assert null.status is mo.Status.NULL
    assert not null.burden.any()
    assert not null.payment.any()
    assert null.shortfall["data"] == 0.5
    assert null.shortfall["payment"] == 0.5
    paid = mo.solve(far, "burdens", objective="expenditure")
    assert paid.burden.tolist() == [6.5, 3, 1.5]
    assert paid.payment.tolist() == [0.5, 0, 0]
    assert paid.objective == 0.5


def test_known_answers(shared_data: Path) -> None:
    cases = json.loads((shared_data / "known_answers.json").read_text())["cases"]
    checked = 0
    for case in cases:
        if not case["id"].startswith("GT15"):
            continue
        given = case["instance"]
        instance = mo.Instance(given["theta"], given["v"], given["cap"], [given["T"]])
        plan = mo.solve(instance, "burdens", objective="expenditure")
        assert plan.objective == pytest.approx(float(Fraction(case["exact"])), abs=1e-12)
        checked += 1
    assert checked == 2


@pytest.mark.parametrize("protocol", ["simultaneous", "sequential", "none"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_brute_force(objective: str, protocol: str) -> None:
    """Vertex enumeration in Fractions: same optimum, same social cost, on tiny instances."""
    rng = np.random.default_rng([len(objective), len(protocol)])
    for _ in range(70):
        instance = random_instance(rng, users=3, exact=True)
        transfers = bool(rng.integers(2))
        best = brute_force.burdens(instance, objective, transfers, protocol)
        plan = mo.solve(
            instance, "burdens", objective=objective, transfers=transfers, protocol=protocol
        )
        if best is None:
            assert plan.status is mo.Status.NULL
            assert not plan.burden.any()
            continue
        value, social_cost = best
        assert plan.status is mo.Status.OPTIMAL
        assert plan.objective == pytest.approx(float(value), rel=1e-9, abs=1e-9)
        assert plan.bound == pytest.approx(float(value), rel=1e-9, abs=1e-9)
        spent = fsum(instance.cost_of(plan.burden).tolist())
        assert spent == pytest.approx(float(social_cost), rel=1e-9, abs=1e-9)
        assert sum(map(Fraction, plan.burden.tolist())) >= instance.exact("thresholds")[0]
        assert mo.audit(instance, plan).ok, str(mo.audit(instance, plan))


@pytest.mark.parametrize("mechanism", ["burdens", "subsidy", "complete-information"])
def test_selection_equals_model(mechanism: str) -> None:
    """The array algorithm and the Pyomo formulation through HiGHS: one optimum."""
    rng = np.random.default_rng(11)
    for trial in range(80):
        instance = random_instance(rng, users=int(rng.integers(1, 9)))
        options = {"objective": OBJECTIVES[trial % 5]}
        if mechanism != "subsidy":
            options["transfers"] = bool(rng.integers(2))
        fast = mo.solve(instance, mechanism, **options)
        slow = mo.solve(instance, mechanism, method="model", **options)
        assert fast.status == slow.status, (trial, fast, slow)
        assert fast.objective == pytest.approx(slow.objective, rel=1e-6, abs=1e-6)
        for plan in (fast, slow):
            audit = mo.audit(instance, plan)
            assert audit.ok, str(audit)
        if fast.status is mo.Status.OPTIMAL:
            assert fsum(instance.cost_of(fast.burden).tolist()) == pytest.approx(
                fsum(instance.cost_of(slow.burden).tolist()), rel=1e-5, abs=1e-5
            )


def test_prices_are_the_duals_of_the_lp() -> None:
    """The selection's data price is the dual of the threshold row of the LP at the chosen level."""
    from mechopt.formulations import burdens as formulation
    from mechopt.solver import highs

    rng = np.random.default_rng(3)
    compared = 0
    while compared < 40:
        instance = random_instance(rng, users=6, budget=False)
        plan = mo.solve(instance, "burdens", objective="social-cost")
        if plan.status is not mo.Status.OPTIMAL:
            continue
        model = formulation.build(instance, objective="social-cost")
        model.reach[1].fix(1)
        compiled = highs.from_pyomo(model)
        row = compiled.row_names().index("threshold")
        solution = highs.solve(compiled.program)
        # At a kink the dual is not unique; both must certify the same value.
        assert solution.objective == pytest.approx(plan.objective, rel=1e-7)
        longer = instance.replace(thresholds=[float(instance.thresholds[0]) * (1 + 1e-7)])
        step = float(longer.thresholds[0]) - float(instance.thresholds[0])
        more = mo.solve(longer, "burdens", objective="social-cost")
        if more.status is mo.Status.OPTIMAL:
            slope = (more.objective - plan.objective) / step
            low, high = sorted([plan.details["data_price"], more.details["data_price"]])
            assert low - 1e-5 * high <= slope <= high * (1 + 1e-5)
            assert solution.row_dual[row] <= high * (1 + 1e-6)
        compared += 1


def test_edges() -> None:
    one = mo.Instance(cost=[2], value=[4], capacity=[5], thresholds=[2])
    assert mo.solve(one, objective="expenditure").burden.tolist() == [2]
    assert mo.solve(one, objective="expenditure").payment.tolist() == [0]
    nobody = mo.Instance(cost=[1, 1], value=0, capacity=4, thresholds=[3])
    assert mo.solve(nobody, objective="expenditure", transfers=False).status is mo.Status.NULL
    paid = mo.solve(nobody, objective="expenditure")
    assert (paid.burden.tolist(), paid.payment.tolist()) == ([3, 0], [3, 0])
    above = nobody.replace(thresholds=[9])
    plan = mo.solve(above, objective="expenditure")
    assert plan.status is mo.Status.NULL
    assert plan.shortfall == {"constraint": "capacity", "data": 1.0, "reachable": 8.0}
    exactly = nobody.replace(thresholds=[8])
    assert mo.solve(exactly, objective="expenditure").burden.tolist() == [4, 4]
    thirds = mo.Instance(cost=3, value=[1, 1, 1], capacity=1, thresholds=[1])
    plan = mo.solve(thirds, objective="expenditure", transfers=False)
    assert plan.status is mo.Status.OPTIMAL
    assert sum(map(Fraction, plan.burden.tolist())) >= 1
    tie = mo.Instance(cost=[1, 1], value=0, capacity=4, thresholds=[4], provider_value=4)
    assert mo.solve(tie).status is mo.Status.NULL  # running earns nothing and costs 4
    assert mo.solve(tie.replace(provider_value=5)).objective == 1


def test_budget() -> None:
    instance = mo.Instance(
        cost=[1, 2, 4], value=6, capacity=10, thresholds=[8], budget=1, provider_value=100
    )
    plan = mo.solve(instance, objective="social-cost")
    assert plan.burden.tolist() == [7, 1, 0]
    assert plan.payment.tolist() == [1, 0, 0]
    short = instance.replace(thresholds=[20], budget=3)
    plan = mo.solve(short, objective="expenditure")
    assert plan.status is mo.Status.NULL
    assert plan.shortfall["constraint"] == "budget"
    assert plan.shortfall["money"] == pytest.approx(plan.shortfall["payment"] - 3)
    explicit = mo.solve(short, objective="expenditure", target=1.0)
    assert explicit.status is mo.Status.INFEASIBLE
    assert explicit.burden is None


def test_bad_options(worked: mo.Instance) -> None:
    with pytest.raises(mo.InvalidOption, match="burdens"):
        mo.solve(worked, "burden")
    with pytest.raises(mo.InvalidOption, match="'welfare'"):
        mo.solve(worked, objective="wellfare")
    with pytest.raises(mo.InvalidOption, match="takes no option 'transfer'"):
        mo.solve(worked, transfer=False)
    with pytest.raises(mo.InvalidOption, match="target"):
        mo.solve(worked, target=0.5)
    with pytest.raises(mo.InvalidOption, match="reserve"):
        mo.solve(worked, reserve=-1)


def test_an_order_to_be_designed_is_any_order_where_it_makes_no_difference() -> None:
    instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[8])
    for mechanism in ("burdens", "floor-and-burdens"):
        plan = mo.solve(instance, mechanism, protocol="sequential", order="designed")
        assert plan.order == "small-first"
        assert plan.metrics["stable"]["sequential"]["stable"]


@pytest.mark.parametrize(("more", "status"), [(0, "optimal"), (Fraction(1, 10**25), "null")])
def test_exact_edges_of_many_users_are_decided(more: Fraction, status: str) -> None:
    random = np.random.default_rng(4)
    cost = [Fraction(int(one), 1000) for one in random.integers(100, 9999, 700)]
    value = [Fraction(int(one), 100) for one in random.integers(0, 900, 700)]
    most = sum(min(Fraction(9, 10), v / c) for v, c in zip(value, cost))
    instance = mo.Instance(cost, value, ["0.9"] * 700, [most + more], provider_value=10**6)
    assert mo.solve(instance, "burdens", transfers=False).status == status
    late = mo.solve(instance, "burdens", transfers=False, time_limit=0.1)
    assert late.status == "unknown"
    assert "longer time limit" in late.reason


def test_exact_edges_of_many_users_with_two_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that users have is enough, a little more is not; what one node leaves open is unknown."""
    random = np.random.default_rng(5)
    cost, value, capacity = (
        [Fraction(int(one), 100) for one in random.integers(1, most, 600)]
        for most in (999, 900, 300)
    )
    top = sum(capacity)
    for more, level in ((Fraction(0), 2), (Fraction(1, 10**25), 1)):
        instance = mo.Instance(
            cost, value, capacity, [top / 2, top + more], ["1/2", 1], provider_value=10**7
        )
        plan = mo.solve(instance, "burdens")
        assert (plan.status, plan.level) == ("optimal", level)
    monkeypatch.setattr(LevelProblem, "consider", lambda *given: None)  # no plan: only the hull
    plan = mo.solve(instance.replace(thresholds=[top / 2, top]), "burdens")
    assert plan.status == "unknown"
    assert "exact search" in plan.reason

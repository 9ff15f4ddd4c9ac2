"""Crossing probabilities: by enumeration, by simulation, and the ways against each other."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.dropouts import laws
from tests.oracles import oracle_dropouts as oracle


def plan_of(x: Any, threshold: float, removable: Any = 1.0) -> mo.Plan:
    instance = mo.Instance(
        cost=1.0, value=1.0, capacity=np.maximum(x, 1.0), removable=removable, thresholds=threshold
    )
    return mo.Plan.from_arrays(instance, x)


@pytest.mark.parametrize("block", range(5))
def test_equals_enumeration(block: int) -> None:
    """500 instances, on and off a grid, with shocks that make some users sure to be lost."""
    rng = np.random.default_rng(block)
    for case in range(100):
        n = int(rng.integers(1, 7))
        x = rng.integers(0, 9, n) / 4 if case % 3 else np.round(rng.random(n) * 4, 6)
        x[0] += 0.25
        removable, hazard = rng.choice([0, 0.5, 1, 1], n), rng.integers(0, 17, n) / 16
        whole = case % 2 == 0
        threshold = max(x.sum() - rng.integers(0, 8) / 4, 0.25) if whole else x.sum() * rng.random()
        shock = (float(rng.integers(0, 5) / 4), float(rng.integers(0, 9) / 4))
        plan = plan_of(x, threshold, removable)
        found = mo.crossing(plan.instance, plan, dropout=hazard, shock=shock)
        burden, share, risk = ([Fraction(v) for v in c.tolist()] for c in (x, removable, hazard))
        slack = sum(burden) - Fraction(threshold) * (1 - Fraction(1, 10**12))
        factors = Fraction(shock[0]), Fraction(shock[1])
        removed = [one * other for one, other in zip(burden, share)]
        probability, pivotal = oracle.mixed(removed, risk, slack, factors)
        assert found.exact
        assert found.low - 1e-12 <= float(probability) <= found.high + 1e-12
        assert found.probability == pytest.approx(float(probability), abs=1e-9)
        low, high = found.pivotal
        exact = np.array([float(one) for one in pivotal])
        assert (low - 1e-9 <= exact).all()
        assert (exact <= high + 1e-9).all()
        assert (high - low).max() < 1e-6


def test_smoothed_bounds_hold_everywhere() -> None:
    rng = np.random.default_rng(1)
    for n in (2, 6, 9):
        amount, hazard = rng.random(n) * 4, rng.random(n) * 0.6
        groups = laws._grouped(amount, hazard)
        total = amount.sum()
        exact = laws._few_losses(*groups, total + 1)
        assert exact is not None
        smoothed = laws._smoothed(*groups)
        at = np.linspace(-0.1, total, 400)
        low, high = smoothed.bounds(at)
        truth = exact.estimate(at)
        assert (low <= truth + 1e-12).all()
        assert (truth <= high + 1e-12).all()
        assert (high - low).mean() < 0.01


def test_whole_units_agree_with_smoothing() -> None:
    """Two ways without common code, at 2,000 users with hazards of their own."""
    rng = np.random.default_rng(2)
    amount = np.rint(rng.lognormal(3.8, 0.4, 2000))
    hazard = rng.random(2000) * 0.06
    groups = laws._grouped(amount, hazard)
    exact = laws._whole_units(*groups, 6000.0)
    assert exact is not None
    at = np.linspace(1500, 6000, 50)
    low, high = laws._smoothed(*groups).bounds(at)
    assert (low <= exact.high[np.searchsorted(exact.high_at, at, side="right") - 1]).all()
    assert (exact.bounds(at)[0] <= high).all()
    assert (high - low).max() < 0.02


@pytest.mark.parametrize("whole", [True, False])
def test_simulation_at_ten_thousand_users(whole: bool) -> None:
    rng = np.random.default_rng(3)
    x = rng.lognormal(3.84, 0.36, 10_000)
    x = np.rint(x) if whole else x
    threshold = x.sum() * 0.97 - 1000
    plan = plan_of(x, threshold)
    found = mo.crossing(plan.instance, plan, dropout=0.028, shock=(0.1, 1.8))
    share, error = oracle.simulated(
        x, np.full(x.size, 0.028), x.sum() - threshold, (0.1, 1.8), 4000, seed=4
    )
    assert abs(found.probability - share) < 3.3 * error
    assert found.high - found.low < (1e-8 if whole else 0.01)


def test_two_users_by_hand() -> None:
    plan = plan_of(np.array([6.0, 4.0]), 4.0)
    found = mo.crossing(plan.instance, plan, dropout=[0.5, 0.25])
    # 4 is left if the second stays, 6 if the first does: only losing both fails
    assert found.probability == pytest.approx(1 - 0.5 * 0.25)
    assert found.pivotal[0].tolist() == pytest.approx([0.25, 0.5])
    assert found.lost == pytest.approx(4)
    assert mo.crossing(plan.instance, plan).probability == 1
    assert "87.5" in str(found)
    assert found.to_dict()["exact"] is True


def test_no_training_without_the_threshold() -> None:
    plan = plan_of(np.array([1.0, 1.0]), 4.0)
    assert mo.crossing(plan.instance, plan, dropout=0.5).high == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dropout": 1.5}, "dropout: must lie in"),
        ({"dropout": [0.1, float("nan"), 0.2]}, "dropout"),
        ({"dropout": [0.1, 0.2]}, "has shape"),
        ({"dropout": 0.1, "shock": 2}, "shock: expected"),
        ({"dropout": 0.1, "shock": (2, 2)}, "probability must lie"),
        ({"dropout": 0.1, "shock": (0.1, -1)}, "shock: must be"),
        ({"dropout": {"x": 0.1}}, "no groups"),
        ({"dropout": "many"}, "dropout"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], said: str) -> None:
    plan = plan_of(np.array([1.0, 2.0, 3.0]), 4.0)
    with pytest.raises(mo.InvalidOption, match=said):
        mo.crossing(plan.instance, plan, **options)

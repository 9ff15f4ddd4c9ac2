"""Instance: definitions of section 1, validation messages, exact view, immutability."""

from __future__ import annotations

import pickle
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.arrays import count_within
from tests.oracles import brute_force
from tests.problems import random_instance

BASE: dict[str, Any] = {"cost": [1, 2, 4], "value": 6, "capacity": 10, "thresholds": [8]}


def test_broadcast_defaults_and_shapes() -> None:
    instance = mo.Instance(**BASE)
    assert (instance.n, instance.levels, instance.linear) == (3, 1, True)
    assert instance.value.tolist() == [6, 6, 6]
    assert instance.shares.tolist() == [1]
    assert instance.reversibility.tolist() == instance.removable.tolist() == [1, 1, 1]
    assert instance.budget == np.inf
    assert instance.ids.tolist() == ["0", "1", "2"]
    assert instance.widths.shape == instance.slopes.shape == (3, 1)


def test_curves_by_definition() -> None:
    """C_i and its inverse against the oracle, segment by segment, in Fractions."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        instance = random_instance(rng, users=3, segments=True, exact=True)
        users = [brute_force.User(instance, i) for i in range(3)]
        part = rng.integers(0, 9, 3) / 8
        burden = part * instance.capacity
        cost = instance.cost_of(burden)
        money = rng.integers(0, 40, 3) / 4
        reach = instance.affordable(money)
        for i, user in enumerate(users):
            assert cost[i] == float(user.cost(Fraction(float(burden[i]))))
            expected = float(user.reach(Fraction(float(money[i]))))
            assert reach[i] == pytest.approx(expected, rel=1e-14)


def test_improvement_steps_at_the_threshold_and_not_before() -> None:
    instance = mo.Instance(**{**BASE, "thresholds": [2, 5], "shares": [0.25, 1]})
    levels = [instance.level_of(x) for x in (0, np.nextafter(2, 0), 2, 4.9, 5, 99)]
    assert levels == [0, 0, 1, 1, 2, 2]
    assert [instance.share_at(k) for k in (0, 1, 2)] == [0, 0.25, 1]


def test_exact_view() -> None:
    instance = mo.Instance(
        cost=[Fraction(1, 3), "2/7", Decimal("0.1")],
        value=2,
        capacity=[1, 2, 3],
        thresholds=["0.3"],
    )
    assert instance.is_exact
    assert instance.exact("cost").tolist() == [Fraction(1, 3), Fraction(2, 7), Fraction(1, 10)]
    assert instance.exact("thresholds").tolist() == [Fraction(3, 10)]
    assert instance.exact("widths").tolist() == [[1], [2], [3]]
    assert not mo.Instance(**{**BASE, "cost": [1.0, 2, 4]}).is_exact
    ragged = mo.Instance(
        cost=1, value=1, segments=([[2], [1, 1]], [[1], [1, "3/2"]]), thresholds=[1]
    )
    assert ragged.widths.tolist() == [[2, 0], [1, 1]]
    assert ragged.slopes.tolist() == [[1, 1], [1, 1.5]]
    assert ragged.exact("capacity").tolist() == [2, 2]


def test_an_exact_threshold_is_reached_exactly() -> None:
    """float(3/10) is less than 3/10: plans must reach the latter."""
    instance = mo.Instance(cost=[1, 1], value=1, capacity=1, thresholds=["3/10"])
    plan = mo.solve(instance, objective="expenditure")
    assert sum(map(Fraction, plan.burden.tolist())) >= Fraction(3, 10)
    assert plan.level == 1


def test_frozen_replace_and_identity() -> None:
    costs = np.array([1.0, 2.0, 4.0])
    instance = mo.Instance(**{**BASE, "cost": costs})
    costs[0] = 99
    assert instance.cost[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        instance.cost[0] = 5
    with pytest.raises(AttributeError, match="replace"):
        instance.budget = 3.0
    other = instance.replace(budget=3)
    assert other.budget == 3
    assert instance.budget == np.inf
    assert other != instance
    assert other.replace(budget=None) == instance
    assert pickle.loads(pickle.dumps(other)) == other
    assert hash(other) == hash(instance.replace(budget=3.0))
    with pytest.raises(mo.InvalidInstance, match="colour"):
        instance.replace(colour=1)
    assert instance.replace(segments=([1, 2], [1, 2])).capacity.tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cost": [1, -2, 4]}, r"cost\[1\]: must be ≥ 0.*got -2"),
        ({"cost": [1, float("nan"), 4]}, r"cost\[1\].*got nan"),
        ({"cost": [1, "-1/3", 4]}, r"cost\[1\].*got -"),
        ({"cost": [1, "x", 4]}, r"cost\[1\]: 'x' is not a number"),
        ({"cost": [1, True, 4]}, r"cost\[1\]: True is not a number"),
        ({"cost": [1, 2]}, r"cost: has 2 entries, but value has 3"),
        ({"value": [1, 1, -1]}, r"value\[2\]: must be ≥ 0"),
        ({"value": float("inf")}, r"value: must be ≥ 0.*finite"),
        ({"capacity": 0}, r"capacity: is 0 for every user"),
        ({"capacity": [1, 2, -1]}, r"capacity\[2\]"),
        ({"capacity": None}, r"capacity: missing"),
        ({"thresholds": [2, 1], "shares": [0.5, 1]}, r"thresholds\[1\]: must exceed"),
        ({"thresholds": [2, 2], "shares": [0.5, 1]}, r"thresholds\[1\]: must exceed"),
        ({"thresholds": [0]}, r"thresholds\[0\]: must be > 0"),
        ({"thresholds": []}, r"thresholds: at least one"),
        ({"thresholds": None}, r"thresholds: missing"),
        ({"thresholds": [1, 2]}, r"shares: missing"),
        ({"shares": [0]}, r"shares\[0\]: must lie in \(0, 1\], got 0"),
        ({"shares": [1.5]}, r"shares\[0\].*got 1.5"),
        ({"thresholds": [1, 2], "shares": [0.5, 0.5]}, r"shares\[1\]: must exceed"),
        ({"shares": [0.5, 1]}, r"shares: has 2 entries, but thresholds has 1"),
        ({"reversibility": 1.2}, r"reversibility: must lie in \[0, 1\].*got 1.2"),
        ({"removable": [0, -0.1, 1]}, r"removable\[1\]"),
        ({"budget": -1}, r"budget: must be ≥ 0"),
        ({"budget": float("nan")}, r"budget.*got nan"),
        ({"provider_value": -1}, r"provider_value"),
        ({"ids": ["a", "b", "a"]}, r"ids\[2\]: 'a' is also the id of user 0"),
        ({"ids": ["a", "", "c"]}, r"ids\[1\]: is empty"),
        ({"segments": ([1, 2], [2, 1])}, r"segments.slopes\[1\]: slopes must not decrease"),
        ({"segments": ([1, -2], [1, 2])}, r"segments.widths\[1\]"),
        ({"segments": ([1], [1, 2])}, r"segments: widths \(1,\) and slopes \(2,\)"),
        ({"segments": ([[1], [1, 2]], [[1], [1]])}, r"segments\[1\].*2 widths and 1 slopes"),
        ({"segments": ([[1], [1, 2]], [1, 1])}, r"segments: widths and slopes must both be lists"),
        ({"cost": [1, 10**400, 1]}, r"cost\[1\].*is not a number"),
        ({"capacity": 9, "segments": ([1, 2], [1, 2])}, r"capacity\[0\].*sum to 3"),
        ({"cost": [], "value": [], "capacity": []}, r"needs at least one user"),
    ],
)
def test_messages(change: dict[str, Any], message: str) -> None:
    given = {**BASE, "value": [6, 6, 6], **change}
    if "segments" in change and "capacity" not in change:
        given["capacity"] = None
    with pytest.raises(mo.InvalidInstance, match=message):
        mo.Instance(**given)


def test_all_problems_at_once() -> None:
    with pytest.raises(mo.InvalidInstance) as caught:
        mo.Instance(cost=[-1, 2], value=[1, -1], capacity=[1, 1], thresholds=[0], shares=[2])
    assert len(caught.value.problems) == 4
    with pytest.raises(mo.InvalidInstance) as caught:
        mo.Instance(cost=[-1] * 20, value=1, capacity=1, thresholds=[1])
    assert len(caught.value.problems) == 6
    assert "and 15 more" in caught.value.problems[-1]


def test_what_is_left_out_is_what_its_default_says() -> None:
    """Columns of a default are one entry seen n times: same content, same answer, no aliasing."""
    cost = np.array([1.0, 2.0, 4.0])
    terms: dict[str, Any] = {"value": 6, "capacity": [5.0, 6.0, 7.0], "thresholds": [8.0]}
    plain = mo.Instance(cost, provider_value=100, **terms)
    zero = np.zeros(3)
    said = mo.Instance(
        cost,
        provider_value=100,
        exclusion=zero,
        committed=zero,
        least=zero,
        unit=zero,
        contact_cost=0.0,
        fixed=np.full(3, np.nan),
        group=["", "", ""],
        reversibility=np.ones(3),
        removable=1.0,
        **terms,
    )
    assert plain == said
    for name in ("exclusion", "committed", "least", "unit", "contact_cost", "fixed", "group"):
        assert getattr(plain, name).shape == (3,)
        assert getattr(plain, name).tolist() == pytest.approx(
            getattr(said, name).tolist(), nan_ok=True
        )
    with pytest.raises(ValueError, match="read-only"):
        plain.committed[0] = 1.0
    plans = [mo.solve(instance) for instance in (plain, said)]
    assert plans[0].burden.tolist() == plans[1].burden.tolist()
    cost[0] = 50.0
    assert plain.cost[0] == said.cost[0] == 1.0


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_levels_are_counted_as_by_search(count: int) -> None:
    random = np.random.default_rng(count)
    bounds = np.sort(random.integers(0, 9, count)).astype(np.float64)
    totals = random.integers(-1, 11, 500).astype(np.float64)
    found = count_within(bounds, totals)
    assert found.tolist() == np.searchsorted(bounds, totals, side="right").tolist()


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf, 1e61, 1e-61, -1e-61])
@pytest.mark.parametrize("field", ["value", "cost", "capacity", "reversibility"])
def test_one_wrong_number_among_many_is_found(field: str, wrong: float) -> None:
    fine = {name: np.full(50, 0.5) for name in ("cost", "value", "capacity", "reversibility")}
    fine[field][31] = wrong
    with pytest.raises(mo.InvalidInstance, match=rf"{field}\[31\]"):
        mo.Instance(**fine, thresholds=3.0)

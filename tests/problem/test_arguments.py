"""What callers pass: private copies of every kind, refusals by place, bounds."""

from __future__ import annotations

import array
import copy
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt import arrays
from mechopt.problem.fields import USER_FIELDS

BASE: dict[str, Any] = {"value": 6, "capacity": 10, "thresholds": [8]}


def kinds() -> list[Any]:
    import pandas as pd
    import polars as pl

    numbers = [1.0, 2.0, 4.0]
    numpy = np.array(numbers)
    return [
        numpy,
        list(numbers),
        pd.Series(numbers),
        pl.Series(numbers),
        array.array("d", numbers),
        memoryview(bytearray(numpy.tobytes())).cast("d"),
        [np.array(1.0), 2.0, 4.0],
    ]


@pytest.mark.parametrize("place", range(7))
def test_an_instance_is_a_private_copy(place: int) -> None:
    raw = kinds()[place]
    instance = mo.Instance(cost=raw, **BASE)
    before = instance.hash
    raw[0] = 0.25
    assert instance.cost.tolist() == [1, 2, 4]
    assert instance.exact("cost").tolist() == [1, 2, 4]
    assert instance.replace(budget=1).cost.tolist() == [1, 2, 4]
    assert instance.replace().hash == before


def test_thresholds_and_segments_are_private_copies() -> None:
    thresholds, widths = np.array([1.0, 2.0]), np.array([[1.0, 2.0], [2.0, 2.0]])
    slopes = np.ones((2, 2))
    instance = mo.Instance(1, 1, None, thresholds, [0.5, 1], segments=(widths, slopes))
    thresholds[0], widths[0, 0], slopes[0, 0] = 0.5, 9, 0.5
    assert instance.replace() == instance
    assert instance.exact("widths").tolist() == [[1, 2], [2, 2]]


def test_exactness_survives_every_container() -> None:
    import pandas as pd
    import polars as pl

    for raw in (
        range(1, 4),
        pd.Series([1, 2, 3]),
        pl.Series([1, 2, 3]),
        np.array(["1", "2", "3"]),
        np.array([Fraction(1), Fraction(2), Fraction(3)]),
        pd.Series(["1", "2", "3"]),
        array.array("q", [1, 2, 3]),
    ):
        assert mo.Instance(cost=raw, **BASE).is_exact, raw


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.ma.array([1.0, 2.0], mask=[True, False]), "cost: is a masked array"),
        (["1_0", 2], r"cost\[0\]: '1_0' is not a number"),
        ([1 + 0j, 2], r"cost\[0\]: \(1\+0j\) is not a number"),
        (np.array([1 + 0j, 2]), r"cost\[0\]: .* is not a number"),
        (np.array([True, False]), "cost: True/False is not a number"),
        ({1, 2}, "cost: is a set"),
        ({"a": 1}, "cost: is a dict"),
        (iter([1, 2]), "cost: is a list_iterator"),
        ([b"1", 2], r"cost\[0\]: b'1' is not a number"),
        ([1e61, 1], r"cost\[0\]: must be at most 1e\+60; choose a larger unit, got 1e\+61"),
        ([5e-324, 1], r"cost\[0\]: must be 0 or at least 1e-60"),
        (["1" * 1001, 1], r"cost\[0\]: a number of 1001 characters is too long"),
    ],
)
def test_what_is_refused(raw: Any, message: str) -> None:
    with pytest.raises(mo.InvalidInstance, match=message):
        mo.Instance(cost=raw, **BASE)


def test_missing_entries_of_series_are_refused_by_row() -> None:
    import pandas as pd

    for raw in (pd.Series([1, None]), pd.Series([1, pd.NA], dtype="Int64")):
        with pytest.raises(mo.InvalidInstance, match=r"cost\[1\]"):
            mo.Instance(cost=raw, **BASE)


def test_series_with_other_indexes_are_refused_and_labels_become_ids() -> None:
    import pandas as pd

    cost = pd.Series([1, 2], index=["ana", "bo"])
    value = pd.Series([3, 4], index=["bo", "ana"])
    with pytest.raises(mo.InvalidInstance, match=r"value: has another index than cost.*reindex"):
        mo.Instance(cost=cost, value=value, capacity=10, thresholds=[1])
    instance = mo.Instance(cost=cost, value=value.reindex(cost.index), capacity=10, thresholds=[1])
    assert instance.ids.tolist() == ["ana", "bo"]
    assert instance.value.tolist() == [4, 3]
    assert not mo.Instance(cost=pd.Series([1, 2]), **BASE).has_ids


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", None], r"ids\[1\]: None is no name"),
        (["a", 1.5], r"ids\[1\]: 1.5 is no name"),
        (["a", "\ud800"], r"ids\[1\]: is no valid text"),
        (["a", "b\0"], r"ids\[1\]: has a NUL character"),
    ],
)
def test_ids_that_are_no_names(ids: Any, message: str) -> None:
    with pytest.raises(mo.InvalidInstance, match=message):
        mo.Instance(cost=[1, 2], ids=ids, **BASE)


def test_message_is_short_whatever_the_input() -> None:
    with pytest.raises(mo.InvalidInstance) as caught:
        mo.Instance(cost=["x" * 10**6] * 3, value=["y"] * 3, capacity=1, thresholds=[-1] * 50)
    assert len(str(caught.value).encode()) <= 2000


def test_arrays_are_read_only_after_unpickling() -> None:
    instance = pickle.loads(pickle.dumps(mo.Instance(cost=[1.0, 2.0], **BASE)))
    for field in USER_FIELDS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(instance, field.name)[0] = 9


def test_own_is_the_identity_on_what_cannot_change() -> None:
    for raw in (1, 1.5, "1/3", Fraction(1, 3), None):
        assert arrays.own(raw) is raw


def test_plans_and_mechanisms_are_pickled_and_copied_after_their_metrics() -> None:
    plan = mo.solve(mo.Instance(cost=[1, 2, 4], **BASE), "burdens", objective="expenditure")
    assert plan.metrics["data"] == 8
    assert not plan.withdrawal().deviations
    group = mo.Group(2, [1, 2], [0.5, 0.5], value=1, capacity=10)
    mechanism = mo.solve(mo.Population([group], [1.25]), "direct", objective="improvement")
    assert mechanism.metrics
    for answer in (plan, mechanism):
        for again in (pickle.loads(pickle.dumps(answer)), copy.copy(answer), copy.deepcopy(answer)):
            assert again.metrics == answer.metrics
            with pytest.raises(ValueError, match="read-only"):
                again.burden[0] = 9
    population = pickle.loads(pickle.dumps(mechanism.population))
    for column in (population.thresholds, population.shares, population.groups[0].costs):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 9


def test_a_plan_is_a_private_copy() -> None:
    instance = mo.Instance(cost=[1, 2, 4], **BASE)
    burden = np.array([8.0, 0, 0])
    plan = mo.Plan.from_arrays(instance, burden)
    burden[0] = 9
    assert plan.exact("burden").tolist() == [8, 0, 0]
    assert plan.burden is not None
    with pytest.raises(ValueError, match="read-only"):
        plan.burden[0] = 9


def test_group_and_instance_agree_on_segments() -> None:
    """Widths of 0 are allowed in both; capacity must be their sum up to rounding in both."""
    widths, slopes = [0.1, 0, 0.2], [1, 2, 3]
    given: dict[str, Any] = {"value": 1, "segments": (widths, slopes)}
    group = mo.Group(1, [1], [1], capacity=0.3, **given)
    instance = mo.Instance(1, capacity=0.3, thresholds=[1], **given)
    burden = np.array([0.05, 0.1, 0.2, 0.3])
    shaped = [float(instance.cost_of(np.array([x]))[0]) for x in burden]
    assert group.shape(burden) == pytest.approx(shaped, abs=1e-15)
    assert group.exact("widths").size == group.widths.size == 2
    for make in (
        lambda: mo.Group(1, [1], [1], capacity=0.3 + 1e-10, **given),
        lambda: mo.Instance(1, capacity=0.3 + 1e-10, thresholds=[1], **given),
    ):
        with pytest.raises(mo.InvalidInput, match="segment widths sum"):
            make()

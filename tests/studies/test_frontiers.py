"""Frontiers: rows are those of single solves, monotone where theory says so, written and drawn."""

from __future__ import annotations

import csv
import json
from itertools import pairwise

import numpy as np
import pytest

import mechopt as mo
from tests.oracles import oracle_levels as oracle


@pytest.fixture(scope="module")
def instance() -> mo.Instance:
    return mo.Instance(
        cost=[1, 2, 4, 3],
        value=[6, 6, 6, 2],
        capacity=[10, 10, 10, 4],
        thresholds=[6, 11, 20],
        shares=[0.4, 0.8, 1],
        provider_value=40,
    )


def test_rows_are_single_solves(instance: mo.Instance) -> None:
    table = mo.frontier(instance, "burdens", over="budget", values=[0, 2, 8, None])
    assert [row["budget"] for row in table] == [0, 2, 8, np.inf]
    for row, plan in zip(table, table.plans):
        budget = None if row["budget"] == np.inf else row["budget"]
        alone = mo.solve(instance.replace(budget=budget), "burdens")
        assert row["objective"] == pytest.approx(alone.objective)
        assert row["status"] == alone.status == plan.status
        assert row["share"] == alone.share


@pytest.mark.parametrize("protocol", ["simultaneous", "sequential"])
def test_more_budget_and_more_value_never_hurt(instance: mo.Instance, protocol: str) -> None:
    for over in ("budget", "provider_value"):
        table = mo.frontier(instance, over=over, values=[0, 1, 3, 10, 30], protocol=protocol)
        surplus = [row["provider_surplus"] for row in table]
        assert all(late >= early - 1e-9 for early, late in pairwise(surplus))
        shares = [row["share"] for row in table]
        if over == "provider_value":  # a larger V moves the optimum to weakly higher levels
            assert shares == sorted(shares)


@pytest.mark.parametrize("over", ["budget", "provider_value", "reversibility"])
@pytest.mark.parametrize("mechanism", ["burdens", "subsidy", "posted-price"])
def test_rows_in_between_are_what_a_solve_finds(
    over: str, mechanism: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row equals its own solve, though few rows are solved."""
    rng = np.random.default_rng(5)
    solve, calls = mo.solve, []
    monkeypatch.setattr("mechopt.solving.solve", lambda *a, **k: calls.append(1) or solve(*a, **k))
    for objective in ("provider-surplus", "expenditure", "welfare", "improvement"):
        instance = oracle.generic_instance(rng, 6, 3).replace(provider_value=30.0)
        most = 1.0 if over == "reversibility" else 60.0
        table = mo.frontier(
            instance,
            mechanism,
            over=over,
            values=np.linspace(0, most, 17),
            objective=objective,
        )
        for row in table:
            alone = solve(instance.replace(**{over: row[over]}), mechanism, objective=objective)
            assert row["status"] == alone.status
            assert row["share"] == alone.share
            if alone.objective is None:
                assert row["objective"] is None
            else:
                assert row["objective"] == pytest.approx(alone.objective, abs=1e-9)
    assert len(calls) < 4 * 17 or (over, mechanism) == ("reversibility", "posted-price")


def test_less_reversibility_never_costs_more(instance: mo.Instance) -> None:
    table = mo.frontier(
        instance, over="reversibility", values=[0, 0.5, 0.8, 1], objective="expenditure"
    )
    paid = [row["expenditure"] for row in table]
    assert paid == sorted(paid)


def test_rows_without_an_answer_say_so(instance: mo.Instance) -> None:
    table = mo.frontier(
        instance, over="budget", values=[0, 100], objective="expenditure", target=1.0
    )
    assert table[0]["status"] == "infeasible"
    assert table[0]["share"] is None
    assert table[1]["share"] == 1.0


def test_written_and_drawn(instance: mo.Instance, tmp_path) -> None:
    table = mo.frontier(instance, over="budget", values=[0, 5, None])
    table.write(tmp_path / "frontier.csv")
    with open(tmp_path / "frontier.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["share"]) for row in rows] == [row["share"] for row in table]
    table.write(tmp_path / "frontier.json")
    assert len(json.loads((tmp_path / "frontier.json").read_text("utf-8"))) == 3
    figure = table.plot(tmp_path / "frontier.png")
    assert (tmp_path / "frontier.png").stat().st_size > 1000
    assert figure.axes[0].get_ylabel() == "share of the improvement"
    with pytest.raises(mo.InvalidOption, match=r"frontier\.txt"):
        table.write(tmp_path / "frontier.txt")


def test_invalid_options(instance: mo.Instance) -> None:
    with pytest.raises(mo.InvalidOption, match="over"):
        mo.frontier(instance, over="capacity", values=[1])
    with pytest.raises(mo.InvalidOption, match="values"):
        mo.frontier(instance, over="budget", values=[])
    with pytest.raises(mo.InvalidOption, match=r"values\[1\]"):
        mo.frontier(instance, over="budget", values=[1, "two"])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("over", "objective"), [("threshold", "expenditure"), ("budget", "social-cost")]
)
def test_kinks_inside_a_level_are_exact(seed: int, over: str, objective: str) -> None:
    rng = np.random.default_rng(seed)
    n = 6
    cost, value, capacity = rng.uniform(0.5, 3, n), rng.uniform(0, 3, n), rng.uniform(1, 4, n)
    free = float(np.minimum(capacity, value / cost).sum())
    instance = mo.Instance(
        cost=cost, value=value, capacity=capacity, thresholds=[0.5 * (free + capacity.sum())]
    )
    if over == "threshold":
        ends = [0.5 * free, 0.9 * float(capacity.sum())]
    else:
        least = mo.solve(instance, "burdens", objective="expenditure").objective
        ends = [1.01 * least, 2.5 * least + 1]
    found = mo.frontier(instance, over=over, values=ends, objective=objective, breakpoints=True)
    at = [row[over] for row in found]
    assert {(a, b) for a, b in pairwise(at)} == found.straight  # all of it is known
    assert len(at) <= 2 * n + 4
    for x in rng.uniform(*ends, 25).tolist():
        change = {"thresholds": [x]} if over == "threshold" else {"budget": x}
        plan = mo.solve(instance.replace(**change), "burdens", objective=objective)
        for column in ("expenditure", "social_cost"):
            line = np.interp(x, at, [row[column] for row in found])
            assert plan.metrics[column] == pytest.approx(line, rel=1e-7, abs=1e-9)


def test_welfare_counts_what_contacts_cost() -> None:
    instance = mo.Instance(
        cost=[1, 2, 3, 4], value=3, capacity=4, thresholds=[5, 9], shares=[0.5, 1],
        provider_value=40, contact_cost=0.5,
    )  # fmt: skip
    table = mo.frontier(instance, over="budget", values=[2, 10, 20])
    assert table.rows[-1]["welfare"] < table.rows[-1]["provider_surplus"] + 12
    for row, plan in zip(table, table.plans):
        names = ("welfare", "provider_surplus", "expenditure", "social_cost")
        assert [row[name] for name in names] == [plan.metrics[name] for name in names]

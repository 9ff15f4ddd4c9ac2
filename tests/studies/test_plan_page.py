"""The page of a plan: everything a manager asks for, in one file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mechopt as mo
from mechopt import cli
from mechopt.studies.plan_page import plan_page
from tests.pages import Page


def page_of(plan: mo.Plan) -> str:
    text = plan_page(plan)
    assert not Page(text).open
    assert not re.search(r"<script|src=|url[(]|https?://", text)
    return text


def test_a_plan_beside_the_posted_price() -> None:
    instance = mo.Instance(
        cost=[1, 2, 4], value=6, capacity=10, thresholds=[11], provider_value=100,
        ids=["ana", "<b>ben", "cleo"],
    )  # fmt: skip
    text = page_of(mo.solve(instance, "burdens"))
    for part in (
        "Ask 3 of 3 people for 11 data",
        "best posted price pays",
        "everybody stays",
        "closest to leaving",
        "Fairness",
        "Assumptions",
        "&lt;b&gt;ben",
        "training still",
    ):
        assert part in text
    assert "<b>ben" not in text


def test_who_leaves_is_said() -> None:
    instance = mo.Instance(cost=1, value=[1, 1, 9], capacity=5, thresholds=[6])
    text = page_of(mo.Plan.from_arrays(instance, [2, 2, 5]))
    assert "somebody leaves" in text
    assert "people leave" in text


def test_groups_and_nothing() -> None:
    instance = mo.Instance(
        cost=1, value=[1, 1, 9], capacity=5, thresholds=[6], group=["a", "b", "b"]
    )
    assert "<td>b</td>" in page_of(mo.solve(instance, "burdens", objective="expenditure"))
    assert "Nothing is asked" in page_of(mo.Plan.null(instance))
    with pytest.raises(mo.InvalidPlan):
        plan_page(mo.Plan(instance=instance, status=mo.Status.INFEASIBLE))


def test_the_command(tmp_path: Path) -> None:
    instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[8])
    plan = mo.solve(instance, objective="expenditure", dropout=0.03, confidence=0.95)
    plan.write(tmp_path / "plan.json")
    out = tmp_path / "page.html"
    assert cli.main(["report", str(tmp_path / "plan.json"), "-o", str(out), "--quiet"]) == 0
    assert "96.9 %" in out.read_text()
    instance.write(tmp_path / "instance.json")
    assert cli.main(["report", str(tmp_path / "instance.json"), "-o", str(out)]) == 2


def test_losses_are_said_in_words() -> None:
    instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[8])
    plan = mo.solve(
        instance,
        objective="expenditure",
        dropout=[0.01, 0.02, 0.02],
        shock=(0.1, 2),
        confidence=0.9,
    )
    page = plan_page(plan)
    assert "drop out: 1.0 % to 2.0 %; with probability 10.0 % a common shock multiplies" in page
    assert "Training is to happen with probability 90.0 %." in page
    assert "{" not in page.split("<h2>Assumptions</h2>")[1]

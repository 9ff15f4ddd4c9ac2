"""Explanations, safety, simulation and exact breakpoints: what is said is what is computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.cli import main
from mechopt.studies.explaining import price_of_levels
from mechopt.studies.safety import safety


def four(**changes: Any) -> mo.Instance:
    given: dict[str, Any] = {
        "cost": [1, 2, 4, 3],
        "value": [6, 6, 6, 2],
        "capacity": [10, 10, 10, 8],
        "thresholds": [8.0, 20.0],
        "shares": [0.5, 1.0],
        "ids": ["ana", "ben", "cy", "dan"],
    }
    return mo.Instance(**{**given, **changes})


@pytest.fixture(scope="module")
def plan() -> mo.Plan:
    return mo.solve(four(budget=30), "burdens", objective="expenditure")


def test_five_sentences_about_a_person(plan: mo.Plan) -> None:
    said = plan.explain("ana").splitlines()
    assert len(said) == 5
    assert "asked for 10 of at most 10 data" in said[0]
    assert "paid 7" in said[0]
    assert "pivotal" in said[3]
    assert "10 short: level 1 instead of 2" in said[4]


def test_the_neighbouring_problems_of_a_plan(plan: mo.Plan) -> None:
    said = plan.explain()
    higher = mo.solve(four(budget=30, thresholds=[8, 21]), "burdens", objective="expenditure")
    assert plan.objective is not None
    assert f"cost the provider {higher.objective - plan.objective:g} more" in said
    assert "budget would change nothing" in said


def test_who_is_not_asked_and_who_is_unknown() -> None:
    plan = mo.solve(four(thresholds=[8.0, 12.0]), "burdens", objective="social-cost")
    left_out = str(plan.instance.ids[int(np.argmin(plan.burden))])
    assert "asked for nothing" in plan.explain(left_out)
    with pytest.raises(mo.InvalidOption, match="did you mean 'ana'"):
        plan.explain("anna")


def test_a_null_outcome_names_the_price_of_every_level() -> None:
    plan = mo.solve(four(budget=1), "burdens", objective="expenditure")
    assert plan.status == "null"
    said = "\n".join(price_of_levels(plan))
    one = mo.solve(four(), "burdens", objective="expenditure", target=0.5)
    assert f"level 1 (8 data, share 0.5): costs {one.objective:.6g}" in said
    assert f"--budget {one.objective:.6g}" in said


def test_safety_is_said_where_it_matters() -> None:
    rng = np.random.default_rng(3)
    instance = mo.Instance(
        cost=rng.lognormal(0, 0.5, 200), value=3.0, capacity=5.0, thresholds=[300.0]
    )
    plan = mo.solve(instance, "burdens", objective="expenditure")
    found = safety(plan)
    assert found is not None
    assert found.pivotal == found.asked > 50
    assert found.kept < 0.6
    assert found.kept_with is not None
    assert found.kept_with >= 0.99
    assert any("--reserve" in line for line in found.lines())
    late = safety(plan.replace(seconds=1.0, options={**plan.options, "time_limit": 1.0}))
    assert late is not None  # the limit is used up: nothing is solved again
    assert late.reserve is None
    with_reserve = mo.solve(
        instance, "burdens", objective="expenditure", reserve=float(found.reserve or 0)
    )
    assert found.price == pytest.approx(with_reserve.objective - plan.objective, abs=1e-6)


def test_breakpoints_over_the_budget_are_what_the_levels_cost() -> None:
    found = mo.frontier(
        four(), over="budget", values=[0, 20, 40], objective="improvement", breakpoints=True
    )
    prices = [
        mo.solve(four(), "burdens", objective="expenditure", target=share).objective
        for share in (0.5, 1.0)
    ]
    assert found.breakpoints == pytest.approx(prices, rel=1e-9)
    assert [row["share"] for row in found] == [0, 0, 0.5, 0.5, 0.5, 1, 1]
    assert len(str(found).splitlines()) == len(found) + 2
    assert "\n" not in repr(found)
    assert len(repr(found)) < 80


def test_breakpoints_over_the_value_are_where_levels_are_worth_the_same() -> None:
    found = mo.frontier(four(), over="provider_value", values=[0, 80], breakpoints=True)
    one, two = (
        mo.solve(four(), "burdens", objective="expenditure", target=share).objective
        for share in (0.5, 1.0)
    )
    assert found.breakpoints == pytest.approx([2 * one, 2 * (two - one)], rel=1e-8)


def test_a_picture_joins_only_what_was_computed(tmp_path: Path) -> None:
    found = mo.frontier(
        four(), over="budget", values=[0, 40], objective="improvement", breakpoints=True
    )
    figure = found.plot(tmp_path / "f.svg", columns=["expenditure"])
    for line in figure.axes[0].get_lines():
        if line.get_linestyle() == "-":
            assert len(set(line.get_ydata())) == 1


def test_words_are_explained_where_they_are_met(tmp_path: Path, capsys: Any) -> None:
    users = tmp_path / "instance.json"
    four(thresholds=[1000.0], shares=[1.0]).write(users)
    assert main(["solve", str(users)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "A1, the threshold is reached; A2, nobody is asked for more" in said
    assert "pivotal" not in said
    assert said.count("short by") == 1


def test_the_commands(tmp_path: Path, capsys: Any) -> None:
    plan = mo.solve(four(), "burdens", objective="expenditure")
    path, users = tmp_path / "plan.json", tmp_path / "instance.json"
    plan.write(path)
    four().write(users)
    assert main(["explain", str(path), "ana"]) == 0
    assert "ana is asked for" in capsys.readouterr().out
    assert main(["explain", str(path), "nobody"]) == 2
    assert "nobody has the id" in capsys.readouterr().err
    with pytest.raises(mo.InvalidOption, match="did you mean '007'"):
        mo.solve(four(ids=["007", "8", "9", "70"])).explain("7")
    assert main(["simulate", str(path), "--draws", "200", "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["draws"] == 200
    out = tmp_path / "f.csv"
    said_values = ["--values", "0:40:20", "--out", str(out)]
    assert main(["frontier", str(users), "--over", "budget", *said_values]) == 0
    assert "the level changes at budget" in capsys.readouterr().out
    assert out.read_text().startswith("budget,share,expenditure")
    assert main(["frontier", str(users), "--values", "0:x:1"]) == 2


def test_an_audit_says_the_cause_first_and_once() -> None:
    rng = np.random.default_rng(1)
    instance = mo.Instance(
        cost=rng.lognormal(0, 0.5, 300), value=6.0, capacity=5.0, thresholds=[500.0]
    )
    plan = mo.solve(instance, "burdens", objective="social-cost")
    burden = np.array(plan.burden)
    burden[np.argmax(burden)] -= 0.7
    verdict = mo.audit(instance, mo.Plan.from_arrays(instance, burden, plan.payment))
    lines = str(verdict).splitlines()
    assert "499.3 of 500 data: 0.7 short of the first threshold" in lines[1]
    assert len(verdict.violations) > 50
    assert len(lines) <= 4
    assert "which follows from the first line" in lines[2]


def test_tables_print_small() -> None:
    table = mo.compare({"a/0": four(), "a/1": four(budget=3)}, ["burdens"], ["simultaneous"])
    assert repr(table) == "Table(2 rows)"
    assert len(str(table).splitlines()) == 2


def test_a_short_budget_says_what_it_does_buy() -> None:
    """By hand: unpaid 3 + 3 + 1.5 are given, 2 of money buys 2 / 1 more of the cheapest."""
    instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[20], budget=2)
    plan = mo.solve(instance, "burdens", objective="expenditure")
    assert plan.status == "null"
    said = "\n".join(price_of_levels(plan))
    assert "What can be had as things are: 12.5 data for 2, 7.5 less than the first" in said
    again = instance.replace(thresholds=[float(said.split("--threshold ")[1].rstrip("."))])
    assert mo.solve(again, "burdens", objective="expenditure").status == "optimal"
    unpaid = mo.solve(instance, "burdens", objective="social-cost", transfers=False)
    assert "10.5 data for 0" in "\n".join(price_of_levels(unpaid))


def test_explanations_count_what_is_committed_and_who_is_excluded() -> None:
    instance = mo.Instance(
        [1, 2, 4],
        6,
        10,
        [8],
        exclusion=[0.5, 1, 0],
        committed=[1, 0, 0.5],
        ids=["ana", "ben", "cy"],
    )
    plan = mo.solve(instance, "burdens", objective="expenditure")
    said = " ".join(plan.explain("ana").split())
    assert "1 of the cost was borne before, for 1 committed" in said
    assert "leaving takes back 6 of the cost and gives up 6 of benefit" in said
    assert "staying is better by 0 (just enough)" in said
    assert "all of it is committed" in plan.explain("cy")
    safe = mo.solve(instance.replace(committed=0), "burdens", reserve=3)
    held = " ".join(safe.explain("ben").split())
    assert "not pivotal" in held
    assert "(exclusion counts)" in held


def test_explanations_say_what_a_part_and_a_refusal_would_do() -> None:
    instance = mo.Instance([1, 2, 4], 6, 10, [8], provider_value=100, ids=["ana", "ben", "cy"])
    part = mo.solve(instance, "burdens", withdrawal="part", transfers=False)
    assert "Any part may be taken back" in part.explain("ana")
    again = mo.solve(instance, "burdens", protocol="reassign")
    assert "the mechanism is run again without ana, level 1 is reached" in again.explain("ana")


def test_explanations_name_the_group_whose_limit_binds() -> None:
    instance = mo.Instance(
        [1.5, 2, 4], 0, 10, [12], unit=0.5, contact_cost=0.5, ids=["a", "b", "c"],
        group=["de", "de", "fr"], group_least={"fr": 2},
    )  # fmt: skip
    plan = mo.solve(instance, "burdens")
    assert "It counts for the least of group 'fr' (2 data), which binds" in plan.explain("c")
    assert "the dearest unit asked of anybody costs 1.5" in " ".join(plan.explain("b").split())
    assert "the least of group 'fr' (2 data)" in " ".join(plan.explain().split())
    poor = mo.solve(instance.replace(budget=5), "burdens")
    assert "as everybody" in poor.explain("c")

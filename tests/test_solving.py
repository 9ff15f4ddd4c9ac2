"""`solve`: one set of defaults and checks, in Python and on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mechopt as mo
from mechopt import cli
from mechopt.files import write

THREE = {"cost": [1, 2, 4], "value": 6, "capacity": 10}
PAIR = mo.Group(size=2, costs=[1, 2], probabilities=[0.5, 0.5], value=1, capacity=10)

PROBLEMS: dict[str, tuple[Any, str, str]] = {
    "nothing given": (mo.Instance(**THREE, thresholds=[11]), "burdens", "expenditure"),
    "a value": (
        mo.Instance(**THREE, thresholds=[11], provider_value=9, budget=1),
        "burdens",
        "provider-surplus",
    ),
    "a budget": (mo.Instance(**THREE, thresholds=[11], budget=1), "burdens", "expenditure"),
    "a budget, levels": (
        mo.Instance(**THREE, thresholds=[8, 11], shares=[0.5, 1], budget=0.1),
        "burdens",
        "improvement",
    ),
    "population": (mo.Population([PAIR], thresholds=[1.25]), "direct", "expenditure"),
    "population with a value": (
        mo.Population([PAIR], thresholds=[1.25], provider_value=3),
        "direct",
        "provider-surplus",
    ),
    "population, expected budget, levels": (
        mo.Population([PAIR], thresholds=[1, 2], shares=[0.5, 1], expected_budget=0.1),
        "direct",
        "improvement",
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_same_defaults_in_python_and_on_the_command_line(
    problem: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked, mechanism, objective = PROBLEMS[problem]
    answer = mo.solve(asked)
    assert (answer.mechanism, answer.objective_name) == (mechanism, objective)
    path = tmp_path / "problem.json"
    write(asked, path)
    assert cli.main(["solve", str(path), "--format", "json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert (said["mechanism"], said["objective_name"]) == (mechanism, objective)
    assert said["objective"] == pytest.approx(answer.objective, rel=1e-9)


def test_models_take_the_same_objective() -> None:
    costly = mo.Instance(**THREE, thresholds=[11])
    model = mo.build_model(costly, "burdens")
    same = mo.build_model(costly, "burdens", objective="expenditure")
    assert str(model.objective.expr) == str(same.objective.expr)


def test_a_target_names_the_objective() -> None:
    instance, _, _ = PROBLEMS["a budget, levels"]
    assert mo.solve(instance, target=0.5).objective_name == "expenditure"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"order": "nonsense"}, "order: 'nonsense' is not known; choose from small-first"),
        ({"order": [1, 2]}, "got 2 positions"),
        ({"order": [0, 1, 1]}, "user 1 must occur exactly once|user 2 must occur"),
        ({"order": 3.5}, r"got 3\.5"),
        ({"protocol": "simultan"}, "did you mean 'simultaneous'"),
        ({"protocol": "weekly"}, "is not known. Choose from: simultaneous"),
        ({"objective": "expediture"}, "did you mean 'expenditure'"),
        ({"target": 2}, "target"),
        ({"reserve": True}, "reserve"),
        ({"time_limit": -1}, "time_limit: must be ≥ 0"),
        ({"time_limit": "5"}, "time_limit"),
        ({"seed": 1.5}, "seed: must be a whole number"),
        ({"transfers": 0}, "transfers: must be True or False"),
    ],
)
@pytest.mark.parametrize("protocol", ["simultaneous", "sequential"])
def test_every_option_is_checked_used_or_not(
    options: dict[str, Any], said: str, protocol: str
) -> None:
    instance = mo.Instance(**THREE, thresholds=[11])
    options = {"protocol": protocol, **options}
    with pytest.raises(mo.InvalidOption, match=said):
        mo.solve(instance, "burdens", **options)


def test_seed_and_time_limit_may_be_given_to_every_mechanism() -> None:
    instance = mo.Instance(**THREE, thresholds=[11])
    for mechanism in ("posted-price", "posted-contract", "subsidy", "complete-information"):
        assert mo.solve(instance, mechanism, time_limit=5, seed=3).has_answer
    with pytest.raises(mo.InvalidOption, match="time_limit"):
        mo.solve(instance, "subsidy", time_limit=-5)

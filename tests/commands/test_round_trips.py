"""Every mechanism × kind of problem × option through the command line, and back from the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt import cli, registry
from mechopt.files import write

GROUP = mo.Group(size=2, costs=[1, 2], probabilities=[0.5, 0.5], value=1, capacity=10)
PROBLEMS: dict[str, Any] = {
    "instance": mo.Instance(
        cost=[1, 2, 4],
        value=6,
        capacity=10,
        thresholds=[8, 11],
        shares=[0.6, 1],
        ids=["a", "b", "c"],
    ),
    "one threshold": mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[11]),
    "population": mo.Population([GROUP], thresholds=[1.25], provider_value=3),
}
KIND = {"instance": "instance", "one threshold": "instance", "population": "population"}
# what --help names, with the mechanisms that take it (None: all)
OPTIONS: dict[str, tuple[str, ...] | None] = {
    "": None,
    "--objective welfare": None,
    "--objective expenditure --target 0.5": None,
    "--objective social-cost": None,
    "--objective improvement": None,
    "--no-transfers": ("burdens", "direct"),
    "--protocol sequential": ("burdens",),
    "--protocol sequential --order large-first": ("burdens",),
    "--protocol sequential --order 2,0,1": ("burdens",),
    "--protocol coalition": ("burdens",),
    "--protocol none": ("burdens",),
    "--reserve 0.5": ("burdens",),
    "--price 2": ("posted-price",),
    "--payment 8 --floor 4": ("posted-contract",),
    "--incentive bic": ("direct",),
    "--participation interim": ("direct",),
    "--no-withdrawal-rights": ("direct",),
    "--deterministic": ("direct", "complete-information"),
    "--seed 3 --time-limit 5": None,
    "--threshold 9 --share 1": None,
    "--budget 20": None,
    "--provider-value 100": None,
    "--exact": None,
}
OF_INSTANCES = ("--threshold", "--budget", "--provider-value")


def cases() -> list[tuple[str, str, str]]:
    found = []
    for problem, kind in KIND.items():
        for mechanism, places in registry.MECHANISMS.items():
            for option, taken in OPTIONS.items():
                if kind not in places or (taken is not None and mechanism not in taken):
                    continue
                if kind == "population" and option.startswith(OF_INSTANCES):
                    continue
                if option == "--deterministic" and kind == "instance":
                    continue
                if mechanism == "rule" and ("objective" in option or option == "--exact"):
                    continue
                found.append((problem, mechanism, option))
    return found


def run(capfd: pytest.CaptureFixture[str], *command: str) -> tuple[int, Any]:
    status = cli.main([*command, "--format", "json"])
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return status, json.loads(out) if out else err


@pytest.mark.parametrize(("problem", "mechanism", "option"), cases())
def test_through_the_command_line_and_back(
    problem: str, mechanism: str, option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "problem.json"
    write(PROBLEMS[problem], given)
    out = tmp_path / "answer.json"
    status, said = run(
        capfd, "solve", str(given), "--mechanism", mechanism, *option.split(), "--out", str(out)
    )
    if status == 2:  # refused in words
        assert isinstance(said, str)
        assert said.startswith("mechopt: ")
        assert not out.exists()
        assert option.startswith(("--exact", "--protocol coalition")), said
        return
    assert status in (0, 3, 4), said
    answer = mo.read(out, allow_outside=True)
    if option != "--exact":
        for name in ("mechanism", "status", "objective_name", "objective", "bound", "gap"):
            assert said[name] == pytest.approx(getattr(answer, name)), name
    assert str(answer) == answer.summary() != ""
    asked = answer.instance if isinstance(answer, mo.Plan) else answer.population
    assert mo.audit(asked, answer).ok or mechanism == "rule" or "none" in option
    assert bool(answer.metrics) == answer.has_answer
    again = type(answer).from_dict(json.loads(json.dumps(answer.to_dict())))
    assert again.to_dict() == answer.to_dict()
    assert again.metrics == answer.metrics
    checked, verdict = run(capfd, "check", str(out), "--allow-outside")
    if answer.has_answer:
        assert checked in (0, 3)
        assert verdict["ok"] == (checked == 0)


@pytest.mark.parametrize("transfers", [True, False])
@pytest.mark.parametrize("objective", ["provider-surplus", "welfare", "improvement"])
def test_a_bracket_offers_what_the_others_do(
    objective: str, transfers: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    group = mo.Group(size=300, costs=[1, 2], probabilities=[0.5, 0.5], value=0.3, capacity=10)
    population = mo.Population([group], thresholds=[100], provider_value=300)
    answer = mo.bracket(population, objective=objective, transfers=transfers)
    answer.write(tmp_path / "bracket.json")
    again = mo.read(tmp_path / "bracket.json")
    assert again.to_dict() == answer.to_dict() == mo.Bracket.from_dict(answer.to_dict()).to_dict()
    assert (again.lower, again.upper, again.gap) == (answer.lower, answer.upper, answer.gap)
    assert answer.summary() == str(again)
    audit = mo.audit(population, again)
    assert audit.ok, str(audit)
    assert audit.rows["interval"] == 1
    name = objective.replace("-", "_")
    error = answer.metrics["standard_error"][name]
    assert answer.metrics[name] >= answer.lower - 4 * error - 1e-9 * abs(answer.lower)
    assert answer.metrics[name] <= answer.upper + 4 * error + 1e-9 * abs(answer.upper)
    status, verdict = run(capfd, "check", str(tmp_path / "bracket.json"))
    assert status == 0
    assert verdict["ok"]
    turned = mo.Bracket.from_dict({**answer.to_dict(), "upper": answer.lower - 1})
    assert not mo.audit(population, turned).ok


def test_the_audit_of_an_offer_recomputes_it() -> None:
    random = np.random.default_rng(5)
    for _ in range(20):
        groups = [
            mo.Group(
                size=int(random.integers(1, 6)),
                costs=np.cumsum(random.integers(1, 4, 3)),
                probabilities=[0.5, 0.25, 0.25],
                value=float(random.integers(0, 4)),
                segments=([1, 2], [1, 2]),
            )
            for _ in range(int(random.integers(1, 3)))
        ]
        population = mo.Population(groups, thresholds=[3, 6], shares=[0.4, 1], provider_value=30)
        for mechanism in ("posted-price", "posted-contract"):
            offer = mo.solve(population, mechanism)
            assert mo.audit(population, offer).ok
            wrong = {**offer.metrics, "leakage": offer.metrics["leakage"] + 0.01}
            audit = mo.audit(population, offer.replace(metrics=wrong))
            assert [broken.where for broken in audit.violations] == ["leakage"]
    with pytest.raises(mo.InvalidPlan, match="another population"):
        mo.audit(population.replace(provider_value=31), offer)


def test_both_assigns_take_the_same_reports() -> None:
    population = mo.Population([GROUP], thresholds=[1.25], provider_value=3)
    for answer in (mo.solve(population, "direct"), mo.bracket(population)):
        plan = answer.assign(["1", 2 * (1 + 1e-12)])
        assert plan.instance.cost.tolist() == [1, 2]
        with pytest.raises(mo.InvalidPlan, match=r"reports\[1\]: 3 is not a cost of the user's"):
            answer.assign([1, 3])
        with pytest.raises(mo.InvalidPlan, match="has shape"):
            answer.assign([1])

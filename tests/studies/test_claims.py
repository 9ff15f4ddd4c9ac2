"""Claims: verdicts on problems solved by hand, examples that open and repeat, specifications."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import mechopt as mo
from mechopt.errors import InvalidFile, InvalidOption
from mechopt.studies import claim_runs, claims
from mechopt.studies.claim_cases import cases, read_spec
from mechopt.studies.claim_runs import check_claims, run_claims, summarise
from mechopt.studies.claims import CLAIMS, Case, Finding

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "claims"


def verdict(claim: str, problem, sibling=None) -> Finding:
    (found,) = check_claims(Case("hand", "hand/0", problem, sibling), [claim])
    assert not found.error
    return found


@pytest.fixture
def asked(monkeypatch):
    """Replaces the burdens that are asked for."""

    def ask(burden) -> None:
        claims._stage.cache_clear()
        monkeypatch.setattr(
            claims, "asked_plan", lambda instance: mo.Plan.from_arrays(instance, burden)
        )

    return ask


# -- by hand --------------------------------------------------------------------------------------


def test_a_price_found_on_cheaper_users_leaks_all_it_pays() -> None:
    """Worked example 1 (T = 11): price 1 pays 10 and falls short; with known costs 2 · 20."""
    instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[11])
    found = verdict("posted-subsidies-leak", instance, instance.replace(cost=[1, 1, 4]))
    assert found.holds
    assert found.numbers["leakage"] == 10
    assert found.amount == 10 / 40
    right = verdict("posted-subsidies-leak", instance, instance)
    assert right.holds is False
    assert right.amount == 0
    assert verdict("posted-subsidies-leak", instance, None).holds is None


def test_burdens_leak_nothing_feasible_or_not() -> None:
    for threshold in (8, 11, 40):
        instance = mo.Instance(
            cost=[1, 2, 4], value=6, capacity=10, thresholds=[threshold], provider_value=100
        )
        found = verdict("burdens-leak-nothing", instance)
        assert found.holds
        assert found.amount == 0
        assert {row["improvement"] for row in found.numbers.values()} <= {0, 1}


def test_protocols_on_worked_example_two(asked) -> None:
    """x = (1, 2, 3, 4), T = 7, r = 1: small-first keeps {3, 4}; {1, 2, 4} costs one more."""
    instance = mo.Instance(cost=[1, 1 / 2, 1 / 3, 1 / 4], value=5, capacity=4, thresholds=[7])
    asked([1, 2, 3, 4])
    cheaper = verdict("simultaneous-costs-less", instance)
    assert cheaper.holds
    assert cheaper.numbers == {"best": pytest.approx(2), "small_first": pytest.approx(2)}
    fails = verdict("simultaneous-can-fail", instance)
    assert fails.holds
    assert fails.amount == 1
    assert fails.numbers["all_leave"]
    assert fails.numbers["small_first"]["participation"] == 0.5
    assert verdict("small-first-more-data", instance).amount == 0


def test_small_first_can_cost_more(asked) -> None:
    """The smallest leave first, here the cheap ones: {1, 2} would do at a cost of 2, not 9."""
    instance = mo.Instance(cost=[1, 1, 3], value=10, capacity=3, thresholds=[2])
    asked([1, 1, 3])
    found = verdict("simultaneous-costs-less", instance)
    assert found.holds
    assert found.numbers == {"best": 2, "small_first": 9}
    assert found.amount == pytest.approx(7 / 9)
    more = verdict("small-first-more-data", instance)
    assert more.holds
    assert more.amount == pytest.approx((3 - 2) / 2)


def test_verdict_on_orders_equals_all_orders(asked) -> None:
    """F1's example with both orders: large-first loses what small-first keeps."""
    instance = mo.Instance(
        cost=[7, 1],
        value=[4.5, 1.5],
        capacity=2,
        thresholds=[0.75, 1, 2],
        shares=[3 / 14, 9 / 14, 1],
    )
    asked([0.5, 1.5])
    found = verdict("small-first-is-best-order", instance)
    plan = claims.asked_plan(instance)
    shares = {
        order: mo.check_withdrawal(instance, plan, "sequential", order=list(order)).outcome.share
        for order in product(range(2), repeat=2)
        if len(set(order)) == 2
    }
    assert found.numbers["small_first"] == shares[0, 1] == 1
    assert found.holds == (max(shares.values()) <= 1)


def test_mistakes_are_those_of_the_simulation(asked) -> None:
    instance = mo.Instance(cost=[1, 1, 1], value=10, capacity=3, thresholds=[2])
    asked([1, 1, 1])
    found = verdict("small-first-survives-mistakes", instance)
    one, other = (found.numbers[name]["crossing"] for name in ("sequential", "simultaneous"))
    assert found.amount == one - other
    assert found.holds == (
        found.numbers["sequential"]["interval"][1] >= found.numbers["simultaneous"]["interval"][0]
    )


def test_direct_mechanism_leaks_nothing() -> None:
    population = mo.generate("population-two-type", 3, tightness=0.8)
    found = verdict("direct-leaks-nothing", population)
    assert found.holds
    assert found.numbers["improvement"] > 0


def test_asked_burdens_leave_everyone_willing_with_one_threshold() -> None:
    instance = mo.generate("lognormal", 30, seed=3)
    plan = claims.asked_plan(instance)
    assert (instance.cost_of(plan.burden) <= instance.value).all()
    several = claims.asked_plan(mo.generate("lognormal", 30, seed=3, levels=2))
    part = several.burden / np.minimum(instance.capacity, instance.value / instance.cost)
    assert 0.2 <= part.min() < part.max() <= 0.95


# -- the suite ------------------------------------------------------------------------------------

SPEC = {
    "instances": [
        {
            "families": ["uniform", "heavy-tailed"],
            "n": 8,
            "levels": [1, 2],
            "tightness": [0.5],
            "draws": 3,
        }
    ]
}


def test_examples_open_and_repeat_their_verdict(tmp_path) -> None:
    findings = run_claims(cases(SPEC), examples=tmp_path)
    saved = [finding for finding in findings if finding.file]
    assert saved
    for finding in saved:
        assert finding.holds is (CLAIMS[finding.claim].says == "can")
        instance = mo.read(tmp_path / finding.file)
        mo.solve(instance, "burdens", objective="expenditure")
        if finding.claim == "posted-subsidies-leak":  # needs its sibling; the price says it all
            plan = mo.solve(instance, "posted-price", price=finding.numbers["price"])
            assert plan.metrics["leakage"] == finding.numbers["leakage"]
            continue
        again = verdict(finding.claim, instance)
        assert (again.holds, again.amount) == (finding.holds, finding.amount)
        if not CLAIMS[finding.claim].asked:
            continue
        plan = mo.read(tmp_path / finding.file.replace(".json", ".plan.json"))
        assert plan.burden.tolist() == claims.asked_plan(instance).burden.tolist()


def test_two_processes_find_the_same_and_files_read_back(tmp_path) -> None:
    one = run_claims(cases(SPEC))
    two = run_claims(cases(SPEC), jobs=2)
    strip = [(f.claim, f.problem, f.holds, f.proved, f.amount) for f in one]
    assert strip == [(f.claim, f.problem, f.holds, f.proved, f.amount) for f in two]
    for name in ("findings.jsonl", "findings.jsonl.gz"):
        claim_runs.write_findings(one, tmp_path / name)
        back = claim_runs.read_findings(tmp_path / name)
        assert [(f.claim, f.problem, f.holds, f.proved) for f in back] == [it[:4] for it in strip]
        for finding, (*_, amount) in zip(back, strip):
            assert finding.amount == (None if amount is None else pytest.approx(amount, rel=1e-5))
    rows = summarise(one)
    assert sum(row["problems"] for row in rows) == len(one)
    for row in rows:
        assert row["holds"] <= row["telling"] <= row["problems"]
        if row["share"]:
            assert row["share"][0] == row["holds"] / row["telling"]
    with pytest.raises(InvalidFile, match="no file of findings"):
        claim_runs.read_findings(tmp_path / "none.jsonl")


def test_a_failing_check_is_a_finding(monkeypatch) -> None:
    def fail(case):
        raise ArithmeticError("no")

    broken = claims.Claim("x", "always", "x", "instance", lambda levels: True, False, fail)
    monkeypatch.setitem(CLAIMS, "broken", broken)
    (found,) = check_claims(Case("g", "g/0", mo.generate("uniform", 3)), ["broken"])
    assert (found.holds, found.error) == (None, "ArithmeticError: no")
    assert summarise([found])[0]["errors"] == 1


def run_benchmark(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=BENCHMARK,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_smoke_specification_runs(tmp_path) -> None:
    run_benchmark("run.py", "smoke.json", str(tmp_path / "out"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["seconds"] <= 30
    assert {row["claim"] for row in summary["claims"]} == set(CLAIMS)
    assert sum(row["errors"] for row in summary["claims"]) == 0


@pytest.mark.parametrize(
    "driver", [["curves.py"], ["compare.py", "families"], ["compare.py", "protocols"]]
)
def test_smoke_run_of_the_other_drivers(tmp_path, driver: list[str]) -> None:
    printed = run_benchmark(*driver, str(tmp_path / "t.parquet"), "--smoke")
    assert printed.endswith(" 0 failed\n")


def test_specifications_of_the_benchmark_are_read(shared_data) -> None:
    for name in ("smoke.json", "default.json"):
        spec = read_spec(BENCHMARK / name)
        assert spec["instances"]
    real = {"real": [{**spec["real"][0], "draws": 1}]}
    made = cases(real, capacities=shared_data / "contributions.csv")
    assert {case.problem.n for case in made} == {40}
    assert all(case.sibling.thresholds == case.problem.thresholds for case in made)


def test_recorded_run_is_what_the_readme_says_and_its_examples_repeat() -> None:
    recorded = BENCHMARK / "recorded"
    findings = claim_runs.read_findings(recorded / "findings.jsonl.gz")
    lines = (BENCHMARK / "README.md").read_text(encoding="utf-8").splitlines()
    rows = iter([line for line in lines if re.search(r"\| \d+ of \d+ \|", line)])
    for name, levels in product(CLAIMS, (1, 2, 3)):
        told = [
            f for f in findings if (f.claim, f.levels) == (name, levels) and f.holds is not None
        ]
        if told:
            held = sum(bool(finding.holds) for finding in told)
            assert f"| {levels} | {held} of {len(told)} |" in next(rows)
    assert next(rows, None) is None
    for finding in findings:
        if finding.file and CLAIMS[finding.claim].asked:
            again = verdict(finding.claim, mo.read(recorded / "examples" / finding.file))
            assert again.holds == finding.holds
            assert again.amount == pytest.approx(finding.amount, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected an object"),
        ("{", "cannot be read as JSON"),
        ('{"instance": []}', "'instance' is none of"),
        ('{"instances": [{"families": []}]}', "'draws' is missing"),
        ('{"real": [{"sources": [], "share_of_total": [], "draws": 1, "x": 1}]}', "'x'"),
    ],
)
def test_bad_specifications_are_named(tmp_path, text: str, message: str) -> None:
    (tmp_path / "spec.json").write_text(text)
    with pytest.raises(InvalidFile, match=message):
        read_spec(tmp_path / "spec.json")


def test_real_entries_need_their_file() -> None:
    with pytest.raises(InvalidOption, match="name their file"):
        cases({"real": [{"sources": ["a"], "share_of_total": [0.1], "draws": 1}]})


def test_floor_and_burdens_together_can_cost_less_than_either() -> None:
    """Reported with what is paid whatever happens; never more than the posted price."""
    saved = []
    for seed in range(4):
        found = verdict("floor-and-burdens-pay-less", mo.generate("lognormal", n=10, seed=seed))
        numbers, amount = found.numbers, found.amount
        assert found.proved
        assert amount >= -1e-9
        assert found.holds == (amount > 1e-9)
        assert numbers["leakage"] == 0  # the full share is reached, so nothing is paid in vain
        assert 0 < numbers["paid whatever happens"] <= numbers["posted price pays"]
        saved.append(amount)
    assert max(saved) > 0.1

"""Certificates of plans that can be carried out (practice): against every plan there is."""

from __future__ import annotations

import copy
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt import checker
from mechopt.cli import main
from tests.certificates.checked import certified as proved
from tests.certificates.checked import forged
from tests.practice_cases import case_in_sequence, certified, random_case

F = Fraction


def test_the_optimum_is_that_of_all_plans() -> None:
    """Every term, objective and protocol, up to three thresholds: the oracle's fraction."""
    for seed in range(120):
        assert not certified(*random_case(seed)), seed


def test_in_sequence_the_bound_holds() -> None:
    optimal = 0
    for seed in range(60):
        instance, oracle, options = case_in_sequence(seed)
        plan = mo.solve(instance, "burdens", protocol="sequential", **options)
        certificate = proved(instance, plan)
        optimal += certificate.status == "optimal"
        best = oracle.best_in_sequence(
            options["objective"],
            instance.levels,
            options["order"],
            reserve=F(options["reserve"]),
            transfers=options["transfers"],
        )
        if best is None or certificate.bound is None:
            continue
        minimised = options["objective"] in ("expenditure", "social-cost")
        assert certificate.bound <= best if minimised else certificate.bound >= best, seed
    assert optimal > 10


def people(n: int, **terms: Any) -> mo.Instance:
    rng = np.random.default_rng(n)
    capacity = rng.integers(4, 12, n)
    return mo.Instance(
        cost=np.round(rng.uniform(0.2, 2, n), 2),
        value=np.round(rng.uniform(0, 12, n), 1),
        capacity=capacity,
        thresholds=[int(capacity.sum()) // 2],
        group=np.resize(["a", "b", "c"], n),
        **terms,
    )


@pytest.mark.parametrize(
    "terms",
    [
        {"unit": 1},
        {"unit": 1, "contact_cost": 0.5, "payment_step": 0.01, "budget": 50},
        {"least": 3, "contact_cost": 0.5},
        {"unit": np.resize([0, 1, 0.5], 12)},
        {"unit": 1, "group_least": {"a": 12}, "group_most": {"b": "30 %"}},
        {"group_most": {"a": 10}, "payment_step": 0.25},
        {"fixed": np.resize([np.nan, np.nan, 2], 12), "least": 1.5},
    ],
)
@pytest.mark.parametrize("objective", ["expenditure", "social-cost"])
def test_a_dozen_people(terms: dict[str, Any], objective: str) -> None:
    instance = people(12, **terms)
    plan = mo.solve(instance, objective=objective)
    certificate = proved(instance, plan)
    assert certificate.status == "optimal"
    assert float(certificate.optimum or 0) == pytest.approx(plan.objective, rel=1e-9)


def test_what_a_forger_may_try() -> None:
    instance = mo.Instance(
        cost=[1, 2, 4],
        value=6,
        capacity=10,
        thresholds=["10.5"],
        unit=1,
        contact_cost="0.25",
        payment_step="0.01",
        group=["a", "b", "b"],
        group_most={"b": 4},
        least=[0, 0, 2],
    )
    certificate = proved(instance, mo.solve(instance, objective="expenditure"))
    document = certificate.document
    assert certificate.status == "optimal"
    assert document["answer"]["burden"] == ["8", "3", "0"]
    assert certificate.optimum == F(5, 2)  # two contacts and 8 − 6 paid

    def user(i: int, **change: Any) -> Any:
        return lambda d: d["problem"]["users"][i].update(change)

    for change, why in (
        (lambda d: d["answer"].update(burden=["15/2", "3", "0"]), "B1"),
        (lambda d: d["answer"].update(burden=["7", "3", "1"]), "B1"),
        (lambda d: d["answer"].update(burden=["6", "5", "0"]), r"A3|B6"),
        (lambda d: d["answer"].update(payment=["1999/1000", "0", "0"]), r"A3|B4"),
        (lambda d: d["answer"].update(payment=["2001/1000", "0", "0"]), "B4"),
        (user(0, contact_cost="0"), "optimal|objective"),
        (user(0, unit="0"), "bound|optimal"),
        (user(2, least="-1"), "negative"),
        (lambda d: d["problem"].update(payment_step="-1"), "negative"),
        (lambda d: d["problem"].update(budget="9/4"), "A4"),
        (lambda d: d["problem"].update(group_most={"b": ["data", "2"]}), "B6"),
        (lambda d: d["problem"].update(group_most={"b": ["cost", "4"]}), "limit"),
        (lambda d: d["terms"].update(protocol="reassign"), "practice|whether"),
    ):
        other = forged(document, change)
        with pytest.raises(checker.Refuted, match=why):
            checker.verify(other)


def test_prices_alone_prove_nothing_more() -> None:
    """No change of a price makes the bound of a leaf larger than the optimum."""
    instance = people(6, unit=1, group_most={"a": 8})
    certificate = proved(instance, mo.solve(instance, objective="expenditure"))
    rng = np.random.default_rng(0)
    leaves: list[dict[str, Any]] = []

    def collect(node: Any) -> None:
        if "cut" in node:
            collect(node["below"])
            collect(node["above"])
        else:
            leaves.append(node)

    document = copy.deepcopy(dict(certificate.document))
    collect(document["proof"]["1"])
    problem = checker.claims.problem_of(document["problem"], document["terms"])
    for _ in range(200):
        leaf = leaves[rng.integers(len(leaves))]
        name = str(rng.choice(["data_price", "budget_price", "group"]))
        change = F(int(rng.integers(-20, 20)), 10)
        before = copy.deepcopy(leaf)
        if name == "group":
            leaf["group_prices"] = [["most", "a", str(abs(change))]]
            leaf["asked_price"] = str(-abs(change))
        else:
            leaf[name] = str(F(leaf[name]) + change)
        with suppress(checker.Refuted):
            assert problem.bound(document["proof"]) <= certificate.optimum
        leaf.clear()
        leaf.update(before)


def test_a_payment_that_only_the_exact_total_needs() -> None:
    """One unit makes the total 1; at totals just below, nobody would need the payment."""
    instance = mo.Instance(
        cost=[0.75, 0.25, 1.25, 1.75], value=[3.5, 0.5, 3, 2], capacity=[2.5, 4, 1.5, 2],
        thresholds=[0.5], shares=[0.5], reversibility=[0.5, 0.5, 1, 1], removable=[1, 0.5, 1, 1],
        least=[0, 1, 1, 0], unit=[0, 1, 0.5, 1], contact_cost=[0.25, 0, 0, 0], group=list("bbaa"),
        group_least={"b": "37.5 %"},
    )  # fmt: skip
    certificate = proved(instance, mo.solve(instance, objective="expenditure", time_limit=0.5))
    assert (certificate.status, certificate.optimum) == ("optimal", F(1, 8))


def test_the_number_of_people_asked_is_whole() -> None:
    instance = people(30, least=3, contact_cost=0.5)
    certificate = proved(instance, mo.solve(instance, objective="expenditure"))
    assert certificate.status == "optimal"
    root = certificate.document["proof"]["1"]
    assert root["of"] == "people"
    for cut in ("1/2", "99"):  # between people, or so that nobody is left out of either side
        other = copy.deepcopy(dict(certificate.document))
        other["proof"]["1"]["cut"] = cut
        other["seal"] = checker.seal_of(other)
        with pytest.raises(checker.Refuted):
            checker.verify(other)


def test_what_has_no_proof_is_named() -> None:
    instance = people(5, unit=1)
    with pytest.raises(mo.NotSupported, match=r"unit.*posted-price"):
        mo.certify(instance, mo.solve(instance, "posted-price"))


def test_a_certificate_is_held_against_a_table(tmp_path: Path, capfd: Any) -> None:
    users, plan = tmp_path / "users.csv", tmp_path / "plan.json"
    users.write_text("id,cost,value,capacity\na,1,6,10\nb,2,6,10\nc,4,6,10\n")
    terms = ["--threshold", "10.5", "--unit", "1"]
    assert main(["solve", str(users), *terms, "--exact", "--out", str(plan)]) == 0
    proof = str(tmp_path / "plan.certificate.json")
    assert main(["verify", proof, "--problem", str(users), *terms]) == 0
    assert main(["verify", proof, "--problem", str(users), "--threshold", "10.5"]) == 3
    assert main(["verify", proof, "--threshold", "10.5"]) == 2
    assert "--problem FILE" in capfd.readouterr().err

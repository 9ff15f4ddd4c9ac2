"""Certificates of plans under other rights: a part, re-assignment, committed data (rights)."""

from __future__ import annotations

import copy
from fractions import Fraction
from random import Random
from typing import Any

import pyomo.environ as pyo
import pytest

import mechopt as mo
from mechopt import checker
from tests.certificates.checked import certified, forged

F = Fraction


def instance_of(rng: Random, *, levels: int, **more: object) -> mo.Instance:
    n = rng.randint(2, 4)
    cap = [F(rng.randint(1, 6), 2) for _ in range(n)]
    cuts = rng.sample(range(1, max(int(2 * sum(cap)), levels) + 1), levels)
    fields = {
        "cost": [F(rng.choice([0, 1, 1, 2, 3]), 2) for _ in cap],
        "value": [F(rng.randint(0, 8), 2) for _ in cap],
        "capacity": cap,
        "thresholds": [F(cut, 2) for cut in sorted(cuts)],
        "shares": sorted(rng.sample([F(1, 4), F(1, 2), F(3, 4), F(1)], levels)),
        "reversibility": [rng.choice([F(1), F(1), F(1, 2), F(0)]) for _ in cap],
        "removable": [rng.choice([F(1), F(1), F(1, 2), F(0)]) for _ in cap],
        "exclusion": [rng.choice([F(0), F(0), F(1, 2), F(1)]) for _ in cap],
        "provider_value": rng.randint(0, 8),
    }
    if rng.random() < 0.3:
        fields["budget"] = F(rng.randint(0, 6), 2)
    return mo.Instance(**{**fields, **more})


OBJECTIVES = ("provider-surplus", "expenditure", "social-cost", "improvement", "welfare")


@pytest.mark.parametrize("protocol", ["simultaneous", "sequential"])
def test_parts(protocol: str) -> None:
    optimal = refused = 0
    for seed in range(40):
        rng = Random(seed)
        instance = instance_of(rng, levels=rng.randint(1, 3))
        objective, transfers = OBJECTIVES[seed % 5], seed % 3 > 0
        plan = mo.solve(
            instance, "burdens", withdrawal="part", protocol=protocol, objective=objective,
            transfers=transfers, reserve=0.5 * (seed % 4 == 3),
        )  # fmt: skip
        document = dict(certified(instance, plan).document)
        optimal += document["claim"]["status"] == "optimal"
        paid = (document["answer"] or {}).get("payment", [])
        for i, payment in enumerate(paid):
            if F(payment) > 0:  # a little less, and he takes something back or does not come
                less = [*paid[:i], str(F(payment) * F(99, 100)), *paid[i + 1 :]]
                if protocol == "simultaneous" or instance.levels == 1:
                    with pytest.raises(checker.Refuted):
                        checker.verify(forged(document, payment=less))
                    refused += 1
    assert optimal > 10
    assert refused > 2


def test_reassignment() -> None:
    optimal = 0
    for seed in range(60):
        rng = Random(seed)
        instance = instance_of(rng, levels=1)
        objective, transfers = OBJECTIVES[seed % 5], seed % 3 > 0
        plan = mo.solve(
            instance, "burdens", protocol="reassign", objective=objective, transfers=transfers
        )
        try:
            document = dict(certified(instance, plan).document)
        except mo.NotSupported:
            assert transfers
            assert instance.budget != 0
            continue
        optimal += document["claim"]["status"] == "optimal"
    assert optimal > 10
    worked = mo.Instance([1, 2, 4], 6, 10, [8])
    plan = mo.solve(worked, "burdens", objective="expenditure", protocol="reassign")
    document = dict(certified(worked, plan).document)
    assert document["claim"]["optimum"] in (8, "8")
    for payment in ([7, 0, 0], [0, 0, 0]):
        with pytest.raises(checker.Refuted, match=r"A[35]"):
            checker.verify(forged(document, payment=payment))


def test_committed_data() -> None:
    optimal = 0
    for seed in range(40):
        rng = Random(seed)
        instance = instance_of(rng, levels=rng.randint(1, 3), exclusion=0)
        committed = [F(rng.randint(0, int(2 * cap)), 4) for cap in instance.exact("capacity")]
        instance = instance.replace(committed=committed)
        if sum(committed) >= instance.exact("thresholds")[-1] or not any(committed):
            continue
        objective, transfers = OBJECTIVES[seed % 5], seed % 3 > 0
        plan = mo.solve(instance, "burdens", objective=objective, transfers=transfers)
        document = dict(certified(instance, plan).document)
        optimal += document["claim"]["status"] == "optimal"
        less = copy.deepcopy(document)
        for user in less["problem"]["users"]:
            user["committed"] = 0  # as if nothing had been given
        less["seal"] = checker.seal_of(less)
        if document["claim"]["status"] == "optimal":
            with pytest.raises(checker.Refuted):
                checker.verify(less)
    assert optimal > 10
    nothing = mo.Instance([1, 2], 3, 4, [5], committed=[3, 2])
    with pytest.raises(mo.NotSupported, match="committed"):
        mo.certify(nothing, mo.solve(nothing, "burdens"))


def test_what_no_proof_covers_is_refused_rather_than_contradicted() -> None:
    """Each of these is another problem than the one whose rows the checker writes down."""
    instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[11])
    safe = mo.solve(instance, objective="expenditure", confidence=0.9, dropout=0.01)
    with pytest.raises(mo.NotSupported, match="confidence"):
        mo.certify(instance, safe)
    model: Any = mo.build_model(instance, "burdens", objective="expenditure")
    model.few = pyo.Constraint(expr=sum(model.give[0, j] for j in model.SEGMENTS) <= 2)
    with pytest.raises(mo.NotSupported, match="rows of your own"):
        mo.certify(instance, mo.solve_model(model))
    group = mo.Group(size=3, costs=[1, 2], probabilities=[0.5, 0.5], value=2, capacity=3)
    growing = mo.Population([group], thresholds=[3, 6], shares=[0.2, 1], provider_value=5)
    turns = mo.solve(growing, "direct", transfers=False, protocol="sequential")
    with pytest.raises(mo.NotSupported, match="in sequence"):
        mo.certify(growing, turns)

"""Re-assignment: the mechanism is run again without whoever refuses."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import numpy as np
import pytest

import mechopt as mo
from mechopt.errors import NotSupported
from mechopt.withdrawal import check_withdrawal
from tests.oracles import oracle_rights as rights

F = Fraction


def game_of(rng: Random) -> dict:
    n = rng.randint(2, 6)
    cap = [F(rng.randint(1, 8), 2) for _ in range(n)]
    return {
        "cap": cap,
        "theta": [F(rng.randint(0, 4), 2) for _ in cap],
        "v": [F(rng.randint(0, 8), 2) for _ in cap],
        "T": [F(rng.randint(1, max(1, int(sum(cap)))))],
        "b": [F(1)],
    }


@pytest.mark.parametrize("exact", [True, False])
def test_one_threshold_without_payments_by_prefix_sums(exact: bool) -> None:
    stable = trained = 0
    for seed in range(80):
        rng = Random(seed)
        game = game_of(rng)
        n = len(game["cap"])
        instance = mo.Instance(
            cost=game["theta"], value=game["v"], capacity=game["cap"], thresholds=game["T"]
        )
        if not exact:
            instance = mo.Instance(
                *(np.array(game[k], dtype=float) for k in ("theta", "v", "cap", "T"))
            )
        plan = mo.solve(instance, "burdens", objective="social-cost", transfers=False)
        if not plan.level:
            continue
        trained += 1
        needed = [  # whoever gives gladly has nothing to gain and stays
            not (game["theta"][i] and rights.reaches(game, [j for j in range(n) if j != i]))
            for i in range(n)
        ]
        asked = np.flatnonzero(plan.burden > 0).tolist()
        report = check_withdrawal(instance, plan, "reassign")
        assert report.stable == all(needed[i] for i in asked)
        assert {d.user for d in report.deviations} == {i for i in asked if not needed[i]}
        if report.stable:  # reassign ⊆ W1
            assert check_withdrawal(instance, plan).stable
        stable += report.stable
        # the design: only those who are needed can be asked
        amounts = zip(game["cap"], game["v"], game["theta"], needed)
        most = sum((min(c, v / th if th else c) for c, v, th, ask in amounts if ask), F(0))
        held = mo.solve(
            instance, "burdens", objective="social-cost", transfers=False, protocol="reassign"
        )
        assert bool(held.level) == (most >= game["T"][0])
        assert mo.audit(instance, held).ok
        if held.level:
            assert check_withdrawal(instance, held, "reassign").stable
            assert held.objective >= plan.objective - 1e-9
    assert 0 < stable < trained


def test_with_payments_whoever_can_be_replaced_is_paid_in_full() -> None:
    instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[8], provider_value=100)
    plan = mo.solve(instance, "burdens", objective="expenditure", protocol="reassign")
    assert plan.objective == 8  # anybody can be replaced: paid like a supplier
    assert check_withdrawal(instance, plan, "reassign").stable
    assert mo.audit(instance, plan).ok
    plain = mo.solve(instance, "burdens")
    report = check_withdrawal(instance, plain, "reassign")
    assert not report.stable
    assert "run again" in str(report)
    held = instance.replace(exclusion=1)
    assert mo.solve(held, "burdens", objective="expenditure", protocol="reassign").objective == 0
    several = instance.replace(thresholds=[4, 8], shares=[0.5, 1])
    with pytest.raises(NotSupported):
        mo.solve(several, "burdens", protocol="reassign")
    priced = mo.solve(several, "posted-price")
    assert check_withdrawal(several, priced, "reassign").to_dict()["protocol"] == "reassign"


def test_why_nothing_is_reached_unpaid_names_who_would_be_replaced() -> None:
    instance = mo.Instance([1, 2, 4], 6, 10, [7], ids=["ana", "ben", "cy"])
    plan = mo.solve(instance, "burdens", protocol="reassign", transfers=False)
    assert plan.status == "null"
    assert "2 of 3 users (ben, cy) would be replaced and lose nothing by refusing" in plan.reason
    assert "accept only 6: short by 1" in plan.reason
    assert "payments of 1" not in plan.reason  # with payments everybody could be replaced: 7
    assert mo.solve(instance, "burdens", protocol="reassign").metrics["expenditure"] == 7


@pytest.mark.parametrize("seed", range(10))
def test_reassign_implies_w1_for_any_mechanism(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = mo.Instance(
        cost=rng.uniform(0.5, 2, 6),
        value=rng.uniform(0, 3, 6),
        capacity=4,
        thresholds=[4, 8],
        shares=[0.4, 1],
        provider_value=20,
        exclusion=rng.choice([0, 0.5, 1], 6),
    )
    for mechanism in ("burdens", "subsidy", "posted-price"):
        plan = mo.solve(instance, mechanism)
        again, alone = (check_withdrawal(instance, plan, p) for p in ("reassign", "simultaneous"))
        assert again.margin <= alone.margin + 1e-9
        assert not again.stable or alone.stable

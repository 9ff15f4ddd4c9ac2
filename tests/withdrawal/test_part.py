"""Withdrawal of a part: the definition, in fractions, and what F15 and F16 say of it."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import numpy as np
import pytest

import mechopt as mo
from mechopt.errors import NotSupported
from mechopt.withdrawal import check_withdrawal
from tests.oracles import oracle_rights as rights
from tests.oracles import oracle_withdrawal as oracle
from tests.oracles.withdrawal_agreement import instance_and_plan

F = Fraction


@pytest.mark.parametrize("block", range(4))
def test_nobody_gains_by_any_amount_or_the_check_says_who(block: int) -> None:
    for seed in range(block * 60, block * 60 + 60):
        make = oracle.pivotal_game if seed % 3 else oracle.random_game
        game = oracle.with_rights(Random(-seed), make(Random(seed), most_users=5))
        exact = seed % 4 > 0
        instance, plan = instance_and_plan(game, exact=exact)
        report = check_withdrawal(instance, plan, withdrawal="part")
        gains = {i: rights.part_gain(game, i) for i in oracle.movers(game)}
        expected = {i: float(gain) for i, gain in gains.items() if gain > 0}
        assert {d.user: d.gain for d in report.deviations} == pytest.approx(expected)
        for one in report.deviations:  # the amount named is worth the gain
            kept = list(game["x"])
            before = rights.part_payoff(game, one.user, kept)
            kept[one.user] -= F(one.taken)
            if exact:
                gain = rights.part_payoff(game, one.user, kept) - before
                assert float(gain) == pytest.approx(one.gain)
        trains = rights.share(game, sum(game["x"])) > 0
        everyone = all(gain <= 0 for gain in gains.values()) and (trains or not gains)
        assert report.stable == everyone
        if report.stable:  # part ⊆ whole
            assert check_withdrawal(instance, plan).stable
            for order in ("small-first", "large-first"):
                assert check_withdrawal(
                    instance, plan, "sequential", order, withdrawal="part"
                ).stable


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_sequential_parts_agree_with_backward_induction_on_a_grid(levels: int) -> None:
    for seed in range(40):
        rng = Random(1000 * levels + seed)
        game = rights.part_game(rng, levels=levels)
        order = rng.sample(range(len(game["x"])), len(game["x"]))
        wanted = rights.part_path(game, [i for i in order if game["x"][i] > game["y"][i]], F(1, 4))
        for exact in (True, False):
            instance, plan = instance_and_plan(game, exact=exact)
            report = check_withdrawal(instance, plan, "sequential", order, withdrawal="part")
            kept = report.outcome.kept
            assert kept is not None
            if not exact:  # ties are decided by tolerances: only whether it all fits together
                total = float(np.sum(kept)) * (1 + 1e-9)
                assert report.outcome.level == instance.level_of(total)
            else:
                assert report.outcome.share == float(rights.part_share(game, wanted))
            if exact and report.outcome.share:
                assert kept.tolist() == [float(one) for one in wanted]
                stays = [k == x for k, x in zip(wanted, game["x"])]
                assert report.outcome.stay.tolist() == stays
            assert report.stable == (report.outcome.stay.all() and report.outcome.share > 0)


def test_training_is_decided_by_what_everybody_would_hold() -> None:
    """F16: one threshold, any order: it trains iff Σ min(x, v / (ρ θ)) ≥ T."""
    trims = 0
    for seed in range(300):
        rng = Random(seed)
        game = oracle.random_game(rng, most_users=5, most_levels=1)
        game |= {
            "t": [F(0)] * len(game["x"]),
            "delta": [F(1)] * len(game["x"]),
            "rho": [rng.choice([F(1), F(1, 2)]) for _ in game["x"]],
            "f": F(0),
        }
        instance, plan = instance_and_plan(game)
        hold = [
            min(x, v * game["b"][0] / (rho * theta)) if theta else x
            for x, v, rho, theta in zip(game["x"], game["v"], game["rho"], game["theta"])
        ]
        for order in ("small-first", "large-first"):
            report = check_withdrawal(instance, plan, "sequential", order, withdrawal="part")
            assert report.outcome.trains == (sum(hold) >= game["T"][0])
            whole = check_withdrawal(instance, plan, "sequential", order).outcome.trains
            trims += report.outcome.trains and not whole
            assert report.outcome.trains or not whole
    assert trims > 20


def test_a_worked_example() -> None:
    """Five hundred clips, three hundred of them good: the bad ones go, the threshold holds."""
    instance = mo.Instance(cost=1, value=[4, 3], capacity=10, thresholds=[6])
    plan = mo.Plan.from_arrays(instance, [5, 3])
    report = check_withdrawal(instance, plan, "simultaneous", withdrawal="part")
    assert [(d.user, d.gain, d.taken, d.level) for d in report.deviations] == [
        (0, 2.0, 2.0, 1),
        (1, 2.0, 2.0, 1),
    ]
    assert "taking 2 back" in str(report)
    assert report.to_dict()["withdrawal"] == "part"
    trims = check_withdrawal(instance, plan, "sequential", withdrawal="part").outcome
    assert trims.kept is not None
    assert trims.kept.tolist() == [4, 2]  # who is asked too much (5 > 4) trims instead of leaving
    assert check_withdrawal(instance, plan, "sequential").outcome.trains is False
    with pytest.raises(NotSupported):
        _ = report.best
    held = instance.replace(exclusion=1)
    assert check_withdrawal(held, mo.Plan.from_arrays(held, [4, 3]), withdrawal="part").stable

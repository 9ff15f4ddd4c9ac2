"""What a plan's table says of people with rights: the payoffs of the model, in what happens."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.files.plans import shown
from tests.oracles import oracle_rights as rights
from tests.oracles import oracle_withdrawal as oracle
from tests.oracles.withdrawal_agreement import instance_and_plan

SEEDS = range(60)


@pytest.mark.parametrize("protocol", ["simultaneous", "sequential"])
def test_utilities_are_the_payoffs_with_exclusion_and_committed_data(protocol: str) -> None:
    for seed in SEEDS:
        game = oracle.with_rights(Random(-seed), oracle.pivotal_game(Random(seed), most_users=5))
        instance, plan = instance_and_plan(game)
        plan = plan.replace(protocol=protocol)
        cells = shown(plan, plan.burden)
        stay = tuple(bool(one) for one in cells["stays"])
        if plan.unconditional:
            continue
        want = [float(oracle.payoff(game, i, stay)) for i in range(instance.n)]
        asked = plan.burden > instance.committed
        np.testing.assert_allclose(cells["utility"][asked], np.array(want)[asked], atol=1e-9)


def test_who_takes_a_part_back_is_shown_with_what_he_recovers() -> None:
    """One clip of four is not needed: he takes it back, and with it the payment is gone."""
    instance = mo.Instance(1, [5, 9], 10, [6])
    plan = mo.Plan.from_arrays(instance, [4, 3], [0, 0])
    plan = plan.replace(right="part", protocol="simultaneous")
    cells: dict[str, Any] = shown(plan, plan.burden)
    game = {
        "x": [Fraction(4), Fraction(3)], "y": [Fraction(0)] * 2, "theta": [Fraction(1)] * 2,
        "rho": [Fraction(1)] * 2, "delta": [Fraction(1)] * 2, "eta": [Fraction(0)] * 2,
        "v": [Fraction(5), Fraction(9)], "t": [Fraction(0)] * 2, "T": [Fraction(6)],
        "b": [Fraction(1)], "f": Fraction(0), "unconditional": False,
    }  # fmt: skip
    kept = [Fraction(one) for one in plan.withdrawal().outcome.kept.tolist()]
    assert sum(kept) == 6
    want = [float(rights.part_payoff(game, i, kept)) for i in range(2)]
    assert cells["utility"].tolist() == want

"""Mistakes: no mistakes give the outcome, certain ones its opposite, small games the exact law."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from random import Random

import numpy as np
import pytest

import mechopt as mo
from mechopt.errors import InvalidOption
from mechopt.withdrawal import check_withdrawal, simulate_withdrawal
from mechopt.withdrawal.mistakes import wilson
from tests.oracles import oracle_rights
from tests.oracles import oracle_withdrawal as oracle
from tests.oracles.withdrawal_agreement import instance_and_plan


def sequential_law(game: oracle.Game, order: list[int], mistake: float) -> np.ndarray:
    """Exact probabilities of the levels: each mover replies by the game tree, then may slip."""
    sequence = [i for i in order if game["x"][i] > 0]
    law = np.zeros(len(game["T"]) + 1)

    def continuation(position: int, stay: tuple[bool, ...]) -> tuple[bool, ...]:
        for place in range(position, len(sequence)):
            i = sequence[place]
            keep = continuation(place + 1, (*stay[:i], True, *stay[i + 1 :]))
            leave = continuation(place + 1, (*stay[:i], False, *stay[i + 1 :]))
            return keep if oracle.payoff(game, i, keep) >= oracle.payoff(game, i, leave) else leave
        return stay

    def go(position: int, stay: tuple[bool, ...], weight: float) -> None:
        if position == len(sequence):
            law[oracle.level(game, oracle.total(game, stay))] += weight
            return
        i = sequence[position]
        means = continuation(position, stay)[i]
        for does, chance in ((means, 1 - mistake), (not means, mistake)):
            go(position + 1, (*stay[:i], does, *stay[i + 1 :]), weight * chance)

    go(0, oracle.everyone(game), 1.0)
    return law


def simultaneous_law(game: oracle.Game, stay: tuple[bool, ...], mistake: float) -> np.ndarray:
    users = oracle.movers(game)
    law = np.zeros(len(game["T"]) + 1)
    for slips in product((False, True), repeat=len(users)):
        other = list(stay)
        for i, slip in zip(users, slips):
            other[i] ^= slip
        chance = np.prod([mistake if slip else 1 - mistake for slip in slips])
        law[oracle.level(game, oracle.total(game, tuple(other)))] += chance
    return law


def test_levels_follow_the_exact_law() -> None:
    draws, mistake = 20_000, 0.25
    for seed in range(12):
        rng = Random(seed)
        game = oracle.random_game(rng, most_users=4, most_levels=3)
        instance, plan = instance_and_plan(game)
        order = rng.sample(range(instance.n), instance.n)
        got = simulate_withdrawal(
            instance, plan, "sequential", order=order, mistake=mistake, draws=draws, seed=seed
        )
        law = sequential_law(game, order, mistake)
        assert np.abs(got.levels - law).max() < 5 * 0.5 / np.sqrt(draws)
        stay = tuple(check_withdrawal(instance, plan).outcome.stay.tolist())
        got = simulate_withdrawal(instance, plan, mistake=mistake, draws=draws, seed=seed)
        law = simultaneous_law(game, stay, mistake)
        assert np.abs(got.levels - law).max() < 5 * 0.5 / np.sqrt(draws)


@pytest.mark.parametrize("protocol", ["simultaneous", "sequential"])
def test_no_mistakes_give_the_outcome(protocol: str) -> None:
    for seed in range(60):
        game = oracle.random_game(Random(seed))
        instance, plan = instance_and_plan(game)
        outcome = check_withdrawal(instance, plan, protocol).outcome
        got = simulate_withdrawal(instance, plan, protocol, mistake=0, draws=3)
        assert got.levels[outcome.level] == 1
        assert got.improvement == outcome.share
        assert got.data == pytest.approx(outcome.total)


def test_a_seed_repeats_and_the_interval_is_wilsons() -> None:
    instance = mo.Instance(cost=[1] * 5, value=9, capacity=1, thresholds=[4])
    plan = mo.Plan.from_arrays(instance, [1] * 5)
    once = simulate_withdrawal(instance, plan, mistake=0.2, draws=500, seed=3)
    again = simulate_withdrawal(instance, plan, mistake=0.2, draws=500, seed=3)
    assert (once.totals == again.totals).all()
    low, high = once.interval
    assert 0 < low < once.crossing < high < 1
    assert once.to_dict()["interval"] == [low, high]
    assert wilson(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert wilson(10, 10)[1] == 1.0


@pytest.mark.parametrize("mistake", [-0.1, 1.1, float("nan"), "0.1", True])
def test_mistake_must_be_a_probability(mistake: object) -> None:
    instance = mo.Instance(cost=[1], value=9, capacity=1, thresholds=[1])
    with pytest.raises(InvalidOption, match=r"mistake: must be a probability in \[0, 1\]"):
        simulate_withdrawal(instance, mo.Plan.from_arrays(instance, [1]), mistake=mistake)


def test_draws_and_seed_are_checked() -> None:
    instance = mo.Instance(cost=[1], value=9, capacity=1, thresholds=[1])
    plan = mo.Plan.from_arrays(instance, [Fraction(1)])
    for draws in (0, 2.5, True):
        with pytest.raises(InvalidOption, match="draws: must be a positive integer"):
            simulate_withdrawal(instance, plan, draws=draws)
    with pytest.raises(InvalidOption, match="seed: "):
        simulate_withdrawal(instance, plan, seed=-1)


def part_law(game: oracle.Game, order: list[int], mistake: float) -> np.ndarray:
    """Exact probabilities of the levels where any amount may be taken back, on the grid of 1/4."""
    law = np.zeros(len(game["T"]) + 1)
    sequence = [i for i in order if game["x"][i] > game["y"][i]]

    def amounts(i: int) -> list[Fraction]:
        return [
            game["y"][i] + Fraction(k, 4) for k in range(int(4 * (game["x"][i] - game["y"][i])) + 1)
        ]

    def reply(position: int, kept: list[Fraction]) -> list[Fraction]:
        if position == len(sequence):
            return kept
        i = sequence[position]
        ends = [reply(position + 1, [*kept[:i], one, *kept[i + 1 :]]) for one in amounts(i)]

        def rank(end: list[Fraction]) -> tuple:  # whoever lets it fail takes everything back
            trained = sum(end) >= game["T"][0]
            most = end[i] if trained or end[i] == game["x"][i] else -end[i]
            return oracle_rights.part_payoff(game, i, end), most

        return max(ends, key=rank)

    def go(position: int, kept: list[Fraction], weight: float) -> None:
        if position == len(sequence):
            law[sum(sum(kept) >= threshold for threshold in game["T"])] += weight
            return
        i = sequence[position]
        means = reply(position, kept)[i]
        slips = game["y"][i] if means == game["x"][i] else game["x"][i]
        for does, chance in ((means, 1 - mistake), (slips, mistake)):
            go(position + 1, [*kept[:i], does, *kept[i + 1 :]], weight * chance)

    go(0, list(game["x"]), 1.0)
    return law


@pytest.mark.parametrize("levels", [1, 2])
def test_parts_in_turn_follow_the_exact_law(levels: int) -> None:
    for seed in range(12):
        rng = Random(4000 * levels + seed)
        game = oracle_rights.part_game(rng, levels=levels)
        order = rng.sample(range(len(game["x"])), len(game["x"]))
        instance, plan = instance_and_plan(game)
        options = {"order": order, "withdrawal": "part", "seed": seed}
        sure = simulate_withdrawal(instance, plan, "sequential", mistake=0, draws=3, **options)
        report = check_withdrawal(instance, plan, "sequential", order, withdrawal="part")
        assert sure.levels[report.outcome.level] == 1
        found = simulate_withdrawal(
            instance, plan, "sequential", mistake=0.3, draws=4000, **options
        )
        assert found.levels == pytest.approx(part_law(game, order, 0.3), abs=0.04)
        together = simulate_withdrawal(instance, plan, withdrawal="part", mistake=0, draws=3)
        assert (
            together.levels[check_withdrawal(instance, plan, withdrawal="part").outcome.level] == 1
        )


def test_parts_at_once_go_wrong_independently() -> None:
    instance = mo.Instance(cost=1, value=[4, 3], capacity=10, thresholds=[6])
    plan = mo.Plan.from_arrays(instance, burden=[4, 2])
    found = simulate_withdrawal(instance, plan, withdrawal="part", mistake=0.1, draws=20_000)
    assert found.crossing == pytest.approx(
        0.81, abs=0.01
    )  # both keep everything, or nothing trains

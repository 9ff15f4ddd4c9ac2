"""What would restore stability: each answer is tried out on the oracle, and so is anything less."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, permutations, product
from random import Random

import numpy as np
import pytest

import mechopt as mo
from mechopt.errors import InvalidOption, TooLarge
from mechopt.status import Status
from mechopt.withdrawal import (
    best_order,
    check_withdrawal,
    largest_scaling,
    least_extra_payments,
    least_failure_bonus,
    sustaining_orders,
)
from tests.oracles import oracle_withdrawal as oracle
from tests.oracles.withdrawal_agreement import instance_and_plan

Game = oracle.Game


def games(first: int, count: int, **sizes: int):
    """Games by both generators in turn, those that ask for nothing left out."""
    for seed in range(first, first + count):
        rng = Random(seed)
        make = oracle.pivotal_game if seed % 2 else oracle.random_game
        game = make(rng, **sizes)
        if oracle.movers(game):
            yield rng, game


def accepted(game: Game, order: list[int] | None) -> bool:
    """Whether everyone stays and it trains: simultaneous if no order is given."""
    if order is None:
        return oracle.stable(game)
    stay = oracle.subgame_perfect(game, order)
    return stay == oracle.everyone(game) and oracle.level(game, oracle.total(game, stay)) > 0


def paid(game: Game, extra: list[Fraction]) -> Game:
    return {**game, "t": [t + more for t, more in zip(game["t"], extra)]}


def useful_payments(game: Game, i: int) -> list[Fraction]:
    """All payments at which some preference of user i turns."""
    if game["x"][i] == 0:
        return [Fraction(0)]
    shares = [Fraction(0), *game["b"]]
    v = game["v"][i]
    r = game["rho"][i] * game["theta"][i] * game["x"][i] - game["t"][i]
    found = {r - v * (up - down) for up in shares for down in shares}
    if game["unconditional"]:
        found |= {v * share - game["f"] - game["t"][i] for share in shares}
    return sorted({Fraction(0)} | {entry for entry in found if entry > 0})


@pytest.mark.parametrize("protocol", ["simultaneous", "sequential"])
def test_least_payments_are_enough_and_nothing_less_is(protocol: str) -> None:
    searched = 0
    for rng, game in games(0, 120, most_users=3, most_levels=3):
        instance, plan = instance_and_plan(game)
        order = rng.sample(range(instance.n), instance.n)
        moving = None if protocol == "simultaneous" else order
        answer = least_extra_payments(instance, plan, protocol, order)
        if not oracle.level(game, oracle.total(game, oracle.everyone(game))):
            assert answer.status is Status.INFEASIBLE
            assert answer.extra is None
            continue
        assert answer.status is Status.OPTIMAL
        assert answer.extra is not None
        assert accepted(paid(game, answer.extra), moving)
        assert answer.plan is not None
        assert check_withdrawal(instance, answer.plan, protocol, order).stable
        total = sum(answer.extra)
        assert (total == 0) == accepted(game, moving)
        if total > 0:
            searched += 1
            choices = [useful_payments(game, i) for i in range(instance.n)]
            less = [extra for extra in product(*choices) if sum(extra) < total]
            assert not any(accepted(paid(game, list(extra)), moving) for extra in less)
    assert searched > 15


@pytest.mark.parametrize("protocol", ["simultaneous", "sequential", "coalition"])
def test_largest_scaling_is_accepted_and_nothing_larger_is(protocol: str) -> None:
    open_ends = 0
    for rng, game in games(300, 100, most_users=3, most_levels=3):
        instance, plan = instance_and_plan(game)
        order = rng.sample(range(instance.n), instance.n)
        moving = order if protocol == "sequential" else None
        answer = largest_scaling(instance, plan, protocol, order)
        assert answer.status is Status.OPTIMAL

        highest = min(max(x, Fraction(1)) / x for x in game["x"] if x > 0)
        assert answer.factor <= highest
        if answer.factor > 0:
            below = answer.factor - Fraction(1, 10**9)
            assert stands(game, answer.factor if answer.attained else below, moving)
            open_ends += not answer.attained
            assert answer.attained or not stands(game, answer.factor, moving)
        points = [p for p in critical(game) if answer.factor < p < highest]
        points = sorted({*points, highest} | ({answer.factor} if points else set()))
        between = [(low + high) / 2 for low, high in pairwise(points)]
        assert not any(stands(game, p, moving) for p in [*points, *between] if p > answer.factor)
    assert open_ends > 5


def stands(game: Game, factor: Fraction, order: list[int] | None) -> bool:
    return accepted({**game, "x": [factor * x for x in game["x"]]}, order)


def critical(game: Game) -> set[Fraction]:
    """Factors at which a total meets a threshold or a preference turns."""
    sums = {Fraction(0)}
    for i in oracle.movers(game):
        x = game["x"][i]
        sums = {s + x for s in sums} | {s + (1 - game["delta"][i]) * x for s in sums}
    points = {threshold / s for threshold in game["T"] for s in sums if s > 0}
    shares = [Fraction(0), *game["b"]]
    for i in oracle.movers(game):
        cost = game["rho"][i] * game["theta"][i] * game["x"][i]
        if cost > 0:
            worths = {game["v"][i] * (up - down) for up in shares for down in shares}
            points |= {(game["t"][i] + worth) / cost for worth in worths}
    return points


def test_least_failure_bonus_is_any_none_or_not_needed() -> None:
    seen: dict[tuple[float | None, bool], int] = {}
    for _, game in games(600, 250, most_users=4):
        instance, plan = instance_and_plan(game)
        answer = least_failure_bonus(instance, plan)
        assert answer.status is Status.OPTIMAL

        if all_train(game, Fraction(0)):
            wanted: tuple[float | None, bool] = (0.0, False)
        else:
            assert all_train(game, Fraction(1, 1000)) == all_train(game, Fraction(1000))
            wanted = (0.0, True) if all_train(game, Fraction(1)) else (None, False)
        assert (answer.bonus, answer.any_positive) == wanted
        seen[wanted] = seen.get(wanted, 0) + 1
    assert len(seen) == 3
    assert min(seen.values()) > 10


def all_train(game: Game, bonus: Fraction) -> bool:
    raised = {**game, "f": game["f"] + bonus}
    return all(
        oracle.level(raised, oracle.total(raised, stay)) for stay in oracle.equilibria(raised)
    )


def rank(game: Game, stay: tuple[bool, ...]) -> tuple:
    level = oracle.level(game, oracle.total(game, stay))
    everyone = stay == oracle.everyone(game) and level > 0
    return everyone, level, -oracle.social_cost(game, stay)


def test_orders_that_sustain_the_plan_and_the_best_one() -> None:
    partly = 0
    for _, game in games(900, 100, most_users=4):
        instance, plan = instance_and_plan(game)
        users = oracle.movers(game)
        orders = [list(order) for order in permutations(users)]
        wanted = {tuple(order) for order in orders if accepted(game, order)}
        assert {tuple(row) for row in sustaining_orders(instance, plan).tolist()} == wanted
        partly += 0 < len(wanted) < len(orders)
        best = best_order(instance, plan)
        assert best.status is Status.OPTIMAL
        assert best.stable == bool(wanted)
        reached = max(rank(game, oracle.subgame_perfect(game, order)) for order in orders)
        assert rank(game, tuple(best.outcome.stay.tolist())) == reached
    assert partly > 0


def test_best_order_above_the_limit_is_never_worse_than_the_named_ones() -> None:
    rng = np.random.default_rng(4)
    for _ in range(5):
        x = rng.integers(1, 9, 12) / 2
        thresholds = np.array([0.3, 0.6, 1.0]) * x.sum()
        instance = mo.Instance(
            cost=rng.uniform(0.5, 2, 12), value=x * 3, capacity=x,
            thresholds=thresholds, shares=[0.3, 0.6, 1.0],
        )  # fmt: skip
        plan = mo.Plan.from_arrays(instance, x)
        best = best_order(instance, plan)
        assert best.stable or best.status is Status.FEASIBLE
        for name in ("small-first", "large-first", "cost"):
            assert (
                best.outcome.level
                >= check_withdrawal(instance, plan, "sequential", name).outcome.level
            )
        again = check_withdrawal(instance, plan, "sequential", best.order)
        assert (again.outcome.stay == best.outcome.stay).all()
        with pytest.raises(TooLarge, match="12 users"):
            sustaining_orders(instance, plan)


def test_refusals() -> None:
    instance = mo.Instance(cost=[1, 1], value=3, capacity=1, thresholds=[2])
    plan = mo.Plan.from_arrays(instance, [1, 1])
    with pytest.raises(InvalidOption, match="protocol: 'none'"):
        least_extra_payments(instance, plan, "none")
    with pytest.raises(InvalidOption, match="asks nothing"):
        largest_scaling(instance, mo.Plan.null(instance))
    assert least_failure_bonus(instance, mo.Plan.null(instance)).bonus is None

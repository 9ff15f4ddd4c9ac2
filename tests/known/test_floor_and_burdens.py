"""Committed data in design, and floors that a price buys for certain with burdens on top."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from random import Random

import numpy as np
import pytest

import mechopt as mo
from mechopt.errors import NotSupported
from tests.oracles import oracle_rights as rights
from tests.oracles import oracle_withdrawal as oracle
from tests.problems import instance_of, small_game

F = Fraction


def grid_least(game: dict, y: list[Fraction], grid: float, *, free: bool) -> float:
    """Least payments (free: least cost without payments) on top of y that reach the top level.

    Everything is a multiple of a quarter, which floats hold exactly.
    """
    game = {name: list(map(float, it)) if isinstance(it, list) else it for name, it in game.items()}
    y = list(map(float, y))
    top, base = game["b"][-1], rights.share(game, sum(y))
    best = float("inf")
    axes = [
        [low + grid * k for k in range(int((cap - low) / grid) + 1)]
        for low, cap in zip(y, game["cap"])
    ]
    for x in product(*axes):
        if rights.share(game, sum(x)) != top:
            continue
        asked = {**game, "x": list(x), "y": y, "t": [0.0] * len(x)}
        everyone = (True,) * len(x)
        spent = borne = 0.0
        for i, (theta, one, low, v) in enumerate(zip(game["theta"], x, y, game["v"])):
            need = max(0.0, theta * (one - low) - v * (top - base))
            if one > low:
                away = tuple(j != i for j in range(len(x)))
                gain = oracle.payoff(asked, i, away) - oracle.payoff(asked, i, everyone)
                need = max(need, gain)
            spent, borne = spent + need, borne + theta * one
        if not free:
            best = min(best, spent)
        elif not spent:
            best = min(best, borne)
    return best


def test_committed_data_in_design_against_a_grid() -> None:
    equal = compared = 0
    for seed in range(24):
        rng = Random(seed)
        game = small_game(rng, levels=rng.randint(1, 2), costs=(0, 1, 1, 2))
        y = [rng.choice([F(0), F(1, 2), cap]) * F(1, 2) for cap in game["cap"]]
        y = [F(int(2 * one), 2) for one in y]
        instance = instance_of(game, committed=y)
        for objective, transfers in (("expenditure", True), ("social-cost", False)):
            try:
                plan = mo.solve(instance, "burdens", objective=objective, transfers=transfers)
            except NotSupported:
                assert rights.share(game, sum(y, F(0))) > 0
                continue
            assert mo.audit(instance, plan).ok, mo.audit(instance, plan)
            want = grid_least(game, y, 0.25, free=not transfers)
            reached = plan.burden is not None and plan.share == float(game["b"][-1])
            got = plan.objective if reached else float("inf")
            assert got <= want + 1e-8
            compared += want < float("inf")
            equal += want < float("inf") and got > want - 1e-8
            if reached:
                assert (plan.burden >= instance.committed).all()
                assert mo.check_withdrawal(instance, plan).stable
    assert compared > 15
    assert equal > 0.85 * compared


def test_the_price_is_best_among_all_prices_and_no_worse_than_its_parts() -> None:
    strictly = 0
    for seed in range(60):  # the last third with users who give gladly
        rng, costs = Random(seed), (1, 2) if seed < 40 else (0, 1, 2)
        game = small_game(rng, levels=1 + seed % 2, eta=(), costs=costs)
        instance = instance_of(game, provider_value=rng.randint(0, 20))
        for objective in ("provider-surplus", "expenditure"):
            options = {"objective": objective, "transfers": False}
            plan = mo.solve(instance, "floor-and-burdens", **options)
            assert mo.audit(instance, plan).ok, mo.audit(instance, plan)
            sign = -1 if objective == "expenditure" else 1
            parts = [
                mo.solve(instance, "burdens", **options),
                mo.solve(instance, "posted-price", objective=objective),
            ]
            values = [sign * one.objective for one in parts if one.level]
            found = sign * plan.objective if plan.level else -np.inf
            if objective == "provider-surplus":
                values, found = [*values, 0.0], max(found, 0.0)
            assert found >= max(values, default=-np.inf) - 1e-9
            if plan.level:
                assert plan.status is mo.Status.OPTIMAL
                assert mo.check_withdrawal(instance, plan).stable
                strictly += plan.details["better_than_parts"]
            # by definition: every price, floors for certain, a grid on top
            if objective == "expenditure":
                rates = sorted({F(0), *game["theta"]})
                grid = []
                for price in rates:
                    y = [c if th <= price else F(0) for th, c in zip(game["theta"], game["cap"])]
                    if grid_least(game, y, 0.25, free=True) < np.inf:
                        grid.append(float(price * sum(y)))
                assert -found <= min(grid, default=np.inf) + 1e-9
    assert strictly > 5


def test_with_personal_payments_the_price_buys_nothing() -> None:
    rng = np.random.default_rng(3)
    for seed in range(12):
        instance = mo.Instance(
            cost=rng.uniform(0.5, 3, 8),
            value=rng.uniform(0, 3, 8),
            capacity=rng.uniform(1, 3, 8),
            thresholds=[5, 9] if seed % 2 else [7],
            shares=[0.4, 1] if seed % 2 else [1],
            provider_value=12,
        )
        best = mo.solve(instance, "floor-and-burdens")
        assert best.details["price"] == 0
        for price in np.quantile(instance.cost, [0.2, 0.5]):
            held = mo.solve(instance, "floor-and-burdens", price=float(price))
            assert mo.audit(instance, held).ok
            assert held.objective <= best.objective + 1e-9


def test_floors_are_paid_whatever_happens(tmp_path: object) -> None:
    instance = mo.Instance(
        cost=[1, 2, 4], value=6, capacity=10, thresholds=[11], provider_value=100
    )
    plan = mo.solve(instance, "floor-and-burdens", transfers=False)
    assert (plan.objective, plan.details["price"]) == (90, 1)  # posted price 60, burdens null
    assert plan.details["floor"] == [10, 0, 0]
    assert plan.details["better_than_parts"]
    lost = mo.Plan.from_arrays(
        instance, [10, 0.5, 0], [10, 0, 0], mechanism="floor-and-burdens",
        details={"price": 1.0, "floor": [10.0, 0.0, 0.0]},
    )  # fmt: skip
    outcome = mo.check_withdrawal(instance, lost).outcome
    assert outcome.share == 0
    assert outcome.payments.tolist() == [10, 0, 0]
    plan.write(tmp_path / "plan.json")
    back = mo.read(tmp_path / "plan.json")
    assert mo.audit(instance, back).ok
    assert mo.check_withdrawal(instance, back).stable
    with pytest.raises(NotSupported):
        mo.solve(instance.replace(committed=1), "posted-price")

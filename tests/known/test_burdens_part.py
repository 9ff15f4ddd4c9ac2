"""Burdens where a part may be taken back (F15): grid search by definition, closed form, audits."""

from __future__ import annotations

from fractions import Fraction
from math import inf
from random import Random
from time import perf_counter
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.known.burdens import simultaneous_level
from mechopt.known.burdens.simultaneous_level import solve_level
from mechopt.known.levels import Wanted
from tests.oracles import oracle_levels
from tests.oracles import oracle_rights as rights
from tests.problems import instance_of, small_game

F = Fraction


def test_the_grid_is_never_better_and_mostly_equal() -> None:
    equal = compared = 0
    for seed in range(30):
        game = small_game(Random(seed), eta=(0, 0, 1), costs=(0, 1, 2))
        instance = instance_of(game)
        for level in range(1, instance.levels + 1):
            grid = rights.part_design(game, level, F(1, 4))
            for quantity, transfers in (("pay", True), ("cost", False)):
                wanted, deadline = (
                    Wanted(transfers=transfers, withdrawal="part"),
                    perf_counter() + 20,
                )
                solved = solve_level(instance, level, quantity, wanted, deadline)
                found = solved.allocation
                got = inf if found is None else found.value
                want = inf if grid is None else float(grid[0])
                if grid is not None and not transfers:
                    want = inf if grid[1] < 0 else float(grid[1])
                assert got <= want + 1e-8
                if found is not None:
                    assert found.value - found.bound <= 1e-8 * (1 + found.value)
                compared += want < inf
                equal += want < inf and got > want - 1e-8
    assert compared > 50
    assert equal > 0.8 * compared


@pytest.mark.parametrize("seed", range(16))
def test_plans_are_held_and_optimal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    make = oracle_levels.generic_instance if seed % 2 else oracle_levels.lattice_instance
    instance = make(rng, 8, 1 + seed % 4, segments=seed % 3 == 0)
    if seed % 4 == 3:
        instance = instance.replace(exclusion=rng.choice([0.0, 0.5, 1.0], instance.n))
    if seed % 5 == 4:
        instance = instance.replace(budget=4.0)
    reserve = 0.25 if seed % 3 == 2 else 0.0
    for objective in ("provider-surplus", "expenditure", "social-cost", "improvement"):
        for protocol in ("simultaneous", "sequential"):
            plan = mo.solve(
                instance,
                "burdens",
                objective=objective,
                protocol=protocol,
                withdrawal="part",
                reserve=reserve,
            )
            assert plan.right == "part"
            assert mo.audit(instance, plan).ok, mo.audit(instance, plan).violations
            if protocol == "simultaneous":
                assert plan.status in (mo.Status.OPTIMAL, mo.Status.NULL)
            if plan.level and objective != "improvement":
                assert mo.check_withdrawal(instance, plan, protocol, withdrawal="part").stable
                whole = mo.solve(
                    instance, "burdens", objective=objective, protocol=protocol, reserve=reserve
                ) if protocol == "simultaneous" else None  # fmt: skip
                if whole is not None and objective != "provider-surplus":
                    assert whole.objective <= plan.objective * (1 + 1e-7) + 1e-7  # part ⊆ whole


def test_without_payments_everybody_accepts_an_interval() -> None:
    """F15: everybody keeps everything iff x_i ≤ c_i, c_i = w_m at the first m with w_m < D_m."""
    from mechopt.known.burdens.part_curves import part_curves, part_payment

    rng = np.random.default_rng(5)
    instance = mo.Instance(
        cost=rng.integers(0, 5, 40) / 2,
        value=rng.integers(0, 9, 40) / 1,
        capacity=9,
        thresholds=[4, 6, 9],
        shares=[0.25, 0.75, 1],
    )
    b, T = np.append(0.0, instance.shares), np.append(0.0, instance.thresholds)
    ends = np.full(instance.n, inf)
    for i in range(instance.n):
        for m in (2, 1, 0):
            cost = instance.cost[i]
            reach = instance.value[i] * (b[3] - b[m]) / cost if cost else inf
            if reach < T[3] - T[m]:
                ends[i] = reach
                break
    ends = np.minimum(ends, instance.capacity)
    curves = part_curves(instance, 3, 0.0).without_payment()
    assert np.maximum.reduceat(curves.burden, curves.start[:-1]) == pytest.approx(ends)
    assert (part_payment(instance, 3, 9.0, ends) <= 1e-9).all()


def test_a_reserve_needs_exclusion_or_payments() -> None:
    instance = mo.Instance(cost=1, value=[6, 6, 6], capacity=4, thresholds=[8])
    options = {"objective": "social-cost", "reserve": 1.0, "transfers": False}
    assert (
        mo.solve(instance, "burdens", **options).status is mo.Status.OPTIMAL
    )  # nobody can spare 3
    assert mo.solve(instance, "burdens", withdrawal="part", **options).status is mo.Status.NULL
    held = instance.replace(exclusion=1)
    plan = mo.solve(held, "burdens", withdrawal="part", **options)
    assert plan.status is mo.Status.OPTIMAL
    assert plan.total == 9


@pytest.mark.parametrize("terms", [{"levels": 3}, {"levels": 1, "reserve": 9.0}])
def test_who_can_take_all_back_at_the_same_price(
    terms: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many small users: a part costs the level that all costs, so both rights are one problem."""
    more = {"reserve": terms.pop("reserve")} if "reserve" in terms else {}
    instance = mo.generate("lognormal", n=300, seed=2, tightness=0.8, **terms)
    options = {"objective": "expenditure", "withdrawal": "part", **more}
    quick = mo.solve(instance, "burdens", **options)
    assert mo.audit(instance, quick).ok
    monkeypatch.setattr(simultaneous_level, "all_or_nothing", lambda *_: False)
    slow = mo.solve(instance, "burdens", **options)
    assert quick.objective == pytest.approx(slow.objective, rel=1e-7)


@pytest.mark.parametrize("order", ["small-first", "large-first"])
def test_in_sequence_no_plan_beats_the_bound_and_plans_are_held(order: str) -> None:
    """Two and three thresholds against backward induction over a grid of burdens and payments."""
    reached = 0
    for seed in range(25):
        game = rights.part_design_game(Random(seed))
        instance = instance_of(game)
        for objective, paid in (("expenditure", True), ("social-cost", False)):
            how: dict[str, Any] = {"objective": objective, "transfers": paid, "order": order}
            plan = mo.solve(instance, "burdens", protocol="sequential", withdrawal="part", **how)
            best = rights.part_design_in_turn(game, order, F(1, 4), paid=paid)
            none = plan.status in ("null", "infeasible")
            bound = inf if none or plan.bound is None else plan.bound
            assert bound <= (inf if best is None else float(best)) + 1e-8
            if plan.level:
                kept = mo.check_withdrawal(instance, plan, "sequential", order, withdrawal="part")
                assert kept.stable
                reached += 1
    assert reached > 10

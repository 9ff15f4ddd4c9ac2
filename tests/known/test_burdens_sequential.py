"""Sequential burdens: full game trees over grids, the exact MILP, bounds and key users."""

from __future__ import annotations

from itertools import permutations
from math import inf

import numpy as np
import pytest

import mechopt as mo
from mechopt.errors import NotSupported
from mechopt.formulations import burdens_sequential as formulation
from mechopt.formulations.burdens_sequential_steps import THREATS
from mechopt.solver import highs
from mechopt.withdrawal.sequential import sequential_path
from mechopt.withdrawal.stage import Stage
from tests.oracles import oracle_levels as oracle


def small_instance(rng: np.random.Generator, n: int, levels: int) -> mo.Instance:
    capacity = rng.integers(1, 5, n).astype(float)
    top = int(capacity.sum() * 4) - 1
    return mo.Instance(
        cost=rng.choice([1.0, 2.0, 4.0], n),
        value=rng.integers(1, 17, n) * 1.0,
        capacity=capacity,
        thresholds=np.sort(rng.choice(np.arange(2, top), levels, replace=False)) / 4,
        shares=np.sort(rng.choice(np.arange(1, 9), levels, replace=False)) / 8,
        reversibility=rng.choice([0.5, 1, 1], n),
        removable=rng.choice([0, 0.5, 1, 1, 1, 1], n),
    )


def least_cost(instance: mo.Instance, order, **options) -> mo.Plan:
    return mo.solve(
        instance,
        "burdens",
        objective="social-cost",
        protocol="sequential",
        order=order,
        transfers=False,
        target=float(instance.shares[-1]),
        **options,
    )


@pytest.mark.parametrize("seed", range(16))
def test_two_thresholds_equal_the_grid(seed: int) -> None:
    """No payments: the grid with the full game tree is never better than the bound, and the plan
    is within the grid's resolution; odd seeds allow X > T_2 on the grid."""
    rng = np.random.default_rng(seed)
    n = 2 + seed % 3
    step = {2: 1 / 32, 3: 1 / 8, 4: 1 / 4}[n]
    instance = small_instance(rng, n, 2)
    for order in ("small-first", "large-first", rng.permutation(n)):
        grid = oracle.sequential_grid(
            instance, order, step=step, exact_total=not (n < 4 and seed % 2)
        )
        plan = least_cost(instance, order)
        if plan.status is mo.Status.INFEASIBLE:
            assert grid == inf
            continue
        assert plan.bound <= grid + 1e-6
        if plan.status is mo.Status.OPTIMAL and grid < inf:
            assert grid - step * instance.cost.sum() * 1.01 <= plan.objective <= grid + 1e-6
        if plan.burden is not None:
            assert mo.check_withdrawal(
                instance, plan, protocol="sequential", order=plan.order
            ).stable


@pytest.mark.parametrize("seed", range(5))
def test_the_designed_order_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(50 + seed)
    instance = small_instance(rng, 3, 2)
    grids = [
        oracle.sequential_grid(instance, np.array(order), step=1 / 8)
        for order in permutations(range(3))
    ]
    plan = least_cost(instance, "designed")
    if plan.status is mo.Status.INFEASIBLE:
        assert min(grids) == inf
        return
    assert plan.bound <= min(grids) + 1e-6
    if plan.burden is not None:
        assert sorted(plan.order) == [0, 1, 2]
        assert mo.check_withdrawal(instance, plan, protocol="sequential", order=plan.order).stable


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_never_worse_than_simultaneous_and_never_above_the_bound(levels: int) -> None:
    """F1 gives the lower bound, participation alone the upper one; every plan is checked."""
    for seed in range(6):
        instance = oracle.generic_instance(np.random.default_rng(700 + seed), 7, levels)
        instance = instance.replace(provider_value=60.0)
        alone = mo.solve(instance, "burdens", protocol="simultaneous")
        free = mo.solve(instance, "burdens", protocol="none")
        for order in ("small-first", "designed"):
            plan = mo.solve(instance, "burdens", protocol="sequential", order=order, time_limit=2)
            assert alone.objective - 1e-7 <= plan.objective <= plan.bound + 1e-9
            assert plan.bound <= free.objective + 1e-6
            assert mo.audit(instance, plan).ok
            if plan.level:
                assert mo.check_withdrawal(
                    instance, plan, protocol="sequential", order=plan.order
                ).stable


def test_a_key_user_sustains_what_simultaneous_withdrawal_does_not() -> None:
    """Without payments: the first two would leave from under T_2, but then the last leaves too."""
    instance = mo.Instance(
        cost=1.0, value=[4, 4, 6], capacity=[4, 4, 6], thresholds=[7, 12], shares=[0.6, 1]
    )
    alone = mo.solve(instance, "burdens", objective="social-cost", transfers=False, target=1.0)
    assert alone.status is mo.Status.INFEASIBLE
    plan = least_cost(instance, "small-first")
    assert plan.status is mo.Status.OPTIMAL
    assert plan.objective == pytest.approx(12)
    assert plan.burden[2] > 0.6 * 6  # unwilling at level 1
    assert mo.check_withdrawal(instance, plan, protocol="sequential").stable
    assert not mo.check_withdrawal(instance, plan, protocol="simultaneous").stable


def test_fifty_users_two_thresholds_are_proved() -> None:
    rng = np.random.default_rng(4)
    n = 50
    capacity = rng.lognormal(1, 1, n)
    cost, value = rng.lognormal(0, 1, n), 3 * rng.lognormal(0, 1, n)
    reach = np.minimum(capacity, value / cost).sum()
    instance = mo.Instance(
        cost=cost,
        value=value,
        capacity=capacity,
        thresholds=[0.45 * reach, 0.55 * reach],
        shares=[0.6, 1],
    )
    for order in ("small-first", "cost", "designed", np.arange(n)):
        plan = least_cost(instance, order, time_limit=20)
        assert plan.status is mo.Status.OPTIMAL


def close_instance(rng: np.random.Generator, n: int, levels: int) -> mo.Instance:
    """Thresholds within a few users' data, most of what users accept being needed."""
    instance = small_instance(rng, n, levels)
    accepted = np.minimum(instance.capacity, instance.value / instance.cost).sum()
    top = max(np.floor(accepted * rng.uniform(0.5, 0.95) * 4) / 4, levels / 4 + 0.25)
    step = float(rng.choice([0.25, 0.5, 0.75, 1]))
    steps = np.arange(levels)[::-1]
    thresholds = top - steps * (step if top > step * (levels - 1) else 0.25)
    return instance.replace(
        thresholds=thresholds,
        value=instance.value * float(rng.choice([0.5, 1, 2])),
        reversibility=float(rng.choice([0.5, 1, 1])),
    )


@pytest.mark.parametrize("seed", range(12))
def test_more_thresholds_and_a_reserve_against_the_grid(seed: int) -> None:
    """No plan on the grid that the full game tree sustains is better than the bound; every plan is
    sustained. With a reserve X = T_K + R on the grid."""
    rng = np.random.default_rng(900 + seed)
    n, levels = 2 + seed % 3, 3 + seed % 2
    reserve = float(rng.choice([0.0, 0.25, 0.5])) if seed % 2 else 0.0
    instance = close_instance(rng, n, levels)
    step = {2: 1 / 16, 3: 1 / 8, 4: 1 / 2}[n]
    for order in ("small-first", "large-first", rng.permutation(n)):
        grid = oracle.sequential_grid(instance, order, step=step, reserve=reserve)
        plan = least_cost(instance, order, reserve=reserve)
        if plan.status is mo.Status.INFEASIBLE:
            assert grid == inf
            continue
        assert plan.bound <= grid + 1e-6
        if plan.burden is not None:
            assert mo.audit(instance, plan).ok
            assert mo.check_withdrawal(
                instance, plan, protocol="sequential", order=plan.order
            ).stable


@pytest.mark.parametrize("levels", [2, 3])
def test_payments_against_the_grid(levels: int) -> None:
    """Least payments: no burdens and payments on a grid that the game tree sustains are cheaper
    than the bound, and a proved plan is within the grid's resolution."""
    found = 0
    for seed in range(8):
        rng = np.random.default_rng(1200 + seed)
        instance = close_instance(rng, 2, levels).replace(removable=1.0)
        grid = oracle.sequential_payment_grid(instance, "small-first", step=1 / 4)
        plan = mo.solve(
            instance,
            "burdens",
            objective="expenditure",
            protocol="sequential",
            target=float(instance.shares[-1]),
        )
        if grid < inf:
            assert plan.status is not mo.Status.INFEASIBLE
            assert plan.bound <= grid + 1e-6
            found += 1
            if plan.status is mo.Status.OPTIMAL:
                assert plan.objective >= grid - 0.25 * (1 + instance.cost.sum()) - 1e-6
    assert found >= 4


@pytest.mark.parametrize("order", ["designed", "given"])
def test_certain_threats_are_sustained_and_never_beat_possible_ones(order: str) -> None:
    """Given order: the recursion accepts what the model with certain threats finds, and its
    optimum is no better than that of the relaxation."""
    solved = 0
    for seed in range(6):
        rng = np.random.default_rng(1500 + seed)
        instance = close_instance(rng, 5, 3)
        chosen = "designed" if order == "designed" else rng.permutation(5)
        values = {}
        for threats in THREATS:
            model = formulation.build(
                instance, objective="social-cost", order=chosen, transfers=False, threats=threats
            )
            solution = highs.solve_model(model, twice=True)
            values[threats] = inf if solution.objective is None else solution.objective
            if threats == "certain" and solution.x is not None and order == "given":
                solved += 1
                burden = np.array([sum(model.give[i, :].value) for i in model.USERS])
                r = instance.reversibility * instance.cost_of(burden)
                stage = Stage.from_arrays(
                    burden,
                    r - 1e-6 * instance.value,
                    instance.value,
                    instance.removable,
                    instance.thresholds - 1e-7,
                    instance.shares,
                )
                assert sequential_path(stage, chosen).stay.all()
        assert values["possible"] <= values["certain"] + 1e-6
    assert solved or order == "designed"


def test_naming_followers_raises_the_bound() -> None:
    """Two users leave level 2 to a third who free-rides on level 1 only if level 1 is left."""
    rng = np.random.default_rng(1004)
    capacity = rng.lognormal(1, 1, 8)
    cost, value = rng.lognormal(0, 1, 8), 3 * rng.lognormal(0, 1, 8)
    top = 0.45 * float(np.minimum(capacity, value / cost).sum())
    width = min(12.0 * float(np.median(capacity)), 0.8 * top)
    instance = mo.Instance(
        cost=cost,
        value=value,
        capacity=capacity,
        thresholds=top + (np.arange(3) - 2) * width / 3,
        shares=np.sqrt(np.arange(1, 4) / 3),
    )
    options = {"objective": "social-cost", "order": "small-first", "transfers": False}
    loose = highs.solve_model(formulation.build(instance, **options), twice=True)
    named = [(2, 7), (2, 5)]
    tight = highs.solve_model(formulation.build(instance, **options, followed=named), twice=True)
    assert loose.objective == pytest.approx(3.97520, abs=1e-4)
    assert tight.objective == pytest.approx(4.00496, abs=1e-4)
    plan = least_cost(instance, "small-first")
    assert plan.status is mo.Status.OPTIMAL
    assert plan.objective == pytest.approx(tight.objective, abs=1e-6)


def test_why_a_level_is_not_sustained() -> None:
    """Without payments three users cannot reach T_2 in this order; the reason says what helps."""
    instance = mo.Instance(cost=1, value=[4, 4, 3], capacity=4, thresholds=[4, 9], shares=[0.6, 1])
    plan = least_cost(instance, "small-first")
    assert plan.status is mo.Status.INFEASIBLE
    assert plan.shortfall["constraint"] == "participation"
    assert "without payments" in plan.reason
    paid = mo.solve(instance, "burdens", objective="expenditure", protocol="sequential", target=1.0)
    assert plan.shortfall["payment"] == pytest.approx(paid.bound, abs=1e-6)
    assert paid.bound > 0


def test_formulation_refuses_what_it_cannot_say() -> None:
    instance = mo.Instance(cost=1, value=[1, 2], capacity=3, thresholds=[2, 4], shares=[0.5, 1])
    with pytest.raises(mo.InvalidOption, match="threats"):
        formulation.build(instance, threats="imagined")
    with pytest.raises(NotSupported, match="'cost'"):
        formulation.build(instance, order="cost")
    with pytest.raises(mo.InvalidOption, match="order"):
        mo.solve(instance, "burdens", protocol="sequential", order=[0, 0])

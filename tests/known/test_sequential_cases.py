"""A few users, case by case: the reasons against the full game tree, the optimum against grids."""

from __future__ import annotations

from math import inf
from time import perf_counter
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from benchmarks.levels.bounds import Plans, drawn
from mechopt.known.sequential import reasons
from mechopt.known.sequential.cases import by_cases
from mechopt.known.sequential.reasons import Fact, Point, Reasons
from mechopt.known.sequential.task import Task
from mechopt.problem.aims import required_total
from tests.oracles import oracle_levels as oracle

ORDERS = ("small-first", "large-first", "given")


def some_task(seed: int, **given: Any) -> tuple[np.random.Generator, Task]:
    rng = np.random.default_rng(seed)
    instance, reserve = drawn(rng)
    total = required_total(instance, instance.levels, reserve)
    name = given.get("order", str(rng.choice(ORDERS)))
    order: Any = rng.permutation(instance.n) if name == "given" else name
    quantity, budget = given.get("quantity", "pay"), given.get("budget", inf)
    until = perf_counter() + given.get("limit", 2.0)
    return rng, Task(instance, instance.levels, quantity, reserve, total, order, budget, until, 0)


def holds(fact: Fact, point: Point, task: Task, *, of: Reasons) -> bool:
    key, low, high = fact
    if key[0] == "r":
        value = point.r[key[1]]
    elif key[0] == "left":
        gone = np.array([key[1] >> user & 1 for user in range(task.instance.n)])
        value = point.burden @ (1 - gone * task.instance.removable)
    else:
        value = point.burden[key[2]] - point.burden[key[1]]
    return bool(low <= value <= high)


@pytest.mark.parametrize("seed", range(40))
def test_where_the_reasons_hold_somebody_leaves(seed: int) -> None:
    """Other points that share all facts are not stable either, by the full game tree."""
    rng, task = some_task(seed)
    game = Reasons(task)
    scale = reasons.scale_of(task)
    instance, n = task.below, task.instance.n
    for _ in range(10):
        burden = np.minimum(rng.dirichlet(np.ones(n)) * 1.2, instance.capacity / task.total)
        r = np.minimum(rng.choice([0.3, 0.6, 1.0]), rng.uniform(0, 1, n)) * task.gain / scale
        why = game.leaves(Point(burden, r), {})
        near = [(burden, r)]
        for size in np.repeat([1e-3, 0.05, 0.3], 40):
            moved = np.clip(burden + size * rng.normal(size=n), 1e-6, None)
            near.append((moved, np.minimum(r + size * rng.normal(size=n), task.gain / scale)))
        points = [Point(*pair) for pair in near]
        if why is None:
            points, why = points[:1], []
            expected = True
        else:
            points = [p for p in points if all(holds(fact, p, task, of=game) for fact in why)]
            expected = False
        for point in points:
            if isinstance(task.order, str):
                sign = 1.0 if task.order == "small-first" else -1.0
                order = np.argsort(sign * point.burden, kind="stable")
            else:
                order = task.order
            stays = oracle.everyone_stays(
                (point.burden * task.total)[None],
                (point.r * scale)[None],
                instance.value,
                instance.removable,
                instance.thresholds,
                instance.shares,
                order[None],
                instance.exclusion,
            )
            reached = point.burden.sum() >= 1.0
            if reached and (point.burden > 0).all():
                assert bool(stays[0]) == expected


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("order", [*ORDERS, "designed"])
def test_the_optimum_case_by_case(seed: int, order: str) -> None:
    """It is a plan that stays, and no plan found by chance is better, or exists where none does."""
    rng, task = some_task(300 + seed, order=order)
    if task.total > task.instance.capacity.sum():
        return
    best, bound = by_cases(task, None, 0.0)
    value = inf if best is None or best.answer.allocation is None else best.answer.allocation.value
    assert bound <= value
    plans = Plans(task.instance, task.reserve, "pay", inf)
    least, burden = plans.best(rng, plans.drawn(rng), task.order)
    for _ in range(3):
        if burden is not None:
            found, burden = plans.best(rng, plans.near(rng, burden), task.order)
            least = min(least, found)
    assert bound <= least * (1 + 1e-7) + 1e-8
    assert value <= least * (1 + 1e-6) + 1e-6 or perf_counter() > task.deadline


def test_few_users_are_proved() -> None:
    """Five to seven users of a kind that stayed open before: linear and accelerating shapes."""
    for seed, order in ((1, "small-first"), (40, "large-first"), (31, "designed")):
        instance = mo.generate("lognormal", 5, tightness=1.05, levels=3, shape=2.0, seed=seed)
        plan = mo.solve(
            instance, objective="expenditure", protocol="sequential", order=order, time_limit=30
        )
        assert plan.status is mo.Status.OPTIMAL
        report = mo.check_withdrawal(instance, plan, protocol="sequential", order=plan.order)
        assert report.stable

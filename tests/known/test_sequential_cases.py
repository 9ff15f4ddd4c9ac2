"""A few users, case by case: the reasons against the full game tree, the optimum against grids."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from math import inf
from time import perf_counter
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from benchmarks.levels.bounds import Plans, drawn
from mechopt.known.sequential import cases, reasons
from mechopt.known.sequential.cases import by_cases
from mechopt.known.sequential.reasons import Fact, Point, Reasons
from mechopt.known.sequential.task import SequentialTask
from mechopt.problem.aims import required_total
from mechopt.solver import highs
from tests.oracles import oracle_levels as oracle

ORDERS = ("small-first", "large-first", "given")


def some_task(seed: int, **given: Any) -> tuple[np.random.Generator, SequentialTask]:
    rng = np.random.default_rng(seed)
    instance, reserve = drawn(rng)
    total = required_total(instance, instance.levels, reserve)
    name = given.get("order", str(rng.choice(ORDERS)))
    order: Any = rng.permutation(instance.n) if name == "given" else name
    quantity, budget = given.get("quantity", "pay"), given.get("budget", inf)
    until = perf_counter() + given.get("limit", 2.0)
    return rng, SequentialTask(
        instance, instance.levels, quantity, reserve, total, order, budget, until, 0
    )


def holds(fact: Fact, point: Point, task: SequentialTask, *, of: Reasons) -> bool:
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
        points = [p for p in points if p.burden.sum() >= 1.0 and (p.burden > 0).all()]
        if not points:
            continue
        burdens = np.array([point.burden for point in points])
        order = np.tile(np.asarray(task.order), (len(points), 1))
        if isinstance(task.order, str):
            sign = 1.0 if task.order == "small-first" else -1.0
            order = np.argsort(sign * burdens, axis=1, kind="stable")
        stays = oracle.everyone_stays(
            burdens * task.total,
            np.array([point.r for point in points]) * scale,
            instance.value,
            instance.removable,
            instance.thresholds,
            instance.shares,
            order,
            instance.exclusion,
        )
        assert (stays == expected).all()


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("order", [*ORDERS, "designed"])
def test_the_optimum_case_by_case(seed: int, order: str) -> None:
    """It is a plan that stays, and no plan found by chance is better, or exists where none does."""
    rng, task = some_task(300 + seed, order=order)
    if task.total > task.instance.capacity.sum():
        return
    best, bound = by_cases(task, None, 0.0)
    value = inf if best is None or best.allocation is None else best.allocation.value
    assert bound <= value
    plans = Plans(task.instance, task.reserve, "pay", inf)
    least, burden = plans.best(rng, plans.drawn(rng), task.order)
    for _ in range(3):
        if burden is not None:
            found, burden = plans.best(rng, plans.near(rng, burden), task.order)
            least = min(least, found)
    assert bound <= least * (1 + 1e-7) + 1e-8
    assert value <= least * (1 + 1e-6) + 1e-6 or perf_counter() > task.deadline


@pytest.mark.parametrize("seed", range(6))
def test_what_is_stopped_or_finds_no_plan_claims_no_more(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Points at which all stay but no plan is made stay below the bound, whenever time is over."""
    instance = mo.generate("lognormal", 4, tightness=1.05, levels=3, shape=2.0, seed=seed)
    total = required_total(instance, 3, 0.0)

    def task(deadline: float) -> SequentialTask:
        return SequentialTask(instance, 3, "pay", 0.0, total, "small-first", inf, deadline, 0)

    best, _ = by_cases(task(perf_counter() + 10), None, 0.0)
    assert best is not None
    assert best.allocation is not None
    value = best.allocation.value
    monkeypatch.setattr(cases._CaseSearch, "_try", lambda self, node, until: None)
    for turns in (1, 3, 10, 30, 100, 1000):
        monkeypatch.setattr(cases, "perf_counter", count().__next__)
        none, bound = by_cases(task(turns), None, 0.0)
        assert none is None
        assert bound <= value * (1 + 1e-7)


def test_a_node_that_is_not_decided_excludes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = mo.generate("lognormal", 4, tightness=1.05, levels=3, shape=2.0, seed=4)
    aim = {"objective": "expenditure", "protocol": "sequential", "target": 1.0}
    truth = mo.solve(instance, "burdens", **aim)
    assert truth.status is mo.Status.OPTIMAL
    solve, calls = highs.Session.solve, count()

    def unsure(session: highs.Session, *given: Any, **options: Any) -> Any:
        found = solve(session, *given, **options)
        return replace(found, status=mo.Status.UNKNOWN, x=None) if next(calls) % 3 == 2 else found

    monkeypatch.setattr(highs.Session, "solve", unsure)
    plan = mo.solve(instance, "burdens", **aim, time_limit=3)
    assert plan.bound is not None
    assert plan.bound <= truth.objective * (1 + 1e-7)


@pytest.mark.parametrize("order", ["small-first", "designed"])
def test_beside_a_user_nobody_would_ask(order: str) -> None:
    aim = {"objective": "expenditure", "protocol": "sequential", "target": 1.0, "order": order}
    for seed in (8, 10):
        few = mo.generate("lognormal", 4, tightness=1.05, levels=3, shape=2.0, seed=seed)
        more = mo.Instance(
            cost=[*few.cost, 1e16],
            value=[*few.value, 1.0],
            capacity=[*few.capacity, 1.0],
            thresholds=few.thresholds,
            shares=few.shares,
        )
        alone, beside = (mo.solve(users, "burdens", **aim) for users in (few, more))
        assert alone.status == beside.status == "optimal"
        assert beside.objective == pytest.approx(alone.objective, rel=1e-9)


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


def test_a_plan_is_optimal_only_where_no_cheaper_one_is_near() -> None:
    """One user must be unwilling by a little: a plan that is nearly free is not the best."""
    instance = mo.Instance(
        cost=[1.5, 1.5, 1.5, 2.5],
        value=[2.5, 7.5, 6.5, 6.5],
        capacity=[0.5, 2.5, 0.5, 2.5],
        removable=[0.5, 1.0, 0.0, 0.5],
        thresholds=[2.25, 3.75, 4.0, 5.0],
        shares=["3/22", "8/22", "14/22", 1],
    )
    until = perf_counter() + 20.0
    task = SequentialTask(instance, 4, "pay", 0.0, 5.0, "designed", inf, until, 0)
    best, bound = by_cases(task, None, 0.0)
    assert best is not None
    assert best.allocation is not None
    assert best.allocation.value == bound == 0.0


@pytest.mark.parametrize(
    ("seed", "shape", "n", "tight", "order"),
    [(100, "linear", 6, 1.05, "small-first"), (84, "diminishing", 5, 1.1, "designed")],
)
def test_plans_on_the_edge_of_a_fact_are_found(
    monkeypatch: pytest.MonkeyPatch, seed: int, shape: str, n: int, tight: float, order: str
) -> None:
    """Equal burdens and data met exactly, parted by rounding: the search ended with a gap there."""
    monkeypatch.setattr(cases, "_TRYING", 0.0)  # as on a machine that is busy
    instance = mo.generate("lognormal", n, tightness=tight, levels=3, shape=shape, seed=seed)
    options: dict[str, Any] = {"objective": "expenditure", "protocol": "sequential"}
    plan = mo.solve(instance, "burdens", order=order, time_limit=20, **options)
    assert plan.status is mo.Status.OPTIMAL
    assert mo.audit(instance, plan).ok

"""Facts F11 and F12 of the sequential protocol, against full game trees."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from math import inf
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

import mechopt as mo
from benchmarks.levels.bounds import drawn, hunt
from benchmarks.levels.recorded import instance_of, wanted
from mechopt.formulations import burdens_zones
from mechopt.known.sequential import milp, prices, sampled
from mechopt.known.sequential import search as search_module
from mechopt.known.sequential import solve as solve_module
from mechopt.known.sequential.cutoffs import sliced
from mechopt.known.sequential.points import Box, points, within
from mechopt.known.sequential.prices import _Master
from mechopt.known.sequential.relaxation import (
    Relaxation,
    Value,
    evaluate,
    nearest_open,
    reduced_weight,
)
from mechopt.known.sequential.rounding import plan_at
from mechopt.known.sequential.search import ZoneSearch
from mechopt.known.sequential.task import SequentialTask
from mechopt.problem.aims import required_total
from mechopt.problem.zones import zones
from mechopt.solver import highs
from tests.oracles import oracle_levels as oracle


def simultaneous(x, r, v, delta, thresholds, shares):
    """(W1), row by row; exact data up to 1e-12."""
    b = np.append(0.0, shares)
    total = x.sum(axis=1, keepdims=True)
    after = np.searchsorted(thresholds, total - delta * x + 1e-12, side="right")
    level = np.searchsorted(thresholds, total + 1e-12, side="right")
    return ((v * (b[level] - b[after]) >= r - 1e-12) | (x == 0)).all(axis=1)


def random_plans(rng, *, excess: bool, rows: int = 200):
    """Plans (rows, n) on a lattice with s_K ≤ s_{K−1} whose last gap nobody bridges alone."""
    n, levels = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    steps = rng.integers(1, 7, levels)
    steps[-2:] = np.sort(steps[-2:])[::-1]
    shares = np.cumsum(steps) / steps.sum()
    delta = rng.choice([0.5, 1.0], n)
    x = rng.permuted(np.tile(rng.integers(1, 5, n) / 4, (rows, 1)), axis=1)
    v = rng.integers(1, 9, n) * 1.0
    r = v * rng.integers(-1, rng.integers(2, 8), (rows, n)) / steps.sum()
    total = x[0].sum()
    top = total - excess * rng.integers(1, 4) / 4
    gap = max((delta * x).max() - (total - top), 0.125)
    below = np.unique(top - gap - rng.integers(0, 12, levels - 1) / 8)
    thresholds = np.append(below, top)
    if thresholds[0] <= 0 or thresholds.size < levels or thresholds[-2] + gap < top:
        return None
    return x, r, v, delta, thresholds, shares


@pytest.mark.parametrize("excess", [False, True])
def test_one_step_at_most_means_one_condition_for_every_order(excess: bool) -> None:
    """F11: everyone stays in some order ⇔ in every order ⇔ (W1), also above T_K."""
    seen = held = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        drawn = random_plans(rng, excess=excess)
        if drawn is None:
            continue
        x, r, v, delta, thresholds, shares = drawn
        wanted = simultaneous(x, r, v, delta, thresholds, shares)
        order = np.array([rng.permutation(x.shape[1]) for _ in range(len(x))])
        found = oracle.everyone_stays(x, r, v, delta, thresholds, shares, order)
        assert (found == wanted).all()
        seen, held = seen + len(x), held + int(wanted.sum())
    assert seen > 2000
    assert held > 100


@pytest.mark.parametrize("order", ["small-first", "large-first", "designed", "cost"])
@pytest.mark.parametrize("shape", ["linear", "diminishing"])
def test_diminishing_returns_are_solved_at_any_size(order: str, shape: str) -> None:
    for n, levels in ((60, 2), (20_000, 5)):
        instance = mo.generate("lognormal", n, tightness=1.05, levels=levels, shape=shape, seed=1)
        alone = mo.solve(instance, "burdens", objective="expenditure")
        plan = mo.solve(
            instance, "burdens", objective="expenditure", protocol="sequential", order=order
        )
        assert plan.status is mo.Status.OPTIMAL
        assert plan.objective == alone.objective > 0


def zone_bound(instance: mo.Instance, order, reserve: float = 0.0):
    """What the zone relaxation alone proves and finds for the highest level."""
    task = SequentialTask(
        instance,
        instance.levels,
        "pay",
        reserve,
        required_total(instance, instance.levels, reserve),
        order,
        inf,
        perf_counter() + 5,
        0,
    )
    search = ZoneSearch(task, None, 0.0)
    search.run()
    return search


@pytest.mark.parametrize("seed", range(24))
def test_bounds_are_never_above_a_plan(seed: int) -> None:
    """Against plans of the MILP that names followers, which the recursion accepts."""
    rng = np.random.default_rng(seed)
    n, levels = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    capacity = rng.choice([0.5, 1, 1.5, 2, 3, 4], n)
    shares = np.sort(rng.choice(np.arange(1, 13), levels, replace=False))
    reach = capacity.sum() * rng.uniform(0.5, 1)
    instance = mo.Instance(
        cost=rng.choice([0, 0.5, 1, 1.5, 2, 3], n),
        value=np.round(rng.lognormal(0.5, 0.8, n), 3),
        capacity=capacity,
        thresholds=np.sort(rng.choice(np.arange(1, 20), levels, replace=False)) / 20 * reach,
        shares=shares / shares[-1],
        reversibility=rng.choice([0.5, 1, 1, 0], n) if seed % 3 == 0 else 1.0,
        removable=rng.choice([0.5, 1, 0], n) if seed % 3 == 1 else 1.0,
    )
    reserve = 0.3 if seed % 4 == 0 else 0.0
    order = ["small-first", "designed", "large-first", rng.permutation(n)][seed % 4]
    if required_total(instance, levels, reserve) > capacity.sum():
        return
    search = zone_bound(instance, order, reserve)
    plan = mo.solve(
        instance,
        "burdens",
        objective="expenditure",
        protocol="sequential",
        order=order,
        reserve=reserve,
        time_limit=3,
    )
    if plan.burden is not None and plan.level == levels:
        assert search.bound <= plan.objective * (1 + 1e-7) + 1e-8
        assert search.bound <= search.value


@pytest.mark.parametrize(
    ("shares", "order"),
    [
        ([0.45, 1], "designed"),
        ([0.1, 0.35, 1], "designed"),
        ([0.1, 0.35, 1], "small-first"),
        ([0.4, 0.65, 0.8, 0.92, 1], "small-first"),
    ],
)
def test_recorded_instances(
    shares: list[float], order: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounds at least those recorded, plans no dearer than the best known of 22 November."""
    monkeypatch.setattr(search_module, "_NODES", 20)  # effort, not time, decides how far it gets
    monkeypatch.setattr(milp, "_MODELLED", 0)
    rows = json.loads((shared_data / "sequential_zones.json").read_text())["instances"]
    row = next(row for row in rows if (row["shares"], row["n"], row["seed"]) == (shares, 200, 0))
    instance = instance_of(row)
    options = {"objective": "expenditure", "protocol": "sequential", "time_limit": 60}
    plan = mo.solve(instance, "burdens", order=order, **options)
    assert plan.bound >= row["zone_bound"] - 1e-4
    assert plan.objective <= wanted(row, order) + 1e-4
    report = mo.check_withdrawal(instance, plan, protocol="sequential", order=plan.order)
    assert report.stable
    assert mo.audit(instance, plan).ok


@pytest.mark.parametrize("seed", range(16))
def test_the_zone_model_bounds_every_order(seed: int) -> None:
    """models/burdens-zones: its optimum is below the plans of every order, rights included."""
    rng = np.random.default_rng(seed)
    instance, reserve = drawn(rng)
    if required_total(instance, instance.levels, reserve) > instance.capacity.sum():
        return
    options = {"objective": "expenditure", "reserve": reserve}
    model = highs.solve_model(burdens_zones.build(instance, **options), twice=True)
    assert model.bound is not None
    options |= {"protocol": "sequential", "target": float(instance.shares[-1]), "time_limit": 0.5}
    for order in ("designed", "small-first", rng.permutation(instance.n)):
        plan = mo.solve(instance, "burdens", order=order, **options)
        if plan.objective is not None:
            assert model.bound <= plan.objective + 1e-6


def test_no_bound_is_above_a_plan_that_stays() -> None:
    """A slice of benchmarks/levels/bounds.py: full game trees of random and of changed plans."""
    counts: Counter[str] = Counter()
    hunt(50_000, 20, counts, limit=0.1)
    assert counts["ABOVE"] == counts["NOT ACCEPTED"] == 0
    assert counts["bounds compared"] > 40


def zone_instance(seed: int, n: int = 30, levels: int = 3) -> mo.Instance:
    rng = np.random.default_rng(seed)
    capacity = rng.uniform(0.5, 2, n)
    return mo.Instance(
        cost=rng.lognormal(0, 0.5, n),
        value=rng.lognormal(0, 0.5, n),
        capacity=capacity,
        thresholds=np.linspace(0.4, 0.8, levels) * capacity.sum(),
        shares=(np.arange(1, levels + 1) / levels) ** 2,
        removable=rng.choice([0.5, 1.0], n) if seed % 2 else 1.0,
    )


@pytest.mark.parametrize("order", ["small-first", "large-first", "given"])
@pytest.mark.parametrize("seed", range(3))
def test_slices_are_below_every_decided_cutoff(order: str, seed: int) -> None:
    """At the same prices no cutoffs in the box have a lower bound than its slices say."""
    instance, rng = zone_instance(seed), np.random.default_rng(seed)
    whole = zones(instance, 0.0)
    everything = points(whole)
    ends = np.array([0.6, 0.9]), np.array([1.1, 1.6])
    place = None
    if order == "given":
        place, ends = rng.permutation(30), (np.array([5.0, 9.0]), np.array([14.0, 21.0]))
    if order == "large-first":
        ends = ends[0][::-1], ends[1][::-1]
    box = Box(order, *ends, place)
    grid = within(everything, box)
    task = Relaxation(whole, grid, grid.need, whole.gap - 1.0)
    value = evaluate(task, np.array([1.3, 0.5, 0.4]))
    bound, left = sliced(task, box, value, lambda row, box: 1.0, inf)
    assert bound > value.bound
    for _ in range(200):
        at = rng.uniform(*ends)
        at = np.sort(at)[::-1] if order == "large-first" else np.sort(at)
        decided = within(everything, replace(box, low=at, high=at))
        there = Relaxation(whole, decided, decided.need, whole.gap - 1.0)
        assert evaluate(there, value.prices).bound >= bound - 1e-9
    assert ((left.low >= box.low) & (left.high <= box.high)).all()


@pytest.mark.parametrize("seed", range(4))
def test_the_prices_of_the_cuts_are_those_of_a_linear_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, scale = 3, np.array([1.0, 0.1, 10.0])
    cuts = [
        Value(
            rng.uniform(0, 1, size) * scale, rng.normal(), rng.normal(size=size), *[np.zeros(1)] * 2
        )
        for _ in range(8)
    ]
    master = _Master(scale, cuts[0])
    for cut in cuts[1:]:
        master.add(cut)
    centre, radius = scale * 0.5, 0.7
    bound, prices, shares = master.solve(centre - radius * scale, centre + radius * scale)
    rows = np.array([np.append(1.0, -cut.slope) for cut in cuts])
    program = highs.LinearProgram(
        cost=np.append(1.0, np.zeros(size)),
        start=np.arange(0, rows.size + 1, size + 1, dtype=np.int32),
        index=np.tile(np.arange(size + 1, dtype=np.int32), len(cuts)),
        value=rows.reshape(-1),
        row_lower=np.full(len(cuts), -inf),
        row_upper=np.array([cut.bound - cut.slope @ cut.prices for cut in cuts]),
        lower=np.append(-inf, np.maximum(centre - radius * scale, 0)),
        upper=np.append(inf, centre + radius * scale),
        maximize=True,
    )
    assert bound == pytest.approx(highs.solve(program).objective, abs=1e-9)
    assert shares.sum() == pytest.approx(1.0)
    assert min(cut.bound + cut.slope @ (prices - cut.prices) for cut in cuts) == pytest.approx(
        bound
    )


@pytest.mark.parametrize("keys", [(), ((0, 2.0), (1, 1.0))])
@pytest.mark.parametrize("size", [500, 9000])
def test_prices_found_with_a_part_open_are_the_best(
    keys: tuple[tuple[int, float], ...], size: int
) -> None:
    """What the open part allows is never below what all do; in the end the two agree."""
    instance = mo.generate("lognormal", n=size, levels=3, shape=2.0, tightness=1.05, seed=5)
    whole = zones(instance, 0.0)
    grid = points(whole)
    task = Relaxation(whole, grid, grid.need, whole.gap - 1.0, keys)
    found = prices.best_prices(task, close=1e-7)
    assert evaluate(task, found.prices).bound == pytest.approx(found.bound, rel=1e-12)
    reduced = reduced_weight(task, found.prices)
    part, reach = nearest_open(task, found, reduced)
    assert part.points.burden.size < grid.burden.size / 4
    assert evaluate(part, found.prices).bound == pytest.approx(found.bound, rel=1e-9)
    rng = np.random.default_rng(size)
    for far in 10.0 ** rng.uniform(-3, 1, 20):
        there = np.maximum(found.prices + far * reach * rng.normal(size=3), 0.0)
        everything, some = evaluate(task, there), evaluate(part, there)
        assert some.bound >= everything.bound - 1e-9 * abs(found.bound)
        if np.abs(there - found.prices).max() < 0.1 * reach:
            assert some.bound == pytest.approx(everything.bound, rel=1e-4)
        assert everything.bound <= found.bound * (1 + 1e-6)


def test_hard_cases_are_solved(shared_data: Path) -> None:
    """Plans that only the game tree finds: three users, three thresholds."""
    cases = json.loads((shared_data / "hard_cases.json").read_text())["sequential"]
    for case in cases:
        fields = ["cost", "value", "capacity", "thresholds", "shares", "reversibility", "removable"]
        instance = mo.Instance(**{name: case[name] for name in fields})
        plan = mo.solve(
            instance, objective="expenditure", protocol="sequential", order=case["order"]
        )
        assert plan.status is mo.Status.OPTIMAL
        assert plan.objective == pytest.approx(case["truth_rounded"], abs=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_exclusion_is_kept_in_sequence(seed: int) -> None:
    """Random plans that the recursion accepts are never below the bound."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    capacity, value = rng.choice([0.5, 1, 2, 3, 4], n), np.round(rng.lognormal(0.5, 0.8, n), 3)
    instance = mo.Instance(
        cost=rng.choice([0, 0.5, 1, 2, 3], n),
        value=value,
        capacity=capacity,
        thresholds=np.array([0.3, 0.6]) * capacity.sum(),
        shares=[0.25, 1],
        exclusion=rng.choice([0, 0.3, 1], n),
    )
    options = {"objective": "expenditure", "protocol": "sequential", "time_limit": 2}
    plan = mo.solve(instance, "burdens", order="small-first", **options)
    assert mo.audit(instance, plan).ok
    assert mo.check_withdrawal(instance, plan, protocol="sequential").stable
    for burden in rng.dirichlet(np.ones(n), 40) * instance.thresholds[-1]:
        if (burden <= capacity).all():
            cost = instance.cost_of(burden)
            payment = np.maximum(0.0, cost - value * rng.choice([1, 0.7, 0.3], n))
            other = mo.Plan.from_arrays(instance, burden, payment)
            if mo.check_withdrawal(instance, other, protocol="sequential").stable:
                assert payment.sum() >= plan.bound - 1e-6


class _NoPlan:
    """A search that finds no plan in a designed order."""

    def __init__(self, task: SequentialTask, best: object, floor: float) -> None:
        self.task, self.best, self.bound = task, best, floor
        self.value = inf if best is None else best.allocation.value
        if not task.designed:
            self.own = ZoneSearch(task, best, floor)

    def run(self) -> None:
        if not self.task.designed:
            self.own.run()
            self.best, self.value = self.own.best, self.own.value


def test_a_designed_order_takes_a_small_first_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = mo.generate("lognormal", 60, tightness=1.05, levels=2, shape=3.0, seed=4)
    aim = {"objective": "expenditure", "protocol": "sequential", "target": 1.0, "time_limit": 4}
    small = mo.solve(instance, "burdens", order="small-first", **aim)
    monkeypatch.setattr(solve_module, "ZoneSearch", _NoPlan)
    monkeypatch.setattr(solve_module, "_steps", lambda task: [solve_module._by_zones])
    plan = mo.solve(instance, "burdens", order="designed", **aim)
    alone = mo.solve(instance, "burdens", **{**aim, "protocol": "simultaneous"})
    assert plan.objective < 0.95 * alone.objective  # not the plan that holds in every order
    assert plan.objective == pytest.approx(small.objective, rel=0.05)
    assert plan.status == "feasible"  # a bound on small-first plans is none on all orders
    assert plan.bound < small.bound
    assert mo.check_withdrawal(instance, plan, "sequential", plan.order).stable
    assert mo.audit(instance, plan).ok


def test_cutoffs_of_a_sample_are_near_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = mo.generate("lognormal", n=900, levels=3, shape=2.0, tightness=1.05, seed=1)
    total = required_total(instance, 3, 0.0)
    until = perf_counter() + 20.0
    task = SequentialTask(instance, 3, "pay", 0.0, total, "small-first", inf, until, 0)
    assert sampled.sampled_cutoffs(task) is None  # too few to ask for a sample
    monkeypatch.setattr(sampled, "_MANY", 800)
    monkeypatch.setattr(sampled, "_SIZE", 300)
    assert sampled.sampled_cutoffs(replace(task, order="designed")) is None
    at = sampled.sampled_cutoffs(task)
    assert at is not None
    assert at.shape == (2,)
    assert (np.diff(at) >= 0).all()
    assert (at >= 0).all()
    assert (at <= instance.capacity.max()).all()


def test_a_level_at_which_nobody_may_give_has_no_plan() -> None:
    instance = mo.Instance(
        cost=[1.0] * 3, value=0.0, capacity=2.0, thresholds=[1, 3], shares=[0.2, 1]
    )
    whole = zones(instance, 0.0)
    grid = points(whole, paid=False)
    first = {name: getattr(grid, name)[:1] for name in ("burden", "cost", "need", "code", "zone")}
    grid = replace(grid, **first)
    task = Relaxation(whole, grid, grid.cost, whole.gap)
    value = evaluate(task, np.array([1.0, 0.0]))
    limits = {"time_limit": 1.0, "deadline": inf, "core_size": 9}
    assert plan_at(task, value, [], designed=False, **limits) is None

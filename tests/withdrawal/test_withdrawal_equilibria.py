"""Extreme equilibria and coalitions: search, MILPs and full enumeration agree."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.errors import InvalidOption
from mechopt.formulations import blocking_coalition as coalition_model
from mechopt.formulations import withdrawal_equilibrium as equilibrium_model
from mechopt.solver import highs
from mechopt.status import Status
from mechopt.withdrawal import blocking_coalition, check_withdrawal, equilibria, knapsack
from mechopt.withdrawal.simultaneous import is_equilibrium
from mechopt.withdrawal.stage import Stage, stage_of
from tests.oracles import oracle_withdrawal as oracle
from tests.oracles.withdrawal_agreement import instance_and_plan


def random_stage(seed: int, n: int, levels: int) -> tuple[Stage, np.ndarray]:
    """Lognormal burdens, thresholds anywhere in the upper nine tenths; weights for the cost."""
    rng = np.random.default_rng(seed)
    x = rng.lognormal(0, rng.choice([0.3, 1.0, 1.5]), n)
    thresholds = np.sort(rng.uniform(0.1, 1, levels)) * x.sum()
    shares = np.sort(rng.uniform(0.1, 1, levels))
    v = rng.lognormal(0, 1, n) * x * rng.choice([0.3, 1, 5])
    r = rng.uniform(0, 1, n) * x - rng.choice([0, 0.1]) * x
    stage = Stage.from_arrays(
        x, r, v, rng.choice([1.0, 0.5]), thresholds, shares, rng.choice([0, 0, 0.2])
    )
    return stage, np.maximum(r, 0) + rng.random(n) * 0.1 * x


@pytest.mark.parametrize("goal", equilibria.Goal)
def test_search_agrees_with_enumeration(goal: equilibria.Goal, monkeypatch: Any) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        stage, cost = random_stage(seed, int(rng.integers(2, 10)), int(rng.integers(1, 5)))
        weights = stage.removed if goal.weighs_level_0 else cost
        listed = equilibria.extreme_equilibrium(stage, weights, goal)
        monkeypatch.setattr(equilibria, "ENUMERATED", -1)
        found = equilibria.extreme_equilibrium(stage, weights, goal)
        monkeypatch.undo()
        assert (found.status, found.level) == (listed.status, listed.level)
        if listed.stay is not None:
            assert found.stay is not None
            assert is_equilibrium(stage, found.stay)
            assert found.objective == pytest.approx(listed.objective, rel=1e-6, abs=1e-9)


def test_search_agrees_with_enumeration_on_ties(monkeypatch: Any) -> None:
    monkeypatch.setattr(equilibria, "ENUMERATED", -1)
    for seed in range(7_000, 7_080):
        game = oracle.random_game(Random(seed))
        nash = oracle.equilibria(game)
        instance, plan = instance_and_plan(game)
        report = check_withdrawal(instance, plan)
        if not nash:
            assert report.best.status is Status.INFEASIBLE
            with pytest.raises(InvalidOption, match="no equilibrium is known"):
                _ = report.best.stay
            continue
        keys = [
            (oracle.level(game, oracle.total(game, s)), oracle.social_cost(game, s)) for s in nash
        ]
        best = min(keys, key=lambda key: (-key[0], key[1]))
        worst = min(keys, key=lambda key: (key[0], -key[1]))
        assert (report.best.level, report.best.social_cost) == (best[0], float(best[1]))
        assert (report.worst.level, report.worst.social_cost) == (worst[0], float(worst[1]))


@pytest.mark.parametrize(
    ("goal", "member"),
    [
        ("best", equilibria.Goal.BEST),
        ("worst", equilibria.Goal.WORST),
        ("most-data", equilibria.Goal.MOST_DATA),
        ("least-data", equilibria.Goal.LEAST_DATA),
    ],
)
def test_the_milp_agrees_level_by_level(goal: str, member: equilibria.Goal) -> None:
    solved = 0
    for seed in range(40):
        rng = Random(seed)
        game = oracle.random_game(rng, most_users=5)
        game["unconditional"] = False
        if not oracle.movers(game):
            continue
        instance, plan = instance_and_plan(game, exact=False)
        for level in range(instance.levels + 1):
            values = [
                oracle.total(game, stay) if "data" in goal else oracle.social_cost(game, stay)
                for stay in oracle.equilibria(game)
                if oracle.level(game, oracle.total(game, stay)) == level
            ]
            reachable = {oracle.level(game, oracle.total(game, s)) for s in oracle.stay_sets(game)}
            if level not in reachable:
                assert not values
                continue
            model = equilibrium_model.build(instance, plan=plan, level=level, goal=goal)
            answer = highs.solve_model(model)
            assert (answer.status is Status.OPTIMAL) == bool(values)
            if values:
                wanted = max(values) if member.maximize else min(values)
                assert answer.objective == pytest.approx(float(wanted), abs=1e-5)
                solved += 1
    assert solved > 20


def test_the_coalition_milp_agrees_with_the_closed_form() -> None:
    blocked = 0
    for seed in range(60):
        game = oracle.random_game(Random(seed), most_users=5)
        if not oracle.movers(game):
            continue
        instance, plan = instance_and_plan(game, exact=False)
        found = blocking_coalition(stage_of(instance, plan))
        answer = highs.solve_model(coalition_model.build(instance, plan=plan))
        assert (answer.status is Status.INFEASIBLE) == (found is None)
        if found is not None:
            blocked += 1
            assert answer.objective == pytest.approx(found.users.size)
    assert blocked > 20


def test_coalitions_from_any_stay_set_are_found_iff_there_are_some() -> None:
    rng = Random(5)
    seen = {True: 0, False: 0}
    for seed in range(8_000, 8_150):
        game = oracle.random_game(Random(seed), most_users=4)
        instance, plan = instance_and_plan(game)
        stay = rng.choice(oracle.stay_sets(game))
        found = blocking_coalition(stage_of(instance, plan), np.array(stay))
        blocking = oracle.blocking_coalitions(game, stay)
        assert (found is not None) == bool(blocking)
        seen[found is not None] += 1
        if found is not None:
            assert tuple(found.users.tolist()) in blocking
            assert (found.gains > 0).all()
    assert min(seen.values()) > 10


def test_extremes_are_proved_with_200_users_and_three_thresholds() -> None:
    for seed in range(6):
        stage, cost = random_stage(seed, 200, 3)
        for goal in (equilibria.Goal.BEST, equilibria.Goal.WORST):
            found = equilibria.extreme_equilibrium(stage, cost, goal, time_limit=20)
            assert found.status is Status.OPTIMAL
            assert found.stay is not None
            assert is_equilibrium(stage, found.stay)


def test_best_equilibrium_of_one_threshold_with_many_users() -> None:
    rng = np.random.default_rng(1)
    n = 20_000
    x = rng.lognormal(0, 1, n)
    cost = rng.uniform(0.5, 1, n)
    instance = mo.Instance(cost=cost, value=2 * x, capacity=x, thresholds=[x.sum() / 2])
    report = check_withdrawal(instance, mo.Plan.from_arrays(instance, x))
    best, worst = report.best, report.worst
    assert best.share == 1
    assert best.status in (Status.OPTIMAL, Status.FEASIBLE)
    assert best.bound is not None
    assert best.bound <= best.social_cost <= best.bound * (1 + 1e-4)
    assert is_equilibrium(report.stage, best.stay)
    assert worst.share == 0
    sequential = check_withdrawal(instance, report.plan, "sequential").outcome
    assert best.social_cost <= sequential.social_cost


def test_users_who_stay_in_any_case_do_not_make_the_search_larger() -> None:
    """Ten thresholds, a dozen of 5,000 users in question: proved, and as all their sets have it."""
    rng = np.random.default_rng(2)
    n, some = 5_000, np.arange(12)
    x, value = rng.lognormal(0, 1, n), rng.lognormal(0, 1, n)
    x[some] += 5
    payment = 1.05 * x
    payment[some] = x[some] - rng.uniform(0, 0.3, some.size) * value[some]
    levels = x.sum() - x[some].sum() * np.linspace(0.95, 0.05, 10)
    instance = mo.Instance(1.0, value, x, levels, np.linspace(0.1, 1, 10))
    report = check_withdrawal(instance, mo.Plan.from_arrays(instance, x, payment))
    best = report.best
    assert best.status is Status.OPTIMAL
    candidates = []
    for number in range(2**some.size):
        stay = np.ones(n, dtype=bool)
        stay[some] = number >> np.arange(some.size) & 1
        share = np.append(0.0, instance.shares)[np.searchsorted(levels, x[stay].sum(), "right")]
        candidates.append((-share, x[stay].sum(), number, stay))
    for share, cost, _, stay in sorted(candidates, key=lambda one: one[:3]):
        if is_equilibrium(report.stage, stay):
            assert best.share == -share > 0
            assert best.social_cost == pytest.approx(cost, rel=1e-9)
            break


def test_a_limit_is_said_and_the_bound_kept() -> None:
    stage, cost = random_stage(3, 60, 3)
    found = equilibria.extreme_equilibrium(stage, cost, equilibria.Goal.BEST, time_limit=-1.0)
    assert found.status in (Status.OPTIMAL, Status.FEASIBLE, Status.UNKNOWN)
    full = equilibria.extreme_equilibrium(stage, cost, equilibria.Goal.BEST)
    assert full.level is not None
    assert found.level_bound >= full.level


def test_knapsack_agrees_with_all_subsets() -> None:
    for seed in range(150):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(1, 9))
        data, cost = rng.integers(0, 8, size) / 2, rng.integers(0, 8, size) / 2
        low = float(rng.integers(-2, 12)) / 2
        high = low + float(rng.integers(0, 6)) / 2
        subsets = (np.arange(1 << size)[:, None] >> np.arange(size) & 1).astype(bool)
        total, spent = subsets @ data, subsets @ cost
        fits = (total >= low) & (total <= high)
        for maximize in (False, True):
            cover = knapsack.cheapest_cover(data, cost, (low, high), maximize=maximize)
            if not fits.any():
                assert cover.status is Status.INFEASIBLE
                continue
            wanted = spent[fits].max() if maximize else spent[fits].min()
            assert cover.status is Status.OPTIMAL
            assert cover.taken is not None
            assert low <= data[cover.taken].sum() <= high
            assert cost[cover.taken].sum() == wanted


def test_formulations_refuse_what_makes_no_sense() -> None:
    instance = mo.Instance(cost=[1, 1], value=3, capacity=1, thresholds=[2])
    plan = mo.Plan.from_arrays(instance, [1, 1])
    with pytest.raises(InvalidOption, match="goal: 'greatest'"):
        mo.build_model(instance, "withdrawal-equilibrium", plan=plan, goal="greatest")
    with pytest.raises(InvalidOption, match=r"level: must be 0 … 1, got 2"):
        mo.build_model(instance, "withdrawal-equilibrium", plan=plan, level=2)
    stuck = instance.replace(removable=0)
    with pytest.raises(InvalidOption, match="level: no stay-set has level 0"):
        mo.build_model(
            stuck, "withdrawal-equilibrium", plan=mo.Plan.from_arrays(stuck, [1, 1]), level=0
        )
    for name in ("withdrawal-equilibrium", "blocking-coalition"):
        with pytest.raises(InvalidOption, match="asks nothing"):
            mo.build_model(instance, name, plan=mo.Plan.null(instance))


def test_best_beside_one_user_of_enormous_cost() -> None:
    """What is proved is relative to what can be chosen (the cheapest cover by counting)."""
    rng = np.random.default_rng(29)
    for _ in range(25):
        w = np.array([1000, *rng.integers(1, 60, 15)])
        p = np.array([10**9, *rng.integers(1, 60, 15)])
        threshold = 1000 + int(rng.integers(50, w[1:].sum()))
        least = [0] + [10**18] * int(w[1:].sum())
        for size, price in zip(w[1:].tolist(), p[1:].tolist()):
            for total in range(len(least) - 1, size - 1, -1):
                least[total] = min(least[total], least[total - size] + price)
        instance = mo.Instance(
            cost=p / w, value=10.0 * p.max(), capacity=w * 1.0, thresholds=[float(threshold)]
        )
        plan = mo.Plan.from_arrays(instance, burden=w * 1.0)
        best = mo.check_withdrawal(instance, plan).best
        assert best.status == "optimal"
        assert p[1:][best.stay[1:]].sum() == min(least[threshold - 1000 :])


def test_a_cover_contains_nobody_it_does_not_need() -> None:
    """A user who costs a millionth of the whole is left out all the same."""
    w = np.array([5.0, 4.0, 1.0, *[2.0] * 15])
    cost = np.array([1e7, 9e6, 1.0, *[3e6] * 15])
    found = knapsack.cheapest_cover(w, cost, (9.0, 100.0))
    assert found.taken is not None
    total = w[found.taken].sum()
    assert total >= 9
    assert (total - w[found.taken] < 9).all()

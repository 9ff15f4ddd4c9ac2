"""check_withdrawal: definition first (game tree and all stay-sets), then known answers."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import permutations
from random import Random

import numpy as np
import pytest

import mechopt as mo
from mechopt.errors import InvalidOption, InvalidPlan, TooLarge
from mechopt.withdrawal import (
    all_equilibria,
    check_withdrawal,
    sequential_everyone_stays,
    sequential_outcome,
    simultaneous_slack,
)
from tests.oracles import oracle_withdrawal as oracle
from tests.oracles.withdrawal_agreement import disagreements, instance_and_plan

GAMES = 600  # benchmarks/withdrawal/cross_check.py runs 6,000


def worked_example_2() -> tuple[mo.Instance, mo.Plan]:
    """docs: model, example 2: x = (1, 2, 3, 4), T = 7, v = 5, r = 1."""
    instance = mo.Instance(cost=1, value=[5] * 4, capacity=4, thresholds=[7])
    return instance, mo.Plan.from_arrays(instance, [1, 2, 3, 4], [0, 1, 2, 3])


def f1_example() -> tuple[mo.Instance, mo.Plan]:
    """The example of F1: sequential-stable, not simultaneous-stable."""
    instance = mo.Instance(
        cost=[7, 1],
        value=["9/2", "3/2"],
        capacity=2,
        thresholds=["3/4", 1, 2],
        shares=["3/14", "9/14", 1],
    )
    return instance, mo.Plan.from_arrays(instance, ["1/2", "3/2"])


@pytest.mark.parametrize("block", range(6))
def test_agrees_with_the_full_tree_and_all_stay_sets(block: int) -> None:
    size = GAMES // 6
    for seed in range(100_000 + block * size, 100_000 + (block + 1) * size):
        make = oracle.pivotal_game if seed % 3 == 0 else oracle.random_game
        game = make(Random(seed), most_users=5)
        assert disagreements(game, seed, exact=seed % 4 > 0) == []


@pytest.mark.parametrize("block", range(4))
def test_exclusion_and_committed_data_agree_with_the_full_tree_too(block: int) -> None:
    size = GAMES // 6
    for seed in range(700_000 + block * size, 700_000 + (block + 1) * size):
        make = oracle.pivotal_game if seed % 3 else oracle.random_game
        game = oracle.with_rights(Random(-seed), make(Random(seed), most_users=5))
        assert disagreements(game, seed, exact=seed % 4 > 0) == []


def test_worked_example_2() -> None:
    instance, plan = worked_example_2()
    small = check_withdrawal(instance, plan, "sequential")
    large = check_withdrawal(instance, plan, "sequential", "large-first")
    assert np.flatnonzero(small.outcome.stay).tolist() == [2, 3]
    assert np.flatnonzero(large.outcome.stay).tolist() == [0, 1, 3]
    report = check_withdrawal(instance, plan)
    trains = {
        frozenset(np.flatnonzero(stay).tolist())
        for stay in report.equilibria
        if plan.burden is not None and plan.burden[stay].sum() >= 7
    }
    assert trains == {frozenset({2, 3}), frozenset({0, 1, 3})}
    assert report.all_leave
    assert report.worst.share == 0
    assert report.best.status is mo.Status.OPTIMAL
    assert (report.best.share, report.best.total) == (1.0, 7.0)


def test_f1_example() -> None:
    instance, plan = f1_example()
    report = check_withdrawal(instance, plan)
    assert not report.stable
    assert [deviation.user for deviation in report.deviations] == [0]
    sequential = check_withdrawal(instance, plan, "sequential")
    assert sequential.stable
    assert sequential.exact
    threat = sequential.threat(0)
    assert threat.level_if_leaves == 0
    assert threat.followers.tolist() == [1]
    assert "user 1 would leave as well" in str(sequential)


def test_known_answers_gt12_and_gt20(shared_data) -> None:
    cases = json.loads((shared_data / "known_answers.json").read_text())["cases"]
    seen = 0
    for case in cases:
        given = case["instance"]
        if case["id"].startswith("GT12"):
            instance = mo.Instance(
                cost=given["theta"], value=given["v"], capacity=1, thresholds=[given["T"]]
            )
            plan = mo.Plan.from_arrays(instance, given["x_assigned"])
            assert len(all_equilibria(instance, plan)) == case["value"]
            seen += 1
        if case["id"].startswith("GT20"):
            instance = mo.Instance(
                cost=[given["theta"]] * given["n"],
                value=given["v"],
                capacity=1,
                thresholds=[given["T"]],
            )
            plan = mo.Plan.from_arrays(instance, given["x_assigned"], given["t"])
            report = check_withdrawal(instance, plan, "sequential")
            assert report.outcome.stay.astype(int).tolist() == case["value"]
            seen += 1
    assert seen >= 3


# -- the facts ----------------------------------------------------------------------------------


def games(first: int, count: int, **sizes: int):
    for seed in range(first, first + count):
        yield Random(seed), oracle.random_game(Random(seed), **sizes)


def test_protocols_and_orders_differ_on_pivotal_games() -> None:
    """The facts below are not tested in vain: F1 is strict, and orders matter."""
    strict = ordered = 0
    for seed in range(150):
        instance, plan = instance_and_plan(oracle.pivotal_game(Random(seed), most_users=4))
        alone = check_withdrawal(instance, plan).stable
        orders = [
            check_withdrawal(instance, plan, "sequential", order).stable
            for order in permutations(range(instance.n))
        ]
        assert all(orders) or not alone
        strict += any(orders) and not alone
        ordered += any(orders) and not all(orders)
    assert strict > 5
    assert ordered > 3


def test_f1_simultaneous_stable_is_sequential_stable_in_every_order() -> None:
    held = converse = 0
    for _, game in games(0, 200, most_users=4):
        instance, plan = instance_and_plan(game)
        alone = check_withdrawal(instance, plan).stable
        orders = list(permutations(range(instance.n)))
        stable = [check_withdrawal(instance, plan, "sequential", order).stable for order in orders]
        if alone:
            assert all(stable)
            held += 1
        if instance.levels == 1:
            assert all(now == alone for now in stable)
            converse += 1
    assert held > 20
    assert converse > 20


def test_f2_trains_iff_the_willing_reach_the_threshold_in_every_order() -> None:
    for rng, game in games(1_000, 200, most_levels=1):
        game = {**game, "delta": [Fraction(1)] * len(game["x"]), "unconditional": False}
        instance, plan = instance_and_plan(game)
        willing = [
            x
            for x, theta, rho, v, t in zip(*(game[key] for key in ("x", "theta", "rho", "v", "t")))
            if v * game["b"][0] >= rho * theta * x - t
        ]
        order = rng.sample(range(instance.n), instance.n)
        report = check_withdrawal(instance, plan, "sequential", order)
        assert report.outcome.trains == (sum(willing) >= game["T"][0])


def test_f4_a_sequential_outcome_that_trains_is_an_equilibrium() -> None:
    found = 0
    for rng, game in games(2_000, 300, most_levels=1):
        instance, plan = instance_and_plan(game)
        order = rng.sample(range(instance.n), instance.n)
        outcome = check_withdrawal(instance, plan, "sequential", order).outcome
        if outcome.trains:
            found += 1
            assert oracle.is_nash(game, tuple(outcome.stay.tolist()))
            best = check_withdrawal(instance, plan).best
            assert best.share == outcome.share
            assert best.social_cost <= outcome.social_cost
    assert found > 50


def test_f5_prefix_bound_is_necessary_and_sometimes_sufficient() -> None:
    sufficient = 0
    for rng, game in games(3_000, 400, most_levels=3):
        game = {**game, "delta": [Fraction(1)] * len(game["x"])}
        instance, plan = instance_and_plan(game)
        order = rng.sample(range(instance.n), instance.n)
        stable = check_withdrawal(instance, plan, "sequential", order).stable
        b = [Fraction(0), *game["b"]]
        r = [
            rho * theta * x - t
            for x, theta, rho, t in zip(*(game[key] for key in ("x", "theta", "rho", "t")))
        ]
        top, so_far, w2 = oracle.level(game, sum(game["x"])), Fraction(0), True
        for i in order:
            if game["x"][i] > 0:
                w2 &= r[i] <= game["v"][i] * (b[top] - b[oracle.level(game, so_far)])
            so_far += game["x"][i]
        asked = oracle.movers(game)
        if not asked or not top:
            continue
        assert w2 or not stable
        tight = sum(game["x"]) == game["T"][top - 1]
        if w2 and tight and all(r[j] > game["v"][j] * b[top - 1] for j in asked):
            assert stable
            sufficient += 1
    assert sufficient > 5


def test_f6_a_failure_bonus_leaves_no_failing_equilibrium() -> None:
    seen = 0
    for _, game in games(4_000, 400, most_levels=1):
        asked = oracle.movers(game)
        strict = all(
            game["v"][i] * game["b"][0]
            > game["rho"][i] * game["theta"][i] * game["x"][i] - game["t"][i]
            for i in asked
        )
        if not asked or not strict or sum(game["x"]) < game["T"][0]:
            continue
        instance, plan = instance_and_plan({**game, "f": Fraction(1, 100)})
        assert all(
            oracle.level(game, oracle.total(game, stay)) for stay in all_equilibria(instance, plan)
        )
        assert check_withdrawal(instance, plan).worst.share > 0
        seen += 1
    assert seen > 50


def test_f10_two_thresholds_in_closed_form() -> None:
    seen = 0
    for rng, game in games(5_000, 800, most_levels=2):
        if len(game["T"]) < 2 or sum(game["x"]) != game["T"][1]:
            continue
        seen += 1
        game = {**game, "delta": [Fraction(1)] * len(game["x"])}
        instance, plan = instance_and_plan(game)
        order = rng.sample(range(instance.n), instance.n)
        order = [i for i in order if game["x"][i] > 0]
        rest = [i for i in range(instance.n) if game["x"][i] == 0]
        r = [
            rho * theta * x - t
            for x, theta, rho, t in zip(*(game[key] for key in ("x", "theta", "rho", "t")))
        ]
        v, (b1, b2), stays = game["v"], game["b"], True
        for place, i in enumerate(order):
            reach = sum(game["x"][j] for j in order[:place])
            reach += sum(game["x"][j] for j in order[place + 1 :] if r[j] <= v[j] * b1)
            stays &= r[i] <= v[i] * (b2 - (b1 if reach >= game["T"][0] else 0))
        report = check_withdrawal(instance, plan, "sequential", [*order, *rest])
        assert report.stable == stays
    assert seen > 50


# -- arrays for designers -----------------------------------------------------------------------


def test_array_functions_agree_with_the_report() -> None:
    for _, game in games(6_000, 100):
        instance, plan = instance_and_plan(game, exact=False)
        r = instance.reversibility * instance.cost_of(plan.burden) - plan.payment
        args = (
            plan.burden, r, instance.value, instance.removable,
            instance.thresholds, instance.shares,
        )  # fmt: skip
        bonus = np.where(plan.unconditional, plan.payment, 0) + plan.failure_bonus
        report = check_withdrawal(instance, plan, "sequential")
        stay, level = sequential_outcome(*args, bonus=bonus)
        assert (stay == report.outcome.stay).all()
        assert level == report.outcome.level
        assert sequential_everyone_stays(*args, bonus=bonus) == report.stable
        slack = simultaneous_slack(*args, bonus=bonus)
        assert slack.min() == pytest.approx(check_withdrawal(instance, plan).margin, abs=1e-9)


# -- edges and knife-edges ----------------------------------------------------------------------


def test_null_plan_is_stable_with_nobody_to_leave() -> None:
    instance = mo.Instance(cost=[1, 2], value=1, capacity=1, thresholds=[1])
    for protocol in ("simultaneous", "sequential", "coalition", "none"):
        report = check_withdrawal(instance, mo.Plan.null(instance), protocol)
        assert report.stable
        assert report.margin == np.inf
        assert report.deviations == ()
        assert report.to_dict()["margin"] is None
        assert str(report)


def test_plan_short_of_the_threshold_is_not_stable_though_nobody_gains_by_leaving() -> None:
    instance = mo.Instance(cost=[1, 2], value=1, capacity=1, thresholds=[3])
    plan = mo.Plan.from_arrays(instance, [1, 1])
    for protocol in ("simultaneous", "sequential"):
        report = check_withdrawal(instance, plan, protocol)
        assert not report.stable
        assert report.deviations == ()
        assert "nothing is trained" in str(report)


@pytest.mark.parametrize("protocol", ["simultaneous", "sequential"])
@pytest.mark.parametrize(("shift", "stable"), [(-1, False), (0, True), (1, True)])
def test_knife_edge_of_the_value(protocol: str, shift: int, stable: bool) -> None:
    value = Fraction(2) + Fraction(shift, 10**30)
    instance = mo.Instance(cost=[1, 1], value=[value, 3], capacity=2, thresholds=[4])
    report = check_withdrawal(instance, mo.Plan.from_arrays(instance, [2, 2]), protocol)
    assert report.stable is stable
    assert report.ties == ()


def test_float_ties_are_reported_with_what_the_other_decision_gives() -> None:
    instance = mo.Instance(cost=1.0, value=[0.3, 1.0], capacity=1.0, thresholds=[0.5])
    plan = mo.Plan.from_arrays(instance, [0.1 + 0.2, 0.2])
    report = check_withdrawal(instance, plan)
    assert report.stable
    assert report.margin == 0
    kinds = {(tie.kind, tie.user): (tie.level, tie.other) for tie in report.ties}
    assert kinds == {("total", -1): (1, 0), ("user", 0): (1, 0)}
    assert report.depends_on_ties
    assert not report.if_ties_turn["totals short"].stable
    assert not report.if_ties_turn["indifferent leave"].stable
    assert "inside the tolerance" in str(report)


@pytest.mark.parametrize("small", [1e-3, 1e-5])
def test_small_burdens_are_pivotal_when_the_total_is_exactly_what_is_needed(small: float) -> None:
    """A burden below 1e-9 of T is no rounding error of T: with X = T everybody is needed."""
    x = np.array([3e5, 7e5, small])
    for total in (x.sum(), x.sum() * (1 + 5e-10)):
        instance = mo.Instance(cost=1.0, value=2 * x, capacity=x, thresholds=[total])
        plan = mo.Plan.from_arrays(instance, x)
        assert plan.level == 1
        for protocol in ("simultaneous", "sequential", "coalition"):
            report = check_withdrawal(instance, plan, protocol)
            assert report.stable
            assert report.depends_on_ties
        best = check_withdrawal(instance, plan).best
        assert best.stay.all()


def test_a_total_just_short_of_a_lower_threshold_is_a_tie() -> None:
    instance = mo.Instance(
        cost=1.0, value=[1.2, 9.0], capacity=2.0, thresholds=[1 + 1e-10, 2.0], shares=[0.5, 1.0]
    )
    report = check_withdrawal(instance, mo.Plan.from_arrays(instance, [1.0, 1.0]))
    assert report.stable
    assert ("total", 0, 0, 1) in {(tie.kind, tie.user, tie.level, tie.other) for tie in report.ties}
    assert not report.if_ties_turn["totals reach"].stable


def test_unconditional_payments_are_kept_by_those_who_stay_even_if_nothing_is_trained() -> None:
    instance = mo.Instance(cost=[1, 1], value=0, capacity=1, thresholds=[5])
    plan = mo.Plan.from_arrays(instance, [1, 1], [2, 2], unconditional=True)
    report = check_withdrawal(instance, plan)
    assert report.margin == 2
    assert report.outcome.payments.tolist() == [2, 2]
    assert not report.stable  # it does not train


def test_bad_input_names_what_is_wrong() -> None:
    instance = mo.Instance(cost=[1, 1], value=3, capacity=1, thresholds=[2])
    plan = mo.Plan.from_arrays(instance, [1, 1])
    with pytest.raises(InvalidOption, match=r"protocol: 'simultanous'.*simultaneous"):
        check_withdrawal(instance, plan, "simultanous")
    with pytest.raises(InvalidOption, match="order: 'big-first'"):
        check_withdrawal(instance, plan, "sequential", "big-first")
    for order in ([0, 0], [0], [0, 2], [0.0, 1.0], [-1, 0], [[0, 1]], None):
        with pytest.raises(InvalidOption, match="order: "):
            check_withdrawal(instance, plan, "sequential", order)
    above = mo.Plan.from_arrays(instance, [1, 2])
    with pytest.raises(InvalidPlan, match=r"burden\[1\] \(user 1\): is 2, above the capacity 1"):
        check_withdrawal(instance, above)
    empty = mo.Plan(instance=instance, status=mo.Status.INFEASIBLE)
    with pytest.raises(InvalidPlan, match="burden: the plan has none"):
        check_withdrawal(instance, empty)
    other = mo.Instance(cost=[1, 1, 1], value=3, capacity=1, thresholds=[2])
    with pytest.raises(InvalidPlan, match="3 users"):
        check_withdrawal(other, plan)
    for burden in ([1, float("nan")], [1, -1], [1]):
        with pytest.raises(InvalidPlan, match="burden"):
            mo.Plan.from_arrays(instance, burden)
    with pytest.raises(InvalidOption, match="threat: only the sequential"):
        check_withdrawal(instance, plan).threat(0)
    many = mo.Instance(cost=[1] * 30, value=3, capacity=1, thresholds=[2])
    with pytest.raises(TooLarge, match="30 users"):
        all_equilibria(many, mo.Plan.from_arrays(many, [1] * 30))


def test_report_is_json_and_a_page() -> None:
    instance, plan = worked_example_2()
    for protocol in ("simultaneous", "sequential", "coalition", "none"):
        report = check_withdrawal(instance, plan, protocol)
        assert json.loads(json.dumps(report.to_dict()))["stable"] == report.stable
        assert len(str(report).splitlines()) < 25
    page = str(check_withdrawal(instance, plan))
    assert "coordination failure" in page
    assert "exact arithmetic" in page

"""Users who give gladly (cost 0): they give what they are asked, and no right makes them leave."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

import mechopt as mo
from tests.oracles import oracle_rights
from tests.oracles import oracle_withdrawal as stage_oracle
from tests.oracles.withdrawal_agreement import instance_and_plan

OBJECTIVES = ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement")
MECHANISMS = ("burdens", "posted-price", "posted-contract", "subsidy", "floor-and-burdens")


def glad(**more: object) -> mo.Instance:
    return mo.Instance(
        cost=[0, 1, 2, 4], value=[0, 6, 6, 6], capacity=[3, 10, 10, 10], thresholds=[8], **more
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_takes_them_first(mechanism: str, objective: str) -> None:
    instance = glad(provider_value=100)
    plan = mo.solve(instance, mechanism, objective=objective)
    assert plan.status is mo.Status.OPTIMAL
    assert mo.audit(instance, plan).ok
    if mechanism != "posted-contract":  # a contract asks the same of everybody
        assert plan.burden[0] == 3
    if mechanism in ("burdens", "subsidy") or (mechanism, objective) == (
        "posted-price",
        "social-cost",
    ):
        assert mo.certify(instance, plan).status == "optimal"


def test_worked_by_hand() -> None:
    instance = glad()
    burdens = mo.solve(instance, "burdens", objective="social-cost", transfers=False)
    assert burdens.burden.tolist() == [3, 5, 0, 0]
    assert burdens.objective == 5
    price = mo.solve(instance, "posted-price", objective="expenditure")
    assert price.details["price"] == 1
    assert price.objective == 13  # he is paid like everybody
    free = mo.solve(instance.replace(thresholds=[3]), "posted-price", objective="expenditure")
    assert (free.details["price"], free.objective, free.total) == (0, 0, 3)
    alone = mo.solve(instance.replace(thresholds=[3]), "burdens")
    assert (alone.total, alone.objective) == (3, 0)
    everybody = mo.Instance(cost=0, value=[0, 1], capacity=[3, 10], thresholds=[5, 8],
                            shares=[0.5, 1])  # fmt: skip
    for protocol in ("simultaneous", "sequential", "none"):
        plan = mo.solve(everybody, "burdens", protocol=protocol, transfers=False)
        assert (plan.status, plan.share, plan.metrics["social_cost"]) == ("optimal", 1, 0)


def test_nobody_who_gives_gladly_leaves_in_exact_games() -> None:
    """Any plan, any right: r ≤ 0, so staying is no worse whatever the others do."""
    asked = 0
    for seed in range(150):
        game = stage_oracle.random_game(Random(seed), most_users=5, most_levels=3)
        free = [i for i in range(len(game["x"])) if (seed >> i) & 1]
        game["theta"] = [0 if i in free else one for i, one in enumerate(game["theta"])]
        instance, plan = instance_and_plan(game)
        for protocol in ("simultaneous", "sequential", "reassign"):
            for right in ("whole", "part"):
                if (protocol, right) == ("reassign", "part"):
                    continue
                if game["f"] or game["unconditional"]:
                    continue  # a bonus for failure is a reason of its own
                report = mo.check_withdrawal(instance, plan, protocol, withdrawal=right)
                assert not {d.user for d in report.deviations} & set(free)
                assert report.outcome.stay[free].all()
                asked += len(free)
    assert asked > 200


def test_types_that_cost_nothing() -> None:
    group = mo.Group(3, [0, 1, 2], [0.2, 0.4, 0.4], 1, 4)
    population = mo.Population([group], [6.0], provider_value=5.0)
    for incentive in ("dsic", "bic"):
        for transfers in (True, False):
            found = mo.solve(population, "direct", incentive=incentive, transfers=transfers)
            assert found.status is mo.Status.OPTIMAL
            assert mo.audit(population, found).ok
            assert found.metrics["regret"] <= 1e-9
            assert mo.certify(population, found).status == "optimal"
    rule = mo.solve(population, "rule", rule="proportional")
    state = rule.population.states.index(np.array([2, 1, 0]))
    assert rule.burden[state, 0].tolist() == [3, 0, 0]  # the two who give gladly, alike
    state = rule.population.states.index(np.array([1, 2, 0]))
    assert rule.burden[state, 0].tolist() == [4, 1, 0]
    interval = mo.bracket(population)
    best = mo.solve(population, "direct", incentive="bic", participation="interim")
    assert interval.lower <= best.objective <= interval.upper + 1e-9


def test_files_carry_zero(tmp_path) -> None:
    for problem in (
        glad(),
        mo.Population([mo.Group(2, [0, 1], [0.5, 0.5], 1, 4)], [3.0]),
    ):
        problem.write(tmp_path / "p.json")
        assert mo.read(tmp_path / "p.json") == problem
    (tmp_path / "users.csv").write_text("id,cost,value,capacity\na,0,1,2\nb,1,3,4\n")
    assert mo.read(tmp_path / "users.csv", thresholds=[3]).cost.tolist() == [0, 1]
    assert oracle_rights.reaches(
        {"cap": [2], "v": [0], "theta": [0], "b": [1], "T": [2]}, [0]
    ) == 1  # fmt: skip

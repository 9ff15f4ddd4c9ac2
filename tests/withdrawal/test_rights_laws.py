"""What holds of every right: nothing granted changes nothing, more exclusion never hurts, …"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.errors import NotSupported
from mechopt.withdrawal import check_withdrawal
from tests.problems import random_instance

SEQUENCES = [
    ("sequential", {"order": order}) for order in ("small-first", "large-first", "cost", "designed")
]
PROTOCOLS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in ("simultaneous", "none", "coalition", "reassign")),
    *SEQUENCES,
]
OBJECTIVES = ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement")
MECHANISMS = ("burdens", "subsidy", "posted-price", "posted-contract", "floor-and-burdens")


def problem(seed: int, *, most: int = 6) -> mo.Instance:
    rng = np.random.default_rng(seed)
    users, levels = int(rng.integers(2, most)), int(rng.choice([1, 1, 2, 3]))
    return random_instance(rng, users=users, levels=levels)


def answer(problem: Any, mechanism: str, **options: Any) -> Any:
    """What `solve` says, to the last bit; the words of a refusal."""
    try:
        plan = mo.solve(problem, mechanism, **options)
    except NotSupported as error:
        return str(error)
    arrays = [getattr(plan, name, None) for name in ("burden", "payment", "price")]
    bits = [np.asarray(one).tobytes() if one is not None else b"" for one in arrays]
    return [str(plan.status), plan.objective, plan.bound, dict(plan.metrics), *bits, plan.reason]


def stages(instance: mo.Instance, plan: mo.Plan, **options: Any) -> list[Any]:
    """What the stage says, to the last bit."""
    found: list[Any] = []
    for protocol, order in (("simultaneous", None), *((p, o["order"]) for p, o in SEQUENCES[:3])):
        given = {} if order is None else {"order": order}
        report = check_withdrawal(instance, plan, protocol, **given, **options)
        outcome = report.outcome
        found += [report.stable, report.margin, outcome.stay.tobytes(), outcome.total]
        found += [outcome.social_cost, [(d.user, d.gain) for d in report.deviations]]
    return found


@pytest.mark.parametrize("seed", range(40))
def test_no_right_granted_is_the_same_to_the_last_bit(seed: int) -> None:
    """η = 0, y = 0 and "whole" against an instance and a call that say nothing of rights."""
    instance = problem(seed)
    none = np.zeros(instance.n)
    said = [instance.replace(exclusion=0), instance.replace(committed=none)]
    said.append(instance.replace(exclusion=none, committed=0))
    rng = np.random.default_rng(seed)
    for mechanism in MECHANISMS:
        options: dict[str, Any] = {"objective": str(rng.choice(OBJECTIVES))}
        if mechanism in ("posted-price", "posted-contract"):
            options = {}
        ways = PROTOCOLS if mechanism == "burdens" else PROTOCOLS[:1]
        for protocol, order in ways:
            how = {**options, **order}
            whole: dict[str, Any] = {}
            if mechanism == "burdens":
                how |= {"protocol": protocol, "reserve": float(rng.choice([0, 0, 0.25]))}
                whole = {"withdrawal": "whole"}
            plain = answer(instance, mechanism, **how)
            assert plain == answer(instance, mechanism, **how, **whole), (mechanism, how)
            for other in said:
                assert plain == answer(other, mechanism, **how), (mechanism, how)
    burden = rng.integers(0, 5, instance.n) / 4 * instance.capacity
    payment = rng.integers(0, 5, instance.n) / 4
    plans = [mo.Plan.from_arrays(one, burden, payment) for one in (instance, *said)]
    plain = stages(instance, plans[0])
    assert plain == stages(instance, plans[0], withdrawal="whole")
    for other, plan in zip(said, plans[1:]):
        assert plain == stages(other, plan)


@pytest.mark.parametrize("incentive", ["dsic", "bic"])
@pytest.mark.parametrize("transfers", [True, False])
def test_no_exclusion_of_types_is_the_same_to_the_last_bit(incentive: str, transfers: bool) -> None:
    group: dict[str, Any] = {
        "size": 3, "costs": [0.25, 1.0], "probabilities": [0.6, 0.4], "value": 1.0, "capacity": 4.0,
    }  # fmt: skip
    found = []
    for said in ({}, {"exclusion": 0.0}):
        population = mo.Population(groups=[mo.Group(**group, **said)], thresholds=[4.0])
        how: dict[str, Any] = {"objective": "improvement", "incentive": incentive}
        mechanism = mo.solve(population, "direct", transfers=transfers, **how)
        arrays = (mechanism.run, mechanism.burden, mechanism.payment)
        found.append([mechanism.objective, mechanism.bound, *(one.tobytes() for one in arrays)])
    assert found[0] == found[1]


def least(plan: mo.Plan, *, bound: bool = False) -> float:
    """The objective, or what is proved of it, so that less is better; inf where out of reach."""
    minimised = plan.objective_name in ("expenditure", "social-cost")
    number = plan.bound if bound else plan.objective
    if (minimised and plan.status in ("null", "infeasible")) or number is None:
        return float("inf")
    return number if minimised else -number


@pytest.mark.parametrize(("protocol", "order"), PROTOCOLS)
def test_more_exclusion_never_hurts_the_provider(protocol: str, order: dict[str, Any]) -> None:
    """No bound with more exclusion is worse than a plan with less of it."""
    compared, most = 0, 4 if order else 5
    for seed in range(30):
        rng = np.random.default_rng([seed, 7])
        levels = 1 if protocol == "reassign" else int(rng.integers(1, 4))
        users = int(rng.integers(2, most))
        instance = random_instance(rng, users=users, levels=levels, budget=False)
        options = {
            "objective": str(rng.choice(OBJECTIVES[:4])),
            "reserve": 0.0 if protocol == "reassign" else float(rng.choice([0, 0.25, 0.5])),
            "transfers": bool(rng.random() < 0.7),
            "protocol": protocol,
            **order,
        }
        less = rng.choice([0, 0.25, 0.5], instance.n)
        more = np.minimum(1, less + rng.choice([0, 0.25, 0.5, 1], instance.n))
        few, many = (
            mo.solve(instance.replace(exclusion=eta), "burdens", **options) for eta in (less, more)
        )
        was = least(few)
        compared += was < float("inf")
        assert least(many, bound=True) <= was + 1e-7 * (1 + abs(was)), seed
    assert compared > 10


@pytest.mark.parametrize("seed", range(60))
def test_who_may_take_back_a_part_may_take_back_all(seed: int) -> None:
    """Part-stable plans are stable as a whole, and the provider pays no less for them."""
    rng = np.random.default_rng([seed, 8])
    instance = random_instance(rng, users=4, levels=int(rng.integers(1, 4)), budget=False)
    instance = instance.replace(exclusion=rng.choice([0, 0.5], instance.n))
    burden = rng.integers(0, 5, 4) / 4 * instance.capacity
    plan = mo.Plan.from_arrays(instance, burden, rng.integers(0, 5, 4) / 2)
    part, whole = (check_withdrawal(instance, plan, withdrawal=w) for w in ("part", "whole"))
    assert whole.stable or not part.stable
    assert part.margin <= whole.margin + 1e-9
    ways = [mo.solve(instance, "burdens", objective="expenditure", withdrawal=w)
            for w in ("part", "whole")]  # fmt: skip
    was = least(ways[0])
    assert least(ways[1], bound=True) <= was + 1e-7 * (1 + abs(was))


@pytest.mark.parametrize(("protocol", "order"), [*PROTOCOLS[:3], *SEQUENCES])
def test_floor_and_burdens_is_no_worse_than_either(protocol: str, order: dict[str, Any]) -> None:
    for seed in range(12):
        instance = problem(seed + 500, most=4)
        objective = OBJECTIVES[seed % 4]
        how = {"objective": objective, "protocol": protocol, **order}
        both = mo.solve(instance, "floor-and-burdens", **how)
        burdens = mo.solve(instance, "burdens", **how)
        posted = mo.solve(instance, "posted-price", objective=objective)
        for one in (burdens, posted):
            was = least(one)
            assert least(both) <= was + 1e-7 * (1 + abs(was)), seed
        if both.level and protocol != "none":
            assert check_withdrawal(instance, both, protocol, both.order).stable
            assert mo.audit(instance, both).ok


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_who_is_not_replaced_loses_by_leaving(mechanism: str) -> None:
    """Plans that are stable under re-assignment are stable under (W1)."""
    kept = 0
    for seed in range(25):
        instance = problem(seed + 900, most=5)
        plan = mo.solve(instance, mechanism)
        if plan.burden is None:
            continue
        again, alone = (check_withdrawal(instance, plan, p) for p in ("reassign", "simultaneous"))
        assert alone.stable or not again.stable, seed
        kept += again.stable and bool(plan.level)
    assert kept

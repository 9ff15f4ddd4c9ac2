"""Simultaneous burdens with several thresholds: enumeration, two MILPs, closed forms, audits."""

from __future__ import annotations

from math import inf
from time import perf_counter

import numpy as np
import pytest

import mechopt as mo
from mechopt.formulations import burdens_levels as tight
from mechopt.formulations import burdens_levels_bigm as bigm
from mechopt.known.burdens import level_curves, simultaneous_level
from mechopt.known.burdens import several_levels as burdens_levels
from mechopt.known.burdens import solve as burdens
from mechopt.known.burdens.knapsack_relaxation import Knapsack
from mechopt.known.burdens.multiple_choice_knapsack import minimise
from mechopt.known.levels import Wanted
from mechopt.solver import highs
from tests.oracles import oracle_levels as oracle

OBJECTIVES = (
    ("provider-surplus", {}),
    ("welfare", {}),
    ("expenditure", {}),
    ("social-cost", {"transfers": False}),
    ("improvement", {}),
)
SIZES = ((2, 4), (3, 3), (4, 2), (5, 1), (3, 4), (4, 3))


def level_value(instance, level, quantity, transfers, reserve):
    """Our optimum at one level, inf if out of reach; fails if undecided or unproved."""
    wanted = Wanted(transfers=transfers, reserve=reserve)
    deadline = perf_counter() + 20
    found = simultaneous_level.solve_level(instance, level, quantity, wanted, deadline)
    assert found.least is None
    allocation = found.allocation
    if allocation is None:
        assert found.reason
        assert found.shortfall["constraint"]
        return inf
    assert allocation.value - allocation.bound <= 1e-8 * (1 + allocation.value)
    payment = found.payment
    assert payment.sum() <= instance.budget * (1 + 1e-9)
    assert transfers or not payment.any()
    return allocation.value


def excluding(rng: np.random.Generator, instance: mo.Instance) -> mo.Instance:
    """The instance with exclusion, of all or of half of the benefit, for some users."""
    return instance.replace(exclusion=rng.choice([0.0, 0.5, 1.0], instance.n))


@pytest.mark.parametrize("seed", range(20))
def test_every_level_equals_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, levels = SIZES[seed % len(SIZES)]
    instance = oracle.lattice_instance(rng, n, levels, segments=seed % 3 == 0)
    if seed >= 12:
        instance = excluding(rng, instance)
    reserve = float(rng.choice([0, 0, 0.5, 1.0]))
    for level in range(1, levels + 1):
        for quantity in ("pay", "cost"):
            for transfers in (True, False):
                want = oracle.level_optimum(
                    instance, level, quantity, transfers=transfers, reserve=reserve
                )
                got = level_value(instance, level, quantity, transfers, reserve)
                assert got == pytest.approx(want, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_a_binding_budget_equals_enumeration(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    instance = oracle.lattice_instance(rng, 2 + seed % 2, 1 + seed % 3, segments=seed % 4 == 0)
    for level in range(1, instance.levels + 1):
        least = oracle.level_optimum(instance, level, "pay")
        if least == inf:
            continue
        free = simultaneous_level.solve_level(instance, level, "cost", Wanted(), inf)
        most = float(free.payment.sum())
        budget = least + 0.4 * (most - least) + 1e-6
        poor = instance.replace(budget=budget)
        want = oracle.level_optimum(poor, level, "cost", budget=budget)
        assert level_value(poor, level, "cost", True, 0.0) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_the_grid_is_never_better(seed: int) -> None:
    """Not even with X > T_k: meeting the threshold exactly is without loss (F8)."""
    rng = np.random.default_rng(200 + seed)
    instance = oracle.lattice_instance(rng, 3, 2 + seed % 2)
    if seed >= 4:
        instance = excluding(rng, instance)
    for level in range(1, instance.levels + 1):
        for quantity in ("pay", "cost"):
            grid = oracle.grid_optimum(instance, quantity, level, step=0.5)
            assert level_value(instance, level, quantity, True, 0.0) <= grid + 1e-9


@pytest.mark.parametrize("seed", range(9))
def test_both_formulations_share_the_optimum(seed: int) -> None:
    rng = np.random.default_rng(300 + seed)
    instance = oracle.generic_instance(rng, 2 + seed % 4, 1 + seed % 4, segments=seed % 2 == 0)
    if seed % 2:
        instance = instance.replace(budget=5.0)
    if seed >= 6:
        instance = excluding(rng, instance)
    reserve = 0.5 if seed in (3, 8) else 0.0
    for objective, options in OBJECTIVES:
        plan = burdens_levels.solve(
            instance, Wanted(objective=objective, reserve=reserve, **options)
        )
        stated = {"objective": objective, "reserve": reserve, **options}
        for formulation in (tight, bigm):
            solution = highs.solve_model(formulation.build(instance, **stated))
            if objective in ("expenditure", "social-cost") and plan.status is mo.Status.NULL:
                assert solution.status is mo.Status.INFEASIBLE
            else:
                assert solution.objective == pytest.approx(plan.objective, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("seed", range(28))
def test_plans_pass_audit_and_withdrawal_check(seed: int) -> None:
    rng = np.random.default_rng(400 + seed)
    make = oracle.generic_instance if seed % 2 else oracle.lattice_instance
    instance = make(rng, 8, 1 + seed % 5, segments=seed % 3 == 0)
    if seed >= 20:
        instance = excluding(rng, instance)
    reserve = float(rng.choice([0.0, 0.25]))
    for objective, options in OBJECTIVES:
        plan = burdens_levels.solve(
            instance, Wanted(objective=objective, reserve=reserve, **options)
        )
        assert plan.status in (mo.Status.OPTIMAL, mo.Status.NULL)
        assert mo.audit(instance, plan).ok, mo.audit(instance, plan).violations
        if plan.level:
            assert mo.check_withdrawal(instance, plan).stable
            threshold = instance.thresholds[plan.level - 1]
            assert np.float64(0) <= plan.total - threshold - reserve < 1e-9


def test_worked_example_1_by_the_general_route() -> None:
    instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[8], provider_value=99)
    plan = burdens_levels.solve(instance, Wanted())
    assert plan.burden.tolist() == [6, 2, 0]
    assert plan.payment.tolist() == [0, 0, 0]
    cheap = burdens_levels.solve(instance, Wanted(objective="social-cost"))
    assert cheap.burden.tolist() == [8, 0, 0]
    assert cheap.payment.tolist() == [2, 0, 0]
    more = instance.replace(thresholds=[11])
    assert burdens_levels.solve(more, Wanted(transfers=False)).status is mo.Status.NULL
    paid = burdens_levels.solve(more, Wanted(objective="expenditure"))
    assert paid.burden.tolist() == [6.5, 3, 1.5]
    assert paid.payment.tolist() == [0.5, 0, 0]


@pytest.mark.parametrize("seed", range(10))
def test_one_threshold_is_no_special_case(seed: int) -> None:
    """F7: the level decomposition, the knapsack on curves and selection agree for K = 1."""
    rng = np.random.default_rng(500 + seed)
    instance = oracle.generic_instance(rng, 30, 1, segments=seed % 2 == 0)
    for objective, options in OBJECTIVES:
        plan = burdens_levels.solve(instance, Wanted(objective=objective, **options))
        other = burdens.solve(instance, objective=objective, **options)
        assert plan.status is other.status
        assert plan.objective == pytest.approx(other.objective, rel=1e-7)
    curves = level_curves.level_curves(instance, 1, 0.0)
    total = float(instance.thresholds[0])
    found = minimise(Knapsack(curves, total, "pay"), accuracy=1e-9, deadline=inf)
    selected = burdens.solve(instance, objective="expenditure")
    assert found.value == pytest.approx(selected.objective, rel=1e-7, abs=1e-7)


def test_coalitions_sustain_the_simultaneous_optimum() -> None:
    """Whoever gains by leaving with others and removes least gains as much by leaving alone."""
    instance = oracle.generic_instance(np.random.default_rng(3), 9, 3)
    plan = mo.solve(instance, "burdens", protocol="coalition")
    same = mo.solve(instance, "burdens", protocol="simultaneous")
    assert plan.objective == same.objective
    assert mo.check_withdrawal(instance, plan, protocol="coalition").stable


def test_protocols_are_ordered() -> None:
    """Fewer rights never cost the provider: none ≤ sequential ≤ simultaneous in payments (F1)."""
    for seed in range(8):
        instance = oracle.generic_instance(np.random.default_rng(600 + seed), 6, 3)
        paid = [
            mo.solve(instance, "burdens", objective="expenditure", protocol=protocol).objective
            for protocol in ("none", "sequential", "simultaneous")
        ]
        assert paid[0] <= paid[1] + 1e-7
        assert paid[1] <= paid[2] + 1e-7


# -- reserve, margins, knife edges --------------------------------------------------------------


def test_a_reserve_makes_small_users_harmless() -> None:
    """δ x ≤ R: leaving changes nothing, so the reversible cost must be paid."""
    instance = mo.Instance(cost=[1, 1], value=9, capacity=[3, 3], thresholds=[4])
    plan = burdens_levels.solve(instance, Wanted(objective="expenditure", reserve=1.5))
    assert plan.total == 5.5
    assert plan.objective == 0  # both give more than 1.5 and are pivotal
    lost = burdens_levels.solve(instance, Wanted(objective="expenditure", reserve=2.0))
    assert lost.total == 6
    assert lost.objective == 0
    many = mo.Instance(cost=1, value=9, capacity=[1, 1, 1, 1], thresholds=[2])
    paid = burdens_levels.solve(many, Wanted(objective="expenditure", reserve=1.0))
    assert paid.objective == pytest.approx(3)  # nobody is pivotal: Σ ρ C = 3


def test_a_reserve_beyond_the_next_threshold_skips_the_level() -> None:
    instance = mo.Instance(
        cost=1, value=50, capacity=[9, 9], thresholds=[4, 6], shares=[0.5, 1], provider_value=9
    )
    plan = burdens_levels.solve(instance, Wanted(objective="expenditure", target=0.5, reserve=3.0))
    assert plan.level == 2
    assert plan.details["levels"][-1]["status"] == "out of reach"
    assert "reserve" in plan.details["levels"][-1]["reason"]


def test_burdens_beyond_a_jump_keep_the_margin() -> None:
    """The lower need beyond a jump is not attained; the plan comes within the margin of it."""
    instance = mo.Instance(
        cost=[1, 5], value=[10, 0.5], capacity=[10, 10], thresholds=[4, 10], shares=[0.3, 1]
    )
    plan = burdens_levels.solve(instance, Wanted(objective="expenditure"))
    assert plan.status is mo.Status.OPTIMAL
    assert mo.check_withdrawal(instance, plan).stable
    for burden in (6.0, 6.0 + 1e-7, 6.0 - 1e-7):
        need = level_curves.payment_needed(instance, 2, 10.0, np.array([burden, 10 - burden]))
        kept = 10 * (1.0 if burden > 6 + 5e-8 else 0.7)
        assert need[0] == pytest.approx(max(0.0, burden - kept), abs=1e-6)


def test_tiny_burdens_do_not_pass_for_pivotal() -> None:
    """10 users who can bear only a few 1e-9 of the threshold are left out, or are paid."""
    instance = mo.Instance(
        cost=1.0,
        value=[2000.0, *[1e-7] * 10],
        capacity=[2000.0, *[1.0] * 10],
        thresholds=[1000.0],
        provider_value=5.0,
    )
    plan = burdens_levels.solve(instance, Wanted())
    assert mo.check_withdrawal(instance, plan).stable
    assert plan.status is mo.Status.OPTIMAL


# -- answers that are none ----------------------------------------------------------------------


def test_infeasible_targets_say_why() -> None:
    instance = mo.Instance(
        cost=[1, 2, 4],
        value=6,
        capacity=[10, 10, 10],
        thresholds=[11, 29],
        shares=[0.5, 1],
        budget=3,
    )
    broke = mo.solve(instance, "burdens", objective="expenditure", target=1.0)
    assert broke.status is mo.Status.INFEASIBLE
    assert broke.burden is None
    assert broke.shortfall["constraint"] == "budget"
    least = mo.solve(instance.replace(budget=None), "burdens", objective="expenditure").objective
    assert broke.shortfall["money"] == pytest.approx(least - 3)
    unpaid = mo.solve(instance, "burdens", objective="social-cost", target=1.0, transfers=False)
    assert unpaid.shortfall["constraint"] == "participation"
    assert unpaid.shortfall["payment"] == pytest.approx(least)
    beyond = mo.solve(
        instance.replace(thresholds=[11, 35]), "burdens", objective="expenditure", target=1.0
    )
    assert beyond.shortfall["constraint"] == "capacity"
    assert beyond.shortfall["data"] == pytest.approx(5)
    without = mo.solve(instance, "burdens", objective="expenditure")
    assert without.status is mo.Status.NULL


def test_limits_are_admitted() -> None:
    """A subset sum without payments: stopped at once, the answer claims nothing."""
    rng = np.random.default_rng(1)
    weight = rng.integers(10**5, 2 * 10**5, 24) * 2.0
    total = float(weight[:12].sum()) + 1  # odd: not reached exactly by even burdens
    # Everyone is pivotal for level 2 only with his full capacity, and not worth less.
    instance = mo.Instance(
        cost=1.0,
        value=1.25 * weight,
        capacity=weight,
        thresholds=[total - 2e5, total],
        shares=[0.2, 1],
        reversibility=1.0,
    )
    plan = burdens_levels.solve(
        instance, Wanted(objective="social-cost", transfers=False, time_limit=0.0)
    )
    if plan.status is mo.Status.OPTIMAL:
        assert plan.gap <= 1e-9
    else:
        assert plan.status in (mo.Status.FEASIBLE, mo.Status.UNKNOWN, mo.Status.NULL)


def test_larger_instances_are_proved() -> None:
    rng = np.random.default_rng(7)
    n = 3000
    capacity = rng.lognormal(1, 1, n)
    cost, value = rng.lognormal(0, 1, n), 3 * rng.lognormal(0, 1, n)
    reach = np.minimum(capacity, value / cost).sum()
    instance = mo.Instance(
        cost=cost,
        value=value,
        capacity=capacity,
        thresholds=0.3 * reach + np.arange(6) * np.median(capacity) / 2,
        shares=np.arange(1, 7) / 6,
        provider_value=reach,
    )
    for objective, options in OBJECTIVES:
        plan = burdens_levels.solve(instance, Wanted(objective=objective, **options))
        assert plan.status is mo.Status.OPTIMAL
        assert mo.check_withdrawal(instance, plan).stable


def test_an_undecided_level_is_never_called_null() -> None:
    """NULL claims a proof that no plan exists; an undecided level leaves that open."""
    from mechopt.known.burdens.several_levels import admit_undecided

    instance = mo.Instance([1], [1], [5], [1, 2], [0.5, 1])
    row = {"status": "undecided", "bound": 3.0, "share": 1.0, "level": 2}
    null = mo.Plan.null(instance, objective_name="social-cost")
    open_ = admit_undecided(null, [row])
    assert (open_.status, open_.burden, open_.bound) == (mo.Status.UNKNOWN, None, 3)
    shared = admit_undecided(null.replace(objective_name="improvement"), [row])
    assert (shared.status, shared.objective, shared.bound) == (mo.Status.FEASIBLE, 0, 1)

"""Sequential burdens with exclusion of whoever leaves: bounds and plans against a grid (F12)."""

from __future__ import annotations

import numpy as np
import pytest

import mechopt as mo
from tests.oracles import oracle_levels as oracle


@pytest.mark.parametrize("seed", range(14))
def test_no_plan_on_the_grid_beats_the_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = oracle.lattice_instance(rng, 3, 2 + seed % 2)
    instance = instance.replace(exclusion=rng.choice([0.0, 0.5, 1.0], 3))
    order = ("small-first", "large-first", [2, 0, 1])[seed % 3]
    reserve = 0.5 if seed % 4 == 3 else 0.0
    plan = mo.solve(
        instance, "burdens", objective="social-cost", protocol="sequential", order=order,
        transfers=False, reserve=reserve, time_limit=4,
    )  # fmt: skip
    grid = oracle.sequential_grid(
        instance, order, step=0.5, exact_total=reserve == 0, reserve=reserve
    )
    reached = plan.burden is not None and plan.level == instance.levels
    if grid < np.inf and plan.bound is not None and plan.status is not mo.Status.NULL:
        assert plan.bound <= grid + 1e-6
    if plan.status in (mo.Status.OPTIMAL, mo.Status.NULL) and grid < np.inf:
        assert reached
        assert plan.objective <= grid + 1e-6
    if reached:
        assert mo.audit(instance, plan).ok
        assert mo.check_withdrawal(instance, plan, "sequential", order).stable
        alone = mo.solve(
            instance, "burdens", objective="social-cost", transfers=False, reserve=reserve
        )
        if alone.level == instance.levels:
            assert plan.objective <= alone.objective + 1e-6  # F1


def test_exclusion_and_threats_at_a_larger_size() -> None:
    rng = np.random.default_rng(5)
    n = 120
    cost, value = rng.lognormal(0, 1, n), rng.lognormal(0, 1, n)
    capacity = rng.uniform(1, 10, n)
    most = float(np.minimum(capacity, value / cost).sum())
    instance = mo.Instance(cost, value, capacity, [0.55 * most, 1.05 * most], [0.3, 1])
    paid = []
    for eta in (0.0, 0.5, 1.0):
        plan = mo.solve(
            instance.replace(exclusion=eta), "burdens", objective="expenditure",
            protocol="sequential", order="designed", time_limit=2,
        )  # fmt: skip
        assert plan.bound <= plan.objective
        assert mo.audit(plan.instance, plan).ok
        paid.append((plan.bound, plan.objective))
    assert paid[2][0] <= paid[0][1]

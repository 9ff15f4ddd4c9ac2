"""Plan: levels, metrics by definition, foreign plans and their faults; the audit's verdicts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import mechopt as mo
from tests import problems
from tests.oracles import brute_force
from tests.problems import random_instance


@pytest.fixture
def worked() -> mo.Instance:
    return problems.worked(ids=list("abc"))


def test_metrics_by_definition() -> None:
    rng = np.random.default_rng(4)
    for _ in range(100):
        instance = random_instance(rng, users=4, levels=int(rng.integers(1, 4)), exact=True)
        burden = rng.integers(0, 5, 4) / 4 * instance.capacity
        payment = rng.integers(0, 5, 4) / 4
        plan = mo.Plan.from_arrays(instance, burden, payment)
        users = [brute_force.User(instance, i) for i in range(4)]
        total = sum(map(Fraction, burden.tolist()))
        share = brute_force.improvement(instance, total)
        costs = [user.cost(Fraction(x)) for user, x in zip(users, burden.tolist())]
        spent = sum(map(Fraction, payment.tolist())) if share else Fraction(0)
        if not share:
            costs = [(1 - user.rho) * cost for user, cost in zip(users, costs)]
        value = Fraction(instance.provider_value) * share
        expected = {
            "improvement": share,
            "data": total if share else 0,
            "social_cost": sum(costs),
            "expenditure": spent,
            "leakage": (1 - share) * spent,
            "provider_surplus": value - spent,
            "welfare": value + sum(user.value for user in users) * share - sum(costs),
        }
        for name, number in expected.items():
            assert plan.metrics[name] == pytest.approx(float(number), abs=1e-12), name
        assert set(plan.metrics["stable"]) == {"simultaneous", "sequential"}


def test_knife_edge_level(worked: mo.Instance) -> None:
    edge = worked.replace(thresholds=["0.3"], cost=[1, 2, 4])
    plan = mo.Plan.from_arrays(edge, ["0.1", "0.2", 0], 0)
    assert plan.is_exact
    assert plan.level == 1
    floats = worked.replace(thresholds=[1.0])
    assert mo.Plan.from_arrays(floats, [0.7, 0.2, 0.1], 0).level == 1
    assert mo.Plan.from_arrays(floats, [0.7, 0.2, 0.0999], 0).level == 0


@pytest.mark.parametrize(
    ("burden", "payment", "message"),
    [
        ([1, 2], 0, r"burden: has 2 entries, but the instance has 3 users"),
        ([1, float("nan"), 2], 0, r"burden\[1\] \(user 1 \(id 'b'\)\): must be ≥ 0.*nan"),
        ([1, -1, 2], 0, r"burden\[1\].*got -1"),
        ([1, 1, 1], [0, 0, float("inf")], r"payment\[2\].*inf"),
        ([1, 1, "x"], 0, r"burden\[2\]: 'x' is not a number"),
    ],
)
def test_foreign_plans(worked: mo.Instance, burden: list, payment: object, message: str) -> None:
    with pytest.raises(mo.InvalidPlan, match=message):
        mo.Plan.from_arrays(worked, burden, payment)


@pytest.mark.parametrize(
    ("burden", "payment", "changes", "tag"),
    [
        ([6, 2, 0], [0, 0, 0], {}, None),
        ([6, 1, 0], [0, 0, 0], {}, "A1"),
        ([11, 0, 0], [5, 0, 0], {}, "A2"),
        ([8, 0, 0], [1, 0, 0], {}, "A3"),
        ([8, 0, 0], [2, 0, 0], {}, None),
        ([8, 0, 0], [2, 0, 0], {"budget": 1}, "A4"),
        ([6, 3, 0], [0, 0, 0], {}, None),
        ([6, 3, 1], [0, 0, 0], {}, "A5"),
        ([3, 0, 0], [0, 0, 0], {}, "A6"),
        ([0, 0, 0], [1, 0, 0], {}, "A6"),
        ([0, 0, 0], [0, 0, 0], {}, None),
        ([8, 0, 0], [2, 0, 0], {"removable": 0}, "A5"),
        ([8, 0, 0], [8, 0, 0], {"removable": 0}, None),
    ],
)
def test_audit(
    worked: mo.Instance, burden: list, payment: list, changes: dict, tag: str | None
) -> None:
    instance = worked.replace(**changes)
    audit = mo.audit(instance, mo.Plan.from_arrays(instance, burden, payment))
    if tag is None:
        assert audit.ok, str(audit)
        assert "audit passed" in str(audit)
    else:
        assert tag in {violation.tag for violation in audit.violations}, str(audit)
        assert f"({tag})" in str(audit)


def test_audit_catches_false_claims(worked: mo.Instance) -> None:
    plan = mo.solve(worked, objective="social-cost")
    assert mo.audit(worked, plan).ok
    boast = mo.audit(worked, plan.replace(objective=7.0))
    assert {violation.tag for violation in boast.violations} == {"objective", "bound"}
    short = plan.replace(burden=plan.burden * (1 - 1e-15))
    assert not mo.audit(worked, short).ok, "X ≥ T must hold exactly"
    with pytest.raises(mo.InvalidPlan):
        mo.audit(mo.Instance([1], [1], [9], [1]), plan)
    with pytest.raises(mo.InvalidOption):
        mo.audit(worked, 3)

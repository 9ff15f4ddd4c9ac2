"""Another unit of money or data, the same answer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from tests.conftest import SHARED

HARD = json.loads((SHARED / "data/hard_cases.json").read_text())
MINIMISED = ("expenditure", "social-cost")


def counted(instance: mo.Instance, data: float, money: float) -> mo.Instance:
    """The same users with data and money counted in units so many times as small."""
    return instance.replace(
        cost=instance.cost * (money / data),
        value=instance.value * money,
        capacity=instance.capacity * data,
        thresholds=instance.thresholds * data,
        provider_value=instance.provider_value * money,
        budget=None if instance.budget == np.inf else instance.budget * money,
    )


@pytest.mark.parametrize("case", HARD["units"]["cases"], ids=lambda case: case["name"])
def test_hard_cases(case: dict[str, Any]) -> None:
    """What is attained is found, or at least not excluded."""
    instance = mo.Instance(**case["instance"])
    plan = mo.solve(instance, "burdens", **{**case["options"], "time_limit": 5})
    attained, sign = case["attained"]["objective"], 1.0
    if case["options"]["objective"] in MINIMISED:
        sign = -1.0
    room = 1e-9 * abs(attained)
    assert sign * plan.bound >= sign * attained - room
    if plan.status is mo.Status.OPTIMAL:
        assert sign * plan.objective >= sign * attained - room
    assert mo.audit(instance, plan).ok

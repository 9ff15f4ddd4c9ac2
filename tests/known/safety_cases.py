"""Tiny problems with drop-outs, and the comparison of their safe plans with brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.dropouts import hazards_of
from mechopt.known.safety import bound
from mechopt.known.safety.aim import SafeAim
from tests.oracles import oracle_dropouts as oracle


def draw(
    seed: int, case: int, levels: int, users: int = 3
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """(data of the instance, drop-outs, generator for what else is to be drawn)."""
    rng = np.random.default_rng((seed, case))
    n = 2 if case % 3 == 0 else users
    data = {
        "cost": rng.integers(0, 9, n) / 4,
        "value": rng.integers(0, 13, n) / 2,
        "capacity": rng.integers(1, 13, n) / 2,
        "reversibility": rng.choice([0, 0.5, 1, 1], n),
        "removable": rng.choice([0.5, 1, 1, 1], n),
        "exclusion": rng.choice([0, 0, 0.5, 1], n),
        "shares": np.sort(rng.choice([0.25, 0.5, 0.75, 1], levels, replace=False)),
    }
    places = np.sort(rng.uniform(0.2, 0.9, levels))
    top = np.ceil(data["capacity"].sum() * places * 4) / 4
    data["thresholds"] = top + np.arange(levels) * 0.25 * (levels > 1)
    dropouts = {
        "dropout": rng.integers(0, 9, n) / 16,
        "shock": (float(rng.choice([0, 0.25])), float(rng.choice([0.5, 2.0]))),
        "confidence": float(rng.choice([0.5, 0.7, 0.8, 0.9, 0.97])),
    }
    return data, dropouts, rng


def committed(data: dict[str, Any], rng: Any) -> dict[str, Any]:
    """The same with data that were given for good, and nobody excluded."""
    part = np.floor(data["capacity"] * rng.choice([0, 0.25, 0.5, 0.9], data["cost"].size) * 4) / 4
    return {**data, "committed": part, "exclusion": 0 * part}


def in_units(data: dict[str, Any], rng: Any) -> dict[str, Any]:
    """The same in whole units, with other terms of practice."""
    n = data["cost"].size
    common = rng.random() < 0.6
    most = data["capacity"]
    fixed = np.where(rng.random(n) < 0.15, np.minimum(most, rng.integers(0, 9, n) / 4), np.nan)
    groups = {"a": float(rng.integers(2, 9)) / 2} if rng.random() < 0.2 else {}
    group = rng.choice(["a", "b"], n)
    return {
        **data,
        "unit": np.full(n, rng.choice([0.5, 1, 1.5])) if common else rng.choice([0.5, 1, 0.75], n),
        "least": rng.choice([0, 0, 1, 1.5], n),
        "contact_cost": rng.choice([0, 0.25, 0.5], n) * float(rng.random() < 0.5),
        "fixed": fixed,
        "payment_step": float(rng.choice([0, 0, 0.25, 0.5])),
        "group": np.where(np.arange(n) == 0, "a", group),
        "group_most": groups,
    }


def compare(
    data: dict[str, Any], dropouts: dict[str, Any], rng: Any, order: Any, *, every: bool = False
) -> bool:
    """Least payments as by brute force, audited; False if nothing is safe enough.

    :order: None for the simultaneous protocol, "given" for a permutation drawn, or a name
    :every: bounds under every assumption about the spread, else under one that is drawn
    """
    hazard, shock, confidence = dropouts.values()
    n, levels = len(data["cost"]), len(data["shares"])
    level = int(rng.integers(1, levels + 1))
    order = tuple(rng.permutation(n).tolist()) if order == "given" else order
    find = oracle.least_safe_on_grid if "unit" in data else oracle.least_safe_payment
    least = find(data, hazard, shock, confidence, order, level)
    instance = mo.Instance(**data)
    target = float(data["shares"][level - 1])
    more = {} if order is None else {"protocol": "sequential", "order": order}
    if level < levels:  # what a lower level takes; higher ones may be cheaper
        higher = [
            find(data, hazard, shock, confidence, order, one)
            for one in range(level + 1, levels + 1)
        ]
        least = min(least, *higher)
    plan = mo.solve(instance, "burdens", objective="expenditure", target=target, **dropouts, **more)
    if least == np.inf:
        assert plan.status is mo.Status.INFEASIBLE
        return False
    if plan.status is mo.Status.NULL:  # what is committed is enough
        assert float(data["committed"].sum()) >= data["thresholds"][level - 1]
        assert least == 0
        return True
    scale = max(1.0, float((data["cost"] * data["capacity"]).sum()))
    assert plan.status is mo.Status.OPTIMAL
    assert plan.objective == pytest.approx(least, abs=1e-5 * scale)
    audit = mo.audit(instance, plan)
    assert audit.ok, str(audit)
    assert mo.crossing(instance, plan, hazard, shock).levels[plan.level - 1, 1] >= confidence - 1e-9
    if level == levels and not instance.has_committed:
        aim = SafeAim(
            instance, hazards_of(instance, hazard, shock), confidence, True, level, order=order
        )
        cost = float(instance.cost_of(plan.burden).sum())
        some = instance.capacity * rng.uniform(0.3, 1, n)
        assumed = [(0.0, some), (0.1 * aim.threshold, plan.burden), (1.0, None)]
        for spread, near in assumed if every else [assumed[rng.integers(3)]]:
            assert bound.least(aim, "pay", spread, near) <= least + 1e-6 * scale
            assert bound.least(aim, "cost", spread, near) <= cost + 1e-6 * scale
    return True

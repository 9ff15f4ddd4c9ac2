"""The rules that `large_population` chooses from, as mechanisms: reports in, plan out, at any n."""

from __future__ import annotations

from typing import Any

import numpy as np

from mechopt.answer.bracket import Rule
from mechopt.answer.plan import Plan
from mechopt.answer.reports import types_of
from mechopt.arrays import FloatArray, IntArray, settle
from mechopt.problem.population import Population
from mechopt.status import Status
from mechopt.tolerances import REACH


def assign(population: Population, rule: Rule, reports: Any, seed: int) -> Plan:
    types = types_of(population, reports)
    instance = population.instance(population.type_costs[types])
    counts: IntArray = np.bincount(types, minlength=population.type_costs.size)
    draw = np.random.default_rng(seed).random()
    threshold = float(population.thresholds[0])
    about: dict[str, Any] = {
        "mechanism": rule.kind,
        "seed": seed,
        "details": {"chance": rule.chance, "draw": draw, "counts": counts.tolist()},
    }
    per_type = None if draw >= rule.chance else outcome(population, rule, counts, threshold)
    if per_type is None:
        return Plan.null(
            instance, objective=None, bound=None, reason=f"{rule.kind}: not run", **about
        )
    burden, payment = per_type
    given = settle(burden[types], instance.capacity, threshold)
    return Plan.from_arrays(
        instance, burden=given, payment=payment[types], status=Status.FEASIBLE, **about
    )


def outcome(
    population: Population, rule: Rule, counts: IntArray, threshold: float
) -> tuple[FloatArray, FloatArray] | None:
    """Burden and payment of a user of each type, shape (M,) each; None if it does not run."""
    group, _, cost = type_arrays(population)
    _, capacity, _ = group_arrays(population)
    if rule.kind == "unanimity":
        return None if counts[rule.order < 0].any() else (rule.base[group], np.zeros(cost.size))
    if rule.price is not None:
        given = np.where(rule.order == 0, capacity[group], 0.0)
        supply = float(counts @ given)
        if supply < threshold * (1 - REACH):
            return None
        burden = given * min(1.0, threshold / supply)
        return burden, rule.price * burden
    base, room = rule.base[group], (capacity - rule.base)[group]
    amount = max(0.0, threshold - float(counts @ base))
    offered = np.bincount(rule.order, weights=counts * room)
    sold = np.zeros((cost.size, cost.size))  # extra burden of a user of type k who reports l
    for true in range(cost.size):
        others = offered.copy()
        others[rule.order[true]] -= room[true]
        before = np.append(0.0, np.cumsum(others)[:-1])
        left = np.maximum(0.0, amount - before)[rule.order]
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.minimum(1.0, left / (room + others[rule.order]))
        sold[true] = np.where(room > 0, room * part, 0.0)
    sold[counts == 0] = 0.0
    payment = cost * np.diag(sold)
    for dearer in range(1, cost.size):  # rent: what each dearer report of the group would save
        if group[dearer] == group[dearer - 1]:
            cheaper = (group == group[dearer]) & (np.arange(cost.size) < dearer)
            payment[cheaper] += (cost[dearer] - cost[dearer - 1]) * sold[cheaper, dearer]
    return base + np.diag(sold), payment


def group_arrays(population: Population) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Size, capacity (data) and value (money) of each group, shape (G,)."""
    columns = zip(*((group.size, group.capacity, group.value) for group in population.groups))
    size, capacity, value = (np.array(column, dtype=np.float64) for column in columns)
    return size, capacity, value


def type_arrays(population: Population) -> tuple[IntArray, FloatArray, FloatArray]:
    """Group, probability and cost per data unit of each type column, shape (M,)."""
    law = np.concatenate([group.probabilities for group in population.groups])
    cost = np.concatenate([group.costs * group.slopes[0] for group in population.groups])
    return population.group_of_type, law, cost

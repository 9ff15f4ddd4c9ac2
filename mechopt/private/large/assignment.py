"""The rules that `large_population` chooses from, as mechanisms: reports in, plan out, at any n."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray, IntArray, settle
from mechopt.errors import InvalidPlan
from mechopt.problem.population import Population
from mechopt.status import Status
from mechopt.tolerances import REACH


@dataclass(frozen=True, eq=False)
class Rule:
    """A mechanism given by few numbers, for any number of users.

    kind : "virtual-cost rule", "posted price with rationing", "unanimity" or "null"
    chance : probability of the lottery that decides, before any report, whether it is used
    base : unpaid burden x⁰_g of every user of a group, data, shape (G,)
    order : position of each type column in the order of purchase, shape (M,); types that do not
        take part have −1
    price : per data unit; None where payments are the envelope's
    """

    kind: str
    chance: float
    base: FloatArray
    order: IntArray
    price: float | None = None


def assign(population: Population, rule: Rule, reports: Any, seed: int) -> Plan:
    types = _types_of(population, reports)
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


def _types_of(population: Population, reports: Any) -> IntArray:
    """Type column of each user; InvalidPlan names the first report that is no possible cost."""
    given = np.asarray(reports, dtype=np.float64)
    if given.shape != (population.n,):
        raise InvalidPlan(f"reports: expected {population.n} costs, got shape {given.shape}")
    types = np.empty(population.n, dtype=np.int64)
    start = 0
    for group, first in zip(population.groups, population.first_type):
        mine = given[start : start + group.size]
        place = np.minimum(np.searchsorted(group.costs, mine), group.types - 1)
        wrong = np.flatnonzero(group.costs[place] != mine)
        if wrong.size:
            user = start + int(wrong[0])
            raise InvalidPlan(
                f"reports[{user}] (user {user}): {given[user]:g} is no cost of the user's group; "
                f"its costs are {', '.join(f'{cost:g}' for cost in group.costs)}"
            )
        types[start : start + group.size] = place + first
        start += group.size
    return types


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

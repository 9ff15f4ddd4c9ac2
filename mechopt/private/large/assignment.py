"""The rules that `large_population` chooses from, as mechanisms: reports in, plan out, at any n."""

from __future__ import annotations

from typing import Any

import numpy as np

from mechopt.answer.bracket import Rule
from mechopt.answer.mechanism import DirectMechanism
from mechopt.answer.plan import Plan
from mechopt.answer.reports import types_of
from mechopt.arrays import BoolArray, FloatArray, IntArray, settle
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population
from mechopt.status import Status
from mechopt.tolerances import REACH, TINY


def assign(population: Population, rule: Rule, reports: Any, seed: int) -> Plan:
    types = types_of(population, reports)
    instance = population.instance(population.type_costs[types])
    counts: IntArray = np.bincount(types, minlength=population.type_costs.size)
    draw = np.random.default_rng(seed).random()
    about: dict[str, Any] = {
        "mechanism": rule.kind,
        "seed": seed,
        "details": {"chance": rule.chance, "draw": draw, "counts": counts.tolist()},
    }
    runs, burdens, payments = outcome(population, rule, counts[None])
    entered = access(population, rule, counts[None], runs)
    if entered is not None and draw < rule.chance and runs[0]:
        about["details"]["access"] = entered[0][types].tolist()
    if draw >= rule.chance or not runs[0]:
        return Plan.null(
            instance, objective=None, bound=None, reason=f"{rule.kind}: not run", **about
        )
    burden, payment = burdens[0], payments[0]
    given = settle(burden[types], instance.capacity, float(population.thresholds[0]))
    return Plan.from_arrays(
        instance, burden=given, payment=payment[types], status=Status.FEASIBLE, **about
    )


ACCESS_FEE = "fee for access"


def access(
    population: Population, rule: Rule, counts: IntArray, runs: FloatArray
) -> FloatArray | None:
    """Access of a user of each type, (S, M), at outcomes `runs` (S,); None: nobody is excluded."""
    if not population.has_exclusion:
        return None
    entered = np.where(counts > 0, runs[:, None], 0.0)
    if rule.fee is not None:
        return np.where(counts > 0, 1 - _denied(population, rule, counts), 0.0) * runs[:, None]
    if rule.kind == ACCESS_FEE:
        threshold, base = float(population.thresholds[0]), rule.base[population.group_of_type]
        supply = counts @ np.where(rule.order == 0, base, 0.0)
        lost = (
            population.of_type("exclusion")
            * threshold
            / np.maximum(supply[:, None] + base, threshold)
        )
        entered = np.where((rule.order == 0) | (base == 0), entered, entered * (1 - lost))
    return entered


def _denied(population: Population, rule: Rule, counts: IntArray) -> FloatArray:
    """Access denied to a user of each type by the virtual-cost rule with a fee, (S, M): what the
    dearest payer's share of the fee would cost, relative to the improvement's value."""
    assert rule.fee is not None
    group, value = population.group_of_type, population.of_group("value")
    fee, cost = np.zeros(value.size), np.zeros(value.size)
    np.maximum.at(fee, group, rule.fee)
    np.maximum.at(cost, group, population.type_rates * rule.fee)
    stake = np.divide(cost, value * population.shares[0], out=cost, where=value > 0)
    rest = float(population.thresholds[0]) - float(population.of_group("size") @ rule.base)
    scale = rest / np.maximum((counts @ rule.fee)[:, None] + fee[group], rest)
    return np.where(rule.fee > 0, 0.0, scale * stake[group])


def outcome(
    population: Population, rule: Rule, counts: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(run of 0/1 (S,), burden, payment of a user of each type (S, M)) at the counts (S, M).

    `rule.chance` is not in it: it decides before any report.
    """
    group, cost = population.group_of_type, population.type_rates
    capacity = population.of_group("capacity")
    threshold, states = float(population.thresholds[0]), counts.shape[0]
    here = counts > 0
    if rule.kind in ("unanimity", "null"):
        refused: BoolArray = np.asarray(here[:, rule.order < 0].any(axis=1))
        runs = ~refused if rule.kind == "unanimity" else np.zeros(states, dtype=bool)
        burden: FloatArray = np.where(here & runs[:, None], rule.base[group], 0.0)
        return runs.astype(np.float64), burden, np.zeros(burden.shape)
    if rule.price is not None or rule.kind == ACCESS_FEE:
        most = rule.base if rule.kind == ACCESS_FEE else capacity
        given = np.where(rule.order == 0, most[group], 0.0)
        supply = counts @ given
        runs = supply >= threshold * (1 - REACH)
        scale = np.where(runs, np.minimum(1.0, threshold / np.where(runs, supply, 1.0)), 0.0)
        burden = np.where(here, scale[:, None] * given, 0.0)
        return runs.astype(np.float64), burden, (rule.price or 0.0) * burden
    base = rule.base[group]
    fee = np.zeros(base.size) if rule.fee is None else rule.fee
    room = capacity[group] - base - fee
    rest, fees = np.maximum(0.0, threshold - counts @ base), counts @ fee
    offered = np.zeros((states, cost.size))
    for column, place in enumerate(rule.order):
        offered[:, place] += counts[:, column] * room[column]
    sold = np.zeros((cost.size, states, cost.size))  # extra burden of type k reporting l, [k, :, l]
    for true in range(cost.size):
        others = offered.copy()
        others[:, rule.order[true]] -= room[true]
        before = np.cumsum(others, axis=1) - others
        told = (rest - fees)[:, None] + fee[true] - fee  # left to be bought, by report
        left = np.maximum(0.0, np.maximum(0.0, told) - before[:, rule.order])
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.minimum(1.0, left / (room + others[:, rule.order]))
        sold[true] = np.where(here[:, true, None] & (room > 0), room * part, 0.0)
    own = np.column_stack([sold[k, :, k] for k in range(cost.size)])
    payment = cost * own
    for dearer in range(1, cost.size):  # rent: what each dearer report of the group would save
        if group[dearer] == group[dearer - 1]:
            cheaper = (group == group[dearer]) & (np.arange(cost.size) < dearer)
            payment[:, cheaper] += (cost[dearer] - cost[dearer - 1]) * sold[cheaper, :, dearer].T
    scale = np.minimum(1.0, rest / np.maximum(fees, np.maximum(rest, TINY)))[:, None]
    return np.ones(states), np.where(here, base + fee * scale + own, 0.0), payment


def rule_mechanism(population: Population, rule: Rule, terms: DirectTerms) -> DirectMechanism:
    """The rule as a mechanism over all count states, its lottery included; not audited."""
    counts = population.states.counts
    run, burden, payment = (rule.chance * array for array in outcome(population, rule, counts))
    entered = access(population, rule, counts, run)
    return of_one_level(population, terms, (run, burden, payment, entered), f"rule: {rule.kind}")


def of_one_level(
    population: Population,
    terms: DirectTerms,
    numbers: tuple[FloatArray, FloatArray, FloatArray, FloatArray | None],
    solver: str,
) -> DirectMechanism:
    """The mechanism of run probability (S,), burden, payment, access if any (S, M each), times p;
    not audited."""
    run, burden, payment, entered = numbers
    return DirectMechanism(
        population,
        terms,
        Status.FEASIBLE,
        run=run[:, None],
        burden=burden[:, None, :],
        payment=payment[:, None, :],
        access=None if entered is None else entered[:, None, :],
        solver=solver,
    )

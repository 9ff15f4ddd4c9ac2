"""A posted contract where only some amounts may be asked: q for giving f, contacts included.

Whoever can give f (capacity, least, whole units; not left out) accepts iff q ≥ C_i(f), and κ_i is
spent on him; q is a multiple of the step. Floors searched: where everybody has a unit, all
multiples of the units, so every contract there is. Else also the even splits T_k / m of the plain
contract, and the least amounts (there users enter as f rises): without contacts and steps these
contain an optimum as before; with them it may lie between, so a better contract is only bounded, by
the best subsidy (which may pay everybody another amount).
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import BoolArray, FloatArray
from mechopt.errors import InvalidOption, NotSupported, TooLarge
from mechopt.known import subsidy
from mechopt.known.levels import Candidates, infeasible, value_of
from mechopt.problem.aims import worthless
from mechopt.problem.instance import Instance
from mechopt.problem.practice import Practice, ceiling, flooring, multiples, typed
from mechopt.status import Status

_MOST = 25_000_000  # cost curves evaluated: floors times users


def terms(instance: Instance) -> Practice:
    """The terms of section 11; NotSupported with those that one offer to everybody cannot keep."""
    practice = instance.practice
    assert practice is not None
    if practice.has_groups or (practice.fixed > 0).any() or practice.required.any():
        raise NotSupported(
            "posted-contract: one offer to everybody cannot hold groups to limits, or users to "
            "fixed burdens or to being asked at all (required); use burdens or subsidy"
        )
    return practice


def given(instance: Instance, floor: float, payment: float, fields: dict[str, Any]) -> Plan:
    """The plan of one contract. InvalidOption if the payment is not in whole steps."""
    step = terms(instance).step
    if step and not np.isclose(
        payment, round(payment / step) * step, rtol=tolerances.MONEY, atol=0
    ):
        raise InvalidOption(f"payment: is {payment:g}, no multiple of payment_step {step:g}")
    return _plan(instance, floor, payment, fields)


def best(
    instance: Instance, objective: str, lowest: int, target: float | None, fields: dict[str, Any]
) -> Plan:
    """The best contract among the floors searched. TooLarge if they are too many."""
    practice = terms(instance)
    rows: list[tuple[float, ...]] = []
    for floor in _floors(instance, practice):
        able = _able(instance, practice, floor)
        rows += _contracts(instance, practice, floor, able)
    found = np.array(rows, dtype=np.float64).reshape(-1, 6)
    floors, pay, level, spent, cost, contact = found.T
    offered = Candidates(level.astype(np.int64), spent, cost, contact)
    ranked = offered.best(instance, objective, lowest)
    if ranked is None:
        return _nothing(instance, spent[level >= max(lowest, 1)], lowest, target, fields)
    amount, place = ranked
    if place < 0 or amount <= worthless(instance, objective):
        plan = Plan.null(instance, reason="no contract is worth more than nothing", **fields)
    else:
        plan = _plan(instance, float(floors[place]), float(pay[place]), fields)
    users = practice.fixed != 0
    every = bool((practice.unit[users] > 0).all())
    if every or not (practice.step or (practice.contact[users] > 0).any()):
        return plan if place < 0 else _proved(plan)
    limit = subsidy.solve(instance, objective=objective, target=target).bound
    own = plan.objective or 0.0
    if limit is not None and abs(limit - own) <= tolerances.MONEY * max(1.0, abs(own)):
        return _proved(plan)
    return plan.replace(
        status=Status.FEASIBLE,
        objective=own,
        bound=limit,
        reason="with contacts or steps a contract between the floors searched may be better; the "
        "bound is that of subsidies",
    )


def _proved(plan: Plan) -> Plan:
    if plan.status is Status.NULL:
        return plan
    return plan.replace(status=Status.OPTIMAL, bound=plan.objective)


def _floors(instance: Instance, practice: Practice) -> list[float]:
    """Every f that may be best, ascending."""
    users = practice.fixed != 0
    most = float(instance.capacity[users].max(initial=0.0))
    least = float(instance.thresholds[0]) / instance.n
    sizes = np.unique(practice.unit[users & (practice.unit > 0)]).tolist()
    parts = [np.zeros(0)]
    number = sum(most / size for size in sizes)
    if (practice.unit[users] == 0).any():
        m = np.arange(1, instance.n + 1)
        number += m.size * instance.levels
        for threshold in instance.thresholds.tolist():
            split = threshold / m
            parts.append(np.where(split * m < threshold, np.nextafter(split, np.inf), split))
        parts.append(practice.least[users & (practice.unit == 0)])
    if number * instance.n > _MOST:
        raise TooLarge(
            f"posted-contract compares {number:,.0f} amounts for {instance.n:,} users; use a "
            "larger unit, fewer users, or posted-price"
        )
    for size in sizes:
        first, last = (
            max(1.0, float(ceiling(np.array(least), size))),
            flooring(np.array(most), size),
        )
        parts.append(multiples(np.arange(first, float(last) + 1), size))
    floors = np.unique(np.concatenate(parts))
    inside = (floors > 0) & (floors <= most * (1 + tolerances.REACH))
    return [float(f) for f in floors[inside & (floors >= least * (1 - tolerances.REACH))]]


def _able(instance: Instance, practice: Practice, floor: float) -> BoolArray:
    """Who may be asked for f, shape (n,)."""
    room = tolerances.REACH * floor
    able = (practice.fixed != 0) & (instance.capacity >= floor - room)
    able &= practice.least <= floor + room
    whole = practice.unit > 0
    count = np.where(whole, floor / np.where(whole, practice.unit, 1.0), 0.0)
    return np.asarray(
        able & (np.abs(count - np.rint(count)) <= tolerances.WHOLE * np.maximum(count, 1.0))
    )


def _contracts(
    instance: Instance, practice: Practice, floor: float, able: BoolArray
) -> list[tuple[float, ...]]:
    """(f, q, level, spent, Σ C, Σ κ) of the cheapest contract over f for each level."""
    costs = instance.cost_of(np.full(instance.n, floor))[able]
    order = np.argsort(costs, kind="stable")
    costs, contact = costs[order], practice.contact[able][order]
    found: list[tuple[float, ...]] = []
    for threshold in instance.thresholds.tolist():
        needed = _number(practice, floor, threshold)
        if needed > costs.size:
            break
        pay = float(practice.rounded_up(costs[needed - 1 : needed])[0])
        accepters = int(np.searchsorted(costs, pay * (1 + tolerances.REACH), side="right"))
        level = sum(
            accepters >= _number(practice, floor, other) for other in instance.thresholds.tolist()
        )
        contacts = arrays.exact_sum(contact[:accepters])
        borne = arrays.exact_sum(costs[:accepters])
        found.append((floor, pay, level, accepters * pay + contacts, borne, contacts))
    return found


def _number(practice: Practice, floor: float, threshold: float) -> int:
    """How many times f reach T."""
    read = typed if (practice.unit > 0).any() else Fraction
    return ceil(read(threshold) / read(floor))


def _plan(instance: Instance, floor: float, pay: float, fields: dict[str, Any]) -> Plan:
    practice = terms(instance)
    cost = instance.cost_of(np.full(instance.n, floor))
    accepts = _able(instance, practice, floor) & (cost <= pay * (1 + tolerances.REACH))
    burden: FloatArray = np.where(accepts, np.minimum(floor, instance.capacity), 0.0)
    number = int(accepts.sum())
    level = sum(number >= _number(practice, floor, t) for t in instance.thresholds.tolist())
    return accepted(instance, {"floor": floor, "payment": pay}, burden, level, fields)


def accepted(
    instance: Instance,
    offer: dict[str, float],
    burden: FloatArray,
    level: int,
    fields: dict[str, Any],
) -> Plan:
    """The plan in which whoever has a burden (n,) accepts the `offer`, money; not yet proved."""
    payment = np.where(burden > 0, offer["payment"], 0.0)
    objective, share = fields["objective_name"], instance.share_at(level)
    return Plan(
        instance=instance,
        status=Status.FEASIBLE,
        burden=arrays.freeze(burden),
        payment=arrays.freeze(payment),
        objective=value_of(instance, objective, share, burden, payment),
        unconditional=True,
        details={**offer, "accepters": int(np.count_nonzero(burden))},
        **fields,
    )


def none_within_budget(
    instance: Instance,
    spent: FloatArray,
    need: float,
    target: float | None,
    fields: dict[str, Any],
) -> Plan:
    """That the contracts which reach `need` (data) all spend (some, money) more than the budget."""
    least = float(spent.min())
    short = least - instance.budget
    reason = (
        f"the cheapest contract that reaches {need:g} spends {least:g}, but the budget is "
        f"{instance.budget:g}: short by {short:g} (A4)"
    )
    shortfall = {"constraint": "budget", "payment": least, "money": short}
    return infeasible(instance, target, reason, shortfall, fields)


def _nothing(
    instance: Instance,
    spent: FloatArray,
    lowest: int,
    target: float | None,
    fields: dict[str, Any],
) -> Plan:
    need = float(instance.thresholds[max(lowest, 1) - 1])
    if spent.size:
        return none_within_budget(instance, spent, need, target, fields)
    reason = f"no one amount that may be asked of enough users reaches {need:g} (A2, B1, B2)"
    return infeasible(instance, target, reason, {"constraint": "capacity"}, fields)

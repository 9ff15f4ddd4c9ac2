"""Personalized burdens with withdrawal rights (FORMULATION 4.3).

One threshold, or no withdrawal rights: every level is a convex allocation, solved exactly by
selection (fact F7). Several thresholds under a withdrawal protocol, or a reserve, make the
withdrawal constraint (A5) part of the optimisation: `burdens_levels` does that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mechopt import allocation, arrays, registry, tolerances
from mechopt.allocation import Allocation, Pieces
from mechopt.arrays import FloatArray
from mechopt.errors import InvalidOption
from mechopt.instance import Instance
from mechopt.mechanisms import by_model, knife_edge
from mechopt.mechanisms.level_curves import required_total
from mechopt.mechanisms.levels import LevelAnswer, best_level, check_options
from mechopt.plan import Plan

METHODS = ("auto", "selection", "model")


def solve(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    protocol: str = "simultaneous",
    order: Any = "small-first",
    target: float | None = None,
    transfers: bool = True,
    reserve: float = 0.0,
    method: str = "auto",
    time_limit: float | None = None,
    seed: int = 0,
    known: dict[Any, Any] | None = None,
) -> Plan:
    """Burdens x and payments t that everyone accepts and nobody undoes (A1–A6).

    protocol : whose right to withdraw must be respected; "none" drops A5
    target : share to reach, for "expenditure" and "social-cost"; default the highest
    transfers : whether payments are allowed
    reserve : R ≥ 0, data kept above the threshold
    method : "selection" (one threshold), "model" (Pyomo and HiGHS), "auto" (the fastest exact one)
    known : a dict that solves of the same users and options, with other budgets or provider values,
        fill and draw on (several thresholds; elsewhere there is nothing worth keeping)

    Infeasible: the null outcome with the reason, or INFEASIBLE if `target` was given.
    """
    registry.choose("protocol", protocol, registry.PROTOCOLS)
    registry.choose("method", method, METHODS)
    check_options(instance, objective, target, reserve)
    separable = protocol == "none" or (instance.levels == 1 and reserve == 0)
    if not separable:
        if method == "selection":
            raise InvalidOption(
                "method: 'selection' solves one threshold without a reserve, or protocol 'none'; "
                "use 'auto'"
            )
        from mechopt.mechanisms import burdens_levels

        return burdens_levels.solve(
            instance,
            objective=objective,
            protocol=protocol,
            order=order,
            target=target,
            transfers=transfers,
            reserve=reserve,
            method=method,
            time_limit=time_limit,
            seed=seed,
            known=known,
        )
    fields: dict[str, Any] = {"mechanism": "burdens", "protocol": protocol, "order": order}
    if method == "model":
        return by_model.solve(
            instance,
            "burdens",
            objective=objective,
            target=target,
            transfers=transfers,
            reserve=reserve,
            time_limit=time_limit,
            seed=seed,
            model_options={"protocol": protocol},
            **fields,
        )

    def solve_level(level: int, quantity: str) -> LevelAnswer:
        gain = instance.value * instance.share_at(level)
        found = one_level(
            instance,
            level,
            quantity,
            gain=gain,
            unsecured=unsecured_share(instance, protocol),
            transfers=transfers,
            reserve=reserve,
        )
        terms: dict[str, Any] = {
            "mechanism": "burdens",
            "protocol": protocol,
            "transfers": transfers,
        }
        return knife_edge.decided(instance, found, reserve=reserve, **terms)

    return best_level(
        instance,
        solve_level,
        objective=objective,
        target=target,
        reserve=reserve,
        solver="selection",
        seed=seed,
        **fields,
    )


def unsecured_share(instance: Instance, protocol: str) -> FloatArray:
    """φ_i with one threshold met exactly, shape (n,).

    Whoever removes data by leaving is pivotal, and participation implies obedience (F7): 0. If
    nothing leaves with him (δ_i = 0) the reversible part ρ_i C_i must be paid for.
    """
    stuck = instance.removable == 0
    if protocol == "none" or not stuck.any():
        return np.zeros(instance.n)
    return np.where(stuck, instance.reversibility, 0.0)


def one_level(
    instance: Instance,
    level: int,
    quantity: str,
    *,
    gain: FloatArray,
    unsecured: FloatArray,
    transfers: bool,
    reserve: float,
) -> LevelAnswer:
    """The cheapest plan (in `quantity`, "pay" or "cost") that reaches T_level + R."""
    amount = required_total(instance, level, reserve)
    transfers = transfers and instance.budget > 0  # else rounding would count as a payment
    pieces = allocation.user_pieces(instance, gain, unsecured, transfers=transfers)
    if not allocation.can_reach(pieces, amount):
        reason, shortfall = _why_short(instance, level, amount, pieces, gain, unsecured, transfers)
        return LevelAnswer(level, None, None, quantity, reason, shortfall)
    upper: FloatArray = instance.capacity
    if not transfers:
        offered = np.bincount(pieces.user, weights=pieces.length, minlength=instance.n)
        upper = np.minimum(offered, instance.capacity)
    found: Allocation | None
    if quantity == "cost" and transfers and instance.budget < np.inf:
        found = allocation.cheapest_within_budget(pieces, amount, upper, instance.budget)
    else:
        found = allocation.cheapest(pieces, amount, upper, first=quantity)
    payment = None if found is None else payments(instance, found.burden, gain, unsecured)
    limit = instance.budget * (1 + tolerances.REACH)
    if found is None or payment is None or (limit < np.inf and arrays.exact_sum(payment) > limit):
        least = allocation.cheapest(pieces, amount, upper, first="pay").value
        return LevelAnswer(
            level,
            None,
            None,
            quantity,
            f"reaching {amount:g} takes payments of {least:g}, but the budget is "
            f"{instance.budget:g}: short by {least - instance.budget:g} (A4)",
            {"constraint": "budget", "payment": least, "money": least - instance.budget},
        )
    if not transfers:
        payment = np.zeros(instance.n)
    return LevelAnswer(level, found, payment, quantity)


def payments(
    instance: Instance, burden: FloatArray, gain: FloatArray, unsecured: FloatArray
) -> FloatArray:
    """The least payments for these burdens: max(0, C − w, φ C), money, shape (n,), read-only.

    Payments that are only the rounding of C − w are set to 0.
    """
    cost = instance.cost_of(burden)
    need = cost - gain
    np.maximum(need, unsecured * cost if unsecured.any() else 0.0, out=need)
    need *= need > np.multiply(cost, tolerances.REACH, out=cost)
    return arrays.freeze(need)


def _why_short(
    instance: Instance,
    level: int,
    amount: float,
    pieces: Pieces,
    gain: FloatArray,
    unsecured: FloatArray,
    transfers: bool,
) -> tuple[str, dict[str, Any]]:
    """How far the threshold is, and the payment that would close the gap."""
    reach = allocation.reachable(pieces)
    short = amount - reach
    capacity = arrays.exact_sum(instance.capacity)
    shortfall: dict[str, Any] = {"constraint": "capacity", "data": short, "reachable": reach}
    if transfers or capacity < amount:
        missing = amount - capacity
        return (
            f"threshold {level} needs {amount:g} of data, but all users together can give only "
            f"{capacity:g}: short by {missing:g} (A1, A2)",
            {"constraint": "capacity", "data": missing, "reachable": capacity},
        )
    paid = allocation.user_pieces(instance, gain, unsecured)
    least = allocation.cheapest(paid, amount, instance.capacity, first="pay").value
    shortfall.update(constraint="participation", payment=least)
    return (
        f"threshold {level} needs {amount:g} of data, but without payments users accept only "
        f"{reach:g}: short by {short:g} (A1, A3); payments of {least:g} would close it",
        shortfall,
    )

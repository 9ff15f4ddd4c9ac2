"""A level at which what keeps a user does not depend on how much he gives: selection (F7).

One threshold, or no withdrawal rights. The burdens then are a separable convex allocation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import FloatArray, IntArray
from mechopt.known import allocation, rows
from mechopt.known.allocation import Allocation, Pieces
from mechopt.known.levels import LevelAnswer, Wanted
from mechopt.problem import numbers
from mechopt.problem.aims import as_noticed, required_total
from mechopt.problem.instance import Instance


def unsecured_share(instance: Instance, protocol: str) -> FloatArray:
    """φ_i with one threshold met exactly, shape (n,).

    Whoever removes data by leaving is pivotal, and participation implies obedience (F7): 0. If
    nothing leaves with him that could be noticed (δ_i = 0, or lost in the rounding of float data)
    the reversible part ρ_i C_i must be paid for.
    """
    stuck = as_noticed(instance).removable == 0
    if protocol == "none" or not stuck.any():
        return np.zeros(instance.n)
    stuck &= instance.exclusion == 0
    return np.where(stuck, instance.reversibility, 0.0)


@dataclass(frozen=True, eq=False)
class Stakes:
    """What users get from a level, and what must be paid in any case (see `user_pieces`).

    :gain: w, money, shape (n,); unsecured : φ, a share of the cost, shape (n,)
    :transfers: whether anything can be paid
    """

    gain: FloatArray
    unsecured: FloatArray
    transfers: bool = True


def one_level(
    instance: Instance,
    level: int,
    quantity: str,
    wanted: Wanted,
    stakes: Stakes,
    *,
    needed: bool = False,
) -> LevelAnswer:
    """The cheapest plan (in `quantity`, "pay" or "cost") that reaches T_level + R.

    :needed: whether everybody must be needed for the threshold (or paid). Whoever is asked for less
        than rounding is not; nobody is asked that costs anything to keep, and the bound stands.
    """
    amount = required_total(instance, level, wanted.reserve)
    if not (wanted.transfers and instance.budget > 0):  # else rounding would count as a payment
        stakes = replace(stakes, transfers=False)
    first = found = _one_level(instance, level, quantity, amount, stakes)
    for _ in range(_MOST_DROPPED if needed else 0):
        if found.allocation is None or found.payment is None:
            break
        idle = _not_needed(instance, level, found.allocation.burden, found.payment)
        if not idle.size:
            break
        width = instance.widths.copy()
        width[idle] = 0.0
        found = _one_level(instance, level, quantity, amount, stakes, width)
    if found is first or first.allocation is None:
        return found
    if found.allocation is None:
        return first
    bound = min(first.allocation.bound, found.allocation.value)
    return replace(found, allocation=replace(found.allocation, bound=bound))


_MOST_DROPPED = 5  # rounds of setting aside whom the round before asked for next to nothing


def _not_needed(
    instance: Instance, level: int, burden: FloatArray, payment: FloatArray
) -> IntArray:
    """Users whose leaving goes unnoticed in the rounding of the total, and who gain by it."""
    least = tolerances.rounding(instance.n) * float(instance.thresholds[level - 1])
    tiny = rows.needless(instance, burden, 2 * least)
    if not tiny.size:
        return tiny
    cost = instance.reversibility * instance.cost_of(burden)
    held = tolerances.REACH + instance.exclusion[tiny]
    room = held * instance.value[tiny] * instance.share_at(level)
    return tiny[cost[tiny] - payment[tiny] > room]


def _one_level(
    instance: Instance,
    level: int,
    quantity: str,
    amount: float,
    stakes: Stakes,
    widths: FloatArray | None = None,
) -> LevelAnswer:
    """The cheapest plan with so much (n, J) on offer, all there is if None."""
    gain, unsecured, transfers = stakes.gain, stakes.unsecured, stakes.transfers
    pieces = allocation.user_pieces(instance, gain, unsecured, transfers=transfers, widths=widths)
    short = allocation.shortage(pieces, amount)
    if short > tolerances.rounding(pieces.user.size) * amount:
        reason, shortfall = _why_short(instance, level, amount, pieces, stakes)
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
    limit, units = instance.budget * (1 + tolerances.REACH), instance.units
    if found is None or payment is None or (limit < np.inf and arrays.exact_sum(payment) > limit):
        least = allocation.cheapest(pieces, amount, upper, first="pay").value
        paid, allowed = numbers.apart(least * units.money, instance.budget * units.money)
        return LevelAnswer(
            level,
            None,
            None,
            quantity,
            f"reaching {amount * units.data:g} takes payments of at least {paid}, but the "
            f"budget is {allowed}: short by "
            f"{(least - instance.budget) * units.money:g} (A4)",
            {"constraint": "budget", "payment": least, "money": least - instance.budget},
        )
    if not transfers:
        payment = np.zeros(instance.n)
    note = rows.short_by(short, units.data, level) if short else ""
    return LevelAnswer(level, found, payment, quantity, note=note)


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
    stakes: Stakes,
) -> tuple[str, dict[str, Any]]:
    """How far the threshold is, and the payment that would close the gap."""
    reach, unit = allocation.reachable(pieces), instance.units.data
    short = amount - reach
    capacity = arrays.exact_sum(instance.capacity)
    shortfall: dict[str, Any] = {"constraint": "capacity", "data": short, "reachable": reach}
    if stakes.transfers or capacity < amount:
        missing = amount - capacity
        needed, there = numbers.apart(amount * unit, capacity * unit)
        return (
            f"threshold {level} needs {needed} of data, but all users together can give "
            f"only {there}: short by {missing * unit:g} (A1, A2)",
            {"constraint": "capacity", "data": missing, "reachable": capacity},
        )
    paid = allocation.user_pieces(instance, stakes.gain, stakes.unsecured)
    least = allocation.cheapest(paid, amount, instance.capacity, first="pay").value
    shortfall.update(constraint="participation", payment=least)
    needed, there = numbers.apart(amount * unit, reach * unit)
    return (
        f"threshold {level} needs {needed} of data, but without payments users accept "
        f"only {there}: short by {short * unit:g} (A1, A3); payments of "
        f"{least * instance.units.money:g} would close it",
        shortfall,
    )

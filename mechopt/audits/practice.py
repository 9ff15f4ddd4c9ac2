"""The rows of practice: what a plan must respect to be carried out.

Tags: (B1) least, (B2) whole units, (B3) fixed burdens, (B4) payment steps, (B5) group_least,
(B6) group_most. Contacts are part of (A4).
"""

from __future__ import annotations

from fractions import Fraction
from math import fsum
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, exact_parts
from mechopt.problem.instance import Instance


def contacts(instance: Instance, burden: FloatArray) -> float:
    """Σ κ_i over the users asked, money."""
    return fsum(instance.contact_cost[burden > 0].tolist())


def missing(instance: Instance, burden: FloatArray, threshold: float, reserve: float) -> float:
    """How much Σ x_i is short of T + R: whole units, fixed burdens and T in decimals, as typed."""
    whole = (instance.unit > 0) & np.isnan(instance.fixed)
    fixed = ~np.isnan(instance.fixed) & (burden == instance.fixed)
    total = sum((_decimal(x) for x in burden[fixed & ~whole].tolist()), Fraction(0))
    for size in np.unique(instance.unit[whole]).tolist():
        mine = burden[whole & (instance.unit == size)]
        total += int(np.rint(mine / size).sum()) * _decimal(size)
    rest = burden[~whole & ~fixed]
    goal = _decimal(threshold) + _decimal(reserve)
    rest_total = sum(map(Fraction, exact_parts(rest)), Fraction(0))
    return float(goal - total - rest_total)


def _decimal(number: float) -> Fraction:
    return Fraction(repr(float(number)))


def add_rows(instance: Instance, burden: FloatArray, payment: FloatArray, ledger: Any) -> None:
    """Every row of section 11 that the instance has; none for a plan that asks nobody."""
    if not burden.any():
        return
    free, asked = np.isnan(instance.fixed), burden > 0
    room = tolerances.DATA * np.maximum(instance.capacity, instance.least)
    if (instance.least > 0).any():
        under = np.where(free & asked, instance.least - burden, 0.0)
        ledger.users("B1", under, room, "is asked for {:g} less than the least")
    if (instance.unit > 0).any():
        size = np.where((instance.unit > 0) & free, instance.unit, 1.0)
        off = np.abs(burden - np.rint(burden / size) * size)
        off = np.where((instance.unit > 0) & free, off, 0.0)
        ledger.users("B2", off, room, "is asked for {:g} more or less than whole units")
    if not free.all():
        off = np.where(free, 0.0, np.abs(burden - np.where(free, 0.0, instance.fixed)))
        ledger.users("B3", off, room, "differs by {:g} from the fixed burden")
    if (instance.required > 0).any():
        unasked = np.where((instance.required > 0) & ~asked, instance.capacity, 0.0)
        ledger.users("B3", unasked, 0 * room, "is not asked although required (of up to {:g})")
    step = instance.payment_step
    if step > 0:
        off = np.abs(payment - np.rint(payment / step) * step)
        allowed = tolerances.MONEY * np.maximum(payment, step)
        ledger.users("B4", off, allowed, "is paid {:g} more or less than whole steps")
    _groups(instance, burden, ledger)


def _groups(instance: Instance, burden: FloatArray, ledger: Any) -> None:
    cost = instance.cost_of(burden)
    whole = {"data": fsum(burden.tolist()), "share": fsum(cost.tolist())}
    for tag, limits, sign in (("B5", instance.group_least, 1), ("B6", instance.group_most, -1)):
        for label, (kind, limit) in limits.items():
            mine = instance.group == label
            amount = fsum((burden if kind == "data" else cost)[mine].tolist())
            bound = limit if kind == "data" else limit * whole["share"]
            what = "data" if kind == "data" else "of the social cost"
            words = "short of its least by {:g}" if sign > 0 else "above its most by {:g}"
            ledger.one(
                tag,
                sign * (bound - amount),
                f"group {label!r}: {words} ({what})",
                allowed=tolerances.DATA * whole[kind],
            )

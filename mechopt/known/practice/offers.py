"""A posted price where only some burdens may be asked: the offer is for those amounts.

User i answers a price s with the largest maximiser of s x − C_i(x) over what may be asked of him.
That moves along the lower convex envelope of his curve over these points; so the offer is the plain
one on an instance whose cost curves are the envelopes. Contacts are paid for whoever gives.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray
from mechopt.errors import NotSupported
from mechopt.known.burdens.knapsack_relaxation import envelope
from mechopt.known.levels import spending, value_of
from mechopt.known.practice.curves import Terms, asked_curves
from mechopt.problem.instance import Instance
from mechopt.problem.practice import multiples
from mechopt.status import Status


def enveloped(instance: Instance) -> Instance:
    """The plain instance that answers every price in the same way; NotSupported if none does."""
    practice = instance.practice
    assert practice is not None
    if practice.has_groups or (practice.fixed > 0).any() or practice.required.any():
        raise NotSupported(
            "posted-price: a price for everybody cannot hold groups to limits, or users to fixed "
            "burdens or to being asked at all (required); use burdens or subsidy"
        )
    bare = instance.replace(contact_cost=0, payment_step=None)
    if bare.practice is None:
        return bare
    asked = asked_curves(Terms(bare, 1, 0.0, "cost", True, False), 0.0)
    curves = asked.curves
    points = envelope(curves, asked.borne)
    user, cost = curves.user[points], asked.borne[points]
    burden = curves.burden[points] * asked.scale
    linked = np.flatnonzero(user[1:] == user[:-1])
    owner = user[linked]
    width = burden[linked + 1] - burden[linked]
    for size in np.unique(practice.unit[practice.unit > 0]).tolist():  # as typed: 3 · 0.1 is 0.3
        mine = practice.unit[owner] == size
        width[mine] = multiples(np.rint(width[mine] / size), size)
    paid = np.where(instance.cost > 0, instance.cost, 1.0)[owner]
    slope = (cost[linked + 1] - cost[linked]) / width / paid
    first = np.searchsorted(owner, owner)
    place = np.arange(owner.size) - first
    pieces = int(place.max(initial=0)) + 1
    widths, slopes = np.zeros((instance.n, pieces)), np.ones((instance.n, pieces))
    widths[owner, place], slopes[owner, place] = width, slope
    slopes = np.maximum.accumulate(np.where(widths > 0, slopes, 0.0), axis=1)
    slopes[slopes == 0] = 1.0
    plain: dict[str, Any] = {"least": 0, "unit": None, "contact_cost": 0, "fixed": None}
    return instance.replace(segments=(widths, slopes), payment_step=None, **plain)


def contacts_at(plain: Instance, contact: FloatArray, prices: FloatArray) -> FloatArray:
    """Σ κ_i over those who give something at each price, money."""
    with np.errstate(invalid="ignore"):
        rate = np.where(plain.widths > 0, plain.cost[:, None] * plain.slopes, np.inf).min(axis=1)
    order = np.argsort(rate, kind="stable")
    reach = np.append(0.0, np.cumsum(contact[order]))
    return reach[np.searchsorted(rate[order], prices, side="right")]


def carried_out(instance: Instance, plan: Plan, bound: float | None) -> Plan:
    """A plan for the envelopes as one for `instance`: units, steps and contacts counted."""
    practice = instance.practice
    assert practice is not None
    if plan.burden is None or plan.payment is None:
        return plan.replace(instance=instance)
    units = practice.counts(plan.burden)
    burden = plan.burden.copy()
    for size in np.unique(practice.unit[practice.unit > 0]).tolist():
        mine = practice.unit == size
        burden[mine] = multiples(units[mine], size)
    payment = practice.rounded_up(plan.payment)
    spent = spending(instance, burden, payment)
    amount = value_of(instance, str(plan.objective_name), plan.share or 0.0, burden, payment)
    proved = bound is None or abs(bound - amount) <= tolerances.MONEY * max(1.0, abs(amount), spent)
    return plan.replace(
        instance=instance,
        burden=arrays.freeze(burden),
        payment=arrays.freeze(np.ascontiguousarray(payment)),
        objective=amount,
        bound=amount if proved else bound,
        status=Status.OPTIMAL if proved else Status.FEASIBLE,
    )

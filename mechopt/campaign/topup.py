"""The least that restores a plan after drop-outs, with everybody's past fixed.

Whoever is still in keeps what he gave or still owes and what he was promised; who withdrew or
failed is asked nothing more, and what he cannot take back stays. What is missing is asked of those
who can give more: user i, who is paid nothing more as long as his cost stays below v_i b + t_i, is
a user of a problem of its own, with the rest of his capacity, the rest of his cost curve and the
rest of that money as his value. With one threshold, met exactly, everybody is pivotal, so that is
the whole problem (fact F7); with several, users are then also paid what keeps them from leaving
(W1), and the answer is a bound from below and a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray
from mechopt.files.plans import written
from mechopt.problem.instance import Instance
from mechopt.solving import solve
from mechopt.status import Status
from mechopt.withdrawal.repairs.payments import least_extra_payments

if TYPE_CHECKING:
    from mechopt.campaign.state import Campaign


@dataclass(frozen=True, eq=False)
class TopUp:
    """What to ask and pay on top.

    :missing: data between what is expected and the threshold
    :plan: the new plan, everybody's past in it (`committed` of its instance is what is in hand for
        good); None if nothing restores the threshold, and `reason` says why
    :more, extra: (n,) data asked on top and money promised on top
    :least: no top-up costs less, money
    """

    missing: float
    status: Status
    plan: Plan | None
    more: FloatArray
    extra: FloatArray
    least: float
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: status, what is missing, and one row per user who is asked or paid more."""
        rows: list[dict[str, Any]] = []
        if self.plan is not None and self.plan.burden is not None and self.plan.payment is not None:
            ids = self.plan.instance.ids
            noticed = self.more > tolerances.DATA * self.missing  # not the ulps
            for user in np.flatnonzero(noticed | (self.extra > 0)).tolist():
                rows.append(
                    {
                        "id": str(ids[user]),
                        "more": float(self.more[user]),
                        "extra": float(self.extra[user]),
                        "burden": float(self.plan.burden[user]),
                        "payment": float(self.plan.payment[user]),
                    }
                )
        return {
            "status": self.status.value,
            "missing": self.missing,
            "data": float(self.more.sum()),
            "payments": float(self.extra.sum()),
            "least": self.least,
            "reason": self.reason,
            "users": rows,
        }


def spelled(plan: Plan, column: str) -> list[Fraction]:
    """Burdens or payments as people read them: the decimals that a file of the plan has."""
    if plan.is_exact:
        return [Fraction(entry) for entry in plan.exact(column).tolist()]
    numbers = written(plan) if column == "burden" else plan.payment
    assert numbers is not None
    return [Fraction(repr(entry)) for entry in numbers.tolist()]


def top_up(campaign: Campaign) -> TopUp | None:
    """The least top-up of a campaign; None if what is expected meets the threshold."""
    if campaign.expected >= campaign.threshold:
        return None
    plan, people = campaign.plan, campaign.people
    instance = plan.instance
    inside = np.array([not (one.left or one.lost) for one in people])
    base = np.array([float(one.given + one.open) for one in people])
    base = np.minimum(base, np.maximum(instance.capacity, 0.0))
    assert plan.payment is not None
    promised = np.where(inside | np.array([one.complete for one in people]), plan.payment, 0.0)
    missing = float(campaign.threshold - campaign.expected)
    rest = _rest(campaign, base, inside, promised, missing)
    nothing = np.zeros(instance.n)
    if rest is None:
        reason = "nobody is left who could give more"
        return TopUp(missing, Status.INFEASIBLE, None, nothing, nothing, np.inf, reason)
    users, problem = rest
    found = solve(problem, "burdens", objective="expenditure")
    if not found.level or found.burden is None or found.payment is None:
        status = Status.INFEASIBLE if found.status is Status.NULL else found.status
        return TopUp(missing, status, None, nothing, nothing, np.inf, found.reason)
    more, extra = nothing.copy(), nothing.copy()
    more[users], extra[users] = found.burden, found.payment
    burden = _reaching(campaign, base + more, instance.capacity)
    committed = np.array([float(one.committed) for one in people])
    held = instance.replace(committed=np.minimum(committed, burden))
    new = Plan.from_arrays(
        held, burden, promised + extra, protocol="simultaneous", mechanism="top-up"
    )
    if instance.levels > 1:
        restored = least_extra_payments(held, new)
        if restored.extra is not None:
            extra = extra + np.asarray(restored.extra, dtype=float)
            new = Plan.from_arrays(
                held, burden, promised + extra, protocol="simultaneous", mechanism="top-up"
            )
    bound = float(found.bound or 0.0)
    proved = arrays.exact_sum(extra) <= bound * (1 + tolerances.MONEY) + tolerances.REACH
    status = Status.OPTIMAL if proved else Status.FEASIBLE
    asked = [float(x) for x in spelled(plan, "burden")]
    before = [*plan.details.get("topped_up", ()), {"lines": campaign.lines, "burden": asked}]
    new = new.replace(status=status, details={**new.details, "topped_up": before})
    return TopUp(missing, status, new, burden - base, extra, bound)


def _rest(
    campaign: Campaign, base: FloatArray, inside: Any, promised: FloatArray, missing: float
) -> tuple[Any, Instance] | None:
    """Who could give more, and the problem of what is missing."""
    instance = campaign.plan.instance
    share = instance.share_at(campaign.level)
    room = instance.capacity - base
    users = np.flatnonzero(inside & (room > 0))
    if not users.size:
        return None
    before = np.cumsum(instance.widths, axis=1) - instance.widths
    used = np.clip(base[:, None] - before, 0.0, instance.widths)
    widths = (instance.widths - used)[users]
    left = instance.value * share + promised - instance.cost_of(base)
    budget = instance.budget - arrays.exact_sum(promised) if instance.budget < np.inf else None
    fresh = base[users] == 0
    practice: dict[str, Any] = {}
    if instance.practice is not None:
        practice = {
            "unit": instance.unit[users],
            "payment_step": instance.payment_step,
            "least": np.where(fresh, instance.least[users], 0.0),
            "contact_cost": np.where(fresh, instance.contact_cost[users], 0.0),
        }
    paid_to_others = sum(
        (one.paid for one, stays in zip(campaign.people, promised) if not stays), Fraction(0)
    )
    problem = Instance(
        cost=instance.cost[users],
        value=np.maximum(left[users], 0.0),
        thresholds=[missing],
        segments=(widths, instance.slopes[users]),
        budget=None if budget is None else max(budget - float(paid_to_others), 0.0),
        ids=instance.ids[users].tolist(),
        **practice,
    )
    return users, problem


def _reaching(campaign: Campaign, burden: FloatArray, upper: FloatArray) -> FloatArray:
    """The burdens, settled so that they reach the threshold exactly."""
    goal = float(campaign.threshold)
    if Fraction(goal) < campaign.threshold:
        goal = float(np.nextafter(goal, np.inf))
    if arrays.exact_sum(burden, -goal) >= 0:
        return burden
    return arrays.settle(burden, np.maximum(upper, burden), goal)

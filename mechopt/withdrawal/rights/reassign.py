"""Re-assignment: the mechanism is run again without whoever refuses (docs: rights).

User i stays iff his utility in the plan, v_i b + t_i − (C_i(x_i) − C_i(y_i)), is at least what he
has without taking part: (1 − η_i) v_i B, where B is what the others reach, by the data they have
given or by the mechanism run again without him, whichever is more. It is stronger than (W1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import doors
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import TooLarge
from mechopt.problem import cost_curves as curves
from mechopt.problem.instance import Instance
from mechopt.tolerances import REACH
from mechopt.withdrawal.stage import Array, Stage, contribution_cost, field_of

if TYPE_CHECKING:
    from mechopt.answer.plan import Plan

MOST_RUNS = 500  # contributors without each of whom the mechanism is run again
_OWN = ("protocol", "order", "withdrawal", "price", "seed", "known")  # not options of the next run


def reassign_slack(instance: Instance, plan: Plan, stage: Stage) -> tuple[Array, IntArray]:
    """What each of `stage.movers` loses by not taking part, money, and the level reached then."""
    users = stage.movers
    level = int(stage.level_of(stage.total))
    after = np.asarray(stage.level_of(stage.without(users)), dtype=np.int64)
    again = levels_without(instance, plan, users[after < level])
    after[after < level] = np.maximum(after[after < level], np.minimum(again, level))
    cost = contribution_cost(instance, stage.x, exact=stage.exact)
    if instance.has_committed:
        cost = cost - contribution_cost(instance, stage.committed, exact=stage.exact)
    payment = plan.exact("payment") if stage.exact else plan.payment
    asked = (cost - payment)[users]
    return stage.loss(users, level, after) - asked, after


def levels_without(instance: Instance, plan: Plan, users: IntArray) -> IntArray:
    """The level that the plan's mechanism reaches without each of `users`, shape (m,).

    One threshold and no payments: by prefix sums. Otherwise it is run again, under the
    simultaneous protocol and the plan's other options. A plan that no mechanism made is taken for
    one of `burdens` that improves as much as it can, with payments if it makes any.
    """
    options = {name: value for name, value in plan.options.items() if name not in _OWN}
    mechanism = plan.mechanism
    if mechanism == "given":
        mechanism, options = "burdens", {"objective": "improvement"}
        options["transfers"] = bool(plan.payment is not None and plan.payment.any())
    unpaid = options.get("transfers") is False or instance.budget == 0
    if mechanism == "burdens" and unpaid and instance.levels == 1 and not options.get("reserve"):
        return needless(instance)[users].astype(np.int64)
    if users.size > MOST_RUNS:
        raise TooLarge(
            f"reassign: {users.size:,} users contribute, and the mechanism would be run without "
            f"each of them; at most {MOST_RUNS}"
        )
    found = np.zeros(users.size, dtype=np.int64)
    for place, user in enumerate(users.tolist()):
        rest = without(instance, user)
        if rest is not None:
            again = doors.solve_again(rest, mechanism, options)
            found[place] = again.level or 0
    return found


def needless(instance: Instance) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Without whom one threshold is reached all the same, unpaid: Σ_{j≠i} C_j^{-1}(v_j b) ≥ T."""
    exact = instance.is_exact
    cost, widths, slopes = (
        field_of(instance, name, exact) for name in ("cost", "widths", "slopes")
    )
    committed = field_of(instance, "committed", exact)
    gain = field_of(instance, "value", exact) * field_of(instance, "shares", exact)[0]
    if instance.has_committed:
        gain = gain + curves.cost_of(cost, widths, slopes, committed)
    reach = curves.affordable(cost, widths, slopes, gain)
    threshold = field_of(instance, "thresholds", exact)[0]
    rest = reach.sum() - reach + committed
    return np.asarray(rest >= (threshold if exact else threshold * (1 - REACH)), dtype=bool)


def without(instance: Instance, user: int) -> Instance | None:
    """The instance in which `user` can give nothing; None if nobody else can give anything."""
    exact = instance.is_exact
    widths: Any = np.array(field_of(instance, "widths", exact))
    widths[user] = widths[user] * 0
    if not (widths > 0).any():
        return None
    committed: FloatArray | Array = np.array(field_of(instance, "committed", exact))
    committed[user] = committed[user] * 0
    if not exact:
        slopes: Any = instance.slopes
    else:
        slopes = instance.exact("slopes").tolist()
        widths, committed = widths.tolist(), committed.tolist()
    freed: dict[str, Any] = {}
    if not np.isnan(instance.fixed[user]):  # nor can he be held to anything
        column = instance.exact("fixed") if exact else instance.fixed
        freed["fixed"] = [one if one == one else None for one in column.tolist()]
        freed["fixed"][user] = None
    if instance.required[user]:
        freed["required"] = np.where(np.arange(instance.n) == user, 0, instance.required)
    return instance.replace(segments=(widths, slopes), committed=committed, **freed)

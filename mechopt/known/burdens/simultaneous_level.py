"""One level under simultaneous withdrawal (fact F8).

With the total fixed at P = T_k + R, users are independent of one another except for the total
(and the budget): a multiple-choice knapsack with convex pieces. Where every user's leaving costs
the same level whatever he gives (capacities smaller than the gaps between thresholds; one
threshold) the curves are convex and selection solves the level.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import FloatArray, exact_sum
from mechopt.known import allocation
from mechopt.known.allocation import Allocation, Pieces
from mechopt.known.burdens import level_curves
from mechopt.known.burdens.knapsack_relaxation import Knapsack
from mechopt.known.burdens.level_curves import LevelCurves
from mechopt.known.burdens.multiple_choice_knapsack import Choice, minimise
from mechopt.known.burdens.part_curves import all_or_nothing, part_curves, part_payment
from mechopt.known.levels import LevelAnswer, Wanted
from mechopt.problem import cost_curves
from mechopt.problem.aims import leaving_loss, noticed, required_total
from mechopt.problem.instance import Instance
from mechopt.problem.numbers import apart

_EXPLAINING = 0.3  # seconds spent on what an unreachable level would take; it is a bound anyway
_ACCURACY = 1e-11  # when to stop the search, relative to the total at average cost


def solve_level(
    instance: Instance,
    level: int,
    quantity: str,
    wanted: Wanted,
    deadline: float,
) -> LevelAnswer:
    """Least payments ("pay") or least cost ("cost") that sustain `level` under (W1).

    Withdrawal of any part: F15.
    """
    withdrawal = wanted.withdrawal
    total = required_total(instance, level, wanted.reserve)
    refusal = out_of_reach(instance, level, quantity, total)
    if refusal is not None:
        return refusal
    if withdrawal == "part" and all_or_nothing(instance, level, total):
        withdrawal = "whole"
    budget = instance.budget if wanted.transfers else 0.0
    asked = replace(wanted, withdrawal=withdrawal)
    found, least = _solve_curves(instance, level, quantity, asked, budget, deadline)
    if found.burden is None or least > budget * (1 + tolerances.REACH):
        if found.bound < inf and least <= budget * (1 + tolerances.REACH):
            undecided = f"whether level {level} can be sustained was not decided in time"
            reason, numbers = undecided, {"constraint": "time", "level": level}
            least = max(0.0, found.bound)
            return LevelAnswer(level, None, None, quantity, reason, numbers, least=least)
        return over_budget(instance, level, quantity, least, budget)
    burden = found.burden
    if withdrawal == "whole":
        burden = level_curves.distinct(instance, level, total, burden)
    if not found.settled or burden is not found.burden:
        burden = arrays.settle(burden, np.where(burden > 0, instance.capacity, 0.0), total)
    payment = _needed(instance, level, total, burden, withdrawal)
    if budget == 0:
        payment = np.zeros(instance.n)
    value = exact_sum(payment if quantity == "pay" else instance.cost_of(burden))
    final = Allocation(
        arrays.freeze(burden),
        value,
        min(value, max(0.0, found.bound)),
        found.data_price,
        found.budget_price,
    )
    return LevelAnswer(level, final, arrays.freeze(payment), quantity, nodes=found.nodes)


def _solve_curves(
    instance: Instance,
    level: int,
    quantity: str,
    wanted: Wanted,
    budget: float,
    deadline: float,
) -> tuple[Choice, float]:
    """The level's problem on the users' curves; and the least payments (0 if none are known of).

    With `quantity` "pay" the least payments come first and the least cost among them second.
    """
    reserve, withdrawal = wanted.reserve, wanted.withdrawal
    total = required_total(instance, level, reserve)
    if quantity == "cost" and budget > 0:
        # Unless the budget binds, nobody's pivotality matters: whatever is needed is paid.
        pieces = _all_pieces(instance)
        freely = allocation.cheapest(pieces, total, instance.capacity, first="cost")
        payment = _needed(instance, level, total, freely.burden, withdrawal)
        if exact_sum(payment) <= budget:
            return _chosen(freely, freely.bound), 0.0
    convex = _convex_pieces(instance, level, reserve) if withdrawal == "whole" else None
    if convex is not None:
        return _by_selection(instance, convex, quantity, total, budget)
    make = level_curves.level_curves if withdrawal == "whole" else part_curves
    curves = make(instance, level, reserve)
    all_capacities = exact_sum(instance.cost_of(instance.capacity))
    scale = all_capacities * total / exact_sum(instance.capacity)
    control = {"accuracy": _ACCURACY * scale, "deadline": deadline}

    def search(first: str, curves: LevelCurves, budget: float = inf) -> Choice:
        return minimise(Knapsack(curves, total, first, budget), **control)

    free = curves.without_payment()
    if budget == 0:
        found = search("cost", free)
        if found.burden is not None or found.bound < inf:
            least = 0.0
            return (replace(found, bound=0.0) if quantity == "pay" else found), least
        control["deadline"] = min(deadline, perf_counter() + _EXPLAINING)
        return found, search("pay", curves).bound
    cheapest = search("pay", curves)
    if cheapest.bound > budget * (1 + tolerances.REACH):
        return cheapest, cheapest.bound
    if quantity == "cost":
        return search("cost", curves, budget), 0.0
    if cheapest.value <= control["accuracy"]:
        unpaid = search("cost", free)
        if unpaid.burden is not None:
            return replace(unpaid, bound=0.0), 0.0
    return cheapest, cheapest.value


def _needed(
    instance: Instance, level: int, total: float, burden: FloatArray, withdrawal: str
) -> FloatArray:
    if withdrawal == "part":
        return part_payment(instance, level, total, burden)
    return level_curves.payment_needed(instance, level, total, burden)


def _convex_pieces(instance: Instance, level: int, reserve: float) -> Pieces | None:
    """Pieces for selection if no user's leaving could cost different levels; else None."""
    total = required_total(instance, level, reserve)
    below = 0.0 if level == 1 else float(instance.thresholds[level - 2])
    most = instance.removable * instance.capacity
    harmless = most <= max(reserve, noticed(instance, total))
    if not (harmless | ((reserve == 0) & ((most <= total - below) | (level == 1)))).all():
        return None
    shares = np.append(0.0, instance.shares)
    loss = leaving_loss(instance, level, level - 1)
    loss = np.where(harmless, leaving_loss(instance, level, level), loss)
    least = level_curves.least_burden(instance, level, reserve)
    paid = least if not least.any() else level_curves.payment_needed(instance, level, total, least)
    return pieces_kept_by(instance, instance.value * shares[level], loss, least, paid)


def pieces_kept_by(
    instance: Instance, gain: FloatArray, loss: FloatArray, least: FloatArray, paid: FloatArray
) -> Pieces:
    """Pieces where leaving costs user i `loss` (n,) money, whatever his burden.

    :gain: v_i b_k (A3). Where least > 0, burdens start there, at the payment `paid`. Without
        payment up to where (A3) or obedience binds; then the need grows by ρ θ or θ per unit. Where
        that is the same for everybody there are but two kinds of pieces, unpaid ones and paid ones.
    """
    recovered = instance.reversibility
    with np.errstate(divide="ignore", invalid="ignore"):
        obey = np.where(recovered > 0, loss / recovered, inf)
        join = np.where(recovered < 1, (gain - loss) / (1 - recovered), inf)
    free = np.minimum(gain, obey)  # cost up to which nothing is needed
    raised = bool(least.any())
    if not raised and ((recovered == 1) | (gain <= obey)).all():
        return allocation.user_pieces(instance, free, np.zeros(instance.n))
    turn = np.where(gain <= obey, free, np.maximum(join, free))
    steep = np.flatnonzero((least > 0) & (least <= instance.capacity))
    columns: list[tuple[Any, Any, Any, Any]] = []
    if raised:
        cost = instance.cost_of(least)[steep]
        columns.append((steep, least[steep], cost / least[steep], paid[steep] / least[steep]))
    begin, spent = np.zeros(instance.n), np.zeros(instance.n)
    everyone, nothing = np.arange(instance.n), np.zeros(instance.n)
    for width, slope in zip(instance.widths.T, instance.slopes.T):
        rate = instance.cost * slope
        one = cost_curves.bought(np.maximum(free - spent, 0.0), rate, width)
        two = np.maximum(cost_curves.bought(np.maximum(turn - spent, 0.0), rate, width), one)
        for low, high, pay in (
            (nothing, one, nothing),
            (one, two, recovered * rate),
            (two, width, rate),
        ):
            length = high - low
            if raised:
                length = begin + high - np.maximum(begin + low, least)
            some = np.flatnonzero(length > 0)
            if some.size == instance.n:
                columns.append((everyone, length, rate, pay))
            else:
                columns.append((some, length[some], rate[some], pay[some]))
        begin, spent = begin + width, spent + rate * width
    return Pieces(*(np.concatenate(column) for column in zip(*columns)))


def _all_pieces(instance: Instance) -> Pieces:
    """Everything everyone can give, by cost alone."""
    user, segment = np.nonzero(instance.widths > 0)
    rate = instance.cost[user] * instance.slopes[user, segment]
    return Pieces(user, instance.widths[user, segment], rate, 0.0 * rate)


def _by_selection(
    instance: Instance, pieces: Pieces, quantity: str, total: float, budget: float
) -> tuple[Choice, float]:
    """The level's problem where all curves are convex."""
    upper = instance.capacity
    found: Allocation | None
    if budget == 0:
        some = pieces.pay == 0
        free = Pieces(pieces.user[some], pieces.length[some], pieces.cost[some], pieces.pay[some])
        reachable = allocation.can_reach(free, total)
        offered = np.bincount(free.user, weights=free.length, minlength=instance.n)
        upper = np.minimum(offered, upper)  # rounding must not ask those who give nothing unpaid
        found = allocation.cheapest(free, total, upper, first="cost") if reachable else None
    elif quantity == "cost" and budget < inf:
        found = allocation.cheapest_within_budget(pieces, total, upper, budget)
    else:
        found = allocation.cheapest(pieces, total, upper, first=quantity)
    if found is None:
        least = allocation.cheapest(pieces, total, upper, first="pay").bound
        return Choice(None, inf, inf), least
    bound = 0.0 if quantity == "pay" and budget == 0 else found.bound
    least = found.value if quantity == "pay" and budget > 0 else 0.0
    return _chosen(found, bound), least


def _chosen(found: Allocation, bound: float) -> Choice:
    prices = found.data_price, found.budget_price
    return Choice(found.burden, found.value, bound, *prices, settled=True)


def out_of_reach(instance: Instance, level: int, quantity: str, total: float) -> LevelAnswer | None:
    """Why no burdens at all can secure `level`, if so."""
    unit = instance.units.data
    if level < instance.levels and total >= instance.thresholds[level]:
        over = total - float(instance.thresholds[level])
        reason = (
            f"with this reserve level {level} is passed: {total * unit:g} of data reach level "
            f"{level + 1}, which then needs its own reserve (A1)"
        )
        return LevelAnswer(
            level, None, None, quantity, reason, {"constraint": "reserve", "data": over}
        )
    if float(instance.capacity.sum()) - total > tolerances.DATA * total:
        return None  # far beyond the rounding of the sum
    short = -exact_sum(instance.capacity, -total)
    if short <= tolerances.REACH * total:
        return None
    needed, there = apart(total * unit, (total - short) * unit)
    reason = (
        f"level {level} needs {needed} of data, but all users together can give only "
        f"{there}: short by {short * unit:g} (A1, A2)"
    )
    numbers = {"constraint": "capacity", "level": level, "data": short, "reachable": total - short}
    return LevelAnswer(level, None, None, quantity, reason, numbers)


def over_budget(
    instance: Instance, level: int, quantity: str, least: float, budget: float
) -> LevelAnswer:
    """That `level` takes payments of at least `least` (money), more than `budget`."""
    short, unit = least - budget, instance.units.money
    numbers: dict[str, Any] = {"level": level, "payment": least, "money": short}
    if budget == 0 and instance.budget > 0:
        reason = (
            f"level {level} is not sustained without payments: at least {least * unit:g} would "
            "have to be paid (A3, A5)"
        )
        numbers["constraint"] = "participation"
    else:
        paid, allowed = apart(least * unit, budget * unit)
        reason = (
            f"level {level} takes payments of at least {paid}, but the budget is "
            f"{allowed}: short by {short * unit:g} (A4)"
        )
        numbers["constraint"] = "budget"
    return LevelAnswer(level, None, None, quantity, reason, numbers)

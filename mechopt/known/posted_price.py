"""Posted price (docs: model), the benchmark: one price per data unit, paid in any case."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray
from mechopt.errors import InvalidOption
from mechopt.known.levels import (
    Candidates,
    Wanted,
    infeasible,
    no_such_share,
    spending,
    value_of,
)
from mechopt.problem.aims import check_options
from mechopt.problem.instance import Instance
from mechopt.status import Status


@dataclass(frozen=True, eq=False)
class PostedSupply:
    """The floor response to every candidate price, ascending; each of shape (P,).

    :total: X⁰(s), data; cost : Σ C_i, money; level : thresholds reached, decided exactly
    """

    price: FloatArray
    total: FloatArray
    cost: FloatArray
    level: np.ndarray[Any, np.dtype[np.int64]]


def solve(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    target: float | None = None,
    price: float | None = None,
    seed: int = 0,
) -> Plan:
    """The best price over all candidates θ_i · slope (exact), or the one of the given `price`.

    Users answer with the floor x_i⁰(s), the largest maximiser of s x − C_i(x). `details` says
    whether that is an equilibrium and which level a coordinated equilibrium reaches:
    price, floor_is_equilibrium, tempted (users who would bridge the gap alone),
    coordinated_level, coordinated_share.
    """
    lowest = check_options(instance, objective, target, 0.0)
    wanted = Wanted(mechanism="posted-price", protocol="none", objective=objective, seed=seed)
    fields = wanted.fields(solver="enumeration")
    if instance.practice is not None:
        from mechopt.known.practice import offers  # most problems have nothing of it

    if price is not None:
        if not (isinstance(price, (int, float)) and 0 <= price < np.inf):
            raise InvalidOption(
                f"price: must be ≥ 0 and finite (money per data unit), got {price!r}"
            )
        if instance.practice is None:
            return only_offer(_at_price(instance, float(price), objective, fields))
        found = _at_price(offers.enveloped(instance), float(price), objective, fields)
        return only_offer(offers.carried_out(instance, found, None))
    if lowest > instance.levels:
        return no_such_share(instance, target, fields)
    plain = instance if instance.practice is None else offers.enveloped(instance)
    supply = supply_curve(plain)
    contact = np.zeros(supply.price.size)
    if instance.practice is not None:
        contact = offers.contacts_at(plain, instance.contact_cost, supply.price)
    spent = supply.price * supply.total + contact
    best = Candidates(supply.level, spent, supply.cost, contact).best(instance, objective, lowest)
    if best is None:
        return _nothing_reaches(instance, supply, lowest, target, fields)
    place = best[1]
    if supply.total[place] == 0:
        return Plan.null(instance, reason="no price is worth more than offering nothing", **fields)
    found = _at_price(plain, float(supply.price[place]), objective, fields)
    if instance.practice is not None:
        return offers.carried_out(instance, found, best[0])
    return found.replace(status=Status.OPTIMAL, bound=found.objective)


def only_offer(plan: Plan) -> Plan:
    """The plan of the only offer allowed: best among one, if it is within the budget."""
    assert plan.payment is not None
    assert plan.burden is not None
    over = spending(plan.instance, plan.burden, plan.payment) - plan.instance.budget
    if over > tolerances.REACH * plan.instance.budget:
        return plan.replace(
            status=Status.INFEASIBLE,
            burden=None,
            payment=None,
            objective=None,
            reason=f"this offer pays {over:g} more than the budget {plan.instance.budget:g} (A4)",
            shortfall={"constraint": "budget", "money": over},
        )
    return plan.replace(status=Status.OPTIMAL, bound=plan.objective)


def supply_curve(instance: Instance) -> PostedSupply:
    """X⁰ and its cost at price 0 and every distinct θ_i · slope (F: step functions of s)."""
    rate = (instance.cost[:, None] * instance.slopes).ravel()
    width = instance.widths.ravel()
    order = np.argsort(rate, kind="stable")
    rate, width = rate[order], width[order]
    total, cost = np.cumsum(width), np.cumsum(rate * width)
    last = np.append(rate[1:] > rate[:-1], True)
    price = np.append(0.0, rate[last])
    total = np.append(0.0, total[last])
    cost = np.append(0.0, cost[last])
    level = np.searchsorted(instance.thresholds, total, side="right")
    near = np.abs(total[:, None] - instance.thresholds) <= tolerances.DATA * instance.thresholds
    for place in np.flatnonzero(near.any(axis=1)):
        level[place] = _level_typed(instance, float(price[place]))
    return PostedSupply(price, total, cost, level)


def _level_at(instance: Instance, price: float, total: float) -> int:
    """Thresholds reached at a price; data as typed are read only where rounding could matter."""
    near = np.abs(total - instance.thresholds) <= tolerances.DATA * instance.thresholds
    if near.any():
        return _level_typed(instance, price)
    return int((instance.thresholds <= total).sum())


def _level_typed(instance: Instance, price: float) -> int:
    """Thresholds reached at a price, from the data as typed: 0.6 + 1.2 reaches 1.8."""
    from mechopt.problem.exact_data import typed

    taken = instance.cost[:, None] * instance.slopes <= price
    given = [width for row, mine in zip(typed(instance, "widths"), taken)
             for width, one in zip(row, mine) if one]  # fmt: skip
    total = sum(given, Fraction(0))
    return sum(total >= threshold for threshold in typed(instance, "thresholds"))


def floor_response(instance: Instance, price: float) -> FloatArray:
    """x_i⁰(s): every segment whose marginal cost is at most the price, data, shape (n,)."""
    taken = instance.cost[:, None] * instance.slopes <= price
    return np.where(taken, instance.widths, 0.0).sum(axis=1)


def _settled(burden: FloatArray, thresholds: FloatArray, level: int) -> FloatArray:
    """`burden` with its largest entry moved by ulps until the binary sum reaches just `level`."""
    if not burden.any():
        return burden
    place = int(np.argmax(burden))
    for k, threshold in enumerate(thresholds.tolist()):
        reached, towards = k < level, np.inf if k < level else -np.inf
        while ((over := arrays.exact_sum(burden, -threshold)) >= 0) is not reached:
            burden[place] = np.nextafter(burden[place] - over, towards)
    return burden


def _at_price(instance: Instance, price: float, objective: str, fields: dict[str, Any]) -> Plan:
    burden = floor_response(instance, price)
    level = _level_at(instance, price, arrays.exact_sum(burden))
    burden = _settled(burden, instance.thresholds, level)
    plan = Plan(
        instance=instance,
        status=Status.FEASIBLE,
        burden=arrays.freeze(burden),
        payment=arrays.freeze(price * burden),
        unconditional=True,
        details={"price": price, **equilibria(instance, price)},
        **fields,
    )
    share = instance.share_at(level)
    return plan.replace(objective=value_of(instance, objective, share, burden, price * burden))


def _nothing_reaches(
    instance: Instance,
    supply: PostedSupply,
    lowest: int,
    target: float | None,
    fields: dict[str, Any],
) -> Plan:
    need = float(instance.thresholds[lowest - 1])
    reaching = np.flatnonzero(supply.level >= lowest)
    if reaching.size == 0:
        short = need - float(supply.total[-1])
        reason = f"at any price users give at most {supply.total[-1]:g} of {need:g} data"
        return infeasible(
            instance, target, reason, {"constraint": "capacity", "data": short}, fields
        )
    first = int(reaching[0])
    spent = float(supply.price[first] * supply.total[first])
    reason = (
        f"the lowest price that reaches {need:g} is {supply.price[first]:g} and pays {spent:g}, "
        f"but the budget is {instance.budget:g}: short by {spent - instance.budget:g} (A4)"
    )
    shortfall = {"constraint": "budget", "payment": spent, "money": spent - instance.budget}
    return infeasible(instance, target, reason, shortfall, fields)


# -- equilibria of the game in which users count on the improvement --------------------------------


def equilibria(instance: Instance, price: float) -> dict[str, Any]:
    """Is the floor an equilibrium, and is there one that reaches more? (4.1, any K.)

    Beyond his floor, a unit costs user i more than the price pays: let e_i(d) be that excess for d
    more units, convex, e_i(0) = 0. The floor is an equilibrium iff nobody gains by bridging a gap
    alone: v_i (b_k − b_0) ≤ e_i(T_k − X⁰) for all k above. At X = T_k user i keeps extra d iff for
    every lower level m (0: the floor's) v_i (b_k − b_m) ≥ e_i(d) − e_i((d − (T_k − T_m))⁺) and for
    every higher one v_i (b_m − b_k) ≤ e_i(d + T_m − T_k) − e_i(d). Both sides are monotone in d,
    so the amounts he supports are an interval [low_i, high_i], and the level is an equilibrium iff
    Σ low ≤ T_k − X⁰ ≤ Σ high.
    """
    excess = _Excess(instance, price)
    floor = floor_response(instance, price)
    total = arrays.exact_sum(floor)
    base = int(np.searchsorted(instance.thresholds, total, side="right"))
    b = np.append(0.0, instance.shares)
    tempted = np.zeros(instance.n, dtype=bool)
    for k in range(base + 1, instance.levels + 1):
        gap = float(instance.thresholds[k - 1]) - total
        tempted |= (gap <= excess.room) & (instance.value * (b[k] - b[base]) > excess.at(gap))
    reached = base
    for k in range(instance.levels, base, -1):
        gap = float(instance.thresholds[k - 1]) - total
        if _supports(instance, excess, base, k, gap):
            reached = k
            break
    return {
        "floor_total": total,
        "floor_is_equilibrium": not tempted.any(),
        "tempted": int(tempted.sum()),
        "coordinated_level": reached,
        "coordinated_share": float(b[reached]),
    }


def _supports(instance: Instance, excess: _Excess, base: int, k: int, gap: float) -> bool:
    b = np.append(0.0, instance.shares)
    high = excess.room.copy()
    for m in range(base, k):
        drop = gap if m == base else float(instance.thresholds[k - 1] - instance.thresholds[m - 1])
        high = np.minimum(high, excess.longest(instance.value * (b[k] - b[m]), drop))
    if arrays.exact_sum(high) < gap * (1 - tolerances.REACH):
        return False
    low = np.zeros(instance.n)
    for m in range(k + 1, instance.levels + 1):
        rise = float(instance.thresholds[m - 1] - instance.thresholds[k - 1])
        low = np.maximum(low, excess.least(instance.value * (b[m] - b[k]), rise))
    return bool((low <= high).all()) and arrays.exact_sum(low) <= gap * (1 + tolerances.REACH)


class _Excess:
    """e_i(d): what d units beyond the floor cost user i above the price; piecewise linear."""

    def __init__(self, instance: Instance, price: float) -> None:
        rate = instance.cost[:, None] * instance.slopes - price
        beyond = rate > 0
        width = np.where(beyond, instance.widths, 0.0)
        self.rate = np.where(beyond, rate, 0.0)
        self.knots = np.concatenate([np.zeros((instance.n, 1)), np.cumsum(width, axis=1)], axis=1)
        self.room = self.knots[:, -1]

    def at(self, extra: FloatArray | float) -> FloatArray:
        """e_i(extra_i), money; `extra` of shape (n,) or a number."""
        start, end = self.knots[:, :-1], self.knots[:, 1:]
        d = np.broadcast_to(extra, self.room.shape)[:, None]
        return (self.rate * np.clip(d - start, 0.0, end - start)).sum(axis=1)

    def longest(self, money: FloatArray, drop: float) -> FloatArray:
        """The largest d with e(d) − e((d − drop)⁺) ≤ money (left side non-decreasing in d)."""
        return self._last(lambda d: self.at(d) - self.at(np.maximum(d - drop, 0.0)), money, drop)

    def least(self, money: FloatArray, rise: float) -> FloatArray:
        """The smallest d from which d + rise is beyond the capacity or costs at least `money`."""
        inside = self._last(lambda d: self.at(d + rise) - self.at(d), money, -rise, strict=True)
        return np.where(inside + rise >= self.room, np.maximum(self.room - rise, 0.0), inside)

    def _last(
        self, value: Any, money: FloatArray, shift: float, strict: bool = False
    ) -> FloatArray:
        """The end of {d : value(d) ≤ money} in [0, room]: scan the knots, interpolate in one."""
        ends = np.clip(np.concatenate([self.knots, self.knots + shift], axis=1), 0.0, None)
        ends = np.sort(np.minimum(ends, self.room[:, None]), axis=1)
        found = np.zeros(self.room.size)
        open_ = np.ones(self.room.size, dtype=bool)
        below = value(ends[:, 0])
        open_ &= (below < money) if strict else (below <= money)
        for column in range(1, ends.shape[1]):
            start, end = ends[:, column - 1], ends[:, column]
            above = value(end)
            within = open_ & ((above < money) if strict else (above <= money))
            crossing = open_ & ~within
            rise = np.where(above > below, above - below, 1.0)
            part = np.clip((money - below) / rise, 0.0, 1.0)
            found = np.where(crossing, start + part * (end - start), found)
            found = np.where(within, end, found)
            open_ = within
            below = above
        return found

"""Posted contract (docs: model, second reading of "floor"): q for giving at least f.

User i accepts, and gives exactly f, iff cap_i ≥ f and q ≥ C_i(f). Contracts searched: those that
split a threshold evenly, f = T_k / m for an integer m, with q the m-th lowest C_i(f). For payments
these contain an optimum: with m accepters, lowering f to T_k / m lowers every accepter's cost, and
if ties bring N > m accepters, N · C(T_k / N) ≤ m · C(T_k / m) because C is convex with C(0) = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.errors import InvalidOption, TooLarge
from mechopt.known.levels import Candidates, Wanted, infeasible, no_such_share
from mechopt.known.posted_price import only_offer
from mechopt.known.practice import contracts
from mechopt.problem.aims import check_options, objective_value, worthless
from mechopt.problem.instance import Instance
from mechopt.status import Status

_CONVEX_LIMIT = 5_000  # users with several cost segments: n² curve evaluations


@dataclass(frozen=True, eq=False)
class Contracts:
    """Candidate contracts, each column of shape (M,).

    :aim: level k whose threshold is split; parts : m; pay : q, money; accepters : N ≥ m;
    :level: level reached by N f; cost : Σ C_i(f) over the accepters, money
    """

    aim: IntArray
    parts: IntArray
    pay: FloatArray
    accepters: IntArray
    level: IntArray
    cost: FloatArray


def solve(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    target: float | None = None,
    floor: float | None = None,
    payment: float | None = None,
    seed: int = 0,
    time_limit: float | None = None,
) -> Plan:
    """The best even-split contract; with `floor` f (data) and `payment` q (money) that evaluated.

    Payments are made whether or not the threshold is reached. `details`: floor, payment, accepters.
    Where `time_limit` (seconds) left splits untried the status is FEASIBLE (or UNKNOWN) with the
    bound that holds for every offer. Raises TooLarge with several cost segments and more than 5,000
    users.
    """
    deadline = inf if time_limit is None else perf_counter() + time_limit
    lowest = check_options(instance, objective, target, 0.0)
    wanted = Wanted(mechanism="posted-contract", protocol="none", objective=objective, seed=seed)
    fields = wanted.fields(solver="enumeration")
    if (floor is None) != (payment is None):
        raise InvalidOption("floor and payment: give both, or neither for the best contract")
    if floor is not None and payment is not None:
        if not (0 < floor < np.inf and 0 <= payment < np.inf):
            raise InvalidOption(f"floor must be > 0 and payment ≥ 0, got {floor!r} and {payment!r}")
        if instance.practice is not None:
            return only_offer(contracts.given(instance, float(floor), float(payment), fields))
        able = instance.capacity >= floor * (1 - tolerances.REACH)
        return only_offer(_plan(instance, float(floor), float(payment), able, fields))
    if lowest > instance.levels:
        return no_such_share(instance, target, fields)
    if instance.practice is not None:
        return contracts.best(instance, objective, lowest, target, fields)
    room = Room(instance)
    found, complete = candidates(instance, room, lowest, deadline)
    offered = Candidates(found.level, found.pay * found.accepters, found.cost)
    best = offered.best(instance, objective, lowest)
    cut = {} if complete else _cut_short(instance, objective)
    if best is None:
        if cut:
            return Plan(instance=instance, **{**fields, **cut, "status": Status.UNKNOWN})
        return _nothing_reaches(instance, found, lowest, target, fields)
    amount, place = best
    if place < 0 or amount <= worthless(instance, objective):
        reason = "no contract is worth more than offering nothing"
        return Plan.null(instance, **{**fields, "reason": reason, **cut})
    threshold = float(instance.thresholds[found.aim[place] - 1])
    parts = int(found.parts[place])
    split = threshold / parts
    if arrays.exact_sum(np.full(parts, split), -threshold) < 0:  # rounded down: one ulp up
        split = float(np.nextafter(split, np.inf))
    able = room.able(int(found.aim[place]), parts)
    costs = instance.cost_of(np.full(instance.n, split))[able]
    pay = float(np.partition(costs, parts - 1)[parts - 1])
    plan = _plan(instance, split, pay, able, fields)
    if complete:
        return plan.replace(status=Status.OPTIMAL, bound=plan.objective)
    return plan.replace(**cut)


def _cut_short(instance: Instance, objective: str) -> dict[str, Any]:
    """Status, bound and reason where the time limit left splits untried: nothing is excluded."""
    highest = float(instance.shares[-1])
    bound = objective_value(instance, objective, highest, 0.0, 0.0)
    reason = "the time limit ended the search before every even split was tried"
    return {"status": Status.FEASIBLE, "bound": bound, "reason": reason}


class Room:
    """Who can give T_k / m; where floats cannot tell, the data as typed decide."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    @cached_property
    def _typed(self) -> tuple[list[Fraction], list[Fraction]]:
        from mechopt.problem.exact_data import typed

        widths = typed(self.instance, "widths")
        return typed(self.instance, "thresholds"), [sum(row, Fraction(0)) for row in widths]

    def can(self, user: int, k: int, m: int) -> bool:
        """Whether m such users reach T_k."""
        thresholds, capacity = self._typed
        return capacity[user] * m >= thresholds[k - 1]

    def able(self, k: int, m: int) -> BoolArray:
        """Who can give T_k / m, shape (n,)."""
        capacity, floor = self.instance.capacity, float(self.instance.thresholds[k - 1]) / m
        able = capacity >= floor
        for user in np.flatnonzero(np.abs(capacity - floor) <= tolerances.REACH * floor).tolist():
            able[user] = self.can(user, k, m)
        return able

    def enters(self, k: int) -> FloatArray:
        """The least m from which each user can give T_k / m, shape (n,); inf if he has nothing."""
        with np.errstate(divide="ignore"):
            ratio = float(self.instance.thresholds[k - 1]) / self.instance.capacity
        enters, nearest = np.ceil(ratio), np.round(ratio)
        with np.errstate(invalid="ignore"):
            near = np.abs(ratio - nearest) <= tolerances.REACH * ratio
        for user in np.flatnonzero(near & (nearest >= 1) & (nearest <= self.instance.n)).tolist():
            enters[user] = nearest[user] + (not self.can(user, k, int(nearest[user])))
        return enters


def _plan(
    instance: Instance,
    floor: float,
    pay: float,
    able: BoolArray,
    fields: dict[str, Any],
) -> Plan:
    cost = instance.cost_of(np.full(instance.n, floor))
    accepts = able & (cost <= pay)
    burden: FloatArray = np.where(accepts, floor, 0.0)
    level = sum(arrays.exact_sum(burden, -threshold) >= 0 for threshold in instance.thresholds)
    return contracts.accepted(instance, {"floor": floor, "payment": pay}, burden, level, fields)


def _nothing_reaches(
    instance: Instance,
    found: Contracts,
    lowest: int,
    target: float | None,
    fields: dict[str, Any],
) -> Plan:
    need = float(instance.thresholds[max(lowest, 1) - 1])
    spent = found.pay * found.accepters
    reaching = found.level >= max(lowest, 1)
    if reaching.any():
        return contracts.none_within_budget(instance, spent[reaching], need, target, fields)
    reason = f"no even split of {need:g} is within enough users' capacity (A2)"
    return infeasible(instance, target, reason, {"constraint": "capacity"}, fields)


def candidates(
    instance: Instance, room: Room, lowest: int, deadline: float
) -> tuple[Contracts, bool]:
    """The even-split contracts with enough users able to give f, and whether these are all.

    For every m and level, the levels from `lowest` (1-based) on first, until the deadline (of
    `perf_counter`) is or would be passed.
    """
    parts: list[Split] = []
    longest = 0.0
    first = max(lowest, 1)
    levels = [*range(first, instance.levels + 1), *range(first - 1, 0, -1)]
    for k in levels:
        began = perf_counter()
        if parts and began + longest > deadline:
            break
        if instance.linear:
            parts.append(_linear_splits(instance, k, room))
        else:
            parts.append(_convex_splits(instance, k, room, deadline))
        longest = max(longest, perf_counter() - began)
    complete = len(parts) == len(levels) and (instance.linear or perf_counter() < deadline)
    columns = [np.concatenate(column) for column in zip(*parts)]
    aim, m, pay, accepters, cost = columns
    total = accepters * instance.thresholds[aim - 1] / m
    level = np.searchsorted(instance.thresholds * (1 - tolerances.REACH), total, side="right")
    return Contracts(aim, m, pay, accepters, np.maximum(level, aim), cost), complete


Split = tuple[IntArray, IntArray, FloatArray, IntArray, FloatArray]


def _convex_splits(instance: Instance, k: int, room: Room, deadline: float) -> Split:
    """Every m by evaluating all curves at T_k / m, n² evaluations; until the deadline."""
    if instance.n > _CONVEX_LIMIT:
        raise TooLarge(
            f"posted-contract with convex segments compares all {instance.n:,} users for each "
            f"split; the limit is {_CONVEX_LIMIT:,} users. Use one segment, or posted-price"
        )
    rows: list[tuple[int, float, int, float]] = []
    for m in range(1, instance.n + 1):
        if perf_counter() > deadline:
            break
        floor = float(instance.thresholds[k - 1]) / m
        costs = instance.cost_of(np.full(instance.n, floor))[room.able(k, m)]
        if costs.size < m:
            continue
        pay = float(np.partition(costs, m - 1)[m - 1])
        accepted = costs[costs <= pay]
        rows.append((m, pay, accepted.size, float(accepted.sum())))
    m_, pay_, accepters, cost = zip(*rows) if rows else ((), (), (), ())
    return (
        np.full(len(rows), k),
        np.array(m_, dtype=np.int64),
        np.array(pay_, dtype=np.float64),
        np.array(accepters, dtype=np.int64),
        np.array(cost, dtype=np.float64),
    )


def _linear_splits(instance: Instance, k: int, room: Room) -> Split:
    """Linear costs: the m-th lowest θ among users with cap ≥ T_k / m, for all m at once.

    Users enter as m grows (T_k / m falls), so this asks for order statistics of prefixes: a
    wavelet matrix over the cost ranks answers all of them in log₂ n array steps.
    """
    threshold = float(instance.thresholds[k - 1])
    rate = instance.cost * instance.slopes[:, 0]
    enters = room.enters(k)
    able = np.flatnonzero(enters <= instance.n)
    able = able[np.argsort(enters[able], kind="stable")]
    by_rate = np.argsort(rate[able], kind="stable")
    rank = np.empty(able.size, dtype=np.int64)
    rank[by_rate] = np.arange(able.size)
    ordered = rate[able][by_rate]
    m = np.arange(1, instance.n + 1)
    prefix = np.searchsorted(enters[able], m, side="right")
    m, prefix = m[prefix >= m], prefix[prefix >= m]
    wavelet = _Wavelet(rank, ordered)
    place, below = wavelet.smallest(prefix, m)
    marginal = ordered[place] if m.size else np.zeros(0)
    ties = np.searchsorted(ordered, marginal, side="right")
    accepters = wavelet.count_below(prefix, ties)
    floor = threshold / m
    return (
        np.full(m.size, k),
        m,
        marginal * floor,
        accepters,
        (below + (accepters - m + 1) * marginal) * floor,
    )


class _Wavelet:
    """Order statistics of prefixes of a permutation (wavelet matrix, Claude & Navarro 2012)."""

    def __init__(self, rank: IntArray, weight_of_rank: FloatArray) -> None:
        self.bits = max(1, int(rank.size).bit_length())
        self.zeros: list[IntArray] = []  # per bit, zeros before each position, shape (n + 1,)
        self.weights: list[FloatArray] = []  # per bit, their weights
        current = rank
        for bit in range(self.bits - 1, -1, -1):
            zero = (current >> bit) & 1 == 0
            self.zeros.append(np.append(0, np.cumsum(zero)))
            held = np.where(zero, weight_of_rank[current], 0.0)
            self.weights.append(np.append(0.0, np.cumsum(held)))
            current = np.concatenate([current[zero], current[~zero]])

    def smallest(self, prefix: IntArray, m: IntArray) -> tuple[IntArray, FloatArray]:
        """The m-th smallest rank (1-based) in each prefix, and the weight of those below it."""
        start, end = np.zeros_like(prefix), prefix.copy()
        left, found = m - 1, np.zeros_like(m)
        below = np.zeros(m.size)
        for position, bit in enumerate(range(self.bits - 1, -1, -1)):
            zeros, weights = self.zeros[position], self.weights[position]
            low, high = zeros[start], zeros[end]
            right = left >= high - low
            below += np.where(right, weights[end] - weights[start], 0.0)
            left = np.where(right, left - (high - low), left)
            found |= np.where(right, 1 << bit, 0)
            start = np.where(right, zeros[-1] + start - low, low)
            end = np.where(right, zeros[-1] + end - high, high)
        return found, below

    def count_below(self, prefix: IntArray, rank: IntArray) -> IntArray:
        """How many entries of each prefix are < rank."""
        start, end = np.zeros_like(prefix), prefix.copy()
        count = np.zeros_like(prefix)
        for position, bit in enumerate(range(self.bits - 1, -1, -1)):
            zeros = self.zeros[position]
            low, high = zeros[start], zeros[end]
            right = (rank >> bit) & 1 == 1
            count += np.where(right, high - low, 0)
            start = np.where(right, zeros[-1] + start - low, low)
            end = np.where(right, zeros[-1] + end - high, high)
        return count

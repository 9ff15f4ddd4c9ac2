"""Exact allocation by selection: reach an amount of data at least payment, cost or both.

The one-level problem of the model (fact F7) is a separable convex resource allocation.
Every user's curve is cut into *pieces* on which a unit of data has a constant marginal cost and a
constant marginal payment need, both non-decreasing along the curve; so taking pieces in order of
the objective's key and cutting the last one is optimal. With a budget on payments the key is
cost + λ · payment, and at the right λ two such allocations are mixed to spend the budget exactly.
No sorting: the cut is found by selection, in linear time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isqrt

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray, exact_sum, settle
from mechopt.problem.instance import Instance


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of all users' curves, shape (S,): owner, length (data), cost and pay (money/data).

    :free: if not 0, the pieces are whole rounds through all users in order, and so many of the
        first ones have pay 0
    """

    user: IntArray
    length: FloatArray
    cost: FloatArray
    pay: FloatArray
    free: int = field(default=0, kw_only=True)


@dataclass(frozen=True, eq=False)
class Allocation:
    """An optimal burden vector (n,) data, its Lagrangian lower bound and its prices.

    :value: the minimised quantity (payments or cost, money); bound ≤ value by LP duality
    :data_price: money per data unit at the cut; budget_price : λ, cost saved per unit of budget
    """

    burden: FloatArray
    value: float
    bound: float
    data_price: float
    budget_price: float


def user_pieces(
    instance: Instance,
    gain: FloatArray,
    unsecured: FloatArray,
    *,
    transfers: bool = True,
    widths: FloatArray | None = None,
) -> Pieces:
    """Cut every user's cost curve where the payment need changes its slope.

    :gain: w_i = v_i b_k, money, what user i gets from the level (A3: t_i ≥ C_i − w_i), shape (n,)
    :unsecured: φ_i ∈ [0, 1], the share of C_i that must be paid in any case, shape (n,): 0 for a
        pivotal user, ρ_i for one whose leaving changes nothing (A5), 1 for full compensation (4.2)

    The need max(0, C − w, φ C) has slope φ · C' while C ≤ w / (1 − φ) and C' after that. Without
    transfers only what needs no payment is offered. widths (n, J) instead of the instance's, if
    given.
    """
    widths = instance.widths if widths is None else widths
    n, segments = widths.shape
    secure = not unsecured.any()
    left = gain  # money, what may still be spent without payment
    if not secure:
        with np.errstate(divide="ignore", invalid="ignore"):
            left = np.where(unsecured >= 1, inf, gain / (1 - unsecured))
    # Memory is what this takes time for: every block of n is written once, in place.
    blocks = 2 * segments if transfers else segments
    length, cost, pay = np.empty((blocks, n)), np.empty((blocks, n)), np.zeros((blocks, n))
    for j in range(segments):
        width = widths[:, j]
        early, rate = length[j], cost[j]
        np.multiply(instance.cost, instance.slopes[:, j], out=rate)
        with np.errstate(divide="ignore", invalid="ignore"):
            np.divide(left, rate, out=early)  # ∞ or NaN where data cost nothing: all of it
        np.fmin(early, width, out=early)
        if not secure:
            np.multiply(unsecured, rate, out=pay[j])
        if transfers:
            np.subtract(width, early, out=length[segments + j])
            cost[segments + j] = pay[segments + j] = rate
        elif not secure:
            early[(unsecured > 0) & (rate > 0)] = 0.0
        if j + 1 < segments:
            left = np.maximum(left - rate * width, 0.0)
    user = np.tile(np.arange(n), blocks)
    free = segments * n if secure else 0
    return Pieces(user, length.reshape(-1), cost.reshape(-1), pay.reshape(-1), free=free)


def reachable(pieces: Pieces) -> float:
    """The most data the pieces can give, correctly rounded."""
    return exact_sum(pieces.length)


def can_reach(pieces: Pieces, amount: float) -> bool:
    """Whether the pieces reach `amount`, up to the rounding of their own lengths."""
    return shortage(pieces, amount) <= tolerances.rounding(pieces.user.size) * amount


def shortage(pieces: Pieces, amount: float) -> float:
    """Data by which all pieces together miss `amount`, correctly rounded; 0 if they do not."""
    plain = float(pieces.length.sum())
    if plain - amount > tolerances.DATA * amount:  # far beyond the rounding of the sum
        return 0.0
    return max(0.0, -exact_sum(pieces.length, -amount))


def cheapest(pieces: Pieces, amount: float, upper: FloatArray, *, first: str) -> Allocation:
    """Reach `amount` at least total `first` ("pay" or "cost"), ties by the other, then by position.

    `upper` (n,) is what each user can give at most. Needs `can_reach`.
    """
    keys = (pieces.pay, pieces.cost) if first == "pay" else (pieces.cost, pieces.pay)
    free = pieces.free if first == "pay" else 0
    taken = _take(pieces.length, keys, amount, free)
    part = np.flatnonzero((taken > 0) & (taken < pieces.length))
    cut = int(pieces.user[part[0]]) if part.size else None
    burden = settle(_per_user(pieces, taken, upper), upper, amount, cut)
    key, length, used = keys[0][free:], pieces.length[free:], taken[free:]
    value = _dot(key, used)
    price = float(np.max(key, where=used > 0, initial=0.0))
    rest = amount - float(pieces.length[:free].sum())  # priced like the others, free ones cost 0
    bound = min(value, _dual_value(length, key, rest, price))
    return Allocation(burden, value, bound, price, 0.0)


def cheapest_within_budget(
    pieces: Pieces, amount: float, upper: FloatArray, budget: float
) -> Allocation | None:
    """Reach `amount` at least social cost with payments ≤ budget; None if the budget is too small.

    Lagrangian on the budget, solved exactly by intersecting the two current supporting lines
    (each step one selection); at the end the two allocations that meet there are mixed.
    """
    cost, pay, length = pieces.cost, pieces.pay, pieces.length
    over = _take(length, (cost, pay), amount)
    if _dot(pay, over) <= budget * (1 + tolerances.REACH):
        return cheapest(pieces, amount, upper, first="cost")
    under = _take(length, (pay, cost), amount)
    if _dot(pay, under) > budget * (1 + tolerances.REACH):
        return None
    price = 0.0
    for _ in range(_MOST_STEPS):
        spread = _dot(pay, over) - _dot(pay, under)
        if spread <= 0:
            break
        price = float((_dot(cost, under) - _dot(cost, over)) / spread)
        key = cost + price * pay
        taken = _take(length, (key, pay), amount)
        line = _dot(key, over)
        if _dot(key, taken) >= line - tolerances.ULPS * abs(line):
            break
        if _dot(pay, taken) > budget:
            over = taken
        else:
            under = taken
    spend_over, spend_under = _dot(pay, over), _dot(pay, under)
    weight = (
        min(1.0, (budget - spend_under) / (spend_over - spend_under))
        if spend_over > spend_under
        else 0.0
    )
    taken = weight * over + (1 - weight) * under
    burden = settle(_per_user(pieces, taken, upper), upper, amount)
    value = _dot(cost, taken)
    key = cost + price * pay
    data_price = float(key[taken > 0].max(initial=0.0))
    bound = _dual_value(length, key, amount, data_price) - price * budget
    return Allocation(burden, value, min(value, bound), data_price, price)


_MOST_STEPS = 200  # supporting lines; a handful are needed


def _take(
    length: FloatArray, keys: Sequence[FloatArray], amount: float, free: int = 0
) -> FloatArray:
    """How much of each piece is taken: by keys lexicographically, then by position.

    :free: so many of the first pieces come before all others; see `Pieces`
    """
    taken = np.zeros(length.size)
    if amount <= 0 or length.size == 0:
        return taken
    first = float(length[:free].sum())
    dust = tolerances.rounding(length.size) * amount
    if free and first <= amount:
        taken[:free] = length[:free]
        _fill(taken[free:], length[free:], [key[free:] for key in keys], amount - first, dust)
    else:
        _fill(taken, length, keys, amount, dust)
    return taken


def _fill(
    taken: FloatArray,
    length: FloatArray,
    keys: Sequence[FloatArray],
    amount: float,
    dust: float,
) -> None:
    """`_take` into an array of zeros.

    What is left at the end and is but rounding (`dust`, data) is nobody's: the next piece may be
    any number of times dearer, and whether it is needed would be luck.
    """
    if amount <= dust or length.size == 0:
        return
    cut = _cut(keys[0], length, amount)
    np.multiply(length, keys[0] < cut, out=taken)
    left = amount - float(taken.sum())
    chosen = np.flatnonzero(keys[0] == cut)
    for key in keys[1:]:
        if left <= dust or chosen.size <= 1:
            break
        values, offered = key[chosen], length[chosen]
        cut = _cut(values, offered, left)
        low = values < cut
        taken[chosen[low]] = offered[low]
        left -= float(offered[low].sum())
        chosen = chosen[values == cut]
    if left > dust and chosen.size:
        reach = np.cumsum(length[chosen])
        taken[chosen] = np.clip(left - (reach - length[chosen]), 0.0, length[chosen])


def _cut(key: FloatArray, weight: FloatArray, amount: float) -> float:
    """The smallest key λ with Σ_{key ≤ λ} weight ≥ amount (the largest key if none): selection.

    Each round keeps the keys between two pivots around the place where a sample puts the cut
    (Floyd and Rivest 1975); where a sample misleads, the next round halves them at the median.
    """
    top = float(key.max())
    halved = True
    while key.size > _SAMPLE:
        size = key.size
        if halved:
            low, high = _bracket(key, weight, amount)
        else:
            low = high = float(np.partition(key, size // 2)[size // 2])
        under = key < low
        within = np.flatnonzero(~under & (key <= high))
        below, middle = float((weight * under).sum()), float(weight[within].sum())
        if below >= amount:
            key, weight = key[under], weight[under]
        elif below + middle >= amount:
            if low == high:
                return low
            key, weight, amount = key[within], weight[within], amount - below
        else:
            over = key > high
            key, weight, amount = key[over], weight[over], amount - below - middle
        if key.size == 0:
            return top
        halved = key.size <= size // 2
    order = np.argsort(key, kind="stable")
    place = int(np.searchsorted(np.cumsum(weight[order]), amount, side="left"))
    return float(key[order[place]]) if place < key.size else top


_SAMPLE = 2000  # so few are sorted


def _bracket(key: FloatArray, weight: FloatArray, amount: float) -> tuple[float, float]:
    """Two keys between which the cut probably lies, judged by every so many-th key."""
    step = key.size // _SAMPLE
    sample, weights = key[::step], weight[::step]
    order = np.argsort(sample)
    reach = np.cumsum(weights[order])
    place = int(np.searchsorted(reach, amount / float(weight.sum()) * reach[-1]))
    spread = 2 * isqrt(sample.size)  # four standard deviations of a sample median's place
    low = sample[order[place - spread]] if place >= spread else -inf
    high = sample[order[place + spread]] if place + spread < sample.size else inf
    return float(low), float(high)


def _dot(a: FloatArray, b: FloatArray) -> float:
    """Σ a b. Pairwise, and without BLAS, whose threads wait for each other on a busy machine."""
    return float((a * b).sum())


def _dual_value(length: FloatArray, key: FloatArray, amount: float, price: float) -> float:
    """price · amount − Σ (price − key)⁺ length ≤ Σ key · taken, for any price ≥ 0."""
    gain = price - key
    np.maximum(gain, 0.0, out=gain)
    gain *= length
    return float(price * amount - gain.sum())


def _per_user(pieces: Pieces, taken: FloatArray, upper: FloatArray) -> FloatArray:
    if pieces.free:
        burden = taken.reshape(-1, upper.size).sum(axis=0)
    else:
        burden = np.bincount(pieces.user, weights=taken, minlength=upper.size)
        burden = burden.astype(np.float64, copy=False)  # of no pieces, bincount makes integers
    return np.minimum(burden, upper, out=burden)

"""What no safe plan can do without: lower bounds on payments and social cost.

Let Y = Σ x_i − L be the data that are left. P(Y ≥ T) ≥ 1 − α with α < 1/2 implies

    T ≤ E Y + √(α / (1 − α)) sd Y                                        (Cantelli)        (R1)

and sd Y ≤ q / (2 s) + s / 2 for every s > 0 and q = Σ h_i (1 − h_i) δ_i² cap_i x_i ≥ Var Y: a
linear row.

With many users the loss is nearly normal. For users whose loss is at most τ, with variance s² and
Lyapunov ratio at most τ / s, P(L > r) ≥ Φ((E L − r) / s) − C τ / s (Berry–Esseen, C of Shevtsova
2013); the others' losses only add to it. So at least a mean M must be left in the calm state,

    Σ_i (1 − h_i δ_i [δ_i cap_i ≤ τ]) x_i ≥ M,   Σ_states π P_low(L > r) ≤ α at M           (R3)

where s is the least that any plan of so much data can have, and M is found by bisection.

What holds users is bounded by R2 (`relied`), and plans with a total near that of a plan at hand by
R4 (`nearby`). Of R2 there is a weaker form without weights: with d_i = E[B | i stays] −
E[B | i leaves], Bessel says of the coefficients of B(X) on single users

    Σ_i h_i (1 − h_i) d_i² ≤ Var B(X) ≤ (b_k √(α (1 − α)) + (b_top − b_k) / 2)²            (R5)

so with λ ≥ 0 and π_i = d_i / b_top user i is held by at most the maximum over π of
v_i b_top π − λ h_i (1 − h_i) π².
With a common shock R1 is written for the state whose probability must be high.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import erfc, sqrt
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray
from mechopt.known import allocation
from mechopt.known.safety import nearby
from mechopt.known.safety.aim import CONFIDENT, SafeAim
from mechopt.known.safety.nearby import reference
from mechopt.known.safety.relied import SCALES, Relied, free, relied

_MULTIPLIERS = 24
_TURNS = 20
_STEEP = 3.0  # of a step, in logarithms
Row = tuple[FloatArray, float]
_SMALL = (1.0, 0.99, 0.9, 0.6)  # shares of the users who count as small
_BERRY_ESSEEN = 0.5583


def least(
    aim: SafeAim,
    quantity: str,
    spread: float,
    burden: FloatArray | None = None,
    deadline: float = np.inf,
) -> float:
    """No safe plan has less of `quantity` ("pay" or "cost"), money; inf if there is none.

    :spread: s, the standard deviation of what is lost in a good plan, data
    :burden: of a good plan, (n,), near which more is known
    """
    everybody = np.ones(aim.instance.n)
    rows = [_data_row(aim, spread), (everybody, aim.threshold), *_tail_rows(aim)]
    best = max(_selected(free(aim), 0.0, quantity, row)[0] for row in rows)
    if best == np.inf:
        return best
    # what holds nobody shows which row is the strongest, where all is free with everybody held
    nobody = replace(free(aim), least=np.zeros(aim.instance.n))
    row = max(rows, key=lambda one: _selected(nobody, 0.0, quantity, one)[0])
    best = max(best, _spread_held(aim, quantity, row), _best(aim, quantity, row, deadline).value)
    near = None if burden is None else reference(aim, burden)
    if near is None:
        return best
    found = _best(aim, quantity, (everybody, near.total(near.top)), deadline)
    start = found.price, found.charge
    below = nearby.least(near, quantity, found.curves, start, deadline)
    return max(best, min(found.value, below))


def least_total(aim: SafeAim, spread: float) -> float:
    """No safe plan asks for less data in all."""
    rows = [_data_row(aim, spread), *_tail_rows(aim)]
    return max(aim.threshold, *(amount / float(weights.max()) for weights, amount in rows))


def _spread_held(aim: SafeAim, quantity: str, row: Row) -> float:
    """The best bound from R5, which many users need no search for."""
    ceiling, squares = _pivotal_row(aim)
    largest = float(np.max(aim.gain / np.maximum(2 * squares, tolerances.TINY), initial=0.0))
    best = 0.0
    if quantity == "cost" or not aim.rights or aim.order is not None:
        return best
    if ceiling < np.inf and largest > 0:
        for multiplier in (largest * np.logspace(-6, 1, _MULTIPLIERS)).tolist():
            held = replace(free(aim), least=_held_at_most(aim, multiplier, squares))
            value, _, _ = _selected(held, 0.0, quantity, row)
            best = max(best, value - multiplier * ceiling)
    return best


@dataclass(frozen=True, eq=False)
class _Bound:
    """A lower bound in money, its price of data, and R2 with its multiplier."""

    value: float
    price: float
    curves: Relied
    charge: float


def _best(aim: SafeAim, quantity: str, row: Row, deadline: float) -> _Bound:
    """The best bound from Σ weights_i x_i ≥ amount and R2.

    Its weights are raised where users rely on more than they decide, and lowered where on less.
    """
    value, price, _ = _selected(free(aim), 0.0, quantity, row)
    best = _Bound(value, price, free(aim), 0.0)
    if quantity == "cost" or not aim.rights or aim.order is not None or value == np.inf:
        return best
    states = [chance for chance, _ in aim.hazards.states]
    for scales in SCALES if len(states) > 1 and min(states) > 0 else SCALES[:1]:
        weight = aim.instance.value * aim.most_share * (1 - aim.instance.exclusion)
        step, before = np.ones(aim.instance.n), np.zeros(aim.instance.n)
        for turn in range(_TURNS):
            curves = relied(aim, weight, scales)
            if curves is None or (turn > 0 and perf_counter() > deadline):
                break
            value, price, burden = _selected(curves, 1.0, quantity, row)
            if value > best.value:
                best = _Bound(value, price, curves, 1.0)
            way = np.where(curves.leant(1.0, burden) > curves.decides, 1.0, -1.0)
            step *= np.where(way * before < 0, 0.5, np.where(way * before > 0, 1.2, 1.0))
            before = way
            weight = np.minimum(weight * np.exp(np.minimum(step, _STEEP) * way), curves.more)
    return best


def _selected(
    curves: Relied, charge: float, quantity: str, row: Row
) -> tuple[float, float, FloatArray]:
    """(least Σ of the curves with Σ weights_i x_i ≥ amount, inf if out of reach; price; x)."""
    weights, amount = row
    pieces = curves.pieces(charge)
    weight = weights[pieces.user]
    useful = weight > 0
    pieces = replace(
        pieces,
        user=pieces.user[useful],
        length=(pieces.length * weight)[useful],
        cost=pieces.cost[useful] / weight[useful],
        pay=pieces.pay[useful] / weight[useful],
    )
    if not allocation.can_reach(pieces, amount):
        return np.inf, 0.0, 0 * weights
    upper = curves.aim.instance.capacity * weights
    found = allocation.cheapest(pieces, amount, upper, first=quantity)
    return (
        max(0.0, found.bound - charge * curves.ceiling),
        found.data_price,
        found.burden / np.where(weights > 0, weights, 1),
    )


def _data_row(aim: SafeAim, spread: float) -> tuple[FloatArray, float]:
    """R1 as Σ weights_i x_i ≥ amount."""
    instance, delta = aim.instance, aim.instance.removable
    alpha = 1 - aim.confidence + CONFIDENT
    hazard = aim.hazards.states[0][1]
    if len(aim.hazards.states) > 1:
        chance, hit = aim.hazards.states[1]
        # each state fails with probability at most α / (its probability); both bind, the worse
        # one that is still below 1/2 is taken
        calm = aim.hazards.states[0][0]
        if chance > 0 and alpha / chance < 0.5 and (hit >= hazard).all():
            alpha, hazard = alpha / chance, hit
        elif calm > 0:
            alpha = min(alpha / calm, 1.0)
    if alpha >= 0.5 or spread <= 0:
        return np.ones(instance.n), aim.threshold
    k = sqrt(alpha / (1 - alpha))
    room = hazard * (1 - hazard) * delta**2 * instance.capacity
    weights = 1 - hazard * delta + k * room / (2 * spread)
    return weights, aim.threshold - k * spread / 2


def _tail_rows(aim: SafeAim) -> list[tuple[FloatArray, float]]:
    """R3 as Σ weights_i x_i ≥ amount, for some τ."""
    removable = aim.instance.removable * aim.instance.capacity
    alpha = 1 - aim.confidence + CONFIDENT
    found = []
    for share in _SMALL:
        limit = float(np.quantile(removable, share))
        small = removable <= limit
        states = [(chance, np.where(small, hazard, 0.0)) for chance, hazard in aim.hazards.states]
        weights = 1 - states[0][1] * aim.instance.removable
        least = [_least_spread(aim, small, hazard) for _, hazard in states]
        if limit > 0 and min(least) > 0:
            amount = _least_mean(aim, states, weights, least, limit, alpha)
            if amount > aim.threshold:
                found.append((weights, amount))
    return found


def _least_spread(aim: SafeAim, small: BoolArray, hazard: FloatArray) -> float:
    """The least standard deviation of what `small` users lose, if all give what is needed, data."""
    instance = aim.instance
    square = (hazard * (1 - hazard) * instance.removable**2)[small]
    cap = instance.capacity[small]
    needed = aim.threshold - float(instance.capacity[~small].sum())
    if needed <= 0 or not (square > 0).any():
        return 0.0
    free = square <= 0  # they give all they have
    low, high = 0.0, float((cap * square).max())
    for _ in range(60):  # x = min(cap, μ / square)
        level = (low + high) / 2
        given = np.where(free, cap, np.minimum(cap, level / np.where(free, 1, square)))
        low, high = (level, high) if float(given.sum()) < needed else (low, level)
    given = np.where(free, cap, np.minimum(cap, low / np.where(free, 1, square)))
    return sqrt(float((square * given * given).sum()))


def _least_mean(
    aim: SafeAim,
    states: list[tuple[float, FloatArray]],
    weights: FloatArray,
    least: list[float],
    limit: float,
    alpha: float,
) -> float:
    """M: the least mean left in the calm state with which P(X < T) can be at most α, data."""
    ratios = [float(((1 - h * aim.instance.removable) / weights).max()) for _, h in states]

    def fails(mean: float) -> float:
        chance = 0.0
        for (prior, _), ratio, spread in zip(states, ratios, least):
            beyond = max(ratio * mean - aim.threshold, 0.0) / spread
            chance += prior * max(0.5 * erfc(beyond / sqrt(2)) - _BERRY_ESSEEN * limit / spread, 0)
        return chance

    low, high = aim.threshold, 2 * aim.threshold
    if fails(low) <= alpha:
        return low
    for _ in range(60):
        mean = (low + high) / 2
        low, high = (low, mean) if fails(mean) <= alpha else (mean, high)
    return low


def _pivotal_row(aim: SafeAim) -> tuple[float, FloatArray]:
    """R5 as Σ squares_i π_i² ≤ ceiling; the ceiling is inf if it says nothing."""
    alpha = 1 - aim.confidence + CONFIDENT
    kept = np.maximum(1 - aim.hazards.mean, tolerances.TINY)
    squares = np.full(aim.instance.n, np.inf)
    ceiling = 0.0
    sure = aim.instance.share_at(aim.level) / aim.most_share
    for chance, hazard in aim.hazards.states:
        if chance == 0:
            continue
        fails = min(alpha / chance, 0.5)
        ceiling += chance * (sure * sqrt(fails * (1 - fails)) + (1 - sure) / 2) ** 2
        # given that i is not lost, the state has probability chance (1 − h_i) / kept_i
        squares = np.minimum(squares, hazard * kept)
    return (ceiling, squares) if (squares > 0).any() else (np.inf, squares)


def _held_at_most(aim: SafeAim, multiplier: float, squares: FloatArray) -> FloatArray:
    """max over 0 ≤ π ≤ 1 of v b_top (η + (1 − η) π) − λ squares π², at most v b_k, money, (n,)."""
    most = aim.instance.value * aim.most_share
    excluded = aim.instance.exclusion * most
    pivotal = most - excluded
    curve = multiplier * squares
    with np.errstate(divide="ignore"):
        peak = np.minimum(np.where(curve > 0, pivotal / (2 * np.where(curve > 0, curve, 1)), 1), 1)
    return np.minimum(excluded + pivotal * peak - curve * peak * peak, aim.gain)

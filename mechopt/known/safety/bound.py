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

B(X) is a function of independent events. Its coefficients on single users are √(h_i (1 − h_i))
times d_i = E[B | i stays] − E[B | i leaves], so by Bessel

    Σ_i h_i (1 − h_i) d_i² ≤ Var B(X) ≤ (b_k √(α (1 − α)) + (b_top − b_k) / 2)²            (R2)

as T_1 … T_k are each reached with probability at least 1 − α. Not everybody can be pivotal: with
λ ≥ 0 on R2 and π_i = d_i / b_top, user i is held by at most the maximum over π of
v_i b_top π − λ h_i (1 − h_i) π². What remains is a selection problem; every λ and s give a bound.
In sequence others may follow a leaver, and R2 says nothing.
With a common shock R1 is written for the state whose probability must be high, and R2 for each.
"""

from __future__ import annotations

from dataclasses import replace
from math import erfc, sqrt

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray
from mechopt.known import allocation
from mechopt.known.safety.task import CONFIDENT, Task

_MULTIPLIERS = 24
_SMALL = (1.0, 0.99, 0.9, 0.6)  # shares of the users who count as small
_BERRY_ESSEEN = 0.5583


def least(task: Task, quantity: str, spread: float) -> float:
    """No safe plan has less of `quantity` ("pay" or "cost"), money; inf if there is none.

    :spread: s, the standard deviation of what is lost in a good plan, data
    """
    rows = [_data_row(task, spread), (np.ones(task.instance.n), task.threshold), *_tail_rows(task)]
    # what holds nobody shows which row is the strongest, where all is free with everybody held
    nobody = np.zeros(task.instance.n)
    values = [_selected(task, task.gain, quantity, *row) for row in rows]
    best = max(values)
    if quantity == "cost" or best == np.inf:
        return best
    if best <= 0:
        values = [_selected(task, nobody, quantity, *row) for row in rows]
    weights, amount = rows[int(np.argmax(values))]
    ceiling, squares = _pivotal_row(task)
    largest = float(np.max(task.gain / np.maximum(2 * squares, tolerances.TINY), initial=0.0))
    tried: list[float] = []
    if task.rights and task.order is None and ceiling < np.inf and largest > 0:
        tried = (largest * np.logspace(-6, 1, _MULTIPLIERS)).tolist()
    for multiplier in tried:
        held = _held_at_most(task, multiplier, squares)
        value = _selected(task, held, quantity, weights, amount)
        best = max(best, value - multiplier * ceiling)
    return best


def _selected(
    task: Task, held: FloatArray, quantity: str, weights: FloatArray, amount: float
) -> float:
    """Least Σ of the curves with Σ weights_i x_i ≥ amount; inf if that is out of reach."""
    pieces = task.pieces(held)
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
        return np.inf
    upper = task.instance.capacity * weights
    return max(0.0, allocation.cheapest(pieces, amount, upper, first=quantity).bound)


def _data_row(task: Task, spread: float) -> tuple[FloatArray, float]:
    """R1 as Σ weights_i x_i ≥ amount."""
    instance, delta = task.instance, task.instance.removable
    alpha = 1 - task.confidence + CONFIDENT
    hazard = task.hazards.states[0][1]
    if len(task.hazards.states) > 1:
        chance, hit = task.hazards.states[1]
        # each state fails with probability at most α / (its probability); both bind, the worse
        # one that is still below 1/2 is taken
        calm = task.hazards.states[0][0]
        if chance > 0 and alpha / chance < 0.5 and (hit >= hazard).all():
            alpha, hazard = alpha / chance, hit
        elif calm > 0:
            alpha = min(alpha / calm, 1.0)
    if alpha >= 0.5 or spread <= 0:
        return np.ones(instance.n), task.threshold
    k = sqrt(alpha / (1 - alpha))
    room = hazard * (1 - hazard) * delta**2 * instance.capacity
    weights = 1 - hazard * delta + k * room / (2 * spread)
    return weights, task.threshold - k * spread / 2


def _tail_rows(task: Task) -> list[tuple[FloatArray, float]]:
    """R3 as Σ weights_i x_i ≥ amount, for some τ."""
    removable = task.instance.removable * task.instance.capacity
    alpha = 1 - task.confidence + CONFIDENT
    found = []
    for share in _SMALL:
        limit = float(np.quantile(removable, share))
        small = removable <= limit
        states = [(chance, np.where(small, hazard, 0.0)) for chance, hazard in task.hazards.states]
        weights = 1 - states[0][1] * task.instance.removable
        least = [_least_spread(task, small, hazard) for _, hazard in states]
        if limit > 0 and min(least) > 0:
            amount = _least_mean(task, states, weights, least, limit, alpha)
            if amount > task.threshold:
                found.append((weights, amount))
    return found


def _least_spread(task: Task, small: BoolArray, hazard: FloatArray) -> float:
    """The least standard deviation of what `small` users lose, if all give what is needed, data."""
    instance = task.instance
    square = (hazard * (1 - hazard) * instance.removable**2)[small]
    cap = instance.capacity[small]
    needed = task.threshold - float(instance.capacity[~small].sum())
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
    task: Task,
    states: list[tuple[float, FloatArray]],
    weights: FloatArray,
    least: list[float],
    limit: float,
    alpha: float,
) -> float:
    """M: the least mean left in the calm state with which P(X < T) can be at most α, data."""
    ratios = [float(((1 - h * task.instance.removable) / weights).max()) for _, h in states]

    def fails(mean: float) -> float:
        chance = 0.0
        for (prior, _), ratio, spread in zip(states, ratios, least):
            beyond = max(ratio * mean - task.threshold, 0.0) / spread
            chance += prior * max(0.5 * erfc(beyond / sqrt(2)) - _BERRY_ESSEEN * limit / spread, 0)
        return chance

    low, high = task.threshold, 2 * task.threshold
    if fails(low) <= alpha:
        return low
    for _ in range(60):
        mean = (low + high) / 2
        low, high = (low, mean) if fails(mean) <= alpha else (mean, high)
    return low


def _pivotal_row(task: Task) -> tuple[float, FloatArray]:
    """R2 as Σ squares_i π_i² ≤ ceiling; the ceiling is inf if it says nothing."""
    alpha = 1 - task.confidence + CONFIDENT
    kept = np.maximum(1 - task.hazards.mean, tolerances.TINY)
    squares = np.full(task.instance.n, np.inf)
    ceiling = 0.0
    sure = task.instance.share_at(task.level) / task.most_share
    for chance, hazard in task.hazards.states:
        if chance == 0:
            continue
        fails = min(alpha / chance, 0.5)
        ceiling += chance * (sure * sqrt(fails * (1 - fails)) + (1 - sure) / 2) ** 2
        # given that i is not lost, the state has probability chance (1 − h_i) / kept_i
        squares = np.minimum(squares, hazard * kept)
    return (ceiling, squares) if (squares > 0).any() else (np.inf, squares)


def _held_at_most(task: Task, multiplier: float, squares: FloatArray) -> FloatArray:
    """max over 0 ≤ π ≤ 1 of v b_top (η + (1 − η) π) − λ squares π², at most v b_k, money, (n,)."""
    most = task.instance.value * task.most_share
    excluded = task.instance.exclusion * most
    pivotal = most - excluded
    curve = multiplier * squares
    with np.errstate(divide="ignore"):
        peak = np.minimum(np.where(curve > 0, pivotal / (2 * np.where(curve > 0, curve, 1)), 1), 1)
    return np.minimum(excluded + pivotal * peak - curve * peak * peak, task.gain)

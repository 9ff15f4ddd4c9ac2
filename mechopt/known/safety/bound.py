"""What no safe plan can do without: lower bounds on payments and social cost.

Let Y = Σ x_i − L be the data that are left. P(Y ≥ T) ≥ 1 − α with α < 1/2 implies

    T ≤ E Y + √(α / (1 − α)) sd Y                                        (Cantelli)        (R1)

and sd Y ≤ q / (2 s) + s / 2 for every s > 0 and q = Σ h_i (1 − h_i) δ_i² cap_i x_i ≥ Var Y: a
linear row.

Whether training happens is a function of independent events, of variance P (1 − P) ≤ α (1 − α).
Its coefficients on single users are √(h_i (1 − h_i)) times P(i is pivotal), so by Bessel

    Σ_i h_i (1 − h_i) P(i is pivotal)² ≤ α (1 − α)                                         (R2)

Not everybody can be pivotal: with λ ≥ 0 on R2, user i is held by at most max over π of
v_i b π − λ h_i (1 − h_i) π². What remains is a selection problem; every λ and s give a bound.
With a common shock R1 is written for the state whose probability must be high, and R2 for each.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np

from mechopt.arrays import FloatArray
from mechopt.known import allocation
from mechopt.known.safety.task import CONFIDENT, Task

_MULTIPLIERS = 24


def least(task: Task, quantity: str, spread: float) -> float:
    """No safe plan has less of `quantity` ("pay" or "cost"), money; inf if there is none.

    :spread: s, the standard deviation of what is lost in a good plan, data
    """
    weights, amount = _data_row(task, spread)
    whole, total = np.ones(task.instance.n), task.threshold
    rows = ((weights, amount), (whole, total))
    values = [_selected(task, task.gain, quantity, *row) for row in rows]
    best = max(values)
    if quantity == "cost" or best == np.inf:
        return best
    weights, amount = rows[int(values[1] > values[0])]
    ceiling, squares = _pivotal_row(task)
    largest = float(np.max(task.gain / np.maximum(2 * squares, 1e-300), initial=0.0))
    tried: list[float] = []
    if task.rights and ceiling < np.inf and largest > 0:
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


def _pivotal_row(task: Task) -> tuple[float, FloatArray]:
    """R2 as Σ squares_i π_i² ≤ ceiling; the ceiling is inf if it says nothing."""
    alpha = 1 - task.confidence + CONFIDENT
    kept = np.maximum(1 - task.hazards.mean, 1e-300)
    squares = np.full(task.instance.n, np.inf)
    ceiling = 0.0
    for chance, hazard in task.hazards.states:
        if chance == 0:
            continue
        fails = min(alpha / chance, 0.5)
        ceiling += chance * fails * (1 - fails)
        # given that i is not lost, the state has probability chance (1 − h_i) / kept_i
        squares = np.minimum(squares, hazard * kept)
    return (ceiling, squares) if (squares > 0).any() else (np.inf, squares)


def _held_at_most(task: Task, multiplier: float, squares: FloatArray) -> FloatArray:
    """max over π in [0, 1] of v b (η + (1 − η) π) − λ squares π², at most v b, money, (n,)."""
    excluded = task.instance.exclusion * task.gain
    pivotal = task.gain - excluded
    curve = multiplier * squares
    with np.errstate(divide="ignore"):
        peak = np.minimum(np.where(curve > 0, pivotal / (2 * np.where(curve > 0, curve, 1)), 1), 1)
    return np.minimum(excluded + pivotal * peak - curve * peak * peak, task.gain)

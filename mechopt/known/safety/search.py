"""Good safe plans by search: how much data beyond T, and on whom to rely.

For given amounts by which users are held the cheapest burdens of a given total are a selection
problem (`allocation`). The least total that is safe is found between one that is not and one that
is; the payments are then what the plan found takes. Users are taken to be held by nothing, by
everything (nobody is lost), or by what held them in the plan before.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, exp, inf, pi, sqrt
from time import perf_counter

import numpy as np

from mechopt import arrays
from mechopt.arrays import FloatArray
from mechopt.dropouts.crossing import Crossing
from mechopt.known import allocation
from mechopt.known.allocation import Pieces
from mechopt.known.safety.task import Task

_TURNS = 2  # plans that rely on what held users in the plan before
_HALVINGS = 10


@dataclass(frozen=True, eq=False)
class Safe:
    """A safe plan: burdens (n,), payments (n,), what it takes (money), and its crossing."""

    burden: FloatArray
    payment: FloatArray
    value: float
    crossing: Crossing


def search(task: Task, quantity: str, budget: float, deadline: float) -> Safe | None:
    """The best safe plan found within `budget`; None if none was."""
    best: Safe | None = None
    nothing = np.zeros(task.instance.n)
    tried = [task.gain, nothing] if task.rights else [task.gain]
    turns = 0
    while tried:
        held_by = tried.pop(0)
        found = _least_safe(task, held_by, quantity, budget, deadline)
        if found is None:
            continue
        spent = arrays.exact_sum(found.payment)
        if spent <= budget and (best is None or found.value < best.value):
            best = found
        if perf_counter() > deadline:
            break
        if not tried and turns < _TURNS and task.rights:
            turns += 1
            seen = task.held_by(found.crossing)
            tried.append(seen)
    return best


def _least_safe(
    task: Task, held_by: FloatArray, quantity: str, budget: float, deadline: float
) -> Safe | None:
    """The plan of least total that is safe among the cheapest of each total."""
    instance = task.instance
    pieces = task.pieces(held_by)
    most = allocation.reachable(pieces)
    threshold = task.threshold

    def at(total: float) -> tuple[FloatArray, Crossing]:
        burden = _cheapest(pieces, total, instance.capacity, quantity, budget)
        return burden, task.crossing(burden)

    def finished(burden: FloatArray, found: Crossing) -> Safe:
        payment = task.payments(burden, task.held_by(found) if task.rights else task.gain)
        paid = payment if quantity == "pay" else instance.cost_of(burden)
        return Safe(burden, payment, arrays.exact_sum(paid), found)

    low, high = threshold, min(most, arrays.exact_sum(instance.capacity))
    if high < threshold:
        return None
    burden, found = at(low)
    if task.is_safe(found):
        return finished(burden, found)
    top: tuple[FloatArray, Crossing] | None = None
    guess = _normal_total(task, burden, low, high)
    for step in range(_HALVINGS):
        if top is not None and (high - low <= 1e-6 * threshold or perf_counter() > deadline):
            break
        total = min(max(guess, low + 0.02 * (high - low)), high)
        burden, found = at(total)
        if task.is_safe(found):
            top, high = (burden, found), total
            # nearly nothing to spare: the rest is not worth a step
            if found.low - task.confidence < (1e-4 if step < 3 else 1e-3):
                break
            guess = total - (found.low - task.confidence) * max(found.spread, 1e-12) * 2
            guess = guess if step < 4 else (low + high) / 2
        else:
            low = total
            if total >= high:
                return None
            short = (task.confidence - found.low + 2e-5) * max(found.spread, 1e-9 * threshold)
            guess = total + short / _density(task.confidence) if step < 4 else (low + high) / 2
        guess = min(max(guess, low + 1e-9 * threshold), high)
    if top is None:
        burden, found = at(high)
        if not task.is_safe(found):
            return None
        top = burden, found
    return finished(*top)


def _cheapest(
    pieces: Pieces, total: float, upper: FloatArray, quantity: str, budget: float
) -> FloatArray:
    if quantity == "cost" and budget < inf:
        within = allocation.cheapest_within_budget(pieces, total, upper, budget)
        if within is not None:
            return within.burden
    return allocation.cheapest(pieces, total, upper, first=quantity).burden


def _normal_total(task: Task, burden: FloatArray, low: float, high: float) -> float:
    """The total at which losses like those of `burden` are safe, by Edgeworth's first two terms."""
    removed = task.instance.removable * burden / max(arrays.exact_sum(burden), 1e-300)
    states = []
    for chance, hazard in task.hazards.states:
        spread = sqrt(float((hazard * (1 - hazard) * removed**2).sum())) + 1e-12
        third = float((hazard * (1 - hazard) * (1 - 2 * hazard) * removed**3).sum())
        states.append((chance, float((hazard * removed).sum()), spread, third / spread**3))
    for _ in range(50):
        total = (low + high) / 2
        room = (total - task.threshold) / total
        safe = 0.0
        for chance, mean, spread, skew in states:
            z = (room - mean) / spread
            turn = skew / 6 * (z * z - 1) * exp(-z * z / 2) / sqrt(2 * pi)
            safe += chance * (0.5 * erfc(-z / sqrt(2)) - turn)
        low, high = (low, total) if safe >= task.confidence + 1e-3 else (total, high)
    return high


def _density(confidence: float) -> float:
    """Roughly the density of a standard normal at its `confidence` quantile."""
    return max(2 * (1 - confidence), 0.02)

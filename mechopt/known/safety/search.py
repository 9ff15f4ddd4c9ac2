"""Good safe plans by search: how much data beyond T, and on whom to rely.

For given amounts by which users are held the cheapest burdens of a given total are a selection
problem (`allocation`). The least total that is safe is found between one that is not and one that
is; the payments are then what the plan found takes. Users are taken to be held by nothing, by
everything (nobody is lost), or by what held them in the plan before.
"""

from __future__ import annotations

from collections.abc import Callable
from math import erfc, exp, inf, pi, sqrt
from time import perf_counter

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import FloatArray
from mechopt.dropouts.crossing import Crossing
from mechopt.known import allocation
from mechopt.known.allocation import Pieces
from mechopt.known.safety import asked
from mechopt.known.safety.aim import Safe, SafeAim

_TURNS = 2  # plans that rely on what held users in the plan before
_HALVINGS = 10
_CLOSE = 1e-7  # of T: how near the two totals are between which the search ends
_MARGIN = 7e-4  # how much more than asked, where the probability is bracketed only
_TRIES = 4


def search(aim: SafeAim, quantity: str, budget: float, deadline: float) -> Safe | None:
    """The best safe plan found within `budget`; None if none was.

    Plans are compared by coarse bounds; only the best is then found once more with fine ones.
    """
    best: tuple[Safe, FloatArray] | None = None
    tried = [aim.gain, np.zeros(aim.instance.n)] if aim.rights else [aim.gain]
    turns = 0
    while tried:
        held_by = tried.pop(0)
        found = _least_safe(aim, held_by, quantity, budget, deadline, fine=False)
        if found is not None:
            if best is None or _rank(aim, found, budget) < _rank(aim, best[0], budget):
                best = found, held_by
            if not tried and turns < _TURNS and aim.rights:
                turns += 1
                tried.append(aim.held_by(found.crossing))
        if perf_counter() > deadline:
            break
    if best is None:
        return None
    safe = best[0]
    if not safe.crossing.exact:
        refined = _least_safe(aim, best[1], quantity, budget, deadline, fine=True)
        if refined is None:
            return None
        safe = refined
        if aim.rights and perf_counter() < deadline:  # coarse bounds say too little of who is held
            seen = aim.held_by(safe.crossing)
            again = _least_safe(aim, seen, quantity, budget, deadline, fine=True)
            if again is not None and _rank(aim, again, budget) < _rank(aim, safe, budget):
                safe = again
    return safe if aim.over(safe.burden, safe.payment, budget) == 0 else None


def _rank(aim: SafeAim, safe: Safe, budget: float) -> tuple[float, float]:
    """Within the budget first, then by what it takes."""
    return aim.over(safe.burden, safe.payment, budget), safe.value


def _least_safe(
    aim: SafeAim,
    held_by: FloatArray,
    quantity: str,
    budget: float,
    deadline: float,
    *,
    fine: bool,
) -> Safe | None:
    """The plan of least total that is safe among the cheapest of each total."""
    threshold, most = aim.threshold, arrays.exact_sum(aim.range[1])
    pieces = aim.pieces(held_by) if aim.instance.practice is None else None
    if pieces is not None:
        most = min(most, allocation.reachable(pieces))

    def at(total: float, fine: bool) -> tuple[FloatArray, Crossing]:
        if pieces is None:
            burden = asked.burdens(aim, held_by, total, quantity, budget, deadline)
        else:
            burden = _cheapest(pieces, total, aim.instance.capacity, quantity, budget)
        return burden, aim.crossing(burden, fine=fine)

    low, high = threshold, most
    if high < threshold:
        return None
    burden, found = at(low, fine)
    if aim.is_safe(found):
        return aim.priced(burden, quantity, found)
    margin = 0.0 if found.exact or not fine else _MARGIN
    for _ in range(_TRIES):
        total = _least_total(aim, burden, lambda t: at(t, False)[1], (low, high), margin, deadline)
        burden, found = at(total, fine)
        enough = not (fine or found.exact) and found.probability >= aim.confidence
        if enough or aim.is_safe(found):
            return aim.priced(burden, quantity, found)
        if total >= high:
            return None
        low, margin = total, 2 * max(margin, found.high - found.low, tolerances.SOLVER)
    burden, found = at(high, fine)
    return aim.priced(burden, quantity, found) if aim.is_safe(found) else None


def _least_total(
    aim: SafeAim,
    burden: FloatArray,
    crossing: Callable[[float], Crossing],
    ends: tuple[float, float],
    margin: float,
    deadline: float,
) -> float:
    """Nearly the least total whose estimated probability is what is asked and `margin` more.

    `burden` : of a plan like those in question, whose losses tell where to look first
    """
    low, high = ends
    goal = min(aim.confidence + margin, 1.0)
    guess = _normal_total(aim, burden, low, high, goal)
    for step in range(_HALVINGS):
        late = step >= 3 and perf_counter() > deadline  # sooner there would be no answer
        if high - low <= _CLOSE * aim.threshold or late:
            break
        total = min(max(guess, low), high)
        found = crossing(total)
        beyond = found.probability - goal
        if beyond >= 0:
            high = total
            if beyond < 5e-4:
                break
        else:
            low = total
        turn = (
            beyond * max(found.spread, tolerances.DATA * aim.threshold) / _density(aim.confidence)
        )
        guess = total - turn if step < 3 else (low + high) / 2
        if not low < guess < high:
            guess = (low + high) / 2
    return high


def _cheapest(
    pieces: Pieces, total: float, upper: FloatArray, quantity: str, budget: float
) -> FloatArray:
    if quantity == "cost" and budget < inf:
        within = allocation.cheapest_within_budget(pieces, total, upper, budget)
        if within is not None:
            return within.burden
    return allocation.cheapest(pieces, total, upper, first=quantity).burden


def _normal_total(aim: SafeAim, burden: FloatArray, low: float, high: float, goal: float) -> float:
    """The total at which losses like those of `burden` are safe, by Edgeworth's first two terms."""
    removed = aim.instance.removable * burden / max(arrays.exact_sum(burden), tolerances.TINY)
    states = []
    for chance, hazard in aim.hazards.states:
        spread = sqrt(float((hazard * (1 - hazard) * removed**2).sum())) + tolerances.REACH
        third = float((hazard * (1 - hazard) * (1 - 2 * hazard) * removed**3).sum())
        states.append((chance, float((hazard * removed).sum()), spread, third / spread**3))
    for _ in range(50):
        total = (low + high) / 2
        room = (total - aim.threshold) / total
        safe = 0.0
        for chance, mean, spread, skew in states:
            z = (room - mean) / spread
            turn = skew / 6 * (z * z - 1) * exp(-z * z / 2) / sqrt(2 * pi)
            safe += chance * (0.5 * erfc(-z / sqrt(2)) - turn)
        low, high = (low, total) if safe >= goal else (total, high)
    return high


def _density(confidence: float) -> float:
    """Roughly the density of a standard normal at its `confidence` quantile."""
    return max(2 * (1 - confidence), 0.02)

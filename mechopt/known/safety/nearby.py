"""What every safe plan takes, seen from one of them: lower bounds that hold far from it too (R4).

Let w_i be losses close to those of a plan at hand, L_w = Σ w_i Z_i, and a_i those of any other plan
with a total of S, so that r = S − T may be lost. It loses at least Σ min(a_i, w_i) Z_i. Where
L_w > r, that is at most r only if Σ d_i Z_i ≥ L_w − r with d_i = (w_i − a_i)⁺, so

    P(L_a > r) ≥ P(L_w > r) − Σ_i G_i(d_i),   G_i(d) = E[Z_i min(1, d / (L_w − r)); L_w > r]    (R4)

G_i is concave, and a sum over users: a plan that gets by with less in total must be cheap in
another way, and that has its price. Totals are cut into intervals; in each, R4, the total and what
users are held by (`bound.Relied`) are given multipliers, found by cutting planes.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from math import inf
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray
from mechopt.dropouts.laws import at_most, laws_of_loss
from mechopt.known.safety.aim import CONFIDENT, SafeAim
from mechopt.known.safety.relied import Relied
from mechopt.solver import highs
from mechopt.solver.builder import Builder

_FINE = 0.1  # standard deviations that may be lost by rounding w down
_PLACES = 2**17
_WORK = 3e7  # places times different amounts
_KINKS = (0.0, 0.02, 0.1, 0.3, 0.6)  # of d / w_i, where the majorants of G_i change their slope
_DOUBT = 1e-7  # what rounding and cut-off tails may do to a probability
_STEPS = 16
_MOST = 30  # intervals that are halved


@dataclass(frozen=True, eq=False)
class Reference:
    """w on a lattice: `unit` data, `size` (n,) in units, per state the chances of every loss."""

    aim: SafeAim
    unit: float
    size: FloatArray
    masses: tuple[FloatArray, ...]

    def total(self, place: int) -> float:
        """T + r, data: what is given in all if r may be lost."""
        return self.aim.threshold + max(place - 0.5, 0.0) * self.unit

    @property
    def fails(self) -> FloatArray:
        """P(L_w > r) at least, r = (place − 1/2) units, for every place from 0 on."""
        found = np.zeros(max(mass.size for mass in self.masses) + 1)
        for (chance, _), mass in zip(self.aim.hazards.states, self.masses):
            found[: mass.size] += chance * np.cumsum(mass[::-1])[::-1]
        return found - _DOUBT

    @property
    def top(self) -> int:
        """Of plans with a total beyond that at this place R4 says nothing."""
        return int(np.argmax(self.fails <= 1 - self.aim.confidence + CONFIDENT)) - 1

    def slopes(self, place: int) -> FloatArray:
        """Slopes of majorants of G_i from every kink on, 1/data, (kinks, n); r as in `fails`.

        E[Z_i φ(L)] is at most E φ(L), and at most h_i / (1 − h_i) E φ(L + w_i).
        """
        sizes, which = np.unique(self.size, return_inverse=True)
        at = np.multiply.outer(np.array(_KINKS), sizes) - 0.5
        first = np.maximum(np.floor(at).astype(int) + 1, 0)  # places beyond a kink
        found = np.zeros((len(_KINKS), self.size.size))
        for (chance, hazard), mass in zip(self.aim.hazards.states, self.masses):
            room = np.arange(mass.size + int(sizes[-1])).astype(np.float64) + 0.5
            lost = np.empty(first.shape)
            for column, size in enumerate(sizes.astype(int).tolist()):
                lost[:, column] = _beyond(mass, room, place - size, first[:, column])
            odds = hazard / np.maximum(1 - hazard, tolerances.TINY)
            anyone = _beyond(mass, room, place, first)
            found += chance * np.minimum(odds * lost[:, which], anyone[:, which])
        return (found + _DOUBT) / self.unit


def _beyond(mass: FloatArray, room: FloatArray, place: int, first: IntArray) -> FloatArray:
    """Σ_{j ≥ first} mass[place + j] / room[j], of the shape of `first`."""
    skipped = max(-place, 0)
    part = mass[max(place, 0) :]
    tails = np.cumsum((part / room[skipped : skipped + part.size])[::-1])[::-1]
    at = np.clip(first - skipped, 0, part.size)
    return np.append(tails, 0.0)[at]


def reference(aim: SafeAim, burden: FloatArray) -> Reference | None:
    """Losses just below those of a plan (n,); None if their law takes too long."""
    removed = aim.instance.removable * burden
    states = aim.hazards.states
    spread = max(float(np.sqrt((h * (1 - h) * removed**2).sum())) for _, h in states)
    lost = max(float(h[removed > 0].sum()) for _, h in states)
    if spread <= 0 or lost <= 0:
        return None
    most = max(at_most(removed, hazard) for _, hazard in states)
    unit = max(_FINE * spread / lost, most / _PLACES)
    size = np.floor(removed / unit)
    if np.unique(size).size * most / unit > _WORK:
        return None
    masses: list[FloatArray] = []
    for _, hazard in states:
        top = np.ceil(at_most(size, hazard))
        (law,) = laws_of_loss(size, hazard, np.array([top]))
        low, high = law.bounds(np.arange(top + 1))
        if float((high - low).max()) > _DOUBT / 10:
            return None
        masses.append(np.diff((low + high) / 2, prepend=0.0))
    return Reference(aim, unit, size, tuple(masses))


def least(
    near: Reference, quantity: str, relied: Relied, start: tuple[float, float], deadline: float
) -> float:
    """The least money of the safe plans with a total below that of `near.top`; 0 if it is late.

    :start: multipliers on the total, money/data, and on what users are held by
    """
    alpha = 1 - near.aim.confidence + CONFIDENT
    tails, place = near.fails, near.top
    point, step = (start[0], 0.0, start[1]), 1
    open_: list[tuple[float, int, int, tuple[float, float, float]]] = []
    ends = [place]
    while ends[-1] > 0:
        ends.append(max(ends[-1] - step, 0))
        step *= 2
    waiting = [(one, other, point) for one, other in pairwise(ends)]
    for turn in range(_MOST):
        for place, below, point in waiting:
            if turn == 0 and perf_counter() > deadline:
                return 0.0
            row = _Rows(near.total(below), near.slopes(place), float(tails[place]) - alpha)
            found, point = _highest(near, quantity, relied, row, point)
            heappush(open_, (found, place, below, point))
        if not open_ or open_[0][1] - open_[0][2] <= 1:
            break
        if turn == _MOST - 1 or perf_counter() > deadline:
            break
        _, place, below, point = heappop(open_)
        middle = (place + below) // 2
        waiting = [(place, middle, point), (middle, below, point)]
    return open_[0][0] if open_ else inf


@dataclass(frozen=True, eq=False)
class _Rows:
    """Σ x ≥ total and Σ G_i ≥ excess, G_i of `slopes` (kinks, n), 1/data."""

    total: float
    slopes: FloatArray
    excess: float


def _highest(
    near: Reference,
    quantity: str,
    relied: Relied,
    rows: _Rows,
    start: tuple[float, float, float],
) -> tuple[float, tuple[float, float, float]]:
    """(the highest Lagrangian bound found, its multipliers), by cutting planes."""
    steep = rows.slopes[0]
    least = float(np.min(steep, where=steep > 0, initial=1 / tolerances.TINY))
    price = start[0] or float(near.aim.instance.cost.max())
    most = [8 * price, 100 * price / least, 1.0 if relied.ceiling > 0 else 0.0]
    best, at = -inf, start
    cuts: list[tuple[float, FloatArray, FloatArray]] = []
    point = np.array(start)
    for _ in range(_STEPS):
        value, slope = _lagrangian(near, quantity, relied, rows, point)
        cuts.append((value, slope, point))
        if value > best:
            best, at = value, (float(point[0]), float(point[1]), float(point[2]))
        build = Builder()
        columns = [build.column(0.0, 0.0, top) for top in most]
        goal = build.column(-1.0, -inf, inf)
        for base, gradient, place in cuts:
            row = build.row(-inf, base - float(gradient @ place))
            build.entry(row, goal, 1.0)
            for column, rise in zip(columns, gradient.tolist()):
                build.entry(row, column, -rise)
        found = highs.solve(build.program())
        if found.x is None or found.x[3] <= best + 1e-4 * abs(best):
            break
        point = found.x[:3]
    return best, at


def _lagrangian(
    near: Reference, quantity: str, relied: Relied, rows: _Rows, point: FloatArray
) -> tuple[float, FloatArray]:
    """(the bound at multipliers on the total, R4 and what users are held by, its gradient)."""
    price, worth, charge = point.tolist()
    instance, n = near.aim.instance, near.aim.instance.n
    pieces = relied.pieces(charge)
    length = pieces.length.reshape(-1, n)
    rate = (pieces.pay if quantity == "pay" else pieces.cost).reshape(-1, n)
    start = np.cumsum(length, axis=0) - length
    delta = instance.removable
    kinks = np.outer(np.array(_KINKS), near.size * near.unit)
    with np.errstate(divide="ignore", invalid="ignore"):
        turns = np.where(delta > 0, (near.size * near.unit - kinks) / delta, 0.0)
    ends = np.append(kinks[1:], [near.size * near.unit], axis=0)
    at = np.concatenate((np.zeros((1, n)), start + length, np.clip(turns, 0, instance.capacity)))
    at = np.minimum(at, instance.capacity)
    if quantity == "pay" and not near.aim.rights:
        at = np.maximum(at, np.where(rate > 0, 0.0, length).sum(axis=0))  # free data are welcome
    money = sum(np.clip(at - s, 0, w) * r for s, w, r in zip(start, length, rate))
    less = np.maximum(near.size * near.unit - delta * at, 0.0)
    gets = sum(np.clip(less - k, 0, e - k) * g for k, e, g in zip(kinks, ends, rows.slopes))
    total = money - price * at - worth * gets
    chosen = np.argmin(total, axis=0)
    pick = chosen, np.arange(n)
    given, gained = at[pick], gets[pick]
    value = float(total[pick].sum()) + price * rows.total + worth * rows.excess
    value -= charge * relied.ceiling
    charged = 0.0
    if charge > 0:
        charged = float(relied.charged(charge, instance.cost_of(given)).sum())
    slope = np.array(
        [
            rows.total - float(given.sum()),
            rows.excess - float(gained.sum()),
            charged - relied.ceiling,
        ]
    )
    return value, slope

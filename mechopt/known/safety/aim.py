"""What a safe plan must meet, and what it takes: shared by the search, the exact way and the bound.

A plan aims at one level k: T = T_k with share b = b_k. With drop-outs, user i who is not lost
himself is held by held_i = v_i (E[B(X) | i stays] − (1 − η_i) E[B(X) | i leaves]), over all
thresholds. He takes part if v_i b + t_i ≥ C_i (A3) and stays if held_i ≥ r_i = ρ_i C_i − t_i. So
the least payment is

    t_i = max(0, C_i(x_i) − v_i b, ρ_i C_i(x_i) − held_i)

rounded up where payments come in steps; whoever is asked costs the provider the contact, too. What
holds everybody when nobody follows a leaver holds everybody in sequence too, in every order (see
`mechopt.withdrawal.rights.dropout`), so searched plans are the same for both protocols.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray
from mechopt.dropouts.crossing import Crossing, crossing_of
from mechopt.dropouts.hazards import Hazards
from mechopt.known.allocation import Pieces
from mechopt.problem.aims import MARGIN
from mechopt.problem.instance import Instance
from mechopt.withdrawal.check import check_withdrawal

CONFIDENT = tolerances.PROBABILITY  # how far a certified probability may be below what is asked


@dataclass(frozen=True, eq=False)
class Safe:
    """A safe plan: burdens (n,), payments (n,), what it takes (money), and its crossing."""

    burden: FloatArray
    payment: FloatArray
    value: float
    crossing: Crossing


@dataclass(frozen=True, eq=False)
class SafeAim:
    """An instance, its hazards, the level aimed at and the crossing probability asked for.

    :rights: whether users may withdraw (A5); order : in sequence, in which order; None: at once
    :transfers: whether payments are allowed; charged : whether contacts count as social cost
    """

    instance: Instance
    hazards: Hazards
    confidence: float
    rights: bool
    level: int = 1
    order: Any = None
    transfers: bool = True
    charged: bool = False

    @property
    def threshold(self) -> float:
        return float(self.instance.thresholds[self.level - 1])

    @cached_property
    def gain(self) -> FloatArray:
        """v_i b_k, money, shape (n,)."""
        return self.instance.value * self.instance.share_at(self.level)

    @cached_property
    def most_share(self) -> float:
        """B if everybody gave everything: more is never enjoyed."""
        most = arrays.exact_sum(self.instance.capacity)
        within = self.instance.thresholds * (1 - tolerances.DATA)
        return self.instance.share_at(int(np.searchsorted(within, most, side="right")))

    @cached_property
    def range(self) -> tuple[FloatArray, FloatArray]:
        """The least and the most that a user who is asked can be asked for, data, (n,) each."""
        instance, practice = self.instance, self.instance.practice
        if practice is None:
            return np.zeros(instance.n), instance.capacity
        low, high = practice.range(instance.capacity)
        low = np.where(practice.required, np.maximum(low, MARGIN * self.threshold), low)
        return low, np.where(low <= high * (1 + tolerances.REACH), high, 0.0)

    @cached_property
    def unbudgeted(self) -> Instance:
        """The instance without its budget."""
        return self.instance.replace(budget=None)

    @cached_property
    def reversible(self) -> FloatArray:
        """ρ_i, or 0 where nobody may withdraw, shape (n,)."""
        return self.instance.reversibility if self.rights else np.zeros(self.instance.n)

    def crossing(self, burden: FloatArray, *, fine: bool = True) -> Crossing:
        """How safe burdens (n,) are; with bounds further apart, and faster, if not `fine`."""
        level = 1 if fine else self.level
        found = crossing_of(self.instance, burden, self.hazards, fine=fine, level=level)
        return found.at(self.level)

    def is_safe(self, found: Crossing) -> bool:
        """Whether the certified probability is at least what is asked for."""
        return found.low >= self.confidence - CONFIDENT

    def held_by(self, found: Crossing) -> FloatArray:
        """held_i, money, from the certified side, at most v_i b_k, shape (n,)."""
        return np.minimum(found.held(self.instance), self.gain)

    def payments(self, burden: FloatArray, held_by: FloatArray) -> FloatArray:
        """The least payments for burdens (n,) that leave users held by so much money, (n,)."""
        cost = self.instance.cost_of(burden)
        need = np.maximum(cost - self.gain, self.reversible * cost - held_by)
        need = np.where(need > tolerances.REACH * cost, need, 0.0)
        practice = self.instance.practice
        return need if practice is None else practice.rounded_up(need)

    def worth(self, quantity: str, burden: FloatArray, payment: FloatArray) -> float:
        """What a plan takes: payments and contacts ("pay"), or social cost ("cost"), money."""
        practice, paid = self.instance.practice, payment
        if quantity == "cost":
            paid = self.instance.cost_of(burden)
        contacts = practice is not None and (quantity == "pay" or self.charged)
        contact = practice.contact_of(burden) if practice is not None and contacts else 0.0
        return arrays.exact_sum(paid) + contact

    def over(self, burden: FloatArray, payment: FloatArray, budget: float) -> float:
        """By how much a plan breaks the budget, or what it pays where it may not; money, or 0."""
        over = max(self.worth("pay", burden, payment) - budget, 0.0)
        return over if self.transfers else max(over, arrays.exact_sum(payment))

    def priced(self, burden: FloatArray, quantity: str, found: Crossing | None = None) -> Safe:
        """The plan of burdens (n,) with its least payments."""
        found = self.crossing(burden) if found is None else found
        payment = self.payments(burden, self.held_by(found) if self.rights else self.gain)
        return Safe(burden, payment, self.worth(quantity, burden, payment), found)

    def stable(self, burden: FloatArray, payment: FloatArray) -> bool:
        """Whether everybody stays in sequence, by the game itself."""
        calm, *hit = self.hazards.states
        plan = Plan.from_arrays(self.instance, burden, payment)
        shock = None
        if hit:
            with np.errstate(divide="ignore", invalid="ignore"):
                factor = np.where(calm[1] > 0, hit[0][1] / np.where(calm[1] > 0, calm[1], 1), 1.0)
            shock = (hit[0][0], factor)
        report = check_withdrawal(
            self.instance, plan, "sequential", self.order, dropout=calm[1], shock=shock
        )
        return report.stable

    def pieces(self, held_by: FloatArray, part: FloatArray | None = None) -> Pieces:
        """The users' curves max(0, C − v b, ρ C − held_by), cut where they change their slope."""
        return curves(self.instance, self.gain, self.reversible, held_by, part)


def curves(
    instance: Instance,
    gain: FloatArray,
    rho: FloatArray,
    held_by: FloatArray,
    part: FloatArray | None = None,
) -> Pieces:
    """Pieces of max(0, C − gain, ρ C − held_by), for 0 ≤ held_by ≤ gain; (n,) each.

    :part: in [0, 1]; if given, of what ρ C exceeds held_by by only so much is paid until ρ C = gain
    """
    n, segments = instance.widths.shape
    theta = np.ones(n) if part is None else part
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(rho > 0, held_by / np.where(rho > 0, rho, 1), np.inf)
        turn = np.where(rho > 0, gain / np.where(rho > 0, rho, 1), np.inf)
        slow = theta * rho
        early = np.where(
            slow < 1, (gain - theta * held_by) / np.where(slow < 1, 1 - slow, 1), np.inf
        )
        late = np.where(rho < 1, theta * (gain - held_by) / np.where(rho < 1, 1 - rho, 1), np.inf)
    # up to `first` nothing is paid; then `part` of ρ of the cost, from `turn` on ρ of it; from
    # `second` on all of it
    first = np.minimum(free, gain)
    second = np.where(early <= turn, early, np.maximum(late, turn))
    second = np.where(free < gain, np.maximum(second, first), gain)
    ends, shares = [first, second], [np.zeros(n), rho, np.ones(n)]
    if part is not None:
        ends, shares = (
            [first, np.clip(turn, first, second), second],
            [0 * rho, slow, rho, 1 + 0 * rho],
        )
    length, cost, pay = (np.zeros((len(shares) * segments, n)) for _ in range(3))
    spent = np.zeros(n)
    for j in range(segments):
        rate = instance.cost * instance.slopes[:, j]
        end = spent + rate * instance.widths[:, j]
        marks = [spent, *(np.clip(one, spent, end) for one in ends), end]
        paid = rate > 0
        for at, share in enumerate(shares):
            row = at * segments + j
            length[row] = (marks[at + 1] - marks[at]) / np.where(paid, rate, 1.0)
            if at == 0:
                length[row] = np.where(paid, length[row], instance.widths[:, j])
            cost[row], pay[row] = rate, rate * share
        spent = end
    user = np.tile(np.arange(n), len(shares) * segments)
    return Pieces(user, length.reshape(-1), cost.reshape(-1), pay.reshape(-1))

"""What a stay-set means: total, level, share, social cost, payments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import arrays
from mechopt.arrays import BoolArray, FloatArray
from mechopt.errors import InvalidOption
from mechopt.status import Status
from mechopt.withdrawal.stage import Array, Stage, as_float, contribution_cost, field_of, sunk_cost

if TYPE_CHECKING:
    from mechopt.answer.plan import Plan
    from mechopt.problem.instance import Instance


@dataclass(frozen=True, eq=False)
class Outcome:
    """What happens when exactly the users in `stay` stay.

    :stay: (n,) bool; users with nothing to withdraw (x_i = y_i) count as staying
    :total: X_S, data in the pool; level : thresholds reached; share : B(X_S)
    :social_cost: Σ of the costs borne, money: C_i of those who stay and what is sunk, (1 − ρ_i) C_i
        (plus ρ_i C_i(y_i)), of those who leave, or of everybody if nothing is trained
    :costs: (n,) money, what everybody bears; their sum is the social cost
    :payments: (n,) money: t_i to those who stay if training happens (or if payments are
        unconditional), the failure bonus to those who stay with x_i > y_i if it does not
    :kept: (n,) data that everybody keeps, where parts may be taken back; `stay` then says who keeps
        everything. None under whole withdrawal
    """

    stay: BoolArray = field(repr=False)
    total: float
    level: int
    share: float
    social_cost: float
    costs: FloatArray = field(repr=False)
    payments: FloatArray = field(repr=False)
    kept: FloatArray | None = field(default=None, repr=False)

    @property
    def trains(self) -> bool:
        return self.level > 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: who leaves (positions), totals and costs."""
        return {
            "leave": np.flatnonzero(~self.stay).tolist(),
            "total": self.total,
            "level": self.level,
            "share": self.share,
            "social_cost": self.social_cost,
            "payments": self.payments.tolist(),
            **({} if self.kept is None else {"kept": self.kept.tolist()}),
        }


def outcome_of(
    instance: Instance,
    plan: Plan,
    stage: Stage,
    stay: BoolArray,
    level: int | None = None,
    kept: Array | None = None,
) -> Outcome:
    """The outcome of a stay-set (n,); `level` if it is known already.

    :kept: what everybody keeps, (n,) data, where parts may be taken back
    """
    assert plan.burden is not None
    assert plan.payment is not None
    if kept is None:
        total = stage.total_of(stay)
    else:
        removable = field_of(instance, "removable", stage.exact)
        total = stage.total - (removable * (stage.x - kept)).sum()
    if level is None:
        level = int(stage.level_of(total))
    cost = contribution_cost(instance, plan.burden, exact=False)
    borne = stay if level else np.zeros(stage.n, dtype=bool)
    if level and kept is not None:
        left = contribution_cost(instance, as_float(kept), exact=False)
        lost = cost - instance.reversibility * (cost - left)
    else:
        lost = np.where(borne, cost, sunk_cost(instance, plan.burden, exact=False))
    if level:
        payments = np.where(stay, plan.payment, 0.0)
    else:
        payments = np.where(stay & stage.able, as_float(stage.bonus), 0.0)
        if plan.unconditional:  # users with x_i = y_i are outside the stage, but are paid
            payments = np.where(stage.able, payments, plan.payment)
    return Outcome(
        stay=arrays.freeze(stay),
        total=float(total),
        level=level,
        share=float(stage.shares[level]),
        social_cost=arrays.exact_sum(lost),
        costs=arrays.freeze(lost),
        payments=arrays.freeze(payments),
        kept=None if kept is None else as_float(kept),
    )


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """An extreme equilibrium of the simultaneous protocol, and what is proved about it.

    :status: OPTIMAL (proved, to the relative tolerance `tolerances.SOLVER`), FEASIBLE (an
        equilibrium; the bounds are open), INFEASIBLE (there is no pure equilibrium), UNKNOWN
        (none was found and none excluded)
    :outcome: None unless an equilibrium is known; its fields can be read here directly
    :share_bound: no equilibrium has a higher share (for the worst and least: a lower one)
    :bound: no equilibrium of that share has a lower social cost (worst: a higher one; most and
        least data: more or less data)
    """

    status: Status
    outcome: Outcome | None
    share_bound: float
    bound: float | None

    def _known(self) -> Outcome:
        if self.outcome is None:
            raise InvalidOption(
                f"no equilibrium is known (status {self.status.value!r}): there is no outcome"
            )
        return self.outcome

    @property
    def stay(self) -> BoolArray:
        return self._known().stay

    @property
    def total(self) -> float:
        return self._known().total

    @property
    def level(self) -> int:
        return self._known().level

    @property
    def share(self) -> float:
        return self._known().share

    @property
    def social_cost(self) -> float:
        return self._known().social_cost

    @property
    def payments(self) -> FloatArray:
        return self._known().payments

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        outcome = None if self.outcome is None else self.outcome.to_dict()
        return {
            "status": self.status.value,
            "share_bound": self.share_bound,
            "bound": self.bound,
            "outcome": outcome,
        }

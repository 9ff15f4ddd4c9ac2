"""One level of the sequential problem: what is asked, and candidates for an answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray, exact_sum
from mechopt.known import allocation
from mechopt.problem.instance import Instance
from mechopt.withdrawal.stage import Stage

if TYPE_CHECKING:
    from mechopt.formulations.burdens_sequential_steps import Step


@dataclass(frozen=True, eq=False)
class SequentialTask:
    """Reach `level`, total T_level + reserve (data), at the least "pay" or "cost" (money).

    :order: a permutation (n,) or one of `mechopt.withdrawal.moves.ORDERS`, or "designed"
    :deadline: of `time.perf_counter`, seconds
    """

    instance: Instance
    level: int
    quantity: str
    reserve: float
    total: float
    order: Any
    budget: float
    deadline: float
    seed: int

    @property
    def gain(self) -> FloatArray:
        """v_i b_k, money, shape (n,)."""
        return self.instance.value * self.instance.share_at(self.level)

    @property
    def spendable(self) -> float:
        """The budget where payments are not what is minimised, money; else inf."""
        return self.budget if self.quantity == "cost" and self.budget > 0 else inf

    @property
    def designed(self) -> bool:
        return isinstance(self.order, str) and self.order == "designed"

    @cached_property
    def below(self) -> Instance:
        """The instance without the thresholds above `level`."""
        kept = slice(self.level)
        thresholds, shares = self.instance.thresholds[kept], self.instance.shares[kept]
        return self.instance.replace(thresholds=thresholds, shares=shares)

    def steps(self, threats: str) -> list[Step]:
        """The levels that a withdrawal can collapse."""
        from mechopt.formulations.burdens_sequential_steps import steps  # brings in Pyomo

        return steps(self.below, reserve=self.reserve, threats=threats)


@dataclass(frozen=True, eq=False)
class Candidate:
    """Burdens to try (n,), with what leaving is expected to cost each user (n,), money.

    :threats: users (n,) whose burdens others count on
    """

    found_by: str
    burden: FloatArray
    kept: FloatArray
    threats: BoolArray
    order: IntArray | None = None


def given_order(task: SequentialTask) -> IntArray | None:
    """The order (n,), if it does not depend on the burdens."""
    if not isinstance(task.order, str):
        return np.asarray(task.order)
    return np.argsort(task.instance.cost, kind="stable") if task.order == "cost" else None


def order_of(task: SequentialTask, candidate: Candidate, burden: FloatArray) -> IntArray:
    """The order (n,) in which users with these burdens decide."""
    if candidate.order is not None:
        return candidate.order
    if not isinstance(task.order, str):
        return np.asarray(task.order)
    if task.order == "large-first":
        return np.argsort(-burden, kind="stable")
    if task.order == "cost":
        return np.argsort(task.instance.cost, kind="stable")
    return np.argsort(burden, kind="stable")


def needed(
    task: SequentialTask, candidate: Candidate, burden: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """What `burden` (n,) costs and the least payments for it, leaving costing what is kept."""
    instance = task.instance
    cost = instance.cost_of(burden)
    recovered = instance.reversibility * cost
    need = np.maximum(cost - task.gain, recovered - candidate.kept)
    alone = instance.exclusion * task.gain  # what leaving costs who changes nothing by it
    need = np.maximum(need, np.where(instance.removable == 0, recovered - alone, 0.0))
    need[need <= tolerances.REACH * (cost + task.gain)] = 0.0
    return cost, need


def stage_of(task: SequentialTask, burden: FloatArray, r: FloatArray) -> Stage:
    """The withdrawal stage of these burdens and net reversible burdens r (n,), money."""
    instance = task.instance
    return Stage.from_arrays(
        burden,
        r,
        instance.value,
        instance.removable,
        instance.thresholds,
        instance.shares,
        exclusion=instance.exclusion,
    )


def choose_rest(
    task: SequentialTask,
    pieces: allocation.Pieces,
    some: BoolArray,
    length: FloatArray,
    base: FloatArray,
    kept: FloatArray,
) -> FloatArray | None:
    """`base` (n,) plus the best of `some` pieces up to the total; None if out of reach."""
    instance = task.instance
    some = some & (length > 0)
    rest = allocation.Pieces(pieces.user[some], length[some], pieces.cost[some], pieces.pay[some])
    missing = task.total - exact_sum(base)
    if missing < 0 or not allocation.can_reach(rest, missing):
        return None
    upper = instance.capacity - base
    if task.quantity == "pay" or task.budget in (0, inf):
        first = "cost" if task.budget == 0 else task.quantity
        return base + allocation.cheapest(rest, missing, upper, first=first).burden
    cost = instance.cost_of(base)
    spent = np.maximum(0.0, np.maximum(cost - task.gain, instance.reversibility * cost - kept))
    room = task.budget - exact_sum(spent)
    if room < 0:
        return None
    within = allocation.cheapest_within_budget(rest, missing, upper, room)
    return None if within is None else base + within.burden

"""`check_withdrawal`: what happens to a plan when users may leave, with witnesses."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mechopt import registry
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.withdrawal.outcome import Outcome, outcome_of
from mechopt.withdrawal.sequential import Path, sequential_path
from mechopt.withdrawal.simultaneous import all_stay_slack, best_reply_outcome
from mechopt.withdrawal.stage import Stage, as_float, order_of, stage_of

if TYPE_CHECKING:
    from mechopt.instance import Instance
    from mechopt.plan import Plan


class Deviation(NamedTuple):
    """A user who gains by leaving: position, gain (money), level reached when he leaves."""

    user: int
    gain: float
    level: int


@dataclass(eq=False)
class WithdrawalReport:
    """The verdict on a plan under one protocol, its witnesses, and what would happen instead.

    stable : everyone stays, and training happens (or nothing is asked of anybody)
    margin : smallest utility slack, money, over the users with x_i > 0: what the least attached
        of them loses by leaving. `inf` if there is nobody who could leave. Negative if someone
        leaves, and then minus the largest gain. If X < T_1 the plan is not stable although
        nobody gains by leaving (margin ≥ 0): nothing is trained
    users, slack, level_if_leaves : (m,) users with x_i > 0 (sequential: in the order in which
        they move), what each loses by leaving and the level then reached. Simultaneous: when
        everybody else stays. Sequential: on the path played, those after him replying
    """

    instance: Instance = field(repr=False)
    plan: Plan = field(repr=False)
    protocol: str
    order: Any
    stage: Stage = field(repr=False)
    stable: bool
    margin: float
    users: IntArray = field(repr=False)
    slack: FloatArray = field(repr=False)
    level_if_leaves: IntArray = field(repr=False)
    path: Path | None = field(default=None, repr=False)

    @property
    def exact(self) -> bool:
        """Whether every decision was made in exact arithmetic."""
        return self.stage.exact

    @cached_property
    def deviations(self) -> tuple[Deviation, ...]:
        """Who gains by leaving, with the gain; in order of moving (sequential) or position."""
        gains = np.flatnonzero(self.slack < -self._tolerance)
        return tuple(
            Deviation(int(self.users[row]), -float(self.slack[row]), int(self.level_if_leaves[row]))
            for row in gains
        )

    @cached_property
    def _tolerance(self) -> FloatArray:
        return as_float(self.stage.money_tolerance[self.users])

    @cached_property
    def outcome(self) -> Outcome:
        """What actually happens.

        Sequential: the subgame-perfect outcome. Simultaneous: everyone stays if that is stable,
        else where best replies lead from there (`simultaneous.best_reply_outcome`).
        """
        stay: BoolArray = np.ones(self.stage.n, dtype=bool)
        if self.path is not None:
            return outcome_of(self.instance, self.plan, self.stage, self.path.stay, self.path.level)
        leaves = self.protocol != "none" and self.deviations_exist
        return outcome_of(
            self.instance, self.plan, self.stage, best_reply_outcome(self.stage) if leaves else stay
        )

    @property
    def deviations_exist(self) -> bool:
        """Whether anybody gains by leaving, without listing them."""
        return bool((self.slack < -self._tolerance).any())


def check_withdrawal(
    instance: Instance,
    plan: Plan,
    protocol: str = "simultaneous",
    order: Any = "small-first",
) -> WithdrawalReport:
    """What happens to `plan` when users may withdraw by `protocol` (FORMULATION section 3).

    protocol : "simultaneous", "sequential", "coalition", or "none" (nobody may leave)
    order : sequential only: "small-first", "large-first", "cost", or a permutation of 0 … n−1

    Everything beyond the verdict (equilibria, ties, what would restore stability) is computed
    when it is asked for. Instances and plans given in exact numbers are decided exactly.

    Raises InvalidPlan for a plan without burdens, of another length, or above capacity;
    InvalidOption for an unknown protocol or order.
    """
    registry.choose("protocol", protocol, registry.PROTOCOLS)
    stage = stage_of(instance, plan)
    positions = order_of(instance, stage, order)
    path = None
    users = stage.movers
    level = int(stage.level_of(stage.total))
    if protocol == "none":
        users = users[:0]
        slack, after = as_float(users), users
    elif protocol == "sequential":
        path = sequential_path(stage, positions)
        users, slack, after = path.movers, path.slack(stage), path.if_leaves
    else:
        slack, after = all_stay_slack(stage)
    stays = bool(np.all(slack >= -stage.money_tolerance[users]))
    margin = float(slack.min()) if users.size else inf
    return WithdrawalReport(
        instance=instance,
        plan=plan,
        protocol=protocol,
        order=order if isinstance(order, str) else tuple(positions.tolist()),
        stage=stage,
        stable=protocol == "none" or (stays and (level > 0 or not users.size)),
        margin=max(margin, 0.0) if stays else margin,  # a tie is a slack of 0
        users=users,
        slack=as_float(slack),
        level_if_leaves=np.asarray(after),
        path=path,
    )

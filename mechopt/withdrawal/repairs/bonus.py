"""The least failure bonus after which every simultaneous equilibrium trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mechopt.answer.plan import Plan
from mechopt.status import Status
from mechopt.withdrawal.equilibria import Goal, extreme_equilibrium, failing_equilibrium
from mechopt.withdrawal.stage import Stage, stage_of

if TYPE_CHECKING:
    from mechopt.problem.instance import Instance


@dataclass(frozen=True, eq=False)
class FailureBonus:
    """The least failure bonus after which every simultaneous equilibrium trains.

    :bonus: 0 whenever some bonus works: either none is needed (`any_positive` False), or every
        positive one works, however small (`any_positive` True); None if no bonus is enough
    :status: OPTIMAL if proved; UNKNOWN if a limit was met
    """

    bonus: float | None
    any_positive: bool
    status: Status


def least_failure_bonus(
    instance: Instance, plan: Plan, *, time_limit: float = 60.0
) -> FailureBonus:
    """The least f after which no equilibrium without training is left (F6, any K).

    At level 0 a bonus only breaks the indifference between leaving and staying, so its size does
    not matter: either every positive one works or none does. A failing equilibrium survives iff
    some set S with X_S < T_1 has only outsiders who would tip the balance and do not want to:
    for K = 1, iff the strictly willing together stay below T. The bonus also pays nothing on
    path. Equilibria need not exist; "every equilibrium trains" is then true of none.
    """
    stage = stage_of(instance, plan)
    if not stage.movers.size:
        return FailureBonus(None, False, Status.OPTIMAL)
    raised = not np.all(stage.bonus[stage.movers] > 0)
    if raised:
        lowest = _lowest_level(stage, time_limit)
        if lowest is None:
            return FailureBonus(None, False, Status.UNKNOWN)
        if lowest > 0:
            return FailureBonus(0.0, False, Status.OPTIMAL)
        stage = stage.with_bonus(stage.thresholds[0] * 0 + 1)
    lowest = _lowest_level(stage, time_limit)
    if lowest is None:
        return FailureBonus(None, False, Status.UNKNOWN)
    return FailureBonus(0.0 if lowest else None, raised and bool(lowest), Status.OPTIMAL)


def _lowest_level(stage: Stage, time_limit: float) -> int | None:
    """Lowest level of an equilibrium; K if there is no equilibrium; None if not settled."""
    if failing_equilibrium(stage) is not None:
        return 0
    found = extreme_equilibrium(stage, stage.removed, Goal.LEAST_DATA, time_limit=time_limit)
    if found.status is Status.INFEASIBLE:
        return stage.levels
    if found.level_bound > 0:
        return found.level_bound
    return 0 if found.level == 0 else None

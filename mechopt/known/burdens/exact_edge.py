"""Thresholds and budgets that are met only just, or only up to rounding: decided in fractions.

Selection works in floating point with a tolerance (`tolerances.REACH`). Where an answer uses up
all that can be given, or all that may be paid, the level's problem is solved once more in exact
arithmetic (`exact_prices`). If it turns out to be short: exact data mean it is out of reach; float
data mean that rounding decides, which is said instead of guessed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mechopt import tolerances
from mechopt.arrays import exact_sum
from mechopt.known.burdens.level_curves import payment_needed
from mechopt.known.levels import LevelAnswer
from mechopt.problem.instance import Instance

LARGEST = 500  # users; beyond, an edge is reported, not decided (exact sums grow with n)
_NUDGE = 1e-9  # relative to the total: whether anybody could give this much more
_WITHIN = 10 * tolerances.REACH


def decided(
    instance: Instance,
    answer: LevelAnswer,
    *,
    mechanism: str,
    protocol: str,
    transfers: bool,
    reserve: float,
) -> LevelAnswer:
    """`answer`, refused or marked as a tie if its level is at the edge of what can be reached."""
    if answer.allocation is None or answer.payment is None:
        return answer
    amount = float(instance.thresholds[answer.level - 1]) + reserve
    paying = transfers and instance.budget > 0
    if not (
        _uses_all(instance, answer, amount, protocol, free=not paying)
        or (paying and exact_sum(answer.payment) >= instance.budget * (1 - _WITHIN))
    ):
        return answer
    if instance.n > LARGEST:
        return answer if not instance.is_exact else replace(answer, tie=_tie(answer.level))
    short = _exactly_short(instance, answer.level, mechanism, protocol, transfers, reserve)
    if not short:
        return answer
    if not instance.is_exact:
        return replace(answer, tie=_tie(answer.level))
    return LevelAnswer(
        answer.level,
        None,
        None,
        answer.quantity,
        f"level {answer.level} is out of reach by less than rounding, in exact arithmetic",
        {"constraint": "edge", "level": answer.level},
    )


def _tie(level: int) -> str:
    return (
        f"whether level {level} can be reached depends on the rounding of the data; "
        'give exact numbers (integers, "1/3", Fraction, Decimal) to decide it'
    )


def _uses_all(
    instance: Instance, answer: LevelAnswer, amount: float, protocol: str, *, free: bool
) -> bool:
    """Whether nobody could give a little more (without payment, if `free`)."""
    assert answer.allocation is not None
    burden = answer.allocation.burden
    more = np.minimum(burden + _NUDGE * amount, instance.capacity)
    room = more - burden
    if free:
        withdrawal = protocol not in ("none", "sequential")
        need = payment_needed(instance, answer.level, amount, more, withdrawal=withdrawal)
        room = np.where(need > 0, 0.0, room)
    if float(room.sum()) > 2 * _WITHIN * amount:  # far beyond the rounding of the sum
        return False
    return bool(exact_sum(room) <= _WITHIN * amount)


def _exactly_short(
    instance: Instance,
    level: int,
    mechanism: str,
    protocol: str,
    transfers: bool,
    reserve: float,
) -> bool:
    """Whether exact prices prove that nothing reaches the level."""
    from mechopt.checker.plans import PlanProblem
    from mechopt.exact.prices import LevelProblem
    from mechopt.problem.exact_data import decimal, instance_data

    terms = {
        "mechanism": mechanism,
        "objective": "provider-surplus",
        "protocol": "simultaneous" if protocol == "coalition" else protocol,
        "order": "small-first",
        "transfers": transfers,
        "reserve": str(decimal(reserve)) if instance.levels == 1 else "0",
        "target": None,
    }
    provider = PlanProblem(instance_data(instance), terms)
    problem = LevelProblem(provider, level)
    return provider.least(level, problem.solve()) is None

"""Exact data at an edge: thresholds and budgets that are met only just, decided in fractions.

Selection works in floating point, up to rounding (`tolerances.rounding`). That is all there is to
say with float data. With exact data, where an answer uses up all that can be given, or all that may
be paid, the level's problem is solved once more in exact arithmetic: it is reached or it is not.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from mechopt import tolerances
from mechopt.arrays import exact_sum
from mechopt.known.burdens.level_curves import payment_needed
from mechopt.known.levels import LevelAnswer, Wanted
from mechopt.problem.instance import Instance

LARGEST = 500  # users; beyond, an edge is reported, not decided (exact sums grow with n)
_NUDGE = 1e-9  # relative to the total: whether anybody could give this much more
_WITHIN = 10 * tolerances.REACH


def decided(instance: Instance, answer: LevelAnswer, wanted: Wanted) -> LevelAnswer:
    """`answer`, refused if exact data show that its level is out of reach after all."""
    if answer.allocation is None or answer.payment is None or not instance.is_exact:
        return answer
    amount = float(instance.thresholds[answer.level - 1]) + wanted.reserve
    paying = wanted.transfers and instance.budget > 0
    if not (
        _uses_all(instance, answer, amount, wanted.protocol, free=not paying)
        or (paying and exact_sum(answer.payment) >= instance.budget * (1 - _WITHIN))
    ):
        return answer
    if instance.n > LARGEST:
        undecided = (
            f"whether level {answer.level} is reached exactly was not decided: it is so close that "
            f"fractions must, and these are used up to {LARGEST} users"
        )
        return replace(answer, undecided=undecided)
    if not _exactly_short(instance, answer.level, wanted):
        return answer
    return LevelAnswer(
        answer.level,
        None,
        None,
        answer.quantity,
        f"level {answer.level} is out of reach by less than rounding, in exact arithmetic",
        {"constraint": "edge", "level": answer.level},
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


def _exactly_short(instance: Instance, level: int, wanted: Wanted) -> bool:
    """Whether exact prices prove that nothing reaches the level."""
    from mechopt.checker.plans import PlanProblem
    from mechopt.exact.prices import LevelProblem
    from mechopt.problem.exact_data import decimal, instance_data

    unit, single = instance.units.data, instance.levels == 1
    terms = {
        "mechanism": wanted.mechanism,
        "objective": "provider-surplus",
        "protocol": "simultaneous" if wanted.protocol == "coalition" else wanted.protocol,
        "order": "small-first",
        "transfers": wanted.transfers,
        "reserve": str(decimal(wanted.reserve * unit) / Fraction(unit)) if single else "0",
        "target": None,
    }
    provider = PlanProblem(instance_data(instance), terms)
    problem = LevelProblem(provider, level)
    return provider.least(level, problem.solve()) is None

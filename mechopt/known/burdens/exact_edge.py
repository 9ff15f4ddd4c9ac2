"""Exact data at an edge: thresholds and budgets that are met only just, decided in fractions.

Selection works in floating point, up to rounding (`tolerances.rounding`). That is all there is to
say with float data. With exact data, where an answer uses up all that can be given, or all that may
be paid, the level's problem is solved once more in exact arithmetic: it is reached or it is not.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from mechopt import tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import exact_sum
from mechopt.known.burdens.level_curves import payment_needed
from mechopt.known.levels import LevelAnswer, Wanted
from mechopt.problem.instance import Instance
from mechopt.status import Status

if TYPE_CHECKING:
    from mechopt.checker.plans import PlanProblem

SMALL = 500  # users; up to here the exact search that a certificate takes decides
PACE = 1e-3  # seconds that a user takes in fractions, beyond `SMALL`
PATIENCE = 60.0  # seconds for an edge if no time limit is given
FRACTIONS = 100  # users; up to here a plan that floats cannot hold is worked out in fractions
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
    seconds = PACE * instance.n
    if seconds > (PATIENCE if wanted.time_limit is None else wanted.time_limit):
        undecided = (
            f"whether level {answer.level} is reached exactly was not decided: it is so close that "
            f"fractions must, and these take about {seconds:.2g} s; give a longer time limit"
        )
        return replace(answer, undecided=undecided)
    short = _exactly_short(instance, answer.level, wanted)
    if short is None:
        undecided = (
            f"whether level {answer.level} is reached exactly was not decided: it is so close that "
            f"an exact search must, and with what may be lost by leaving that is for {SMALL} users"
        )
        return replace(answer, undecided=undecided)
    if not short:
        return answer
    reason = f"level {answer.level} is out of reach by less than rounding, in exact arithmetic"
    edge = {"constraint": "edge", "level": answer.level}
    return replace(answer, allocation=None, payment=None, reason=reason, shortfall=edge)


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


def _exactly_short(instance: Instance, level: int, wanted: Wanted) -> bool | None:
    """Whether exact prices prove that nothing reaches the level.

    None where they leave it open: beyond `SMALL` users there is no search, only the convex hulls of
    what users can be asked for, and whether what these take is a plan.
    """
    from mechopt.exact.prices import LevelProblem

    loose = replace(wanted, objective="provider-surplus", target=None)
    if instance.levels > 1:
        loose = replace(loose, reserve=0.0)
    provider = _provider(instance, loose)
    if instance.n > SMALL:
        reached = LevelProblem(provider, level).reachable()
        return None if reached is None else not reached
    return provider.least(level, LevelProblem(provider, level).solve()) is None


def _provider(instance: Instance, wanted: Wanted) -> PlanProblem:
    """The problem in fractions."""
    from mechopt.checker.plans import PlanProblem
    from mechopt.problem.exact_data import decimal, instance_data, spelled, target_share

    unit, target = instance.units.data, wanted.target
    terms = {
        "mechanism": wanted.mechanism,
        "objective": wanted.objective,
        "protocol": "simultaneous" if wanted.protocol == "coalition" else wanted.protocol,
        "order": "small-first",
        "transfers": wanted.transfers,
        "reserve": decimal(wanted.reserve * unit) / Fraction(unit),
        "target": None if target is None else target_share(target, instance),
    }
    return PlanProblem(instance_data(instance), spelled(terms))


def in_fractions(plan: Plan, wanted: Wanted) -> Plan:
    """`plan`, or where floats cannot hold exact data to their rows the exact plan in fractions.

    That is where a plan fails its own rows, or where what leaves with a user is lost in the
    rounding of floats but not in the data as given.
    """
    instance = plan.instance
    if (
        plan.status not in (Status.UNKNOWN, Status.FEASIBLE)
        or plan.burden is None
        or not instance.is_exact
        or instance.n > FRACTIONS
        or plan.mechanism != "burdens"
        or plan.protocol not in ("simultaneous", "coalition", "none")
        or plan.right != "whole"
    ):
        return plan
    taken = instance.removable * instance.capacity
    lost = 2 * tolerances.rounding(instance.n) * float(instance.thresholds[-1])
    if plan.status is Status.FEASIBLE and not ((taken > 0) & (taken <= lost)).any():
        return plan
    from mechopt.audits.plans import audit_plan
    from mechopt.exact.prices import LevelProblem

    provider = _provider(instance, wanted)
    aim = provider.aim
    found = None
    for level in range(max(1, aim.lowest), instance.levels + 1):
        problem = LevelProblem(provider, level)
        bound = provider.least(level, problem.solve())
        if bound is None:
            continue
        if problem.best is None or problem.best[0] != bound:
            return plan  # not proved in fractions either
        worth = aim.worth(level, bound)
        better = found is None or (worth < found[0] if aim.minimised else worth > found[0])
        if better and (aim.minimised or worth > 0):
            found = worth, problem.best[1], problem.best[2]
    if found is None:
        return plan
    worth, burden, payment = found
    given = Plan.from_arrays(instance, burden, payment)
    exact = plan.replace(
        burden=given.burden,
        payment=given.payment,
        _given=given._given,
        status=Status.OPTIMAL,
        objective=float(worth),
        bound=float(worth),
        reason="",
        details={**plan.details, "found_by": "fractions"},
    )
    return exact if audit_plan(instance, exact).ok else plan

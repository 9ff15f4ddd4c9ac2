"""Burdens that cross with the probability asked for, at least cost (docs: practice)."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.dropouts.hazards import Hazards, hazards_of
from mechopt.errors import InvalidOption, NotSupported
from mechopt.known.allocation import Allocation
from mechopt.known.levels import LevelAnswer, Wanted, best_level
from mechopt.known.safety import asked, bound, exact
from mechopt.known.safety.aim import Safe, SafeAim
from mechopt.known.safety.search import search
from mechopt.problem.aims import lead, objective_value, weakest
from mechopt.problem.instance import Instance
from mechopt.status import Status

_PATIENCE = 60.0  # seconds, without a time limit


def solve(instance: Instance, wanted: Wanted) -> Plan:
    """The best plan with P(X ≥ T_k) ≥ confidence of the level k it aims at.

    See `mechopt.known.burdens.solve`. A few users (`exact.small_enough`): proved. More: a plan, and
    a lower bound on what any safe plan takes (`bound`); OPTIMAL if the two meet.
    """
    confidence, shock = _check(wanted), wanted.shock
    order = wanted.order if wanted.protocol == "sequential" else None
    hazards, rights = hazards_of(instance, wanted.dropout, shock), wanted.protocol != "none"
    column = hazards.states[0][1] if isinstance(wanted.dropout, str) else wanted.dropout
    charged = wanted.objective == "welfare"
    aim = SafeAim(instance, hazards, confidence, rights, 1, order, wanted.transfers, charged)
    patience = _PATIENCE if wanted.time_limit is None else wanted.time_limit
    start = perf_counter()
    nothing = instance.practice is None and not wanted.transfers
    budget = 0.0 if nothing else instance.budget
    made: dict[int, Safe] = {}
    open_: dict[int, LevelAnswer] = {}

    def solve_level(level: int, quantity: str) -> LevelAnswer:
        part = (instance.levels - level + 1) / instance.levels
        one, deadline = replace(aim, level=level), start + patience * part
        found, answer = _solve_level(one, quantity, budget, deadline)
        if found is not None:
            made[level] = found
        if answer.shortfall and answer.shortfall["constraint"] == "time":
            open_[level] = answer
        return answer

    plan = best_level(
        instance,
        solve_level,
        wanted,
        solver="safety search",
        details={"dropout": terms(column, shock, confidence)},
    )
    plan = _with_aim(plan, aim, made)
    return _undecided(plan, wanted.objective, open_) if open_ else plan


def _with_aim(plan: Plan, aim: SafeAim, made: dict[int, Safe]) -> Plan:
    """The plan with the level it aims at, and how safe that is."""
    chosen = [level for level, safe in made.items() if safe.burden is plan.burden]
    if not chosen:
        return plan
    (level,) = chosen
    found, one = made[level].crossing, replace(aim, level=level)
    details = dict(plan.details)
    details["dropout"] = {**details["dropout"], "level": level}
    details["crossing"] = {"probability": found.probability, "low": found.low}
    details["relied_on"] = int((one.held_by(found) > 0).sum()) if aim.rights else 0
    return plan.replace(details=details)


def _undecided(plan: Plan, objective: str, open_: dict[int, LevelAnswer]) -> Plan:
    """What levels that were neither reached nor excluded leave open."""
    instance = plan.instance
    if not plan.level:
        reason = next(iter(open_.values())).reason
        nothing = {"burden": None, "payment": None, "objective": None, "bound": None}
        return plan.replace(status=Status.UNKNOWN, reason=reason, **nothing)
    bounds = [] if plan.bound is None else [plan.bound]
    for level, answer in open_.items():
        assert answer.shortfall is not None
        share, least = instance.share_at(level), float(answer.shortfall["least"])
        spent, cost = (least, 0.0) if answer.quantity == "pay" else (0.0, least)
        bounds.append(objective_value(instance, objective, share, spent, cost))
    bound = weakest(objective, bounds)
    status = plan.status
    if lead(objective, bound, plan.objective or 0.0) > 0:
        status = Status.FEASIBLE
    return plan.replace(bound=bound, status=status)


def terms(dropout: Any, shock: Any, confidence: float) -> dict[str, Any]:
    """What was assumed, as a plan and its file carry it."""
    return {
        "hazard": _listed(dropout),
        "shock": None if shock is None else [_listed(part) for part in shock],
        "confidence": float(confidence),
    }


def _listed(given: Any) -> Any:
    if isinstance(given, dict):
        return {str(label): float(value) for label, value in given.items()}
    return arrays.to_float(given).tolist()


def _check(wanted: Wanted) -> float:
    """The confidence asked for; InvalidOption or NotSupported where there is no such plan."""
    confidence = wanted.confidence
    if confidence is None or wanted.dropout is None:
        missing = "confidence" if confidence is None else "dropout"
        raise InvalidOption(f"{missing}: dropout and confidence go together")
    if not (isinstance(confidence, (int, float)) and 0 <= confidence <= 1):
        raise InvalidOption(f"confidence: must lie in [0, 1], got {confidence!r}")
    if wanted.protocol not in ("simultaneous", "sequential", "none"):
        raise NotSupported(
            "confidence: is for the protocols simultaneous, sequential and none, not "
            f"{wanted.protocol!r}"
        )
    if isinstance(wanted.order, str) and wanted.order == "designed":
        raise NotSupported(
            "confidence: no order is designed with drop-outs; leave it out or give one"
        )
    return float(confidence)


def _solve_level(
    aim: SafeAim, quantity: str, budget: float, deadline: float
) -> tuple[Safe | None, LevelAnswer]:
    everything = np.asarray(aim.range[1])
    top = aim.crossing(everything, fine=False)
    if top.low < aim.confidence <= top.high:
        top = aim.crossing(everything)
    if top.high < aim.confidence - tolerances.PROBABILITY:
        return None, _refused(
            aim,
            quantity,
            f"a crossing probability of {aim.confidence:g} is out of reach: with everything that "
            f"users can give it is {top.probability:.6g}",
            {"constraint": "confidence", "probability": top.probability},
        )
    proof = _counted(aim, quantity, budget, deadline)
    closed = proof is not None and proof[0] is not None and proof[0].value <= proof[1]
    found = None if closed else search(aim, quantity, budget, deadline)
    if proof is None:
        proof = _by_sets(aim, quantity, budget, deadline)
    if proof is not None:
        best, least, ended = proof
        # The plan of the search has no traces of the solver's tolerances.
        if best is not None and (found is None or best.value < found.value - _doubt(aim, found)):
            found = best
        if ended and least == inf and found is None:
            return None, _over_budget(aim, quantity, budget, deadline)
        if found is not None and ended:
            # HiGHS proves to its tolerances: within them the bound is the value
            least = found.value if found.value - least <= 2 * _doubt(aim, found) else least
    else:
        least = _bound(aim, quantity, found, deadline)
        seconds = min((deadline - perf_counter()) / 2, _PATIENCE / 12)
        open_ = seconds > 0 and (found is None or least < found.value)
        more = exact.likely(aim, quantity, budget, seconds) if open_ else None
        if more is not None:
            best, least = more[0], max(least, more[1])
            if best is not None and (found is None or best.value < found.value):
                found = best
    if found is None:
        needed = _bound(aim, "pay", None, deadline)
        if needed > budget * (1 + tolerances.REACH):
            return None, _over_budget(aim, quantity, budget, deadline, needed)
        reason = f"no plan within the budget of {budget:g} was found, and none excluded"
        numbers = {"constraint": "time", "payment": needed, "least": max(0.0, least)}
        return None, _refused(aim, quantity, reason, numbers)
    value, burden = found.value, arrays.freeze(found.burden)
    answer = Allocation(burden, value, max(0.0, min(value, least)), 0.0, 0.0)
    found = replace(found, burden=burden)
    return found, LevelAnswer(aim.level, answer, arrays.freeze(found.payment), quantity)


def _counted(
    aim: SafeAim, quantity: str, budget: float, deadline: float
) -> tuple[Safe | None, float, bool] | None:
    """The best of all plans, if they can be counted, as `exact.solve`; else None.

    In sequence that leaves a bound open, so not where `exact` has an answer.
    """
    if aim.instance.practice is None or (aim.order is not None and exact.small_enough(aim)):
        return None
    return asked.every_plan(aim, quantity, budget, deadline)


def _by_sets(
    aim: SafeAim, quantity: str, budget: float, deadline: float
) -> tuple[Safe | None, float, bool] | None:
    """`exact.solve`, if users are few. In sequence, if they are not quite so few, the best plan
    that holds in every order, and the bound of participation alone.
    """
    if exact.small_enough(aim):
        return exact.solve(aim, quantity, budget, deadline)
    at_once, freely = replace(aim, order=None), replace(aim, order=None, rights=False)
    if not exact.small_enough(at_once):
        return None
    middle = (perf_counter() + deadline) / 2
    best, _, _ = exact.solve(at_once, quantity, budget, middle)
    _, least, ended = exact.solve(freely, quantity, budget, deadline)
    return best, least, ended


def _bound(aim: SafeAim, quantity: str, found: Safe | None, deadline: float) -> float:
    """What no safe plan can do without, money; seen from the plan found, if there is one."""
    spread = 0.0 if found is None else _spread(aim.hazards, aim, found)
    near = None if found is None else found.burden
    least = bound.least(aim, quantity, spread, near, deadline)
    if aim.instance.practice is None:
        return least
    total = bound.least_total(aim, spread)
    return max(least, asked.least(aim, quantity, total, deadline))


def _over_budget(
    aim: SafeAim, quantity: str, budget: float, deadline: float, needed: float | None = None
) -> LevelAnswer:
    if needed is None:
        free = replace(aim, transfers=True)
        needed = max(
            proof[1]
            for way in (_counted, _by_sets)
            if (proof := way(free, "pay", inf, deadline)) is not None
        )
    if needed == inf:
        reason = (
            "no burdens that may be asked (least amounts, units, fixed burdens, groups) have a "
            f"crossing probability of {aim.confidence:g} (B1–B6)"
        )
        return _refused(aim, quantity, reason, {"constraint": "practice"})
    short = needed - budget
    most = f"{budget:g} may be spent: short by {short:g} (A4)"
    if short <= 0:
        most = "nobody may be paid"
    return _refused(
        aim,
        quantity,
        f"a crossing probability of {aim.confidence:g} takes payments of at least {needed:g}, "
        f"but {most}",
        {"constraint": "budget", "payment": needed, "money": max(short, 0.0)},
    )


def _refused(aim: SafeAim, quantity: str, reason: str, numbers: dict[str, Any]) -> LevelAnswer:
    return LevelAnswer(aim.level, None, None, quantity, reason, numbers)


def _doubt(aim: SafeAim, found: Safe) -> float:
    """What HiGHS' tolerances may move the money of a plan by."""
    scale = arrays.exact_sum(aim.instance.cost_of(found.burden))
    return 2 * tolerances.SOLVER * max(scale, abs(found.value))


def _spread(hazards: Hazards, aim: SafeAim, found: Safe) -> float:
    """The largest standard deviation of the loss in a state of the world, data."""
    removed = aim.instance.removable * found.burden
    return max(float(np.sqrt((h * (1 - h) * removed**2).sum())) for _, h in hazards.states)

"""Burdens whose crossing probability is at least what is asked for, at least cost (section 12)."""

from __future__ import annotations

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
from mechopt.known.safety import bound, exact
from mechopt.known.safety.search import Safe, search
from mechopt.known.safety.task import Task
from mechopt.problem.instance import Instance
from mechopt.status import Status

_PATIENCE = 60.0  # seconds, without a time limit


def solve(
    instance: Instance, wanted: Wanted, *, dropout: Any, shock: Any, confidence: float | None
) -> Plan:
    """The best plan with P(X ≥ T) ≥ confidence; see `mechopt.known.burdens.solve`.

    Up to `exact.MOST_USERS` users with capacity: proved. Above: a plan, and a lower bound on what
    any safe plan takes (`bound`); OPTIMAL if the two meet.
    """
    _check(instance, dropout, confidence, wanted.protocol)
    assert confidence is not None
    hazards = hazards_of(instance, dropout, shock)
    task = Task(instance, hazards, float(confidence), wanted.protocol == "simultaneous")
    deadline = perf_counter() + (_PATIENCE if wanted.time_limit is None else wanted.time_limit)
    budget = instance.budget if wanted.transfers else 0.0
    made: list[Safe] = []
    undecided: list[str] = []

    def solve_level(level: int, quantity: str) -> LevelAnswer:
        answer = _solve_level(task, quantity, budget, deadline, made)
        if answer.shortfall and answer.shortfall["constraint"] == "time":
            undecided.append(answer.reason)
        return answer

    plan = best_level(
        instance,
        solve_level,
        wanted,
        solver="safety search",
        details={"dropout": terms(dropout, shock, confidence)},
    )
    if undecided and not plan.level:
        return plan.replace(status=Status.UNKNOWN, burden=None, payment=None, objective=None)
    details = dict(plan.details)
    if made and plan.level:
        found = made[-1].crossing
        details["crossing"] = {"probability": found.probability, "low": found.low}
        details["relied_on"] = int((task.held_by(found) > 0).sum()) if task.rights else 0
    return plan.replace(details=details)


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


def _check(instance: Instance, dropout: Any, confidence: Any, protocol: str) -> None:
    if confidence is None or dropout is None:
        missing = "confidence" if confidence is None else "dropout"
        raise InvalidOption(f"{missing}: dropout and confidence go together")
    if not (isinstance(confidence, (int, float)) and 0 <= confidence <= 1):
        raise InvalidOption(f"confidence: must lie in [0, 1], got {confidence!r}")
    if protocol not in ("simultaneous", "none"):
        raise NotSupported(
            f"confidence: is for the protocols simultaneous and none, not {protocol!r}"
        )
    if instance.levels > 1:
        raise NotSupported(
            "confidence: is for one threshold; choose one with "
            "instance.replace(thresholds=[T], shares=[b])"
        )
    if instance.has_committed or instance.practice is not None:
        raise NotSupported(
            "confidence: not together with committed data, least amounts, units, contact costs, "
            "fixed burdens, steps or limits on groups"
        )


def _solve_level(
    task: Task, quantity: str, budget: float, deadline: float, made: list[Safe]
) -> LevelAnswer:
    top = task.crossing(np.asarray(task.instance.capacity))
    if top.high < task.confidence - tolerances.PROBABILITY:
        return _refused(
            quantity,
            f"a crossing probability of {task.confidence:g} is out of reach: with everything that "
            f"users can give it is {top.probability:.6g}",
            {"constraint": "confidence", "probability": top.probability},
        )
    found = search(task, quantity, budget, deadline)
    if task.instance.n <= exact.MOST_USERS:
        best, least, ended = exact.solve(task, quantity, budget, deadline)
        # The plan of the search has no traces of the solver's tolerances.
        if best is not None and (found is None or best.value < found.value - _doubt(task, found)):
            found = best
        if ended and least == inf and found is None:
            return _over_budget(task, quantity, budget, deadline)
        if found is not None and ended:
            # HiGHS proves to its tolerances: within them the bound is the value
            least = found.value if found.value - least <= 2 * _doubt(task, found) else least
    else:
        spread = 0.0 if found is None else _spread(task.hazards, task, found)
        least = bound.least(task, quantity, spread)
    if found is None:
        needed = bound.least(task, "pay", 0.0)
        if needed > budget * (1 + tolerances.REACH):
            return _over_budget(task, quantity, budget, deadline, needed)
        reason = f"no plan within the budget of {budget:g} was found, and none excluded"
        return _refused(quantity, reason, {"constraint": "time", "payment": needed})
    made.append(found)
    value = found.value
    answer = Allocation(arrays.freeze(found.burden), value, max(0.0, min(value, least)), 0.0, 0.0)
    return LevelAnswer(1, answer, arrays.freeze(found.payment), quantity)


def _over_budget(
    task: Task, quantity: str, budget: float, deadline: float, needed: float | None = None
) -> LevelAnswer:
    if needed is None:
        _, needed, _ = exact.solve(task, "pay", inf, deadline)
    short = needed - budget
    return _refused(
        quantity,
        f"a crossing probability of {task.confidence:g} takes payments of at least {needed:g}, "
        f"but {budget:g} may be spent: short by {short:g} (A4)",
        {"constraint": "budget", "payment": needed, "money": short},
    )


def _refused(quantity: str, reason: str, numbers: dict[str, Any]) -> LevelAnswer:
    return LevelAnswer(1, None, None, quantity, reason, numbers)


def _doubt(task: Task, found: Safe) -> float:
    """What HiGHS' tolerances may move the money of a plan by."""
    scale = arrays.exact_sum(task.instance.cost_of(found.burden))
    return 2 * tolerances.SOLVER * max(scale, abs(found.value))


def _spread(hazards: Hazards, task: Task, found: Safe) -> float:
    """The largest standard deviation of the loss in a state of the world, data."""
    removed = task.instance.removable * found.burden
    return max(float(np.sqrt((h * (1 - h) * removed**2).sum())) for _, h in hazards.states)

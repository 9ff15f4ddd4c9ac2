"""What the page shows for given terms: the plan beside the posted price, a replay, a frontier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import BoolArray
from mechopt.errors import MechoptError
from mechopt.explorer.terms import HURRY, PATIENCE, PageTerms
from mechopt.known.posted_price import supply_curve
from mechopt.known.practice import offers
from mechopt.problem.instance import Instance
from mechopt.solving import posted_beside, solve
from mechopt.status import Status
from mechopt.withdrawal.cascades import everyone_stays
from mechopt.withdrawal.metrics import amounts
from mechopt.withdrawal.moves import order_of
from mechopt.withdrawal.sequential import sequential_path
from mechopt.withdrawal.stage import Stage, as_float, stage_of

SHOWN = 240  # people drawn: those with the largest burdens
_FRONTIER = 13  # plans on the frontier
_PIXELS = 400  # in which the posted price is drawn, each way
_RESTORE = 5000  # users up to which it is worked out what would restore the plan


def answer(
    instance: Instance, terms: PageTerms, file: str, shown: int = SHOWN, patience: float = PATIENCE
) -> dict[str, Any]:
    """All that the page shows but the frontier, JSON-ready; `error` if the terms make no sense.

    `refine` says whether more than `patience` seconds of search may give a better answer.
    """
    began = perf_counter()
    lines = {"command": terms.command(file, instance), "python": terms.python(file, instance)}
    try:
        problem = terms.apply(instance)
        plan = _solved(problem, terms, patience)
        posted = posted_beside(plan)
        found = {
            **lines,
            "refine": patience < PATIENCE and plan.status in (Status.FEASIBLE, Status.UNKNOWN),
            "plan": _summary(plan),
            "posted": None if posted is None else _summary(posted),
            **_people(problem, plan, terms.out, shown),
        }
    except MechoptError as error:
        return {**lines, "error": str(error)}
    return {**found, "milliseconds": round(1000 * (perf_counter() - began), 1)}


def _solved(problem: Instance, terms: PageTerms, patience: float) -> Plan:
    options = terms.options()
    if terms.mechanism in ("burdens", "floor-and-burdens"):
        options["time_limit"] = patience
    plan: Plan = solve(problem, terms.mechanism, **options)
    return plan


def _summary(plan: Plan) -> dict[str, Any]:
    if plan.burden is None or plan.payment is None:
        return {"status": plan.status.value, "reason": plan.reason}
    found = amounts(plan)
    return {
        "status": plan.status.value,
        "objective": plan.objective_name,
        "value": plan.objective,
        "bound": plan.bound,
        "reason": plan.reason,
        "asked": int((plan.burden > 0).sum()),
        "total": plan.total,
        "level": plan.level,
        "share": found["improvement"],
        "payments": found["expenditure"],
        "cost": found["social_cost"],
        "surplus": found["provider_surplus"],
        "welfare": found["welfare"],
        "price": plan.details.get("price"),
    }


# -- the withdrawal stage, replayed ----------------------------------------------------------------


def _people(instance: Instance, plan: Plan, out: tuple[int, ...], shown: int) -> dict[str, Any]:
    """The people drawn, in the order in which they move, and what happens if `out` leave."""
    if plan.burden is None or plan.payment is None or not plan.level:
        return {"people": None, "replay": None}
    largest = np.argsort(-plan.burden, kind="stable")[:shown]
    largest = largest[plan.burden[largest] > 0]
    stage = stage_of(instance, plan, exact=False)
    sequential = plan.protocol == "sequential"
    positions = None
    if sequential:
        order = "small-first" if plan.order == "designed" else plan.order
        positions = order_of(instance, stage, order)
        rank = np.empty(instance.n, dtype=np.int64)
        rank[positions] = np.arange(instance.n)
        largest = largest[np.argsort(rank[largest])]
    else:
        largest = np.sort(largest)
    wave, total = _replay(stage, np.array(out, dtype=np.int64), positions)
    level = int(stage.level_of(total))
    ids = instance.ids
    shares = as_float(stage.shares)
    return {
        "people": {
            "at": largest.tolist(),
            "id": [str(ids[user]) for user in largest.tolist()],
            "burden": plan.burden[largest].tolist(),
            "payment": plan.payment[largest].tolist(),
            "r": as_float(stage.r)[largest].tolist(),
            "v": as_float(stage.v)[largest].tolist(),
            "lost": as_float(stage.lost)[largest].tolist(),
            "removed": as_float(stage.removed)[largest].tolist(),
            "tolerance": as_float(stage.money_tolerance)[largest].tolist(),
            "wave": wave[largest].tolist(),
        },
        "stage": {
            "thresholds": as_float(stage.reached).tolist(),
            "shares": shares.tolist(),
            "total": float(stage.total),
            "protocol": plan.protocol,
        },
        "replay": {
            "out": list(out),
            "followers": int((wave > 0).sum()),
            "waves": int(wave.max(initial=0)),
            "total": float(total),
            "level": level,
            "share": float(shares[level]),
            "names": [str(ids[user]) for user in _in_order(wave, positions)[:12].tolist()],
            "restore": _restore(plan, out, wave) if out else None,
        },
    }


def _replay(stage: Stage, out: Any, positions: Any) -> tuple[Any, float]:
    """(wave, total left): −1 stays, 0 clicked out, k > 0 follows in wave k. Shapes (n,), ().

    Simultaneous: all who gain by leaving then leave at once, and so on. Sequential: the outcome of
    the game of the others; it is followed only where bounds do not show already that all stay.
    """
    wave = np.full(stage.n, -1)
    stay: BoolArray = np.ones(stage.n, dtype=bool)
    if positions is not None:
        x, removed, committed = stage.x.copy(), stage.removed.copy(), np.array(stage.committed)
        x[out] -= removed[out]
        removed[out], committed[out] = 0, x[out]
        others = replace(stage, x=x, removed=removed, committed=committed)
        if not everyone_stays(others, positions[others.able[positions]]):
            stay = sequential_path(others, positions).stay.copy()
        stay[out] = False
        wave[~stay] = 1
        wave[out] = 0
        return wave, float(stage.total_of(stay))
    stay[out] = False
    wave[out] = 0
    for turn in range(1, stage.n + 2):
        total = stage.total_of(stay)
        level = stage.level_of(total)
        if level == 0:
            break
        after = stage.level_of(total - stage.removed)
        gains = stage.leaving_pays(np.arange(stage.n), after) - stage.staying_pays(
            np.arange(stage.n), np.full(stage.n, level)
        )
        leaves = stay & stage.able & (gains > stage.money_tolerance)
        if not leaves.any():
            break
        wave[leaves] = turn
        stay = stay & ~leaves
    return wave, float(stage.total_of(stay))


def _in_order(wave: Any, positions: Any) -> Any:
    """Who leaves, in order."""
    users = np.arange(wave.size) if positions is None else positions
    users = users[wave[users] >= 0]
    return users if positions is not None else users[np.argsort(wave[users], kind="stable")]


def _restore(plan: Plan, out: tuple[int, ...], wave: Any) -> dict[str, Any] | None:
    """The least top-up if those clicked out have left and everybody else is asked to stay."""
    if plan.instance.n > _RESTORE:
        return None
    import json

    from mechopt.campaign.replay import replay

    ids = plan.instance.ids
    lines = [json.dumps({"id": str(ids[user]), "event": "withdrew"}) for user in out]
    found = replay(plan, lines).top_up
    if found is None:
        return {"status": "none needed", "users": []}
    document = found.to_dict()
    document["count"] = len(document["users"])
    document["users"] = document["users"][:6]
    return document


# -- the frontier ---------------------------------------------------------------------------------


def frontier(
    instance: Instance, terms: PageTerms, leave_off: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Least payments against data: the plan at some amounts, the posted price at all of them.

    `rows` [data, payments or None, status] of plans; `posted` [data, payments] where the price has
    to rise, in steps; `here` : the highest threshold. Empty if `leave_off` says so in between.
    """
    problem = terms.apply(instance).replace(budget=None)
    options = {
        name: value for name, value in terms.options().items() if name in ("protocol", "order")
    }
    most = arrays.exact_sum(problem.capacity)
    here = float(problem.thresholds[-1])
    goals = np.linspace(0.1, 1.0, _FRONTIER) * min(most, 2 * here)
    rows: list[list[Any]] = []
    for goal in goals.tolist():
        if leave_off():
            return {}
        one = problem.replace(thresholds=[goal], shares=[float(problem.shares[-1])])
        plan = solve(one, "burdens", objective="expenditure", time_limit=HURRY, **options)
        paid = arrays.exact_sum(plan.payment) if plan.level and plan.payment is not None else None
        rows.append([goal, paid, plan.status.value])
    return {"rows": rows, "posted": _posted_steps(problem, float(goals[-1])), "here": here}


def _posted_steps(problem: Instance, most: float) -> list[list[float]]:
    """[data, payments] up to `most`: the last of each pixel, so that jumps stand where they are."""
    plain = problem if problem.practice is None else offers.enveloped(problem)
    supply = supply_curve(plain)
    paid = supply.price * supply.total
    if problem.practice is not None:
        paid += offers.contacts_at(plain, problem.contact_cost, supply.price)
    end = int(np.searchsorted(supply.total, most * (1 - tolerances.DATA))) + 1
    data, paid = supply.total[1:end], paid[1:end]
    pixel = np.floor(
        np.stack((data / most, paid / max(float(paid[-1]), tolerances.TINY))) * _PIXELS
    )
    last = np.append((np.diff(pixel, axis=1) != 0).any(axis=0), True)
    return np.stack((data[last], paid[last]), axis=1).tolist()

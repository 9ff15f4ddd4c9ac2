"""Exact answers and proofs where costs are known: burdens, subsidies, posted offers."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np

from mechopt.answer.plan import Plan
from mechopt.arrays import exact_sum
from mechopt.certificates.draft import Draft
from mechopt.certificates.zone_proofs import zone_node
from mechopt.checker.claims import problem_of
from mechopt.checker.data import Refuted
from mechopt.checker.posted import PostedProblem
from mechopt.checker.zones import in_zones, zones_of
from mechopt.errors import InvalidOption, NotSupported, TooLarge
from mechopt.exact.practice import LevelInPractice
from mechopt.exact.prices import LevelProblem
from mechopt.known.burdens.committed import open_problem
from mechopt.problem.aims import objective_value
from mechopt.problem.exact_data import decimal, instance_data, spelled, target_share
from mechopt.problem.instance import Instance

_NEAR = Fraction(1, 10**11)  # relative: what rounding may have added to a cost
MOST_EVALUATIONS = 2_000_000  # of cost curves, in an enumeration of contracts: about a minute


def _aim(instance: Instance, plan: Plan) -> dict[str, Any]:
    if plan.objective_name is None:
        raise InvalidOption("certify: the plan does not say which objective it optimises")
    target = plan.options.get("target")
    return {
        "mechanism": plan.mechanism,
        "objective": plan.objective_name,
        "target": None if target is None else target_share(target, instance),
    }


def _terms(instance: Instance, plan: Plan) -> dict[str, Any]:
    order = plan.order if isinstance(plan.order, str) else [int(user) for user in plan.order]
    if order == "cost":
        costs = instance.exact("cost")
        order = sorted(range(instance.n), key=lambda user: costs[user])
    free = plan.protocol == "sequential" and plan.options.get("order") == "designed"
    if order == "designed":  # no order was found
        order = "small-first"
    return {
        **_aim(instance, plan),
        "protocol": "none" if plan.mechanism == "complete-information" else plan.protocol,
        "order": order,
        "transfers": plan.options.get("transfers", True),
        "reserve": decimal(plan.reserve),
        **({"withdrawal": "part"} if plan.right == "part" else {}),
        **({"order_free": True} if free else {}),
    }


def plan_draft(instance: Instance, plan: Plan) -> Draft:
    """The best exact plan over all levels, with a proof for each level that matters."""
    terms, data = _terms(instance, plan), instance_data(instance)
    plan = on_top(instance, plan)
    problem = problem_of(data, spelled(terms))
    aim = problem.aim
    proof: dict[str, Any] = {}
    best: tuple[Fraction, dict[str, Any]] | None = None
    # all levels that count, down to the first reached if only the share counts
    levels = problem.levels.K
    last = levels + 1 if aim.minimised and aim.lowest == 0 else max(1, aim.lowest)
    for level in range(levels, last - 1, -1):
        one = _level(instance, problem, level)
        if levels > 1 or problem.reserve > 0 or instance.practice is not None:
            if problem.protocol == "sequential":
                _suggest_simultaneous(instance, one, data, terms)
            _suggest(instance, one, plan)
        proof[str(level)] = one.solve()
        if isinstance(one, LevelProblem) and in_zones(problem, level):
            proof[str(level)] = _better(
                problem, level, proof[str(level)], zone_node(one, instance, plan)
            )
        if one.best is None:
            continue
        spent, burden, payment = one.best
        worth = aim.worth(level, spent)
        if best is None or (worth < best[0] if aim.minimised else worth > best[0]):
            best = worth, {"level": level, "burden": burden, "payment": payment}
        if aim.objective == "improvement":
            break
    nothing = [Fraction(0)] * instance.n
    answer: dict[str, Any] = {"level": 0, "burden": nothing, "payment": nothing}
    if best is not None and (aim.minimised or best[0] > 0):
        answer = best[1]
    remark = "whether the exact bound is attained"
    if problem.protocol == "sequential":
        remark += " (in sequence zones bound what is needed: F12)"
    return Draft(data, terms, problem, answer, proof, remark)


def _better(
    problem: Any, level: int, alone: dict[str, Any], zones: dict[str, Any] | None
) -> dict[str, Any]:
    """Of two proofs of a level, the one that proves more: participation alone, or zones."""
    if zones is None:
        return alone
    try:
        least, other = problem.least(level, alone), problem.least(level, spelled(zones))
    except Refuted:  # the prices, rounded, do not show what they are to show
        return alone
    return zones if least is not None and (other is None or other > least) else alone


def on_top(instance: Instance, plan: Plan) -> Plan:
    """The plan as one for what is open beside the data committed: `plan` where there are none."""
    if not instance.has_committed:
        return plan
    rest = open_problem(instance)
    if rest.instance is None:
        raise NotSupported("certify: the data committed reach every threshold, or nothing is open")
    spent = exact_sum(instance.cost_of(instance.committed))
    share, name = instance.share_at(rest.level), plan.objective_name or ""
    nothing = objective_value(instance, name, share, 0.0, spent)

    def less(number: float | None) -> float | None:
        return None if number is None else number - nothing

    burden = None if plan.burden is None else np.maximum(plan.burden - instance.committed, 0.0)
    changes = {"objective": less(plan.objective), "bound": less(plan.bound), "burden": burden}
    return plan.replace(instance=rest.instance, _given={}, **changes)


def _level(instance: Instance, problem: Any, level: int) -> LevelProblem | LevelInPractice:
    """What proves a level, exactly."""
    road = LevelProblem if instance.practice is None else LevelInPractice
    return road(problem, level)


def _suggest_simultaneous(
    instance: Instance,
    problem: LevelProblem | LevelInPractice,
    data: dict[str, Any],
    terms: dict[str, Any],
) -> None:
    """The simultaneous answer is one of the sequential protocol too (F1)."""
    simultaneous = problem_of(data, spelled({**terms, "protocol": "simultaneous"}))
    other = _level(instance, simultaneous, problem.level)
    other.solve()
    if other.best is not None:
        problem.consider(other.best[1], other.best[2])


def _suggest(instance: Instance, problem: LevelProblem | LevelInPractice, plan: Plan) -> None:
    """The plan's own numbers as decimals, with what rounding did to limits and total put right."""
    if plan.level != problem.level or plan.burden is None or plan.payment is None:
        return
    burden, payment = (
        [decimal(number) for number in column]
        for column in (plan.burden.tolist(), plan.payment.tolist())
    )
    if isinstance(problem, LevelInPractice):
        burden = problem.put_right(burden)
        problem.consider_burdens(burden)
        step = problem.provider.step
        whole = [round(paid / step) * step if step else paid for paid in payment]
        problem.consider(burden, whole)
        return
    room = [Fraction(0)] * len(burden)
    if in_zones(problem.provider, problem.level):
        room = _within_limits(problem, burden, payment)
    missing = problem.amount - sum(burden)
    alone = Counter(float(x) for x in burden)  # whose place in the order a little more moves
    for i in sorted(
        range(len(room)), key=lambda i: (alone[float(burden[i])], -room[i], -payment[i])
    ):
        curve = problem.provider.users[i].curve
        if missing and burden[i] > 0 and 0 <= burden[i] + missing <= curve.capacity:
            more = curve.cost(burden[i] + missing) - curve.cost(burden[i])
            if room[i] < more and in_zones(problem.provider, problem.level):
                payment[i] += more
            burden[i] += missing
            break
    if problem.provider.exactly(problem.level):
        problem.consider_burdens(burden)
    else:
        problem.consider(burden, payment)


def _within_limits(
    problem: LevelProblem, burden: list[Fraction], payment: list[Fraction]
) -> list[Fraction]:
    """Costs that are above what a zone holds, or participation, by rounding alone: less is given.

    Returns what is left to each user's lowest limit, money; 0 if that is no more than rounding.
    """
    zones = zones_of(problem.provider, problem.level)
    left = []
    for i, (user, paid) in enumerate(zip(zones.users, payment)):
        limits = [user.value * zones.b[problem.level] + paid]
        if user.rho > 0:
            held = {zones.held(user, zone) for zone in range(zones.top + 1)}
            limits += [(one + paid) / user.rho for one in held]
        cost = user.curve.cost(burden[i])
        over = [limit for limit in limits if limit < cost <= limit * (1 + _NEAR)]
        if over:
            burden[i] = user.curve.inverse(min(over))
        room = min(limits) - cost
        left.append(room if room > _NEAR * cost else Fraction(0))
    return left


def posted_draft(instance: Instance, plan: Plan) -> Draft:
    """The best posted offer; the checker itself compares all there are."""
    terms, data = {**_aim(instance, plan), "offer": _given_offer(plan)}, instance_data(instance)
    evaluations = instance.n**2 * instance.levels * instance.slopes.shape[1]
    if plan.mechanism == "posted-contract" and evaluations > MOST_EVALUATIONS:
        raise TooLarge(
            f"certify: comparing the contracts of {instance.n:,} users takes {evaluations:,} "
            f"evaluations in fractions; the limit is {MOST_EVALUATIONS:,}. Certify a posted price, "
            "or fewer users"
        )
    problem = PostedProblem(data, spelled(terms))
    ranked = problem.ranked()
    sign = -1 if problem.aim.minimised else 1
    answer: dict[str, Any] | None = None if problem.offer else {}
    if ranked:
        best = max(ranked, key=lambda one: (sign * one[0], -one[1]))
        answer = best[2] if problem.offer or problem.aim.lowest or best[0] > 0 else {}
    return Draft(data, terms, problem, answer, {})


def _given_offer(plan: Plan) -> dict[str, Any] | None:
    """The only offer allowed, if there is one."""
    if plan.mechanism == "posted-price":
        price = plan.options.get("price")
        return None if price is None else {"price": decimal(price)}
    if plan.options.get("payment") is None:
        return None
    return {"floor": decimal(plan.options["floor"]), "pay": decimal(plan.options["payment"])}


DRAFTS = {
    "burdens": plan_draft,
    "subsidy": plan_draft,
    "complete-information": plan_draft,
    "posted-price": posted_draft,
    "posted-contract": posted_draft,
}

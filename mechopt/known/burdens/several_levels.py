"""Personalized burdens with several thresholds, or a reserve, under a withdrawal protocol.

One problem per level (`simultaneous_level`, `burdens_sequential`); the objective decides among the
levels and the null outcome.

A reserve secures the level reached: X − R must reach the same threshold as X. So level k < K is
offered only if T_k + R < T_{k+1}.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import tolerances, words
from mechopt.answer.plan import Plan
from mechopt.arrays import IntArray, exact_sum
from mechopt.errors import NotSupported
from mechopt.known.burdens import exact_edge
from mechopt.known.burdens.separable import Stakes, one_level
from mechopt.known.burdens.simultaneous_level import over_budget, solve_level
from mechopt.known.levels import LevelAnswer, Wanted, best_level
from mechopt.problem.aims import MINIMISED, as_noticed, weakest
from mechopt.problem.instance import Instance
from mechopt.problem.practice import refuse_with
from mechopt.status import Status

PATIENCE = 60.0  # seconds of search if no time limit is given
_SHARE = 0.6  # of the time left, for a level if lower ones are to follow


# (level, quantity): the budget (money) with which it was solved, and what was found.
Known = dict[tuple[int, str], tuple[float, LevelAnswer]]


def solve(instance: Instance, wanted: Wanted, known: Known | None = None) -> Plan:
    """The best burdens and payments under a withdrawal protocol, for any K and reserve.

    :protocol: "simultaneous"; "coalition", which is the same design problem: of those who gain by
        leaving together, the one with the least data gains at least as much by leaving alone;
        "sequential" in an `order`: "small-first", "large-first", "cost", a permutation, or
        "designed" (the provider's choice; the plan's `order` then is the permutation found)
    :withdrawal: "part" if any amount may be taken back. What nobody wants to take back while the
        others keep everything he does not take back in any order either, so the simultaneous plan
        serves the sequential protocol; the bound there is that of participation alone
    :known: what earlier solves found that differ in budget or provider value alone; taken over
        where it holds, and added to
    :mechanism: "subsidy" pays everybody in full; only where section 11 asks for this road

    Returns a Plan with a proved bound; `details["levels"]` has one row per level solved. Status is
    FEASIBLE with the gap where the search stopped (`time_limit`, default 60 s) or where bound and
    plan do not meet (sequential). Raises InvalidOption, NotSupported.
    """
    if wanted.method == "model":
        raise NotSupported(
            "method 'model' solves one threshold; with several, build_model gives the readable "
            "formulations 'burdens-levels' and 'burdens-levels-bigm'"
        )
    deadline = perf_counter() + (PATIENCE if wanted.time_limit is None else wanted.time_limit)
    rows: list[dict[str, Any]] = []
    orders: dict[int, IntArray] = {}
    best = 0.0
    budget = instance.budget if wanted.transfers else 0.0
    lowest = wanted.lowest(instance) if wanted.objective in MINIMISED else 1

    def answer(level: int, quantity: str) -> LevelAnswer:
        nonlocal best
        began = perf_counter()
        left = deadline - began if level <= lowest else _SHARE * (deadline - began)
        ceiling = _ceiling(instance, level, wanted.objective)
        if ceiling is not None and ceiling < best:
            most = ceiling * instance.units.money
            reason = f"level {level} is worth at most {most:g}, less than another level's plan"
            found = LevelAnswer(level, None, None, quantity, reason, found_by="")
        elif (carried := _carried(instance, level, quantity, known, budget)) is not None:
            found = carried
        else:
            found = _solve_level(instance, level, quantity, wanted, began + left)
            if known is not None:
                known[level, quantity] = budget, found
        if wanted.withdrawal == "whole" and instance.practice is None:
            found = exact_edge.decided(instance, found, wanted)
        if ceiling is not None and found.allocation is not None:
            best = max(best, ceiling - found.allocation.value)
        if found.order is not None:
            orders[level] = found.order
        rows.append(level_row(instance, found, perf_counter() - began))
        return found

    plan = best_level(instance, answer, wanted, details={"levels": rows})
    if (plan.level or 0) in orders:  # the provider's choice
        plan = plan.replace(order=orders[plan.level or 0].tolist())
    return admit_undecided(plan, rows)


def _solve_level(
    instance: Instance, level: int, quantity: str, wanted: Wanted, deadline: float
) -> LevelAnswer:
    """One level by the road that is for it."""
    if instance.practice is not None:
        if wanted.withdrawal == "part":
            refuse_with(instance, "withdrawal 'part'")
        from mechopt.known.practice.level import solve_level as solve_in_practice

        return solve_in_practice(as_noticed(instance), level, quantity, wanted, deadline)
    if wanted.protocol == "sequential" and wanted.withdrawal == "whole":
        words.need_docstrings()
        from mechopt.known.sequential import solve as in_sequence  # with Pyomo

        return in_sequence.solve_level(as_noticed(instance), level, quantity, wanted, deadline)
    found = solve_level(instance, level, quantity, wanted, deadline)
    if wanted.protocol != "sequential":
        return found
    # Of a part nobody takes anything back in any order; the bound that holds in any order is (A3).
    freely = Stakes(instance.value * instance.share_at(level), np.zeros(instance.n))
    free = one_level(instance, level, quantity, wanted, freely)
    if free.allocation is None:
        return replace(free, nodes=found.nodes)
    least = free.allocation.bound
    if found.allocation is None:
        reason = f"level {level}: no plan was found that is sustained in sequence, none excluded"
        return replace(found, reason=reason, shortfall={"constraint": "sequential"}, least=least)
    bound = min(found.allocation.bound, least)
    return replace(found, allocation=replace(found.allocation, bound=bound))


def _carried(
    instance: Instance, level: int, quantity: str, known: Known | None, budget: float
) -> LevelAnswer | None:
    """What is known of the level from another budget, as far as it holds for this one.

    The least payments are the same for every budget that covers them. A plan found with a larger
    budget stays the best if it is still covered.
    """
    if known is None or (level, quantity) not in known:
        return None
    other, found = known[level, quantity]
    if other == budget:
        return found
    if found.allocation is None or found.payment is None:
        without_money = (found.shortfall or {}).get("constraint") in ("capacity", "reserve")
        return found if without_money else None
    covered = found.sums(instance)[0] <= budget
    if covered and (quantity == "pay" or budget < other):
        return found
    least = found.allocation.bound
    if quantity == "pay" and least > budget * (1 + tolerances.REACH):
        return over_budget(instance, level, quantity, least, budget)
    return None


def _ceiling(instance: Instance, level: int, objective: str) -> float | None:
    """What the objective is at `level` if nothing is paid or borne; None if it is minimised."""
    worth = instance.provider_value * instance.share_at(level)
    if objective == "provider-surplus":
        return worth
    if objective == "welfare":
        return worth + exact_sum(instance.value) * instance.share_at(level)
    return None


def level_row(instance: Instance, found: LevelAnswer, seconds: float) -> dict[str, Any]:
    """One row of `details["levels"]`."""
    row: dict[str, Any] = {
        "level": found.level,
        "share": instance.share_at(found.level),
        "status": "out of reach" if found.least is None else "undecided",
        "minimised": found.quantity,
        "expenditure": None,
        "social_cost": None,
        "bound": found.least,
        "nodes": found.nodes,
        "found_by": found.found_by,
        "seconds": seconds,
        "reason": found.reason,
    }
    if found.allocation is not None and found.payment is not None:
        row["status"] = "sustained"
        row["expenditure"], row["social_cost"] = found.sums(instance)
        row["bound"] = found.allocation.bound
    return row


def admit_undecided(plan: Plan, rows: list[dict[str, Any]]) -> Plan:
    """`plan`, with what a level left undecided may be worth admitted in status and bound."""
    instance, objective = plan.instance, plan.objective_name
    open_ = [row for row in rows if row["status"] == "undecided"]
    if not open_:
        return plan
    minimise = objective in MINIMISED
    possible = [
        row["bound"]
        if minimise
        else row["share"]
        if objective == "improvement"
        else (_ceiling(instance, row["level"], str(objective)) or 0.0) - row["bound"]
        for row in open_
    ]
    at_best = weakest(str(objective), possible)
    nothing_found = plan.status is Status.INFEASIBLE or (minimise and plan.status is Status.NULL)
    if nothing_found or plan.objective is None or plan.bound is None:
        return plan.replace(
            status=Status.UNKNOWN, burden=None, payment=None, objective=None, bound=at_best
        )
    bound = weakest(str(objective), (plan.bound, at_best))
    return plan.replace(status=plan.status if bound == plan.bound else Status.FEASIBLE, bound=bound)

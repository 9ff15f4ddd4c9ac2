"""Choosing the level: one problem per threshold, the objective decides among them and null.

Shared by the mechanisms whose levels are independent of one another (subsidy, burdens with one
threshold or without withdrawal rights).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray, IntArray
from mechopt.known import rows
from mechopt.known.allocation import Allocation
from mechopt.problem.aims import MINIMISED, check_options, lead, objective_value, weakest, worthless
from mechopt.problem.instance import Instance
from mechopt.status import Status


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of a mechanism; the options are those of `known.burdens.solve`."""

    mechanism: str = "burdens"
    objective: str = "provider-surplus"
    protocol: str = "simultaneous"
    order: Any = "small-first"
    target: float | None = None
    transfers: bool = True
    reserve: float = 0.0
    method: str = "auto"
    time_limit: float | None = None
    seed: int = 0
    withdrawal: str = "whole"
    dropout: Any = None
    shock: Any = None
    confidence: float | None = None

    def lowest(self, instance: Instance) -> int:
        """The lowest level that meets the target; InvalidOption for an option that cannot be."""
        return check_options(instance, self.objective, self.target, self.reserve)

    def fields(self, **others: Any) -> dict[str, Any]:
        """Of the plan: what it is for. Where the order is to be designed, any will do at first."""
        designed = isinstance(self.order, str) and self.order == "designed"
        return {
            "mechanism": self.mechanism,
            "objective_name": self.objective,
            "protocol": self.protocol,
            "order": "small-first" if designed else self.order,
            "reserve": float(self.reserve),
            "seed": self.seed,
            "right": self.withdrawal,
            **others,
        }


@dataclass(frozen=True, eq=False)
class LevelAnswer:
    """The best plan that reaches level k (1-based), or why there is none.

    :quantity: what was minimised, "pay" or "cost"; allocation.value and .bound are of that
    :undecided: why it is not known whether exact data reach the level, if so
    :note: what holds only up to rounding
    :least: where there is neither plan nor proof: what was minimised is at least this
    :order: the order in which users decide, where the provider chose it
    """

    level: int
    allocation: Allocation | None
    payment: FloatArray | None
    quantity: str
    reason: str = ""
    shortfall: dict[str, Any] | None = None
    undecided: str = ""
    note: str = ""
    least: float | None = None
    nodes: int = 0
    order: IntArray | None = None
    found_by: str = "level decomposition (F8)"

    def sums(self, instance: Instance) -> tuple[float, float]:
        """What the plan spends and its social cost, money; worked out once (n additions each)."""
        assert self.allocation is not None
        assert self.payment is not None
        if "_sums" not in self.__dict__:
            burden = self.allocation.burden
            cost = arrays.exact_sum(instance.cost_of(burden))
            self.__dict__["_sums"] = spending(instance, burden, self.payment), cost
        sums: tuple[float, float] = self.__dict__["_sums"]
        return sums


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidate offers, a column each: level reached; spent, social cost and contacts, money."""

    level: IntArray
    spent: FloatArray
    cost: FloatArray
    contact: FloatArray | float = 0.0

    def best(self, instance: Instance, objective: str, lowest: int) -> tuple[float, int] | None:
        """(objective, place) of the best one within budget.

        Where a target is possible it reaches level `lowest`. Ties by lower payments (for the share)
        and lower social cost. None if none qualifies; place −1 if there are none at all.
        """
        share = np.append(0.0, instance.shares)[self.level]
        score = objective_value(instance, objective, share, self.spent, self.cost, self.contact)
        if objective in MINIMISED:
            score = -score
        else:
            lowest = 0
        within = instance.budget * (1 + tolerances.REACH)
        allowed = np.flatnonzero((self.spent <= within) & (self.level >= lowest))
        if allowed.size == 0:
            return None if lowest else (0.0, -1)
        second = self.spent if objective == "improvement" else self.cost
        order = np.lexsort((self.cost[allowed], second[allowed], -score[allowed]))
        place = int(allowed[order[0]])
        return float(score[place]), place


def best_level(
    instance: Instance,
    solve_level: Callable[[int, str], LevelAnswer],
    wanted: Wanted,
    **others: Any,
) -> Plan:
    """Solve the levels that come into question and keep the best; ties by lower social cost."""
    objective, target, lowest = wanted.objective, wanted.target, wanted.lowest(instance)
    fields = wanted.fields(**others)
    if lowest > instance.levels:
        return no_such_share(instance, target, fields)
    if lowest == 0:  # target 0: nothing is asked for, and nothing is cheapest
        return Plan.null(instance, reason="a target share of 0 is met by doing nothing", **fields)
    quantity = "cost" if objective in ("social-cost", "welfare") else "pay"
    first = lowest if objective in MINIMISED else 1
    answers = []
    for level in range(instance.levels, first - 1, -1):
        answers.append(solve_level(level, quantity))
        if objective == "improvement" and answers[-1].allocation is not None:
            break
    return _choose(instance, answers, objective, target, fields)


def value_of(
    instance: Instance, objective: str, share: float, burden: FloatArray, payment: FloatArray
) -> float:
    """The objective of a plan that reaches `share`."""
    contact = 0.0 if instance.practice is None else instance.practice.contact_of(burden)
    spent, cost = arrays.exact_sum(payment) + contact, arrays.exact_sum(instance.cost_of(burden))
    return objective_value(instance, objective, share, spent, cost, contact)


def spending(instance: Instance, burden: FloatArray, payment: FloatArray) -> float:
    """Σ t_i, and κ_i for everybody asked: what counts against the budget, money."""
    paid = arrays.exact_sum(payment)
    return paid if instance.practice is None else paid + instance.practice.contact_of(burden)


def _choose(
    instance: Instance,
    answers: list[LevelAnswer],
    objective: str,
    target: float | None,
    fields: dict[str, Any],
) -> Plan:
    best: Plan | None = None
    best_cost = np.inf
    chosen: LevelAnswer | None = None
    bounds: list[float] = []
    for answer in answers:
        if answer.allocation is None or answer.payment is None:
            continue
        plan, bound, social_cost = _as_plan(instance, answer, objective, fields)
        bounds.append(bound)
        if best is None or _better(plan, social_cost, best, best_cost):
            best, best_cost, chosen = plan, social_cost, answer
    if best is None or chosen is None:
        worst = answers[0]
        return infeasible(instance, target, worst.reason, worst.shortfall or {}, fields)
    assert best.objective is not None
    scale = max(best_cost, instance.provider_value)  # the size of the money involved
    if best.objective <= worthless(instance, objective, best_cost):
        bound = max(0.0, *bounds)
        close = bound <= tolerances.MONEY * scale
        return Plan.null(
            instance,
            bound=bound,
            status=Status.NULL if close else Status.FEASIBLE,
            reason=(
                f"the best plan that reaches a threshold has a {objective.replace('-', ' ')} of "
                f"{best.objective * instance.units.money:g}, no more than doing nothing"
            ),
            shortfall={"constraint": "objective", "money": -best.objective},
            **fields,
        )
    bound = weakest(objective, bounds)
    if chosen.undecided:
        return best.replace(bound=bound, status=Status.UNKNOWN, reason=chosen.undecided)
    gap = abs(bound - best.objective)
    proved = gap <= tolerances.MONEY * abs(best.objective) + tolerances.REACH * scale
    best = best.replace(bound=bound, status=Status.OPTIMAL if proved else Status.FEASIBLE)
    return rows.checked(best, chosen.level, chosen.note)


def _better(plan: Plan, cost: float, best: Plan, best_cost: float) -> bool:
    assert plan.objective is not None
    assert best.objective is not None
    ahead = lead(str(plan.objective_name), plan.objective, best.objective)
    if abs(ahead) <= tolerances.REACH * max(abs(plan.objective), abs(best.objective)):
        return cost < best_cost
    return ahead > 0


def _as_plan(
    instance: Instance, answer: LevelAnswer, objective: str, fields: dict[str, Any]
) -> tuple[Plan, float, float]:
    """The level's plan with its objective, the bound on that at this level, and its Σ C_i."""
    allocation, payment = answer.allocation, answer.payment
    assert allocation is not None
    assert payment is not None
    share = instance.share_at(answer.level)
    spent, cost = answer.sums(instance)
    slack = allocation.value - allocation.bound  # what duality leaves open, ≥ 0
    contact = spent - arrays.exact_sum(payment) if instance.practice else 0.0
    amount = objective_value(instance, objective, share, spent, cost, contact)
    if objective == "improvement":
        bound = amount
    else:
        bound = amount - slack if objective in MINIMISED else amount + slack
    details = {
        "data_price": allocation.data_price,
        "budget_price": allocation.budget_price,
        **fields.get("details", {}),
    }
    plan = Plan(
        instance=instance,
        status=Status.UNKNOWN,
        burden=allocation.burden,
        payment=payment,
        objective=amount,
        **{**fields, "details": details},
    )
    return plan, bound, cost


def no_such_share(instance: Instance, target: float | None, fields: dict[str, Any]) -> Plan:
    """INFEASIBLE: the target is above the highest share."""
    top = float(instance.shares[-1])
    return infeasible(
        instance,
        target,
        f"no threshold gives a share of {target:g}; the highest is {top:g}",
        {"constraint": "target", "share": float(target or 0.0) - top},
        fields,
    )


def infeasible(
    instance: Instance,
    target: float | None,
    reason: str,
    shortfall: dict[str, Any],
    fields: dict[str, Any],
) -> Plan:
    """INFEASIBLE if a target was asked for, else the null outcome; both say why."""
    if target is not None:
        return Plan(
            instance=instance,
            status=Status.INFEASIBLE,
            reason=reason,
            shortfall=shortfall,
            **fields,
        )
    return Plan.null(instance, reason=reason, shortfall=shortfall, **fields)

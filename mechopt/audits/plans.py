"""Independent recomputation of every constraint of an answer, in NumPy from raw numbers.

Shares no code with the builders or the mechanisms. Each violated row says which equation, who,
by how much. Tags are those of the model.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import fsum

import numpy as np

from mechopt import tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray
from mechopt.audits import practice
from mechopt.audits.verdict import SHORT, Audit, Violation
from mechopt.dropouts import crossing
from mechopt.errors import InvalidPlan
from mechopt.problem.instance import Instance
from mechopt.status import Status


class _Ledger:
    """Collects rows and violations."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.violations: list[Violation] = []
        self.rows: dict[str, int] = {}
        self.worst: dict[str, float] = {}

    def users(self, tag: str, excess: FloatArray, allowed: FloatArray, words: str) -> None:
        """One row per user: excess_i ≤ allowed_i (a rounding allowance), `words` uses {:g}."""
        self.rows[tag] = self.rows.get(tag, 0) + excess.size
        bad = np.flatnonzero(excess > allowed)
        largest = float(excess[bad].max()) if bad.size else 0.0
        self.worst[tag] = max(self.worst.get(tag, 0.0), largest)
        for user in bad:
            amount = float(excess[user])
            self.violations.append(
                Violation(tag, self.instance.name(int(user)), amount, words.format(amount), words)
            )

    def one(self, tag: str, excess: float, words: str, *, allowed: float = 0.0) -> None:
        """One row for everybody: excess ≤ allowed."""
        self.rows[tag] = self.rows.get(tag, 0) + 1
        over = excess if excess > allowed else 0.0
        self.worst[tag] = max(self.worst.get(tag, 0.0), over)
        if over > 0:
            self.violations.append(Violation(tag, "plan", excess, words.format(excess), words))

    def result(self) -> Audit:
        return Audit(tuple(self.violations), self.rows, self.worst)


def audit_plan(instance: Instance, plan: Plan) -> Audit:
    if plan.burden is None or plan.payment is None:
        return Audit()
    if plan.burden.size != instance.n:
        raise InvalidPlan(
            f"the plan has {plan.burden.size} users, but the instance has {instance.n}"
        )
    ledger = _Ledger(instance)
    burden, payment = plan.burden, plan.payment
    level, total_short = _level(instance, burden, plan.reserve)
    if plan.dropout is not None:  # what is beyond the level aimed at is not promised
        level = min(level, int(plan.dropout.get("level", level)))
    share = float(instance.shares[level - 1]) if level else 0.0
    cost = _cost(instance, burden)
    given, bought = _given(instance, plan)  # committed data, and what a price has paid for them
    base, _ = _level(instance, given, 0.0) if given.any() else (0, 0.0)
    share_given = float(instance.shares[base - 1]) if base else 0.0
    cost_given = _cost(instance, given)
    gain = instance.value * (share - share_given)
    money = tolerances.MONEY * np.maximum(np.maximum(cost, payment), gain)
    spent = fsum(payment.tolist()) + practice.contacts(instance, burden)

    if plan.unconditional:  # a benchmark: whoever is paid for gives, whatever the total
        ledger.users("P1", cost - payment, money, "is paid {:g} less than the cost of giving")
    elif level == 0:
        _nothing_reached(instance, burden, payment, given, total_short, ledger)
    else:
        ledger.rows["A1"] = 1
        ledger.worst["A1"] = 0.0
        if plan.mechanism == "subsidy":
            ledger.users("S1", cost - payment, money, "is paid {:g} less than the cost")
        else:
            lost = (cost - cost_given) - gain - (payment - bought)
            ledger.users("A3", lost, money, "loses {:g} by taking part")
    if bought.any():
        ledger.users("P1", cost_given - bought, money, "is paid {:g} less than the floor costs")
    room = tolerances.DATA * instance.capacity
    ledger.users("A2", burden - instance.capacity, room, "gives {:g} more than the capacity")
    if given.any():
        ledger.users("A2", given - burden, room, "takes back {:g} of what is committed")
    ledger.users("A2", -burden, 0 * burden, "gives a negative amount, by {:g}")
    ledger.users("A2", -payment, 0 * burden, "is paid a negative amount, by {:g}")
    ledger.one(
        "A4",
        spent - instance.budget,
        "payments exceed the budget by {:g}",
        allowed=tolerances.MONEY * max(spent, 0.0),
    )
    practice.add_rows(instance, burden, payment, ledger)
    within_capacity = not any(violation.tag == "A2" for violation in ledger.violations)
    if not plan.unconditional and level and plan.protocol != "none" and within_capacity:
        _protocol(instance, plan, ledger)
    if plan.dropout is not None and level:
        found = crossing(instance, plan, plan.dropout["hazard"], plan.dropout.get("shock"))
        short = float(plan.dropout.get("confidence", 0.0)) - float(found.levels[level - 1, 1])
        words = "the crossing probability is short of the confidence by {:g}"
        ledger.one("confidence", short, words, allowed=tolerances.PROBABILITY)
    _claims(instance, plan, share, cost, spent, ledger)
    return ledger.result()


def _nothing_reached(
    instance: Instance,
    burden: FloatArray,
    payment: FloatArray,
    given: FloatArray,
    short: float,
    ledger: _Ledger,
) -> None:
    """(A6), and how far the first threshold is if somebody gives more than is `given`, data."""
    ledger.users("A6", burden - given, 0 * burden, "gives {:g}, but no threshold is reached")
    ledger.users("A6", payment, 0 * burden, "is promised {:g}, but no threshold is reached")
    if not (burden > given).any():
        return
    ledger.one("A1", short, SHORT)
    if short > 0:
        text = (
            f"{fsum(burden.tolist()):,.10g} of {float(instance.thresholds[0]):,.10g} data: "
            f"{short:,.6g} short of the first threshold, so nothing may be collected"
        )
        ledger.violations[-1] = replace(ledger.violations[-1], message=text)


def _given(instance: Instance, plan: Plan) -> tuple[FloatArray, FloatArray]:
    """(committed data, those a price has bought included; money paid for the latter), (n,) each."""
    floor = plan.details.get("floor") if plan.mechanism == "floor-and-burdens" else None
    if floor is None:
        return instance.committed, np.zeros(instance.n)
    given = np.array(floor, dtype=np.float64)
    return given, float(plan.details["price"]) * given


def _level(instance: Instance, burden: FloatArray, reserve: float) -> tuple[int, float]:
    """(level reached with the reserve, how much X + … is short of the first), decided exactly."""
    total = sum(map(Fraction, burden.tolist()), Fraction(0)) if burden.size < 2000 else None
    in_units = {"unit", "fixed"} & set(instance.said)
    level = 0
    short = 0.0
    for k, threshold in enumerate(instance.thresholds.tolist()):
        if in_units:
            missing = practice.missing(instance, burden, threshold, reserve)
        elif total is not None:
            missing = float(Fraction(threshold) + Fraction(reserve) - total)
        else:
            missing = -fsum([*burden.tolist(), -threshold, -reserve])
        if missing <= 0:
            level = k + 1
        elif k == 0:
            short = missing
    return level, short


def _cost(instance: Instance, burden: FloatArray) -> FloatArray:
    """C_i(x_i) by filling segments one after another, shape (n,)."""
    left = burden.copy()
    spent = np.zeros(instance.n)
    last = instance.widths.shape[1] - 1
    for j in range(last + 1):
        step = left if j == last else np.minimum(left, instance.widths[:, j])
        spent += instance.cost * instance.slopes[:, j] * step
        left = left - step
    return spent


def _protocol(instance: Instance, plan: Plan, ledger: _Ledger) -> None:
    """A5: everyone stays under the plan's protocol."""
    if plan.instance is instance:
        report = plan.withdrawal()
    else:
        from mechopt.withdrawal.check import check_withdrawal

        report = check_withdrawal(
            instance,
            plan,
            protocol=plan.protocol,
            order=plan.order,
            withdrawal=plan.right,
            dropout=plan.dropout if plan.protocol in ("simultaneous", "sequential") else None,
        )
    ledger.rows["A5"] = instance.n
    ledger.worst["A5"] = 0.0 if report.stable else -float(report.margin)
    if report.stable:
        return
    for user in np.flatnonzero(~report.outcome.stay)[:1000]:
        where = instance.name(int(user))
        ledger.violations.append(
            Violation("A5", where, -float(report.margin), f"leaves under {plan.protocol}")
        )
    if report.outcome.stay.all():
        ledger.violations.append(
            Violation("A5", "plan", -float(report.margin), f"not stable under {plan.protocol}")
        )


def _claims(
    instance: Instance,
    plan: Plan,
    share: float,
    cost: FloatArray,
    spent: float,
    ledger: _Ledger,
) -> None:
    """The objective the plan claims is the one its numbers have, and no better than its bound."""
    if plan.objective is None or plan.objective_name is None:
        return
    social = fsum(cost.tolist())
    value = instance.provider_value * share
    everyone = fsum((instance.value * share).tolist())
    contact = practice.contacts(instance, plan.burden) if plan.burden is not None else 0.0
    mine, scale = {
        "provider-surplus": (value - spent, value + spent),
        "welfare": (value + everyone - social - contact, value + everyone + social),
        "expenditure": (spent, spent + social),
        "social-cost": (social, social),
        "improvement": (share, 1.0),
    }[plan.objective_name]
    allowed = tolerances.SOLVER * max(scale, tolerances.TINY)
    ledger.one(
        "objective",
        abs(mine - plan.objective),
        "the claimed objective is off by {:g}",
        allowed=allowed,
    )
    if plan.bound is not None and plan.status in (Status.OPTIMAL, Status.FEASIBLE):
        maximised = plan.objective_name in ("provider-surplus", "welfare", "improvement")
        beyond = plan.objective - plan.bound if maximised else plan.bound - plan.objective
        ledger.one("bound", beyond, "the objective beats its own bound by {:g}", allowed=allowed)

"""Frontiers: what the provider gets as the budget, his value or the reversibility varies.

One row per value: share reached, expenditure, provider surplus, social cost, welfare, with bound,
gap and status. Rows are not all solved: the ends are, and what is between two proved rows follows
if they agree, else the middle is solved, and so on.

- Budget, reversibility: what is feasible at the tighter end is feasible at every row between, and
  nothing is better than at the looser end. Same objective at both: the tighter plan is optimal.
- Provider value: the objective of each plan is linear in it. A plan that is optimal at both ends
  is optimal between (the best of linear functions is convex).

Where several thresholds make a level hard, what one row found about it serves the others: the least
payments for a level depend neither on the budget nor on the provider value.

A row whose search was stopped by a limit takes over the plan of a tighter row if that is better.
So a frontier is never worse where more is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from math import inf, isfinite
from typing import Any

import numpy as np

from mechopt import tolerances, words
from mechopt.answer.plan import Plan
from mechopt.arrays import exact_sum
from mechopt.errors import InvalidOption
from mechopt.known.levels import spending
from mechopt.problem.aims import lead
from mechopt.problem.instance import Instance
from mechopt.status import Status
from mechopt.studies.frontier_table import COLUMNS, OVER, Frontier
from mechopt.withdrawal.metrics import amounts

# Mechanisms whose plans stay feasible when the reversibility falls (W1, A5).
_FEWER_WITH_RIGHTS = ("burdens", "subsidy", "complete-information")
_CLOSE = 1e-9  # relative: how near the two rows beside a breakpoint are
_MOST_HALVINGS = 60  # solves spent on one breakpoint
_MOST_SOLVES, _APART = 3_000, 1e-7  # for all kinks; relative: kinks nearer than that are not told
_KINKED = 20_000  # users of a problem whose kinks are looked for


def frontier(
    instance: Instance,
    mechanism: str = "burdens",
    *,
    over: str = "budget",
    values: Iterable[float],
    objective: str = "provider-surplus",
    breakpoints: bool = False,
    **options: Any,
) -> Frontier:
    """Solve `instance` for each value of `over` ("budget", "provider_value", "reversibility",
    "exclusion", "threshold": the highest, the others in proportion, or "confidence": the price of
    safety when users drop out; give `dropout` with it). What each row solves is A1–A6.

    :breakpoints: also the values at which the level reached changes, and rows on both sides of
        each, 1e-9 apart: over the budget what the better level costs, over the provider's value
        where two levels are worth the same, else by halving; and, over budget or threshold with one
        level, rows at the kinks of payments and cost, which are straight between them

    :values: money, or shares in [0, 1] for the reversibility and the exclusion (the same for every
        user) and the confidence; for the budget None or inf is no limit. Further options are those
        of `solve`.

    Raises InvalidOption for unknown names, and what `solve` raises.
    """
    words.choose("over", over, OVER)
    words.choose("objective", objective, words.OBJECTIVES)
    numbers = _numbers(values)
    from mechopt.solving import solve

    if over == "confidence":
        return _safety(instance, mechanism, numbers, objective, options)
    variants = [_variant(instance, over, number) for number in numbers]
    warm: dict[str, Any] = (
        {"known": {}} if mechanism == "burdens" and over in ("budget", "provider_value") else {}
    )

    def solved(problem: Instance) -> Plan:
        plan: Plan = solve(problem, mechanism, objective=objective, **options, **warm)
        return plan.replace(options={**options, "objective": objective})

    def solve_at(number: float) -> Plan:
        return solved(_variant(instance, over, number))

    nested = over in ("budget", "provider_value") or (
        over == "reversibility"
        and mechanism in _FEWER_WITH_RIGHTS
        and options.get("protocol") != "sequential"
    )
    plans = _inherit(_solved_rows(variants, solved, over, nested=nested), over, objective)
    jumps: tuple[float, ...] = ()
    if breakpoints:
        numbers, plans, jumps = _with_breakpoints(over, numbers, plans, solve_at)
    kinks: _Kinks | None = None
    if breakpoints and _is_convex(instance, mechanism, over, options):
        kinks = _Kinks(dict(zip(numbers, plans)), solve_at)
        numbers, plans = kinks.rows()
    rows = tuple(_row(over, number, plan) for number, plan in zip(numbers, plans))
    straight = frozenset() if kinks is None else frozenset(kinks.straight)
    return Frontier(over, mechanism, rows, tuple(plans), jumps, straight)


def _solved_rows(
    variants: list[Instance], solved: Callable[[Instance], Plan], over: str, *, nested: bool
) -> list[Plan]:
    """A plan per variant; where what is feasible is `nested`, rows between two alike are theirs."""
    found: dict[int, Plan] = {}
    open_ = [(0, len(variants) - 1)]
    while open_:
        low, high = open_.pop()
        for end in (low, high):
            if end not in found:
                found[end] = solved(variants[end])
        first, last = found[low], found[high]
        if high - low < 2:
            continue
        if nested and _agree(first, last):
            kept = last if over == "reversibility" else first
            found |= {row: _carried(kept, variants[row]) for row in range(low + 1, high)}
        else:
            middle = (low + high) // 2
            open_ += [(middle, high), (low, middle)]
    return [found[row] for row in range(len(variants))]


def _variant(instance: Instance, over: str, number: float) -> Instance:
    if over == "threshold":
        scaled = instance.thresholds * (number / float(instance.thresholds[-1]))
        scaled[-1] = number
        return instance.replace(thresholds=scaled)
    return instance.replace(**{over: None if over == "budget" and number == inf else number})


def _with_breakpoints(
    over: str, numbers: list[float], plans: list[Plan], solve_at: Callable[[float], Plan]
) -> tuple[list[float], list[Plan], tuple[float, ...]]:
    """The rows, those beside each change of the level reached, and where it changes."""
    found = dict(zip(numbers, plans))
    jumps = []
    open_ = [(a, b) for a, b in pairwise(numbers) if isfinite(a)]
    for _ in range(_MOST_HALVINGS * max(1, len(open_))):
        if not open_:
            break
        a, b = open_.pop()
        low, high = found[a], found[b]
        if low.level is None or high.level is None or low.level == high.level:
            continue
        if isfinite(b) and b - a <= _CLOSE * max(abs(a), abs(b)):
            jumps.append(b)
            continue
        middle = _candidate(over, a, b, low, high)
        found[middle] = solve_at(middle)
        open_ += [(a, middle), (middle, b)]
    ordered = sorted(found)
    kept = set(numbers)
    for one, other in pairwise(ordered):
        if found[one].level != found[other].level and other - one <= 2 * _CLOSE * abs(other):
            kept |= {one, other}
    numbers = sorted(kept)
    return numbers, [found[number] for number in numbers], tuple(sorted(jumps))


def _is_convex(instance: Instance, mechanism: str, over: str, options: dict[str, Any]) -> bool:
    """Whether least payments and cost at the level are convex in `over` (one level: an LP)."""
    return (
        mechanism in ("burdens", "subsidy")
        and over in ("budget", "threshold")
        and instance.levels == 1
        and instance.practice is None
        and not instance.has_committed
        and instance.n <= _KINKED
        and not options.get("reserve")
        and options.get("protocol") != "reassign"
        and not {"dropout", "confidence", "shock", "withdrawal"} & set(options)
    )


class _Kinks:
    """Rows at the kinks of (payments, cost) inside a level; between which rows both are straight.

    A convex function whose value in the middle is the mean of its ends is straight between them.
    Else the lines at both ends meet at the kink, if it is the only one; if it is not, what they
    meet at splits the range, and so on.
    """

    def __init__(self, plans: dict[float, Plan], solve_at: Callable[[float], Plan]) -> None:
        self.plans, self.solve_at = plans, solve_at
        self.given = set(plans)
        self.straight: set[tuple[float, float]] = set()
        self.left = _MOST_SOLVES
        for a, b in pairwise(sorted(plans)):
            if isfinite(b):
                self._between(a, b)

    def rows(self) -> tuple[list[float], list[Plan]]:
        """The values and plans of all rows, without those that split a straight line."""
        numbers = sorted(self.plans)
        for place in range(len(numbers) - 2, 0, -1):
            a, x, b = numbers[place - 1 : place + 2]
            sides = {(a, x), (x, b)}
            if x not in self.given and sides <= self.straight and self._on_line(a, x, b):
                self.straight = (self.straight - sides) | {(a, b)}
                del numbers[place]
        return numbers, [self.plans[number] for number in numbers]

    def _at(self, number: float) -> Any:
        if number not in self.plans:
            self.left -= 1
            self.plans[number] = self.solve_at(number)
        return np.array(_outcome(self.plans[number])[1:3])

    def _level(self, number: float) -> int | None:
        plan = self.plans[number]
        return plan.level if plan.status in (Status.OPTIMAL, Status.NULL) else None

    def _on_line(self, a: float, x: float, b: float) -> bool:
        one, middle, other = self._at(a), self._at(x), self._at(b)
        if not one.size == middle.size == other.size == 2:
            return False
        meant = one + (x - a) / (b - a) * (other - one)
        size = np.abs(one) + np.abs(other)
        return bool((np.abs(middle - meant) <= _CLOSE * size).all())

    def _between(self, a: float, b: float) -> None:
        open_ = [(a, b)]
        while open_ and self.left > 0:
            a, b = open_.pop()
            if self._level(a) is None or self._level(a) != self._level(b):
                continue
            trial = (a + b) / 2
            on_line = self._on_line(a, trial, b)
            middle = self._level(trial)
            self._forget(trial)
            near = b - a <= _APART * max(abs(a), abs(b))  # kinks so near are taken for one
            if near or (on_line and middle == self._level(a)):
                self.straight.add((a, b))
            else:
                kink = self._meeting(a, b)
                self._at(kink)
                open_ += [(a, kink), (kink, b)]

    def _meeting(self, a: float, b: float) -> float:
        """Where the lines at both ends meet; the middle if they do not."""
        step = 1e-3 * (b - a)
        ends = [self._at(number) for number in (a, a + step, b - step, b)]
        self._forget(a + step)
        self._forget(b - step)
        if not all(end.size == 2 for end in ends):
            return (a + b) / 2
        rise, fall = (ends[1] - ends[0]) / step, (ends[3] - ends[2]) / step
        of = int(np.argmax(np.abs(fall - rise) / (np.abs(fall) + np.abs(rise) + tolerances.TINY)))
        turn = float(fall[of] - rise[of])
        x = a + float(ends[3][of] - ends[0][of] - fall[of] * (b - a)) / -turn if turn else a
        return x if a + step < x < b - step else (a + b) / 2

    def _forget(self, number: float) -> None:
        if number not in self.given:
            self.plans.pop(number, None)


def _candidate(over: str, a: float, b: float, low: Plan, high: Plan) -> float:
    """A value between two rows of different levels, at or just beside the change if it is known."""
    beside = 0.5 * _CLOSE
    if over == "budget" and high.burden is not None and high.payment is not None:
        spent = spending(high.instance, high.burden, high.payment)
        if a < spent < b:
            return spent
        if spent == b and a < b * (1 - beside):
            return b * (1 - beside)
    if over == "provider_value" and low.burden is not None and high.burden is not None:
        assert low.payment is not None
        assert high.payment is not None
        dearer = spending(high.instance, high.burden, high.payment)
        dearer -= spending(low.instance, low.burden, low.payment)
        gained = (high.share or 0.0) - (low.share or 0.0)
        meet = dearer / gained if gained else inf
        for number in (meet * (1 + 0.4 * beside), meet * (1 - 0.4 * beside)):
            if a < number < b:
                return number
    return (a + b) / 2 if isfinite(b) else 2 * abs(a) + 1


def _safety(
    instance: Instance,
    mechanism: str,
    numbers: list[float],
    objective: str,
    options: dict[str, Any],
) -> Frontier:
    """One row per confidence; a plan that is safer and no worse takes the place of its row."""
    from mechopt.solving import solve

    plans: list[Plan] = []
    for number in reversed(numbers):
        plan = solve(instance, mechanism, objective=objective, confidence=number, **options)
        if plans and plans[-1].level and _ahead(plans[-1], plan, objective):
            plan = plans[-1].replace(status=plan.status, bound=plan.bound)
        plans.append(plan)
    plans.reverse()
    rows = tuple(_row("confidence", number, plan) for number, plan in zip(numbers, plans))
    return Frontier("confidence", mechanism, rows, tuple(plans))


def _agree(one: Plan, other: Plan) -> bool:
    """Whether both ends are proved and give the same share, payments and social cost."""
    if one.status is not other.status or one.status not in (Status.OPTIMAL, Status.NULL):
        return False
    return _outcome(one) == _outcome(other)


def _outcome(plan: Plan) -> tuple[float, ...]:
    if plan.burden is None or plan.payment is None:
        return ()
    cost = exact_sum(plan.instance.cost_of(plan.burden))
    spent = spending(plan.instance, plan.burden, plan.payment)
    return (plan.share or 0.0, spent, cost, plan.level or 0)


def _carried(plan: Plan, variant: Instance) -> Plan:
    """`plan` in `variant`, where it is optimal by the argument above."""
    if not plan.level:
        return plan.replace(instance=variant, seconds=0.0)
    moved = _moved(plan, plan.replace(instance=variant, bound=None, seconds=0.0))
    return moved.replace(status=plan.status, bound=moved.objective)


def _numbers(values: Iterable[float]) -> list[float]:
    numbers = []
    for position, raw in enumerate(values):
        number = inf if raw is None else raw
        if isinstance(number, bool) or not isinstance(number, (int, float, np.number)):
            raise InvalidOption(f"values[{position}]: must be a number, got {raw!r}")
        if number != number:
            raise InvalidOption(f"values[{position}]: must be a number, got {raw!r}")
        numbers.append(float(number))
    if not numbers:
        raise InvalidOption("values: give at least one")
    return sorted(numbers)


def _inherit(plans: list[Plan], over: str, objective: str) -> list[Plan]:
    """Rows left unproved take over a better plan of a tighter row, with their own bound.

    A larger budget keeps plans feasible; with another provider value every plan stays feasible;
    and so it does with a lower reversibility, except in sequence, where threats need reluctance.
    """
    order = range(len(plans)) if over != "reversibility" else range(len(plans) - 1, -1, -1)
    kept: list[Plan] = list(plans)
    if over in ("threshold", "exclusion"):
        return kept
    if over == "reversibility" and any(plan.protocol == "sequential" for plan in plans):
        return kept
    best: Plan | None = None
    for position in order:
        plan = kept[position]
        if best is not None and plan.status in (Status.FEASIBLE, Status.UNKNOWN):
            moved = _moved(best, plan)
            if _ahead(moved, plan, objective):
                plan = kept[position] = moved
        if plan.has_answer and plan.level:
            best = plan
    return kept


def _moved(plan: Plan, row: Plan) -> Plan:
    """`plan` valued in the instance of `row`, with the bound proved there."""
    moved = plan.replace(
        instance=row.instance,
        status=Status.FEASIBLE,
        bound=row.bound,
        options=row.options,
        seconds=row.seconds,
        details=row.details,
    )
    return moved.replace(objective=amounts(moved)[str(row.objective_name).replace("-", "_")])


def _ahead(one: Plan, other: Plan, objective: str) -> bool:
    assert one.objective is not None
    if other.objective is None:
        return True
    return lead(objective, one.objective, other.objective) > 0


def _row(over: str, number: float, plan: Plan) -> dict[str, Any]:
    row: dict[str, Any] = {over: number, **dict.fromkeys(COLUMNS)}
    row.update(
        objective=plan.objective,
        bound=plan.bound,
        gap=plan.gap,
        status=plan.status.value,
        seconds=plan.seconds,
    )
    if plan.burden is None or plan.payment is None:
        return row
    found = amounts(plan)
    columns = ("expenditure", "provider_surplus", "social_cost", "welfare")
    return {**row, "share": plan.share or 0.0, **{name: found[name] for name in columns}}

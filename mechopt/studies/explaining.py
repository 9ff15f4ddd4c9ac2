"""Why a plan is as it is, in sentences with numbers: for one person, and as a whole.

What one more unit would change is not read off a dual (which holds for no more than the first
bit of it) but found by solving the neighbouring problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, inf, isinf, log10
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from mechopt import tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import IntArray, exact_sum
from mechopt.errors import InvalidOption, InvalidPlan, MechoptError
from mechopt.known.levels import spending
from mechopt.problem.instance import Instance
from mechopt.solving import solve, solve_again
from mechopt.studies.rights import of_person, past_recall
from mechopt.studies.safety import time_left

PATIENCE = 10.0  # seconds for each neighbouring problem
_LARGEST = 20_000  # users of a problem that is solved again


def explain(plan: Plan, name: Any = None) -> str:
    """Why this person (`name`: an id, or a position) was asked and paid this; or the plan's why.

    Raises InvalidPlan without an answer, InvalidOption if nobody has that id.
    """
    if not plan.has_answer:
        raise InvalidPlan(f"explain: the plan is {plan.status}. {plan.reason}".rstrip())
    if name is None:
        return "\n".join(_of_plan(plan)) + "\n"
    return "\n".join(_of_person(plan, _position(plan.instance, name))) + "\n"


def _position(instance: Instance, name: Any) -> int:
    found = np.flatnonzero(instance.ids == str(name))
    if found.size:
        return int(found[0])
    from difflib import get_close_matches

    names, bare = instance.ids.tolist(), str(name).lstrip("0")
    near = [one for one in names if one.lstrip("0") == bare] or get_close_matches(bare, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InvalidOption(f"explain: nobody has the id {str(name)!r}{hint}")


def _n(number: float) -> str:
    return f"{0.0 if abs(number) < tolerances.SHOWN else number:,.6g}"


# -- one person -----------------------------------------------------------------------------------


def _of_person(plan: Plan, i: int) -> list[str]:
    instance = plan.instance
    assert plan.burden is not None
    assert plan.payment is not None
    who, x, t = str(instance.ids[i]), float(plan.burden[i]), float(plan.payment[i])
    cost = float(instance.cost_of(plan.burden)[i])
    worth = float(instance.value[i]) * (plan.share or 0.0)
    cap = float(instance.capacity[i])
    rate = _marginal(instance, i, x)
    if x == 0 and not plan.level:
        return [f"{who} is asked for nothing and paid nothing, as everybody.", *_of_plan(plan)]
    if x == 0:
        return [
            f"{who} is asked for nothing and paid nothing.",
            f"Giving would cost {who} {_n(rate)} for the first unit of data; the improvement "
            f"reached is worth {_n(worth)} to {who} (value {_n(float(instance.value[i]))} × share "
            f"{_n(plan.share or 0.0)}), whether {who} gives or not.",
            *_why_not(plan, i, rate),
            f"{who} is not pivotal (nothing depends on this data) and has nothing to withdraw.",
            f"What would change it: a higher threshold, others leaving, or a cost below "
            f"{_n(_price(plan))} per unit of data.",
        ]
    return [
        f"{who} is asked for {_n(x)} of at most {_n(cap)} data, which costs {who} {_n(cost)}, "
        f"and is paid {_n(t)}.",
        f"The improvement reached is worth {_n(worth)} to {who} (value "
        f"{_n(float(instance.value[i]))} × share {_n(plan.share or 0.0)}), so taking part leaves "
        f"{who} with {_n(worth + t - cost)}{past_recall(instance, i)}: participation (nobody is "
        "worse off than without the project) holds.",
        _why_amount(plan, i, x, t, cost, worth),
        *_pivotality(plan, i, who),
        _if_gone(plan, i, who),
        *of_person(plan, i, who),
    ]


def _marginal(instance: Instance, i: int, x: float) -> float:
    """Cost of the next unit of data, money per data unit; of the last one at capacity."""
    ends = np.cumsum(instance.widths[i])
    piece = min(int(np.searchsorted(ends, x * (1 + tolerances.REACH), side="right")), ends.size - 1)
    return float(instance.cost[i] * instance.slopes[i, piece])


def _price(plan: Plan) -> float:
    """The dearest unit of data that is asked of anybody, money per data unit."""
    assert plan.burden is not None
    held = list(_group_limits(plan))  # asked for their group's sake, whatever they cost
    asked = np.flatnonzero((plan.burden > 0) & ~np.isin(plan.instance.group, held))
    below = plan.burden * (1 - tolerances.DATA)
    last = [_marginal(plan.instance, int(i), float(below[i])) for i in asked]
    return max(last, default=0.0)


def _why_not(plan: Plan, i: int, rate: float) -> list[str]:
    instance = plan.instance
    if not np.isnan(instance.fixed[i]):
        return ["The burden was fixed at 0 beforehand."]
    least = max(float(instance.least[i]), float(instance.unit[i]))
    if least > instance.capacity[i]:
        return [f"The least that may be asked ({_n(least)}) is above the capacity."]
    if limit := _group_limits(plan).get(str(instance.group[i])):
        return [f"{limit.capitalize()} binds, and others of the group cost less or give enough."]
    contact = _n(float(instance.contact_cost[i]))
    contact = f", plus {contact} for the contact" if instance.contact_cost[i] else ""
    return [
        f"Others reach the threshold without: the dearest unit asked of anybody costs "
        f"{_n(_price(plan))}, a first unit here {_n(rate)}{contact}."
    ]


def _why_amount(plan: Plan, i: int, x: float, t: float, cost: float, worth: float) -> str:
    instance, cap = plan.instance, float(plan.instance.capacity[i])
    if not np.isnan(instance.fixed[i]):
        return "The burden was fixed beforehand."
    room = tolerances.DATA * max(cap, tolerances.TINY)
    if x >= cap - room:
        return "That is everything there is to ask for: the capacity binds."
    if instance.least[i] > 0 and abs(x - instance.least[i]) <= room:
        return f"That is the least that may be asked of anybody who is asked ({_n(x)})."
    if t == 0 and abs(cost - worth) <= tolerances.SOLVER * max(cost, worth):
        return (
            "That is as much as is given without being paid: one more unit would cost "
            f"{_n(_marginal(instance, i, x))} and would have to be paid for."
        )
    if t == 0 and _margin(plan, i) <= tolerances.SOLVER * max(cost, tolerances.TINY):
        return (
            "That is as much as is given without being paid and not withdrawn again: one more unit "
            f"would cost {_n(_marginal(instance, i, x))} and would have to be paid for."
        )
    limit = _group_limits(plan).get(str(instance.group[i]), "")
    limit = f"It counts for {limit}, which binds. " if limit else ""
    if t > 0:
        return (
            f"{limit}The payment is the least that makes up for the cost: {_n(cost)} to give, "
            f"{_n(worth)} gained by the improvement"
            + (", rounded up to the step." if instance.payment_step else ".")
        )
    unit = f" in units of {_n(float(instance.unit[i]))}" if instance.unit[i] else ""
    return f"{limit}The threshold is met with that{unit}: less would miss it, more is not needed."


class _Leaving(NamedTuple):
    """What happens if one user leaves with all he can: data and level left, money back and lost."""

    left: float
    after: int
    back: float
    lost: float


def _leaving(plan: Plan, i: int) -> _Leaving:
    instance = plan.instance
    assert plan.burden is not None
    takes = float(instance.removable[i] * (plan.burden[i] - instance.committed[i]))
    left = float(plan.total or 0.0) - takes
    after = int((instance.thresholds * (1 - tolerances.TOTALS) <= left).sum())
    cost = float(instance.cost_of(plan.burden)[i] - instance.cost_of(instance.committed)[i])
    kept = (1 - float(instance.exclusion[i])) * instance.share_at(after)
    lost = float(instance.value[i]) * ((plan.share or 0.0) - kept)
    return _Leaving(left, after, float(instance.reversibility[i]) * cost, lost)


def _margin(plan: Plan, i: int) -> float:
    """By how much staying is better than leaving, money."""
    assert plan.payment is not None
    gone = _leaving(plan, i)
    return gone.lost + float(plan.payment[i]) - gone.back


def _pivotality(plan: Plan, i: int, who: str) -> list[str]:
    """Whether his leaving costs a level, and what keeps him."""
    assert plan.burden is not None
    assert plan.payment is not None
    if plan.burden[i] <= plan.instance.committed[i]:
        return [f"{who} has nothing to withdraw: all of it is committed."]
    gone, level = _leaving(plan, i), plan.level or 0
    pivotal = gone.after < level
    kind = "pivotal (the level reached depends on this data)" if pivotal else "not pivotal"
    verdict = _margin(plan, i)
    barred = " (exclusion counts)" if plan.instance.exclusion[i] and gone.after else ""
    return [
        f"{who} is {kind}: leaving takes back {_n(gone.back)} of the cost and gives up "
        f"{_n(gone.lost)} of benefit{barred} and {_n(float(plan.payment[i]))} of payment, so "
        f"staying is better by {_n(verdict)}"
        + (" (just enough)." if abs(verdict) <= tolerances.MONEY * max(1.0, gone.back) else ".")
    ]


def _if_gone(plan: Plan, i: int, who: str) -> str:
    instance = plan.instance
    assert plan.burden is not None
    gone, level = _leaving(plan, i), plan.level or 0
    if gone.after == level:
        return f"If {who} leaves, {_n(gone.left)} data stay and level {level} is still reached."
    short = float(instance.thresholds[level - 1]) - gone.left
    others = exact_sum(np.delete(instance.capacity - plan.burden, i))
    closing = (
        f"the others have {_n(others)} of capacity left to make it up"
        if others >= short
        else f"the others have only {_n(others)} of capacity left"
    )
    then = f"level {gone.after} instead of {level}" if gone.after else "nothing is trained or paid"
    return f"If {who} leaves, {_n(gone.left)} data stay, {_n(short)} short: {then}; {closing}."


# -- the plan -------------------------------------------------------------------------------------


def _of_plan(plan: Plan) -> list[str]:
    instance = plan.instance
    assert plan.burden is not None
    assert plan.payment is not None
    if not plan.level:
        said = [f"Nothing is collected and nothing is paid. {plan.reason}".rstrip()]
        return said + ([] if plan.unconditional else price_of_levels(plan))
    spent = spending(instance, plan.burden, plan.payment)
    asked, paid = int((plan.burden > 0).sum()), int((plan.payment > 0).sum())
    threshold = float(instance.thresholds[plan.level - 1])
    lines = [
        f"{asked:,} of {instance.n:,} people are asked for {_n(plan.total or 0.0)} data, which "
        f"reach level {plan.level} of {instance.levels} (threshold {_n(threshold)}); {paid:,} are "
        f"paid, and {_n(spent)} is spent in all.",
        _binding(plan, spent),
    ]
    return lines + _neighbours(plan, spent)


def _group_limits(plan: Plan) -> dict[str, str]:
    """By label, the limit of a group that binds, in words."""
    instance = plan.instance
    assert plan.burden is not None
    if instance.practice is None:
        return {}
    return instance.practice.binding_groups(plan.burden, instance.cost_of(plan.burden))


def _full(plan: Plan) -> IntArray:
    """Who gives all that he has."""
    assert plan.burden is not None
    able = plan.instance.capacity * (1 - tolerances.DATA)
    return np.flatnonzero((plan.burden >= able) & (plan.burden > 0))


def _binding(plan: Plan, spent: float) -> str:
    instance = plan.instance
    assert plan.burden is not None
    excess = (plan.total or 0.0) - float(instance.thresholds[(plan.level or 1) - 1]) - plan.reserve
    parts = []
    if excess <= tolerances.DATA * (plan.total or 1.0):
        parts.append("the threshold" + (" with its reserve" if plan.reserve else ""))
    if instance.budget < inf and spent >= instance.budget * (1 - tolerances.DATA):
        parts.append("the budget")
    if full := _full(plan).size:
        parts.append(f"the capacity of {full:,} people")
    parts += _group_limits(plan).values()
    loose = "" if excess <= 0 else f"; {_n(excess)} data are more than is needed"
    return f"What binds: {', '.join(parts) or 'nothing exactly'}{loose}."


@dataclass(frozen=True)
class _Change:
    """A neighbouring problem, in words."""

    words: str
    variant: Instance


def _neighbours(plan: Plan, spent: float) -> list[str]:
    """What one more unit of T, of budget, of the dearest user would change."""
    if plan.objective_name is None or plan.mechanism == "given":
        return ["The plan was given, not solved for, so what more would change is not known."]
    if plan.instance.n > _LARGEST:
        return [f"With more than {_LARGEST:,} people the neighbouring problems are not solved."]
    return [_effect(plan, spent, change) for change in _changes(plan)]


def _changes(plan: Plan) -> list[_Change]:
    instance = plan.instance
    assert plan.burden is not None
    level = plan.level or 1
    higher = instance.thresholds.copy()
    higher[level - 1] += 1.0
    changes = []
    if level == instance.levels or higher[level - 1] < higher[level]:
        changes.append(
            _Change("One more unit of data for the threshold", instance.replace(thresholds=higher))
        )
    if instance.budget < inf:
        more = instance.replace(budget=instance.budget + 1)
        changes.append(_Change("One more unit of money in the budget", more))
    full = _full(plan)
    if full.size and instance.linear:
        dearest = int(full[np.argmax(instance.cost[full] * instance.slopes[full, 0])])
        capacity = instance.capacity.copy()
        capacity[dearest] += 1.0
        who = str(instance.ids[dearest])
        words = f"One more unit of capacity of {who}, the dearest of whom all is asked,"
        changes.append(_Change(words, instance.replace(capacity=capacity)))
    return changes


def _effect(plan: Plan, spent: float, change: _Change) -> str:
    try:
        other = solve_again(plan, change.variant, time_limit=PATIENCE)
    except MechoptError as error:
        return f"{change.words} could not be worked out: {error}."
    if not other.has_answer or not other.level:
        return f"{change.words} would make the level unreachable: {other.reason or other.status}."
    assert plan.burden is not None
    paid = spending(other.instance, other.burden, other.payment) - spent
    cost = exact_sum(other.instance.cost_of(other.burden)) - exact_sum(
        plan.instance.cost_of(plan.burden)
    )
    if other.level != plan.level:
        return f"{change.words} would change the level reached from {plan.level} to {other.level}."
    if max(abs(paid), abs(cost)) <= tolerances.MONEY * max(1.0, spent):
        return f"{change.words} would change nothing."
    sign, other_sign = ("more" if moved > 0 else "less" for moved in (paid, cost))
    return (
        f"{change.words} would cost the provider {_n(abs(paid))} {sign} and those who give "
        f"{_n(abs(cost))} {other_sign}."
    )


_HALVINGS, _BRIEF = 20, 2.0  # of the range in which the most data lies; seconds for all of them


def _most_data(plan: Plan, options: Mapping[str, Any]) -> list[str]:
    """The largest threshold that these people and this budget would reach, at the first share."""
    if plan.protocol == "reassign":  # more data leave fewer users replaceable: no threshold to find
        return []
    options = {**options, "time_limit": min(_BRIEF, options["time_limit"])}
    instance, until = plan.instance, perf_counter() + options["time_limit"]
    first, share = float(instance.thresholds[0]), float(instance.shares[0])
    unpaid = {"transfers": False} if plan.options.get("transfers") is False else {}
    low, high, spent = 0.0, min(first, exact_sum(instance.capacity)), 0.0
    for step in range(_HALVINGS):
        middle = high if step == 0 else (low + high) / 2
        variant = instance.replace(thresholds=[middle], shares=[share])
        try:
            found = solve(variant, plan.mechanism, objective="expenditure", **options, **unpaid)
        except MechoptError:
            return []
        if found.has_answer and found.level:
            spent = spending(variant, found.burden, found.payment)
            low = min(high, max(middle, found.total or 0.0))  # whole units give more
        else:
            high = middle
        if low == high or perf_counter() > until:
            break
    if low == 0:
        return ["As things are nothing can be bought, not even a little data."]
    digit = 10.0 ** (floor(log10(low)) - 3)
    return [
        f"What can be had as things are: {_n(low)} data for {_n(spent)}, {_n(first - low)} less "
        f"than the first threshold; try --threshold {floor(low / digit) * digit:g}."
    ]


def price_of_levels(plan: Plan) -> list[str]:
    """What every level costs at least, and the command to try next; for a null outcome."""
    instance = plan.instance
    patience = time_left(plan, PATIENCE * instance.levels)
    if plan.mechanism not in ("burdens", "subsidy") or instance.n > _LARGEST or patience <= 0:
        return []
    rich, lines = instance.replace(budget=None), list[str]()
    options: dict[str, Any] = {"time_limit": patience / (instance.levels + 1)}
    if plan.mechanism == "burdens" and plan.protocol != "simultaneous":
        options |= {"protocol": plan.protocol}
    affordable, cheapest = None, inf
    for level in range(1, instance.levels + 1):
        share = float(instance.shares[level - 1])
        try:
            found = solve(rich, plan.mechanism, objective="expenditure", target=share, **options)
        except MechoptError:
            return []
        threshold = _n(float(instance.thresholds[level - 1]))
        if not found.has_answer or not found.level:
            lines.append(
                f"  level {level} ({threshold} data, share {share:g}): out of reach. {found.reason}"
            )
            continue
        spent = spending(instance, found.burden, found.payment)
        within = spent <= instance.budget * (1 + tolerances.REACH)
        affordable, cheapest = level if within else affordable, min(cheapest, spent)
        tail = "within the budget" if within else f"{_n(spent - instance.budget)} above the budget"
        if isinf(instance.budget):
            tail = "no budget is set"
        lines.append(
            f"  level {level} ({threshold} data, share {share:g}): costs {_n(spent)}, {tail}"
        )
    if affordable and plan.options.get("transfers") is False:
        lines.append(
            f"That is with payments: leave out --no-transfers, and level {affordable} is reached."
        )
        lines += _most_data(plan, options)
    elif affordable:
        share = float(instance.shares[affordable - 1])
        lines.append(
            f"What the budget does buy: level {affordable}; try --objective improvement, or "
            f"--objective expenditure --target {share:g}."
        )
    else:
        if cheapest < inf:
            lines.append(f"The cheapest level needs --budget {cheapest:.6g}.")
        lines += _most_data(plan, options)
    said = instance.levels == 1 and plan.reason and lines[0].endswith(plan.reason)
    return lines[1:] if said else ["What every level costs at least:", *lines]

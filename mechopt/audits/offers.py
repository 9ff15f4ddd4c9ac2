"""Posted offers and brackets again, from raw numbers; shares no code with what found them."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np

from mechopt import tolerances
from mechopt.answer.bracket import Bracket
from mechopt.answer.offer import PostedOffer
from mechopt.arrays import FloatArray
from mechopt.audits.plans import audit_plan
from mechopt.audits.verdict import Audit, Violation
from mechopt.errors import InvalidPlan
from mechopt.problem.population import Group, Population

PROFILES = 5  # drawn report profiles in which a bracket's rule is tried


def audit_offer(population: Population, offer: PostedOffer) -> Audit:
    """The offer's metrics recomputed (4.1), and its payments against the budgets (A4, D2).

    Each user's answer is the best of the kinks of her own cost curve.
    """
    if offer.population != population:
        raise InvalidPlan("the offer was made to another population")
    if not offer.has_answer:
        return Audit()
    price, payment = offer.offer.get("price"), offer.offer.get("payment")
    floor = offer.offer.get("floor", inf)
    found: list[Violation] = []
    given = [
        np.array(
            [
                _bought(group, cost, price)
                if price is not None
                else _accepted(group, cost, float(payment or 0.0), floor)
                for cost in group.costs.tolist()
            ]
        )
        for group in population.groups
    ]
    totals, chances = _law(population, given)
    rate = price if price is not None else float(payment or 0.0) / floor
    paid = rate * totals
    most = float(paid[chances > 0].max())
    expected = _expected(population, given, totals, chances, paid)
    worth = population.provider_value + population.users_value
    scale = max(1.0, worth, most, expected["social_cost"], float(totals[-1]))
    for name, value in expected.items():
        off = abs(offer.metrics[name] - value)
        if off > 10 * tolerances.MONEY * scale:
            text = f"{name} is {value:.12g}, the offer says {offer.metrics[name]:.12g}"
            found.append(Violation("4.1", name, off, text))
    rows = {"4.1": len(expected)}
    if offer.metrics.get("within_budget", True):
        spent = expected["expenditure"]
        for tag, what, money, limit in (
            ("A4", "most paid", most, population.budget),
            ("D2", "paid in expectation", spent, population.expected_budget),
        ):
            rows[tag] = 1
            if money > limit * (1 + tolerances.MONEY):
                text = f"{what} {money:.12g}, the budget is {limit:.12g}"
                found.append(Violation(tag, "budget", money - limit, text))
    return _verdict(found, rows)


def _expected(
    population: Population,
    given: list[FloatArray],
    totals: FloatArray,
    chances: FloatArray,
    paid: FloatArray,
) -> dict[str, float]:
    """The metrics of 4.1 from what each type gives (data), and per total its chance and payment."""
    share = np.zeros(totals.size)
    for threshold, reached in zip(population.thresholds, population.shares):
        share[totals >= threshold * (1 - tolerances.DATA)] = reached
    expected = {
        "improvement": float(chances @ share),
        "data": float(chances @ np.where(share > 0, totals, 0.0)),
        "expenditure": float(chances @ paid),
        "leakage": float(chances @ ((1 - share) * paid)),
    }
    cost = sum(
        group.size * float(chance) * theta * float(group.shape(np.array(amount)))
        for group, amounts in zip(population.groups, given)
        for theta, chance, amount in zip(group.costs.tolist(), group.probabilities, amounts)
    )
    expected["social_cost"] = cost
    V, improvement = population.provider_value, expected["improvement"]
    expected["provider_surplus"] = V * improvement - expected["expenditure"]
    expected["welfare"] = (V + population.users_value) * improvement - cost
    return expected


def _bought(group: Group, cost: float, price: float) -> float:
    """The largest maximiser of price · x − C(x): the last kink that is among the best."""
    best, amount, total, spent = 0.0, 0.0, 0.0, 0.0
    for width, slope in zip(group.widths.tolist(), group.slopes.tolist()):
        total += width
        spent += cost * slope * width
        if price * total - spent >= best - tolerances.REACH * max(price * total, spent):
            best, amount = price * total - spent, total
    return amount


def _accepted(group: Group, cost: float, payment: float, floor: float) -> float:
    """`floor` if the user has it to give and is paid enough for it, else 0."""
    if floor > group.capacity * (1 + tolerances.REACH):
        return 0.0
    left, spent = floor, 0.0
    for width, slope in zip(group.widths.tolist(), group.slopes.tolist()):
        part = min(left, width)
        spent, left = spent + cost * slope * part, left - part
    return floor if spent <= payment * (1 + tolerances.REACH) else 0.0


def _law(population: Population, given: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """(totals, probabilities), group after group, or state by state if types are correlated."""
    if population.law is not None:
        space = population.states
        return np.asarray(space.counts @ np.concatenate(given), np.float64), space.probability
    totals: FloatArray = np.zeros(1)
    chances: FloatArray = np.ones(1)
    for group, amounts in zip(population.groups, given):
        levels, place = np.unique(amounts, return_inverse=True)
        law = np.bincount(place, weights=group.probabilities)
        more, chance = _sum_of_draws(group.size, levels, law / law.sum())
        totals, back = np.unique((totals[:, None] + more).ravel(), return_inverse=True)
        joint = np.bincount(back, weights=(chances[:, None] * chance).ravel())
        chances = joint.astype(np.float64)
    return totals, chances


def _sum_of_draws(n: int, levels: FloatArray, law: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The sum of n independent draws: how many draw one level after the other, in logarithms."""
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, n + 1)))])
    left, total, size = np.array([n]), np.zeros(1), factorial[[n]]
    for k, (level, chance) in enumerate(zip(levels, law)):
        if k < levels.size - 1:
            ways = left + 1
            row = np.repeat(np.arange(left.size), ways)
            count = np.arange(row.size) - np.repeat(np.cumsum(ways) - ways, ways)
        else:
            row, count = np.arange(left.size), left.copy()
        with np.errstate(divide="ignore", invalid="ignore"):
            power = np.where(count > 0, count * np.log(chance), 0.0)
        left, total = left[row] - count, total[row] + count * level
        size = size[row] - factorial[count] + power
    return total, np.exp(size)


def audit_bracket(population: Population, bracket: Bracket) -> Audit:
    """The interval, and its rule in drawn report profiles, as the black box that is deployed.

    In each of `PROFILES` profiles: the plan's own audit (A1–A6), participation of everybody, and
    for one user of each group and type that no other report, followed by staying or leaving, is
    better (D3, D6).
    """
    if bracket.population != population:
        raise InvalidPlan("the bracket was made for another population")
    found: list[Violation] = []
    rows = {"interval": 1, "D3": 0}
    if bracket.lower > bracket.upper:
        text = f"lower {bracket.lower:.12g} exceeds upper {bracket.upper:.12g}"
        found.append(Violation("interval", "ends", bracket.lower - bracket.upper, text))
    random = np.random.default_rng(bracket.seed)
    certain = replace(
        bracket, rule=replace(bracket.rule, chance=min(1.0, bracket.rule.chance * inf))
    )
    if bracket.rule.chance <= 0:
        return _verdict(found, rows)
    for profile in range(PROFILES if population.n <= 10_000 else 1):
        reports = np.concatenate(
            [
                random.choice(
                    group.costs, group.size, p=group.probabilities / group.probabilities.sum()
                )
                for group in population.groups
            ]
        )
        plan = certain.assign(reports)
        checked = audit_plan(plan.instance, plan)
        for tag, count in checked.rows.items():
            rows[tag] = rows.get(tag, 0) + count
        found += [
            replace(broken, where=f"profile {profile}, {broken.where}")
            for broken in checked.violations
        ]
        found += _misreports(certain, reports, profile, rows)
    return _verdict(found, rows)


def _misreports(
    bracket: Bracket, reports: FloatArray, profile: int, rows: dict[str, int]
) -> list[Violation]:
    population, found, start = bracket.population, [], 0
    share = float(population.shares[0])
    for g, group in enumerate(population.groups):
        outcomes = []
        for told in group.costs.tolist():
            changed = reports.copy()
            changed[start] = told
            plan = bracket.assign(changed)
            assert plan.burden is not None
            assert plan.payment is not None
            enters = plan.details.get("access", [1.0] * population.n)[start] if plan.level else 0.0
            outcomes.append((enters, float(plan.burden[start]), float(plan.payment[start])))
        kept = (1 - group.exclusion) * group.value * share * (group.removable == 0)
        for k, true in enumerate(group.costs.tolist()):
            worth = []
            for enters, burden, payment in outcomes:
                cost = true * float(group.shape(np.array(burden)))
                stay = group.value * share * enters + payment - cost
                leave = kept * (enters > 0) - (1 - group.reversibility) * cost
                worth.append(max(stay, leave))
            rows["D3"] += len(worth)
            gain, scale = max(worth) - worth[k], max(1.0, *map(abs, worth))
            if gain > 10 * tolerances.MONEY * scale:
                told = float(group.costs[int(np.argmax(worth))])
                text = f"a user of cost {true:g} gains {gain:.6g} by reporting {told:g}"
                found.append(Violation("D3", f"profile {profile}, group {g + 1}", gain, text))
        start += group.size
    return found


def _verdict(found: list[Violation], rows: dict[str, int]) -> Audit:
    worst = dict.fromkeys(rows, 0.0)
    for broken in found:
        worst[broken.tag] = max(worst.get(broken.tag, 0.0), broken.amount)
    return Audit(tuple(found), rows, worst)

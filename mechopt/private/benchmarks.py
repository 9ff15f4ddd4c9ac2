"""Benchmarks on populations: posted price, posted contract (4.1), complete information.

Posted offers need no reports: every user answers by herself, so totals are sums of independent
draws and their law is exact through counts, however many users there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.answer.offer import PostedOffer
from mechopt.arrays import FloatArray
from mechopt.errors import InvalidOption, TooLarge
from mechopt.private.direct.optimise import optimise
from mechopt.private.worst_law import Ball
from mechopt.problem.direct_size import refuse_if_large
from mechopt.problem.direct_terms import (
    MINIMISED,
    check_limits,
    read_robust,
    read_target,
    read_terms,
)
from mechopt.problem.population import Group, Population
from mechopt.problem.states import compositions, multinomial, state_count
from mechopt.status import Status
from mechopt.words import OBJECTIVES, choose

ROBUST_STATES = 20_000  # a worst law is searched over all states, for every offer


def supply_law(population: Population, amounts: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """(totals X ascending, probabilities) when a user of group g and type k gives amounts[g][k]."""
    if population.law is not None:
        space = population.states
        supply = np.asarray(space.counts @ np.concatenate(amounts), np.float64)
        levels, where = np.unique(supply, return_inverse=True)
        return levels, np.bincount(where, space.probability).astype(np.float64)
    totals, chances = np.zeros(1), np.ones(1)
    for group, given in zip(population.groups, amounts):
        levels, member = np.unique(given, return_inverse=True)
        law = np.bincount(member, group.probabilities)
        counts = compositions(group.size, levels.size)
        here, chance = counts @ levels, multinomial(counts, law / law.sum())
        totals, where = np.unique((totals[:, None] + here).ravel(), return_inverse=True)
        joint = (chances[:, None] * chance).ravel()
        chances = np.bincount(where, joint).astype(np.float64)
    return totals, chances


def _metrics(
    population: Population, amounts: list[FloatArray], paid_per: FloatArray | float, pays: float
) -> dict[str, Any]:
    """Metrics when the amounts are given and `pays` money is paid per unit of `paid_per` data."""
    totals, chances = supply_law(population, amounts)
    within = population.thresholds * (1 - tolerances.DATA)
    level = np.searchsorted(within, totals, side="right")
    share = np.concatenate([[0.0], population.shares])[level]
    spent = pays * totals / paid_per
    cost = sum(
        group.size * float(group.probabilities @ (group.costs * group.shape(given)))
        for group, given in zip(population.groups, amounts)
    )
    sure = (share == share[-1]).all()  # not one ulp less for the rounding of the chances
    improvement = float(share[-1] if sure else chances @ share)
    expenditure = float(chances @ spent)
    enjoyed = sum(group.size * group.value for group in population.groups)
    return {
        "improvement": improvement,
        "data": float(chances @ np.where(level > 0, totals, 0.0)),
        "social_cost": cost,
        "expenditure": expenditure,
        "leakage": float(chances @ ((1 - share) * spent)),
        "provider_surplus": population.provider_value * improvement - expenditure,
        "welfare": (population.provider_value + enjoyed) * improvement - cost,
        "participation": 1.0 if totals[-1] > 0 else 0.0,
        "regret": 0.0,
        "most_paid": float(spent[-1]),
    }


def price_amounts(group: Group, price: float) -> FloatArray:
    """x⁰ per type: all segments with θ s_j ≤ price, data, shape (m,)."""
    rates = group.costs[:, None] * group.slopes
    return (group.widths * (rates <= price * (1 + tolerances.REACH))).sum(axis=1)


def contract_amounts(group: Group, payment: float, floor: float) -> FloatArray:
    """`floor` for the types with q ≥ C(f) and f ≤ cap, else 0, data, shape (m,)."""
    cost = group.costs * float(group.shape(np.array(floor)))
    fits = floor <= group.capacity * (1 + tolerances.REACH)
    return np.where((cost <= payment * (1 + tolerances.REACH)) & fits, floor, 0.0)


Offer = tuple[dict[str, float], dict[str, Any], list[FloatArray]]


def posted_price(
    population: Population,
    *,
    objective: str = "provider-surplus",
    target: float | None = None,
    price: float | None = None,
    robust: str | None = None,
    radius: float | Sequence[float] | None = None,
    seed: int = 0,
) -> PostedOffer:
    """The best price among 0 and all θ_k s_j (exact), or the given `price` (money/data unit).

    :robust, radius: as for "direct": the objective is what the offer guarantees against every law
        that near, details["worst"] the worst law; metrics stay those at the population's law
    """
    read_target_or_none(population, objective, target, given=price is not None)
    if price is None:
        prices = {0.0}
        for group in population.groups:
            prices |= set((group.costs[:, None] * group.slopes).ravel().tolist())
    else:
        prices = {_number("price", price)}

    def offers() -> Iterator[Offer]:
        for one in sorted(prices):
            amounts = [price_amounts(group, one) for group in population.groups]
            yield {"price": one}, _metrics(population, amounts, 1.0, one), amounts

    given = price is not None
    asked = _Asked("posted-price", objective, target, given, seed)
    return _best(population, offers(), asked, _ball(population, robust, radius))


def posted_contract(
    population: Population,
    *,
    objective: str = "provider-surplus",
    target: float | None = None,
    payment: float | None = None,
    floor: float | None = None,
    robust: str | None = None,
    radius: float | Sequence[float] | None = None,
    seed: int = 0,
) -> PostedOffer:
    """The best contract "q money for at least f data", or the given one.

    Exact: with j givers only T_k / j matters for f, and only some type's C(f) for q. `robust` and
    `radius` as in `posted_price`.
    """
    given = payment is not None or floor is not None
    read_target_or_none(population, objective, target, given=given)
    if given:
        if payment is None or floor is None:
            raise InvalidOption("floor and payment: give both, or neither for the best contract")
        contracts = {(_number("payment", payment), _number("floor", floor))}
        if floor == 0:
            raise InvalidOption("floor: must be > 0 (data)")
    else:
        widest = max(group.capacity for group in population.groups)
        floors = {
            float(threshold) / givers
            for threshold in population.thresholds
            for givers in range(1, population.n + 1)
        }
        contracts = {(0.0, float(population.thresholds[0]))}
        for one in floors:
            if one <= widest * (1 + tolerances.REACH):
                for group in population.groups:
                    costs = group.costs * float(group.shape(np.array(one)))
                    contracts |= {(cost, one) for cost in costs.tolist()}

    def offers() -> Iterator[Offer]:
        for q, f in sorted(contracts):
            amounts = [contract_amounts(group, q, f) for group in population.groups]
            yield {"payment": q, "floor": f}, _metrics(population, amounts, f, q), amounts

    asked = _Asked("posted-contract", objective, target, given, seed)
    return _best(population, offers(), asked, _ball(population, robust, radius))


def read_target_or_none(
    population: Population, objective: str, target: float | None, *, given: bool
) -> None:
    """Validate objective and target; a given offer is evaluated, so it takes no target."""
    choose("objective", objective, OBJECTIVES)
    if given and target is not None:
        raise InvalidOption("target: a given offer is evaluated, it cannot be held to a target")
    read_target(population, objective, target)


def _number(name: str, raw: Any) -> float:
    try:
        number = arrays.to_float(raw)
    except ValueError as error:
        raise InvalidOption(f"{name}: {error.args[0]}") from None
    if number.ndim or not 0 <= number < np.inf:
        raise InvalidOption(f"{name}: must be a number ≥ 0 and finite, got {raw!r}")
    return float(number)


def _ball(population: Population, robust: object, radius: object) -> Ball | None:
    """The laws to guard against; None if the law is known. TooLarge beyond ROBUST_STATES."""
    distance, within = read_robust(population, robust, radius)
    if distance is None or within is None or not any(within):
        return None
    if state_count(population) > ROBUST_STATES:
        raise TooLarge(
            f"robust: the population has {state_count(population):,} count states, more than the "
            f"{ROBUST_STATES:,} over which the worst law is searched"
        )
    return Ball(population, distance, within)


def _guaranteed(
    population: Population, ball: Ball, offer: Offer, objective: str
) -> tuple[dict[str, float], list[list[float]]]:
    """What the offer brings at least (pays, costs at most), and the law worst for the objective."""
    terms, _, amounts = offer
    rate = terms["price"] if "price" in terms else terms["payment"] / terms["floor"]
    counts = population.states.counts
    supply = counts @ np.concatenate(amounts)
    level = np.searchsorted(population.thresholds * (1 - tolerances.DATA), supply, side="right")
    share = np.concatenate([[0.0], population.shares])[level]
    cost = counts @ np.concatenate(
        [group.costs * group.shape(one) for group, one in zip(population.groups, amounts)]
    )
    enjoyed = population.provider_value + sum(g.size * g.value for g in population.groups)
    values = {
        "improvement": share,
        "expenditure": rate * supply,
        "social_cost": cost,
        "provider_surplus": population.provider_value * share - rate * supply,
        "welfare": enjoyed * share - cost,
    }
    name = objective.replace("-", "_")
    found, laws = {}, []
    for wanted in {name, "improvement", "expenditure"}:
        costly = wanted in ("expenditure", "social_cost")
        worst = ball.worst(values[wanted], maximise=costly)
        found[wanted] = worst.low
        if wanted == name:
            laws = [law.tolist() for law in worst.laws]
    return found, laws


@dataclass(frozen=True)
class _Asked:
    """What kind of offer is asked for, and how it is judged; `given`: by the user, not chosen."""

    mechanism: str
    objective: str
    target: float | None
    given: bool
    seed: int


def _best(
    population: Population, offers: Iterator[Offer], asked: _Asked, ball: Ball | None
) -> PostedOffer:
    """The best of the offers that keep to the budgets and the target; with a ball, guaranteed."""
    objective, given = asked.objective, asked.given
    name = objective.replace("-", "_")
    sign = 1.0 if objective in MINIMISED else -1.0
    least = None if given else read_target(population, objective, asked.target)
    chosen: tuple[tuple[float, float, float], Offer, dict[str, Any]] | None = None
    highest = 0.0
    for offer in offers:
        metrics = offer[1]
        if ball is not None and chosen and sign * metrics[name] >= chosen[0][0]:
            continue  # a guarantee is never better than what the population's law brings
        sure, details = metrics, {}
        if ball is not None:
            sure, laws = _guaranteed(population, ball, offer, objective)
            details = {"worst": laws, "nominal": metrics[name]}
        affordable = metrics.pop("most_paid") <= population.budget * (1 + tolerances.MONEY)
        affordable &= sure["expenditure"] <= population.expected_budget * (1 + tolerances.MONEY)
        if not affordable and not given:
            continue
        metrics["within_budget"] = affordable
        highest = max(highest, sure["improvement"])
        if least is not None and sure["improvement"] < least - tolerances.MONEY:
            continue
        key = (sign * sure[name], sure["expenditure"], metrics["social_cost"])
        if chosen is None or key < chosen[0]:
            chosen = key, offer, details
    if chosen is None:
        return PostedOffer(
            population,
            asked.mechanism,
            Status.INFEASIBLE,
            objective_name=objective,
            reason=f"the target {least:g} is out of reach; the highest expected share is "
            f"{highest:.9g}",
            seed=asked.seed,
        )
    (offer_terms, metrics, _), details = chosen[1], chosen[2]
    reached = sign * chosen[0][0]
    return PostedOffer(
        population,
        asked.mechanism,
        Status.FEASIBLE if given else Status.OPTIMAL,
        offer=offer_terms,
        objective=reached,
        bound=None if given else reached,
        objective_name=objective,
        metrics=metrics,
        details=details,
        seed=asked.seed,
    )


def complete_information(
    population: Population,
    *,
    objective: str = "provider-surplus",
    target: float | None = None,
    transfers: bool = True,
    randomized: bool = True,
    time_limit: float | None = None,
    seed: int = 0,
) -> DirectMechanism:
    """The first best: costs are observed, so D3, D5 and D6 fall away; participation is ex post."""
    terms = read_terms(
        population,
        objective=objective,
        incentive="dsic",
        participation="ex-post",
        withdrawal_rights=False,
        randomized=randomized,
        transfers=transfers,
        target=target,
    )
    terms = replace(terms, incentive="none")
    check_limits(time_limit, seed)
    refuse_if_large(population, terms)
    found = optimise(population, terms, time_limit=time_limit, seed=seed)
    return found.replace(mechanism="complete-information")

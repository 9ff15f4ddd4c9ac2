"""Private costs beyond enumerable states: a certified interval and a mechanism to deploy.

With n in the thousands or millions the count states of the model cannot be listed.
`bracket` gives an upper bound on every Bayesian incentive compatible mechanism (`fluid_bound`) and
the best of a few mechanisms whose expected value is computed exactly, or bounded from the safe
side. All are DSIC, ex-post individually rational and withdrawal proof (D1–D6 for any ρ):

*virtual-cost rule*: the threshold is always reached. Everybody may first give an unpaid base x⁰_g,
    c_g,max x⁰_g ≤ v_g. The rest is bought in a fixed order of (group, pool of adjacent types): by
    ironed virtual cost for the provider, by cost for welfare. The last pool served is rationed in
    proportion to capacity. Payments are the burden's cost plus the rent that the burdens of the
    dearer types leave. *Incentives*: whether the mechanism runs does not depend on reports, the
    base is constant, and the burden falls in the own report: if user i's pool e is rationed,
    x_e = cap L/(cap + O) with L what is left for the pool and O the others' supply in it; moving
    behind it leaves him at most (L − O)⁺ ≤ x_e. So the envelope payments are DSIC. *Withdrawal*:
    Σ x = T, hence all who give are pivotal, and u ≥ 0 is obedience (F9). Users whose data would
    stay (δ = 0) have no base: what they are paid covers their cost.
*posted price with rationing*: price s per unit; it runs iff those with cost ≤ s can supply T, and
    then buys T from them in proportion to capacity, for s T in all. *Incentives*: for cost ≤ s
    refusing only lowers the chance to earn. Someone dearer could make it run by accepting; he is
    then pivotal, S < T + cap_g, and gives more than cap_g T / (T + cap_g); it is not worth v_g
    if v_g ≤ (c − s) cap_g T / (T + cap_g), and prices that fail this are not offered (where δ = 0
    he may also leave with what is reversible: (1 − ρ) c if that is less than c − s).
*unanimity* (no payments): fixed burdens with Σ x = T; it runs iff nobody's report makes
    c x_g > v_g.
*fee for access* (no payments, users who can be excluded): see `access_fee`. The other rules give
    everybody access, whoever could be excluded or not.

Deployment is in `large_assignment`, expected supply in `supply_law`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from time import perf_counter

import numpy as np

from mechopt import tolerances, words
from mechopt.answer.bracket import Bracket, Rule
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import InvalidOption, NotSupported
from mechopt.private.large.access_fee import fees
from mechopt.private.large.fluid_bound import upper_bound
from mechopt.private.large.interim_bound import interim_bound
from mechopt.private.large.pools import most_unpaid, order_of_pools, unpaid_base
from mechopt.private.large.supply_law import ROUNDING, reaches, shortfall
from mechopt.problem.cost_curves import bought
from mechopt.problem.population import Population
from mechopt.problem.states import state_count
from mechopt.tolerances import REACH

COUNTED = 20_000  # states up to which the interim bound, state by state, takes about a second
OBJECTIVES = ("provider-surplus", "welfare", "improvement")


def bracket(
    population: Population, *, objective: str = "provider-surplus", transfers: bool = True
) -> Bracket:
    """A certified interval for the private-cost problem (D1–D7) at any n, and a rule to deploy.

    :objective: "provider-surplus", "welfare" (money) or "improvement" (probability)
    :transfers: False asks for mechanisms without payments

    The interval holds for every combination of BIC or DSIC, interim or ex-post participation, with
    or without withdrawal rights. Raises InvalidOption, and NotSupported for several thresholds or
    curved costs.
    """
    words.choose("objective", objective, OBJECTIVES)
    if not isinstance(transfers, bool):
        raise InvalidOption(f"transfers: must be True or False, got {transfers!r}")
    if population.levels > 1 or not population.linear:
        raise NotSupported("bracket: only for one threshold and linear costs (one segment)")
    if population.law is not None:
        raise NotSupported("bracket: only for independent types; this population has a law=")
    began = perf_counter()
    upper = upper_bound(population, objective=objective, transfers=transfers)
    if state_count(population) <= COUNTED and not population.has_exclusion:
        counted = interim_bound(population, objective=objective, transfers=transfers)
        upper = min(upper, counted)
    rule, lower, exact = _null(population), 0.0, True
    for candidate, value, is_exact in rules(population, objective, transfers):
        if value > lower:
            rule, lower, exact = candidate, value, is_exact
    how = (
        "upper: interim incentives, threshold in expectation or state by state (LP dual); "
        f"lower: {rule.kind}, expected value "
        + ("exact" if exact else "bounded from below by mean and variance")
    )
    seconds = perf_counter() - began
    return Bracket(
        population, objective, lower, max(upper, lower), rule, exact, how, seconds=seconds
    )


def _null(population: Population) -> Rule:
    nobody = np.full(population.type_costs.size, -1)
    return Rule("null", 0.0, np.zeros(len(population.groups)), nobody)


def rules(
    population: Population, objective: str, transfers: bool
) -> Iterator[tuple[Rule, float, bool]]:
    """Rules with a value they reach at least, and whether it is their exact value."""
    yield from _unanimous(population, objective)
    if population.has_exclusion:
        yield from fees(population, objective)
    if not transfers:
        return
    for by in ("welfare", "provider-surplus"):
        for with_base in (True, False):
            found = _virtual_cost(population, objective, by, with_base)
            if found is not None:
                yield found
    yield from _posted(population, objective)


# -- the virtual-cost rule -----------------------------------------------------------------------


def _virtual_cost(
    population: Population, objective: str, by: str, with_base: bool
) -> tuple[Rule, float, bool] | None:
    """Always run; the value minus expected payments or cost. None if capacities do not reach T.

    Without the base everything is paid for: dearer for the provider, cheaper for society.
    """
    threshold = float(population.thresholds[0])
    size, capacity = population.of_group("size"), population.of_group("capacity")
    value = population.of_group("value")
    if size @ capacity < threshold or population.budget < inf:
        return None  # payments vary with the state: no budget in every state can be promised
    base = unpaid_base(population) * float(with_base)
    base = base * min(1.0, threshold / max(float(size @ base), threshold * tolerances.TINY))
    left = max(0.0, threshold - float(size @ base))
    if left <= ROUNDING * threshold:
        left = 0.0
    order, virtual, cost = order_of_pools(population, by)
    room = capacity - base
    unpaid = _expected(population, room, left, order, cost)
    paid = _expected(population, room, left, order, virtual)
    mean_cost = np.array([group.costs @ group.probabilities for group in population.groups])
    slope = np.array([group.slopes[0] for group in population.groups])
    social = float(size @ (base * mean_cost * slope)) + unpaid[0]
    chance = 1.0
    if paid[0] > 0 and population.expected_budget < inf:
        chance = min(1.0, population.expected_budget / paid[0])
    share = float(population.shares[0])
    worth = population.provider_value * share
    if objective == "improvement":
        amount, exact = share, True
    elif objective == "welfare":
        amount, exact = worth + float(size @ value) * share - social, unpaid[2]
    else:
        amount, exact = worth - paid[0], paid[2]
    rule = Rule("virtual-cost rule", chance, base, order)
    return rule, chance * amount, exact and (chance == 1.0 or paid[2])


def _expected(
    population: Population, room: FloatArray, amount: float, order: IntArray, rate: FloatArray
) -> tuple[float, float, bool]:
    """Expected Σ rate · bought when `amount` is bought in this order: (at most, at least, exact).

    With S_r the supply of positions ≤ r, position r sells min(amount, S_r) − min(amount, S_{r−1}),
    so the sum is rate_R · amount − Σ_{r<R} (rate_{r+1} − rate_r) (amount − E[(amount − S_r)⁺]).
    """
    most = least = float(rate[-1]) * amount
    exact = True
    group = population.group_of_type
    laws = population.type_chances
    for position in range(rate.size - 1):
        step = float(rate[position + 1] - rate[position])
        chance = np.bincount(group, weights=laws * (order <= position), minlength=room.size)
        low, high = shortfall(population, room, np.minimum(chance, 1.0), amount)
        exact &= low == high
        ends = step * (amount - low), step * (amount - high)
        most, least = most - min(ends), least - max(ends)
    slack = ROUNDING * float(np.abs(rate).max()) * amount
    return most + slack, least - slack, exact


# -- posted price with rationing, unanimity ------------------------------------------------------


def _posted(population: Population, objective: str) -> Iterator[tuple[Rule, float, bool]]:
    threshold, share = float(population.thresholds[0]), float(population.shares[0])
    size, capacity = population.of_group("size"), population.of_group("capacity")
    value = population.of_group("value")
    group, law, cost = population.group_of_type, population.type_chances, population.type_rates
    remain = population.of_group("removable") == 0
    sunk = 1 - population.of_group("reversibility")
    for price in np.unique(cost):
        willing = cost <= price
        loses = np.where(remain[group], np.minimum(cost - price, sunk[group] * cost), cost - price)
        tempted = ~willing & (
            value[group] * share > loses * (capacity * threshold / (threshold + capacity))[group]
        )
        if tempted.any() or price * threshold > population.budget:
            continue
        chance = np.minimum(1.0, np.bincount(group, weights=law * willing, minlength=size.size))
        runs, exact = reaches(population, capacity, chance, threshold)
        if runs == 0:
            continue
        used = 1.0
        if population.expected_budget < inf:  # the lottery is safe even if it always ran
            most = price * threshold * (runs if exact else 1.0)
            used = min(1.0, population.expected_budget / most) if most > 0 else 1.0
        spent = np.bincount(group, weights=law * cost * willing, minlength=size.size)
        dearest = float(np.max(spent[chance > 0] / chance[chance > 0]))  # mean cost per unit
        worth = population.provider_value * share
        amount = {
            "improvement": share,
            "provider-surplus": worth - price * threshold,
            "welfare": worth + float(size @ value) * share - dearest * threshold,
        }[objective]
        alone = objective != "welfare" or np.count_nonzero(chance) == 1
        rule = Rule(
            "posted price with rationing",
            used,
            np.zeros(size.size),
            np.where(willing, 0, -1),
            float(price),
        )
        yield rule, used * runs * amount, exact and alone


def _unanimous(population: Population, objective: str) -> Iterator[tuple[Rule, float, bool]]:
    threshold, share = float(population.thresholds[0]), float(population.shares[0])
    size, value = population.of_group("size"), population.of_group("value")
    group, law, cost = population.group_of_type, population.type_chances, population.type_rates
    for level in np.unique(cost):
        dearest = np.full(size.size, -1.0)
        np.maximum.at(dearest, group, np.where(cost <= level, cost, -1.0))
        most = bought(value * share, np.abs(dearest), most_unpaid(population)) * (dearest >= 0)
        total = float(size @ most)
        if total < threshold * (1 - REACH) or total == 0:
            continue
        base = most * min(1.0, threshold / total)
        agrees = cost * base[group] <= value[group] * share * (1 + REACH)
        chance = np.minimum(1.0, np.bincount(group, weights=law * agrees, minlength=size.size))
        with np.errstate(divide="ignore"):
            runs = float(np.exp(size @ np.log(chance)))
        if runs == 0:
            continue
        spent = np.bincount(group, weights=law * cost * agrees, minlength=size.size) / chance
        worth = population.provider_value * share
        amount = {
            "improvement": share,
            "provider-surplus": worth,
            "welfare": worth + float(size @ value) * share - float(size @ (base * spent)),
        }[objective]
        yield Rule("unanimity", 1.0, base, np.where(agrees, 0, -1)), runs * amount, True

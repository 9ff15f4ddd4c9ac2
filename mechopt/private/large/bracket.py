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
*fee for access* (no payments, users who can be excluded), alone or before the virtual-cost rule
    buys the rest: see `access_fee`. The other rules give everybody access.

Deployment is in `large_assignment`, expected supply in `supply_law`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from time import perf_counter

import numpy as np

from mechopt import words
from mechopt.answer.bracket import Bracket, Rule
from mechopt.errors import InvalidOption, NotSupported
from mechopt.private.large.access_fee import fees
from mechopt.private.large.fluid_bound import upper_bound
from mechopt.private.large.interim_bound import interim_bound
from mechopt.private.large.pools import most_unpaid
from mechopt.private.large.purchases import virtual_cost_rules
from mechopt.private.large.supply_law import reaches
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
    if state_count(population) <= COUNTED:
        counted = interim_bound(population, objective=objective, transfers=transfers)
        upper = min(upper, counted)
    rule, lower, exact = null_rule(population), 0.0, True
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


def null_rule(population: Population) -> Rule:
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
        yield from virtual_cost_rules(population, objective, by)
    yield from _posted(population, objective)


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

"""The virtual-cost rule at any number of users: its worth, alone and after a fee for access.

Everybody gives the base x⁰_g; types up to κ_g give a fee f_g beyond it, unpaid, for access; what is
left of T is bought in the order of the pools (`bracket`). With a fee the base is never scaled,
R = T − Σ n_g x⁰_g > 0; the fees are, by s = min(1, R / Σ f). Who does not pay is denied access
worth s' c_κ f, s' the scale if she paid, c_κ f ≤ η v.

*Incentives*: the threshold is always reached. A type gains s' f (c_κ − c) by paying, so those up to
κ pay, others do not; the burden falls in the own report (moving behind κ lowers the fees by f, and
what is sold of that is at most f), and payments are the envelope's of what is bought alone:
t = c e + Σ (c_l+1 − c_l) e_l ≥ 0, for the fee's rent s' f (c_κ − c) is in what access is worth.
*Withdrawal*: u ≥ v − denied − c_max x⁰ ≥ 0, and at least (1 − η) v where data stay (δ = 0).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import inf

import numpy as np

from mechopt import tolerances
from mechopt.answer.bracket import Rule
from mechopt.arrays import FloatArray, IntArray
from mechopt.private.large.pools import (
    access_stake,
    most_unpaid,
    order_of_pools,
    unpaid_base,
)
from mechopt.private.large.supply_law import ROUNDING, shortfall, shortfall_of_parts
from mechopt.problem.cost_curves import bought
from mechopt.problem.population import Population

MOST_FEES = 64  # combinations of the groups' fees that are tried; beyond, the best on average


@dataclass(frozen=True, eq=False)
class _Given:
    """What is given unpaid: base (G,), fee (M,) of those who pay it, data; denied (G,), money."""

    base: FloatArray
    fee: FloatArray
    denied: FloatArray

    @property
    def charges(self) -> bool:
        return bool(self.fee.any())


def virtual_cost_rules(
    population: Population, objective: str, by: str
) -> Iterator[tuple[Rule, float, bool]]:
    """The rules, each with a value it reaches at least, and whether it is exactly that.

    :by: the order of purchase, "provider-surplus" (virtual costs) or "welfare" (costs)
    """
    threshold, size = float(population.thresholds[0]), population.of_group("size")
    if size @ population.of_group("capacity") < threshold or population.budget < inf:
        return  # payments vary with the state: no budget in every state can be promised
    order, virtual, cost = order_of_pools(population, by)
    for given in _unpaid(population, order):
        charges = given.charges
        paid = _expected(population, given, order, virtual)
        spent = _expected(population, given, order, cost)
        chance = 1.0
        if paid[0] > 0 and population.expected_budget < inf:
            chance = min(1.0, population.expected_budget / paid[0])
        share, law = float(population.shares[0]), population.type_chances
        group, worth = population.group_of_type, population.provider_value * share
        users = size[group] * law
        if objective == "improvement":
            amount, exact = share, True
        elif objective == "welfare":
            social = float(users @ (population.type_rates * (given.base[group] + given.fee)))
            denied = float((users * (given.fee == 0)) @ given.denied[group])
            enjoyed = float(size @ population.of_group("value")) * share - denied
            amount, exact = worth + enjoyed - social - spent[0], spent[2] and not charges
        else:
            amount, exact = worth - paid[0], paid[2]
        kind = "virtual-cost rule with a fee for access" if charges else "virtual-cost rule"
        rule = Rule(kind, chance, given.base, order, fee=given.fee if charges else None)
        yield rule, chance * amount, exact and (chance == 1.0 or paid[2])


def _unpaid(population: Population, order: IntArray) -> Iterator[_Given]:
    """With the base and without, which is dearer for the provider and cheaper for society; and
    with fees that the last type of a pool can just pay."""
    threshold, size = float(population.thresholds[0]), population.of_group("size")
    none = np.zeros(size.size), np.zeros(order.size)
    free = unpaid_base(population)
    scale = min(1.0, threshold / max(float(size @ free), threshold * tolerances.TINY))
    yield _Given(free * scale, none[1], none[0])
    yield _Given(none[0], none[1], none[0])
    if population.has_exclusion:
        for last in _lasts(population, order):
            given = _with_fee(population, last)
            if size @ given.base < threshold * (1 - tolerances.REACH):
                yield given


def _lasts(population: Population, order: IntArray) -> Iterator[IntArray]:
    """Per group the type (its column) that is the last to pay, −1: nobody; ends of pools only."""
    axes, none = [], np.full(len(population.groups), -1)
    for g, (first, group) in enumerate(zip(population.first_type, population.groups)):
        mine = np.arange(first, first + group.types - 1)
        ends = mine[(order[mine + 1] != order[mine]) & (access_stake(population)[g] > 0)]
        axes.append([-1, *ends.tolist()])
    if np.prod([float(len(axis)) for axis in axes]) > MOST_FEES:
        for g, axis in enumerate(axes):
            single = [np.where(np.arange(none.size) == g, last, none) for last in axis]
            supply = [population.type_chances @ _with_fee(population, one).fee for one in single]
            axes[g] = [axis[int(np.argmax(supply))]]
    for chosen in product(*axes):
        if max(chosen) >= 0:
            yield np.array(chosen)


def _with_fee(population: Population, last: IntArray) -> _Given:
    """Fees that the last types can just pay, after a base that the dearest types give for what
    access they keep."""
    cost, group = population.type_rates, population.group_of_type
    threshold, size = float(population.thresholds[0]), population.of_group("size")
    charged = last >= 0
    rate = np.where(charged, cost[last], 0.0)
    stake = np.where(charged, access_stake(population), 0.0)
    dearest = np.array([one.costs[-1] * one.slopes[0] for one in population.groups])
    value = population.of_group("value") * float(population.shares[0])
    base = bought(value - stake, dearest, most_unpaid(population))
    base = base * min(1.0, threshold / max(float(size @ base), threshold * tolerances.TINY))
    fee = bought(stake, rate, population.of_group("capacity") - base) * charged
    pays = charged[group] & (np.arange(group.size) <= last[group])
    return _Given(base, np.where(pays, fee[group], 0.0), rate * fee)


def _expected(
    population: Population, given: _Given, order: IntArray, rate: FloatArray
) -> tuple[float, float, bool]:
    """Expected Σ rate · bought when what is left of T is bought in this order: (at most, at least,
    exact).

    With Y_r what is given unpaid and supplied by positions ≤ r, and R = T − Σ n_g x⁰_g, the sum is
    rate_0 E[(R − Y_{−1})⁺] + Σ_r (rate_{r+1} − rate_r) E[(R − Y_r)⁺].
    """
    size, group = population.of_group("size"), population.group_of_type
    rest = max(0.0, float(population.thresholds[0]) - float(size @ given.base))
    if rest <= ROUNDING * float(population.thresholds[0]):
        rest = 0.0
    room = population.of_group("capacity") - given.base
    fee = np.zeros(size.size)
    np.maximum.at(fee, group, given.fee)
    steps = np.diff(rate, prepend=0.0)
    most = least = 0.0
    exact = True
    for position in range(rate.size):
        served = order < position
        chance, pays = (
            np.minimum(1.0, np.bincount(group, population.type_chances * some, size.size))
            for some in (served, ~served & (given.fee > 0))
        )
        if pays.any():
            low, high = shortfall_of_parts(size, (room, fee), (chance, pays), rest)
        else:
            low, high = shortfall(population, room, chance, rest)
        exact &= low == high
        ends = steps[position] * low, steps[position] * high
        most, least = most + max(ends), least + min(ends)
    slack = ROUNDING * float(np.abs(rate).max()) * rest
    return most + slack, least - slack, exact

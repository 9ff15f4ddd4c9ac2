"""Procurement without user values: the optimal mechanism in closed form, state by state.

With v = 0, free payments and no budget, expected payments are expected *virtual* costs
ψ_k = c_k + F_{k−1}/f_k (c_k − c_{k−1}); ironed where they fall (Myerson 1981). Each state buys T
from the lowest virtual costs and runs iff V b covers them. Ties are shared in proportion to
capacity, which keeps burdens monotone in the own report; so the mechanism is DSIC and ex-post
individually rational, hence optimal under every combination of weaker terms as well.
"""

from __future__ import annotations

from math import inf

import numpy as np

from mechopt.answer.mechanism import DirectMechanism
from mechopt.arrays import FloatArray, IntArray
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Group, Population
from mechopt.status import Status


def applies(population: Population, terms: DirectTerms) -> bool:
    """Whether the closed form answers these terms exactly."""
    return (
        population.levels == 1
        and population.law is None
        and population.linear
        and population.budget == inf
        and population.expected_budget == inf
        and all(group.value == 0 for group in population.groups)
        and terms.transfers
        and terms.objective == "provider-surplus"
        and terms.incentive in ("dsic", "bic")
    )


def virtual_costs(group: Group) -> FloatArray:
    """ψ_k = c_k + F_{k−1}/f_k (c_k − c_{k−1}), not ironed, money per data unit, shape (m,)."""
    costs = group.costs * group.slopes[0]
    law = group.probabilities
    below = np.concatenate([[0.0], np.cumsum(law)[:-1]])
    return costs + below / law * np.diff(costs, prepend=costs[0])


def ironed(group: Group) -> FloatArray:
    """Virtual costs pooled by adjacent violators, non-decreasing, equal within a pool."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, types
    for cost, chance in zip(virtual_costs(group).tolist(), group.probabilities.tolist()):
        mean, weight, size = cost, chance, 1
        while blocks and blocks[-1][0] >= mean:
            before, heavier, more = blocks.pop()
            mean = (before * heavier + mean * weight) / (heavier + weight)
            weight, size = heavier + weight, size + more
        blocks.append((mean, weight, size))
    return np.repeat([mean for mean, _, _ in blocks], [size for _, _, size in blocks])


def mechanism(population: Population, terms: DirectTerms) -> DirectMechanism:
    """The optimal mechanism; needs `applies`."""
    space = population.states
    virtual = np.concatenate([ironed(group) for group in population.groups])
    capacity = population.of_type("capacity")
    classes, member = np.unique(virtual, return_inverse=True)
    runs, burden = _allocate(population, classes, member, space.counts * capacity, capacity)
    payment = _payments(population, burden)
    answer = DirectMechanism(
        population,
        terms,
        Status.OPTIMAL,
        run=runs[:, None].astype(np.float64),
        burden=burden[:, None, :],
        payment=payment[:, None, :],
        solver="closed form (virtual costs)",
        details={"virtual_costs": virtual.tolist()},
    )
    spent = space.probability @ (space.counts * payment).sum(axis=1)
    value = float(population.provider_value * population.shares[0] * (space.probability @ runs))
    surplus = value - float(spent)
    return answer.replace(objective=surplus, bound=surplus)


def _allocate(
    population: Population,
    classes: FloatArray,
    member: IntArray,
    supply: FloatArray,
    capacity: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Buy T from the lowest classes; (runs (S,) of 0/1, burden per user (S, M))."""
    threshold, worth = population.thresholds[0], population.provider_value * population.shares[0]
    states = supply.shape[0]
    left = np.full(states, threshold)
    price = np.zeros(states)
    burden = np.zeros(supply.shape)
    for number, virtual in enumerate(classes):
        columns = np.flatnonzero(member == number)
        offered = supply[:, columns].sum(axis=1)
        taken = np.minimum(left, offered)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(offered > 0, taken / offered, 0.0)
        burden[:, columns] = share[:, None] * capacity[columns]
        price += virtual * taken
        left = left - taken
    runs = ((left == 0) & (price <= worth)).astype(np.float64)
    burden *= runs[:, None] * (supply > 0)
    return runs, burden


def _payments(population: Population, burden: FloatArray) -> FloatArray:
    """t = θ x + rent; a type's rent is what the next dearer type's burden saves it."""
    space = population.states
    payment = np.zeros(burden.shape)
    for g, (group, others) in enumerate(zip(population.groups, space.others)):
        first = population.first_type[g]
        costs = group.costs * group.slopes[0]
        rent = np.zeros(others.probability.size)
        for k in range(group.types - 1, -1, -1):
            state = others.state[:, k]
            own = burden[state, first + k]
            payment[state, first + k] = costs[k] * own + rent
            if k:
                rent = rent + (costs[k] - costs[k - 1]) * own
    return payment

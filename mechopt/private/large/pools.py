"""Pools of types, in the order in which the virtual-cost rule buys from them, and its purchases.

A pool is a set of adjacent types of one group: those of one ironed virtual cost (for the provider)
or of one cost (for society). Everybody first gives an unpaid base; the rest of T is bought pool by
pool, the last one rationed in proportion to capacity (see `bracket` for why that is DSIC).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray
from mechopt.problem.cost_curves import bought
from mechopt.problem.population import Population
from mechopt.tolerances import REACH


def order_of_pools(population: Population, by: str) -> tuple[IntArray, FloatArray, FloatArray]:
    """Position of each type (M,), and by position the mean virtual cost and cost of those served.

    :by: "provider-surplus" (ironed virtual costs) or "welfare" (costs), money per data unit
    """
    from mechopt.private.virtual_cost import ironed, virtual_costs

    pools: list[tuple[float, int, float, float, list[int]]] = []
    for g, group in enumerate(population.groups):
        actual, raw = group.costs * group.slopes[0], virtual_costs(group)
        key = ironed(group) if by == "provider-surplus" else actual
        for level in np.unique(key):
            members = np.flatnonzero(key == level)
            law = group.probabilities[members]
            virtual, mean = (float(law @ curve[members] / law.sum()) for curve in (raw, actual))
            columns = (members + population.first_type[g]).tolist()
            pools.append((float(level), g, virtual, mean, columns))
    pools.sort(key=lambda pool: pool[:2])
    order = np.empty(population.type_costs.size, dtype=np.int64)
    for position, pool in enumerate(pools):
        order[pool[4]] = position
    return order, np.array([pool[2] for pool in pools]), np.array([pool[3] for pool in pools])


def unpaid_base(population: Population) -> FloatArray:
    """The most that all types of a group give unpaid, min(cap, v b / dearest cost), (G,) data."""
    dearest = np.array([group.costs[-1] * group.slopes[0] for group in population.groups])
    value = population.of_group("value") * float(population.shares[0])
    return bought(value, dearest, most_unpaid(population))


def access_stake(population: Population) -> FloatArray:
    """η_g v_g b, money, (G,): what access is worth to a user, beyond what cannot be denied."""
    value = population.of_group("value")
    return population.of_group("exclusion") * value * float(population.shares[0])


def most_unpaid(population: Population) -> FloatArray:
    """The most that may go unpaid, data, (G,): nothing of data that stay although users leave."""
    return np.array([one.capacity * (one.removable > 0) for one in population.groups])


@dataclass(frozen=True, eq=False)
class Purchase:
    """What is bought in the states: burden (S, M) data, price (S,) money (inf: T is out of reach).

    The price is that of what exceeds the base, at the pools' virtual costs (or costs).
    """

    burden: FloatArray
    price: FloatArray


def purchase(population: Population, by: str) -> Purchase:
    """The whole threshold bought in every state."""
    group = population.group_of_type
    threshold, counts = float(population.thresholds[0]), population.states.counts
    order, virtual, cost = order_of_pools(population, by)
    rate = virtual if by == "provider-surplus" else cost
    base = unpaid_base(population)[group] if by == "provider-surplus" else np.zeros(group.size)
    room = population.of_type("capacity") - base
    free = counts @ base
    scale = np.minimum(1.0, threshold / np.maximum(free, threshold * tolerances.TINY))
    burden = base * scale[:, None]
    left, price = np.maximum(0.0, threshold - free), np.zeros(counts.shape[0])
    for position in range(rate.size):
        mine = np.where(order == position, room, 0.0)
        offered = counts @ mine
        taken = np.minimum(left, offered)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(offered > 0, taken / offered, 0.0)
        burden += mine * part[:, None]
        price += rate[position] * taken
        left = left - taken
    reached = left <= REACH * threshold
    burden = np.where((counts > 0) & reached[:, None], burden, 0.0)
    return Purchase(burden, np.where(reached, price, np.inf))


_RARE = 1e-7  # classes less likely than this are one with their neighbour: their prices are noise


def marginal_pools(population: Population) -> IntArray:
    """For each state and type, the pool in which buying ends if one such user is taken out, (S, M).

    It is a function of what a user knows who knows the others' reports, ω_−i: cells (ω, k) of one
    group with the same ω_−i = ω − e_k have the same number. Where nobody is: 0.
    """
    space, group = population.states, population.group_of_type
    threshold = float(population.thresholds[0])
    order, virtual, _ = order_of_pools(population, "provider-surplus")
    base = unpaid_base(population)[group]
    room = population.of_type("capacity") - base
    found = np.zeros(space.counts.shape, dtype=np.int64)
    for g, others in enumerate(space.others):
        first, types = population.first_type[g], population.groups[g].types
        rest = space.counts[others.state[:, 0]].copy()
        rest[:, first] -= 1
        left = threshold - rest @ base - base[first]
        place = np.zeros(left.size, dtype=np.int64)
        for position in range(virtual.size):
            place += left > 0
            left = left - rest @ np.where(order == position, room, 0.0)
        place += left > 0
        place = _merged(place, others.probability)
        for k in range(types):
            found[others.state[:, k], first + k] = place
    return found


def _merged(place: IntArray, chance: FloatArray) -> IntArray:
    """Classes of small probability joined to the next towards the likeliest; numbered from 0."""
    law = np.bincount(place, chance)
    middle, known = int(np.argmax(law)), np.arange(law.size)
    for steps in (range(middle), range(law.size - 1, middle, -1)):
        for k in steps:
            if law[known == known[k]].sum() < _RARE:
                known[known == known[k]] = k + 1 if k < middle else k - 1
    return np.asarray(np.unique(known[place], return_inverse=True)[1], dtype=np.int64)

"""A fee for access: users who can be excluded (F14) give data in exchange for the improvement.

Group g's fee x⁰_g, data, is payable by types with c x⁰_g ≤ η_g v_g; it runs iff those who pay reach
T, S = Σ x⁰ ≥ T. Who pays gives s x⁰_g, s = T / S, and has access 1; who does not gives nothing and
has access 1 − η_g T / (S + x⁰_g), what is left after the share of the fee that she would give.
Without payments, so for every objective and with budgets.

*Incentives* (DSIC): where it runs in any case, paying costs c s' x⁰ and brings η v s', with
s' = T / (S + x⁰) of a refuser and s' = s of a payer: who can pay gains, others lose. A refuser who
would make it run gains v for c s' x⁰, s' ≥ T / (T + x⁰): only fees where that is no gain are
offered. *Withdrawal*: Σ x = T, so whoever gives is pivotal and u ≥ 0 is obedience, also for
misreporters (D5, D6); users whose data stay (δ = 0) keep at most (1 − η) v, no more than refusing.
Asymptotics: S / n tends to its mean, so with fees that reach T on average it runs almost surely,
where without exclusion provision goes to 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from mechopt.answer.bracket import Rule
from mechopt.arrays import FloatArray, IntArray
from mechopt.private.large.assignment import ACCESS_FEE
from mechopt.private.large.pools import access_stake
from mechopt.private.large.supply_law import reaches
from mechopt.problem.cost_curves import bought
from mechopt.problem.population import Population

MOST_FEES = 256  # combinations of the groups' fees that are tried; beyond, the best on average


def fees(population: Population, objective: str) -> Iterator[tuple[Rule, float, bool]]:
    """The fees worth trying, each with what it brings at least, and whether exactly that."""
    share, threshold = float(population.shares[0]), float(population.thresholds[0])
    size, value = population.of_group("size"), population.of_group("value")
    group, law, cost = population.group_of_type, population.type_chances, population.type_rates
    eta = population.of_group("exclusion")
    for base in _choices(population):
        pays = (cost * base[group] <= access_stake(population)[group]) & (base[group] > 0)
        if _tempted(population, base, pays):
            continue
        chance = np.minimum(1.0, np.bincount(group, weights=law * pays, minlength=size.size))
        runs, exact = reaches(population, base, chance, threshold)
        if runs == 0:
            continue
        amount = {
            "improvement": share,
            "provider-surplus": population.provider_value * share,
            "welfare": population.provider_value * share
            + float(size @ (value * share * (1 - eta * (1 - chance))))
            - threshold * _dearest(group, law, cost, pays, chance),
        }[objective]
        rule = Rule(ACCESS_FEE, 1.0, np.where(chance > 0, base, 0.0), np.where(pays, 0, -1))
        yield rule, runs * amount, exact and objective != "welfare"


def _choices(population: Population) -> Iterator[FloatArray]:
    """Fees (G,) at which the dearest payer of each group is indifferent, or gives all she can."""
    group, law, cost = population.group_of_type, population.type_chances, population.type_rates
    size, capacity = population.of_group("size"), population.of_group("capacity")
    stake = access_stake(population)
    axes = []
    for g in range(size.size):
        mine = np.flatnonzero(group == g)
        fee = bought(np.full(mine.size, stake[g]), cost[mine], np.full(mine.size, capacity[g]))
        fee = np.unique(np.where(stake[g] > 0, fee, 0.0))
        axes.append([(one, one * float(law[mine] @ (cost[mine] * one <= stake[g]))) for one in fee])
    if np.prod([float(len(axis)) for axis in axes]) > MOST_FEES:
        axes = [[max(axis, key=lambda one: one[1])] for axis in axes]
    for chosen in product(*axes):
        yield np.array([fee for fee, _ in chosen])


def _tempted(population: Population, base: FloatArray, pays: np.ndarray) -> bool:
    """Whether somebody who cannot pay would rather pay where that makes it run."""
    threshold = float(population.thresholds[0])
    group, cost = population.group_of_type, population.type_rates
    value = population.of_group("value")
    least = base * threshold / (threshold + base)
    gain = value * float(population.shares[0])
    refuses = ~pays & (base[group] > 0)
    kept = (1 - population.of_group("exclusion")) * gain
    stays = (population.of_group("removable") == 0)[group] & (kept[group] > 0)
    return bool((refuses & (stays | (gain[group] > cost * least[group]))).any())


def _dearest(
    group: IntArray, law: FloatArray, cost: FloatArray, pays: np.ndarray, chance: FloatArray
) -> float:
    """The largest mean cost of a unit among the groups' payers, money per data unit."""
    spent = np.bincount(group, weights=law * cost * pays, minlength=chance.size)
    return float(np.max(spent[chance > 0] / chance[chance > 0], initial=0.0))

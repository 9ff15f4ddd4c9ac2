"""Mechanisms that run only where it pays: the purchases of the virtual-cost rule, cut off.

In a set of states, closed under reporting less, the mechanism runs for sure and buys pool by pool
(`pools.purchase`). Elsewhere it runs with chance ε^d, d users' steps away from the set: that costs
next to nothing, and leaves room (t ≤ t̄ ε^d) for what is owed to a user whose lower report would
have made it run. Chance and burden fall in the own report, so along every chain of reports (ω_−i
fixed) the least utilities with u ≥ 0, t ≥ 0 and no gain from the neighbouring reports exist: a
longest path, found in two passes. DSIC and ex-post individually rational, then audited.

Which set: where the price is at most a cut; or, near that edge, where the multipliers of
`interim_bound` call the state worth running; then states are moved one by one while that pays,
every chain counted exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.private.large.assignment import of_one_level
from mechopt.private.large.pools import purchase
from mechopt.problem.direct_terms import DirectTerms, payment_bounds
from mechopt.problem.population import Population

OBJECTIVES = ("provider-surplus", "welfare")
_CUTS = 60  # prices at which to cut that are tried
_BANDS = (0.5, 1.0, 2.0)  # around the edge, in the largest effect of one user on the price
_NOT_AT_ALL = 1e-30
_MOVE = 1e-12  # relative: what moving a state must bring


def best_cutoff(
    population: Population,
    terms: DirectTerms,
    worth: FloatArray | None = None,
    *,
    enough: float = inf,
    time_limit: float = inf,
) -> tuple[DirectMechanism, DirectMechanism]:
    """The best mechanism of the kind found, and the one nearest to what the multipliers say.

    Not audited; their `objective` is their exact value.

    :worth: of running in each state, money, shape (S,): the sign counts
    :enough: no further search beyond this value

    Needs one threshold, linear costs, no budgets, transfers and an objective of OBJECTIVES.
    """
    search = _Search(population, terms.objective, perf_counter() + time_limit)
    runs, value = search.cut_by_price()
    said = runs
    if worth is not None and value < enough:
        near = [search.by_worth(worth, search.edge, band) for band in _BANDS]
        starts, said = sorted([runs, *near], key=search.value), near[1]
        for start in (starts[-1], near[0]):
            other = search.moved(start, enough)
            if search.value(other) > value:
                runs, value = other, search.value(other)
    best = search.mechanism(terms, runs)
    return best, best if said is runs else search.mechanism(terms, said)


def from_mixture(
    population: Population, terms: DirectTerms, run: FloatArray, burden: FloatArray
) -> DirectMechanism:
    """The Bayesian mechanism of these run probabilities (S,) and burdens (S, M), not audited.

    Interim payments are the least that types expect; in a state they are in proportion to p.
    """
    space, share = population.states, float(population.shares[0])
    payment = np.zeros(burden.shape)
    for g, others in enumerate(space.others):
        group, first = population.groups[g], population.first_type[g]
        column = [(others.given(k), others.state[:, k], first + k) for k in range(group.types)]
        chance = np.array([[law @ run[state] for law, state, _ in column]])
        given = np.array([[law @ burden[state, j] for law, state, j in column]])
        each = np.divide(given, chance, out=np.zeros(given.shape), where=chance > 0)
        costs = group.costs * group.slopes[0]
        chain = Chain(np.zeros((1, group.types), np.int64), each, each, costs, group.value * share)
        rate = np.divide(chain.payments(chance), chance, out=np.zeros(each.shape), where=chance > 0)
        for k, (_, state, j) in enumerate(column):
            payment[state, j] = rate[0, k] * run[state]
    return _answer(population, terms, (run, burden, payment), "interim curves, state by state")


def _answer(
    population: Population,
    terms: DirectTerms,
    numbers: tuple[FloatArray, FloatArray, FloatArray],
    solver: str,
) -> DirectMechanism:
    from mechopt.private.direct.extract import objective_of

    run, burden, payment = numbers
    here = population.states.counts > 0
    entered = np.where(here, run[:, None], 0.0) if population.has_exclusion else None
    answer = of_one_level(population, terms, (run, burden, payment, entered), solver)
    return answer.replace(objective=objective_of(answer))


@dataclass(frozen=True, eq=False)
class Chain:
    """The chains of reports of one group: states (R, m) a user reaches when ω_−i is given.

    :burden: of the user if the state runs, data; weight : expected users there, both (R, m)
    """

    state: IntArray
    burden: FloatArray
    weight: FloatArray
    costs: FloatArray
    value: float

    def utilities(self, chance: FloatArray) -> FloatArray:
        """The least that hold, at the states' chances (R, m), money."""
        given = chance * self.burden
        least = np.maximum(0.0, self.value * chance - self.costs * given)
        step = np.diff(self.costs)
        for k in range(step.size - 1, -1, -1):
            least[:, k] = np.maximum(least[:, k], least[:, k + 1] + step[k] * given[:, k + 1])
        for k in range(1, step.size + 1):
            least[:, k] = np.maximum(least[:, k], least[:, k - 1] - step[k - 1] * given[:, k - 1])
        return least

    def payments(self, chance: FloatArray) -> FloatArray:
        """t = u + θ x − v p, (R, m), money."""
        owed = self.costs * self.burden - self.value
        return np.maximum(self.utilities(chance) + chance * owed, 0.0)

    def spent(self, chance: FloatArray) -> FloatArray:
        """Expected payments, per chain (R,)."""
        return np.asarray((self.weight * self.payments(chance)).sum(axis=1))


class _Search:
    def __init__(self, population: Population, objective: str, ends: float) -> None:
        self.population, self.ends = population, ends
        self.paid = objective == "provider-surplus"
        space, share = population.states, float(population.shares[0])
        self.bought = purchase(population, objective)
        self.able = np.isfinite(self.bought.price)
        cost = population.type_rates
        enjoyed = population.users_value
        gain = np.full(len(space), population.provider_value * share)
        if not self.paid:
            gain += enjoyed * share - (space.counts * self.bought.burden) @ cost
        self.gain = gain * space.probability
        self.chains, self.neighbours = [], []
        self.step = 0.0  # the most that one user's step moves the price
        for g, others in enumerate(space.others):
            group, first = population.groups[g], population.first_type[g]
            columns = first + np.arange(group.types)
            burden = self.bought.burden[others.state, columns]
            weight = space.probability[others.state] * space.counts[others.state, columns]
            costs = cost[columns]
            self.chains.append(Chain(others.state, burden, weight, costs, group.value * share))
            for k in range(1, group.types):
                worse, better = others.state[:, k], others.state[:, k - 1]
                self.neighbours.append((worse, better))
                with np.errstate(invalid="ignore"):
                    move = self.bought.price[worse] - self.bought.price[better]
                self.step = max(self.step, float(np.max(move[np.isfinite(move)], initial=0.0)))
        self.edge = 0.0

    def value(self, runs: BoolArray) -> float:
        """Expected objective if it runs for sure in these states and elsewhere hardly ever."""
        chance = runs.astype(np.float64)
        spent = sum(float(one.spent(chance[one.state]).sum()) for one in self.chains)
        return float(self.gain @ chance) - (spent if self.paid else 0.0)

    def cut_by_price(self) -> tuple[BoolArray, float]:
        """The best set {price ≤ edge}; sets `edge`."""
        price = self.bought.price
        edges = np.unique(price[self.able])
        if not edges.size:
            return self.able, 0.0
        known: dict[int, float] = {}
        tried = np.unique(np.linspace(0, edges.size - 1, _CUTS // 2).astype(np.int64))
        while len(known) < _CUTS:
            for place in tried:
                if int(place) not in known and (not known or perf_counter() < self.ends):
                    known[int(place)] = self.value(price <= edges[place])
            best, places = max(known, key=lambda one: known[one]), sorted(known)
            at = places.index(best)
            low, high = places[max(0, at - 1)], places[min(len(places) - 1, at + 1)]
            tried = np.unique(np.linspace(low, high, _CUTS // 4).astype(np.int64))
            if all(int(place) in known for place in tried) or perf_counter() >= self.ends:
                break
        self.edge = float(edges[best])
        return price <= self.edge, known[best]

    def by_worth(self, worth: FloatArray, edge: float, band: float) -> BoolArray:
        """States within the band around the edge run if they are worth it; closed downwards."""
        price, width = self.bought.price, band * self.step
        runs = (price <= edge - width) | ((price <= edge + width) & (worth > 0) & self.able)
        while perf_counter() < self.ends:  # whoever reports less keeps it running
            before = runs.copy()
            for worse, better in self.neighbours:
                runs[worse] &= runs[better]
            if (runs == before).all():
                return np.asarray(runs)
        return price <= edge

    def moved(self, runs: BoolArray, enough: float) -> BoolArray:
        """States moved in or out while that pays, none that share a chain at a time."""
        value = self.value(runs)
        while value < enough and perf_counter() < self.ends:
            gains = self._gains(runs)
            chosen = gains > _MOVE * max(abs(value), tolerances.TINY)
            if not chosen.any():
                break
            order = np.where(chosen, gains + np.arange(gains.size) * tolerances.TINY, -inf)
            for chain in self.chains:
                best = order[chain.state].max(axis=1, keepdims=True)
                chosen[chain.state[order[chain.state] < best]] = False
            other = runs ^ chosen
            better = self.value(other)
            if better <= value:
                break
            runs, value = other, better
        return runs

    def _gains(self, runs: BoolArray) -> FloatArray:
        """What moving each state alone would bring; −inf where the set would not stay closed."""
        chance = runs.astype(np.float64)
        gains = self.gain * (1 - 2 * chance)
        for chain in self.chains:
            here = chance[chain.state]
            spent = chain.spent(here) if self.paid else 0.0
            for k in range(here.shape[1]):
                other = here.copy()
                other[:, k] = 1 - other[:, k]
                if self.paid:
                    more = chain.spent(other) - spent
                    gains -= np.bincount(chain.state[:, k], more, minlength=gains.size)
                open_ = (np.diff(other, axis=1) > 0).any(axis=1)
                gains[chain.state[open_, k]] = -inf
        return np.where(self.able, gains, -inf)

    def chances(self, runs: BoolArray) -> Iterator[FloatArray]:
        """Run probabilities: 1 in the set, ε^d outside; with the least ε first."""
        away = np.where(runs, 0.0, inf)
        for _ in range(20):
            before = away.copy()
            for worse, better in self.neighbours:
                away[worse] = np.minimum(away[worse], away[better] + 1)
            if (away == before).all():
                break
        for _ in range(20):  # no state is nearer than one in which somebody reports less
            before = away.copy()
            for worse, better in self.neighbours:
                away[worse] = np.maximum(away[worse], away[better])
            if (away == before).all():
                break
        bounds = payment_bounds(self.population, 0)
        owed = [chain.value / bound for chain, bound in zip(self.chains, bounds) if bound > 0]
        least = max([*owed, tolerances.PROBABILITY])
        for rare in (1.01 * least, 4 * least, 30 * least):
            chance = np.where(self.able, np.minimum(rare, 1.0) ** np.minimum(away, 1e3), 0.0)
            yield np.where(chance < _NOT_AT_ALL, 0.0, chance)

    def mechanism(self, terms: DirectTerms, runs: BoolArray) -> DirectMechanism:
        """The mechanism that runs there, with payments within t̄ p if one of the ε allows it."""
        population, space = self.population, self.population.states
        bounds = np.asarray(payment_bounds(population, 0))
        payment = np.zeros(space.counts.shape)
        for chance in self.chances(runs):
            over = 0.0
            for g, chain in enumerate(self.chains):
                here = chance[chain.state]
                paid = chain.payments(here)
                over = max(over, float(np.max(paid - bounds[g] * here, initial=0.0)))
                columns = population.first_type[g] + np.arange(here.shape[1])
                payment[chain.state, columns] = np.where(here > 0, paid, 0.0)
            if over <= _NOT_AT_ALL:
                break
        numbers = chance, self.bought.burden * chance[:, None], payment
        return _answer(population, terms, numbers, "rule: virtual-cost rule, cut off")

"""Direct mechanisms with several thresholds whose users withdraw one after another, small-first.

Obedience after the lottery is then a sequential game in every state and at every level drawn, and
no longer a row. What is known about it (docs: withdrawal and docs: sequential):

* W1, so the simultaneous mechanism, sustains every order (F1): a lower bound;
* with diminishing steps b_k − b_{k−1} and nobody able to bridge a gap alone, the two are the same
  (F11): the simultaneous optimum is the sequential one, with its proof;
* whoever leaves enjoys at least nothing: D5 and D6 with nothing kept are a relaxation, the bound.

For up to `MOST` users with linear costs the mechanism then draws from plans that the exact
game sustains, found case by case: optimal, or with a bound where the time ends (`lotteries`). Else
mechanisms in between are tried, which charge leavers a part of b_{k−1}: each is played through
exactly in every state (F3), and the best one that holds is returned with the bound.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.private.direct.extract import AUDIT, audited
from mechopt.private.direct.optimise import optimise
from mechopt.private.direct.units import in_units
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population
from mechopt.problem.units import natural_population
from mechopt.status import Status

BETWEEN = "between W1, which holds in every order, and the bound without what leavers keep"
MOST = 12  # users whose plans are looked through: every set of them is listed
SECONDS = 30.0  # that the search for plans takes at most, if no limit is given
PARTS = (0.25, 0.5, 0.75)  # of b_{k−1} that leavers are taken to keep, between bound and W1


def coincide(population: Population) -> bool:
    """Whether F11 makes the sequential problem the simultaneous one, at every level."""
    steps = np.diff(np.concatenate([[0.0], population.shares]))
    gaps = np.diff(population.thresholds)
    return (
        not population.has_exclusion
        and bool((np.diff(steps) <= 0).all())
        and all(group.removable * group.capacity <= gaps.min() for group in population.groups)
    )


def countable(population: Population, terms: DirectTerms) -> bool:
    """Whether the plans of every state can be looked through, case by case."""
    plain = all(group.widths.size == 1 for group in population.groups)
    return terms.randomized and plain and population.n <= MOST and not population.has_exclusion


def one_protocol(population: Population) -> bool:
    """Whether users who withdraw in sequence do as those who do so at once (F2, F11)."""
    return population.levels == 1 or coincide(population)


def optimise_sequential(
    population: Population,
    terms: DirectTerms,
    *,
    time_limit: float | None = None,
    seed: int = 0,
) -> DirectMechanism:
    """The best mechanism found that small-first withdrawal leaves whole, with a proved bound."""
    began = perf_counter()

    def left() -> float | None:
        return None if time_limit is None else max(0.1, time_limit - (perf_counter() - began))

    plain = replace(terms, protocol="simultaneous")
    simultaneous = optimise(population, plain, time_limit=left(), seed=seed)
    if one_protocol(population):
        how = "one threshold" if population.levels == 1 else "diminishing returns (F11)"
        details = {**simultaneous.details, "same_as_simultaneous": how}
        return simultaneous.replace(terms=terms, details=details)
    loose = optimise(population, terms, time_limit=left(), seed=seed, kept=0.0)
    if loose.status is Status.INFEASIBLE:
        return loose
    found = [simultaneous.replace(terms=terms), loose]
    bound, reason = loose.bound, BETWEEN
    if _violation(loose) > AUDIT and countable(population, terms):
        lottery = _lottery(population, terms, bound, began, time_limit, seed)
        if lottery.status is Status.INFEASIBLE:
            return lottery
        if lottery.has_answer:
            found.append(lottery)
            bound, reason = lottery.bound, lottery.reason
    elif _violation(loose) > AUDIT:
        found += [
            optimise(population, terms, time_limit=left(), seed=seed, kept=part)
            for part in PARTS
            if time_limit is None or perf_counter() - began < time_limit
        ]
    held = [
        one
        for one in found
        if one.has_answer and one.objective is not None and _violation(one) <= AUDIT
    ]
    if held:
        best = _best_of(held, bound, reason)
        details = {**best.details, "simultaneous": simultaneous.objective}
        return best.replace(details=details)
    return loose.replace(
        status=Status.UNKNOWN,
        run=None,
        burden=None,
        payment=None,
        objective=None,
        bound=bound,
        reason="no mechanism was found that everybody stays in; the bound drops what leavers keep",
    )


def _best_of(held: list[DirectMechanism], bound: float | None, reason: str) -> DirectMechanism:
    """The best of the mechanisms that everybody stays in; optimal if it meets the bound."""
    sign = 1.0 if held[0].terms.maximise else -1.0
    best = max(held, key=lambda one: sign * (one.objective or 0.0))
    assert best.objective is not None
    near = tolerances.MONEY * (_unit(best.population, best.terms) + abs(best.objective))
    met = bound is not None and sign * (bound - best.objective) <= near
    return best.replace(
        status=Status.OPTIMAL if met else Status.FEASIBLE,
        bound=None if bound is None else sign * max(sign * bound, sign * best.objective),
        reason="" if met else reason,
    )


def _lottery(
    population: Population,
    terms: DirectTerms,
    bound: float | None,
    began: float,
    time_limit: float | None,
    seed: int,
) -> DirectMechanism:
    """The best lottery over plans, solved in natural units, audited in the caller's."""
    from mechopt.private.direct.lotteries import by_lottery  # no other mechanism needs the game

    deadline = began + (SECONDS if time_limit is None else time_limit)
    known = None if bound is None else bound / _unit(population, terms)
    answer = in_units(
        population,
        lambda units: by_lottery(units, terms, bound=known, deadline=deadline, seed=seed),
    )
    return audited(answer, **answer.details) if answer.has_answer else answer


def _unit(population: Population, terms: DirectTerms) -> float:
    """What the objective is measured in: a natural unit of money, or 1."""
    return 1.0 if terms.objective == "improvement" else natural_population(population).money


def _violation(answer: DirectMechanism) -> float:
    return float(answer.details.get("violation", 0.0))

"""`solve(population, "direct")`: read what is asked, and take the way that answers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, prod
from time import perf_counter

from mechopt.answer.mechanism import DirectMechanism
from mechopt.errors import InvalidOption, NotSupported
from mechopt.private import virtual_cost
from mechopt.private.direct.best_known import BOUND_SECONDS, NEAR, STATES, best_known
from mechopt.private.direct.exactly import in_fractions
from mechopt.private.direct.near_the_edge import SLOW_ROWS
from mechopt.private.direct.optimise import far_apart, optimise, out_of_time
from mechopt.private.direct.robust import as_robust, optimise_robust
from mechopt.private.direct.sequential import optimise_sequential
from mechopt.problem.direct_size import predict_size, refuse_if_large, too_large
from mechopt.problem.direct_terms import DirectTerms, check_limits, read_terms
from mechopt.problem.population import Population
from mechopt.problem.states import state_count
from mechopt.status import Status

PROFILE_LIMIT = 64
# From here on the LP takes longer than trying whether a known rule meets the interim bound.
STRUCTURE_FIRST = 40_000
PACE = 6e-6  # seconds per state and type that known rules and their audit take at least
# From SLOW_ROWS on the LP is left out where a rule and its bound are NEAR; up to here, not where
# that takes the LP near the edge, for the whole one is a matter of minutes.
LP_ROWS = 300_000


def solve(
    population: Population,
    *,
    objective: str = "provider-surplus",
    incentive: str = "dsic",
    participation: str = "ex-post",
    withdrawal_rights: bool | str = True,
    randomized: bool = True,
    transfers: bool = True,
    target: float | None = None,
    symmetric: bool | None = None,
    levels: str = "safe",
    robust: str | None = None,
    radius: float | Sequence[float] | None = None,
    protocol: str = "simultaneous",
    time_limit: float | None = None,
    seed: int = 0,
) -> DirectMechanism:
    """The optimal direct mechanism (docs: model).

    :incentive: "dsic" or "bic"; participation : "ex-post" or "interim"
    :withdrawal_rights: True (D5 and D6), "truthful" (D5 alone) or False. The rights come on top of
        the participation constraint asked for: "interim" with rights is E[u] ≥ 0 and D5 (and D6).
    :randomized: False asks for run probabilities 0 or 1 (a MILP)
    :symmetric: whether users of a group are treated alike. It loses nothing under randomization
        but does in deterministic mechanisms; None treats users individually if deterministic and
        there are at most PROFILE_LIMIT profiles (the answer is then one of
        `population.individual()`), else alike
    :target: expected share to reach, for "expenditure" and "social-cost"
    :levels: with K > 1, "safe" charges who leaves level k the loss b_k − b_{k−1} (an LP; optimal
        for that stricter problem), "exact" what he really loses (a MILP, for small sizes)
    :robust, radius: "total-variation" (½ Σ |f − f̂| ≤ radius) or "wasserstein" (radius in money
        per data unit): the best guarantee against every law that near to the population's, one
        radius or one per group; groups are independent, users of a group draw from one law. Needs
        "dsic" and "ex-post". See `direct.robust`
    :protocol: how users withdraw after the lottery when there are several thresholds,
        "simultaneous" or "sequential" (small-first): see `direct.sequential`

    "improvement" is maximised first, then expected payments are minimised.

    Raises InvalidOption, TooLarge (before anything is built).
    """
    terms = read_terms(
        population,
        objective=objective,
        incentive=incentive,
        participation=participation,
        withdrawal_rights=withdrawal_rights,
        randomized=randomized,
        transfers=transfers,
        target=target,
        levels=levels,
        robust=robust,
        radius=radius,
        protocol=protocol,
    )
    check_limits(time_limit, seed)
    if symmetric not in (None, True, False):
        raise InvalidOption(f"symmetric: must be True, False or None, got {symmetric!r}")
    if terms.robust is None or not any(terms.radius or ()):
        answer = _nominal(
            population, replace(terms, robust=None, radius=None), symmetric, time_limit, seed
        )
        return answer if terms.robust is None else as_robust(answer, terms)
    if symmetric is False:
        raise InvalidOption("symmetric: users of a group share one law, so robust= needs True")
    refuse_if_large(population, terms)
    return optimise_robust(population, terms, time_limit=time_limit, seed=seed)


def _nominal(
    population: Population,
    terms: DirectTerms,
    symmetric: bool | None,
    time_limit: float | None,
    seed: int,
) -> DirectMechanism:
    """The optimum where the law is known: in closed form, or by the LP or MILP."""
    if symmetric is False or (
        symmetric is None and not terms.randomized and _few_profiles(population)
    ):
        population = population.individual()
    if virtual_cost.applies(population, terms):
        return virtual_cost.mechanism(population, terms).replace(seed=seed)
    if terms.protocol == "sequential" and terms.obedient:
        if population.has_exclusion and population.levels > 1:
            raise NotSupported("protocol: sequential with several thresholds has no exclusion yet")
        refuse_if_large(population, terms)
        return optimise_sequential(population, terms, time_limit=time_limit, seed=seed)
    began, known = perf_counter(), None
    seconds = BOUND_SECONDS if time_limit is None else min(BOUND_SECONDS, time_limit / 4)
    rows = predict_size(population, terms).rows
    states = state_count(population)
    slow = rows > SLOW_ROWS and population.type_costs.size > 2
    if rows > STRUCTURE_FIRST and states <= STATES:
        if time_limit is not None and time_limit < PACE * states * population.type_costs.size:
            return out_of_time(population, terms, seed)
        if slow and time_limit is not None:
            seconds = min(BOUND_SECONDS, time_limit / 2)
        known = best_known(population, terms, seconds=seconds)
        if known is not None and (known.status is Status.OPTIMAL or too_large(population, terms)):
            return known.replace(seed=seed)
        provable = known is not None and "free_states" in known.details and rows <= LP_ROWS
        if known is not None and slow and not provable and (known.gap or 0.0) <= NEAR:
            return known.replace(seed=seed)
    refuse_if_large(population, terms)

    def left(kept: float = 0.0) -> float | None:
        spent = perf_counter() - began + kept
        return None if time_limit is None else max(0.0, time_limit - spent)

    kept = seconds if known is None else 0.0  # for the bound, should there be no proof
    answer = optimise(population, terms, time_limit=left(kept), seed=seed)
    if answer.status in (Status.OPTIMAL, Status.INFEASIBLE):
        return answer
    if far_apart(population):  # a bound that is found at once, else fractions
        answer = best_known(population, terms, answer, seconds=0.0) or answer
        if answer.status is not Status.OPTIMAL:
            answer = in_fractions(answer, left(kept))
        if answer.status is Status.OPTIMAL:
            return answer
    if known is not None and known.bound is not None:  # the bounds are known already
        answer = answer.replace(
            bound=min(known.bound, inf if answer.bound is None else answer.bound)
        )
        seconds = 0.0
    within = seconds if time_limit is None else min(seconds, left() or 0.0)
    return _better(known, best_known(population, terms, answer, seconds=within) or answer)


def _better(known: DirectMechanism | None, found: DirectMechanism) -> DirectMechanism:
    """The answer of more value; what was `known` before the LP may be it, with the least bound."""
    if known is None or known.objective is None:
        return found
    sound = found.has_answer and found.status is not Status.UNKNOWN
    if sound and found.objective is not None and found.objective >= known.objective:
        return found
    bounds = [one.bound for one in (known, found) if one.bound is not None]
    return known.replace(bound=max(known.objective, min(bounds)), seed=found.seed)


def _few_profiles(population: Population) -> bool:
    if population.law is not None and population.law.worlds is None:
        return False  # a table over counts says nothing about single users
    profiles = prod(group.types**group.size for group in population.groups)
    return profiles <= PROFILE_LIMIT

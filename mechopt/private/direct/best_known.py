"""When the LP gives no proof: the best of all known rules, and the best of all known bounds.

Rules for any number of users (`large.bracket`) are DSIC, ex-post individually rational and
withdrawal proof, so they answer every direct problem with one threshold and linear costs; the
fluid and the interim bound hold for every one. What is returned is audited like the LP's answer.
"""

from __future__ import annotations

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.errors import SolverError
from mechopt.private.direct.extract import AUDIT, audited, objective_of
from mechopt.private.direct.optimise import limit_of
from mechopt.private.large.assignment import rule_mechanism
from mechopt.private.large.bracket import OBJECTIVES, rules
from mechopt.private.large.fluid_bound import upper_bound
from mechopt.private.large.interim_bound import interim_bound
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population
from mechopt.status import Status

STATES = 200_000  # a rule over more states would take gigabytes to audit
BOUND_SECONDS = 20.0  # what the interim bound may take beyond the limit that was given


def applies(population: Population, terms: DirectTerms) -> bool:
    """Whether rules and bounds beyond counting speak about these terms."""
    return (
        population.levels == 1
        and population.linear
        and terms.objective in OBJECTIVES
        and terms.incentive in ("dsic", "bic")
        and terms.robust is None
        and population.law is None
        and all(group.exclusion == 0 for group in population.groups)
    )


def best_known(
    population: Population,
    terms: DirectTerms,
    answer: DirectMechanism | None = None,
    *,
    seconds: float = BOUND_SECONDS,
) -> DirectMechanism | None:
    """The better of `answer` and the known rules, with the least bound; None if there is none.

    `seconds` is for the interim bound.
    """
    if not applies(population, terms):
        return answer
    bound = limit_of(population, terms)
    if answer is not None and answer.bound is not None:
        bound = min(bound, answer.bound)
    try:
        for find in (upper_bound, interim_bound):
            if find is interim_bound and seconds <= 0:
                break
            limit = {"time_limit": seconds} if find is interim_bound else {}
            found = find(population, objective=terms.objective, transfers=terms.transfers, **limit)
            bound = min(bound, found)
    except SolverError:  # a bound less; the others hold
        pass
    best = answer
    sound = answer is not None and answer.has_answer and answer.status is not Status.UNKNOWN
    reached = answer.objective if sound and answer is not None else None
    candidates = sorted(rules(population, terms.objective, terms.transfers), key=lambda c: -c[1])
    for rule, value, _ in candidates:
        if reached is not None and value <= reached:
            break
        if not terms.randomized and rule.chance != 1:
            continue
        made = audited(rule_mechanism(population, rule, terms))
        if made.details["violation"] <= AUDIT:
            best, reached = made.replace(objective=objective_of(made)), objective_of(made)
            break
    if best is None or reached is None:
        return answer
    reached = min(reached, limit_of(population, terms))  # probabilities sum to 1 up to rounding
    met = bound - reached <= tolerances.SOLVER * max(1.0, abs(reached))
    reason = ""
    if not met:
        reason = "the LP gave no proof in time: " if answer is not None else ""
        reason += "the better of its answer and the known rules, with the least known bound"
    details = {**best.details}
    if answer is not None:
        details = {**answer.details, **details}
    return best.replace(
        status=Status.OPTIMAL if met else Status.FEASIBLE,
        objective=reached,
        bound=max(bound, reached),
        reason=reason,
        details=details,
        mechanism="direct" if answer is None else answer.mechanism,
        seed=0 if answer is None else answer.seed,
    )

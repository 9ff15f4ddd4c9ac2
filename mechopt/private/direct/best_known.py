"""When the LP gives no proof: the best of all known rules, and the best of all known bounds.

Rules for any number of users (`large.bracket`) are DSIC, ex-post individually rational and
withdrawal proof, so they answer every direct problem with one threshold and linear costs; the
fluid and the interim bound hold for every one. Where they do not meet, the multipliers of the
interim bound say in which states to run (`large.cutoff`), and its primal answer is a Bayesian
mechanism. Where more than NEAR is left, the LP is solved on the states near the edge of that set
(`near_the_edge`). What is returned is audited like the LP's answer.
"""

from __future__ import annotations

from math import inf
from time import perf_counter

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.errors import SolverError
from mechopt.private.direct import near_the_edge as edge
from mechopt.private.direct.extract import AUDIT, audited, objective_of
from mechopt.private.direct.optimise import limit_of
from mechopt.private.large.assignment import rule_mechanism
from mechopt.private.large.bracket import OBJECTIVES, null_rule, rules
from mechopt.private.large.cutoff import OBJECTIVES as CUT_OFF
from mechopt.private.large.cutoff import best_cutoff, from_mixture
from mechopt.private.large.fluid_bound import upper_bound
from mechopt.private.large.interim_bound import Asked, InterimBound
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population
from mechopt.status import Status

NEAR = 1e-4  # relative: so near to the bound a mechanism is not made better any more
STATES = 300_000  # a rule over more states would take gigabytes to audit
BOUND_SECONDS = 40.0  # what the interim bound may take if no limit is given


def applies(population: Population, terms: DirectTerms) -> bool:
    """Whether rules and bounds beyond counting speak about these terms."""
    return (
        population.levels == 1
        and population.linear
        and terms.objective in OBJECTIVES
        and terms.incentive in ("dsic", "bic")
        and terms.robust is None
        and population.law is None
    )


def best_known(
    population: Population,
    terms: DirectTerms,
    answer: DirectMechanism | None = None,
    *,
    seconds: float = BOUND_SECONDS,
) -> DirectMechanism | None:
    """The better of `answer` and the known rules, with the least bound; None if there is none.

    `seconds` is for the bound from interim curves, and as much, with what it leaves, for what
    follows from it.
    """
    ends = perf_counter() + 2 * seconds
    if not applies(population, terms):
        return answer
    bound = limit_of(population, terms)
    if answer is not None and answer.bound is not None:
        bound = min(bound, answer.bound)
    best, reached = _best_rule(population, terms, answer)
    try:
        found = upper_bound(population, objective=terms.objective, transfers=terms.transfers)
        bound = min(bound, found)
        if seconds > 0 and not _met(bound, reached):
            interim = InterimBound(population, _asked(population, terms))
            found = interim.bound(reached=reached, time_limit=seconds)
            bound = min(bound, found)
            if not _met(bound, reached):
                better = _from_interim(population, terms, interim, edge.Sought(bound, ends))
                if better is not None and objective_of(better) > reached:
                    best, reached = better, objective_of(better)
    except SolverError:  # a bound less; the others hold
        pass
    if best is None:
        return answer
    reached = min(reached, limit_of(population, terms))  # probabilities sum to 1 up to rounding
    met = _met(bound, reached)
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


def _met(bound: float, reached: float) -> bool:
    return bound - reached <= tolerances.MONEY * max(1.0, abs(reached))


def _best_rule(
    population: Population, terms: DirectTerms, answer: DirectMechanism | None
) -> tuple[DirectMechanism | None, float]:
    """The better of a sound answer and the rules that pass the audit, and its value."""
    best, reached = answer, -inf
    sound = answer is not None and answer.has_answer and answer.status is not Status.UNKNOWN
    if sound and answer is not None and answer.objective is not None:
        reached = answer.objective
    elif answer is not None:
        best = None
    never = null_rule(population), 0.0, True
    found = [never, *rules(population, terms.objective, terms.transfers)]
    for rule, value, _ in sorted(found, key=lambda one: -one[1]):
        if value <= reached:
            break
        if not terms.randomized and rule.chance != 1:
            continue
        made = audited(rule_mechanism(population, rule, terms))
        if made.details["violation"] <= AUDIT:
            return made, objective_of(made)
    return best, reached


def _asked(population: Population, terms: DirectTerms) -> Asked:
    """The rows the bound may use: u ≥ 0 in every state is D4 ex post, or D5 with ρ = δ = 1."""
    whole = all(g.reversibility == 1 and g.removable == 1 for g in population.groups)
    ex_post = terms.participation == "ex-post" or (terms.obedient and whole)
    dominant, obedient = terms.incentive == "dsic", bool(terms.obedient)
    return Asked(terms.objective, terms.transfers, dominant, ex_post, obedient)


def _from_interim(
    population: Population, terms: DirectTerms, interim: InterimBound, sought: edge.Sought
) -> DirectMechanism | None:
    """A mechanism made from the bound's own answer, audited; None if none passes."""
    if not terms.randomized or not terms.transfers:
        return None
    made = None
    free = not terms.obedient or all(group.reversibility == 0 for group in population.groups)
    if terms.incentive == "bic" and terms.participation == "interim" and free:
        made = audited(from_mixture(population, terms, *interim.mixture()))
    elif min(population.budget, population.expected_budget) == inf and terms.objective in CUT_OFF:
        worth, bound = interim.worth(), sought.value
        left = max(0.0, sought.ends - perf_counter())
        enough = bound - tolerances.MONEY / 2 * max(1.0, abs(bound))
        cut, said = best_cutoff(population, terms, worth, enough=enough, time_limit=left / 4)
        wanted = edge.Sought(bound - 0.9 * NEAR * abs(bound), sought.ends - left / 10)
        if objective_of(cut) < wanted.value and edge.applies(population, terms):
            made = edge.improved(said, worth, wanted)
        if made is None or made is said or objective_of(made) < objective_of(cut):
            made = audited(cut)
    return made if made is not None and made.details["violation"] <= AUDIT else None

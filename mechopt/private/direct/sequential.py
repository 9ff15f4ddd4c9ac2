"""Direct mechanisms with several thresholds whose users withdraw one after another, small-first.

Obedience after the lottery is then a sequential game in every state and at every level drawn, and
no longer a row. What is known about it (docs: withdrawal and docs: sequential):

* W1, so the simultaneous mechanism, sustains every order (F1): a lower bound;
* with diminishing steps b_k − b_{k−1} and nobody able to bridge a gap alone, the two are the same
  (F11): the simultaneous optimum is the sequential one, with its proof;
* whoever leaves enjoys at least nothing: D5 and D6 with nothing kept are a relaxation, the bound.

Else mechanisms in between are tried, which charge leavers a part of b_{k−1}: each is played
through exactly in every state (F3), and the best one that holds is returned with the bound.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.private.direct.extract import AUDIT
from mechopt.private.direct.optimise import optimise
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population
from mechopt.status import Status

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
    if population.levels == 1 or coincide(population):
        how = "one threshold" if population.levels == 1 else "diminishing returns (F11)"
        details = {**simultaneous.details, "same_as_simultaneous": how}
        return simultaneous.replace(terms=terms, details=details)
    sign = 1.0 if terms.maximise else -1.0
    loose = optimise(population, terms, time_limit=left(), seed=seed, kept=0.0)
    if loose.status is Status.INFEASIBLE:
        return loose
    found = [simultaneous.replace(terms=terms), loose]
    if _violation(loose) > AUDIT:
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
    bound = loose.bound
    if not held:
        return loose.replace(
            status=Status.UNKNOWN,
            run=None,
            burden=None,
            payment=None,
            objective=None,
            reason="no mechanism was found that everybody stays in; the bound drops what leavers "
            "keep",
        )
    best = max(held, key=lambda one: sign * (one.objective or 0.0))
    assert best.objective is not None
    room = tolerances.SOLVER * max(1.0, abs(best.objective))
    met = bound is not None and sign * (bound - best.objective) <= room
    return best.replace(
        status=Status.OPTIMAL if met else Status.FEASIBLE,
        bound=None if bound is None else sign * max(sign * bound, sign * best.objective),
        reason=""
        if met
        else "between W1, which holds in every order, and the bound without what leavers keep",
        details={**best.details, "simultaneous": simultaneous.objective},
    )


def _violation(answer: DirectMechanism) -> float:
    return float(answer.details.get("violation", 0.0))

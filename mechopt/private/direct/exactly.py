"""Numbers so far apart that no floating-point run proves anything: the optimum in fractions.

A value of 1e19 that means "in any case" beside a cost of 1, a type that costs 1e15: rows that hold
both lose the smaller in a sum. Small populations of that kind are solved as `certify` solves them.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.checker.mechanisms import MechanismProblem
from mechopt.errors import NotSupported, SolverError
from mechopt.exact.mechanisms import ExactOptimum, exact_terms
from mechopt.private.direct.extract import AUDIT, audited, objective_of
from mechopt.problem.direct_size import predict_size
from mechopt.problem.exact_data import population_data, spelled
from mechopt.status import Status

MOST_ROWS = 400  # fractions take well below a second
PATIENCE = 10.0  # seconds, if no time limit is given
MOST_NODES = 25  # of the tree of a deterministic mechanism


def in_fractions(answer: DirectMechanism, seconds: float | None) -> DirectMechanism:
    """The exact optimum if the problem is small and its proof is found in time; else `answer`."""
    deadline = perf_counter() + (PATIENCE if seconds is None else min(seconds, PATIENCE))
    population, terms = answer.population, answer.terms
    if (
        population.law is not None
        or population.has_exclusion
        or terms.robust is not None
        or predict_size(population, terms).rows > MOST_ROWS
    ):
        return answer
    problem = MechanismProblem(population_data(population), spelled(exact_terms(answer)))
    search = ExactOptimum(problem, answer, MOST_NODES, deadline)
    try:
        search.solve()
        if search.best is None or search.remark:
            return answer
        if terms.objective == "improvement" and terms.transfers:
            search.cheapest()
    except (SolverError, NotSupported):
        return answer
    rows = {tuple(state): row for row, state in enumerate(population.states.counts.tolist())}
    run = np.zeros((len(rows), population.levels))
    burden = np.zeros((*run.shape, population.type_costs.size))
    payment = np.zeros_like(burden)
    for (kind, *place), amount in search.best[1].items():
        if kind == "p":
            run[rows[place[1]], place[0] - 1] = float(amount)
        elif kind in ("y", "t"):
            of = burden if kind == "y" else payment
            of[rows[place[1]], place[0] - 1, place[2]] += float(amount)
    # What floats cannot take from the total is nobody's burden.
    least = tolerances.rounding(population.n) * population.thresholds[:, None] * run[:, :, None]
    burden[burden <= least] = 0.0
    exact = answer.replace(
        run=run, burden=burden, payment=payment, reason="", status=Status.OPTIMAL
    )
    exact = audited(exact, **{**answer.details, "segments_in_order": True, "found_by": "fractions"})
    proved = float(search.best[0]) if terms.maximise else -float(search.best[0])
    value = objective_of(exact)
    close = abs(value - proved) <= tolerances.MONEY * abs(proved)
    if exact.details["violation"] > AUDIT or not close:
        return answer
    bound = max(value, proved) if terms.maximise else min(value, proved)
    return exact.replace(objective=value, bound=bound)

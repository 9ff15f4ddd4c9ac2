"""Exact answers and proofs where costs are private: one exact LP, a tree, or LPs over laws."""

from __future__ import annotations

from mechopt.answer.mechanism import DirectMechanism
from mechopt.certificates.draft import Draft
from mechopt.certificates.robust_proofs import RobustOptimum
from mechopt.checker.mechanisms import MOST_ROWS, MechanismProblem, named
from mechopt.errors import TooLarge
from mechopt.exact.mechanisms import ExactOptimum, exact_terms
from mechopt.problem.direct_size import predict_size
from mechopt.problem.exact_data import population_data, spelled

_INSIDE = "optimality: the worst law lies inside the ball, where it is approximated"
CERTIFIED = ("direct", "complete-information")


def draft(mechanism: DirectMechanism) -> Draft:
    """The exact optimum of a direct mechanism's problem, or an answer and a bound."""
    terms = exact_terms(mechanism)
    size = predict_size(mechanism.population, mechanism.terms)
    if size.rows > MOST_ROWS:
        raise TooLarge(
            f"certify: the problem has {size}; in fractions a few thousand rows take seconds to "
            f"minutes, and the limit is {MOST_ROWS:,}. Certify a smaller population of the kind"
        )
    data = population_data(mechanism.population)
    problem = MechanismProblem(data, spelled(terms))
    robust = "robust" in terms
    search = RobustOptimum(problem, mechanism) if robust else ExactOptimum(problem, mechanism)
    proof = search.solve()
    answer = None
    if search.best is not None:
        answer = {named(v): value for v, value in search.best[1].items() if value and v[0] != "z"}
    if robust and answer is not None and search.best is not None:
        answer["guarantee"] = -search.best[0] if problem.aim.minimised else search.best[0]
        search.remark = search.remark or _INSIDE
    about = {"rows": len(problem.rows), "pivots": search.pivots, "nodes": search.nodes}
    return Draft(data, terms, problem, answer, proof, search.remark, about)

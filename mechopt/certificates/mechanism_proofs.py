"""Exact answers and proofs where costs are private: one exact LP, or a tree of them."""

from __future__ import annotations

from mechopt.answer.mechanism import DirectMechanism
from mechopt.certificates.draft import Draft
from mechopt.checker.mechanisms import MechanismProblem, named
from mechopt.errors import NotSupported, TooLarge
from mechopt.exact.mechanisms import Search, exact_terms
from mechopt.problem.direct_size import predict_size
from mechopt.problem.exact_data import population_data, spelled

CERTIFIED = ("direct", "complete-information")
MOST_ROWS = 20_000


def draft(mechanism: DirectMechanism) -> Draft:
    """The exact optimum of a direct mechanism's problem, or an answer and a bound."""
    if mechanism.population.law is not None or mechanism.terms.robust is not None:
        raise NotSupported(
            "certify: only mechanisms for independent types with a known law are certified; "
            "audit checks every row of this one"
        )
    terms = exact_terms(mechanism)
    size = predict_size(mechanism.population, mechanism.terms)
    if size.rows > MOST_ROWS:
        raise TooLarge(
            f"certify: the problem has {size}; in fractions a few thousand rows take seconds to "
            f"minutes, and the limit is {MOST_ROWS:,}. Certify a smaller population of the kind"
        )
    data = population_data(mechanism.population)
    problem = MechanismProblem(data, spelled(terms))
    search = Search(problem, mechanism)
    proof = search.solve()
    answer = None
    if search.best is not None:
        answer = {named(v): value for v, value in search.best[1].items() if value}
    about = {"rows": len(problem.rows), "pivots": search.pivots, "nodes": search.nodes}
    return Draft(data, terms, problem, answer, proof, search.remark, about)

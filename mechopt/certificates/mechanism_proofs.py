"""Exact answers and proofs where costs are private: one exact LP, a tree, or LPs over laws."""

from __future__ import annotations

from math import inf
from typing import Any

from mechopt.answer.mechanism import DirectMechanism
from mechopt.certificates.draft import Draft
from mechopt.certificates.robust_proofs import best_guarantee
from mechopt.checker.mechanisms import MOST_ROWS, MechanismProblem, named
from mechopt.errors import NotSupported, TooLarge
from mechopt.exact.mechanisms import Search, exact_terms
from mechopt.problem.direct_size import predict_size
from mechopt.problem.exact_data import population_data, spelled

CERTIFIED = ("direct", "complete-information")


def draft(mechanism: DirectMechanism) -> Draft:
    """The exact optimum of a direct mechanism's problem, or an answer and a bound."""
    terms = exact_terms(mechanism)
    if "robust" in terms:
        _check_robust(mechanism)
    size = predict_size(mechanism.population, mechanism.terms)
    if size.rows > MOST_ROWS:
        raise TooLarge(
            f"certify: the problem has {size}; in fractions a few thousand rows take seconds to "
            f"minutes, and the limit is {MOST_ROWS:,}. Certify a smaller population of the kind"
        )
    data = population_data(mechanism.population)
    problem = MechanismProblem(data, spelled(terms))
    if "robust" in terms:
        return _robust(data, terms, problem)
    search = Search(problem, mechanism)
    proof = search.solve()
    answer = None
    if search.best is not None:
        answer = {named(v): value for v, value in search.best[1].items() if value}
    about = {"rows": len(problem.rows), "pivots": search.pivots, "nodes": search.nodes}
    return Draft(data, terms, problem, answer, proof, search.remark, about)


def _check_robust(mechanism: DirectMechanism) -> None:
    population, terms = mechanism.population, mechanism.terms
    plain = population.levels == 1 and population.linear and terms.randomized
    if not plain or terms.target is not None or population.expected_budget < inf:
        raise NotSupported(
            "certify: robust mechanisms are certified for one threshold, linear costs, lotteries, "
            "and no target or expected budget; audit checks every row of this one"
        )
    if max(group.types for group in population.groups) > 3:
        raise NotSupported(
            "certify: robust mechanisms are certified for up to three types per group; merge types"
        )


def _robust(data: dict[str, Any], terms: dict[str, Any], problem: MechanismProblem) -> Draft:
    value, values, proof, bound = best_guarantee(problem)
    answer = {named(v): amount for v, amount in values.items() if amount and v[0] != "z"}
    answer["guarantee"] = value
    remark = ""
    if value != bound:
        remark = "optimality: the worst law lies inside the ball, where it is approximated"
    about = {"rows": len(problem.rows), "laws": len(proof["laws"])}
    return Draft(data, terms, problem, answer, proof, remark, about)

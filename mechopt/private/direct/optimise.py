"""Solve the private-cost problem: build, solve, clean up, verify every row, say what is proved."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.arrays import FloatArray
from mechopt.errors import SolverError
from mechopt.private.direct import arrays as direct_arrays
from mechopt.private.direct.arrays import DirectProgram
from mechopt.private.direct.extract import AUDIT, audited, extract, objective_of, verified
from mechopt.private.direct.layout import EXPECTATION
from mechopt.private.direct.units import in_units
from mechopt.problem.direct_terms import DirectTerms, payment_bounds
from mechopt.problem.population import Population
from mechopt.solver import highs
from mechopt.status import Status

# State probabilities reach 1e-18: with the objective scaled its error falls from 1e-6 to 1e-11,
# and no coefficient that matters is below what HiGHS would drop (its smallest setting).
SETTINGS: dict[str, Any] = {
    "objective_scale": 1e4,
    "solver": "simplex",
    "small_matrix_value": tolerances.COEFFICIENT,
    # What is returned must pass the audit at 1e-9, and be within 1e-9 of the optimum; this costs
    # no time (40 users, 3 types; 10,626 states).
    "primal_feasibility_tolerance": tolerances.TIGHT,
    "dual_feasibility_tolerance": 1e-9,
}
# At HiGHS' default integrality tolerance (1e-6) these MILPs came back "optimal" at a third of the
# optimum, above it, or "infeasible" where the null mechanism is feasible; not so at 1e-9.
MIP_SETTINGS: dict[str, Any] = {
    "small_matrix_value": tolerances.COEFFICIENT,
    "primal_feasibility_tolerance": tolerances.MILP,
    "mip_feasibility_tolerance": tolerances.MILP,
}
PRESOLVING = 4e-6  # seconds per coefficient that HiGHS' presolve takes, at most


def optimise(
    population: Population,
    terms: DirectTerms,
    *,
    time_limit: float | None = None,
    seed: int = 0,
    pairs: str = "adjacent",
    kept: float = 1.0,
) -> DirectMechanism:
    """Solve the LP or MILP of validated terms; adjacent incentive rows first, all if needed."""
    began = perf_counter()

    def attempt(population: Population, pairs: str, ordered: bool) -> DirectMechanism:
        left = None if time_limit is None else max(0.0, time_limit - (perf_counter() - began))
        built = build_for(population, terms, pairs=pairs, ordered=ordered, kept=kept)
        settings = MIP_SETTINGS if built.program.is_mip else SETTINGS
        far = far_apart(population)
        try:
            session = highs.Session(
                built.program, time_limit=left, seed=seed, balance=far, **settings
            )
            if left is not None and left < PRESOLVING * built.program.value.size:
                session.set_option("presolve", "off")  # it does not look at the clock
            return finish(built, session, seed=seed)
        except SolverError as error:
            if not far:
                raise
            nothing = highs.Solution(Status.UNKNOWN, str(error), None, None)
            about: dict[str, Any] = {"seed": seed, "solver": highs.version()}
            return _without_answer(population, terms, nothing, about, left)

    def best_attempt(population: Population) -> DirectMechanism:
        answer = attempt(population, pairs, False)
        ordered = not answer.details.get("segments_in_order", True)
        if ordered:
            answer = attempt(population, pairs, True)
        if pairs == "adjacent" and answer.details.get("violation", 0.0) > tolerances.SOLVER:
            answer = attempt(population, "all", ordered)
        return answer

    answer = in_units(population, best_attempt)
    if answer.details.get("violation", 0.0) <= AUDIT:
        return answer
    own = audited(answer, **answer.details)  # again, in the caller's units
    return own.replace(
        reason=f"the solver's answer violates {own.details['violated_row']} by "
        f"{own.details['violation']:.3g}"
    )


_FAR = 2.0**10
_BEYOND = 2.0**48  # so far apart, little of the smaller is left in a sum: no run proves a thing


def far_apart(population: Population, factor: float = _FAR) -> bool:
    """Whether what users and types have at stake lies many orders apart, or T_K from them all."""
    top = float(population.thresholds[-1])
    if top > factor * sum(group.size * group.capacity for group in population.groups):
        return True
    most = [group.costs * min(group.capacity, top) for group in population.groups]
    stakes = np.concatenate([*most, [group.value for group in population.groups]])
    stakes = stakes[stakes > 0]
    return bool(stakes.max(initial=0.0) > factor * stakes.min(initial=np.inf))


def build_for(
    population: Population,
    terms: DirectTerms,
    *,
    pairs: str = "adjacent",
    ordered: bool = False,
    kept: float = 1.0,
) -> DirectProgram:
    """The arrays, with a free row for E[B] where a second stage will need it."""
    floor = -inf if _two_stages(terms) else None
    return direct_arrays.build(
        population, terms, pairs=pairs, floor=floor, ordered=ordered, kept=kept
    )


def _two_stages(terms: DirectTerms) -> bool:
    return terms.objective == "improvement" and terms.transfers


def finish(built: DirectProgram, session: highs.Session, *, seed: int = 0) -> DirectMechanism:
    """Run a loaded session and turn its answer into a cleaned, verified mechanism."""
    layout = built.layout
    population, terms = layout.population, layout.terms
    far, limit, began = far_apart(population), session.time_limit, perf_counter()

    def share_limit() -> None:
        """What is asked again has the time that is left."""
        if limit is not None:
            session.time_limit = max(0.0, limit - (perf_counter() - began))

    if built.program.is_mip or far:
        settings = MIP_SETTINGS if built.program.is_mip else SETTINGS
        first = highs.solve_twice(
            built.program, time_limit=session.time_limit, seed=seed, far=far, **settings
        )
    else:
        first = session.solve()
    share_limit()
    unclear = first.status is Status.UNKNOWN and first.termination.startswith("Unknown")
    if first.status is Status.INFEASIBLE or (unclear and not built.program.is_mip):
        # Presolve and tight tolerances can both cause a false verdict, or none: ask again.
        second = without_presolve(session, tolerance=tolerances.FEASIBILITY)
        first = first if second.status is Status.UNKNOWN else second  # out of time: the first
        share_limit()
    about: dict[str, Any] = {"seed": seed, "solver": highs.version()}
    left = session.time_limit
    if first.x is None:
        return _without_answer(population, terms, first, about, left)
    candidates = [first.x]
    if built.program.is_mip:
        candidates = [
            polish(built.program, first.x, left, balance=far),
            *candidates,
        ]
    elif _two_stages(terms) and first.status is Status.OPTIMAL:
        candidates = [_cheapest(built, session, first.x), *candidates]

    def of(x: FloatArray) -> DirectMechanism:
        return verified(population, terms, extract(layout, x), about)

    answer = of(candidates[0])
    for x in candidates[1:]:  # a second stage or a polish may be less accurate than the first
        if answer.details["violation"] > AUDIT:
            answer = min(answer, of(x), key=_violation)
    if answer.details["violation"] > AUDIT and not built.program.is_mip:
        share_limit()
        again = without_presolve(session, tolerance=tolerances.TIGHT).x
        if again is not None:
            answer = min(answer, of(again), key=_violation)
    return _judged(answer, first, built)


def _violation(answer: DirectMechanism) -> float:
    return float(answer.details["violation"])


def without_presolve(session: highs.Session, *, tolerance: float) -> highs.Solution:
    usual = SETTINGS["primal_feasibility_tolerance"]
    session.set_option("presolve", "off")
    session.set_option("primal_feasibility_tolerance", tolerance)
    solution = session.solve()
    session.set_option("presolve", "choose")
    session.set_option("primal_feasibility_tolerance", usual)
    return solution


def _judged(
    answer: DirectMechanism, first: highs.Solution, built: DirectProgram
) -> DirectMechanism:
    """Status from the recomputed objective, the solver's bound and the audit."""
    objective = objective_of(answer)
    bound, limit = first.bound, limit_of(answer.population, answer.terms)
    beyond = far_apart(answer.population, _BEYOND)
    if beyond or (bound is not None and not isfinite(bound)):
        bound = limit
    details = {
        **answer.details,
        "rows": built.program.rows,
        "columns": built.program.columns,
        "families": dict(built.families),
        "iterations": first.iterations,
        "nodes": first.nodes,
        "termination": first.termination,
    }
    least = tolerances.MONEY
    if far_apart(answer.population):  # one dear type is no measure of the answer
        least *= min(1.0, limit) if limit > 0 else 1.0
    elif first.row_dual is not None and first.status is Status.OPTIMAL:
        ends = direct_arrays.implied_bounds(built.layout, built.program)
        bound = built.program.dual_bound(first.row_dual, *ends)
    near = tolerances.MONEY * abs(objective) + least
    closed = bound is not None and abs(bound - objective) <= near
    sound = answer.details["violation"] <= AUDIT
    status = Status.FEASIBLE
    if first.status is Status.OPTIMAL and closed and sound:
        status = Status.OPTIMAL
    elif not sound:
        status = Status.UNKNOWN
    if bound is not None and closed:  # objective and bound agree to rounding: keep their order
        bound = max(bound, objective) if answer.terms.maximise else min(bound, objective)
    elif bound is not None:
        bound = min(bound, limit) if answer.terms.maximise else max(bound, limit)
    details["payment_bound_binds"] = _payment_bound_binds(answer)
    return answer.replace(status=status, objective=objective, bound=bound, details=details)


def _payment_bound_binds(answer: DirectMechanism) -> bool:
    """Whether some t = t̄ p > 0: then t̄ is part of the answer (rare lotteries with high pay)."""
    population = answer.population
    run, _, payment = answer._answer()
    if not answer.terms.transfers or population.budget < inf:
        return False
    most = np.stack([payment_bounds(population, k) for k in range(run.shape[1])])
    bound = most[:, population.group_of_type] * run[:, :, None]
    return bool(((payment > 0) & (payment >= bound * (1 - tolerances.SOLVER))).any())


def out_of_time(population: Population, terms: DirectTerms, seed: int) -> DirectMechanism:
    """What is said where the limit is shorter than setting up the problem takes."""
    late = highs.Solution(Status.UNKNOWN, "the time limit is shorter than any answer", None, None)
    about: dict[str, Any] = {"seed": seed, "solver": highs.version()}
    return _without_answer(population, terms, late, about, 0.0)


def _without_answer(
    population: Population,
    terms: DirectTerms,
    solution: highs.Solution,
    about: dict[str, Any],
    left: float | None,
) -> DirectMechanism:
    """Why there is none; `left` seconds to find out what share could be reached."""
    reason = f"the solver stopped without an answer ({solution.termination})"
    status = solution.status
    if terms.target is not None and (left is None or left > 0):
        highest = replace(terms, objective="improvement", target=None)
        reachable = optimise(population, highest, time_limit=left)
        most = reachable.bound
        if most is not None and terms.target > most + tolerances.SOLVER:
            status = Status.INFEASIBLE  # whatever the solver made of it
        if status is Status.INFEASIBLE:
            reason = f"the target {terms.target:g} is out of reach"
            if reachable.status is Status.OPTIMAL:
                best = reachable.improvement
                reason += f"; the highest expected share under these terms is {best:.9g}"
    elif terms.maximise:
        return _null(population, terms, solution, about)
    return DirectMechanism(population, terms, status, bound=solution.bound, reason=reason, **about)


def _null(
    population: Population, terms: DirectTerms, solution: highs.Solution, about: dict[str, Any]
) -> DirectMechanism:
    """The mechanism that never runs, all there is if time ran out, and what none can exceed."""
    space = population.states
    shape = (len(space), population.levels, space.counts.shape[1])
    limit = limit_of(population, terms)
    return DirectMechanism(
        population,
        terms,
        Status.FEASIBLE,
        run=np.zeros(shape[:2]),
        burden=np.zeros(shape),
        payment=np.zeros(shape),
        objective=0.0,
        bound=limit if solution.bound is None else min(limit, max(0.0, solution.bound)),
        reason=f"the solver stopped without an answer ({solution.termination}): never to run is "
        "all that is known",
        **about,
    )


def limit_of(population: Population, terms: DirectTerms) -> float:
    """What no mechanism can exceed: the highest level for nothing; 0 for what is minimised."""
    values = population.users_value
    gain = {
        "improvement": 1.0,
        "provider-surplus": population.provider_value,
        "welfare": population.provider_value + values,
    }.get(terms.objective, 0.0)
    return float(gain * population.shares[-1])


def polish(
    program: highs.LinearProgram, x: FloatArray, left: float | None, *, balance: bool = False
) -> FloatArray:
    """Integers rounded and fixed, the LP that remains solved again (`x` if that fails)."""
    assert program.integer is not None
    fixed = np.where(program.integer, np.round(x), 0.0)
    lower = np.where(program.integer, fixed, program.lower)
    upper = np.where(program.integer, fixed, program.upper)
    relaxed = replace(program, lower=lower, upper=upper, integer=None)
    polished = highs.solve(relaxed, time_limit=left, balance=balance, **SETTINGS).x
    return x if polished is None else polished


def _cheapest(built: DirectProgram, session: highs.Session, x: FloatArray) -> FloatArray:
    """Second stage of "improvement": least expected payments at the share reached."""
    program, layout = built.program, built.layout
    assert built.floor_row is not None
    reached = EXPECTATION * float(program.cost @ x)
    columns = np.arange(layout.columns)
    spending = direct_arrays.objective_costs(layout, "expenditure", 0.0)
    session.change_row(built.floor_row, reached * (1 - tolerances.REACH), inf)
    session.change_costs(columns, -spending)  # the sense stays "maximise"
    second = session.solve()
    session.change_row(built.floor_row, -inf, inf)
    session.change_costs(columns, program.cost)
    return x if second.x is None else second.x

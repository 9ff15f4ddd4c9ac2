"""Solve the private-cost problem: build, solve, clean up, verify every row, say what is proved."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite, prod
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.arrays import FloatArray
from mechopt.errors import InvalidOption
from mechopt.private import virtual_cost
from mechopt.private.direct import arrays as direct_arrays
from mechopt.private.direct.arrays import DirectProgram, Layout
from mechopt.private.direct.metrics import expectations
from mechopt.private.direct.units import in_units
from mechopt.problem.direct_size import refuse_if_large
from mechopt.problem.direct_terms import DirectTerms, check_limits, payment_bounds, read_terms
from mechopt.problem.population import Population
from mechopt.solver import highs
from mechopt.status import Status

# State probabilities reach 1e-18: with the objective scaled its error falls from 1e-6 to 1e-11,
# and no coefficient that matters is below what HiGHS would drop (its smallest setting).
SETTINGS: dict[str, Any] = {
    "objective_scale": 1e4,
    "solver": "simplex",
    "small_matrix_value": 1e-12,
    # What is returned must pass the audit at 1e-9, and be within 1e-9 of the optimum; this costs
    # no time (40 users, 3 types; 10,626 states).
    "primal_feasibility_tolerance": 1e-10,
    "dual_feasibility_tolerance": 1e-9,
}
# At HiGHS' default integrality tolerance (1e-6) these MILPs came back "optimal" at a third of the
# optimum, above it, or "infeasible" where the null mechanism is feasible; not so at 1e-9.
MIP_SETTINGS: dict[str, Any] = {
    "small_matrix_value": 1e-12,
    "primal_feasibility_tolerance": 1e-9,
    "mip_feasibility_tolerance": 1e-9,
}
AUDIT = tolerances.MONEY  # what a returned mechanism may violate, relative to the row's scale
PROFILE_LIMIT = 64
PRESOLVING = 4e-6  # seconds per coefficient that HiGHS' presolve takes, at most
_ZERO = 1e-14  # below this it is rounding of zero; rare runs (1e-12) may carry pay that matters


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
    time_limit: float | None = None,
    seed: int = 0,
) -> DirectMechanism:
    """The optimal direct mechanism (FORMULATION section 5).

    incentive : "dsic" or "bic"; participation : "ex-post" or "interim"
    withdrawal_rights : True (D5 and D6), "truthful" (D5 alone) or False. The rights come on top of
        the participation constraint asked for: "interim" with rights is E[u] ≥ 0 and D5 (and D6).
    randomized : False asks for run probabilities 0 or 1 (a MILP)
    symmetric : whether users of a group are treated alike. It loses nothing under randomization
        but does in deterministic mechanisms; None treats users individually if deterministic and
        there are at most PROFILE_LIMIT profiles (the answer is then one of
        `population.individual()`), else alike
    target : expected share to reach, for "expenditure" and "social-cost"
    levels : with K > 1, "safe" charges who leaves level k the loss b_k − b_{k−1} (an LP; optimal
        for that stricter problem), "exact" what he really loses (a MILP, for small sizes)
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
    )
    check_limits(time_limit, seed)
    if symmetric not in (None, True, False):
        raise InvalidOption(f"symmetric: must be True, False or None, got {symmetric!r}")
    if symmetric is False or (symmetric is None and not randomized and _few_profiles(population)):
        population = population.individual()
    if virtual_cost.applies(population, terms):
        return virtual_cost.mechanism(population, terms).replace(seed=seed)
    refuse_if_large(population, terms)
    return optimise(population, terms, time_limit=time_limit, seed=seed)


def _few_profiles(population: Population) -> bool:
    profiles = prod(group.types**group.size for group in population.groups)
    return profiles <= PROFILE_LIMIT


def optimise(
    population: Population,
    terms: DirectTerms,
    *,
    time_limit: float | None = None,
    seed: int = 0,
    mechanism: str = "direct",
    pairs: str = "adjacent",
) -> DirectMechanism:
    """Solve the LP or MILP of validated terms; adjacent incentive rows first, all if needed."""
    began = perf_counter()

    def attempt(population: Population, pairs: str, ordered: bool) -> DirectMechanism:
        left = None if time_limit is None else max(0.0, time_limit - (perf_counter() - began))
        built = build_for(population, terms, pairs=pairs, ordered=ordered)
        settings = MIP_SETTINGS if built.program.is_mip else SETTINGS
        session = highs.Session(built.program, time_limit=left, seed=seed, **settings)
        if left is not None and left < PRESOLVING * built.program.value.size:
            session.set_option("presolve", "off")  # it does not look at the clock
        return finish(built, session, mechanism=mechanism, seed=seed)

    def best_attempt(population: Population) -> DirectMechanism:
        answer = attempt(population, pairs, False)
        ordered = not answer.details.get("segments_in_order", True)
        if ordered:
            answer = attempt(population, pairs, True)
        if pairs == "adjacent" and answer.details.get("worst", 0.0) > tolerances.SOLVER:
            answer = attempt(population, "all", ordered)
        return answer

    return in_units(population, best_attempt)


def build_for(
    population: Population, terms: DirectTerms, *, pairs: str = "adjacent", ordered: bool = False
) -> DirectProgram:
    """The arrays, with a free row for E[B] where a second stage will need it."""
    floor = -inf if _two_stages(terms) else None
    return direct_arrays.build(population, terms, pairs=pairs, floor=floor, ordered=ordered)


def _two_stages(terms: DirectTerms) -> bool:
    return terms.objective == "improvement" and terms.transfers


def finish(
    built: DirectProgram, session: highs.Session, *, mechanism: str = "direct", seed: int = 0
) -> DirectMechanism:
    """Run a loaded session and turn its answer into a cleaned, verified mechanism."""
    layout = built.layout
    population, terms = layout.population, layout.terms
    if built.program.is_mip:
        first = highs.solve_twice(
            built.program, time_limit=session.time_limit, seed=seed, **MIP_SETTINGS
        )
    else:
        first = session.solve()
    if first.status is Status.INFEASIBLE:
        # Presolve and tight tolerances can both cause a false verdict: ask again.
        first = _without_presolve(session, tolerance=1e-7)
    about: dict[str, Any] = {
        "mechanism": mechanism,
        "seed": seed,
        "solver": highs.version(),
    }
    limit = session.time_limit
    left = None if limit is None else max(0.5, limit - first.seconds)
    if first.x is None:
        return _without_answer(population, terms, first, about, left)
    candidates = [first.x]
    if built.program.is_mip:
        candidates = [_polish(built, first.x, left), *candidates]
    elif _two_stages(terms) and first.status is Status.OPTIMAL:
        candidates = [_cheapest(built, session, first.x), *candidates]

    def verified(x: FloatArray) -> DirectMechanism:
        return _verified(population, terms, layout, extract(layout, x), about)

    answer = verified(candidates[0])
    for x in candidates[1:]:  # a second stage or a polish may be less accurate than the first
        if answer.details["worst"] > AUDIT:
            answer = min(answer, verified(x), key=lambda one: one.details["worst"])
    if answer.details["worst"] > AUDIT and not built.program.is_mip:
        again = _without_presolve(session, tolerance=1e-10).x
        if again is not None:
            answer = min(answer, verified(again), key=lambda one: one.details["worst"])
    return _judged(answer, first, built)


def _without_presolve(session: highs.Session, *, tolerance: float) -> highs.Solution:
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
    bound = first.bound
    if bound is not None and not isfinite(bound):
        bound = _limit(answer.population, answer.terms)
    details = {
        **answer.details,
        "rows": built.program.rows,
        "columns": built.program.columns,
        "families": dict(built.families),
        "iterations": first.iterations,
        "nodes": first.nodes,
        "termination": first.termination,
    }
    closed = bound is not None and abs(bound - objective) <= tolerances.SOLVER * max(
        1.0, abs(objective)
    )
    sound = answer.details["worst"] <= AUDIT
    status = Status.FEASIBLE
    reason = ""
    if first.status is Status.OPTIMAL and closed and sound:
        status = Status.OPTIMAL
    elif not sound:
        status = Status.UNKNOWN
        reason = (
            f"the solver's answer violates {answer.details['worst_row']} by "
            f"{answer.details['worst']:.3g}; rescale money and data towards 1"
        )
    if bound is not None and closed:  # objective and bound agree to rounding: keep their order
        bound = max(bound, objective) if answer.terms.maximise else min(bound, objective)
    details["payment_bound_binds"] = _payment_bound_binds(answer)
    return answer.replace(
        status=status, objective=objective, bound=bound, details=details, reason=reason
    )


def _payment_bound_binds(answer: DirectMechanism) -> bool:
    """Whether some t = t̄ p > 0: then t̄ is part of the answer (rare lotteries with high pay)."""
    population = answer.population
    run, _, payment = answer._answer()
    if not answer.terms.transfers or population.budget < inf:
        return False
    most = np.stack([payment_bounds(population, k) for k in range(run.shape[1])])
    bound = most[:, population.group_of_type] * run[:, :, None]
    return bool(((payment > 0) & (payment >= bound * (1 - tolerances.SOLVER))).any())


def _without_answer(
    population: Population,
    terms: DirectTerms,
    solution: highs.Solution,
    about: dict[str, Any],
    left: float | None,
) -> DirectMechanism:
    """Why there is none; `left` seconds to find out what share could be reached."""
    reason = f"the solver stopped without an answer ({solution.termination})"
    if solution.status is Status.INFEASIBLE and terms.target is not None:
        highest = replace(terms, objective="improvement", target=None)
        reachable = optimise(population, highest, time_limit=left)
        best = reachable.improvement if reachable.status is Status.OPTIMAL else None
        reason = f"the target {terms.target:g} is out of reach"
        if best is not None:
            reason += f"; the highest expected share under these terms is {best:.9g}"
    elif terms.maximise:
        return _null(population, terms, solution, about)
    return DirectMechanism(
        population, terms, solution.status, bound=solution.bound, reason=reason, **about
    )


def _null(
    population: Population, terms: DirectTerms, solution: highs.Solution, about: dict[str, Any]
) -> DirectMechanism:
    """The mechanism that never runs, all there is if time ran out, and what none can exceed."""
    space = population.states
    shape = (len(space), population.levels, space.counts.shape[1])
    limit = _limit(population, terms)
    return DirectMechanism(
        population,
        terms,
        Status.FEASIBLE,
        run=np.zeros(shape[:2]),
        burden=np.zeros(shape),
        payment=np.zeros(shape),
        objective=0.0,
        bound=limit if solution.bound is None else min(limit, solution.bound),
        reason=f"the solver stopped without an answer ({solution.termination}): never to run is "
        "all that is known",
        **about,
    )


def _limit(population: Population, terms: DirectTerms) -> float:
    """What no mechanism can exceed: the highest level for nothing; 0 for what is minimised."""
    values = sum(group.size * group.value for group in population.groups)
    gain = {
        "improvement": 1.0,
        "provider-surplus": population.provider_value,
        "welfare": population.provider_value + values,
    }.get(terms.objective, 0.0)
    return float(gain * population.shares[-1])


def _polish(built: DirectProgram, x: FloatArray, left: float | None) -> FloatArray:
    """Integers rounded and fixed, the LP that remains solved again (`x` if that fails)."""
    program = built.program
    assert program.integer is not None
    fixed = np.where(program.integer, np.round(x), 0.0)
    lower = np.where(program.integer, fixed, program.lower)
    upper = np.where(program.integer, fixed, program.upper)
    relaxed = replace(program, lower=lower, upper=upper, integer=None)
    polished = highs.solve(relaxed, time_limit=left, **SETTINGS).x
    return x if polished is None else polished


def _cheapest(built: DirectProgram, session: highs.Session, x: FloatArray) -> FloatArray:
    """Second stage of "improvement": least expected payments at the share reached."""
    program, layout = built.program, built.layout
    assert built.floor_row is not None
    reached = direct_arrays.EXPECTATION * float(program.cost @ x)
    columns = np.arange(layout.columns)
    spending = direct_arrays.objective_costs(layout, "expenditure", 0.0)
    session.change_row(built.floor_row, reached * (1 - 1e-9), inf)
    session.change_costs(columns, -spending)  # the sense stays "maximise"
    second = session.solve()
    session.change_row(built.floor_row, -inf, inf)
    session.change_costs(columns, program.cost)
    return x if second.x is None else second.x


Numbers = tuple[FloatArray, FloatArray, FloatArray, bool]


def extract(layout: Layout, x: FloatArray) -> Numbers:
    """(run, burden, payment, whether segments are filled in order), rounding removed.

    Null states become exactly zero, Σ x = T p is restored, payments follow from utilities.
    """
    K, S, C, M = layout.K, layout.S, layout.C, layout.M
    space, cells = layout.space, np.arange(layout.C)
    run = np.clip(x[: K * S].reshape(K, S), 0.0, 1.0)
    run[run < _ZERO] = 0.0
    run[run > 1 - _ZERO] = 1.0
    run /= np.maximum(run.sum(axis=0), 1.0)
    burden, payment = np.zeros((S, K, M)), np.zeros((S, K, M))
    in_order = True
    for k, threshold in enumerate(layout.population.thresholds):
        chance = run[k][space.cell_state]
        parts = np.zeros((C, layout.J))
        for j in range(layout.J):
            place = layout.y(k, j, cells)
            parts[:, j] = np.where(place >= 0, x[place], 0.0)
        parts = np.clip(parts, 0.0, layout.width * chance[:, None])
        parts[parts < _ZERO * threshold] = 0.0
        given = parts.sum(axis=1)
        total = np.bincount(space.cell_state, layout.count * given, minlength=S)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(total > 0, threshold * run[k] / total, 0.0)[space.cell_state]
        given = np.minimum(given * scale, layout.width.sum(axis=1) * chance)
        if layout.J > 1:
            full = layout.width[:, :-1] * chance[:, None]
            gap = np.minimum(full - parts[:, :-1], parts[:, 1:])
            in_order &= bool((gap <= tolerances.SOLVER * threshold).all())
        burden[space.cell_state, k, space.cell_type] = given
        if layout.terms.transfers:
            utility = x[layout.u_start + k * C + cells]
            cost = layout.theta * _cost_shape(layout, given, chance)
            worth = layout.value * layout.b[k] * chance
            paid = np.maximum(utility + cost - worth, 0.0) * (chance > 0)
            payment[space.cell_state, k, space.cell_type] = paid
    return np.ascontiguousarray(run.T), burden, payment, in_order


def _cost_shape(layout: Layout, given: FloatArray, chance: FloatArray) -> FloatArray:
    """p g(x / p) per cell, filling segments in order."""
    left, shaped = given.copy(), np.zeros(given.size)
    for j in range(layout.J):
        step = np.minimum(left, layout.width[:, j] * chance)
        if j == layout.J - 1:
            step = left
        shaped += layout.slope[:, j] * step
        left = left - step
    return shaped


def _verified(
    population: Population,
    terms: DirectTerms,
    layout: Layout,
    numbers: Numbers,
    about: dict[str, Any],
) -> DirectMechanism:
    """The mechanism with the worst row of its full audit in `details`."""
    from mechopt.audits.mechanisms import worst_row

    run, burden, payment, in_order = numbers
    answer = DirectMechanism(
        population, terms, Status.UNKNOWN, run=run, burden=burden, payment=payment, **about
    )
    amount, where = worst_row(population, answer)
    return answer.replace(
        details={"worst": amount, "worst_row": where, "segments_in_order": in_order}
    )


def objective_of(mechanism: DirectMechanism) -> float:
    """The objective, recomputed from the mechanism's own numbers."""
    return expectations(mechanism)[mechanism.terms.objective.replace("-", "_")]

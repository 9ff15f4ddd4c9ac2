"""Proof-carrying answers: the exact optimum of a solved problem, with a proof others can check.

`certify` solves the problem once more in rational arithmetic, next to the floating-point answer,
and writes down problem, exact answer and dual multipliers. `mechopt.certificates.verify`
(standard library only) re-derives every constraint from the data and checks that answer and
bound meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from os import PathLike
from typing import Any

from mechopt import tolerances
from mechopt.certificates import exact_lp, verify
from mechopt.certificates.exact_data import (
    decimal,
    instance_data,
    population_data,
    reading,
    spelled,
    target_share,
)
from mechopt.certificates.exact_prices import LevelProblem
from mechopt.certificates.verify import Design, Provider
from mechopt.errors import InvalidOption, NotSupported, SolverError
from mechopt.instance import Instance
from mechopt.mechanisms.direct import DirectMechanism
from mechopt.mechanisms.direct_arrays import PAYMENT_FACTOR
from mechopt.plan import Plan
from mechopt.population import Population
from mechopt.status import Status

CERTIFIED = ("burdens", "subsidy", "complete-information", "direct")
MOST_NODES = 200  # of the exact tree of a deterministic mechanism


@dataclass(frozen=True, eq=False)
class Certificate:
    """What was proved about a problem, and whether the answer at hand agrees with it.

    status : "optimal" (answer and bound meet exactly), "feasible" (exact answer, exact bound, a
        gap between them), "null" (nothing better than the null outcome), "infeasible", "unknown"
        (no exact answer was found, and none is excluded: there is only a bound)
    optimum, bound : exact objective of the exact answer, and exact bound on any answer's
    agrees : whether the floating-point answer claims nothing that this contradicts
    remark : where it does not, or what is left open
    document : the certificate as JSON values; `verify.verify(document)` checks it
    """

    status: str
    optimum: Fraction | None
    bound: Fraction | None
    agrees: bool
    remark: str
    document: Mapping[str, Any] = field(repr=False)

    def write(self, path: str | PathLike[str]) -> None:
        """Write as JSON, whole or not at all."""
        from mechopt.files import documents, replacing

        with replacing(path) as stream:
            stream.write(documents.dumps(dict(self.document)))

    def __str__(self) -> str:
        return f"{self.status}: {self.optimum}" + (f" ({self.remark})" if self.remark else "")


def certify(problem: Instance | Population, answer: Plan | DirectMechanism) -> Certificate:
    """The exact optimum of the problem `answer` was solved for, as a checked certificate.

    Data are read as given if exact, floats as their shortest decimals. The answer's own numbers
    are not used, only compared: the certificate carries an exact answer of its own.

    Raises InvalidOption if `answer` is not one of `problem` or does not say what it optimises,
    NotSupported for what cannot be certified, SolverError if exact arithmetic finds no optimum.
    """
    if answer.mechanism not in CERTIFIED:
        raise NotSupported(
            f"certify: {answer.mechanism!r} has no optimality proof; there is one for "
            f"{', '.join(CERTIFIED)}"
        )
    if isinstance(problem, Instance) and isinstance(answer, Plan):
        if answer.instance != problem:
            raise InvalidOption("certify: the plan is one of another instance")
        return _certify_plan(problem, answer)
    if isinstance(problem, Population) and isinstance(answer, DirectMechanism):
        if answer.population not in (problem, problem.individual()):
            raise InvalidOption("certify: the mechanism is one of another population")
        return _certify_mechanism(answer)
    raise InvalidOption(
        f"certify: cannot hold a {type(answer).__name__} against a {type(problem).__name__}"
    )


def _document(
    problem: dict[str, Any],
    terms: dict[str, Any],
    claim: dict[str, Any],
    answer: dict[str, Any] | None,
    proof: dict[str, Any],
    about: dict[str, Any],
) -> dict[str, Any]:
    document = {
        "schema_version": 1,
        "kind": "certificate",
        "problem": problem,
        "terms": spelled(terms),
        "claim": spelled(claim),
        "answer": spelled(answer),
        "proof": spelled(proof),
        "about": spelled(about),
    }
    document["seal"] = verify.seal_of(document)
    try:
        verify.verify(document)
    except verify.Refuted as why:
        raise SolverError(f"certify: the exact answer does not pass its own check: {why}") from None
    return document


def _about(problem: Any, answer: Any, exact: list[str], floating: list[str]) -> dict[str, Any]:
    """What the proof rests on; not part of the claim."""
    from mechopt import __version__

    return {
        "mechopt": __version__,
        "reading": reading(problem),
        "exact": exact,
        "floating": floating,
        "answer": {
            "status": str(answer.status),
            "objective": None if answer.objective is None else decimal(answer.objective),
            "solver": answer.solver,
        },
    }


# -- known costs ----------------------------------------------------------------------------------


def _plan_terms(plan: Plan) -> dict[str, Any]:
    if plan.objective_name is None:
        raise InvalidOption("certify: the plan does not say which objective it optimises")
    protocol = "none" if plan.mechanism == "complete-information" else plan.protocol
    if protocol == "coalition":
        raise NotSupported("certify: there is no certificate for the coalition protocol")
    order = plan.order if isinstance(plan.order, str) else [int(user) for user in plan.order]
    if order == "cost":
        costs = plan.instance.exact("cost")
        order = sorted(range(plan.instance.n), key=lambda user: costs[user])
    target = plan.options.get("target")
    return {
        "mechanism": plan.mechanism,
        "objective": plan.objective_name,
        "protocol": protocol,
        "order": order,
        "transfers": plan.options.get("transfers", True),
        "reserve": decimal(plan.reserve),
        "target": None if target is None else target_share(target, plan.instance),
    }


def _certify_plan(instance: Instance, plan: Plan) -> Certificate:
    terms = _plan_terms(plan)
    data = instance_data(instance)
    if plan.reserve > 0 and instance.levels > 1:
        raise NotSupported("certify: a reserve is certified with one threshold only")
    provider = Provider(data, spelled(terms))
    proof: dict[str, Any] = {}
    solved: dict[int, LevelProblem] = {}
    # the levels that matter: all that count as an answer, down to the first reached if only the
    # share counts
    for level in range(len(provider.levels.T), max(1, provider.lowest) - 1, -1):
        solved[level] = LevelProblem(provider, level)
        if provider.protocol == "sequential" and instance.levels > 1:
            _suggest(solved[level], data, terms, plan)
        proof[str(level)] = solved[level].solve()
        if provider.objective == "improvement" and solved[level].best is not None:
            break
    level = _best(provider, solved)
    n = instance.n
    burden, payment = [Fraction(0)] * n, [Fraction(0)] * n
    if level:
        best = solved[level].best
        assert best is not None
        _, burden, payment = best
    answer: dict[str, Any] | None = {"level": level, "burden": burden, "payment": payment}
    minimised = provider.objective in provider.MINIMISED
    spent, stays = Fraction(0), None
    if level:
        _, spent, stays = provider.check(spelled(answer))
    optimum: Fraction | None = provider.worth(level, spent)
    bound = _limit(provider, proof, level, optimum)
    none = level == 0 and provider.lowest > 0
    if none and minimised and bound is None and terms["target"] is not None:
        status, optimum, answer = "infeasible", None, None
    elif none and minimised and bound is not None:
        status, optimum, answer = "unknown", None, None
    elif none and (bound is None or bound == 0):
        status, bound = "null", Fraction(0)
    else:
        status = "optimal" if bound == optimum else "feasible"
    claim: dict[str, Any] = {
        "status": status,
        "optimum": optimum,
        "bound": bound,
        "payments": None,
        "withdrawal": stays,
    }
    if provider.objective == "improvement" and level and status != "null":
        least = provider.least(level, proof[str(level)], {})
        claim["payments"] = spent if least == spent else None
    exact, floating = ["feasibility", "withdrawal", "bound"], ["whether the gap can be closed"]
    if status not in ("feasible", "unknown"):
        exact, floating = [*exact, "optimality"], []
    about = _about(instance, plan, exact, floating)
    document = _document(data, terms, claim, answer, proof, about)
    scale = float(max([instance.provider_value, instance.value.sum(), abs(float(optimum or 0))]))
    return _judged(plan, status, optimum, bound, scale, document, minimised)


def _suggest(
    problem: LevelProblem, data: dict[str, Any], terms: dict[str, Any], plan: Plan
) -> None:
    """Answers for the sequential protocol: the simultaneous one (F1), and the plan's own."""
    simultaneous = Provider(data, spelled({**terms, "protocol": "simultaneous"}))
    other = LevelProblem(simultaneous, problem.level)
    other.solve()
    if other.best is not None:
        problem.consider(other.best[1], other.best[2])
    if plan.level != problem.level or plan.burden is None or plan.payment is None:
        return
    burden, payment = (
        [decimal(number) for number in column]
        for column in (plan.burden.tolist(), plan.payment.tolist())
    )
    users = problem.provider.users
    missing = problem.amount - sum(burden)
    for i, user in enumerate(users):  # rounding left the total a little off
        if missing and burden[i] > 0 and 0 <= burden[i] + missing <= user.curve.capacity:
            burden[i] += missing
            break
    problem.consider(burden, payment)


def _best(provider: Provider, solved: dict[int, LevelProblem]) -> int:
    """The level of the best exact answer; 0 for none."""
    found = {k: one.best[0] for k, one in solved.items() if one.best is not None}
    if not found or provider.lowest == 0:
        return 0
    worth = {k: provider.worth(k, value) for k, value in found.items()}
    if provider.objective in provider.MINIMISED:
        return min(worth, key=lambda k: worth[k])
    best = max(worth, key=lambda k: worth[k])
    return best if worth[best] > 0 else 0


def _limit(
    provider: Provider, proof: dict[str, Any], level: int, reached: Fraction | None
) -> Fraction | None:
    """The bound that the proof gives; None if it excludes every answer."""
    improvement = provider.objective == "improvement"
    first = level + 1 if improvement else max(1, provider.lowest)
    values = []
    for k in range(first, len(provider.levels.T) + 1):
        least = provider.least(k, proof[str(k)], {})
        if least is not None:
            values.append(provider.worth(k, least))
    if provider.objective in provider.MINIMISED:
        return Fraction(0) if provider.lowest == 0 else min(values, default=None)
    start = reached if improvement and reached is not None else Fraction(0)
    return max([start, *values])


def _judged(
    answer: Any,
    status: str,
    optimum: Fraction | None,
    bound: Fraction | None,
    scale: float,
    document: dict[str, Any],
    minimised: bool,
) -> Certificate:
    """Whether what the floating-point answer claims is contradicted."""
    remark, doubt = "", ""
    allowed = tolerances.SOLVER * max(scale, 1e-300)
    claimed = answer.objective
    if answer.status in (Status.OPTIMAL, Status.FEASIBLE) and bound is not None:
        beyond = float(bound) - claimed if minimised else claimed - float(bound)
        if beyond > allowed:
            remark = f"the answer's objective {claimed:.12g} beats the exact bound {bound}"
    if answer.status is Status.OPTIMAL and optimum is not None and not remark:
        worse = claimed - float(optimum) if minimised else float(optimum) - claimed
        if worse > allowed:
            remark = f"the answer's objective {claimed:.12g} is not the exact optimum {optimum}"
    if answer.status is Status.OPTIMAL and status == "infeasible":
        remark = "in exact arithmetic no answer reaches the target; this one does up to rounding"
    if answer.status is Status.OPTIMAL and status == "null" and claimed > allowed and not remark:
        remark = f"nothing beats the null outcome, but {claimed:.12g} is claimed"
    if answer.status is Status.INFEASIBLE and status not in ("infeasible", "unknown"):
        remark = "the answer says infeasible, but there is an answer"
    if answer.status in (Status.NULL, Status.INFEASIBLE) and status == "unknown":
        doubt = "no answer was found here either, but none is excluded"
    something = status in ("optimal", "feasible") and abs(float(optimum or 0)) > allowed
    if answer.status is Status.NULL and something:
        remark = f"the answer is the null outcome, but {optimum} is reached"
    return Certificate(status, optimum, bound, not remark, remark or doubt, document)


# -- private costs --------------------------------------------------------------------------------


def _certify_mechanism(mechanism: DirectMechanism) -> Certificate:
    terms = {**mechanism.terms.to_dict(), "payment_factor": decimal(PAYMENT_FACTOR)}
    if terms["target"] is not None:
        terms["target"] = target_share(terms["target"], mechanism.population)
    data = population_data(mechanism.population)
    design = Design(data, spelled(terms))
    search = _MechanismSearch(design)
    proof = search.solve()
    minimised = design.objective in design.MINIMISED
    sign = -1 if minimised else 1
    limit = design.limit(search.rows, proof, {})
    if limit is None:
        status, optimum, bound, answer = "infeasible", None, None, None
    else:
        if search.best is None:
            raise SolverError("certify: no exact mechanism was found within the exact tree")
        bound, optimum = sign * limit, sign * search.best[0]
        status = "optimal" if bound == optimum else "feasible"
        answer = _answer(design, search.best[1])
    claim = {"status": status, "optimum": optimum, "bound": bound}
    exact = ["feasibility", "bound"] + (["optimality"] if status != "feasible" else [])
    floating = [] if status != "feasible" else ["whether the gap can be closed"]
    about = _about(mechanism.population, mechanism, exact, floating)
    about |= {"rows": len(search.rows), "pivots": search.pivots, "nodes": search.nodes}
    try:
        document = _document(data, terms, claim, answer, proof, about)
    except SolverError as error:
        if all(len(slopes) == 1 for slopes in design.slopes):
            raise
        raise NotSupported(
            "certify: the exact optimum uses dear segments of a cost curve before cheap ones, so "
            f"it is a bound only; curves with one segment are certified ({error})"
        ) from None
    scale = max(1.0, abs(float(optimum or 0)))
    return _judged(mechanism, status, optimum, bound, scale, document, minimised)


class _MechanismSearch:
    """One exact LP, or for deterministic mechanisms a tree of them."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.rows = design.rows()
        self.objective = design.maximised()
        self.free = frozenset(
            variable for _, terms, _, _ in self.rows for variable in terms if variable[0] == "m"
        )
        self.runs = [("p", k, w) for w in design.states for k in range(1, design.K + 1)]
        self.best: tuple[Fraction, dict[Any, Fraction]] | None = None
        self.pivots = self.nodes = 0

    def solve(self) -> dict[str, Any]:
        return self._node({})

    def _node(self, fixed: dict[Any, Fraction]) -> dict[str, Any]:
        self.nodes += 1
        found = exact_lp.maximum(self.rows, self.objective, free=self.free, fixed=fixed)
        self.pivots += found.pivots
        shows = "bound" if found.feasible else "unreachable"
        leaf = {"shows": shows, "multipliers": found.multipliers}
        if found.value is None:
            return leaf
        if self.best is not None and found.value <= self.best[0]:
            return leaf
        values = found.values
        broken = [p for p in self.runs if values[p] not in (0, 1)]
        if self.design.randomized or not broken:
            self.best = found.value, values
            return leaf
        if self.nodes >= MOST_NODES:
            return leaf
        p = max(broken, key=lambda one: min(values[one], 1 - values[one]))
        return {
            "state": self.design.states.index(p[2]),
            "level": p[1],
            "one": self._node({**fixed, p: Fraction(1)}),
            "zero": self._node({**fixed, p: Fraction(0)}),
        }


def _answer(design: Design, z: Mapping[Any, Fraction]) -> dict[str, Any]:
    """The mechanism as tables over states, levels and types."""
    levels = range(1, design.K + 1)
    nothing = Fraction(0)

    def burden(k: int, w: tuple[int, ...], j: int) -> Fraction:
        if w[j] == 0:
            return nothing
        return sum((z["y", k, w, j, s] for s in range(len(design.slopes[j]))), nothing)

    return {
        "states": [list(w) for w in design.states],
        "run": [[z["p", k, w] for k in levels] for w in design.states],
        "burden": [
            [[burden(k, w, j) for j in design.types] for k in levels] for w in design.states
        ],
        "payment": [
            [[z.get(("t", k, w, j), nothing) for j in design.types] for k in levels]
            for w in design.states
        ],
    }

"""Proof-carrying answers: the exact optimum of a solved problem, with a proof others can check.

`certify` solves the problem once more in rational arithmetic, next to the floating-point answer,
and writes down problem, exact answer and proof. `mechopt.checker` (standard library
only) re-derives every constraint from the data and checks that answer and bound meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import fsum, inf
from os import PathLike
from typing import Any

from mechopt import checker, doors, tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.answer.plan import Plan
from mechopt.certificates import mechanism_proofs, plan_proofs
from mechopt.certificates.draft import Draft
from mechopt.errors import InvalidOption, NotSupported, SolverError
from mechopt.private.direct.sequential import one_protocol
from mechopt.problem.aims import MARGIN, as_noticed
from mechopt.problem.exact_data import decimal, reading, spelled
from mechopt.problem.instance import Instance
from mechopt.problem.population import Population
from mechopt.problem.practice import said
from mechopt.problem.units import natural_population
from mechopt.status import Status


@dataclass(frozen=True, eq=False)
class Certificate:
    """What was proved about a problem, in fractions, and whether the answer at hand agrees.

    Objective and bound are in the unit of the objective: money, data or a share; what each kind of
    certificate proves is in docs/certificates.md.

    :status: "optimal" (answer and bound meet exactly), "feasible" (exact answer, exact bound, a
        gap between them), "null" (nothing better than the null outcome), "infeasible", "unknown"
        (no exact answer was found, and none is excluded: there is only a bound)
    :optimum, bound: exact objective of the exact answer, and exact bound on any answer's
    :agrees: whether the floating-point answer claims nothing that this contradicts
    :remark: where it does not, or what is left open
    :document: the certificate as JSON values; `checker.verify(document)` checks it
    """

    status: str
    optimum: Fraction | None
    bound: Fraction | None
    agrees: bool
    remark: str
    document: Mapping[str, Any] = field(repr=False)

    def write(self, path: str | PathLike[str]) -> None:
        """Write as JSON, whole or not at all."""
        doors.write_document(self.document, path)

    def __str__(self) -> str:
        return f"{self.status}: {self.optimum}" + (f" ({self.remark})" if self.remark else "")


def certify(problem: Instance | Population, answer: Plan | DirectMechanism) -> Certificate:
    """The exact optimum of the problem `answer` was solved for, as a checked certificate.

    Money, data or a share, as the objective is; rows and proofs: docs/certificates.md.

    Data are read as given if exact, floats as their shortest decimals. The answer's own numbers
    are not used, only compared: the certificate carries an exact answer of its own.

    Raises InvalidOption if `answer` is not one of `problem` or does not say what it optimises,
    NotSupported for what cannot be certified, TooLarge for an enumeration beyond reach, SolverError
    if exact arithmetic finds no optimum.
    """
    known = tuple(plan_proofs.DRAFTS) if isinstance(answer, Plan) else mechanism_proofs.CERTIFIED
    if answer.mechanism not in known:
        raise NotSupported(
            f"certify: {answer.mechanism!r} has no optimality proof; there is one for "
            f"{', '.join(known)}"
        )
    if isinstance(problem, Instance) and isinstance(answer, Plan):
        _refuse_rights(problem, answer)
    if isinstance(problem, Instance) and isinstance(answer, Plan):
        if answer.instance != problem:
            raise InvalidOption("certify: the plan is one of another instance")
        draft = plan_proofs.DRAFTS[answer.mechanism](problem, answer)
        unit = _rounding_of(problem, answer)
        original, answer = answer, plan_proofs.on_top(problem, answer)
    elif isinstance(problem, Population) and isinstance(answer, DirectMechanism):
        if answer.population != problem and answer.population != problem.individual():
            raise InvalidOption("certify: the mechanism is one of another population")
        if answer.terms.protocol == "sequential" and not one_protocol(problem):
            raise NotSupported(
                "certify: in sequence with several thresholds there is a proof only where returns "
                "diminish (F11); the mechanism's own bound holds"
            )
        draft = mechanism_proofs.draft(answer)
        unit = _solver_rounding(problem, answer.terms.objective)
    else:
        raise InvalidOption(
            f"certify: cannot hold a {type(answer).__name__} against a {type(problem).__name__}"
        )
    claim = _claim(draft)
    document = _document(draft, claim, answer)
    judged = _judged(answer, claim, unit, document, draft.problem.aim.minimised)
    if judged.agrees or problem.is_exact or not isinstance(problem, Instance):
        return judged
    return _up_to_rounding(problem, original, unit, judged)


def _refuse_rights(instance: Instance, plan: Plan) -> None:
    """NotSupported for what the plan was asked for and no proof covers (docs: rights, practice)."""
    if plan.dropout is not None:
        raise NotSupported(
            "certify: plans with a confidence have bounds, but no certificates; audit checks the "
            "rows, and crossing the probability"
        )
    if instance.practice is not None and plan.mechanism.startswith("posted-"):
        raise NotSupported(
            f"certify: with {said(instance)} there are proofs of burdens, subsidies and complete "
            f"information, not of {plan.mechanism!r}"
        )
    if plan.details.get("own_rows"):
        raise NotSupported(
            "certify: a model with rows of your own has no certificate; audit checks all other rows"
        )
    if instance.has_committed and (
        plan.mechanism != "burdens" or plan.protocol in ("sequential", "reassign")
    ):
        raise NotSupported(
            "certify: with committed data there are proofs of burdens, under the simultaneous "
            "protocol or none"
        )
    if plan.right == "part" and plan.protocol not in ("simultaneous", "sequential", "none"):
        raise NotSupported(
            "certify: parts have proofs for the simultaneous and sequential protocols"
        )
    paid = plan.options.get("transfers") is not False and instance.budget > 0
    worth = plan.objective_name in ("provider-surplus", "welfare") or instance.budget < inf
    if plan.protocol == "reassign" and paid and worth:
        raise NotSupported(
            "certify: under 'reassign' there are proofs without payments, and with payments for "
            "expenditure, social-cost and improvement without a budget"
        )


def _rounding_of(instance: Instance, plan: Plan) -> float:
    """What rounding may do to the objective, money or share: of what the plan itself adds up."""
    if plan.objective_name == "improvement" or plan.burden is None or plan.payment is None:
        return tolerances.REACH
    money = instance.provider_value + fsum(plan.payment) + fsum(instance.cost_of(plan.burden))
    if plan.objective_name == "welfare":
        money += fsum(instance.value)
    return tolerances.REACH * money


def _solver_rounding(population: Population, objective: str) -> float:
    """What the solver's tolerances may do to the objective of a mechanism, money or share."""
    if objective == "improvement":
        return tolerances.MONEY
    money = natural_population(population).money
    if objective in ("provider-surplus", "welfare"):
        money += population.provider_value
    if objective == "welfare":
        money += fsum(group.size * group.value for group in population.groups)
    return tolerances.MONEY * money


def _up_to_rounding(
    instance: Instance, plan: Plan, unit: float, judged: Certificate
) -> Certificate:
    """Float data hold up to rounding (`tolerances`): whether the answer is one to data so near.

    The certificate stays that of the data as written; the answer agrees with it if it does with
    that of thresholds and budget moved by what the rounding of sums explains.
    """
    room = 2 * tolerances.rounding(instance.n)
    near = instance.replace(
        thresholds=instance.thresholds * (1 - room),
        budget=None if instance.budget == inf else instance.budget * (1 + room),
        removable=as_noticed(instance).removable,
    )
    draft = plan_proofs.DRAFTS[plan.mechanism](near, plan)
    claim = _claim(draft)
    answer = plan_proofs.on_top(instance, plan)
    other = _judged(answer, claim, unit, _document(draft, claim, plan), draft.problem.aim.minimised)
    if not other.agrees:
        return judged
    return replace(judged, agrees=True, remark="the answer is reached up to rounding")


def _claim(draft: Draft) -> dict[str, Any]:
    """What answer and bound prove; a null outcome that misses the target is dropped as answer."""
    problem = draft.problem
    bound = problem.bound(spelled(draft.proof))
    value = None if draft.answer is None else problem.value(spelled(draft.answer))
    status = "feasible"
    null = draft.answer is not None and problem.is_null(spelled(draft.answer))
    if null and value is None and (bound is not None or draft.terms["target"] is not None):
        draft.answer, null = None, False
    if draft.answer is None:
        status = "infeasible" if bound is None else "unknown"
    elif null and value == bound and bound in (0, None):
        status, value, bound = "null", Fraction(0), Fraction(0)
    elif value == bound:
        status = "optimal"
    also = problem.also(spelled(draft.answer), spelled(draft.proof))
    return {"status": status, "optimum": value, "bound": bound, "also": also}


def _document(
    draft: Draft, claim: dict[str, Any], answer: Plan | DirectMechanism
) -> dict[str, Any]:
    from mechopt import __version__

    open_ = claim["status"] in ("feasible", "unknown")
    source: Any = answer.instance if isinstance(answer, Plan) else answer.population
    about = {
        "mechopt": __version__,
        "reading": reading(source),
        "exact": ["feasibility", "withdrawal", "bound", *([] if open_ else ["optimality"])],
        "floating": ["whether the gap can be closed"] if open_ else [],
        "not_proved": [draft.remark] if open_ and draft.remark else [],
        "answer": {
            "status": str(answer.status),
            "objective": None if answer.objective is None else decimal(answer.objective),
            "solver": answer.solver,
        },
        **draft.about,
    }
    document = {
        "schema_version": 1,
        "kind": "certificate",
        "problem": draft.data,
        "terms": spelled(draft.terms),
        "claim": spelled(claim),
        "answer": spelled(draft.answer),
        "proof": spelled(draft.proof),
        "about": spelled(about),
    }
    document["seal"] = checker.seal_of(document)
    try:
        checker.verify(document)
    except checker.Refuted as why:
        raise SolverError(f"certify: the exact answer does not pass its own check: {why}") from None
    return document


def _judged(
    answer: Plan | DirectMechanism,
    claim: Mapping[str, Any],
    unit: float,
    document: dict[str, Any],
    minimised: bool,
) -> Certificate:
    """Whether what the floating-point answer claims is contradicted.

    :unit: what the objective may be off by whatever its size, money or share
    """
    status, optimum, bound = claim["status"], claim["optimum"], claim["bound"]
    remark, doubt = "", "".join(document["about"]["not_proved"])
    several = isinstance(answer, Plan) and (answer.instance.levels > 1 or answer.reserve > 0)
    near = 2 * MARGIN if several else tolerances.MONEY  # burdens keep this distance from jumps
    allowed = near * abs(float(optimum or 0)) + unit
    claimed = 0.0 if answer.objective is None else answer.objective
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

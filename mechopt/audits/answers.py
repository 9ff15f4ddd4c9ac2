"""`audit`: any answer against its problem."""

from __future__ import annotations

from typing import Any

from mechopt.answer.plan import Plan
from mechopt.audits.plans import audit_plan
from mechopt.audits.verdict import Audit
from mechopt.errors import InvalidOption
from mechopt.problem.instance import Instance


def audit(problem: Any, answer: Any) -> Audit:
    """Check `answer` against `problem`: a Plan against its Instance, others a Population (A1–D7).

    Tolerances: data totals none (X ≥ T must hold exactly); capacities and money relative
    `tolerances.DATA` and `tolerances.MONEY`. Raises InvalidPlan if the two do not match in size.
    """
    if isinstance(problem, Instance) and isinstance(answer, Plan):
        return audit_plan(problem, answer)
    from mechopt.answer.bracket import Bracket
    from mechopt.answer.mechanism import DirectMechanism
    from mechopt.answer.offer import PostedOffer
    from mechopt.audits.mechanisms import audit_mechanism
    from mechopt.audits.offers import audit_bracket, audit_offer
    from mechopt.problem.population import Population

    if isinstance(problem, Population):
        if isinstance(answer, DirectMechanism):
            return audit_mechanism(problem, answer)
        if isinstance(answer, PostedOffer):
            return audit_offer(problem, answer)
        if isinstance(answer, Bracket):
            return audit_bracket(problem, answer)
    raise InvalidOption(
        f"audit: cannot hold a {type(answer).__name__} against a {type(problem).__name__}; "
        "expected an Instance and a Plan, or a Population and a DirectMechanism, PostedOffer or "
        "Bracket"
    )

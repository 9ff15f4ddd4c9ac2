"""The doors: the few conveniences of an object that lie further down the house.

`plan.write`, `plan.metrics` and the like read well, but a plan must not know how files or the
withdrawal stage work. Each such step goes through one function here, which imports on first use;
nothing else in the package may point up (see docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from mechopt import words

if TYPE_CHECKING:
    from mechopt.answer.mechanism import DirectMechanism
    from mechopt.answer.plan import Plan
    from mechopt.withdrawal import WithdrawalReport as WithdrawalReport


def write(thing: Any, path: str | PathLike[str]) -> None:
    """To `mechopt.files.write`: an instance, population or answer as a file."""
    words.load("mechopt.files:write")(thing, path)


def write_document(document: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """To `mechopt.files`: one JSON document, whole or not at all."""
    words.load("mechopt.files:write_document")(document, path)


def plan_metrics(plan: Plan) -> dict[str, Any]:
    """To `mechopt.withdrawal.metrics`: FORMULATION section 6 for a plan."""
    metrics: dict[str, Any] = words.load("mechopt.withdrawal.metrics:plan_metrics")(plan)
    return metrics


def plan_withdrawal(plan: Plan, protocol: str) -> WithdrawalReport:
    """To `mechopt.withdrawal.check_withdrawal`, on the plan's own instance and order."""
    check = words.load("mechopt.withdrawal:check_withdrawal")
    report: WithdrawalReport = check(
        plan.instance, plan, protocol=protocol, order=plan.order, withdrawal=plan.right
    )
    return report


def mechanism_metrics(mechanism: DirectMechanism) -> dict[str, Any]:
    """To `mechopt.private.direct.metrics`: FORMULATION section 6, expected."""
    metrics: dict[str, Any] = words.load("mechopt.private.direct.metrics:direct_metrics")(mechanism)
    return metrics


def mechanism_summary(mechanism: DirectMechanism) -> str:
    """To `mechopt.private.direct.summary`: the mechanism in plain language."""
    return str(words.load("mechopt.private.direct.summary:summary")(mechanism))

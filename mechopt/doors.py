"""The doors: the few conveniences of an object that lie further down the house.

`plan.write`, `plan.metrics` and the like read well, but a plan must not know how files or the
withdrawal stage work. Each such step goes through one function here, which imports on first use;
nothing else in the package may point up (see docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechopt.words import load

if TYPE_CHECKING:
    from mechopt.answer.bracket import Bracket, Rule
    from mechopt.answer.mechanism import DirectMechanism
    from mechopt.answer.plan import Plan
    from mechopt.arrays import FloatArray
    from mechopt.problem.instance import Instance
    from mechopt.problem.population import Population
    from mechopt.withdrawal.check import WithdrawalReport as WithdrawalReport


def write(thing: Any, path: str | PathLike[str], **options: Any) -> None:
    """To `mechopt.files.write`: an instance, population or answer as a file."""
    load("mechopt.files:write")(thing, path, **options)


def write_document(document: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """To `mechopt.files`: one JSON document, whole or not at all."""
    load("mechopt.files:write_document")(document, path)


def instance_from_frame(frame: Any, thresholds: Any, options: Mapping[str, Any]) -> Instance:
    """To `mechopt.files.frames`: the rows of a data frame as users."""
    instance: Instance = load("mechopt.files.frames:instance_from_frame")(
        frame, thresholds, **options
    )
    return instance


def plan_frame(plan: Plan, people: bool, library: str | None) -> Any:
    """To `mechopt.files`: what a plan's table has, as a data frame."""
    columns = load("mechopt.files.plans:table")(plan, people=people)
    return load("mechopt.files.frames:to_frame")(columns, library)


def html(thing: Any) -> str:
    """To `mechopt.studies.notebook`: what a notebook shows."""
    return str(load("mechopt.studies.notebook:html")(thing))


def plot(thing: Any, axes: Any) -> Any:
    """To `mechopt.studies.notebook`: the picture of an answer or a report."""
    return load("mechopt.studies.notebook:plot")(thing, axes)


def explain(plan: Plan, name: Any) -> str:
    """To `mechopt.studies.explaining`: a plan, or one person's part in it, in sentences."""
    return str(load("mechopt.studies.explaining:explain")(plan, name))


def plan_metrics(plan: Plan) -> dict[str, Any]:
    """To `mechopt.withdrawal.metrics`: metrics of a plan."""
    metrics: dict[str, Any] = load("mechopt.withdrawal.metrics:plan_metrics")(plan)
    return metrics


def plan_withdrawal(plan: Plan, protocol: str) -> WithdrawalReport:
    """To `mechopt.withdrawal.check_withdrawal`, on the plan's own instance and order."""
    check = load("mechopt.withdrawal:check_withdrawal")
    report: WithdrawalReport = check(
        plan.instance,
        plan,
        protocol=protocol,
        order=plan.order,
        withdrawal=plan.right,
        dropout=plan.dropout if protocol in ("simultaneous", "sequential") else None,
    )
    return report


def plan_document(plan: Plan) -> dict[str, Any]:
    """To `mechopt.files.plans`: a plan as JSON values, its instance inside."""
    document = load("mechopt.files.plans:document")(plan, inline=inf)
    values: dict[str, Any] = load("mechopt.files.documents:strict")(document)
    return values


def plan_of_document(document: Mapping[str, Any], instance: Instance | None) -> Plan:
    """To `mechopt.files.plans`: the plan that `plan_document` described."""
    read = load("mechopt.files.plan_reading:read_document")
    plan: Plan = read(Path("plan"), dict(document), instance, allow_outside=False)
    return plan


def bracket_metrics(bracket: Bracket) -> dict[str, Any]:
    """To `mechopt.private.large.metrics`: metrics, estimated."""
    metrics: dict[str, Any] = load("mechopt.private.large.metrics:rule_metrics")(bracket)
    return metrics


def assign_by_rule(population: Population, rule: Rule, reports: Any, seed: int) -> Plan:
    """To `mechopt.private.large.assignment`: reports in, plan out."""
    plan: Plan = load("mechopt.private.large.assignment:assign")(population, rule, reports, seed)
    return plan


def solve_again(problem: Any, mechanism: str, options: Mapping[str, Any]) -> Plan:
    """To `mechopt.solving.solve`: the mechanism of a plan on a changed instance."""
    plan: Plan = load("mechopt.solving:solve")(problem, mechanism, **options)
    return plan


def kept_small_first(mechanism: DirectMechanism) -> FloatArray:
    """To `mechopt.withdrawal.mechanisms`: what a leaver still enjoys, (S, K, M) money."""
    kept: FloatArray = load("mechopt.withdrawal.mechanisms:small_first")(mechanism)[0]
    return kept


def mechanism_metrics(mechanism: DirectMechanism) -> dict[str, Any]:
    """To `mechopt.private.direct.metrics`: metrics, expected."""
    metrics: dict[str, Any] = load("mechopt.private.direct.metrics:direct_metrics")(mechanism)
    return metrics


def mechanism_summary(mechanism: DirectMechanism) -> str:
    """To `mechopt.private.direct.summary`: the mechanism in plain language."""
    return str(load("mechopt.private.direct.summary:summary")(mechanism))


def mechanism_worth(mechanism: DirectMechanism) -> dict[str, Any]:
    """To `mechopt.private.direct.worth`: what budget, prior and one more user are worth."""
    found: dict[str, Any] = load("mechopt.private.direct.worth:worth")(mechanism)
    return found


def mechanism_explain(mechanism: DirectMechanism) -> str:
    """To `mechopt.private.direct.worth`: the mechanism and these worths in sentences."""
    return str(load("mechopt.private.direct.worth:explain")(mechanism))


def mechanism_figure(mechanism: DirectMechanism) -> Any:
    """To `mechopt.private.direct.worth`: a Matplotlib figure."""
    return load("mechopt.private.direct.worth:figure")(mechanism)

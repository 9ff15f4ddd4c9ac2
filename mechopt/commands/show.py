"""Results for people: plans, checks and mechanisms as tables of at most 100 columns."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from math import isinf
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray, IntArray
from mechopt.commands.output import Page
from mechopt.errors import NotSupported, TooLarge
from mechopt.withdrawal.metrics import pivotal, totals

if TYPE_CHECKING:
    from mechopt.audits.verdict import Audit
    from mechopt.withdrawal.check import WithdrawalReport

_TOP = 10  # largest burdens shown
_PATIENCE = 10.0  # seconds that `check` spends on the best and worst equilibrium each
_NAMED = 6  # users named in a sentence; the rest are counted
_LABELS = {
    "improvement": "share of the improvement",
    "data": "data used",
    "expenditure": "expenditure",
    "leakage": "leakage",
    "social_cost": "social cost",
    "provider_surplus": "provider surplus",
    "welfare": "welfare",
    "participation": "participation",
    "regret": "regret",
    "within_budget": "probability of being within the budget",
}


_WORDS = (  # what is looked for on a page, and what it means
    ("leakage", "leakage, the part of the payments that buys no improvement"),
    ("participation", "participation, share of those asked who stay"),
    ("margin", "margin, the least that anybody who stays would lose by leaving"),
    ("pivotal", "pivotal, without whom the level falls"),
    ("DSIC", "DSIC, the truth is best for everybody whatever the others report"),
    ("regret", "regret, the most that a false report gains"),
    ("A1", "A1, the threshold is reached"),
    ("A2", "A2, nobody is asked for more than he can give"),
    ("A3", "A3, nobody loses by taking part"),
    ("A4", "A4, the budget holds"),
    ("A5", "A5, nobody gains by withdrawing"),
    ("A6", "A6, without a threshold nothing is collected or paid"),
    ("B1", "B1, nobody is asked for less than the least"),
    ("B2", "B2, burdens are whole units"),
    ("B3", "B3, fixed burdens stand"),
    ("B4", "B4, payments are whole steps"),
    ("B5", "B5 and B6, groups keep their limits"),
    ("B6", "B5 and B6, groups keep their limits"),
    ("D5", "D5, nobody gains by withdrawing"),
)


def _explain(page: Page) -> None:
    """The terms on the page, in a few words each."""
    text = page.text()
    found = [words for term, words in _WORDS if re.search(rf"\b{term}\b", text)]
    if found:
        page.gap()
        page.line(f"words: {'; '.join(dict.fromkeys(found))}")


# -- what is said about a plan ------------------------------------------------------------------


def reports(plan: Plan) -> dict[str, WithdrawalReport]:
    """The withdrawal check under both protocols, the plan's own first."""
    own = plan.protocol if plan.protocol != "none" else "simultaneous"
    found = {own: plan.withdrawal(own)}
    for name in ("simultaneous", "sequential"):
        with contextlib.suppress(
            TooLarge, NotSupported
        ):  # not the plan's own protocol: say what can be said
            found[name] = plan.withdrawal(name)
    return found


def withdrawal_dict(plan: Plan) -> dict[str, Any]:
    """The withdrawal check as JSON values, by protocol."""
    return {name: report.to_dict(further=False) for name, report in reports(plan).items()}


def check_dict(plan: Plan, audit: Audit) -> dict[str, Any]:
    """A check as JSON values: audit and withdrawal."""
    return {
        "ok": audit.ok,
        "instance_hash": plan.instance.hash,
        "protocol": plan.protocol,
        "metrics": plan.metrics,
        "audit": audit_dict(audit),
        "withdrawal": withdrawal_dict(plan),
    }


def audit_dict(audit: Audit) -> dict[str, Any]:
    """An audit as JSON values."""
    return {
        "ok": audit.ok,
        "violations": [
            {
                "tag": broken.tag,
                "where": broken.where,
                "amount": broken.amount,
                "message": broken.message,
            }
            for broken in audit.violations
        ],
        "rows": audit.rows,
        "worst": audit.worst,
    }


# -- pages --------------------------------------------------------------------------------------


def plan_text(plan: Plan, benchmark: Plan | None = None, remark: str = "") -> str:
    """What `mechopt solve` prints: totals beside the benchmark, withdrawal check, burdens."""
    page = Page()
    page.line(f"{plan.mechanism} for {plan.instance.n:,} users: {_status(plan)}")
    if remark:
        page.line(remark)
    if plan.reason:
        page.line(plan.reason)
    if not plan.has_answer:
        return page.text()
    if plan.status == "null":
        from mechopt.studies.explaining import price_of_levels

        for line in price_of_levels(plan):
            page.line(line)
    page.gap()
    _totals(page, plan, benchmark)
    if plan.burden is not None and plan.burden.any():
        page.gap()
        _withdrawal(page, plan)
        _safety(page, plan)
        _largest(page, plan)
    _explain(page)
    return page.text()


def check_text(plan: Plan, audit: Audit) -> str:
    """What `mechopt check` prints: the verdict, its witnesses, totals and burdens."""
    from mechopt.studies.safety import restoring

    page = Page()
    verdict = "every constraint holds" if audit.ok else "NOT every constraint holds"
    page.line(f"{plan.mechanism} plan for {plan.instance.n:,} users: {verdict}")
    page.line(f"claimed status: {plan.status}; protocol: {plan.protocol}")
    page.gap()
    page.line(str(audit))
    if restore := restoring(plan):
        page.line(restore)
    page.gap()
    _totals(page, plan, None)
    for report in reports(plan).values():
        report.time_limit = _PATIENCE
        page.gap()
        page.line(str(report))
    page.gap()
    _pivotal(page, plan)
    _largest(page, plan)
    _explain(page)
    return page.text()


def answer_check_text(answer: Any, audit: Audit) -> str:
    """What `mechopt check` prints for an answer to a population: the verdict and the summary."""
    page = Page()
    page.line(str(audit))
    page.gap()
    page.line(str(answer.summary()))
    return page.text()


def answer_text(answer: Any, remark: str = "") -> str:
    """What `mechopt solve` prints for a population: the summary and the expected metrics."""
    page = Page()
    page.line(str(answer.summary()))
    if remark:
        page.line(remark)
    if answer.has_answer:
        page.gap()
        errors = answer.metrics.get("standard_error", {})
        rows = [
            (
                _label(name, answer.metrics),
                _figure(_rounded(value, answer.metrics))
                + (f" ± {1.96 * errors[name]:.2g}" if errors.get(name) else ""),
            )
            for name, value in _numbers(answer.metrics)
        ]
        page.table(("expected", ""), rows)
    _explain(page)
    return page.text()


def _rounded(value: float, metrics: Mapping[str, Any]) -> float:
    """0 for what is only the rounding of the money expected."""
    money = sum(abs(one) for name, one in _numbers(metrics) if name in ("social_cost", "welfare"))
    return 0.0 if abs(value) <= tolerances.REACH * money else value


def _label(name: str, metrics: Mapping[str, Any]) -> str:
    if name == "regret" and not metrics.get("regret_exact", True):
        return "regret, at least (not every report was tried)"
    return _LABELS.get(name, name)


def _numbers(metrics: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    return (
        (name, value)
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    )


def _status(plan: Plan) -> str:
    words = {
        "optimal": "optimal (proved)",
        "feasible": "feasible, not proved optimal",
        "null": "null outcome: nothing is collected, nothing is paid",
        "infeasible": "infeasible",
        "unknown": "unknown",
    }[plan.status]
    if plan.objective_name is None or plan.objective is None:
        return words
    open_ = plan.gap and plan.status != "optimal"
    bound = f", bound {_figure(plan.bound)}, gap {plan.gap:.2g}" if open_ else ""
    return f"{words}; {plan.objective_name} {_figure(plan.objective)}{bound}"


def _totals(page: Page, plan: Plan, benchmark: Plan | None) -> None:
    shown = [plan] if benchmark is None else [plan, benchmark]
    known = [plan.metrics] if benchmark is None else [plan.metrics, totals(benchmark)]
    rows = [("data asked for", [_figure(one.total) for one in shown])]
    threshold = plan.instance.thresholds[max((plan.level or 0) - 1, 0)]
    rows.append(
        (f"threshold{_of_levels(plan)}", [_figure(float(threshold)), *[""] * (len(shown) - 1)])
    )
    for name, label in _LABELS.items():
        if name in plan.metrics:
            rows.append((label, [_figure(_clear(plan, one.get(name))) for one in known]))
    prices = [one.details.get("price") for one in shown]
    if any(price is not None for price in prices):
        rows.append(("price per data unit", [_figure(price) for price in prices]))
    page.table(("", *(one.mechanism for one in shown)), [(label, *cells) for label, cells in rows])


def _clear(plan: Plan, value: Any) -> Any:
    """0 for a sum that is only the rounding of the money involved."""
    if not isinstance(value, float) or plan.burden is None or plan.payment is None:
        return value
    money = float(plan.instance.cost_of(plan.burden).sum() + plan.payment.sum())
    return 0.0 if abs(value) <= tolerances.REACH * money else value


def _of_levels(plan: Plan) -> str:
    if plan.instance.levels == 1:
        return "" if plan.level else " (not reached)"
    return f" (level {plan.level or 0} of {plan.instance.levels} reached)"


def _withdrawal(page: Page, plan: Plan) -> None:
    for name, report in reports(plan).items():
        label = name
        if name == "sequential":
            label += f" ({report.order if isinstance(report.order, str) else 'given order'})"
        page.line(f"withdrawal, {label}: {_verdict(plan, report)}")
    _pivotal(page, plan)


def _safety(page: Page, plan: Plan) -> None:
    """What one refusal and few mistakes do, where they do something."""
    from mechopt.studies.safety import safety

    crossing = plan.details.get("crossing")
    if crossing is not None and plan.dropout is not None:
        page.line(
            f"if people drop out as assumed, level {plan.level} is reached with probability "
            f"{100 * crossing['low']:.4g} % (asked for: {100 * plan.dropout['confidence']:g} %)"
        )
    found = safety(plan)
    for line in found.lines() if found is not None else []:
        page.line(line)


def _pivotal(page: Page, plan: Plan) -> None:
    assert plan.burden is not None
    decisive = pivotal(plan)
    asked = int((plan.burden > 0).sum())
    names = f": {_names(plan, decisive)}" if decisive.size else ""
    page.line(f"pivotal: {decisive.size:,} of {asked:,} contributors{names}")


def _verdict(plan: Plan, report: WithdrawalReport) -> str:
    if report.stable:
        margin = _figure(_clear(plan, float(report.margin)))
        margin = "" if isinf(report.margin) else f" (margin {margin})"
        return f"everyone stays{margin}"
    outcome = report.outcome
    left = np.flatnonzero(~outcome.stay)
    said = "NOT stable"
    if report.deviations:
        first = report.deviations[:_NAMED]
        gains = ", ".join(
            f"{_clean(plan.instance.ids[gone.user])} gains {_figure(gone.gain)}" for gone in first
        )
        more = len(report.deviations) - len(first)
        said += f"; by leaving {gains}{f' and {more:,} more' if more else ''}"
    leave = f"{left.size:,} leave, " if left.size else ""
    return f"{said}; {leave}{_figure(outcome.total)} data stay, share {_figure(outcome.share)}"


def _names(plan: Plan, users: Sequence[int] | IntArray) -> str:
    named = ", ".join(_clean(plan.instance.ids[user]) for user in users[:_NAMED])
    return named + (", …" if len(users) > _NAMED else "")


def _largest(page: Page, plan: Plan) -> None:
    from mechopt.files.plans import shown

    assert plan.burden is not None
    asked = int((plan.burden > 0).sum())
    if not asked:
        return
    cells = shown(plan, plan.burden)
    top = _top(plan.burden, min(_TOP, asked))
    page.gap()
    page.line(f"largest burdens ({top.size} of {asked:,})")
    rows = [
        (
            _clean(cells["id"][user]),
            *(_figure(cells[name][user]) for name in ("burden", "payment", "cost", "utility")),
            "yes" if cells["stays"][user] else "NO",
        )
        for user in top.tolist()
    ]
    page.table(("id", "burden", "payment", "cost", "utility", "stays"), rows)
    if plan.instance.has_committed:
        page.line("utility counts what the data committed cost, which is borne whatever is decided")


def _top(burden: FloatArray, count: int) -> IntArray:
    """Positions of the largest burdens, largest first, ties by position."""
    candidates = np.flatnonzero(burden >= np.partition(burden, -count)[-count])
    order = np.argsort(-burden[candidates], kind="stable")
    return candidates[order][:count]


def _clean(name: Any) -> str:
    """An id on one line, without control characters, at most 24 characters."""
    text = "".join(mark if mark.isprintable() else "�" for mark in str(name))
    return text if len(text) <= 24 else text[:23] + "…"


def _figure(value: Any) -> str:
    if value is None:
        return "-"
    return f"{float(value):,.6g}" if abs(float(value)) < 1e15 else f"{float(value):.6g}"

"""One plan as a page to send to whoever decides: what it asks, what it costs, how safe it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from math import inf, isfinite
from os import PathLike
from string import Template
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.atomic import replacing
from mechopt.dropouts import crossing
from mechopt.errors import InvalidPlan, NotSupported, TooLarge
from mechopt.solving import posted_beside
from mechopt.studies import charts
from mechopt.studies.charts import number, percent

_PEOPLE = 50  # rows of the table of people
_LEAST = 12  # of the least attached
_REPLIES = 2000  # users up to which it is worked out who would follow
_HAZARDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08)  # drop-out rates of the curve
_CURVE = 5000  # users up to which it is drawn
_REFERENCE = ("2.8 %", 0.0277, (0.1, 1.8))  # NHS England's opt-outs, see mechopt.cases.dropouts


def write_plan_page(plan: Plan, path: str | PathLike[str], **shown: Any) -> None:
    """Write `plan_page(plan)` whole or not at all. Raises InvalidPlan, OutputError."""
    text = plan_page(plan, **shown)
    with replacing(path) as stream:
        stream.write(text)


def plan_page(plan: Plan, *, dropout: Any = None, shock: Any = None) -> str:
    """One self-contained HTML page (no script, nothing from elsewhere).

    :dropout, shock: hazards for the safety section, as in `crossing`; default: those the plan was
        made for, else a published rate. Raises InvalidPlan if the plan has nothing to act on.
    """
    if plan.burden is None or plan.payment is None:
        raise InvalidPlan(f"burden: the plan has none (its status is {plan.status.value!r})")
    if dropout is None and plan.dropout is not None:
        dropout, shock = plan.dropout["hazard"], plan.dropout.get("shock")
    parts = [
        _head(plan),
        _safety(plan, dropout, shock),
        _leaving(plan),
        _distribution(plan),
        _groups(plan),
        _people(plan),
        _assumptions(plan),
    ]
    template = files("mechopt").joinpath("data/plan.html").read_text(encoding="utf-8")
    return Template(template).substitute(title=escape(_title(plan)), body="\n".join(parts))


# -- sections -------------------------------------------------------------------------------------


def _title(plan: Plan) -> str:
    assert plan.burden is not None
    if not plan.level:
        return "Nothing is asked: no threshold is worth reaching"
    asked = int((plan.burden > 0).sum())
    return f"Ask {asked:,} of {plan.instance.n:,} people for {number(plan.total or 0)} data"


def _head(plan: Plan) -> str:
    spent = arrays.exact_sum(plan.payment) if plan.payment is not None else 0.0
    posted = posted_beside(plan) if plan.level else None
    beside = ""
    cards = [
        ("payments", number(spent), _per_person(plan, spent)),
        ("data asked for", number(plan.total or 0), _reserve(plan)),
        ("share of the improvement", percent(plan.share or 0.0), _level(plan)),
    ]
    if posted is not None and posted.payment is not None:
        theirs = arrays.exact_sum(posted.payment)
        saved = f"{percent(max(0.0, 1 - spent / theirs))} less" if theirs > spent else "no more"
        cards.insert(1, ("best posted price pays", number(theirs), f"the plan pays {saved}"))
        reached = "reaches" if posted.level else "does not reach"
        beside = (
            f"<p>The best posted price, {number(posted.details.get('price') or 0)} per unit of "
            f"data to everybody, {reached} a threshold and pays {number(theirs)}.</p>"
        )
    cost = float(plan.instance.cost_of(plan.burden).sum()) if plan.burden is not None else 0.0
    cards.append(("cost borne by people", number(cost), "privacy and effort"))
    tiles = "".join(
        f"<div class=card><span>{escape(name)}</span><b>{escape(value)}</b>"
        f"<span>{escape(remark)}</span></div>"
        for name, value, remark in cards
    )
    proof = {
        "optimal": "proved: no plan is better",
        "feasible": f"not proved best; no plan is better than {number(plan.bound or 0)}",
        "null": "proved: nothing better than asking nothing",
    }.get(plan.status.value, "given, not computed here")
    name = (plan.objective_name or "").replace("-", " ")
    goal = (
        f"Objective: {escape(name)} {number(plan.objective)}, "
        if plan.objective is not None
        else ""
    )
    reason = f"<p>{escape(plan.reason)}</p>" if plan.reason else ""
    return (
        f"<h1>{escape(_title(plan))}</h1>{reason}<div class=cards>{tiles}</div>{beside}"
        f"<p class=note>{goal}{escape(proof)}.</p>"
    )


def _per_person(plan: Plan, spent: float) -> str:
    paid = 0 if plan.payment is None else int((plan.payment > 0).sum())
    return f"to {paid:,} people, {number(spent / paid)} each on average" if paid else "to nobody"


def _reserve(plan: Plan) -> str:
    if not plan.level:
        return ""
    threshold = float(plan.instance.thresholds[plan.level - 1])
    spare = (plan.total or 0.0) - threshold
    more = (
        f", {number(spare)} to spare"
        if spare > tolerances.DATA * threshold
        else ", nothing to spare"
    )
    return f"threshold {number(threshold)}{more}"


def _level(plan: Plan) -> str:
    return f"level {plan.level or 0} of {plan.instance.levels}"


def _safety(plan: Plan, dropout: Any, shock: Any) -> str:
    if not plan.level:
        return ""
    lines = ["<h2>How safe is it?</h2>"]
    own = plan.protocol
    for name in dict.fromkeys((own, "simultaneous", "sequential")):
        try:
            report = plan.withdrawal(name)
        except (TooLarge, NotSupported):
            continue
        how = f"{name}, {report.order}" if name == "sequential" else name
        stable = "everybody stays" if report.stable else "somebody leaves"
        kind = "good" if report.stable else "bad"
        margin = (
            f"; the least attached loses {number(report.margin)} by leaving"
            if (report.stable and isfinite(report.margin))
            else ""
        )
        lines.append(
            f"<p>Withdrawal ({escape(str(how))}): <b class={kind}>{stable}</b>{margin}.</p>"
        )
    label, hazard, storm = _REFERENCE
    if dropout is not None:
        label, hazard, storm = "the assumed hazards", dropout, shock
    found = crossing(plan.instance, plan, hazard, storm)
    doubt = "" if found.exact else f" (certified: {percent(found.low)} to {percent(found.high)})"
    storm_text = "" if storm is None else " and a common shock"
    lines.append(
        f"<p>If people drop out for other reasons ({escape(label)}{storm_text}), training still "
        f"happens with probability <b>{percent(found.probability)}</b>{doubt}: "
        f"{number(found.lost)} ± {number(found.spread)} data are lost, "
        f"{number(_clean(found.slack, plan.total))} can be spared.</p>"
    )
    if plan.instance.n <= _CURVE:
        points = []
        for rate in _HAZARDS:
            at = crossing(plan.instance, plan, rate)
            points.append((100 * rate, at.probability, -inf, inf))
        curve = charts.Series("this plan", 0, tuple(points))
        chart = charts.line_chart(
            [curve], "drop-out rate, %", "probability that training happens", ceiling=1.0
        )
        lines.append(
            "<div class=charts><figure><figcaption>Probability that training happens"
            f"</figcaption>{chart}</figure></div>"
        )
    return "\n".join(lines)


def _leaving(plan: Plan) -> str:
    """Who leaves and in which order, or who would be the first to."""
    if not plan.level:
        return ""
    report = plan.withdrawal()
    instance = plan.instance
    if not report.users.size:
        return ""
    if report.stable:
        title = "Who is closest to leaving"
        rows_at = np.argsort(report.slack, kind="stable")[:_LEAST]
    else:
        title = "Who leaves, and when"
        gone = ~report.outcome.stay[report.users]
        rows_at = np.flatnonzero(gone)[:_PEOPLE]
        if not rows_at.size:
            rows_at = np.argsort(report.slack, kind="stable")[:_LEAST]
    rows = []
    follow = report.path is not None and report.stage.movers.size <= _REPLIES
    for row in rows_at.tolist():
        user = int(report.users[row])
        slack = float(report.slack[row])
        slack = 0.0 if abs(slack) <= float(report.tolerance[row]) else slack
        after = int(report.level_if_leaves[row])
        cells = [
            str(instance.ids[user]),
            number(float(report.stage.x[user])),
            f"loses {number(slack)}" if slack >= 0 else f"gains {number(-slack)}",
            "nothing is trained" if not after else f"level {after} is kept",
        ]
        if follow:
            cells.append(f"{report.threat(user).followers.size:,}")
        rows.append(cells)
    header = ["person", "data asked", "by leaving", "then"] + (["would follow"] if follow else [])
    told = ""
    if not report.stable:
        out = report.outcome
        left = int((~out.stay).sum())
        told = (
            f"<p class=bad>{left:,} people leave; {number(out.total)} data stay, "
            f"{percent(out.share)} of the improvement.</p>"
        )
    return f"<h2>{title}</h2>{told}{_table(header, rows, title)}"


def _distribution(plan: Plan) -> str:
    assert plan.burden is not None
    assert plan.payment is not None
    asked = plan.burden > 0
    if not asked.any():
        return ""
    figures = [
        (
            "Data asked of each person",
            charts.histogram(plan.burden[asked].tolist(), "data asked of each person", "data"),
        )
    ]
    paid = plan.payment > 0
    if paid.any():
        figures.append(
            (
                "Payments to those who are paid",
                charts.histogram(plan.payment[paid].tolist(), "payments", "money", 1),
            )
        )
    cost = plan.instance.cost_of(plan.burden)[asked]
    figures.append(
        (
            "Cost borne by each person",
            charts.histogram(cost.tolist(), "cost borne by each person", "money", 2),
        )
    )
    drawn = "".join(
        f"<figure><figcaption>{name}</figcaption>{chart}</figure>" for name, chart in figures
    )
    return f"<h2>Who carries how much</h2><div class=charts>{drawn}</div>"


def _groups(plan: Plan) -> str:
    """By group, or by how costly giving is if there are no groups."""
    assert plan.burden is not None
    assert plan.payment is not None
    instance = plan.instance
    labels = np.asarray(instance.group).astype(str)
    if (labels != "").any():
        title = "group"
    else:
        title = "cost per unit"
        edges = np.quantile(instance.cost, [0.25, 0.5, 0.75])
        names = np.array(["1 cheapest quarter", "2 second", "3 third", "4 dearest quarter"])
        labels = names[np.searchsorted(edges, instance.cost, side="left")]
    cost = instance.cost_of(plan.burden)
    gain = instance.value * (plan.share or 0.0) + plan.payment - cost
    all_cost = max(float(cost.sum()), tolerances.TINY)
    rows = []
    for name in np.unique(labels).tolist():
        of = labels == name
        rows.append(
            [
                name or "(no group)",
                f"{int(of.sum()):,}",
                percent(float((plan.burden[of] > 0).mean())),
                number(float(plan.burden[of].sum())),
                number(float(plan.payment[of].sum())),
                number(float(cost[of].sum())),
                percent(float(cost[of].sum()) / all_cost),
                number(float(gain[of].mean())),
            ]
        )
    header = [
        title, "people", "asked", "data", "payments", "cost", "share of cost", "mean net benefit",
    ]  # fmt: skip
    return f"<h2>Fairness</h2>{_table(header, rows, 'by group')}"


def _people(plan: Plan) -> str:
    assert plan.burden is not None
    assert plan.payment is not None
    instance = plan.instance
    order = np.argsort(-plan.burden, kind="stable")
    order = order[plan.burden[order] > 0][:_PEOPLE]
    if not order.size:
        return ""
    cost = instance.cost_of(plan.burden)
    gain = instance.value * (plan.share or 0.0) + plan.payment - cost
    stay = plan.withdrawal().outcome.stay
    rows = [
        [
            str(instance.ids[user]),
            number(float(plan.burden[user])),
            number(float(instance.capacity[user])),
            number(float(plan.payment[user])),
            number(float(cost[user])),
            number(_clean(float(gain[user]), float(cost[user]))),
            "yes" if stay[user] else "NO",
        ]
        for user in order.tolist()
    ]
    header = ["person", "data asked", "could give", "payment", "cost", "net benefit", "stays"]
    asked = int((plan.burden > 0).sum())
    more = f"<p class=note>The {order.size} largest of {asked:,}.</p>" if asked > order.size else ""
    return f"<h2>People</h2>{more}{_table(header, rows, 'people')}"


def _losses(dropout: Mapping[str, Any]) -> str:
    """What a plan was made for, in words."""
    words = f"Made for people who drop out: {_spelled(dropout['hazard'], percent)}"
    if dropout.get("shock"):
        chance, factor = dropout["shock"]
        words += (
            f"; with probability {percent(chance)} a common shock multiplies that by "
            f"{_spelled(factor, number)}"
        )
    return f"{words}. Training is to happen with probability {percent(dropout['confidence'])}."


def _spelled(given: Any, say: Callable[[float], str]) -> str:
    """A number, numbers by group, or the range of numbers by person."""
    if isinstance(given, Mapping):
        return ", ".join(f"{label} {say(float(value))}" for label, value in given.items())
    column = np.atleast_1d(np.asarray(given, dtype=float))
    low, high = float(column.min()), float(column.max())
    return say(low) if low == high else f"{say(low)} to {say(high)}"


def _assumptions(plan: Plan) -> str:
    instance = plan.instance
    said = [
        "Costs and values are taken as known (or as reported); nobody is assumed to lie.",
        f"Mechanism {plan.mechanism}; withdrawal protocol {plan.protocol}"
        + (f", order {plan.order}" if plan.protocol == "sequential" else "")
        + f"; who leaves takes {plan.right} back.",
        f"Reversible share of the cost {_range(instance.reversibility)}, removable share of the "
        f"data {_range(instance.removable)}, excluded share of the benefit "
        f"{_range(instance.exclusion)}.",
        f"Thresholds {', '.join(map(number, instance.thresholds.tolist()[:8]))} with shares "
        f"{', '.join(map(number, instance.shares.tolist()[:8]))} of the improvement; the "
        f"provider's value is {number(instance.provider_value)}, the budget "
        f"{number(instance.budget) if isfinite(instance.budget) else 'unlimited'}.",
        *instance.notes,
    ]
    if plan.dropout is not None:
        said.append(_losses(plan.dropout))
    options = {k: v for k, v in plan.options.items() if k not in ("dropout", "shock", "confidence")}
    if options:
        listed = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in options.items())
        said.append(f"Asked for: {listed}.")
    items = "".join(f"<li>{escape(text)}</li>" for text in said)
    return (
        f"<h2>Assumptions</h2><ul>{items}</ul>"
        f"<p class=note>Instance <code>{instance.hash[:16]}</code>, {instance.n:,} people; solved "
        f"by {escape(plan.solver or plan.mechanism)} in {plan.seconds:.2g} s.</p>"
    )


def _range(column: Any) -> str:
    low, high = float(np.min(column)), float(np.max(column))
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def _clean(amount: float, scale: float | None) -> float:
    """0 for what is only the rounding of numbers of this size."""
    return 0.0 if abs(amount) <= tolerances.MONEY * (scale or 0.0) else amount


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], label: str) -> str:
    top = "".join(f"<th scope=col>{escape(name)}</th>" for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class=scroll role=region tabindex=0 aria-label="{escape(label)}"><table><thead><tr>'
        f"{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )

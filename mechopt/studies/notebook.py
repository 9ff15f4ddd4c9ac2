"""What a notebook shows: a small table for each kind of object, and one picture each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from mechopt.answer.mechanism import DirectMechanism
from mechopt.answer.plan import Plan
from mechopt.errors import InvalidPlan
from mechopt.problem.instance import Instance
from mechopt.studies.charts import COLOURS, canvas
from mechopt.withdrawal.check import WithdrawalReport

_ROWS = 10  # of a table; the others are counted
_BLUE, _ORANGE = COLOURS[:2]


# -- tables ---------------------------------------------------------------------------------------


def html(thing: Any) -> str:
    """An instance, answer or withdrawal report as a caption and a table."""
    if isinstance(thing, Instance):
        names = ("cost", "value", "capacity", "reversibility", *thing.said)
        columns = {"id": thing.ids, **{name: getattr(thing, name) for name in names}}
        return table(columns, repr(thing), thing.n)
    if isinstance(thing, Plan) and thing.burden is not None:
        from mechopt.files.plans import shown

        top = np.argsort(-thing.burden, kind="stable")[:_ROWS]
        cells = shown(thing, thing.burden)
        columns = {name: np.asarray(column)[top] for name, column in cells.items()}
        return table(columns, thing.summary(), thing.instance.n)
    if isinstance(thing, WithdrawalReport):
        ids = thing.instance.ids
        leave = list(thing.deviations[:_ROWS])
        columns = {
            "who gains by leaving": [ids[one.user] for one in leave],
            "gain": [one.gain for one in leave],
            "level then": [one.level for one in leave],
        }
        said = str(thing).splitlines()[:6]
        return table(columns if leave else {}, "\n".join(said), len(thing.deviations))
    if isinstance(thing, DirectMechanism) and thing.has_answer:
        interim = thing.interim
        population = thing.population
        columns = {
            "type": [population.type_name(j) for j in range(population.type_costs.size)],
            **{name: getattr(interim, name) for name in ("run", "burden", "payment", "utility")},
        }
        return table(columns, thing.summary(), population.type_costs.size)
    return table({}, str(thing), 0)


def rows_html(rows: Sequence[Mapping[str, Any]], caption: str) -> str:
    """Rows of dicts, as a frontier and a comparison have them; empty columns are left out."""
    names = [
        name for name in (rows[0] if rows else {}) if any(row[name] is not None for row in rows)
    ]
    return table({name: [row[name] for row in rows[:_ROWS]] for name in names}, caption, len(rows))


def table(columns: Mapping[str, Sequence[Any]], caption: str, count: int) -> str:
    """The first rows of columns as an HTML table; `count` is how many there are in all."""
    said = "<br>".join(map(escape, caption.splitlines()))
    if not columns:
        return f"<div>{said}</div>"
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(cell))}</td>" for cell in row) + "</tr>"
        for row in zip(*(list(column)[:_ROWS] for column in columns.values()))
    )
    head = "".join(f"<th>{escape(str(name))}</th>" for name in columns)
    more = f"<div>and {count - _ROWS:,} more</div>" if count > _ROWS else ""
    return (
        f"<div>{said}</div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
    )


def _cell(entry: Any) -> str:
    if isinstance(entry, (bool, np.bool_)):
        return "yes" if entry else "no"
    if isinstance(entry, (int, float, np.number)):
        return f"{float(entry):,.6g}"
    return "" if entry is None else str(entry)[:60]


# -- pictures -------------------------------------------------------------------------------------


def plot(thing: Any, axes: Any = None) -> Any:
    """A plan, a direct mechanism or a withdrawal report, drawn; returns Matplotlib axes."""
    if isinstance(thing, WithdrawalReport):
        return _draw_report(thing, _axes(axes))
    if not thing.has_answer:
        raise InvalidPlan(f"there is nothing to draw: the status is {thing.status}")
    draw: Any = _draw_plan if isinstance(thing, Plan) else _draw_mechanism
    return draw(thing, _axes(axes))


def _axes(axes: Any) -> Any:
    return canvas(6.4, 4.2).subplots() if axes is None else axes


def _draw_plan(plan: Plan, axes: Any) -> Any:
    """Burdens over costs, coloured by value, the pivotal ringed; payments as bars below."""
    from mechopt.withdrawal.metrics import pivotal

    instance, burden, payment = plan.instance, plan.burden, plan.payment
    assert burden is not None
    assert payment is not None
    points = axes.scatter(
        instance.cost, burden, c=instance.value, s=28, cmap="viridis", label="burden", zorder=3
    )
    axes.figure.colorbar(points, ax=axes, label="value (money)")
    decisive = pivotal(plan)
    if len(decisive):
        axes.scatter(
            instance.cost[decisive],
            burden[decisive],
            s=70,
            facecolors="none",
            edgecolors=_ORANGE,
            label="pivotal",
            zorder=4,
        )
    if payment.any():
        right = axes.twinx()
        right.vlines(instance.cost, 0, payment, color=_BLUE, alpha=0.5, label="payment")
        right.set_ylabel("payment (money)")
        right.set_ylim(bottom=0)
    _label(axes, "cost (money per data unit)", "burden (data)", f"{plan.mechanism}: {plan.status}")
    axes.set_ylim(bottom=0)
    return axes


def _draw_mechanism(mechanism: DirectMechanism, axes: Any) -> Any:
    """What a user of each type expects: burden, payment, utility."""
    costs, interim = mechanism.population.type_costs, mechanism.interim
    several = len(mechanism.population.groups) > 1
    for g in range(len(mechanism.population.groups)):
        mine = mechanism.population.group_of_type == g
        said = f", group {g + 1}" if several else ""
        for name, mark in (("burden", "o"), ("payment", "s"), ("utility", "^")):
            axes.plot(costs[mine], getattr(interim, name)[mine], marker=mark, label=name + said)
    _label(axes, "cost of the type (money per data unit)", "expected (data, money)", "direct")
    return axes


def _draw_report(report: WithdrawalReport, axes: Any) -> Any:
    """What everybody who is asked loses by leaving, over the burdens; below 0 they leave."""
    burden = np.asarray(report.plan.burden)[report.users]
    slack = np.asarray(report.slack, dtype=np.float64)
    leaves = slack < 0
    axes.scatter(burden[~leaves], slack[~leaves], s=24, color=_BLUE, label="stays")
    axes.scatter(burden[leaves], slack[leaves], s=24, marker="x", color=_ORANGE, label="leaves")
    axes.axhline(0, color="0.5", linewidth=0.8)
    word = "stable" if report.stable else "NOT stable"
    _label(axes, "burden (data)", "loss by leaving (money)", f"{report.protocol}: {word}")
    return axes


def _label(axes: Any, across: str, up: str, title: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_title(title)
    axes.legend()

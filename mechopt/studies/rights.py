"""What each right costs: one row per right and protocol (docs: rights).

For every right the burdens are designed anew: nobody may leave ("none"), leave with everything
("whole"), take back any amount ("part"), leave and lose the benefit ("excluded"), or refuse and be
replaced ("reassign"). Beside what the design reaches and pays stands who would leave if the right
were granted on the plan that was made for nobody leaving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from mechopt import words
from mechopt.answer.plan import Plan
from mechopt.errors import NotSupported, TooLarge
from mechopt.problem.instance import Instance
from mechopt.solving import solve
from mechopt.studies.charts import COLOURS, canvas, save
from mechopt.studies.results import ResultRows, aligned
from mechopt.withdrawal.check import check_withdrawal

RIGHTS = ("none", "whole", "part", "excluded", "reassign")
COLUMNS = (
    "right",
    "protocol",
    "status",
    "share",
    "expenditure",
    "social_cost",
    "objective",
    "bound",
    "would_leave",
    "note",
)


@dataclass(frozen=True, eq=False, repr=False)
class RightsTable(ResultRows):
    """One row per right (F14–F16) and protocol, each a mapping over `COLUMNS`.

    :share: B(X) reached, in [0, 1]
    :expenditure, social_cost: money
    :would_leave: users who gain by using the right on the plan for nobody leaving (None where there
        is no such plan, or it is too large to decide)
    :note: why there is no answer
    """

    rows: tuple[Mapping[str, Any], ...]
    objective: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return COLUMNS

    def write(self, path: str | PathLike[str]) -> None:
        """Write the rows as .csv or .json. Raises InvalidOption, OutputError."""
        from mechopt.files import write_rows

        write_rows(path, self.rows, self.columns, "a table of rights")

    def __str__(self) -> str:
        titles = ("right", "protocol", "status", "share", "payments", "social cost", "would leave")
        lines = [titles]
        for row in self.rows:
            numbers = (row["share"], row["expenditure"], row["social_cost"], row["would_leave"])
            shown = ["–" if number is None else f"{number:.6g}" for number in numbers]
            lines.append((row["right"], row["protocol"], row["status"], *shown))
        notes = {f"{row['right']}: {row['note']}" for row in self.rows if row["note"]}
        return "\n".join([f"Rights by {self.objective}", *aligned(lines, left=3), *sorted(notes)])

    def plot(self, path: str | PathLike[str] | None = None) -> Any:
        """Payments and social cost by right (a Matplotlib figure), written to `path` if given.

        Raises NotSupported without Matplotlib, OutputError if the file cannot be written.
        """
        figure = canvas(6.4, 3.0)
        from matplotlib.patches import Rectangle

        axes = figure.subplots(1, 2)
        protocols = list(dict.fromkeys(row["protocol"] for row in self.rows))
        for panel, (name, title) in zip(
            axes, (("expenditure", "payments"), ("social_cost", "social cost"))
        ):
            for at, right in enumerate(RIGHTS):
                mine = [row for row in self.rows if row["right"] == right]
                for place, row in enumerate(mine):
                    colour = COLOURS[protocols.index(row["protocol"])]
                    height = np.nan if row[name] is None else row[name]
                    panel.bar(at + 0.36 * (place - (len(mine) - 1) / 2), height, 0.34, color=colour)
            panel.set_title(title)
            panel.set_xlim(-0.6, len(RIGHTS) - 0.4)
            panel.set_xticks(range(len(RIGHTS)), RIGHTS, rotation=30)
        handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS[: len(protocols)]]
        names = [protocol or "nobody may leave" for protocol in protocols]
        figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)
        if path is not None:
            save(figure, path)
        return figure


def rights(
    instance: Instance,
    *,
    objective: str | None = None,
    protocols: Sequence[str] = ("simultaneous", "sequential"),
    exclusion: float = 1.0,
    **options: Any,
) -> RightsTable:
    """What each right costs the provider, in money, and who would use it (F14–F16).

    :objective: default as for `solve`
    :exclusion: η of the right "excluded", for everybody
    :options: of the mechanism `burdens` (target, transfers, order, time_limit, …)

    Rights that do not apply to this instance (re-assignment with several thresholds) have a row
    with a note. Raises what `solve` raises for options that cannot be.
    """
    said = {**options, **({} if objective is None else {"objective": objective})}
    free = solve(instance, "burdens", protocol="none", **said)
    rows = [_row("none", "", free, free, instance)]
    barred = instance.replace(exclusion=exclusion)
    for protocol in protocols:
        words.choose("protocol", protocol, ("simultaneous", "sequential", "coalition"))
        for right, problem, more in (
            ("whole", instance, {}),
            ("part", instance, {"withdrawal": "part"}),
            ("excluded", barred, {}),
        ):
            plan = _attempt(problem, {**said, **more, "protocol": protocol})
            rows.append(_row(right, protocol, plan, free, problem, more))
    plan = _attempt(instance, {**said, "protocol": "reassign"})
    rows.append(_row("reassign", "reassign", plan, free, instance))
    return RightsTable(tuple(rows), str(free.objective_name))


def _attempt(instance: Instance, options: dict[str, Any]) -> Plan | str:
    """The plan, or why there is none to be had."""
    try:
        plan: Plan = solve(instance, "burdens", **options)
    except (NotSupported, TooLarge) as reason:
        return str(reason)
    return plan


def _row(
    right: str,
    protocol: str,
    plan: Plan | str,
    free: Plan,
    instance: Instance,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    row = {**dict.fromkeys(COLUMNS), "right": right, "protocol": protocol, "note": ""}
    if isinstance(plan, str):
        row |= {"status": "not supported", "note": plan}
    else:
        row |= {"status": str(plan.status), "objective": plan.objective, "bound": plan.bound}
        row["note"] = plan.reason
        if plan.has_answer:
            row |= {name: plan.metrics[name] for name in ("expenditure", "social_cost")}
            row["share"] = plan.share
    if free.has_answer and free.level:
        row["would_leave"] = _leavers(instance, free, protocol, more or {})
    return row


def _leavers(instance: Instance, free: Plan, protocol: str, more: Mapping[str, Any]) -> int | None:
    """How many do not keep everything in the outcome of the plan made for nobody leaving."""
    if not protocol:
        return 0
    granted = free.replace(instance=instance)
    try:
        report = check_withdrawal(instance, granted, protocol, free.order, **more)
    except (NotSupported, TooLarge):
        return None
    return int((~report.outcome.stay).sum())


def of_person(plan: Plan, i: int, who: str) -> list[str]:
    """What the right says that the plan was made for, where it is another than leaving whole."""
    if plan.right != "part" and plan.protocol != "reassign":
        return []
    report = plan.withdrawal()
    row = np.flatnonzero(report.users == i)
    if not row.size:
        return []
    at, level = int(row[0]), int(report.level_if_leaves[row[0]])
    better, then = f"{float(report.slack[at]):,.6g}", f"level {level}" if level else "no level"
    what = f"If {who} refuses, the mechanism is run again without {who}"
    if plan.protocol != "reassign":
        amount = f"{float(report.taken[at]):,.6g}"
        what = f"Any part may be taken back; if {who} takes the best one, {amount} data"
    return [f"{what}, {then} is reached: staying as planned is better by {better}."]


def past_recall(instance: Instance, i: int) -> str:
    """What was given for good before the plan, where there is such."""
    if not instance.committed[i]:
        return ""
    sunk = f"{float(instance.cost_of(instance.committed)[i]):,.6g}"
    return (
        f" ({sunk} of the cost was borne before, for {float(instance.committed[i]):,.6g} committed)"
    )

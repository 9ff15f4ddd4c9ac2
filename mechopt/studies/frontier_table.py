"""A frontier as a table: its columns, its file, its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from os import PathLike
from typing import Any

from mechopt import tolerances, words
from mechopt.answer.plan import Plan
from mechopt.studies.charts import canvas, save
from mechopt.studies.results import ResultRows, aligned

OVER = ("budget", "provider_value", "reversibility", "exclusion", "threshold", "confidence")
COLUMNS = (
    "share",
    "expenditure",
    "provider_surplus",
    "social_cost",
    "welfare",
    "objective",
    "bound",
    "gap",
    "status",
    "seconds",
)
LABELS = {
    "threshold": "highest threshold (data)",
    "share": "share of the improvement",
    "expenditure": "payments (money)",
    "provider_surplus": "provider surplus (money)",
    "social_cost": "social cost (money)",
    "welfare": "welfare (money)",
    "budget": "budget (money)",
    "provider_value": "provider value (money)",
    "reversibility": "reversibility (share of the cost recovered)",
    "exclusion": "exclusion (share of the benefit lost by leaving)",
    "confidence": "probability that training happens",
}


@dataclass(frozen=True, eq=False, repr=False)
class Frontier(ResultRows, Sequence[Mapping[str, Any]]):
    """A table: one dict per value of `over`, ascending; `plans` has the plans of the rows (A1–A6).

    Columns in money (expenditure, provider_surplus, social_cost, welfare, objective, bound), shares
    in [0, 1] (share, gap), status and the value of `over` in its own unit.

    `breakpoints`: where the level changes; `straight`: (from, to) of neighbouring rows between
    which payments and cost are known to be straight. `plot(path)` draws it, `write(path)`
    writes .csv or .json.
    """

    over: str
    mechanism: str
    rows: tuple[dict[str, Any], ...]
    plans: tuple[Plan, ...]
    breakpoints: tuple[float, ...] = ()
    straight: frozenset[tuple[float, float]] = frozenset()

    def __repr__(self) -> str:
        return f"Frontier({len(self)} rows over {self.over}, {self.mechanism})"

    def __str__(self) -> str:
        """The rows as a small table."""
        names = (self.over, "share", "expenditure", "provider_surplus", "social_cost", "status")
        cells = [[name.replace("_", " ") for name in names]]
        cells += [[_cell(row[name]) for name in names] for row in self.rows]
        lines = aligned(cells)
        if self.breakpoints:
            jumps = ", ".join(f"{jump:.9g}" for jump in self.breakpoints)
            lines.append(f"the level changes at {self.over.replace('_', ' ')} {jumps}")
        pairs = pairwise(self.rows)
        open_ = {
            (one[self.over], other[self.over])
            for one, other in pairs
            if one["share"] == other["share"]
        }
        if self.straight and open_ <= self.straight:
            lines.append("between neighbouring rows of one share, payments and cost are straight")
        return "\n".join(lines)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return (self.over, *COLUMNS)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def write(self, path: str | PathLike[str]) -> None:
        """Write the rows as .csv or .json. Raises InvalidOption, OutputError."""
        from mechopt.files import write_rows

        write_rows(path, self.rows, self.columns, "a frontier")

    def plot(
        self,
        path: str | PathLike[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """One panel per column over the values; returns the matplotlib Figure, saved if `path`.

        :columns: default share, expenditure, and the provider's surplus (the social cost, where the
            improvement is worth nothing to the provider: his surplus is the payments again)

        Rows without an answer are left out. Lines are drawn only where nothing changes between
        two proved rows (or, over the provider's value, where the same plan stays): what is between
        other rows was not computed. Needs the extra `plot`.
        """
        if columns is None:
            worth = any(plan.instance.provider_value for plan in self.plans)
            columns = ("share", "expenditure", "provider_surplus" if worth else "social_cost")
        for column in columns:
            words.choose("column", column, LABELS)
        figure = canvas(4.2 * len(columns), 3.4)
        panels = figure.subplots(1, len(columns), squeeze=False)[0]
        for panel, column in zip(panels, columns):
            known = [row for row in self.rows if row[column] is not None]
            finite = [row for row in known if isfinite(row[self.over])]
            at, height = [row[self.over] for row in finite], [row[column] for row in finite]
            panel.plot(at, height, marker="o", markersize=3, linestyle="none", color="C0")
            for one, other in pairwise(finite):
                if self._same(one, other, column):
                    ends = (one[self.over], other[self.over])
                    panel.plot(ends, (one[column], other[column]), color="C0", linewidth=1.4)
            for jump in self.breakpoints:
                panel.axvline(jump, color="0.6", linewidth=0.6, linestyle=":")
            low, high = min(height, default=0.0), max(height, default=0.0)
            if high - low <= tolerances.DATA * max(
                abs(low), abs(high)
            ):  # flat: shown as such, with its 0
                panel.set_ylim(min(0.0, 1.2 * low), max(0.0, 1.2 * high) or 1.0)
            panel.set_xlabel(LABELS[self.over])
            panel.set_ylabel(LABELS[column])
        if path is not None:
            save(figure, path)
        return figure

    def _same(self, one: dict[str, Any], other: dict[str, Any], column: str) -> bool:
        """Whether the line between two rows is known."""
        if (one[self.over], other[self.over]) in self.straight:
            return True
        if {one["status"], other["status"]} - {"optimal", "null"} or one["share"] != other["share"]:
            return False
        moved = abs(one["expenditure"] - other["expenditure"])
        moved += abs(one["social_cost"] - other["social_cost"])
        scale = max(1.0, abs(one["expenditure"]), abs(one["social_cost"]))
        return bool(
            moved <= tolerances.DATA * scale and (self.over != "threshold" or column == "share")
        )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{0.0 if abs(value) < tolerances.SHOWN else value:,.6g}"

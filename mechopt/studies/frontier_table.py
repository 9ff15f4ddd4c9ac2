"""A frontier as a table: its columns, its file, its picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any

from mechopt import tolerances, words
from mechopt.answer.plan import Plan
from mechopt.errors import InvalidOption

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


def write_rows(
    path: str | PathLike[str], rows: Sequence[dict[str, Any]], names: Sequence[str], what: str
) -> None:
    """Write rows as .csv or .json, whole or not at all. Raises InvalidOption, OutputError."""
    import csv
    import io
    import json

    from mechopt.atomic import replacing

    place = Path(path)
    if place.suffix not in (".csv", ".json"):
        raise InvalidOption(f"{place.name}: {what} is written as .csv or .json")
    text = json.dumps(list(rows), indent=1) + "\n"
    if place.suffix == ".csv":
        buffer = io.StringIO()
        table = csv.DictWriter(buffer, names, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        text = buffer.getvalue()
    with replacing(place) as stream:
        stream.write(text)


@dataclass(frozen=True, eq=False)
class Frontier(Sequence[dict[str, Any]]):
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
        return f"Frontier({len(self.rows)} rows over {self.over}, {self.mechanism})"

    def __str__(self) -> str:
        """The rows as a small table."""
        names = (self.over, "share", "expenditure", "provider_surplus", "social_cost", "status")
        cells = [[name.replace("_", " ") for name in names]]
        cells += [[_cell(row[name]) for name in names] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in cells]
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

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def to_frame(self, library: str | None = None) -> Any:
        """The rows as a data frame of pandas, polars or pyarrow (default: the first there)."""
        from mechopt.files.frames import to_frame

        names = list(self.rows[0]) if self.rows else [self.over, *COLUMNS]
        return to_frame({name: [row[name] for row in self.rows] for name in names}, library)

    def _repr_html_(self) -> str:
        from mechopt.studies.notebook import rows_html

        return rows_html(self.rows, f"{self.mechanism} over {self.over}: {len(self)} rows")

    def write(self, path: str | PathLike[str]) -> None:
        """Write the rows as .csv or .json. Raises InvalidOption, OutputError."""
        write_rows(path, self.rows, [self.over, *COLUMNS], "a frontier")

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
        from matplotlib.figure import Figure

        if columns is None:
            worth = any(plan.instance.provider_value for plan in self.plans)
            columns = ("share", "expenditure", "provider_surplus" if worth else "social_cost")
        for column in columns:
            words.choose("column", column, LABELS)
        figure = Figure(figsize=(4.2 * len(columns), 3.4), layout="constrained")
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
            figure.savefig(str(path))
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

"""Results as one HTML page: inline charts, no script, no network, light and dark, any width.

Every mean on the page leads to the rows it was computed from, which are on the page too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from math import inf, isfinite, nan
from os import PathLike
from pathlib import Path
from typing import Any

from mechopt import __version__
from mechopt.errors import InvalidFile, NotSupported
from mechopt.studies import charts
from mechopt.studies.charts import Dot, Series, number
from mechopt.studies.claim_runs import read_findings, summarise
from mechopt.studies.claims import CLAIMS, Finding
from mechopt.studies.comparing import parse_mechanism
from mechopt.studies.results import Interval, Table, mean_of, read_table

_POINT = re.compile(
    r"(?P<title>.*) @ (?P<variable>[\w-]+)=(?P<x>-?\d+(?:\.\d*)?(?:e[+-]?\d{1,3})?)$"
)
_DRAWN = ("improvement", "expenditure")  # metrics of the curves
_SHOWN = {
    "improvement": "Improvement reached",
    "expenditure": "Expenditure",
    "leakage": "Leakage",
    "social_cost": "Social cost",
    "provider_surplus": "Provider surplus",
    "welfare": "Welfare",
    "participation": "Participation",
}
_ROW = ("problem", "status", *_SHOWN, "regret", "outcome_share", "seconds", "error")


@dataclass(frozen=True)
class _Line:
    """One mechanism (and protocol) within a group: its means and its rows."""

    name: str
    style: int
    anchor: str
    count: int
    errors: int
    means: dict[str, Interval | None]
    rows: list[list[str]]

    @property
    def cells(self) -> list[str]:
        return [_interval(mean) for mean in self.means.values()]


@dataclass(frozen=True)
class _Section:
    """A group of problems with its lines and charts."""

    title: str
    anchor: str
    note: str = ""
    lines: list[_Line] = field(default_factory=list)
    charts: list[tuple[str, str]] = field(default_factory=list)  # caption, SVG
    legend: list[tuple[str, str]] = field(default_factory=list)  # key, name


def write_report(results: Sequence[str | PathLike[str]], out: str | PathLike[str]) -> list[str]:
    """A page on result files: comparisons (.parquet) and findings on claims (.jsonl, .jsonl.gz).

    Returns what is not as it should be, one sentence each, as it is on the page: files without
    rows, comparisons that were interrupted. Raises InvalidFile if a file is neither or of another
    version; OutputError.
    """
    from mechopt.files import replacing

    tables: dict[str, Table] = {}
    findings: dict[str, list[Finding]] = {}
    for path in map(Path, results):
        if path.name.endswith((".jsonl", ".jsonl.gz")):
            findings[path.name] = read_findings(path)
        elif path.suffix == ".parquet":
            tables[path.name] = read_table(path)
        else:
            raise InvalidFile(f"{path}: results are comparisons (.parquet) or findings (.jsonl)")
    unfinished = [
        f"{path}: the comparison was interrupted; its rows so far are shown. Go on with --resume"
        for path in map(Path, results)
        if path.suffix == ".parquet" and not path.exists()
    ]
    empty = [f"{name}: there are no rows" for name, rows in (tables | findings).items() if not rows]
    page = report_html(tables, findings, [*unfinished, *empty])
    with replacing(out) as stream:
        stream.write(page)
    return [*unfinished, *empty]


def report_html(
    tables: Mapping[str, Table],
    findings: Mapping[str, Sequence[Finding]],
    warnings: Sequence[str] = (),
) -> str:
    """The page as text; names of files map to what they hold. `warnings` stand at the top."""
    try:
        from jinja2 import Environment
    except ImportError:
        raise NotSupported('a report needs jinja2: pip install "mechopt[compare]"') from None
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    source = files("mechopt").joinpath("data/report.html").read_text(encoding="utf-8")
    rows = sum(map(len, tables.values())) + sum(map(len, findings.values()))
    sections, pictures = [], []
    for name, table in tables.items():
        known, curves = _split(table)
        sections += [_group(name, title, found) for title, found in known.items()]
        pictures += [_picture(name, title, found) for title, found in curves.items()]
    return environment.from_string(source).render(
        version=__version__,
        files=[*tables, *findings],
        rows=rows,
        shown=list(_SHOWN.values()),
        row_names=[column.replace("_", " ") for column in _ROW],
        sections=sections,
        pictures=pictures,
        claims=[_claim(name, found) for found in findings.values() for name in _told(found)],
        errors=_errors(tables, findings),
        warnings=warnings,
    )


# -- comparisons ----------------------------------------------------------------------------------


def _split(
    table: Table,
) -> tuple[dict[str, list[Any]], dict[str, dict[float, list[Any]]]]:
    """Rows by group, and rows of curves by title and x."""
    known: dict[str, list[Any]] = {}
    curves: dict[str, dict[float, list[Any]]] = {}
    for row in table:
        point = _POINT.match(row["group"])
        if point is None:
            known.setdefault(row["group"], []).append(row)
        else:
            title = f"{point['title']}|{point['variable']}"
            curves.setdefault(title, {}).setdefault(float(point["x"]), []).append(row)
    return known, curves


def _group(file: str, title: str, rows: list[Any]) -> _Section:
    names = short_names([row["mechanism"] for row in rows])
    styles = styles_of(names)
    protocols = {row["protocol"] for row in rows}
    anchor = _anchor(file, title)
    lines: list[_Line] = []
    for mechanism, name in names.items():
        own = [row for row in rows if row["mechanism"] == mechanism]
        for protocol, members in _by_outcome(own).items():
            label = name + (f", {protocol}" if len(protocols) > 1 and protocol else "")
            lines.append(_line(label, styles[mechanism], f"{anchor}-{len(lines)}", members))
    drawn = []
    for metric in ("improvement", "expenditure", "leakage", "social_cost"):
        dots = [
            Dot(line.name, line.style, mean.mean, mean.low, mean.high)
            for line in lines
            if (mean := line.means[metric]) is not None
        ]
        if any(dot.mean for dot in dots):
            drawn.append((_SHOWN[metric], charts.dot_chart(dots, _SHOWN[metric])))
    problems = len({row["problem"] for row in rows})
    sizes = sorted({row["n"] for row in rows})
    users = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    note = f"{problems} problem{'s' * (problems > 1)}, {users} users; from {file}"
    if len(protocols) > 1:
        note += f"; protocols {', '.join(sorted(protocols))}, named where they differ"
    return _Section(title, anchor, note, lines, drawn)


def _by_outcome(rows: list[Any]) -> dict[str, list[Any]]:
    """Rows by protocol; those of one, under no name, if all protocols give the same."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row["protocol"], []).append(row)
    told = [[[row[metric] for metric in _SHOWN] for row in members] for members in found.values()]
    if len(found) > 1 and all(one == told[0] for one in told):
        return {"": next(iter(found.values()))}
    return found


@dataclass(frozen=True)
class Curve:
    """One metric against one variable, a line per mechanism."""

    title: str
    variable: str
    metric: str
    series: tuple[Series, ...]


def curves_of(table: Table) -> list[Curve]:
    """The curves in a table: groups named "title @ variable=x", one curve per title and metric."""
    found = [_drawn(title, points) for title, points in _split(table)[1].items()]
    return [curve for curves in found for curve in curves]


def groups_of(table: Table) -> dict[str, list[tuple[str, int, Mapping[str, Interval | None]]]]:
    """Per group of problems that is no point of a curve: (label, style, means) of each line."""
    return {
        title: [(line.name, line.style, line.means) for line in _group("", title, rows).lines]
        for title, rows in _split(table)[0].items()
    }


def _drawn(title: str, points: dict[float, list[Any]]) -> list[Curve]:
    words, _, variable = title.partition("|")
    names = short_names([row["mechanism"] for rows in points.values() for row in rows])
    styles = styles_of(names)
    curves = []
    for metric in _DRAWN:
        series = []
        for mechanism, name in names.items():
            at = []
            for x in sorted(points):
                values = [row[metric] for row in points[x] if row["mechanism"] == mechanism]
                mean = mean_of(metric, values)
                if mean is not None:
                    one = mean.count == 1  # an exact expectation: no draws, no interval
                    low, high = (nan, nan) if one else (mean.low, mean.high)
                    at.append((x, mean.mean, low, high))
            series.append(Series(name, styles[mechanism], tuple(at)))
        told = tuple(line for line in series if line.points)
        if any(y for line in told for _, y, *_ in line.points):
            curves.append(Curve(words, variable, metric, told))
    return curves


def _chart(curve: Curve) -> str:
    ceiling = 1.0 if curve.metric == "improvement" else inf
    return charts.line_chart(curve.series, curve.variable, _SHOWN[curve.metric], ceiling=ceiling)


def _picture(file: str, title: str, points: dict[float, list[Any]]) -> _Section:
    words, _, variable = title.partition("|")
    names = short_names([row["mechanism"] for rows in points.values() for row in rows])
    drawn = [(_SHOWN[curve.metric], _chart(curve)) for curve in _drawn(title, points)]
    styles = styles_of(names)
    legend = [(charts.key(styles[mechanism]), name) for mechanism, name in names.items()]
    anchor = _anchor(file, title)
    lines = []
    for place, (x, rows) in enumerate(sorted(points.items())):
        for step, (mechanism, name) in enumerate(names.items()):
            members = [row for row in rows if row["mechanism"] == mechanism]
            if members:
                label = f"{variable} = {x:g}: {name}"
                lines.append(_line(label, styles[mechanism], f"{anchor}-{place}-{step}", members))
    return _Section(words, anchor, f"from {file}", lines, drawn, legend)


def _line(label: str, style: int, anchor: str, rows: list[Any]) -> _Line:
    return _Line(
        label,
        style,
        anchor,
        len(rows),
        sum(row["status"] == "error" for row in rows),
        {metric: mean_of(metric, [row[metric] for row in rows]) for metric in _SHOWN},
        [[_cell(row[column]) for column in _ROW] for row in rows],
    )


def short_names(mechanisms: Sequence[str]) -> dict[str, str]:
    """Mechanism as asked for -> its name with only the options that not all of them share."""
    asked = list(dict.fromkeys(mechanisms))
    parsed = {text: parse_mechanism(text) for text in asked}
    common = set.intersection(*(set(_pairs(options)) for _, options in parsed.values()))
    names = {}
    for text, (name, options) in parsed.items():
        own = [f"{key} {value}" for key, value in _pairs(options) if (key, value) not in common]
        names[text] = name + (f" ({', '.join(own)})" if own else "")
    return names


def styles_of(mechanisms: Iterable[str]) -> dict[str, int]:
    """A style of its own for each, the mechanism's usual one where it is free."""
    usual = (
        "burdens",
        "posted-price",
        "direct",
        "subsidy",
        "posted-contract",
        "complete-information",
    )
    spare = (3, 4, 1, 0, 2, 5)
    styles: dict[str, int] = {}
    for text in mechanisms:
        name = text.partition(":")[0]
        wanted = usual.index(name) if name in usual else spare[0]
        free = [k for k in (wanted, *spare) if k not in styles.values()]
        styles[text] = free[0] if free else wanted
    return styles


def _pairs(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (key, value if isinstance(value, str) else json.dumps(value))
        for key, value in options.items()
    ]


# -- claims ---------------------------------------------------------------------------------------


def _told(findings: Sequence[Finding]) -> list[str]:
    present = {finding.claim for finding in findings}
    return [name for name in CLAIMS if name in present]


def _claim(name: str, findings: Sequence[Finding]) -> dict[str, Any]:
    claim = CLAIMS[name]
    own = [finding for finding in findings if finding.claim == name]
    everywhere = summarise([replace(f, group="", levels=0) for f in own])[0]
    kind = "witness" if claim.says == "can" else "counterexample"
    return {
        "anchor": _anchor("claim", name),
        "name": name,
        "statement": claim.statement,
        "says": claim.says,
        "amount": claim.amount,
        "kind": kind,
        "whole": _claim_row(everywhere),
        "groups": [_claim_row(row) for row in summarise(own)],
        "rows": [
            [
                finding.problem,
                {True: "holds", False: "does not", None: "says nothing"}[finding.holds],
                _cell(finding.amount),
                "yes" if finding.proved else "no",
                finding.file,
                finding.error,
            ]
            for finding in own
        ],
    }


def _claim_row(row: Mapping[str, Any]) -> dict[str, Any]:
    share, amount = row["share"], row["amount"]
    return {
        **row,
        "bar": charts.share_bar(*share) if share else "",
        "percent": charts.percent(share[0]) if share else "–",
        "between": f"{charts.percent(share[1])} to {charts.percent(share[2])}" if share else "",
        "mean": number(amount[0]) if amount else "–",
        "most": number(row["largest"]) if row["largest"] is not None else "–",
    }


# -- cells ----------------------------------------------------------------------------------------


def _interval(found: Interval | None) -> str:
    if found is None:
        return "–"
    if not isfinite(found.low) or found.low == found.high:
        return number(found.mean)
    return f"{number(found.mean)} ({number(found.low)} to {number(found.high)})"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return number(value) if isinstance(value, float) and isfinite(value) else str(value)


def _anchor(file: str, title: str) -> str:
    return slug(f"{file} {title}")


def slug(text: str) -> str:
    """The text in lower case with a dash for whatever is no letter or digit."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _errors(
    tables: Mapping[str, Table], findings: Mapping[str, Sequence[Finding]]
) -> list[tuple[str, str]]:
    failed = [
        (f"{name}: {row['problem']}, {row['mechanism']}", row["error"])
        for name, table in tables.items()
        for row in table
        if row["status"] == "error"
    ]
    return failed + [
        (f"{name}: {finding.problem}, {finding.claim}", finding.error)
        for name, found in findings.items()
        for finding in found
        if finding.error
    ]

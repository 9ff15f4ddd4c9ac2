"""`mechopt compare`: which mechanism should I use on these problems?"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mechopt.commands import options as cli
from mechopt.commands.arguments import Argument, Option
from mechopt.commands.output import Page, check_out, columns_of_terminal, note

if TYPE_CHECKING:
    from mechopt.studies.results import Interval, Table

_SHOWN = ("improvement", "expenditure", "leakage", "social_cost", "provider_surplus")


@dataclass(frozen=True)
class Running:
    """How the rows are worked out; the names are those of `mechopt.compare`."""

    jobs: Annotated[int, Option(help="Processes on this machine.")] = 1
    scheduler: Annotated[
        str | None, Option(metavar="ADDRESS", help="Run on this Dask scheduler's workers.")
    ] = None
    seed: cli.Seed = None
    time_limit: cli.TimeLimit = None
    out: cli.Out = None
    resume: Annotated[
        bool, Option("--resume", help="Go on with what an interrupted run left in --out.")
    ] = False


def compare(
    terms: cli.FileTerms,
    files: Annotated[
        list[Path] | None, Argument(metavar="[FILES]...", help="Instances or populations.")
    ] = None,
    family: Annotated[
        list[str] | None,
        Option(
            "--family",
            metavar="FAMILY[:OPTIONS]",
            help='Generated problems, such as "lognormal:n=100,tightness=0.8"; repeat.',
        ),
    ] = None,
    draws: Annotated[int, Option(min=1, help="Draws of each family.")] = 10,
    mechanism: Annotated[
        list[str] | None,
        Option(metavar="NAME[:OPTIONS]", help='Such as "burdens:transfers=false"; repeat.'),
    ] = None,
    protocol: Annotated[list[str] | None, Option(help="Repeat for several.")] = None,
    objective: cli.Objective = None,
    *,
    running: Running,
    shown: cli.Shown,
) -> None:
    """Run mechanisms on problems under withdrawal protocols and print their metrics.

    Results go to --out (.parquet) as they come. Means are over the draws of a family, with 95 %
    confidence intervals. Exit status 0 even if some rows failed: they are counted and recorded.
    """
    from mechopt.errors import InvalidOption
    from mechopt.studies.comparing import compare

    out = running.out
    check_out(out, *(files or []))
    problems = _read(files or [], terms, quiet=shown.quiet)
    problems |= _generated(family or [], draws, running.seed or 0)
    if not problems:
        raise InvalidOption("nothing to compare: name files, or families with --family")
    known = all(kind == "instance" for kind in _kinds(problems))
    usual = ["posted-price", "subsidy", "burdens"] if known else ["posted-price", "direct"]
    try:
        table = compare(
            problems,
            mechanism or usual,
            protocol or ["simultaneous", "sequential"],
            progress=None if shown.quiet else _progress,
            **cli.given(asdict(running) | {"objective": objective, "seed": None}),
        )
    except KeyboardInterrupt:
        if out is not None:
            note("mechopt: finished rows are kept; --resume goes on with them", quiet=False)
        raise
    if out is not None:
        shown.wrote(out, f" ({len(table)} rows)")
    document = {"schema_version": 1, "kind": "comparison", "rows": table.to_dicts()}
    shown.say(document, lambda: _text(table))


def _read(files: list[Path], terms: cli.FileTerms, *, quiet: bool) -> dict[str, Any]:
    """The problems in files, by name; the terms complete those that are tables."""
    from mechopt.errors import InvalidOption

    problems: dict[str, Any] = {}
    for file in files:
        if str(file) in problems:
            raise InvalidOption(f"{file}: is given twice")
        said = terms if _takes(file) else cli.FileTerms(allow_outside=terms.allow_outside)
        problems[str(file)] = said.problem(file, quiet=quiet)
    return problems


def _takes(file: Path) -> bool:
    """Whether thresholds of the command line complete this file: it is a table."""
    from mechopt.files import documents, tables

    return documents.suffix(file) in (*tables.SUFFIXES, "")


def _generated(families: list[str], draws: int, seed: int) -> dict[str, Any]:
    """The draws of generated families, by name."""
    from mechopt.cases.generators import generate
    from mechopt.studies.comparing import parse_options

    problems: dict[str, Any] = {}
    for text in families:
        name, _, rest = text.partition(":")
        options = parse_options(rest, text)
        size = options.pop("n", 100)
        for draw in range(seed, seed + draws):
            problems[f"{text}/{draw}"] = generate(name, size, seed=draw, **options)
    return problems


def _kinds(problems: dict[str, Any]) -> list[str]:
    from mechopt.solving import problem_kind

    return [problem_kind(problem) for problem in problems.values()]


def _progress(done: int, whole: int, left: float) -> None:
    if sys.stderr is None:
        return
    ahead = "" if left != left else f", about {_duration(left)} left"
    end = "\n" if done == whole else ""
    if sys.stderr.isatty():
        line = f"\r\x1b[Kmechopt: {done} of {whole} rows{ahead}"
        print(line, end=end, file=sys.stderr, flush=True)
    elif done == whole or done % max(1, whole // 20) == 0:
        print(f"mechopt: {done} of {whole} rows{ahead}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _text(table: Table) -> str:
    """One table per family of problems: mechanism and protocol against metrics."""
    page = Page(columns_of_terminal())
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in table.summary(_SHOWN):
        groups.setdefault(row["group"], []).append(row)
    for title, rows in groups.items():
        if page.lines:
            page.gap()
        page.line(title)
        labels = [(row["mechanism"], row["protocol"], _count(row)) for row in rows]
        _blocks(page, labels, {name: [_mean(row[name]) for row in rows] for name in _SHOWN})
    return page.text()


def _blocks(page: Page, labels: list[tuple[str, str, str]], columns: dict[str, list[str]]) -> None:
    """The columns beside the labels, in as many tables as the width takes."""
    heads = ("mechanism", "protocol", "rows")
    taken = sum(max(map(len, column)) + 2 for column in zip(heads, *labels))
    blocks: list[list[str]] = []
    used = page.width
    for name, cells in columns.items():
        wide = max(map(len, (name, *cells))) + 2
        if not blocks or used + wide > page.width + 2:
            blocks.append([])
            used = taken
        blocks[-1].append(name)
        used += wide
    for place, names in enumerate(blocks):
        if place:
            page.gap()
        cells_of = zip(*(columns[name] for name in names))
        rows = [(*label, *cells) for label, cells in zip(labels, cells_of)]
        page.table((*heads, *(name.replace("_", " ") for name in names)), rows, left=2)


def _count(row: dict[str, Any]) -> str:
    return f"{row['count']}" + (f" ({row['errors']} failed)" if row["errors"] else "")


def _mean(found: Interval | None) -> str:
    """Mean ± half the width of its interval."""
    if found is None:
        return "-"
    if found.count < 2 or found.low == found.high:
        return f"{found.mean:.6g}"
    return f"{found.mean:.4g} ± {(found.high - found.low) / 2:.2g}"

"""`mechopt report`: results as one page, and as figures for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from mechopt.commands import options as cli
from mechopt.commands.arguments import Argument, Option
from mechopt.commands.output import check_out, note


def report(
    results: Annotated[
        list[Path],
        Argument(
            metavar="PLAN | RESULTS...",
            help="A plan (.json, .csv), or comparisons (.parquet) and findings (.jsonl.gz).",
        ),
    ],
    out: Annotated[Path, Option("--out", "-o", metavar="FILE", help="The page to write.")] = Path(
        "report.html"
    ),
    figures: Annotated[
        Path | None,
        Option(metavar="FOLDER", help="Also write each picture as PNG, PDF and SVG here."),
    ] = None,
    instance: Annotated[
        Path | None,
        Option("--instance", metavar="FILE", help="Of a plan that has no instance."),
    ] = None,
    dropout: cli.Dropout = None,
    shock: cli.Shock = None,
    quiet: cli.Quiet = False,
) -> None:
    """Write a plan, or results, as one self-contained HTML page (light, dark, phone, print).

    Exit status: 0, 4 if a result is empty or was interrupted (the page says so), 2 bad input.
    """
    check_out(out, *results)
    if len(results) == 1 and _is_plan(results[0], instance):
        _plan_page(results[0], instance, out, *cli.hazards(dropout, shock))
        note(f"mechopt: wrote {out}", quiet=quiet)
        return
    from mechopt.studies.report_html import write_report

    if figures is not None:
        _need_matplotlib()
    unfinished = write_report(results, out)
    note(f"mechopt: wrote {out}", quiet=quiet)
    if figures is not None:
        from mechopt.studies.figures import write_figures
        from mechopt.studies.results import read_table

        for path in results:
            written = write_figures(read_table(path), figures) if path.suffix == ".parquet" else []
            for name in written:
                note(f"mechopt: wrote {name}", quiet=quiet)
            if not written:
                note(f"mechopt: {path} has nothing to draw", quiet=quiet)
    for sentence in unfinished:
        note(f"mechopt: {sentence}", quiet=False)
    if unfinished:
        raise SystemExit(4)


def _need_matplotlib() -> None:
    """NotSupported before any work if --figures cannot be drawn."""
    from importlib.util import find_spec

    from mechopt.errors import NotSupported

    if find_spec("matplotlib") is None:
        raise NotSupported('--figures needs Matplotlib: pip install "mechopt[plot]"')


def _is_plan(path: Path, instance: Path | None) -> bool:
    return path.suffix.lower() in (".json", ".csv") or instance is not None


def _plan_page(path: Path, instance: Path | None, out: Path, dropout: Any, shock: Any) -> None:
    import mechopt as mo
    from mechopt.errors import InvalidFile
    from mechopt.studies.plan_page import write_plan_page

    plan = cli.PlanTerms(whose=instance).answer(path)
    if not isinstance(plan, mo.Plan):
        raise InvalidFile(f"{path}: is {cli.kind_of(plan)}; expected a plan or results")
    write_plan_page(plan, out, dropout=dropout, shock=shock)

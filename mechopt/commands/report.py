"""`mechopt report`: results as one page, and as figures for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mechopt.commands import options as cli
from mechopt.commands.output import check_out, note


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS...", help="Comparisons (.parquet) and findings on claims (.jsonl.gz)."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The page to write.")
    ] = Path("report.html"),
    figures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write each picture as PNG, PDF and SVG here."),
    ] = None,
    quiet: cli.Quiet = False,
) -> None:
    """Write results as one self-contained HTML page (charts inline, light and dark)."""
    from mechopt.studies.report_html import write_report

    check_out(out, *results)
    write_report(results, out)
    note(f"mechopt: wrote {out}", quiet=quiet)
    if figures is not None:
        from mechopt.studies.figures import write_figures
        from mechopt.studies.results import read_table

        for path in results:
            if path.suffix == ".parquet":
                for name in write_figures(read_table(path), figures):
                    note(f"mechopt: wrote {name}", quiet=quiet)

"""`mechopt models`: the catalogue of formulations, and one sheet with its sample solved."""

from __future__ import annotations

import textwrap
from typing import Annotated, Any

import typer

from mechopt.commands import options as cli
from mechopt.commands.output import Page, emit


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Print this sheet and solve its sample.")
    ] = None,
    format: cli.FormatOption = cli.Format.TABLE,
) -> None:
    """List the provider's problems as models; with NAME, print its sheet and solve its sample."""
    from mechopt.files.documents import dumps
    from mechopt.studies import catalogue

    if name is None:
        entries = [catalogue.entry(known) for known in catalogue.names()]
        if format is cli.Format.JSON:
            emit(dumps([_about(entry) for entry in entries]))
        else:
            emit(_listing(entries))
        return
    entry = catalogue.entry(name)
    solved = _solved(entry)
    if format is cli.Format.JSON:
        emit(dumps({**_about(entry), "sheet": entry.sheet, "solved": solved}))
        return
    emit(entry.sheet)
    emit(
        f"\nSample solved now: {solved['status']}, {solved['objective']:.10g} "
        f"({solved['solver']}, {solved['seconds']:.2f} s); certified: {entry.value}\n"
        f"Files: {entry.folder}\n"
    )


def _about(entry: Any) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "question": entry.question,
        "options": entry.optimum["options"],
        "value": str(entry.value),
        "folder": str(entry.folder),
    }


def _listing(entries: list[Any]) -> str:
    page = Page()
    for entry in entries:
        page.line(f"{entry.name} (sample: {entry.value})")
        page.lines += textwrap.wrap(
            entry.question, page.width, initial_indent="    ", subsequent_indent="    "
        )
    page.gap()
    page.line("mechopt models NAME prints a sheet and solves its sample.")
    return page.text()


def _solved(entry: Any) -> dict[str, Any]:
    from mechopt.solver import highs

    solution = highs.solve_model(entry.model(), objective_scale=1e4)
    return {
        "status": solution.status,
        "objective": solution.objective,
        "solver": highs.version(),
        "seconds": solution.seconds,
    }

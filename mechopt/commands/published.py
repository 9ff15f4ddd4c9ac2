"""`mechopt models` and `mechopt schema`: the formulations, and the files, that are published."""

from __future__ import annotations

import textwrap
from typing import Annotated, Any

from mechopt.commands import options as cli
from mechopt.commands.arguments import Argument
from mechopt.commands.output import Page, check_out, emit


def models(
    name: Annotated[
        str | None, Argument(metavar="[NAME]", help="Print this sheet and solve its sample.")
    ] = None,
    *,
    shown: cli.Shown,
) -> None:
    """List the provider's problems as models; with NAME, print its sheet and solve its sample."""
    from mechopt.studies import catalogue

    if name is None:
        entries = [catalogue.entry(known) for known in catalogue.names()]
        shown.say([_about(entry) for entry in entries], lambda: _listing(entries))
        return
    entry = catalogue.entry(name)
    solved = _solved(entry)
    page = (
        f"{entry.sheet}\nSample solved now: {solved['status']}, {solved['objective']:.10g} "
        f"({solved['solver']}, {solved['seconds']:.2f} s); certified: {entry.value}\n"
        f"Files: {entry.folder}\n"
    )
    shown.say({**_about(entry), "sheet": entry.sheet, "solved": solved}, lambda: page)


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


def schema(
    kind: Annotated[
        str | None, Argument(metavar="[KIND]", help="instance, plan, … Default: all.")
    ] = None,
    out: cli.Out = None,
) -> None:
    """Print the JSON Schema of a kind of file, or an object with all of them, one on each line."""
    import json

    from mechopt.files import replacing
    from mechopt.files.documents import dumps
    from mechopt.files.schema import MODELS
    from mechopt.words import choose

    check_out(out)
    schemas = {
        name: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **model.model_json_schema(),
        }
        for name, model in MODELS.items()
    }
    if kind is None:  # one line per kind
        text = dumps(schemas)
    else:
        text = json.dumps(schemas[choose("kind", kind, schemas)], indent=1, ensure_ascii=False)
        text += "\n"
    if out is None:
        emit(text)
        return
    with replacing(out) as stream:
        stream.write(text)

"""`mechopt schema`: the JSON Schemas of the files."""

from __future__ import annotations

from typing import Annotated

import typer

from mechopt.commands.options import Out
from mechopt.commands.output import check_out, emit


def schema(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="instance, plan, … Default: all.")
    ] = None,
    out: Out = None,
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

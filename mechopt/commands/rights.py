"""`mechopt rights`: what each right of the users costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mechopt.commands import options as cli
from mechopt.commands.arguments import Option
from mechopt.commands.output import check_out, emit, note, working


def rights(
    file: cli.ProblemFile,
    terms: cli.FileTerms,
    objective: cli.Objective = None,
    target: cli.Target = None,
    no_transfers: cli.NoTransfers = False,
    exclusion: Annotated[
        float, Option(help="Share of the benefit that the right 'excluded' takes.")
    ] = 1.0,
    time_limit: cli.TimeLimit = None,
    plot: Annotated[Path | None, Option(help="Picture, .png, .pdf or .svg.")] = None,
    out: cli.Out = None,
    format: cli.FormatOption = cli.Format.TABLE,
    quiet: cli.Quiet = False,
) -> None:
    """One row per right (none, whole, part, excluded, reassign) and protocol.

    Columns: share reached, payments, social cost, and how many users would use the right on the
    plan made for nobody leaving.
    """
    check_out(out)
    check_out(plot)
    problem = terms.instance(file, "rights needs an instance (known costs)")
    said = {
        "objective": objective,
        "target": cli.numeric("target", target),
        "transfers": False if no_transfers else None,
        "time_limit": time_limit,
    }
    import mechopt as mo

    with working("solving under every right", quiet=quiet):
        table = mo.rights(problem, exclusion=exclusion, **cli.given(said))
    from mechopt.files import write_document
    from mechopt.files.documents import dumps

    document = {"objective": table.objective, "rows": table.to_dicts()}
    if out is not None and out.suffix == ".csv":
        table.write(out)
        note(f"mechopt: wrote {out}", quiet=quiet)
    elif out is not None:
        write_document(document, out)
        note(f"mechopt: wrote {out}", quiet=quiet)
    if plot is not None:
        table.plot(plot)
        note(f"mechopt: wrote {plot}", quiet=quiet)
    emit(dumps(document) if format is cli.Format.JSON else f"{table}\n")

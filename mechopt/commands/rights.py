"""`mechopt rights`: what each right of the users costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mechopt.commands import options as cli
from mechopt.commands.arguments import Option
from mechopt.commands.output import check_out, working


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
    *,
    shown: cli.Shown,
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

    with working("solving under every right", quiet=shown.quiet):
        table = mo.rights(problem, exclusion=exclusion, **cli.given(said))
    from mechopt.files import write_document

    document = {"objective": table.objective, "rows": table.to_dicts()}
    if out is not None:
        table.write(out) if out.suffix == ".csv" else write_document(document, out)
        shown.wrote(out)
    if plot is not None:
        table.plot(plot)
        shown.wrote(plot)
    shown.say(document, lambda: f"{table}\n")

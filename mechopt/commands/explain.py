"""`mechopt explain`: why a plan, or one person's part in it, is as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mechopt.commands import options as cli
from mechopt.commands.output import emit


def explain(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan: .json, .csv, .parquet.")],
    who: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Whose part; default the plan as a whole.")
    ] = None,
    instance: Annotated[
        Path | None,
        typer.Option("--instance", metavar="FILE", help="Its instance, if the plan has none."),
    ] = None,
    threshold: cli.Thresholds = None,
    share: cli.Shares = None,
    provider_value: cli.ProviderValue = None,
    budget: cli.Budget = None,
    allow_outside: cli.AllowOutside = False,
    format: cli.FormatOption = cli.Format.TABLE,
) -> None:
    """Say in sentences why somebody is asked and paid this, or what binds the plan as a whole."""
    found = read_plan(plan, instance, threshold, share, provider_value, budget, allow_outside)
    text = found.explain(who)
    if format is cli.Format.JSON:
        from mechopt.files.documents import dumps

        emit(dumps({"id": who, "sentences": text.splitlines()}))
    else:
        emit(text)


def read_plan(
    path: Path,
    instance: Path | None,
    threshold: list[str] | None,
    share: list[str] | None,
    provider_value: str | None,
    budget: str | None,
    allow_outside: bool,
) -> Any:
    """The plan at `path`, of the instance at `instance` if that is said; InvalidFile if none."""
    import mechopt as mo
    from mechopt.errors import InvalidFile

    given = None
    if instance is not None:
        given = cli.read_problem(instance, threshold, share, provider_value, budget, allow_outside)
    found = mo.read(path, instance=given, allow_outside=allow_outside)
    if not isinstance(found, mo.Plan):
        raise InvalidFile(f"{path}: is {cli.kind_of(found)}; expected a plan")
    return found

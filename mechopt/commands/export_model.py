"""`mechopt export-model`: a provider's problem as an LP or MPS file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from mechopt.commands import options as cli
from mechopt.commands.arguments import Option
from mechopt.commands.output import check_out, note


def export_model(
    file: cli.ProblemFile,
    out: Annotated[Path, Option("--out", metavar="FILE", help="A .lp or .mps file.")],
    aim: cli.Aim,
    terms: cli.FileTerms,
    direct: cli.Direct,
    plan: Annotated[
        Path | None,
        Option("--plan", metavar="FILE", help="The plan whose withdrawal stage is meant."),
    ] = None,
    level: Annotated[
        int | None, Option("--level", metavar="K", help="Equilibria at this level.")
    ] = None,
    goal: Annotated[
        str | None,
        Option("--goal", help="Equilibria: best, worst, most-data, least-data."),
    ] = None,
    *,
    shown: cli.Shown,
) -> None:
    """Write the Pyomo formulation as .lp or .mps, with a map from its names to ours beside it.

    --mechanism also takes every model of `mechopt models`; those of a withdrawal stage need --plan.
    """
    from mechopt.files import read
    from mechopt.solving import default_mechanism
    from mechopt.studies.models import export_model as export

    check_out(out, file, plan)
    problem = terms.problem(file)
    stage = (
        None if plan is None else read(plan, instance=problem, allow_outside=terms.allow_outside)
    )
    said = aim.options() | cli.given(
        {"plan": stage, "level": level, "goal": goal, **asdict(direct)}
    )
    written = export(problem, aim.mechanism or default_mechanism(problem), out, **said)
    if written.warning:
        note(written.warning, quiet=False)
    page = f"{written.path}: {written.columns:,} columns, {written.rows:,} rows\n"
    if written.labels is not None:
        page += f"{written.labels}: what the written names stand for\n"
    shown.say(asdict(written), lambda: page)

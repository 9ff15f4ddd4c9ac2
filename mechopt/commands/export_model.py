"""`mechopt export-model`: a provider's problem as an LP or MPS file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mechopt.commands import options as cli
from mechopt.commands.output import check_out, emit


def export_model(
    file: cli.ProblemFile,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A .lp or .mps file.")],
    mechanism: cli.Mechanism = None,
    objective: cli.Objective = None,
    protocol: cli.Protocol = None,
    order: cli.Order = None,
    target: cli.Target = None,
    no_transfers: cli.NoTransfers = False,
    reserve: cli.Reserve = None,
    incentive: cli.Incentive = None,
    participation: cli.Participation = None,
    withdrawal_rights: cli.WithdrawalRights = None,
    randomized: cli.Randomized = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="The plan whose withdrawal stage is meant."),
    ] = None,
    level: Annotated[
        int | None, typer.Option("--level", metavar="K", help="Equilibria at this level.")
    ] = None,
    goal: Annotated[
        str | None,
        typer.Option("--goal", help="Equilibria: best, worst, most-data, least-data."),
    ] = None,
    threshold: cli.Thresholds = None,
    share: cli.Shares = None,
    provider_value: cli.ProviderValue = None,
    budget: cli.Budget = None,
    least: cli.Least = None,
    unit: cli.Unit = None,
    contact_cost: cli.ContactCost = None,
    payment_step: cli.PaymentStep = None,
    group_least: cli.GroupLeast = None,
    group_most: cli.GroupMost = None,
    column: cli.Columns = None,
    allow_outside: cli.AllowOutside = False,
    format: cli.FormatOption = cli.Format.TABLE,
) -> None:
    """Write the Pyomo formulation as .lp or .mps, with a map from its names to ours beside it.

    --mechanism also takes every model of `mechopt models`; those of a withdrawal stage need --plan.
    """
    from mechopt.files import read
    from mechopt.files.documents import dumps
    from mechopt.solving import default_mechanism
    from mechopt.studies.models import export_model as export

    check_out(out, file, plan)
    terms = cli.terms(least, unit, contact_cost, payment_step, group_least, group_most)
    problem = cli.read_problem(
        file, threshold, share, provider_value, budget, allow_outside, said=terms, column=column
    )
    given = {
        "plan": None if plan is None else read(plan, instance=problem, allow_outside=allow_outside),
        "objective": objective,
        "level": level,
        "goal": goal,
        "protocol": protocol,
        "order": cli.positions(order),
        "target": cli.numeric("target", target),
        "reserve": cli.numeric("reserve", reserve),
        "transfers": False if no_transfers else None,
        "incentive": incentive,
        "participation": participation,
        "withdrawal_rights": withdrawal_rights,
        "randomized": randomized,
    }
    said: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    written = export(problem, mechanism or default_mechanism(problem), out, **said)
    if format is cli.Format.JSON:
        emit(
            dumps(
                {
                    "path": written.path,
                    "labels": None if written.labels is None else str(written.labels),
                    "columns": written.columns,
                    "rows": written.rows,
                }
            )
        )
        return
    emit(f"{written.path}: {written.columns:,} columns, {written.rows:,} rows\n")
    if written.labels is not None:
        emit(f"{written.labels}: what the written names stand for\n")

"""`mechopt calibrate`: an instance from real capacities, with the assumptions it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mechopt.commands import options as cli
from mechopt.commands.output import check_out, emit


def calibrate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV: contributor, units and perhaps source.")
    ],
    source: Annotated[str | None, typer.Option(help="Which source's rows to take.")] = None,
    share_of_total: Annotated[
        list[float] | None,
        typer.Option("--share-of-total", help="Threshold as a share of all units; repeat."),
    ] = None,
    threshold: cli.Thresholds = None,
    share: cli.Shares = None,
    learning_curve: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="task, model, loss_<size>: thresholds from this curve."),
    ] = None,
    task: Annotated[str, typer.Option(help="Task of the learning curve.")] = "flan",
    model: Annotated[str | None, typer.Option(help="Model; default the median of all.")] = None,
    per_unit: Annotated[float, typer.Option(help="Examples in one data unit.")] = 1.0,
    never_sell: Annotated[float | None, typer.Option(help="Share of people; default 0.11.")] = None,
    cost_log_sd: Annotated[float | None, typer.Option(help="Spread of costs; default 1.")] = None,
    provider_value: Annotated[float | None, typer.Option(help="Default: 20 per person.")] = None,
    budget: Annotated[float | None, typer.Option(help="Cap on the payments.")] = None,
    seed: cli.Seed = None,
    out: cli.Out = None,
) -> None:
    """Build an instance from what people gave; costs and values are drawn, and it says how.

    With --learning-curve, --share names the shares of its gain that are the steps. The
    assumptions are printed; the instance goes to --out.
    """
    from mechopt.cases import calibration
    from mechopt.errors import InvalidOption
    from mechopt.files import write
    from mechopt.problem.improvement_curves import step_curve_from_losses

    if out is None:
        raise InvalidOption("--out: say where the instance goes (a .json file)")
    check_out(out)
    ids, units = calibration.read_capacities(file, source)
    shares = cli.numerics("share", share)
    curve = None
    if learning_curve is not None:
        sizes, losses = calibration.read_learning_curve(learning_curve, task, model)
        named = {} if shares is None else {"shares": shares}
        curve = step_curve_from_losses(sizes, losses, per_unit=per_unit, **named)
        shares = None
    chosen = {"never_sell": never_sell, "cost_log_sd": cost_log_sd}
    made = calibration.instance_from_capacities(
        units,
        share_of_total=share_of_total or None,
        thresholds=cli.numerics("threshold", threshold),
        shares=shares,
        curve=curve,
        provider_value=provider_value,
        budget=budget,
        ids=ids,
        source=source or file.name,
        seed=seed or 0,
        **{name: value for name, value in chosen.items() if value is not None},
    )
    write(made.instance, out)
    emit("".join(f"assumed: {line}\n" for line in made.assumptions))

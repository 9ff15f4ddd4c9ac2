"""`mechopt frontier`: what changes as the budget (or another number) varies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mechopt import tolerances
from mechopt.commands import options as cli
from mechopt.commands.arguments import Option
from mechopt.commands.output import check_out, working


def frontier(
    file: cli.ProblemFile,
    aim: cli.Aim,
    terms: cli.FileTerms,
    losses: cli.Losses,
    over: Annotated[
        str,
        Option(
            "--over",
            help="budget, provider_value, reversibility, exclusion, threshold; confidence.",
        ),
    ] = "budget",
    values: Annotated[
        str, Option("--values", metavar="FROM:TO:STEP", help="Or a list such as 0,50,100.")
    ] = "",
    time_limit: cli.TimeLimit = None,
    out: cli.Out = None,
    plot: Annotated[
        Path | None, Option("--plot", metavar="FILE", help="A picture: .svg, .png, .pdf.")
    ] = None,
    *,
    shown: cli.Shown,
) -> None:
    """Solve for every value, find where the level reached changes, and print the table.

    Rows go to --out (.csv, .json), a picture to --plot. Between rows nothing is drawn that was not
    computed: the level changes at the values that are listed, not along a slope. Over the
    confidence, with --dropout, it is the price of safety.
    """
    import mechopt as mo

    check_out(out)
    check_out(plot)
    problem = terms.instance(file, "frontier needs an instance (costs known)", quiet=shown.quiet)
    options = aim.options() | losses.options() | cli.given({"time_limit": time_limit})
    if "objective" not in options and over == "confidence":
        options["objective"] = "expenditure"
    elif "objective" not in options and problem.provider_value > 0:
        options["objective"] = "provider-surplus"
    elif "objective" not in options:  # nothing to gain in money: then what the money reaches
        options["objective"] = "provider-surplus" if over == "provider_value" else "improvement"
    points = _values(values)
    with working(f"solving for {len(points):,} values of {over} and between", quiet=shown.quiet):
        found = mo.frontier(
            problem,
            aim.mechanism or "burdens",
            over=over,
            values=points,
            breakpoints=True,
            **options,
        )
    for path, do in ((out, found.write), (plot, found.plot)):
        if path is not None:
            do(path)
            shown.wrote(path)
    document = {"over": over, "breakpoints": list(found.breakpoints), "rows": list(found.rows)}
    shown.say(document, lambda: f"{found}\n")


def _values(text: str) -> list[float]:
    """FROM:TO:STEP, both ends included, or numbers separated by commas."""
    from mechopt.errors import InvalidOption

    if not text:
        raise InvalidOption("--values: say which, such as 0:1000:50 or 0,50,100")
    if ":" not in text:
        return [float(cli.numeric("values", part)) for part in text.split(",")]
    parts = [float(cli.numeric("values", part)) for part in text.split(":")]
    if len(parts) != 3 or not parts[2] > 0 or parts[1] < parts[0]:
        raise InvalidOption(
            f"--values: {text!r} is not of the form FROM:TO:STEP, such as 0:1000:50"
        )
    low, high, step = parts
    count = int((high - low) / step * (1 + tolerances.REACH))
    if count > 100_000:
        raise InvalidOption(f"--values: {count + 1:,} values are too many; take a larger step")
    found = [low + step * k for k in range(count + 1)]
    return found if found[-1] >= high * (1 - tolerances.REACH) else [*found, high]

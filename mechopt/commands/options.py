"""The options that several commands share, and how a problem is read with them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


ProblemFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="Instance or population (.json), or users (.csv, .xlsx, .parquet); - reads from "
        "standard input.",
    ),
]
Thresholds = Annotated[
    list[str] | None,
    typer.Option("--threshold", metavar="T", help="Data to be reached; repeat for several levels."),
]
Shares = Annotated[
    list[str] | None,
    typer.Option("--share", metavar="B", help="Share of the improvement at each threshold."),
]
ProviderValue = Annotated[
    str | None,
    typer.Option("--provider-value", metavar="V", help="Provider's value of the improvement."),
]
Budget = Annotated[
    str | None, typer.Option("--budget", metavar="MONEY", help="Cap on the payments.")
]
Least = Annotated[
    str | None, typer.Option("--least", metavar="DATA", help="Who is asked is asked this much.")
]
Unit = Annotated[
    str | None, typer.Option("--unit", metavar="DATA", help="Burdens are multiples of this.")
]
ContactCost = Annotated[
    str | None, typer.Option("--contact-cost", metavar="MONEY", help="Spent on everybody asked.")
]
PaymentStep = Annotated[
    str | None,
    typer.Option("--payment-step", metavar="MONEY", help="Payments are multiples of it."),
]
GroupLeast = Annotated[
    list[str] | None,
    typer.Option("--group-least", metavar="GROUP=DATA", help="Or GROUP=30% of the social cost."),
]
GroupMost = Annotated[
    list[str] | None, typer.Option("--group-most", metavar="GROUP=DATA", help="As --group-least.")
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="NAME=HEADING", help="What a column of the table is called; repeat."
    ),
]
AllowOutside = Annotated[
    bool,
    typer.Option("--allow-outside", help="Let a file name others outside its own folder."),
]
Mechanism = Annotated[
    str | None,
    typer.Option(
        "--mechanism",
        help="posted-price, posted-contract, subsidy, burdens, complete-information; for "
        "populations posted-price, posted-contract, direct, rule, complete-information. "
        "Default: burdens; direct for a population.",
    ),
]
Objective = Annotated[
    str | None,
    typer.Option(
        "--objective",
        help="provider-surplus, welfare, expenditure, social-cost, improvement. Default: "
        "provider-surplus if the provider has a value; else, with a budget and several "
        "thresholds, improvement; else expenditure.",
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol", help="simultaneous (default), sequential, coalition, none, reassign."
    ),
]
Order = Annotated[
    str | None,
    typer.Option(
        "--order",
        help="Sequential: small-first (default), large-first, or positions such as 2,0,1.",
    ),
]
Target = Annotated[
    str | None, typer.Option("--target", metavar="B", help="Share to reach; default the highest.")
]
NoTransfers = Annotated[bool, typer.Option("--no-transfers", help="No payments to users.")]
Reserve = Annotated[
    str | None, typer.Option("--reserve", metavar="R", help="Data kept above the threshold.")
]
Right = Annotated[
    str | None,
    typer.Option("--withdrawal", help="What may be taken back: whole (default), or part of it."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=X",
        help="Of every user: reversibility=0.5, or value=*2 to multiply; repeat.",
    ),
]
Dropout = Annotated[
    str | None,
    typer.Option(
        "--dropout",
        metavar="H",
        help="Probability that a user is lost, or by group: women=0.03,men=0.025.",
    ),
]
Shock = Annotated[
    str | None,
    typer.Option(
        "--shock", metavar="P,FACTOR", help="With probability P all hazards are multiplied."
    ),
]
Confidence = Annotated[
    str | None,
    typer.Option(
        "--confidence", metavar="P", help="Least probability that the threshold is still met."
    ),
]
Price = Annotated[
    str | None,
    typer.Option("--price", metavar="MONEY", help="Evaluate this posted price, not the best."),
]
Payment = Annotated[
    str | None,
    typer.Option("--payment", metavar="MONEY", help="Posted contract: what it pays; with --floor."),
]
Floor = Annotated[
    str | None,
    typer.Option("--floor", metavar="DATA", help="Posted contract: the least to be given."),
]
Robust = Annotated[
    str | None,
    typer.Option(
        "--robust",
        help="Population: guard against every law near; total-variation or wasserstein.",
    ),
]
Radius = Annotated[
    str | None,
    typer.Option("--radius", metavar="R", help="How near, with --robust; one or one per group."),
]
Incentive = Annotated[
    str | None, typer.Option("--incentive", help="Direct: dsic (default) or bic.")
]
Participation = Annotated[
    str | None, typer.Option("--participation", help="Direct: ex-post (default) or interim.")
]
WithdrawalRights = Annotated[
    bool | None,
    typer.Option("--withdrawal-rights/--no-withdrawal-rights", help="Direct: D5 and D6."),
]
Randomized = Annotated[
    bool | None, typer.Option("--randomized/--deterministic", help="Direct: lotteries or not.")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of what is random.")]
TimeLimit = Annotated[
    float | None, typer.Option("--time-limit", metavar="SECONDS", min=0.0, help="Stop after this.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="Write the result here; - is stdout."),
]
People = Annotated[
    bool,
    typer.Option("--people", help="In a table of --out also the users' other columns (names, …)."),
]
OnlyAsked = Annotated[
    bool, typer.Option("--only-asked", help="In a table of --out only those who are asked.")
]
Exact = Annotated[
    bool,
    typer.Option(
        "--exact",
        help="Decimals read exactly; print the exact optimum and what proves it. With --format "
        "json the certificate for `mechopt verify`; with --out it is written beside the answer.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print the result.")]


def numeric(name: str, text: str | None) -> Any:
    """The number an option spells; InvalidOption if it is none."""
    from mechopt.errors import InvalidOption
    from mechopt.problem import numbers

    if text is None:
        return None
    try:
        return numbers.number(text, exact=False)
    except ValueError as error:
        raise InvalidOption(f"--{name}: {error}") from None


def numerics(name: str, texts: list[str] | None) -> Any:
    """The numbers a repeated option spells; None if it is not given."""
    return [numeric(name, text) for text in texts] if texts else None


def changed(problem: Any, settings: list[str] | None) -> Any:
    """The problem with what --set says of every user."""
    from mechopt.errors import InvalidOption
    from mechopt.problem.fields import BY_NAME

    changes: dict[str, Any] = {}
    for text in settings or []:
        name, _, value = text.partition("=")
        if name not in BY_NAME or BY_NAME[name].label or not value:
            known = ", ".join(key for key, field in BY_NAME.items() if not field.label)
            raise InvalidOption(f"--set: expected FIELD=NUMBER with one of {known}, got {text!r}")
        if value.startswith("*"):
            changes[name] = getattr(problem, name) * numeric("set", value[1:])
        else:
            changes[name] = numeric("set", value)
    return problem.replace(**changes) if changes else problem


def hazards(dropout: str | None, shock: str | None) -> tuple[Any, Any]:
    """What --dropout and --shock spell: a number or numbers by group; (probability, factor)."""
    from mechopt.errors import InvalidOption

    hazard: Any = None
    if dropout is not None and "=" in dropout:
        pairs = [part.partition("=") for part in dropout.split(",")]
        hazard = {label.strip(): numeric("dropout", value) for label, _, value in pairs}
    elif dropout is not None:
        hazard = numeric("dropout", dropout)
    if shock is None:
        return hazard, None
    parts = shock.split(",")
    if len(parts) != 2:
        raise InvalidOption(f"--shock: expected PROBABILITY,FACTOR such as 0.1,1.8, got {shock!r}")
    return hazard, tuple(numeric("shock", part) for part in parts)


def radii(text: str | None) -> Any:
    """One radius, or one per group, parted by commas."""
    if text is None or "," not in text:
        return numeric("radius", text)
    return [numeric("radius", part) for part in text.split(",")]


def headings(column: list[str] | None) -> dict[str, str] | None:
    """The headings that `--column NAME=HEADING` gives; None if there are none."""
    from mechopt.errors import InvalidOption
    from mechopt.files import instances, plans, tables
    from mechopt.words import choose

    found = {}
    for text in column or ():
        name, equals, heading = text.partition("=")
        if not equals or not heading.strip():
            raise InvalidOption(f"--column {text}: write NAME=HEADING, such as cost=unit_cost")
        name = tables.plain(name)
        if not (instances.USERS.knows(name) or plans.COLUMNS.knows(name)):
            choose("--column", name, (*instances.USERS.required, *instances.USERS.optional))
        found[name] = heading
    return found or None


def positions(order: str | None) -> Any:
    """An order by name, or a list of positions."""
    if order is None or not all(part.strip().isdigit() for part in order.split(",")):
        return order
    return [int(part) for part in order.split(",")]


def terms(
    least: str | None,
    unit: str | None,
    contact_cost: str | None,
    payment_step: str | None,
    group_least: list[str] | None,
    group_most: list[str] | None,
) -> dict[str, Any]:
    """What a plan must respect to be carried out, as said on the command line."""
    said: dict[str, Any] = {
        "least": numeric("least", least),
        "unit": numeric("unit", unit),
        "contact_cost": numeric("contact-cost", contact_cost),
        "payment_step": numeric("payment-step", payment_step),
        "group_least": limits("group-least", group_least),
        "group_most": limits("group-most", group_most),
    }
    return {name: value for name, value in said.items() if value is not None}


def limits(name: str, texts: list[str] | None) -> dict[str, Any] | None:
    """Limits such as "de=100" or "de=30%" by group; InvalidOption if one is none."""
    from mechopt.errors import InvalidOption

    found: dict[str, Any] = {}
    for text in texts or []:
        label, given, limit = text.rpartition("=")
        if not given or not label:
            raise InvalidOption(f"--{name}: {text!r} is not of the form GROUP=DATA, such as de=100")
        found[label] = limit if limit.strip().endswith("%") else numeric(name, limit)
    return found or None


def read_problem(
    path: Path,
    threshold: list[str] | None,
    share: list[str] | None,
    provider_value: str | None,
    budget: str | None,
    allow_outside: bool,
    *,
    exact: bool = False,
    said: dict[str, Any] | None = None,
    column: list[str] | None = None,
    quiet: bool = False,
) -> Any:
    """The Instance or Population at `path`; InvalidFile if it is something else.

    How its table was understood is printed on stderr, unless `quiet`.
    """
    from mechopt.commands.output import note
    from mechopt.errors import InvalidFile, InvalidInstance
    from mechopt.files import read

    try:
        problem = read(
            path,
            thresholds=numerics("threshold", threshold),
            shares=numerics("share", share),
            provider_value=numeric("provider-value", provider_value),
            budget=numeric("budget", budget),
            columns=headings(column),
            allow_outside=allow_outside,
            exact=exact,
            terms=said,
        )
    except InvalidInstance as error:
        raise InvalidInstance(map(_as_option, error.problems)) from None
    for line in getattr(problem, "notes", ()):
        note(f"mechopt: {path}: {line}", quiet=quiet)
    if type(problem).__name__ not in ("Instance", "Population"):
        raise InvalidFile(f"{path}: is {kind_of(problem)}; expected an instance or a population")
    return problem


def _as_option(problem: str) -> str:
    """A fault of an argument, by the name it has on the command line."""
    name, mark, text = problem.partition(":")
    plain, bracket, place = name.partition("[")
    spelled = {"thresholds": "--threshold", "shares": "--share", "budget": "--budget"}
    option = {**spelled, "provider_value": "--provider-value"}.get(plain)
    if option is None:
        return problem
    which = f" (number {int(place[:-1]) + 1})" if bracket and place != "0]" else ""
    return f"{option}{which}{mark}{text}"


def is_users(path: Path) -> bool:
    """Whether this is a table without burdens, so no plan."""
    from mechopt.files import documents, tables

    return documents.suffix(path) in tables.SUFFIXES and "burden" not in tables.opened(path).names


def kind_of(thing: Any) -> str:
    """What was read from a file, in words."""
    words = {
        "Instance": "an instance",
        "Plan": "a plan",
        "Population": "a population",
        "PostedOffer": "a posted offer",
        "Bracket": "a bracket",
    }
    return words.get(type(thing).__name__, "a mechanism")

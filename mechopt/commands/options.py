"""The options that several commands share, and how a problem is read with them.

Options that go together are a frozen group; a command has one parameter for a whole group, and the
command line sees its fields (`arguments`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from mechopt.commands.arguments import Argument, Option
from mechopt.commands.output import emit, note


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


ProblemFile = Annotated[
    Path,
    Argument(
        metavar="FILE",
        help="Instance or population (.json), or users (.csv, .xlsx, .parquet); - reads from "
        "standard input.",
    ),
]
Thresholds = Annotated[
    list[str] | None,
    Option(metavar="T", help="Data to be reached; repeat for several levels."),
]
Shares = Annotated[
    list[str] | None, Option(metavar="B", help="Share of the improvement at each threshold.")
]
ProviderValue = Annotated[
    str | None, Option(metavar="V", help="Provider's value of the improvement.")
]
Budget = Annotated[str | None, Option(metavar="MONEY", help="Cap on the payments.")]
AllowOutside = Annotated[
    bool,
    Option("--allow-outside", help="Let a file name others outside its own folder."),
]
InstanceOption = Annotated[
    Path | None,
    Option("--instance", metavar="FILE", help="Its instance, if the plan has none."),
]
PlanFile = Annotated[Path, Argument(metavar="PLAN", help="A plan: .json, .csv, .parquet.")]
Objective = Annotated[
    str | None,
    Option(
        help="provider-surplus, welfare, expenditure, social-cost, improvement. Default: "
        "provider-surplus if the provider has a value; else, with a budget and several "
        "thresholds, improvement; else expenditure.",
    ),
]
Protocol = Annotated[
    str | None,
    Option(help="simultaneous (default), sequential, coalition, none, reassign."),
]
Withdrawal = Annotated[
    str | None,
    Option(help="What may be withdrawn: whole (default), or part: any amount."),
]
Order = Annotated[
    str | None,
    Option(help="Sequential: small-first (default), large-first, or positions such as 2,0,1."),
]
Target = Annotated[str | None, Option(metavar="B", help="Share to reach; default the highest.")]
NoTransfers = Annotated[bool, Option("--no-transfers", help="No payments to users.")]
Dropout = Annotated[
    str | None,
    Option(
        "--dropout",
        metavar="H",
        help="Probability that a user is lost; by group, women=0.03,men=0.025; or a column's name.",
    ),
]
Shock = Annotated[
    str | None,
    Option("--shock", metavar="P,FACTOR", help="With probability P all hazards are multiplied."),
]
Seed = Annotated[int | None, Option("--seed", min=0, help="Seed of what is random.")]
TimeLimit = Annotated[
    float | None, Option("--time-limit", metavar="SECONDS", min=0.0, help="Stop after this.")
]
Out = Annotated[
    Path | None,
    Option("--out", "-o", metavar="FILE", help="Write the result here; - is stdout."),
]
Quiet = Annotated[bool, Option("--quiet", help="No progress on stderr.")]
FormatOption = Annotated[Format, Option("--format", help="How to print the result.")]


@dataclass(frozen=True)
class FileTerms:
    """What completes a table or replaces what an instance says, and how the file is read."""

    threshold: Thresholds = None
    share: Shares = None
    provider_value: ProviderValue = None
    budget: Budget = None
    least: Annotated[
        str | None, Option(metavar="DATA", help="Who is asked is asked this much.")
    ] = None
    unit: Annotated[str | None, Option(metavar="DATA", help="Burdens are multiples of this.")] = (
        None
    )
    contact_cost: Annotated[
        str | None, Option(metavar="MONEY", help="Spent on everybody asked.")
    ] = None
    payment_step: Annotated[
        str | None, Option(metavar="MONEY", help="Payments are multiples of it.")
    ] = None
    group_least: Annotated[
        list[str] | None,
        Option(metavar="GROUP=DATA", help="Or GROUP=30% of the social cost."),
    ] = None
    group_most: Annotated[
        list[str] | None, Option(metavar="GROUP=DATA", help="As --group-least.")
    ] = None
    column: Annotated[
        list[str] | None,
        Option(metavar="NAME=HEADING", help="What a column of the table is called; repeat."),
    ] = None
    allow_outside: AllowOutside = False

    def arguments(self) -> dict[str, Any]:
        """What is said, as arguments of `files.read`."""
        practice = {
            "least": numeric("least", self.least),
            "unit": numeric("unit", self.unit),
            "contact_cost": numeric("contact-cost", self.contact_cost),
            "payment_step": numeric("payment-step", self.payment_step),
            "group_least": limits("group-least", self.group_least),
            "group_most": limits("group-most", self.group_most),
        }
        return {
            "thresholds": numerics("threshold", self.threshold),
            "shares": numerics("share", self.share),
            "provider_value": numeric("provider-value", self.provider_value),
            "budget": numeric("budget", self.budget),
            "columns": headings(self.column),
            "allow_outside": self.allow_outside,
            "terms": given(practice),
        }

    def problem(self, path: Path, *, exact: bool = False, quiet: bool = False) -> Any:
        """The Instance or Population at `path`; InvalidFile if it is something else.

        How its table was understood is printed on stderr, unless `quiet`.
        """
        from mechopt.errors import InvalidFile, InvalidInstance
        from mechopt.files import read

        try:
            problem = read(path, exact=exact, **self.arguments())
        except InvalidInstance as error:
            raise InvalidInstance(map(_as_option, error.problems)) from None
        for line in getattr(problem, "notes", ()):
            note(f"mechopt: {path}: {line}", quiet=quiet)
        if type(problem).__name__ not in ("Instance", "Population"):
            raise InvalidFile(
                f"{path}: is {kind_of(problem)}; expected an instance or a population"
            )
        return problem

    def instance(self, path: Path, why: str, *, quiet: bool = False) -> Any:
        """The Instance at `path`; InvalidFile, which says `why`, if it is a population."""
        from mechopt.errors import InvalidFile

        problem = self.problem(path, quiet=quiet)
        if type(problem).__name__ != "Instance":
            raise InvalidFile(f"{path}: is a population; {why}")
        return problem


@dataclass(frozen=True)
class PlanTerms(FileTerms):
    """The instance of a plan, if the plan has none, and what completes it."""

    whose: InstanceOption = None

    def answer(self, path: Path, *, quiet: bool = False) -> Any:
        """The plan or mechanism at `path`; InvalidOption for terms without an instance."""
        from mechopt.errors import InvalidOption
        from mechopt.files import read

        said = None
        if self.whose is not None:
            said = self.instance(self.whose, "a plan needs its instance", quiet=quiet)
        elif self != PlanTerms(allow_outside=self.allow_outside):
            raise InvalidOption(
                "--threshold, --share, --provider-value, --budget, …: need --instance"
            )
        return read(path, instance=said, allow_outside=self.allow_outside)

    def plan(self, path: Path) -> Any:
        """As `answer`; InvalidFile if it is no plan."""
        from mechopt.errors import InvalidFile

        found = self.answer(path)
        if type(found).__name__ != "Plan":
            raise InvalidFile(f"{path}: is {kind_of(found)}; expected a plan")
        return found


@dataclass(frozen=True)
class Shown:
    """How a result is printed, and whether progress is."""

    format: FormatOption = Format.TABLE
    quiet: Quiet = False

    def wrote(self, path: object, more: str = "") -> None:
        """Say that a file was written."""
        note(f"mechopt: wrote {path}{more}", quiet=self.quiet)

    def say(self, document: Any, page: Callable[[], str]) -> None:
        """Print the document as JSON, or else the page."""
        if self.format is Format.JSON:
            from mechopt.files.documents import dumps

            emit(dumps(document))
        else:
            emit(page())


@dataclass(frozen=True)
class Aim:
    """What is solved: mechanism, objective and withdrawal stage."""

    mechanism: Annotated[
        str | None,
        Option(
            help="posted-price, posted-contract, subsidy, burdens, complete-information; for "
            "populations posted-price, posted-contract, direct, rule, complete-information. "
            "Default: burdens; direct for a population.",
        ),
    ] = None
    objective: Objective = None
    protocol: Protocol = None
    order: Order = None
    target: Target = None
    no_transfers: NoTransfers = False
    reserve: Annotated[str | None, Option(metavar="R", help="Data kept above the threshold.")] = (
        None
    )

    def options(self) -> dict[str, Any]:
        """What is said, as options of `mechopt.solve`."""
        return given(
            {
                "objective": self.objective,
                "protocol": self.protocol,
                "order": positions(self.order),
                "target": numeric("target", self.target),
                "transfers": False if self.no_transfers else None,
                "reserve": numeric("reserve", self.reserve),
            }
        )


@dataclass(frozen=True)
class Direct:
    """What a direct mechanism promises; the names are those of `mechopt.solve`."""

    incentive: Annotated[str | None, Option(help="Direct: dsic (default) or bic.")] = None
    participation: Annotated[str | None, Option(help="Direct: ex-post (default) or interim.")] = (
        None
    )
    withdrawal_rights: Annotated[
        bool | None,
        Option("--withdrawal-rights/--no-withdrawal-rights", help="Direct: D5 and D6."),
    ] = None
    randomized: Annotated[
        bool | None, Option("--randomized/--deterministic", help="Direct: lotteries or not.")
    ] = None


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that are said."""
    return {name: value for name, value in options.items() if value is not None}


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
    """What --dropout and --shock spell: a number, one by group, a column's name; (π, factor)."""
    from mechopt.errors import InvalidOption

    hazard: Any = None
    if dropout is not None and "=" in dropout:
        pairs = [part.partition("=") for part in dropout.split(",")]
        hazard = {label.strip(): numeric("dropout", value) for label, _, value in pairs}
    elif dropout is not None:
        named = dropout.strip()[:1].isalpha() and dropout.lower() not in ("nan", "inf")
        hazard = dropout if named else numeric("dropout", dropout)
    if shock is None:
        return hazard, None
    parts = shock.split(",")
    if len(parts) != 2:
        raise InvalidOption(f"--shock: expected PROBABILITY,FACTOR such as 0.1,1.8, got {shock!r}")
    return hazard, tuple(numeric("shock", part) for part in parts)


@dataclass(frozen=True)
class Losses:
    """Users who drop out."""

    dropout: Dropout = None
    shock: Shock = None

    def options(self) -> dict[str, Any]:
        """What is said, as options of `mechopt.solve`."""
        return given(dict(zip(("dropout", "shock"), hazards(self.dropout, self.shock))))


def radii(text: str | None) -> Any:
    """One radius, or one per group, parted by commas."""
    if text is None or "," not in text:
        return numeric("radius", text)
    return [numeric("radius", part) for part in text.split(",")]


def headings(column: list[str] | None) -> dict[str, str] | None:
    """The headings that `--column NAME=HEADING` gives; None if there are none."""
    if not column:
        return None
    from mechopt.errors import InvalidOption
    from mechopt.files import instances, plans, tables
    from mechopt.words import choose

    found = {}
    for text in column:
        name, equals, heading = text.partition("=")
        if not equals or not heading.strip():
            raise InvalidOption(f"--column {text}: write NAME=HEADING, such as cost=unit_cost")
        name = tables.plain(name)
        if not (instances.USERS.knows(name) or plans.COLUMNS.knows(name)):
            choose("--column", name, (*instances.USERS.required, *instances.USERS.optional))
        found[name] = heading
    return found


def positions(order: str | None) -> Any:
    """An order by name, or a list of positions."""
    if order is None or not all(part.strip().isdigit() for part in order.split(",")):
        return order
    return [int(part) for part in order.split(",")]


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
    from mechopt.files import documents, opening, tables

    return documents.suffix(path) in tables.SUFFIXES and "burden" not in opening.opened(path).names


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

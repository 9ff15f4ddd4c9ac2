"""The JSON files as pydantic models: what is checked on reading, what `mechopt schema` prints.

Columns of numbers are only described here; reading checks their entries by row.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, SkipValidation, Tag, create_model
from pydantic import ValidationError as _ValidationError

from mechopt.problem.fields import PER_USER, USER_FIELDS, UserField

_Exact = Annotated[
    str,
    Field(pattern=r"^[+-]?\d+(/\d+|\.\d*([eE][+-]?\d{1,3})?)?$", description='exact: "1/3", "0.1"'),
]
Number = SkipValidation[float | _Exact]
Column = SkipValidation[list[float | _Exact]]
PerUser = SkipValidation[list[float | _Exact] | float | _Exact]
PieceWidths = SkipValidation[list[float | _Exact] | list[list[float | _Exact]]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Provider(_Part):
    """The provider's side; money."""

    value: Number = Field(default=0.0, description="V ≥ 0, benefit from the full improvement")
    budget: Number | None = Field(default=None, description="β ≥ 0, cap on payments; null: none")


class Terms(Provider):
    """The provider of an instance, and what plans must respect to be carried out."""

    payment_step: Number | None = Field(default=None, description="payments are its multiples")
    group_least: dict[str, Number] | None = Field(
        default=None, description='group -> data, or share of the social cost ("30 %")'
    )
    group_most: dict[str, Number] | None = Field(default=None, description="as group_least")


class Improvement(_Part):
    """The improvement curve B."""

    thresholds: Column = Field(description="T_1 < … < T_K, data")
    shares: Column | None = Field(default=None, description="0 < b_1 < … < b_K ≤ 1; [1] if K = 1")


class Segments(_Part):
    """Convex piecewise-linear cost shape g, shared by all users or one list per user."""

    widths: PieceWidths = Field(description="≥ 0, data")
    slopes: PieceWidths = Field(description="> 0, non-decreasing")


class _UserNames(_Part):
    """One entry per user in every column; a single number holds for all."""

    id: list[str | int] | None = Field(default=None, description="distinct names")


Labels = list[str | int | None] | str


def _column_of(field: UserField) -> tuple[Any, Any]:
    """How the schema describes a per-user field."""
    form: Any = Labels if field.label else PerUser
    missing = None if field.name == "capacity" else field.default
    if field.default is None and field.name != "capacity":
        return form, Field(description=field.about)
    if isinstance(missing, float) and missing != missing:
        missing = None
    optional = missing is None
    return form | None if optional else form, Field(
        default=missing if isinstance(missing, (str, type(None))) else float(missing),
        description=field.about,
    )


_columns: dict[str, Any] = {field.name: _column_of(field) for field in USER_FIELDS}
Users = create_model(
    "Users", __base__=_UserNames, **_columns, segments=(Segments | None, Field(default=None))
)


def _form(entry: Any) -> str:
    return "file" if isinstance(entry, str) else "here"


class InstanceFile(_Part):
    """A problem with known (or reported) costs."""

    schema_version: Literal[1]
    kind: Literal["instance"]
    provider: Terms = Terms()
    improvement: Improvement
    users: Annotated[
        Annotated[Users, Tag("here")] | Annotated[str, Tag("file")],  # type: ignore[valid-type]
        Discriminator(_form),
    ] = Field(
        description="columns, or the name of a table (.csv, .parquet, .xlsx) beside this file"
    )


class PlanUsers(_Part):
    """One entry per user, in the order of the instance."""

    id: list[str | int]
    burden: Column = Field(description="x ≥ 0, data")
    payment: Column = Field(description="t ≥ 0, money")
    cost: SkipValidation[list[float]] | None = Field(default=None, description="C(x), money")
    utility: SkipValidation[list[float]] | None = Field(
        default=None, description="payoff under the protocol's outcome, money"
    )
    stays: list[bool] | None = Field(
        default=None, description="whether the user stays in that outcome"
    )


class _Answer(_Part):
    """What every answer says of itself."""

    schema_version: Literal[1]
    mechanism: str
    status: Literal["optimal", "feasible", "null", "infeasible", "unknown"]
    objective_name: (
        Literal["provider-surplus", "welfare", "expenditure", "social-cost", "improvement"] | None
    ) = None
    objective: float | int | None = None
    bound: float | int | None = None
    gap: float | int | None = None
    reason: str = ""
    solver: str = ""
    seconds: float | int = 0
    seed: int = 0
    metrics: dict[str, Any] = {}


class PlanFile(_Answer):
    """Burdens and payments for an instance, and how they came about."""

    kind: Literal["plan"]
    mechanism: str = "given"
    protocol: Literal["simultaneous", "sequential", "coalition", "none", "reassign"] = (
        "simultaneous"
    )
    order: str | list[int] = "small-first"
    level: int | None = None
    share: float | int | None = None
    total: float | int | None = None
    reserve: float | int = Field(default=0, ge=0)
    right: Literal["whole", "part"] = "whole"
    failure_bonus: Number = 0.0
    unconditional: bool = False
    shortfall: dict[str, Any] = {}
    details: dict[str, Any] = {}
    options: dict[str, Any] = {}
    withdrawal: dict[str, Any] = {}
    benchmark: dict[str, Any] | None = None
    instance_hash: str = Field(pattern="^[0-9a-f]{64}$")
    instance: dict[str, Any] | str | None = Field(
        default=None, description="the instance, or the name of its file beside this one"
    )
    columns: dict[str, str] | None = Field(
        default=None, description="headings of the instance's table, by our names"
    )
    users: (
        Annotated[
            Annotated[PlanUsers, Tag("here")] | Annotated[str, Tag("file")], Discriminator(_form)
        ]
        | None
    ) = Field(description="columns, or their file beside this one; null without an answer")


class GroupProvider(Provider):
    """The provider's side of a population; money."""

    expected_budget: Number | None = Field(default=None, description="cap on expected payments")


class Group(_Part):
    """Exchangeable users with independent private costs."""

    size: int = Field(description="n_g ≥ 1, users")
    costs: Column = Field(description="θ ≥ 0, the possible costs, money per data unit")
    probabilities: Column = Field(description="of the costs; they sum to 1")
    value: Number = Field(default=0.0, description="v ≥ 0, money")
    capacity: Number | None = Field(
        default=None, description="cap ≥ 0, data; default: sum of widths"
    )
    reversibility: Number = Field(default=1.0, description="ρ in [0, 1]")
    removable: Number = Field(default=1.0, description="δ in [0, 1]")
    exclusion: Number = Field(default=0.0, description="η in [0, 1]")
    segments: Segments | None = None


class PopulationFile(_Part):
    """A problem with private costs."""

    schema_version: Literal[1]
    kind: Literal["population"]
    provider: GroupProvider = GroupProvider()
    improvement: Improvement
    groups: list[Group]
    law: dict[str, Any] | None = Field(
        default=None,
        description="if types are correlated: {worlds, probabilities}, a common shock, or "
        "{counts, probabilities}, a table over count states",
    )


class Drawn(_Part):
    """One plan of a lottery: what each place is asked and paid if it is drawn."""

    state: int = Field(description="row of counts, from 0")
    level: int = Field(description="from 0")
    chance: float | int = Field(description="probability in that state")
    type: list[int] = Field(description="type column of each place, from 0, in the order of moves")
    burden: list[float | int] = Field(description="data of each place")
    payment: list[float | int] = Field(description="money of each place")


class States(_Part):
    """A direct mechanism by state: reports of each type, and what happens (over the lottery)."""

    counts: list[list[int]] = Field(description="users per type, one row per state")
    run: list[list[float | int]] = Field(description="probability of each level")
    burden: list[list[list[float | int]]] = Field(description="data, by state, level and type")
    payment: list[list[list[float | int]]] = Field(description="money, by state, level and type")
    access: list[list[list[float | int]]] | None = Field(
        default=None, description="times the run probability; only where users can be excluded"
    )
    plans: list[Drawn] | None = Field(
        default=None,
        description="the plans drawn, where users of a type may be asked for different things",
    )


class AnswerFile(_Answer):
    """An answer to a population."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    mechanism: str = "direct"
    population: PopulationFile


class MechanismFile(AnswerFile):
    """A direct mechanism and the population it is for."""

    kind: Literal["mechanism"]
    terms: dict[str, Any] = Field(description="what was asked for: the options of solve")
    states: States | None = Field(description="null if there is no answer to act on")


class OfferFile(AnswerFile):
    """A posted offer to a population, and what it brings in expectation."""

    kind: Literal["offer"]
    offer: dict[str, float | int] = Field(description="price; or payment and floor")


class RuleOfBracket(_Part):
    """The rule that reaches the lower end of a bracket."""

    kind: str
    chance: float | int = Field(ge=0, le=1, description="probability that it is used")
    base: list[float | int] = Field(description="unpaid burden by group, data")
    order: list[int] = Field(description="position of each type in the order of purchase; -1: none")
    price: float | int | None = None
    fee: list[float | int] | None = Field(None, description="by type, for access, data")


class BracketFile(AnswerFile):
    """A certified interval for a population, with a rule to deploy."""

    kind: Literal["bracket"]
    lower: float | int
    upper: float | int
    exact: bool = Field(description="whether the rule is worth exactly `lower`")
    how: str
    rule: RuleOfBracket


class LogEvent(BaseModel):
    """One line of the log of a campaign (`mechopt update PLAN LOG`)."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    id: str | int | None = Field(default=None, description="the user; of everybody: only closed")
    event: Literal["invited", "gave", "reported", "withdrew", "failed", "closed", "paid"]
    amount: Number | None = Field(
        default=None,
        description="≥ 0: data given (default: all to come), withdrawn (all), failed (all to "
        "come); money paid; cost per unit reported",
    )
    time: str | None = Field(default=None, description="ISO 8601; without a zone it is UTC")
    key: str | int | None = Field(
        default=None, description="tells apart events that are otherwise the same"
    )


MODELS: dict[str, type[BaseModel]] = {
    "instance": InstanceFile,
    "plan": PlanFile,
    "population": PopulationFile,
    "mechanism": MechanismFile,
    "offer": OfferFile,
    "bracket": BracketFile,
    "log-event": LogEvent,
}


def faults(model: type[BaseModel], document: dict[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the structure: (place in the document, sentence) of every fault."""
    try:
        model.model_validate(document)
    except _ValidationError as error:
        found: dict[tuple[str, ...], str] = {}
        for fault in error.errors(include_url=False):
            place = tuple(str(key) for key in fault["loc"] if key not in ("here", "file"))
            if fault["type"] in ("string_type", "int_type") and place[-1] in ("str", "int"):
                place = place[:-1]  # one sentence for both forms of an id
                fault["msg"] = "must be text or an integer"
            found.setdefault(place, _sentence(place, dict(fault)))
        return list(found.items())
    return []


_HOMES = {  # arguments in Python -> where they stand in a file
    "provider_value": "provider.value",
    "budget": "provider.budget",
    "thresholds": "improvement.thresholds",
    "shares": "improvement.shares",
    "ids": "users.id",
    "segments": "users.segments",
}


def _sentence(place: tuple[str, ...], fault: dict[str, Any]) -> str:
    spot = ".".join(place)
    if fault["type"] == "missing":
        return f"{spot}: is missing"
    if fault["type"] == "extra_forbidden":
        home = _HOMES.get(place[-1], f"users.{place[-1]}" if place[-1] in PER_USER else "")
        hint = f"; did you mean {home}?" if home and home != spot else ""
        return f"{spot}: is not a field of such a file{hint}"
    if fault["type"] == "model_type":
        return f"{spot}: must be an object, got {str(fault['input'])[:40]!r}"
    message = fault["msg"].removeprefix("Input ")
    return f"{spot}: {message}, got {str(fault['input'])[:40]!r}"

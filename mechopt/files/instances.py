"""Instances in files: the JSON document, and tables of users (CSV, Parquet)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import isinf
from os.path import relpath
from pathlib import Path
from typing import Any

import numpy as np

from mechopt.errors import Fault, InvalidInstance
from mechopt.files import documents, tables
from mechopt.problem import numbers
from mechopt.problem.fields import BY_NAME, PER_USER, USER_FIELDS
from mechopt.problem.instance import Instance

_OPTIONAL = tuple(field.name for field in USER_FIELDS if field.default is not None)
_SHAPE: dict[str, Any] = {
    "text": ("id", *(field.name for field in USER_FIELDS if field.label)),
    "pattern": r"(width|slope)_[1-9]\d{0,3}",
    "blanks": {field.name: field.blank for field in USER_FIELDS if field.blank is not None},
    "strip": True,
}
_BLANKS = _SHAPE["blanks"]
# without a column `value` nobody benefits; with segments, capacity is their total width
USERS = tables.ColumnLayout(
    required=("id", "cost", "capacity"),
    optional=("value", *_OPTIONAL, "width_1", "slope_1"),
    **_SHAPE,
)
SEGMENTED = tables.ColumnLayout(
    required=("id", "cost", "width_1", "slope_1"),
    optional=("value", "capacity", *_OPTIONAL),
    **_SHAPE,
)
NO_VALUE = (
    "there is no column 'value': every value is taken as 0 (nobody gains from the improvement)"
)
# where a constructor argument of Instance stands in the document
PLACES = {
    **{name: f"users.{name}" for name in (*PER_USER, "segments")},
    "ids": "users.id",
    "thresholds": "improvement.thresholds",
    "shares": "improvement.shares",
    "provider_value": "provider.value",
    "budget": "provider.budget",
    **{name: f"provider.{name}" for name in ("payment_step", "group_least", "group_most")},
}
_HARMLESS = {**dict.fromkeys((*PER_USER, "thresholds"), 1), "provider_value": 0}
_SUMS = {"total", "totals", "sum", "summe", "gesamt", "somme", "suma", "totale", "average", "mean"}


@dataclass
class InstanceDraft:
    """Constructor arguments gathered from a file, with the faults found on the way."""

    path: Path
    columns: Mapping[str, str] | None = None
    given: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    table: tables.ReadTable | None = None
    broken: set[str] = field(default_factory=set)  # arguments that already have a fault
    wrong: set[tuple[str, int]] = field(default_factory=set)  # entries that do
    said: Collection[str] = ()  # arguments that the caller gave, not the file

    def fault(self, argument: str, sentence: str) -> None:
        """Record a fault that leaves nothing of `argument` to be checked."""
        self.broken.add(argument)
        self.broken.update(name for name, place in PLACES.items() if place.startswith(argument))
        self.problems.append(f"{self.path}: {sentence}")

    def build(self) -> Instance:
        """The instance; InvalidInstance with all faults, of the file and of the values."""
        if self.broken & {"thresholds", "shares"}:
            self.broken |= {"thresholds", "shares"}
        if "segments" in self.broken and "capacity" not in self.given:
            self.broken.add("capacity")
        harmless = {name: _HARMLESS.get(name) for name in self.broken if name in PLACES}
        given = {**self.given, **harmless}  # so that the rest is checked all the same
        try:
            instance = Instance(**given)
        except InvalidInstance as error:
            self.problems += [text for text in map(self.located, error.faults) if text]
            raise InvalidInstance(self.problems) from None
        tables.stop_if(self.problems, InvalidInstance)
        return instance

    def located(self, fault: Fault | str) -> str:
        """A fault of Instance with its place in the file; "" if it only follows from others."""
        assert isinstance(fault, Fault)
        name, _, part = fault.field.partition(".")
        if name in self.broken or (fault.place and (name, fault.place[0]) in self.wrong):
            return ""
        by_caller = name in self.said or (name == "shares" and "thresholds" in self.said)
        if by_caller and (name == "shares" or not fault.text.startswith("missing")):
            return str(fault)
        if self.table is None or PLACES.get(name, "")[:5] != "users":
            said = str(fault)[len(name) :]
            return f"{self.path}: {PLACES.get(name, name)}{said}" + self._hint(name)
        if not fault.place or (part and len(fault.place) == 1):
            return f"{self.table.path}: {fault}"
        row, text = fault.place[0], fault.text
        column = f"{part[:-1]}_{fault.place[1] + 1}" if part else name
        if name == "ids":
            column = "id"
            text = re.sub(r"user (\d+)$", lambda at: f"row {int(at[1]) + 1}", text)
        faulty = self.table.faulty & {(column, row), (tables.WHOLE_ROW, row)}
        neighbour = part == "slopes" and any(
            column[:6] == "slope_" for column, _ in self.table.faulty
        )
        if faulty or neighbour:
            return ""
        return f"{self.table.where(row)}: {column}{fault.who}: {text}"

    def _hint(self, name: str) -> str:
        if name == "thresholds" and self.given.get("thresholds") is None:
            return " (--threshold)"
        return ""


def read(
    path: Path,
    source: dict[str, Any] | tables.Opened,
    *,
    exact: bool,
    allow_outside: bool,
    columns: Mapping[str, str] | None = None,
    **changes: Any,
) -> Instance:
    """The instance in a JSON document, or in an open table of users.

    `changes` replace what the file says: thresholds, shares, provider_value, budget. `columns` are
    headings of the table, by our names.
    """
    said = {argument: value for argument, value in changes.items() if value is not None}
    draft = InstanceDraft(path, columns=columns, said=said)
    if isinstance(source, tables.Opened):
        _read_table(draft, source, exact)
        draft.given |= {"thresholds": None, **said}
    else:
        _read_document(draft, _changed(source, said), exact, allow_outside)
    instance = draft.build()
    if draft.table is not None:
        others = {name: np.array(cells, dtype=object) for name, cells in draft.table.others.items()}
        instance.noted(draft.table.notes, others)
    return instance


def _changed(document: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """The document with what the caller said in the place of what the file says."""
    document = dict(document)
    if "thresholds" in said:
        document["improvement"] = {"thresholds": said["thresholds"]}
    for argument, value in said.items():
        part, name = PLACES[argument].split(".")
        if isinstance(document.get(part, {}), dict):
            document[part] = {**document.get(part, {}), name: value}
    return document


def _well_formed(document: dict[str, Any]) -> bool:
    """Whether the schema surely has nothing to say: plain columns under the names it knows."""
    if set(document) - {"schema_version", "kind", "provider", "improvement", "users"}:
        return False
    parts = [document.get(name, {}) for name in ("provider", "improvement", "users")]
    if type(document.get("schema_version")) is not int or not all(
        isinstance(part, dict) for part in parts
    ):
        return False
    provider, improvement, users = parts
    ids = users.get("id", [])
    return (
        isinstance(ids, list)
        and all(type(name) in (str, int) for name in ids)
        and set(provider) <= {"value", "budget"}
        and {"thresholds"} <= set(improvement) <= {"thresholds", "shares"}
        and {"cost", "value"} <= set(users) <= {"id", "cost", "value", "capacity", "reversibility"}
        and all(isinstance(column, list) for column in (*improvement.values(), *users.values()))
    )


def _read_document(
    draft: InstanceDraft, document: dict[str, Any], exact: bool, allow_outside: bool
) -> None:
    if not _well_formed(document):
        for place, sentence in documents.faults("instance", document):
            draft.fault(_argument(place), sentence)
    provider = _part(document, "provider")
    improvement = _part(document, "improvement")
    for argument, raw in (
        ("provider_value", provider.get("value")),
        ("budget", provider.get("budget")),
        ("thresholds", improvement.get("thresholds")),
        ("shares", improvement.get("shares")),
        ("payment_step", provider.get("payment_step")),
    ):
        if raw is not None and argument not in draft.broken:
            draft.given[argument] = _numbers(draft, argument, raw, exact)
    for argument in ("group_least", "group_most"):
        draft.given[argument] = provider.get(argument)
    users = document.get("users")
    if isinstance(users, str):
        from mechopt.files import opening

        _read_table(draft, opening.opened(tables.beside(draft.path, users, allow_outside)), exact)
    elif isinstance(users, dict):
        _read_users(draft, users, exact)
    else:
        draft.broken.update(("cost", "value", "capacity"))


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _argument(place: tuple[str, ...]) -> str:
    """The constructor argument that stands at a place of the document."""
    spot = ".".join(place[:2])
    return next((name for name, where in PLACES.items() if where == spot), spot)


def _numbers(draft: InstanceDraft, argument: str, raw: Any, exact: bool) -> Any:
    """One number or a column of the document; faults go to the draft."""
    if not isinstance(raw, list):
        try:
            return numbers.one(raw)
        except ValueError as error:
            draft.fault(argument, f"{PLACES[argument]}: {error}")
            return None
    column, faults = numbers.column(raw, exact=exact)
    if faults and argument in ("thresholds", "shares", "segments"):
        draft.broken.add(argument)
    draft.wrong.update((argument, at) for at, _ in faults)
    place = PLACES[argument]
    draft.problems += [f"{draft.path}: {place}[{at}]: {why}" for at, why in faults[: tables.SHOWN]]
    if len(faults) > tables.SHOWN:
        more = len(faults) - tables.SHOWN
        draft.problems.append(f"{draft.path}: {place}: and {more} more entries like these")
    return column


def _read_users(draft: InstanceDraft, users: dict[str, Any], exact: bool) -> None:
    for argument in PER_USER:
        raw = users.get(argument)
        if raw is not None and argument not in draft.broken:
            if BY_NAME[argument].label:
                draft.given[argument] = raw
                continue
            if argument in _BLANKS and isinstance(raw, list):
                raw = [_BLANKS[argument] if entry is None else entry for entry in raw]
            draft.given[argument] = _numbers(draft, argument, raw, exact)
    for argument in ("cost", "value"):
        draft.given.setdefault(argument, None)
    if users.get("id") is not None and "ids" not in draft.broken:
        draft.given["ids"] = users["id"]
    segments = users.get("segments")
    if segments is not None and "segments" not in draft.broken:
        if _nested(segments["widths"]) != _nested(segments["slopes"]):
            draft.fault("segments", "users.segments: both are shared, or both per user")
            return
        draft.given["segments"] = tuple(
            _pieces(draft, part, segments[part], exact) for part in ("widths", "slopes")
        )


def _nested(raw: Any) -> bool:
    return isinstance(raw, list) and any(isinstance(entry, list) for entry in raw)


def _pieces(draft: InstanceDraft, part: str, raw: Any, exact: bool) -> Any:
    """Widths or slopes: a list of numbers, or one such list per user."""
    if not isinstance(raw, list):
        draft.fault("segments", f"users.segments.{part}: expected a list, got {str(raw)[:40]!r}")
        return []
    if _nested(raw):
        mixed = [at for at, entry in enumerate(raw) if not isinstance(entry, list)]
        if mixed:
            draft.fault("segments", f"users.segments.{part}[{mixed[0]}]: expected a list")
            return []
        return [_numbers(draft, "segments", entry, exact) for entry in raw]
    return _numbers(draft, "segments", raw, exact)


def _read_table(draft: InstanceDraft, source: tables.Opened, exact: bool) -> None:
    source.rename(draft.columns)
    layout = SEGMENTED if "width_1" in source.names else USERS
    table = source.read(layout, exact=exact)
    draft.table = table
    draft.problems += table.problems
    columns = dict(table.columns)
    draft.given["ids"] = columns.pop("id", None)
    for argument in PER_USER:
        if argument in columns:
            draft.given[argument] = columns.pop(argument)
    if "cost" not in draft.given:
        draft.broken.add("cost")
    if "value" not in draft.given:
        draft.given["value"] = 0
        table.notes.append(NO_VALUE)
    _refuse_sum(draft, table)
    if table.others:
        names = [source.headings[source.names.index(name)].strip() for name in table.others]
        shown = ", ".join(name[:40] for name in names[:10]) + (", …" if len(names) > 10 else "")
        table.notes.append(f"columns carried along: {shown}")
        table.others = dict(zip(names, table.others.values()))
    pieces = max((int(name.split("_")[1]) for name in columns), default=0)
    if pieces:
        _read_segments(draft, table, columns, pieces)
    elif "capacity" not in draft.given:
        draft.broken.add("capacity")


def _refuse_sum(draft: InstanceDraft, table: tables.ReadTable) -> None:
    """A last row that sums up the others is nobody."""
    ids = draft.given["ids"]
    last = "" if ids is None or not len(ids) else str(ids[-1])
    if len(last) < 20 and last.strip(" :").casefold() in _SUMS:
        draft.problems.append(
            f"{table.where(table.rows - 1)}: {last!r} looks like the sum of the rows above, not "
            "like a person: delete the row (or call the person otherwise)"
        )


def _read_segments(
    draft: InstanceDraft, table: tables.ReadTable, columns: Mapping[str, Any], pieces: int
) -> None:
    wanted = [f"{part}_{j}" for j in range(1, pieces + 1) for part in ("width", "slope")]
    missing = [name for name in wanted if name not in columns]
    for name in missing:
        if name not in SEGMENTED.required:
            draft.problems.append(f"{table.path}: column {name!r} is missing")
    if missing:
        draft.broken.update(("segments", "capacity"))
        return
    draft.given["segments"] = tuple(
        _stacked([columns[f"{part}_{j}"] for j in range(1, pieces + 1)])
        for part in ("width", "slope")
    )


def _stacked(columns: Sequence[Any]) -> Any:
    if all(isinstance(column, np.ndarray) for column in columns):
        return np.column_stack(columns)
    return [list(row) for row in zip(*columns)]


def document(instance: Instance, users: str | None = None) -> dict[str, Any]:
    """The JSON document of an instance; numbers read back the same, exact ones exactly.

    `users` names a table that holds the users instead.
    """
    given = instance._given
    budget = instance.budget if given["budget"] is None else given["budget"]
    unlimited = isinf(instance.budget)
    return {
        "schema_version": documents.SCHEMA_VERSION,
        "kind": "instance",
        "provider": {
            "value": numbers.spelled(given["provider_value"]),
            "budget": None if unlimited else numbers.spelled(budget),
            **_terms(instance),
        },
        "improvement": {
            "thresholds": _written(given["thresholds"], instance.levels),
            "shares": _written(1 if given["shares"] is None else given["shares"], instance.levels),
        },
        "users": users or _users(instance),
    }


def _terms(instance: Instance) -> dict[str, Any]:
    """What is said for the whole plan of section 11; nothing where nothing is."""
    given = instance._given
    terms: dict[str, Any] = {}
    if instance.payment_step:
        terms["payment_step"] = numbers.spelled(given["payment_step"])
    for name in ("group_least", "group_most"):
        if given[name]:
            limits = given[name].items()
            terms[name] = {
                str(label): limit if isinstance(limit, str) else numbers.spelled(limit)
                for label, limit in limits
            }
    return terms


def _users(instance: Instance) -> dict[str, Any]:
    given = instance._given
    users: dict[str, Any] = {}
    if instance.has_ids:
        users["id"] = instance.ids.tolist()
    for column in USER_FIELDS:
        if given[column.name] is None or not (column.core or column.name in instance.said):
            continue
        if column.label:
            users[column.name] = getattr(instance, column.name).tolist()
        else:
            users[column.name] = _written(given[column.name], instance.n)
    if given["segments"] is not None:
        widths, slopes = map(numbers.column_spelled, given["segments"])
        users["segments"] = {"widths": widths, "slopes": slopes}
    return users


def _written(raw: Any, size: int) -> list[Any]:
    if np.ndim(raw) == 0:
        return [numbers.spelled(raw)] * size
    return numbers.column_spelled(raw)


def reference(instance_path: Path, folder: Path) -> str | None:
    """The instance's file as a document in `folder` may name it; None if it lies elsewhere."""
    if not documents.inside(instance_path, folder, allow_outside=False):
        return None
    return Path(relpath(instance_path.resolve(), folder.resolve())).as_posix()

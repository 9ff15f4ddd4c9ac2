"""Reading and writing by kind (instance, population, and the four kinds of answer) and by suffix.

JSON for every kind; CSV, Parquet and spreadsheets for the users of an instance and for plans.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, Any

from mechopt.atomic import STANDARD, replacing
from mechopt.errors import InvalidFile, InvalidInput, InvalidOption, OutputError
from mechopt.words import load as _load

__all__ = ["read", "replacing", "write", "write_rows"]

# kinds whose class reads and writes its own document: kind -> "module:class"
_DOCUMENTS = {
    "population": "mechopt.problem.population:Population",
    "mechanism": "mechopt.answer.mechanism:DirectMechanism",
    "offer": "mechopt.answer.offer:PostedOffer",
    "bracket": "mechopt.answer.bracket:Bracket",
}
_KINDS = ("instance", "plan", *_DOCUMENTS)


def read(
    path: str | PathLike[str],
    *,
    instance: Any = None,
    exact: bool = False,
    thresholds: Any = None,
    shares: Any = None,
    provider_value: Any = None,
    budget: Any = None,
    columns: Mapping[str, str] | None = None,
    allow_outside: bool = False,
    terms: Mapping[str, Any] | None = None,
) -> Any:
    """The Instance, Plan, Population or DirectMechanism in a file: docs/reference/files.md.

    "-" is standard input. `.json` says its kind; a table (.csv, .parquet, .xlsx) is a plan if it
    has a column `burden`, and otherwise the users of an instance. CSV and JSON may be packed by
    gzip. `columns` names the table's own headings, such as {"cost": "unit_cost"}; columns that are
    not used are kept in `instance.others`, and `instance.notes` says how the file was understood.
    `thresholds` (data), `shares`, `provider_value` and `budget` (money) complete a table, and
    replace what a JSON instance says; so do `terms`, further arguments of `Instance` such as `unit`
    or `group_least`. `instance` is the one a plan belongs to (if no file beside its table says so).
    With `exact`, decimals are read exactly. Files that a file names must lie in its folder unless
    `allow_outside`.

    Raises InvalidFile, InvalidInstance, InvalidPlan or InvalidPopulation with every fault, each
    with row and field; NotSupported for Parquet without pyarrow, .xlsx without openpyxl.
    """
    from mechopt.files import instances

    path = Path(path)
    changes = {
        "thresholds": _listed(thresholds),
        "shares": _listed(shares),
        "provider_value": provider_value,
        "budget": budget,
    }
    source, kind = _opened(path, exact=exact)
    if kind == "plan-table":
        from mechopt.files import plan_reading

        source.rename(columns)
        return plan_reading.read_table(path, instance, source=source, allow_outside=allow_outside)
    if kind == "instance":
        more = {"exact": exact, "allow_outside": allow_outside, "columns": columns, **changes}
        found = instances.read(path, source, **more)
        return found.replace(**terms) if terms else found
    said = {**changes, "columns": columns, **(terms or {})}
    unused = [name for name, value in said.items() if value is not None]
    if unused:
        raise InvalidOption(f"{unused[0]}: applies to an instance, but {path} is a {kind}")
    if kind == "plan":
        from mechopt.files import plan_reading

        return plan_reading.read_document(path, source, instance, allow_outside=allow_outside)
    return _of_population(path, source, kind)


def _opened(path: Path, *, exact: bool) -> tuple[Any, str]:
    """(document or table, its kind): a table is an "instance" or a "plan-table"."""
    from mechopt.files import documents, tables

    suffix = documents.suffix(path)
    content = None
    if suffix not in (".json", *tables.SUFFIXES):
        if suffix:
            documents.check_size(path, documents.LARGEST_JSON)
            raise InvalidFile(f"{path}: must be a .json, {tables.NAMES} file")
        content = documents.content(path, tables.LARGEST_TABLE)
        suffix = ".json" if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else ".csv"
    if suffix != ".json":
        from mechopt.files import opening

        source = opening.opened(path, content)
        return source, "plan-table" if "burden" in source.names else "instance"
    if content is None:
        content = documents.content(path, documents.LARGEST_JSON)
    document = documents.parse(path, content, exact=exact)
    return document, documents.kind_of(document, path, _KINDS)


def _of_population(path: Path, document: dict[str, Any], kind: str) -> Any:
    """A population or an answer to one."""
    from mechopt.files import documents, tables

    problems = [f"{path}: {text}" for _, text in documents.faults(kind, document)]
    tables.stop_if(problems, InvalidFile)
    try:
        form: Any = _load(_DOCUMENTS[kind])
        return form.from_dict(document)
    except InvalidInput as error:
        raise type(error)(f"{path}: {problem}" for problem in error.problems) from None


def _listed(numbers: Any) -> Any:
    """A single number as a list of one."""
    if numbers is None or (hasattr(numbers, "__len__") and not isinstance(numbers, str)):
        return numbers if numbers is None else list(numbers)
    return [numbers]


def write(
    thing: Any,
    path: str | PathLike[str],
    *,
    instance_path: str | PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
    people: bool = False,
    only_asked: bool = False,
    form: str = "",
) -> None:
    """Write an Instance, Plan, Population or DirectMechanism, whole or not at all.

    Plans and mechanisms as .json, .csv, .parquet or .xlsx, the others as .json; `.json.gz` and
    `.csv.gz` are packed. Beside a plan's .csv or .xlsx goes a .json that says what it is for.
    "-" is standard output, in the `form` (".json" or ".csv") that is asked for. `instance_path`
    (with the headings `columns`): where the instance of a plan is, so that a large plan can name
    it. `people` and `only_asked`: see `Plan.write`. OutputError says why a file cannot be written.
    """
    from mechopt.answer.mechanism import DirectMechanism
    from mechopt.answer.plan import Plan
    from mechopt.files import documents, instances, plans

    path = Path(path)
    suffix = documents.suffix(path) or form or ".json"
    tabular = isinstance(thing, (Plan, DirectMechanism))
    allowed = (".json", ".csv", ".parquet", ".xlsx") if tabular else (".json",)
    if suffix not in allowed:
        raise OutputError(f"cannot write {path}: the name must end in {' or '.join(allowed)}")
    beside = None if instance_path is None else Path(instance_path)
    about: Any = {"instance_path": beside, "folder": path.parent, "columns": columns}
    if suffix != ".json":
        if isinstance(thing, Plan):
            found = plans.table(thing, people=people, only_asked=only_asked)
            name = path.name.encode("utf-8", "replace").decode()
            named = plans.document(thing, users=name, **about)
        else:
            found, named = thing.table(), {"kind": "mechanism-table"}
        second = plans.side(path)
        alone = suffix == ".parquet" or not isinstance(thing, Plan) or str(path) in STANDARD
        if alone:
            _write_table(path, suffix, found, named)
            return
        with replacing(second) as stream:  # in its place only once the table is in its own
            stream.write(documents.dumps(dict(named)))
            _write_table(path, suffix, found, named)
        return
    if isinstance(thing, Plan):
        document = plans.document(thing, **about)
    elif hasattr(thing, "to_dict"):
        document = thing.to_dict()
    else:
        document = instances.document(thing)
    write_document(document, path)


def _write_table(path: Path, suffix: str, found: dict[str, Any], named: dict[str, Any]) -> None:
    """Columns as a table; Parquet stores with them what the plan is for."""
    if suffix == ".csv":
        from mechopt.files import csv_tables

        with _text_stream(path) as stream:
            csv_tables.write(stream, found)
        return
    with replacing(path, binary=True) as stream:
        if suffix == ".parquet":
            import json

            from mechopt.files import arrow_tables, documents

            stored = documents.strict({**named, "users": None})
            arrow_tables.write(stream, found, json.dumps(stored, ensure_ascii=False))
        else:
            from mechopt.files import sheets

            sheets.write(stream, found)


@contextmanager
def _text_stream(path: Path) -> Iterator[IO[str]]:
    """A stream of text that becomes the file at `path`, packed if its name ends in .gz."""
    if path.suffix.lower() != ".gz":
        with replacing(path) as stream:
            yield stream
        return
    with (
        replacing(path, binary=True) as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as stream,
    ):
        yield stream


def write_rows(
    path: str | PathLike[str],
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    what: str = "",
) -> None:
    """Write rows with these columns as .json or .csv (no cell is a formula), whole or not at all.

    InvalidOption, which says `what` they are, for another ending; without it that is CSV.
    """
    import csv
    import json

    from mechopt.files import documents, tables

    place = Path(path)
    suffix = documents.suffix(place)
    if what and suffix not in (".csv", ".json"):
        raise InvalidOption(f"{place.name}: {what} is written as .csv or .json")
    with replacing(place) as stream:
        if suffix == ".json":
            stream.write(json.dumps(documents.strict(rows), indent=1, ensure_ascii=False) + "\n")
            return
        table = csv.DictWriter(stream, names, lineterminator="\n")
        table.writeheader()
        table.writerows(
            {name: tables.neutralise(it) if isinstance(it, str) else it for name, it in row.items()}
            for row in rows
        )


def write_document(document: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Write one JSON document, whole or not at all."""
    from mechopt.files import documents

    with _text_stream(Path(path)) as stream:
        stream.write(documents.dumps(dict(document)))

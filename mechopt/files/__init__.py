"""Reading and writing by kind (instance, population, and the four kinds of answer) and by suffix.

JSON for every kind; CSV and Parquet for the users of an instance and for plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from mechopt.atomic import replacing
from mechopt.errors import InvalidFile, InvalidInput, InvalidOption, OutputError
from mechopt.words import load as _load

__all__ = ["read", "replacing", "write"]

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
    allow_outside: bool = False,
    terms: Mapping[str, Any] | None = None,
) -> Any:
    """The Instance, Plan, Population or DirectMechanism in a file.

    `.json` says its kind; a `.csv` or `.parquet` table is a plan if it has a column `burden`, and
    otherwise the users of an instance. `thresholds` (data), `shares`, `provider_value` and
    `budget` (money) complete a table, and replace what a JSON instance says. `instance` is the
    one a plan belongs to (needed for tables). `terms`: further arguments of `Instance`, such as
    `unit` or `group_least`, in the place of what the file says. With `exact`, decimals are read
    exactly. Files that a file names must lie in its folder unless `allow_outside`.

    Raises InvalidFile, InvalidInstance, InvalidPlan or InvalidPopulation with every fault, each
    with row and field; NotSupported for Parquet without pyarrow.
    """
    from mechopt.files import documents, instances, plans, schema, tables

    path = Path(path)
    changes = {
        "thresholds": _listed(thresholds),
        "shares": _listed(shares),
        "provider_value": provider_value,
        "budget": budget,
    }
    suffix = path.suffix.lower()
    if suffix in tables.SUFFIXES:
        if "burden" in tables.header(path):
            return plans.read_table(path, instance)
        found = instances.read(path, None, exact=exact, allow_outside=allow_outside, **changes)
        return found.replace(**terms) if terms else found
    if suffix != ".json":
        documents.check_size(path, documents.LARGEST_JSON)
        raise InvalidFile(f"{path}: must be a .json, .csv or .parquet file")
    document = documents.load(path, exact=exact)
    kind = documents.kind_of(document, path, _KINDS)
    if kind == "instance":
        found = instances.read(path, document, exact=exact, allow_outside=allow_outside, **changes)
        return found.replace(**terms) if terms else found
    unused = [name for name, value in {**changes, **(terms or {})}.items() if value is not None]
    if unused:
        raise InvalidOption(f"{unused[0]}: applies to an instance, but {path} is a {kind}")
    if kind == "plan":
        return plans.read_document(path, document, instance, allow_outside=allow_outside)
    problems = [f"{path}: {text}" for _, text in schema.faults(schema.MODELS[kind], document)]
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
) -> None:
    """Write an Instance, Plan, Population or DirectMechanism, whole or not at all.

    Plans as .json, .csv or .parquet, the others as .json. `instance_path`: where the instance of a
    plan is, so that a large plan can name it. OutputError says why a file cannot be written.
    """
    from mechopt.answer.mechanism import DirectMechanism
    from mechopt.answer.plan import Plan
    from mechopt.files import documents, instances, plans, tables
    from mechopt.problem.instance import Instance

    path = Path(path)
    suffix = path.suffix.lower()
    tabular = isinstance(thing, (Plan, DirectMechanism))
    allowed = (".json", *tables.SUFFIXES) if tabular else (".json",)
    if suffix not in allowed:
        raise OutputError(f"cannot write {path}: the name must end in {' or '.join(allowed)}")
    if isinstance(thing, (Plan, DirectMechanism)) and suffix != ".json":
        if isinstance(thing, Plan):
            columns, metadata = plans.table(thing), plans.metadata(thing)
        else:
            columns, metadata = thing.table(), '{"kind": "mechanism-table"}'
        with replacing(path, binary=suffix == ".parquet") as stream:
            if suffix == ".parquet":
                tables.write_parquet(stream, columns, metadata)
            else:
                tables.write_csv(stream, columns)
        return
    if isinstance(thing, Plan):
        beside = None if instance_path is None else Path(instance_path)
        document = plans.document(thing, instance_path=beside, folder=path.parent)
    elif isinstance(thing, Instance):
        document = instances.document(thing)
    else:
        document = thing.to_dict()
    text = documents.dumps(document)
    with replacing(path) as stream:
        stream.write(text)


def write_document(document: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Write one JSON document, whole or not at all."""
    from mechopt.files import documents

    with replacing(path) as stream:
        stream.write(documents.dumps(dict(document)))

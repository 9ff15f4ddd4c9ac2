"""Plans read from files: JSON documents and tables, matched with their users by id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.answer.common import HEADER
from mechopt.answer.plan import Plan
from mechopt.atomic import STANDARD
from mechopt.errors import InvalidPlan
from mechopt.files import documents, instances, opening, tables
from mechopt.files.plans import COLUMNS, DERIVED, HEAD, side
from mechopt.problem import numbers
from mechopt.problem.instance import Instance
from mechopt.status import Status


def read_document(
    path: Path, found: dict[str, Any], instance: Instance | None, *, allow_outside: bool
) -> Plan:
    """The plan in a JSON document, with the given instance or the one it carries or names."""
    problems = [f"{path}: {text}" for _, text in documents.faults("plan", found)]
    tables.stop_if(problems, InvalidPlan)
    if isinstance(found["users"], str):
        return read_table(tables.beside(path, found["users"], allow_outside), instance, about=found)
    if instance is None:
        instance = _own_instance(path, found, allow_outside)
    users = found["users"]
    if users is None:
        _check_hash(path, found["instance_hash"], instance)
        return Plan(instance=instance, **_fields(path, found))
    part = tables.ReadTable(path, rows=len(users["id"]))
    odd = [
        f"{path}: users.{name} has {len(users[name])} entries, but users.id has {part.rows}"
        for name in users
        if isinstance(users[name], list) and len(users[name]) != part.rows
    ]
    tables.stop_if(odd, InvalidPlan)
    for name in ("burden", "payment"):
        if not isinstance(users[name], list):
            raise InvalidPlan(f"{path}: users.{name}: expected a list")
        part.columns[name], faults = numbers.column(users[name], exact=False)
        problems += [f"{path}: users.{name}[{at}]: {why}" for at, why in faults]
    tables.stop_if(problems, InvalidPlan)
    part.columns["id"] = [str(name) for name in users["id"]]
    return _plan(part, instance, _fields(path, found), found["instance_hash"])


def _own_instance(path: Path, plan: Mapping[str, Any], allow_outside: bool) -> Instance:
    """The instance that a plan's document carries or names."""
    found = plan.get("instance")
    more: Any = {"exact": False, "allow_outside": allow_outside}
    if found is None:
        raise InvalidPlan(f"{path}: does not carry its instance; give it (--instance FILE)")
    if isinstance(found, dict):
        return instances.read(path, found, columns=plan.get("columns"), **more)
    target = documents.beside(path, found, "instance", allow_outside)
    document = documents.load(target)
    documents.kind_of(document, target, ("instance",))
    return instances.read(target, document, **more)


def _check_hash(path: Path, stated: str, instance: Instance) -> None:
    if stated != instance.hash:
        raise InvalidPlan(
            f"{path}: does not match its instance: it was made for the instance with hash "
            f"{stated[:12]}…, and this one has {instance.hash[:12]}…; solve again, or name the "
            "instance it was made for (--instance FILE)"
        )


def _fields(path: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    fields = {
        name: found[name] for name in (*HEADER, *HEAD) if name in found and name not in DERIVED
    }
    fields["status"] = Status(fields["status"])
    if "failure_bonus" in fields:
        try:
            bonus = numbers.one(fields["failure_bonus"])
        except ValueError as error:
            raise InvalidPlan(f"{path}: failure_bonus: {error}") from None
        fields["failure_bonus"] = bonus if isinstance(bonus, int) else float(bonus)
    return fields


def read_table(
    path: Path,
    instance: Instance | None,
    *,
    source: tables.Opened | None = None,
    about: dict[str, Any] | None = None,
    allow_outside: bool = False,
) -> Plan:
    """The plan in a table, for the given instance or the one the file beside it is about.

    Users who are not listed are asked for nothing; the plan's `notes` say so.
    """
    source = source or opening.opened(path)
    beside = side(path)
    if about is None and str(path) not in STANDARD and beside.is_file():
        about = documents.load(beside)
        problems = [f"{beside}: {text}" for _, text in documents.faults("plan", about)]
        tables.stop_if(problems, InvalidPlan)
    found = source.read(COLUMNS)
    tables.stop_if(found.problems, InvalidPlan)
    stored = _stored(found) if about is None else about
    if instance is None:
        if stored is None or stored.get("instance") is None:
            raise InvalidPlan(
                f"{path}: whose plan it is stands in {side(path).name}, which was written beside "
                "it and is not there: put it back, or name the users with --instance FILE "
                "(read(path, instance=…))"
            )
        instance = _own_instance(path if about is None else beside, stored, allow_outside)
    elif about is not None and about["instance_hash"] != instance.hash:
        stored = None  # the plan is looked at in the light of another instance
    fields = {} if stored is None else _fields(path, stored)
    return _plan(found, instance, fields, None if stored is None else stored["instance_hash"])


def _stored(found: tables.ReadTable) -> dict[str, Any] | None:
    """What mechopt stored within a Parquet file."""
    if found.metadata is None:
        return None
    try:
        stored = json.loads(found.metadata)
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict):
        raise InvalidPlan(f"{found.path}: what mechopt stored with the table is damaged")
    faults = documents.faults("plan", {**stored, "users": None})
    problems = [f"{found.path}: stored metadata: {text}" for _, text in faults]
    tables.stop_if(problems, InvalidPlan)
    return stored


def _plan(
    found: tables.ReadTable, instance: Instance, fields: dict[str, Any], stated: str | None
) -> Plan:
    """The plan of a table's columns, by id; `stated`: the hash of the instance it is for."""
    rows = _aligned(found, instance)
    if stated is not None:
        _check_hash(found.path, stated, instance)
    listed = rows >= 0
    cells = {}
    for name in ("burden", "payment"):
        column = found.columns[name]
        if listed.all() and not isinstance(column, np.ndarray):
            column = [column[row] for row in rows.tolist()]  # exact numbers stay so
        else:
            column = np.append(np.asarray(column, dtype=np.float64), 0.0)[rows]  # −1: the 0
        cells[name] = column
    notes: tuple[str, ...] = ()
    if not listed.all():
        left = np.flatnonzero(~listed)
        who = _few(instance.ids[left])
        notes = (
            f"{left.size:,} of {instance.n:,} users are not in the plan: nothing is asked of them "
            f"({who})",
        )
    try:
        plan = Plan.from_arrays(instance, cells["burden"], cells["payment"], **fields)
    except InvalidPlan as error:
        raise InvalidPlan(f"{found.path}: {problem}" for problem in error.problems) from None
    notes += _check_cost(found, plan, rows, same=stated is not None)
    return plan.replace(notes=(*plan.notes, *notes)) if notes else plan


def _few(names: Any) -> str:
    return ", ".join(map(str, names[:3])) + (", …" if len(names) > 3 else "")


def _aligned(found: tables.ReadTable, instance: Instance) -> Any:
    """For every user of the instance the row of the table, −1 if there is none.

    InvalidPlan if an id occurs twice, or is none of the instance.
    """
    names = np.asarray(found.columns["id"], dtype=str).tolist()
    if names == instance.ids.tolist():
        return np.arange(instance.n)
    place = {name: row for row, name in enumerate(names)}
    if len(place) < len(names):
        twice = [row for row, name in enumerate(names) if place[name] != row]
        problems = [f"{found.where(row)}: id {names[row]!r} occurs twice" for row in twice]
        raise InvalidPlan(_some(found.path, problems))
    known = set(instance.ids.tolist())
    gone = [row for row, name in enumerate(names) if name not in known]
    if gone:
        raise InvalidPlan(_some(found.path, _gone(found, instance, gone)))
    return np.array([place.get(name, -1) for name in instance.ids.tolist()])


def _some(path: Path, problems: list[str]) -> list[str]:
    more = len(problems) - tables.SHOWN
    return problems[: tables.SHOWN] + ([f"{path}: and {more} more like these"] if more > 0 else [])


def _gone(found: tables.ReadTable, instance: Instance, rows: list[int]) -> list[str]:
    """Sentences on people of the plan who are no users (any more), and what they leave behind."""
    names = np.asarray(found.columns["id"], dtype=str)
    burden = np.asarray(found.columns["burden"], dtype=np.float64)
    lost = float(burden[rows].sum())
    problems = [
        f"{found.where(row)}: {str(names[row])!r} (burden {burden[row]:g}) is no user"
        for row in rows
    ]
    padded = {name.lstrip("0"): name for name in instance.ids.tolist()}
    if all(name in padded for name in names[rows].tolist()):
        first = str(names[rows[0]])
        return [
            f"{found.path}: {len(rows)} ids lost the zeros they begin with, such as {first!r}, "
            f"which was {padded[first]!r}: tell your spreadsheet that the column is text"
        ]
    before, left = float(burden.sum()), float(burden.sum() - lost)
    reached = instance.thresholds[instance.thresholds <= before * (1 + tolerances.DATA)]
    if not reached.size or left >= reached[-1]:
        problems.insert(
            0,
            f"{found.path}: {len(rows)} listed there are missing from the users' table; their rows "
            "can be deleted: the others reach the threshold without them",
        )
        return problems
    short = float(reached[-1]) - left
    room = float(instance.capacity.sum()) - left
    can = f"can give up to {room:g} more" if room >= short else f"can give only {room:g} more"
    problems.insert(
        0,
        f"{found.path}: {len(rows)} listed there are missing from the users' table: without their "
        f"{lost:g} of data {left:g} of {reached[-1]:g} remain, {short:g} short. Put them back into "
        f"the table, or solve again: the others {can}",
    )
    return problems


def _check_cost(found: tables.ReadTable, plan: Plan, rows: Any, *, same: bool) -> tuple[str, ...]:
    """The stated costs must be those of the instance, or the plan belongs to another one.

    `same`: it is known to be made for this instance; then whoever edited a burden left the old cost
    beside it, which a note says.
    """
    if "cost" not in found.columns:
        return ()
    assert plan.burden is not None
    listed = rows >= 0
    actual = plan.instance.cost_of(plan.burden)
    stated = np.append(np.asarray(found.columns["cost"], dtype=np.float64), 0.0)[rows]
    stated = np.where(listed, stated, actual)
    wrong = np.abs(stated - actual) > tolerances.MONEY * np.maximum(np.abs(actual), 1)
    edited = np.flatnonzero(wrong | ~np.isfinite(stated))
    if not edited.size:
        return ()
    user = int(edited[0])
    where = found.where(int(rows[user]))
    if same:
        one = edited.size == 1
        return (
            f"{edited.size:,} {'burden was' if one else 'burdens were'} changed by hand "
            f"({_few(plan.instance.ids[edited])}); the cost and utility beside are old, not used",
        )
    raise InvalidPlan(
        f"{where}: does not match its instance: the cost is {stated[user]:g}, but this "
        f"burden costs {plan.instance.name(user)} {actual[user]:g}; changed by hand? delete "
        "the column `cost`"
    )

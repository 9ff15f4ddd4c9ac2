"""Plans in files: JSON with everything known about the answer, CSV and Parquet by user."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Context, Decimal, Inexact, localcontext
from fractions import Fraction
from math import fsum, inf, nextafter
from pathlib import Path
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray
from mechopt.errors import InvalidFile, InvalidPlan
from mechopt.files import documents, instances, schema, tables
from mechopt.problem import numbers
from mechopt.problem.instance import Instance
from mechopt.status import Status

COLUMNS = tables.Layout(
    required=("id", "burden", "payment"),
    optional=("cost", "utility", "stays"),
    text=("id", "stays"),
)
# Up to this many users a JSON plan carries its instance; larger ones name its file.
INLINE = 1000
_HEAD = (
    "status",
    "mechanism",
    "protocol",
    "order",
    "objective_name",
    "objective",
    "bound",
    "gap",
    "level",
    "share",
    "total",
    "reserve",
    "right",
    "failure_bonus",
    "unconditional",
    "reason",
    "shortfall",
    "metrics",
    "details",
    "options",
    "solver",
    "seconds",
    "seed",
)
_DERIVED = ("gap", "level", "share", "total", "metrics")


# -- the numbers that are written ---------------------------------------------------------------


def written(plan: Plan) -> FloatArray:
    """Burdens as floats that reach the plan's threshold in binary and in decimal digits, (n,).

    A sum that reaches T_k (and the reserve) exactly can fall short once every burden is rounded
    to a float or to its shortest decimal. Then the largest burdens with room below their capacity
    are raised, by the last digits that are missing. Where nobody has room nothing is changed.
    """
    assert plan.burden is not None
    if not plan.level:
        return plan.burden
    threshold = plan.instance.exact("thresholds")[plan.level - 1]
    rounded = float(threshold)
    spelled = Fraction(repr(rounded))
    binary_goal = max(threshold, Fraction(rounded))
    decimal_goal = spelled if threshold == rounded else max(threshold, spelled)
    # Rounding moves a sum by less than 2^-52 of it.
    ample = Fraction(fsum(plan.burden.tolist())) * (1 - Fraction(1, 10**15))
    reserve = Fraction(plan.reserve)
    if ample > max(binary_goal, decimal_goal) + max(reserve, Fraction(repr(plan.reserve))):
        return plan.burden
    positive = plan.burden[plan.burden > 0]
    binary = _binary_sum(positive)
    own = plan.exact("burden").sum() if plan.is_exact else binary
    if own < threshold:
        return plan.burden  # short by itself: it is written as it is
    if own >= threshold + reserve:
        binary_goal += reserve
        decimal_goal += Fraction(repr(plan.reserve))
    decimal = _decimal_sum(positive)
    return _raised(plan, binary_goal - binary, decimal_goal - decimal)


def _raised(plan: Plan, binary: Fraction, decimal: Fraction) -> FloatArray:
    """The burdens, raised by what is missing in binary and in decimal digits, (n,)."""
    assert plan.burden is not None
    burden, capacity = plan.burden.copy(), plan.instance.capacity
    room = np.flatnonzero((burden > 0) & (burden < capacity))
    for user in room[np.argsort(-burden[room], kind="stable")].tolist():
        if binary <= 0 and decimal <= 0:
            break
        old = new = float(burden[user])
        goal, spelled = Fraction(old) + binary, Fraction(repr(old)) + decimal
        new = max(new, float(goal), float(spelled))
        while Fraction(new) < goal or Fraction(repr(new)) < spelled:
            new = nextafter(new, inf)
        new = min(new, float(capacity[user]))
        binary -= Fraction(new) - Fraction(old)
        decimal -= Fraction(repr(new)) - Fraction(repr(old))
        burden[user] = new
    return arrays.freeze(burden)


def _binary_sum(entries: FloatArray) -> Fraction:
    """The exact sum of floats: mantissas are added per exponent, in halves that fit an int64."""
    mantissa, exponent = np.frexp(entries)
    whole = (mantissa * 2.0**53).astype(np.int64)
    total = Fraction(0)
    for power in np.unique(exponent).tolist():
        chosen = whole[exponent == power]
        high, low = int((chosen >> 27).sum()), int((chosen & (2**27 - 1)).sum())
        total += ((high << 27) + low) * Fraction(2) ** (power - 53)
    return total


def _decimal_sum(entries: FloatArray) -> Fraction:
    """The exact sum of the shortest decimals that stand for floats."""
    with localcontext(_EXACTLY):
        return Fraction(sum(map(Decimal, map(repr, entries.tolist())), Decimal(0)))


# Sums of float64 numbers have at most 309 + 1074 decimal digits: addition is exact.
_EXACTLY = Context(prec=1400, traps=[Inexact])


def columns(plan: Plan, burden: FloatArray) -> dict[str, Any]:
    """id, burden, payment, cost, utility, stays: what happens under the plan's protocol, (n,).

    `burden` is the plan's, or as `written`. `cost` is C_i(x_i), `utility` the payoff of
    FORMULATION section 2 in that outcome, money.
    """
    instance = plan.instance
    outcome = plan.withdrawal().outcome
    cost = instance.cost_of(burden)
    kept = outcome.stay if outcome.trains else np.full(instance.n, plan.unconditional)
    borne = np.where(kept, cost, (1 - instance.reversibility) * cost)
    gains = instance.value * outcome.share + outcome.payments
    utility = gains - borne
    utility[np.abs(utility) <= tolerances.REACH * borne] = 0.0  # the rounding of a binding row
    return {
        "id": instance.ids,
        "burden": burden,
        "payment": plan.payment,
        "cost": cost,
        "utility": utility,
        "stays": outcome.stay,
    }


# -- writing ------------------------------------------------------------------------------------


def head(plan: Plan) -> dict[str, Any]:
    """Everything known about the answer but the users' columns."""
    known = {name: getattr(plan, name) for name in _HEAD}
    if plan.is_exact:
        known["failure_bonus"] = numbers.spelled(plan.exact("failure_bonus").item())
    order = plan.order
    return {
        "schema_version": documents.SCHEMA_VERSION,
        "kind": "plan",
        **known,
        "order": order if isinstance(order, str) else np.asarray(order).tolist(),
        "instance_hash": plan.instance.hash,
    }


def document(
    plan: Plan,
    *,
    instance_path: Path | None = None,
    folder: Path | None = None,
    inline: float = INLINE,
) -> dict[str, Any]:
    """The JSON document of a plan.

    It carries the instance up to `inline` users. Larger instances are named by their file
    `instance_path` if that lies in the `folder` of the plan, and otherwise left to the reader.
    """
    found: Any = None
    if plan.instance.n <= inline:
        found = instances.document(plan.instance)
    elif instance_path is not None and folder is not None:
        found = instances.reference(instance_path, folder)
        if found is not None and instance_path.suffix.lower() in tables.SUFFIXES:
            found = instances.document(plan.instance, users=found)
    users = None
    if plan.has_answer:
        users = columns(plan, written(plan))
        if plan.is_exact:
            for name in ("burden", "payment"):
                users[name] = numbers.column_spelled(plan.exact(name))
    return {**head(plan), "instance": found, "users": users}


def table(plan: Plan) -> dict[str, Any]:
    """The columns of CSV and Parquet; InvalidPlan if there is no answer to write."""
    if not plan.has_answer:
        raise InvalidPlan(
            f"the plan is {plan.status} and has no burdens to write as a table; write it as .json"
        )
    return columns(plan, written(plan))


def metadata(plan: Plan) -> str:
    """What a Parquet file stores besides its columns: the head of the plan, as JSON."""
    return json.dumps(documents.strict(head(plan)), ensure_ascii=False, allow_nan=False)


# -- reading ------------------------------------------------------------------------------------


def read_document(
    path: Path, found: dict[str, Any], instance: Instance | None, *, allow_outside: bool
) -> Plan:
    """The plan in a JSON document, with the given instance or the one it carries or names."""
    problems = [f"{path}: {text}" for _, text in schema.faults(schema.PlanFile, found)]
    tables.stop_if(problems, InvalidPlan)
    if instance is None:
        instance = _own_instance(path, found.get("instance"), allow_outside)
    _check_hash(path, found["instance_hash"], instance)
    users = found["users"]
    if users is None:
        return Plan(instance=instance, **_fields(path, found))
    sizes = {name: len(users[name]) for name in users if isinstance(users[name], list)}
    odd = [
        f"{path}: users.{name} has {size} entries, but the instance has {instance.n} users"
        for name, size in sizes.items()
        if size != instance.n
    ]
    tables.stop_if(odd, InvalidPlan)
    cells: dict[str, Any] = {}
    for name in ("burden", "payment"):
        if not isinstance(users[name], list):
            raise InvalidPlan(f"{path}: users.{name}: expected a list")
        cells[name], faults = numbers.column(users[name], exact=False)
        problems += [f"{path}: users.{name}[{at}]: {why}" for at, why in faults]
    tables.stop_if(problems, InvalidPlan)
    names = [str(name) for name in users["id"]]
    if names != instance.ids.tolist():
        at = next(at for at, name in enumerate(instance.ids.tolist()) if name != names[at])
        raise InvalidPlan(
            f"{path}: users.id[{at}] is {names[at]!r}, but the instance has "
            f"{str(instance.ids[at])!r} there"
        )
    return _plan(path, instance, cells, _fields(path, found))


def _own_instance(path: Path, found: Any, allow_outside: bool) -> Instance:
    if found is None:
        raise InvalidPlan(f"{path}: does not carry its instance; give it (--instance FILE)")
    if isinstance(found, dict):
        return instances.read(path, found, exact=False, allow_outside=allow_outside)
    target = path.parent / found
    if "\0" in found or not documents.inside(target, path.parent, allow_outside):
        raise InvalidFile(
            f"{path}: instance: {found[:80]!r} lies outside the folder of this file; give it "
            "(--instance FILE) or allow it with allow_outside=True (--allow-outside)"
        )
    document = documents.load(target)
    documents.kind_of(document, target, ("instance",))
    return instances.read(target, document, exact=False, allow_outside=allow_outside)


def _check_hash(path: Path, stated: str, instance: Instance) -> None:
    if stated != instance.hash:
        raise InvalidPlan(
            f"{path}: does not match its instance: it was made for the instance with hash "
            f"{stated[:12]}…, and this one has {instance.hash[:12]}…"
        )


def _fields(path: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: found[name] for name in _HEAD if name in found and name not in _DERIVED}
    fields["status"] = Status(fields["status"])
    if "failure_bonus" in fields:
        try:
            bonus = numbers.one(fields["failure_bonus"])
        except ValueError as error:
            raise InvalidPlan(f"{path}: failure_bonus: {error}") from None
        fields["failure_bonus"] = bonus if isinstance(bonus, int) else float(bonus)
    return fields


def _plan(path: Path, instance: Instance, cells: Mapping[str, Any], fields: dict[str, Any]) -> Plan:
    try:
        return Plan.from_arrays(instance, cells["burden"], cells["payment"], **fields)
    except InvalidPlan as error:
        raise InvalidPlan(f"{path}: {problem}" for problem in error.problems) from None


def read_table(path: Path, instance: Instance | None) -> Plan:
    """The plan in a CSV or Parquet table for the given instance, whose ids it must have."""
    if instance is None:
        raise InvalidPlan(
            f"{path}: a plan in a table needs its instance: read(path, instance=…), "
            "or --instance FILE"
        )
    found = tables.read(path, COLUMNS)
    problems = list(found.problems)
    fields: dict[str, Any] = {}
    if found.metadata is not None:
        try:
            stored = json.loads(found.metadata)
        except (ValueError, RecursionError):
            raise InvalidPlan(f"{path}: what mechopt stored with the table is damaged") from None
        if isinstance(stored, dict):
            faults = schema.faults(schema.PlanFile, {**stored, "users": None})
            problems += [f"{path}: stored metadata: {text}" for _, text in faults]
            tables.stop_if(problems, InvalidPlan)
            _check_hash(path, stored["instance_hash"], instance)
            fields = _fields(path, stored)
    tables.stop_if(problems, InvalidPlan)
    rows = _aligned(found, instance)
    cells = {name: np.asarray(found.columns[name])[rows] for name in ("burden", "payment")}
    plan = _plan(path, instance, cells, fields)
    _check_cost(found, plan, rows)
    return plan


def _aligned(found: tables.Table, instance: Instance) -> Any:
    """For every user of the instance the row of the table; InvalidPlan if the ids differ."""
    names = np.asarray(found.columns["id"]).tolist()
    if names == instance.ids.tolist():
        return np.arange(instance.n)
    place: dict[str, int] = {}
    problems = []
    for row, name in enumerate(names):
        if name in place:
            problems.append(f"{found.where(row)}: id {name!r} occurs twice")
        place[name] = row
    known = set(instance.ids.tolist())
    problems += [
        f"{found.where(row)}: id {name!r} is no user of the instance"
        for row, name in enumerate(names)
        if name not in known
    ]
    problems += [f"{found.path}: {name!r} is missing" for name in known if name not in place]
    if problems:
        more = [f"{found.path}: and {len(problems) - tables.SHOWN} more like these"]
        raise InvalidPlan(
            [
                f"{found.path}: does not match its instance",
                *problems[: tables.SHOWN],
                *(more if len(problems) > tables.SHOWN else []),
            ]
        )
    return np.array([place[name] for name in instance.ids.tolist()])


def _check_cost(found: tables.Table, plan: Plan, rows: Any) -> None:
    """The stated costs must be those of the instance, or the plan belongs to another one."""
    if "cost" not in found.columns:
        return
    assert plan.burden is not None
    stated = np.asarray(found.columns["cost"], dtype=np.float64)[rows]
    actual = plan.instance.cost_of(plan.burden)
    wrong = np.abs(stated - actual) > tolerances.MONEY * np.maximum(np.abs(actual), 1)
    for user in np.flatnonzero(wrong | ~np.isfinite(stated))[:1].tolist():
        raise InvalidPlan(
            f"{found.where(int(rows[user]))}: does not match its instance: the cost is "
            f"{stated[user]:g}, but this burden costs {plan.instance.name(user)} {actual[user]:g}"
        )

"""Plans in files: JSON with everything known about the answer, CSV and Parquet by user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Context, Decimal, Inexact, localcontext
from fractions import Fraction
from math import fsum, inf, nextafter
from pathlib import Path
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.common import header
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray, IntArray
from mechopt.atomic import STANDARD
from mechopt.errors import InvalidPlan
from mechopt.files import documents, instances, tables
from mechopt.problem import numbers

COLUMNS = tables.ColumnLayout(
    required=("id", "burden", "payment"),
    optional=("cost", "utility", "stays"),
    text=("id", "stays"),
    blanks={"utility": 0.0},
)
# Up to this many users a JSON plan carries its instance; larger ones name its file.
INLINE = 1000
# beside what every answer says of itself
HEAD = (
    *("protocol", "order", "level", "share", "total", "reserve", "right", "failure_bonus"),
    *("unconditional", "shortfall", "metrics", "details", "options"),
)
DERIVED = ("gap", "level", "share", "total", "metrics")


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
    capacity = plan.instance.capacity
    return _raised(plan.burden, capacity, binary_goal - binary, decimal_goal - decimal)


def _raised(
    column: FloatArray, most: FloatArray, binary: Fraction, decimal: Fraction
) -> FloatArray:
    """The column, raised up to `most` by what is missing in binary and in decimal digits, (n,).

    The largest entries by size are raised first.
    """
    raised = column.copy()
    for user in _largest_first(np.abs(column), np.flatnonzero((column != 0) & (column < most))):
        if binary <= 0 and decimal <= 0:
            break
        old = float(column[user])
        goal, spelled = Fraction(old) + binary, Fraction(repr(old)) + decimal
        new = max(old, float(goal), float(spelled))
        while Fraction(new) < goal or Fraction(repr(new)) < spelled:
            new = nextafter(new, inf)
        new = min(new, float(most[user]))
        binary -= Fraction(new) - Fraction(old)
        decimal -= Fraction(repr(new)) - Fraction(repr(old))
        raised[user] = new
    return arrays.freeze(raised)


def _largest_first(column: FloatArray, users: IntArray) -> Iterator[int]:
    """The users by descending entry, ties by position; the first are found without sorting all."""
    few = 256
    if users.size > few:
        least = np.partition(column[users], -few)[-few]
        most = users[column[users] > least]
        yield from most[np.argsort(-column[most], kind="stable")].tolist()
        users = users[column[users] <= least]
    yield from users[np.argsort(-column[users], kind="stable")].tolist()


def paid(plan: Plan) -> FloatArray:
    """Payments as floats whose sum keeps to the budget in binary and in decimal digits, (n,).

    Where rounding alone has taken it beyond, the largest payments are lowered by the last digits.
    """
    assert plan.payment is not None
    budget, payment = plan.instance.budget, plan.payment
    total = fsum(payment.tolist()) if budget < inf and plan.instance.payment_step == 0 else 0.0
    if total < budget * (1 - tolerances.ULPS) or total > budget * (1 + tolerances.REACH):
        return payment  # well within, or beyond by itself
    exact = Fraction(plan.instance.exact("budget").item())
    contact = Fraction(0)
    if "contact_cost" in plan.instance.said:
        assert plan.burden is not None
        contact = _decimal_sum(plan.instance.contact_cost[plan.burden > 0])
    positive = payment[payment > 0]
    binary = _binary_sum(positive) + contact - min(exact, Fraction(budget))
    decimal = _decimal_sum(positive) + contact - min(exact, Fraction(repr(budget)))
    return -_raised(-payment, np.zeros(payment.size), binary, decimal)


def _binary_sum(entries: FloatArray) -> Fraction:
    """The exact sum of floats."""
    return sum(map(Fraction, arrays.exact_parts(entries)), Fraction(0))


def _decimal_sum(entries: FloatArray) -> Fraction:
    """The exact sum of the shortest decimals that stand for floats."""
    from mechopt.files import arrow_tables

    found = arrow_tables.decimal_sum(entries)
    if found is not None:
        return found
    with localcontext(_EXACTLY):
        return Fraction(sum(map(Decimal, map(repr, entries.tolist())), Decimal(0)))


# Sums of float64 numbers have at most 309 + 1074 decimal digits: addition is exact.
_EXACTLY = Context(prec=1400, traps=[Inexact])


def shown(plan: Plan, burden: FloatArray, payment: FloatArray | None = None) -> dict[str, Any]:
    """id, burden, payment, cost, utility, stays: what happens under the plan's protocol, (n,).

    `burden` and `payment` are the plan's, or as `written` and `paid`. `cost` is C_i(x_i), `utility`
    the payoff of the model in that outcome, money.
    """
    instance = plan.instance
    outcome = plan.withdrawal().outcome
    cost = instance.cost_of(burden)
    borne = outcome.costs
    if plan.unconditional and not outcome.trains:  # bought, whatever comes of it
        borne = cost
    elif plan.burden is not None and burden is not plan.burden:  # as written: rounded
        change = cost - instance.cost_of(plan.burden)
        kept = outcome.stay & outcome.trains
        borne = borne + np.where(kept, 1.0, 1 - instance.reversibility) * change
    enjoyed = np.where(outcome.stay, 1.0, 1 - instance.exclusion)
    gains = enjoyed * instance.value * outcome.share + outcome.payments
    utility = gains - borne
    utility[np.abs(utility) <= tolerances.REACH * borne] = 0.0  # the rounding of a binding row
    return {
        "id": instance.ids,
        "burden": burden,
        "payment": plan.payment if payment is None else payment,
        "cost": cost,
        "utility": utility,
        "stays": outcome.stay,
    }


# -- writing ------------------------------------------------------------------------------------


def head(plan: Plan) -> dict[str, Any]:
    """Everything known about the answer but the users' columns."""
    known = {name: getattr(plan, name) for name in HEAD}
    if plan.is_exact:
        known["failure_bonus"] = numbers.spelled(plan.exact("failure_bonus").item())
    order = plan.order
    return {
        **header(plan, "plan"),
        **known,
        "order": order if isinstance(order, str) else np.asarray(order).tolist(),
        "instance_hash": plan.instance.hash,
    }


def document(
    plan: Plan,
    *,
    instance_path: Path | None = None,
    folder: Path | None = None,
    columns: Mapping[str, str] | None = None,
    users: str | None = None,
    inline: float = INLINE,
) -> dict[str, Any]:
    """The JSON document of a plan.

    It carries the instance up to `inline` users. Larger instances are named by their file
    `instance_path` (a table with the headings `columns`) if that lies in the `folder` of the plan,
    and otherwise left to the reader. `users` names a table that holds the users' part instead.
    """
    found: Any = None
    if plan.instance.n <= inline:
        found = instances.document(plan.instance)
    elif instance_path is not None and folder is not None and str(instance_path) not in STANDARD:
        found = instances.reference(instance_path, folder)
        if found is not None and documents.suffix(instance_path) in tables.SUFFIXES:
            found = instances.document(plan.instance, users=found)
    part: Any = users
    if plan.has_answer and users is None:
        part = shown(plan, written(plan), paid(plan))
        if plan.is_exact:
            exact = {
                name: numbers.column_spelled(plan.exact(name)) for name in ("burden", "payment")
            }
            if all(
                len(str(entry)) <= numbers.LONGEST_NUMBER for one in exact.values() for entry in one
            ):
                part |= exact  # else what is written are the floats that reach the threshold
    about = {"columns": dict(columns)} if columns and isinstance(found, dict) else {}
    return {**head(plan), **about, "instance": found, "users": part}


def table(plan: Plan, *, people: bool = False, only_asked: bool = False) -> dict[str, Any]:
    """The columns of a table; InvalidPlan if there is no answer to write.

    `people`: also what the users' table says of them besides; `only_asked`: those with a burden.
    """
    if not plan.has_answer:
        raise InvalidPlan(
            f"the plan is {plan.status} and has no burdens to write as a table; write it as .json"
        )
    found = shown(plan, written(plan), paid(plan))
    found |= {name: _twelve_digits(found[name]) for name in ("cost", "utility")}
    if people:
        taken = set(map(tables.plain, found))
        found |= {
            name: column
            for name, column in plan.instance.others.items()
            if tables.plain(name) not in taken
        }
    if only_asked:
        asked = (found["burden"] > 0) | (found["payment"] > 0)
        found = {name: np.asarray(column)[asked] for name, column in found.items()}
    return found


_SIZES = 1e-200, 1e200  # of numbers whose digits can be counted by powers of ten


def _twelve_digits(column: FloatArray) -> FloatArray:
    """Numbers without the last digits of their rounding: 8.05 for 8.049999999999999."""
    size = np.abs(column)
    with np.errstate(divide="ignore"):
        place = np.where(
            (size > _SIZES[0]) & (size < _SIZES[1]), 11 - np.floor(np.log10(size)), 0.0
        )
    scale = 10.0 ** np.clip(place, 0, 22)  # powers that a float has exactly
    return np.where(place > 0, np.round(column * scale) / scale, column)


def side(path: Path) -> Path:
    """The file beside a table of a plan that says what the plan is for, and how it was made."""
    return path.with_name(path.name + ".json")

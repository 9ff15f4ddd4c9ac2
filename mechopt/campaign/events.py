"""One line of the log: who, what, how much, when.

    {"id": "ana", "event": "gave", "amount": 6.5, "time": "2026-03-01T09:00:00Z"}

`invited` was asked; `gave` amount data (default: all that is still to come of what he was asked
for); `reported` a cost of amount money per unit; `withdrew` amount data (default: all); `failed`:
amount of what was still to come will not come (default: all of it); `closed`: the window for
withdrawals is over, for one user, or for everybody without an id; `paid` amount money. An event
that is in the log twice, word for word, counts once; two gifts of the same amount need a time or a
"key" that tells them apart. Unknown fields are kept and mean nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from math import isfinite
from typing import Any

from mechopt.errors import InvalidInput

KINDS = ("invited", "gave", "reported", "withdrew", "failed", "closed", "paid")
NEEDS_AMOUNT = ("reported", "paid")
LONGEST_LINE = 100_000  # characters


class InvalidEvent(InvalidInput):
    """An event that cannot stand in the log; the message names field and value."""


@dataclass(frozen=True)
class Event:
    """One event; `place` is its position in the log (from 1), `amount` exact."""

    place: int
    user: str | None
    kind: str
    amount: Fraction | None
    time: datetime | None
    said_time: str | None
    identity: str


def line_of(event: Mapping[str, Any]) -> str:
    """The event as one line of the log, checked. Raises InvalidEvent."""
    try:
        text = json.dumps(dict(event), ensure_ascii=False, allow_nan=False, default=_number)
    except (TypeError, ValueError) as error:
        raise InvalidEvent(f"event: {error}") from None
    if len(text) > LONGEST_LINE:
        raise InvalidEvent(f"event: has {len(text):,} characters; at most {LONGEST_LINE:,}")
    event_of(text, 0)
    return text


def _number(entry: Any) -> Any:
    if isinstance(entry, Fraction):
        return str(entry)
    if hasattr(entry, "item"):
        return entry.item()
    raise TypeError(f"{entry!r:.40} is no number, text or list")


def event_of(line: str, place: int) -> Event:
    """The event a line says. Raises InvalidEvent: torn, no JSON, or a field that is wrong."""
    try:
        said = json.loads(line, parse_float=Fraction, parse_int=_whole, parse_constant=_refuse)
    except (ValueError, RecursionError, ZeroDivisionError, OverflowError) as error:
        if isinstance(error, json.JSONDecodeError):
            raise InvalidEvent(f"is torn or no JSON ({error.msg})") from None
        raise InvalidEvent(f"is no event: {error}") from None
    if not isinstance(said, dict):
        raise InvalidEvent("is no JSON object")
    kind = said.get("event")
    if kind not in KINDS:
        raise InvalidEvent(
            f"event: {str(kind)[:40]!r} is not known; it is one of: {', '.join(KINDS)}"
        )
    user = said.get("id")
    if isinstance(user, Fraction):
        user = str(user)
    if user is not None and not isinstance(user, str):
        raise InvalidEvent(f"id: must be text, got {str(user)[:40]!r}")
    if user is None and kind != "closed":
        raise InvalidEvent(f"id: is missing; only 'closed' is said of everybody, not {kind!r}")
    amount = _amount(said.get("amount"), kind)
    time = said.get("time")
    moment = _moment(time)
    identity = json.dumps(
        {name: str(value) for name, value in said.items()}, sort_keys=True, ensure_ascii=False
    )
    return Event(place, user, kind, amount, moment, time, identity)


def _whole(text: str) -> Fraction:
    if len(text) > 310:
        raise ValueError(f"a number has {len(text):,} digits")
    return Fraction(int(text))


def _refuse(text: str) -> Fraction:
    raise ValueError(f"{text} is no number")


def _amount(entry: Any, kind: str) -> Fraction | None:
    if entry is None:
        if kind in NEEDS_AMOUNT:
            raise InvalidEvent(f"amount: is missing; {kind!r} needs one")
        return None
    if isinstance(entry, str):
        try:
            entry = Fraction(entry) if len(entry) <= 310 else None
        except (ValueError, ZeroDivisionError):
            entry = None
    if not isinstance(entry, Fraction) or not _in_range(entry):
        raise InvalidEvent(f"amount: must be a number ≥ 0, got {str(entry)[:40]!r}")
    return entry


def _in_range(number: Fraction) -> bool:
    try:
        return number >= 0 and isfinite(float(number))
    except OverflowError:
        return False


def _moment(time: Any) -> datetime | None:
    if time is None:
        return None
    try:
        moment = datetime.fromisoformat(time)
    except (TypeError, ValueError):
        raise InvalidEvent(
            f"time: must be like 2026-03-01 or 2026-03-01T09:00:00Z, got {str(time)[:40]!r}"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment

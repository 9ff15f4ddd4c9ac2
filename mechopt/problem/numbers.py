"""Numbers as files spell them: plain decimals, and exact fractions such as "1/3"."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Any

import numpy as np

from mechopt.arrays import LONGEST_NUMBER as LONGEST_NUMBER
from mechopt.arrays import number as number

# Above this many users integers are read as floats (the same numbers below 2^53): exact
# arithmetic on objects is for small instances. `exact=True` overrides.
EXACT_ROWS = 10_000


def apart(*amounts: float) -> list[str]:
    """The amounts with six digits, or with as many as it takes to tell them apart."""
    for digits in range(6, 18):
        texts = [f"{amount:.{digits}g}" for amount in amounts]
        if len(set(texts)) == len(set(amounts)):
            break
    return texts


def decimal_hook(text: str) -> Fraction | float:
    """For `json.loads(parse_float=…)` in exact reading: decimals as Fractions."""
    value = number(text, exact=True)
    return value if isinstance(value, float) else Fraction(value)


def integer_hook(text: str) -> int:
    """For `json.loads(parse_int=…)`: an integer that a float can hold."""
    if len(text) > 310:
        raise ValueError(f"a number has {len(text):,} digits")
    return int(text)


def column(raw: Sequence[Any], *, exact: bool) -> tuple[Any, list[tuple[int, str]]]:
    """JSON numbers and numeric strings as one column, and (position, fault) of every bad entry.

    Bad entries are replaced by 1. Integers and "p/q" stay exact up to `EXACT_ROWS` entries.
    """
    kinds = set(map(type, raw))
    keep_exact = exact or len(raw) <= EXACT_ROWS
    if kinds == {float} or (kinds <= {int, float} and not keep_exact):
        try:
            return np.array(raw, dtype=np.float64), []
        except OverflowError:
            pass  # an integer beyond 1e308, found below
    out: list[Any] = []
    faults: list[tuple[int, str]] = []
    for position, entry in enumerate(raw):
        try:
            out.append(one(entry))
        except ValueError as error:
            faults.append((position, str(error)))
            out.append(1)
    if not keep_exact:
        return np.array([float(entry) for entry in out], dtype=np.float64), faults
    return out, faults


def one(entry: Any) -> int | float | Fraction:
    """A JSON entry as a number; ValueError says why it is none."""
    if isinstance(entry, str):
        entry = number(entry, exact=True)
    if isinstance(entry, Decimal):
        entry = Fraction(entry)
    if entry is None:
        raise ValueError("is null, not a number")
    if isinstance(entry, bool) or not isinstance(entry, (int, float, Fraction)):
        raise ValueError(f"{str(entry)[:40]!r} is not a number")
    if not isinstance(entry, float):
        try:
            float(entry)
        except OverflowError:
            raise ValueError("is larger than 1e308") from None
    return entry


def spelled(entry: Any) -> int | float | str | None:
    """How an exact or float number is written in JSON so that it reads back the same."""
    if entry is None:
        return None
    if isinstance(entry, str):
        entry = number(entry, exact=True)
    if isinstance(entry, (Decimal, Fraction)):
        ratio = Fraction(entry)
        return ratio.numerator if ratio.denominator == 1 else str(ratio)
    if isinstance(entry, (int, np.integer)):
        return int(entry)
    value = float(entry)
    return value if isfinite(value) else None


def column_spelled(raw: Any) -> list[Any]:
    """A column as JSON entries (see `spelled`)."""
    if isinstance(raw, np.ndarray) and raw.dtype.kind in "fiu":
        return raw.tolist()
    return [column_spelled(entry) if np.ndim(entry) else spelled(entry) for entry in raw]

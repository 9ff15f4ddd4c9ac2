"""Turning what callers pass (scalars, lists, arrays, Decimals, Fractions) into arrays.

Two views of the same numbers exist: float64 arrays, on which the algorithms run, and, when every
number given was an integer, a `Decimal`, a `Fraction` or a string such as "1/3", object arrays of
`Fraction`, on which ties are decided exactly.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from math import frexp, fsum, inf, ldexp
from typing import Any

import numpy as np
import numpy.typing as npt

from mechopt import tolerances

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
ExactArray = npt.NDArray[np.object_]  # of Fraction

# At most three digits of exponent: "1e999999999" as a fraction would fill the memory.
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_RATIO = re.compile(r"[+-]?\d+/0*[1-9]\d*", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
LONGEST_NUMBER = 1000  # characters; the longest exact decimal of a float64 has 767 digits
_NOT_FINITE = {"nan", "inf", "-inf", "+inf", "infinity", "-infinity"}
_EXACT_TYPES = (int, np.integer, Decimal, Fraction, str)


def number(text: str, *, exact: bool) -> int | float | Fraction:
    """The number `text` spells: an int, a Fraction for "p/q" and, if `exact`, for decimals.

    Without `exact` a decimal is a float. "nan" and "inf" are read (and refused later, by field).
    Raises ValueError with the reason.
    """
    text = text.strip()
    if not text:
        raise ValueError("is empty")
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} characters is too long")
    if text.lower() in _NOT_FINITE:
        return float(text)
    if _INTEGER.fullmatch(text):
        return int(text)
    if _RATIO.fullmatch(text):
        return Fraction(text)
    if _DECIMAL.fullmatch(text):
        return Fraction(text) if exact else float(text)
    raise ValueError(f"{text[:40]!r} is not a number")


def own(raw: Any) -> Any:
    """A private copy of what a caller passes, which nobody can change.

    Scalars stay; arrays become read-only copies; lists, ranges, Series of any library,
    `array.array` and memoryviews become read-only arrays (of floats, or of integers) or, where
    their entries are of mixed or exact kinds, tuples. Raises ValueError on what hides entries: a
    masked array with masked ones, sets, mappings, iterators.
    """
    if raw is None or isinstance(raw, (float, *_EXACT_TYPES, bool, complex, bytes)):
        return raw
    masked = sys.modules.get("numpy.ma")  # not loaded: there are none
    if masked is not None and isinstance(raw, masked.MaskedArray):
        if masked.is_masked(raw):
            raise ValueError("is a masked array; fill or drop the masked entries first")
        raw = np.asarray(raw.data)
    if isinstance(raw, (list, tuple, range)):
        kinds = set(map(type, raw))
        if kinds and kinds <= {float, np.float64}:
            return freeze(np.array(raw, dtype=np.float64))
        plain = kinds <= {int, str, Fraction, Decimal, float}
        return tuple(raw) if plain else tuple(map(own, raw))
    if not isinstance(raw, (np.ndarray, np.generic)):
        if isinstance(raw, (set, frozenset, Mapping)) or hasattr(raw, "__next__"):
            raise ValueError(f"is a {type(raw).__name__}; give a list or an array")
        raw = raw.to_numpy() if hasattr(raw, "to_numpy") else raw
        found = np.asarray(raw)
        if found.ndim == 0 and found.dtype.kind == "O":
            return raw  # no number: said by `to_float`, with its place
        raw = found
    if raw.dtype.kind in "UOS":
        return own(raw.tolist()) if raw.ndim else own(raw.item())
    return freeze(np.array(raw)) if raw.ndim else raw[()]


def to_float(raw: Any) -> FloatArray:
    """The numbers in `raw` as a float64 array of the same shape.

    Raises ValueError (with the position in `args[1]`, where known) on what is no number.
    """
    if isinstance(raw, np.ndarray) and raw.dtype.kind in "fiu":
        return np.array(raw, dtype=np.float64)
    if isinstance(raw, np.ndarray) and raw.dtype.kind == "b":
        raise ValueError("True/False is not a number", None)
    if isinstance(raw, float):
        return np.asarray(raw, dtype=np.float64)
    if isinstance(raw, (list, tuple)) and all(type(entry) is float for entry in raw):
        return np.array(raw, dtype=np.float64)
    boxed = np.array(raw, dtype=object)
    flat = boxed.ravel()
    out = np.empty(flat.size, dtype=np.float64)
    for position, entry in enumerate(flat):
        out[position] = _one_float(entry, position)
    return out.reshape(boxed.shape)


def _one_float(entry: Any, position: int) -> float:
    if isinstance(entry, (bool, np.bool_, complex, np.complexfloating, bytes)) or entry is None:
        raise ValueError(f"{entry!r:.40} is not a number", position)
    if isinstance(entry, str):
        try:
            return float(number(entry, exact=True))
        except ValueError as error:
            raise ValueError(str(error), position) from None
        except OverflowError:
            raise ValueError("is larger than 1e308", position) from None
    try:
        return float(entry)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{entry!r:.40} is not a number", position) from None


def is_exact(raw: Any) -> bool:
    """Whether every number in `raw` is an int, Decimal, Fraction or numeric string."""
    if isinstance(raw, np.ndarray) and raw.dtype.kind != "O":
        return raw.dtype.kind in "iu"
    if isinstance(raw, (float, np.floating)):
        return False
    if isinstance(raw, _EXACT_TYPES):
        return True
    if isinstance(raw, (list, tuple, np.ndarray)):
        return all(map(is_exact, raw))
    return False


def to_exact(raw: Any) -> ExactArray:
    """The numbers in `raw` as an object array of Fraction (floats by their binary value)."""
    boxed = np.array(raw, dtype=object)
    out = np.empty(boxed.shape, dtype=object)
    flat_in, flat_out = boxed.ravel(), out.reshape(-1)
    for position, entry in enumerate(flat_in):
        if isinstance(entry, str):
            entry = number(entry, exact=True)
        if entry is not None:  # None: left open
            entry = Fraction(int(entry) if isinstance(entry, np.integer) else entry)
        flat_out[position] = entry
    return out


def freeze(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`array`, made read-only."""
    array.setflags(write=False)
    return array


def everywhere(entry: float | str, n: int) -> npt.NDArray[Any]:
    """`entry` n times, read-only, in the memory of one."""
    one = freeze(np.array([entry]))
    return np.ndarray((n,), one.dtype, one, strides=(0,))


def count_within(bounds: npt.NDArray[Any], totals: Any) -> Any:
    """How many of the ascending bounds (K,) each total reaches: `searchsorted` from the right."""
    many = isinstance(totals, np.ndarray) and totals.dtype != object and totals.size > 100
    if not many or bounds.dtype == object or not 0 < bounds.size <= 4:
        return np.searchsorted(bounds, totals, side="right")
    count = (totals >= bounds[0]).astype(np.int64)
    for bound in bounds[1:]:
        count += totals >= bound
    return count


def exact_sum(column: FloatArray, *more: float) -> float:
    """Σ column + Σ more, correctly rounded (so its sign is exact). The sum may not overflow."""
    return fsum([*exact_parts(column), *more])


def exact_parts(column: FloatArray) -> list[float]:
    """Floats, few if the array is large, whose sum is Σ column without any rounding.

    Large arrays are split by error-free extraction (Rump, Ogita, Oishi 2008, AccSum): the leading
    parts of all entries of a block lie on one grid, so that adding them is exact in any order.
    """
    if column.size < 800:  # fewer entries are added faster one by one
        return column.tolist()
    parts: list[float] = []
    size = min(_BLOCK, column.size)
    head, buffer = np.empty(size), np.empty(size)
    for start in range(0, column.size, _BLOCK):
        rest = column[start : start + _BLOCK]
        upper, left = head[: rest.size], buffer[: rest.size]
        largest = max(float(rest.max()), -float(rest.min()))
        while largest:
            grid = ldexp(1.0, frexp(largest)[1] + frexp(float(rest.size))[1])
            np.add(rest, grid, out=upper)
            upper -= grid
            parts.append(float(upper.sum()))
            rest = np.subtract(rest, upper, out=left)
            largest = (
                max(grid * 2.0**-53, _SMALLEST) if rest.any() else 0.0
            )  # half an ulp of the grid
    return parts


def sum_without(column: FloatArray, entries: FloatArray) -> FloatArray:
    """Σ column − entry for each of `entries`, to a few ulps of the result (no cancellation)."""
    parts = exact_parts(column)
    total = fsum(parts)
    rest = fsum([*parts, -total])  # total + rest is the sum to twice the precision
    left = total - entries
    taken = left - total  # the error of the difference (Knuth's two-sum) is added back
    error = (total - (left - taken)) - (entries + taken)
    return left + (error + rest)


_SMALLEST = 5e-324  # the float next to 0
_BLOCK = 2**14  # entries that stay in the processor's cache while they are split


def settle(
    burden: FloatArray, upper: FloatArray, amount: float, cut: int | None = None
) -> FloatArray:
    """`burden` with its sum moved to `amount`, so that Σ x_i ≥ amount holds exactly.

    Rounding leaves the sum a few ulps off. One user with room both ways takes up the difference:
    `cut`, whose piece was taken in part, or else the smallest such burden, whose ulps are finest,
    for whom it still is next to nothing (`_NOTICED`). If there is none the largest burden is
    stretched by those ulps; more than rounding goes to whoever has room. Returns a new array.
    """
    burden = burden.copy()
    parts = [*exact_parts(burden), -amount]  # their sum, without rounding, is Σ x_i − amount
    missing, dust = -fsum(parts), tolerances.rounding(burden.size) * amount
    if missing == 0:
        return burden

    def put(user: int, level: float) -> float:
        """Set one burden; what is missing then, correctly rounded, so that its sign is exact."""
        parts.extend((-float(burden[user]), level))
        burden[user] = level
        return -fsum(parts)

    user = cut
    if user is None or not 0 < burden[user] < upper[user]:
        inner = np.flatnonzero((burden > 0) & (burden < upper))
        if abs(missing) <= dust:
            inner = inner[burden[inner] >= _NOTICED * abs(missing)]
        user = int(inner[np.argmin(burden[inner])] if inner.size else np.argmax(burden))
    if missing < 0 and 0 < burden[user] < upper[user] and burden[user] + missing > 0:
        missing = put(user, float(burden[user] + missing))  # overshoot: take it back
    while missing > 0:
        room = float(upper[user] - burden[user])
        if missing > dust and room <= 0:
            open_ = np.flatnonzero(burden < upper)
            if open_.size:
                user = int(open_[np.argmax(upper[open_] - burden[open_])])
                continue
        elif missing <= dust and burden[user] < _NOTICED * missing:
            user = int(np.argmax(burden))
        step = missing if missing <= max(room, dust) or room <= 0 else room
        missing = put(user, max(float(burden[user] + step), float(np.nextafter(burden[user], inf))))
    return burden


_NOTICED = 1e10  # so many times what is moved, a burden's cost is as good as unchanged

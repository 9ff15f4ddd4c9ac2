"""Reading arguments: numbers in whatever form callers have them, every fault with its place.

Instance, Group, Population and Plan read what they are given through one `Reader`; files turn its
faults into sentences with rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, isnan
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import FloatArray
from mechopt.errors import Fault, InvalidInput
from mechopt.problem.fields import RULES

SHOWN = 5  # rows quoted per kind of fault; the rest are counted
# Numbers between these can be multiplied and summed in any formula here without overflow.
LARGEST, SMALLEST = 1e60, 1e-60


def nobody(row: int) -> str:
    """No name for a row."""
    del row
    return ""


class Reader:
    """Reads and checks arguments one by one; `stop` raises all their faults together."""

    def __init__(self, error: type[InvalidInput]) -> None:
        self.error = error
        self.faults: list[Fault] = []

    def fault(
        self, field: str, text: str, place: Sequence[int | np.integer[Any]] = (), who: str = ""
    ) -> None:
        """Record one fault."""
        self.faults.append(Fault(field, text, tuple(map(int, place)), who))

    def some(self, field: str, faults: Sequence[Fault], count: int | None = None) -> None:
        """Record the first faults of a kind; of `count` in all, the others as a number."""
        self.faults += faults[:SHOWN]
        more = (len(faults) if count is None else count) - SHOWN
        if more > 0:
            self.fault(field, f"and {more} more rows like these")

    def faulty(self, *fields: str) -> bool:
        """Whether one of the fields has a fault already."""
        return any(fault.field.split(".")[0] in fields for fault in self.faults)

    def stop(self) -> None:
        """Raise what was found, if anything was."""
        if self.faults:
            raise self.error(self.faults)

    # -- numbers --------------------------------------------------------------------------------

    def own(self, field: str, raw: Any) -> Any:
        """A private, unchangeable copy of an argument; None if it cannot be one."""
        try:
            return arrays.own(raw)
        except ValueError as error:
            self.fault(field, str(error))
            return None

    def floats(self, field: str, raw: Any, *, most: int = 1) -> FloatArray | None:
        """The numbers in `raw` (see `own`), with at most `most` dimensions; None if faulty."""
        if raw is None:
            return None
        try:
            array = arrays.to_float(raw)
        except ValueError as error:
            reason, *place = error.args
            if not place:
                reason = "entries have different lengths"
            known = place and place[0] is not None and isinstance(raw, (list, tuple, np.ndarray))
            self.fault(field, str(reason), place if known else ())
            return None
        if array.ndim > most:
            self.fault(field, f"expected a list of numbers, got shape {array.shape}")
            return None
        return array

    def vector(self, field: str, raw: Any) -> FloatArray:
        """One or more numbers, shape (m,); empty if faulty."""
        array = self.floats(field, raw)
        if array is None:
            if raw is None and not self.faulty(field):
                self.fault(field, "missing")
            return np.zeros(0)
        if array.size == 0:
            self.fault(field, "at least one is needed")
        return np.atleast_1d(array)

    def number(
        self, field: str, raw: Any, rule: str = "≥ 0", unit: str = "", *, limit: bool = True
    ) -> float:
        """One number that keeps to a rule of `fields.RULES`; infinite only without `limit`."""
        array = self.floats(field, raw)
        if array is None:
            if raw is None:
                self.fault(field, "missing")
            return 0.0
        if array.ndim:
            self.fault(field, f"expected one number, got {array.size}")
            return 0.0
        if not limit and LARGEST < array < inf:
            self.fault(field, f"must be at most {LARGEST:g}; leave it out for no limit")
        elif not (array == inf and not limit):
            self.check(field, array.reshape(1), rule, unit, who=None, also=None if limit else inf)
        return float(array)

    def check(
        self,
        field: str,
        array: FloatArray,
        rule: str,
        unit: str = "",
        *,
        who: Callable[[int], str] | None = nobody,
        also: float | None = None,
    ) -> None:
        """Faults of the entries that break a rule, or are no usable number.

        :who: how messages call a row; None for one number
        :also: what may stand there besides: NaN (not said), or infinity (no limit)
        """
        if _sound(array, rule):
            return
        if rule == "> 0":
            bad = ~(array > 0)
        elif rule == "≥ 0":
            bad = ~(array >= 0)
        elif rule == "0 or 1":
            bad = (array != 0) & (array != 1)
        else:
            bad = ~((array >= 0) & (array <= 1))
        bad |= np.isinf(array)
        limit = also != inf
        if also is not None and isnan(also):
            bad &= ~np.isnan(array)
        counted = rule in ("> 0", "≥ 0")
        finite = " and finite" * (limit and counted)
        said = RULES[rule] + (f" ({unit})" if unit else "") + finite
        kinds = [(bad, said)]
        if counted:
            beyond = ~bad & (array > LARGEST) if limit else np.zeros_like(bad)
            kinds.append((beyond, f"must be at most {LARGEST:g}; choose a larger unit"))
        tiny = ~bad & (array != 0) & (array < SMALLEST)
        kinds.append((tiny, f"must be 0 or at least {SMALLEST:g}; choose a smaller unit"))
        for wrong, rule in kinds:
            if not wrong.any():
                continue
            places = np.argwhere(wrong)
            if who is None:
                self.fault(field, f"{rule}, got {array.flat[0]:g}")
                continue
            found = [
                Fault(
                    field,
                    f"{rule}, got {array[tuple(place)]:g}",
                    tuple(map(int, place)),
                    who(int(place[0])),
                )
                for place in places[:SHOWN]
            ]
            self.some(field, found, len(places))

    def levels(self, thresholds: Any, shares: Any) -> tuple[FloatArray, FloatArray] | None:
        """T_1 < … < T_K and b_1 < … < b_K ≤ 1 (default (1,) if K = 1); None if faulty."""
        if thresholds is None:
            if not self.faulty("thresholds"):
                self.fault("thresholds", "missing; give the total of data that must be reached")
            return None
        reached = self.vector("thresholds", thresholds)
        share = self.vector("shares", 1 if shares is None else shares)
        if reached.size == 0 or share.size == 0:
            return None
        if shares is None and reached.size > 1:
            self.fault("shares", f"missing; {reached.size} thresholds need as many shares")
        elif share.size != reached.size:
            self.fault("shares", f"has {share.size} entries, but thresholds has {reached.size}")
        self.check("thresholds", reached, "> 0")
        outside = [k for k, number in enumerate(share.tolist()) if not 0 < number <= 1]
        self.some(
            "shares",
            [Fault("shares", f"must lie in (0, 1], got {share[k]:g}", (k,)) for k in outside],
        )
        self.increasing("thresholds", reached)
        self.increasing("shares", share)
        return reached, share

    def increasing(self, field: str, array: FloatArray) -> None:
        """Faults of entries that do not exceed the one before (where both are positive)."""
        if array.size < 2:
            return
        low = np.flatnonzero((array[1:] <= array[:-1]) & (array[1:] > 0)) + 1
        found = [
            Fault(field, f"must exceed {field}[{k - 1}] = {array[k - 1]:g}, got {array[k]:g}", (k,))
            for k in low.tolist()
        ]
        self.some(field, found)

    # -- cost curves ----------------------------------------------------------------------------

    def curve(self, widths: FloatArray, slopes: FloatArray) -> None:
        """Faults of segments: widths ≥ 0, slopes > 0 and non-decreasing; shape (J,) or (n, J)."""
        self.check("segments.widths", widths, "≥ 0")
        self.check("segments.slopes", slopes, "> 0")
        with np.errstate(invalid="ignore"):  # an infinite slope is a fault already named
            falls = np.argwhere(np.diff(slopes, axis=-1) < 0)
        found = []
        for place in falls[:SHOWN]:
            place = tuple(map(int, place))
            after = (*place[:-1], place[-1] + 1)
            text = (
                "slopes must not decrease (the cost must be convex), "
                f"got {slopes[after]:g} after {slopes[place]:g}"
            )
            found.append(Fault("segments.slopes", text, after))
        self.some("segments.slopes", found, len(falls))

    def agree(
        self,
        capacity: FloatArray,
        total: FloatArray,
        who: Callable[[int], str] | None = nobody,
    ) -> None:
        """Faults where a capacity is not the sum of the segments' widths, up to rounding."""
        off = np.abs(capacity - total) > tolerances.REACH * np.maximum(capacity, total)
        rows = np.flatnonzero(off).tolist()
        found = [
            Fault(
                "capacity",
                f"is {capacity[row]:g}, but the segment widths sum to {total[row]:g}; leave "
                "capacity out or make them agree",
                () if who is None else (row,),
                "" if who is None else who(row),
            )
            for row in rows[:SHOWN]
        ]
        self.some("capacity", found, len(rows))


def _sound(array: FloatArray, rule: str) -> bool:
    """Whether every entry keeps to the rule, by the least and the largest (NaN: it does not)."""
    if not array.size:
        return True
    if rule == "0 or 1":
        return bool(((array == 0) | (array == 1)).all())
    low, high = array.min(), array.max()
    if not high <= (1.0 if rule == "[0, 1]" else LARGEST):
        return False
    if low == 0 and rule != "> 0":
        return not array[array < SMALLEST].any()
    return bool(low >= SMALLEST)

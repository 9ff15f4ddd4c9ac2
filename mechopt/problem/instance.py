"""The provider's problem with known (or reported) costs: who could give what, and what it does.

Symbols and units are those of FORMULATION section 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import inf, isnan
from os import PathLike
from typing import Any

import numpy as np

from mechopt import arrays, doors
from mechopt.arrays import ExactArray, FloatArray
from mechopt.errors import InvalidInstance
from mechopt.problem import cost_curves as curves

_RIGHTS = ("exclusion", "committed")  # 0 unless said otherwise
_PER_USER = ("cost", "value", "capacity", "reversibility", "removable", *_RIGHTS)
_FIELDS = (
    *_PER_USER,
    "thresholds",
    "shares",
    "segments",
    "provider_value",
    "budget",
    "ids",
)
_SHOWN = 5  # rows quoted per kind of fault; the rest are counted


@dataclass(frozen=True)
class Units:
    """What an instance counts in, as multiples of the caller's units; see `problem.units`."""

    data: float = 1.0
    money: float = 1.0

    def of(self, dimension: tuple[int, int]) -> float:
        """The unit of data^a money^b."""
        a, b = dimension
        return float(self.data**a * self.money**b)


class Instance:
    """Users, thresholds and provider; frozen and validated. `replace()` makes variants.

    Parameters
    ----------
    cost : θ_i > 0, money per data unit, scalar or shape (n,)
    value : v_i ≥ 0, money, benefit of user i from the full improvement
    capacity : cap_i ≥ 0, data; may be left out when `segments` are given (then their total width)
    thresholds : T_1 < … < T_K, data, all > 0 (an exact T that is no float is rounded up)
    shares : 0 < b_1 < … < b_K ≤ 1, share of the full improvement reached; (1,) if K = 1
    reversibility : ρ_i ∈ [0, 1], share of the cost that withdrawing recovers
    removable : δ_i ∈ [0, 1], share of the data that leaves with a withdrawal
    exclusion : η_i ∈ [0, 1], share of the benefit lost by whoever withdraws (section 10)
    committed : y_i ∈ [0, cap_i], data already given that can no longer be withdrawn (section 10)
    segments : (widths, slopes) of the convex cost shape, each of shape (J,) (shared) or (n, J);
        slopes > 0 and non-decreasing. None: one segment of slope 1 and width `capacity`
    provider_value : V ≥ 0, money
    budget : β ≥ 0, money, or None for no limit
    ids : n distinct names; default "0" … "n-1"

    Numbers may be floats, integers, `Decimal`, `Fraction` or strings such as "1/3". If all are of
    the exact kinds, `is_exact` is true and ties are decided exactly.

    Attributes are read-only: `cost, value, capacity, reversibility, removable, exclusion,
    committed` of shape (n,), `thresholds, shares` of shape (K,), `widths, slopes` of shape
    (n, J), `provider_value`, `budget` (`inf` if none), `n`, `levels` (K).

    Raises
    ------
    InvalidInstance
        naming every field, user and value that is wrong, all together.
    """

    cost: FloatArray
    value: FloatArray
    capacity: FloatArray
    reversibility: FloatArray
    removable: FloatArray
    exclusion: FloatArray
    committed: FloatArray
    thresholds: FloatArray
    shares: FloatArray
    widths: FloatArray
    slopes: FloatArray
    provider_value: float
    budget: float
    n: int

    def __init__(
        self,
        cost: Any,
        value: Any,
        capacity: Any = None,
        thresholds: Any = None,
        shares: Any = None,
        *,
        reversibility: Any = 1,
        removable: Any = 1,
        exclusion: Any = 0,
        committed: Any = 0,
        segments: tuple[Any, Any] | None = None,
        provider_value: Any = 0,
        budget: Any = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        given = {
            "cost": cost,
            "value": value,
            "capacity": capacity,
            "thresholds": thresholds,
            "shares": shares,
            "reversibility": reversibility,
            "removable": removable,
            "exclusion": exclusion,
            "committed": committed,
            "segments": segments,
            "provider_value": provider_value,
            "budget": budget,
            "ids": ids,
        }
        _Builder(self, given).build()

    # -- sizes and names ------------------------------------------------------------------------

    @property
    def levels(self) -> int:
        """K, the number of thresholds."""
        return int(self.thresholds.size)

    @property
    def linear(self) -> bool:
        """Whether every cost curve is one segment."""
        return self.widths.shape[1] == 1

    @cached_property
    def ids(self) -> np.ndarray[Any, np.dtype[np.str_]]:
        """Names of the users, shape (n,)."""
        given = self._given["ids"]
        return np.arange(self.n).astype(str) if given is None else given

    @property
    def has_ids(self) -> bool:
        """Whether names were given (otherwise `ids` are positions)."""
        return self._given["ids"] is not None

    def name(self, user: int) -> str:
        """How messages call a user: position and, if it says more, the id."""
        if not self.has_ids:
            return f"user {user}"
        return f"user {user} (id {str(self.ids[user])!r})"

    @cached_property
    def has_exclusion(self) -> bool:
        """Whether anybody loses part of the benefit by withdrawing (some η_i > 0)."""
        return bool(np.any(self._given["exclusion"] != 0) and self.exclusion.any())

    @cached_property
    def has_committed(self) -> bool:
        """Whether anybody has given data for good (some y_i > 0)."""
        return bool(np.any(self._given["committed"] != 0) and self.committed.any())

    # -- the objects of section 1 ---------------------------------------------------------------

    def cost_of(self, burden: FloatArray) -> FloatArray:
        """C_i(x_i), money, shape (n,)."""
        return curves.cost_of(self.cost, self.widths, self.slopes, burden)

    def affordable(self, money: FloatArray) -> FloatArray:
        """The largest x_i ≤ cap_i with C_i(x_i) ≤ money_i, data, shape (n,)."""
        return curves.affordable(self.cost, self.widths, self.slopes, money)

    def level_of(self, total: float) -> int:
        """Number of thresholds ≤ total."""
        return int(np.searchsorted(self.thresholds, total, side="right"))

    def share_at(self, level: int) -> float:
        """b_level; b_0 = 0."""
        return float(self.shares[level - 1]) if level else 0.0

    # -- exact view -----------------------------------------------------------------------------

    @cached_property
    def is_exact(self) -> bool:
        """Whether every number was given as an int, Decimal, Fraction or string."""
        return all(
            self._given[field] is None or arrays.is_exact(self._given[field])
            for field in _FIELDS
            if field != "ids"
        )

    def exact(self, field: str) -> ExactArray:
        """`field` as Fractions, of the shape the float attribute has (`provider_value`: ()).

        Fields: the per-user ones, `thresholds`, `shares`, `widths`, `slopes`, `provider_value`.
        A float contributes its binary value; `is_exact` tells whether there were any.
        """
        cache = self.__dict__.setdefault("_exact_cache", {})
        if field not in cache:
            cache[field] = self._exact(field)
        return cache[field]

    def _exact(self, field: str) -> ExactArray:
        given = self._given
        if field in ("widths", "slopes"):
            if given["segments"] is None:
                exact = self.exact("capacity")[:, None]
                return exact if field == "widths" else arrays.to_exact(self.slopes.astype(int))
            raw = given["segments"][0 if field == "widths" else 1]
            shape = self.widths.shape
            if self._ragged:
                return arrays.to_exact(getattr(self, field))
            return np.broadcast_to(arrays.to_exact(raw), shape)
        if field == "capacity" and given["capacity"] is None:
            return self.exact("widths").sum(axis=1)
        if field == "shares" and given["shares"] is None:
            return arrays.to_exact([1])
        exact = arrays.to_exact(given[field])
        return np.broadcast_to(exact, np.shape(getattr(self, field)))

    # -- identity -------------------------------------------------------------------------------

    def replace(self, **changes: Any) -> Instance:
        """A variant with some constructor arguments changed."""
        unknown = sorted(set(changes) - set(_FIELDS))
        if unknown:
            raise InvalidInstance(
                f"{unknown[0]}: not a field of an instance; fields are {', '.join(_FIELDS)}"
            )
        given = dict(self._given)
        if "segments" in changes and "capacity" not in changes:
            given["capacity"] = None
        return Instance(**{**given, **changes})

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content (numbers as float64, and ids), in hexadecimal."""
        digest = hashlib.sha256()
        said = {"exclusion": self.has_exclusion, "committed": self.has_committed}
        for field in (*_PER_USER, "thresholds", "shares", "widths", "slopes"):
            if not said.get(field, True):
                continue  # the problem without it has the hash it always had
            digest.update(field.encode())
            digest.update(np.ascontiguousarray(getattr(self, field)).tobytes())
        digest.update(repr((self.provider_value, self.budget)).encode())
        if self.has_ids:
            digest.update("\x00".join(self.ids.tolist()).encode())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instance) and self.hash == other.hash

    def __hash__(self) -> int:
        return int(self.hash[:15], 16)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"an Instance is frozen; use replace({name}=…)")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._given,)

    def __repr__(self) -> str:
        return (
            f"Instance({self.n} users, T = {_brief(self.thresholds)}, "
            f"b = {_brief(self.shares)}, V = {self.provider_value:g}, budget = {self.budget:g})"
        )

    def write(self, path: str | PathLike[str]) -> None:
        """Write as JSON (kind `instance`); numbers read back are the same. See `mechopt.files`."""
        doors.write(self, path)

    units = Units()  # messages are in the caller's units: multiply by these
    _given: dict[str, Any]
    _ragged: bool


def _rebuild(given: dict[str, Any]) -> Instance:
    return Instance(**given)


def _brief(numbers: FloatArray) -> str:
    shown = ", ".join(f"{number:g}" for number in numbers[:4])
    return f"({shown}{', …' if numbers.size > 4 else ''})"


class _Builder:
    """Reads, broadcasts and checks the arguments; collects every fault before raising."""

    def __init__(self, target: Instance, given: dict[str, Any]) -> None:
        self.target = target
        self.given = given
        self.problems: list[str] = []

    def put(self, name: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            value = arrays.freeze(value)
        object.__setattr__(self.target, name, value)

    def build(self) -> None:
        given = self.given
        floats = {field: self.floats(field, given[field]) for field in _PER_USER}
        widths, slopes = self.segments(given["segments"])
        if floats["capacity"] is None and given["segments"] is None and not self.faulty("capacity"):
            self.problems.append("capacity: missing; give the most data each user can give")
        for field in ("cost", "value"):
            if floats[field] is None and not self.faulty(field):
                self.problems.append(f"{field}: missing")
        n = self.count(floats, widths)
        self.put("n", n)
        self.read_ids(n)
        for field in _PER_USER:
            array = floats[field]
            if array is None:
                continue
            floats[field] = array = np.broadcast_to(array, (n,)) if array.size in (1, n) else None
            if array is not None and not self.unsaid(field):
                self.check_range(field, array)
        self.level_fields()
        self.scalars()
        self.read_segments(floats, widths, slopes, n)
        self.stop_if_faulty()
        self.check_committed(floats)
        self.stop_if_faulty()
        for field in _PER_USER:
            array = floats[field]
            assert array is not None
            self.put(field, array if self.unsaid(field) else np.ascontiguousarray(array))
        self.put("_given", {key: _keep(raw) for key, raw in given.items()})
        if given["ids"] is not None:
            self.target._given["ids"] = arrays.freeze(np.asarray(given["ids"]).astype(str))

    def unsaid(self, field: str) -> bool:
        """Whether a right is left at 0 for everybody (one zero, seen n times, holds it)."""
        return field in _RIGHTS and np.ndim(self.given[field]) == 0 and self.given[field] == 0

    def faulty(self, field: str) -> bool:
        return any(problem.startswith(field) for problem in self.problems)

    def stop_if_faulty(self) -> None:
        if self.problems:
            raise InvalidInstance(self.problems)

    def floats(self, field: str, raw: Any) -> FloatArray | None:
        if raw is None:
            return None
        try:
            array = arrays.to_float(raw)
        except ValueError as error:
            position = error.args[1] if len(error.args) > 1 else None
            where = field if position is None or np.ndim(raw) == 0 else f"{field}[{position}]"
            reason = error.args[0] if len(error.args) > 1 else "entries have different lengths"
            self.problems.append(f"{where}: {reason}")
            return None
        if array.ndim > (2 if field.startswith("segments") else 1):
            self.problems.append(f"{field}: expected one number per user, got shape {array.shape}")
            return None
        return array

    def count(self, floats: dict[str, FloatArray | None], widths: FloatArray | None) -> int:
        """n: the common length of the per-user arguments."""
        sizes: dict[str, int] = {}
        for field, array in floats.items():
            if array is not None and array.ndim == 1:
                sizes[field] = array.size
        if self.given["ids"] is not None:
            sizes["ids"] = len(self.given["ids"])
        if widths is not None and widths.ndim == 2:
            sizes["segments"] = widths.shape[0]
        n = max(sizes.values(), default=1)
        if sizes and min(sizes.values()) == 0:
            self.problems.append("users: there are none; an instance needs at least one user")
            self.stop_if_faulty()
        # A list of length 1 is one user, not a scalar: only true scalars broadcast.
        odd = {field: size for field, size in sizes.items() if size != n}
        if odd:
            longest = next(field for field, size in sizes.items() if size == n)
            self.problems += [
                f"{field}: has {size} entries, but {longest} has {n}" for field, size in odd.items()
            ]
            self.stop_if_faulty()
        return n

    def read_ids(self, n: int) -> None:
        raw = self.given["ids"]
        if raw is None:
            return
        names = np.asarray(raw).tolist()
        if not all(map(_is_text, names)):
            names = list(map(str, names))
        distinct = set(names)
        if len(distinct) < len(names):
            first: dict[str, int] = {}
            twice = []
            for row, name in enumerate(names):
                if name in first:
                    twice.append(f"ids[{row}]: {name!r} is also the id of user {first[name]}")
                first.setdefault(name, row)
            self.add_some(twice, "ids")
        if "" in distinct:
            empty = [f"ids[{row}]: is empty" for row, name in enumerate(names) if not name]
            self.add_some(empty, "ids")

    def label(self, row: int | np.integer[Any]) -> str:
        ids = self.given["ids"]
        return "" if ids is None or row >= len(ids) else f" (id {str(ids[row])!r})"

    def add_some(self, faults: Sequence[str], field: str) -> None:
        self.problems += faults[:_SHOWN]
        if len(faults) > _SHOWN:
            self.problems.append(f"{field}: and {len(faults) - _SHOWN} more rows like these")

    def check_range(self, field: str, array: FloatArray) -> None:
        if field == "cost":
            bad, rule = ~(array > 0), "must be > 0 (money per data unit)"
        elif field == "value":
            bad, rule = ~(array >= 0), "must be ≥ 0 (money)"
        elif field in ("capacity", "committed"):
            bad, rule = ~(array >= 0), "must be ≥ 0 (data)"
        else:
            bad, rule = ~((array >= 0) & (array <= 1)), "must lie in [0, 1]"
        bad |= ~np.isfinite(array)
        if not bad.any():
            if field == "capacity" and not (array > 0).any():
                self.problems.append("capacity: is 0 for every user; nobody can give anything")
            return
        rows = np.flatnonzero(bad)
        if np.ndim(self.given[field]) == 0:
            self.problems.append(f"{field}: {rule} and finite, got {array[0]:g}")
            return
        faults = [
            f"{field}[{row}]{self.label(row)}: {rule} and finite, got {array[row]:g}"
            for row in rows[: _SHOWN + 1]
        ]
        self.problems += faults[:_SHOWN]
        if rows.size > _SHOWN:
            self.problems.append(f"{field}: and {rows.size - _SHOWN} more rows like these")

    def level_fields(self) -> None:
        if self.given["thresholds"] is None:
            self.problems.append("thresholds: missing; give the total of data that must be reached")
            return
        thresholds = self.floats("thresholds", self.given["thresholds"])
        raw = self.given["shares"]
        shares = self.floats("shares", 1 if raw is None else raw)
        if thresholds is None or shares is None:
            return
        thresholds, shares = np.atleast_1d(thresholds), np.atleast_1d(shares)
        if thresholds.size == 0:
            self.problems.append("thresholds: at least one is needed")
            return
        if raw is None and thresholds.size > 1:
            self.problems.append(
                f"shares: missing; {thresholds.size} thresholds need as many shares"
            )
        elif shares.size != thresholds.size:
            self.problems.append(
                f"shares: has {shares.size} entries, but thresholds has {thresholds.size}"
            )
        for k, threshold in enumerate(thresholds):
            if not threshold > 0 or not np.isfinite(threshold):
                self.problems.append(f"thresholds[{k}]: must be > 0 and finite, got {threshold:g}")
            elif k and not threshold > thresholds[k - 1]:
                self.problems.append(
                    f"thresholds[{k}]: must exceed thresholds[{k - 1}] = {thresholds[k - 1]:g}, "
                    f"got {threshold:g}"
                )
        for k, share in enumerate(shares):
            if not 0 < share <= 1:
                self.problems.append(f"shares[{k}]: must lie in (0, 1], got {share:g}")
            elif k and not share > shares[k - 1]:
                self.problems.append(
                    f"shares[{k}]: must exceed shares[{k - 1}] = {shares[k - 1]:g}, got {share:g}"
                )
        if arrays.is_exact(self.given["thresholds"]):
            thresholds = _at_least(thresholds, arrays.to_exact(self.given["thresholds"]))
        self.put("thresholds", thresholds)
        self.put("shares", shares)

    def scalars(self) -> None:
        for field, missing in (("provider_value", 0.0), ("budget", inf)):
            raw = self.given[field]
            if raw is None:
                number = missing
            else:
                array = self.floats(field, raw)
                if array is None:
                    continue
                if array.ndim:
                    self.problems.append(f"{field}: expected one number, got {array.size}")
                    continue
                number = float(array)
            if isnan(number) or number < 0 or (field == "provider_value" and number == inf):
                limit = "" if field == "budget" else " and finite"
                self.problems.append(f"{field}: must be ≥ 0{limit} (money), got {number:g}")
            self.put(field, number)

    def segments(self, raw: Any) -> tuple[FloatArray | None, FloatArray | None]:
        self.put("_ragged", False)
        if raw is None:
            return None, None
        try:
            raw_widths, raw_slopes = raw
        except (TypeError, ValueError):
            self.problems.append("segments: expected a pair (widths, slopes)")
            return None, None
        if _is_ragged(raw_widths) or _is_ragged(raw_slopes):
            self.put("_ragged", True)
            raw_widths, raw_slopes = self.pad(raw_widths, raw_slopes)
        widths = self.floats("segments.widths", raw_widths)
        slopes = self.floats("segments.slopes", raw_slopes)
        if widths is None or slopes is None:
            return None, None
        if widths.shape != slopes.shape or widths.ndim not in (1, 2) or widths.shape[-1] == 0:
            self.problems.append(
                f"segments: widths {widths.shape} and slopes {slopes.shape} must have the same "
                "shape, (J,) or (n, J) with J ≥ 1"
            )
            return None, None
        return widths, slopes

    def pad(self, widths: Any, slopes: Any) -> tuple[Any, Any]:
        """Ragged per-user lists, filled up with segments of width 0 (slope repeated)."""
        if not all(isinstance(one, (list, tuple)) for side in (widths, slopes) for one in side):
            self.problems.append("segments: widths and slopes must both be lists per user")
            self.stop_if_faulty()
        for row, (one, other) in enumerate(zip(widths, slopes)):
            if len(one) != len(other) or len(one) == 0:
                self.problems.append(
                    f"segments[{row}]{self.label(row)}: {len(one)} widths and {len(other)} slopes"
                )
        if len(widths) != len(slopes):
            self.problems.append(
                f"segments: widths of {len(widths)} users and slopes of {len(slopes)}"
            )
        self.stop_if_faulty()
        longest = max(len(one) for one in widths)
        return (
            [[*one, *[0] * (longest - len(one))] for one in widths],
            [[*one, *[one[-1]] * (longest - len(one))] for one in slopes],
        )

    def read_segments(
        self,
        floats: dict[str, FloatArray | None],
        widths: FloatArray | None,
        slopes: FloatArray | None,
        n: int,
    ) -> None:
        if widths is None or slopes is None:
            capacity = floats["capacity"]
            if capacity is not None:
                self.put("widths", capacity.reshape(n, 1))
                self.put("slopes", np.broadcast_to(np.ones((1, 1)), (n, 1)))
            return
        self.check_segments(widths, slopes)
        total = np.broadcast_to(widths.sum(axis=-1), (n,))
        capacity = floats["capacity"]
        if capacity is None:
            floats["capacity"] = total
            self.check_range("capacity", total) if not self.problems else None
        else:
            wrong = np.flatnonzero(np.abs(capacity - total) > 1e-12 * np.maximum(capacity, total))
            self.add_some(
                [
                    f"capacity[{row}]{self.label(row)}: is {capacity[row]:g}, but the segment "
                    f"widths sum to {total[row]:g}; leave capacity out or make them agree"
                    for row in wrong
                ],
                "capacity",
            )
        j = widths.shape[-1]
        self.put("widths", np.broadcast_to(widths, (n, j)))
        self.put("slopes", np.broadcast_to(slopes, (n, j)))

    def check_committed(self, floats: dict[str, FloatArray | None]) -> None:
        committed, capacity = floats["committed"], floats["capacity"]
        if self.unsaid("committed") or committed is None or capacity is None:
            return
        self.add_some(
            [
                f"committed[{row}]{self.label(row)}: is {committed[row]:g}, above the capacity "
                f"{capacity[row]:g} (data)"
                for row in np.flatnonzero(committed > capacity)
            ],
            "committed",
        )

    def check_segments(self, widths: FloatArray, slopes: FloatArray) -> None:
        for field, array, bad, rule in (
            ("widths", widths, ~(widths >= 0) | ~np.isfinite(widths), "must be ≥ 0 and finite"),
            ("slopes", slopes, ~(slopes > 0) | ~np.isfinite(slopes), "must be > 0 and finite"),
        ):
            faults = [
                f"segments.{field}{list(map(int, place))}: {rule}, got {array[tuple(place)]:g}"
                for place in np.argwhere(bad)
            ]
            self.add_some(faults, f"segments.{field}")
        falls = np.argwhere(np.diff(slopes, axis=-1) < 0)
        self.add_some(
            [
                f"segments.slopes{[*map(int, place[:-1]), int(place[-1]) + 1]}: slopes must not "
                "decrease (the cost must be convex), "
                f"got {slopes[(*place[:-1], place[-1] + 1)]:g} after {slopes[tuple(place)]:g}"
                for place in falls
            ],
            "segments.slopes",
        )


def _at_least(floats: FloatArray, exact: ExactArray) -> FloatArray:
    """The smallest floats that are no less than `exact`, so that reaching them reaches T."""
    below = [Fraction(low) < high for low, high in zip(floats.tolist(), np.atleast_1d(exact))]
    return np.where(below, np.nextafter(floats, inf), floats)


def _is_text(entry: Any) -> bool:
    return type(entry) is str


def _is_ragged(raw: Any) -> bool:
    if isinstance(raw, np.ndarray) or not isinstance(raw, (list, tuple)):
        return False
    lengths = {len(entry) if isinstance(entry, (list, tuple)) else -1 for entry in raw}
    return len(lengths) > 1 and -1 not in lengths


def _keep(raw: Any) -> Any:
    """A private copy of an argument, so that the instance stays frozen."""
    if isinstance(raw, np.ndarray):
        return arrays.freeze(raw.copy())
    if isinstance(raw, (list, tuple)):
        return tuple(_keep(entry) for entry in raw)
    return raw

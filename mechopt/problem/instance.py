"""The provider's problem with known (or reported) costs: who could give what, and what it does.

Symbols and units are those of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from os import PathLike
from types import MappingProxyType
from typing import Any

import numpy as np

from mechopt import arrays, doors
from mechopt.arrays import ExactArray, FloatArray
from mechopt.errors import InvalidInstance
from mechopt.problem import cost_curves as curves
from mechopt.problem.fields import BY_NAME, PER_USER, USER_FIELDS, UserField
from mechopt.problem.practice import Practice, practice_of
from mechopt.problem.user_arguments import read_arguments

_FIELDS = (
    *(*PER_USER, "thresholds", "shares", "segments", "provider_value", "budget"),
    *("payment_step", "group_least", "group_most", "ids"),
)
_NO_NUMBERS = ("ids", "group_least", "group_most")


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

    :cost: θ_i ≥ 0, money per data unit, scalar or shape (n,); who gives gladly has 0: he gives what
        he is asked, and never gains by leaving
    :value: v_i ≥ 0, money, benefit of user i from the full improvement
    :capacity: cap_i ≥ 0, data; may be left out when `segments` are given (then their total width)
    :thresholds: T_1 < … < T_K, data, all > 0 (an exact T that is no float is rounded up)
    :shares: 0 < b_1 < … < b_K ≤ 1, share of the full improvement reached; (1,) if K = 1
    :reversibility: ρ_i ∈ [0, 1], share of the cost that withdrawing recovers
    :removable: δ_i ∈ [0, 1], share of the data that leaves with a withdrawal
    :exclusion: η_i ∈ [0, 1], share of the benefit lost by whoever withdraws (docs: rights)
    :committed: y_i ∈ [0, cap_i], data already given that can no longer be withdrawn (docs: rights)
    :segments: (widths, slopes) of the convex cost shape, each of shape (J,) (shared) or (n, J);
        slopes > 0 and non-decreasing. None: one segment of slope 1 and width `capacity`
    :least, unit: data; who is asked at all is asked at least `least`, in multiples of `unit`
    :contact_cost: κ_i ≥ 0, money, spent on every user asked; counts as expenditure
    :fixed: burden that is given beforehand (0: left out), data; NaN (or None) where it is free
    :required: 1 for who must be asked for something, whatever the burden; 0 where it is open
    :group: names of groups, "" for none
    :group_least, group_most: mapping from group to data, or to a share of the social cost ("30 %")
    :provider_value: V ≥ 0, money
    :budget: β ≥ 0, money, or None for no limit
    :payment_step: money; payments are multiples of it (rounded up), None for no steps
    :ids: n distinct names; default "0" … "n-1"

    Numbers may be floats, integers, `Decimal`, `Fraction` or strings such as "1/3". If all are of
    the exact kinds, `is_exact` is true and ties are decided exactly.
    Attributes are read-only: `cost, value, capacity, reversibility, removable, exclusion,
    committed, least, unit, contact_cost, fixed, required, group` of shape (n,), `thresholds,
    shares` of shape (K,), `widths, slopes` of shape (n, J), `provider_value`, `budget` (`inf` if
    none), `payment_step` (0 if none), `n`, `levels` (K); `practice` has what section 11 asks for.

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
    least: FloatArray
    unit: FloatArray
    contact_cost: FloatArray
    fixed: FloatArray
    required: FloatArray
    group: np.ndarray[Any, np.dtype[np.str_]]
    group_least: Mapping[str, tuple[str, float]]
    group_most: Mapping[str, tuple[str, float]]
    payment_step: float
    thresholds: FloatArray
    shares: FloatArray
    widths: FloatArray
    slopes: FloatArray
    provider_value: float
    budget: float
    n: int
    notes: tuple[str, ...] = ()  # what reading a file or a frame assumed, one sentence each
    others: Mapping[str, Any] = MappingProxyType({})  # columns of the people, carried along

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
        least: Any = 0,
        unit: Any = None,
        contact_cost: Any = 0,
        fixed: Any = None,
        required: Any = 0,
        group: Any = None,
        group_least: Mapping[str, Any] | None = None,
        group_most: Mapping[str, Any] | None = None,
        segments: tuple[Any, Any] | None = None,
        provider_value: Any = 0,
        budget: Any = None,
        payment_step: Any = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        given = {name: raw for name, raw in locals().items() if name != "self"}
        self.__dict__.update(read_arguments(given))

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

    @property
    def has_exclusion(self) -> bool:
        """Whether anybody loses part of the benefit by withdrawing (some η_i > 0)."""
        return "exclusion" in self.said

    @property
    def has_committed(self) -> bool:
        """Whether anybody has given data for good (some y_i > 0)."""
        return "committed" in self.said

    @cached_property
    def practice(self) -> Practice | None:
        """What a plan must respect to be carried out (docs: practice); None if nothing is said."""
        return practice_of(self)

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
            self._given[field] is None or _is_exact(self._given[field], BY_NAME.get(field))
            for field in _FIELDS
            if field not in _NO_NUMBERS
        )

    def exact(self, field: str) -> ExactArray:
        """`field` as Fractions, of the shape the float attribute has (`provider_value`: ()).

        Fields: the per-user ones, `thresholds`, `shares`, `widths`, `slopes`, `provider_value`.
        A float contributes its binary value; `is_exact` tells whether there were any. None stands
        where a field that may be left open (NaN) is.
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
        raw = given[field]
        if raw is None and field in BY_NAME:
            raw = BY_NAME[field].default
        if field in BY_NAME and BY_NAME[field].free:
            raw = _without_nan(raw)
        return np.broadcast_to(arrays.to_exact(raw), np.shape(getattr(self, field)))

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
        changed = Instance(**{**given, **changes})
        return changed.noted(self.notes, self.others if changed.n == self.n else None)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content (numbers as float64, and ids), in hexadecimal."""
        import hashlib  # brings OpenSSL, and most runs need no hash

        digest = hashlib.sha256()
        core = [field.name for field in USER_FIELDS if field.core]
        for name in (*core, "thresholds", "shares", "widths", "slopes", *self.said):
            column = getattr(self, name)
            digest.update(name.encode())
            if column.dtype.kind == "U":
                digest.update(_joined(column))
            else:
                digest.update(np.ascontiguousarray(column).tobytes())
        digest.update(repr((self.provider_value, self.budget)).encode())
        limits = (self.payment_step, dict(self.group_least), dict(self.group_most))
        if any(limits):
            digest.update(repr(limits).encode())
        if self.has_ids:
            digest.update(_joined(self.ids))
        return digest.hexdigest()

    @cached_property
    def said(self) -> tuple[str, ...]:
        """The further per-user fields (beyond the core ones) that differ from their default."""
        return tuple(
            field.name
            for field in USER_FIELDS
            if not field.core
            and not field.left_out(self._given[field.name])
            and not _is_default(getattr(self, field.name), field.default)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instance) and self.hash == other.hash

    def __hash__(self) -> int:
        return int(self.hash[:15], 16)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"an Instance is frozen; use replace({name}=…)")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._given, self.notes, dict(self.others))

    def noted(self, notes: Sequence[str] = (), others: Mapping[str, Any] | None = None) -> Instance:
        """This instance with what reading it assumed, and columns that are carried along."""
        kept = {name: arrays.freeze(np.array(column)) for name, column in (others or {}).items()}
        self.__dict__.update(notes=tuple(notes), others=MappingProxyType(kept))
        return self

    def __repr__(self) -> str:
        return (
            f"Instance({self.n} users, T = {_brief(self.thresholds)}, "
            f"b = {_brief(self.shares)}, V = {self.provider_value:g}, budget = {self.budget:g})"
        )

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        thresholds: Any,
        shares: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Instance:
        """The instance whose users are the rows of a pandas, polars or Arrow frame.

        Columns are those of a users' file (cost, capacity, value, …); `columns` names others, such
        as {"cost": "unit_cost"}. A column `id`, or an index of labels, names the users; columns
        that are not used are kept in `others`. `more`: further arguments of the constructor.

        Raises InvalidInstance with every fault by row, InvalidOption for what is no frame.
        """
        return doors.instance_from_frame(
            frame, thresholds, {"shares": shares, "columns": columns, **more}
        )

    def _repr_html_(self) -> str:
        return doors.html(self)

    def write(self, path: str | PathLike[str]) -> None:
        """Write as JSON (kind `instance`); numbers read back are the same. See `mechopt.files`."""
        doors.write(self, path)

    units = Units()  # messages are in the caller's units: multiply by these
    _given: dict[str, Any]
    _ragged: bool


def _rebuild(given: dict[str, Any], notes: tuple[str, ...], others: dict[str, Any]) -> Instance:
    return Instance(**given).noted(notes, others)


def _joined(names: np.ndarray[Any, np.dtype[np.str_]]) -> bytes:
    return "\x00".join(names.tolist()).encode("utf-8", "surrogatepass")


def _is_exact(raw: Any, field: UserField | None) -> bool:
    if field is not None and field.label:
        return True
    if field is not None and field.free:
        raw = [entry for entry in np.atleast_1d(_without_nan(raw)).tolist() if entry is not None]
    return arrays.is_exact(raw)


def _without_nan(raw: Any) -> Any:
    """Entries with None for NaN."""
    boxed = np.array(raw, dtype=object)
    boxed[np.equal(boxed, boxed) == False] = None  # noqa: E712
    return boxed


def _is_default(column: Any, default: Any) -> bool:
    if column.strides == (0,):
        column = column[:1]  # one entry, seen n times
    if isinstance(default, float) and isnan(default):
        return bool(np.isnan(column).all())
    return bool((column == default).all())


def _brief(numbers: FloatArray) -> str:
    shown = ", ".join(f"{number:g}" for number in numbers[:4])
    return f"({shown}{', …' if numbers.size > 4 else ''})"

"""What an Instance is given, read: broadcast, checked by row, copied; every fault together."""

from __future__ import annotations

from fractions import Fraction
from math import inf
from typing import Any

import numpy as np

from mechopt import arrays
from mechopt.arrays import ExactArray, FloatArray
from mechopt.errors import Fault, InvalidInstance
from mechopt.problem.arguments import SHOWN, Reader
from mechopt.problem.fields import BY_NAME, USER_FIELDS, UserField
from mechopt.problem.practice import read_limit

MOST_UNITS = 1e12  # of data that a capacity may hold, so that they can be counted


def read_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """The attributes of the Instance with these constructor arguments.

    Raises InvalidInstance naming every field, user and value that is wrong, all together.
    """
    return _Users(given).attributes


_LIMITS = ("group_least", "group_most")


class _Users(Reader):
    """The arguments of one instance on their way to its attributes."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(InvalidInstance)
        labels = self.labels(given)
        if given["ids"] is None and labels is not None:
            given = {**given, "ids": labels}
        self.given = {
            name: self.pair(raw)
            if name == "segments"
            else raw
            if name in _LIMITS
            else np.array(raw)
            if name == "ids" and isinstance(raw, np.ndarray) and raw.dtype.kind == "U"
            else self.own(name, raw)
            for name, raw in given.items()
        }
        self.attributes: dict[str, Any] = {"_ragged": False, "_given": self.given}
        self.build()

    def build(self) -> None:
        given = self.given
        ids = self.names("ids", given["ids"])
        said = [field for field in USER_FIELDS if not field.left_out(given[field.name])]
        columns = {field.name: self.column(field) for field in said}
        widths, slopes = self.segments(given["segments"])
        if (
            columns["capacity"] is None
            and given["segments"] is None
            and not self.faulty("capacity", "segments")
        ):
            self.fault("capacity", "missing; give the most data each user can give")
        n = self.count({**columns, "ids": ids}, widths)
        self.ids = ids
        if ids is not None:
            self.distinct(ids)
        for field in said:
            column = columns[field.name]
            if column is not None:
                if column.shape != (n,):
                    columns[field.name] = column = np.broadcast_to(column, (n,))
                self.check_users(field, column)
        for field in USER_FIELDS:
            if field.name not in columns:
                entry = field.default if field.label else float(field.default)
                columns[field.name] = arrays.everywhere(entry, n)
        levels = self.levels(given["thresholds"], given["shares"])
        worth = self.scalar("provider_value", 0.0, limit=True)
        budget = self.scalar("budget", inf, limit=False)
        step = self.scalar("payment_step", 0.0, limit=True)
        self.pieces(columns, widths, slopes, n)
        self.stop()
        self.within_capacity("committed", columns)
        self.within_capacity("fixed", columns)
        self.open_to(columns["required"], columns["fixed"])
        self.countable(columns["unit"], columns["capacity"])
        limits = {name: self.limits(name, columns["group"]) for name in _LIMITS}
        self.stop()
        assert levels is not None
        thresholds, shares = levels
        if arrays.is_exact(given["thresholds"]):
            thresholds = _at_least(thresholds, arrays.to_exact(given["thresholds"]))
        given["ids"] = ids
        self.attributes.update(
            n=n, provider_value=worth, budget=budget, payment_step=step, **limits
        )
        self.keep(thresholds=thresholds, shares=shares, **columns)

    def keep(self, **columns: Any) -> None:
        """Read-only attributes."""
        for name, column in columns.items():
            raw = self.given[name]
            if (
                name in BY_NAME
                and not BY_NAME[name].core
                and not isinstance(raw, (tuple, np.ndarray))
            ):
                self.attributes[name] = column  # one entry, seen n times, holds it
            else:
                self.attributes[name] = arrays.freeze(np.ascontiguousarray(column))

    def pair(self, raw: Any) -> Any:
        """Widths and slopes, copied."""
        if raw is None:
            return None
        try:
            widths, slopes = raw
        except (TypeError, ValueError):
            self.fault("segments", "expected a pair (widths, slopes)")
            return None
        return (self.own("segments.widths", widths), self.own("segments.slopes", slopes))

    def labels(self, given: dict[str, Any]) -> Any:
        """The index of the pandas Series among the arguments, if it names the users.

        Series are taken by position, so their indexes must be the same; otherwise the same people
        in another order would be mixed up.
        """
        found: dict[str, Any] = {}
        for field in USER_FIELDS:
            index = getattr(given[field.name], "index", None)
            if hasattr(index, "equals"):
                found[field.name] = index
        if not found:
            return None
        first, index = next(iter(found.items()))
        for name, other in found.items():
            if not index.equals(other):
                self.fault(
                    name,
                    f"has another index than {first}; entries are taken by position, so align them "
                    f"({name}.reindex({first}.index)), or pass arrays (.to_numpy())",
                )
        plain = index.dtype.kind in "iu" and index.tolist() == list(range(len(index)))
        return None if plain else index.tolist()

    # -- users ----------------------------------------------------------------------------------

    def column(self, field: UserField) -> Any:
        """One per-user argument as an array of shape () or (m,); None if missing or faulty."""
        raw = self.given[field.name]
        if raw is None:
            if field.default is None:
                if field.name != "capacity" and not self.faulty(field.name):
                    self.fault(field.name, "missing")
                return None
            raw = field.default
        if field.label:
            return self.names(field.name, raw)
        if field.rule == "0 or 1":
            raw = self.given[field.name] = _as_number(raw)
        if field.blank is not None and isinstance(raw, tuple):
            raw = tuple(field.blank if entry is None else entry for entry in raw)
        if isinstance(raw, np.ndarray) and raw.dtype == np.float64 and raw.ndim == 1:
            return raw  # a private copy already (`own`)
        return self.floats(field.name, raw)

    def names(self, field: str, raw: Any) -> Any:
        """Text or whole numbers as an array of text; None if there is none, or it is faulty."""
        if raw is None:
            return None
        if isinstance(raw, np.ndarray) and raw.ndim == 1 and _plain_text(raw):
            return raw
        entries = raw if isinstance(raw, tuple) else np.asarray(raw).tolist()
        if isinstance(entries, str) and field != "ids":
            return np.asarray(entries)
        if not isinstance(entries, (tuple, list)):
            self.fault(field, f"expected a list of names, got {entries!r:.40}")
            return None
        if field != "ids":
            entries = ["" if entry is None else entry for entry in entries]
        if not set(map(type, entries)) <= {str}:
            odd = [at for at, entry in enumerate(entries) if not _nameable(entry)]
            found = [
                Fault(field, f"{entries[at]!r:.40} is no name (text or a whole number)", (at,))
                for at in odd
            ]
            self.some(field, found)
            entries = [str(entry) for entry in entries]
        text = "".join(entries)
        for odd_one, reason in (
            (_no_text, "is no valid text (a lone surrogate)"),
            (_has_nul, "has a NUL character; take it out"),
        ):
            if odd_one(text):
                odd = [at for at, name in enumerate(entries) if odd_one(name)]
                self.some(field, [Fault(field, reason, (at,)) for at in odd])
                return None
        return np.array(entries, dtype=str)

    def distinct(self, names: Any) -> None:
        """Faults of ids that occur twice or are empty."""
        if _surely_distinct(names):
            return
        listed = names.tolist()
        known = set(listed)
        if len(known) < len(listed):
            first: dict[str, int] = {}
            twice = []
            for row, name in enumerate(listed):
                if name in first:
                    text = f"{name!r} is also the id of user {first[name]}"
                    twice.append(Fault("ids", text, (row,)))
                first.setdefault(name, row)
            self.some("ids", twice)
        if "" in known:
            empty = [
                Fault("ids", "is empty", (row,)) for row, name in enumerate(listed) if not name
            ]
            self.some("ids", empty)

    def who(self, row: int) -> str:
        return "" if self.ids is None or row >= len(self.ids) else f" (id {str(self.ids[row])!r})"

    def count(self, columns: dict[str, Any], widths: FloatArray | None) -> int:
        """n: the common length of the per-user arguments."""
        sizes = {
            name: array.size
            for name, array in columns.items()
            if array is not None and array.ndim == 1
        }
        if widths is not None and widths.ndim == 2:
            sizes["segments"] = widths.shape[0]
        n = max(sizes.values(), default=1)
        if sizes and min(sizes.values()) == 0:
            self.fault("users", "there are none; an instance needs at least one user")
            self.stop()
        # A list of length 1 is one user, not a scalar: only true scalars broadcast.
        odd = {name: size for name, size in sizes.items() if size != n}
        if odd:
            longest = next(name for name, size in sizes.items() if size == n)
            for name, size in odd.items():
                self.fault(name, f"has {size} entries, but {longest} has {n}")
            self.stop()
        return n

    def check_users(self, field: UserField, column: Any) -> None:
        if field.label:
            return
        scalar = not isinstance(self.given[field.name], (tuple, np.ndarray))
        before = len(self.faults)
        self.check(
            field.name,
            column[:1] if scalar else column,
            field.rule,
            field.unit,
            who=None if scalar else self.who,
            also=field.blank,
        )
        if field.name == "capacity" and len(self.faults) == before and not (column > 0).any():
            self.fault("capacity", "is 0 for every user; nobody can give anything")

    def countable(self, unit: FloatArray, capacity: FloatArray) -> None:
        """A capacity holds so few units that they can be counted."""
        if unit.strides == (0,) and not unit[0]:
            return
        many = np.flatnonzero((unit > 0) & (capacity / MOST_UNITS > unit)).tolist()
        found = []
        for row in many[:SHOWN]:
            text = f"is {unit[row]:g}, and the capacity more than {MOST_UNITS:g} times as much"
            found.append(Fault("unit", text, (row,), self.who(row)))
        self.some("unit", found, len(many))

    def open_to(self, required: FloatArray, fixed: FloatArray) -> None:
        """Nobody is both required and left out."""
        both = np.flatnonzero((required > 0) & (fixed == 0)).tolist()
        text = "is 1 (must be asked), but the burden is fixed at 0 (left out)"
        found = [Fault("required", text, (row,), self.who(row)) for row in both[:SHOWN]]
        self.some("required", found, len(both))

    def within_capacity(self, name: str, columns: dict[str, Any]) -> None:
        """Nobody can have given for good, or be held to, more than he can give."""
        if BY_NAME[name].left_out(self.given[name]):
            return
        amount, capacity = columns[name], columns["capacity"]
        over = np.flatnonzero(amount > capacity).tolist()
        found = []
        for row in over[:SHOWN]:
            text = f"is {amount[row]:g}, above the capacity {capacity[row]:g} (data)"
            found.append(Fault(name, text, (row,), self.who(row)))
        self.some(name, found, len(over))

    def limits(self, name: str, group: Any) -> dict[str, tuple[str, float]]:
        """`group_least` or `group_most`, of groups that there are."""
        try:
            found = read_limit(self.given[name])
        except ValueError as error:
            self.fault(name, str(error))
            return {}
        if not found:
            return {}
        known = {} if group is None else dict.fromkeys(np.unique(group).tolist())
        for label in found:
            if label not in known or not label:
                listed = ", ".join(list(known)[:SHOWN]) or "none; give every user a `group`"
                self.fault(name, f"{label!r} is nobody's group; groups are: {listed}")
        return found

    def scalar(self, name: str, missing: float, *, limit: bool) -> float:
        raw = self.given[name]
        if raw is None:
            return missing
        return self.number(name, raw, "≥ 0", "money", limit=limit)

    # -- cost curves ----------------------------------------------------------------------------

    def segments(self, raw: Any) -> tuple[FloatArray | None, FloatArray | None]:
        if raw is None or self.faulty("segments"):
            return None, None
        raw_widths, raw_slopes = raw
        if _is_ragged(raw_widths) or _is_ragged(raw_slopes):
            self.attributes["_ragged"] = True
            raw_widths, raw_slopes = self.pad(raw_widths, raw_slopes)
        widths = self.floats("segments.widths", raw_widths, most=2)
        slopes = self.floats("segments.slopes", raw_slopes, most=2)
        if widths is None or slopes is None:
            return None, None
        if widths.shape != slopes.shape or widths.ndim not in (1, 2) or widths.shape[-1] == 0:
            self.fault(
                "segments",
                f"widths {widths.shape} and slopes {slopes.shape} must have the same "
                "shape, (J,) or (n, J) with J ≥ 1",
            )
            return None, None
        return widths, slopes

    def pad(self, widths: Any, slopes: Any) -> tuple[Any, Any]:
        """Ragged per-user lists, filled up with segments of width 0 (slope repeated)."""
        if not all(np.ndim(one) == 1 for side in (widths, slopes) for one in side):
            self.fault("segments", "widths and slopes must both be lists per user")
            self.stop()
        for row, (one, other) in enumerate(zip(widths, slopes)):
            if len(one) != len(other) or len(one) == 0:
                text = f"{len(one)} widths and {len(other)} slopes"
                self.fault("segments", text, (row,))
        if len(widths) != len(slopes):
            self.fault("segments", f"widths of {len(widths)} users and slopes of {len(slopes)}")
        self.stop()
        longest = max(len(one) for one in widths)
        return (
            [[*one, *[0] * (longest - len(one))] for one in widths],
            [[*one, *[one[-1]] * (longest - len(one))] for one in slopes],
        )

    def pieces(
        self,
        columns: dict[str, Any],
        widths: FloatArray | None,
        slopes: FloatArray | None,
        n: int,
    ) -> None:
        """Widths, slopes (n, J) and the capacity of who has segments."""
        capacity = columns["capacity"]
        if widths is None or slopes is None:
            if capacity is not None:
                self.attributes["widths"] = arrays.freeze(capacity.reshape(n, 1))
                self.attributes["slopes"] = arrays.freeze(np.broadcast_to(np.ones((1, 1)), (n, 1)))
            return
        self.curve(widths, slopes)
        total = np.broadcast_to(widths.sum(axis=-1), (n,))
        if capacity is not None:
            self.agree(capacity, total, who=self.who)
        else:
            columns["capacity"] = total
            if not self.faults:
                self.check("capacity", total, "≥ 0", "data", who=self.who)
                if not (total > 0).any():
                    self.fault("capacity", "is 0 for every user; nobody can give anything")
        shape = (n, widths.shape[-1])
        self.attributes["widths"] = arrays.freeze(np.broadcast_to(widths, shape))
        self.attributes["slopes"] = arrays.freeze(np.broadcast_to(slopes, shape))


def _at_least(floats: FloatArray, exact: ExactArray) -> FloatArray:
    """The smallest floats that are no less than `exact`, so that reaching them reaches T."""
    below = [Fraction(low) < high for low, high in zip(floats.tolist(), np.atleast_1d(exact))]
    return np.where(below, np.nextafter(floats, inf), floats)


def _as_number(raw: Any) -> Any:
    """True and false as 1 and 0."""
    if isinstance(raw, (bool, np.bool_)):
        return int(raw)
    if isinstance(raw, np.ndarray) and raw.dtype == np.bool_:
        return raw.astype(np.float64)
    if isinstance(raw, tuple):
        return tuple(int(one) if isinstance(one, (bool, np.bool_)) else one for one in raw)
    return raw


def _nameable(entry: Any) -> bool:
    return isinstance(entry, (str, int, np.integer)) and not isinstance(entry, bool)


def _plain_text(names: Any) -> bool:
    """Whether an array of text has nothing to complain about: no surrogates, no NUL inside."""
    if names.dtype.kind != "U" or not names.size or not names.dtype.itemsize:
        return False
    letters = np.ascontiguousarray(names).view(np.uint32).reshape(names.size, -1)
    odd = (letters >= 0xD800) & (letters <= 0xDFFF)
    inside = (letters[:, :-1] == 0) & (letters[:, 1:] != 0)
    return not odd.any() and not inside.any()


def _surely_distinct(names: Any) -> bool:
    """Whether no text is empty and all have other fingerprints; False may be by chance."""
    letters = np.ascontiguousarray(names).view(np.uint32).reshape(names.size, -1)
    prints = np.zeros(names.size, dtype=np.uint64)
    for place in letters.T:
        prints = (prints ^ place) * np.uint64(0x9E3779B97F4A7C15)  # modulo 2^64
        prints ^= prints >> np.uint64(29)
    prints.sort()
    return bool(letters[:, :1].all() and (prints[1:] != prints[:-1]).all())


def _no_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False


def _has_nul(name: str) -> bool:
    return "\0" in name


def _is_ragged(raw: Any) -> bool:
    if not isinstance(raw, tuple):
        return False
    lengths = {len(entry) if np.ndim(entry) == 1 else -1 for entry in raw}
    return len(lengths) > 1 and -1 not in lengths

"""Groups of exchangeable users whose costs are private: what is known of them is a distribution.

Symbols and units are those of the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import ExactArray, FloatArray
from mechopt.errors import InvalidFile, InvalidPopulation
from mechopt.problem import cost_curves as curves
from mechopt.problem.arguments import Reader
from mechopt.problem.fields import BY_NAME, OF_GROUP

MOST_USERS = 10**12  # of a group: what can be counted with


class Group:
    """n_g users who draw their cost from one finite distribution (D1–D7). Frozen.

    :size: n_g ≥ 1, number of users
    :costs: c_gk ≥ 0, money per data unit, strictly increasing, shape (m_g,)
    :probabilities: f_gk > 0, shape (m_g,), summing to 1
    :value: v_g ≥ 0, money, a user's benefit from the full improvement
    :capacity: cap_g > 0, data per user; may be left out when `segments` are given
    :reversibility: ρ_g ∈ [0, 1], share of the cost that withdrawing recovers
    :removable: δ_g ∈ [0, 1], share of the data that leaves with a withdrawal
    :exclusion: η_g ∈ [0, 1], share of the benefit lost by whoever withdraws, or may be denied
        access from the start (docs: rights)
    :segments: (widths, slopes) of the convex cost shape, each of shape (J,)

    Raises InvalidPopulation naming every field and value that is wrong.
    """

    size: int
    costs: FloatArray
    probabilities: FloatArray
    value: float
    capacity: float
    reversibility: float
    removable: float
    exclusion: float
    widths: FloatArray
    slopes: FloatArray
    _given: dict[str, Any]

    def __init__(
        self,
        size: int,
        costs: Any,
        probabilities: Any,
        value: Any = 0,
        capacity: Any = None,
        reversibility: Any = 1,
        removable: Any = 1,
        segments: tuple[Any, Any] | None = None,
        exclusion: Any = 0,
    ) -> None:
        given = {name: raw for name, raw in locals().items() if name != "self"}
        read = Reader(InvalidPopulation)
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            read.fault("size", f"must be a whole number ≥ 1 (users), got {size!r:.40}")
        elif size > MOST_USERS:
            read.fault("size", f"must be at most {MOST_USERS:,} (users)")
        given = {
            name: raw if name == "segments" else read.own(name, raw) for name, raw in given.items()
        }
        cost = read.vector("costs", given["costs"])
        law = read.vector("probabilities", given["probabilities"])
        _check_law(read, cost, law)
        numbers = {
            name: read.number(name, given[name], BY_NAME[name].rule, BY_NAME[name].unit)
            for name in OF_GROUP
        }
        given["segments"], widths, slopes = _segments(read, given["capacity"], segments)
        read.stop()
        self.__dict__.update(
            _given=given,
            size=int(size),
            costs=arrays.freeze(cost),
            probabilities=arrays.freeze(law),
            capacity=float(widths.sum()),
            widths=arrays.freeze(widths),
            slopes=arrays.freeze(slopes),
            **numbers,
        )

    @property
    def types(self) -> int:
        """m_g, the number of possible costs."""
        return int(self.costs.size)

    @property
    def linear(self) -> bool:
        """Whether the cost curve is one segment."""
        return self.widths.size == 1

    def shape(self, burden: FloatArray) -> FloatArray:
        """g(x), data, elementwise; C(x) = θ g(x)."""
        flat = np.asarray(burden, dtype=np.float64).reshape(-1)
        rows = (flat.size, self.widths.size)
        shaped = curves.cost_of(
            np.ones(flat.size),
            np.broadcast_to(self.widths, rows),
            np.broadcast_to(self.slopes, rows),
            flat,
        )
        return shaped.reshape(np.shape(burden))

    def replace(self, **changes: Any) -> Group:
        """A variant with some constructor arguments changed."""
        unknown = sorted(set(changes) - set(self._given))
        if unknown:
            raise InvalidPopulation(f"{unknown[0]}: not a field of a group")
        given = dict(self._given)
        if "segments" in changes and "capacity" not in changes:
            given["capacity"] = None
        if "capacity" in changes and "segments" not in changes and self._plain:
            given["segments"] = None
        return Group(**{**given, **changes})

    @property
    def _plain(self) -> bool:
        return bool(self.linear and self.slopes[0] == 1)

    @cached_property
    def is_exact(self) -> bool:
        """Whether every number was given as an int, Decimal, Fraction or string."""
        return all(raw is None or arrays.is_exact(raw) for raw in self._given.values())

    def exact(self, field: str) -> ExactArray:
        """A field as Fractions, of the shape the float attribute has (floats: binary value).

        Fields: `costs`, `probabilities`, `value`, `reversibility`, `removable`, `exclusion`,
        `widths`, `slopes`.
        """
        segments = self._given["segments"]
        if field in ("widths", "slopes"):
            if segments is not None:
                widths, slopes = (np.atleast_1d(arrays.to_exact(side)) for side in segments)
                return (widths if field == "widths" else slopes)[widths > 0]
            raw = self._given["capacity"] if field == "widths" else 1
            return np.atleast_1d(arrays.to_exact(raw))
        exact = arrays.to_exact(self._given[field])
        return np.atleast_1d(exact) if field in ("costs", "probabilities") else exact

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._given,)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Group is frozen; use replace({name}=…)")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict()))

    def __repr__(self) -> str:
        costs = ", ".join(f"{cost:g}" for cost in self.costs)
        return f"Group({self.size} users, costs ({costs}), value {self.value:g})"

    def to_dict(self) -> dict[str, Any]:
        """The group as JSON values."""
        data: dict[str, Any] = {
            "size": self.size,
            "costs": self.costs.tolist(),
            "probabilities": self.probabilities.tolist(),
            "value": self.value,
            "reversibility": self.reversibility,
            "removable": self.removable,
        }
        if self.exclusion:
            data["exclusion"] = self.exclusion
        if self.linear and self.slopes[0] == 1:
            data["capacity"] = self.capacity
        else:
            data["segments"] = {"widths": self.widths.tolist(), "slopes": self.slopes.tolist()}
        return data


def _rebuild(given: dict[str, Any]) -> Group:
    return Group(**given)


def _check_law(read: Reader, costs: FloatArray, law: FloatArray) -> None:
    """Faults of a distribution: costs ≥ 0 and increasing, probabilities summing to one."""
    read.check("costs", costs, "≥ 0", "money per data unit")
    for k in (np.flatnonzero(costs[1:] <= costs[:-1]) + 1).tolist():
        if costs[k] == costs[k - 1]:
            text = f"{costs[k]:g} is listed twice; merge the two types (add probabilities)"
        else:
            text = (
                f"must exceed costs[{k - 1}] = {costs[k - 1]:g}, got {costs[k]:g}; "
                "sort the types by cost"
            )
        read.fault("costs", text, (k,))
    if law.size == 0 or costs.size == 0:
        return
    if law.size != costs.size:
        read.fault("probabilities", f"has {law.size} entries, but costs has {costs.size}")
        return
    bad = [k for k, chance in enumerate(law) if not 0 < chance <= 1]
    for k in bad:
        out = "; leave the type out" if law[k] == 0 else ""
        read.fault("probabilities", f"must lie in (0, 1], got {law[k]:g}{out}", (k,))
    off = float(law.sum()) - 1
    if not bad and abs(off) > tolerances.PROBABILITY:
        read.fault(
            "probabilities",
            f"sum to {law.sum():.12g}, {abs(off):.3g} {'above' if off > 0 else 'below'} 1; "
            "they are not rescaled",
        )


def _segments(read: Reader, capacity: Any, raw: Any) -> tuple[Any, FloatArray, FloatArray]:
    """The segments as given, copied, and widths and slopes; those of width 0 are left out."""
    if raw is None:
        width = read.number("capacity", capacity, "> 0", "data")
        return None, np.array([width]), np.ones(1)
    nothing = (None, np.zeros(1), np.ones(1))
    try:
        raw_widths, raw_slopes = raw
    except (TypeError, ValueError):
        read.fault("segments", "expected a pair (widths, slopes)")
        return nothing
    owned = (read.own("segments.widths", raw_widths), read.own("segments.slopes", raw_slopes))
    widths = read.vector("segments.widths", owned[0])
    slopes = read.vector("segments.slopes", owned[1])
    if widths.size != slopes.size:
        read.fault("segments", f"{widths.size} widths and {slopes.size} slopes")
    if read.faulty("segments"):
        return nothing
    read.curve(widths, slopes)
    total = widths.sum(keepdims=True)
    if capacity is not None:
        given = read.number("capacity", capacity, "> 0", "data")
        read.agree(np.array([given]), total, who=None)
    elif not read.faulty("segments"):
        read.check("capacity", total, "> 0", "data", who=None)
    used = widths > 0
    return owned, widths[used], slopes[used]


def read_group(entry: Any, position: int) -> Group:
    """The group described by an entry of a population's file."""
    where = f"groups[{position}]."
    optional = {"value", "capacity", "reversibility", "removable", "exclusion", "segments"}
    expect_fields(entry, where, {"size", "costs", "probabilities"}, optional)
    given = dict(entry)
    if given.get("segments") is not None:
        expect_fields(given["segments"], f"{where}segments.", {"widths", "slopes"}, set())
        given["segments"] = (given["segments"]["widths"], given["segments"]["slopes"])
    try:
        return Group(**given)
    except InvalidPopulation as error:
        raise InvalidPopulation(where + str(fault) for fault in error.faults) from None


def expect_fields(data: Any, where: str, needed: set[str], optional: set[str]) -> None:
    """InvalidFile unless `data` is an object with these fields."""
    if not isinstance(data, Mapping):
        raise InvalidFile(f"{where.rstrip('.') or 'file'}: expected an object, got {data!r}")
    problems = [f"{where}{field}: missing" for field in sorted(needed - set(data))]
    problems += [
        f"{where}{field}: not a field; fields are {', '.join(sorted(needed | optional))}"
        for field in sorted(set(data) - needed - optional)
    ]
    if problems:
        raise InvalidFile(problems)

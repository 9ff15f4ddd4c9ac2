"""The provider's problem with private costs: groups of exchangeable users, types known by law only.

Symbols and units are those of FORMULATION sections 1 and 5. Types are listed group after group:
"column" j = 0..M−1 runs over (group, cost), M = Σ m_g.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from math import inf
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import arrays, doors, tolerances
from mechopt.arrays import ExactArray, FloatArray, IntArray
from mechopt.errors import InvalidFile, InvalidPopulation
from mechopt.problem import cost_curves as curves
from mechopt.problem.instance import Instance

if TYPE_CHECKING:
    from mechopt.problem.states import StateSpace

_POPULATION_FIELDS = (
    "groups",
    "thresholds",
    "shares",
    "provider_value",
    "budget",
    "expected_budget",
)


class Group:
    """n_g users who draw their cost independently from one finite distribution. Frozen.

    Parameters
    ----------
    size : n_g ≥ 1, number of users
    costs : c_gk > 0, money per data unit, strictly increasing, shape (m_g,)
    probabilities : f_gk > 0, shape (m_g,), summing to 1
    value : v_g ≥ 0, money, a user's benefit from the full improvement
    capacity : cap_g > 0, data per user; may be left out when `segments` are given
    reversibility : ρ_g ∈ [0, 1], share of the cost that withdrawing recovers
    removable : δ_g ∈ [0, 1], share of the data that leaves with a withdrawal
    exclusion : η_g ∈ [0, 1], share of the benefit lost by whoever withdraws, or may be denied
        access from the start (section 10)
    segments : (widths, slopes) of the convex cost shape, each of shape (J,)

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
        problems: list[str] = []
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            problems.append(f"size: must be a whole number ≥ 1 (users), got {size!r}")
        cost = _vector("costs", costs, problems)
        law = _vector("probabilities", probabilities, problems)
        _check_law(cost, law, problems)
        worth = _scalar("value", value, problems)
        share = _scalar("reversibility", reversibility, problems)
        leaves = _scalar("removable", removable, problems)
        barred = _scalar("exclusion", exclusion, problems)
        widths, slopes = _segments(capacity, segments, problems)
        if not worth >= 0 or worth == inf:
            problems.append(f"value: must be ≥ 0 and finite (money), got {worth:g}")
        for field, number in (
            ("reversibility", share),
            ("removable", leaves),
            ("exclusion", barred),
        ):
            if not 0 <= number <= 1:
                problems.append(f"{field}: must lie in [0, 1], got {number:g}")
        if problems:
            raise InvalidPopulation(problems)
        self.__dict__.update(
            _given=deepcopy(
                {
                    "size": size,
                    "costs": costs,
                    "probabilities": probabilities,
                    "value": value,
                    "capacity": capacity,
                    "reversibility": reversibility,
                    "removable": removable,
                    "segments": segments,
                    "exclusion": exclusion,
                }
            ),
            size=int(size),
            costs=arrays.freeze(cost),
            probabilities=arrays.freeze(law),
            value=worth,
            capacity=float(widths.sum()),
            reversibility=share,
            removable=leaves,
            exclusion=barred,
            widths=arrays.freeze(widths),
            slopes=arrays.freeze(slopes),
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
                return np.atleast_1d(arrays.to_exact(segments[field == "slopes"]))
            raw = self._given["capacity"] if field == "widths" else 1
            return np.atleast_1d(arrays.to_exact(raw))
        exact = arrays.to_exact(self._given[field])
        return np.atleast_1d(exact) if field in ("costs", "probabilities") else exact

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


class Population:
    """Groups of users with private costs, thresholds and a provider. Frozen; see `replace()`.

    Parameters
    ----------
    groups : one or more `Group`
    thresholds : T_1 < … < T_K, data, all > 0
    shares : 0 < b_1 < … < b_K ≤ 1, share of the full improvement; (1,) if K = 1
    provider_value : V ≥ 0, money
    budget : β ≥ 0, money, cap on the payments of every state; None for no limit
    expected_budget : cap on expected payments, money; None for no limit

    Users are numbered group after group. Raises InvalidPopulation naming every fault.
    """

    groups: tuple[Group, ...]
    thresholds: FloatArray
    shares: FloatArray
    provider_value: float
    budget: float
    expected_budget: float
    _given: dict[str, Any]

    def __init__(
        self,
        groups: Sequence[Group],
        thresholds: Any,
        shares: Any = None,
        provider_value: Any = 0,
        budget: Any = None,
        expected_budget: Any = None,
    ) -> None:
        problems: list[str] = []
        members = (groups,) if isinstance(groups, Group) else tuple(groups)
        if not members:
            problems.append("groups: there are none; a population needs at least one group")
        for position, group in enumerate(members):
            if not isinstance(group, Group):
                problems.append(f"groups[{position}]: expected a Group, got {group!r}")
        levels = _vector("thresholds", thresholds, problems)
        if shares is None and levels.size > 1:
            problems.append(f"shares: missing; {levels.size} thresholds need as many shares")
        reached = np.ones(1) if shares is None else _vector("shares", shares, problems)
        _check_levels(levels, reached, problems)
        worth = _scalar("provider_value", provider_value, problems)
        if not worth >= 0 or worth == inf:
            problems.append(f"provider_value: must be ≥ 0 and finite (money), got {worth:g}")
        caps = {
            field: inf if raw is None else _scalar(field, raw, problems)
            for field, raw in (("budget", budget), ("expected_budget", expected_budget))
        }
        problems += [
            f"{field}: must be ≥ 0 (money) or None for no limit, got {cap:g}"
            for field, cap in caps.items()
            if not cap >= 0
        ]
        if problems:
            raise InvalidPopulation(problems)
        self.__dict__.update(
            _given=deepcopy(
                {
                    "thresholds": thresholds,
                    "shares": 1 if shares is None else shares,
                    "provider_value": provider_value,
                    "budget": budget,
                    "expected_budget": expected_budget,
                }
            ),
            groups=members,
            thresholds=arrays.freeze(levels),
            shares=arrays.freeze(reached),
            provider_value=worth,
            **caps,
        )

    # -- sizes ----------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """Number of users."""
        return sum(group.size for group in self.groups)

    @property
    def levels(self) -> int:
        """K, the number of thresholds."""
        return int(self.thresholds.size)

    @property
    def linear(self) -> bool:
        """Whether every cost curve is one segment."""
        return all(group.linear for group in self.groups)

    @property
    def has_exclusion(self) -> bool:
        """Whether some group can be denied part of the benefit (η_g > 0)."""
        return any(group.exclusion for group in self.groups)

    @cached_property
    def group_of_type(self) -> IntArray:
        """Group of each type column, shape (M,)."""
        sizes = [group.types for group in self.groups]
        return np.repeat(np.arange(len(self.groups)), sizes)

    @cached_property
    def group_of_user(self) -> IntArray:
        """Group of each user, shape (n,)."""
        sizes = [group.size for group in self.groups]
        return np.repeat(np.arange(len(self.groups)), sizes)

    @cached_property
    def first_type(self) -> tuple[int, ...]:
        """Column of each group's first type."""
        sizes = [group.types for group in self.groups]
        return tuple(int(end) - size for end, size in zip(np.cumsum(sizes), sizes))

    @cached_property
    def type_costs(self) -> FloatArray:
        """θ of each type column, money per data unit, shape (M,)."""
        return np.concatenate([group.costs for group in self.groups])

    def type_name(self, column: int) -> str:
        """How messages call a type: its number within its group (from 1) and its cost."""
        group = int(self.group_of_type[column])
        number = column - self.first_type[group] + 1
        prefix = f"group {group + 1} " if len(self.groups) > 1 else ""
        return f"{prefix}type {number} (cost {self.type_costs[column]:g})"

    def individual(self) -> Population:
        """The same users, each a group of her own (asymmetric mechanisms become possible)."""
        return self.replace(
            groups=[group.replace(size=1) for group in self.groups for _ in range(group.size)]
        )

    @cached_property
    def states(self) -> StateSpace:
        """All count states, enumerated (see `mechopt.problem.states`)."""
        from mechopt.problem.states import StateSpace

        return StateSpace(self)

    # -- draws ----------------------------------------------------------------------------------

    def instance(self, costs: Any) -> Instance:
        """The instance in which user i has cost `costs[i]` (money per data unit, shape (n,))."""
        of_user = [self.groups[g] for g in self.group_of_user]
        segments = None
        if not all(group.linear and group.slopes[0] == 1 for group in self.groups):
            segments = (
                [group.widths.tolist() for group in of_user],
                [group.slopes.tolist() for group in of_user],
            )
        return Instance(
            cost=costs,
            value=[group.value for group in of_user],
            capacity=None if segments else [group.capacity for group in of_user],
            thresholds=self.thresholds,
            shares=self.shares,
            reversibility=[group.reversibility for group in of_user],
            removable=[group.removable for group in of_user],
            exclusion=[group.exclusion for group in of_user] if self.has_exclusion else 0,
            segments=segments,
            provider_value=self.provider_value,
            budget=None if self.budget == inf else self.budget,
        )

    def sample_costs(self, draws: int, seed: int = 0) -> FloatArray:
        """Independent cost profiles, money per data unit, shape (draws, n)."""
        random = np.random.default_rng(seed)
        return np.concatenate(
            [
                random.choice(
                    group.costs,
                    size=(draws, group.size),
                    p=group.probabilities / group.probabilities.sum(),
                )
                for group in self.groups
            ],
            axis=1,
        )

    def sample(self, seed: int = 0) -> Instance:
        """One instance with costs drawn from the groups' distributions."""
        return self.instance(self.sample_costs(1, seed)[0])

    # -- identity and files ---------------------------------------------------------------------

    def replace(self, **changes: Any) -> Population:
        """A variant with some constructor arguments changed."""
        unknown = sorted(set(changes) - set(_POPULATION_FIELDS))
        if unknown:
            raise InvalidPopulation(
                f"{unknown[0]}: not a field of a population; fields are "
                f"{', '.join(_POPULATION_FIELDS)}"
            )
        return Population(**{**self._given, "groups": self.groups, **changes})

    @cached_property
    def is_exact(self) -> bool:
        """Whether every number was given as an int, Decimal, Fraction or string."""
        return all(group.is_exact for group in self.groups) and all(
            raw is None or arrays.is_exact(raw) for raw in self._given.values()
        )

    def exact(self, field: str) -> ExactArray:
        """`thresholds` or `shares`, shape (K,), or a finite cap or value, shape (), as Fractions.

        A float contributes its binary value; `is_exact` tells whether there were any.
        """
        exact = arrays.to_exact(self._given[field])
        return np.atleast_1d(exact) if field in ("thresholds", "shares") else exact

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Population) and self.hash == other.hash

    def __hash__(self) -> int:
        return int(self.hash[:15], 16)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Population is frozen; use replace({name}=…)")

    def __repr__(self) -> str:
        thresholds = ", ".join(f"{threshold:g}" for threshold in self.thresholds[:4])
        return (
            f"Population({self.n} users in {len(self.groups)} groups, "
            f"{self.type_costs.size} types, T = ({thresholds}), V = {self.provider_value:g})"
        )

    def summary(self) -> str:
        """A few lines in plain language."""
        lines = [repr(self)]
        for position, group in enumerate(self.groups):
            law = ", ".join(
                f"{cost:g} (probability {chance:g})"
                for cost, chance in zip(group.costs, group.probabilities)
            )
            lines.append(
                f"group {position + 1}: {group.size} users, cost {law}; value {group.value:g}, "
                f"capacity {group.capacity:g}, reversibility {group.reversibility:g}"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON values, kind `population`; `from_dict` gives the same population back."""
        return {
            "schema_version": 1,
            "kind": "population",
            "provider": {
                "value": self.provider_value,
                "budget": None if self.budget == inf else self.budget,
                "expected_budget": None if self.expected_budget == inf else self.expected_budget,
            },
            "improvement": {
                "thresholds": self.thresholds.tolist(),
                "shares": self.shares.tolist(),
            },
            "groups": [group.to_dict() for group in self.groups],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Population:
        """The population described by `to_dict`'s format.

        Raises InvalidFile on missing or unknown fields, InvalidPopulation on bad values.
        """
        _expect(data, "", {"kind", "improvement", "groups"}, {"schema_version", "provider"})
        if data["kind"] != "population":
            raise InvalidFile(f"kind: expected 'population', got {data['kind']!r}")
        if data.get("schema_version", 1) != 1:
            raise InvalidFile(f"schema_version: this version reads 1, got {data['schema_version']}")
        provider = data.get("provider") or {}
        _expect(provider, "provider.", set(), {"value", "budget", "expected_budget"})
        _expect(data["improvement"], "improvement.", {"thresholds"}, {"shares"})
        if not isinstance(data["groups"], list):
            raise InvalidFile("groups: expected a list of groups")
        return cls(
            groups=[_group(entry, position) for position, entry in enumerate(data["groups"])],
            thresholds=data["improvement"]["thresholds"],
            shares=data["improvement"].get("shares"),
            provider_value=provider.get("value", 0),
            budget=provider.get("budget"),
            expected_budget=provider.get("expected_budget"),
        )

    def write(self, path: str | PathLike[str]) -> None:
        """Write as JSON (kind `population`). See `mechopt.files`."""
        doors.write(self, path)


def _group(entry: Any, position: int) -> Group:
    where = f"groups[{position}]."
    optional = {"value", "capacity", "reversibility", "removable", "exclusion", "segments"}
    _expect(entry, where, {"size", "costs", "probabilities"}, optional)
    given = dict(entry)
    if given.get("segments") is not None:
        _expect(given["segments"], f"{where}segments.", {"widths", "slopes"}, set())
        given["segments"] = (given["segments"]["widths"], given["segments"]["slopes"])
    try:
        return Group(**given)
    except InvalidPopulation as error:
        raise InvalidPopulation(where + problem for problem in error.problems) from None


def _expect(data: Any, where: str, needed: set[str], optional: set[str]) -> None:
    if not isinstance(data, Mapping):
        raise InvalidFile(f"{where.rstrip('.') or 'file'}: expected an object, got {data!r}")
    problems = [f"{where}{field}: missing" for field in sorted(needed - set(data))]
    problems += [
        f"{where}{field}: not a field; fields are {', '.join(sorted(needed | optional))}"
        for field in sorted(set(data) - needed - optional)
    ]
    if problems:
        raise InvalidFile(problems)


# -- reading and checking the arguments ---------------------------------------------------------


def _vector(field: str, raw: Any, problems: list[str]) -> FloatArray:
    try:
        array = np.atleast_1d(arrays.to_float(raw))
    except ValueError as error:
        where = f"[{error.args[1]}]" if len(error.args) > 1 and error.args[1] is not None else ""
        problems.append(f"{field}{where}: {error.args[0]}")
        return np.zeros(0)
    if array.ndim > 1 or array.size == 0:
        problems.append(f"{field}: expected a list of numbers, got shape {array.shape}")
        return np.zeros(0)
    return array.copy()


def _scalar(field: str, raw: Any, problems: list[str]) -> float:
    try:
        array = arrays.to_float(raw)
    except ValueError as error:
        problems.append(f"{field}: {error.args[0]}")
        return 0.0
    if array.ndim:
        problems.append(f"{field}: expected one number per group, got {array.size}")
        return 0.0
    return float(array)


def _check_law(costs: FloatArray, law: FloatArray, problems: list[str]) -> None:
    for k, cost in enumerate(costs):
        if not cost > 0 or cost == inf:
            problems.append(
                f"costs[{k}]: must be > 0 and finite (money per data unit), got {cost:g}"
            )
        elif k and cost == costs[k - 1]:
            problems.append(
                f"costs[{k}]: {cost:g} is listed twice; merge the two types (add probabilities)"
            )
        elif k and not cost > costs[k - 1]:
            problems.append(
                f"costs[{k}]: must exceed costs[{k - 1}] = {costs[k - 1]:g}, got {cost:g}; "
                "sort the types by cost"
            )
    if law.size == 0 or costs.size == 0:
        return
    if law.size != costs.size:
        problems.append(f"probabilities: has {law.size} entries, but costs has {costs.size}")
        return
    bad = [k for k, chance in enumerate(law) if not 0 < chance <= 1]
    problems += [
        f"probabilities[{k}]: must lie in (0, 1], got {law[k]:g}"
        + ("; leave the type out" if law[k] == 0 else "")
        for k in bad
    ]
    off = float(law.sum()) - 1
    if not bad and abs(off) > tolerances.PROBABILITY:
        problems.append(
            f"probabilities: sum to {law.sum():.12g}, {abs(off):.3g} "
            f"{'above' if off > 0 else 'below'} 1; they are not rescaled"
        )


def _check_levels(thresholds: FloatArray, shares: FloatArray, problems: list[str]) -> None:
    if thresholds.size and shares.size and thresholds.size != shares.size and not problems:
        problems.append(f"shares: has {shares.size} entries, but thresholds has {thresholds.size}")
    for field, array, top in (("thresholds", thresholds, inf), ("shares", shares, 1.0)):
        for k, number in enumerate(array):
            if not 0 < number <= top or number == inf:
                rule = "> 0 and finite" if top == inf else "in (0, 1]"
                problems.append(f"{field}[{k}]: must be {rule}, got {number:g}")
            elif k and not number > array[k - 1]:
                problems.append(
                    f"{field}[{k}]: must exceed {field}[{k - 1}] = {array[k - 1]:g}, got {number:g}"
                )


def _segments(
    capacity: Any, segments: tuple[Any, Any] | None, problems: list[str]
) -> tuple[FloatArray, FloatArray]:
    nothing = (np.zeros(1), np.ones(1))
    if segments is None:
        if capacity is None:
            problems.append("capacity: missing; give the most data each user can give")
            return nothing
        width = _scalar("capacity", capacity, problems)
        if not width > 0 or width == inf:
            problems.append(f"capacity: must be > 0 and finite (data), got {width:g}")
        return np.array([width]), np.ones(1)
    try:
        raw_widths, raw_slopes = segments
    except (TypeError, ValueError):
        problems.append("segments: expected a pair (widths, slopes)")
        return nothing
    widths = _vector("segments.widths", raw_widths, problems)
    slopes = _vector("segments.slopes", raw_slopes, problems)
    if widths.size != slopes.size:
        problems.append(f"segments: {widths.size} widths and {slopes.size} slopes")
    problems += [
        f"segments.{field}[{j}]: must be > 0 and finite, got {number:g}"
        for field, array in (("widths", widths), ("slopes", slopes))
        for j, number in enumerate(array)
        if not 0 < number < inf
    ]
    problems += [
        f"segments.slopes[{j}]: slopes must not decrease (the cost must be convex), "
        f"got {slopes[j]:g} after {slopes[j - 1]:g}"
        for j in range(1, slopes.size)
        if slopes[j] < slopes[j - 1]
    ]
    if capacity is not None and not problems:
        total, given = float(widths.sum()), _scalar("capacity", capacity, problems)
        if abs(given - total) > tolerances.DATA * max(given, total):
            problems.append(
                f"capacity: is {given:g}, but the segment widths sum to {total:g}; "
                "leave capacity out or make them agree"
            )
    return widths, slopes

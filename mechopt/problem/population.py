"""The provider's problem with private costs: groups of exchangeable users, types known by law only.

Symbols and units are those of the model. Types are listed group after group:
"column" j = 0..M−1 runs over (group, cost), M = Σ m_g.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import inf
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import arrays, doors
from mechopt.arrays import ExactArray, FloatArray, IntArray
from mechopt.errors import InvalidFile, InvalidPopulation, NotSupported
from mechopt.problem.arguments import Reader
from mechopt.problem.group import Group as Group
from mechopt.problem.group import expect_fields, read_group
from mechopt.problem.instance import Instance
from mechopt.problem.law import Law, read_law

if TYPE_CHECKING:
    from mechopt.problem.discretise import Estimate
    from mechopt.problem.states import StateSpace

_POPULATION_FIELDS = (
    "groups",
    "thresholds",
    "shares",
    "provider_value",
    "budget",
    "expected_budget",
    "law",
)


class Population:
    """Groups of users with private costs, and a provider (D1–D7). Frozen; see `replace()`.

    :groups: one or more `Group`
    :thresholds: T_1 < … < T_K, data, all > 0
    :shares: 0 < b_1 < … < b_K ≤ 1, share of the full improvement; (1,) if K = 1
    :provider_value: V ≥ 0, money
    :budget: β ≥ 0, money, cap on the payments of every state; None for no limit
    :expected_budget: cap on expected payments, money; None for no limit
    :law: None, users draw independently; else how they draw together, see `law.read_law`:
        {"worlds": …, "probabilities": …}, a common shock, or {"counts": …, "probabilities": …},
        a table over count states. The groups' probabilities are its marginals

    Users are numbered group after group. Raises InvalidPopulation naming every fault.
    """

    groups: tuple[Group, ...]
    thresholds: FloatArray
    shares: FloatArray
    provider_value: float
    budget: float
    expected_budget: float
    law: Law | None
    _given: dict[str, Any]

    def __init__(
        self,
        groups: Sequence[Group],
        thresholds: Any,
        shares: Any = None,
        provider_value: Any = 0,
        budget: Any = None,
        expected_budget: Any = None,
        law: Any = None,
    ) -> None:
        read = Reader(InvalidPopulation)
        members = (groups,) if isinstance(groups, Group) else tuple(groups)
        if not members:
            read.fault("groups", "there are none; a population needs at least one group")
        for position, group in enumerate(members):
            if not isinstance(group, Group):
                read.fault("groups", f"expected a Group, got {group!r:.40}", (position,))
        given = {
            "thresholds": thresholds,
            "shares": shares,
            "provider_value": provider_value,
            "budget": budget,
            "expected_budget": expected_budget,
        }
        given = {name: read.own(name, raw) for name, raw in given.items()}
        levels = read.levels(given["thresholds"], given["shares"])
        worth = read.number("provider_value", given["provider_value"], "≥ 0", "money")
        caps = {
            field: inf
            if given[field] is None
            else read.number(field, given[field], "≥ 0", "money; None for no limit", limit=False)
            for field in ("budget", "expected_budget")
        }
        read.stop()
        assert levels is not None
        if given["shares"] is None:
            given["shares"] = 1
        joint = law if law is None or isinstance(law, Law) else read_law(law, members)
        self.__dict__.update(
            _given=given,
            groups=members,
            thresholds=arrays.freeze(levels[0]),
            shares=arrays.freeze(levels[1]),
            provider_value=worth,
            law=joint,
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

    def of_type(self, field: str) -> FloatArray:
        """A number of each group (`value`, `capacity`, `size`, …) per type column, shape (M,)."""
        return self.of_group(field)[self.group_of_type]

    def of_group(self, field: str) -> FloatArray:
        """A number of each group, shape (G,)."""
        return np.array([float(getattr(group, field)) for group in self.groups])

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

    @cached_property
    def type_rates(self) -> FloatArray:
        """Cost of the first data of each type column, money per data unit, shape (M,)."""
        return np.concatenate([group.costs * group.slopes[0] for group in self.groups])

    @cached_property
    def type_chances(self) -> FloatArray:
        """Probability of each type column within its group, shape (M,)."""
        return np.concatenate([group.probabilities for group in self.groups])

    @property
    def users_value(self) -> float:
        """Σ_g n_g v_g: what the full improvement is worth to all users, money."""
        return sum(group.size * group.value for group in self.groups)

    def type_name(self, column: int) -> str:
        """How messages call a type: its number within its group (from 1) and its cost."""
        group = int(self.group_of_type[column])
        number = column - self.first_type[group] + 1
        prefix = f"group {group + 1} " if len(self.groups) > 1 else ""
        return f"{prefix}type {number} (cost {self.type_costs[column]:g})"

    def individual(self) -> Population:
        """The same users, each a group of her own (asymmetric mechanisms become possible)."""
        groups = [group.replace(size=1) for group in self.groups for _ in range(group.size)]
        if self.law is None:
            return self.replace(groups=groups)
        if self.law.worlds is None:
            raise NotSupported("a law given as a table over counts has no individual users")
        return self.replace(groups=groups, law=self.law.individual(self.groups).to_dict())

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
            fields = ("widths", "slopes")
            widths, slopes = ([getattr(one, name).tolist() for one in of_user] for name in fields)
            segments = (widths, slopes)
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
        """Cost profiles drawn from the law, money per data unit, shape (draws, n)."""
        random = np.random.default_rng(seed)
        if self.law is not None:
            space = self.states
            chance = space.probability / space.probability.sum()
            drawn = space.counts[random.choice(len(space), size=draws, p=chance)]
            ends = np.cumsum([group.types for group in self.groups])[:-1]
            return np.array(
                [
                    np.concatenate(
                        [
                            random.permutation(np.repeat(group.costs, mine))
                            for group, mine in zip(self.groups, np.split(row, ends))
                        ]
                    )
                    for row in drawn
                ]
            )
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

    @classmethod
    def from_samples(
        cls,
        costs: Any,
        *,
        types: int = 5,
        group: Sequence[Any] | None = None,
        size: Any,
        value: Any = 0,
        capacity: Any = None,
        reversibility: Any = 1,
        removable: Any = 1,
        rule: str = "mean",
        **provider: Any,
    ) -> Population:
        """A population whose types are observed costs, at most `types` per group.

        :costs: money per data unit of the people asked, shape (N,); `group`, their labels (N,)
        :size, value, capacity, reversibility, removable: of each group, one for all or a mapping
            label -> number; rule : see `discretise.from_observations`
        :provider: thresholds, shares, provider_value, budget, expected_budget

        `population.estimates` has, per group, the people asked and what was lost
        (`discretise.Estimate`), and the confidence radius for `robust=`. Raises InvalidOption and
        InvalidPopulation.
        """
        from mechopt.problem.discretise import from_observations

        given = np.asarray(costs, dtype=object)
        labels = np.array([None] * given.size if group is None else list(group), dtype=object)
        if given.ndim != 1 or labels.size != given.size:
            raise InvalidPopulation(
                f"group: has {labels.size} labels, but costs has {given.size} entries"
            )
        fields = {
            "size": size,
            "value": value,
            "capacity": capacity,
            "reversibility": reversibility,
            "removable": removable,
        }
        groups, estimates = [], []
        for label in dict.fromkeys(labels.tolist()):
            mine = np.array([one == label for one in labels.tolist()])
            estimate = from_observations(given[mine].tolist(), types, rule=rule)
            chosen = {}
            for name, one in fields.items():
                if isinstance(one, Mapping) and label not in one:
                    raise InvalidPopulation(f"{name}: has no entry for the group {label!r}")
                chosen[name] = one[label] if isinstance(one, Mapping) else one
            groups.append(
                Group(costs=estimate.costs, probabilities=estimate.probabilities, **chosen)
            )
            estimates.append(estimate)
        made = cls(groups, **provider)
        made.__dict__["estimates"] = tuple(estimates)
        return made

    @property
    def estimates(self) -> tuple[Estimate, ...] | None:
        """Per group, what `from_samples` estimated; None if the law was given."""
        return self.__dict__.get("estimates")

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
        same = {**self._given, "groups": self.groups, "law": self.law}
        if self.law is not None and "groups" in changes and "law" not in changes:
            same["law"] = self.law.to_dict()  # checked against the new groups
        return Population(**{**same, **changes})

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
        import hashlib  # brings OpenSSL, and most runs need no hash

        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Population) and self.hash == other.hash

    def __hash__(self) -> int:
        return int(self.hash[:15], 16)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, ({**self._given, "groups": self.groups},)

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
            **({} if self.law is None else {"law": self.law.to_dict()}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Population:
        """The population described by `to_dict`'s format.

        Raises InvalidFile on missing or unknown fields, InvalidPopulation on bad values.
        """
        expect_fields(
            data, "", {"kind", "improvement", "groups"}, {"schema_version", "provider", "law"}
        )
        if data["kind"] != "population":
            raise InvalidFile(f"kind: expected 'population', got {data['kind']!r}")
        if data.get("schema_version", 1) != 1:
            raise InvalidFile(f"schema_version: this version reads 1, got {data['schema_version']}")
        provider = data.get("provider") or {}
        expect_fields(provider, "provider.", set(), {"value", "budget", "expected_budget"})
        expect_fields(data["improvement"], "improvement.", {"thresholds"}, {"shares"})
        if not isinstance(data["groups"], list):
            raise InvalidFile("groups: expected a list of groups")
        return cls(
            groups=[read_group(entry, position) for position, entry in enumerate(data["groups"])],
            thresholds=data["improvement"]["thresholds"],
            shares=data["improvement"].get("shares"),
            provider_value=provider.get("value", 0),
            budget=provider.get("budget"),
            expected_budget=provider.get("expected_budget"),
            law=data.get("law"),
        )

    def write(self, path: str | PathLike[str]) -> None:
        """Write as JSON (kind `population`). See `mechopt.files`."""
        doors.write(self, path)


def _rebuild(given: dict[str, Any]) -> Population:
    return Population(**given)

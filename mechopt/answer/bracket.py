"""An interval for the private-cost problem at any n, with the rule that reaches its lower end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from mechopt import arrays, doors
from mechopt.answer.common import Answer, finite, header, headline, read_header
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import InvalidFile
from mechopt.problem.population import Population
from mechopt.status import Status


@dataclass(frozen=True, eq=False)
class Rule:
    """A mechanism given by few numbers, for any number of users.

    :kind: "virtual-cost rule", the same "with a fee for access", "posted price with rationing",
        "unanimity", "fee for access" or "null"
    :chance: probability of the lottery that decides, before any report, whether it is used
    :base: unpaid burden x⁰_g of every user of a group (the fee of who pays it), data, shape (G,)
    :order: position of each type column in the order of purchase, shape (M,); types that do not
        take part have −1
    :price: per data unit; None where payments are the envelope's
    :fee: of the virtual-cost rule, what a user of each type gives for access beyond the base,
        data, shape (M,); None where nobody is denied any
    """

    kind: str
    chance: float
    base: FloatArray
    order: IntArray
    price: float | None = None
    fee: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Bracket(Answer):
    """lower ≤ best value of any BIC mechanism with interim participation ≤ upper (F9, F14).

    `rule` attains at least `lower` (exactly that if `exact`); `how` says in words how both ends
    are known. Money, or a probability for "improvement".
    """

    population: Population = field(repr=False)
    objective_name: str
    lower: float
    upper: float
    rule: Rule = field(repr=False)
    exact: bool
    how: str
    seconds: float = 0.0
    seed: int = 0
    reason: str = ""
    solver: str = "LP dual, expected values"

    @property
    def mechanism(self) -> str:  # type: ignore[override]
        """The kind of the rule that attains `lower`."""
        return self.rule.kind

    @property
    def objective(self) -> float:  # type: ignore[override]
        """What the rule attains at least, `lower`."""
        return self.lower

    @property
    def bound(self) -> float:  # type: ignore[override]
        """What no mechanism exceeds, `upper`."""
        return self.upper

    @property
    def gap(self) -> float:
        """The width (upper − lower) relative to the upper end, or to 1 if that is smaller."""
        return (self.upper - self.lower) / max(1.0, abs(self.upper))

    @property
    def status(self) -> Status:  # type: ignore[override]
        """OPTIMAL if the ends meet, else FEASIBLE."""
        return Status.OPTIMAL if self.upper <= self.lower else Status.FEASIBLE

    @property
    def has_answer(self) -> bool:
        """Whether there is a rule to be deployed: always."""
        return True

    @property
    def improvement(self) -> float:
        """E[B(X)] of the rule: as in `metrics`."""
        return float(self.metrics["improvement"])

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics of the model of the rule, estimated from 1,000 drawn profiles.

        `standard_error` has that of each. What is certified is the interval.
        """
        return MappingProxyType(doors.bracket_metrics(self))

    def assign(self, reports: Any, *, seed: int = 0) -> Plan:
        """The rule's plan for these reported costs, shape (n,), users group after group."""
        return doors.assign_by_rule(self.population, self.rule, reports, seed)

    def summary(self) -> str:
        """The interval in plain language."""
        return (
            f"{headline(self)}\n{self.population.n:,} users: no mechanism is worth more than "
            f"{self.upper:.6g}, and the {self.mechanism} is worth "
            f"{'' if self.exact else 'at least '}{self.lower:.6g} (gap {self.gap:.2g})\n{self.how}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values, kind `bracket`, with the population inside."""
        rule = self.rule
        return {
            **header(self, "bracket"),
            "lower": self.lower,
            "upper": self.upper,
            "exact": self.exact,
            "how": self.how,
            "rule": {
                "kind": rule.kind,
                "chance": rule.chance,
                "base": rule.base.tolist(),
                "order": rule.order.tolist(),
                "price": rule.price,
                **({} if rule.fee is None else {"fee": rule.fee.tolist()}),
            },
            "metrics": dict(self.metrics),
            "population": self.population.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Bracket:
        """The bracket described by `to_dict`'s format; InvalidFile on anything else."""
        needed = ("objective_name", "lower", "upper", "exact", "how", "rule", "population")
        derived = ("mechanism", "objective", "bound")
        fields = read_header(data, "bracket", needed, unknown=derived)
        fields.pop("status")
        finite({name: data[name] for name in ("lower", "upper")})
        finite({name: data["rule"].get(name) for name in ("chance", "price")}, "rule.")
        population, rule = Population.from_dict(data["population"]), dict(data["rule"])
        shapes = {"base": len(population.groups), "order": population.type_costs.size}
        if "fee" in rule:
            shapes["fee"] = population.type_costs.size
        columns = {}
        for name, size in shapes.items():
            try:
                column = arrays.to_float(rule.get(name))
            except (ValueError, TypeError):
                column = np.zeros(0)
            if column.shape != (size,) or not np.isfinite(column).all():
                raise InvalidFile(f"rule.{name}: expected {size} numbers")
            columns[name] = column
        return cls(
            population=population,
            lower=float(data["lower"]),
            upper=float(data["upper"]),
            exact=bool(data["exact"]),
            how=str(data["how"]),
            rule=Rule(
                str(rule.get("kind")),
                float(rule.get("chance", 0.0)),
                columns["base"],
                columns["order"].astype(np.int64),
                rule.get("price"),
                columns.get("fee"),
            ),
            **fields,
        )

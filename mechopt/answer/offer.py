"""A posted offer to a population with private costs: take it or leave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mechopt.answer.common import Answer, finite, header, headline, read_header
from mechopt.errors import InvalidFile
from mechopt.problem.population import Population
from mechopt.status import Status

# what every offer says of itself (docs: model)
METRICS = (
    *("improvement", "data", "expenditure", "leakage", "social_cost", "provider_surplus"),
    "welfare",
)


@dataclass(frozen=True, eq=False)
class PostedOffer(Answer):
    """A take-it-or-leave-it offer to everybody (A1, A2), and what it brings in expectation.

    :offer: {"price": s} (money per data unit) or {"payment": q (money), "floor": f (data)}
    :metrics: the names of the model; payments are made whatever the total
    """

    population: Population = field(repr=False)
    mechanism: str
    status: Status
    offer: Mapping[str, float] = field(default_factory=dict)
    objective: float | None = None
    bound: float | None = None
    objective_name: str = "provider-surplus"
    metrics: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    solver: str = "enumeration"
    seconds: float = 0.0
    seed: int = 0

    @property
    def has_answer(self) -> bool:
        """Whether there is an offer to be made."""
        return bool(self.metrics)

    @property
    def improvement(self) -> float | None:
        """E[B(X)]; None without an answer."""
        return self.metrics.get("improvement")

    def summary(self) -> str:
        """The offer in plain language."""
        if not self.has_answer:
            return f"{headline(self)}\n{self.reason}"
        offer = ", ".join(f"{name} {number:g}" for name, number in self.offer.items())
        m = self.metrics
        return (
            f"{headline(self)}\n{offer}: improvement {m['improvement']:.4g}, pays "
            f"{m['expenditure']:.4g} in expectation, {m['leakage']:.4g} of it for nothing"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values, kind `offer`, with the population inside."""
        return {
            **header(self, "offer"),
            "offer": dict(self.offer),
            "metrics": dict(self.metrics),
            "population": self.population.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PostedOffer:
        """The offer described by `to_dict`'s format; InvalidFile on anything else."""
        fields = read_header(data, "offer", ("mechanism", "offer", "metrics", "population"))
        finite(data["offer"], "offer.")
        finite(data["metrics"], "metrics.")
        absent = [name for name in METRICS if data["metrics"] and data["metrics"].get(name) is None]
        if absent:
            raise InvalidFile(f"metrics.{absent[0]}: missing")
        return cls(
            population=Population.from_dict(data["population"]),
            offer=dict(data["offer"]),
            metrics=dict(data["metrics"]),
            **fields,
        )

"""A problem's data as fractions, spelled "p/q": what a certificate says the problem is.

Exact numbers (ints, Decimals, Fractions, numeric strings) are taken as they are. A float is read
as its shortest decimal, the number its user typed: 0.1 is 1/10, not 3602879701896397/2^55.
Probabilities that then sum to 1 only up to rounding have the rest added to the largest.
"""

from __future__ import annotations

from fractions import Fraction
from math import inf
from typing import Any

import numpy as np

from mechopt.problem.fields import BY_NAME
from mechopt.problem.instance import Instance
from mechopt.problem.law import Law
from mechopt.problem.population import Group, Population


def decimal(value: float) -> Fraction:
    """A float's shortest decimal as a fraction."""
    return Fraction(repr(float(value)))


def spelled(entry: Any) -> Any:
    """Fractions (and arrays, lists, mappings of them) as strings "p/q" or "p"."""
    if isinstance(entry, Fraction):
        return str(entry)
    if isinstance(entry, dict):
        return {key: spelled(value) for key, value in entry.items()}
    if isinstance(entry, (list, tuple, np.ndarray)):
        return [spelled(value) for value in entry]
    return entry


def reading(problem: Instance | Population) -> str:
    """How the data were read, in words."""
    if problem.is_exact:
        return "exact numbers as given"
    return "floats by their shortest decimal, exact numbers as given"


def _typed(number: Fraction | None, exact: bool) -> Fraction | None:
    """The number that was given: `number` itself, or the decimal of the float it came from."""
    if exact or number is None:  # not said
        return number
    nearest = float(number)
    return decimal(nearest) if Fraction(nearest) == number else number


def typed(source: Any, field: str) -> Any:
    """A field of an instance, a group or a population as nested lists of what was typed."""
    read = np.vectorize(lambda number: _typed(number, source.is_exact), otypes=[object])
    return read(source.exact(field)).tolist()


def instance_data(instance: Instance) -> dict[str, Any]:
    """The instance as a certificate's `problem`."""
    names = ("cost", "value", "reversibility", "removable", "widths", "slopes", *instance.said)
    columns = {
        name: getattr(instance, name).tolist() if _is_label(name) else typed(instance, name)
        for name in names
    }
    return spelled(
        {
            "kind": "instance",
            "thresholds": typed(instance, "thresholds"),
            "shares": typed(instance, "shares"),
            "provider_value": typed(instance, "provider_value"),
            "budget": None if instance.budget == inf else typed(instance, "budget"),
            "users": [
                {"id": str(name), **dict(zip(columns, row))}
                for name, row in zip(instance.ids, zip(*columns.values()))
            ],
            **_of_all(instance),
        }
    )


def _of_all(instance: Instance) -> dict[str, Any]:
    """The terms of practice that are not a user's; a share of 33.3 % as 333/1000."""
    found: dict[str, Any] = {}
    if instance.payment_step:
        found["payment_step"] = typed(instance, "payment_step")
    for name in ("group_least", "group_most"):
        for label, (kind, limit) in getattr(instance, name).items():
            percent = f"{100 * limit:.15g}"
            typed_so = kind == "share" and float(percent) / 100 == limit
            said = Fraction(percent) / 100 if typed_so else decimal(limit)
            found.setdefault(name, {})[label] = [kind, said]
    return found


def _is_label(name: str) -> bool:
    return name in BY_NAME and BY_NAME[name].label


def _group(group: Group) -> dict[str, Any]:
    fields: tuple[str, ...] = (
        "costs",
        "probabilities",
        "value",
        "reversibility",
        "removable",
        "widths",
        "slopes",
    )
    fields += ("exclusion",) * bool(group.exclusion)
    data = {field: typed(group, field) for field in fields}
    law = data["probabilities"]
    law[law.index(max(law))] += 1 - sum(law)  # what rounding left open (at most 1e-9)
    return {"size": group.size, **data}


def _law(law: Law) -> dict[str, Any]:
    """A law of correlated types; what rounding left open goes to the largest of its numbers."""
    data = law.to_dict()

    def whole(numbers: list[float]) -> list[Fraction]:
        exact = [decimal(one) for one in numbers]
        exact[exact.index(max(exact))] += 1 - sum(exact)
        return exact

    data["probabilities"] = whole(data["probabilities"])
    if "worlds" in data:
        data["worlds"] = [[whole(one) for one in world] for world in data["worlds"]]
    return data


def target_share(number: float, problem: Instance | Population) -> Fraction:
    """A target share: the b_k it is, if it is one, else its decimal."""
    same = [share for share in typed(problem, "shares") if float(share) == number]
    return same[0] if same else decimal(number)


def population_data(population: Population) -> dict[str, Any]:
    """The population as a certificate's `problem`."""
    data = {
        "kind": "population",
        "groups": [_group(group) for group in population.groups],
        "thresholds": typed(population, "thresholds"),
        "shares": typed(population, "shares"),
        "provider_value": typed(population, "provider_value"),
    }
    if population.law is not None:
        data["law"] = _law(population.law)
    for field in ("budget", "expected_budget"):
        limited = getattr(population, field) < inf
        data[field] = typed(population, field) if limited else None
    return spelled(data)

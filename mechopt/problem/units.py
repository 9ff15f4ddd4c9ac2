"""Natural units: data counted in about T_K, money in about what a user has at stake.

Solvers and searches have absolute tolerances; in natural units the numbers they see are near 1
whatever the caller counts in. The units are powers of two, so changing them and back rounds
nothing, and the same problem in units 2^j and 2^k times as large is the same problem to the last
bit. Exact numbers stay exact.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from math import frexp, isnan, ldexp
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import arrays
from mechopt.arrays import ExactArray, FloatArray
from mechopt.problem.fields import BY_NAME, USER_FIELDS
from mechopt.problem.instance import Instance, Units

if TYPE_CHECKING:
    from mechopt.problem.population import Population

# Field of an instance -> powers of (data, money) in its dimension; all others are plain numbers.
DIMENSIONS = {
    **{field.name: field.dimension for field in USER_FIELDS if any(field.dimension)},
    "thresholds": (1, 0),
    "widths": (1, 0),
    "provider_value": (0, 1),
    "budget": (0, 1),
    "payment_step": (0, 1),
}


def power(amount: float) -> float:
    """The least power of two above `amount`; 1 for 0."""
    return ldexp(1.0, frexp(amount)[1]) if amount > 0 else 1.0


def natural_units(instance: Instance) -> Units:
    """Units of which T_K and a typical user's v_i b_K (without values: C_i of all) are about 1.

    Budget and provider's value do not count: a sweep over them stays in the same units.
    """
    top = float(instance.thresholds[-1])
    stake = instance.value * float(instance.shares[-1])
    if not stake.any():
        stake = instance.cost * np.minimum(instance.capacity, top)
    stake = stake[stake > 0]
    middle = float(np.partition(stake, stake.size // 2)[stake.size // 2]) if stake.size else 1.0
    return Units(power(top), power(middle))


def natural_population(population: Population) -> Units:
    """Units of which what a user gives and the most that she has at stake are about 1.

    Not T_K: among thousands of users burdens would be small numbers and costs per unit large ones,
    and what the solver's tolerance leaves of a burden would be money that the audit refuses.
    """
    top = float(population.thresholds[-1])
    most = max(min(group.capacity, top) for group in population.groups)
    stakes = []
    for group in population.groups:  # a value that means "in any case" is no measure of money
        cheapest, dearest = group.costs[[0, -1]] * min(group.capacity, top)
        stakes.append(max(min(group.value, float(dearest)), float(cheapest)))
    return Units(power(most), power(max(stakes)))


class NaturalInstance(Instance):
    """`source` counted in `units`; made without copying or checking anything twice."""

    def __init__(self, source: Instance, units: Units) -> None:
        kept = {name: entry for name, entry in vars(source).items() if name not in _CACHED}
        whole = source.widths.base is source.capacity  # one segment, no numbers of its own
        for name, dimension in DIMENSIONS.items():
            if name == "widths" and whole:
                kept[name] = arrays.freeze(kept["capacity"].reshape(-1, 1))
            else:
                kept[name] = _scaled(kept[name], 1.0 / units.of(dimension))
        self.__dict__.update(kept, source=source, units=units)

    source: Instance

    @cached_property
    def is_exact(self) -> bool:
        return self.source.is_exact

    def _exact(self, field: str) -> ExactArray:
        exact = self.source.exact(field)
        if field not in DIMENSIONS:
            return exact
        factor = 1 / Fraction(self.units.of(DIMENSIONS[field]))
        if field in BY_NAME and BY_NAME[field].free:  # None: left open
            left = [None if entry is None else entry * factor for entry in exact.tolist()]
            return np.array(left, dtype=object)
        return np.array(exact * factor, dtype=object)

    def replace(self, **changes: Any) -> Instance:
        back = {
            name: entry
            if entry is None or name not in DIMENSIONS
            else entry * self.units.of(DIMENSIONS[name])
            for name, entry in changes.items()
        }
        return NaturalInstance(self.source.replace(**back), self.units)

    def __reduce__(self) -> tuple[Any, ...]:
        return NaturalInstance, (self.source, self.units)


# What an instance works out from its numbers, to be worked out again; what is said stays said.
_CACHED = {"_exact_cache"} | {
    name
    for name, entry in vars(Instance).items()
    if isinstance(entry, cached_property) and name != "said"
}


def _scaled(entry: Any, factor: float) -> Any:
    """A number or an array times `factor`."""
    if not isinstance(entry, np.ndarray):
        return entry * factor
    if entry.strides == (0,):
        one = float(entry[0])
        return entry if one == 0 or isnan(one) else arrays.everywhere(one * factor, entry.size)
    return arrays.freeze(entry * factor)


def natural(instance: Instance) -> Instance:
    """`instance` in its natural units (itself if it is so already)."""
    if isinstance(instance, NaturalInstance):
        return instance
    return NaturalInstance(instance, natural_units(instance))


def counted(array: FloatArray | None, unit: float) -> FloatArray | None:
    """An array of natural units in the caller's, read-only."""
    return None if array is None else arrays.freeze(array * unit)

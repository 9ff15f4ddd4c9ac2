"""Who is lost with what probability: hazards per user, and a shock that hits all at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mechopt import arrays
from mechopt.arrays import FloatArray
from mechopt.errors import InvalidOption
from mechopt.problem.instance import Instance


@dataclass(frozen=True, eq=False)
class Hazards:
    """States of the world: (probability, hazards (n,)), the calm one first."""

    states: tuple[tuple[float, FloatArray], ...]

    @property
    def mean(self) -> FloatArray:
        """P(user i is lost), shape (n,)."""
        return np.sum([chance * hazard for chance, hazard in self.states], axis=0)


def hazards_of(instance: Instance, dropout: Any, shock: Any = None) -> Hazards:
    """`dropout` and `shock` as users write them, checked.

    :dropout: h in [0, 1], a scalar, one per user, a mapping from group label to hazard (the labels
        of `instance.group`), or the name of a column that came with the people
    :shock: (π, factor): with probability π every hazard is multiplied by `factor` (a scalar, one
        per user, or a mapping from label to factor) and capped at 1; None: no shock

    Raises InvalidOption naming the option, the user and the value.
    """
    calm = _column(instance, "dropout", dropout)
    _in_range(instance, "dropout", calm, 1.0)
    if shock is None:
        return Hazards(((1.0, calm),))
    if isinstance(shock, (str, Mapping)) or not hasattr(shock, "__len__") or len(shock) != 2:
        raise InvalidOption(f"shock: expected (probability, factor), got {shock!r}")
    chance, factor = shock
    try:
        chance = float(chance)
    except (TypeError, ValueError):
        chance = -1.0
    if not 0 <= chance <= 1:
        raise InvalidOption(f"shock: its probability must lie in [0, 1], got {shock[0]!r}")
    factors = _column(instance, "shock", factor)
    _in_range(instance, "shock", factors, np.inf)
    hit = np.minimum(calm * factors, 1.0)
    return Hazards(((1.0 - chance, calm), (chance, hit)))


def _column(instance: Instance, name: str, raw: Any) -> FloatArray:
    if isinstance(raw, Mapping):
        raw = _by_group(instance, name, raw)
    elif isinstance(raw, str) and raw in instance.others:
        raw = instance.others[raw]
    try:
        column = arrays.to_float(raw)
    except (TypeError, ValueError) as error:
        came = ", ".join(instance.others) or "none"
        more = f" (columns that came with the people: {came})" if isinstance(raw, str) else ""
        raise InvalidOption(f"{name}: {error.args[0]}{more}") from None
    if column.ndim > 1 or (column.ndim == 1 and column.size != instance.n):
        raise InvalidOption(
            f"{name}: has shape {column.shape}, but the instance has {instance.n} users"
        )
    return np.broadcast_to(column, (instance.n,))


def _by_group(instance: Instance, name: str, raw: Mapping[Any, Any]) -> list[Any]:
    labels = instance.group
    if not (labels != "").any():
        raise InvalidOption(f"{name}: is given by group, but the instance has no groups")
    missing = sorted({str(label) for label in labels} - {str(label) for label in raw})
    if missing:
        raise InvalidOption(f"{name}: says nothing about the group {missing[0]!r}")
    given = {str(label): value for label, value in raw.items()}
    return [given[str(label)] for label in labels]


def _in_range(instance: Instance, name: str, column: FloatArray, most: float) -> None:
    bad = np.flatnonzero(~((column >= 0) & (column <= most) & np.isfinite(column)))
    if bad.size:
        user = int(bad[0])
        where = "" if np.ptp(column) == 0 else f"[{user}] ({instance.name(user)})"
        allowed = "lie in [0, 1]" if most == 1 else "be ≥ 0 and finite"
        raise InvalidOption(f"{name}{where}: must {allowed}, got {column[user]:g}")

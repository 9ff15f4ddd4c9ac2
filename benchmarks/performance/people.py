"""The people of the plain problem, and the page of NumPy that solves it; nothing of mechopt."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def users(n: int) -> dict[str, npt.NDArray[np.float64]]:
    """Lognormal costs, values and capacities; the same for every route."""
    rng = np.random.Generator(np.random.PCG64(n))
    return {name: rng.lognormal(0, 1, n) for name in ("cost", "value", "capacity")}


def one_threshold_fields(n: int) -> dict[str, Any]:
    """The arguments of `Instance`; T is 1.2 times what is given without payments."""
    people = users(n)
    free = np.minimum(people["capacity"], people["value"] / people["cost"]).sum()
    top = min(1.2 * free, 0.9 * people["capacity"].sum())
    return {**people, "thresholds": [top], "provider_value": 1e9}


def by_sorting(instance: Any) -> float:
    """Free data first, then the cheapest: a page of NumPy, without bound or exact totals."""
    free = np.minimum(instance.capacity, instance.value / instance.cost)
    order = np.argsort(instance.cost)
    width = (instance.capacity - free)[order]
    before = np.cumsum(width) - width
    taken = np.clip(instance.thresholds[0] - free.sum() - before, 0, width)
    return float(instance.cost[order] @ taken)

"""Random instances for tests: dyadic data, rich in ties, so that floats are exact."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

import mechopt as mo


def random_instance(
    rng: np.random.Generator,
    *,
    users: int,
    levels: int = 1,
    exact: bool = False,
    budget: bool | None = None,
    segments: bool | None = None,
) -> mo.Instance:
    """A small instance on a grid of quarters. `exact` passes Fractions instead of floats."""

    def some(low: int, high: int, size: Any = None) -> Any:
        return rng.integers(low, high + 1, size=size)

    give: dict[str, Any] = {
        "cost": some(0, 8, users) / 4,
        "value": some(0, 12, users) / 2,
        "reversibility": rng.choice([0, 0.5, 1], users),
        "removable": rng.choice([0, 0.5, 1, 1, 1], users),
        "provider_value": float(some(0, 40)) / 2,
    }
    if segments if segments is not None else rng.integers(3) == 0:
        pieces = int(some(1, 3))
        give["segments"] = (
            some(1, 8, (users, pieces)) / 2,
            np.cumsum(some(1, 2, (users, pieces)), axis=1) / 2,
        )
        most = give["segments"][0].sum()
    else:
        give["capacity"] = some(0, 12, users) / 2
        give["capacity"][0] += 1
        most = give["capacity"].sum()
    cuts = np.sort(rng.choice(np.arange(1, 40), levels, replace=False)) / 40
    give["thresholds"] = np.maximum(np.round(cuts * 1.2 * most * 4), np.arange(1, levels + 1)) / 4
    give["thresholds"] = np.maximum.accumulate(give["thresholds"] + np.arange(levels) / 4)
    give["shares"] = np.sort(rng.choice(np.arange(1, 9), levels, replace=False)) / 8
    if budget if budget is not None else rng.integers(3) == 0:
        give["budget"] = float(some(0, 12)) / 2
    if exact:
        give = {key: _fractions(value) for key, value in give.items()}
    return mo.Instance(**give)


def _fractions(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_fractions(one) for one in value)
    if isinstance(value, np.ndarray):
        return [_fractions(one) for one in value.tolist()]
    if isinstance(value, list):
        return [_fractions(one) for one in value]
    return Fraction(value)

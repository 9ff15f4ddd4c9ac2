"""Cost curves C(x) = θ g(x): g convex, piecewise linear, given by segment widths and slopes.

Works on float64 arrays and on object arrays of Fraction alike; one row per user, one column per
segment. Source: docs: model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def cost_of(cost: Array, widths: Array, slopes: Array, burden: Array) -> Array:
    """C_i(x_i), money, shape (n,). Beyond the last segment its slope continues.

    `cost` (n,) money per data unit, `widths` and `slopes` (n, J), `burden` (n,) data.
    """
    if widths.shape[1] == 1:
        return cost * slopes[:, 0] * burden
    shaped = burden * slopes[:, 0]
    start = widths[:, 0]
    for j in range(1, widths.shape[1]):
        step = slopes[:, j] - slopes[:, j - 1]
        shaped = shaped + step * np.maximum(burden - start, 0)
        start = start + widths[:, j]
    return cost * shaped


def bought(money: Array, rate: Array, width: Array) -> Array:
    """min(width, money / rate), data: all of a segment that costs nothing. Needs money ≥ 0."""
    free = rate == 0
    return np.where(free, width, np.minimum(width, money / np.where(free, 1, rate)))


def affordable(cost: Array, widths: Array, slopes: Array, money: Array) -> Array:
    """The largest x_i in [0, cap_i] with C_i(x_i) ≤ money_i, data, shape (n,). Needs money ≥ 0."""
    reach = widths[:, 0] * 0
    left = money
    for j in range(widths.shape[1]):
        rate = cost * slopes[:, j]
        step = bought(left, rate, widths[:, j])
        reach = reach + step
        left = np.maximum(left - rate * step, 0)
        left = np.where(step < widths[:, j], left * 0, left)
    return reach

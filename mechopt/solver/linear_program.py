"""A linear program as arrays, and the same with its coefficients near 1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import fsum, inf
from typing import Any

import numpy as np
import numpy.typing as npt

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray

IntVector = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class LinearProgram:
    """min or max c·x + offset  s.t.  row_lower ≤ A x ≤ row_upper, lower ≤ x ≤ upper, some integer.

    A is given by rows (CSR: `start` (m+1,), `index` (nnz,), `value` (nnz,)).
    """

    cost: FloatArray
    start: IntVector
    index: IntVector
    value: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    lower: FloatArray
    upper: FloatArray
    integer: BoolArray | None = None
    offset: float = 0.0
    maximize: bool = False

    @property
    def columns(self) -> int:
        return int(self.cost.size)

    @property
    def rows(self) -> int:
        return int(self.row_lower.size)

    @property
    def is_mip(self) -> bool:
        return self.integer is not None and bool(self.integer.any())

    def activity(self, x: FloatArray) -> FloatArray:
        """A x, shape (m,)."""
        products = np.append(self.value * x[self.index], 0.0)
        sums = np.add.reduceat(products, self.start[:-1]) if self.rows else np.zeros(0)
        return np.where(np.diff(self.start) > 0, sums, 0.0)

    def dual_bound(self, row_dual: FloatArray, lower: FloatArray, upper: FloatArray) -> float:
        """What no x between `lower` and `upper` (n,) that holds the rows can beat, by weak duality.

        `row_dual` (m,) as in `highs.Solution`, any numbers: signs that a row without that side
        cannot have count as 0. Infinite if a column without bound keeps a reduced cost.
        """
        sign = -1.0 if self.maximize else 1.0
        weight = sign * row_dual
        weight = np.where((weight > 0) & np.isneginf(self.row_lower), 0.0, weight)
        weight = np.where((weight < 0) & np.isposinf(self.row_upper), 0.0, weight)
        spread = self.value * np.repeat(weight, np.diff(self.start))
        reduced = sign * self.cost - np.bincount(self.index, spread, minlength=self.columns)
        used, moved = np.flatnonzero(weight), np.flatnonzero(reduced)
        sides = np.where(weight > 0, self.row_lower, self.row_upper)[used]
        ends = np.where(reduced > 0, lower, upper)[moved]
        parts = np.concatenate([weight[used] * sides, reduced[moved] * ends])
        if not np.isfinite(parts).all():
            return -sign * inf
        rounding = tolerances.ULPS * float(np.abs(parts).sum())
        return sign * (fsum(parts) - rounding) + self.offset


_ROUNDS = 4  # of scaling rows and columns in turn; more change little


def balanced(program: LinearProgram) -> tuple[LinearProgram, FloatArray, FloatArray]:
    """The program with its coefficients near 1, and the factors of rows (m,) and columns (n,).

    HiGHS' tolerances are absolute: a row in millions would have to hold to 1e-13 of its size, one
    in millionths would hardly count. Rows and continuous columns are multiplied by powers of two
    (nothing is rounded), so that in each the smallest and the largest coefficient are as far from
    1. x = factor · the scaled program's x.
    """
    row, column = np.ones(program.rows), np.ones(program.columns)
    free = np.ones(program.columns, dtype=bool) if program.integer is None else ~program.integer
    used = np.flatnonzero(program.value != 0)
    at, of = np.repeat(np.arange(program.rows), np.diff(program.start))[used], program.index[used]
    size = np.log2(np.abs(program.value[used]))
    up, across = np.zeros(program.rows), np.zeros(program.columns)
    for _ in range(_ROUNDS):
        up = -_middle(size + across[of], at, program.rows)
        across = np.where(free, -_middle(size + up[at], of, program.columns), 0.0)
    row, column = np.exp2(np.round(up)), np.exp2(np.round(across))
    scaled = replace(
        program,
        value=program.value * np.repeat(row, np.diff(program.start)) * column[program.index],
        row_lower=program.row_lower * row,
        row_upper=program.row_upper * row,
        lower=program.lower / column,
        upper=program.upper / column,
        cost=program.cost * column,
    )
    return scaled, row, column


def _middle(size: FloatArray, place: npt.NDArray[Any], count: int) -> FloatArray:
    """Halfway between the smallest and the largest `size` at each place, (count,); 0 if none."""
    low, high = np.full(count, inf), np.full(count, -inf)
    np.minimum.at(low, place, size)
    np.maximum.at(high, place, size)
    low[low == inf] = high[high == -inf] = 0.0
    return (low + high) / 2

"""A level with rows that tie users together (groups, a budget in whole units): LP or MILP.

The same curves as the knapsack's, one binary per piece of a curve and one variable per line of it
(multiple choice), and beside the total a row per group. Where every curve is one convex piece from
0 there are no binaries. The bound is that of HiGHS.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from time import perf_counter
from typing import Any

import numpy as np

from mechopt.arrays import FloatArray, IntArray
from mechopt.known.burdens.level_curves import LevelCurves
from mechopt.known.burdens.multiple_choice_knapsack import Choice
from mechopt.solver import highs


@dataclass(frozen=True, eq=False)
class Row:
    """low ≤ Σ `column` ≤ high; the column is given at the points of the curves, shape (N,).

    :of_counts: a sum of whole burdens, on which whole numbers come by themselves (the total and
        the groups are one within the other)
    """

    column: FloatArray
    low: float
    high: float
    of_counts: bool = True


_NONE = Choice(None, inf, inf)  # proved: there is nothing


def minimise_rows(
    curves: LevelCurves,
    first: str,
    rows: list[Row],
    *,
    whole: bool,
    deadline: float,
    seed: int,
) -> Choice:
    """Least Σ need ("pay") or Σ cost ("cost") with every row; `whole`: burdens are counts.

    burden is None if nothing was found in time: bound = inf then proves that there is nothing.
    """
    model = _Columns(curves)
    data, worth = _scale(curves.burden), curves.need if first == "pay" else curves.cost
    money = _scale(worth)
    starts, index, entries, low, high = model.own_rows(data)
    for row in rows:
        scale = _scale(row.column)
        along, constant = model.coefficients(row.column), model.constant(row.column)
        some = np.flatnonzero(along)
        index.append(some)
        entries.append(along[some] / scale)
        starts.append(some.size)
        low.append((row.low - constant) / scale)
        high.append((row.high - constant) / scale)
    integer = model.binary.copy()
    unit = np.where(model.binary, 1.0, data)
    if whole and not all(row.of_counts for row in rows):
        integer |= True
        unit = np.ones(unit.size)  # counts stay counts
    start = np.concatenate(([0], np.cumsum(starts))).astype(np.int32)
    columns = np.concatenate(index) if index else np.zeros(0)
    numbers = np.concatenate(entries) if entries else np.zeros(0)
    columns = columns.astype(np.int64)
    program = highs.LinearProgram(
        cost=model.coefficients(worth) * unit / money,
        start=start,
        index=columns.astype(np.int32),
        value=numbers * unit[columns],
        row_lower=np.array(low, dtype=np.float64),
        row_upper=np.array(high, dtype=np.float64),
        lower=model.lower,
        upper=np.where(model.binary, 1.0, model.width / unit),
        integer=integer if integer.any() else None,
        offset=model.constant(worth) / money,
    )
    if program.columns == 0:
        holds = (program.row_lower <= 1e-9).all() and (program.row_upper >= -1e-9).all()
        value_now = program.offset * money
        return Choice(model.burden(np.zeros(0)), value_now, value_now) if holds else _NONE
    left = max(0.1, deadline - perf_counter())
    solve = highs.solve_twice if program.is_mip and program.columns <= 5000 else highs.solve
    solution = solve(program, time_limit=left, seed=seed)
    if solution.status.value == "infeasible":
        return _NONE
    bound = -inf if solution.bound is None else solution.bound * money
    if solution.x is None:
        return Choice(None, inf, bound if isfinite(bound) else 0.0)
    x = solution.x
    if program.is_mip:
        x = _polished(program, x, seed)
    burden = model.burden(x * unit)
    return Choice(burden, float((program.cost @ x + program.offset) * money), bound)


def _polished(program: highs.LinearProgram, x: FloatArray, seed: int) -> FloatArray:
    """The integers rounded and held, the rest solved again: a vertex, without their dust."""
    from dataclasses import replace

    assert program.integer is not None
    held = np.where(program.integer, np.rint(x), x)
    if program.integer.all():
        return held
    lower = np.where(program.integer, held, program.lower)
    upper = np.where(program.integer, held, program.upper)
    again = highs.solve(replace(program, lower=lower, upper=upper, integer=None), seed=seed)
    return x if again.x is None else np.where(program.integer, held, again.x)


def _scale(column: FloatArray) -> float:
    """A power of two near the mean size of what is not 0."""
    size = np.abs(column[column != 0])
    return 1.0 if size.size == 0 else float(2.0 ** np.rint(np.log2(size.mean())))


class _Columns:
    """Columns: a binary per piece that is a choice, then a variable per line of the curves."""

    def __init__(self, curves: LevelCurves) -> None:
        self.curves = curves
        starts = np.append(True, ~curves.joined[:-1])
        begin = np.flatnonzero(starts)
        self.owner = curves.user[begin]
        piece_of = np.cumsum(starts) - 1
        alone = np.bincount(self.owner, minlength=curves.n)[self.owner] == 1
        nothing = (curves.burden[begin] == 0) & (curves.cost[begin] == 0)
        nothing &= curves.need[begin] == 0
        ends = np.append(begin[1:], curves.user.size) - 1
        # the piece {0} of a choice needs no column: it is what is left if no other is chosen
        self.idle = ~alone & nothing & (begin == ends)
        self.given = alone  # what is not a choice counts as a constant
        self.chosen = np.flatnonzero(~self.idle & ~self.given)
        self.begin = begin
        self.lines = np.flatnonzero(curves.joined)
        self.piece = piece_of[self.lines]
        self.width = np.concatenate(
            (
                np.ones(self.chosen.size),
                curves.burden[self.lines + 1] - curves.burden[self.lines],
            )
        )
        self.binary = np.arange(self.width.size) < self.chosen.size
        self.lower = np.zeros(self.width.size)

    def coefficients(self, column: FloatArray) -> FloatArray:
        """What each of the columns adds to Σ `column` (N,): per choice, per unit of burden."""
        width = self.width[self.chosen.size :]
        rise = (column[self.lines + 1] - column[self.lines]) / width
        return np.concatenate((column[self.begin[self.chosen]], rise))

    def constant(self, column: FloatArray) -> float:
        """What Σ `column` is if all columns are 0."""
        return float(column[self.begin[self.given]].sum())

    def own_rows(
        self, scale: float
    ) -> tuple[list[Any], list[IntArray], list[FloatArray], list[float], list[float]]:
        """One piece per user; a line only on the piece chosen. (row sizes, columns, values, …)"""
        place = np.full(self.begin.size, -1)
        place[self.chosen] = np.arange(self.chosen.size)
        of_choice = place[self.piece]
        tied = np.flatnonzero(of_choice >= 0)
        index: list[IntArray] = []
        value: list[FloatArray] = []
        sizes: list[Any] = []
        low: list[float] = []
        high: list[float] = []
        owner = self.owner[self.chosen]
        need_all = np.ones(self.curves.n, dtype=bool)
        need_all[self.owner[self.idle]] = False
        users, first, number = np.unique(owner, return_index=True, return_counts=True)
        del first
        order = np.argsort(owner, kind="stable")
        index.append(order)
        value.append(np.ones(order.size))
        sizes += number.tolist()
        low += np.where(need_all[users], 1.0, 0.0).tolist()
        high += [1.0] * users.size
        pairs = np.column_stack((of_choice[tied], tied + self.chosen.size)).astype(np.int64)
        width = self.width[self.chosen.size :][tied] / scale
        index.append(pairs.reshape(-1))
        value.append(np.column_stack((-width, np.full(tied.size, 1.0 / scale))).reshape(-1))
        sizes += [2] * tied.size
        low += [-inf] * tied.size
        high += [0.0] * tied.size
        return sizes, index, value, low, high

    def burden(self, x: FloatArray) -> FloatArray:
        """Burdens (n,) for columns in data."""
        curves = self.curves
        out = np.zeros(curves.n)
        out[self.owner[self.given]] = curves.burden[self.begin[self.given]]
        out += np.bincount(
            self.owner[self.chosen],
            weights=x[: self.chosen.size] * curves.burden[self.begin[self.chosen]],
            minlength=curves.n,
        )
        out += np.bincount(
            curves.user[self.lines], weights=x[self.chosen.size :], minlength=curves.n
        )
        return out

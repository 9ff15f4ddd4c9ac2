"""A level with rows that tie users together (groups, a budget in whole units): LP or MILP.

The same curves as the knapsack's, one binary per piece of a curve and one variable per line of it
(multiple choice), and beside the total a row per group. Where every curve is one convex piece from
0 there are no binaries, and the bound is that of HiGHS.

Else the rows are priced at the duals π of the LP relaxation (which is tight: only about as many
users are split as rows bind). With r = f − Σ_r π_r a_r, each user alone takes his least r; that sum
and what the rows ask for, L(π), is a lower bound for any π, and whatever a point's r is above its
user's least, a plan with it costs at least so much above L(π). So a MILP over the few points near
the least (the core) finds a plan, and one over the points within its distance from L(π) proves it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, isfinite
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray, exact_sum
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


def minimise_rows(task: RowProblem) -> Choice:
    """Least Σ need ("pay") or Σ cost ("cost") with every row.

    burden is None if nothing was found in time: bound = inf then proves that there is nothing.
    """
    curves, first, rows = task.curves, task.first, task.rows
    if not _Columns(curves).binary.any():
        return task.solve()
    if first == "cost" and any(row.column is curves.need for row in rows):
        free = replace(task, first="pay", rows=[r for r in rows if r.column is not curves.need])
        priced = free.priced()
        if priced is not None:  # what alone would break the budget is in no plan
            budget = min(row.high for row in rows if row.column is curves.need)
            task = task.near(priced, max(0.0, budget * (1 + tolerances.MONEY) - priced.bound))
    priced = task.priced()
    return task.solve() if priced is None else _by_core(task, priced)


_CORE = 200  # points beside the best of their users in the first core


def _by_core(task: RowProblem, priced: _Priced) -> Choice:
    """The core of a few hundred points, then all within the gap it leaves."""
    beside = np.sort(priced.over[priced.over > 0])
    found, size = Choice(None, inf, priced.bound, *priced.prices), _CORE
    while True:
        everything = size >= beside.size
        width = inf if everything else float(beside[size])
        if found.burden is not None:
            width = max(found.value - priced.bound, task.accuracy)
            everything = True  # that is better than the plan found
        part = task.near(priced, width).solve()
        if part.value < found.value:
            found = replace(found, burden=part.burden, value=part.value)
        bound = max(priced.bound, min(part.bound, priced.bound + width))
        enough = found.value - bound <= task.accuracy or found.value <= priced.bound + width
        if everything or enough or perf_counter() > task.deadline:
            late = perf_counter() > task.deadline and not enough
            bound = priced.bound if late else min(bound, found.value)
            return replace(found, bound=bound)
        size *= 8


@dataclass(frozen=True, eq=False)
class _Priced:
    """L(π) (money), how far each point is above the least of its user (N,), money.

    :prices: of the total (per unit of the curves) and of the budget
    """

    bound: float
    over: FloatArray
    prices: tuple[float, float]


@dataclass(frozen=True, eq=False)
class RowProblem:
    """What is to be minimised: Σ need (`first` "pay") or Σ cost ("cost") with every row.

    The row of the total comes first, the budget's, if there is one, has the needs as its column.

    :whole: whether burdens are counts
    :accuracy: money between value and bound that may be left
    """

    curves: LevelCurves
    first: str
    rows: list[Row]
    whole: bool
    accuracy: float
    deadline: float
    seed: int

    @property
    def worth(self) -> FloatArray:
        """f at the points, money."""
        return self.curves.need if self.first == "pay" else self.curves.cost

    def program(self, model: _Columns) -> tuple[highs.LinearProgram, float, FloatArray]:
        """The MILP, the money its objective is counted in, and the data its columns are."""
        curves = self.curves
        data, money = _scale(curves.burden), _scale(self.worth)
        starts, index, entries, low, high = model.own_rows(data)
        for row in self.rows:
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
        if self.whole and not all(row.of_counts for row in self.rows):
            integer |= True
            unit = np.ones(unit.size)  # counts stay counts
        start = np.concatenate(([0], np.cumsum(starts))).astype(np.int32)
        columns = np.concatenate(index) if index else np.zeros(0)
        numbers = np.concatenate(entries) if entries else np.zeros(0)
        columns = columns.astype(np.int64)
        program = highs.LinearProgram(
            cost=model.coefficients(self.worth) * unit / money,
            start=start,
            index=columns.astype(np.int32),
            value=numbers * unit[columns],
            row_lower=np.array(low, dtype=np.float64),
            row_upper=np.array(high, dtype=np.float64),
            lower=model.lower,
            upper=np.where(model.binary, 1.0, model.width / unit),
            integer=integer if integer.any() else None,
        )
        return program, money, unit

    def solve(self) -> Choice:
        """By HiGHS, all points at once."""
        model = _Columns(self.curves)
        program, money, unit = self.program(model)
        given = model.constant(self.worth)
        if program.columns == 0:
            holds = (program.row_lower <= tolerances.MILP).all() and (
                program.row_upper >= -tolerances.MILP
            ).all()
            return Choice(model.burden(np.zeros(0)), given, given) if holds else _NONE
        left = max(0.1, self.deadline - perf_counter())
        settings: dict[str, Any] = {"time_limit": left, "seed": self.seed}
        twice = program.is_mip and program.columns <= 5000
        if program.is_mip and not twice:
            settings["mip_abs_gap"] = 0.5 * self.accuracy / money
        solution = (highs.solve_twice if twice else highs.solve)(program, **settings)
        if solution.status.value == "infeasible":
            return _NONE
        bound = -inf if solution.bound is None else solution.bound * money + given
        if solution.x is None:
            return Choice(None, inf, bound if isfinite(bound) else 0.0)
        x = _polished(program, solution.x, self.seed) if program.is_mip else solution.x
        value = float((program.cost @ x) * money) + given
        price = 0.0
        if solution.row_dual is not None:
            row = program.rows - len(self.rows)
            price = float(solution.row_dual[row]) * money / _scale(self.rows[0].column)
        return Choice(model.burden(x * unit), value, bound, price)

    def priced(self) -> _Priced | None:
        """The rows priced at the LP relaxation's duals; None if HiGHS found no such."""
        model = _Columns(self.curves)
        program, money, _ = self.program(model)
        left = max(0.1, self.deadline - perf_counter())
        relaxed = highs.solve(replace(program, integer=None), time_limit=left, seed=self.seed)
        if relaxed.row_dual is None or relaxed.status.value != "optimal":
            return None
        duals = relaxed.row_dual[program.rows - len(self.rows) :] * money
        scaled = [dual / _scale(row.column) for dual, row in zip(duals.tolist(), self.rows)]
        reduced, asked = self.worth.copy(), []
        for price, row in zip(scaled, self.rows):
            side = row.low if price > 0 else row.high
            if price == 0 or not isfinite(side):
                continue
            reduced -= price * row.column
            asked.append(price * side)
        start = self.curves.start
        least = np.minimum.reduceat(reduced, start[:-1])
        bound = exact_sum(least) + sum(asked)
        over = reduced - np.repeat(least, np.diff(start))
        of_budget = [-p for p, row in zip(scaled, self.rows) if row.column is self.curves.need]
        return _Priced(bound, over, (scaled[0], sum(of_budget)))

    def near(self, priced: _Priced, width: float) -> RowProblem:
        """With only what is at most `width` (money) above the least; lines are cut there."""
        if width == inf:
            return self
        curves, over = self.curves, priced.over
        width += tolerances.REACH * float(np.abs(self.worth).max(initial=0.0))
        kept = over <= width
        linked = np.append(False, curves.joined[:-1])
        kept |= (linked & np.append(False, kept[:-1])) & (
            curves.joined & np.append(kept[1:], False)
        )
        ends = np.flatnonzero(curves.joined)
        part = np.zeros(over.size)  # of the way to a kept neighbour at which a line is cut
        beside = np.zeros(over.size, dtype=np.int64)
        for here, there in ((ends, ends + 1), (ends + 1, ends)):
            cut = kept[here] & ~kept[there]
            here, there = here[cut], there[cut]
            way = (width - over[here]) / (over[there] - over[here])
            if self.whole:
                length = np.abs(curves.burden[there] - curves.burden[here])
                way = np.floor(way * length + tolerances.WHOLE) / length
            part[there], beside[there] = 1 - way, here
        moved = np.flatnonzero((part > 0) & (part < 1 - tolerances.REACH))  # else no line is left
        kept[moved] = True

        def column(values: FloatArray) -> FloatArray:
            values = values.copy()
            values[moved] += part[moved] * (values[beside[moved]] - values[moved])
            return values[kept]

        burden = column(curves.burden)
        if self.whole:
            burden = np.rint(burden)
        left = replace(
            curves.keep(kept),
            burden=burden,
            cost=column(curves.cost),
            need=column(curves.need),
        )
        rows = []
        for row in self.rows:
            mine = left.need if row.column is curves.need else column(row.column)
            rows.append(replace(row, column=mine))
        return replace(self, curves=left, rows=rows)


def _polished(program: highs.LinearProgram, x: FloatArray, seed: int) -> FloatArray:
    """The integers rounded and held, the rest solved again: a vertex, without their dust."""
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

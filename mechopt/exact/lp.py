"""The exact optimum of a linear program, from the basis on which a floating-point solver stopped.

    max c·z   s.t.   a_r·z ≥ (or =) right_r,   z ≥ 0, some free, some fixed

HiGHS says which columns and slacks are basic. The two systems of that basis, B z = right and
Bᵀ π = −c, are then solved in rationals: if z and π are feasible, both are optimal and prove each
other so. If not, exact simplex pivots (Bland's rule) go on from there.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.errors import SolverError
from mechopt.exact.basis import ZERO, Sparse, solve
from mechopt.solver import highs
from mechopt.status import Status

MOST_PIVOTS = 200  # exact pivots after the solver's basis; none or a handful are the rule
TOLERANCES = (1e-9, 1e-7, 1e-10)  # of HiGHS, one after another until a basis leads to the optimum
WIDEST = 10**6  # times the median number: larger ones mean "in any case" and hide others in floats
Terms = Mapping[Any, Fraction]
Row = tuple[str, dict[Any, Fraction], bool, Fraction]


@dataclass(frozen=True)
class ExactSolution:
    """z, π and the common value. `feasible` False: π proves that there is no z (value is None)."""

    feasible: bool
    values: dict[Any, Fraction]
    multipliers: dict[str, Fraction]
    value: Fraction | None
    pivots: int = 0


def maximum(
    rows: Sequence[Row],
    objective: Terms,
    *,
    free: frozenset[Any] = frozenset(),
    fixed: Terms | None = None,
    deadline: float = inf,
) -> ExactSolution:
    """The exact maximum; variables are ≥ 0 unless in `free` or `fixed`. The maximum must exist.

    :deadline: of `perf_counter`, looked at between pivots

    Raises SolverError if HiGHS finds no basis, too many exact pivots would be needed or time is up,
    NotSupported if the linear algebra needs python-flint (extra `exact`) and it is missing.
    """
    program = _Program(rows, objective, free, fixed or {}, deadline)
    try:
        return program.from_float_basis()
    except _Infeasible:
        return _excluded(rows, free, fixed or {}, deadline)


def _excluded(
    rows: Sequence[Row], free: frozenset[Any], fixed: Terms, deadline: float
) -> ExactSolution:
    """Multipliers that exclude every z: the least total violation of the rows is positive."""
    elastic: list[Row] = []
    penalty: Sparse = {}
    for number, (name, terms, equal, right) in enumerate(rows):
        more = dict(terms)
        for sign in (1, -1) if equal else (1,):
            slack = ("violation", number, sign)
            more[slack] = Fraction(sign)
            penalty[slack] = Fraction(-1)
        elastic.append((name, more, equal, right))
    program = _Program(elastic, penalty, free, fixed, deadline)
    found = program.from_float_basis()
    if found.value == 0:
        raise SolverError(
            "HiGHS calls the program infeasible, exact arithmetic does not: rescale the data"
        )
    return ExactSolution(False, {}, found.multipliers, None, found.pivots)


class _Infeasible(Exception):
    """Exact pivots met a row that no column can mend."""


class _Program:
    """Columns are the variables and one slack per inequality: a·z − slack = right."""

    def __init__(
        self,
        rows: Sequence[Row],
        objective: Terms,
        free: frozenset[Any],
        fixed: Terms,
        deadline: float,
    ) -> None:
        self.rows, self.deadline = rows, deadline
        self.free = free
        self.objective = objective
        self.fixed = fixed
        seen = {variable: None for _, terms, _, _ in rows for variable in terms}
        seen.update(dict.fromkeys(objective))
        self.variables: list[Hashable] = [one for one in seen if one not in fixed]
        self.columns: dict[Any, Sparse] = {variable: {} for variable in self.variables}
        self.right: list[Fraction] = []
        for number, (_, terms, equal, right) in enumerate(rows):
            for variable, coefficient in terms.items():
                if variable in fixed:
                    right -= coefficient * fixed[variable]
                elif coefficient:
                    self.columns[variable][number] = coefficient
            self.right.append(right)
            if not equal:
                self.columns["slack", number] = {number: Fraction(-1)}

    def from_float_basis(self) -> ExactSolution:
        """The optimum from HiGHS' basis; from a tighter solution's if that one leads nowhere."""
        tempered = self.tempered()
        for program, tolerance in [
            *([] if tempered is None else [(tempered, TOLERANCES[0])]),
            *((self, tolerance) for tolerance in TOLERANCES),
        ]:
            status, basis = program.float_basis(tolerance)
            if status is Status.INFEASIBLE:
                if program is tempered:
                    continue
                raise _Infeasible
            try:
                return self.optimum(basis)
            except SolverError as error:
                failure = error
            self.in_time()
        raise failure

    def tempered(self) -> _Program | None:
        """The program with its largest numbers cut, if they hide others: its basis is a start."""
        sizes = sorted(abs(a) for _, terms, _, _ in self.rows for a in terms.values() if a)
        most = sizes[len(sizes) // 2] * WIDEST if sizes else ZERO
        if not sizes or sizes[-1] <= most:
            return None

        def cut(terms: Terms) -> dict[Any, Fraction]:
            return {one: max(-most, min(most, a)) for one, a in terms.items()}

        rows = [(name, cut(terms), equal, right) for name, terms, equal, right in self.rows]
        return _Program(rows, cut(self.objective), self.free, self.fixed, self.deadline)

    def in_time(self) -> None:
        """SolverError if time is up."""
        if perf_counter() > self.deadline:
            raise SolverError("no exact optimum in time")

    def float_basis(self, tolerance: float) -> tuple[Status, list[Any]]:
        """(status, basic columns) of HiGHS' final basis."""
        place = {variable: column for column, variable in enumerate(self.variables)}
        cost = np.array([float(self.objective.get(one, ZERO)) for one in self.variables])
        start, index, value = [0], [], []
        lower, upper = np.zeros(len(self.rows)), np.full(len(self.rows), inf)
        for number, (_, terms, equal, _) in enumerate(self.rows):
            mine = {v: a for v, a in terms.items() if v in place}
            scale = max(map(abs, mine.values()), default=Fraction(1))
            index += [place[v] for v in mine]
            value += [float(a / scale) for a in mine.values()]
            start.append(len(index))
            lower[number] = float(self.right[number] / scale)
            if equal:
                upper[number] = lower[number]
        values, columns = np.array(value), np.array(index, dtype=np.int32)
        largest_in = np.zeros(len(self.variables))  # columns are scaled to 1 as well
        np.maximum.at(largest_in, columns, np.abs(values))
        largest_in[largest_in == 0] = 1.0
        cost = cost / largest_in
        least = np.array([-inf if one in self.free else 0.0 for one in self.variables])
        largest = float(np.abs(cost).max(initial=0.0)) or 1.0
        program = highs.LinearProgram(
            cost=cost / largest,
            start=np.array(start, dtype=np.int32),
            index=columns,
            value=values / largest_in[columns],
            row_lower=lower,
            row_upper=upper,
            lower=least,
            upper=np.full(len(self.variables), inf),
            maximize=True,
        )
        session = highs.Session(
            program,
            objective_scale=1e4,
            solver="simplex",
            small_matrix_value=tolerances.COEFFICIENT,
            primal_feasibility_tolerance=tolerance,
            dual_feasibility_tolerance=tolerance,
        )
        solution = session.solve()
        if solution.status is Status.INFEASIBLE:
            return solution.status, []
        basis = session.basis()
        if basis is None:
            raise SolverError(f"HiGHS stopped without a basis ({solution.termination})")
        inside, slacks = basis
        basic: list[Any] = [self.variables[column] for column in np.flatnonzero(inside)]
        basic += [("slack", int(number)) for number in np.flatnonzero(slacks)]
        return solution.status, basic

    # -- exact simplex --------------------------------------------------------------------------

    def optimum(self, basic: list[Any]) -> ExactSolution:
        """Optimal values and multipliers, pivoting from `basic` where it is not optimal."""
        basic = self.completed(basic)
        relaxed: Sparse = {}  # bounds relaxed for the time being
        for pivots in range(MOST_PIVOTS):
            self.in_time()
            values = self.values(basic)
            multipliers = self.multipliers(basic)
            gains = self.gains(basic, multipliers)
            low = [one for one in basic if self.violated(one, values[one], relaxed.get(one, ZERO))]
            if not low and not gains:
                if not relaxed:
                    return self.solution(basic, values, multipliers, pivots)
                relaxed = {}  # dual feasible now: back to the true bounds
            elif not low:
                basic = self.primal_step(basic, values, relaxed, gains)
            elif not gains:
                basic = self.dual_step(basic, values, multipliers, low)
            else:
                relaxed = {one: values[one] for one in low}
        raise SolverError(
            f"no exact optimum within {MOST_PIVOTS} pivots of the solver's basis; rescale the data"
        )

    def bounded(self, column: Any) -> bool:
        return column not in self.free and not self.artificial(column)

    def violated(self, column: Any, value: Fraction, least: Fraction) -> bool:
        if self.artificial(column):
            return value != least
        return column not in self.free and value < least

    @staticmethod
    def artificial(column: Any) -> bool:
        return isinstance(column, tuple) and column[0] == "equation"

    def completed(self, basic: list[Any]) -> list[Any]:
        """One basic column per row: slacks of equations are written ("equation", row)."""
        return [one if one in self.columns else ("equation", one[1]) for one in basic]

    def column(self, name: Any) -> Sparse:
        return {name[1]: Fraction(-1)} if self.artificial(name) else self.columns[name]

    def cost(self, column: Any) -> Fraction:
        return self.objective.get(column, ZERO)

    def values(self, basic: list[Any]) -> Sparse:
        """B z = right."""
        equations: list[Sparse] = [{} for _ in self.rows]
        for place, name in enumerate(basic):
            for row, coefficient in self.column(name).items():
                equations[row][place] = coefficient
        solved = solve(equations, self.right)
        return dict(zip(basic, solved))

    def multipliers(self, basic: list[Any]) -> list[Fraction]:
        """Bᵀ π = −c."""
        equations = [dict(self.column(name)) for name in basic]
        return solve(equations, [-self.cost(name) for name in basic])

    def gains(self, basic: list[Any], multipliers: list[Fraction]) -> list[Any]:
        """Nonbasic columns that would raise the objective, in Bland's order."""
        inside = set(basic)
        found = []
        for name, column in self.columns.items():
            if name not in inside:
                rate = self.reduced(name, column, multipliers)
                if rate > 0 or (rate < 0 and name in self.free):
                    found.append(name)
        return found

    def reduced(self, name: Any, column: Sparse, multipliers: list[Fraction]) -> Fraction:
        return self.cost(name) + sum((multipliers[row] * a for row, a in column.items()), ZERO)

    def primal_step(
        self, basic: list[Any], values: Sparse, relaxed: Sparse, gains: list[Any]
    ) -> list[Any]:
        entering = gains[0]
        direction = self.direction(basic, entering)
        if entering in self.free:
            rate = self.reduced(entering, self.columns[entering], self.multipliers(basic))
            if rate < 0:
                direction = [-one for one in direction]
        best: tuple[Fraction, int] | None = None
        for place, (name, fall) in enumerate(zip(basic, direction)):
            if self.artificial(name) and fall != 0:
                room = ZERO
            elif fall > 0 and self.bounded(name):
                room = (values[name] - relaxed.get(name, ZERO)) / fall
            else:
                continue
            if best is None or room < best[0]:
                best = room, place
        if best is None:
            raise SolverError("the program is unbounded")
        return [entering if place == best[1] else name for place, name in enumerate(basic)]

    def direction(self, basic: list[Any], entering: Any) -> list[Fraction]:
        """B d = column: how fast each basic value falls as `entering` rises."""
        equations: list[Sparse] = [{} for _ in self.rows]
        for place, name in enumerate(basic):
            for row, coefficient in self.column(name).items():
                equations[row][place] = coefficient
        right = [self.columns[entering].get(row, ZERO) for row in range(len(self.rows))]
        return solve(equations, right)

    def dual_step(
        self, basic: list[Any], values: Sparse, multipliers: list[Fraction], low: list[Any]
    ) -> list[Any]:
        leaving = low[0]
        out = basic.index(leaving)
        sign = 1 if values[leaving] < 0 else -1  # an equation's slack may be above 0 as well
        equations = [dict(self.column(name)) for name in basic]
        unit = [Fraction(place == out) for place in range(len(basic))]
        weights = solve(equations, unit)  # row `out` of the inverse
        inside = set(basic)
        best: tuple[Fraction, Any] | None = None
        for name, column in self.columns.items():
            if name in inside:
                continue
            rise = -sign * sum((weights[row] * a for row, a in column.items()), ZERO)
            if rise > 0 or (rise != 0 and name in self.free):
                ratio = abs(self.reduced(name, column, multipliers) / rise)
                if best is None or ratio < best[0]:
                    best = ratio, name
        if best is None:
            raise _Infeasible
        return [best[1] if place == out else name for place, name in enumerate(basic)]

    def solution(
        self, basic: list[Any], values: Sparse, multipliers: list[Fraction], pivots: int
    ) -> ExactSolution:
        full = dict.fromkeys(self.variables, ZERO) | dict(self.fixed)
        full |= {name: value for name, value in values.items() if name in full}
        value = sum((c * full[name] for name, c in self.objective.items()), ZERO)
        named = {row[0]: weight for row, weight in zip(self.rows, multipliers) if weight}
        return ExactSolution(True, full, named, value, pivots)

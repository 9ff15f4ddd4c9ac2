"""The one place that talks to HiGHS: a linear program in, a solution with an honest status out.

A `LinearProgram` is the common currency: Pyomo formulations are compiled to it
(`from_pyomo`), array-built models are written as it, tests compare the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from math import inf, isfinite
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray
from mechopt.errors import SolverError
from mechopt.memory import paused_gc as paused_gc
from mechopt.solver import runs
from mechopt.solver.linear_program import LinearProgram as LinearProgram
from mechopt.solver.linear_program import balanced
from mechopt.solver.linear_rows import Compiled as Compiled
from mechopt.solver.linear_rows import from_pyomo as from_pyomo
from mechopt.status import Status


@dataclass(frozen=True, eq=False)
class Solution:
    """What HiGHS said. `x`, `row_dual`, `reduced_cost` are None unless status carries them.

    Duals are those of HiGHS: for a minimisation, objective = row_dual·activity +
    reduced_cost·x at an optimum; for a maximisation the same equality holds.
    """

    status: Status
    termination: str
    objective: float | None
    bound: float | None
    x: FloatArray | None = field(default=None, repr=False)
    row_dual: FloatArray | None = field(default=None, repr=False)
    reduced_cost: FloatArray | None = field(default=None, repr=False)
    seconds: float = 0.0
    iterations: int = 0
    nodes: int = 0


@cache
def version() -> str:
    """'HiGHS x.y.z'."""
    return f"HiGHS {runs.silent_highs().version()}"


# With the default integrality tolerance of 1e-6 HiGHS 1.15 was seen to call small MILPs optimal at
# a third of their optimum: binaries of 1e-7 times a large coefficient.
_MIP_TOLERANCES = dict.fromkeys(
    ("mip_feasibility_tolerance", "primal_feasibility_tolerance"), tolerances.MILP
)


class Session:
    """A model loaded into HiGHS, for solving and warm re-solving after changes.

    :balance: rows and columns are scaled for HiGHS (`balanced`); whoever uses the session sees and
        says everything in the program's own units
    """

    def __init__(
        self,
        program: LinearProgram,
        *,
        time_limit: float | None = None,
        seed: int = 0,
        objective_scale: float = 1.0,
        balance: bool = False,
        **options: Any,
    ) -> None:
        import highspy

        self._highspy = highspy
        self.program = program
        self.scale = objective_scale
        self.highs = runs.silent_highs()
        settings: dict[str, Any] = {
            "output_flag": False,
            "threads": 1,
            "random_seed": int(seed),
            "mip_rel_gap": 0.0,
            "mip_abs_gap": 0.0,
            **(_MIP_TOLERANCES if program.is_mip else {}),
            **options,
        }
        for name, setting in settings.items():
            self.set_option(name, setting)
        self.time_limit = time_limit
        self.row, self.column = np.ones(program.rows), np.ones(program.columns)
        if balance:
            program, self.row, self.column = balanced(program)
        self._pass(program)

    def set_option(self, name: str, setting: Any) -> None:
        """Set a HiGHS option; SolverError if HiGHS does not take it."""
        if self.highs.setOptionValue(name, setting) != self._highspy.HighsStatus.kOk:
            raise SolverError(f"HiGHS does not accept the option {name} = {setting!r}")

    def _pass(self, program: LinearProgram) -> None:
        hs = self._highspy
        lp = hs.HighsLp()
        lp.num_col_, lp.num_row_ = program.columns, program.rows
        lp.col_cost_ = program.cost * self.scale
        lp.col_lower_, lp.col_upper_ = program.lower, program.upper
        lp.row_lower_, lp.row_upper_ = program.row_lower, program.row_upper
        lp.offset_ = program.offset * self.scale
        lp.sense_ = hs.ObjSense.kMaximize if program.maximize else hs.ObjSense.kMinimize
        lp.a_matrix_.format_ = hs.MatrixFormat.kRowwise
        lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = program.columns, program.rows
        lp.a_matrix_.start_ = program.start
        lp.a_matrix_.index_ = program.index
        lp.a_matrix_.value_ = program.value
        if program.is_mip:
            assert program.integer is not None
            kinds = (hs.HighsVarType.kContinuous, hs.HighsVarType.kInteger)
            lp.integrality_ = [kinds[int(flag)] for flag in program.integer]
        if self.highs.passModel(lp) == hs.HighsStatus.kError:
            raise SolverError("HiGHS refused the model (non-finite or inconsistent data)")

    def change_costs(self, columns: npt.ArrayLike, costs: npt.ArrayLike) -> None:
        """Replace objective coefficients; the basis is kept for the next `solve`."""
        index = np.asarray(columns, dtype=np.int32)
        scaled = np.asarray(costs, dtype=np.float64) * self.scale * self.column[index]
        self.highs.changeColsCost(index.size, index, scaled)

    def change_bounds(
        self, columns: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike
    ) -> None:
        """Replace column bounds; the basis is kept."""
        index = np.asarray(columns, dtype=np.int32)
        self.highs.changeColsBounds(
            index.size,
            index,
            np.asarray(lower, dtype=np.float64) / self.column[index],
            np.asarray(upper, dtype=np.float64) / self.column[index],
        )

    def change_row(self, row: int, lower: float, upper: float) -> None:
        """Replace the bounds of one row; the basis is kept."""
        factor = float(self.row[row])
        self.highs.changeRowBounds(int(row), float(lower) * factor, float(upper) * factor)

    def add_row(self, lower: float, upper: float, columns: npt.ArrayLike, value: Any) -> None:
        """One more row, lower ≤ Σ value · x[columns] ≤ upper; the basis is kept."""
        index = np.asarray(columns, dtype=np.int32)
        numbers = np.asarray(value, dtype=np.float64) * self.column[index]
        self.row = np.append(self.row, 1.0)
        self.highs.addRow(float(lower), float(upper), index.size, index, numbers)

    def solve(self) -> Solution:
        """Run HiGHS and read the answer. A limit is a status; SolverError if the run failed."""
        hs, highs = self._highspy, self.highs
        began = perf_counter()
        if self.time_limit is not None:
            # HiGHS counts the time of all runs of one instance against the limit.
            spent = float(highs.getRunTime())
            self.set_option("time_limit", spent + max(0.0, float(self.time_limit)))
        try:
            kind = runs.run(highs)
        except SolverError:
            # Up to 1.11 a MILP can end in an error for a residual of exactly its tolerance.
            if not self.program.is_mip:
                raise
            for name, setting in _MIP_TOLERANCES.items():
                self.set_option(name, 2 * setting)
            kind = runs.run(highs)
        if kind == hs.HighsModelStatus.kUnboundedOrInfeasible:
            self.set_option("presolve", "off")
            kind = runs.run(highs)
            self.set_option("presolve", "choose")
        return self._read(kind, perf_counter() - began)

    def basis(self) -> tuple[BoolArray, BoolArray] | None:
        """Which columns (n,) and which rows' slacks (m,) are basic; None without a basis."""
        basis = self.highs.getBasis()
        if not basis.valid:
            return None
        basic = self._highspy.HighsBasisStatus.kBasic
        columns = np.array([status == basic for status in basis.col_status], dtype=bool)
        rows = np.array([status == basic for status in basis.row_status], dtype=bool)
        return columns, rows

    def _read(self, kind: Any, seconds: float) -> Solution:
        hs, highs, program = self._highspy, self.highs, self.program
        info = highs.getInfo()
        name = highs.modelStatusToString(kind)
        feasible = info.primal_solution_status == int(hs.SolutionStatus.kSolutionStatusFeasible)
        if kind == hs.HighsModelStatus.kOptimal:
            status = Status.OPTIMAL
        elif kind == hs.HighsModelStatus.kInfeasible:
            status = Status.INFEASIBLE
        elif feasible and (program.is_mip or kind == hs.HighsModelStatus.kTimeLimit):
            status = Status.FEASIBLE
        else:
            status = Status.UNKNOWN
        worst = inf if program.maximize else -inf
        objective = bound = None
        x = row_dual = reduced = None
        if status in (Status.OPTIMAL, Status.FEASIBLE):
            solution = highs.getSolution()
            x = np.array(solution.col_value, dtype=np.float64) * self.column
            objective = float(info.objective_function_value) / self.scale
            if program.is_mip:
                bound = float(info.mip_dual_bound) / self.scale
                bound = bound if isfinite(bound) else worst
            else:
                bound = objective if status is Status.OPTIMAL else worst
                if solution.dual_valid:
                    row_dual = self.row * np.array(solution.row_dual, dtype=np.float64) / self.scale
                    reduced = np.array(solution.col_dual, dtype=np.float64) / self.column
                    reduced /= self.scale
        elif (
            status is Status.UNKNOWN
            and program.is_mip
            and info.valid
            and isfinite(info.mip_dual_bound)
        ):
            bound = float(info.mip_dual_bound) / self.scale
        return Solution(
            status=status,
            termination=name,
            objective=objective,
            bound=bound,
            x=x,
            row_dual=row_dual,
            reduced_cost=reduced,
            seconds=seconds,
            iterations=int(max(info.simplex_iteration_count, 0)),
            nodes=int(max(info.mip_node_count, 0)),
        )


def solve(program: LinearProgram, **settings: Any) -> Solution:
    """Solve once. Settings: those of `Session`, any HiGHS option."""
    return Session(program, **settings).solve()


def solve_twice(
    program: LinearProgram,
    *,
    time_limit: float | None = None,
    seed: int = 0,
    far: bool = False,
    **settings: Any,
) -> Solution:
    """A MILP solved with presolve and without (an LP so too, if `far`); what all verdicts support.

    HiGHS 1.15 was seen to prove wrong optima and false infeasibility on small MILPs, with presolve
    on some and without it on others. So the bound is the weakest one, the point the best one,
    infeasible what all call infeasible; where they contradict each other nothing is proved. The
    runs share `time_limit` (seconds).

    :far: the program's numbers lie many orders apart: it is solved with rows and columns scaled,
        and as it is; either was seen to prove half of the optimum where the other was right. Of an
        LP, scaled and presolved, HiGHS 1.16 was seen to "prove" a point 6e-8 below the optimum
    """
    began = perf_counter()
    ways: list[dict[str, Any]] = [{}, {"presolve": "off"}]
    if far:
        ways = [{**way, "balance": balance} for balance in (False, True) for way in ways]
        if not program.is_mip:
            ways = [{"balance": True}, {"balance": False, "presolve": "off"}]
    verdicts: list[Solution] = []
    for place, way in enumerate(ways):
        left = None
        if time_limit is not None:
            left = max(0.0, time_limit - (perf_counter() - began)) / (len(ways) - place)
        try:
            verdicts.append(solve(program, time_limit=left, seed=seed, **{**settings, **way}))
        except SolverError:
            if not far or (place == len(ways) - 1 and not verdicts):
                raise  # else the other runs decide
    return replace(_supported(verdicts, program), seconds=perf_counter() - began)


def _supported(verdicts: list[Solution], program: LinearProgram) -> Solution:
    """What several runs on one program support together; see `solve_twice`."""
    if all(run.status is Status.INFEASIBLE for run in verdicts):
        return verdicts[0]
    sign = -1.0 if program.maximize else 1.0  # in what follows smaller is better
    found = [answer for answer in verdicts if answer.x is not None]
    refuted = any(run.status is Status.INFEASIBLE for run in verdicts)
    bounds = [-inf if run.bound is None else sign * run.bound for run in verdicts]
    bound = -inf if refuted else min(bounds)
    if not found:
        return replace(
            verdicts[0],
            status=Status.UNKNOWN,
            termination="; without presolve: ".join(run.termination for run in verdicts[:2]),
            objective=None,
            bound=sign * bound if isfinite(bound) else None,
        )
    best = min(found, key=lambda answer: sign * (answer.objective or 0.0))
    assert best.objective is not None
    near = tolerances.MONEY * max(1.0, abs(best.objective))
    proved = sign * best.objective - bound <= near
    return replace(
        best,
        status=Status.OPTIMAL if proved else Status.FEASIBLE,
        bound=sign * bound,
    )


def solve_model(model: Any, *, twice: bool = False, **settings: Any) -> Solution:
    """Solve a Pyomo model and, if there is an answer, load it into its variables.

    :twice: for a MILP whose proof matters, see `solve_twice`
    """
    compiled = from_pyomo(model)
    solution = (solve_twice if twice else solve)(compiled.program, balance=True, **settings)
    if solution.x is not None:
        compiled.load(solution)
    return solution

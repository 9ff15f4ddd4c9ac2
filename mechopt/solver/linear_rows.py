"""A linear Pyomo model as a `LinearProgram`, read with Pyomo's own walker of linear expressions.

Not through its standard form, which is SciPy's: importing that beside Pyomo takes a second. Columns
come in the order of the standard form; tests compare the two on every formulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt.errors import SolverError
from mechopt.memory import paused_gc
from mechopt.solver.linear_program import LinearProgram

if TYPE_CHECKING:
    from mechopt.solver.highs import Solution


@dataclass(frozen=True, eq=False)
class Compiled:
    """A Pyomo model as a linear program, with the Pyomo objects of its columns and rows."""

    program: LinearProgram
    variables: list[Any]
    constraints: list[Any]

    def load(self, solution: Solution) -> None:
        """Write a solution's values into the Pyomo variables (integers rounded)."""
        if solution.x is None:
            raise SolverError(f"there are no values to load: {solution.termination}")
        values = solution.x
        if self.program.integer is not None:
            values = np.where(self.program.integer, np.round(values), values)
        for variable, value in zip(self.variables, values.tolist()):
            variable.set_value(value, skip_validation=True)

    def column_names(self) -> list[str]:
        return [variable.name for variable in self.variables]

    def row_names(self) -> list[str]:
        return [constraint.name for constraint in self.constraints]


def from_pyomo(model: Any) -> Compiled:
    """Compile the active part of a model: a row for every constraint in which a variable is left.

    Raises SolverError where something is not linear, or there are several objectives.
    """
    from pyomo.core import Constraint, Objective, SortComponents, maximize
    from pyomo.repn.linear import LinearRepnVisitor
    from pyomo.repn.util import OrderedVarRecorder

    _refuse_other_kinds(model)
    order = SortComponents.ORDERED_INDICES
    every: dict[int, Any] = {}
    number: dict[int, int] = {}
    walker = LinearRepnVisitor({}, var_recorder=OrderedVarRecorder(every, number, order))

    def terms(part: Any, expression: Any) -> tuple[dict[int, float], float]:
        found = walker.walk_expression(expression)
        if found.nonlinear is not None:
            raise SolverError(f"{part.name}: is not linear, and HiGHS is given linear rows")
        return {k: factor for k, factor in found.linear.items() if factor}, found.constant

    with paused_gc():
        goals = list(model.component_data_objects(Objective, active=True, sort=order))
        if len(goals) > 1:
            raise SolverError(f"{goals[1].name}: is a second objective; deactivate one")
        cost, offset = terms(goals[0], goals[0].expr) if goals else ({}, 0.0)
        rows = []
        for row in model.component_data_objects(Constraint, active=True, sort=order):
            low, body, high = row.to_bounded_expression(evaluate_bounds=True)
            linear, constant = terms(row, body)
            low = -inf if low is None else low - constant
            high = inf if high is None else high - constant
            if (linear and (low > -inf or high < inf)) or not low <= 0 <= high:
                rows.append((row, linear, low, high))
        used = sorted(
            {*cost, *(k for _, linear, _, _ in rows for k in linear)}, key=lambda k: number[k]
        )
    column = {k: place for place, k in enumerate(used)}
    start = np.cumsum([0, *(len(linear) for _, linear, _, _ in rows)], dtype=np.int32)
    index = np.array([column[k] for _, linear, _, _ in rows for k in linear], dtype=np.int32)
    value = np.array([factor for _, linear, _, _ in rows for factor in linear.values()])
    by_row = np.lexsort((index, np.repeat(np.arange(len(rows)), np.diff(start))))
    variables = [every[k] for k in used]
    bounds = [variable.bounds for variable in variables]
    integer = np.array([not variable.is_continuous() for variable in variables], dtype=bool)
    program = LinearProgram(
        cost=np.array([cost.get(k, 0.0) for k in used], dtype=np.float64),
        start=start,
        index=index[by_row],
        value=value[by_row].astype(np.float64),
        row_lower=np.array([low for _, _, low, _ in rows], dtype=np.float64),
        row_upper=np.array([high for _, _, _, high in rows], dtype=np.float64),
        lower=np.array([-inf if low is None else low for low, _ in bounds], dtype=np.float64),
        upper=np.array([inf if high is None else high for _, high in bounds], dtype=np.float64),
        integer=integer if integer.any() else None,
        offset=float(offset),
        maximize=bool(goals) and goals[0].sense == maximize,
    )
    return Compiled(program, variables, [row for row, _, _, _ in rows])


def _refuse_other_kinds(model: Any) -> None:
    """SolverError for an active part that is neither data nor a linear row or objective."""
    from pyomo.core import Block, Constraint, Expression, Objective, Param, RangeSet, Set, Var

    known = {Block, Constraint, Expression, Objective, Param, RangeSet, Set, Var}
    for block in model.block_data_objects(active=True):
        for kind in block.collect_ctypes(active=True) - known:
            raise SolverError(f"a Pyomo model with a {kind.__name__}: HiGHS takes linear rows")

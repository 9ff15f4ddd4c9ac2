"""Reading the linear rows of a Pyomo model without Pyomo's general-purpose expression walker.

Formulations are sums of numbers times variables, perhaps through named expressions. Walking just
these kinds of nodes is several times faster than compiling to standard form. A model with anything
else in it is left to Pyomo (`read_rows` returns None), so nothing is ever guessed. Columns come in
the order of Pyomo's compiler, constants are moved to the bounds, duplicate terms added up, zero
coefficients dropped; tests compare the two on every formulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any


@dataclass(frozen=True, eq=False)
class LinearRows:
    """Active rows as lists: row r has the entries start[r] : start[r + 1] of `index` and `value`.

    `index` points into `variables`; `cost` has one coefficient per variable.
    """

    variables: list[Any]
    constraints: list[Any]
    start: list[int]
    index: list[int]
    value: list[float]
    lower: list[float]
    upper: list[float]
    cost: list[float]
    offset: float
    maximize: bool


class _Unfamiliar(Exception):
    """The model has a node that only Pyomo's compiler can read."""


def read_rows(model: Any) -> LinearRows | None:
    """The active rows and the objective of `model`; None if it is not of the simple kind."""
    from pyomo.core import (
        Block,
        Constraint,
        Expression,
        Objective,
        Param,
        RangeSet,
        Set,
        SortComponents,
        Var,
        maximize,
    )

    simple = {Block, Constraint, Expression, Objective, Param, RangeSet, Set, Var}
    for block in model.block_data_objects(active=True):
        if not simple.issuperset(block.collect_ctypes(active=True)):
            return None
    order = SortComponents.ORDERED_INDICES
    goals = list(model.component_data_objects(Objective, active=True, sort=order))
    if len(goals) > 1:
        return None
    reader = _Reader(order)
    try:
        cost, offset = reader.terms(goals[0].expr) if goals else ({}, 0.0)
        for constraint in model.component_data_objects(Constraint, active=True, sort=order):
            reader.add(constraint)
    except _Unfamiliar:
        return None
    return reader.rows(cost, offset, bool(goals) and goals[0].sense == maximize)


class _Reader:
    def __init__(self, order: Any) -> None:
        from pyomo.common.numeric_types import native_numeric_types
        from pyomo.core.base.expression import ExpressionData, ScalarExpression
        from pyomo.core.base.var import ScalarVar, VarData
        from pyomo.core.expr import numeric_expr

        self.order = order
        self.numbers = native_numeric_types
        self.variable_kinds = (VarData, ScalarVar)
        self.named = (ExpressionData, ScalarExpression)
        self.monomial = numeric_expr.MonomialTermExpression
        self.sums = (numeric_expr.LinearExpression, numeric_expr.SumExpression)
        self.negation = numeric_expr.NegationExpression
        self.product = numeric_expr.ProductExpression
        self.known: dict[int, tuple[dict[int, float], float]] = {}  # named expressions read
        self.column: dict[int, int] = {}
        self.variables: list[Any] = []
        self.constraints: list[Any] = []
        self.start = [0]
        self.index: list[int] = []
        self.value: list[float] = []
        self.lower: list[float] = []
        self.upper: list[float] = []

    def add(self, constraint: Any) -> None:
        low, body, high = constraint.to_bounded_expression()
        if low is None and high is None:
            return
        for side in (low, high):
            if side is not None and side.__class__ not in self.numbers:
                raise _Unfamiliar
        row, constant = self.terms(body)
        if not row:
            if (low is None or low <= constant) and (high is None or constant <= high):
                return
            raise _Unfamiliar
        self.constraints.append(constraint)
        self.index += row
        self.value += row.values()
        self.start.append(len(self.index))
        self.lower.append(-inf if low is None else low - constant)
        self.upper.append(inf if high is None else high - constant)

    def terms(self, root: Any) -> tuple[dict[int, float], float]:
        """Coefficient by column, without zeros, and the constant of a linear expression."""
        row: dict[int, float] = {}
        constant = 0.0
        column, numbers, monomial, sums = self.column, self.numbers, self.monomial, self.sums
        stack = [(root, 1.0)]
        while stack:
            node, factor = stack.pop()
            kind = node.__class__
            if kind is monomial:
                coefficient, variable = node.args
                if coefficient.__class__ not in numbers:
                    raise _Unfamiliar
                place = column.get(id(variable))
                if place is None:
                    place = self._record(variable)
                row[place] = row.get(place, 0.0) + factor * coefficient
            elif kind in sums:
                stack += [(part, factor) for part in reversed(node.args)]
            elif kind in numbers:
                constant += factor * node
            elif kind in self.variable_kinds:
                place = column.get(id(node))
                if place is None:
                    place = self._record(node)
                row[place] = row.get(place, 0.0) + factor
            elif kind in self.named:
                known = self.known.get(id(node))
                if known is None:
                    known = self.known[id(node)] = self.terms(node.expr)
                for place, value in known[0].items():
                    row[place] = row.get(place, 0.0) + factor * value
                constant += factor * known[1]
            elif kind is self.negation:
                stack.append((node.args[0], -factor))
            elif kind is self.product:
                one, other = node.args
                if one.__class__ in numbers:
                    stack.append((other, factor * one))
                elif other.__class__ in numbers:
                    stack.append((one, factor * other))
                else:
                    raise _Unfamiliar
            else:
                raise _Unfamiliar
        return {place: value for place, value in row.items() if value}, constant

    def _record(self, variable: Any) -> int:
        """Give every variable of this one's component a column, as Pyomo's compiler does."""
        for one in variable.parent_component().values(self.order):
            if one.fixed:
                raise _Unfamiliar
            self.column[id(one)] = len(self.variables)
            self.variables.append(one)
        return self.column[id(variable)]

    def rows(self, cost: dict[int, float], offset: float, maximize: bool) -> LinearRows:
        """What was read, without the columns that occur nowhere."""
        used = sorted({*self.index, *cost})
        place = dict(zip(used, range(len(used))))
        return LinearRows(
            variables=[self.variables[k] for k in used],
            constraints=self.constraints,
            start=self.start,
            index=[place[k] for k in self.index],
            value=self.value,
            lower=self.lower,
            upper=self.upper,
            cost=[cost.get(k, 0.0) for k in used],
            offset=offset,
            maximize=maximize,
        )

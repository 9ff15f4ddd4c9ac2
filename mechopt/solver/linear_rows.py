"""Reading the linear rows of a Pyomo model without Pyomo's general-purpose expression walker.

Formulations are sums of numbers times variables, perhaps through named expressions. Walking just
these kinds of nodes takes two thirds of the time of compiling to standard form, and imports no
SciPy, which takes a second. A model with anything else in it is left to Pyomo (`read_rows` returns
None), so nothing is ever guessed. Columns come in the order of Pyomo's compiler, constants are
moved to the bounds, duplicate terms added up, zero coefficients dropped; tests compare the two on
every formulation.
"""

from __future__ import annotations

from collections.abc import Iterable
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
        reader.add(model.component_data_objects(Constraint, active=True, sort=order))
    except _Unfamiliar:
        return None
    return reader.rows(cost, offset, bool(goals) and goals[0].sense == maximize)


class _Reader:
    def __init__(self, order: Any) -> None:
        from pyomo.common.numeric_types import native_numeric_types
        from pyomo.core.base.expression import ExpressionData, ScalarExpression
        from pyomo.core.base.var import ScalarVar, VarData
        from pyomo.core.expr import numeric_expr
        from pyomo.core.expr.numvalue import NumericConstant

        self.order = order
        self.constant = NumericConstant
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

    def add(self, constraints: Iterable[Any]) -> None:
        kept, index, value, numbers = self.constraints, self.index, self.value, self.numbers
        start, lower, upper = self.start, self.lower, self.upper
        for constraint in constraints:
            low, body, high = constraint.to_bounded_expression()
            if low is None:
                if high is None:
                    continue
                low = -inf
            elif low.__class__ not in numbers:
                raise _Unfamiliar
            if high is None:
                high = inf
            elif high.__class__ not in numbers:
                raise _Unfamiliar
            row, constant = self.terms(body)
            if not row:
                if low <= constant <= high:
                    continue
                raise _Unfamiliar
            kept.append(constraint)
            index += row
            value += row.values()
            start.append(len(index))
            lower.append(low - constant)
            upper.append(high - constant)

    def terms(self, root: Any) -> tuple[dict[int, float], float]:
        """Coefficient by column, without zeros, and the constant of a linear expression.

        (Long because it is one loop: reading a model spends its time here.)
        """
        row: dict[int, float] = {}
        constant = 0.0
        column, numbers, monomial, sums = self.column, self.numbers, self.monomial, self.sums
        variables = self.variable_kinds
        others = [(root, 1.0)]
        while others:
            node, factor = others.pop()
            kind = node.__class__
            # A single term takes the way of a sum of one, so that there is one loop over terms.
            if kind in sums:
                parts = node.args
            elif kind is monomial or kind in variables:
                parts = (node,)
            elif kind in numbers:
                constant += factor * node
                continue
            elif kind is self.constant:
                constant += factor * node.value
                continue
            elif kind in self.named:
                known = self.known.get(id(node))
                if known is None:
                    known = self.known[id(node)] = self.terms(node.expr)
                for found, value in known[0].items():
                    row[found] = row.get(found, 0.0) + factor * value
                constant += factor * known[1]
                continue
            elif kind is self.negation:
                others.append((node.args[0], -factor))
                continue
            elif kind is self.product:
                one, other = node.args
                if one.__class__ in numbers:
                    others.append((other, factor * one))
                elif other.__class__ in numbers:
                    others.append((one, factor * other))
                else:
                    raise _Unfamiliar
                continue
            else:
                raise _Unfamiliar
            for position, part in enumerate(parts):
                if part.__class__ is monomial:
                    coefficient, variable = part.args
                    if coefficient.__class__ not in numbers:
                        raise _Unfamiliar
                    coefficient = factor * coefficient
                elif part.__class__ in variables:
                    coefficient, variable = factor, part
                else:
                    others += [(rest, factor) for rest in reversed(parts[position:])]
                    break
                place = column.get(id(variable))
                if place is None:
                    place = self._record(variable)
                if place in row:
                    row[place] += coefficient
                else:
                    row[place] = coefficient
        if not all(row.values()):
            row = {place: value for place, value in row.items() if value}
        return row, constant

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
        index = self.index
        if len(used) < len(self.variables):
            place = dict(zip(used, range(len(used))))
            index = [place[k] for k in index]
        return LinearRows(
            variables=[self.variables[k] for k in used],
            constraints=self.constraints,
            start=self.start,
            index=index,
            value=self.value,
            lower=self.lower,
            upper=self.upper,
            cost=[cost.get(k, 0.0) for k in used],
            offset=offset,
            maximize=maximize,
        )

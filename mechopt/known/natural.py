"""A mechanism solved in natural units (`problem.units`), its plan in the caller's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mechopt.answer.plan import Plan
from mechopt.problem.instance import Instance, Units
from mechopt.problem.units import counted, natural

_DATA = ("data", "reachable")  # numbers of `Plan.shortfall`
_MONEY = ("money", "payment", "data_price", "expenditure", "social_cost")  # there, and in `details`


def in_natural_units(instance: Instance, solve: Callable[[Instance, float], Plan]) -> Plan:
    """`solve(natural instance, unit of data)`, then back. Messages say `instance.units` already."""
    scaled = natural(instance)
    if scaled is instance:
        return solve(instance, 1.0)
    units = scaled.units
    plan = solve(scaled, units.data)
    worth = 1.0 if plan.objective_name == "improvement" else units.money
    return plan.replace(
        instance=instance,
        burden=counted(plan.burden, units.data),
        payment=counted(plan.payment, units.money),
        objective=None if plan.objective is None else plan.objective * worth,
        bound=None if plan.bound is None else plan.bound * worth,
        reserve=plan.reserve * units.data,
        shortfall=_back(plan.shortfall, units),
        details=_back(plan.details, units),
    )


def _back(numbers: Any, units: Units) -> dict[str, Any]:
    """The numbers of a shortfall, of details or of a level's row, in the caller's units."""
    counted_back = {}
    for name, entry in numbers.items():
        if name == "levels":
            entry = [_back(row, units) for row in entry]
        elif entry is not None and name in _DATA:
            entry = entry * units.data
        elif entry is not None and (name in _MONEY or (name == "bound" and "level" in numbers)):
            entry = entry * units.of((-1, 1) if name == "data_price" else (0, 1))
        counted_back[name] = entry
    return counted_back

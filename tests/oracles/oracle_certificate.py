"""Optima proved without a solver: exact weak duality over the cases of a branching.

A case fixes some integer columns and gives one multiplier y_i per row. For a minimisation

    c·x  =  Σ_i y_i a_i + Σ_j (c_j − Σ_i y_i A_ij) x_j  ≥  the least this can be over all row
    activities a_i in [row lower, row upper] and all x_j in [lower, upper],

whatever y is: no solver has to be believed. A case is infeasible if this bound is > 0 with c = 0.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf, isclose, isfinite
from pathlib import Path
from typing import Any

Number = Fraction | float  # float only for ±inf


@dataclass(frozen=True)
class Row:
    lower: Number
    upper: Number
    coefficients: dict[str, Fraction]


@dataclass(frozen=True)
class Column:
    lower: Number
    upper: Number
    integer: bool


@dataclass(frozen=True)
class Program:
    """min (sign +1) or max (sign −1) cost·x + offset, everything by name and in Fractions."""

    sign: int
    offset: Fraction
    cost: dict[str, Fraction]
    rows: dict[str, Row]
    columns: dict[str, Column]


def exact(number: float) -> Number:
    """The decimal number a file's text says, not its binary neighbour."""
    return Fraction(repr(float(number))) if isfinite(number) else float(number)


def read_program(path: Path) -> Program:
    """An LP or MPS file, as HiGHS parses it."""
    import highspy

    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    assert highs.readModel(str(path)) == highspy.HighsStatus.kOk, path
    lp = highs.getLp()
    matrix = lp.a_matrix_
    names = list(lp.col_names_)
    coefficients: list[dict[str, Fraction]] = [{} for _ in lp.row_names_]
    start, index, value = list(matrix.start_), list(matrix.index_), list(matrix.value_)
    rowwise = matrix.format_ == highspy.MatrixFormat.kRowwise
    for outer in range(len(start) - 1):
        for place in range(start[outer], start[outer + 1]):
            row, column = (outer, index[place]) if rowwise else (index[place], outer)
            coefficients[row][names[column]] = exact(value[place])
    integrality = list(lp.integrality_) or [highspy.HighsVarType.kContinuous] * len(names)
    return Program(
        sign=-1 if lp.sense_ == highspy.ObjSense.kMaximize else 1,
        offset=exact(lp.offset_),
        cost={name: exact(cost) for name, cost in zip(names, lp.col_cost_) if cost},
        rows={
            name: Row(exact(low), exact(high), entries)
            for name, low, high, entries in zip(
                lp.row_names_, lp.row_lower_, lp.row_upper_, coefficients
            )
        },
        columns={
            name: Column(exact(low), exact(high), kind != highspy.HighsVarType.kContinuous)
            for name, low, high, kind in zip(names, lp.col_lower_, lp.col_upper_, integrality)
        },
    )


def differences(one: Program, other: Program) -> list[str]:
    """What differs between two models, by name; numbers to 12 digits (sums may be reordered)."""
    found = [] if one.sign == other.sign else ["sense"]
    found += _numbers("objective", {"": one.offset, **one.cost}, {"": other.offset, **other.cost})
    for kind in ("rows", "columns"):
        mine, theirs = getattr(one, kind), getattr(other, kind)
        found += [f"{kind}: {name} is in one only" for name in set(mine) ^ set(theirs)]
        for name in set(mine) & set(theirs):
            a, b = mine[name], theirs[name]
            found += _numbers(
                name, {"lower": a.lower, "upper": a.upper}, {"lower": b.lower, "upper": b.upper}
            )
            if isinstance(a, Row):
                found += _numbers(name, a.coefficients, b.coefficients)
            elif a.integer != b.integer:
                found.append(f"{name}: integer in one only")
    return found


def _numbers(name: str, mine: Mapping[str, Number], theirs: Mapping[str, Number]) -> list[str]:
    return [
        f"{name} {key}: {mine.get(key)} and {theirs.get(key)}"
        for key in {*mine, *theirs}
        if not isclose(float(mine.get(key, 0)), float(theirs.get(key, 0)), rel_tol=1e-12)
    ]


def fix(program: Program, fixed: Mapping[str, int]) -> Program:
    columns = dict(program.columns)
    for name, value in fixed.items():
        column = columns[name]
        assert column.integer, f"{name} is not an integer column"
        assert column.lower <= value <= column.upper, f"{name} = {value} is out of bounds"
        columns[name] = Column(Fraction(value), Fraction(value), True)
    return replace(program, columns=columns)


def dual_bound(program: Program, multipliers: Mapping[str, Fraction], slack: float = 0.0) -> Number:
    """The bound on the optimum that `multipliers` prove (at most / at least by sense).

    `slack` takes reduced costs and multipliers up to this size for zero (floating-point duals).
    """
    sign = program.sign
    rest = {name: sign * program.cost.get(name, Fraction(0)) for name in program.columns}
    total: Number = sign * program.offset
    for name, multiplier in multipliers.items():
        row, y = program.rows[name], sign * multiplier
        total += _least(y if abs(y) > slack else Fraction(0), row.lower, row.upper)
        for column, coefficient in row.coefficients.items():
            rest[column] -= y * coefficient
    for name, column in program.columns.items():
        left = rest[name] if abs(rest[name]) > slack else Fraction(0)
        total += _least(left, column.lower, column.upper)
    return sign * total


def _least(weight: Fraction, lower: Number, upper: Number) -> Number:
    """min weight·z over lower ≤ z ≤ upper."""
    if weight == 0:
        return Fraction(0)
    end = lower if weight > 0 else upper
    return weight * end if isinstance(end, Fraction) else -inf


def proves_infeasible(program: Program, multipliers: Mapping[str, Fraction]) -> bool:
    nothing = replace(program, sign=1, offset=Fraction(0), cost={})
    return dual_bound(nothing, multipliers) > 0


def covers(program: Program, cases: Sequence[Mapping[str, int]]) -> bool:
    """Whether every assignment of the integer columns is in one of the cases."""
    if any(not case for case in cases):
        return True
    for name in cases[0] if cases else ():
        if all(name in case for case in cases):
            column = program.columns[name]
            return all(
                covers(program, [_without(case, name) for case in cases if case[name] == value])
                for value in range(int(column.lower), int(column.upper) + 1)
            )
    return False


def _without(case: Mapping[str, int], name: str) -> dict[str, int]:
    return {key: value for key, value in case.items() if key != name}


def violations(
    program: Program, point: Mapping[str, Fraction], rounding: Fraction = Fraction(0)
) -> list[str]:
    """Rows, bounds and integrality that `point` breaks (columns left out are 0) by > `rounding`."""
    unknown = [name for name in point if name not in program.columns]
    found = [f"{name} is no column" for name in unknown]
    for name, column in program.columns.items():
        value = point.get(name, Fraction(0))
        if not column.lower - rounding <= value <= column.upper + rounding:
            found.append(f"{name} = {value} is outside its bounds")
        if column.integer and value.denominator != 1:
            found.append(f"{name} = {value} is not an integer")
    for name, row in program.rows.items():
        if not row.lower - rounding <= activity(row, point) <= row.upper + rounding:
            found.append(f"row {name} does not hold: {activity(row, point)}")
    return found


def activity(row: Row, point: Mapping[str, Fraction]) -> Fraction:
    return sum(
        (factor * point.get(name, Fraction(0)) for name, factor in row.coefficients.items()),
        start=Fraction(0),
    )


def objective(program: Program, point: Mapping[str, Fraction]) -> Fraction:
    terms = (cost * point.get(name, Fraction(0)) for name, cost in program.cost.items())
    return sum(terms, start=program.offset)


def refutations(
    program: Program,
    value: Fraction,
    cases: Sequence[Mapping[str, Any]],
    rounding: Fraction = Fraction(0),
) -> list[str]:
    """Why the cases of a certificate do not prove that nothing beats `value` by > `rounding`."""
    found = []
    if not covers(program, [case.get("fixed", {}) for case in cases]):
        found.append("the cases do not cover every assignment of the integer columns")
    for case in cases:
        fixed = fix(program, case.get("fixed", {}))
        multipliers = {name: Fraction(text) for name, text in case["multipliers"].items()}
        if case.get("infeasible"):
            if not proves_infeasible(fixed, multipliers):
                found.append(f"{case}: not proved infeasible")
            continue
        bound = dual_bound(fixed, multipliers)
        if program.sign * bound < program.sign * value - rounding:
            found.append(f"{case}: proves only {bound}")
    return found


def lp_duals(program: Program) -> dict[str, Fraction]:
    """HiGHS' row duals of the LP (integrality dropped)."""
    return {name: Fraction(dual) for name, dual in _relaxation(program)[2].items()}


def find_cases(
    program: Program, value: Fraction, rounding: Fraction = Fraction(0)
) -> list[dict[str, Any]]:
    """A certificate by branching on HiGHS' LP duals, rounded to fractions and checked exactly.

    Where the multipliers come from does not matter: `refutations` decides.
    """
    return _find(program, value, rounding, {})


def _find(
    program: Program, value: Fraction, rounding: Fraction, fixed: dict[str, int]
) -> list[dict[str, Any]]:
    branch = fix(program, fixed)
    status, x, duals = _relaxation(branch)
    head: dict[str, Any] = {"fixed": fixed} if fixed else {}
    for digits in (10, 100, 10**4, 10**6):
        multipliers = {
            name: str(Fraction(dual).limit_denominator(digits))
            for name, dual in duals.items()
            if Fraction(dual).limit_denominator(digits)
        }
        if status == "infeasible":
            case = {**head, "infeasible": True, "multipliers": multipliers}
        else:
            case = {**head, "multipliers": multipliers}
        if not [
            fault for fault in refutations(program, value, [case], rounding) if "cover" not in fault
        ]:
            return [case]
    free = [name for name, column in branch.columns.items() if column.lower != column.upper]
    free = [name for name in free if branch.columns[name].integer]
    if not free:
        raise SystemExit(f"no certificate at {fixed}: {status}, {duals}")
    name = max(free, key=lambda name: min(x.get(name, 0.5) % 1, -x.get(name, 0.5) % 1))
    return [
        case
        for choice in range(int(branch.columns[name].lower), int(branch.columns[name].upper) + 1)
        for case in _find(program, value, rounding, {**fixed, name: choice})
    ]


def _relaxation(program: Program) -> tuple[str, dict[str, float], dict[str, float]]:
    import highspy

    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("presolve", "off")
    highs.setOptionValue("solver", "simplex")
    place = {}
    for name, column in program.columns.items():
        place[name] = len(place)
        highs.addVar(float(column.lower), float(column.upper))
        highs.changeColCost(place[name], float(program.cost.get(name, 0)))
    for row in program.rows.values():
        columns = [place[name] for name in row.coefficients]
        factors = [float(factor) for factor in row.coefficients.values()]
        highs.addRow(float(row.lower), float(row.upper), len(columns), columns, factors)
    highs.changeObjectiveSense(
        highspy.ObjSense.kMinimize if program.sign > 0 else highspy.ObjSense.kMaximize
    )
    highs.run()
    if highs.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
        _, there, ray = highs.getDualRay()
        return "infeasible", {}, dict(zip(program.rows, ray if there else [], strict=False))
    solution = highs.getSolution()
    values = dict(zip(program.columns, solution.col_value, strict=True))
    return "optimal", values, dict(zip(program.rows, solution.row_dual, strict=True))


if __name__ == "__main__":  # python -m tests.oracles.oracle_certificate models/NAME
    folder = Path(sys.argv[1])
    claimed = Fraction(json.loads((folder / "optimum.json").read_text("utf-8"))["value"])
    for found_case in find_cases(read_program(folder / "model.lp"), claimed, Fraction(1, 10**12)):
        print(json.dumps(found_case))

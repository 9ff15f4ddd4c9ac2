"""Sparse square systems in rationals: singletons first, then what is left (the nucleus)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from mechopt.errors import NotSupported, SolverError

ZERO = Fraction(0)
LARGEST_NUCLEUS = 250  # equations without a singleton that plain Fractions still solve in seconds
Sparse = dict[Any, Fraction]


# -- exact linear equations -----------------------------------------------------------------------


def solve(equations: list[Sparse], right: Sequence[Fraction]) -> list[Fraction]:
    """The solution of a square sparse system with unknowns 0 … n−1; SolverError if singular.

    Equations with one unknown, and unknowns in one equation, are worked off first (bases of
    linear programs are nearly triangular); what remains is dense algebra.
    """
    n = len(equations)
    rest = dict(enumerate(dict(equation) for equation in equations))
    sides = list(right)
    where: list[set[int]] = [set() for _ in range(n)]
    for number, equation in rest.items():
        for unknown in equation:
            where[unknown].add(number)
    solution: list[Fraction | None] = [None] * n
    single_rows = [number for number, equation in rest.items() if len(equation) == 1]
    single_columns = [unknown for unknown in range(n) if len(where[unknown]) == 1]
    postponed: list[tuple[int, Sparse, Fraction]] = []
    done: set[int] = set()  # unknowns removed from the rest
    while single_rows or single_columns:
        if single_rows:
            number = single_rows.pop()
            if number not in rest or len(rest[number]) != 1:
                continue
            ((unknown, pivot),) = rest.pop(number).items()
            value = sides[number] / pivot
            solution[unknown] = value
            done.add(unknown)
            where[unknown].discard(number)
            for other in where[unknown]:
                sides[other] -= rest[other].pop(unknown) * value
                if len(rest[other]) == 1:
                    single_rows.append(other)
            where[unknown] = set()
            continue
        unknown = single_columns.pop()
        if unknown in done or len(where[unknown]) != 1:
            continue
        (number,) = where[unknown]
        equation = rest.pop(number)
        postponed.append((unknown, equation, sides[number]))
        done.add(unknown)
        for other in equation:
            where[other].discard(number)
            if other != unknown and len(where[other]) == 1:
                single_columns.append(other)
    _solve_nucleus(rest, sides, solution, done, n)
    for unknown, equation, side in reversed(postponed):
        for other, coefficient in equation.items():
            if other != unknown:
                known = solution[other]
                assert known is not None
                side -= coefficient * known
        solution[unknown] = side / equation[unknown]
    return [value for value in solution if value is not None]


def _solve_nucleus(
    rest: dict[int, Sparse],
    sides: list[Fraction],
    solution: list[Fraction | None],
    done: set[int],
    n: int,
) -> None:
    """What has no singletons; fills `solution` in place."""
    unknowns = [unknown for unknown in range(n) if unknown not in done]
    if len(unknowns) != len(rest):
        raise SolverError("the solver's basis is singular in exact arithmetic")
    if not unknowns:
        return
    place = {unknown: column for column, unknown in enumerate(unknowns)}
    matrix = [{place[u]: a for u, a in equation.items()} for equation in rest.values()]
    right = [sides[number] for number in rest]
    if len(unknowns) <= 12:
        found = _by_elimination(matrix, right)
    else:
        try:
            found = _by_flint(matrix, right)
        except ImportError:
            if len(unknowns) > LARGEST_NUCLEUS:
                raise NotSupported(
                    f"an exact basis with {len(unknowns)} coupled equations needs python-flint: "
                    "install mechopt[exact]"
                ) from None
            found = _by_elimination(matrix, right)
    for unknown, value in zip(unknowns, found):
        solution[unknown] = value


def _by_flint(matrix: list[Sparse], right: list[Fraction]) -> list[Fraction]:
    import flint

    n = len(matrix)
    entries = [flint.fmpq(0)] * (n * n)
    for row, equation in enumerate(matrix):
        for column, a in equation.items():
            entries[row * n + column] = flint.fmpq(a.numerator, a.denominator)
    sides = flint.fmpq_mat(n, 1, [flint.fmpq(b.numerator, b.denominator) for b in right])
    try:
        found = flint.fmpq_mat(n, n, entries).solve(sides)
    except ZeroDivisionError:
        raise SolverError("the solver's basis is singular in exact arithmetic") from None
    return [Fraction(int(found[row, 0].p), int(found[row, 0].q)) for row in range(n)]


def _by_elimination(matrix: list[Sparse], right: list[Fraction]) -> list[Fraction]:
    """Gauss–Jordan on sparse rows, the shortest row first."""
    todo = {row: dict(equation) for row, equation in enumerate(matrix)}
    sides = list(right)
    order: list[tuple[int, int]] = []
    while todo:
        row = min(todo, key=lambda one: len(todo[one]))
        equation = todo.pop(row)
        if not equation:
            raise SolverError("the solver's basis is singular in exact arithmetic")
        unknown = next(iter(equation))
        pivot = equation[unknown]
        matrix[row] = equation = {u: a / pivot for u, a in equation.items()}
        sides[row] /= pivot
        order.append((row, unknown))
        for other, longer in todo.items():
            factor = longer.pop(unknown, None)
            if factor is None:
                continue
            sides[other] -= factor * sides[row]
            for u, a in equation.items():
                if u != unknown:
                    left = longer.get(u, ZERO) - factor * a
                    if left:
                        longer[u] = left
                    else:
                        longer.pop(u, None)
    found = [ZERO] * len(matrix)
    for row, unknown in reversed(order):
        known = (a * found[u] for u, a in matrix[row].items() if u != unknown)
        found[unknown] = sides[row] - sum(known, ZERO)
    return found

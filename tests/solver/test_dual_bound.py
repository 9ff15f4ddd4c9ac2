"""Weak duality, recomputed from multipliers of any quality."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from mechopt.solver import highs
from mechopt.solver.linear_program import LinearProgram


def drawn(random: np.random.Generator, maximize: bool) -> LinearProgram:
    rows, columns = 6, 5
    matrix = random.integers(-3, 4, (rows, columns)).astype(float)
    inside = random.uniform(0, 1, columns)
    place = np.nonzero(matrix)
    low, high = matrix @ inside - random.uniform(0, 1, rows), matrix @ inside + 0.5
    low[:2], high[3:] = -inf, inf
    return LinearProgram(
        cost=random.normal(size=columns),
        start=np.searchsorted(place[0], np.arange(rows + 1)).astype(np.int32),
        index=place[1].astype(np.int32),
        value=matrix[place],
        row_lower=low,
        row_upper=high,
        lower=np.zeros(columns),
        upper=np.ones(columns),
        offset=2.0,
        maximize=maximize,
    )


@pytest.mark.parametrize("maximize", [True, False])
def test_multipliers_prove_the_optimum_and_no_others_more(maximize: bool) -> None:
    random = np.random.default_rng(4)
    for _ in range(40):
        program = drawn(random, maximize)
        solution = highs.solve(program)
        assert solution.row_dual is not None
        assert solution.objective is not None
        sides = program.lower, program.upper
        proved = program.dual_bound(solution.row_dual, *sides)
        assert proved == pytest.approx(solution.objective, abs=1e-7)
        worse = program.dual_bound(solution.row_dual + random.normal(size=program.rows), *sides)
        assert worse >= proved - 1e-9 if maximize else worse <= proved + 1e-9


def test_a_column_without_bound_proves_nothing_unless_it_is_priced_out() -> None:
    one = np.zeros(1)
    program = LinearProgram(
        cost=np.ones(1),
        start=np.array([0, 1], dtype=np.int32),
        index=np.zeros(1, dtype=np.int32),
        value=np.ones(1),
        row_lower=np.full(1, 3.0),
        row_upper=np.full(1, inf),
        lower=np.full(1, -inf),
        upper=np.full(1, inf),
    )
    assert program.dual_bound(one, program.lower, program.upper) == -inf
    assert program.dual_bound(one + 1, program.lower, program.upper) == pytest.approx(3.0)

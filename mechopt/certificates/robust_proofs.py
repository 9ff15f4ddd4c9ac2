"""The best guarantee against every law in a ball: exact LPs over finitely many of its laws.

The LP over some laws bounds every mechanism's guarantee; its answer's worst law, found in fractions
by the checker's own Bernstein coefficients, says what that answer guarantees. Until the two meet
the law joins the others.
"""

from __future__ import annotations

from fractions import Fraction
from heapq import heappop, heappush
from itertools import product
from typing import Any

from mechopt.checker.data import ONE, ZERO
from mechopt.checker.laws import (
    Ball,
    Box,
    Corner,
    Values,
    at_corners,
    by_state,
    coefficients,
    halves,
    under,
)
from mechopt.checker.mechanisms import MechanismProblem
from mechopt.exact.lp import ExactSolution, maximum

MOST_LAWS = 60
MOST_BOXES = 1500  # of laws; the checker looks at more
ROOM = Fraction(1, 10**9)  # relative: between guarantee and bound, where they cannot meet
_WORST = ("z",)


def best_guarantee(
    problem: MechanismProblem,
) -> tuple[Fraction, dict[Any, Fraction], dict[str, Any], Fraction]:
    """(guarantee, values of the variables, proof, bound), in fractions."""
    assert problem.ball is not None
    laws: list[list[Corner]] = [[center for center, _ in problem.ball.groups]]
    best: tuple[Fraction, dict[Any, Fraction]] | None = None
    proof: dict[str, Any] = {}
    bound = ZERO
    for _ in range(MOST_LAWS):
        rows = list(problem.rows)
        for number, law in enumerate(laws):
            row = {_WORST: -ONE, **problem.maximised(under(problem, law))}
            rows.append((f"law {number}", row, False, ZERO))
        found = maximum(rows, {_WORST: ONE}, free=frozenset([_WORST]))
        assert found.value is not None
        bound, proof = found.value, _proof(found, laws)
        low, law = worst_law(problem.ball, by_state(problem, found.values))
        if best is None or low > best[0]:
            best = low, found.values
        if bound - best[0] <= ROOM * max(ONE, abs(bound)) or law in laws:
            break
        laws.append(law)
    assert best is not None
    return best[0], best[1], proof, bound


def _proof(found: ExactSolution, laws: list[list[Corner]]) -> dict[str, Any]:
    weights = [found.multipliers.get(f"law {number}", ZERO) for number in range(len(laws))]
    others = {name: w for name, w in found.multipliers.items() if not name.startswith("law ")}
    used = [
        {"weight": weight, "laws": [list(one) for one in law]}
        for weight, law in zip(weights, laws)
        if weight
    ]
    return {"shows": "bound", "multipliers": others, "laws": used}


def worst_law(ball: Ball, values: Values) -> tuple[Fraction, list[Corner]]:
    """(what E_f[values] is nowhere below, the worst corner found)."""
    best: tuple[Fraction, list[Corner]] | None = None
    queue: list[tuple[Fraction, int, Box]] = []
    number = 0

    def look(box: Box) -> None:
        nonlocal best, number
        number += 1
        for law, value in zip(product(*box), at_corners(values, box)):
            if best is None or value < best[0]:
                best = value, list(law)
        heappush(queue, (min(coefficients(values, box)), number, box))

    for box in ball.boxes:
        look(box)
    assert best is not None
    room = ROOM / 4 * max(ONE, abs(best[0]))
    while queue[0][0] < best[0] - room and number < MOST_BOXES:
        for half in halves(heappop(queue)[2]):
            look(half)
    return min(queue[0][0], best[0]), best[1]

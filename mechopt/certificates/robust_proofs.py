"""The best guarantee against every law in a ball: exact LPs over finitely many of its laws.

The LP over some laws bounds every mechanism's guarantee; the worst laws of its answer, found in
fractions by the checker's own Bernstein coefficients, say what that answer guarantees, and whether
a target or an expected budget holds under every law. Until bound and guarantee meet the laws join.
"""

from __future__ import annotations

from fractions import Fraction
from heapq import heappop, heappush
from itertools import product
from typing import Any

from mechopt.answer.mechanism import DirectMechanism
from mechopt.checker.data import ONE, ZERO
from mechopt.checker.laws import (
    Ball,
    Box,
    Corner,
    Values,
    at_corners,
    by_state,
    halves,
    least,
    under,
)
from mechopt.checker.mechanisms import MechanismProblem, Row
from mechopt.errors import SolverError
from mechopt.exact import lp as exact_lp
from mechopt.exact.mechanisms import ExactOptimum
from mechopt.exact.mechanisms import Values as Numbers

MOST_LAWS = 60
MOST_BOXES = 1500  # of laws; the checker looks at more
BOXES_LOOKED_AT = 400  # for a law that an LP's answer does not hold against
ROOM = Fraction(1, 10**9)  # relative: between guarantee and bound, where they cannot meet
_WORST = ("z",)


class RobustOptimum(ExactOptimum):
    """The exact LPs with a row for every law found; `best` is (guarantee, answer)."""

    def __init__(self, problem: MechanismProblem, mechanism: DirectMechanism | None = None) -> None:
        assert problem.ball is not None
        self.ball = problem.ball
        super().__init__(problem, mechanism)
        self.objective, self.free = {_WORST: ONE}, self.free | {_WORST}
        center = [law for law, _ in self.ball.groups]
        self.laws: list[tuple[str, list[Corner]]] = [(of, center) for of in self._rows()]
        self.lift = ZERO  # what is asked beyond rows that must hold under every law, relative

    def _rows(self) -> tuple[str, ...]:
        return ("objective", *self.problem.held)

    def _law_row(self, number: int) -> Row:
        of, law = self.laws[number]
        terms, right = self.problem.expected(of, under(self.problem, law)), ZERO
        if of == "objective":
            terms = {_WORST: -ONE, **terms}
        else:
            right = self.problem.held[of]
            right += self.lift * max(ONE, abs(right))
        return f"law {number}", terms, False, right

    def _maximum(self, rows: list[Row], fixed: Numbers) -> exact_lp.ExactSolution:
        """The LP over the laws known, and those that turn out worst for its answer."""
        while True:
            laws = [self._law_row(number) for number in range(len(self.laws))]
            found = super()._maximum([*rows, *laws], fixed)
            if found.value is None or len(self.laws) >= MOST_LAWS:
                return found
            fresh = self._against(found)
            if not fresh:
                return found
            self.laws += fresh

    def _against(self, found: exact_lp.ExactSolution) -> list[tuple[str, list[Corner]]]:
        """Laws under which the LP's answer brings less than it is held to, each with its row."""
        assert found.value is not None
        fresh = []
        for of in self._rows():
            asked = found.value if of == "objective" else self.problem.held[of]
            values = by_state(self.problem, found.values, of)
            _, value, law = worst_law(self.ball, values, BOXES_LOOKED_AT)
            room = ZERO if of != "objective" and self.lift else ROOM * max(ONE, abs(asked))
            if value < asked - room and (of, law) not in self.laws:
                fresh.append((of, law))
        return fresh

    def _leaf(self, found: exact_lp.ExactSolution) -> dict[str, Any]:
        leaf = super()._leaf(found)
        leaf["laws"] = [
            {"of": of, "weight": weight, "laws": [list(one) for one in law]}
            for number, (of, law) in enumerate(self.laws)
            if (weight := found.multipliers.get(f"law {number}", ZERO))
        ]
        leaf["multipliers"] = {
            name: weight
            for name, weight in found.multipliers.items()
            if not name.startswith("law ")
        }
        return leaf

    def _consider(self, value: Fraction, values: Numbers, fixed: Numbers) -> None:
        before = self.best
        super()._consider(value, values, fixed)
        if self.best is not before or not self.problem.held:
            return
        self.lift = 2 * ROOM  # the rows hold but for what the worst law is approximated by
        runs = {} if self.problem.randomized else {p: values[p] for p in self.runs}
        try:
            found = self._maximum(self.problem.rows, {**fixed, **runs})
            if found.value is not None:
                super()._consider(found.value, found.values, fixed)
        except SolverError:  # no exact optimum there: the bound is there without
            pass
        finally:
            self.lift = ZERO

    def _keep(self, value: Fraction, values: Numbers) -> None:
        """What the values guarantee, if every row holds under every law."""
        low = {
            of: worst_law(self.ball, by_state(self.problem, values, of))[0] for of in self._rows()
        }
        if all(low[of] >= right for of, right in self.problem.held.items()):
            super()._keep(low["objective"], values)


def worst_law(
    ball: Ball, values: Values, most: int = MOST_BOXES
) -> tuple[Fraction, Fraction, list[Corner]]:
    """(what E_f[values] is nowhere below, its value at the worst corner found, that corner)."""
    best: tuple[Fraction, list[Corner]] | None = None
    queue: list[tuple[Fraction, int, Box]] = []
    number = 0

    def look(box: Box) -> None:
        nonlocal best, number
        number += 1
        for law, value in zip(product(*box), at_corners(values, box)):
            if best is None or value < best[0]:
                best = value, list(law)
        heappush(queue, (least(values, box), number, box))

    for box in ball.boxes:
        look(box)
    assert best is not None
    room = ROOM / 4 * max(ONE, abs(best[0]))
    while queue[0][0] < best[0] - room and number < most:
        for half in halves(values, heappop(queue)[2]):
            look(half)
    return min(queue[0][0], best[0]), *best

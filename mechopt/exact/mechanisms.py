"""The exact optimum where costs are private: one exact LP, or a tree of them (deterministic)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import accumulate, pairwise
from math import inf
from typing import Any

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.checker.data import ONE, ZERO
from mechopt.checker.mechanisms import MechanismProblem, Row, named
from mechopt.errors import SolverError
from mechopt.exact import lp as exact_lp
from mechopt.problem.direct_terms import PAYMENT_FACTOR
from mechopt.problem.exact_data import decimal, target_share

MOST_NODES = 200  # of the exact tree of a deterministic mechanism
Values = dict[Any, Fraction]


def exact_terms(mechanism: DirectMechanism) -> dict[str, Any]:
    """The mechanism's terms as a certificate states them."""
    terms = {**mechanism.terms.to_dict(), "payment_factor": decimal(PAYMENT_FACTOR)}
    if mechanism.population.levels == 1 or terms["withdrawal_rights"] is False:
        terms["levels"] = "safe"  # the two readings are the same
    if terms["target"] is not None:
        terms["target"] = target_share(terms["target"], mechanism.population)
    if any(mechanism.terms.radius or ()):
        terms["radius"] = [decimal(one) for one in mechanism.terms.radius or ()]
        return terms
    return {name: said for name, said in terms.items() if name not in ("robust", "radius")}


class ExactOptimum:
    """The exact LP, or for deterministic mechanisms a tree of them; `best` is (value, answer)."""

    def __init__(
        self,
        problem: MechanismProblem,
        mechanism: DirectMechanism | None = None,
        most_nodes: int = MOST_NODES,
        deadline: float = inf,
    ) -> None:
        self.problem, self.mechanism = problem, mechanism
        self.most_nodes, self.deadline = most_nodes, deadline
        self.objective = problem.maximised()
        self.free = frozenset(v for _, terms, _, _ in problem.rows for v in terms if v[0] == "m")
        self.runs = [("p", k, w) for w in problem.states for k in problem.ks]
        self.best: tuple[Fraction, Values] | None = None
        self.pivots = self.nodes = 0
        self.remark = ""

    def solve(self) -> dict[str, Any]:
        """The proof; after it `best` is set if there is an answer."""
        return self._node({})

    def _node(self, fixed: Values) -> dict[str, Any]:
        self.nodes += 1
        found = self._maximum(self.problem.loosest, fixed)
        leaf = self._leaf(found)
        if found.value is None or (self.best is not None and found.value <= self.best[0]):
            return leaf
        broken = [p for p in self.runs if found.values[p] not in (0, 1)]
        if self.problem.randomized or not broken:
            self._consider(found.value, found.values, fixed)
            return leaf
        if self.nodes >= self.most_nodes:
            self.remark = f"optimality: the tree was cut off at {self.most_nodes} nodes"
            return leaf
        p = max(broken, key=lambda one: min(found.values[one], 1 - found.values[one]))
        return {
            "state": self.problem.states.index(p[2]),
            "level": p[1],
            "one": self._node({**fixed, p: ONE}),
            "zero": self._node({**fixed, p: ZERO}),
        }

    def _leaf(self, found: exact_lp.ExactSolution) -> dict[str, Any]:
        shows = "bound" if found.feasible else "unreachable"
        return {"shows": shows, "multipliers": found.multipliers}

    def cheapest(self) -> None:
        """Least expected payments at the share that `best` reaches; `best` becomes that."""
        assert self.best is not None
        problem, (value, values) = self.problem, self.best
        at_least: Row = ("share", problem.improvement(), False, value)
        cells = [(k, w, j) for k in problem.ks for w, j in problem.cells()]
        paid = {("t", k, w, j): -problem.law[w] * w[j] for k, w, j in cells}
        runs = {} if problem.randomized else {p: values[p] for p in self.runs}
        found = exact_lp.maximum(
            [*problem.rows, at_least], paid, free=self.free, fixed=runs, deadline=self.deadline
        )
        if found.value is not None and not self._out_of_order(found.values):
            self.best = value, found.values

    def _maximum(self, rows: list[Row], fixed: Values) -> exact_lp.ExactSolution:
        found = exact_lp.maximum(
            rows, self.objective, free=self.free, fixed=fixed, deadline=self.deadline
        )
        self.pivots += found.pivots
        return found

    def _consider(self, value: Fraction, values: Values, fixed: Values) -> None:
        """Keep the values if they are an answer; else look for one near them."""
        problem = self.problem
        safe = problem.loosest is problem.rows
        if safe and not self._out_of_order(values):
            self._keep(value, values)
            return
        if not safe:
            self.remark = "optimality: the bound drops what is kept of lower levels on leaving"
        else:
            self.remark = "optimality: the bound may use dear segments before cheap ones"
        runs = {p: values[p] for p in self.runs} if not problem.randomized else {}
        for filling in self._fillings(values):
            try:
                found = self._maximum([*problem.rows, *filling], {**fixed, **runs})
            except SolverError:  # no exact optimum near this filling: the bound is there without
                continue
            if found.value is not None and not self._out_of_order(found.values):
                self._keep(found.value, found.values)

    def _keep(self, value: Fraction, values: Values) -> None:
        if self.best is None or value > self.best[0]:
            self.best = value, values

    def _cells(self) -> Iterator[tuple[Any, list[Any], list[Fraction]]]:
        """Per level, state and type: run, burdens by segment, widths of the segments."""
        for k in self.problem.ks:
            for w, j in self.problem.cells():
                widths = [width for width, _ in self.problem.user[j].curve.pieces]
                segments = [("y", k, w, j, s) for s in range(len(widths))]
                yield ("p", k, w), segments, widths

    def _out_of_order(self, values: Values) -> bool:
        return any(
            values[one] < width * values[p] and values[other] > 0
            for p, segments, widths in self._cells()
            for (one, other), width in zip(pairwise(segments), widths)
        )

    def _fillings(self, values: Values) -> Iterator[list[Row]]:
        """Rows that fill segments in order, up to where the float answer, or `values`, stops."""
        if all(len(user.slopes) == 1 for user in self.problem.user):
            yield []
            return
        answer = self.mechanism
        if answer is not None and answer.run is not None and answer.burden is not None:
            row = {tuple(w): s for s, w in enumerate(answer.population.states.counts.tolist())}
            run, burden = answer.run, answer.burden
            yield self._filled(
                lambda p, y: (run[row[p[2]], p[1] - 1], burden[row[p[2]], p[1] - 1, y[0][3]])
            )
        yield self._filled(lambda p, ys: (values[p], sum(values[y] for y in ys)))

    def _filled(self, amounts: Callable[[Any, list[Any]], tuple[Any, Any]]) -> list[Row]:
        """`amounts`: (run, burden) of a cell; the segment in which burden/run lies stays open."""
        rows: list[Row] = []
        for p, segments, widths in self._cells():
            run, burden = amounts(p, segments)
            each = float(burden / run) if run > 0 else 0.0
            edges = [float(edge) for edge in accumulate(widths)]
            last = min(bisect_left(edges, each * (1 - tolerances.DATA)), len(widths) - 1)
            for place, (y, width) in enumerate(zip(segments, widths)):
                if place < last:
                    rows.append((f"full {named(y)}", {y: ONE, p: -width}, True, ZERO))
                elif place > last:
                    rows.append((f"empty {named(y)}", {y: ONE}, True, ZERO))
        return rows

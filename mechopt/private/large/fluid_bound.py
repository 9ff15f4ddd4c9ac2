"""Upper bound for private costs at any number of users: the threshold in expectation only.

Take any Bayesian incentive compatible mechanism with interim participation (every other one of
docs: model, with withdrawal rights or not, has these properties too). Averaging over
permutations makes it symmetric within groups without changing its value. Write q_gk, X_gk, u_gk
for the run probability, burden and utility that a user of group g and type k expects, P for the
overall run probability. Then

    Σ_k f_gk q_gk = P                          law of total probability                    (L1)
    Σ_g n_g Σ_k f_gk X_gk = T P                expectation of D1: the fluid relaxation      (L2)
    0 ≤ X_gk ≤ cap_g q_gk                      expectation of D2                            (L3)
    t_gk = u_gk − v_g A_gk + c_gk X_gk ≥ 0     (= 0 without transfers)                      (L4)
    Σ_g n_g Σ_k f_gk t_gk ≤ min(β P, expected budget)                                      (L5)
    u_gk ≥ u_gl + (c_gl − c_gk) X_gl, u_gk ≥ 0 D3 and D4                                    (L6)
    Σ_g n_g Σ_k f_gk (q_gk − P)² ≤ P − P²      nobody decides much                          (L7)

L7: costs are independent, so the E[p | θ_i] − P are orthogonal projections of p − P, and Bessel's
inequality gives Σ_i Var E[p | θ_i] ≤ Var p ≤ E[p] − P², because 0 ≤ p ≤ 1. It is what makes
pivotality vanish (Mailath and Postlewaite 1990). A_gk is the access expected, q_gk for users who
cannot be excluded, else (1 − η_g) q_gk ≤ A_gk ≤ q_gk (F14). The maximum over L1–L7 therefore
bounds every such mechanism; L7, which is convex, is replaced by tangents, which only raises it.

The program has a few columns per type however many users there are. The bound returned is the
dual one, recomputed from the multipliers, so it does not rest on the solver's tolerances.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray
from mechopt.problem.population import Population
from mechopt.solver import highs
from mechopt.solver.highs import LinearProgram
from mechopt.tolerances import MONEY

_MOST_CUTS = 60


def upper_bound(population: Population, *, objective: str, transfers: bool = True) -> float:
    """The bound L1–L7 on "provider-surplus", "welfare" (money) or "improvement" (probability).

    Needs one threshold (its share counts) and linear cost curves.
    """
    relaxation = _Relaxation(population, objective, transfers)
    best = inf
    for _ in range(_MOST_CUTS):
        program = relaxation.program()
        solution = highs.solve(program)
        bound = inf
        if solution.row_dual is not None:
            bound = program.dual_bound(solution.row_dual, program.lower, program.upper)
        settled = bound >= best - MONEY * max(1.0, abs(best)) and best < inf
        best = min(best, bound)
        if settled or solution.x is None or not relaxation.cut(solution.x):
            break
    return float(max(0.0, best * relaxation.scale))  # the null outcome is worth 0


class _Relaxation:
    """L1–L7 per user: columns P; d_gk, X_gk, u_gk with q = P + d / √n; A_gk where η > 0."""

    def __init__(self, population: Population, objective: str, transfers: bool) -> None:
        n = population.n
        self.n, self.types = n, population.type_costs.size
        self.law, self.cost = population.type_chances, population.type_rates
        # The share of all users who are of this type, expected.
        self.weight = population.of_type("size") / n * self.law
        self.value = population.of_type("value")
        self.capacity = population.of_type("capacity")
        self.eta = population.of_type("exclusion")
        self.barred = np.flatnonzero(self.eta > 0)
        self.columns = 1 + 3 * self.types + self.barred.size
        self.rows: list[FloatArray] = []
        self.low: list[float] = []
        self.high: list[float] = []
        self._families(population, transfers)
        self._bounds(population)
        self.scale = 1.0 if objective == "improvement" else float(n)
        self.gain = self._objective(population, objective)

    def _columns(self) -> tuple[slice, slice, slice]:
        m = self.types
        return slice(1, 1 + m), slice(1 + m, 1 + 2 * m), slice(1 + 2 * m, 1 + 3 * m)

    def _row(self, low: float, high: float, **parts: FloatArray | float) -> None:
        d, burden, utility = self._columns()
        row = np.zeros(self.columns)
        access = slice(1 + 3 * self.types, None)
        places = {"run": slice(0, 1), "d": d, "burden": burden, "utility": utility}
        places["access"] = access
        for name, entries in parts.items():
            row[places[name]] = entries
        self.rows.append(row)
        self.low.append(low)
        self.high.append(high)

    def _families(self, population: Population, transfers: bool) -> None:
        n, m, root = self.n, self.types, sqrt(self.n)
        unit = np.eye(m)
        share = float(population.shares[0])
        worth = self.value * share
        for g in range(len(population.groups)):
            mine = population.group_of_type == g
            self._row(0.0, 0.0, d=np.where(mine, self.law, 0.0))  # L1
        self._row(0.0, 0.0, run=-float(population.thresholds[0]) / n, burden=self.weight)  # L2
        for place, j in enumerate(self.barred.tolist()):  # (1 − η) q ≤ A ≤ q
            own, least = np.eye(self.barred.size)[place], 1 - self.eta[j]
            self._row(0.0, inf, run=1.0, d=unit[j] / root, access=-own)
            self._row(0.0, inf, run=-least, d=-least / root * unit[j], access=own)
        enjoys = np.where(self.eta > 0, 0.0, worth)  # of the run itself, and of access to it
        enters = np.zeros((m, self.barred.size))
        enters[self.barred, np.arange(self.barred.size)] = worth[self.barred]
        for j in range(m):
            held = self.capacity[j]
            self._row(0.0, inf, run=held, d=held / root * unit[j], burden=-unit[j])  # L3
            self._row(0.0, inf, run=1.0, d=unit[j] / root)  # q ≥ 0
            self._row(-inf, 1.0, run=1.0, d=unit[j] / root)  # q ≤ 1
            self._row(  # L4
                0.0,
                inf if transfers else 0.0,
                run=-enjoys[j],
                d=-enjoys[j] / root * unit[j],
                access=-enters[j],
                burden=self.cost[j] * unit[j],
                utility=unit[j],
            )
        w = self.weight
        paid: dict[str, Any] = {
            "run": -float(w @ enjoys),
            "d": -w * enjoys / root,
            "access": -w @ enters,
            "burden": w * self.cost,
            "utility": w,
        }
        self.paid = paid
        if population.expected_budget < inf:  # L5
            self._row(-inf, population.expected_budget / n, **paid)
        if population.budget < inf:
            self._row(-inf, 0.0, **{**paid, "run": paid["run"] - population.budget / n})
        for start, group in zip(population.first_type, population.groups):  # L6, adjacent
            for one in range(start, start + group.types - 1):
                for true, told in ((one, one + 1), (one + 1, one)):
                    step = self.cost[told] - self.cost[true]
                    self._row(0.0, inf, utility=unit[true] - unit[told], burden=-step * unit[told])

    def _bounds(self, population: Population) -> None:
        """Bounds on every column, so that any multipliers prove something.

        The least utilities that L4 and L6 allow are at most v + (c_m − c_1) cap, and lower
        utilities only lower payments.
        """
        d, burden, utility = self._columns()
        self.lower, self.upper = np.zeros(self.columns), np.ones(self.columns)
        self.lower[d] = -sqrt(self.n)
        self.upper[d] = sqrt(self.n)
        self.upper[burden] = self.capacity
        spread = [self.cost[population.group_of_type == g] for g in range(len(population.groups))]
        span = np.array([costs[-1] - costs[0] for costs in spread])[population.group_of_type]
        self.upper[utility] = self.value + span * self.capacity

    def _objective(self, population: Population, objective: str) -> FloatArray:
        """What a user contributes on average; times `scale` it is the objective."""
        d, burden, utility = self._columns()
        gain, access = np.zeros(self.columns), slice(1 + 3 * self.types, None)
        share = float(population.shares[0])
        if objective == "improvement":
            gain[0] = share
            return gain
        worth = population.provider_value * share / self.n
        if objective == "welfare":
            enjoyed = self.weight * self.value * share
            gain[0] = worth + float(enjoyed @ (self.eta == 0))
            gain[burden], gain[access] = -self.weight * self.cost, enjoyed[self.barred]
            return gain
        gain[0] = worth - float(self.paid["run"])
        gain[d], gain[burden] = -self.paid["d"], -self.paid["burden"]
        gain[utility], gain[access] = -self.paid["utility"], -self.paid["access"]
        return gain

    def program(self) -> LinearProgram:
        matrix = np.array(self.rows)
        index = np.nonzero(matrix)
        start = np.searchsorted(index[0], np.arange(len(self.rows) + 1))
        return LinearProgram(
            cost=self.gain,
            start=start.astype(np.int32),
            index=index[1].astype(np.int32),
            value=matrix[index],
            row_lower=np.array(self.low),
            row_upper=np.array(self.high),
            lower=self.lower,
            upper=self.upper,
            maximize=True,
        )

    def cut(self, x: FloatArray) -> bool:
        """Add the tangent of L7, Σ w d² + P² − P ≤ 0, at x; whether x violates it."""
        run, d = float(x[0]), x[self._columns()[0]]
        excess = float(self.weight @ d**2) + run**2 - run
        if excess <= tolerances.PROBABILITY:
            return False
        slope = 2 * self.weight * d
        self._row(-inf, float(slope @ d) + (2 * run - 1) * run - excess, run=2 * run - 1, d=slope)
        return True

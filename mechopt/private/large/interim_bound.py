"""Upper bound for private costs from interim curves: the threshold state by state, no LP on states.

Of a symmetric Bayesian mechanism the incentive, participation, payment and expected-budget rows
see only what each type expects: run probability Q_k, burden X_k, utility u_k (L4–L6 of
`fluid_bound`). Which (Q, X) there are is decided by D1 and D2 alone, and a linear function of them
is maximised state by state:

    Σ_k (α_k Q_k + β_k X_k) = Σ_ω P(ω) [ p(ω) Σ_k a_k N_k(ω) + Σ_k b_k N_k(ω) x_k(ω) ],
    a_k = α_k / (n_g f_k),  b_k = β_k / (n_g f_k):

buy T from the types with the highest b, and run iff that and Σ a_k N_k leave something. So the
bound is a linear program with three columns per type whose cuts come from sorted fills
(Dantzig–Wolfe on the coupling rows). It holds for every mechanism that `fluid_bound` covers and
lies below that bound: D1 is kept in every state instead of on average. What is returned is the
Lagrangian value of the multipliers, so it does not rest on the solver's tolerances.
"""

from __future__ import annotations

from math import inf
from time import perf_counter

import numpy as np

from mechopt.arrays import FloatArray
from mechopt.problem.population import Population
from mechopt.solver import highs
from mechopt.solver.highs import LinearProgram

STATES = 4_000_000  # arrays of states times types are filled at every step
_STEPS = 200
_CLOSED = 1e-9


def interim_bound(
    population: Population,
    *,
    objective: str,
    transfers: bool = True,
    time_limit: float | None = None,
) -> float:
    """The bound on "provider-surplus", "welfare" (money) or "improvement" (probability).

    Needs one threshold, linear costs and enumerable states.
    """
    program = _Master(population, objective, transfers)
    fill = _Fill(population)
    ends = inf if time_limit is None else perf_counter() + time_limit
    best = inf
    for _ in range(_STEPS):
        value, alpha, beta, offset = program.solve()
        column, gain = fill(alpha, beta)
        best = min(best, offset + gain)
        if best - value <= _CLOSED * max(1.0, abs(best)) or perf_counter() > ends:
            break
        program.add(column)
    return max(0.0, best * (1 + 1e-12))


class _Fill:
    """The best state-by-state mechanism for weights of the interim curves."""

    def __init__(self, population: Population) -> None:
        space = population.states
        law = np.concatenate([group.probabilities for group in population.groups])
        self.mass = population.of_type("size") * law  # expected users of each type
        self.counts, self.chance = space.counts, space.probability
        capacity = population.of_type("capacity")
        self.supply = self.counts * capacity
        self.threshold = float(population.thresholds[0])
        self.reach = self.supply.sum(axis=1) >= self.threshold

    def __call__(self, alpha: FloatArray, beta: FloatArray) -> tuple[FloatArray, float]:
        """((Q, X) of the maximiser, shape (2M,), the maximum)."""
        worth = self.counts @ (alpha / self.mass)
        price = beta / self.mass
        bought = np.zeros(self.supply.shape)
        left = np.full(worth.size, self.threshold)
        for k in np.argsort(-price, kind="stable"):
            bought[:, k] = np.minimum(left, self.supply[:, k])
            left = left - bought[:, k]
        worth = worth + bought @ price
        runs = self.reach & (worth > 0)
        weight = np.where(runs, self.chance, 0.0)
        run, burden = (weight @ self.counts) / self.mass, (weight @ bought) / self.mass
        return np.concatenate([run, burden]), float(weight @ worth)


class _Master:
    """L4–L6 on the convex hull of the fills found so far, and its multipliers.

    Columns Q (M), X (M), u (M), then one weight per fill; the rows Q, X = Σ weight · fill couple
    them, and the null outcome is a fill of zeros.
    """

    def __init__(self, population: Population, objective: str, transfers: bool) -> None:
        m = self.types = population.type_costs.size
        of = population.group_of_type
        size = population.of_type("size")
        law = np.concatenate([group.probabilities for group in population.groups])
        cost = np.concatenate([group.costs * group.slopes[0] for group in population.groups])
        share = float(population.shares[0])
        value = population.of_type("value") * share
        capacity = population.of_type("capacity")
        self.mass = size * law
        unit, none = np.eye(m), np.zeros((m, m))
        rows = [np.hstack([-np.diag(value), np.diag(cost), unit])]  # (L4) t ≥ 0
        low, high = [np.zeros(m)], [np.full(m, inf if transfers else 0.0)]
        for g, first in enumerate(population.first_type):  # (L6)
            for k in range(first, first + population.groups[g].types - 1):
                for true, told in ((k, k + 1), (k + 1, k)):
                    step = cost[told] - cost[true]
                    row = np.concatenate([none[0], -step * unit[told], unit[true] - unit[told]])
                    rows.append(row[None])
                    low.append(np.zeros(1))
                    high.append(np.full(1, inf))
        spent = np.concatenate([-self.mass * value, self.mass * cost, self.mass])
        run = np.concatenate([self.mass / self.mass.sum(), np.zeros(2 * m)])  # Σ f Q = P
        if population.expected_budget < inf:
            rows.append(spent[None])
            low.append(np.full(1, -inf))
            high.append(np.full(1, population.expected_budget))
        if population.budget < inf:
            rows.append((spent - population.budget * run)[None])
            low.append(np.full(1, -inf))
            high.append(np.zeros(1))
        self.rows = np.vstack(rows)
        self.low, self.high = np.concatenate(low), np.concatenate(high)
        worth = population.provider_value * share
        if objective == "improvement":
            self.gain = share * run
        elif objective == "welfare":
            enjoyed = sum(group.size * group.value for group in population.groups) * share
            self.gain = (worth + enjoyed) * run
            self.gain[m : 2 * m] -= self.mass * cost
        else:
            self.gain = worth * run - spent
        spread = np.zeros(m)
        for g in range(len(population.groups)):
            mine = of == g
            spread[mine] = float(np.ptp(cost[mine]))
        self.upper = np.concatenate([np.ones(m), capacity, value + spread * capacity])
        self.fills = [np.zeros(2 * m)]

    def add(self, fill: FloatArray) -> None:
        self.fills.append(fill)

    def solve(self) -> tuple[float, FloatArray, FloatArray, float]:
        """(value, α, β, what the multipliers of the other rows and columns add to the bound)."""
        m = self.types
        fills = np.array(self.fills).T  # (2M, F)
        count = fills.shape[1]
        matrix = np.zeros((self.rows.shape[0] + 2 * m + 1, 3 * m + count))
        matrix[: self.rows.shape[0], : 3 * m] = self.rows
        couple = slice(self.rows.shape[0], self.rows.shape[0] + 2 * m)
        matrix[couple, : 2 * m] = np.eye(2 * m)
        matrix[couple, 3 * m :] = -fills
        matrix[-1, 3 * m :] = 1.0
        place = np.nonzero(matrix)
        program = LinearProgram(
            cost=np.concatenate([self.gain, np.zeros(count)]),
            start=np.searchsorted(place[0], np.arange(matrix.shape[0] + 1)).astype(np.int32),
            index=place[1].astype(np.int32),
            value=matrix[place],
            row_lower=np.concatenate([self.low, np.zeros(2 * m), [-inf]]),
            row_upper=np.concatenate([self.high, np.zeros(2 * m), [1.0]]),
            lower=np.zeros(3 * m + count),
            upper=np.concatenate([self.upper, np.ones(count)]),
            maximize=True,
        )
        scale = max(1.0, float(np.abs(self.gain).max()))
        found = highs.solve(program, objective_scale=1.0 / scale)
        if found.row_dual is None or found.objective is None:
            return -inf, np.zeros(m), np.zeros(m), inf
        y = found.row_dual[: self.rows.shape[0]].copy()
        y[(y > 0) & np.isinf(self.high)] = 0.0
        y[(y < 0) & np.isinf(self.low)] = 0.0
        with np.errstate(invalid="ignore"):
            sides = np.where(y > 0, y * self.high, np.where(y < 0, y * self.low, 0.0))
        left = self.gain - y @ self.rows  # what Q, X and u are worth beside the rows
        coupled = found.row_dual[couple]
        # Q, X are worth −(coupled) through the fills, and the rest at their bounds.
        rest = left - np.concatenate([coupled, np.zeros(m)])
        offset = float(sides.sum() + np.maximum(rest, 0.0) @ self.upper)
        return float(found.objective), coupled[:m], coupled[m:], offset

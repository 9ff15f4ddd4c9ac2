"""Full-profile LP of the model D1–D6, without counting and without any code of the package.

Users are individuals, states are profiles of types, payments are variables, every pair of types
has its row, and max{stay, withdraw} is written out. Solved by SciPy.
"""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
from scipy.optimize import linprog


class Users:
    """Per user: costs, law, value, cap, rho, delta."""

    def __init__(self, groups):
        self.all = [
            (
                [float(c) for c in g.costs],
                [float(f) for f in g.probabilities],
                float(g.value),
                float(g.capacity),
                float(g.reversibility),
                float(g.removable),
            )
            for g in groups
            for _ in range(g.size)
        ]


def optimum(
    population,
    objective,
    incentive,
    participation,
    rights,
    transfers,
    target=None,
    fixed=None,
    payment_bounds=None,
):
    """(optimal value, None if infeasible). `fixed`: profile -> 0/1 for brute force over p."""
    users = Users(population.groups).all
    n = len(users)
    T, b = float(population.thresholds[0]), float(population.shares[0])
    profiles = list(product(*(range(len(u[0])) for u in users)))
    where = {profile: number for number, profile in enumerate(profiles)}
    law = [prod(users[i][1][k] for i, k in enumerate(profile)) for profile in profiles]
    S = len(profiles)
    extra = 0

    def p(s):
        return s

    def x(s, i):
        return S + s * n + i

    def t(s, i):
        return S + S * n + s * n + i

    base = S + 2 * S * n
    le, le_rhs, eq, eq_rhs = [], [], [], []

    def utility(s, i, k, factor=1.0):
        """u of user i with type k in state s, as a dict of coefficients."""
        return {
            p(s): factor * users[i][2] * b,
            t(s, i): factor,
            x(s, i): -factor * users[i][0][k],
        }

    def add(*parts):
        total = {}
        for part in parts:
            for column, number in part.items():
                total[column] = total.get(column, 0.0) + number
        return total

    def times(part, factor):
        return {column: factor * number for column, number in part.items()}

    def at_least_zero(part):
        le.append(times(part, -1.0))
        le_rhs.append(0.0)

    for s in range(S):
        eq.append(add({p(s): -T}, {x(s, i): 1.0 for i in range(n)}))
        eq_rhs.append(0.0)
        for i in range(n):
            at_least_zero({p(s): users[i][3], x(s, i): -1.0})
            if transfers:
                most = payment_bounds[i] if payment_bounds is not None else 1e3
                at_least_zero(add({p(s): most}, {t(s, i): -1.0}))
            else:
                eq.append({t(s, i): 1.0})
                eq_rhs.append(0.0)
        if np.isfinite(population.budget):
            at_least_zero(add({p(s): population.budget}, {t(s, i): -1.0 for i in range(n)}))
    if np.isfinite(population.expected_budget):
        le.append({t(s, i): law[s] for s in range(S) for i in range(n)})
        le_rhs.append(population.expected_budget)

    def leave(s, i, k):
        """Payoff of a type k who was given x_i(s) and withdraws."""
        _, _, v, _, rho, delta = users[i]
        keeps = {p(s): v * b} if delta == 0 else {}
        return add(keeps, {x(s, i): -(1 - rho) * users[i][0][k]})

    for i in range(n):
        types = range(len(users[i][0]))
        others = list(product(*(range(len(u[0])) for j, u in enumerate(users) if j != i)))

        def state(o, k, i=i):
            return where[(*o[:i], k, *o[i:])]

        chance = [prod(users[j if j < i else j + 1][1][k] for j, k in enumerate(o)) for o in others]
        for k in types:
            truth = [utility(state(o, k), i, k) for o in others]
            if participation == "ex-post":
                for part in truth:
                    at_least_zero(part)
            else:
                at_least_zero(add(*(times(part, q) for part, q in zip(truth, chance))))
            if rights is not False:
                for o, part in zip(others, truth):
                    at_least_zero(add(part, times(leave(state(o, k), i, k), -1.0)))
            for told in types:
                if told == k:
                    continue
                if incentive == "none":
                    continue
                stay = [utility(state(o, told), i, k) for o in others]
                if rights is True:
                    quits = [leave(state(o, told), i, k) for o in others]
                    if incentive == "dsic":
                        for one, a, w in zip(truth, stay, quits):
                            at_least_zero(add(one, times(a, -1.0)))
                            at_least_zero(add(one, times(w, -1.0)))
                    else:
                        best = []
                        for a, w in zip(stay, quits):
                            column = base + extra
                            extra += 1
                            at_least_zero(add({column: 1.0}, times(a, -1.0)))
                            at_least_zero(add({column: 1.0}, times(w, -1.0)))
                            best.append({column: 1.0})
                        gap = [add(one, times(w, -1.0)) for one, w in zip(truth, best)]
                        at_least_zero(add(*(times(g, q) for g, q in zip(gap, chance))))
                else:
                    gap = [add(one, times(a, -1.0)) for one, a in zip(truth, stay)]
                    if incentive == "dsic":
                        for part in gap:
                            at_least_zero(part)
                    else:
                        at_least_zero(add(*(times(g, q) for g, q in zip(gap, chance))))
    if target is not None:
        le.append({p(s): -law[s] * b for s in range(S)})
        le_rhs.append(-target)
    columns = base + extra
    cost = np.zeros(columns)
    V, values = float(population.provider_value), sum(u[2] for u in users)
    for s, profile in enumerate(profiles):
        if objective == "improvement":
            cost[p(s)] -= law[s] * b
        elif objective == "provider-surplus":
            cost[p(s)] -= law[s] * b * V
            for i in range(n):
                cost[t(s, i)] += law[s]
        elif objective == "expenditure":
            for i in range(n):
                cost[t(s, i)] += law[s]
        else:
            sign = 1.0
            for i in range(n):
                cost[x(s, i)] += sign * law[s] * users[i][0][profile[i]]
            if objective == "welfare":
                cost[p(s)] -= law[s] * b * (V + values)
    bounds = [(0, 1)] * S + [(0, None)] * (2 * S * n) + [(None, None)] * extra
    if fixed is not None:
        for s in range(S):
            bounds[s] = (fixed[s], fixed[s])
    answer = linprog(
        cost,
        A_ub=_dense(le, columns),
        b_ub=le_rhs,
        A_eq=_dense(eq, columns),
        b_eq=eq_rhs,
        bounds=bounds,
        method="highs",
    )
    if answer.status == 2:
        return None
    assert answer.status == 0, answer.message
    minimised = objective in ("expenditure", "social-cost")
    return float(answer.fun) if minimised else -float(answer.fun)


def brute_force_deterministic(population, *arguments, **named):
    """The best over all 2^S run decisions; None if none is feasible."""
    users = Users(population.groups).all
    S = prod(len(u[0]) for u in users)
    found = [
        optimum(population, *arguments, fixed=choice, **named)
        for choice in product((0.0, 1.0), repeat=S)
    ]
    values = [value for value in found if value is not None]
    if not values:
        return None
    return min(values) if arguments[0] in ("expenditure", "social-cost") else max(values)


def _dense(rows, columns):
    from scipy.sparse import csr_array

    data = [(r, column, number) for r, row in enumerate(rows) for column, number in row.items()]
    at, places, numbers = zip(*data)
    return csr_array((numbers, (at, places)), shape=(len(rows), columns))

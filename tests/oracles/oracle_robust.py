"""Brute-force max–min of practice: full profiles, a list of laws, one LP by SciPy.

Shares no code with the package. One threshold, linear costs, DSIC, ex-post participation, removable
data (then D5 and D6 follow).
"""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
from scipy.optimize import linprog


def ball_vertices(costs, law, distance, radius):
    """Vertices of the ball around `law`, by solving every square subsystem of its inequalities."""
    from itertools import combinations

    costs, law = np.asarray(costs, float), np.asarray(law, float)
    m = law.size
    if m == 1:
        return [law]
    rows, rhs = [], []
    if distance == "total-variation":
        for size in range(1, m):
            for some in combinations(range(m), size):
                row = np.zeros(m)
                row[list(some)] = 1.0
                rows.append(row)
                rhs.append(radius + row @ law)
    else:
        gaps = np.diff(costs)
        for signs in product((1, -1), repeat=m - 1):
            row = np.zeros(m)
            for k, (sign, gap) in enumerate(zip(signs, gaps)):
                row[: k + 1] += sign * gap
            rows.append(row)
            rhs.append(radius + row @ law)
    for k in range(m):
        row = np.zeros(m)
        row[k] = -1.0
        rows.append(row)
        rhs.append(0.0)
    rows, rhs = np.array(rows), np.array(rhs)
    found = []
    for some in combinations(range(len(rows)), m - 1):
        system = np.vstack([rows[list(some)], np.ones(m)])
        if abs(np.linalg.det(system)) < 1e-12:
            continue
        point = np.linalg.solve(system, np.append(rhs[list(some)], 1.0))
        if (rows @ point <= rhs + 1e-9).all() and not any(
            np.abs(point - other).max() < 1e-9 for other in found
        ):
            found.append(point)
    return found


def maximin(population, laws, objective, transfers, target=None, payment_bounds=None):
    """max over mechanisms of min over `laws` (lists of one law per group) of the objective.

    Objectives "provider-surplus", "welfare", "improvement" (maximised), "social-cost",
    "expenditure" (minimised at E[B] ≥ target under every law). None if infeasible.
    """
    groups = [(g, group) for g, group in enumerate(population.groups) for _ in range(group.size)]
    n, T, b = len(groups), float(population.thresholds[0]), float(population.shares[0])
    V = population.provider_value
    profiles = list(product(*(range(group.types) for _, group in groups)))
    where = {profile: s for s, profile in enumerate(profiles)}
    S = len(profiles)
    width = S + 2 * S * n + 1
    x = lambda s, i: S + s * n + i  # noqa: E731
    t = lambda s, i: S + S * n + s * n + i  # noqa: E731
    le, rhs, eq = [], [], []

    def row(entries):
        line = np.zeros(width)
        for column, number in entries:
            line[column] += number
        return line

    def utility(s, i, cost):
        return [(s, groups[i][1].value * b), (t(s, i), 1.0), (x(s, i), -cost)]

    for s, profile in enumerate(profiles):
        eq.append(row([(s, -T), *((x(s, i), 1.0) for i in range(n))]))
        if np.isfinite(population.budget):
            le.append(row([(s, -population.budget), *((t(s, i), 1.0) for i in range(n))]))
            rhs.append(0.0)
        for i, (_, group) in enumerate(groups):
            cost = float(group.costs[profile[i]])
            le.append(row([(x(s, i), 1.0), (s, -group.capacity)]))
            if payment_bounds is not None and not np.isfinite(population.budget):
                le.append(row([(t(s, i), 1.0), (s, -float(payment_bounds[i]))]))
                rhs.append(0.0)
            le.append(-row(utility(s, i, cost)))
            rhs += [0.0] * 2
            for told in range(group.types):
                other = where[(*profile[:i], told, *profile[i + 1 :])]
                le.append(row(utility(other, i, cost)) - row(utility(s, i, cost)))
                rhs.append(0.0)
    gain = np.zeros((S, width))
    run = np.zeros((S, width))
    spent = np.zeros((S, width))
    for s, profile in enumerate(profiles):
        run[s, s] = b
        for i, (_, group) in enumerate(groups):
            spent[s, t(s, i)] += 1.0
            if objective in ("welfare", "social-cost"):
                gain[s, x(s, i)] -= float(group.costs[profile[i]])
    enjoyed = sum(group.value for _, group in groups)
    if objective == "provider-surplus":
        gain = V * run - spent
    elif objective == "welfare":
        gain = gain + (V + enjoyed) * run
    elif objective == "improvement":
        gain = run
    elif objective == "expenditure":
        gain = -spent
    for law in laws:
        chance = np.array(
            [prod(law[g][k] for (g, _), k in zip(groups, profile)) for profile in profiles]
        )
        line = -(chance @ gain)
        line[-1] = 1.0
        le.append(line)
        rhs.append(0.0)
        if target is not None:
            le.append(-(chance @ run))
            rhs.append(-target)
        if np.isfinite(population.expected_budget):
            le.append(chance @ spent)
            rhs.append(population.expected_budget)
    bounds = [(0, 1)] * S + [(0, None)] * (S * n) + [(0, None if transfers else 0)] * (S * n)
    cost = np.zeros(width)
    cost[-1] = -1.0
    found = linprog(
        cost,
        A_ub=np.array(le),
        b_ub=rhs,
        A_eq=np.array(eq),
        b_eq=np.zeros(S),
        bounds=[*bounds, (-1e6, 1e6)],
        method="highs",
    )
    if found.status == 2:
        return None
    assert found.status == 0, found.message
    sign = -1.0 if objective in ("social-cost", "expenditure") else 1.0
    return sign * -found.fun

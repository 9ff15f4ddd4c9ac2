"""How much mean access the best mechanisms of F14's example leave undetermined.

    python benchmarks/rights/access.py [n ...]

Its own LP (D1–D5, DSIC, ex-post, no transfers, access in [0, p]; SciPy's HiGHS): the best success
probability, then the least and the most mean access E[Σ a_i] / n among mechanisms that succeed that
often, up to a relative loss. `proved` bounds the least mean access in exact arithmetic, from the
multipliers by weak duality, so that it rests on no solver.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from math import comb
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

COST, SHARE = (Fraction(1, 4), Fraction(1)), (Fraction(3, 5), Fraction(2, 5))
VALUE, CAP, TIGHT = 1, 4, Fraction(4, 5)
LOSSES = (Fraction(0), Fraction(1, 10**7), Fraction(1, 10**5), Fraction(1, 10**3))
Row = dict[int, Fraction]


def rows(n: int) -> tuple[list[Row], list[Row], list[Fraction]]:
    """(rows ≤ 0, rows = 0, success and mean access by column); p, x_l, x_h, a_l, a_h per state."""
    threshold = TIGHT * n * sum(f * min(CAP, VALUE / c) for f, c in zip(SHARE, COST))
    most: list[Row] = []
    equal: list[Row] = []
    for k in range(n + 1):  # users of low cost
        at = 5 * k
        counts = (k, n - k)
        equal.append({at: -threshold, at + 1: Fraction(k), at + 2: Fraction(n - k)})
        for j in (0, 1):
            x, a = at + 1 + j, at + 3 + j
            other = at + (5 if j else -5)
            if not counts[j]:
                continue
            most.append({x: Fraction(1), at: Fraction(-CAP)})
            most.append({a: Fraction(1), at: Fraction(-1)})
            most.append({x: COST[j], a: Fraction(-VALUE)})
            most.append({other + 4 - j: Fraction(VALUE), other + 2 - j: -COST[j],
                         a: Fraction(-VALUE), x: COST[j]})  # fmt: skip
    law = [comb(n, k) * SHARE[0] ** k * SHARE[1] ** (n - k) for k in range(n + 1)]
    return most, equal, law


def matrix(some: list[Row], columns: int) -> Any:
    place = [(r, j, float(v)) for r, row in enumerate(some) for j, v in row.items()]
    r, j, v = zip(*place)
    return sp.csr_matrix((v, (r, j)), shape=(len(some), columns))


def upper_of(n: int) -> list[Fraction]:
    """What a column can be at most: 1, or cap; 0 for a type nobody has."""
    found = []
    for k in range(n + 1):
        low, high = int(k > 0), int(k < n)
        found += [Fraction(1), *(Fraction(CAP * one) for one in (low, high)),
                  Fraction(low), Fraction(high)]  # fmt: skip
    return found


def solve(cost: np.ndarray, below: Any, right: np.ndarray, same: Any, top: list[Fraction]) -> Any:
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    bounds = [(0, float(most)) for most in top]
    return linprog(1e4 * cost, below, right, same, np.zeros(same.shape[0]), bounds, "highs-ds",
                   options=options)  # fmt: skip


def weak_dual(
    n: int, duals: np.ndarray, price: float, success: Fraction, aim: list[Fraction]
) -> Fraction:
    """Least Σ aim · column over mechanisms with at least that success, by any multipliers."""
    most, equal, law = rows(n)
    reduced = list(aim)
    value = Fraction(price) * success
    for k, chance in enumerate(law):
        reduced[5 * k] -= Fraction(price) * chance
    for row, dual in zip([*most, *equal], duals.tolist()):
        free = Fraction(dual)
        for j, entry in row.items():
            reduced[j] -= free * entry
    return value + sum((min(Fraction(0), one * top) for one, top in zip(reduced, upper_of(n))),
                       Fraction(0))  # fmt: skip


def study(n: int) -> dict[str, Any]:
    """Best success; for every loss the least and most mean access, and the least as proved."""
    most, equal, law = rows(n)
    columns, top = 5 * (n + 1), upper_of(n)
    below, same = matrix(most, columns), matrix(equal, columns)
    run = np.zeros(columns)
    run[::5] = [float(chance) for chance in law]
    best = run @ solve(-run, below, np.zeros(below.shape[0]), same, top).x
    aim = [Fraction(0)] * columns
    for k, chance in enumerate(law):
        aim[5 * k + 3], aim[5 * k + 4] = chance * k / n, chance * (n - k) / n
    access = np.array([float(one) for one in aim])
    found: dict[str, Any] = {"n": n, "success": float(best), "access": {}}
    for loss in LOSSES:
        least = Fraction(float(best)) * (1 - loss) - Fraction(1, 10**9)
        rows_, right = sp.vstack([below, -1e4 * run[None]]), np.zeros(below.shape[0] + 1)
        right[-1] = -1e4 * float(least)
        ends = [solve(sign * access, rows_, right, same, top) for sign in (1, -1)]
        low = ends[0]
        own = np.minimum(low.ineqlin.marginals, 0) / 1e4
        duals = np.concatenate([own[:-1], low.eqlin.marginals / 1e4])
        proved = weak_dual(n, duals, float(-own[-1] * 1e4), least, aim)
        found["access"][float(loss)] = (
            float(access @ low.x), float(access @ ends[1].x), float(proved),
        )  # fmt: skip
    return found


if __name__ == "__main__":
    for size in map(int, sys.argv[1:] or ["2", "8", "32", "128"]):
        one = study(size)
        print(f"n = {size}: best success {one['success']:.6f}")
        for loss, (low, high, proved) in one["access"].items():
            print(f"  loss {loss:g}: mean access {low:.4f} … {high:.4f}, at least {proved:.4f}")

"""The best safe plan for a few users, proved: one binary per set of users who may be left.

w_S = 1 if x(S) = Σ_{i∈S} x_i + Σ_{i∉S} (1 − δ_i) x_i reaches T. Then P(X ≥ T) = Σ_S P(S) w_S and
held_i are linear in w, and the problem is a mixed-integer linear program (T = 1 in its units).
Sets that do not reach T stay below it by a relative 10⁻⁶, which is what the optimum is proved to.
"""

from __future__ import annotations

from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import arrays
from mechopt.arrays import FloatArray
from mechopt.known.safety.search import Safe
from mechopt.known.safety.task import Task
from mechopt.solver import highs
from mechopt.solver.linear_program import LinearProgram
from mechopt.status import Status

MOST_USERS = 7
_BELOW = 1e-6
_LIFT = 3e-7  # what HiGHS may leave a row short of T by, and less than a third of _BELOW


def solve(
    task: Task, quantity: str, budget: float, deadline: float
) -> tuple[Safe | None, float, bool]:
    """(best plan or None, lower bound in money, whether the search ended by itself)."""
    ask = task.confidence
    for _ in range(3):
        limit = max(deadline - perf_counter(), 0.1)
        program, columns = _program(task, quantity, budget, ask)
        found = highs.solve(program, time_limit=limit, mip_rel_gap=1e-9)
        if found.status is Status.INFEASIBLE:
            return None, inf, True
        bound = -inf if found.bound is None else found.bound
        if found.x is None:
            return None, bound, False
        burden = np.array([found.x[at].sum() for at in columns]) * task.threshold
        lifted = np.minimum(burden * (1 + _LIFT), task.instance.capacity)
        lifted[burden <= 1e-9 * task.threshold] = 0.0
        crossing = task.crossing(lifted)
        if task.is_safe(crossing):
            payment = task.payments(lifted, task.held_by(crossing))
            paid = payment if quantity == "pay" else task.instance.cost_of(lifted)
            plan = Safe(lifted, payment, arrays.exact_sum(paid), crossing)
            return plan, bound, found.status is Status.OPTIMAL
        ask += 1e-6  # the solver took a probability just short of what is asked
    return None, 0.0, False


def _program(
    task: Task, quantity: str, budget: float, confidence: float
) -> tuple[LinearProgram, list[Any]]:
    """The program, and the columns of x (one array per user)."""
    instance = task.instance
    n, segments = instance.widths.shape
    sets = 2**n
    inside = (np.arange(sets)[:, None] >> np.arange(n)) & 1 == 1  # (sets, n)
    columns = [np.arange(i * segments, (i + 1) * segments) for i in range(n)]
    pay, win = n * segments, n * segments + n
    rows = _Rows(win + sets)
    upper = np.concatenate(
        ((instance.widths / task.threshold).reshape(-1), np.full(n, inf), np.ones(sets))
    )
    share = np.where(inside, 1.0, 1 - instance.removable)
    reach = share @ (instance.capacity / task.threshold)
    for s in range(sets):
        entries = [(int(c), share[s, i]) for i in range(n) for c in columns[i]]
        if reach[s] < 1:
            upper[win + s] = 0.0
        else:
            rows.add([*entries, (win + s, -1.0)], 0.0, inf)
            rows.add([*entries, (win + s, -(reach[s] - 1 + _BELOW))], -inf, 1 - _BELOW)
        for i in range(n):
            if not inside[s, i]:
                rows.add([(win + (s | 1 << i), 1.0), (win + s, -1.0)], 0.0, inf)
    chance = sum(prior * _chances(inside, hazard) for prior, hazard in task.hazards.states)
    rows.add([(win + s, float(chance[s])) for s in range(sets)], confidence, inf)  # type: ignore[index]
    rates = instance.cost[:, None] * instance.slopes * task.threshold
    kept = 1 - task.hazards.mean
    for i in range(n):
        cost = [(int(c), float(rate)) for c, rate in zip(columns[i], rates[i])]
        rows.add([(pay + i, 1.0), *((c, -rate) for c, rate in cost)], -float(task.gain[i]), inf)
        rho = float(task.reversible[i])
        if rho == 0:
            continue
        entries = [(pay + i, 1.0), *((c, -rho * rate) for c, rate in cost)]
        if kept[i] > 0:
            stays = np.flatnonzero(inside[:, i])
            weight = task.gain[i] * np.asarray(chance)[stays] / kept[i]
            entries += list(zip((win + stays).tolist(), weight.tolist()))
            less = (1 - instance.exclusion[i]) * weight
            entries += list(zip((win + (stays ^ 1 << i)).tolist(), (-less).tolist()))
        rows.add(entries, 0.0, inf)
    if budget < inf:
        rows.add([(pay + i, 1.0) for i in range(n)], -inf, budget)
    goal = np.zeros(win + sets)
    if quantity == "pay":
        goal[pay:win] = 1.0
    else:
        goal[:pay] = rates.reshape(-1)
    integer = np.zeros(win + sets, dtype=bool)
    integer[win:] = True
    return rows.program(goal, upper, integer), columns


def _chances(inside: Any, hazard: FloatArray) -> FloatArray:
    """P(exactly S is left), shape (sets,)."""
    return np.asarray(np.where(inside, 1 - hazard, hazard).prod(axis=1))


class _Rows:
    """Rows of a linear program, gathered one by one."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.start, self.index, self.value = [0], list[int](), list[float]()
        self.lower, self.upper = list[float](), list[float]()

    def add(self, entries: Any, lower: float, upper: float) -> None:
        for column, value in entries:
            if value:
                self.index.append(column)
                self.value.append(float(value))
        self.start.append(len(self.index))
        self.lower.append(lower)
        self.upper.append(upper)

    def program(self, cost: FloatArray, upper: FloatArray, integer: Any) -> LinearProgram:
        return LinearProgram(
            cost=cost,
            start=np.array(self.start, dtype=np.int32),
            index=np.array(self.index, dtype=np.int32),
            value=np.array(self.value),
            row_lower=np.array(self.lower),
            row_upper=np.array(self.upper),
            lower=np.zeros(self.columns),
            upper=upper,
            integer=integer,
        )

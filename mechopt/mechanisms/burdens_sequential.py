"""Personalized burdens under sequential withdrawal, several thresholds.

At every level the bound comes from a relaxation and the plan from constructions, each of them
decided by the exact recursion (F3); they are proved optimal where the two meet.

- Bound: participation alone (every user fully pivotal), which (W2) never falls below. With two
  thresholds and no reserve, the exact MILP of `mechopt.formulations.burdens_sequential`: for a
  given or designed order its optimum, for small-first and large-first a slight relaxation.
- Plans: the participation optimum itself; the simultaneous optimum (F1: sustained in every
  order); the MILP's; and *key users*: one user whose burden bridges the gap to a lower threshold
  and who is unwilling at every level below k, moving last. Whoever leaves before him sets him off
  as well, so everyone is pivotal for both (the collapse of F5, with one user instead of all).

Data above T_k only weakens the threats, so X = T_k (proved for K = 2; for K > 2 the bound does
not depend on it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import allocation, arrays, highs, tolerances
from mechopt.allocation import Allocation
from mechopt.arrays import BoolArray, FloatArray, IntArray, exact_sum
from mechopt.formulations import burdens_sequential as formulation
from mechopt.instance import Instance
from mechopt.mechanisms import burdens, burdens_levels, level_curves
from mechopt.mechanisms.burdens_levels import LevelSolution
from mechopt.mechanisms.levels import LevelAnswer
from mechopt.plan import Plan
from mechopt.status import Status
from mechopt.withdrawal import least_extra_payments, sequential_everyone_stays
from mechopt.withdrawal.stage import ORDERS, permutation

_KEYS = 24  # key users tried per level
_MODELLED = 2000  # users up to which the MILP is built
_RECURSION = 40  # users up to which the recursion decides a candidate, K > 2
_REPAIRED = 30  # users up to which unstable plans are repaired by extra payments
_AGREE = 1e-7  # relative: a plan and the MILP's optimum this close are the same (HiGHS: 1e-7)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """Burdens to try (n,), with what leaving is expected to cost each user (n,), money."""

    found_by: str
    burden: FloatArray
    kept: FloatArray
    order: IntArray | None = None


@dataclass(frozen=True, eq=False)
class _Task:
    instance: Instance
    level: int
    quantity: str
    total: float
    order: Any
    budget: float
    deadline: float
    seed: int

    @property
    def gain(self) -> FloatArray:
        """v_i b_k, money, shape (n,)."""
        return self.instance.value * self.instance.share_at(self.level)

    @property
    def designed(self) -> bool:
        return isinstance(self.order, str) and self.order == "designed"


def solve_level(
    instance: Instance,
    level: int,
    quantity: str,
    *,
    order: Any,
    transfers: bool,
    reserve: float,
    deadline: float,
    seed: int,
) -> LevelSolution:
    """The least payments ("pay") or cost ("cost") found at `level`, and a proved bound."""
    if not (isinstance(order, str) and order in (*ORDERS, "designed")):
        order = permutation(order, instance.n)
    alone = burdens_levels.solve_level(
        instance, level, quantity, transfers=transfers, reserve=reserve, deadline=deadline
    )
    if level == 1:  # with one threshold in reach both protocols sustain the same plans (F1)
        return alone
    total = level_curves.required_total(instance, level, reserve)
    refusal = burdens_levels.out_of_reach(instance, level, quantity, total)
    if refusal is not None:
        return LevelSolution(refusal)
    budget = instance.budget if transfers else 0.0
    task = _Task(instance, level, quantity, total, order, budget, deadline, seed)
    unsecured = burdens.unsecured_share(instance, "sequential")
    relaxed = burdens.one_level(
        instance,
        level,
        quantity,
        gain=task.gain,
        unsecured=unsecured,
        transfers=transfers,
        reserve=reserve,
    )
    if relaxed.allocation is None:
        return LevelSolution(relaxed)
    bound = relaxed.allocation.bound if quantity == "cost" or transfers else 0.0
    best = alone if alone.answer.allocation is not None else None
    full = _Candidate("participation optimum", relaxed.allocation.burden, task.gain)
    best = _better_of(best, _decide(task, full))
    if not _closed(best, bound) and instance.levels == 2 and reserve == 0:
        exact, candidates = _by_model(task)
        bound = max(bound, exact)
        if exact == inf:
            return LevelSolution(_none_sustained(level, quantity, task))
        for candidate in candidates:
            best = _better_of(best, _decide(task, candidate))
    if not _closed(best, bound):
        for candidate in _key_users(task):
            best = _better_of(best, _decide(task, candidate))
            if _closed(best, bound) or perf_counter() > deadline:
                break
    return _finish(task, best, bound)


def _closed(best: LevelSolution | None, bound: float) -> bool:
    if best is None or best.answer.allocation is None:
        return False
    value = best.answer.allocation.value
    return value - bound <= tolerances.REACH * max(value, bound)


def _better_of(one: LevelSolution | None, two: LevelSolution | None) -> LevelSolution | None:
    if one is None or two is None:
        return one or two
    assert one.answer.allocation is not None
    assert two.answer.allocation is not None
    return two if two.answer.allocation.value < one.answer.allocation.value else one


def _finish(task: _Task, best: LevelSolution | None, bound: float) -> LevelSolution:
    if best is None:
        reason = (
            f"level {task.level}: no plan was found that is sustained in sequence, and none was "
            "excluded"
        )
        nothing = LevelAnswer(
            task.level, None, None, task.quantity, reason, {"constraint": "sequential"}
        )
        return LevelSolution(nothing, True, bound, found_by="")
    assert best.answer.allocation is not None
    value = best.answer.allocation.value
    spread = exact_sum(task.instance.cost_of(best.answer.allocation.burden))
    if value - bound <= _AGREE * spread and task.instance.levels == 2:
        bound = value
    answer = replace(
        best.answer, allocation=replace(best.answer.allocation, bound=min(bound, value))
    )
    order = best.order
    if task.designed and order is None:  # sustained in every order: the simultaneous optimum
        order = np.argsort(best.answer.allocation.burden, kind="stable")
    return replace(best, answer=answer, order=order if task.designed else None)


def _none_sustained(level: int, quantity: str, task: _Task) -> LevelAnswer:
    reason = (
        f"level {level} is not sustained in this order within the budget {task.budget:g} (A4, A5)"
    )
    return LevelAnswer(
        level, None, None, quantity, reason, {"constraint": "sequential", "level": level}
    )


# -- deciding a candidate ---------------------------------------------------------------------


def _decide(task: _Task, candidate: _Candidate) -> LevelSolution | None:
    """The candidate with the least payments that the recursion accepts; None if there are none."""
    instance = task.instance
    burden = allocation.settle(candidate.burden, instance.capacity, task.total)
    cost = instance.cost_of(burden)
    recovered = instance.reversibility * cost
    need = np.maximum(cost - task.gain, recovered - candidate.kept)
    need = np.maximum(need, np.where(instance.removable == 0, recovered, 0.0))
    need[need <= tolerances.REACH * (cost + task.gain)] = 0.0
    order = _order(task, candidate, burden)
    if not _stays(task, burden, recovered - need, order):
        repaired = _repaired(task, burden, need, order)
        if repaired is None:
            return None
        need = repaired
    if exact_sum(need) > task.budget * (1 + tolerances.REACH):
        return None
    value = exact_sum(need if task.quantity == "pay" else cost)
    final = Allocation(arrays.freeze(burden), value, 0.0, 0.0, 0.0)
    answer = LevelAnswer(task.level, final, arrays.freeze(need), task.quantity)
    return LevelSolution(
        answer, order=order if task.designed else None, found_by=candidate.found_by
    )


def _order(task: _Task, candidate: _Candidate, burden: FloatArray) -> IntArray:
    if candidate.order is not None:
        return candidate.order
    if not isinstance(task.order, str):
        return np.asarray(task.order)
    if task.order == "large-first":
        return np.argsort(-burden, kind="stable")
    if task.order == "cost":
        return np.argsort(task.instance.cost, kind="stable")
    return np.argsort(burden, kind="stable")


def _stays(task: _Task, burden: FloatArray, r: FloatArray, order: IntArray) -> bool:
    """Whether everyone surely stays: by proof where there is one, else by the recursion.

    Where payments are scarce everybody is nearly indifferent, and the recursion then has to tell
    apart exponentially many subsets (it is a subset sum); with K > 2 it is not tried above
    `_RECURSION` users, and the candidate is dropped.
    """
    instance = task.instance
    movers = order[burden[order] > 0]
    value, taken = instance.value, instance.removable * burden
    ahead = np.cumsum(burden[movers]) - burden[movers]  # S_{i−1}
    shares = np.append(0.0, instance.shares)
    tolerance = 0.5 * tolerances.MONEY * (task.gain + np.abs(r))
    reached = instance.thresholds * (1 - tolerances.DATA)
    held = np.searchsorted(reached, ahead, side="right")
    most = value[movers] * (shares[task.level] - shares[np.minimum(held, task.level)])
    if (r[movers] > most + 2 * tolerance[movers]).any():
        return False  # (W2) fails
    if _key_holds(task, movers, taken, r, tolerance):
        return True
    if instance.levels > 2 and movers.size > _RECURSION:
        return False
    return sequential_everyone_stays(
        burden, r, value, instance.removable, instance.thresholds, instance.shares, order
    )


def _key_holds(
    task: _Task, movers: IntArray, taken: FloatArray, r: FloatArray, tolerance: FloatArray
) -> bool:
    """Whether (W1) holds from some key user on, and he makes everyone before him fully pivotal.

    If anybody before the key leaves, the key can reach at most level k − 1 by staying, where he is
    unwilling, and leaving ends training: he leaves, and whoever left first has lost v_i b_k.
    """
    instance, level = task.instance, task.level
    if task.total > instance.thresholds[level - 1]:
        return False
    shares = np.append(0.0, instance.shares)
    rest = task.total - taken
    alone = np.searchsorted(
        instance.thresholds * (1 - 0.75 * level_curves.MARGIN), rest, side="right"
    )
    alone = np.minimum(alone, level)
    kept = instance.value * (shares[level] - shares[alone])
    stable = (r <= kept + tolerance)[movers]
    stable_from = np.flatnonzero(~stable).max(initial=-1) + 1  # (W1) from this position on
    ends = rest < instance.thresholds[0] * (1 - level_curves.MARGIN / 2)
    unwilling = r > instance.value * shares[level - 1] + 4 * tolerance
    keys = np.flatnonzero((ends & unwilling)[movers])
    before = movers[:stable_from]
    pivotal = (r <= task.gain + tolerance) & (
        taken > instance.thresholds[level - 1] * level_curves.MARGIN
    )
    return stable_from == 0 or bool(keys.size and keys[-1] >= stable_from and pivotal[before].all())


def _repaired(
    task: _Task, burden: FloatArray, need: FloatArray, order: IntArray
) -> FloatArray | None:
    """Payments (n,) with the least extra that makes the recursion accept; None if out of reach."""
    instance = task.instance
    if instance.n > _REPAIRED or task.budget == 0:
        return None
    plan = Plan.from_arrays(instance, burden, need, protocol="sequential", order=order)
    restored = least_extra_payments(instance, plan, "sequential", order)
    if restored.extra is None:
        return None
    paid = need + np.asarray(restored.extra, dtype=np.float64)
    recovered = instance.reversibility * instance.cost_of(burden)
    return paid if _stays(task, burden, recovered - paid, order) else None


# -- two thresholds: the exact MILP -----------------------------------------------------------


def _by_model(task: _Task) -> tuple[float, list[_Candidate]]:
    """The MILP's bound (inf: proved infeasible) and the plans it leads to."""
    instance = task.instance
    if instance.n > _MODELLED:
        return 0.0, []
    given = _given_order(task)
    model = formulation.build(
        instance,
        objective="expenditure" if task.quantity == "pay" else "social-cost",
        order=task.order if given is None else given,
        transfers=task.budget > 0,
    )
    left = max(1.0, (task.deadline - perf_counter()) / 2)
    solution = highs.solve_model(model, twice=True, time_limit=left, seed=task.seed)
    if solution.status is Status.INFEASIBLE:
        return inf, []
    bound = max(0.0, solution.bound) if solution.bound is not None else 0.0
    if solution.x is None:
        return bound, []
    collapse = np.array([round(model.collapse[i].value) for i in model.USERS], dtype=bool)
    unwilling = np.array([round(model.unwilling[i].value) for i in model.USERS], dtype=bool)
    burden = np.array([sum(model.give[i, j].value for j in model.SEGMENTS) for i in model.USERS])
    burden = np.clip(burden, 0.0, instance.capacity)
    if given is not None:
        order = given
    elif task.order == "large-first":
        order = np.argsort(-burden, kind="stable")
    elif task.designed:
        late = np.array([i in model.ABLE and round(model.late[i].value) for i in model.USERS])
        order = np.lexsort((burden, late.astype(int) + unwilling))
    else:
        order = np.argsort(burden, kind="stable")
    chosen = order if given is not None or task.designed else None
    kept = _kept(instance, collapse)
    polished = _polish(task, burden, collapse, unwilling, order)
    return bound, [_Candidate("MILP (F10)", found, kept, chosen) for found in (polished, burden)]


def _given_order(task: _Task) -> IntArray | None:
    if not isinstance(task.order, str):
        return np.asarray(task.order)
    return np.argsort(task.instance.cost, kind="stable") if task.order == "cost" else None


def _kept(instance: Instance, collapse: BoolArray) -> FloatArray:
    b1, b2 = instance.shares[:2]
    return instance.value * np.where(collapse, b2, b2 - b1)


def _polish(
    task: _Task,
    burden: FloatArray,
    collapse: BoolArray,
    unwilling: BoolArray,
    order: IntArray,
) -> FloatArray:
    """Burdens exact to rounding: those whose data are threats stay as found, the others are
    chosen again, knowing who collapses what."""
    instance = task.instance
    removable = instance.removable
    low, high = formulation.unwilling_range(instance)
    gap = formulation.gap_between(instance)
    base = np.where(unwilling, np.clip(burden, low, np.maximum(low, high)), 0.0)
    sure = unwilling.copy()
    behind = 0.0  # threats of those who move later
    for user in order[::-1].tolist():
        short = gap - behind
        if collapse[user] and short > 0:  # his own data are needed
            base[user] = max(float(burden[user]), short / float(removable[user]))
            sure[user] = True
        behind += float(removable[user] * base[user]) if unwilling[user] else 0.0
    base = np.minimum(base, instance.capacity)
    kept = _kept(instance, collapse)
    pieces = burdens_levels.pieces_kept_by(instance, task.gain, kept, 0 * base, 0 * base)
    some = ~sure[pieces.user]
    if task.budget == 0:
        some &= pieces.pay == 0
    answer = _choose_rest(task, pieces, some, pieces.length, base, kept)
    return np.clip(burden, 0.0, instance.capacity) if answer is None else answer


def _choose_rest(
    task: _Task,
    pieces: allocation.Pieces,
    some: BoolArray,
    length: FloatArray,
    base: FloatArray,
    kept: FloatArray,
) -> FloatArray | None:
    """`base` (n,) plus the best of `some` pieces up to the total; None if out of reach."""
    instance = task.instance
    some = some & (length > 0)
    rest = allocation.Pieces(pieces.user[some], length[some], pieces.cost[some], pieces.pay[some])
    missing = task.total - exact_sum(base)
    if missing < 0 or not allocation.can_reach(rest, missing):
        return None
    upper = instance.capacity - base
    if task.quantity == "pay" or task.budget in (0, inf):
        first = "cost" if task.budget == 0 else task.quantity
        return base + allocation.cheapest(rest, missing, upper, first=first).burden
    cost = instance.cost_of(base)
    spent = np.maximum(0.0, np.maximum(cost - task.gain, instance.reversibility * cost - kept))
    room = task.budget - exact_sum(spent)
    if room < 0:
        return None
    within = allocation.cheapest_within_budget(rest, missing, upper, room)
    return None if within is None else base + within.burden


# -- key users --------------------------------------------------------------------------------


def _key_users(task: _Task) -> Iterator[_Candidate]:
    """Plans in which one user's leaving after anybody else's costs everyone several levels."""
    instance, level = task.instance, task.level
    shares = np.append(0.0, instance.shares)
    place = _places(task)
    for down in range(level - 1):  # the level left after two have left
        edge = task.total - instance.thresholds[down] * (1 - level_curves.MARGIN)
        low, high = _unwilling(instance, level, down)
        with np.errstate(divide="ignore"):
            low = np.maximum(low, np.where(instance.removable > 0, edge / instance.removable, inf))
        users = np.flatnonzero((low <= high) & (low <= task.total))
        paid = np.maximum(0.0, instance.cost_of(np.where(low < inf, low, 0.0)) - task.gain)
        users = users[np.lexsort((instance.cost_of(np.minimum(low, high))[users], paid[users]))]
        for key in users[:_KEYS].tolist():
            kept = instance.value * (shares[level] - shares[down])
            if place is not None:
                after = place > place[key]
                beneath = instance.value * (shares[level] - shares[level - 1])
                kept = np.where(after, beneath, kept)
            burden = _around(task, key, float(low[key]), float(high[key]), kept)
            if burden is None:
                continue
            order = None
            if task.designed:
                order = np.argsort(np.where(np.arange(instance.n) == key, inf, burden))
            yield _Candidate("key user", burden, kept, order)


def _places(task: _Task) -> IntArray | None:
    given = _given_order(task)
    if given is None:
        return None
    place = np.empty(given.size, dtype=np.int64)
    place[given] = np.arange(given.size)
    return place


def _unwilling(instance: Instance, level: int, down: int) -> tuple[FloatArray, FloatArray]:
    """Burdens [low, high] at which a user leaves any level below `level` if that leaves `down`."""
    shares = np.append(0.0, instance.shares)
    value, recovered = instance.value, instance.reversibility
    top = instance.cost_of(instance.capacity)
    slack = 2 * level_curves.MARGIN * value
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(
            recovered > 0,
            (value * (shares[level - 1] - shares[down]) + slack) / recovered,
            inf,
        )
        most = np.where(
            recovered < 1,
            (value * (shares[level] - shares[level - 1] + shares[down]) - slack) / (1 - recovered),
            top,
        )
    low = instance.affordable(np.minimum(least, top))
    high = instance.affordable(np.clip(most, 0.0, top))
    return np.where(least > top, inf, low), high


def _around(task: _Task, key: int, low: float, high: float, kept: FloatArray) -> FloatArray | None:
    """The best burdens with the key user in [low, high]; None if they do not reach the total."""
    instance = task.instance
    base = np.zeros(instance.n)
    base[key] = low
    pieces = burdens_levels.pieces_kept_by(instance, task.gain, kept, base, 0.0 * base)
    others = pieces.user != key
    beyond = ~others & (np.arange(others.size) > 0)  # the first piece is his base
    length = pieces.length.copy()
    room = high - low
    for piece in np.flatnonzero(beyond).tolist():
        length[piece] = min(length[piece], room)
        room -= length[piece]
    some = others | beyond
    if task.budget == 0:
        some &= pieces.pay == 0
    return _choose_rest(task, pieces, some, length, base, kept)

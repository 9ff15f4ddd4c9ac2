"""Personalized burdens under sequential withdrawal, several thresholds or a reserve.

At every level the bound comes from a relaxation and the plan from constructions, each of them
decided by what a withdrawal sets off (`mechopt.withdrawal.cascades`) or by the exact recursion
(F3); they are proved optimal where the two meet.

- Bound: participation alone (every user fully pivotal), and the MILP of
  `mechopt.formulations.burdens_sequential` that counts every possible threat, stronger than (W2).
  With two thresholds it is exact (F10) for a given or designed order. What it leaves open is
  settled case by case for a handful of users (`mechopt.known.sequential.cases`), and by zones
  (F12) for many.
- Plans: the participation optimum itself; the simultaneous optimum (F1: sustained in every
  order); the MILP's; the same MILP counting only certain threats; and, for many users, *key
  users*: one user whose burden bridges the gap to a lower threshold and who is unwilling at every
  level below k, moving last. Whoever leaves before him sets him off as well, so everyone is
  pivotal for both (the collapse of F5, with one user instead of all).
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import exact_sum
from mechopt.known.burdens import level_curves, simultaneous_level
from mechopt.known.burdens.separable import Stakes, one_level, unsecured_share
from mechopt.known.levels import LevelAnswer, Wanted
from mechopt.known.sequential.cases import by_cases, small_enough
from mechopt.known.sequential.keys import key_users
from mechopt.known.sequential.milp import affordable, modelled_soon, rounds
from mechopt.known.sequential.plans import improved
from mechopt.known.sequential.sampled import sampled_cutoffs
from mechopt.known.sequential.search import ZoneSearch
from mechopt.known.sequential.task import Candidate, SequentialTask
from mechopt.problem.instance import Instance
from mechopt.withdrawal.moves import check_order

_FIRST = {"_by_milp": 0.4, "_by_zones": 0.7}  # of the time left, for what is followed by another
_TRYING = 0.1  # of the time left: making the participation optimum milder …
_QUICK = 0.1  # … and plans around key users
_ELSEWHERE = 0.15  # of the time for a designed order: small-first plans, where the gap stays …
_WIDE = 0.02  # … that wide, of the value
_EXPLAINING = 0.05  # of the time left: what a level that is out of reach would take
_AGREE = 1e-7  # relative: a plan and the MILP's optimum this close are the same (HiGHS: 1e-7)


def solve_level(
    instance: Instance,
    level: int,
    quantity: str,
    wanted: Wanted,
    deadline: float,
) -> LevelAnswer:
    """The least payments ("pay") or cost ("cost") found at `level`, and a proved bound."""
    order = check_order(wanted.order, instance.n, ("designed",))
    transfers, reserve = wanted.transfers, wanted.reserve
    alone = simultaneous_level.solve_level(instance, level, quantity, wanted, deadline)
    if level == 1:  # with one threshold in reach both protocols sustain the same plans (F1)
        return alone
    total = level_curves.required_total(instance, level, reserve)
    budget = instance.budget if transfers else 0.0
    task = SequentialTask(
        instance, level, quantity, reserve, total, order, budget, deadline, wanted.seed
    )
    if one_step_at_most(task):
        found_by = f"{alone.found_by}; any order does (F11)"
        return _with_order(task, replace(alone, found_by=found_by))
    refusal = simultaneous_level.out_of_reach(instance, level, quantity, total)
    if refusal is not None:
        return refusal
    unsecured = np.where(instance.exclusion > 0, 0.0, unsecured_share(instance, "sequential"))
    relaxed = one_level(instance, level, quantity, wanted, Stakes(task.gain, unsecured))
    if relaxed.allocation is None:
        return relaxed
    bound = relaxed.allocation.bound if quantity == "cost" or transfers else 0.0
    best = alone if alone.allocation is not None else None
    full = Candidate(
        "participation optimum",
        relaxed.allocation.burden,
        task.gain,
        np.zeros(instance.n, dtype=bool),
    )
    if not _closed(best, bound):
        now = perf_counter()
        best = improved(task, full, best, now + _TRYING * max(0.0, deadline - now))
    modelled = False  # whether the bound comes from a MILP
    tried = [] if perf_counter() > deadline else _steps(task)
    for step in tried:
        if _closed(best, bound) or perf_counter() > deadline:
            break
        now = perf_counter()
        share = 1.0 if step is tried[-1] else _FIRST[step.__name__]
        part = replace(task, deadline=now + share * (deadline - now))
        best, exact = step(part, best, bound)
        if exact == inf:
            return _none_sustained(level, quantity, task)
        modelled = modelled or (step is not _by_zones and exact > bound)
        bound = max(bound, exact)
    return _finish(task, best, bound, modelled=modelled)


def _steps(task: SequentialTask) -> list[Any]:
    """What is tried in turn: for a handful of users case by case what the MILPs do not settle;
    they are the quickest proof for few users, zones for many. The MILPs do not know exclusion."""
    milp = [_by_milp] if affordable(task) and not task.instance.has_exclusion else []
    if small_enough(task):
        return [*(milp or [_by_zones]), by_cases]
    return [*milp, _by_zones] if modelled_soon(task) else [_by_zones, *milp]


def _by_zones(
    task: SequentialTask, best: LevelAnswer | None, bound: float
) -> tuple[LevelAnswer | None, float]:
    """The zone relaxation's bound and plans (F12); users who are keys to several levels first."""
    until = perf_counter() + _QUICK * max(0.0, task.deadline - perf_counter())
    if not task.instance.has_exclusion:
        for patience in (0.0, until):  # first as they are, then milder
            for candidate in key_users(task):
                best = improved(task, candidate, best, patience)
                if perf_counter() > until:
                    break
    now = perf_counter()
    own = task.deadline - (_ELSEWHERE * max(0.0, task.deadline - now) if task.designed else 0.0)
    search = ZoneSearch(replace(task, deadline=own), best, bound)
    search.cutoffs = sampled_cutoffs(task)
    search.run()
    if not task.designed or search.value - search.bound <= _WIDE * abs(search.value):
        return search.best, search.bound
    ready = ZoneSearch(replace(task, order="small-first"), search.best, search.bound)
    ready.run()  # its plans hold in a designed order, its bound does not
    return (ready.best if ready.value < search.value else search.best), search.bound


def _by_milp(
    task: SequentialTask, best: LevelAnswer | None, bound: float
) -> tuple[LevelAnswer | None, float]:
    """The MILP's bound and plans, for few users."""
    for exact, candidates in rounds(task):
        bound = max(bound, exact)
        for candidate in candidates:
            best = improved(task, candidate, best, task.deadline)
        if _closed(best, bound) or perf_counter() > task.deadline:
            break
    return best, bound


def one_step_at_most(task: SequentialTask) -> bool:
    """Whether a plan is sustained in sequence, in any order, just where (W1) holds (F11).

    It is if s_k ≤ s_{k−1} and nobody's data bridge X − T_{k−1}. The last user with r > v s_k would
    need a follower with r > v s_{k−1} ≥ v s_k, but there is none: without him level k − 1 is
    surely reached (`cascades`). So nobody has r > v s_k; level k is reached after anyone who leaves
    X ≥ T_k (who therefore has r ≤ 0), and everybody else's leaving costs one step exactly.
    """
    instance, level = task.instance, task.level
    shares = np.append(0.0, instance.shares)
    enjoyed = 1 - instance.exclusion
    last = shares[level] - enjoyed * shares[level - 1]
    before = shares[level - 1] - enjoyed * shares[level - 2]
    if (last > before + level_curves.MARGIN * shares[level]).any():
        return False
    most = instance.capacity
    if task.budget < inf:
        most = np.minimum(most, instance.affordable(task.gain + task.budget))
    return bool((instance.removable * most <= total_above(task, level - 1)).all())


def total_above(task: SequentialTask, level: int) -> float:
    """G = X − T_level, data."""
    return task.total - float(task.instance.thresholds[level - 1])


def _closed(best: LevelAnswer | None, bound: float) -> bool:
    if best is None or best.allocation is None:
        return False
    value = best.allocation.value
    return value - bound <= tolerances.REACH * max(value, bound)


def _finish(
    task: SequentialTask, best: LevelAnswer | None, bound: float, *, modelled: bool
) -> LevelAnswer:
    if best is None:
        reason = (
            f"level {task.level}: no plan was found that is sustained in sequence, and none was "
            "excluded"
        )
        short = {"constraint": "sequential"}
        nothing = LevelAnswer(task.level, None, None, task.quantity, reason, short)
        return replace(nothing, least=bound, found_by="")
    assert best.allocation is not None
    value = best.allocation.value
    spread = exact_sum(task.instance.cost_of(best.allocation.burden))
    if modelled and value - bound <= _AGREE * spread:
        bound = value
    allocation = replace(best.allocation, bound=min(bound, value))
    return _with_order(task, replace(best, allocation=allocation))


def _with_order(task: SequentialTask, found: LevelAnswer) -> LevelAnswer:
    """`found`, with an order if the provider is to choose one: small-first if every order does."""
    if not task.designed or found.allocation is None:
        return replace(found, order=None)
    if found.order is not None:
        return found
    return replace(found, order=np.argsort(found.allocation.burden, kind="stable"))


def _none_sustained(level: int, quantity: str, task: SequentialTask) -> LevelAnswer:
    """Why `level` is out of reach: what it takes in payments, if that is soon known."""
    now = perf_counter()
    wanted = Wanted(order=task.order, reserve=task.reserve, seed=task.seed)
    deadline = now + _EXPLAINING * max(0.0, task.deadline - now)
    freely = solve_level(task.instance.replace(budget=None), level, "pay", wanted, deadline)
    paid = freely.allocation
    if paid is not None and paid.bound > task.budget:
        return simultaneous_level.over_budget(
            task.instance, level, quantity, paid.bound, task.budget
        )
    budget = task.budget * task.instance.units.money
    reason = f"level {level} is not sustained in this order within the budget {budget:g} (A4, A5)"
    return LevelAnswer(
        level, None, None, quantity, reason, {"constraint": "sequential", "level": level}
    )

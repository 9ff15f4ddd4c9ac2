"""Bounds and plans from the MILP of `mechopt.formulations.burdens_sequential`, in rounds."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.formulations import burdens_sequential as formulation
from mechopt.formulations.burdens_sequential_steps import Step
from mechopt.known.burdens import level_curves, simultaneous_level
from mechopt.known.sequential.task import (
    Candidate,
    SequentialTask,
    choose_rest,
    given_order,
    needed,
    order_of,
    stage_of,
)
from mechopt.problem.instance import Instance
from mechopt.solver import highs
from mechopt.status import Status
from mechopt.withdrawal import cascades

_BUILDING = 1e-3  # seconds to build the MILP, per user and level that can collapse, at most
_SOON = 24  # users times levels that can collapse, up to which the MILPs come first
_MODELLED = 300  # users times levels that can collapse, up to which the MILPs are built


def modelled_soon(task: SequentialTask) -> bool:
    """Whether the MILPs are so small that they are the quickest proof."""
    return len(task.steps("possible")) * task.instance.n <= _SOON


def affordable(task: SequentialTask) -> bool:
    """Whether the MILPs are small enough to be built at all."""
    return len(task.steps("possible")) * task.instance.n <= _MODELLED


def rounds(task: SequentialTask) -> Iterator[tuple[float, list[Candidate]]]:
    """Bounds (inf: proved infeasible) and plans from the MILPs, better and better ones.

    First every possible threat counts; where a plan relies on followers who would stay, the model
    is told to name the followers, and solved again. Then only certain threats count.
    """
    size = len(task.steps("possible")) * task.instance.n

    def time_left() -> bool:
        return affordable(task) and perf_counter() + 2 * _BUILDING * size < task.deadline

    followed: list[tuple[int, int]] = []
    while time_left():
        bound, candidates = _milp_plans(task, "possible", followed)
        yield bound, candidates
        found = [pair for plan in candidates[:1] for pair in _illusions(task, plan)]
        fresh = [pair for pair in found if pair not in followed]
        if not fresh or len(followed) * task.instance.n > _MODELLED:
            break
        followed += fresh
    if time_left() and any(step.level > 1 for step in task.steps("certain")):
        yield 0.0, _milp_plans(task, "certain", [])[1]


def _illusions(task: SequentialTask, candidate: Candidate) -> list[tuple[int, int]]:
    """(m, i) for users i who would leave, as level m then is surely reached."""
    instance, level = task.instance, task.level
    burden = candidate.burden
    cost, need = needed(task, candidate, burden)
    r = instance.reversibility * cost - need
    order = order_of(task, candidate, burden)
    movers = order[burden[order] > 0]
    stage = stage_of(task, burden, r)
    least = np.minimum(cascades.least_levels_after(stage, movers), level)
    lost = stage.v[movers] * (stage.shares[level] - stage.shares[least])
    leaves = lost - r[movers] < -stage.money_tolerance[movers]
    highest = max((step.level for step in task.steps("possible")), default=0)
    return [
        (int(least[place]), int(movers[place]))
        for place in np.flatnonzero(leaves).tolist()
        if 1 <= least[place] <= highest
    ]


def _milp_plans(
    task: SequentialTask, threats: str, followed: list[tuple[int, int]]
) -> tuple[float, list[Candidate]]:
    """The MILP's bound (inf: proved infeasible) and the plans it leads to."""
    instance = task.instance
    given = given_order(task)
    model = formulation.build(
        task.below,
        objective="expenditure" if task.quantity == "pay" else "social-cost",
        order=task.order if given is None else given,
        transfers=task.budget > 0,
        reserve=task.reserve,
        threats=threats,
        followed=followed,
    )
    left = max(0.1, 0.8 * (task.deadline - perf_counter()))
    bounding = threats == "possible"
    solution = highs.solve_model(model, twice=bounding, time_limit=left, seed=task.seed)
    if solution.status is Status.INFEASIBLE:
        return inf, []
    bound = max(0.0, solution.bound) if solution.bound is not None else 0.0
    if solution.x is None:
        return bound, []
    steps = task.steps(threats)
    collapse = np.zeros((len(steps), instance.n), dtype=bool)
    unwilling, late = np.zeros_like(collapse), np.zeros_like(collapse)
    for row, step in enumerate(steps):
        for user in range(instance.n):
            place = step.level, user
            collapse[row, user] = _chosen(model.collapse[place])
            if place in model.ABLE:
                unwilling[row, user] = _chosen(model.unwilling[place])
                late[row, user] = given is None and _chosen(model.late[place])
    burden = _burden(instance, model)
    if given is not None:
        order = given
    elif task.order == "large-first":
        order = np.argsort(-burden, kind="stable")
    elif task.designed:
        order = np.lexsort((burden, (late.astype(int) + unwilling).sum(axis=0)))
    else:
        order = np.argsort(burden, kind="stable")
    kept = _kept(task, steps, collapse)
    plans = [burden]
    if followed:
        plans.insert(0, _away_from_edges(task, model))
    else:
        plans.insert(0, _polish(task, steps, burden, collapse, unwilling, order))
    chosen = order if given is not None or task.designed else None
    name = f"MILP, {threats} threats" if len(steps) > 1 or task.reserve > 0 else "MILP (F10)"
    counted = unwilling.max(axis=0)
    return bound, [Candidate(name, found, kept, counted, chosen) for found in plans]


def _chosen(binary: Any) -> bool:
    """The solver's choice; False where no row mentions the variable and it was given none."""
    return bool(round(binary.value or 0.0))


def _burden(instance: Instance, model: Any) -> FloatArray:
    """The burdens of a solved model (n,), within capacity."""
    burden = np.array([sum(model.give[i, j].value for j in model.SEGMENTS) for i in model.USERS])
    return np.clip(burden, 0.0, instance.capacity)


def _away_from_edges(task: SequentialTask, model: Any) -> FloatArray:
    """The model's plan with the same decisions, but thresholds left by followers met for sure."""
    before = _burden(task.instance, model)
    model.leeway.value = -level_curves.MARGIN
    for variable in (model.collapse, model.unwilling, model.follows, *_of_order(model)):
        for index in variable:
            variable[index].fix(round(variable[index].value))
    solution = highs.solve_model(model, time_limit=5.0, seed=task.seed)
    return before if solution.x is None else _burden(task.instance, model)


def _of_order(model: Any) -> list[Any]:
    return [model.late, model.before] if hasattr(model, "late") else []


def _kept(task: SequentialTask, steps: list[Step], collapse: BoolArray) -> FloatArray:
    """What leaving is counted on to cost each user, money, shape (n,); collapse is (steps, n)."""
    shares = np.append(0.0, task.below.shares)
    sure = 0.0 if task.reserve > 0 else float(shares[-1] - shares[-2])
    gains = np.array([step.gain for step in steps])
    return task.instance.value * (sure + gains @ collapse)


def _polish(
    task: SequentialTask,
    steps: list[Step],
    burden: FloatArray,
    collapse: BoolArray,
    unwilling: BoolArray,
    order: IntArray,
) -> FloatArray:
    """Burdens exact to rounding: those whose data are threats stay as found, the others are
    chosen again, knowing who collapses what."""
    instance = task.instance
    removable = instance.removable
    base = np.zeros(instance.n)
    for step, unwilling_here in zip(steps, unwilling):
        meant = np.clip(burden, step.low, np.maximum(step.low, step.high))
        base = np.where(unwilling_here, np.maximum(base, meant), base)
    sure: BoolArray = unwilling.max(axis=0)
    behind = np.zeros(len(steps))  # threats of those who move later
    for user in order[::-1].tolist():
        for row, step in enumerate(steps):
            short = step.gap - behind[row]
            if collapse[row, user] and short > 0 and removable[user] > 0:  # his own are needed
                base[user] = max(base[user], float(burden[user]), short / float(removable[user]))
                sure[user] = True
        behind += removable[user] * base[user] * unwilling[:, user]
    base = np.minimum(base, instance.capacity)
    kept = _kept(task, steps, collapse)
    pieces = simultaneous_level.pieces_kept_by(instance, task.gain, kept, 0 * base, 0 * base)
    some = ~sure[pieces.user]
    if task.budget == 0:
        some &= pieces.pay == 0
    answer = choose_rest(task, pieces, some, pieces.length, base, kept)
    return np.clip(burden, 0.0, instance.capacity) if answer is None else answer

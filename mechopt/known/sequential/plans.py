"""Deciding candidates for a plan that is sustained in sequence, and making them milder.

A candidate is accepted only if what a withdrawal sets off (`mechopt.withdrawal.cascades`), or the
exact recursion (F3), shows that everyone stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from time import perf_counter

import numpy as np

from mechopt import arrays, tolerances
from mechopt.answer.plan import Plan
from mechopt.arrays import FloatArray, IntArray, exact_sum
from mechopt.errors import TooLarge
from mechopt.known.allocation import Allocation
from mechopt.known.burdens import simultaneous_level
from mechopt.known.levels import LevelAnswer
from mechopt.known.sequential.task import (
    Candidate,
    SequentialTask,
    choose_rest,
    needed,
    order_of,
    stage_of,
)
from mechopt.withdrawal import cascades
from mechopt.withdrawal.repairs.payments import least_extra_payments
from mechopt.withdrawal.sequential import final_levels, follow
from mechopt.withdrawal.stage import Stage

_PIECES = 3_000_000  # of the recursion for one candidate; beyond, it is dropped …
_PER_SECOND, _PER_USER = 500_000, 3e-5  # … as it is if there is no time for so many
_ROUNDS = 10  # of the recursion, to make a plan milder: less time than for these is not worth it
_REPAIRED = 30  # users up to which unstable plans are repaired by extra payments


def improved(
    task: SequentialTask, candidate: Candidate, best: LevelAnswer | None, until: float
) -> LevelAnswer | None:
    """The best of `best`, the candidate, and what is left of it when those who leave give less."""
    found = _decide(task, candidate, best)
    left = until - perf_counter()
    if found is not best or left < _ROUNDS * _PER_USER * task.instance.n:
        return found
    for everyone in (True, False):
        for milder in _milder(task, candidate, everyone=everyone):
            found = _decide(task, milder, best)
            if found is not best:
                return found
            if perf_counter() > until:
                return best
    return best


def settled(task: SequentialTask, burden: FloatArray) -> FloatArray:
    """`burden` (n,) with its sum moved to the total exactly, unless it is meant to be above it."""
    given = exact_sum(burden)
    amount = given if given > task.total * (1 + tolerances.SOLVER) else task.total
    return arrays.settle(burden, task.instance.capacity, amount)


def _decide(
    task: SequentialTask, candidate: Candidate, best: LevelAnswer | None
) -> LevelAnswer | None:
    """The candidate, with the least payments that sustain it, if it is better than `best`."""
    instance = task.instance
    burden = settled(task, candidate.burden)
    cost, need = needed(task, candidate, burden)
    recovered = instance.reversibility * cost
    limit = inf if best is None or best.allocation is None else best.allocation.value

    def worse(need: FloatArray) -> bool:
        over = exact_sum(need) > task.budget * (1 + tolerances.REACH)
        return over or exact_sum(need if task.quantity == "pay" else cost) >= limit

    if worse(need):
        return best
    order = order_of(task, candidate, burden)
    if not _stays(task, burden, recovered - need, order):
        repaired = _repaired(task, burden, need, order)
        if repaired is None or worse(repaired):
            return best
        need = repaired
    value = exact_sum(need if task.quantity == "pay" else cost)
    final = Allocation(arrays.freeze(burden), value, 0.0, 0.0, 0.0)
    answer = LevelAnswer(task.level, final, arrays.freeze(need), task.quantity)
    chosen = order if task.designed else None
    return replace(answer, order=chosen, found_by=candidate.found_by)


def _milder(task: SequentialTask, candidate: Candidate, *, everyone: bool) -> Iterator[Candidate]:
    """Plans from the candidate's: those who leave, or only the last of them, are asked for less.

    What keeps them becomes what leaving truly costs them, all burdens but the threats' are chosen
    again, and so on until everyone stays, or nothing is left to choose.
    """
    instance, level = task.instance, task.level
    while True:
        burden = settled(task, candidate.burden)
        cost, need = needed(task, candidate, burden)
        order = order_of(task, candidate, burden)
        movers = order[burden[order] > 0]
        stage = stage_of(task, burden, instance.reversibility * cost - need)
        after = np.minimum(_levels_after(stage, movers, _affordable(task)), level)
        lost = stage.v[movers] * stage.shares[level] - stage.leaving_pays(movers, after)
        leaves = np.flatnonzero(lost - stage.r[movers] < -stage.money_tolerance[movers])
        if not leaves.size:
            return
        leaves = leaves if everyone else leaves[-1:]
        kept, threats = candidate.kept.copy(), candidate.threats.copy()
        kept[movers[leaves]] = lost[leaves]
        threats[movers[leaves]] = False
        base = np.where(threats, burden, 0.0)
        pieces = simultaneous_level.pieces_kept_by(instance, task.gain, kept, 0 * base, 0 * base)
        some = ~threats[pieces.user]
        if task.budget == 0:
            some &= pieces.pay == 0
        chosen = choose_rest(task, pieces, some, pieces.length, base, kept)
        if chosen is None:
            return
        candidate = replace(candidate, burden=chosen, kept=kept, threats=threats)
        yield candidate


def _affordable(task: SequentialTask) -> int:
    """Pieces of the recursion for which there is time."""
    left = task.deadline - perf_counter() - _PER_USER * task.instance.n
    return min(_PIECES, int(_PER_SECOND * max(0.0, left)))


def _levels_after(stage: Stage, movers: IntArray, most: int) -> IntArray:
    """The level finally reached if this mover is the first to leave, (m,); undecided: no less."""
    try:
        final = final_levels(stage, movers, most=most)
    except TooLarge:
        return cascades.levels_after(stage, movers)[1]
    left = np.cumsum(stage.x[movers]) - stage.removed[movers]
    return np.array([final.at(place + 1, total) for place, total in enumerate(left.tolist())])


def _stays(task: SequentialTask, burden: FloatArray, r: FloatArray, order: IntArray) -> bool:
    """Whether everyone surely stays: by the bounds on cascades, else by the recursion.

    Where payments are scarce everybody is nearly indifferent, and the recursion may have to tell
    apart exponentially many subsets (it is a subset sum); then the candidate is dropped.
    """
    stage = stage_of(task, burden, r)
    movers = order[burden[order] > 0]
    decided = cascades.everyone_stays(stage, movers)
    if decided is not None:
        return decided
    try:
        final = final_levels(stage, movers, most=_affordable(task))
        return bool(follow(stage, movers, final).stay.all())
    except TooLarge:
        return False


def _repaired(
    task: SequentialTask, burden: FloatArray, need: FloatArray, order: IntArray
) -> FloatArray | None:
    """Payments (n,) with the least extra that makes the recursion accept; None if out of reach."""
    instance = task.instance
    if instance.n > _REPAIRED or task.budget == 0:
        return None
    plan = Plan.from_arrays(instance, burden, need, protocol="sequential", order=order)
    left = max(0.0, task.deadline - perf_counter())
    restored = least_extra_payments(instance, plan, "sequential", order, time_limit=left)
    if restored.extra is None:
        return None
    paid = need + np.asarray(restored.extra, dtype=np.float64)
    recovered = instance.reversibility * instance.cost_of(burden)
    return paid if _stays(task, burden, recovered - paid, order) else None

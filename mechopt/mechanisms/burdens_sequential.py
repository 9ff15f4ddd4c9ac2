"""Personalized burdens under sequential withdrawal, several thresholds or a reserve.

At every level the bound comes from a relaxation and the plan from constructions, each of them
decided by what a withdrawal sets off (`mechopt.withdrawal.cascades`) or by the exact recursion
(F3); they are proved optimal where the two meet.

- Bound: participation alone (every user fully pivotal), and the MILP of
  `mechopt.formulations.burdens_sequential` that counts every possible threat, stronger than (W2).
  With two thresholds it is exact (F10) for a given or designed order.
- Plans: the participation optimum itself; the simultaneous optimum (F1: sustained in every
  order); the MILP's; the same MILP counting only certain threats; and, for many users, *key
  users*: one user whose burden bridges the gap to a lower threshold and who is unwilling at every
  level below k, moving last. Whoever leaves before him sets him off as well, so everyone is
  pivotal for both (the collapse of F5, with one user instead of all).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import allocation, arrays, highs, tolerances
from mechopt.allocation import Allocation
from mechopt.arrays import BoolArray, FloatArray, IntArray, exact_sum
from mechopt.errors import TooLarge
from mechopt.formulations import burdens_sequential as formulation
from mechopt.formulations.burdens_sequential import Step
from mechopt.instance import Instance
from mechopt.mechanisms import burdens, burdens_levels, level_curves
from mechopt.mechanisms.burdens_levels import LevelSolution
from mechopt.mechanisms.levels import LevelAnswer
from mechopt.plan import Plan
from mechopt.status import Status
from mechopt.withdrawal import cascades, least_extra_payments
from mechopt.withdrawal.sequential import final_levels, follow
from mechopt.withdrawal.stage import ORDERS, Stage, permutation

_QUICK = 0.25  # of the time left: constructions before the MILPs
_BUILDING = 1e-3  # seconds to build the MILP, per user and level that can collapse, at most
_KEYS = 24  # key users tried per level
_MODELLED = 2000  # users times levels that can collapse, up to which the MILPs are built
_PIECES = 3_000_000  # of the recursion for one candidate; beyond, it is dropped
_REPAIRED = 30  # users up to which unstable plans are repaired by extra payments
_AGREE = 1e-7  # relative: a plan and the MILP's optimum this close are the same (HiGHS: 1e-7)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """Burdens to try (n,), with what leaving is expected to cost each user (n,), money.

    threats : users (n,) whose burdens others count on
    """

    found_by: str
    burden: FloatArray
    kept: FloatArray
    threats: BoolArray
    order: IntArray | None = None


@dataclass(frozen=True, eq=False)
class _Task:
    instance: Instance
    level: int
    quantity: str
    reserve: float
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

    @cached_property
    def below(self) -> Instance:
        """The instance without the thresholds above `level`."""
        kept = slice(self.level)
        thresholds, shares = self.instance.thresholds[kept], self.instance.shares[kept]
        return self.instance.replace(thresholds=thresholds, shares=shares)

    def steps(self, threats: str) -> list[Step]:
        """The levels that a withdrawal can collapse."""
        return formulation.steps(self.below, reserve=self.reserve, threats=threats)


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
    task = _Task(instance, level, quantity, reserve, total, order, budget, deadline, seed)
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
    full = _Candidate(
        "participation optimum",
        relaxed.allocation.burden,
        task.gain,
        np.zeros(instance.n, dtype=bool),
    )
    modelled = False  # whether the bound comes from a MILP
    for until, exact, candidates in () if _closed(best, bound) else _proposals(task, full):
        if exact == inf:
            return LevelSolution(_none_sustained(level, quantity, task))
        modelled, bound = modelled or exact > bound, max(bound, exact)
        for candidate in candidates:
            best = _improved(task, candidate, best, until)
        if _closed(best, bound) or perf_counter() > deadline:
            break
    return _finish(task, best, bound, modelled=modelled)


def _proposals(task: _Task, full: _Candidate) -> Iterator[tuple[float, float, list[_Candidate]]]:
    """(until when to work on them, a bound, candidates): quick constructions, then the MILPs.

    A bound of inf says that no plan is sustained.
    """
    now = perf_counter()
    until = now + _QUICK * max(0.0, task.deadline - now)
    yield until, 0.0, [full]
    for candidate in _key_users(task):
        yield until, 0.0, [candidate]
        if perf_counter() > until:
            break
    for bound, candidates in _rounds(task):
        yield task.deadline, bound, candidates


def _closed(best: LevelSolution | None, bound: float) -> bool:
    if best is None or best.answer.allocation is None:
        return False
    value = best.answer.allocation.value
    return value - bound <= tolerances.REACH * max(value, bound)


def _finish(
    task: _Task, best: LevelSolution | None, bound: float, *, modelled: bool
) -> LevelSolution:
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
    if modelled and value - bound <= _AGREE * spread:
        bound = value
    answer = replace(
        best.answer, allocation=replace(best.answer.allocation, bound=min(bound, value))
    )
    order = best.order
    if task.designed and order is None:  # sustained in every order: the simultaneous optimum
        order = np.argsort(best.answer.allocation.burden, kind="stable")
    return replace(best, answer=answer, order=order if task.designed else None)


def _none_sustained(level: int, quantity: str, task: _Task) -> LevelAnswer:
    """Why `level` is out of reach: what it takes in payments, if that is known in time."""
    freely = solve_level(
        task.instance.replace(budget=None),
        level,
        "pay",
        order=task.order,
        transfers=True,
        reserve=task.reserve,
        deadline=task.deadline,
        seed=task.seed,
    )
    paid = freely.answer.allocation
    if paid is not None and paid.bound > task.budget:
        return burdens_levels.over_budget(task.instance, level, quantity, paid.bound, task.budget)
    reason = (
        f"level {level} is not sustained in this order within the budget {task.budget:g} (A4, A5)"
    )
    return LevelAnswer(
        level, None, None, quantity, reason, {"constraint": "sequential", "level": level}
    )


# -- deciding a candidate ---------------------------------------------------------------------


def _decide(task: _Task, candidate: _Candidate, best: LevelSolution | None) -> LevelSolution | None:
    """The candidate, with the least payments that sustain it, if it is better than `best`."""
    instance = task.instance
    burden = allocation.settle(candidate.burden, instance.capacity, task.total)
    cost, need = _needed(task, candidate, burden)
    recovered = instance.reversibility * cost
    limit = inf if best is None or best.answer.allocation is None else best.answer.allocation.value

    def worse(need: FloatArray) -> bool:
        over = exact_sum(need) > task.budget * (1 + tolerances.REACH)
        return over or exact_sum(need if task.quantity == "pay" else cost) >= limit

    if worse(need):
        return best
    order = _order(task, candidate, burden)
    if not _stays(task, burden, recovered - need, order):
        repaired = _repaired(task, burden, need, order)
        if repaired is None or worse(repaired):
            return best
        need = repaired
    value = exact_sum(need if task.quantity == "pay" else cost)
    final = Allocation(arrays.freeze(burden), value, 0.0, 0.0, 0.0)
    answer = LevelAnswer(task.level, final, arrays.freeze(need), task.quantity)
    return LevelSolution(
        answer, order=order if task.designed else None, found_by=candidate.found_by
    )


def _improved(
    task: _Task, candidate: _Candidate, best: LevelSolution | None, until: float
) -> LevelSolution | None:
    """The best of `best`, the candidate, and what is left of it when those who leave give less."""
    found = _decide(task, candidate, best)
    if found is not best:
        return found
    for everyone in (True, False):
        for milder in _milder(task, candidate, everyone=everyone):
            found = _decide(task, milder, best)
            if found is not best:
                return found
            if perf_counter() > until:
                return best
    return best


def _milder(task: _Task, candidate: _Candidate, *, everyone: bool) -> Iterator[_Candidate]:
    """Plans from the candidate's: those who leave, or only the last of them, are asked for less.

    What keeps them becomes what leaving truly costs them, all burdens but the threats' are chosen
    again, and so on until everyone stays, or nothing is left to choose.
    """
    instance, level = task.instance, task.level
    while True:
        burden = allocation.settle(candidate.burden, instance.capacity, task.total)
        cost, need = _needed(task, candidate, burden)
        order = _order(task, candidate, burden)
        movers = order[burden[order] > 0]
        stage = _stage(task, burden, instance.reversibility * cost - need)
        after = np.minimum(_levels_after(stage, movers), level)
        lost = stage.v[movers] * (stage.shares[level] - stage.shares[after])
        leaves = np.flatnonzero(lost - stage.r[movers] < -stage.money_tolerance[movers])
        if not leaves.size:
            return
        leaves = leaves if everyone else leaves[-1:]
        kept, threats = candidate.kept.copy(), candidate.threats.copy()
        kept[movers[leaves]] = lost[leaves]
        threats[movers[leaves]] = False
        base = np.where(threats, burden, 0.0)
        pieces = burdens_levels.pieces_kept_by(instance, task.gain, kept, 0 * base, 0 * base)
        some = ~threats[pieces.user]
        if task.budget == 0:
            some &= pieces.pay == 0
        chosen = _choose_rest(task, pieces, some, pieces.length, base, kept)
        if chosen is None:
            return
        candidate = replace(candidate, burden=chosen, kept=kept, threats=threats)
        yield candidate


def _levels_after(stage: Stage, movers: IntArray) -> IntArray:
    """The level finally reached if this mover is the first to leave, (m,); undecided: no less."""
    try:
        final = final_levels(stage, movers, most=_PIECES)
    except TooLarge:
        return cascades.levels_after(stage, movers)[1]
    left = np.cumsum(stage.x[movers]) - stage.removed[movers]
    return np.array([final.at(place + 1, total) for place, total in enumerate(left.tolist())])


def _needed(
    task: _Task, candidate: _Candidate, burden: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """What `burden` (n,) costs and the least payments for it, leaving costing what is kept."""
    instance = task.instance
    cost = instance.cost_of(burden)
    recovered = instance.reversibility * cost
    need = np.maximum(cost - task.gain, recovered - candidate.kept)
    need = np.maximum(need, np.where(instance.removable == 0, recovered, 0.0))
    need[need <= tolerances.REACH * (cost + task.gain)] = 0.0
    return cost, need


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
    """Whether everyone surely stays: by the bounds on cascades, else by the recursion.

    Where payments are scarce everybody is nearly indifferent, and the recursion may have to tell
    apart exponentially many subsets (it is a subset sum); then the candidate is dropped.
    """
    stage = _stage(task, burden, r)
    movers = order[burden[order] > 0]
    decided = cascades.everyone_stays(stage, movers)
    if decided is not None:
        return decided
    try:
        return bool(follow(stage, movers, final_levels(stage, movers, most=_PIECES)).stay.all())
    except TooLarge:
        return False


def _stage(task: _Task, burden: FloatArray, r: FloatArray) -> Stage:
    instance = task.instance
    return Stage.from_arrays(
        burden, r, instance.value, instance.removable, instance.thresholds, instance.shares
    )


def _repaired(
    task: _Task, burden: FloatArray, need: FloatArray, order: IntArray
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


# -- the MILP -----------------------------------------------------------------------------------


def _rounds(task: _Task) -> Iterator[tuple[float, list[_Candidate]]]:
    """Bounds (inf: proved infeasible) and plans from the MILPs, better and better ones.

    First every possible threat counts; where a plan relies on followers who would stay, the model
    is told to name the followers, and solved again. Then only certain threats count.
    """
    size = len(task.steps("possible")) * task.instance.n

    def affordable() -> bool:
        return size <= _MODELLED and perf_counter() + 2 * _BUILDING * size < task.deadline

    followed: list[tuple[int, int]] = []
    while affordable():
        bound, candidates = _by_model(task, "possible", followed)
        yield bound, candidates
        found = [pair for plan in candidates[:1] for pair in _illusions(task, plan)]
        fresh = [pair for pair in found if pair not in followed]
        if not fresh or len(followed) * task.instance.n > _MODELLED:
            break
        followed += fresh
    if affordable() and any(step.level > 1 for step in task.steps("certain")):
        yield 0.0, _by_model(task, "certain", [])[1]


def _illusions(task: _Task, candidate: _Candidate) -> list[tuple[int, int]]:
    """(m, i) for users i who would leave, as level m then is surely reached."""
    instance, level = task.instance, task.level
    burden = candidate.burden
    cost, need = _needed(task, candidate, burden)
    r = instance.reversibility * cost - need
    order = _order(task, candidate, burden)
    movers = order[burden[order] > 0]
    stage = _stage(task, burden, r)
    least = np.minimum(cascades.least_levels_after(stage, movers), level)
    lost = stage.v[movers] * (stage.shares[level] - stage.shares[least])
    leaves = lost - r[movers] < -stage.money_tolerance[movers]
    highest = max((step.level for step in task.steps("possible")), default=0)
    return [
        (int(least[place]), int(movers[place]))
        for place in np.flatnonzero(leaves).tolist()
        if 1 <= least[place] <= highest
    ]


def _chosen(binary: Any) -> bool:
    """The solver's choice; False where no row mentions the variable and it was given none."""
    return bool(round(binary.value or 0.0))


def _by_model(
    task: _Task, threats: str, followed: list[tuple[int, int]]
) -> tuple[float, list[_Candidate]]:
    """The MILP's bound (inf: proved infeasible) and the plans it leads to."""
    instance = task.instance
    given = _given_order(task)
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
    return bound, [_Candidate(name, found, kept, counted, chosen) for found in plans]


def _burden(instance: Instance, model: Any) -> FloatArray:
    """The burdens of a solved model (n,), within capacity."""
    burden = np.array([sum(model.give[i, j].value for j in model.SEGMENTS) for i in model.USERS])
    return np.clip(burden, 0.0, instance.capacity)


def _away_from_edges(task: _Task, model: Any) -> FloatArray:
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


def _given_order(task: _Task) -> IntArray | None:
    if not isinstance(task.order, str):
        return np.asarray(task.order)
    return np.argsort(task.instance.cost, kind="stable") if task.order == "cost" else None


def _kept(task: _Task, steps: list[Step], collapse: BoolArray) -> FloatArray:
    """What leaving is counted on to cost each user, money, shape (n,); collapse is (steps, n)."""
    shares = np.append(0.0, task.below.shares)
    sure = 0.0 if task.reserve > 0 else float(shares[-1] - shares[-2])
    gains = np.array([step.gain for step in steps])
    return task.instance.value * (sure + gains @ collapse)


def _polish(
    task: _Task,
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
            yield _Candidate("key user", burden, kept, np.arange(instance.n) == key, order)


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

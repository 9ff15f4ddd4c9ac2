"""Multiple-choice knapsack with convex pieces: reach a total exactly, at least cost or payment.

min Σ f_i(x_i) s.t. Σ x_i = P (and Σ need_i ≤ budget), f_i piecewise linear with gaps and jumps
(`LevelCurves`). The LP relaxation (`knapsack_relaxation`) leaves at most one user, two with a
budget, between points that the curve does not connect. Choosing a connected piece for that user,
the pieces of all users are taken by slope: a plan. What gap remains is closed by the number of
users asked being whole (`whole_number`), or by branch and bound over the users whose reduced costs
leave a choice; each branch removes points of one user, or bounds how many of several alike users
are above a gap.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from itertools import count, pairwise, product
from math import inf
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray, exact_sum
from mechopt.known import allocation
from mechopt.known.burdens.knapsack_relaxation import Knapsack, Relaxed, relax
from mechopt.known.burdens.level_curves import LevelCurves
from mechopt.known.burdens.whole_number import count_bound


@dataclass(frozen=True, eq=False)
class Choice:
    """A burden vector (n,) data, its value (money), a proved lower bound, and the prices.

    burden is None if none was found: `value` is then inf, and bound = inf proves there is none.

    :settled: whether the burdens sum to the total exactly, as those of a selection do
    """

    burden: FloatArray | None
    value: float
    bound: float
    data_price: float = 0.0
    budget_price: float = 0.0
    nodes: int = 0
    settled: bool = field(default=False, kw_only=True)


def minimise(problem: Knapsack, *, accuracy: float, deadline: float) -> Choice:
    """Solve; stops when value − bound ≤ accuracy (money) or at `deadline` (a perf_counter time)."""
    root = relax(problem)
    if root is None:
        return Choice(None, inf, inf)
    best = _round(problem, root)
    best = replace(best, data_price=root.data_price, budget_price=root.budget_price)
    if not root.splits or best.value - root.bound <= accuracy:
        return replace(best, bound=min(best.value, root.bound))
    core, fixed, offset = _core(problem, root, best.value - root.bound)
    found, least = _branch(core, best.value - offset, accuracy, deadline, _FIRST_NODES), root.bound
    if found.nodes == _FIRST_NODES:
        least = count_bound(problem, root, best.value - 0.5 * accuracy)
        if best.value - least <= accuracy:
            return replace(best, bound=min(best.value, least), nodes=found.nodes)
        found = _branch(core, best.value - offset, accuracy, deadline)
    bound = max(least, min(found.bound + offset, best.value))
    if found.burden is not None:
        best = replace(best, burden=found.burden + fixed, value=found.value + offset)
    return replace(best, bound=min(bound, best.value), nodes=found.nodes)


# -- plans ------------------------------------------------------------------------------------


def _pieces(curves: LevelCurves) -> tuple[IntArray, IntArray, IntArray]:
    """Connected pieces: piece of each point (N,), first and last point of each piece."""
    starts = np.append(True, ~curves.joined[:-1])
    begin = np.flatnonzero(starts)
    end = np.append(begin[1:], curves.user.size) - 1
    return np.cumsum(starts) - 1, begin, end


_FIRST_NODES = 100  # of branch and bound, before whole numbers of people are looked at
_MOST_TRIES = 64  # combinations of pieces tried around split users


def _round(problem: Knapsack, relaxed: Relaxed) -> Choice:
    """The best plan that keeps every user on the piece where the relaxation has him.

    Split users (the two worst) are tried on each of the pieces around their gaps.
    """
    curves = problem.curves
    piece, begin, end = _pieces(curves)
    lowest, highest = piece[curves.start[:-1]], piece[curves.start[1:] - 1]
    chosen = lowest.copy()
    for step in range(1, int((highest - lowest).max(initial=0)) + 1):
        candidate = np.minimum(lowest + step, highest)
        inside = relaxed.burden >= curves.burden[begin[candidate]] * (1 - tolerances.REACH)
        chosen = np.where(inside, candidate, chosen)
    splits = relaxed.splits[:2]
    options = [range(int(piece[split.start]), int(piece[split.stop]) + 1) for split in splits]
    best = Choice(None, inf, -inf)
    for number, combination in enumerate(product(*options)):
        if number == _MOST_TRIES:
            break
        for split, option in zip(splits, combination):
            chosen[curves.user[split.start]] = option
        tried = _fill(problem, begin[chosen], end[chosen])
        if tried.value < best.value:
            best = tried
    return best


def _fill(problem: Knapsack, begin: IntArray, end: IntArray) -> Choice:
    """Reach the total with every user between two points of one piece: convex, so exact."""
    curves, slack = problem.curves, problem.slack
    nothing = Choice(None, inf, -inf)
    low, high = curves.burden[begin], curves.burden[end]
    amount = -exact_sum(low, -problem.total)
    if amount < -slack or exact_sum(high, -problem.total) < -slack:
        return nothing
    spent = float(curves.need[begin].sum())
    room = problem.budget - spent if problem.first == "cost" else inf
    if room < -tolerances.REACH * problem.budget:
        return nothing
    base = float(problem.value[begin].sum())
    links = _links(curves, begin, end)
    if amount <= slack or links.size == 0:
        return Choice(low, base, -inf)
    width = curves.burden[links + 1] - curves.burden[links]
    pieces = allocation.Pieces(
        curves.user[links],
        width,
        (curves.cost[links + 1] - curves.cost[links]) / width,
        (curves.need[links + 1] - curves.need[links]) / width,
    )
    answer: allocation.Allocation | None
    if room < inf:
        answer = allocation.cheapest_within_budget(pieces, amount, high - low, max(room, 0.0))
    else:
        answer = allocation.cheapest(pieces, amount, high - low, first=problem.first)
    if answer is None:
        return nothing
    return Choice(low + answer.burden, base + answer.value, -inf)


def _links(curves: LevelCurves, begin: IntArray, end: IntArray) -> IntArray:
    """The points (all but the last) of one piece per user, given its first and last points."""
    mark = np.zeros(curves.user.size + 1, dtype=np.int64)
    mark[begin] += 1
    mark[end] -= 1
    return np.flatnonzero(np.cumsum(mark)[:-1] > 0)


# -- branch and bound -------------------------------------------------------------------------


def _core(problem: Knapsack, root: Relaxed, gap: float) -> tuple[Knapsack, FloatArray, float]:
    """Without what reduced costs rule out: the remaining problem, and what that fixes.

    A point whose reduced cost exceeds the gap is in no better plan. Users with one point left are
    fixed: their burdens (n,) and value are returned, and they stay in the curves at burden 0.
    """
    curves, value = problem.curves, problem.value
    if root.budget_price:
        value = value + root.budget_price * curves.need
    reduced = value - root.data_price * curves.burden
    least = np.minimum.reduceat(reduced, curves.start[:-1])
    noise = tolerances.REACH * (np.abs(value) + abs(root.data_price) * curves.burden)
    kept = reduced - least[curves.user] <= gap * (1 + tolerances.MONEY) + noise
    kept |= curves.joined & np.append(kept[1:], False)
    kept |= np.append(False, curves.joined[:-1] & kept[:-1])
    core = curves.keep(kept)
    at = core.start[:-1][np.diff(core.start) == 1]
    fixed = np.zeros(curves.n)
    fixed[core.user[at]] = core.burden[at]
    offset = float((core.need if problem.first == "pay" else core.cost)[at].sum())
    budget = problem.budget - float(core.need[at].sum())
    burden, cost, need = core.burden.copy(), core.cost.copy(), core.need.copy()
    burden[at] = cost[at] = need[at] = 0.0
    core = replace(core, burden=burden, cost=cost, need=need)
    total = -exact_sum(fixed, -problem.total)
    return replace(problem, curves=core, total=total, budget=budget), fixed, offset


def _branch(
    core: Knapsack, cutoff: float, accuracy: float, deadline: float, most: float = inf
) -> Choice:
    """Best-first branch and bound; a plan is returned only if better than `cutoff`.

    :most: nodes, before the bound is left as it is
    """
    free = np.flatnonzero(np.diff(core.curves.start) > 1)
    small = replace(core, curves=_only(core.curves, free))
    incumbent = Choice(None, cutoff, -inf)
    order = count()
    heap: list[tuple[float, int, tuple[IntArray, ...], Relaxed]] = []

    def consider(dropped: tuple[IntArray, ...]) -> None:
        nonlocal incumbent
        alive = _alive(small.curves, dropped)
        if dropped and not np.logical_or.reduceat(alive, small.curves.start[:-1]).all():
            return
        part = replace(small, curves=small.curves.keep(alive))
        relaxed = relax(part)
        if relaxed is None or relaxed.bound >= incumbent.value - accuracy:
            return
        plan = _round(part, relaxed)
        if plan.value < incumbent.value:
            incumbent = plan
        if relaxed.splits:
            heapq.heappush(heap, (relaxed.bound, next(order), dropped, relaxed))

    consider(())
    alike = _alike(small.curves) if heap else []
    nodes = 0
    while heap and heap[0][0] < incumbent.value - accuracy and nodes < most:
        if perf_counter() > deadline:
            break
        _, _, dropped, relaxed = heapq.heappop(heap)
        nodes += 1
        for removed in _branches(small.curves, _alive(small.curves, dropped), relaxed, alike):
            consider((*dropped, removed))
    # Nodes within `accuracy` of the incumbent were cut off; so much is left unproved.
    bound = min(incumbent.value - accuracy, *(node[0] for node in heap[:1]), inf)
    if incumbent.burden is None:
        return Choice(None, inf, bound, nodes=nodes)
    burden = np.zeros(core.curves.n)
    burden[free] = incumbent.burden
    return Choice(burden, incumbent.value, bound, nodes=nodes)


def _alive(curves: LevelCurves, dropped: tuple[IntArray, ...]) -> BoolArray:
    alive = np.ones(curves.user.size, dtype=bool)
    for removed in dropped:
        alive[removed] = False
    return alive


def _alike(curves: LevelCurves) -> list[IntArray]:
    """For each user the users with the same curve as his, ascending; himself among them."""
    kinds: dict[bytes, list[int]] = {}
    columns = np.column_stack((curves.burden, curves.cost, curves.need, curves.joined))
    for who, (start, stop) in enumerate(pairwise(curves.start.tolist())):
        kinds.setdefault(columns[start:stop].tobytes(), []).append(who)
    family: list[IntArray] = [np.zeros(0, dtype=np.int64)] * curves.n
    for members in kinds.values():
        same = np.array(members)
        for who in members:
            family[who] = same
    return family


def _only(curves: LevelCurves, users: IntArray) -> LevelCurves:
    """The curves of some users, renumbered."""
    kept = np.zeros(curves.n, dtype=bool)
    kept[users] = True
    part = curves.keep(kept[curves.user])
    number = np.cumsum(kept) - 1
    start = np.append(part.start[:-1][kept], part.start[-1])
    return replace(part, user=number[part.user], start=start)


def _branches(
    curves: LevelCurves, alive: BoolArray, relaxed: Relaxed, alike: list[IntArray]
) -> tuple[IntArray, IntArray]:
    """The points that two branches remove, at the gap nearest to where the split user is.

    Alike users are told apart by nothing, so let them give in ascending order: if at most `above`
    of them are above the gap it is the last ones, and all others stay below; if more are, the last
    `above` + 1 are. So whole counts are branched on, not one user after the other.

    The split counts points among the living ones.
    """
    split = relaxed.splits[0]
    index = np.flatnonzero(alive)
    part = curves.keep(alive)
    gaps = split.start + np.flatnonzero(~part.joined[split.start : split.stop])
    middle = (part.burden[gaps] + part.burden[gaps + 1]) / 2
    place = int(gaps[np.argmin(np.abs(middle - split.where))])
    gap = int(index[place])
    who = int(curves.user[gap])
    family = alike[who]
    step = gap + 1 - int(curves.start[who])  # points up to the gap
    higher = relaxed.burden[family] >= part.burden[place + 1] * (1 - tolerances.REACH)
    above = int(np.count_nonzero(higher & (family != who)))
    lower, upper = family[: family.size - above], family[family.size - above - 1 :]
    points = int(curves.start[who + 1] - curves.start[who])
    return (
        (curves.start[lower][:, None] + np.arange(step, points)).ravel(),
        (curves.start[upper][:, None] + np.arange(step)).ravel(),
    )

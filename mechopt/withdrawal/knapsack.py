"""The two-sided knapsack behind extreme equilibria: cheapest subset with data between two ends.

The fractional optimum (sort by cost per data unit) gives a bound, rounding it an incumbent, and
reduced costs fix every item that no better subset can contain or miss; HiGHS settles what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.status import Status

TRIED = 64  # prefixes of the sorted items that the rounding tries to complete by one item
WINDOW = 300  # items on either side of the last one taken that are tried in an exchange
REPAIRS = 3  # re-solves when rounding the solver's binaries misses an end of the interval
CORE = 20_000  # items beyond which the solver is not started


@dataclass(frozen=True, eq=False)
class Cover:
    """A subset (bool per item, None if none is known), what is proved, and the bound on its cost.

    OPTIMAL: cost and bound agree to `tolerances.SOLVER` of the cost that was in question, which is
        all but `given`: the cost of what every subset must contain that could be better.
    INFEASIBLE: no subset fits (or, with a cutoff, none that fits is better than the cutoff).
    """

    taken: BoolArray | None
    status: Status
    bound: float | None
    given: float = 0.0


def cheapest_cover(
    data: FloatArray,
    cost: FloatArray,
    ends: tuple[float, float],
    *,
    maximize: bool = False,
    time_limit: float = 60.0,
    cutoff: float | None = None,
) -> Cover:
    """min (max) Σ cost over subsets with low ≤ Σ data ≤ high; `data`, `cost` ≥ 0, shape (m,).

    :ends: low and high, data
    :cutoff: a cost that is already attained; only better subsets are of interest.
    """
    low, high = ends
    if maximize:
        # What is left out is a cheapest subset between the complements of the ends.
        whole, worth = float(data.sum()), float(cost.sum())
        left = None if cutoff is None else worth - cutoff
        outside = (whole - high, whole - low)
        rest = cheapest_cover(data, cost, outside, time_limit=time_limit, cutoff=left)
        return Cover(
            None if rest.taken is None else ~rest.taken,
            rest.status,
            None if rest.bound is None else worth - rest.bound,
            worth - rest.given,
        )
    empty = np.zeros(data.size, dtype=bool)
    if low <= 0:
        if high >= 0:
            return Cover(empty, Status.OPTIMAL, 0.0)
        return Cover(None, Status.INFEASIBLE, None)
    useful = np.flatnonzero(data > 0)
    needed = useful[_needed(data[useful], low)]
    if not needed.size:
        most = inf if cutoff is None else cutoff
        return _solve(data, cost, useful, ends, time_limit, most)
    # Without them it is a problem of its own, with a gap relative to its own cost.
    there, paid = float(data[needed].sum()), float(cost[needed].sum())
    others = np.setdiff1d(np.arange(data.size), needed)
    left = None if cutoff is None else cutoff - paid
    ends = (low - there, high - there)
    inner = cheapest_cover(data[others], cost[others], ends, time_limit=time_limit, cutoff=left)
    taken = None
    if inner.taken is not None:
        taken = np.ones(data.size, dtype=bool)
        taken[others] = inner.taken
    lowest = None if inner.bound is None else inner.bound + paid
    return Cover(taken, inner.status, lowest, inner.given + paid)


def _solve(
    data: FloatArray,
    cost: FloatArray,
    useful: IntArray,
    ends: tuple[float, float],
    time_limit: float,
    cutoff: float,
) -> Cover:
    low, high = ends
    d, c = data[useful], cost[useful]
    order = np.argsort(c / d, kind="stable")
    amount = np.cumsum(d[order])
    last = int(np.searchsorted(amount, low))
    if last >= d.size:
        if not d.size or amount[-1] < low * (1 - tolerances.REACH):
            return Cover(None, Status.INFEASIBLE, None)
        last = d.size - 1
    price = float(c[order[last]] / d[order[last]])
    cheap = np.zeros(d.size, dtype=bool)
    cheap[order[:last]] = True
    bound = float(c[cheap].sum() + price * (low - d[cheap].sum()))
    taken = _rounded(d, c, order, last, low, high)
    if taken is not None:
        taken = _pruned(d, c, taken, low)
    reach = cutoff if taken is None else min(cutoff, float(c[taken].sum()))
    reduced = np.where(cheap, price * d - c, c - price * d)
    core = np.flatnonzero(reduced <= (reach - bound) * (1 + tolerances.MONEY))
    fixed = cheap.copy()
    fixed[core] = False
    given = float(c[fixed].sum())
    if bound >= reach - tolerances.SOLVER * abs(reach - given):
        if taken is None or c[taken].sum() > cutoff:
            return Cover(None, Status.INFEASIBLE, bound)
        return Cover(_spread(taken, useful, data.size), Status.OPTIMAL, bound, given)
    if core.size > CORE:
        status = Status.UNKNOWN if taken is None else Status.FEASIBLE
        return Cover(_spread(taken, useful, data.size), status, bound, given)
    there = float(d[fixed].sum())
    chosen, status, below = _by_solver(d[core], c[core], low - there, high - there, time_limit)
    bound = max(bound, min(reach, below + given))
    if chosen is not None:
        better = fixed.copy()
        better[core[chosen]] = True
        better = _pruned(d, c, better, low)
        if taken is None or c[better].sum() <= c[taken].sum():
            taken = better
    elif status is Status.INFEASIBLE and taken is not None:
        status = Status.OPTIMAL  # nothing in the core is better than what is known
        bound = float(c[taken].sum())
    if status is Status.UNKNOWN and taken is not None:
        status = Status.FEASIBLE
    return Cover(_spread(taken, useful, data.size), status, bound, given)


def _needed(data: FloatArray, low: float) -> BoolArray:
    """The items without which the others do not reach `low`, by a margin no rounding explains."""
    whole = float(data.sum())
    found: BoolArray = whole - data < low - tolerances.TOTALS * whole
    return found if whole >= low else np.zeros(data.size, dtype=bool)


def _pruned(data: FloatArray, cost: FloatArray, taken: BoolArray, low: float) -> BoolArray:
    """`taken` without what it does not need to reach `low`, the dearest first."""
    taken = taken.copy()
    spare = float(data[taken].sum()) - low
    inside = np.flatnonzero(taken & (data <= spare))
    for item in inside[np.argsort(-cost[inside], kind="stable")].tolist():
        if data[item] <= spare:
            taken[item] = False
            spare = float(data[taken].sum()) - low
    return taken


def _spread(taken: BoolArray | None, useful: np.ndarray, size: int) -> BoolArray | None:
    if taken is None:
        return None
    out = np.zeros(size, dtype=bool)
    out[useful[taken]] = True
    return out


def _rounded(
    d: FloatArray, c: FloatArray, order: np.ndarray, last: int, low: float, high: float
) -> BoolArray | None:
    """The best of: a prefix of the sorted items completed by the cheapest single item that fits;
    the prefix that just falls short, with one item exchanged near its end."""
    best: tuple[float, int, int, int] | None = None  # cost, prefix, item added, item removed
    amount = np.concatenate(([0.0], np.cumsum(d[order[:last]])))
    spent = np.concatenate(([0.0], np.cumsum(c[order[:last]])))
    near = order[last : last + WINDOW * 8]
    for size in range(last, max(last - TRIED, -1), -1):
        tail = np.concatenate((order[size:last], near))
        total = amount[size] + d[tail]
        fits = np.flatnonzero((total >= low) & (total <= high))
        if fits.size:
            item = int(tail[fits[np.argmin(c[tail[fits]])]])
            value = float(spent[size] + c[item])
            if best is None or value < best[0]:
                best = (value, size, item, -1)
    inside, outside = order[max(last - WINDOW, 0) : last], order[last : last + WINDOW]
    total = amount[last] + d[outside][:, None] - d[inside][None, :]
    price = np.where((total >= low) & (total <= high), c[outside][:, None] - c[inside], inf)
    if price.size and price.min() < inf:
        row, column = np.unravel_index(int(price.argmin()), price.shape)
        value = float(spent[last] + price[row, column])
        if best is None or value < best[0]:
            best = (value, last, int(outside[row]), int(inside[column]))
    if best is None:
        return None
    _, size, added, removed = best
    taken = np.zeros(d.size, dtype=bool)
    taken[order[:size]] = True
    taken[added] = True
    if removed >= 0:
        taken[removed] = False
    return taken


def _by_solver(
    d: FloatArray, c: FloatArray, low: float, high: float, time_limit: float
) -> tuple[np.ndarray | None, Status, float]:
    """HiGHS on the core: chosen positions, status, bound. Binaries are rounded and checked."""
    from time import perf_counter

    from mechopt.solver import highs

    if not d.size:
        if low <= 0 <= high:
            return np.zeros(0, dtype=np.int64), Status.OPTIMAL, 0.0
        return None, Status.INFEASIBLE, inf
    until = perf_counter() + time_limit
    # the solver's 1e-9 is then 1e-13 of the total
    scale = 1e4 / max(float(d.sum()), tolerances.TINY)
    money = 1e4 / max(float(c.sum()), tolerances.TINY) if c.any() else 1.0
    shift, bound, start = 0.0, -inf, low
    for _ in range(REPAIRS):
        program = highs.LinearProgram(
            cost=c * money,
            start=np.array([0, d.size], dtype=np.int32),
            index=np.arange(d.size, dtype=np.int32),
            value=d * scale,
            row_lower=np.array([(low + shift) * scale]),
            row_upper=np.array([high * scale]),
            lower=np.zeros(d.size),
            upper=np.ones(d.size),
            integer=np.ones(d.size, dtype=bool),
        )
        session = highs.Session(
            program,
            mip_rel_gap=tolerances.SOLVER / 10,
            mip_feasibility_tolerance=tolerances.MILP,
            primal_feasibility_tolerance=tolerances.MILP,
        )
        session.set_option("time_limit", max(until - perf_counter(), 0.1))
        answer = session.solve()
        if shift == 0.0:
            bound = inf if answer.status is Status.INFEASIBLE else -inf
            if answer.bound is not None:
                bound = answer.bound / money
        if answer.x is None:
            proved = answer.status is Status.INFEASIBLE and shift == 0.0
            return None, Status.INFEASIBLE if proved else Status.UNKNOWN, bound
        chosen = np.flatnonzero(answer.x > 0.5)
        total = float(d[chosen].sum())
        if start <= total <= high:
            value = float(c[chosen].sum())
            proved = value - bound <= tolerances.SOLVER * abs(value)
            return chosen, Status.OPTIMAL if proved else Status.FEASIBLE, bound
        least = 10 * tolerances.MILP / scale  # ten times what the solver overlooks
        if total > high:
            high -= max(2 * (total - high), least)
        else:
            shift += max(2 * (start - total), least)
    return None, Status.UNKNOWN, bound


def least_cost(data: FloatArray, cost: FloatArray, need: float) -> float:
    """Least Σ cost over fractions of items that total `need` data, or of all there are."""
    if need <= 0 or not data.size:
        return 0.0
    ratio = np.divide(cost, data, out=np.full(data.size, inf), where=data > 0)
    order = np.argsort(ratio, kind="stable")
    amount = np.cumsum(data[order])
    last = int(np.searchsorted(amount, need))
    if last >= data.size:
        return float(cost[data > 0].sum())
    before = amount[last - 1] if last else 0.0
    return float(cost[order[:last]].sum() + ratio[order[last]] * (need - before))

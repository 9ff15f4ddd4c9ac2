"""Upper bound for private costs from interim curves: the threshold state by state, no LP on states.

Of a symmetric Bayesian mechanism the incentive, participation, payment and expected-budget rows
see only what each type expects: run probability Q_k, burden X_k, utility U_k (L4–L6 of
`fluid_bound`). Which (Q, X) there are is decided by D1 and D2 alone, and a linear function of them
is maximised state by state: buy T from the types with the highest price, and run iff something is
left. So the bound is a linear program with three columns per type whose cuts come from sorted
fills.

Rows that hold for every ω_−i (D3 under DSIC, D4 ex post, t ≥ 0) may be averaged over any *class* of
ω_−i, not only over all of them: each class then has curves of its own,

    Q_kz = Σ_{ω_−i ∈ z} q(ω_−i) p(ω_−i + e_k),  likewise X_kz, U_kz,

and the fills stay separable by state. The classes are the pools in which buying ends without the
user (`pools.marginal_pools`): within one of them the rows have much the same multipliers, so what
averaging gives away is small (60 users of two groups, three types each: 1e-7 of the optimum,
where one class gives away 1e-3).

The program is solved in its multipliers: cutting planes, one cut per set of states that see the
same classes, separated halfway between the best multipliers known and the master's. What is
returned is the Lagrangian value of the best multipliers, so it does not rest on the solver's
tolerances.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from time import perf_counter

import numpy as np

from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import SolverError
from mechopt.private.large.pools import marginal_pools
from mechopt.problem.population import Population
from mechopt.solver import highs
from mechopt.solver.highs import LinearProgram
from mechopt.tolerances import REACH

_STEPS = 300
_CLOSED = 2e-10  # relative: so near, a rule may be proved optimal at 1e-9
_FINER = 1e-7  # from here on HiGHS works to _FINEST, at which it now and then ends without answer
_FINEST = 1e-10
_INWARD = 0.5  # how far towards the best multipliers known cuts are separated


@dataclass(frozen=True)
class Asked:
    """Which problem is bounded: L4–L6 of every Bayesian mechanism, or more of them.

    :objective: "provider-surplus", "welfare" (money) or "improvement" (probability)
    :dominant: D3 for every ω_−i; ex_post : u ≥ 0 for every ω_−i
    :obedient: D5 of users whose data stay when they leave: u ≥ (1 − η) v p − (1 − ρ) θ x
    """

    objective: str
    transfers: bool = True
    dominant: bool = False
    ex_post: bool = False
    obedient: bool = False


def interim_bound(
    population: Population,
    *,
    objective: str,
    transfers: bool = True,
    time_limit: float | None = None,
) -> float:
    """The bound on every Bayesian mechanism, interim participation, money or probability.

    Needs one threshold, linear costs and enumerable states.
    """
    return InterimBound(population, Asked(objective, transfers)).bound(time_limit=time_limit)


class InterimBound:
    """The bound for what is `asked`, and the states' worth at the multipliers that give it."""

    def __init__(self, population: Population, asked: Asked) -> None:
        counts = population.states.counts
        classes = marginal_pools(population) if asked.ex_post else np.zeros_like(counts)
        self.rows = _Rows(population, asked, classes)
        self.fill = _Fill(population, classes, self.rows.classes)
        self.prices: list[FloatArray] = []  # at which cuts were separated
        self.best = inf
        self.center = np.zeros(self.rows.multipliers + self.rows.prices)
        self.weights = np.zeros((0, self.fill.sets))  # of the cuts in the master's optimum

    def bound(self, *, reached: float = -inf, time_limit: float | None = None) -> float:
        """The least bound found; no further once it meets what is `reached` already."""
        ends = inf if time_limit is None else perf_counter() + time_limit
        master = _Master(self.rows, self.fill.sets)
        point = self.center
        for _ in range(_STEPS):
            point = _INWARD * self.center + (1 - _INWARD) * point
            prices = point[self.rows.multipliers :]
            values, cuts = self.fill(prices)
            found = self.rows.beside(point) + float(values.sum())
            if found < self.best:
                self.best, self.center = found, point
            self.prices.append(prices)
            master.add(cuts)
            solution = master.solve()
            if solution is None:
                break
            least, point, self.weights = solution
            open_ = (self.best - max(least, reached)) / max(1.0, abs(self.best))
            if open_ <= _CLOSED or perf_counter() > ends:
                break
            if open_ <= _FINER:
                master.finer()
        return max(0.0, self.best * (1 + REACH))

    def worth(self) -> FloatArray:
        """What running is worth in each state at the best multipliers, money, shape (S,)."""
        return self.fill.worth(self.center[self.rows.multipliers :])

    def mixture(self) -> tuple[FloatArray, FloatArray]:
        """Run probability (S,) and burden (S, M), times it, that attain the program's optimum."""
        states, types = self.fill.state.size, self.fill.capacity.size
        run, burden = np.zeros(states), np.zeros((states, types))
        for prices, weights in zip(self.prices, self.weights):
            for place in np.flatnonzero(weights > 0).tolist():
                part = self.fill.slices[place]
                runs, bought, _ = self.fill.one(place, prices)
                run[part] += weights[place] * runs
                burden[part] += weights[place] * (bought * runs[:, None])
        back = np.empty(states, dtype=np.int64)
        back[self.fill.state] = np.arange(states)
        count = np.maximum(self.fill.counts, 1)
        return np.minimum(run, 1.0)[back], (burden / count)[back]


class _Fill:
    """The best outcome of every state for prices of the interim curves.

    States are sorted into sets that see the same classes: a set has one order of buying.
    """

    def __init__(self, population: Population, classes: IntArray, number: int) -> None:
        space = population.states
        self.classes = number
        self.capacity = population.of_type("capacity")
        self.threshold = float(population.thresholds[0])
        seen, member = np.unique(classes, axis=0, return_inverse=True)
        member = member.reshape(-1)
        self.seen, self.sets = seen, seen.shape[0]
        self.state = np.argsort(member, kind="stable")
        ends = np.cumsum(np.bincount(member, minlength=self.sets))
        self.slices = [slice(int(end - size), int(end)) for end, size in _sizes(ends)]
        self.counts = np.ascontiguousarray(space.counts[self.state].astype(np.float64))
        self.chance = space.probability[self.state]

    def places(self, one: int) -> IntArray:
        """Where the set's types have their prices, shape (M,)."""
        return np.arange(self.capacity.size) * self.classes + self.seen[one]

    def one(self, place: int, prices: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(runs 0/1 (s,), bought by type in all (s, M), worth (s,)) in the states of one set."""
        counts, at = self.counts[self.slices[place]], self.places(place)
        half = prices.size // 2
        enjoyed, price = prices[:half][at], prices[half:][at]
        worth = counts @ enjoyed
        bought = np.zeros(counts.shape)
        left = np.full(worth.size, self.threshold)
        for k in np.argsort(-price, kind="stable"):
            bought[:, k] = np.minimum(left, counts[:, k] * self.capacity[k])
            left = left - bought[:, k]
        worth = worth + bought @ price
        reached = left <= REACH * self.threshold
        worth = np.where(reached, worth, -inf)
        return (worth > 0).astype(np.float64), bought, worth

    def __call__(self, prices: FloatArray) -> tuple[FloatArray, list[tuple[IntArray, FloatArray]]]:
        """(maximum per set, per set its cut: places and (Q, X) of the maximiser, times users)."""
        values, cuts, half = np.zeros(self.sets), [], prices.size // 2
        for place in range(self.sets):
            runs, bought, worth = self.one(place, prices)
            part, at = self.slices[place], self.places(place)
            weight = self.chance[part] * runs
            values[place] = weight @ np.maximum(worth, 0.0)
            found = np.concatenate([weight @ self.counts[part], weight @ bought])
            cuts.append((np.concatenate([at, half + at]), found))
        return values, cuts

    def worth(self, prices: FloatArray) -> FloatArray:
        found = np.empty(self.state.size)
        for place, part in enumerate(self.slices):
            found[self.state[part]] = self.one(place, prices)[2]
        return found


def _sizes(ends: IntArray) -> list[tuple[int, int]]:
    return list(zip(ends.tolist(), np.diff(ends, prepend=0).tolist()))


class _Rows:
    """L4–L6 on columns Q, X, U per type and class (type-major), and their Lagrangian.

    Where users can be excluded a fourth block E = v (Q − A) says what access they are denied is
    worth, 0 ≤ E ≤ η v Q (F14); they then have U = v Q − E + t − θ X.
    """

    def __init__(self, population: Population, asked: Asked, classes: IntArray) -> None:
        self.classes = int(classes.max()) + 1
        self.blocks = 4 if population.has_exclusion else 3
        types = population.type_costs.size
        space = population.states
        law = population.type_chances
        users = population.of_type("size") * law
        place = np.arange(types) * self.classes + classes
        held = np.bincount(
            place.ravel(),
            (space.probability[:, None] * space.counts / users).ravel(),
            minlength=types * self.classes,
        )
        self.columns = held.size
        of = np.repeat(np.arange(types), self.classes)
        self.users = users[of]
        cost = population.type_rates
        share = float(population.shares[0])
        value, capacity = population.of_type("value")[of] * share, population.of_type("capacity")
        self.matrix, self.low, self.high = self._rows(population, asked, value, cost)
        spread = np.array([np.ptp(one.costs * one.slopes[0]) for one in population.groups])
        rent = value + (spread[population.group_of_type] * capacity)[of]
        upper = [held, capacity[of] * held, rent * held]
        if self.blocks > 3:
            upper.append(population.of_type("exclusion")[of] * value * held)
        self.upper = np.concatenate(upper)
        self.gain = self._gain(population, asked.objective, share, cost[of])
        self.side = np.where(np.isinf(self.high), self.low, self.high)

    @property
    def multipliers(self) -> int:
        return self.low.size

    @property
    def prices(self) -> int:
        return 2 * self.columns

    def _spent(self, value: FloatArray, cost: FloatArray) -> FloatArray:
        denied = [self.users] * (self.blocks - 3)
        return np.concatenate([-self.users * value, self.users * cost, self.users, *denied])

    def _rows(
        self, population: Population, asked: Asked, value: FloatArray, cost: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        size, classes = self.columns, self.classes
        own = np.repeat(cost, classes)
        unit = [np.eye(size)] * (self.blocks - 2)
        rows, low = [np.hstack([-np.diag(value), np.diag(own), *unit])], [np.zeros(size)]  # (L4)
        high = [np.full(size, inf if asked.transfers else 0.0)]
        if self.blocks > 3:  # (F14) E ≤ η v Q
            most = np.repeat(population.of_type("exclusion"), classes) * value
            none = np.zeros((size, 2 * size))
            rows.append(np.hstack([np.diag(most), none, -np.eye(size)]))
            low.append(np.zeros(size))
            high.append(np.full(size, inf))
        stay = np.repeat(population.of_type("removable") == 0, classes)
        if asked.obedient and stay.any():  # (D5)
            kept = np.repeat(1 - population.of_type("exclusion"), classes) * value
            sunk = np.repeat(1 - population.of_type("reversibility"), classes) * own
            others = [np.zeros((size, size))] * (self.blocks - 3)
            part = np.hstack([-np.diag(kept), np.diag(sunk), np.eye(size), *others])[stay]
            rows.append(part)
            low.append(np.zeros(part.shape[0]))
            high.append(np.full(part.shape[0], inf))
        for g, first in enumerate(population.first_type):  # (L6)
            for k in range(first, first + population.groups[g].types - 1):
                for true, told in ((k, k + 1), (k + 1, k)):
                    part = np.zeros((classes, self.blocks * size))
                    at = np.arange(classes)
                    part[at, size + told * classes + at] = cost[true] - cost[told]
                    part[at, 2 * size + true * classes + at] = 1.0
                    part[at, 2 * size + told * classes + at] = -1.0
                    if not asked.dominant:
                        part = part.sum(axis=0, keepdims=True)
                    rows.append(part)
                    low.append(np.zeros(part.shape[0]))
                    high.append(np.full(part.shape[0], inf))
        spent, run = self._spent(value, own), self._run()
        limits = [(population.expected_budget, spent)]
        if population.budget < inf:
            limits.append((0.0, spent - population.budget * run))
        for limit, row in limits:
            if limit < inf:
                rows.append(row[None])
                low.append(np.full(1, -inf))
                high.append(np.full(1, limit))
        return np.vstack(rows), np.concatenate(low), np.concatenate(high)

    def _run(self) -> FloatArray:
        """Σ f Q = P."""
        total = self.users.sum() / self.classes
        none = np.zeros((self.blocks - 1) * self.columns)
        return np.concatenate([self.users / total, none])

    def _gain(
        self, population: Population, objective: str, share: float, cost: FloatArray
    ) -> FloatArray:
        worth = population.provider_value * share
        if objective == "improvement":
            return share * self._run()
        value = np.repeat(population.of_type("value") * share, self.classes)
        if objective == "provider-surplus":
            return worth * self._run() - self._spent(value, cost)
        enjoyed = population.users_value * share
        gain = (worth + enjoyed) * self._run()
        gain[self.columns : 2 * self.columns] -= self.users * cost
        gain[3 * self.columns :] -= np.tile(self.users, self.blocks - 3)
        return gain

    def priced(self, prices: FloatArray) -> FloatArray:
        """What the columns cost at these prices of Q and X, money per user."""
        none = np.zeros((self.blocks - 2) * self.columns)
        return np.concatenate([self.users, self.users, none]) * np.concatenate([prices, none])

    def beside(self, point: FloatArray) -> float:
        """The Lagrangian of multipliers and prices but for the fills: a bound with them."""
        y = point[: self.multipliers].copy()
        y[(y > 0) & np.isinf(self.high)] = 0.0
        y[(y < 0) & np.isinf(self.low)] = 0.0
        sides = np.where(y > 0, self.high, np.where(y < 0, self.low, 0.0))
        rest = self.gain - y @ self.matrix - self.priced(point[self.multipliers :])
        return float(y @ sides) + float(np.maximum(rest, 0.0) @ self.upper)


class _Master:
    """The Lagrangian with the fills found so far, minimised over multipliers and prices.

    Columns: multipliers y, prices π of Q and X, ϱ (what a column is worth beyond rows and prices),
    θ per set of states. Rows: ϱ of each column, then θ ≥ π · fill for every cut.
    """

    def __init__(self, rows: _Rows, sets: int) -> None:
        size, r = rows.columns, rows.multipliers
        self.prices, self.rest = r, r + 2 * size
        self.sets, self.fixed = sets, rows.blocks * size
        self.values = self.rest + self.fixed
        columns = self.values + sets
        scale = np.tile(rows.users, rows.blocks)
        matrix = np.zeros((self.fixed, columns))
        matrix[:, :r] = rows.matrix.T / scale[:, None]
        at = np.arange(self.fixed)
        matrix[at[: 2 * size], r + at[: 2 * size]] = 1.0
        matrix[at, self.rest + at] = 1.0
        lower, upper, cost = np.full(columns, -inf), np.full(columns, inf), np.zeros(columns)
        lower[:r] = np.where(np.isinf(rows.low), 0.0, -inf)
        upper[:r] = np.where(np.isinf(rows.high), 0.0, inf)
        lower[self.rest :] = 0.0
        cost[:r] = rows.side
        cost[self.rest : self.values] = rows.upper * scale
        cost[self.values :] = 1.0
        place = np.nonzero(matrix)
        program = LinearProgram(
            cost=cost,
            start=np.searchsorted(place[0], np.arange(self.fixed + 1)).astype(np.int32),
            index=place[1].astype(np.int32),
            value=matrix[place],
            row_lower=rows.gain / scale,
            row_upper=np.full(self.fixed, inf),
            lower=lower,
            upper=upper,
        )
        self.session = highs.Session(program, presolve="off")
        self.fine = False
        self.asked = np.zeros((0, sets), dtype=bool)  # which cuts are rows

    def finer(self) -> None:
        self.fine = True
        for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
            self.session.set_option(name, _FINEST)

    def add(self, cuts: list[tuple[IntArray, FloatArray]]) -> None:
        said = np.zeros(self.sets, dtype=bool)
        for place, (at, found) in enumerate(cuts):
            use = found > 0
            if use.any():
                said[place] = True
                columns = np.append(self.prices + at[use], self.values + place)
                self.session.add_row(0.0, inf, columns, np.append(-found[use], 1.0))
        self.asked = np.vstack([self.asked, said])

    def solve(self) -> tuple[float, FloatArray, FloatArray] | None:
        """(least value, multipliers and prices, weight of each cut (steps, sets)); None: failed."""
        try:
            found = self.session.solve()
        except SolverError:
            if not self.fine:
                raise
            return None
        if found.x is None or found.objective is None or found.row_dual is None:
            return None
        weights = np.zeros(self.asked.shape)
        weights[self.asked] = np.maximum(found.row_dual[self.fixed :], 0.0)
        return found.objective, found.x[: self.rest], weights

"""Oracle for the simultaneous problem with several thresholds; shares no code with mechopt.

A level's problem has one linear constraint (two with a budget), so at an optimum all users but
one (two) sit where their own curve bends or jumps. Enumerating these points and solving for the
remaining users is exact. The value just beyond a jump is a limit: it is approached (and counted)
only if another user with a positive burden, himself not at such a limit, can give a little less.
"""

from __future__ import annotations

from itertools import combinations, pairwise
from math import inf

import numpy as np

TINY = 1e-9


class User:
    """One user's curve at a level with total P, straight from (A3) and (W1)."""

    def __init__(self, instance, i, level, total, transfers):
        self.theta = float(instance.cost[i])
        self.widths = [float(w) for w in instance.widths[i]]
        self.slopes = [float(s) for s in instance.slopes[i]]
        self.eta = float(instance.exclusion[i])
        self.v, self.rho = float(instance.value[i]), float(instance.reversibility[i])
        self.delta, self.cap = float(instance.removable[i]), float(instance.capacity[i])
        self.T = [float(t) for t in instance.thresholds]
        self.b = [0.0] + [float(b) for b in instance.shares]
        self.k, self.P, self.transfers = level, total, transfers

    def cost(self, x):
        money, left = 0.0, x
        for width, slope in zip(self.widths, self.slopes):
            step = min(width, left)
            money += self.theta * slope * step
            left -= step
        return money

    def inverse(self, money):
        x = 0.0
        for width, slope in zip(self.widths, self.slopes):
            rate = self.theta * slope
            if rate and money <= rate * width:
                return x + money / rate
            money -= rate * width
            x += width
        return self.cap

    def need(self, x, beyond=False):
        """Least payment at x; with `beyond`, its limit from the right."""
        if x <= TINY and not beyond:
            return 0.0
        rest = self.P - self.delta * x
        slip = TINY if beyond else -TINY
        lost = [m for m in range(1, self.k + 1) if rest <= self.T[m - 1] + slip]
        after = (min(lost) - 1) if lost and self.delta > 0 else self.k
        loss = self.b[self.k] - (1 - self.eta) * self.b[after]
        c = self.cost(x)
        t = max(0.0, c - self.v * self.b[self.k], self.rho * c - self.v * loss)
        if not self.transfers:
            return 0.0 if t <= 1e-9 else inf
        return t

    def values(self, x):
        """(need, is a limit, can give less) at x: at a jump also the limit from the right."""
        at = [(self.need(x), False, x > TINY)]
        lower = TINY < x < self.cap - TINY and self.need(x, True) < at[0][0] - TINY
        # What is only just accepted at x is not accepted beyond it.
        if lower and self.need(x + 1e-6) < inf:
            at.append((self.need(x, True), True, False))
        return at

    def points(self):
        xs = {0.0, self.cap}
        xs |= set(np.cumsum(self.widths).tolist())
        xs.add(self.inverse(self.v * self.b[self.k]))
        for m in range(self.k + 1):
            loss = self.v * (self.b[self.k] - (1 - self.eta) * self.b[m])
            if self.rho > 0:
                xs.add(self.inverse(loss / self.rho))
            if self.rho < 1:
                xs.add(self.inverse((1 - self.eta) * self.v * self.b[m] / (1 - self.rho)))
            if m and self.delta > 0:
                xs.add((self.P - self.T[m - 1]) / self.delta)
        return sorted({x for x in xs if 0 <= x <= self.cap})


def table(user):
    """Columns burden, cost, need, limits, able to give less: one row per point and side."""
    rows = [
        (x, user.cost(x), need, limit, less)
        for x in user.points()
        for need, limit, less in user.values(x)
        if need < inf
    ]
    return np.array(rows, dtype=float)


def sums(tables):
    """The columns, summed over all choices of a row per user."""
    total = np.zeros((1, 5))
    for rows in tables:
        total = (total[:, None, :] + rows[None, :, :]).reshape(-1, 5)
    return total


def level_optimum(instance, level, quantity, *, transfers=True, reserve=0.0, budget=inf):
    """Least Σ t ("pay") or Σ C ("cost") at `level`, inf if out of reach."""
    total = float(instance.thresholds[level - 1]) + reserve
    if level < instance.levels and total >= instance.thresholds[level]:
        return inf
    users = [User(instance, i, level, total, transfers) for i in range(instance.n)]
    tables = [table(user) for user in users]
    best = inf
    for i, user in enumerate(users):
        rows = sums(tables[:i] + tables[i + 1 :])
        own = total - rows[:, 0]
        for row in rows[(own >= -TINY) & (own <= user.cap + TINY)]:
            mine = min(max(total - row[0], 0.0), user.cap)
            for need, limit, less in user.values(mine):
                if row[3] + limit > 0 and row[4] + less == 0:
                    continue
                pay = row[2] + need
                if pay < inf and pay <= budget + 1e-9:
                    best = min(best, pay if quantity == "pay" else row[1] + user.cost(mine))
    if quantity == "cost" and transfers and budget < inf:
        best = min(best, _two_between(users, tables, total, budget))
    return best


def _two_between(users, tables, total, budget):
    """Budget binding: two users between points, where Σ need meets the budget."""
    best = inf
    for i, j in combinations(range(len(users)), 2):
        one, two = users[i], users[j]
        others = [tables[m] for m in range(len(users)) if m not in (i, j)]
        for row in sums(others):
            rest, cost, need = total - row[0], row[1], row[2]
            if rest < -TINY or need > budget + 1e-9:
                continue
            low, high = max(0.0, rest - two.cap), min(one.cap, rest)
            if low > high + TINY:
                continue
            marks = [*one.points(), *(rest - p for p in two.points()), low, high]
            marks = sorted({min(max(mark, low), high) for mark in marks})
            for left, right in pairwise(marks):
                # inside the interval everything is linear: sample inside, extrapolate to the ends
                inner = [left + share * (right - left) for share in (1 / 3, 2 / 3)]
                pays = [one.need(p) + two.need(rest - p) for p in inner]
                costs = [one.cost(p) + two.cost(rest - p) for p in inner]
                for share in _candidates(pays, budget - need):
                    pay = need + pays[0] + (share - 1 / 3) * 3 * (pays[1] - pays[0])
                    if pay <= budget + 1e-9:
                        best = min(
                            best, cost + costs[0] + (share - 1 / 3) * 3 * (costs[1] - costs[0])
                        )
    return best


def _candidates(pays, room):
    shares = [0.0, 1.0]
    slope = 3 * (pays[1] - pays[0])
    if abs(slope) > 1e-12:
        at = 1 / 3 + (room - pays[0]) / slope
        if 0 < at < 1:
            shares.append(at)
    return shares


def grid_optimum(instance, quantity, level, *, step, transfers=True, budget=inf):
    """Least Σ t or Σ C over a grid of burdens that reach exactly `level`, by definition only."""
    n = instance.n
    axes = [np.arange(0, instance.capacity[i] + 1e-12, step) for i in range(n)]
    grid = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    T, b = instance.thresholds, np.append(0.0, instance.shares)
    total = grid.sum(axis=1)
    grid = grid[np.searchsorted(T, total + 1e-12, side="right") == level]
    if not len(grid):
        return inf
    total = grid.sum(axis=1)
    cost = np.zeros_like(grid)
    for i in range(n):
        knots = np.append(0.0, np.cumsum(instance.widths[i]))
        money = np.append(0.0, np.cumsum(instance.widths[i] * instance.slopes[i]))
        cost[:, i] = instance.cost[i] * np.interp(grid[:, i], knots, money)
    after = np.searchsorted(T, total[:, None] - instance.removable * grid + 1e-12, side="right")
    keep = instance.value * (b[level] - (1 - instance.exclusion) * b[after])
    need = np.maximum(cost - instance.value * b[level], instance.reversibility * cost - keep)
    need = np.maximum(need, 0.0)
    pay, social = need.sum(axis=1), cost.sum(axis=1)
    good = need.max(axis=1) <= 1e-12 if not transfers else pay <= budget + 1e-12
    return float((pay if quantity == "pay" else social)[good].min(initial=inf))


def everyone_stays(x, r, v, delta, thresholds, shares, order, eta=0.0):
    """Whether all stay in the subgame-perfect outcome, by the full game tree.

    x, r, order: one row per plan (M, n); order (M, n) user indices. An indifferent user stays;
    exact data are assumed up to 1e-12.
    """
    rows = np.arange(len(x))[:, None]
    x, r = x[rows, order], r[rows, order]
    v, delta = v[order], delta[order]
    outside = v * (1 - np.broadcast_to(eta, r.shape[1:])[order])
    b = np.append(0.0, shares)
    n = x.shape[1]

    def outcome(i, kept):
        """(final level, whether all from i on stay), if those before i left `kept` of data."""
        if i == n:
            level = np.searchsorted(thresholds, kept + 1e-12, side="right")
            return level, np.ones(len(x), dtype=bool)
        up, up_all = outcome(i + 1, kept + x[:, i])
        down, _ = outcome(i + 1, kept + (1 - delta[:, i]) * x[:, i])
        stay = np.where(up > 0, v[:, i] * b[up] - r[:, i], 0.0)
        leave = outside[:, i] * b[down]
        stays = (stay >= leave - 1e-12) | (x[:, i] == 0)
        return np.where(stays, up, down), stays & up_all

    level, everyone = outcome(0, np.zeros(len(x)))
    return everyone & (level > 0)


def sequential_grid(instance, order, *, step, exact_total=True, reserve=0.0):
    """Least Σ C at the top level without payments over a grid; order "small-first", … or given."""
    n, top = instance.n, float(instance.thresholds[-1]) + reserve
    axes = [np.arange(0, instance.capacity[i] + 1e-12, step) for i in range(n)]
    grid = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    total = grid.sum(axis=1)
    grid = grid[np.abs(total - top) < 1e-12] if exact_total else grid[total > top - 1e-12]
    cost = np.zeros_like(grid)
    for i in range(n):
        knots = np.append(0.0, np.cumsum(instance.widths[i]))
        money = np.append(0.0, np.cumsum(instance.widths[i] * instance.slopes[i]))
        cost[:, i] = instance.cost[i] * np.interp(grid[:, i], knots, money)
    good = (cost <= instance.value * instance.shares[-1] + 1e-12).all(axis=1)
    grid, cost = grid[good], cost[good]
    if not len(grid):
        return inf
    if isinstance(order, str):
        place = np.argsort(grid if order == "small-first" else -grid, axis=1, kind="stable")
    else:
        place = np.broadcast_to(np.asarray(order), grid.shape)
    r = instance.reversibility * cost
    data = (instance.value, instance.removable, instance.thresholds, instance.shares)
    stays = everyone_stays(grid, r, *data, place, instance.exclusion)
    return float(cost.sum(axis=1)[stays].min(initial=inf))


def sequential_payment_grid(instance, order, *, step):
    """Least Σ t at the top level over a grid of burdens and payments (n = 2, X = T_K)."""
    n, top = instance.n, float(instance.thresholds[-1])
    axes = [np.arange(0, instance.capacity[i] + 1e-12, step) for i in range(n)]
    most = [float(instance.cost[i] * instance.capacity[i]) for i in range(n)]
    axes += [np.arange(0, most[i] + 1e-12, step) for i in range(n)]
    grid = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    x, t = grid[:, :n], grid[:, n:]
    met = np.abs(x.sum(axis=1) - top) < 1e-12
    x, t = x[met], t[met]
    cost = instance.cost * x
    joins = (cost <= instance.value * instance.shares[-1] + t + 1e-12).all(axis=1)
    x, t, cost = x[joins], t[joins], cost[joins]
    if not len(x):
        return inf
    place = np.argsort(x if order == "small-first" else -x, axis=1, kind="stable")
    data = (instance.value, instance.removable, instance.thresholds, instance.shares)
    stays = everyone_stays(x, instance.reversibility * cost - t, *data, place)
    return float(t.sum(axis=1)[stays].min(initial=inf))


# -- random instances ---------------------------------------------------------------------------


def lattice_instance(rng, n, levels, *, segments=False):
    """Numbers on a lattice: ties and knife edges are common."""
    import mechopt as mo

    capacity = rng.integers(1, 9, n) / 1.0
    most = max(int(2 * capacity.sum()), levels + 2)
    thresholds = np.sort(rng.choice(np.arange(1, most), levels, replace=False)) / 2
    shares = np.sort(rng.choice(np.arange(1, 21), levels, replace=False)) / 20
    return _instance(mo, rng, n, capacity, thresholds, shares, segments, quarter=True)


def generic_instance(rng, n, levels, *, segments=False):
    """Numbers in general position: no ties."""
    import mechopt as mo

    capacity = rng.uniform(1, 9, n)
    thresholds = np.cumsum(rng.uniform(0.3, 1.0, levels))
    thresholds *= capacity.sum() * rng.uniform(0.4, 0.95) / thresholds[-1]
    shares = np.cumsum(rng.uniform(0.05, 1.0, levels))
    shares /= shares[-1] * rng.uniform(1, 1.5)
    return _instance(mo, rng, n, capacity, thresholds, shares, segments, quarter=False)


def _instance(mo, rng, n, capacity, thresholds, shares, segments, *, quarter):
    shape = None
    if segments:
        shape = (np.stack([capacity / 2, capacity / 2], 1), np.tile([1.0, 1.5], (n, 1)))
    cost = rng.integers(0, 20, n) / 4 if quarter else rng.uniform(0.3, 5, n)
    value = rng.integers(0, 40, n) / 2 if quarter else rng.uniform(0, 20, n)
    return mo.Instance(
        cost=cost,
        value=value,
        capacity=None if segments else capacity,
        thresholds=thresholds,
        shares=shares,
        segments=shape,
        reversibility=rng.choice([0, 0.25, 0.5, 1, 1], n),
        removable=rng.choice([0, 0.5, 1, 1, 1], n),
        provider_value=float(rng.integers(0, 80)),
    )

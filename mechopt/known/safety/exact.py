"""The best safe plan for a few users, proved: a binary per set of users who may be left and level.

w_Sm = 1 if x(S) = Σ_{i∈S} x_i + Σ_{i∉S} (1 − δ_i) x_i reaches T_m. Then P(X ≥ T_k) = Σ_S P(S) w_Sk,
and what users expect if some of them decide to leave, Σ_S P(S | who decides to stay) B(w_S), are
linear in w, and the problem is a mixed-integer linear program (T_k = 1 in its units). In sequence
every decision after somebody has left is a binary, and what is expected then a column per user.
Sets that do not reach T_m stay below it by a relative 10⁻⁶, which is what the optimum is proved to.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, pairwise, permutations
from math import comb, inf
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray
from mechopt.dropouts.laws import laws_of_loss
from mechopt.known.practice.few import groups_hold
from mechopt.known.safety.aim import CONFIDENT, Safe, SafeAim
from mechopt.problem.practice import Practice, counted, multiples
from mechopt.solver import highs
from mechopt.solver.builder import Builder
from mechopt.status import Status
from mechopt.withdrawal.moves import burden_sign

_LIKELY, _MOST_USERS = 1000, 14  # sets × levels, where not all are told apart; users
_TENTH = 0.1  # of the failures allowed that sets not told apart may be
_MOST_SETS = {True: 32, False: 1024}  # sets × levels, in sequence or at once
_SMALL = 1e-9  # chances that HiGHS would drop
_BELOW = 1e-6
_LIFT = 3e-7  # what HiGHS may leave a row short of T by, and less than a third of _BELOW
_STRICT = 1e-6  # of v b or what he gives: by how much whoever leaves must prefer to
_Entries = list[tuple[int, float]]


def small_enough(aim: SafeAim) -> bool:
    """Whether all sets of users can be told apart."""
    most = _MOST_SETS[aim.order is not None]
    return aim.instance.n <= _MOST_USERS and 2**aim.instance.n * aim.instance.levels <= most


def solve(
    aim: SafeAim, quantity: str, budget: float, deadline: float
) -> tuple[Safe | None, float, bool]:
    """(best plan or None, lower bound in money, whether the search ended by itself)."""
    best: Safe | None = None
    least, ended = inf, True
    for order in _orders(aim):
        found, bound, alone = _solve_order(aim, order, quantity, budget, deadline)
        if found is not None and (best is None or found.value < best.value):
            best = found
        least, ended = min(least, bound), ended and alone
    return best, least, ended


def _orders(aim: SafeAim) -> Iterable[IntArray | None]:
    """None if users decide at once; else every order that burdens may bring about."""
    if aim.order is None:
        return [None]
    if not isinstance(aim.order, str):
        return [np.asarray(aim.order)]
    if aim.order == "cost":
        return [np.argsort(aim.instance.cost, kind="stable")]
    return map(np.array, permutations(range(aim.instance.n)))


def _solve_order(
    aim: SafeAim, order: IntArray | None, quantity: str, budget: float, deadline: float
) -> tuple[Safe | None, float, bool]:
    ask, strict = aim.confidence, 0.0
    least = -inf
    for _ in range(3):
        limit = max(deadline - perf_counter(), 0.1)
        model = _Model(aim, order, strict)
        found = highs.solve(
            model.program(quantity, budget, ask - model.rest()),
            time_limit=limit,
            mip_rel_gap=tolerances.MILP,
        )
        if found.status is Status.INFEASIBLE:
            return None, inf, True
        least = max(least, -inf if found.bound is None else found.bound)
        if found.x is None:
            return None, least, False
        plan, fault = model.plan(found.x, quantity)
        if plan is not None:
            return plan, least, found.status is Status.OPTIMAL
        if fault == "crossing":
            ask += tolerances.SOLVER  # the solver took a probability just short of what is asked
        else:
            strict = _STRICT  # a tie was decided as the game does not
            least = -inf  # what is proved from here on is of the strict model
    return None, 0.0, False


def likely(
    aim: SafeAim, quantity: str, budget: float, seconds: float
) -> tuple[Safe | None, float] | None:
    """(plan or None, lower bound in money) for more users, if all decide at once; else None.

    Only sets without a few users are told apart. For the bound all others reach every threshold
    and nobody who leaves reaches one in them; for the plan they fail. `seconds` for each.
    """
    n, lost = aim.instance.n, 1
    if n > _MOST_USERS or aim.order is not None:
        return None
    while lost == 1 or _more_than(aim, lost) > _TENTH * (1 - aim.confidence):
        lost += 1
        if sum(comb(n, k) for k in range(lost + 1)) * aim.instance.levels > _LIKELY:
            return None
    least, best = 0.0, None
    for hopeful in (True, False):
        model = _Model(aim, None, 0.0, lost)
        ask = aim.confidence - (model.rest() + CONFIDENT if hopeful else 0.0)
        program = model.program(quantity, budget, ask)
        found = highs.solve(program, time_limit=seconds, mip_rel_gap=1e-4)
        if hopeful and found.status is Status.INFEASIBLE:
            return None, inf
        if hopeful:
            least = 0.0 if found.bound is None else found.bound
        elif found.x is not None:
            best, _ = model.plan(found.x, quantity)
            if best is not None and aim.over(best.burden, best.payment, budget) > 0:
                best = None
    return best, least


class _Model:
    """The program of one order (None: all at once); `strict`: how clearly leavers must gain.

    :lost: how many users may be missing in the sets told apart; None: any
    """

    def __init__(
        self, aim: SafeAim, order: IntArray | None, strict: float, lost: int | None = None
    ) -> None:
        self.aim, self.order, self.strict = aim, order, strict
        self.instance = instance = aim.instance
        n = instance.n
        self.build = Builder()
        everyone = 2**n - 1
        missing = (pair for k in range(lost or 0, -1, -1) for pair in combinations(range(n), k))
        bits = [everyone - sum(1 << user for user in pair) for pair in missing]
        self.bits = list(range(2**n)) if lost is None else bits
        self.place = {one: at for at, one in enumerate(self.bits)}
        self.inside = (np.array(self.bits)[:, None] >> np.arange(n)) & 1 == 1  # (sets, n)
        widths = instance.widths / aim.threshold
        self.rates = instance.cost[:, None] * instance.slopes * aim.threshold
        self.give = [[self.build.column(0, 0, w) for w in row] for row in widths.tolist()]
        self.pay = [self.build.column(0, 0, inf if aim.transfers else 0) for _ in range(n)]
        self.asked = [] if instance.practice is None else self._asked(instance.practice)
        self.wins = self._levels()
        self._participation()
        if order is None:
            for user in range(n):
                leaves = self._leaf(everyone - (1 << user), user)
                self._stays(user, self._leaf(everyone, user), leaves)
        else:
            self._by_burden()
            for place, user in enumerate(order.tolist()):
                after = self._outcome(2**n - 1 - (1 << user), place + 1, (user,))
                self._stays(user, self._leaf(2**n - 1, user), after[user])

    def _cost(self, row: int, user: int, factor: float) -> None:
        for column, rate in zip(self.give[user], self.rates[user].tolist()):
            self.build.entry(row, column, factor * rate)

    def _data(self, row: int, shares: FloatArray) -> None:
        for columns, share in zip(self.give, shares.tolist()):
            for column in columns:
                self.build.entry(row, column, share)

    def _levels(self) -> list[list[int]]:
        """w_Sm, one list of levels per set."""
        build, instance = self.build, self.instance
        share = np.where(self.inside, 1.0, 1 - instance.removable)
        reach = share @ (instance.capacity / self.aim.threshold)
        wins: list[list[int]] = []
        for one, most in zip(share, reach.tolist()):
            columns: list[int] = []
            for goal in (instance.thresholds / self.aim.threshold).tolist():
                within = most >= goal * (1 - tolerances.DATA)  # everything may be just enough
                column = build.column(0, 0, 1.0 if within else 0.0, whole=True)
                if within:
                    goal = min(goal, most)
                    above, below = build.row(0, inf), build.row(-inf, goal * (1 - _BELOW))
                    self._data(above, one)
                    self._data(below, one)
                    build.entry(above, column, -goal)
                    build.entry(below, column, goal * (1 - _BELOW) - most)
                if columns:
                    self._not_before(column, columns[-1])
                columns.append(column)
            wins.append(columns)
        for s, columns in enumerate(wins):
            for user in np.flatnonzero(~self.inside[s]).tolist():
                for more, less in zip(wins[self.place[self.bits[s] | 1 << user]], columns):
                    self._not_before(less, more)
        return wins

    def _asked(self, practice: Practice) -> list[int]:
        """Section 11; columns that say who is asked."""
        build, T = self.build, self.aim.threshold
        found = []
        for user, (low, high) in enumerate(zip(*(end.tolist() for end in self.aim.range))):
            given = not practice.free[user]
            must = practice.required[user] or (given and high > 0)
            asked = build.column(0, 1 if must else 0, 0 if given and not must else 1, whole=True)
            alone = np.arange(self.instance.n) == user
            for end, row in ((low, build.row(0, inf)), (high, build.row(-inf, 0))):
                self._data(row, 1.0 * alone)
                build.entry(row, asked, -end / T)
            if practice.unit[user] > 0 and not given:
                size = float(practice.unit[user])
                count, row = build.column(0, 0, high / size + 0.5, whole=True), build.row(0, 0)
                self._data(row, 1.0 * alone)
                build.entry(row, count, -size / T)
            if practice.step > 0:
                most = float(self.instance.cost_of(self.instance.capacity)[user]) / practice.step
                count, row = build.column(0, 0, most + 1.5, whole=True), build.row(0, 0)
                build.entry(row, self.pay[user], 1)
                build.entry(row, count, -practice.step)
            found.append(asked)
        self._groups(practice)
        return found

    def _groups(self, practice: Practice) -> None:
        loose = practice.free & (practice.unit == 0)
        for place in range(len(practice.labels)):
            member = practice.group == place
            for least, most in ((practice.data_least[place], inf), (0, practice.data_most[place])):
                row = self.build.row(least / self.aim.threshold, most / self.aim.threshold)
                self._data(row, member * np.where(loose & (most < inf), 1 + _LIFT, 1.0))
            for part, row in (
                (practice.share_least[place], self.build.row(0, inf)),
                (practice.share_most[place], self.build.row(-inf, 0)),
            ):
                for user, mine in enumerate(member.tolist()):
                    self._cost(row, user, mine - part)

    def _not_before(self, one: int, other: int) -> None:
        row = self.build.row(-inf, 0)
        self.build.entry(row, one, 1)
        self.build.entry(row, other, -1)

    def _participation(self) -> None:
        for user, gain in enumerate(self.aim.gain.tolist()):
            row = self.build.row(-gain, inf)
            self.build.entry(row, self.pay[user], 1)
            self._cost(row, user, -1)

    def _by_burden(self) -> None:
        sign = float(burden_sign(self.aim.order))
        if sign == 0:
            return
        assert self.order is not None
        order = self.order.tolist()
        for first, second in pairwise(order):
            row = self.build.row(self.strict if first > second else 0, inf)
            shares = np.zeros(self.instance.n)
            shares[first], shares[second] = -sign, sign
            self._data(row, shares)

    # -- what is expected -------------------------------------------------------------------------

    def _leaf(self, stay: int, user: int) -> _Entries:
        """E[B | `stay` (a set, in bits) decide to stay, `user` is not lost], linear in w."""
        chance = _chances(self.aim, self.inside, stay, user)
        steps = np.diff(self.instance.shares, prepend=0.0).tolist()
        return [
            (column, step * float(chance[s]))
            for s in np.flatnonzero(chance >= _SMALL).tolist()
            for column, step in zip(self.wins[s], steps)
        ]

    def _outcome(self, stay: int, place: int, asked: tuple[int, ...]) -> dict[int, _Entries]:
        """What each of `asked` expects once those from `place` on have decided as they prefer."""
        assert self.order is not None
        if place == self.order.size:
            return {user: self._leaf(stay, user) for user in asked}
        build, mover = self.build, int(self.order[place])
        stays = self._outcome(stay, place + 1, (*asked, mover))
        leaves = self._outcome(stay - (1 << mover), place + 1, (*asked, mover))
        decides = build.column(0, 0, 1, whole=True)
        self._prefers(mover, decides, stays[mover], leaves[mover])
        most = self.aim.most_share
        found: dict[int, _Entries] = {}
        for user in asked:
            column = build.column(0, 0, most)
            for child, flag in ((stays[user], most), (leaves[user], -most)):
                for sign in (1.0, -1.0):
                    row = build.row(-inf, most if flag > 0 else 0)
                    build.entry(row, column, sign)
                    self._add(row, child, -sign)
                    build.entry(row, decides, flag)
            found[user] = [(column, 1.0)]
        return found

    def _add(self, row: int, entries: _Entries, factor: float) -> None:
        for column, value in entries:
            self.build.entry(row, column, factor * value)

    def _gain(self, row: int, user: int, stays: _Entries, leaves: _Entries) -> None:
        """v (E[B | stays] − (1 − η) E[B | leaves]) + t − ρ C."""
        value = float(self.instance.value[user])
        self._add(row, stays, value)
        self._add(row, leaves, -value * (1 - float(self.instance.exclusion[user])))
        self.build.entry(row, self.pay[user], 1)
        self._cost(row, user, -float(self.aim.reversible[user]))

    def _stays(self, user: int, stays: _Entries, leaves: _Entries) -> None:
        if self.aim.reversible[user] > 0:
            most = float(self.instance.value[user]) * self.aim.most_share
            self._gain(self.build.row(-self.rest(user) * most, inf), user, stays, leaves)

    def _prefers(self, user: int, decides: int, stays: _Entries, leaves: _Entries) -> None:
        instance = self.instance
        top = float(instance.value[user]) * self.aim.most_share
        borne = float(instance.cost_of(instance.capacity)[user])
        most = top + 2 * borne
        wants = self.build.row(-most, inf)
        leaver = self.build.row(-inf, -self.strict * max(top, borne))
        for row in (wants, leaver):
            self._gain(row, user, stays, leaves)
            self.build.entry(row, decides, -most)

    def rest(self, user: int | None = None) -> float:
        """The chance of the sets that no row counts, if `user` is not lost."""
        chance = _chances(self.aim, self.inside, 2**self.instance.n - 1, user)
        return max(1 - float(chance[chance >= _SMALL].sum()), 0.0)

    # -- the program and its plan -----------------------------------------------------------------

    def program(self, quantity: str, budget: float, confidence: float) -> Any:
        build = self.build
        safe = build.row(confidence, inf)
        chance = _chances(self.aim, self.inside, 2**self.instance.n - 1, None)
        for s, columns in enumerate(self.wins):
            if chance[s] >= _SMALL:
                build.entry(safe, columns[self.aim.level - 1], float(chance[s]))
        practice = self.instance.practice
        contact = [] if practice is None else list(zip(self.asked, practice.contact.tolist()))
        if budget < inf:
            row = build.row(-inf, budget)
            for column, money in (*((pay, 1.0) for pay in self.pay), *contact):
                build.entry(row, column, money)
        if quantity == "pay" or self.aim.charged:
            for column, money in contact:
                build.cost[column] = money
        if quantity == "pay":
            for column in self.pay:
                build.cost[column] = 1.0
        else:
            for columns, rates in zip(self.give, self.rates.tolist()):
                for column, rate in zip(columns, rates):
                    build.cost[column] = rate
        return build.program()

    def plan(self, x: FloatArray, quantity: str) -> tuple[Safe | None, str]:
        """(the plan of a solution, "") or (None, what of it does not hold)."""
        aim, practice = self.aim, self.instance.practice
        burden = np.array([sum(x[at] for at in columns) for columns in self.give]) * aim.threshold
        lifted = self._lifted(burden)
        crossing = aim.crossing(lifted)
        if not aim.is_safe(crossing):
            return None, "crossing"
        payment = aim.payments(lifted, aim.held_by(crossing))
        if self.order is not None:
            # no more than what the model pays: the game that follows holds them
            paid = np.array([x[column] for column in self.pay])
            cost = self.instance.cost_of(lifted)
            least = aim.payments(lifted, aim.gain)
            slack = tolerances.MONEY * np.maximum(cost, aim.gain) + 2 * _LIFT * cost
            payment = np.minimum(payment, np.maximum(paid + slack, least))
            if practice is not None and practice.step > 0:
                near = multiples(np.rint(payment / practice.step), practice.step)
                payment = np.where(near >= payment - 2 * slack, near, near + practice.step)
            if not aim.stable(lifted, payment):
                return None, "game"
        if practice is not None:
            data, cost = lifted[None, :], self.instance.cost_of(lifted)[None, :]
            if not groups_hold(practice, data, cost).all():
                return None, "groups"
        found = Safe(lifted, payment, aim.worth(quantity, lifted, payment), crossing)
        return (found if self.order is not None else self._undusted(found, quantity)), ""

    def _undusted(self, safe: Safe, quantity: str) -> Safe:
        """Nobody is paid for what his burden was raised by, where it is safe without."""
        aim = self.aim
        cost, held_by = self.instance.cost_of(safe.burden), aim.held_by(safe.crossing)
        dust = (safe.payment > 0) & (safe.payment <= 4 * _LIFT * cost)
        if not dust.any() or self.asked:
            return safe
        rho = np.maximum(aim.reversible, tolerances.TINY)
        free = self.instance.affordable(np.minimum(aim.gain, held_by / rho))
        found = aim.priced(np.where(dust, np.minimum(safe.burden, free), safe.burden), quantity)
        return found if aim.is_safe(found.crossing) and found.value < safe.value else safe

    def _lifted(self, burden: FloatArray) -> FloatArray:
        """Burdens (n,) of a solver a little raised, so that no row is short; as may be asked."""
        practice, (low, high) = self.instance.practice, self.aim.range
        lifted = np.minimum(burden * (1 + _LIFT), high)
        lifted[burden <= tolerances.DATA * self.aim.threshold] = 0.0
        if practice is None:
            return lifted
        lifted = np.where(lifted > 0, np.maximum(lifted, low), 0.0)
        whole = np.where(practice.unit > 0, counted(practice.counts(burden), practice.unit), lifted)
        return np.where(practice.free, whole, practice.fixed)


def _more_than(aim: SafeAim, lost: int) -> float:
    """The chance that more than so many users are lost."""
    ones = np.ones(aim.instance.n)
    states = [(p, laws_of_loss(ones, h, np.array([float(lost)]))[0]) for p, h in aim.hazards.states]
    return sum(p * (1 - float(law.bounds(np.array([float(lost)]))[0][0])) for p, law in states)


def _chances(aim: SafeAim, inside: Any, stay: int, user: int | None) -> FloatArray:
    """P(exactly S is left | `stay` decide to stay, `user` is not lost), shape (sets,)."""
    n = inside.shape[1]
    there = (stay >> np.arange(n)) & 1 == 1
    found = np.zeros(len(inside))
    kept = 1.0 if user is None else max(1 - float(aim.hazards.mean[user]), tolerances.TINY)
    for prior, hazard in aim.hazards.states:
        left = np.where(there, 1 - hazard, 0.0)
        weight = prior
        if user is not None:
            weight *= (1 - float(hazard[user])) / kept
            left[user] = float(there[user])
        found += weight * np.where(inside, left, 1 - left).prod(axis=1)
    return found

"""Users who decide in turn where steps grow: zones (F12), and prices that bound any plan.

Let P_m(i) be the data that leave with those after i who are *unwilling* at level m, that is with
r = ρ C − t > v (b_m − (1 − η) b_{m−1}). Without i the others reach every m with
X − δ x − P_m(i) ≥ T_m: the willing stay rather than see it missed. The highest such m is the
*zone* l of i, so r ≤ v (b_k − (1 − η) b_l) if he stays. *Rows*: if somebody is in a zone below m,
the last of these, the key of m, has δ x > G_m − Σ δ x over those unwilling at m who come after him,
G_m = T_k + R − T_m; these are all in zones from m on.

Where zone m holds everybody willing at m (v (b_k − (1 − η) b_m) ≥ v (b_m − (1 − η) b_{m−1})), those
below m who come after the last one unwilling there may as well be counted in zone m, and again,
until the key of each such row is unwilling at it.

A proof is a tree. It asks whether anybody is below a row, from the highest row on ("nobody",
"somebody"); between which bounds the shortfall d_m = G_m − Σ lies, which the key makes good; and
between which bounds the key comes in the order: who is below m comes no later than he, who counts
at m no earlier. At a leaf, prices of data, rows and budget leave every user a choice of his own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import combinations
from typing import Any

from .data import ONE, ZERO, Levels, User, number, numbers, require, total

Rows = frozenset[int]
Choice = tuple[Fraction, Fraction, Fraction, int, Rows]  # x, cost, need, zone, unwilling at
Range = tuple[Fraction | None, Fraction | None]  # None: no bound
ANY_ORDER = "the bound holds whatever the order in which users decide"
KEYS = 6  # rows that ask for a key of their own, at most


def surely_stay(
    levels: Levels, users: list[User], x: list[Fraction], r: list[Fraction], places: list[int]
) -> bool:
    """Whether everyone stays by what each withdrawal sets off at least; the recursion finds more.

    Nobody with r > v b_q stays on a path that ends at level q. So if i leaves and levels above q
    are out of reach, q is as well if all before him, those after him with r ≤ v b_q, and what the
    others cannot take away, are less than T_q. (`places`: who can leave, in the order.)
    """
    upto = everything = total(x)
    after = [ZERO] * (levels.K + 1)  # by level: what surely remains of those later
    for i in reversed(places):
        left = users[i].removes(x[i])
        final = levels.level(everything - left)
        while final and upto - left + after[final] < levels.T[final - 1]:
            final -= 1
        if users[i].loss(levels.b[levels.level(everything)], levels.b[final]) < r[i]:
            return False
        upto -= x[i]
        for q in range(1, levels.K + 1):
            goes = r[i] > users[i].value * levels.b[q]
            after[q] += x[i] - left if goes else x[i]
    return levels.level(everything) > 0


@dataclass(frozen=True)
class Case:
    """Nobody is below zone `lowest`; rows from `first` on are in force; bounds by row."""

    lowest: int
    first: int
    short: dict[int, Range] = field(default_factory=dict)
    place: dict[int, Range] = field(default_factory=dict)

    def start(self, row: int) -> Fraction | None:
        """Where the key of `row` comes at the earliest: not before those of lower rows."""
        lows = [low for m, (low, _) in self.place.items() if m <= row and low is not None]
        return max(lows, default=None)

    def end(self, zone: int) -> Fraction | None:
        """Where users of a zone come at the latest."""
        highs = [high for m, (_, high) in self.place.items() if m > zone and high is not None]
        return min(highs, default=None)


def in_zones(problem: Any, level: int) -> bool:
    """Whether a level of a plan's problem is one in sequence, where (W1) is not all there is."""
    whole = problem.mechanism == "burdens" and not problem.part
    return whole and problem.protocol == "sequential" and not problem.exactly(level)


def zones_of(problem: Any, level: int) -> ZoneProblem:
    """The level of a plan's problem as one of zones."""
    require(in_zones(problem, level), "zones are for burdens in sequence, where steps grow")
    order = None if problem.free else problem.order
    return ZoneProblem(problem.levels, problem.users, problem.amount(level), order)


class ZoneProblem:
    """Level k, to be reached with X ≥ `amount` = T_k + R, everyone staying in turn.

    :order: small-first, large-first, a list of users, or None: the provider's choice
    """

    def __init__(self, levels: Levels, users: list[User], amount: Fraction, order: Any) -> None:
        self.level, self.amount, self.budget = levels.level(amount), amount, levels.budget
        self.b, self.users, self.order = levels.b, users, order
        self.top = self.level - (amount == levels.T[self.level - 1])
        self.gap = [amount - threshold for threshold in [ZERO, *levels.T[: self.top]]]
        self.position = {i: at for at, i in enumerate(order)} if isinstance(order, list) else {}
        self.waits, self.threats = [True], [False]
        for m in range(1, self.top + 1):
            spare = [self.held(u, m) - self.step(u, m) for u in users if u.delta > 0]
            self.waits.append(min(spare, default=ZERO) >= 0)
            self.threats.append(max(spare, default=ZERO) > 0)
        self.bends: dict[tuple[int, int], list[Fraction]] = {}
        self.known: dict[tuple[int, int, Fraction], Choice] = {}

    def held(self, user: User, zone: int) -> Fraction:
        """What leaving costs him; who takes nothing away is left with everything."""
        return user.loss(self.b[self.level], self.b[zone if user.delta > 0 else self.level])

    def step(self, user: User, row: int) -> Fraction:
        return user.loss(self.b[row], self.b[row - 1])

    def place(self, i: int, x: Fraction) -> Fraction:
        """Where he comes in the order."""
        if self.position:
            return Fraction(self.position[i])
        return -x if self.order == "large-first" else x

    # -- the tree -------------------------------------------------------------------------------

    def least(self, node: dict[str, Any], paid: bool, costs: bool, case: Case | None = None) -> Any:
        """Lower bound on payments (on costs if `costs`) of plans in a case; None: there are none.

        :paid: whether there are payments
        """
        case = Case(0, self.top + 1) if case is None else case
        if "nobody" in node:
            row = case.first - 1
            require(case.lowest == 0 and row > 0, "below which row?")
            sides = {"nobody": replace(case, lowest=row), "somebody": replace(case, first=row)}
        elif "row" in node:
            row, cut, of = node["row"], number(node["cut"]), node["of"]
            require(type(row) is int and case.first <= row <= self.top, "which row?")
            require(of in ("short", "place"), "a split of what?")
            require(of == "short" or self.order is not None, "the order is free")
            ranges: dict[int, Range] = getattr(case, of)
            low, high = ranges.get(row, (None, None))
            ends = {"below": (low, cut), "above": (cut, high)}
            sides = {side: self.within(case, of, {**ranges, row: ends[side]}) for side in ends}
        else:
            return self.leaf(node, paid, costs, case)
        parts = [self.least(node[side], paid, costs, one) for side, one in sides.items()]
        return min((part for part in parts if part is not None), default=None)

    @staticmethod
    def within(case: Case, of: str, ranges: dict[int, Range]) -> Case:
        return replace(case, short=ranges) if of == "short" else replace(case, place=ranges)

    def leaf(self, node: dict[str, Any], paid: bool, costs: bool, case: Case) -> Any:
        """For any prices ≥ 0, with d_m in [low, high] for the rows in force,

            λ X + Σ λ_m (G_m − high)⁺ − μ β + Σ_i min of weight + μ need − (λ + Σ λ_m δ) x,

        m over the rows where he counts, and what it adds that for every m somebody below has
        δ x ≥ low, who may serve several rows. Users' shares are rounded down to the grid.
        """
        rows = range(case.first, self.top + 1)
        data, budget = number(node["data_price"]), number(node["budget_price"])
        price = dict(zip(rows, numbers(node["row_prices"]), strict=True))
        require(min(data, budget, *price.values()) >= 0, "a negative price")
        require(budget == 0 or self.budget is not None, "a price without a budget")
        grid = number(node["grid"])
        require(grid > 0, "a grid without width")
        require(node["shows"] in ("bound", "unreachable"), "a node shows a bound or unreachability")
        minimise = node["shows"] == "bound"
        on_cost = ONE if minimise and costs else ZERO
        on_need = budget + (ONE if minimise and not costs else ZERO)
        dual = data * self.amount - budget * (self.budget or ZERO)
        asked: dict[int, Fraction] = {}
        for m in rows:
            low, high = self.shortfall(m, case)
            if low > high:
                return None
            dual += price[m] * max(ZERO, self.gap[m] - high)
            if low > 0:
                asked[m] = low
        require(len(asked) <= KEYS, "too many keys")
        extra: dict[Rows, Fraction] = {}
        for i, user in enumerate(self.users):
            least, own = ZERO, []
            for x, cost, need, zone, unwilling in self.choices(i, case, asked, paid):
                start = [(m, case.start(m)) for m in unwilling if m <= zone and m in price]
                counts = [price[m] for m, a in start if a is None or a <= self.place(i, x)]
                earned = data + user.delta * total(counts)
                reduced = on_cost * cost + on_need * need - earned * x
                least = min(least, reduced)
                keys = [m for m, low in asked.items() if zone < m and user.delta * x >= low]
                own.append((reduced, {m for m in keys if m in unwilling or not self.waits[m]}))
            dual += least // grid * grid
            for reduced, can in own:
                for size in range(1, len(can) + 1):
                    for some in map(frozenset, combinations(sorted(can), size)):
                        more = reduced - least
                        extra[some] = min(extra.get(some, more), more)
        added = self.keys(frozenset(asked), extra)
        if added is None:
            return None
        require(minimise or dual + added > 0, "the prices do not show that it is out of reach")
        return dual + added if minimise else None

    def keys(self, rows: Rows, extra: dict[Rows, Fraction]) -> Fraction | None:
        """The least that keys of all rows add, each for some of them; None: somebody is missing."""
        if not rows:
            return ZERO
        sums = []
        for some, more in extra.items():
            rest = self.keys(rows - some, extra) if min(rows) in some and some <= rows else None
            if rest is not None:
                sums.append(more + rest)
        return min(sums, default=None)

    # -- users ----------------------------------------------------------------------------------

    def most(self, i: int) -> Fraction:
        """The most he may give: nobody is paid more than the budget."""
        curve, gain = self.users[i].curve, self.users[i].value * self.b[self.level]
        if self.budget is None:
            return curve.capacity
        return min(curve.capacity, curve.inverse(gain + self.budget))

    def shortfall(self, row: int, case: Case) -> tuple[Fraction, Fraction]:
        """Bounds on d_m: nobody below the row has more; where nobody counts it is the whole gap."""
        low, high = case.short.get(row, (None, None))
        low = max(low or ZERO, ZERO if self.threats[row] else self.gap[row])
        end, longest = case.end(row - 1), ZERO
        for i, user in enumerate(self.users):
            x = self.most(i)
            if end is not None and self.order == "small-first":
                x = min(x, end)
            longest = max(longest, user.delta * x)
        return low, longest if high is None else min(high, longest)

    def choices(self, i: int, case: Case, asked: dict[int, Fraction], paid: bool) -> list[Choice]:
        """Corners of user i's burden, zone by zone; between them everything is linear or worse."""
        user, found = self.users[i], []
        marks = {low / user.delta for low in asked.values()} if user.delta > 0 else set()
        if self.order in ("small-first", "large-first"):
            marks |= {abs(end) for ends in case.place.values() for end in ends if end is not None}
        for zone in [case.lowest, *range(max(case.first, case.lowest + 1), self.top + 1)]:
            if (i, zone) not in self.bends:
                self.bends[i, zone] = self.corners(i, zone)
            corners = self.bends[i, zone]
            corners = corners + [x for x in marks if ZERO < x < corners[-1]]
            end = case.end(zone)
            found += [
                one
                for one in (self.choice(i, x, zone) for x in corners)
                if (paid or one[2] == 0) and (end is None or self.place(i, one[0]) <= end)
            ]
        return found

    def corners(self, i: int, zone: int) -> list[Fraction]:
        """Where a segment ends, or need or the rows in which he is unwilling change."""
        user, most = self.users[i], self.most(i)
        gain, held = user.value * self.b[self.level], self.held(user, zone)
        steps = [held, *(self.step(user, m) for m in range(1, self.top + 1))]
        costs = {gain, *(one / user.rho for one in steps if user.rho > 0)}
        costs |= {(gain - one) / (1 - user.rho) for one in steps if user.rho < 1}
        bends = [
            total(width for width, _ in user.curve.pieces[:at])
            for at in range(len(user.curve.pieces))
        ]
        bends += [user.curve.inverse(cost) for cost in costs if cost > 0]
        return sorted({most, *(x for x in bends if x < most)})

    def choice(self, i: int, x: Fraction, zone: int) -> Choice:
        if (i, zone, x) not in self.known:
            user, gain = self.users[i], self.users[i].value * self.b[self.level]
            cost, held = user.curve.cost(x), self.held(user, zone)
            most = min(user.rho * cost, gain - (1 - user.rho) * cost)  # of r, at the least payment
            rows = range(1, self.top + 1) if user.delta > 0 else range(0)
            unwilling = frozenset(m for m in rows if held > self.step(user, m) <= most)
            need = max(ZERO, cost - gain, user.rho * cost - held)
            self.known[i, zone, x] = x, cost, need, zone, unwilling
        return self.known[i, zone, x]

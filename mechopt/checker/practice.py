"""Plans that can be carried out: least amounts, whole units, contacts, steps, groups (B1–B6).

What a user may be asked for is a list of points and of straight lines between corners; what ties
users together is rows with prices. So weak duality bounds every plan as it does without.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import ceil, floor, gcd, lcm
from typing import Any, NamedTuple

from .data import ONE, ZERO, number, require, total
from .plans import Boxes, PlanProblem

MOST_OF_ONE = 300  # multiples or stairs of a user that are listed; beyond, the curve below them
# burden x, what counts as cost, money spent (payment needed and contact), cost C(x), 1 if asked
Point = tuple[Fraction, Fraction, Fraction, Fraction, Fraction]
Range = tuple[Fraction, Fraction]


class Part(NamedTuple):
    """What is left of all plans: ranges of burdens, of the total, of how many are asked."""

    boxes: Boxes
    between: Range
    people: tuple[int, int]


def common(sizes: Any) -> Fraction:
    """The largest number of which all are multiples; 0 for none."""
    some = [size for size in sizes if size]
    below = lcm(*(size.denominator for size in some))
    return Fraction(gcd(*(int(size * below) for size in some)), below) if some else ZERO


class Askable:
    """What one user may be asked for."""

    def __init__(self, user: dict[str, Any], capacity: Fraction) -> None:
        self.least, self.unit = number(user.get("least", 0)), number(user.get("unit", 0))
        self.contact, self.group = number(user.get("contact_cost", 0)), user.get("group", "")
        fixed = user.get("fixed")
        self.fixed = None if fixed is None else number(fixed)
        self.required = self.fixed is None and number(user.get("required", 0)) > 0
        require(min(self.least, self.unit, self.contact) >= 0, "a negative term of practice")
        self.low, self.high = self.least, capacity
        if self.fixed is not None:
            self.low = self.high = self.fixed
        elif self.unit:
            self.low = max(ceil(self.least / self.unit), 1) * self.unit
            self.high = floor(capacity / self.unit) * self.unit

    @property
    def grid(self) -> Fraction:
        """What a burden that is to be chosen is a multiple of; 0 for nothing."""
        return self.unit if self.fixed is None else ZERO

    def allows(self, x: Fraction) -> bool:
        """(B1), (B2), (B3)"""
        if self.fixed is not None:
            return x == self.fixed
        if x == 0:
            return not self.required
        return x >= self.least and (not self.unit or (x / self.unit).denominator == 1)

    def ranges(self, box: Range) -> list[Range]:
        """Where burdens may lie within `box`: nothing, and from the least to the most."""
        low, high = max(box[0], self.low), min(box[1], self.high)
        if self.unit and self.fixed is None:
            low, high = ceil(low / self.unit) * self.unit, floor(high / self.unit) * self.unit
        nothing = box[0] <= 0 and self.fixed is None and not self.required
        return [(ZERO, ZERO)] * nothing + [(low, high)] * (low <= high)


class PracticeProblem(PlanProblem):
    """The provider's problem with the rows of practice."""

    def __init__(self, problem: dict[str, Any], terms: dict[str, Any]) -> None:
        super().__init__(problem, terms)
        self.contacts = self.aim.objective == "welfare"  # whether they count in the cost
        known = not (self.on_top or self.part or self.protocol == "reassign")
        require(known, "practice with other rights or committed data is not dealt with")
        self.asked = [
            Askable(one, u.curve.capacity) for one, u in zip(problem["users"], self.users)
        ]
        self.step = number(problem.get("payment_step", 0))
        require(self.step >= 0, "a negative payment step")
        self.limits = {}  # (side, label) -> (whether of data, limit)
        for side in ("least", "most"):
            for label, (kind, limit) in problem.get(f"group_{side}", {}).items():
                require(kind in ("data", "share") and number(limit) >= 0, "a group's limit")
                self.limits[side, label] = kind == "data", number(limit)
        self._points: dict[Any, list[Point]] = {}

    def exactly(self, level: int) -> bool:
        """Whether (W1) is asked; what it asks never falls as the total grows. In sequence only what
        everybody must be paid is (a bound)."""
        return self.protocol not in ("none", "sequential")

    # -- the answer -------------------------------------------------------------------------------

    def carried_out(self, x: list[Fraction], t: list[Fraction]) -> Fraction:
        """Σ κ_i of an answer that holds B1–B6."""
        for i, (asked, given, paid) in enumerate(zip(self.asked, x, t)):
            require(asked.allows(given), f"(B1–B3) user {i} may not be asked for {given}")
            whole = not self.step or (paid / self.step).denominator == 1
            require(whole, f"(B4) user {i} is not paid in whole steps")
        cost = [user.curve.cost(given) for user, given in zip(self.users, x)]
        for (side, label), (of_data, limit) in self.limits.items():
            mine = [asked.group == label for asked in self.asked]
            amounts = x if of_data else cost
            part = total(one for one, his in zip(amounts, mine) if his)
            bound = limit if of_data else limit * total(cost)
            holds = part >= bound if side == "least" else part <= bound
            require(holds, f"(B5, B6) the {side} of group {label!r} is not kept")
        return total(asked.contact for asked, given in zip(self.asked, x) if given > 0)

    # -- the bound --------------------------------------------------------------------------------

    def everything(self, level: int) -> Part:
        """All plans at `level`."""
        most = total(user.curve.capacity for user in self.users)
        between = self.amount(level), min([most, *self.levels.T[level : level + 1]])
        return Part({}, between, (0, len(self.users)))

    def totals(self, level: int, part: Part) -> Range | None:
        """The least and the most total that may be left; None if there is none."""
        low, high = part.between
        ends = [a.ranges(part.boxes.get(i, (ZERO, a.high))) for i, a in enumerate(self.asked)]
        if not all(ends):
            return None
        low = max(low, total(one[0][0] for one in ends))  # nobody gives less than he can be asked
        high = min(high, total(one[-1][1] for one in ends))
        free = [asked for asked in self.asked if asked.fixed is None]
        if all(asked.unit for asked in free):
            low, high = self.rounded(low, high, self.asked)
            if high in self.levels.T[level : level + 1]:
                high -= common(asked.unit for asked in free)
        return (low, high) if low <= high else None

    @staticmethod
    def rounded(low: Fraction, high: Fraction, whose: list[Askable]) -> Range:
        """The sums of these users' burdens nearest to both ends, inside."""
        given = total(asked.fixed for asked in whose if asked.fixed is not None)
        grid = common(asked.grid for asked in whose)
        if not grid:
            return max(low, given), min(high, given)
        return (
            given + ceil((low - given) / grid) * grid,
            given + floor((high - given) / grid) * grid,
        )

    def limit(self, side: str, label: str) -> Fraction:
        """A group's limit on data, in the units its users have."""
        bound = self.limits[side, label][1]
        mine = [asked for asked in self.asked if asked.group == label]
        if all(asked.unit for asked in mine if asked.fixed is None):
            rounded = self.rounded(bound, bound, mine)
            return max(bound, rounded[0]) if side == "least" else min(bound, rounded[1])
        return bound

    def least(self, level: int, node: dict[str, Any], part: Any = None) -> Any:
        """Lower bound as without practice, over totals between two numbers: needs never fall as
        the total grows, so those at its lower end bound them. A node may split a user's range, that
        of the totals, or the number of people asked.
        """
        if not self.offered(level):
            return None
        part = part or self.everything(level)
        if "cut" not in node:
            return self.dual(level, node, part)
        bounds = (self.least(level, node[side], one) for side, one in self.halves(node, part))
        return min((bound for bound in bounds if bound is not None), default=None)

    def halves(self, node: dict[str, Any], part: Part) -> list[tuple[str, Part]]:
        """The two parts into which a node splits; together they are the whole."""
        cut, of = number(node["cut"]), node["of"]
        if of == "people":
            require(cut.denominator == 1, "a split between people")
            fewest, most = part.people
            return [
                ("below", part._replace(people=(fewest, min(most, int(cut))))),
                ("above", part._replace(people=(max(fewest, int(cut) + 1), most))),
            ]
        low, high = part.between
        if of != "total":
            require(type(of) is int and 0 <= of < len(self.users), "split of whom?")
            low, high = part.boxes.get(of, (ZERO, self.users[of].curve.capacity))
        require(low <= cut <= high, "a split outside the range")
        sides = (("below", (low, cut)), ("above", (cut, high)))
        if of == "total":
            return [(side, part._replace(between=one)) for side, one in sides]
        return [(side, part._replace(boxes={**part.boxes, of: one})) for side, one in sides]

    def dual(self, level: int, node: dict[str, Any], part: Part) -> Any:
        """What the prices of a leaf prove; None: no burdens, total or number of people are left."""
        boxes, people, between = part.boxes, part.people, self.totals(level, part)
        if between is None or people[0] > people[1]:
            return None
        require(node["shows"] in ("bound", "unreachable"), "a node shows a bound or unreachability")
        minimise = node["shows"] == "bound"
        data_price, budget_price = number(node["data_price"]), number(node["budget_price"])
        require(budget_price >= 0, "a negative price of the budget")
        require(budget_price == 0 or self.levels.budget is not None, "a price without a budget")
        cost_weight = ONE if minimise and self.aim.counts_cost else ZERO
        pay_weight = budget_price + (ONE if minimise and not self.aim.counts_cost else ZERO)
        asked_price = number(node["asked_price"])
        dual = data_price * between[data_price < 0] - budget_price * (self.levels.budget or ZERO)
        dual += asked_price * people[asked_price < 0]
        of_data: dict[str, Fraction] = {}  # signed prices by group
        of_cost: dict[str, Fraction] = {}
        everybody = ZERO
        for side, label, price in node["group_prices"]:
            price = number(price)
            require(price >= 0, "a negative price of a group's limit")
            mine, limit = self.limits[side, label]
            price = price if side == "least" else -price
            if mine:
                of_data[label] = of_data.get(label, ZERO) + price
                dual += price * self.limit(side, label)
            else:
                of_cost[label] = of_cost.get(label, ZERO) + price
                everybody -= price * limit
        for i, asked in enumerate(self.asked):
            points = self.points(i, level, boxes.get(i), between[0])
            if not points:
                return None
            price = data_price + of_data.get(asked.group, ZERO)
            share = everybody + of_cost.get(asked.group, ZERO)
            dual += min(
                cost_weight * borne
                + pay_weight * spent
                - price * x
                - share * cost
                - asked_price * one
                for x, borne, spent, cost, one in points
            )
        if not minimise:
            require(dual > 0, "the prices do not show that the level is out of reach")
            return None
        grid = self.money_grid(level, boxes, between[0])
        return ceil(dual / grid) * grid if grid else dual

    def money_grid(self, level: int, boxes: Boxes, amount: Fraction) -> Fraction:
        """What everything that is minimised comes in multiples of; 0 where nothing is known.

        With needs as at `amount`; what a plan really takes is at least that, if its total is more.
        """
        of_cost, sizes = self.aim.counts_cost, [ZERO]
        for i, asked in enumerate(self.asked):
            if not of_cost and self.step:
                sizes += [self.step, asked.contact]
                continue
            points = self.points(i, level, boxes.get(i), amount)
            if asked.fixed is None and not (asked.unit and self.listed(asked, boxes.get(i))):
                return ZERO
            sizes += {point[1 if of_cost else 2] for point in points}
        return common(sizes)

    @staticmethod
    def listed(asked: Askable, box: Range | None) -> bool:
        """Whether every multiple that may be asked is a point of its own."""
        low, high = (asked.ranges(box or (ZERO, asked.high)) or [(ZERO, ZERO)])[-1]
        return (high - low) / asked.unit < MOST_OF_ONE

    def points(self, i: int, level: int, box: Range | None, amount: Fraction) -> list[Point]:
        """What user i may be asked for within `box`, and what that takes if the total is `amount`.

        Corners, as of `offers`; where a user is to be asked for something at all, the limit at 0
        is one. Of more units or steps than can be listed, the curve that lies below them.
        """
        box = box or (ZERO, self.users[i].curve.capacity)
        key = i, level, box, amount
        if key not in self._points:
            self._points[key] = self._listed(i, level, box, amount)
        return self._points[key]

    def _listed(self, i: int, level: int, box: Range, amount: Fraction) -> list[Point]:
        asked, curve, found = self.asked[i], self.users[i].curve, []
        for low, high in asked.ranges(box):
            if asked.fixed is None and asked.unit and high > 0 and self.listed(asked, box):
                first, last = int(low / asked.unit), int(high / asked.unit)
                ends = [(count * asked.unit,) * 2 for count in range(first, last + 1)]
            else:
                ends = [(low, high)]
            contact = asked.contact if high > 0 else ZERO
            for one in ends:
                for x, need in self.paid(self.offers(i, level, *one, amount)):
                    cost = curve.cost(x)
                    borne = cost + (contact if self.contacts else ZERO)
                    found.append((x, borne, need + contact, cost, ONE if high > 0 else ZERO))
        return found

    def paid(self, corners: list[Any]) -> list[Range]:
        """(burden, payment) at corners, payments rounded up to steps: of a line, its stairs."""
        ends = [(x, need) for x, _, need in corners]
        if not self.step or not self.transfers:
            return ends
        stairs = [(x, ceil(need / self.step) * self.step) for x, need in ends]
        lines = [pair for pair in pairwise(ends) if pair[0][0] < pair[1][0]]
        number = sum(abs(b[1] - a[1]) / self.step for a, b in lines)
        if number > MOST_OF_ONE:
            return ends
        for (x, need), (y, more) in lines:
            first, last = sorted((ceil(need / self.step), ceil(more / self.step)))
            for count in range(first, last):  # where the need passes a step: from either side
                z = x + (y - x) * (count * self.step - need) / (more - need)
                stairs += [(z, count * self.step), (z, (count + 1) * self.step)]
        return stairs


def of_practice(problem: dict[str, Any]) -> bool:
    """Whether the data say anything of practice."""
    fields = ("least", "unit", "contact_cost", "fixed", "required")
    rest = ("payment_step", "group_least", "group_most")
    return any(problem.get(name) for name in rest) or any(
        name in user for user in problem["users"] for name in fields
    )


def plan_problem(problem: dict[str, Any], terms: dict[str, Any]) -> PlanProblem:
    """The problem that data and terms pose to a provider who knows the costs."""
    return (PracticeProblem if of_practice(problem) else PlanProblem)(problem, terms)

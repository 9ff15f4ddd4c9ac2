"""Exact optimum of the known-cost problem: prices of data and budget that prove it, in fractions.

For given prices every user's problem is separate and linear between the corners of her offers
(`PlanProblem.offers`). Convexified offers, sorted by marginal key, give the price of data at
which the threshold is reached; supporting lines give the price of the budget. Where convexifying
loses something (several thresholds: withdrawal makes needs jump), a user's range is split.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

from mechopt.checker.data import ONE, ZERO, Refuted
from mechopt.checker.plans import Boxes, Offer, PlanProblem

MOST_NODES = 200  # splits of ranges per level before the bound is left as it is
MOST_LINES = 100  # supporting lines of the budget; a handful are needed

Point = tuple[Fraction, Fraction, Fraction]  # burden, cost, payment needed


@dataclass
class Mix:
    """A convexified answer: one point per user, and the price of data at the cut."""

    points: list[Point]
    price: Fraction

    @property
    def cost(self) -> Fraction:
        return _total(point[1] for point in self.points)

    @property
    def pay(self) -> Fraction:
        return _total(point[2] for point in self.points)


class Considered:
    """A level of a plan's problem with the best answer so far: (value, burdens, payments) (n,)."""

    def __init__(self, provider: PlanProblem, level: int) -> None:
        self.provider, self.level = provider, level
        self.best: tuple[Fraction, list[Fraction], list[Fraction]] | None = None
        self.nodes = 0

    def consider(self, burden: list[Fraction], payment: list[Fraction]) -> None:
        """Keep an answer at this level if it holds every row and is the best so far."""
        answer = {"level": self.level, "burden": burden, "payment": payment}
        try:
            _, value, _ = self.provider.outcome(answer)
        except Refuted:
            return
        if self.best is None or value < self.best[0]:
            self.best = value, burden, payment

    def _box(self, boxes: Boxes, user: int) -> tuple[Fraction, Fraction]:
        """The range that a user's burden has at a node."""
        return boxes.get(user, (ZERO, self.provider.users[user].curve.capacity))


class LevelProblem(Considered):
    """Reach T_level + R at least payment or cost; `solve` returns (proof node, answer)."""

    def __init__(self, provider: PlanProblem, level: int) -> None:
        super().__init__(provider, level)
        self.amount = provider.amount(level)
        self.budget = provider.levels.budget

    def reachable(self) -> bool | None:
        """Whether the level is reached within the budget; None if one node does not tell.

        It is not if the offers, convexified, do not reach it; it is if what they take is a plan.
        """
        if not self.provider.offered(self.level):
            return False
        mix = self._prices(self._offers({}))[1]
        if mix is None:
            return False
        self.consider_burdens([point[0] for point in mix.points])
        return True if self.best is not None else None

    def solve(self) -> dict[str, Any]:
        """The proof tree; `best` is then (value, burdens, payments), or None."""
        if not self.provider.offered(self.level):
            return _leaf("unreachable", ZERO, ZERO)
        return self._node({})

    # -- branch and bound -----------------------------------------------------------------------

    def _node(self, boxes: Boxes) -> dict[str, Any]:
        self.nodes += 1
        offers = self._offers(boxes)
        leaf, mix = self._prices(offers)
        if mix is None:
            return leaf
        self.consider_burdens([point[0] for point in mix.points])
        split = self._split(mix, offers, boxes)
        if split is None or self.nodes >= MOST_NODES:
            return leaf
        bound = self.provider.least(self.level, leaf, dict(boxes))
        if self.best is not None and bound is not None and bound >= self.best[0]:
            return leaf
        user, cut = split
        low, high = self._box(boxes, user)
        below = self._node({**boxes, user: (low, cut)})
        above = self._node({**boxes, user: (cut, high)})
        return {"user": user, "cut": cut, "below": below, "above": above}

    def _offers(self, boxes: Boxes) -> list[list[Offer]]:
        return [
            self.provider.offers(i, self.level, *self._box(boxes, i))
            for i in range(len(self.provider.users))
        ]

    def consider_burdens(self, burden: list[Fraction]) -> None:
        """Try burdens with the payments they really need."""
        provider = self.provider
        payment = []
        for i, x in enumerate(burden):
            corner = provider.offers(i, self.level, x, x)
            if not corner:
                return
            payment.append(corner[0][2])
        self.consider(burden, payment)

    def _split(
        self, mix: Mix, offers: list[list[Offer]], boxes: Boxes
    ) -> tuple[int, Fraction] | None:
        """The user whose payment is most understated, and where to cut her range."""
        worst: tuple[Fraction, int, Fraction] | None = None
        for i, point in enumerate(mix.points):
            true = self.provider.offers(i, self.level, point[0], point[0])
            missing = true[0][2] - point[2] if true else ONE
            missing += (true[0][1] - point[1]) if true else ZERO
            low, high = self._box(boxes, i)
            if missing > 0 and low < high:
                inner = [x for x in (point[0], *(o[0] for o in offers[i])) if low < x < high]
                if not inner:
                    continue
                cut = min(inner[1:] or inner, key=lambda x: abs(x - point[0]))
                if worst is None or missing > worst[0]:
                    worst = missing, i, cut
        return None if worst is None else worst[1:]

    # -- prices ---------------------------------------------------------------------------------

    def _prices(self, offers: list[list[Offer]]) -> tuple[dict[str, Any], Mix | None]:
        """(leaf of the proof, convexified answer or None if there is none)."""
        most = _total(max(x for x, _, _ in corners) for corners in offers if corners)
        if not all(offers) or most < self.amount:
            return _leaf("unreachable", ONE, ZERO), None
        if self.provider.exactly(self.level):
            fewest = _total(min(x for x, _, _ in corners) for corners in offers)
            if fewest > self.amount:
                return _leaf("unreachable", -ONE, ZERO), None
        counts_cost = self.provider.aim.counts_cost
        cheap = self._mix(offers, ZERO, ONE, (ONE, ZERO))  # least payments, then least cost
        if self.budget is not None and cheap.pay > self.budget:
            return _leaf("unreachable", cheap.price, ONE), None
        if not counts_cost:
            return _leaf("bound", cheap.price, ZERO), cheap
        over = self._mix(offers, ONE, ZERO, (ZERO, ONE))
        if self.budget is None or over.pay <= self.budget:
            return _leaf("bound", over.price, ZERO), over
        return self._within_budget(offers, over, cheap)

    def _within_budget(
        self, offers: list[list[Offer]], over: Mix, under: Mix
    ) -> tuple[dict[str, Any], Mix]:
        assert self.budget is not None
        for _ in range(MOST_LINES):
            price = (under.cost - over.cost) / (over.pay - under.pay)
            middle = self._mix(offers, ONE, price, (ONE, ZERO))
            if middle.cost + price * middle.pay >= over.cost + price * over.pay:
                break
            if middle.pay > self.budget:
                over = middle
            else:
                under = middle
        share = (self.budget - under.pay) / (over.pay - under.pay)
        points = [_between(other, one, share) for one, other in zip(over.points, under.points)]
        mixed = Mix(points, middle.price)
        return _leaf("bound", middle.price, price), mixed

    def _mix(
        self,
        offers: list[list[Offer]],
        cost: Fraction,
        pay: Fraction,
        second: tuple[Fraction, Fraction],
    ) -> Mix:
        """The convexified answer of least cost · C + pay · need; ties by `second` (pay, cost)."""
        points: list[Point] = []
        pieces = []
        for i, corners in enumerate(offers):
            hull = _hull(corners, lambda o: cost * o[1] + pay * o[2])
            points.append(hull[0])
            for place, (one, other) in enumerate(pairwise(hull)):
                step = (other[0] - one[0], other[1] - one[1], other[2] - one[2])
                key = (cost * step[1] + pay * step[2]) / step[0]
                tie = (second[0] * step[1] + second[1] * step[2]) / step[0]
                pieces.append((key, tie, i, place, step))
        pieces.sort(key=lambda piece: piece[:4])
        exactly = self.provider.exactly(self.level)
        # Where the level asks for no exact total, more data than needed is welcome if it pays.
        welcome = 0 if exactly else sum(piece[0] < 0 for piece in pieces)
        steps = [piece[4][0] for piece in pieces]
        given = _total(point[0] for point in points)
        whole = welcome + _filled(steps[welcome:], self.amount - given - _total(steps[:welcome]))
        for _, _, i, _, step in pieces[:whole]:
            points[i] = (points[i][0] + step[0], points[i][1] + step[1], points[i][2] + step[2])
        price = pieces[whole - 1][0] if whole else ZERO
        left = self.amount - _total(point[0] for point in points)
        if whole < len(pieces):
            key, _, i, _, step = pieces[whole]
            if left > 0:
                there = (points[i][0] + step[0], points[i][1] + step[1], points[i][2] + step[2])
                points[i] = _between(points[i], there, left / step[0])
                price = key
            elif whole == 0:
                price = key
        return Mix(points, price if exactly else max(ZERO, price))


_BITS = 256  # of the integers that stand for fractions where a comparison is not near


def _total(numbers: Iterable[Fraction]) -> Fraction:
    """Σ: equal denominators as integers first, then in pairs, so that few numbers get long."""
    parts: dict[int, int] = {}
    for one in numbers:
        parts[one.denominator] = parts.get(one.denominator, 0) + one.numerator
    sums = [Fraction(above, below) for below, above in sorted(parts.items())]
    while len(sums) > 1:
        sums = [sum(sums[at : at + 2], ZERO) for at in range(0, len(sums), 2)]
    return sums[0] if sums else ZERO


def _filled(steps: list[Fraction], amount: Fraction) -> int:
    """How many of the steps (all > 0), from the first, `amount` fills."""
    if amount <= 0:
        return 0
    scale = Fraction(2**_BITS) / amount
    above, below = scale.numerator, scale.denominator
    grid = [one.numerator * above // (one.denominator * below) for one in steps]
    sums = list(accumulate(grid))  # each too small by less than the number of its steps
    low, high = bisect_right(sums, 2**_BITS - len(steps)), bisect_right(sums, 2**_BITS)
    while low < high and _total(steps[: low + 1]) <= amount:
        low += 1
    return low


def _between(one: Point, other: Point, share: Fraction) -> Point:
    """(1 − share) · one + share · other."""
    x, cost, need = ((1 - share) * a + share * c for a, c in zip(one, other))
    return x, cost, need


def _leaf(shows: str, data_price: Fraction, budget_price: Fraction) -> dict[str, Any]:
    return {"shows": shows, "data_price": data_price, "budget_price": budget_price}


def _hull(corners: list[Offer], key: Any) -> list[Offer]:
    """Lower convex hull of (burden, key), collinear corners kept."""
    hull: list[Offer] = []
    for corner in sorted(corners, key=lambda o: (o[0], key(o))):
        if hull and hull[-1][0] == corner[0]:
            continue
        while len(hull) > 1 and _above(hull[-2], hull[-1], corner, key):
            hull.pop()
        hull.append(corner)
    return hull


def _above(a: Offer, b: Offer, c: Offer, key: Any) -> bool:
    """Whether b lies strictly above the line from a to c."""
    rise = (key(c) - key(a)) * (b[0] - a[0])
    return (key(b) - key(a)) * (c[0] - a[0]) > rise

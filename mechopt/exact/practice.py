"""Exact optimum in practice: a tree over burdens and totals, each leaf an exact linear program.

Every user mixes the points he may be asked for (`PracticeProblem.points`); the mix is the LP
relaxation, its multipliers are the prices of a leaf, and a mix that is one point for everybody
is a plan. Where it is none, somebody's range is split, or the totals are, as far as needs depend on
them.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from mechopt.checker.data import ONE, ZERO, total
from mechopt.checker.plans import Boxes
from mechopt.checker.practice import Part, Point, PracticeProblem, Range
from mechopt.errors import TooLarge
from mechopt.exact.lp import Row, maximum
from mechopt.exact.prices import Considered

MOST_POINTS = 20_000  # of all users in one program: some ten seconds
MOST_WORK = 60_000  # points in all programs of a level before the bound is left as it is
MOST_NODES = 600
_DEEPEST = 120  # splits below each other


class LevelInPractice(Considered):
    """Reach T_level + R at the least payments, or cost, in practice; as `prices.LevelProblem`."""

    def __init__(self, provider: PracticeProblem, level: int) -> None:
        super().__init__(provider, level)
        self.provider: PracticeProblem = provider
        self.work = 0
        # Whether to be asked at all costs something, so that a fraction of a person hides it.
        self.counts = any(one.contact > 0 or one.least > one.unit for one in provider.asked)

    def solve(self) -> dict[str, Any]:
        """The proof tree; `best` is then (value, burdens, payments), or None."""
        if not self.provider.offered(self.level):
            return _leaf("unreachable")
        return self._node(self.provider.everything(self.level), 0)

    def put_right(self, burden: list[Fraction]) -> list[Fraction]:
        """Burdens of floats as ones that may be asked, with the total that is missing."""
        provider = self.provider
        found = []
        for asked, x in zip(provider.asked, burden):
            if asked.fixed is not None:
                found.append(asked.fixed)
            elif asked.unit:
                found.append(round(x / asked.unit) * asked.unit)
            else:
                found.append(x if x == 0 else min(max(x, asked.low), asked.high))
        missing = provider.amount(self.level) - total(found)
        for i, (asked, x) in enumerate(zip(provider.asked, found)):
            if missing > 0 and x > 0 and asked.allows(x + missing) and x + missing <= asked.high:
                found[i] += missing
                break
        return found

    def consider_burdens(self, burden: list[Fraction]) -> None:
        """Try burdens with the payments that they need at their total."""
        provider, amount, payment = self.provider, total(burden), []
        for i, x in enumerate(burden):
            found = provider.points(i, self.level, (x, x), amount)
            if not found:
                return
            contact = provider.asked[i].contact if x > 0 else ZERO
            payment.append(min(point[2] for point in found) - contact)
        self.consider(burden, payment)

    def _node(self, part: Part, depth: int) -> dict[str, Any]:
        self.nodes += 1
        totals = self.provider.totals(self.level, part)
        if totals is None or part.people[0] > part.people[1]:
            return _leaf("unreachable")
        every = [
            self.provider.points(i, self.level, part.boxes.get(i), totals[0])
            for i in range(len(self.provider.users))
        ]
        if not all(every):
            return _leaf("unreachable")
        leaf, mix = self._program(every, totals, part.people)
        if mix is None:
            return leaf
        enough = self.nodes >= MOST_NODES or self.work >= MOST_WORK or depth >= _DEEPEST
        bound = self.provider.dual(self.level, leaf, part)
        if self.best is not None and bound >= self.best[0]:
            return leaf
        split = self._split(every, mix, part.boxes, totals)
        if self.best is not None and bound >= self.best[0]:  # the mix was a plan
            return leaf
        if split is None or enough:
            return leaf
        node: dict[str, Any] = dict(zip(("of", "cut"), split))
        for side, half in self.provider.halves(node, part):
            node[side] = self._node(half, depth + 1)
        return node

    # -- the relaxation ---------------------------------------------------------------------------

    def _program(
        self, every: list[list[Point]], totals: Range, people: tuple[int, int]
    ) -> tuple[dict[str, Any], list[dict[int, Fraction]] | None]:
        """(leaf, weights of every user's points; None if there are none that hold)."""
        provider, budget = self.provider, self.provider.levels.budget
        number = sum(map(len, every))
        self.work += number
        if number > MOST_POINTS:
            raise TooLarge(
                f"certify: {number:,} amounts may be asked of the users; in fractions the limit is "
                f"{MOST_POINTS:,}. Certify with a larger unit, or fewer users"
            )
        rows: list[Row] = []
        for i, points in enumerate(every):
            rows.append((f"one {i}", {(i, at): ONE for at in range(len(points))}, True, ONE))

        def row(name: str, entry: Any, right: Fraction) -> None:
            found = {(i, at): entry(i, p) for i, ps in enumerate(every) for at, p in enumerate(ps)}
            rows.append((name, {v: a for v, a in found.items() if a}, False, right))

        row("low", lambda i, point: point[0], totals[0])
        row("high", lambda i, point: -point[0], -totals[1])
        if people != (0, len(every)):
            row("fewest", lambda i, point: point[4], Fraction(people[0]))
            row("most", lambda i, point: -point[4], Fraction(-people[1]))
        if budget is not None:
            row("budget", lambda i, point: -point[2], -budget)
        for (side, label), (of_data, limit) in provider.limits.items():
            sign = 1 if side == "least" else -1
            mine = [asked.group == label for asked in provider.asked]
            if of_data:
                data = provider.limit(side, label)
                row(f"{side} {label}", lambda i, p, s=sign, m=mine: s * m[i] * p[0], sign * data)
            else:
                row(
                    f"{side} {label}",
                    lambda i, p, s=sign, m=mine, part=limit: s * (m[i] - part) * p[3],
                    ZERO,
                )
        place = 1 if provider.aim.counts_cost else 2
        objective = {
            (i, at): -point[place]
            for i, points in enumerate(every)
            for at, point in enumerate(points)
            if point[place]
        }
        found = maximum(rows, objective)
        leaf = self._leaf(found.multipliers, "bound" if found.feasible else "unreachable")
        if not found.feasible:
            return leaf, None
        weights: list[dict[int, Fraction]] = [{} for _ in every]
        for (i, at), weight in found.values.items():
            if weight:
                weights[i][at] = weight
        return leaf, weights

    def _leaf(self, multipliers: dict[str, Fraction], shows: str) -> dict[str, Any]:
        def of(name: str) -> Fraction:
            return abs(multipliers.get(name, ZERO))

        prices = [[side, label, of(f"{side} {label}")] for side, label in self.provider.limits]
        return {
            "shows": shows,
            "data_price": of("low") - of("high"),
            "budget_price": of("budget"),
            "asked_price": of("fewest") - of("most"),
            "group_prices": [one for one in prices if one[2]],
        }

    def _split(
        self,
        every: list[list[Point]],
        mix: list[dict[int, Fraction]],
        boxes: Boxes,
        totals: Range,
    ) -> tuple[int | str, Fraction] | None:
        """What to split ("people", "total", or a user's range) and where; None where the mix is a
        plan, or nothing can be split. Plans that the mix is are considered."""
        asked = total(w * points[at][4] for points, ws in zip(every, mix) for at, w in ws.items())
        if self.counts and asked.denominator > 1:
            return "people", Fraction(asked.numerator // asked.denominator)
        burden, worst = [], None
        for i, (points, weights) in enumerate(zip(every, mix)):
            x = total(weight * points[at][0] for at, weight in weights.items())
            burden.append(x)
            gap = self._understated(i, x, points, weights, totals[0])
            low, high = self._box(boxes, i)
            if gap > 0 and low < high and (worst is None or gap > worst[0]):
                cut = self._cut(i, x, (low, high), points)
                if cut is not None:
                    worst = gap, i, cut
        if worst is not None:
            return worst[1], worst[2]
        self.consider_burdens(burden)
        given = total(burden)
        if totals[0] < given and self._dearer(burden, totals[0], given):
            return self._pin(burden, boxes) or ("total", (totals[0] + given) / 2)
        return None

    def _pin(self, burden: list[Fraction], boxes: Boxes) -> tuple[int, Fraction] | None:
        """A user who is held to at least his burden, below which he can be asked for no near one:
        when all are, the total is no less than theirs."""
        for i, (asked, x) in enumerate(zip(self.provider.asked, burden)):
            least = asked.ranges(self._box(boxes, i))[0][0]
            if asked.fixed is None and x > least and (asked.unit or x == asked.low):
                return i, x - asked.unit / 2 if x > asked.low else x / 2
        return None

    def _dearer(self, burden: list[Fraction], least: Fraction, given: Fraction) -> bool:
        """Whether these burdens need more if the total is what they give."""
        level, points = self.level, self.provider.points

        def spent(amount: Fraction) -> list[Fraction | None]:
            found = (points(i, level, (x, x), amount) for i, x in enumerate(burden))
            return [min((point[2] for point in one), default=None) for one in found]

        return self.provider.exactly(level) and spent(least) != spent(given)

    def _understated(
        self,
        i: int,
        x: Fraction,
        points: list[Point],
        weights: dict[int, Fraction],
        amount: Fraction,
    ) -> Fraction:
        """How much the mix of user i lacks of what x really takes; money, or at least 0."""
        true = self.provider.points(i, self.level, (x, x), amount)
        mixed = [total(w * points[at][part] for at, w in weights.items()) for part in (1, 2)]
        if true:
            return min(total(p[part] - m for part, m in zip((1, 2), mixed)) for p in true)
        ends = [points[at] for at in weights]
        return max(p[1] + p[2] for p in ends) + ONE

    def _cut(self, i: int, x: Fraction, box: Range, points: list[Point]) -> Fraction | None:
        """A number strictly within `box`: between two multiples, or a corner near x."""
        asked, (low, high) = self.provider.asked[i], box
        if asked.fixed is None and x < asked.low and low <= 0:
            return asked.low / 2 if low < asked.low / 2 < high else None
        if asked.unit and asked.fixed is None:
            count = x // asked.unit
            tries = [(count + ONE / 2) * asked.unit, (count - ONE / 2) * asked.unit]
        else:
            corners = {point[0] for point in points if low < point[0] < high}
            tries = [*sorted(corners, key=lambda one: abs(one - x)), x]
        return next((cut for cut in tries if low < cut < high), None)


def _leaf(shows: str) -> dict[str, Any]:
    prices = {"data_price": ZERO, "budget_price": ZERO, "asked_price": ZERO}
    return {"shows": shows, **prices, "group_prices": []}

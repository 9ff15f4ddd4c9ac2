"""The search over what the total of a level really is; see `level`."""

from __future__ import annotations

import heapq
from dataclasses import replace
from itertools import count as counter
from math import ceil, inf
from time import perf_counter

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import FloatArray, exact_sum
from mechopt.known.burdens.knapsack_relaxation import Knapsack
from mechopt.known.burdens.multiple_choice_knapsack import Choice, minimise
from mechopt.known.practice.curves import (
    AskedCurves,
    Focus,
    Terms,
    asked_curves,
    most_of,
    split_at_bends,
    with_excess,
)
from mechopt.known.practice.rows import Row, RowProblem, minimise_rows
from mechopt.problem.aims import MARGIN
from mechopt.problem.practice import ceiling, counted, multiples

_ACCURACY = 1e-10  # of the level's money: when the search stops
_EXACT, _FEW = 1e-13, 500  # the same with so few users: an objective may be a small difference
_TIE = 1e-12  # weight of the cost among equal payments
_SPREADS = (0.01, 0.08, 0.5)  # around the price of data: where units in steps are looked at
_MOST_ROWS = 50_000  # users of a MILP; beyond, a budget on whole units is priced


class ExcessSearch:
    """Best first over intervals of the excess; the best plan so far, and what is proved."""

    def __init__(
        self, terms: Terms, quantity: str, deadline: float, seed: int, limit: float = inf
    ) -> None:
        self.terms, self.quantity = terms, quantity
        self.limit = min(limit, terms.instance.budget)  # money, on payments and contacts
        self.deadline, self.seed = deadline, seed
        self.burden: FloatArray | None = None
        self.payment: FloatArray | None = None
        self.value, self.bound = inf, inf
        self.over_budget = inf  # least spending of a plan that only the budget refuses
        self.nodes = 0
        self.data_price = self.budget_price = 0.0
        instance, practice = terms.instance, terms.practice
        self.goal = terms.goal
        self.low, self.high = practice.range(instance.capacity)
        self.given = practice.asked()
        self.unit = terms.unit
        self.spacing = self.unit or MARGIN * float(self.goal)
        self.low = np.where(
            practice.required, np.maximum(self.low, MARGIN * float(self.goal)), self.low
        )
        able = self.low <= self.high * (1 + tolerances.REACH)
        self.high = np.where(able, self.high, 0.0)
        money = instance.cost_of(self.high) + practice.contact
        part = min(1.0, float(self.goal) / max(exact_sum(self.high), tolerances.TINY))
        accuracy = _EXACT if instance.n <= _FEW else _ACCURACY
        self.accuracy, self.tie = accuracy * part * exact_sum(money), _TIE
        step, contact = practice.step, practice.contact
        # Then all that is spent comes in steps, and so does what must be spent at least.
        self.whole_steps = bool(
            quantity == "pay"
            and step > 0
            and np.allclose(
                contact, np.rint(contact / max(step, tolerances.TINY)) * step, tolerances.REACH
            )
        )
        if self.whole_steps:
            self.accuracy = max(self.accuracy, 0.4 * step)

    def widest(self, *, everything: bool = False) -> float:
        """The largest excess worth looking at, or all that reaches no other level; data."""
        terms, practice = self.terms, self.terms.practice
        required = exact_sum(self.low[practice.required])
        over = max(0.0, float(self.given - self.goal) + required)
        free = practice.free
        gap = np.maximum(np.where(self.low <= self.high, self.low, 0.0), practice.unit)
        widest = max(over, float(gap[free].max(initial=0.0)))
        if practice.has_groups or everything:
            widest = float(exact_sum(self.high) - self.goal)
        if terms.level < terms.instance.levels and terms.held_by is None:
            # beyond, the next level is reached
            above = float(terms.instance.thresholds[terms.level])
            widest = min(widest, above * (1 - MARGIN) - float(self.goal))
        return widest

    def run(self) -> None:
        """Search until bound and plan meet, or the time is over.

        Intervals are of what the free users give: numbers of units, if they share one, else data.
        If all have units, sums between two multiples of what all units are multiples of are none.
        """
        top = self.widest()
        if top < 0:
            return
        rest, grid = self.goal - self.given, self.terms.grid
        first, last, step = max(0.0, float(rest)), max(0.0, float(rest) + top), self.spacing
        if grid > 0:
            first = float(max(ceil(rest / grid), 0))
            last = np.floor((float(rest) + top) / float(grid) + tolerances.WHOLE)
            step = 1.0 if self.unit else float(grid)
            first, last = first * step, last * step
        heap: list[tuple[float, int, float, float]] = []
        number = counter()
        if first <= last:
            heapq.heappush(heap, (-inf, next(number), first, last))
        proved = inf  # least bound of what was cut off
        budget = self.limit * (1 + tolerances.REACH)
        enough = budget if self.quantity == "pay" and budget > 0 else inf
        near = self.accuracy + 2 * self._dust()
        while heap and heap[0][0] < min(self.value - near, enough):
            bound, _, low, high = heapq.heappop(heap)
            if self.nodes and perf_counter() > self.deadline:
                proved = min(proved, bound)
                break
            self.nodes += 1
            found = self._solve(low, high)
            bound = max(bound, self.in_steps(found.bound))
            if found.burden is None:
                proved = min(proved, bound)
                continue
            given, value = self._consider(found.burden)
            # Nobody's payment changes at the total reached: there is no better plan in between.
            if value <= bound + near or high - low < step:
                proved = min(proved, bound)
                continue
            cut = given if low < given <= high else (low + high) / 2
            cut = low + max(1.0, np.ceil((cut - low) / step - tolerances.SOLVER)) * step
            for part in ((low, cut - step), (cut, high)):
                if part[0] <= part[1]:
                    heapq.heappush(heap, (bound, next(number), *part))
        self.bound = min(proved, heap[0][0] if heap else inf, self.value)

    def _dust(self) -> float:
        """What the cost as a tie-breaker can add to payments, money."""
        if self.quantity != "pay":
            return 0.0
        return self.tie * exact_sum(self.terms.instance.cost_of(self.high))

    def in_steps(self, bound: float) -> float:
        """A bound on what is spent, where that comes in whole steps; money."""
        if not self.whole_steps or bound == inf:
            return bound
        step = self.terms.practice.step
        return max(bound, float(ceiling(np.array(bound - tolerances.SOLVER * step), step)) * step)

    def _solve(self, low: float, high: float) -> Choice:
        """The curves if the free users give `low`, for any total up to where they give `high`."""
        terms = self.terms
        excess = max(0.0, low * (self.unit or 1.0) - float(self.goal - self.given))
        asked = self._asked(excess, None)
        if (np.diff(asked.curves.start) == 0).any():
            return Choice(None, inf, inf)
        room = min(high - low, max(most_of(asked.curves) - low, 0.0))
        found = self._minimise(asked, low, room)
        if found.burden is None:
            return found
        if asked.coarse and (self.quantity == "pay" or found.budget_price > 0):
            found = self._focused(excess, low, room, found)
        scaled = found.burden
        if scaled is None:
            return found
        self.data_price = found.data_price / asked.scale
        self.budget_price = found.budget_price
        burden = scaled[: terms.instance.n] * asked.scale
        if self.quantity == "pay":
            found = replace(found, bound=max(0.0, found.bound - self._dust()))
        return replace(found, burden=self._askable(burden, scaled))

    def _asked(self, excess: float, focus: Focus | None) -> AskedCurves:
        asked = asked_curves(self.terms, excess, focus)
        if self.quantity != "pay":
            return asked
        curves = asked.curves
        return replace(asked, curves=replace(curves, need=curves.need + self.tie * curves.cost))

    def _focused(self, excess: float, low: float, room: float, found: Choice) -> Choice:
        """The same with payments in steps, looked at around the prices of `found`."""
        step, pays = self.terms.practice.step, self.quantity == "pay"
        for spread in _SPREADS:
            price, worth = found.data_price, found.budget_price
            beside = spread * abs(price) + step
            focus = Focus(
                cost=self.tie if pays else 1.0,
                need=(1.0, 1.0) if pays else (worth * (1 - 2 * spread), worth * (1 + 2 * spread)),
                data=(price - beside, price + beside),
                width=8 * step * (1.0 if pays else worth),
            )
            asked = self._asked(excess, focus)
            found = self._minimise(asked, low, room)
            priced = (found.data_price, 1.0 if pays else found.budget_price)
            if found.burden is None or focus.holds(*priced):
                break
        else:
            return replace(found, bound=0.0)
        curves = with_excess(asked.curves, room)
        # L(prices) holds for all units; what is left out is more than the width above it.
        value = focus.cost * curves.cost + priced[1] * curves.need
        reduced = np.minimum.reduceat(value - priced[0] * curves.burden, curves.start[:-1])
        proved = exact_sum(reduced) + priced[0] * (low + room)
        proved -= 0.0 if pays else priced[1] * self.limit
        if found.burden is None:  # none with these units, or not within the budget
            return replace(found, bound=min(found.bound, proved + focus.width))
        return replace(found, bound=max(proved, min(found.bound, proved + focus.width)))

    def _minimise(self, asked: AskedCurves, least: float, room: float) -> Choice:
        """Knapsack, or rows where groups (or a budget on whole units) tie users together."""
        terms, curves = self.terms, asked.curves
        budget = self.limit
        limited = self.quantity == "cost" and budget < inf
        if terms.practice.has_groups:
            return self._rows(asked, least, room, budget if limited else inf)
        control = {"accuracy": self.accuracy, "deadline": self.deadline}
        wider = with_excess(curves, room)
        if not limited:
            first = "pay" if self.quantity == "pay" else "cost"
            return minimise(Knapsack(wider, least + room, first), **control)
        freely = minimise(Knapsack(wider, least + room, "cost"), **control)
        if freely.burden is None:
            return freely
        if self._spent(self._askable(freely.burden[:-1] * asked.scale, freely.burden)) <= budget:
            return freely
        if self.unit and curves.n <= _MOST_ROWS and not asked.coarse:
            return self._rows(asked, least, room, budget)
        return minimise(Knapsack(wider, least + room, "cost", budget), **control)

    def _rows(self, asked: AskedCurves, least: float, room: float, budget: float) -> Choice:
        practice, curves, cost = self.terms.practice, asked.curves, asked.borne
        if practice.has_shares:
            curves, source = split_at_bends(curves)
            cost = cost[source]
        rows = [Row(curves.burden, least, least + room)]
        if budget < inf:
            rows.append(Row(curves.need, -inf, budget, False))
        for place in range(len(practice.labels)):
            mine = practice.group == place
            fixed = exact_sum(practice.fixed[mine & ~practice.free])
            low, high = practice.data_least[place] - fixed, practice.data_most[place] - fixed
            if self.unit:
                low = float(np.ceil(low / self.unit - tolerances.WHOLE))
                high = float(np.floor(high / self.unit + tolerances.WHOLE)) if high < inf else inf
            member = mine[curves.user].astype(np.float64)
            if low > 0 or high < inf:
                rows.append(Row(curves.burden * member, low, high))
            if practice.share_least[place] > 0:
                rows.append(Row(cost * (member - practice.share_least[place]), 0.0, inf, False))
            if practice.share_most[place] < 1:
                rows.append(Row(cost * (member - practice.share_most[place]), -inf, 0.0, False))
        first = "pay" if self.quantity == "pay" else "cost"
        control = (self.unit > 0, self.accuracy, self.deadline, self.seed)
        return minimise_rows(RowProblem(curves, first, rows, *control))

    def _askable(self, burden: FloatArray, scaled: FloatArray) -> FloatArray:
        """Burdens that may be asked, from those of a solver: whole units, a total that is met."""
        practice = self.terms.practice
        burden = burden.copy()
        whole = practice.free & (practice.unit > 0)
        if self.unit:
            burden[whole] = multiples(np.rint(scaled[: burden.size][whole]), self.unit)
        elif whole.any():  # a solver's line between two multiples: the upper one
            up = np.ceil(burden[whole] / practice.unit[whole] - tolerances.FEASIBILITY)
            burden[whole] = counted(up, practice.unit[whole])
        burden = np.where(practice.free, np.minimum(burden, self.high), practice.fixed)
        loose = practice.free & (practice.unit == 0)
        burden[loose & (burden < 0.5 * MARGIN * float(self.goal))] = 0.0
        burden = np.where(practice.required, np.maximum(burden, self.low), burden)
        goal = float(self.goal)
        for _ in range(4):
            short = self.goal - practice.total(burden)
            if not loose.any() or short <= 0 or short > MARGIN * self.goal:
                break
            upper = np.where(loose & (burden > 0), self.high, burden)
            goal = float(np.nextafter(goal, inf))
            burden = arrays.settle(burden, upper, goal)
        return burden

    def _excess(self, burden: FloatArray) -> float:
        return float(self.terms.practice.total(burden) - self.goal)

    def _spent(self, burden: FloatArray) -> float:
        payment = self.terms.payment(burden)
        if payment is None:
            return inf
        return exact_sum(payment) + self.terms.practice.contact_of(burden)

    def _lowered(self, burden: FloatArray) -> FloatArray:
        """Nobody free is asked for a step that the goal does not need; dearest steps first."""
        terms, practice = self.terms, self.terms.practice
        if practice.has_groups:
            return burden
        burden = burden.copy()
        for _ in range(1000):
            excess = self._excess(burden)
            if excess <= 0:
                break
            lower = practice.below(burden, self.low)
            step = burden - lower
            saves = terms.instance.cost_of(burden) - terms.instance.cost_of(lower)
            saves = np.where((step > 0) & (step <= excess * (1 + tolerances.REACH)), saves, -1.0)
            who = int(np.argmax(saves))
            if saves[who] < 0:
                break
            burden[who] = lower[who]
            if self._excess(burden) < 0:
                burden[who] += step[who]
                break
        return burden

    def _consider(self, burden: FloatArray) -> tuple[float, float]:
        """Take the plan if it is the best so far. What the free users give in it (before lowering),
        and its value; inf if it does not hold.
        """
        terms, practice = self.terms, self.terms.practice
        excess = float(practice.total(burden) - self.given) / (self.unit or 1.0)
        burden = self._lowered(burden)
        payment = terms.payment(burden)
        if payment is None or self._excess(burden) < 0:
            return excess, inf
        contact = practice.contact_of(burden)
        spent = exact_sum(payment) + contact
        cost = exact_sum(terms.instance.cost_of(burden)) + (contact if terms.charged else 0.0)
        value = spent if self.quantity == "pay" else cost
        if spent > self.limit * (1 + tolerances.REACH):
            self.over_budget = min(self.over_budget, spent)
        elif value < self.value:
            self.value = value
            self.burden = arrays.freeze(burden)
            self.payment = arrays.freeze(payment.copy())
        return excess, value

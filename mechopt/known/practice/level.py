"""One level in practice: the best burdens that may be asked, for what the total then really is.

Units, least amounts and fixed burdens can force a total above the goal P = T_k + R, and then users
who would be pivotal at P may not be: their payments depend on the excess e = X − P. Payments never
fall as e grows, so the curves at the smallest e of an interval bound all plans in it. The search
halves intervals of e until bound and plan meet: best first, and at once where nobody's payment
changes (fact: lowering a free user to the next burden that may be asked, while X ≥ P, costs less
and makes everybody more pivotal; so w.l.o.g. e is less than every free user's last step, and with
one threshold and δ = 1 everybody free is pivotal).

In sequence a plan that is stable if all decide at once is stable in every order (F1); the bound
then is that of participation alone (A3).
"""

from __future__ import annotations

import heapq
from dataclasses import replace
from itertools import count as counter
from math import inf
from time import perf_counter

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import FloatArray, exact_sum
from mechopt.known.allocation import Allocation
from mechopt.known.burdens.knapsack_relaxation import Knapsack
from mechopt.known.burdens.multiple_choice_knapsack import Choice, minimise
from mechopt.known.burdens.simultaneous_level import LevelSolution, over_budget
from mechopt.known.levels import LevelAnswer, Wanted
from mechopt.known.practice.curves import (
    Asked,
    Focus,
    Terms,
    asked_curves,
    most_of,
    split_at_bends,
    with_excess,
)
from mechopt.known.practice.rows import Row, minimise_rows
from mechopt.problem.aims import MARGIN
from mechopt.problem.instance import Instance
from mechopt.problem.practice import ceiling, counted, multiples, units_to_reach

_ACCURACY = 1e-10  # of the level's money: when the search stops
_EXACT, _FEW = 1e-13, 500  # the same with so few users: an objective may be a small difference
_PROOF = 2e-10  # of the value: when it stops if little of the money is at stake
_TIE = 1e-12  # weight of the cost among equal payments
_SPREADS = (0.01, 0.08, 0.5)  # around the price of data: where units in steps are looked at
_MOST_ROWS = 50_000  # users of a MILP; beyond, a budget on whole units is priced


def solve_level(
    instance: Instance,
    level: int,
    quantity: str,
    wanted: Wanted,
    deadline: float,
) -> LevelSolution:
    """Least payments and contacts ("pay"), or least cost ("cost"), that sustain `level`."""
    seed, subsidy = wanted.seed, wanted.mechanism == "subsidy"
    rights = "withdrawal" if wanted.protocol != "none" else "participation"
    terms = Terms(
        instance,
        level,
        wanted.reserve,
        "cost" if subsidy else rights,
        wanted.transfers or subsidy,
        wanted.objective == "welfare",
    )
    search = _Search(terms, quantity, deadline, seed)
    search.run()
    if search.value - search.bound > 2 * _PROOF * search.value and not search.whole_steps:
        again = _Search(terms, quantity, deadline, seed)
        again.accuracy, again.tie = min(again.accuracy, _PROOF * search.value), 0.0
        again.run()
        search = again if again.value <= search.value else search
    if search.burden is None:
        return _nothing(search)
    bound = search.bound
    if wanted.protocol == "sequential":
        relaxed = _Search(replace(terms, rights="participation"), quantity, deadline, seed)
        relaxed.run()
        bound = min(bound, relaxed.bound)
    burden, payment, value = search.burden, search.payment, search.value
    if search.whole_steps:
        step = terms.practice.step
        bound = max(bound, float(ceiling(np.array(bound), step)) * step)
    if quantity == "pay" and terms.practice.has_groups and perf_counter() < deadline:
        # among equal payments the least cost
        limit = value + tolerances.REACH * max(value, exact_sum(instance.cost_of(burden)))
        second = _Search(terms, "cost", deadline, seed, limit)
        second.run()
        if second.burden is not None and second.payment is not None:
            burden, payment = second.burden, second.payment
            value = exact_sum(payment) + terms.practice.contact_of(burden)
    bound = min(value, max(0.0, bound))
    final = Allocation(burden, value, bound, search.data_price, search.budget_price)
    answer = LevelAnswer(level, final, payment, quantity)
    return LevelSolution(answer, nodes=search.nodes, found_by="pieces of the curves (practice)")


class _Search:
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
        able = self.low <= self.high * (1 + 1e-12)
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
            and np.allclose(contact, np.rint(contact / max(step, tolerances.TINY)) * step, 1e-12)
        )
        if self.whole_steps:
            self.accuracy = max(self.accuracy, 0.4 * step)

    def widest(self) -> float:
        """The largest excess worth looking at, data."""
        terms, practice = self.terms, self.terms.practice
        required = exact_sum(self.low[practice.required])
        over = max(0.0, float(self.given - self.goal) + required)
        free = practice.free
        gap = np.maximum(np.where(self.low <= self.high, self.low, 0.0), practice.unit)
        widest = max(over, float(gap[free].max(initial=0.0)))
        if practice.has_groups:
            widest = float(exact_sum(self.high) - self.goal)
        if terms.level < terms.instance.levels:  # beyond, the next level is reached
            above = float(terms.instance.thresholds[terms.level])
            widest = min(widest, above * (1 - MARGIN) - float(self.goal))
        return widest

    def run(self) -> None:
        """Search until bound and plan meet, or the time is over.

        Intervals are of what the free users give: numbers of units, if they share one, else data.
        """
        top = self.widest()
        if top < 0:
            return
        rest = self.goal - self.given
        first, last = max(0.0, float(rest)), max(0.0, float(rest) + top)
        if self.unit:
            first = float(max(units_to_reach(rest, self.unit), 0))
            last = np.floor((float(rest) + top) / self.unit + 1e-9)
        step = 1.0 if self.unit else self.spacing
        heap: list[tuple[float, int, float, float]] = []
        number = counter()
        if first <= last:
            heapq.heappush(heap, (-inf, next(number), first, last))
        proved = inf  # least bound of what was cut off
        budget = self.limit * (1 + tolerances.REACH)
        enough = budget if self.quantity == "pay" and budget > 0 else inf
        while heap and heap[0][0] < min(self.value - self.accuracy, enough):
            bound, _, low, high = heapq.heappop(heap)
            if self.nodes and perf_counter() > self.deadline:
                proved = min(proved, bound)
                break
            self.nodes += 1
            found = self._solve(low, high)
            bound = max(bound, found.bound)
            if found.burden is None:
                proved = min(proved, bound)
                continue
            given, value = self._consider(found.burden)
            # Nobody's payment changes at the total reached: there is no better plan in between.
            if value <= bound + self.accuracy or high - low < step:
                proved = min(proved, bound)
                continue
            cut = given if low < given <= high else (low + high) / 2
            cut = low + max(1.0, np.ceil((cut - low) / step - 1e-6)) * step
            for part in ((low, cut - step), (cut, high)):
                if part[0] <= part[1]:
                    heapq.heappush(heap, (bound, next(number), *part))
        self.bound = min(proved, heap[0][0] if heap else inf, self.value)

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
            dust = self.tie * exact_sum(terms.instance.cost_of(self.high))
            found = replace(found, bound=max(0.0, found.bound - dust))
        return replace(found, burden=self._askable(burden, scaled))

    def _asked(self, excess: float, focus: Focus | None) -> Asked:
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
        floor = exact_sum(reduced) + priced[0] * (low + room)
        floor -= 0.0 if pays else priced[1] * self.limit
        if found.burden is None:  # none with these units, or not within the budget
            return replace(found, bound=min(found.bound, floor + focus.width))
        return replace(found, bound=max(floor, min(found.bound, floor + focus.width)))

    def _minimise(self, asked: Asked, least: float, room: float) -> Choice:
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

    def _rows(self, asked: Asked, least: float, room: float, budget: float) -> Choice:
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
                low = float(np.ceil(low / self.unit - 1e-9))
                high = float(np.floor(high / self.unit + 1e-9)) if high < inf else inf
            member = mine[curves.user].astype(np.float64)
            if low > 0 or high < inf:
                rows.append(Row(curves.burden * member, low, high))
            if practice.share_least[place] > 0:
                rows.append(Row(cost * (member - practice.share_least[place]), 0.0, inf, False))
            if practice.share_most[place] < 1:
                rows.append(Row(cost * (member - practice.share_most[place]), -inf, 0.0, False))
        first = "pay" if self.quantity == "pay" else "cost"
        return minimise_rows(
            curves,
            first,
            rows,
            whole=self.unit > 0,
            accuracy=self.accuracy,
            deadline=self.deadline,
            seed=self.seed,
        )

    def _askable(self, burden: FloatArray, scaled: FloatArray) -> FloatArray:
        """Burdens that may be asked, from those of a solver: whole units, a total that is met."""
        practice = self.terms.practice
        burden = burden.copy()
        whole = practice.free & (practice.unit > 0)
        if self.unit:
            burden[whole] = multiples(np.rint(scaled[: burden.size][whole]), self.unit)
        elif whole.any():  # a solver's line between two multiples: the upper one
            up = np.ceil(burden[whole] / practice.unit[whole] - 1e-7)
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
            saves = np.where((step > 0) & (step <= excess * (1 + 1e-12)), saves, -1.0)
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


def _nothing(search: _Search) -> LevelSolution:
    """Why there is no plan: what is short, or that it was not decided."""
    terms = search.terms
    instance, level, quantity = terms.instance, terms.level, search.quantity

    def refused(reason: str, **numbers: object) -> LevelSolution:
        found = LevelAnswer(level, None, None, quantity, reason, {"level": level, **numbers})
        return LevelSolution(found, undecided=numbers.get("constraint") == "time")

    goal, most = float(terms.goal), exact_sum(search.high)
    if most < goal * (1 - tolerances.REACH):
        return refused(
            f"level {level} needs {goal:g} of data, but with the least amounts, units and fixed "
            f"burdens all users together can give only {most:g}: short by {goal - most:g} (A1, A2)",
            constraint="capacity",
            data=goal - most,
            reachable=most,
        )
    if search.over_budget < inf and search.quantity == "pay" and search.bound > instance.budget:
        return LevelSolution(over_budget(instance, level, quantity, search.bound, instance.budget))
    if search.bound < inf:
        late = refused(
            f"whether level {level} can be reached was not decided in time", constraint="time"
        )
        return replace(late, least=max(0.0, search.bound))
    if search.widest() < 0:
        return refused(
            f"level {level} would be passed: every total that may be asked reaches level "
            f"{level + 1}",
            constraint="unit",
        )
    return refused(
        f"no burdens that may be asked (least amounts, units, fixed burdens, groups) reach level "
        f"{level} with what users accept (A3, A5, section 11)",
        constraint="practice",
    )

"""Known costs: the provider's problem A1–A6, and prices that bound what any plan can reach."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

from .data import ONE, ZERO, Aim, Levels, User, flag, number, numbers, require, total
from .rights import ON_TOP, all_keep, all_take_part, opened, part_offers, replaced
from .withdrawal import verdicts
from .zones import ANY_ORDER, zones_of

Offer = tuple[Fraction, Fraction, Fraction]  # burden x, cost C(x), payment needed
Boxes = dict[int, tuple[Fraction, Fraction]]  # ranges of burdens, where they are restricted


class PlanProblem:
    """Burdens x and payments t for a level k of the improvement, under terms that are stated."""

    def __init__(self, problem: dict[str, Any], terms: dict[str, Any]) -> None:
        self.on_top = any(number(user.get("committed", 0)) for user in problem["users"])
        problem, terms = opened(problem, terms)
        self.levels = levels = Levels(problem)
        self.users = [User(data) for data in problem["users"]]
        self.aim = Aim(levels, total(user.value for user in self.users), terms)
        self.mechanism, self.protocol = terms["mechanism"], terms["protocol"]
        self.order, self.transfers = terms["order"], flag(terms["transfers"])
        self.reserve = number(terms["reserve"])
        self.free = flag(terms.get("order_free", False))  # the bound is to hold in any order
        self.remarks = [ON_TOP] * self.on_top + [ANY_ORDER] * self.free
        require(self.mechanism in ("burdens", "subsidy", "complete-information"), "mechanism?")
        protocols = ("simultaneous", "coalition", "sequential", "none", "reassign")
        require(self.protocol in protocols, "protocol?")
        require(self.reserve >= 0, "a negative reserve")
        right = terms.get("withdrawal", "whole")
        require(right in ("whole", "part"), "withdrawal?")
        self.part = right == "part" and self.protocol != "none"
        require(not self.part or self.protocol in ("simultaneous", "sequential"), "part?")
        self.replaceable = [False] * len(self.users)
        if self.protocol == "reassign":
            require(levels.K == 1 and self.reserve == 0, "re-assignment: one threshold, no reserve")
            paid = self.transfers and levels.budget != 0
            worth = self.aim.objective in ("provider-surplus", "welfare")
            known = levels.budget is None and not worth
            require(known or not paid, "whether it pays to run it again is not dealt with")
            self.replaceable = replaced(levels, self.users, paid)
        corners = max((len(user.slopes) for user in self.users), default=0)
        corners *= corners + levels.K  # of one offer, each with its cost
        corners *= (levels.K + 3) ** 2 if self.part else 1  # where two claims meet
        work = corners * levels.K * len(self.users)
        require(corners <= 200 or work <= 200_000, "more segments and thresholds than can be tried")

    def exactly(self, level: int) -> bool:
        """Whether (W1) with X = T_k + R is all that the withdrawal right asks.

        Simultaneous: X = T_k + R without loss (F8): giving less costs less, and leaves less behind
        if somebody withdraws. For coalitions the constraint is the same, and in sequence as well if
        nobody's last step exceeds the one before and nobody's data bridge it (F11).
        """
        if self.part:
            return self.protocol == "simultaneous" or (level == 1 and self.reserve == 0)
        if self.protocol != "sequential" or level == 1:
            return self.protocol != "none"
        b, room = self.levels.b, self.amount(level) - self.levels.T[level - 2]
        return all(
            user.delta * user.curve.capacity <= room
            and user.loss(b[level], b[level - 1]) <= user.loss(b[level - 1], b[level - 2])
            for user in self.users
        )

    def amount(self, level: int) -> Fraction:
        return self.levels.T[level - 1] + self.reserve

    def offered(self, level: int) -> bool:
        """Whether T_k + R is still at level k."""
        return self.levels.level(self.amount(level)) == level

    # -- the answer -----------------------------------------------------------------------------

    def value(self, answer: dict[str, Any]) -> Fraction | None:
        """The objective of an answer that holds A1–A6; None if it misses the target."""
        level, spent, _ = self.outcome(answer)
        return self.aim.worth(level, spent) if level >= self.aim.lowest else None

    def is_null(self, answer: dict[str, Any]) -> bool:
        return bool(answer["level"] == 0)

    def outcome(self, answer: dict[str, Any]) -> tuple[int, Fraction, dict[str, bool] | None]:
        """(level, payments or cost, withdrawal verdicts) of an answer that holds A1–A6."""
        levels, level = self.levels, answer["level"]
        x, t = numbers(answer["burden"]), numbers(answer["payment"])
        require(len(x) == len(t) == len(self.users), "one burden and payment per user")
        require(min(*x, *t) >= 0, "(A2) a negative burden or payment")
        require(type(level) is int and 0 <= level <= levels.K, "no such level")
        if level == 0:
            require(not any(x) and not any(t), "(A6) the null outcome asks or pays something")
            return 0, ZERO, None
        require(total(x) >= self.amount(level), "(A1) the threshold is missed")
        require(levels.level(total(x)) == level, "the level is not the one reached")
        for i, (user, given, paid) in enumerate(zip(self.users, x, t)):
            require(given <= user.curve.capacity, f"(A2) user {i} gives more than he can")
            gain = ZERO if self.mechanism == "subsidy" else user.value * levels.b[level]
            require(gain + paid >= user.curve.cost(given), f"(A3) user {i} loses by taking part")
        contacts = self.carried_out(x, t)
        require(levels.affords(total(t) + contacts), "(A4) the budget is exceeded")
        require(self.transfers or not any(t), "there are payments although transfers are off")
        stays = verdicts(levels, self.users, x, t, self.order)
        if self.part:  # then nobody takes anything back in any order either
            stays = {"part": all_keep(levels, self.users, x, t), **stays}
            require(stays["part"], "(A5) somebody takes a part back")
        elif self.protocol == "reassign":
            again = all_take_part(levels, self.users, x, t, self.replaceable)
            stays = {"reassign": again, **stays}
        require(stays.get(self.protocol, True), f"(A5) somebody leaves, {self.protocol}")
        if self.aim.counts_cost:
            cost = total(u.curve.cost(given) for u, given in zip(self.users, x))
            return level, cost + (contacts if self.aim.objective == "welfare" else ZERO), stays
        return level, total(t) + contacts, stays

    def carried_out(self, x: list[Fraction], t: list[Fraction]) -> Fraction:
        """What is spent beside payments; in practice there are contacts, and more rows to hold."""
        return ZERO

    def also(self, answer: dict[str, Any] | None, proof: dict[str, Any]) -> dict[str, Any]:
        """What is proved besides: withdrawal verdicts; with "improvement", the least payments."""
        if answer is None or answer["level"] == 0:
            return {}
        level, spent, stays = self.outcome(answer)
        found: dict[str, Any] = {"stays": stays}
        if self.aim.objective == "improvement" and self.least(level, proof[str(level)]) == spent:
            found["least_payments"] = str(spent)
        return found

    # -- the bound ------------------------------------------------------------------------------

    def bound(self, proof: dict[str, Any]) -> Fraction | None:
        """What no answer can beat, from the proof of every level; None: there is no answer."""
        aim = self.aim
        values = [] if aim.lowest else [ZERO]
        if aim.minimised and not aim.lowest:
            return ZERO
        for level in range(max(1, aim.lowest), self.levels.K + 1):
            if aim.objective == "improvement" and str(level) not in proof:
                values.append(self.levels.b[level])  # not excluded
                continue
            least = self.least(level, proof[str(level)])
            if least is not None:
                values.append(aim.worth(level, least))
        return aim.best(values)

    def least(self, level: int, node: dict[str, Any], boxes: Boxes | None = None) -> Any:
        """Lower bound on payments (or cost) over all answers at `level`; None: there are none.

        For any prices λ, μ ≥ 0 of data and of budget (λ of any sign where X = T_k + R),
            λ (T_k + R) − μ β + Σ_i min over x of [what is minimised + μ need − λ x]
        is at most what any answer costs (weak duality). With nothing minimised, a positive sum
        shows that there is no answer at all. A node may also split one user's range in two.
        """
        boxes = boxes or {}
        if not self.offered(level):
            return None
        if "zones" in node:
            return zones_of(self, level).least(node["zones"], self.transfers, self.aim.counts_cost)
        if "cut" in node:
            user, cut = node["user"], number(node["cut"])
            require(type(user) is int and 0 <= user < len(self.users), "split of whom?")
            low, high = boxes.get(user, (ZERO, self.users[user].curve.capacity))
            require(low <= cut <= high, "a split outside the range")
            sides = (("below", (low, cut)), ("above", (cut, high)))
            parts = [self.least(level, node[side], {**boxes, user: box}) for side, box in sides]
            return min((part for part in parts if part is not None), default=None)
        data_price, budget_price = number(node["data_price"]), number(node["budget_price"])
        require(self.exactly(level) or data_price >= 0, "a negative price of data")
        require(budget_price >= 0, "a negative price of the budget")
        require(budget_price == 0 or self.levels.budget is not None, "a price without a budget")
        require(node["shows"] in ("bound", "unreachable"), "a node shows a bound or unreachability")
        minimise = node["shows"] == "bound"
        cost_weight = ONE if minimise and self.aim.counts_cost else ZERO
        pay_weight = budget_price + (ONE if minimise and not self.aim.counts_cost else ZERO)
        dual = data_price * self.amount(level) - budget_price * (self.levels.budget or ZERO)
        for i, user in enumerate(self.users):
            corners = self.offers(i, level, *boxes.get(i, (ZERO, user.curve.capacity)))
            if not corners:
                return None  # nothing he may give goes without payment
            dual += min(
                cost_weight * cost + pay_weight * need - data_price * x for x, cost, need in corners
            )
        require(minimise or dual > 0, "the prices do not show that the level is out of reach")
        return dual if minimise else None

    def offers(
        self, i: int, level: int, low: Fraction, high: Fraction, amount: Fraction | None = None
    ) -> list[Offer]:
        """Corners of user i's (burden, cost, payment needed) over low ≤ x ≤ high at `level`, if
        the total is `amount` (T_k + R where nothing is said).

        Between neighbouring corners cost and need are linear; where the need jumps, both limits
        are listed: the least of cost, payment and −x, in any mix, is found at a corner. The need
        is participation (A3) and what the withdrawal right adds. Simultaneous (W1, X = T_k + R):
        ρ C − t ≤ v (b_k − (1 − η) b_m), m the level of X − δ x. Sequential: whoever leaves nothing
        missing (δ = 0) must be paid ρ C − η v b_k; of others nothing is asked: a bound only.
        Re-assignment: C − t ≤ v (b_k − (1 − η) b_m), m = k for who can be replaced.
        """
        user, amount = self.users[i], self.amount(level) if amount is None else amount
        if self.part and self.exactly(level):
            found = part_offers(user, self.levels, level, amount, (low, high))
            return [one for one in found if self.transfers or one[2] == 0]
        b, curve, exactly = self.levels.b, user.curve, self.exactly(level)
        gain = ZERO if self.mechanism == "subsidy" else user.value * b[level]
        cuts = {low, high, curve.inverse(gain)}
        edge = ZERO
        for width, _ in curve.pieces:
            edge += width
            cuts.add(edge)
        again = self.protocol == "reassign"
        rho = ONE if again else user.rho
        for m in range(level + 1) if exactly else (level,):  # where W1 takes over, or jumps
            loss = user.loss(b[level], b[m])
            if rho > 0:
                cuts.add(curve.inverse(loss / rho))
            if rho < 1:
                cuts.add(curve.inverse((gain - loss) / (1 - rho)))
            if user.delta > 0 and m > 0:
                cuts.add((amount - self.levels.T[m - 1]) / user.delta)

        def offer(x: Fraction, inside: Fraction) -> Offer:
            """At x, as the need is on the side of the corner where `inside` lies."""
            cost = curve.cost(x)
            need = max(ZERO, cost - gain)
            if exactly:
                m = min(level, self.levels.level(amount - user.delta * inside))
                m = level if self.replaceable[i] else m
                need = max(need, rho * cost - user.loss(b[level], b[m]))
            elif self.protocol == "sequential" and user.delta == 0:
                need = max(need, user.rho * cost - user.loss(b[level], b[level]))
            return x, cost, need

        corners = sorted(x for x in cuts if low <= x <= high)
        found = [offer(corners[0], corners[0])]
        for x, y in pairwise(corners):
            found += [offer(x, (x + y) / 2), offer(y, (x + y) / 2)]
        return [one for one in found if self.transfers or one[2] == 0]

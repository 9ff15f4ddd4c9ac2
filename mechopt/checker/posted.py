"""Known costs, posted offers: every offer that may be best, evaluated one by one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate
from typing import Any

from .data import ZERO, Aim, Levels, User, number, require, total
from .practice import of_practice

Outcome = tuple[int, Fraction, Fraction]  # level reached, payments, social cost


class PostedProblem:
    """One offer to everybody: a price s per unit of data, or a payment q for giving f.

    Price: user i gives every unit that costs at most s. What is given changes only where s is the
    marginal cost of a segment, and is cheapest there: these prices suffice.
    Contract: i accepts, and gives f, iff cap_i ≥ f and C_i(f) ≤ q. Searched: f = T_k / m with q
    the m-th lowest C_i(f). For payments these suffice: if N accept (f, q) and reach T_k, then
    f' = T_k / N ≤ f lowers every C_i, and if ties bring N' > N accepters, convexity makes
    N' C(T_k / N') ≤ N C(T_k / N). Where costs count, the claim is about these contracts only.
    """

    def __init__(self, problem: dict[str, Any], terms: dict[str, Any]) -> None:
        self.levels = Levels(problem)
        self.users = [User(data) for data in problem["users"]]
        self.aim = Aim(self.levels, total(user.value for user in self.users), terms)
        self.mechanism, self.offer = terms["mechanism"], terms["offer"]
        require(self.mechanism in ("posted-price", "posted-contract"), "mechanism?")
        require(not of_practice(problem), "posted offers in practice are not dealt with")
        if self.mechanism == "posted-contract" and self.offer is None:
            evaluations = len(self.users) ** 2 * self.levels.K
            evaluations *= max((len(user.slopes) for user in self.users), default=1)
            require(evaluations <= 2_000_000, "more contracts than can be compared one by one")

    def value(self, answer: dict[str, Any]) -> Fraction | None:
        """The objective of an offer within the budget; None if it misses the target."""
        require(self.offer is None or answer == self.offer, "another offer than the one allowed")
        if self.is_null(answer):
            return None if self.aim.lowest else ZERO
        reached = self.outcome(answer)
        require(self.levels.affords(reached[1]), "(A4) the budget is exceeded")
        return self.worth(reached)

    def is_null(self, answer: dict[str, Any]) -> bool:
        """Whether nothing is offered."""
        return answer == {}

    def worth(self, reached: Outcome) -> Fraction | None:
        level, spent, cost = reached
        counted = cost if self.aim.counts_cost else spent
        return self.aim.worth(level, counted) if level >= self.floor else None

    @property
    def floor(self) -> int:
        """The lowest level that counts: one offer given is evaluated wherever it leads."""
        return 0 if self.offer is not None else self.aim.lowest

    def outcome(self, answer: dict[str, Any]) -> Outcome:
        """What everybody does, by definition."""
        if self.mechanism == "posted-price":
            price = number(answer["price"])
            given = [
                total(width for width, rate in user.curve.pieces if rate <= price)
                for user in self.users
            ]
            spent = price * total(given)
        else:
            size, pay = number(answer["floor"]), number(answer["pay"])
            require(size > 0, "a contract about nothing")
            accepts = [u.curve.capacity >= size and u.curve.cost(size) <= pay for u in self.users]
            given = [size if accepted else ZERO for accepted in accepts]
            spent = pay * sum(accepts)
        cost = total(user.curve.cost(x) for user, x in zip(self.users, given))
        return self.levels.level(total(given)), spent, cost

    def bound(self, proof: dict[str, Any]) -> Fraction | None:
        """The best of all offers within the budget; None if none reaches the target."""
        require(proof == {}, "an enumeration needs no proof")
        values = [value for value, _, _ in self.ranked()]
        if self.offer is None and not self.aim.lowest:
            values.append(ZERO)  # offering nothing
        return self.aim.best(values)

    def ranked(self) -> list[tuple[Fraction, Fraction, dict[str, Any]]]:
        """(objective, payments, offer) of all that are within the budget and meet the target."""
        affordable = ((made, one) for made, one in self.offers() if self.levels.affords(one[1]))
        valued = ((self.worth(one), one[1], made) for made, one in affordable)
        return [(value, spent, made) for value, spent, made in valued if value is not None]

    def offers(self) -> Iterator[tuple[dict[str, Any], Outcome]]:
        """Every offer in question and what it leads to."""
        if self.offer is not None:
            yield self.offer, self.outcome(self.offer)
        elif self.mechanism == "posted-price":
            segments = sorted((r, w) for user in self.users for w, r in user.curve.pieces)
            given = accumulate(width for _, width in segments)
            costs = accumulate(rate * width for rate, width in segments)
            at: dict[Fraction, Outcome] = {}
            for (price, _), amount, cost in zip(segments, given, costs):
                at[price] = self.levels.level(amount), price * amount, cost  # the last of its price
            yield from (({"price": price}, one) for price, one in at.items())
        else:
            for threshold in self.levels.T:
                for parts in range(1, len(self.users) + 1):
                    size = threshold / parts
                    able = (user.curve for user in self.users if user.curve.capacity >= size)
                    costs_ = sorted(curve.cost(size) for curve in able)
                    if len(costs_) >= parts:
                        pay = costs_[parts - 1]
                        count = bisect_right(costs_, pay)
                        reached = self.levels.level(count * size)
                        made = {"floor": size, "pay": pay}
                        yield made, (reached, pay * count, total(costs_[:count]))

    def also(self, answer: dict[str, Any] | None, proof: dict[str, Any]) -> dict[str, Any]:
        """What is proved besides: with "improvement", the least payments; the range of offers."""
        if self.offer is not None:
            return {"offers": "the given one"}
        even = self.mechanism == "posted-contract" and self.aim.counts_cost
        found = {"offers": "even splits of a threshold" if even else "all"}
        if answer and self.aim.objective == "improvement":
            level, spent, _ = self.outcome(answer)
            if spent == min(
                pay for worth, pay, _ in self.ranked() if worth == self.levels.b[level]
            ):
                found["least_payments"] = str(spent)
        return found

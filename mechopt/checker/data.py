"""Numbers, cost curves and thresholds as a certificate spells them."""

from __future__ import annotations

import re
from bisect import bisect_right
from fractions import Fraction
from typing import Any

ZERO, ONE = Fraction(0), Fraction(1)
OBJECTIVES = ("provider-surplus", "welfare", "improvement", "expenditure", "social-cost")
MINIMISED = OBJECTIVES[3:]
_NUMBER = re.compile(r"-?\d+(/0*[1-9]\d*)?", re.ASCII)


class Refuted(Exception):
    """The certificate does not prove what it claims; the message says why."""


def require(holds: bool, why: str) -> None:
    if not holds:
        raise Refuted(why)


def number(text: Any) -> Fraction:
    """An integer or a string "p/q"; nothing else is a number here."""
    if isinstance(text, (int, Fraction)) and not isinstance(text, bool):
        return Fraction(text)
    require(isinstance(text, str) and bool(_NUMBER.fullmatch(text)), f"{text!r:.60} is no fraction")
    return Fraction(text)


def numbers(texts: Any) -> list[Fraction]:
    require(isinstance(texts, list), "expected a list of fractions")
    return [number(text) for text in texts]


def flag(given: Any) -> bool:
    """True or false; 1 and 0 are neither."""
    require(isinstance(given, bool), f"{given!r:.60} is neither true nor false")
    return bool(given)


def total(parts: Any) -> Fraction:
    return sum(parts, ZERO)


class Curve:
    """C(x) = θ g(x), g given by segments (width, slope); data → money."""

    def __init__(self, cost: Fraction, widths: list[Fraction], slopes: list[Fraction]) -> None:
        require(
            cost >= 0 and len(widths) == len(slopes) > 0, "a cost curve without cost or segment"
        )
        require(min(widths) >= 0 and slopes[0] > 0, "a segment of negative width or slope")
        require(slopes == sorted(slopes), "slopes decrease")
        self.pieces = [(width, cost * slope) for width, slope in zip(widths, slopes)]
        self.capacity = total(widths)

    def cost(self, x: Fraction) -> Fraction:
        spent = ZERO
        for width, rate in self.pieces:
            spent, x = spent + rate * min(x, width), x - min(x, width)
        return spent

    def inverse(self, money: Fraction) -> Fraction:
        """The largest x with C(x) ≤ money."""
        x = ZERO
        for width, rate in self.pieces:
            step = min(width, money / rate) if rate else width
            x, money = x + step, money - rate * step
        return x


class User:
    """Cost curve, value v, shares ρ (reversible), δ (removable) and η (lost by exclusion), and
    committed data y; of a user, or a type (`cost`)."""

    def __init__(self, data: dict[str, Any], cost: Any = None) -> None:
        cost = data["cost"] if cost is None else cost
        self.theta, self.slopes = number(cost), numbers(data["slopes"])
        self.curve = Curve(self.theta, numbers(data["widths"]), self.slopes)
        self.value = number(data["value"])
        self.rho, self.delta = number(data["reversibility"]), number(data["removable"])
        self.eta, self.committed = (
            number(data.get("exclusion", 0)),
            number(data.get("committed", 0)),
        )
        shares = (self.rho, self.delta, self.eta)
        require(self.value >= 0 and all(0 <= share <= 1 for share in shares), "a user's data")
        require(0 <= self.committed <= self.curve.capacity, "committed data out of range")

    def removes(self, x: Fraction) -> Fraction:
        """Data that leave with him."""
        return self.delta * (x - self.committed)

    def recovers(self, x: Fraction) -> Fraction:
        """Money that leaving gives back."""
        return self.rho * (self.curve.cost(x) - self.curve.cost(self.committed))

    def loss(self, before: Fraction, after: Fraction) -> Fraction:
        """What a fall of the share by leaving costs him."""
        return self.value * (before - (1 - self.eta) * after)


class Levels:
    """Thresholds T_k, shares b_k (b_0 = 0), the provider's value V and budget (None: no limit)."""

    def __init__(self, problem: dict[str, Any]) -> None:
        self.T = numbers(problem["thresholds"])
        self.b = [ZERO, *numbers(problem["shares"])]
        self.K = len(self.T)
        require(len(self.b) == self.K + 1 > 1, "as many shares as thresholds are needed")
        require(self.T[0] > 0 and self.b[-1] <= 1, "a threshold or share out of range")
        require(all(a < c for a, c in zip(self.T, self.T[1:])), "thresholds must increase")
        require(all(a < c for a, c in zip(self.b, self.b[1:])), "shares must increase")
        self.V = number(problem["provider_value"])
        budget = problem["budget"]
        self.budget = None if budget is None else number(budget)
        require(self.V >= 0 and (self.budget is None or self.budget >= 0), "a negative value")

    def level(self, amount: Fraction) -> int:
        """Number of thresholds reached."""
        return bisect_right(self.T, amount)

    def affords(self, spent: Fraction) -> bool:
        return self.budget is None or spent <= self.budget


class Aim:
    """What is optimised: the objective, the lowest level that counts, what the level is worth."""

    def __init__(self, levels: Levels, values: Fraction, terms: dict[str, Any]) -> None:
        """`values`: Σ v_i of all users."""
        self.objective, self.levels = terms["objective"], levels
        require(self.objective in OBJECTIVES, "objective?")
        self.minimised = self.objective in MINIMISED
        self.counts_cost = self.objective in ("social-cost", "welfare")  # else payments
        self.lowest = 0  # the null outcome counts, unless a share must be reached
        if self.minimised:
            target = levels.b[-1] if terms["target"] is None else number(terms["target"])
            self.lowest = sum(share < target for share in levels.b)
        self.gain = levels.V + (values if self.objective == "welfare" else ZERO)

    def worth(self, level: int, spent: Fraction) -> Fraction:
        """The objective at a level, given payments (or cost, whichever counts)."""
        if self.minimised:
            return spent
        if self.objective == "improvement":
            return self.levels.b[level]
        return self.gain * self.levels.b[level] - spent

    def best(self, values: list[Fraction]) -> Fraction | None:
        return min(values, default=None) if self.minimised else max(values, default=None)

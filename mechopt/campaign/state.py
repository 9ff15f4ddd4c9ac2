"""Where a campaign stands: people, deletions to honour, what was collected and is owed, exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.answer.plan import Plan
from mechopt.campaign.topup import TopUp, top_up

DAYS = 30  # to honour a deletion request: one month (GDPR, article 12(3))
_ZERO = Fraction(0)


@dataclass
class Person:
    """What is known of one user; amounts in data and money, exact.

    :asked, promised: burden and payment of the plan
    :given: data in hand; committed : of it, what can no longer be withdrawn
    :lost: of what was asked for, what will not come; allowed_for : of it, what the plan knows of
    :deleted: data asked back and to be deleted
    """

    asked: Fraction
    promised: Fraction
    given: Fraction = _ZERO
    committed: Fraction = _ZERO
    lost: Fraction = _ZERO
    allowed_for: Fraction = _ZERO
    deleted: Fraction = _ZERO
    paid: Fraction = _ZERO
    reported: Fraction | None = None
    invited: bool = False
    left: bool = False
    closed: bool = False

    @property
    def open(self) -> Fraction:
        """What may still come, data."""
        if self.left or self.closed:
            return _ZERO
        return max(self.asked - self.given - self.lost + self.allowed_for, _ZERO)

    @property
    def complete(self) -> bool:
        """Whether he gave, and did not take back, what he was asked for."""
        return not self.left and self.given >= self.asked * (1 - Fraction(tolerances.DATA))


@dataclass(frozen=True)
class Deletion:
    """Data to be deleted: whose, how much, why, when asked, when due, from which data version on.

    Every gift and every withdrawal makes a new version of the data, counted from 1; data version
    `version` and later must not hold it.
    """

    id: str
    amount: Fraction
    reason: str
    asked: str | None
    due: str | None
    version: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "amount": float(self.amount),
            "reason": self.reason,
            "asked": self.asked,
            "due": self.due,
            "version": self.version,
        }


@dataclass(eq=False)
class Campaign:
    """The state after a log: people, what is to be deleted, what was odd in the log.

    Data and money are in the units of the plan; rows are those of its problem (A1–A6; W1 for who is
    pivotal; drop-outs: docs/explanation/practice.md).

    :problems: (line, what is wrong), in the order of the log; nothing in the log is left out
        silently
    """

    plan: Plan
    people: list[Person] = field(repr=False)
    deletions: list[Deletion] = field(repr=False)
    problems: list[tuple[int, str]]
    lines: int
    events: int
    version: int
    closed: bool

    # -- data ------------------------------------------------------------------------------------

    @cached_property
    def in_hand(self) -> Fraction:
        """Data given and not taken back."""
        return sum((one.given for one in self.people), _ZERO)

    @cached_property
    def committed(self) -> Fraction:
        """Of it, what can no longer be withdrawn."""
        return sum((one.committed for one in self.people), _ZERO)

    @cached_property
    def revocable(self) -> Fraction:
        """Of it, what would be gone if everybody withdrew all he may."""
        return sum(
            (d * (one.given - one.committed) for d, one in zip(self._removable, self.people)), _ZERO
        )

    @cached_property
    def expected(self) -> Fraction:
        """Data in hand and what may still come of what was asked for."""
        return self.in_hand + sum((one.open for one in self.people), _ZERO)

    @cached_property
    def _removable(self) -> list[Fraction]:
        return list(self.plan.instance.exact("removable").tolist())

    @property
    def level(self) -> int:
        """The level that the plan aims at (1 for a null plan)."""
        return max(self.plan.level or 0, 1)

    @cached_property
    def threshold(self) -> Fraction:
        """Its threshold, data."""
        if self.plan.instance.is_exact:
            return Fraction(self.plan.instance.exact("thresholds")[self.level - 1])
        return Fraction(repr(float(self.plan.instance.thresholds[self.level - 1])))

    @cached_property
    def pivotal(self) -> list[int]:
        """Users without whose data, given or still to come, the threshold is not met."""
        if self.expected < self.threshold:
            return []
        found = []
        for user, (d, one) in enumerate(zip(self._removable, self.people)):
            gone = d * (one.given - one.committed) + one.open
            if gone > 0 and self.expected - gone < self.threshold:
                found.append(user)
        return found

    # -- money -----------------------------------------------------------------------------------

    @cached_property
    def owed(self) -> dict[int, Fraction]:
        """User -> money promised and not yet paid, of those who gave what they were asked for."""
        return {
            user: one.promised - one.paid
            for user, one in enumerate(self.people)
            if one.complete and one.promised > one.paid
        }

    @cached_property
    def spent(self) -> Fraction:
        """Money paid so far."""
        return sum((one.paid for one in self.people), _ZERO)

    # -- decisions -------------------------------------------------------------------------------

    @cached_property
    def go(self) -> bool:
        """Whether to train: see `certificate`."""
        return all(row["holds"] for row in self.certificate["rows"])

    @cached_property
    def certificate(self) -> dict[str, Any]:
        """Go or no-go, row by row, in exact numbers (text such as "23/2") that anybody can check.

        :data: committed data and the data of those who stay reach the threshold
        :budget: what was paid and what is owed are within the budget
        :owed: nobody who gave what he was asked for waits for his payment
        """
        budget = self.plan.instance.budget
        due = self.spent + sum(self.owed.values(), _ZERO)
        limit = None if budget == np.inf else Fraction(repr(budget))
        rows = [
            _row("data", self.in_hand, "≥", self.threshold, self.in_hand >= self.threshold),
            _row("budget", due, "≤", limit, limit is None or due <= limit),
            _row("owed", due - self.spent, "=", _ZERO, not self.owed),
        ]
        return {
            "rows": rows,
            "committed": str(self.committed),
            "revocable": str(self.revocable),
            "data_version": self.version,
            "events": self.events,
            "instance_hash": self.plan.instance.hash,
        }

    @cached_property
    def top_up(self) -> TopUp | None:
        """The least to ask and pay on top to meet the threshold; None if it will be met."""
        return top_up(self)

    # -- out -------------------------------------------------------------------------------------

    def payments(self) -> list[dict[str, Any]]:
        """One row per user with money promised or paid: id, promised, paid, due."""
        ids = self.plan.instance.ids
        return [
            {
                "id": str(ids[user]),
                "promised": float(one.promised),
                "paid": float(one.paid),
                "due": float(self.owed.get(user, _ZERO)),
            }
            for user, one in enumerate(self.people)
            if one.promised or one.paid
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: data, threshold, pivotal, money, top_up, deletions, go, certificate."""
        ids = self.plan.instance.ids
        people = self.people
        return {
            "data": {
                "in_hand": float(self.in_hand),
                "committed": float(self.committed),
                "revocable": float(self.revocable),
                "expected": float(self.expected),
                "version": self.version,
            },
            "threshold": {
                "level": self.level,
                "data": float(self.threshold),
                "met": self.in_hand >= self.threshold,
                "above": float(self.in_hand - self.threshold),
                "expected_met": self.expected >= self.threshold,
                "expected_above": float(self.expected - self.threshold),
            },
            "people": {
                "asked": sum(one.asked > 0 for one in people),
                "gave": sum(one.given > 0 for one in people),
                "complete": sum(one.complete and one.asked > 0 for one in people),
                "withdrew": sum(one.left for one in people),
                "failed": sum(one.lost > 0 for one in people),
                "pivotal": [str(ids[user]) for user in self.pivotal],
            },
            "money": {
                "paid": float(self.spent),
                "owed": float(sum(self.owed.values(), _ZERO)),
                "payments": self.payments(),
            },
            "top_up": None if self.top_up is None else self.top_up.to_dict(),
            "deletions": [one.to_dict() for one in self.deletions],
            "go": self.go,
            "certificate": self.certificate,
            "window_closed": self.closed,
            "events": self.events,
            "problems": [{"line": line, "message": text} for line, text in self.problems],
        }


def _row(
    name: str, left: Fraction, relation: str, right: Fraction | None, holds: bool
) -> dict[str, Any]:
    limit = None if right is None else str(right)
    return {"name": name, "left": str(left), "relation": relation, "right": limit, "holds": holds}

"""The log of a plan replayed, event by event: `update` says where the campaign stands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from fractions import Fraction
from os import PathLike

from mechopt import tolerances
from mechopt.answer.plan import Plan
from mechopt.campaign.events import Event, InvalidEvent, event_of
from mechopt.campaign.state import DAYS, Campaign, Deletion, Person
from mechopt.campaign.store import read_log
from mechopt.campaign.topup import spelled
from mechopt.errors import InvalidPlan

_ZERO = Fraction(0)

# -- replay ---------------------------------------------------------------------------------------


def update(plan: Plan, log: str | PathLike[str], *, days: int = DAYS) -> Campaign:
    """The state of the campaign of `plan` after the log at `log` (docs/campaign.md).

    :plan: burdens (data) and payments (money), both of shape (n,), as they were promised
    :days: until a deletion is due

    Raises InvalidPlan for a plan without burdens, InvalidFile if the log cannot be read. What is
    odd in the log raises nothing: it is listed in `problems`.
    """
    return replay(plan, read_log(log), days=days)


def replay(plan: Plan, lines: Iterable[str], *, days: int = DAYS) -> Campaign:
    """The state after the lines of a log.

    Events are taken in the order of their times; one without a time stands where it stands in the
    log. A gift within 10⁻⁹ of what was asked for is what was asked for. Torn lines, lines said
    twice, unknown ids, times out of order and events that contradict what happened before are named
    in `problems`; whatever makes sense is counted. The same lines always give the same state.
    `days` : until a deletion is due. Raises InvalidPlan.
    """
    if plan.burden is None or plan.payment is None:
        raise InvalidPlan(f"burden: the plan has none (its status is {plan.status.value!r})")
    problems: list[tuple[int, str]] = []
    lines = list(lines)
    events, kept = _parsed(lines, problems)
    people = [
        Person(asked=Fraction(x), promised=Fraction(t), given=Fraction(y), committed=Fraction(y))
        for x, t, y in zip(
            spelled(plan, "burden"),
            spelled(plan, "payment"),
            plan.instance.exact("committed").tolist(),
        )
    ]
    replayed = _Replay(plan, people, problems, timedelta(days=days))
    for event in events:
        replayed.apply(event)
    problems.sort()
    return Campaign(
        plan=plan,
        people=people,
        deletions=replayed.deletions,
        problems=problems,
        lines=len(lines),
        events=kept,
        version=replayed.version,
        closed=replayed.closed,
    )


def _parsed(lines: Iterable[str], problems: list[tuple[int, str]]) -> tuple[list[Event], int]:
    """The events in the order of their times, and how many lines hold one."""
    found: list[tuple[datetime | None, Event]] = []
    first: dict[str, int] = {}
    latest: datetime | None = None
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = event_of(line, place)
        except InvalidEvent as error:
            problems.append((place, f"{error}; the line is kept and does not count"))
            continue
        if event.identity in first:
            problems.append((place, f"says again what line {first[event.identity]} says"))
            continue
        first[event.identity] = place
        if event.time is not None and latest is not None and event.time < latest:
            problems.append((place, f"is out of order: {event.said_time} is before {latest}"))
        if event.time is not None and (latest is None or event.time > latest):
            latest = event.time
        found.append((event.time or latest, event))
    epoch = min((time for time, _ in found if time is not None), default=None)
    if epoch is not None:
        found.sort(key=lambda pair: pair[0] or epoch)
    return [event for _, event in found], len(found)


class _Replay:
    """Applies events one after another."""

    def __init__(
        self, plan: Plan, people: list[Person], problems: list[tuple[int, str]], month: timedelta
    ) -> None:
        self.people, self.problems, self.month = people, problems, month
        self.place = {str(name): user for user, name in enumerate(plan.instance.ids.tolist())}
        self.removable = plan.instance.exact("removable").tolist()
        self.capacity = plan.instance.exact("capacity").tolist()
        # what was asked for by the plans before this one, up to which line of the log
        self.before = [
            (int(one["lines"]), [Fraction(repr(x)) for x in one["burden"]])
            for one in plan.details.get("topped_up", ())
        ]
        self.deletions: list[Deletion] = []
        self.version, self.closed = 0, False

    def odd(self, event: Event, text: str) -> None:
        self.problems.append((event.place, text))

    def coming(self, event: Event, user: int, one: Person) -> tuple[Fraction, Fraction]:
        """What he was asked for when the event was written, and what of it was to come."""
        for lines, asked in self.before:
            if event.place <= lines:
                rest = _ZERO if one.left or one.closed else asked[user] - one.given - one.lost
                return asked[user], max(rest, _ZERO)
        return one.asked, one.open

    def apply(self, event: Event) -> None:
        if event.kind == "closed" and event.user is None:
            self.closed = True
            for one in self.people:
                one.committed, one.closed = one.given, True
            return
        assert event.user is not None
        user = self.place.get(event.user)
        if user is None:
            self.odd(event, f"id {event.user!r:.60} is nobody in the plan; it does not count")
            return
        kind = "closed_for" if event.kind == "closed" else event.kind
        getattr(self, kind)(event, user, self.people[user])

    def invited(self, event: Event, user: int, one: Person) -> None:
        one.invited = True

    def reported(self, event: Event, user: int, one: Person) -> None:
        one.reported = event.amount

    def paid(self, event: Event, user: int, one: Person) -> None:
        assert event.amount is not None
        one.paid += event.amount
        if one.paid > one.promised:
            self.odd(
                event,
                f"{event.user!r:.60} was paid {_say(one.paid)}, but promised {_say(one.promised)}",
            )

    def gave(self, event: Event, user: int, one: Person) -> None:
        asked, coming = self.coming(event, user, one)
        amount = coming if event.amount is None else event.amount
        if one.left:
            self.odd(event, f"{event.user!r:.60} gave after he withdrew; it counts")
            one.left = False
        if one.closed:
            self.odd(event, f"{event.user!r:.60} gave after the window was closed; it counts")
            one.committed += amount
        one.given += amount
        if abs(one.given - asked) <= asked * Fraction(tolerances.DATA):
            one.given = asked
        self.version += amount > 0
        if one.given > self.capacity[user] * (1 + Fraction(tolerances.DATA)):
            self.odd(
                event,
                f"{event.user!r:.60} has given {_say(one.given)}, "
                f"more than his capacity {_say(self.capacity[user])}; it counts",
            )

    def withdrew(self, event: Event, user: int, one: Person) -> None:
        free = one.given - one.committed
        whole = event.amount is None
        amount = free if event.amount is None else event.amount
        if one.closed and one.given > 0:
            self.odd(
                event,
                f"{event.user!r:.60} withdrew after the window was closed: his "
                f"{_say(one.given)} data are committed and stay",
            )
        elif amount > free:
            self.odd(
                event,
                f"{event.user!r:.60} withdrew {_say(amount)}, but only "
                f"{_say(free)} can be withdrawn; that counts",
            )
        amount = min(amount, free)
        one.left = one.left or whole or amount == free
        gone = self.removable[user] * amount
        one.given -= gone
        # what a withdrawal cannot remove stays in the pool for good
        one.committed += amount - gone
        one.deleted += gone
        if gone > 0:
            self.version += 1
            due = None if event.time is None else (event.time + self.month).date().isoformat()
            reason = "withdrew all" if whole or one.left else "withdrew a part"
            asked = event.said_time
            self.deletions.append(Deletion(str(event.user), gone, reason, asked, due, self.version))

    def failed(self, event: Event, user: int, one: Person) -> None:
        _, coming = self.coming(event, user, one)
        amount = coming if event.amount is None else min(event.amount, coming)
        if not coming:
            self.odd(event, f"{event.user!r:.60} failed, but nothing was to come from him")
        one.lost += amount
        if any(event.place <= lines for lines, _ in self.before):
            one.allowed_for += amount

    def closed_for(self, event: Event, user: int, one: Person) -> None:
        one.committed, one.closed = one.given, True


def _say(amount: Fraction) -> str:
    return f"{float(amount):g}"

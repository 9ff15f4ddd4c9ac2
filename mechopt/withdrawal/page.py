"""A withdrawal report as a page a person understands, and as a dictionary."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt.status import Status
from mechopt.withdrawal.outcome import Equilibrium, Outcome

if TYPE_CHECKING:
    from mechopt.withdrawal.check import WithdrawalReport

SHOWN = 5  # users quoted per list
REPLIES = 2000  # users up to which the page works out who would follow a withdrawal


def describe(report: WithdrawalReport) -> str:
    """The page: verdict, why, what happens instead, equilibria, ties."""
    lines = [_headline(report)]
    if not report.users.size:
        return lines[0]
    lines += _why(report)
    if not report.stable:
        lines += [f"What happens instead: {_outcome(report, report.outcome)}"]
    if report.protocol == "simultaneous" and report.withdrawal == "whole":
        lines += _equilibria(report)
    if report.protocol == "coalition":
        lines += _coalition(report)
    lines += _ties(report)
    return "\n".join(lines)


def _headline(report: WithdrawalReport) -> str:
    stage = report.stage
    asked = int(stage.movers.size)
    level = int(stage.level_of(stage.total))
    scope = (
        f"{asked} of {stage.n} users are asked for {float(stage.total):g} data; all of it reaches "
        f"level {level} of {stage.levels} (share {float(stage.shares[level]):g})."
    )
    how = report.protocol
    if how == "sequential":
        order = report.order if isinstance(report.order, str) else "the given order"
        how = f"sequential, {order}"
    if how == "reassign":
        how = "reassign: the mechanism is run again without whoever refuses"
    if report.withdrawal == "part":
        how += ", parts may be taken back"
    if report.protocol == "none":
        return f"Nobody may withdraw (protocol none).\n{scope}"
    if not asked:
        return f"STABLE ({how}): nothing is asked of anybody, so nobody can withdraw."
    if report.stable:
        return f"STABLE ({how}), margin {report.margin:g} money: everyone stays.\n{scope}"
    if not report.deviations_exist:
        return (
            f"NOT STABLE ({how}): nobody gains by leaving, but {float(stage.total):g} data do not "
            f"reach the first threshold {float(stage.thresholds[0]):g}, and nothing is trained."
        )
    count = int((report.slack < -report.tolerance).sum())
    return (
        f"NOT STABLE ({how}), margin {report.margin:g} money: {count} user"
        f"{'s gain' if count > 1 else ' gains'} by leaving.\n{scope}"
    )


def _why(report: WithdrawalReport) -> list[str]:
    """The least attached users: what each would lose, or gains, and what would follow."""
    nearest = np.argsort(report.slack, kind="stable")[:SHOWN]
    lines = ["Least attached:" if report.stable else "Who gains by leaving most, or loses least:"]
    for row in nearest.tolist():
        user, slack = int(report.users[row]), float(report.slack[row])
        level = int(report.level_if_leaves[row])
        doing = "leaving"
        if report.withdrawal == "part":
            doing = f"taking {float(report.taken[row]):g} back"
        verb = f"gains {-slack:g}" if slack < 0 else f"loses {slack:g}"
        verb += f" by {doing}; then"
        if abs(slack) <= report.tolerance[row]:
            verb = "is indifferent, so stays; otherwise"
        text = f"  {report.instance.name(user)} {verb} {_level(report, level)}"
        if report.path is not None and report.stage.movers.size <= REPLIES:
            text += _followers(report, user)
        lines.append(text + ".")
    more = report.users.size - nearest.size
    if more > 0:
        lines.append(f"  … and {more} more users, all more attached than these.")
    return lines


def _level(report: WithdrawalReport, level: int) -> str:
    if not level:
        return "nothing is trained"
    return f"level {level} is reached (share {float(report.stage.shares[level]):g})"


def _followers(report: WithdrawalReport, user: int) -> str:
    followers = report.threat(user).followers
    if not followers.size:
        return ""
    return f", because {_names(report, followers)} would leave as well"


def _names(report: WithdrawalReport, users: np.ndarray) -> str:
    shown = ", ".join(report.instance.name(user) for user in users[:SHOWN].tolist())
    return shown if users.size <= SHOWN else f"{shown} and {users.size - SHOWN} more"


def _outcome(report: WithdrawalReport, outcome: Outcome | Equilibrium) -> str:
    leaving = np.flatnonzero(~outcome.stay)
    staying = np.flatnonzero(outcome.stay & report.stage.able)
    if not leaving.size:
        who = "everyone stays"
    elif not staying.size:
        who = "everybody leaves"
    elif leaving.size <= staying.size:
        verb = "leaves" if leaving.size == 1 else "leave"
        who = f"{_names(report, leaving)} {verb}, {staying.size} stay"
    else:
        verb = "stays" if staying.size == 1 else "stay"
        who = f"{_names(report, staying)} {verb}, {leaving.size} leave"
    return (
        f"{who}; {outcome.total:g} data, {_level(report, outcome.level)}, "
        f"social cost {outcome.social_cost:g}."
    )


def _equilibria(report: WithdrawalReport) -> list[str]:
    lines = []
    for title, found in (("Best equilibrium", report.best), ("Worst equilibrium", report.worst)):
        lines.append(f"{title} ({_proof(found)}): {_found(report, found)}")
    if report.all_leave:
        pays = float(report.stage.shares[-1]) > 0 and report.best.outcome is not None
        better = pays and report.best.share > float(
            report.stage.shares[int(report.stage.level_of(report.stage.left_behind))]
        )
        lines.append(
            "Everybody leaving is an equilibrium too"
            + (
                ", a coordination failure:\n  if all expect all others to leave, nobody can save "
                "the training alone, although a better equilibrium exists."
                if better
                else "."
            )
        )
    return lines


def _proof(found: Equilibrium) -> str:
    if found.status is Status.OPTIMAL:
        return "proved"
    if found.status is Status.FEASIBLE:
        return f"not proved; share bound {found.share_bound:g}, bound {found.bound}"
    return found.status.value


def _found(report: WithdrawalReport, found: Equilibrium) -> str:
    if found.outcome is None:
        if found.status is Status.INFEASIBLE:
            return "there is no pure equilibrium."
        return "none was found within the limits, and none is excluded."
    return _outcome(report, found)


def _coalition(report: WithdrawalReport) -> list[str]:
    found = report.coalition
    if found is None:
        return [
            "No set of users gains by leaving together: whoever gains with others gains alone, "
            "and nobody does."
        ]
    return [
        f"A largest set that gains by leaving together: {_names(report, found.users)} "
        f"(gains {float(found.gains.min()):g} to {float(found.gains.max()):g}); then "
        f"{found.total:g} data are left and {_level(report, found.level)}."
    ]


_TURNED = {  # what `if_ties_turn` supposes
    "totals short": "a total at a threshold were the least bit short of it",
    "totals reach": "a total at a threshold did reach it",
    "indifferent leave": "the indifferent left",
}


def _ties(report: WithdrawalReport) -> list[str]:
    if report.exact:
        return ["Decided in exact arithmetic."]
    if not report.ties and not report.depends_on_ties:
        return []
    users = sum(tie.kind == "user" for tie in report.ties)
    totals = len(report.ties) - users
    lines = [
        f"Ties (inside the tolerance): {users} indifferent {'user' if users == 1 else 'users'}, "
        f"taken to stay; {totals} {'total' if totals == 1 else 'totals'} at a threshold."
    ]
    for what, turned in report.if_ties_turn.items():
        if turned.stable == report.stable and not (users if "indifferent" in what else totals):
            continue  # there is nothing to turn
        verdict = "stable" if turned.stable else "not stable"
        lines.append(f"  If {_TURNED[what]}: {verdict}, share {turned.share:g}.")
    return lines


def report_dict(report: WithdrawalReport, *, further: bool = True) -> dict[str, Any]:
    """JSON-ready content of the report, `further` with what takes a search or may be long."""
    ids, order = report.instance.ids, report.order
    said = {
        "protocol": report.protocol,
        "withdrawal": report.withdrawal,
        "order": order if isinstance(order, str) else [int(user) for user in order],
        "stable": report.stable,
        "margin": report.margin if isfinite(report.margin) else None,
        "exact": report.exact,
        "deviations": [{"id": str(ids[one.user]), **one._asdict()} for one in report.deviations],
        "outcome": report.outcome.to_dict(),
    }
    if not further:
        return said
    found = report.coalition
    simultaneous = report.protocol == "simultaneous" and report.withdrawal == "whole"
    return {
        **said,
        "all_leave": report.all_leave,
        "best": report.best.to_dict() if simultaneous else None,
        "worst": report.worst.to_dict() if simultaneous else None,
        "coalition": None
        if found is None
        else {"users": found.users.tolist(), "gains": found.gains.tolist(), "level": found.level},
        "ties": [tie._asdict() for tie in report.ties],
        "if_ties_turn": {what: turned._asdict() for what, turned in report.if_ties_turn.items()},
    }

"""`mechopt update`: where a campaign stands after its log, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from mechopt.commands import options as cli
from mechopt.commands.arguments import Argument, Option
from mechopt.commands.output import Page, check_out, note


def update(
    plan: cli.PlanFile,
    log: Annotated[Path, Argument(metavar="LOG", help="Events: .jsonl, or .sqlite.")],
    terms: cli.PlanTerms,
    append: Annotated[
        list[str] | None,
        Option("--append", metavar="EVENT", help="First append this event (JSON); repeat."),
    ] = None,
    days: Annotated[int, Option("--days", min=0, help="Days until a deletion is due.")] = 30,
    top_up: Annotated[
        Path | None,
        Option("--top-up", metavar="FILE", help="Write the top-up as a new plan here."),
    ] = None,
    deletions: Annotated[
        Path | None,
        Option("--deletions", metavar="FILE", help="Write the deletion list (.json, .csv)."),
    ] = None,
    payments: Annotated[
        Path | None,
        Option("--payments", metavar="FILE", help="Write what is due to whom (.csv)."),
    ] = None,
    out: cli.Out = None,
    *,
    shown: cli.Shown,
) -> None:
    """Replay the log of a campaign: data in hand, who is pivotal, what to ask, pay and delete.

    Exit status: 0 answered (no-go is an answer), 2 bad input.
    """
    import mechopt as mo
    from mechopt.files import write_document, write_rows

    for path in (out, top_up, deletions, payments):
        check_out(path, plan, log, terms.whose)
    found = terms.plan(plan)
    _append(log, append or [])
    state = mo.update(found, log, days=days)
    document = {"kind": "campaign", "schema_version": 1, **state.to_dict()}
    if deletions is not None:
        rows = [one.to_dict() for one in state.deletions]
        write_rows(deletions, rows, ("id", "amount", "reason", "asked", "due", "version"))
        shown.wrote(deletions)
    if payments is not None:
        write_rows(payments, state.payments(), ("id", "promised", "paid", "due"))
        shown.wrote(payments)
    if top_up is not None:
        if state.top_up is None or state.top_up.plan is None:
            note("mechopt: there is no top-up to write", quiet=shown.quiet)
        else:
            state.top_up.plan.write(top_up)
            shown.wrote(top_up)
    if out is not None:
        write_document(document, out)
        shown.wrote(out)
    shown.say(document, lambda: page(state))


def _append(log: Path, events: list[str]) -> None:
    """Events in JSON, put at the end of the log."""
    import json

    from mechopt.campaign.store import append_event
    from mechopt.errors import InvalidOption

    for text in events:
        try:
            event = json.loads(text)
        except ValueError as error:
            raise InvalidOption(f"--append: {text[:60]!r} is no JSON ({error})") from None
        if not isinstance(event, dict):
            raise InvalidOption(f"--append: {text[:60]!r} is no JSON object")
        append_event(log, event)


def page(state: Any) -> str:
    """The state for people."""
    d = state.to_dict()
    data, threshold, people, money = d["data"], d["threshold"], d["people"], d["money"]
    above, later = (_beside(threshold[name]) for name in ("above", "expected_above"))
    lines = [
        f"{'GO' if d['go'] else 'NO-GO'}: {_why(state)}",
        "",
        f"data in hand   {data['in_hand']:g} (committed {data['committed']:g}, "
        f"still revocable {data['revocable']:g}), version {data['version']}",
        f"threshold      {threshold['data']:g}: {above}; with what may still come {later}",
        f"people         {people['asked']} asked, {people['complete']} gave all, "
        f"{people['withdrew']} withdrew, {people['failed']} failed",
        f"pivotal now    {len(people['pivotal'])}{_few(people['pivotal'])}",
        f"payments       {money['paid']:g} paid, {money['owed']:g} owed",
        f"deletions      {len(d['deletions'])}",
    ]
    lines += [
        f"  {one['id']}: {one['amount']:g} data, {one['reason']}, asked {one['asked'] or '-'}, "
        f"due {one['due'] or '-'}, gone from version {one['version']} on"
        for one in d["deletions"][:10]
    ]
    if len(d["deletions"]) > 10:
        lines.append(f"  … and {len(d['deletions']) - 10} more (--deletions FILE)")
    lines += _top_up(d["top_up"])
    if d["problems"]:
        lines.append(f"odd in the log {len(d['problems'])}")
        lines += [f"  line {one['line']}: {one['message']}" for one in d["problems"][:10]]
        if len(d["problems"]) > 10:
            lines.append(f"  … and {len(d['problems']) - 10} more")
    text = Page()
    for line in lines:
        text.line(line, " " * (4 if line.startswith(" ") else 15))
    return text.text()


def _beside(data: float) -> str:
    return f"{abs(data):g} {'above' if data >= 0 else 'below'}"


def _why(state: Any) -> str:
    said = {
        "data": "the data in hand do not reach the threshold",
        "budget": "payments exceed the budget",
        "owed": "somebody who gave all is still to be paid",
    }
    failed = [said[row["name"]] for row in state.certificate["rows"] if not row["holds"]]
    return "; ".join(failed) or "the threshold is met, payments are within budget, nobody is owed"


def _few(names: list[str]) -> str:
    if not names:
        return ""
    return ": " + ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def _top_up(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["top-up         none is needed"]
    if not found["users"]:
        return [f"top-up         none restores the threshold: {found['reason']}"]
    lines = [
        f"top-up         {found['data']:g} data of {len(found['users'])} users for "
        f"{found['payments']:g} more ({found['status']})"
    ]
    lines += [
        f"  {one['id']}: {one['more']:g} more (then {one['burden']:g}), paid {one['extra']:g} more "
        f"(then {one['payment']:g})"
        for one in found["users"][:10]
    ]
    if len(found["users"]) > 10:
        lines.append(f"  … and {len(found['users']) - 10} more (--top-up FILE)")
    return lines

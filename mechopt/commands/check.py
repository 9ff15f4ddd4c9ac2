"""`mechopt check`: does a plan (or a direct mechanism) hold, and does everybody stay?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from mechopt.commands import options as cli
from mechopt.commands.arguments import Argument
from mechopt.commands.output import check_out, emit, note


def check(
    plan: Annotated[
        Path,
        Argument(metavar="PLAN", help="A plan or a mechanism: .json, .csv, .xlsx, .parquet."),
    ],
    terms: cli.PlanTerms,
    protocol: cli.Protocol = None,
    order: cli.Order = None,
    withdrawal: cli.Withdrawal = None,
    out: cli.Out = None,
    *,
    shown: cli.Shown,
) -> None:
    """Recompute every constraint of a plan and its withdrawal check under both protocols.

    Of a direct mechanism: every incentive, participation, obedience, threshold and budget row.

    Exit status: 0 if every row holds, 3 if one does not, 2 bad input.
    """
    import mechopt as mo
    from mechopt.commands.show import answer_check_text, audit_dict, check_dict, check_text
    from mechopt.errors import InvalidFile

    check_out(out, plan, terms.whose)
    if cli.is_users(plan):
        raise InvalidFile(
            f"{plan}: is a table of users, not a plan: it has no column `burden`; "
            "`mechopt solve` makes a plan of it"
        )
    found = terms.answer(plan, quiet=shown.quiet)
    for line in getattr(found, "notes", ()):
        note(f"mechopt: {plan}: {line}", quiet=shown.quiet)
    if isinstance(found, (mo.Instance, mo.Population)):
        raise InvalidFile(f"{plan}: is {cli.kind_of(found)}; expected a plan")
    if not found.has_answer:
        emit(f"{plan}: {found.status}, there is no answer to check. {found.reason}\n")
        raise SystemExit(3 if found.status == "infeasible" else 4)
    if not isinstance(found, mo.Plan):
        verdict = mo.audit(found.population, found)
        _say(audit_dict(verdict), lambda: answer_check_text(found, verdict), out, shown)
        raise SystemExit(0 if verdict.ok else 3)
    said = {"protocol": protocol, "order": cli.positions(order), "right": withdrawal}
    found = found.replace(**cli.given(said))
    audit = mo.audit(found.instance, found)
    _say(check_dict(found, audit), lambda: check_text(found, audit), out, shown)
    raise SystemExit(0 if audit.ok else 3)


def _say(
    document: dict[str, Any], page: Callable[[], str], out: Path | None, shown: cli.Shown
) -> None:
    """The document to `out`, if given, and document or page to standard output."""
    if out is not None:
        from mechopt.files import write_document

        write_document(document, out)
        shown.wrote(out)
    shown.say(document, page)

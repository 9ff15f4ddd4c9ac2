"""`mechopt check`: does a plan (or a direct mechanism) hold, and does everybody stay?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mechopt.commands import options as cli
from mechopt.commands.arguments import Argument
from mechopt.commands.output import check_out, emit, note


def check(
    plan: Annotated[
        Path,
        Argument(metavar="PLAN", help="A plan or a mechanism: .json, .csv, .xlsx, .parquet."),
    ],
    terms: cli.FileTerms,
    instance: cli.InstanceOption = None,
    protocol: cli.Protocol = None,
    order: cli.Order = None,
    withdrawal: cli.Withdrawal = None,
    out: cli.Out = None,
    format: cli.FormatOption = cli.Format.TABLE,
    quiet: cli.Quiet = False,
) -> None:
    """Recompute every constraint of a plan and its withdrawal check under both protocols.

    Of a direct mechanism: every incentive, participation, obedience, threshold and budget row.

    Exit status: 0 if every row holds, 3 if one does not, 2 bad input.
    """
    import mechopt as mo
    from mechopt.commands.show import answer_check_text, audit_dict, check_dict, check_text
    from mechopt.errors import InvalidFile
    from mechopt.files.documents import dumps

    check_out(out, plan, instance)
    if cli.is_users(plan):
        raise InvalidFile(
            f"{plan}: is a table of users, not a plan: it has no column `burden`; "
            "`mechopt solve` makes a plan of it"
        )
    found = terms.answer(plan, instance, quiet=quiet)
    for line in getattr(found, "notes", ()):
        note(f"mechopt: {plan}: {line}", quiet=quiet)
    if isinstance(found, (mo.Instance, mo.Population)):
        raise InvalidFile(f"{plan}: is {cli.kind_of(found)}; expected a plan")
    if not found.has_answer:
        emit(f"{plan}: {found.status}, there is no answer to check. {found.reason}\n")
        raise SystemExit(3 if found.status == "infeasible" else 4)
    if not isinstance(found, mo.Plan):
        verdict = mo.audit(found.population, found)
        _say(dumps(audit_dict(verdict)), answer_check_text(found, verdict), out, format, quiet)
        raise SystemExit(0 if verdict.ok else 3)
    said = {"protocol": protocol, "order": cli.positions(order), "right": withdrawal}
    found = found.replace(**cli.given(said))
    audit = mo.audit(found.instance, found)
    _say(dumps(check_dict(found, audit)), check_text(found, audit), out, format, quiet)
    raise SystemExit(0 if audit.ok else 3)


def _say(document: str, page: str, out: Path | None, format: cli.Format, quiet: bool) -> None:
    """The document to `out`, if given, and document or page to standard output."""
    if out is not None:
        from mechopt.files import replacing

        with replacing(out) as stream:
            stream.write(document)
        note(f"mechopt: wrote {out}", quiet=quiet)
    emit(document if format is cli.Format.JSON else page)

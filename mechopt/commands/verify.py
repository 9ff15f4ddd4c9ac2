"""`mechopt verify`: does a certificate prove what it claims?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from mechopt.commands import options as cli
from mechopt.commands.arguments import Argument, Option
from mechopt.commands.output import emit
from mechopt.errors import InvalidOption


def verify(
    certificate: Annotated[Path, Argument(metavar="CERT", help="A certificate (.json).")],
    terms: cli.FileTerms,
    problem: Annotated[
        Path | None,
        Option("--problem", metavar="FILE", help="The problem it must be about."),
    ] = None,
    format: cli.FormatOption = cli.Format.TABLE,
) -> None:
    """Check a certificate in exact arithmetic, from the problem's data, without any solver.

    The checker is a folder of Python's standard library and does the same when called as
    `python -m mechopt.checker CERT`. Exit status: 0 it proves its claim, 3 it does
    not, 2 it cannot be read.
    """
    from mechopt.checker import Refuted
    from mechopt.checker import verify as check
    from mechopt.files import documents

    if problem is None and terms != cli.FileTerms():
        raise InvalidOption(
            "--threshold, --share, --budget, …: complete the users of --problem FILE"
        )
    document = documents.load(certificate)
    documents.kind_of(document, certificate, ("certificate",))
    try:
        facts = check(document)
        if problem is not None and _data(problem, terms) != document["problem"]:
            raise Refuted(f"it is about another problem than {problem}")
    except Refuted as why:
        answer = {"verified": False, "why": str(why)}
        text = f"{certificate}: REFUTED: {why}\n"
        status = 3
    else:
        answer = {"verified": True, "claim": document["claim"], "facts": facts}
        text = f"{certificate}: verified\n" + "".join(f"  {fact}\n" for fact in facts)
        if problem is None:
            text += "  (about the problem inside the certificate; --problem FILE compares it)\n"
        status = 0
    emit(json.dumps(answer, indent=1) + "\n" if format is cli.Format.JSON else text)
    raise SystemExit(status)


def _data(path: Path, terms: cli.FileTerms) -> object:
    """The problem in a file as a certificate would spell it."""
    from mechopt.problem.exact_data import instance_data, population_data
    from mechopt.problem.instance import Instance

    found = terms.problem(path, quiet=True)
    return instance_data(found) if isinstance(found, Instance) else population_data(found)

"""`mechopt explore`: a local page with sliders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mechopt.commands import options as cli
from mechopt.commands.arguments import Argument, Option
from mechopt.commands.output import check_out, emit, note


def explore(
    file: Annotated[
        Path, Argument(metavar="FILE", help="An instance, a table of users, or a plan.")
    ],
    terms: cli.FileTerms,
    out: Annotated[
        Path | None,
        Option("--out", metavar="PAGE", help="Write a page that needs no server instead."),
    ] = None,
    open_: Annotated[bool, Option("--open/--no-open", help="Open the page in the browser.")] = True,
    quiet: cli.Quiet = False,
) -> None:
    """Serve a page on this machine on which terms can be moved and the plan watched (Ctrl-C ends).

    The address holds a secret; whoever has it and works on this machine can see the page.
    """
    import mechopt as mo
    from mechopt.errors import InvalidFile
    from mechopt.explorer.page import standalone
    from mechopt.explorer.server import Explorer
    from mechopt.files import read, replacing

    check_out(out, file)
    found = read(file, **terms.arguments())
    if isinstance(found, mo.Plan):
        found = found.instance
    if not isinstance(found, mo.Instance):
        raise InvalidFile(f"{file}: is {cli.kind_of(found)}; expected an instance or a plan")
    if out is not None:
        with replacing(out) as stream:
            stream.write(standalone(found, str(file)))
        note(f"mechopt: wrote {out}", quiet=quiet)
        return
    with Explorer(found, str(file)) as server:
        emit(f"{server.address}\n")
        note("mechopt: serving on this machine; Ctrl-C ends", quiet=quiet)
        if open_:
            import webbrowser

            webbrowser.open(server.address)
        server.serve_forever(poll_interval=0.2)

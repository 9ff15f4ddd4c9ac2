"""The command line: which commands there are, and how errors become one line and an exit status.

Exit status: 0 answered, 1 anything else, 2 bad input or usage, 3 infeasible, 4 limit reached
without proof, 130 interrupted.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn

import typer

from mechopt.atomic import protecting
from mechopt.errors import (
    InvalidInput,
    MechoptError,
    NotSupported,
    OutputError,
    TooLarge,
)
from mechopt.words import NO_DOCSTRINGS, load

# command -> "module:function"; the function's signature and docstring are its interface
COMMANDS = {
    "solve": "mechopt.commands.solve:solve",
    "check": "mechopt.commands.check:check",
    "verify": "mechopt.commands.verify:verify",
    "generate": "mechopt.commands.generate:generate",
    "calibrate": "mechopt.commands.calibrate:calibrate",
    "calibrate-population": "mechopt.commands.calibrate:calibrate_population",
    "compare": "mechopt.commands.compare:compare",
    "explain": "mechopt.commands.explain:explain",
    "simulate": "mechopt.commands.simulate:simulate",
    "frontier": "mechopt.commands.frontier:frontier",
    "rights": "mechopt.commands.rights:rights",
    "explore": "mechopt.commands.explore:explore",
    "update": "mechopt.commands.update:update",
    "report": "mechopt.commands.report:report",
    "export-model": "mechopt.commands.export_model:export_model",
    "models": "mechopt.commands.models:models",
    "schema": "mechopt.commands.schema:schema",
}

# shown at the end of a command's --help
EXAMPLES = {
    "solve": (
        "mechopt solve users.csv --threshold 4000",
        "mechopt solve users.csv --threshold 20 --share 0.6 --threshold 40 --share 1 --budget 5",
        "mechopt solve instance.json --protocol sequential --out plan.csv",
        "mechopt solve population.json --objective improvement --format json",
    ),
    "check": ("mechopt check plan.json", "mechopt check plan.csv --instance instance.json"),
    "verify": ("mechopt verify plan.certificate.json --problem instance.json",),
    "generate": ("mechopt generate lognormal --n 1000 --seed 7 --out instance.json",),
    "compare": (
        "mechopt compare a.json b.json --mechanism posted-price --mechanism burdens",
        'mechopt compare --family "lognormal:n=100,tightness=0.8" --draws 20 --out rows.parquet',
        "mechopt report rows.parquet --figures figures",
    ),
    "report": ("mechopt report plan.json -o page.html", "mechopt report rows.parquet -o page.html"),
    "export-model": ("mechopt export-model instance.json --out model.lp",),
    "schema": ("mechopt schema plan",),
}

ABOUT = "Optimal incentive mechanisms for data contributions under withdrawal rights."
BAD_INPUT = 2
INTERRUPTED = 130
GRACE = 1.0  # seconds


def build(only: str | None = None) -> typer.Typer:
    """The application with every command of `COMMANDS`, or with one: that starts faster."""
    application = typer.Typer(
        name="mechopt",
        add_completion=only is None,
        no_args_is_help=True,
        rich_markup_mode=None,  # plain help: fast, and the same in every terminal
        pretty_exceptions_enable=False,
    )
    application.callback(help=ABOUT)(_root)
    for name, place in COMMANDS.items():
        if only in (None, name):
            lines = [f"  {line}" for line in EXAMPLES.get(name, ())]
            epilog = "\n".join(("\b", "Examples:", *lines)) if lines else None
            application.command(name, epilog=epilog)(_guarded(_spread(load(place))))
    return application


def _version(asked: bool) -> None:
    if asked:
        from mechopt import __version__
        from mechopt.commands.output import emit

        emit(f"mechopt {__version__}\n")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", is_eager=True, callback=_version
    ),
) -> None:
    """Options of the command line itself."""


def _spread(command: Callable[..., Any]) -> Callable[..., Any]:
    """`command` with the fields of a group of options (a dataclass) in the group's place."""
    own = inspect.signature(command, eval_str=True).parameters
    groups: dict[str, Any] = {
        name: one.annotation for name, one in own.items() if is_dataclass(one.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for name, one in own.items():
        group = groups.get(name)
        found = inspect.signature(group, eval_str=True).parameters.values() if group else [one]
        parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in found]

    @functools.wraps(command)
    def run(**said: Any) -> Any:
        for name, group in groups.items():
            said[name] = group(**{field.name: said.pop(field.name) for field in fields(group)})
        return command(**said)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """`command` with the package's errors as lines on stderr and an exit status."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        try:
            with protecting():
                return command(*args, **options)
        except (InvalidInput, OutputError, NotSupported, TooLarge) as error:
            _fail(error, BAD_INPUT)
        except MechoptError as error:
            _fail(error, 1)
        except KeyboardInterrupt:
            _say("mechopt: interrupted; nothing was left half-written")
            raise typer.Exit(INTERRUPTED) from None
        except MemoryError:
            _say("mechopt: out of memory")
            raise typer.Exit(1) from None

    return run


def _fail(error: MechoptError, status: int) -> NoReturn:
    for line in str(error).splitlines():
        _say(f"mechopt: {line}")
    raise typer.Exit(status)


def _say(line: str) -> None:
    if sys.stderr is not None:
        typer.echo(line, err=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (default: those of the process); the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # ids no terminal can show
    if sys.flags.optimize > 1:
        _say(f"mechopt: {NO_DOCSTRINGS}")
        return BAD_INPUT
    if arguments is None and os.name == "posix":
        _watch_signals()
    # Typer reads options by pydantic, which would look for plugins in every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        asked = given[0] if given and given[0] in COMMANDS else None
        build(asked)(args=given, prog_name="mechopt")
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        status = INTERRUPTED
    else:
        status = 0
    return _flushed(status)


def _watch_signals() -> None:
    """End on Ctrl-C and SIGTERM within `GRACE` seconds, and leave no temporary file behind.

    Python sees a signal only between its own instructions, and HiGHS can run for minutes without
    any. So a thread is woken as well, and ends the process if the main thread has not.
    """
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _terminated)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_end_after_signal, args=(reader,), daemon=True).start()


def _terminated(number: int, frame: object) -> NoReturn:
    """Leave by way of every `finally`."""
    raise SystemExit(128 + number)


def _end_after_signal(reader: int) -> None:
    from mechopt.atomic import discard_unfinished

    number = os.read(reader, 1)[0]
    time.sleep(GRACE)
    discard_unfinished()
    _say("mechopt: interrupted; nothing was left half-written")
    os._exit(128 + number)


def _flushed(status: int) -> int:
    """`status`, or 2 if what was printed did not get through."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _say(f"mechopt: cannot write to standard output: {error.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status or BAD_INPUT
    return status


if __name__ == "__main__":
    sys.exit(main())

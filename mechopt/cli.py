"""The command line: which commands there are, and how errors become one line and an exit status.

Exit status: 0 answered, 1 anything else, 2 bad input or usage, 3 infeasible, 4 limit reached
without proof, 130 interrupted.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from mechopt.atomic import protecting
from mechopt.commands.output import emit
from mechopt.errors import (
    InvalidInput,
    MechoptError,
    NotSupported,
    OutputError,
    TooLarge,
)
from mechopt.words import NO_DOCSTRINGS, choose, load

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
    "models": "mechopt.commands.published:models",
    "schema": "mechopt.commands.published:schema",
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
COMPLETE = "_MECHOPT_COMPLETE"  # set by the shell that asks for the next word
HELP, VERSION, COMPLETION = "--help", "--version", "--show-completion"
BAD_INPUT = 2
INTERRUPTED = 130
GRACE = 1.0  # seconds


def _run(words: list[str]) -> int:
    """Run one command; its exit status."""
    from mechopt.commands import arguments

    first, *rest = words or [""]
    if first in COMMANDS:
        command = load(COMMANDS[first])
        if HELP in rest[: rest.index("--") if "--" in rest else None]:
            emit(arguments.help_text(first, command, EXAMPLES.get(first, ())))
        else:
            command(**arguments.parse(first, command, rest))
    elif first == VERSION:
        from mechopt import __version__

        emit(f"mechopt {__version__}\n")
    elif first == COMPLETION:
        shell = rest[0] if rest else os.path.basename(os.environ.get("SHELL", ""))
        emit(arguments.SCRIPTS[choose(COMPLETION, shell, arguments.SCRIPTS)])
    elif first in ("", HELP):
        emit(_help())
        return 0 if first else BAD_INPUT
    else:
        choose("option" if first.startswith("-") else "command", first, [*COMMANDS, HELP, VERSION])
    return 0


def _help() -> str:
    """Which commands there are."""
    from mechopt.commands.arguments import SCRIPTS, listed, paragraph

    def sentence(place: str) -> str:
        return " ".join((load(place).__doc__ or "").split("\n\n")[0].split())

    options = (
        (HELP, "Show this text; after a command's name all about it."),
        (VERSION, "Print the version."),
        (f"{COMPLETION} SHELL", f"Print what completes words in {', '.join(SCRIPTS)}."),
    )
    lines = ["Usage: mechopt COMMAND [ARGUMENTS]", "", *paragraph(ABOUT), ""]
    lines += ["Options:", *listed(options), ""]
    lines += ["Commands:", *listed([(name, sentence(it)) for name, it in COMMANDS.items()])]
    return "\n".join(lines) + "\n"


def _complete() -> int:
    """Print what the word may become that the shell asks about."""
    from mechopt.commands.arguments import completions

    at, words = int(os.environ.get("COMP_CWORD", "-1")), os.environ["COMP_WORDS"].split()
    words = [*words[1:at], words[at] if 0 < at < len(words) else ""]
    places = {name: functools.partial(load, place) for name, place in COMMANDS.items()}
    emit("".join(f"{word}\n" for word in completions(words, places)))
    return 0


def _guarded(run: Callable[[], int]) -> int:
    """The exit status of `run`; the package's errors become lines on stderr."""
    try:
        with protecting():
            return run()
    except (InvalidInput, OutputError, NotSupported, TooLarge) as error:
        return _failed(error, BAD_INPUT)
    except MechoptError as error:
        return _failed(error, 1)
    except KeyboardInterrupt:
        _say("mechopt: interrupted; nothing was left half-written")
        return INTERRUPTED
    except MemoryError:
        _say("mechopt: out of memory")
        return 1


def _failed(error: MechoptError, status: int) -> int:
    for line in str(error).splitlines():
        _say(f"mechopt: {line}")
    return status


def _say(line: str) -> None:
    if sys.stderr is not None:
        print(line, file=sys.stderr, flush=True)


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
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if COMPLETE in os.environ:
            return _complete()
        status = _guarded(lambda: _run(given))
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        status = INTERRUPTED
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

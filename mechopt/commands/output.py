"""Results to stdout, progress to stderr."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from mechopt.atomic import STANDARD, protect, refuse_inputs
from mechopt.errors import OutputError

PATIENCE = 2.0  # seconds without a word


def emit(text: str) -> None:
    """Print a result; OutputError if standard output is closed or full."""
    if sys.stdout is None:
        raise OutputError("cannot write to standard output: it is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # what is still buffered would fail again when Python exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"cannot write to standard output: {error.strerror}") from None


def note(line: str, *, quiet: bool) -> None:
    """Print progress, unless `quiet`."""
    if not quiet and sys.stderr is not None:
        typer.echo(line, err=True)


def check_out(path: object, *inputs: object) -> None:
    """OutputError before any work if `--out` cannot be written, or is an input of the call."""
    for one in inputs:
        if one is not None:
            protect(str(one))
    if path is None or str(path) in STANDARD:
        return
    refuse_inputs(str(path))
    try:
        folder = os.path.dirname(os.path.realpath(str(path)))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write {path}: {why}") from None
    if not os.path.isdir(folder):
        raise OutputError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write {path}: the folder is read-only")


@contextmanager
def working(what: str, *, quiet: bool) -> Iterator[None]:
    """Inside, after `PATIENCE` seconds, one line on a terminal says what runs and for how long."""
    stream = sys.stderr
    if quiet or stream is None or not stream.isatty():
        yield
        return
    began, ended = time.monotonic(), threading.Event()

    def tell() -> None:
        wait = PATIENCE
        while not ended.wait(wait):
            stream.write(f"\r\x1b[Kmechopt: {what}: {time.monotonic() - began:.0f} s so far")
            stream.flush()
            wait = 1.0
        if wait != PATIENCE:
            stream.write("\r\x1b[K")
            stream.flush()

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()

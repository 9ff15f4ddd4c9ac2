"""Results to stdout, progress to stderr."""

from __future__ import annotations

import os
import sys

import typer

from mechopt.errors import OutputError


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


def check_out(path: object) -> None:
    """OutputError before any work if the folder of `--out` cannot take a file."""
    if path is None:
        return
    folder = os.path.dirname(os.path.realpath(str(path)))
    if not os.path.isdir(folder):
        raise OutputError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write {path}: the folder is read-only")

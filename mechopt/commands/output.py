"""Results to stdout, progress to stderr; lines and tables as wide as the terminal allows."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unicodedata import east_asian_width

from mechopt.atomic import STANDARD, protect, refuse_inputs
from mechopt.errors import OutputError

PATIENCE = 2.0  # seconds without a word
WIDTH, WIDEST = 80, 100  # columns where nothing else is known; of sentences


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
        print(line, file=sys.stderr, flush=True)


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


def columns_of_terminal() -> int:
    """How many columns there are: what COLUMNS says, else the terminal's, else `WIDTH`."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


class Page:
    """A text for people: sentences are wrapped, tables aligned."""

    def __init__(self, width: int | None = None) -> None:
        self.width = max(20, min(columns_of_terminal(), WIDEST) if width is None else width)
        self.lines: list[str] = []

    def line(self, text: str, hang: str = "") -> None:
        """A sentence, or several lines of them; what is wrapped starts with `hang`."""
        wrap = textwrap.TextWrapper(self.width, subsequent_indent=hang, break_on_hyphens=False)
        for part in text.splitlines() or [""]:
            self.lines += wrap.wrap(part) or [""]

    def gap(self) -> None:
        """An empty line."""
        self.lines.append("")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
        """The first `left` columns to the left, the others to the right.

        On a page that is too narrow columns stand closer, and the first is wrapped.
        """
        cells = [tuple(map(str, row)) for row in (header, *rows)]
        widths = [max(map(_width, column)) for column in zip(*cells)]
        between = "  " if sum(widths) + 2 * len(widths) - 2 <= self.width else " "
        room = self.width - sum(widths[1:]) - len(between) * (len(widths) - 1)
        widths[0] = min(widths[0], max(room, 12))
        for row in cells:
            first, *more = textwrap.wrap(row[0], widths[0], break_on_hyphens=False) or [""]
            padded = [
                cell + " " * (width - _width(cell))
                if k < left
                else " " * (width - _width(cell)) + cell
                for k, (cell, width) in enumerate(zip((first, *row[1:]), widths))
            ]
            self.lines += [between.join(padded), *(f" {part}" for part in more)]

    def text(self) -> str:
        """All of it."""
        return "\n".join(line.rstrip() for line in self.lines) + "\n"


def _width(cell: str) -> int:
    """Columns of a terminal that a text takes: wide characters two."""
    if cell.isascii():
        return len(cell)
    return len(cell) + sum(east_asian_width(mark) in "WF" for mark in cell)

"""Lines and tables gathered into one text, as wide as the terminal allows."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from unicodedata import east_asian_width

WIDTH = 100  # columns, where no terminal says otherwise


def columns_of_terminal() -> int:
    """How many columns there are: the terminal's, else `WIDTH`."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size((WIDTH, 24)).columns if terminal else WIDTH


class Page:
    """A text for people: sentences are wrapped, tables aligned."""

    def __init__(self, width: int | None = None) -> None:
        self.width = max(20, min(columns_of_terminal(), WIDTH) if width is None else width)
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        """A sentence, or several lines of them."""
        for part in text.splitlines() or [""]:
            self.lines += textwrap.wrap(part, self.width, break_on_hyphens=False) or [""]

    def gap(self) -> None:
        """An empty line."""
        self.lines.append("")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
        """The first `left` columns to the left, the others to the right."""
        cells = [tuple(map(str, row)) for row in (header, *rows)]
        widths = [max(map(_width, column)) for column in zip(*cells)]
        for row in cells:
            padded = [
                cell + " " * (width - _width(cell))
                if k < left
                else " " * (width - _width(cell)) + cell
                for k, (cell, width) in enumerate(zip(row, widths))
            ]
            self.lines.append("  ".join(padded))

    def text(self) -> str:
        """All of it."""
        return "\n".join(line.rstrip() for line in self.lines) + "\n"


def _width(cell: str) -> int:
    """Columns of a terminal that a text takes: wide characters two."""
    if cell.isascii():
        return len(cell)
    return len(cell) + sum(east_asian_width(mark) in "WF" for mark in cell)

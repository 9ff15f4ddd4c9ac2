"""Tables in files: which columns they have, whatever their header looks like, and every fault.

A header is read once (`opening.opened`); `Opened.read` then gives the columns of a `Layout`. How
cells are stored is the business of `csv_tables`, `arrow_tables` and `sheets`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from mechopt.errors import InvalidFile, InvalidInput, InvalidOption
from mechopt.files import documents

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")
NAMES = ".csv, .parquet or .xlsx"  # how messages call them
LARGEST_TABLE = 2**32  # bytes, of a file as it is or unpacked
MOST_COLUMNS = 4096
WHOLE_ROW = "the row"
SHOWN = 5  # faults quoted per column; the rest are counted
LONGEST_NAME = 200  # characters: names are stored side by side, all as long as the longest

# A spreadsheet would take a cell that begins like this as a formula (full-width signs too).
_SIGNS = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(rf"'*[{_SIGNS}]")
_NEUTRAL = re.compile(rf"'+[{_SIGNS}]")


def neutralise(name: str) -> str:
    """`name` as a CSV cell that no spreadsheet executes; `restore` undoes it."""
    return "'" + name if _FORMULA.match(name) else name


def restore(cell: str) -> str:
    """The name that `neutralise` wrote as `cell`."""
    return cell[1:] if _NEUTRAL.match(cell) else cell


@dataclass(frozen=True)
class ColumnLayout:
    """Which columns a table has. `text` ones are names; the others are numbers."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    text: tuple[str, ...] = ("id",)
    pattern: str = "(?!)"  # further numeric columns, by regular expression
    blanks: Mapping[str, float] = field(default_factory=dict)  # what an empty cell stands for
    strip: bool = False  # blanks around names are slips

    def knows(self, column: str) -> bool:
        """Whether a column is read, rather than carried along."""
        return column in (*self.required, *self.optional) or bool(
            re.fullmatch(self.pattern, column)
        )


@dataclass
class ReadTable:
    """Columns read from a file. `problems` are sentences; `faulty` the cells they are about."""

    path: Path
    columns: dict[str, Any] = field(default_factory=dict)
    others: dict[str, list[str]] = field(default_factory=dict)  # as they stand, name -> cells
    rows: int = 0
    problems: list[str] = field(default_factory=list)
    faulty: set[tuple[str, int]] = field(default_factory=set)  # (column or WHOLE_ROW, row)
    line: Callable[[int], int] | None = None  # CSV: line of a row (counted from 0)
    metadata: str | None = None  # Parquet: what mechopt stored with the table
    notes: list[str] = field(default_factory=list)  # how the file was understood

    def where(self, row: int) -> str:
        """How messages call a row (given from 0): rows count from 1, without the header."""
        line = f" (line {self.line(row)})" if self.line else ""
        return f"{self.path}: row {row + 1}{line}"

    def faults(self, column: str, faults: Sequence[tuple[int, str]]) -> None:
        """Record faults (row, reason) of one column."""
        self.problems += [f"{self.where(row)}: {column} {why}" for row, why in faults[:SHOWN]]
        if len(faults) > SHOWN:
            self.problems.append(
                f"{self.path}: {column}: and {len(faults) - SHOWN} more rows like these"
            )
        self.faulty.update((column, row) for row, _ in faults)


@dataclass
class Opened(ABC):
    """A table whose header has been read: the names of its columns, one word each."""

    path: Path
    headings: list[str]  # as they stand in the file
    names: list[str] = field(init=False)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.headings) > MOST_COLUMNS:
            raise InvalidFile(
                f"{self.path}: has {len(self.headings):,} columns; "
                f"at most {MOST_COLUMNS:,} are read"
            )
        self.names = list(map(plain, self.headings))

    def rename(self, columns: Mapping[str, str] | None) -> Opened:
        """Call the columns as `columns` (our name -> heading in the file) says."""
        for name, heading in (columns or {}).items():
            at = [k for k, word in enumerate(self.names) if word == plain(heading)]
            if not at:
                near = get_close_matches(plain(heading), self.names, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InvalidOption(f"column {name}: {self.path} has no column {heading!r}{hint}")
            clash = [k for k, word in enumerate(self.names) if word == plain(name) and k not in at]
            for k in clash:
                self.names[k] = f"{self.names[k]} (unused)"
            self.names[at[0]] = plain(name)
        return self

    def read(self, layout: ColumnLayout, *, exact: bool = False) -> ReadTable:
        """The columns of a layout, and the others as they stand; faults are in `problems`."""
        table = ReadTable(self.path, notes=list(self.notes))
        self._check(layout, table)
        self._fill(table, layout, exact)
        blank = [name for name, cells in table.others.items() if not name and not any(cells)]
        for name in blank:
            del table.others[name]
        if "" in table.others:
            table.problems.append(
                f"{self.path}: column {self.names.index('') + 1} has cells but no name"
            )
        return table

    @abstractmethod
    def _fill(self, table: ReadTable, layout: ColumnLayout, exact: bool) -> None:
        """Read columns, others and faults into `table`."""

    def _check(self, layout: ColumnLayout, table: ReadTable) -> None:
        expected = f"expected {','.join(layout.required)}"
        if layout.optional:
            expected += f"[,{','.join(layout.optional)}]"
        unknown = [name for name in dict.fromkeys(self.names) if name and not layout.knows(name)]
        absent = [name for name in (*layout.required, *layout.optional) if name not in self.names]
        missing = [name for name in layout.required if name in absent]
        if missing:
            several = f"columns {', '.join(map(repr, missing))} are missing"
            only = several if len(missing) > 1 else f"column {missing[0]!r} is missing"
            table.problems.append(f"{self.path}: {only}; {expected}")
        if missing and unknown:
            import shlex  # most tables have every column

            spelled = [self.headings[self.names.index(name)].strip()[:40] for name in unknown]
            shown = ", ".join(map(repr, spelled[:6]))
            table.problems.append(
                f"{self.path}: it has {shown}{', …' if len(unknown) > 6 else ''}; if one of these "
                f"is meant, say so: --column {missing[0]}={shlex.quote(spelled[0])}"
            )
        for name, count in Counter(self.names).items():
            if count > 1 and layout.knows(name):
                table.problems.append(f"{self.path}: column {name[:40]!r} occurs twice")
        for name in unknown[:50]:
            near = get_close_matches(name[:40], absent, n=1, cutoff=0.8)
            if not near and "value" in absent and "value" in re.split(r"\W|_", name):
                near = ["value"]  # left out, it would be 0
            if near:
                table.problems.append(
                    f"{self.path}: column {name[:40]!r} is not known; did you mean {near[0]!r}?"
                )


def beside(path: Path, name: str, allow_outside: bool) -> Path:
    """The table that `name`, the users of the file at `path`, names; InvalidFile if it may not."""
    target = documents.beside(path, name, "users", allow_outside)
    if documents.suffix(target) not in SUFFIXES:
        raise InvalidFile(f"{path}: users: {name[:80]!r} must be a {NAMES} file")
    return target


def plain(heading: str) -> str:
    """A heading as one word: blanks, case and hyphens do not matter."""
    return re.sub(r"[\s_\-]+", "_", heading.strip().strip("\ufeff")).strip("_").casefold()


def refuse_title(path: Path, first: str, line: int) -> None:
    """InvalidFile where the first line has one cell only, and the names stand further down."""
    raise InvalidFile(
        f"{path}: its first line, {first.strip()[:40]!r}, looks like a title: delete what is above "
        f"the names of the columns (line {line}?)"
    )


def text_array(cells: Sequence[str]) -> Any:
    """Names as an array."""
    return np.array(cells, dtype=str) if len(cells) else []


def too_long(names: list[str]) -> list[tuple[int, str]]:
    """Faults of names that are too long; they are cut."""
    faults = []
    if max(map(len, names), default=0) > LONGEST_NAME:
        for at, name in enumerate(names):
            if len(name) > LONGEST_NAME:
                faults.append((at, f"has {len(name):,} characters; at most {LONGEST_NAME} fit"))
                names[at] = f"{name[:40]} {at}"
    return faults


def stop_if(problems: Sequence[str], error: type[InvalidInput]) -> None:
    """Raise `error` with all problems, if there are any."""
    if problems:
        raise error(problems)

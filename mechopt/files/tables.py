"""Tables of users: CSV and Parquet columns in, with every fault by row; columns out."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from mechopt.errors import InvalidFile, InvalidInput, NotSupported
from mechopt.files import documents
from mechopt.problem import numbers
from mechopt.solver.highs import paused_gc

SUFFIXES = (".csv", ".parquet")
LARGEST_TABLE = 2**32  # bytes, of a CSV file or of a Parquet file unpacked
_CHUNK = 65_536  # rows of CSV held as text at a time
WHOLE_ROW = "the row"
SHOWN = 5  # faults quoted per column; the rest are counted

# A spreadsheet would take a cell that begins like this as a formula.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NEUTRAL = re.compile(r"'+[=+\-@\t\r]")
_MAYBE_NEUTRAL = re.compile(r"(?m)^'")
LONGEST_NAME = 200  # characters: names are stored side by side, all as long as the longest


def neutralise(name: str) -> str:
    """`name` as a CSV cell that no spreadsheet executes; `restore` undoes it."""
    return "'" + name if _FORMULA.match(name) else name


def restore(cell: str) -> str:
    """The name that `neutralise` wrote as `cell`."""
    return cell[1:] if _NEUTRAL.match(cell) else cell


@dataclass(frozen=True)
class Layout:
    """Which columns a table has. `text` ones are names; the others are numbers."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    text: tuple[str, ...] = ("id",)
    pattern: str = "(?!)"  # further numeric columns, by regular expression
    blanks: Mapping[str, float] = field(default_factory=dict)  # what an empty cell stands for

    def knows(self, column: str) -> bool:
        return column in (*self.required, *self.optional) or bool(
            re.fullmatch(self.pattern, column)
        )


@dataclass
class Table:
    """Columns read from a file. `problems` are sentences; `faulty` the cells they are about."""

    path: Path
    columns: dict[str, Any] = field(default_factory=dict)
    rows: int = 0
    problems: list[str] = field(default_factory=list)
    faulty: set[tuple[str, int]] = field(default_factory=set)  # (column or WHOLE_ROW, row)
    line: Callable[[int], int] | None = None  # CSV: line of a row (counted from 0)
    metadata: str | None = None  # Parquet: what mechopt stored with the table

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


def read(path: Path, layout: Layout, *, exact: bool = False) -> Table:
    """The table at `path`; content faults are in `problems`. InvalidFile if it is unreadable."""
    documents.check_size(path, LARGEST_TABLE)
    if path.suffix.lower() == ".csv":
        with documents.reading(path), paused_gc():
            return _read_csv(path, layout, exact)
    return _read_parquet(path, layout, exact)


def header(path: Path) -> list[str]:
    """The column names of a table."""
    documents.check_size(path, LARGEST_TABLE)
    if path.suffix.lower() == ".csv":
        with documents.reading(path), open(path, newline="", encoding="utf-8-sig") as stream:
            return _header(csv.reader(stream, strict=True), path)
    return list(_open_parquet(path).schema_arrow.names)


def _check_header(names: Sequence[str], layout: Layout, table: Table) -> None:
    expected = f"expected {','.join(layout.required)}"
    if layout.optional:
        expected += f"[,{','.join(layout.optional)}]"
    for name in layout.required:
        if name not in names:
            table.problems.append(f"{table.path}: column {name!r} is missing; {expected}")
    for name in dict.fromkeys(names):
        if list(names).count(name) > 1:
            table.problems.append(f"{table.path}: column {name!r} occurs twice")
        if not layout.knows(name):
            near = get_close_matches(name, (*layout.required, *layout.optional), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; {expected}"
            table.problems.append(f"{table.path}: column {name[:40]!r} is not known{hint}")


# -- CSV ----------------------------------------------------------------------------------------


def _header(reader: Any, path: Path) -> list[str]:
    try:
        names = next((row for row in reader if row), None)
    except csv.Error as error:
        raise InvalidFile(f"{path}: line {reader.line_num}: is not CSV: {error}") from None
    if names is None:
        raise InvalidFile(f"{path}: is empty; the first line must name the columns")
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise InvalidFile(f"{path}: columns must be separated by commas")
    return [name.strip() for name in names]


def _read_csv(path: Path, layout: Layout, exact: bool) -> Table:
    table = Table(path)
    starts: list[tuple[int, int, list[int] | None]] = []  # first row, its line, lines if irregular

    def line(row: int) -> int:
        first, start, lines = next(entry for entry in reversed(starts) if entry[0] <= row)
        return lines[row - first] if lines else start + row - first

    table.line = line
    with open(path, newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, strict=True)
        names = _header(reader, path)
        _check_header(names, layout, table)
        parts: dict[str, list[Any]] = {name: [] for name in names if layout.knows(name)}
        faults: dict[str, list[tuple[int, str]]] = {name: [] for name in (WHOLE_ROW, *parts)}
        while True:
            before = reader.line_num
            try:
                chunk = list(islice(reader, _CHUNK))
            except csv.Error as error:
                raise InvalidFile(f"{path}: line {reader.line_num}: is not CSV: {error}") from None
            if not chunk:
                break
            lines = None
            if reader.line_num - before != len(chunk) or [] in chunk:
                lines = _lines(chunk, before)
                chunk = [row for row in chunk if row]
            starts.append((table.rows, before + 1, lines))
            _square(chunk, len(names), table.rows, faults[WHOLE_ROW])
            for at, (name, cells) in enumerate(zip(names, zip(*chunk))):
                if name in parts and names.index(name) == at:
                    if name in layout.blanks:
                        cells = _filled(cells, layout.blanks[name])
                    parse = _names if name in layout.text else _numbers
                    values, bad = parse(cells, exact)
                    parts[name].append(values)
                    faults[name] += [(table.rows + row, why) for row, why in bad]
            table.rows += len(chunk)
    for name, found in faults.items():
        table.faults(name, found)
    table.columns = {name: _joined(chunks, table.rows, exact) for name, chunks in parts.items()}
    return table


def _lines(chunk: list[list[str]], before: int) -> list[int]:
    """The line at which every non-blank row starts."""
    lines = []
    for row in chunk:
        if row:
            lines.append(before + 1)
        before += 1 + sum(cell.count("\n") for cell in row)
    return lines


def _square(chunk: list[list[str]], width: int, first: int, faults: list[tuple[int, str]]) -> None:
    """Make every row `width` cells long, recording those that were not."""
    if set(map(len, chunk)) == {width}:
        return
    for at, row in enumerate(chunk):
        if len(row) != width:
            faults.append((first + at, f"has {len(row)} cells, but the header has {width}"))
            chunk[at] = (row + ["1"] * width)[:width]


def _names(cells: Sequence[str], exact: bool) -> tuple[list[str], list[tuple[int, str]]]:
    del exact
    names = list(map(restore, cells)) if _MAYBE_NEUTRAL.search("\n".join(cells)) else list(cells)
    return names, _too_long(names)


def _filled(cells: Sequence[str], blank: float) -> tuple[str, ...]:
    """Cells with what an empty one stands for."""
    return tuple(cell if cell.strip() else repr(blank) for cell in cells)


def _too_long(names: list[str]) -> list[tuple[int, str]]:
    """Faults of names that are too long; they are cut."""
    faults = []
    if max(map(len, names), default=0) > LONGEST_NAME:
        for at, name in enumerate(names):
            if len(name) > LONGEST_NAME:
                faults.append((at, f"has {len(name):,} characters; at most {LONGEST_NAME} fit"))
                names[at] = f"{name[:40]} {at}"
    return faults


def _numbers(cells: Sequence[str], exact: bool) -> tuple[Any, list[tuple[int, str]]]:
    """Cells as an array or list of numbers (1 where faulty), and the faults."""
    joined = "".join(cells)
    if not exact and joined.isascii() and "_" not in joined:  # Python would take "1_000"
        for kind, dtype in ((int, np.int64), (float, np.float64)):
            try:
                return np.array(list(map(kind, cells)), dtype=dtype), []
            except (ValueError, OverflowError):
                continue
    out: list[Any] = []
    faults = []
    for at, cell in enumerate(cells):
        try:
            out.append(numbers.one(numbers.number(cell, exact=exact)))
        except ValueError as error:
            faults.append((at, str(error)))
            out.append(1)
    return out, faults


def _joined(chunks: list[Any], rows: int, exact: bool) -> Any:
    """One column of its chunks: an array, or a list where entries are exact or names."""
    if not chunks:
        return []
    if all(isinstance(chunk, np.ndarray) for chunk in chunks):
        whole = np.concatenate(chunks)
        return whole.astype(np.float64) if rows > numbers.EXACT_ROWS else whole
    listed = [entry for chunk in chunks for entry in chunk]
    if isinstance(listed[0], str):
        return np.array(listed)
    if exact or rows <= numbers.EXACT_ROWS:
        return listed
    return np.array([float(entry) for entry in listed])


def write_csv(stream: IO[str], columns: dict[str, Any]) -> None:
    """Columns as CSV: floats so that they read back the same, ids neutralised."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    with paused_gc():
        writer.writerows(zip(*map(_cells, columns.values())))


def _cells(column: Any) -> Iterable[Any]:
    array = np.asarray(column)
    if array.dtype.kind == "b":
        return ("true" if flag else "false" for flag in array.tolist())
    if array.dtype.kind == "U":
        return map(neutralise, array.tolist())
    return array.tolist()


# -- Parquet ------------------------------------------------------------------------------------


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise NotSupported(
            "Parquet needs pyarrow: pip install 'mechopt[parquet]' (or use CSV)"
        ) from None
    return pyarrow


def _open_parquet(path: Path) -> Any:
    pa = _arrow()
    with _decoding(path):
        return pa.parquet.ParquetFile(path)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises for a file that is not, or no longer, Parquet into InvalidFile."""
    with documents.reading(path):
        try:
            yield
        except (_arrow().ArrowException, OSError) as error:
            if getattr(error, "errno", None):
                raise
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise InvalidFile(f"{path}: is not Parquet, or damaged: {why}") from None


def _read_parquet(path: Path, layout: Layout, exact: bool) -> Table:
    file = _open_parquet(path)
    table = Table(path, rows=file.metadata.num_rows)
    _check_header(file.schema_arrow.names, layout, table)
    groups = range(file.metadata.num_row_groups)
    size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
    if max(size, table.rows * 8) > LARGEST_TABLE:
        raise InvalidFile(
            f"{path}: unpacks to {max(size, table.rows * 8):,} bytes; "
            f"tables are read up to {LARGEST_TABLE:,}"
        )
    stored = (file.schema_arrow.metadata or {}).get(b"mechopt")
    table.metadata = stored.decode("utf-8", "replace") if stored else None
    wanted = [name for name in dict.fromkeys(file.schema_arrow.names) if layout.knows(name)]
    with _decoding(path):
        data = file.read(columns=wanted)
    for name in wanted:
        if data.schema.names.count(name) == 1:
            column = data.column(name)
            if name in layout.blanks and not _arrow().types.is_string(column.type):
                column = column.fill_null(layout.blanks[name])
            read_column = _arrow_names if name in layout.text else _arrow_numbers
            table.columns[name], faults = read_column(column, exact)
            table.faults(name, faults)
    return table


def _nulls(column: Any) -> list[tuple[int, str]]:
    if not column.null_count:
        return []
    return [(int(row), "is empty") for row in np.flatnonzero(column.is_null().to_numpy())]


def _arrow_names(column: Any, exact: bool) -> tuple[Any, list[tuple[int, str]]]:
    del exact
    pa = _arrow()
    try:
        names = column.cast(pa.string()).fill_null("").to_pylist()
    except (pa.ArrowException, UnicodeDecodeError):
        return np.arange(len(column)).astype(str), [(0, f"cannot be read as text ({column.type})")]
    faults = _nulls(column)
    for row, _ in faults:
        names[row] = f"\ufffd{row}"  # distinct, and never shown
    faults += _too_long(names)
    return np.array(names), faults


def _arrow_numbers(column: Any, exact: bool) -> tuple[Any, list[tuple[int, str]]]:
    types = _arrow().types
    faults = _nulls(column)
    if types.is_floating(column.type) or types.is_integer(column.type):
        if faults:
            column = column.fill_null(1)
        values = column.to_numpy()
        if values.dtype.kind == "f" or (len(values) > numbers.EXACT_ROWS and not exact):
            values = values.astype(np.float64, copy=False)
        return values, faults
    if types.is_decimal(column.type) or types.is_string(column.type):
        return numbers.column(column.to_pylist(), exact=exact)
    return np.ones(len(column)), [(0, f"is no number (the column is {column.type})")]


def write_parquet(stream: IO[bytes], columns: dict[str, Any], metadata: str) -> None:
    """Columns as Parquet, with `metadata` (JSON text) stored in the schema under 'mechopt'."""
    pa = _arrow()
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    pa.parquet.write_table(table.replace_schema_metadata({"mechopt": metadata}), stream)


def stop_if(problems: Sequence[str], error: type[InvalidInput]) -> None:
    """Raise `error` with all problems, if there are any."""
    if problems:
        raise error(problems)

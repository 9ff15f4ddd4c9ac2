"""CSV as people save it: separators, encodings and decimal signs are recognised and said."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from mechopt.errors import InvalidFile
from mechopt.files import cells as sign
from mechopt.files import tables
from mechopt.files.tables import WHOLE_ROW, ColumnLayout, Opened, ReadTable
from mechopt.memory import paused_gc
from mechopt.problem import numbers

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_HEAD = 2**21  # characters in which the header is looked for
_CHUNK = 65_536  # rows held as text at a time
_MAYBE_NEUTRAL = re.compile(r"(?m)^'")
_EDGES = re.compile(r"(?m)^[^\S\n]|[^\S\n]$")


@dataclass
class CsvFile(Opened):
    """A CSV file, decoded, with its separator and where its rows begin."""

    text: str = ""
    separator: str = ","
    skipped: int = 0  # lines up to and with the header
    decimal: str = "."

    def _fill(self, table: ReadTable, layout: ColumnLayout, exact: bool) -> None:
        if not exact and self._at_once(table, layout):
            return
        with paused_gc():
            commas = _Commas()
            faults = self._rows(table, layout, exact, commas)
            if commas.whole_file():
                self.decimal = ","
                again = ReadTable(self.path, problems=table.problems, notes=table.notes)
                again.notes.append(f"numbers have decimal commas, such as {commas.example}")
                faults = self._rows(again, layout, exact, _Commas())
                table.__dict__.update(again.__dict__)
        for name, found in faults.items():
            table.faults(name, found)

    def _at_once(self, table: ReadTable, layout: ColumnLayout) -> bool:
        """Read a large table of plain cells; False if it is none."""
        from mechopt.files import arrow_tables

        begins = 0
        for _ in range(self.skipped):
            begins = self.text.find("\n", begins) + 1
        data = None
        if begins and not {'"', "\r"} & set(self.text[:begins]):
            body = self.text[begins:]
            data = arrow_tables.plain_csv(body, self.names, self.separator, layout)
        if data is None:
            return False
        table.rows = data.num_rows
        table.line = lambda row: self.skipped + 1 + row
        arrow_tables.fill(table, self.names, data, layout, exact=False)
        return True

    def _rows(
        self, table: ReadTable, layout: ColumnLayout, exact: bool, commas: _Commas
    ) -> dict[str, list[tuple[int, str]]]:
        """Fill the columns, a chunk of rows at a time; returns the faults by column."""
        starts: list[tuple[int, int, list[int] | None]] = []  # first row, its line, all if uneven

        def line(row: int) -> int:
            first, start, lines = next(entry for entry in reversed(starts) if entry[0] <= row)
            return lines[row - first] if lines else start + row - first

        table.line = line
        large = self.text.count("\n") > numbers.EXACT_ROWS
        reader = csv.reader(
            io.StringIO(self.text, newline=""), delimiter=self.separator, strict=True
        )
        for _ in range(self.skipped):
            next(reader, None)
        first_of: dict[str, int] = {}
        for at, name in enumerate(self.names):
            first_of.setdefault(name, at)
        parts: dict[str, list[Any]] = {name: [] for name in first_of if layout.knows(name)}
        others: dict[str, list[str]] = {name: [] for name in first_of if not layout.knows(name)}
        faults: dict[str, list[tuple[int, str]]] = {name: [] for name in (WHOLE_ROW, *parts)}
        for before, chunk in self._chunks(reader):
            lines = None
            if reader.line_num - before != len(chunk) or not all(map(any, chunk)):
                lines = _lines(chunk, before)
                chunk = [row for row in chunk if any(map(str.strip, row))]
            starts.append((table.rows, before + 1, lines))
            _square(chunk, len(self.names), table.rows, faults[WHOLE_ROW])
            columns = list(zip(*chunk))
            for name, at in first_of.items() if columns else ():
                if name in others:
                    others[name] += columns[at]
                    continue
                values, bad = self._parse(name, columns[at], layout, exact, large, commas)
                parts[name].append(values)
                faults[name] += [(table.rows + row, why) for row, why in bad]
            table.rows += len(chunk)
        table.columns = {name: _joined(found, table.rows, exact) for name, found in parts.items()}
        table.others = {name: _restored(column) for name, column in others.items()}
        return faults

    def _chunks(self, reader: Any) -> Iterator[tuple[int, list[list[str]]]]:
        """Rows in chunks, with the number of lines before each."""
        while True:
            before = reader.line_num
            try:
                chunk = list(islice(reader, _CHUNK))
            except csv.Error as error:
                raise InvalidFile(
                    f"{self.path}: line {reader.line_num}: is not CSV: {error}"
                ) from None
            if not chunk:
                return
            yield before, chunk

    def _parse(
        self,
        name: str,
        column: Sequence[str],
        layout: ColumnLayout,
        exact: bool,
        large: bool,
        commas: _Commas,
    ) -> tuple[Any, list[tuple[int, str]]]:
        """One column of a chunk as names, or as numbers (1 where faulty), and its faults."""
        if name in layout.text:
            names = list(column)
            text = "\n".join(names)
            if _MAYBE_NEUTRAL.search(text):
                names = list(map(tables.restore, names))
            if layout.strip and _EDGES.search(text):
                names = list(map(str.strip, names))
            return names, tables.too_long(names)
        if name in layout.blanks:
            blank = repr(layout.blanks[name])
            column = tuple(cell if cell.strip() else blank for cell in column)
        joined = "".join(column)
        plain = joined.isascii() and "_" not in joined  # Python would take "1_000"
        if len(joined) > 30 * len(column):
            plain = plain and max(map(len, column)) <= numbers.LONGEST_NUMBER
        if not exact and plain and not (self.decimal == "," and "." in joined):
            for kind, dtype in ((int, np.int64), (float, np.float64))[large:]:
                try:
                    return np.array(list(map(kind, column)), dtype=dtype), []
                except (ValueError, OverflowError):
                    continue
        commas.look(column)
        out: list[Any] = []
        faults = []
        for at, cell in enumerate(column):
            try:
                out.append(sign.number(cell, exact=exact, decimal=self.decimal))
            except ValueError as error:
                faults.append((at, str(error)))
                out.append(1)
        return out, faults


class _Commas:
    """What the cells of a file say about its decimal sign."""

    def __init__(self) -> None:
        self.styles: set[str] = set()
        self.example = ""

    def look(self, column: Sequence[str]) -> None:
        """Take note of a column."""
        for cell in column:
            style = sign.comma_style(cell)
            if style == "comma" and not self.example:
                self.example = cell.strip()
            self.styles.add(style)

    def whole_file(self) -> bool:
        """Whether decimal commas are used, and no decimal points."""
        return "comma" in self.styles and "point" not in self.styles


_TITLES = 10  # lines of a title that are looked through


def opened(path: Path, found: bytes) -> CsvFile:
    """A CSV file, its header read."""
    text, notes = _decoded(path, found)
    head = text[:_HEAD]  # a header that is longer is cut, and then refused
    lines = io.StringIO(head, newline="")
    separator, skipped = "", 0
    for line in lines:
        skipped += 1
        stripped = line.strip().strip("\ufeff")
        if skipped == 1 and re.fullmatch(r"sep=[,;\t|]", line.strip("\ufeff\r\n"), re.IGNORECASE):
            separator = line.strip("\ufeff\r\n")[4]
        elif stripped.strip("".join(SEPARATORS)) and not stripped.startswith("#"):
            break
    else:
        raise InvalidFile(f"{path}: is empty; the first line must name the columns")
    separator = separator or _separator(path, line)
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=separator, strict=True)
    try:
        header: list[str] = []
        count = 0
        while reader.line_num < skipped:
            header = next(reader)
            count += 1
    except csv.Error as error:
        raise InvalidFile(f"{path}: line {reader.line_num}: is not CSV: {error}") from None
    if sum(bool(name.strip()) for name in header) == 1:
        for number, later in enumerate(islice(lines, _TITLES), start=skipped + 1):
            mark = _separator(path, later)
            if sum(map(bool, map(str.strip, later.split(mark)))) > 2:
                tables.refuse_title(path, header[0], number)
    if separator != ",":
        notes.append(f"columns are separated by {SEPARATORS[separator]}")
    return CsvFile(path, header, notes=notes, text=text, separator=separator, skipped=count)


def _separator(path: Path, line: str) -> str:
    """The separator of a header: the one that parts it into the most names we know."""
    known = {"id", "cost", "value", "capacity", "burden", "payment", "width_1", "slope_1"}
    score: dict[str, tuple[int, int]] = {}
    for mark in SEPARATORS:
        try:
            names = list(map(tables.plain, next(csv.reader([line], delimiter=mark))))
        except csv.Error:
            continue
        if len(names) > 1:
            score[mark] = (len(known.intersection(names)), len(names))
    if not score:
        return ","
    best = max(score, key=lambda mark: score[mark])
    others = [mark for mark in score if score[mark] == score[best] and mark != best]
    if others:
        raise InvalidFile(
            f"{path}: its columns may be separated by {SEPARATORS[best]} or by "
            f"{SEPARATORS[others[0]]}; use one of them only"
        )
    return best


def _decoded(path: Path, found: bytes) -> tuple[str, list[str]]:
    """The text of a file, and how it was read if not as UTF-8."""
    if found[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return found.decode("utf-16"), ["the text is UTF-16"]
        except UnicodeDecodeError:
            raise InvalidFile(f"{path}: begins like UTF-16 text, but is damaged") from None
    head = found[:1000]
    for order, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) > 3 and head[order::2].count(0) > 0.4 * len(head):
            try:
                return found.decode(name), ["the text is UTF-16"]
            except UnicodeDecodeError:
                break
    try:
        return found.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        byte, at = error.object[error.start], error.start
    if 0 in head:
        raise InvalidFile(f"{path}: is no text (it has NUL bytes)")
    try:
        return found.decode("cp1252"), ["the text is Windows-1252 (it is not UTF-8)"]
    except UnicodeDecodeError:
        line = found.count(b"\n", 0, at) + 1
        raise InvalidFile(
            f"{path}: line {line}: is neither UTF-8 nor Windows-1252 text (byte 0x{byte:02x}); "
            "save it as UTF-8"
        ) from None


def _lines(chunk: list[list[str]], before: int) -> list[int]:
    """The line at which every non-blank row starts."""
    lines = []
    for row in chunk:
        if any(map(str.strip, row)):
            lines.append(before + 1)
        before += 1 + sum(cell.count("\n") for cell in row)
    return lines


def _square(chunk: list[list[str]], width: int, first: int, faults: list[tuple[int, str]]) -> None:
    """Make every row `width` cells long, recording those that were not."""
    if set(map(len, chunk)) <= {width}:
        return
    for at, row in enumerate(chunk):
        if len(row) > width and not any(map(str.strip, row[width:])):
            del row[width:]  # empty cells that a spreadsheet added
        elif len(row) != width:
            faults.append((first + at, f"has {len(row)} cells, but the header has {width}"))
            chunk[at] = (row + ["1"] * width)[:width]


def _joined(chunks: list[Any], rows: int, exact: bool) -> Any:
    """One column of its chunks: an array, or a list where entries are exact or names."""
    if not chunks:
        return []
    if all(isinstance(chunk, np.ndarray) for chunk in chunks):
        whole = np.concatenate(chunks)
        return whole.astype(np.float64) if rows > numbers.EXACT_ROWS else whole
    listed = [entry for chunk in chunks for entry in chunk]
    if listed and isinstance(listed[0], str):
        return tables.text_array(listed)
    if exact or rows <= numbers.EXACT_ROWS:
        return listed
    return np.array([float(entry) for entry in listed])


def _restored(column: list[str]) -> list[str]:
    return list(map(tables.restore, column))


# -- writing --------------------------------------------------------------------------------------


def write(stream: IO[str], columns: dict[str, Any]) -> None:
    """Columns as CSV: floats so that they read back the same, texts neutralised."""
    from mechopt.files import arrow_tables

    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(tables.neutralise, columns))
    if (blocks := arrow_tables.csv_blocks(columns)) is not None:
        stream.writelines(blocks)
        return
    with paused_gc():
        writer.writerows(zip(*map(_written, columns.values())))


def _written(column: Any) -> Iterable[Any]:
    array = np.asarray(column)
    if array.dtype.kind == "b":
        return np.where(array, "true", "false").tolist()
    if array.dtype.kind in "UO":
        listed = array.tolist()
        if any(map(tables._FORMULA.match, listed)):
            return map(tables.neutralise, listed)
        return listed
    return array.tolist()

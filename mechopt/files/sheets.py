"""Spreadsheets (.xlsx), by openpyxl: the first sheet that has cells is the table."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from mechopt.errors import InvalidFile, NotSupported, OutputError
from mechopt.files import cells as sign
from mechopt.files import tables
from mechopt.files.tables import ColumnLayout, Opened, ReadTable
from mechopt.problem import numbers

LARGEST_SHEET = 2**30  # bytes unpacked
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_MOST_ROWS = 2**20  # the most a spreadsheet has


@dataclass
class Sheet(Opened):
    """The rows of a sheet below its header; `first` is the spreadsheet's number of each row."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def _fill(self, table: ReadTable, layout: ColumnLayout, exact: bool) -> None:
        table.rows = len(self.rows)
        table.line = lambda row: self.lines[row]
        columns = list(zip(*self.rows)) or [()] * len(self.names)
        for at, name in enumerate(self.names):
            if self.names.index(name) != at:
                continue
            if not layout.knows(name):
                table.others[name] = [_text(cell) for cell in columns[at]]
            elif name in layout.text:
                names = [_text(cell).strip() for cell in columns[at]]
                table.faults(name, tables.too_long(names))
                table.columns[name] = tables.text_array(names)
            else:
                table.columns[name], faults = _numbers(columns[at], layout.blanks.get(name), exact)
                table.faults(name, faults)


def opened(path: Path, found: bytes) -> Sheet:
    """The first sheet with cells of a workbook, its header read."""
    book = _book(path, found)
    full = []
    for sheet in book.worksheets:
        rows, lines = [], []
        for line, row in enumerate(sheet.iter_rows(max_row=_MOST_ROWS), start=1):
            values = tuple(_value(cell) for cell in row)
            if any(value is not None and str(value).strip() for value in values):
                rows.append(values)
                lines.append(line)
        if rows:
            full.append((sheet.title, rows, lines))
    if not full:
        raise InvalidFile(f"{path}: is empty; the first row must name the columns")
    title, rows, lines = full[0]
    width = max(at + 1 for at, cell in enumerate(rows[0]) if cell is not None)
    header = [_text(cell) for cell in rows[0][:width]]
    notes = [] if len(full) == 1 else [f"sheet {title!r} is read, the first of {len(full)}"]
    wide = [line for row, line in zip(rows, lines) if any(c is not None for c in row[width:])]
    if wide and width == 1:
        tables.refuse_title(path, header[0], wide[0])
    if wide:
        raise InvalidFile(f"{path}: line {wide[0]} has cells beyond the {width} columns with names")
    padded = [(*row, *[None] * (width - len(row)))[:width] for row in rows[1:]]
    return Sheet(path, header, notes=notes, rows=padded, lines=lines[1:])


def _openpyxl() -> Any:
    try:
        import openpyxl
        import openpyxl.cell
    except ImportError:
        raise NotSupported(
            "spreadsheets need openpyxl: pip install 'mechopt[xlsx]' (or save as CSV)"
        ) from None
    return openpyxl


def _book(path: Path, found: bytes) -> Any:
    openpyxl = _openpyxl()
    try:
        with zipfile.ZipFile(io.BytesIO(found)) as packed:
            size = sum(member.file_size for member in packed.infolist())
        if size > LARGEST_SHEET:
            raise InvalidFile(
                f"{path}: unpacks to {size:,} bytes; spreadsheets are read up to {LARGEST_SHEET:,}"
            )
        return openpyxl.load_workbook(io.BytesIO(found), read_only=True, data_only=True)
    except InvalidFile:
        raise
    except Exception as error:  # openpyxl passes on whatever its parsers raise
        why = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise InvalidFile(f"{path}: is not a spreadsheet, or damaged: {why}") from None


def _value(cell: Any) -> Any:
    """A cell's value; codes such as 00123 that are numbers shown with zeros keep them."""
    value = cell.value
    shown = str(getattr(cell, "number_format", None) or "")
    if isinstance(value, int) and not isinstance(value, bool) and re.fullmatch("0{2,}", shown):
        return str(value).zfill(len(shown))
    return value


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _numbers(column: Sequence[Any], blank: float | None, exact: bool) -> Any:
    """Cells as numbers (1 where faulty), and the faults."""
    out: list[Any] = []
    faults: list[tuple[int, str]] = []
    for row, cell in enumerate(column):
        try:
            out.append(_number(cell, blank, exact))
        except ValueError as error:
            faults.append((row, str(error)))
            out.append(1)
    if exact or len(out) <= numbers.EXACT_ROWS:
        return out, faults
    return np.array(out, dtype=np.float64), faults


def _number(cell: Any, blank: float | None, exact: bool) -> Any:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        if blank is not None:
            return blank
        raise ValueError(sign.EMPTY)
    if isinstance(cell, str):
        return sign.number(cell, exact=exact)
    if isinstance(cell, bool):
        raise ValueError(f"is {str(cell).upper()}, no number")
    if isinstance(cell, (date, time, timedelta)):
        raise ValueError(f"is a date ({cell}); format the column as numbers")
    return Fraction(repr(cell)) if exact and isinstance(cell, float) else numbers.one(cell)


def write(stream: IO[bytes], columns: dict[str, Any]) -> None:
    """Columns as one sheet; texts are never formulas."""
    openpyxl = _openpyxl()
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("plan")
    sheet.append(list(columns))
    for row in zip(*(np.asarray(column).tolist() for column in columns.values())):
        line = []
        for entry in row:
            if isinstance(entry, str):
                if _CONTROL.search(entry):
                    raise OutputError(f"{entry!r:.60} has control characters; write .csv instead")
                cell = openpyxl.cell.WriteOnlyCell(sheet, value=None)
                cell._value, cell.data_type = entry, "s"
                line.append(cell)
            elif isinstance(entry, float):  # openpyxl would round to 16 digits
                cell = openpyxl.cell.WriteOnlyCell(sheet, value=0.0)
                cell._value = repr(entry)
                line.append(cell)
            else:
                line.append(entry)
        sheet.append(line)
    book.save(stream)

"""Parquet, and Arrow data of any origin, as tables; large tables of plain cells by pyarrow.

Where pyarrow is installed, `plain_csv`, `csv_blocks` and `decimal_sum` do for large tables in a
fraction of the time what `csv_tables` and `plans` do, to the last character and bit. They answer
None where a table is small, or has a cell that pyarrow might take otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from mechopt.arrays import FloatArray
from mechopt.atomic import protect
from mechopt.errors import InvalidFile, NotSupported
from mechopt.files import documents, tables
from mechopt.files.cells import EMPTY
from mechopt.files.tables import LARGEST_TABLE, ColumnLayout, Opened, ReadTable
from mechopt.problem import numbers

LARGE = 50_000  # rows; loading pyarrow takes as long as these
_BLOCK = 2**17  # rows written at a time
_QUOTED = tuple(map(ord, ',"\n\r'))  # letters for which a cell is put in quotes
_DIGITS = (76, 40)  # of the largest decimals there are, and those behind the point


@dataclass
class ParquetFile(Opened):
    """A Parquet file, its schema read."""

    file: Any = None

    def _fill(self, table: ReadTable, layout: ColumnLayout, exact: bool) -> None:
        file = self.file
        table.rows = file.metadata.num_rows
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        if max(size, table.rows * 8) > LARGEST_TABLE:
            raise InvalidFile(
                f"{self.path}: unpacks to {max(size, table.rows * 8):,} bytes; "
                f"tables are read up to {LARGEST_TABLE:,}"
            )
        stored = (file.schema_arrow.metadata or {}).get(b"mechopt")
        table.metadata = stored.decode("utf-8", "replace") if stored else None
        with _decoding(self.path):
            data = file.read(use_pandas_metadata=False)
        fill(table, self.names, data, layout, exact)


def fill(table: ReadTable, names: list[str], data: Any, layout: ColumnLayout, exact: bool) -> None:
    """Read the columns of an Arrow table, called `names`, into `table`."""
    for at, name in enumerate(names):
        if names.index(name) != at:
            continue
        column = data.column(at)
        if not layout.knows(name):
            table.others[name] = _carried(column)
            continue
        if (
            name in layout.blanks
            and column.null_count
            and not _arrow().types.is_string(column.type)
        ):
            column = column.fill_null(layout.blanks[name])
        read_column = _names if name in layout.text else _numbers
        table.columns[name], faults = read_column(column, exact)
        table.faults(name, faults)


def opened(path: Path, found: bytes | None) -> ParquetFile:
    """The Parquet file at `path`, or of this content."""
    pa = _arrow()
    if found is None:
        documents.check_size(path, LARGEST_TABLE)
        protect(path)
    with _decoding(path):
        file = pa.parquet.ParquetFile(path if found is None else pa.BufferReader(found))
        return ParquetFile(path, list(file.schema_arrow.names), file=file)


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise NotSupported(
            "Parquet needs pyarrow: pip install 'mechopt[parquet]' (or use CSV)"
        ) from None
    return pyarrow


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises for a file that is not, or no longer, Parquet into InvalidFile."""
    with documents.reading(path):
        try:
            yield
        except (_arrow().ArrowException, OSError) as error:
            if getattr(error, "errno", None):
                raise
            why = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise InvalidFile(f"{path}: is not Parquet, or damaged: {why}") from None


def _nulls(column: Any) -> list[tuple[int, str]]:
    if not column.null_count:
        return []
    return [(int(row), EMPTY) for row in np.flatnonzero(column.is_null().to_pylist())]


def _carried(column: Any) -> list[str]:
    """A column that is not read, as text."""
    pa = _arrow()
    try:
        return ["" if text is None else text for text in column.cast(pa.string()).to_pylist()]
    except (pa.ArrowException, UnicodeDecodeError):
        return ["" if entry is None else str(entry) for entry in column.to_pylist()]


def _names(column: Any, exact: bool) -> tuple[Any, list[tuple[int, str]]]:
    del exact
    pa = _arrow()
    if pa.types.is_floating(column.type):  # whole numbers beside empty cells
        try:
            column = column.cast(pa.int64())
        except pa.ArrowException:
            return np.arange(len(column)).astype(str), [(0, "is no name (a decimal number)")]
    try:
        texts = column.cast(pa.string())
        if not texts.null_count and (names := _ascii(texts.combine_chunks())) is not None:
            return names, []
        listed = texts.to_pylist()
    except (pa.ArrowException, UnicodeDecodeError):
        return np.arange(len(column)).astype(str), [(0, f"cannot be read as text ({column.type})")]
    faults = _nulls(column)
    for row, _ in faults:
        listed[row] = f"\ufffd{row}"  # distinct, and never shown
    faults += tables.too_long(listed)
    return tables.text_array(listed), faults


def _ascii(texts: Any) -> Any:
    """Short ASCII texts as an array of NumPy, without an object for each; None if others."""
    chunk = texts.chunk(0) if hasattr(texts, "chunk") else texts
    _, offsets, data = chunk.buffers()
    if data is None or len(chunk) == 0:
        return None
    ends = np.frombuffer(offsets, dtype=np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    letters = np.frombuffer(data, dtype=np.uint8)[ends[0] : ends[-1]]
    lengths = np.diff(ends)
    longest = int(lengths.max())
    if not 0 < longest <= tables.LONGEST_NAME or (letters >= 128).any() or not letters.all():
        return None
    cells = np.zeros((len(chunk), longest), dtype=np.uint32)
    cells[np.arange(longest) < lengths[:, None]] = letters
    return cells.view(f"U{longest}").ravel()


def _plain(column: Any) -> Any:
    """A column of numbers without empty cells, as an array (`to_numpy` would load pandas)."""
    name = str(column.type)
    names = {"double": "float64", "float": "float32", "halffloat": "float16"}
    dtype = np.dtype(names.get(name, name))
    parts = [
        np.frombuffer(chunk.buffers()[1], dtype=dtype)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in getattr(column, "chunks", [column])
        if len(chunk)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)


def _numbers(column: Any, exact: bool) -> tuple[Any, list[tuple[int, str]]]:
    types = _arrow().types
    faults = _nulls(column)
    if types.is_floating(column.type) or types.is_integer(column.type):
        values = column.fill_null(1).to_numpy() if faults else _plain(column)
        if values.dtype.kind == "f" or (len(values) > numbers.EXACT_ROWS and not exact):
            values = values.astype(np.float64, copy=False)
        return values, faults
    if types.is_dictionary(column.type):
        return _numbers(column.cast(column.type.value_type), exact)
    if types.is_decimal(column.type) or types.is_string(column.type):
        return numbers.column(column.to_pylist(), exact=exact)
    return np.ones(len(column)), [(0, f"is no number (the column is {column.type})")]


def write(stream: IO[bytes], columns: dict[str, Any], metadata: str) -> None:
    """Columns as Parquet, with `metadata` (JSON text) stored in the schema under 'mechopt'."""
    pa = _arrow()
    table = pa.table({name: _array(pa, column) for name, column in columns.items()})
    pa.parquet.write_table(
        table.replace_schema_metadata({"mechopt": metadata}), stream, use_dictionary=False
    )


def _array(pa: Any, column: Any) -> Any:
    """A column for Arrow; names and floats without an object for each (nor loading pandas)."""
    array = np.asarray(column)
    if array.dtype == np.float64:
        buffer = pa.py_buffer(np.ascontiguousarray(array))
        return pa.Array.from_buffers(pa.float64(), array.size, [None, buffer])
    if array.dtype == bool:
        bits = pa.py_buffer(np.packbits(array, bitorder="little"))
        return pa.Array.from_buffers(pa.bool_(), array.size, [None, bits])
    if array.dtype.kind == "U" and array.size:
        cells = np.ascontiguousarray(array).view(np.uint32).reshape(array.size, -1)
        if cells.max() < 128 and cells.size < 2**31:
            ends = np.zeros(array.size + 1, dtype=np.int32)
            np.cumsum(np.count_nonzero(cells, axis=1), out=ends[1:])
            letters = pa.py_buffer(cells[cells != 0].astype(np.uint8))
            return pa.Array.from_buffers(
                pa.string(), array.size, [None, pa.py_buffer(ends), letters]
            )
    return pa.array(array.tolist())


# -- large tables of plain cells ------------------------------------------------------------------


def _if_large(rows: int) -> Any:
    """pyarrow, if there are that many rows and it is installed; else None."""
    if rows < LARGE:
        return None
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
    except ImportError:
        return None
    return pyarrow


def plain_csv(body: str, names: list[str], separator: str, layout: ColumnLayout) -> Any:
    """The Arrow table of CSV rows without a header, as `csv_tables` reads them, or None.

    Plain: ASCII, no quotes, no blanks at the edge of a cell, a finite number in every cell that
    should have one.
    """
    pa = _if_large(body.count("\n"))
    odd = ('"', "'", "\r", "\0", *(["\t"] if separator != "\t" else []))
    edges = (separator + " ", " " + separator, "\n ", " \n") if " " in body else ()
    if pa is None or not body.isascii() or any(part in body for part in (*odd, *edges)):
        return None
    numeric = [layout.knows(name) and name not in layout.text for name in names]
    kinds = {str(at): pa.float64() if it else pa.string() for at, it in enumerate(numeric)}
    try:
        data = pa.csv.read_csv(
            pa.BufferReader(body.encode()),
            pa.csv.ReadOptions(column_names=list(kinds)),
            pa.csv.ParseOptions(delimiter=separator, quote_char=False, ignore_empty_lines=False),
            pa.csv.ConvertOptions(
                column_types=kinds, null_values=[""], true_values=[], false_values=[]
            ),
        )
    except pa.ArrowInvalid:
        return None
    plain = all(
        not column.null_count and (not it or np.isfinite(_plain(column)).all())
        for column, it in zip(data.columns, numeric)
    )
    return data if plain else None


def csv_blocks(columns: dict[str, Any]) -> Iterator[str] | None:
    """The rows of a table as CSV, many at a time, as `csv_tables.write` has them, or None."""
    found = [np.asarray(column) for column in columns.values()]
    pa = _if_large(found[0].size)
    if pa is None or not all(map(_needs_no_quotes, found)):
        return None
    return (
        _lines(pa, [column[start : start + _BLOCK] for column in found])
        for start in range(0, found[0].size, _BLOCK)
    )


def _needs_no_quotes(column: Any) -> bool:
    """Whether no cell is quoted, or neutralised against spreadsheets."""
    if column.dtype == np.float64 or column.dtype == bool:
        return True
    if column.dtype.kind != "U" or not column.size:
        return False
    letters = np.ascontiguousarray(column).view(np.uint32).reshape(column.size, -1)
    first = letters[:, 0]
    begins = (first >= ord("0")) & (first != ord("=")) & (first != ord("@"))
    return bool(
        letters.max() < 128
        and begins.all()
        and not any((letters == mark).any() for mark in _QUOTED)
    )


def _lines(pa: Any, columns: list[Any]) -> str:
    cells = []
    for column in columns:
        if column.dtype == bool:
            column = np.where(column, "true", "false")
        numeric = column.dtype == np.float64
        cells.append(_spelled(pa, column) if numeric else _array(pa, column))
    # as scalars of Arrow: for a str it would load pandas
    comma, end_of_line, nothing = _array(pa, np.array([",", "\n", ""]))
    lines = pa.compute.binary_join_element_wise(*cells, comma)
    ended = pa.compute.binary_join_element_wise(lines, nothing, end_of_line)
    _, offsets, letters = ended.buffers()
    end = np.frombuffer(offsets, dtype=np.int32)[ended.offset + len(ended)]
    return bytes(memoryview(letters)[:end]).decode("ascii")


def _spelled(pa: Any, column: FloatArray) -> Any:
    """Floats as the texts that `repr` gives, the shortest that read back the same."""
    size = np.abs(column)
    # of these both have the digits with a point among them; of the others only `repr` is right
    with np.errstate(invalid="ignore"):  # NaN
        alike = (size >= 1e-4) & (size < 1e9) & (column != np.floor(column))
    texts = _array(pa, column).cast(pa.string())
    if alike.all():
        return texts
    others = np.array(list(map(repr, column[~alike].tolist())))
    return pa.compute.replace_with_mask(texts, _array(pa, ~alike), _array(pa, others))


def decimal_sum(entries: FloatArray) -> Fraction | None:
    """The exact sum of the shortest decimals that stand for floats, or None."""
    pa = _if_large(entries.size)
    if pa is None or float(np.abs(entries).max()) * entries.size >= 1e30:
        return None
    try:
        digits = _spelled(pa, entries).cast(pa.decimal256(*_DIGITS))
    except pa.ArrowInvalid:  # more digits behind the point than there is room for
        return None
    return Fraction(pa.compute.sum(digits).as_py())

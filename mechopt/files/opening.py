"""`opened`: a table in a file, by the module for what is stored there."""

from __future__ import annotations

from pathlib import Path

from mechopt.files import documents
from mechopt.files.tables import LARGEST_TABLE, Opened


def opened(path: Path, found: bytes | None = None) -> Opened:
    """The table at `path`, its header read; `found` is its content, if that has been read.

    InvalidFile if it cannot be read as a table, NotSupported if a library for it is missing.
    """
    kind = documents.suffix(path)
    if kind == ".parquet" and found is None:
        from mechopt.files import arrow_tables

        return arrow_tables.opened(path, None)
    if found is None:
        found = documents.content(path, LARGEST_TABLE)
    if found[:4] == b"PAR1":
        from mechopt.files import arrow_tables

        return arrow_tables.opened(path, found)
    if kind == ".xlsx" or found[:4] == b"PK\x03\x04":
        from mechopt.files import sheets

        return sheets.opened(path, found)
    from mechopt.files import csv_tables

    return csv_tables.opened(path, found)

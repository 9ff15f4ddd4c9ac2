"""The log on disk, append-only: a file of JSON lines, or the same lines in an SQLite database.

An event is written whole, under a lock of the operating system, and is on the disk when
`append_event` returns. A writer that was killed in the middle leaves a torn last line at most: it
is named when the log is read, and the next writer ends it and goes on behind it. Nothing is ever
changed or taken away.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Any

from mechopt.campaign.events import line_of
from mechopt.errors import InvalidFile, OutputError

DATABASES = (".sqlite", ".sqlite3", ".db")
LARGEST = 2**31  # bytes of a log file
_PATIENCE = 60.0  # seconds to wait for another writer of a database


def append_event(path: str | PathLike[str], event: Mapping[str, Any]) -> None:
    """Append one event (see `mechopt.campaign.events`) to the log at `path`, made if missing.

    `.sqlite`, `.sqlite3` and `.db` are databases, everything else is a file of JSON lines. Any
    number of processes may write at the same time. Raises InvalidEvent, OutputError.
    """
    append_events(path, [event])


def append_events(path: str | PathLike[str], events: Iterable[Mapping[str, Any]]) -> None:
    """Append several events in one go: none is written if one of them cannot stand in the log.

    A writer killed in the middle may leave the first ones in a file; in a database all or none.
    Raises InvalidEvent, OutputError.
    """
    lines = [line_of(event) for event in events]
    place = Path(path)
    try:
        if place.suffix.lower() in DATABASES:
            _append_rows(place, lines)
        elif lines:
            _append_lines(place, lines)
    except (OSError, sqlite3.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write {path}: {said}") from None


def _append_lines(path: Path, lines: list[str]) -> None:
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        rest = (("\n" if torn else "") + "\n".join(lines) + "\n").encode()
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)  # also releases the lock


def _append_rows(path: Path, lines: list[str]) -> None:
    with closing(sqlite3.connect(path, timeout=_PATIENCE)) as database, database:
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE IF NOT EXISTS log (place INTEGER PRIMARY KEY, line TEXT)")
        database.executemany("INSERT INTO log (line) VALUES (?)", [(line,) for line in lines])


def read_log(path: str | PathLike[str]) -> list[str]:
    """The lines of the log at `path`, oldest first, a torn last line included.

    Raises InvalidFile if there is no such log or it cannot be read.
    """
    place = Path(path)
    try:
        if not place.exists():
            raise FileNotFoundError
        if place.suffix.lower() in DATABASES:
            return _rows(place)
        return _lines(place)
    except FileNotFoundError:
        raise InvalidFile(f"{path}: there is no such log") from None
    except IsADirectoryError:
        raise InvalidFile(f"{path}: is a folder, not a log") from None
    except (OSError, sqlite3.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise InvalidFile(f"{path}: cannot be read as a log: {said}") from None


def _lines(path: Path) -> list[str]:
    import fcntl

    if path.stat().st_size > LARGEST:
        raise InvalidFile(f"{path}: is larger than {LARGEST:,} bytes; keep such a log as .sqlite")
    with open(path, "rb") as stream:
        if path.is_file():
            fcntl.flock(stream, fcntl.LOCK_SH)  # no writer is in the middle of a line
        content = stream.read()
    lines = content.decode("utf-8", errors="replace").removeprefix("\ufeff").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _rows(path: Path) -> list[str]:
    # rw: what a writer that was killed left half-written has to be rolled back first
    address = f"file:{path.resolve().as_uri().removeprefix('file://')}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE)) as database:
        known = database.execute("SELECT name FROM sqlite_master WHERE name = 'log'").fetchone()
        if known is None:
            return []
        return [str(line) for (line,) in database.execute("SELECT line FROM log ORDER BY place")]

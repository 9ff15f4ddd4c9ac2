"""JSON documents: read with limits, one sentence per fault; written strictly (no NaN)."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from mechopt import memory
from mechopt.atomic import STANDARD, protect
from mechopt.errors import InvalidFile, MechoptError
from mechopt.problem import numbers

SCHEMA_VERSION = 1
# A JSON file of a million users has about 100 MB, and reading takes ten times its size.
LARGEST_JSON = 2**30


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what can go wrong with opening and decoding into InvalidFile."""
    try:
        yield
    except FileNotFoundError:
        raise InvalidFile(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise InvalidFile(f"{path}: is a folder, not a file") from None
    except UnicodeDecodeError as error:
        raise InvalidFile(
            f"{path}: is not UTF-8 text (byte 0x{error.object[error.start]:02x}); save it as UTF-8"
        ) from None
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        if isinstance(error, MechoptError):
            raise
        why = getattr(error, "strerror", None) or error
        raise InvalidFile(f"{path}: cannot be read: {why}") from None
    except MemoryError:
        raise InvalidFile(f"{path}: does not fit into memory") from None


def content(path: Path, limit: int) -> bytes:
    """The bytes of a file, unpacked if they are gzip's; "-" is standard input.

    InvalidFile if it is missing, empty, no regular file (or standard input), or larger than
    `limit` bytes, packed or unpacked.
    """
    if str(path) in STANDARD or str(path).startswith("/dev/fd/"):
        with reading(path):
            if str(path) != "-":
                with open(path, "rb") as stream:
                    found = stream.read(limit + 1)
            elif sys.stdin is None:
                raise InvalidFile("-: standard input is closed")
            else:
                found = sys.stdin.buffer.read(limit + 1)
    else:
        check_size(path, limit)
        protect(path)
        with reading(path), open(path, "rb") as stream:
            found = stream.read()
    if found[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(found)) as packed:
                found = packed.read(limit + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise InvalidFile(f"{path}: is gzip, but damaged: {error}") from None
    if not found:
        raise InvalidFile(f"{path}: is empty")
    if len(found) > limit:
        raise InvalidFile(f"{path}: has more than {limit:,} bytes; such files are not read")
    return found


def suffix(path: Path) -> str:
    """The ending that says what a file is: that before .gz; "" for standard input and output."""
    if str(path) in STANDARD:
        return ""
    endings = [ending.lower() for ending in path.suffixes]
    if len(endings) > 1 and endings[-1] == ".gz":
        return endings[-2]
    return endings[-1] if endings else ""


def check_size(path: Path, limit: int) -> None:
    """InvalidFile if the file is missing, empty, no regular file, or larger than `limit` bytes."""
    with reading(path):
        if path.is_dir():
            raise IsADirectoryError
        size = path.stat().st_size
        if not path.is_file():
            raise InvalidFile(f"{path}: is not a regular file")
        if size == 0:
            raise InvalidFile(f"{path}: is empty")
        if size > limit:
            raise InvalidFile(
                f"{path}: has {size:,} bytes; files of this kind are read up to {limit:,}"
            )
        memory.refuse_beyond(
            str(path), f"a file of {size:,} bytes", 6.0 * size, "Split it, or read it elsewhere."
        )


def load(path: Path, *, exact: bool = False) -> dict[str, Any]:
    """The JSON object in a file (see `parse`)."""
    return parse(path, content(path, LARGEST_JSON), exact=exact)


def parse(path: Path, found: bytes, *, exact: bool = False) -> dict[str, Any]:
    """The JSON object in the bytes of a file; decimals as Fractions if `exact`.

    InvalidFile on anything that is not one JSON object in UTF-8, on repeated keys and on nesting
    too deep for the parser.
    """
    with reading(path):
        text = found.decode("utf-8-sig")
    try:
        with memory.paused_gc():
            document = json.loads(
                text,
                object_pairs_hook=_no_repeats,
                parse_float=numbers.decimal_hook if exact else None,
                parse_int=numbers.integer_hook,
            )
    except RecursionError:
        raise InvalidFile(f"{path}: is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InvalidFile(
            f"{path}: is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:
        raise InvalidFile(f"{path}: {error}") from None
    if not isinstance(document, dict):
        raise InvalidFile(f"{path}: expected a JSON object, got {_json_type(document)}")
    return document


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)[:80]
        raise ValueError(f"the key {twice!r} occurs twice in one object")
    return document


def _json_type(entry: Any) -> str:
    names = {list: "an array", str: "a string", bool: "true/false", type(None): "null"}
    return names.get(type(entry), "a number")


def kind_of(document: dict[str, Any], path: Path, known: tuple[str, ...]) -> str:
    """The document's kind; InvalidFile if kind or schema_version is missing or unknown."""
    problems = []
    version = document.get("schema_version")
    if version is None:
        problems.append(f"{path}: schema_version is missing; write {SCHEMA_VERSION}")
    elif isinstance(version, bool) or not isinstance(version, int) or version < 1:
        problems.append(f"{path}: schema_version must be {SCHEMA_VERSION}, got {version!r:.40}")
    elif version > SCHEMA_VERSION:
        problems.append(
            f"{path}: schema_version {version} is newer than this mechopt reads "
            f"({SCHEMA_VERSION}); update mechopt"
        )
    kind = document.get("kind")
    if kind not in known:
        said = "is missing" if kind is None else f"is {str(kind)[:40]!r}"
        problems.append(f"{path}: kind {said}; it must be one of: {', '.join(known)}")
    if problems:
        raise InvalidFile(problems)
    return str(kind)


def faults(kind: str, document: dict[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the structure of a document: (place, sentence) of every fault."""
    from mechopt.files import schema  # pydantic takes longer than all of a small solve

    return schema.faults(schema.MODELS[kind], document)


def dumps(document: Any) -> str:
    """Strict JSON, one line per top-level key; NaN and infinities are null."""
    document = strict(document)
    if not isinstance(document, dict):
        return json.dumps(document, ensure_ascii=False) + "\n"
    lines = [
        f"{json.dumps(key)}: {json.dumps(entry, ensure_ascii=False, allow_nan=False)}"
        for key, entry in document.items()
    ]
    return "{" + ",\n ".join(lines) + "}\n"


def strict(entry: Any) -> Any:
    """`entry` with only what JSON has: NumPy and exact numbers spelled, mappings as dicts."""
    if entry is None or isinstance(entry, (str, bool)):
        return str(entry) if isinstance(entry, str) else entry
    if isinstance(entry, np.bool_):
        return bool(entry)
    if isinstance(entry, np.ndarray):
        if (entry.dtype.kind == "f" and np.isfinite(entry).all()) or entry.dtype.kind in "iubU":
            return entry.tolist()
        return [strict(value) for value in entry.tolist()]
    if isinstance(entry, (list, tuple)):
        kinds = set(map(type, entry))
        if kinds <= {str, int, bool} or (kinds == {float} and all(map(isfinite, entry))):
            return list(entry)
        return [strict(value) for value in entry]
    if hasattr(entry, "items"):
        return {str(key): strict(value) for key, value in entry.items()}
    if hasattr(entry, "__fspath__"):
        return os.fspath(entry)
    return numbers.spelled(entry)


def is_file_name(name: str) -> bool:
    """Whether a text can name a file: no NUL, no lone surrogate."""
    try:
        return b"\0" not in os.fsencode(name) and len(name) < 4096
    except UnicodeEncodeError:
        return False


def beside(path: Path, name: str, field: str, allow_outside: bool) -> Path:
    """The file that `name`, the `field` of the file at `path`, names; InvalidFile if it may not."""
    if not name or not is_file_name(name):
        raise InvalidFile(f"{path}: {field}: {name[:80]!r} is no file name")
    target = path.parent / name
    if not inside(target, path.parent, allow_outside):
        raise InvalidFile(
            f"{path}: {field}: {name[:80]!r} lies outside the folder of this file; move it there, "
            "or allow it with allow_outside=True (--allow-outside)"
        )
    return target


def inside(path: Path, folder: Path, allow_outside: bool) -> bool:
    """Whether `path`, links followed, lies in `folder` (or may lie anywhere)."""
    try:
        return allow_outside or path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # too long, or links in a circle
        return False

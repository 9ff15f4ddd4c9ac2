"""Writing files so that a reader sees the whole new file or the old one, never a part."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import IO, Any

from mechopt.errors import OutputError

_unfinished: set[Path] = set()


@contextmanager
def replacing(path: str | PathLike[str], *, binary: bool = False) -> Iterator[IO[Any]]:
    """A stream whose content becomes the file at `path` when the block ends without an error.

    The content goes to a new file in the same folder, which then takes the place of the old one
    (`os.replace`); after an error or an interrupt the new file is removed and the old one is
    untouched. Devices and pipes are written directly. OutputError says what cannot be written.
    """
    shown = os.fspath(path)
    target = Path(os.path.realpath(shown))  # a link stays a link
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            with _open(target, "w", binary) as stream:
                yield stream
            return
        if target.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
        _unfinished.add(temporary)
        try:
            with _open(temporary, "x", binary) as stream:
                yield stream
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        finally:
            _unfinished.discard(temporary)
    except OSError as error:
        raise OutputError(f"cannot write {shown}: {error.strerror or error}") from None


def _open(path: Path, mode: str, binary: bool) -> IO[Any]:
    if binary:
        return open(path, mode + "b")
    return open(path, mode, encoding="utf-8", newline="")


def discard_unfinished() -> None:
    """Remove the temporary files of this process that have not taken their place yet."""
    for temporary in tuple(_unfinished):
        with suppress(OSError):
            temporary.unlink()

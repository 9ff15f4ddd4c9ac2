"""Writing files so that a reader sees the whole new file or the old one, never a part.

Nor is a file written that the same call reads: `protecting` remembers what is read inside it.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from os import PathLike
from pathlib import Path
from typing import IO, Any

from mechopt.errors import OutputError

STANDARD = ("-", "/dev/stdin", "/dev/stdout")  # names of standard input and output

_unfinished: set[Path] = set()
_inputs: ContextVar[set[tuple[int, int]] | None] = ContextVar("inputs", default=None)


@contextmanager
def protecting(*paths: str | PathLike[str]) -> Iterator[None]:
    """Inside, `replacing` refuses `paths` and whatever `protect` was called for."""
    token = _inputs.set(set())
    try:
        for path in paths:
            protect(path)
        yield
    finally:
        _inputs.reset(token)


def protect(path: str | PathLike[str]) -> None:
    """Remember that the file at `path` is read in this call."""
    inputs = _inputs.get()
    if inputs is not None:
        with suppress(OSError, ValueError):
            found = os.stat(path)
            inputs.add((found.st_dev, found.st_ino))


def refuse_inputs(path: str | PathLike[str]) -> None:
    """OutputError if the file at `path` is one that this call reads."""
    inputs = _inputs.get()
    if not inputs:
        return
    with suppress(OSError, ValueError):
        found = os.stat(path)
        if stat.S_ISREG(found.st_mode) and (found.st_dev, found.st_ino) in inputs:
            raise OutputError(
                f"cannot write {os.fspath(path)}: it is an input of this call; choose another name"
            )


@contextmanager
def replacing(path: str | PathLike[str], *, binary: bool = False) -> Iterator[IO[Any]]:
    """A stream whose content becomes the file at `path` when the block ends without an error.

    The content goes to a new file in the same folder, which then takes the place of the old one
    (`os.replace`); after an error or an interrupt the new file is removed and the old one is
    untouched. Devices, pipes and "-" (standard output) are written directly. OutputError says what
    cannot be written.
    """
    shown = os.fspath(path)
    if shown == "-":
        with _to_standard(binary) as stream:
            yield stream
        return
    refuse_inputs(path)
    try:
        target = Path(os.path.realpath(shown))  # a link stays a link
        if target.exists() and not target.is_file() and not target.is_dir():
            with _open(target, "w", binary) as stream:
                yield stream
            return
        if target.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        temporary = target.with_name(f".mechopt-{os.urandom(6).hex()}.tmp")
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
    except UnicodeEncodeError as error:
        raise OutputError(f"cannot write {shown!a}: {error.reason}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write {shown}: {why}") from None


@contextmanager
def _to_standard(binary: bool) -> Iterator[IO[Any]]:
    if sys.stdout is None:
        raise OutputError("cannot write to standard output: it is closed")
    try:
        yield sys.stdout.buffer if binary else sys.stdout
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError):  # what is buffered would fail again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"cannot write to standard output: {error.strerror}") from None


def _open(path: Path, mode: str, binary: bool) -> IO[Any]:
    if binary:
        return open(path, mode + "b")
    return open(path, mode, encoding="utf-8", newline="")


def discard_unfinished() -> None:
    """Remove the temporary files of this process that have not taken their place yet."""
    for temporary in tuple(_unfinished):
        with suppress(OSError):
            temporary.unlink()


def locked(folder: Path) -> IO[bytes]:
    """The open lock file in a folder; the lock ends with the file, or this process.

    OutputError if another run has it. Where the system has no such locks (Windows) nobody waits.
    """
    stream = (folder / "lock").open("ab")
    try:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except BlockingIOError:
        stream.close()
        raise OutputError(
            f"{folder}: another run writes these results now; wait for it, or choose another file"
        ) from None
    return stream

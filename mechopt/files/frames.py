"""Data frames in and out: pandas, polars, Arrow, whichever is there; none is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import numpy as np

from mechopt.errors import InvalidInstance, InvalidOption, NotSupported
from mechopt.files.instances import NO_VALUE, USERS
from mechopt.files.tables import plain
from mechopt.problem.fields import PER_USER
from mechopt.problem.instance import Instance

LIBRARIES = ("pandas", "polars", "pyarrow")


def instance_from_frame(
    frame: Any, thresholds: Any, columns: Mapping[str, str] | None = None, **more: Any
) -> Instance:
    """The instance whose users are the rows of a frame; see `Instance.from_frame`."""
    names, series = _columns(frame)
    found: dict[str, int] = {}
    for at, name in enumerate(names):
        if plain(name) in found and USERS.knows(plain(name)):
            raise InvalidInstance(f"frame: column {plain(name)!r} occurs twice")
        found.setdefault(plain(name), at)
    for name, heading in (columns or {}).items():
        if plain(heading) not in found:
            near = get_close_matches(plain(heading), found, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InvalidOption(f"columns: the frame has no column {heading!r}{hint}")
        found[plain(name)] = found.pop(plain(heading))
    given: dict[str, Any] = {
        name: series(at) for name, at in found.items() if name in PER_USER and name not in more
    }
    notes = []
    pieces = sum(f"width_{j}" in found for j in range(1, len(names) + 1))
    if pieces and "segments" not in more:
        absent = [f"slope_{j}" for j in range(1, pieces + 1) if f"slope_{j}" not in found]
        if absent:
            raise InvalidInstance(f"frame: column {absent[0]!r} is missing")
        given["segments"] = tuple(
            np.column_stack([series(found[f"{part}_{j}"]) for j in range(1, pieces + 1)])
            for part in ("width", "slope")
        )
    if "value" not in {**given, **more}:
        given["value"] = 0
        notes.append(NO_VALUE)
    if "cost" not in {**given, **more}:
        raise InvalidInstance(
            f"frame: column 'cost' is missing; it has {', '.join(map(repr, names[:8]))}; if one of "
            "these is meant, say so: columns={'cost': …}"
        )
    if "ids" not in more:
        ids = series(found["id"]) if "id" in found else _labels(frame)
        more["ids"] = ids
    used = {name for name in found if USERS.knows(name)}
    others = {str(names[at]): series(at) for name, at in found.items() if name not in used}
    if others:
        notes.append(f"columns carried along: {', '.join(others)[:300]}")
    instance = Instance(thresholds=thresholds, **given, **more)
    kept = {name: np.array(column, dtype=object) for name, column in others.items()}
    return instance.noted(notes, kept)


def _columns(frame: Any) -> tuple[list[str], Any]:
    """The names of a frame's columns, and what gives the entries of one by its place."""
    if isinstance(frame, Mapping):
        names = list(frame)
        return list(map(str, names)), lambda at: frame[names[at]]
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):  # pandas
        return list(map(str, frame.columns)), lambda at: _listed(frame.iloc[:, at].to_numpy())
    if hasattr(frame, "get_columns"):  # polars
        if hasattr(frame, "collect") and not hasattr(frame, "rows"):
            frame = frame.collect()
        columns = frame.get_columns()
        return list(frame.columns), lambda at: _listed(columns[at].to_numpy())
    if not hasattr(frame, "column_names"):
        if not hasattr(frame, "__arrow_c_stream__"):
            raise InvalidOption(
                f"frame: expected a pandas, polars or Arrow frame, got {type(frame).__name__}"
            )
        try:
            frame = import_module("pyarrow").table(frame)
        except ImportError:
            raise NotSupported("frames of this kind need pyarrow: pip install pyarrow") from None
    return list(frame.column_names), lambda at: frame.column(at).to_pylist()


def _listed(column: Any) -> Any:
    """A column without objects of its library."""
    return column.tolist() if column.dtype.kind in "OUT" else column


def _labels(frame: Any) -> list[Any] | None:
    """The index of a pandas frame, if it names the rows."""
    index: Any = getattr(frame, "index", None)
    if not hasattr(index, "equals"):
        return None
    labels: list[Any] = index.tolist()
    return None if labels == list(range(len(labels))) else labels


def to_frame(columns: Mapping[str, Sequence[Any]], library: str | None = None) -> Any:
    """Columns as a frame of `library` ("pandas", "polars", "pyarrow"; default: the first there)."""
    if library is not None and library not in LIBRARIES:
        raise InvalidOption(f"library: {library!r} is none of {', '.join(LIBRARIES)}")
    for name in (library,) if library else LIBRARIES:
        try:
            module = import_module(name)
        except ImportError:
            continue
        data = {
            key: column.tolist() if isinstance(column, np.ndarray) else list(column)
            for key, column in columns.items()
        }
        return module.table(data) if name == "pyarrow" else module.DataFrame(data)
    raise NotSupported(f"frames need {library or 'pandas, polars or pyarrow'}: pip install pandas")

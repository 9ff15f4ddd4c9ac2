"""What all answers have in common: plan, direct mechanism, posted offer, bracket.

Each has `metrics`, `summary()`, `to_dict()`, `write(path)`, can be read back and be audited; here
are their common headers, in words and as JSON values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from dataclasses import replace as _replace
from math import isfinite
from os import PathLike
from typing import Any, Self, cast

import numpy as np

from mechopt import arrays, doors
from mechopt.errors import InvalidFile
from mechopt.problem.arguments import LARGEST
from mechopt.status import Status


class Answer:
    """The convenience that needs no more than an answer's header (its fields say the rest)."""

    status: Status
    objective: float | None
    bound: float | None
    mechanism: str
    reason: str

    @property
    def has_answer(self) -> bool:
        """Whether there is something to be acted on."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """JSON values, of which `read` makes the same answer again."""
        raise NotImplementedError

    def summary(self) -> str:
        """The answer in plain language."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return doors.html(self)

    @property
    def gap(self) -> float | None:
        """|bound − objective| / max(1, |objective|); None if either is missing."""
        if self.objective is None or self.bound is None:
            return None
        return abs(self.bound - self.objective) / max(1.0, abs(self.objective))

    def replace(self, **changes: Any) -> Self:
        """A variant with some fields changed."""
        return cast(Self, _replace(cast(Any, self), **changes))

    def __getstate__(self) -> dict[str, Any]:
        """The fields; what was worked out from them is worked out again."""
        return {it.name: self.__dict__[it.name] for it in fields(cast(Any, self))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for array in state.values():  # pickling forgets that they are read-only
            if isinstance(array, np.ndarray):
                arrays.freeze(array)

    def write(self, path: str | PathLike[str]) -> None:
        """Write as .json (plans and mechanisms also as .csv or .parquet); `read` gives it back."""
        doors.write(self, path)


def headline(answer: Any) -> str:
    """Which mechanism, its status and what it reaches, in one line."""
    said = f"{answer.mechanism}: {answer.status}"
    if answer.objective_name is None:
        return said
    said += f", {answer.objective_name}"
    if answer.objective is not None:
        said += f" {answer.objective:.6g}"
        if answer.bound is not None and answer.status != Status.OPTIMAL:
            said += f" (bound {answer.bound:.6g})"
    return said


HEADER = (
    "mechanism",
    "status",
    "objective_name",
    "objective",
    "bound",
    "gap",
    "reason",
    "solver",
    "seconds",
    "seed",
)


def header(answer: Any, kind: str) -> dict[str, Any]:
    """The first entries of every answer's JSON document; infinities are None."""
    said = {name: getattr(answer, name) for name in HEADER}
    for name in ("objective", "bound", "gap"):
        if said[name] is not None and not isfinite(said[name]):
            said[name] = None
    return {"schema_version": 1, "kind": kind, **said, "status": str(answer.status)}


def read_header(
    data: Mapping[str, Any], kind: str, needed: tuple[str, ...], *, unknown: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The fields that `header` wrote; InvalidFile on another kind or version, or missing entries.

    :unknown: header entries that this kind of answer derives and does not hold as a field
    """
    missing = sorted({"kind", "status", *needed} - set(data))
    if missing:
        raise InvalidFile(f"{missing[0]}: missing")
    if data["kind"] != kind:
        raise InvalidFile(f"kind: expected {kind!r}, got {data['kind']!r}")
    if data.get("schema_version", 1) != 1:
        raise InvalidFile(f"schema_version: this version reads 1, got {data['schema_version']}")
    skipped = {"status", "gap", *unknown}
    found = {name: data[name] for name in HEADER if name in data and name not in skipped}
    finite({name: found.get(name) for name in ("objective", "bound", "seconds")})
    try:
        return {**found, "status": Status(data["status"])}
    except ValueError as error:
        raise InvalidFile(f"status: {error}") from None


def finite(numbers: Mapping[str, Any], where: str = "") -> None:
    """InvalidFile on an entry that is neither None, nor a truth value, nor a usable number."""
    for name, entry in numbers.items():
        if entry is None or isinstance(entry, bool):
            continue
        if not isinstance(entry, (int, float)) or not abs(entry) <= LARGEST**3:
            raise InvalidFile(f"{where}{name}: expected a number, got {entry!r:.40}")

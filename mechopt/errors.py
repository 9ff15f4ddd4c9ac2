"""Exceptions of the package.

Every message names the field, the user (or row) and the value, and says what to do.
Nothing is printed by the library; the command line turns these into one line on stderr.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LONGEST_LINE, LONGEST_TEXT = 500, 1900  # characters of one fault, and of a whole message


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with an argument: which, where in it, and what (with a remedy)."""

    field: str  # "cost", "segments.widths"
    text: str
    place: tuple[int, ...] = ()  # position in the argument; () if it is about the whole
    who: str = ""  # " (id 'ana')"

    def __str__(self) -> str:
        where = f"[{', '.join(map(str, self.place))}]" if self.place else ""
        return f"{self.field}{where}{self.who}: {self.text}"


class MechoptError(Exception):
    """Base class of everything the package raises on purpose."""


class InvalidInput(MechoptError, ValueError):
    """Input that cannot be used. `problems` lists every fault found, one sentence each.

    `faults` are the same, as `Fault` where the place is known. The message is at most 2 kB long.
    """

    def __init__(self, problems: str | Fault | Iterable[str | Fault]) -> None:
        self.faults: tuple[str | Fault, ...] = (
            (problems,) if isinstance(problems, (str, Fault)) else tuple(problems)
        )
        self.problems: tuple[str, ...] = tuple(_cut(str(fault)) for fault in self.faults)
        super().__init__(_bounded(self.problems))


def _cut(line: str) -> str:
    """A sentence, without its middle where it is too long to be read."""
    if len(line) <= LONGEST_LINE:
        return line
    half = LONGEST_LINE // 2 - 2
    return f"{line[:half]} … {line[-half:]}"


def _bounded(lines: tuple[str, ...]) -> str:
    """The lines, as many as fit, and how many are left out."""
    size, shown = 0, 0
    for line in lines:
        size += len(line.encode("utf-8", "replace")) + 1
        if size > LONGEST_TEXT and shown:
            break
        shown += 1
    more = len(lines) - shown
    return "\n".join([*lines[:shown], *([f"and {more:,} more faults"] if more else [])])


class InvalidInstance(InvalidInput):
    """An instance (known or reported costs) that breaks a rule of the model."""


class InvalidPopulation(InvalidInput):
    """A population (private costs) that breaks a rule of the model."""


class InvalidPlan(InvalidInput):
    """A plan that does not fit its instance."""


class InvalidOption(InvalidInput):
    """An unknown or conflicting option of a call."""


class InvalidFile(InvalidInput):
    """A file that cannot be read as what it should be."""


class NotSupported(MechoptError):
    """A well-posed request that this version refuses rather than answer wrongly."""


class TooLarge(MechoptError):
    """A model whose predicted size exceeds the stated limit; nothing was built."""


class SolverError(MechoptError):
    """The solver refused an option or a model; no answer may be derived from it."""


class OutputError(MechoptError):
    """A file that cannot be written; nothing half-written is left behind."""

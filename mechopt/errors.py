"""Exceptions of the package.

Every message names the field, the user (or row) and the value, and says what to do.
Nothing is printed by the library; the command line turns these into one line on stderr.
"""

from __future__ import annotations

from collections.abc import Iterable


class MechoptError(Exception):
    """Base class of everything the package raises on purpose."""


class InvalidInput(MechoptError, ValueError):
    """Input that cannot be used. `problems` lists every fault found, one sentence each."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (
            (problems,) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__("\n".join(self.problems))


class InvalidInstance(InvalidInput):
    """An instance (known or reported costs) that breaks FORMULATION section 1."""


class InvalidPopulation(InvalidInput):
    """A population (private costs) that breaks FORMULATION section 5."""


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

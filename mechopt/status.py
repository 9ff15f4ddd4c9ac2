"""What is known about an answer: "optimal" only with a proof (docs/explanation/proofs.md)."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What is known about an answer."""

    OPTIMAL = "optimal"  # proved: objective and bound meet
    FEASIBLE = "feasible"  # satisfies every constraint; the gap to the bound is known
    NULL = "null"  # the null outcome is the answer: nothing is collected, nothing is paid
    INFEASIBLE = "infeasible"  # what was asked for cannot be met (`reason` says why)
    UNKNOWN = "unknown"  # nothing is proved

"""What an audit finds: the rows that do not hold, and how many were checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SHORT = "the total is short of the first threshold by {:g}"


@dataclass(frozen=True)
class Violation:
    """One row that does not hold: equation tag, where, and by how much (data or money).

    :cause: what rows of the same kind have in common, in words
    """

    tag: str
    where: str
    amount: float
    message: str
    cause: str = ""


@dataclass(frozen=True)
class Audit:
    """The verdict on an answer.

    :rows: equation tag -> how many rows were checked
    :worst: equation tag -> the largest violation found there, in the row's unit (0 if none)
    """

    violations: tuple[Violation, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    worst: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every row holds."""
        return not self.violations

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        checked = ", ".join(f"{tag} {count:,}" for tag, count in self.rows.items())
        if self.ok:
            return f"audit passed: every row holds (rows: {checked})"
        lines = [f"audit failed: {len(self.violations)} rows do not hold (rows checked: {checked})"]
        lines += [f"  {line}" for line in self.causes()]
        return "\n".join(lines)

    def causes(self) -> list[str]:
        """One line per cause, in words: what all else follows from first, then by tag."""
        kinds: dict[tuple[str, str], list[Violation]] = {}
        for broken in self.violations:
            kinds.setdefault((broken.tag, broken.cause or broken.message), []).append(broken)
        short = ("A1", SHORT) in kinds
        lines = []
        for (tag, _), rows in sorted(kinds.items(), key=lambda kind: kind[0][0] != "A1"):
            worst = max(rows, key=lambda row: row.amount)
            said = f"({tag}) {worst.where}: {worst.message}"
            if len(rows) > 1:
                said = f"({tag}) {len(rows):,} rows, the worst {worst.where}: {worst.message}"
            follows = short and tag == "A6"
            lines.append(said + (", which follows from the first line" if follows else ""))
        return lines

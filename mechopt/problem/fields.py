"""What is known about every user, in one table: constructor, files, schema, hash, exact data.

To add a field: a row here, a keyword with its default in `Instance.__init__`, an attribute there.
Everything else (broadcasting, checks by row, JSON and table columns, JSON Schema, the exact view,
the hash, certificates' data) follows. A field whose entries all have the default leaves hash and
documents as they were before it existed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Any

RULES = {
    "> 0": "must be > 0",
    "≥ 0": "must be ≥ 0",
    "[0, 1]": "must lie in [0, 1]",
    "0 or 1": "must be 0 or 1",
}
# unit -> powers of (data, money)
DIMENSIONS = {"": (0, 0), "data": (1, 0), "money": (0, 1), "money per data unit": (-1, 1)}


@dataclass(frozen=True)
class UserField:
    """One per-user argument of `Instance`.

    `rule` (see `RULES`) and `unit` say what numbers may stand there; `default` is what holds where
    the argument is left out (None: it must be given; "": labels). `blank`: what an empty cell of a
    table or null in JSON stands for (None: it is a fault). `core` fields are in every document and
    hash, others only if some entry differs from the default. `label` fields are text.
    """

    name: str
    about: str
    rule: str = "≥ 0"
    unit: str = ""
    default: Any = None
    blank: float | None = None
    core: bool = False
    label: bool = False

    @property
    def dimension(self) -> tuple[int, int]:
        """Powers of (data, money) in the unit; (0, 0) for plain numbers and labels."""
        return DIMENSIONS[self.unit]

    @property
    def words(self) -> str:
        """The rule as messages say it, with the unit."""
        return RULES[self.rule] + (f" ({self.unit})" if self.unit else "")

    @property
    def free(self) -> bool:
        """Whether NaN is an entry: "not said"."""
        return self.blank is not None and self.blank != self.blank

    def left_out(self, raw: Any) -> bool:
        """Whether an argument says no more than the default does."""
        if self.default is None:
            return False
        return raw is None or (type(raw) is int and raw == self.default)


USER_FIELDS = (
    UserField("cost", "θ ≥ 0, money per data unit", "≥ 0", "money per data unit", core=True),
    UserField("value", "v ≥ 0, money", "≥ 0", "money", core=True),
    UserField("capacity", "cap ≥ 0, data; default: sum of widths", "≥ 0", "data", core=True),
    UserField("reversibility", "ρ in [0, 1]", "[0, 1]", default=1, core=True),
    UserField("removable", "δ in [0, 1]", "[0, 1]", default=1, core=True),
    UserField("exclusion", "η in [0, 1]", "[0, 1]", default=0),
    UserField("committed", "0 ≤ y ≤ cap, data", "≥ 0", "data", default=0),
    UserField("least", "ℓ ≥ 0, data: who is asked is asked this much", unit="data", default=0),
    UserField("unit", "data: burdens are multiples of it; 0 for none", unit="data", default=0),
    UserField("contact_cost", "κ ≥ 0, money per user asked", unit="money", default=0),
    UserField("fixed", "burden given beforehand, data; blank: free", "≥ 0", "data", nan, nan),
    UserField("required", "1: must be asked for something; 0: open", "0 or 1", default=0),
    UserField("group", "name of the user's group", default="", label=True),
)
# also fields of a Group, one number each
OF_GROUP = ("value", "reversibility", "removable", "exclusion")
BY_NAME = {field.name: field for field in USER_FIELDS}
PER_USER = tuple(BY_NAME)

"""What a proof is made of before it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Draft:
    """Data, terms and problem as the checker reads them; an exact answer (or None) and a proof.

    :remark: what is not proved and why, should answer and bound not meet
    :about: sizes and counts, not part of the claim
    """

    data: dict[str, Any]
    terms: dict[str, Any]
    problem: Any
    answer: dict[str, Any] | None
    proof: dict[str, Any]
    remark: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

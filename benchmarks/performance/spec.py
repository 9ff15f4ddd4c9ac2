"""What a benchmark is: a problem of growing size and the routes that must all find its optimum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OURS = "mechopt"


def same(problem: Any) -> Any:
    """No preparation."""
    return problem


@dataclass(frozen=True)
class Route:
    """`run(prepare(problem))` gives the answer; only `run` is timed.

    tolerance : relative, of this route's answer against ours
    most : largest size it is tried at (where its memory or arithmetic ends, not its patience)
    check : it is there for its answer; it is told what the others have to find out
    """

    run: Callable[[Any], float]
    prepare: Callable[[Any], Any] = same
    tolerance: float = 1e-6
    most: float = float("inf")
    check: bool = False


@dataclass(frozen=True)
class Spec:
    """`make(size)` is the problem; `sizes` ascend; `quick` is the part of them for --quick.

    reference : the route whose answer the others must match
    unit : what `size` counts, for tables and plots
    """

    name: str
    title: str
    unit: str
    sizes: Sequence[int]
    quick: Sequence[int]
    make: Callable[[int], Any]
    routes: Mapping[str, Route]
    reference: str = OURS

"""`solve`: one entry for every mechanism, on instances and on populations."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from mechopt import registry, words
from mechopt.errors import InvalidOption


def problem_kind(problem: Any) -> str:
    """'instance' or 'population'; InvalidOption for anything else."""
    from mechopt.problem.instance import Instance

    if isinstance(problem, Instance):
        return "instance"
    from mechopt.problem.population import Population

    if isinstance(problem, Population):
        return "population"
    raise InvalidOption(
        f"expected an Instance or a Population, got {type(problem).__name__}; "
        "read(path) opens a file as one"
    )


def solve(problem: Any, mechanism: str = "burdens", **options: Any) -> Any:
    """Solve `problem` (Instance or Population) by `mechanism`; returns a Plan or DirectMechanism.

    Options are those of the mechanism's function (see `mechopt.mechanisms`), the common ones:
    objective ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement"),
    protocol ("simultaneous", "sequential", "coalition", "none"), order, target, transfers,
    reserve, time_limit (seconds), seed.

    Raises InvalidOption for unknown names (with the nearest) and options that do not apply.
    """
    words.choose("mechanism", mechanism, registry.MECHANISMS)
    kind = problem_kind(problem)
    places = registry.MECHANISMS[mechanism]
    if kind not in places:
        fits = [name for name, kinds in registry.MECHANISMS.items() if kind in kinds]
        raise InvalidOption(
            f"mechanism: {mechanism!r} does not apply to "
            f"{'an instance' if kind == 'instance' else 'a population'}; "
            f"choose from: {', '.join(fits)}"
        )
    began = perf_counter()
    answer = words.call(words.load(places[kind]), mechanism, problem, options)
    return answer.replace(seconds=perf_counter() - began, options=dict(options))

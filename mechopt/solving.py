"""`solve`: one entry for every mechanism, on instances and on populations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from mechopt import registry, words
from mechopt.errors import InvalidOption, NotSupported, TooLarge
from mechopt.problem.aims import check_limits, default_objective
from mechopt.withdrawal.moves import check_order


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


_ANYWHERE = ("seed", "time_limit")  # may be given to every mechanism, of use to some


def default_mechanism(problem: Any) -> str:
    """What `solve` does with a problem if no mechanism is named."""
    return "burdens" if problem_kind(problem) == "instance" else "direct"


def solve(problem: Any, mechanism: str | None = None, **options: Any) -> Any:
    """Solve `problem` (A1–A6 or D1–D7) by `mechanism`: a Plan, DirectMechanism or PostedOffer.

    :mechanism: default "burdens" for an Instance, "direct" for a Population
    :objective: "provider-surplus", "welfare", "expenditure", "social-cost" or "improvement".
        Default: provider-surplus if the provider has a value; else, with a budget and several
        thresholds, improvement; else expenditure
    :options: those of the mechanism's function (see `mechopt.registry`), the common ones:
        protocol ("simultaneous", "sequential", "coalition", "none", "reassign"), order, target,
        transfers, reserve (data), time_limit (seconds), seed. None stands for the default.

    Raises InvalidOption for unknown names (with the nearest), for options that do not apply and
    for values that cannot be, whether this mechanism comes to use them or not.
    """
    chosen = default_mechanism(problem) if mechanism is None else mechanism
    words.choose("mechanism", chosen, registry.MECHANISMS)
    kind = problem_kind(problem)
    places = registry.MECHANISMS[chosen]
    if kind not in places:
        fits = [name for name, kinds in registry.MECHANISMS.items() if kind in kinds]
        raise InvalidOption(
            f"mechanism: {chosen!r} does not apply to "
            f"{'an instance' if kind == 'instance' else 'a population'}; "
            f"choose from: {', '.join(fits)}"
        )
    if kind == "instance" and problem.has_committed and chosen != "burdens":
        raise NotSupported(f"{chosen}: committed data; only 'burdens' asks for more on top of them")
    began = perf_counter()
    function = words.load(places[kind])
    said = {name: value for name, value in options.items() if value is not None}
    check_values(problem, said)
    complete = with_defaults(problem, function, said)
    answer = words.call(function, chosen, problem, complete)
    return answer.replace(seconds=perf_counter() - began, options=said)


def with_defaults(
    problem: Any, function: Callable[..., Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """`options` for this mechanism or formulation, the default objective among them."""
    taken = words.keywords(function)
    complete = {
        name: value for name, value in options.items() if name in taken or name not in _ANYWHERE
    }
    if "objective" in taken and "objective" not in complete:
        complete["objective"] = objective_of(problem, options)[0]
    return complete


def objective_of(problem: Any, options: Mapping[str, Any]) -> tuple[str, str]:
    """The objective of a call with these options, and, where it was chosen for it, why."""
    if options.get("objective") is not None:
        return str(options["objective"]), ""
    name, why = default_objective(problem)
    if options.get("target") is not None and name == "improvement":
        return "expenditure", "a target is given, so the objective is expenditure"
    return name, why


def check_values(problem: Any, options: Mapping[str, Any]) -> None:
    """InvalidOption if a common option has a value that no mechanism takes."""
    for name, known in (("objective", words.OBJECTIVES), ("protocol", words.PROTOCOLS)):
        if name in options:
            words.choose(name, options[name], known)
    check_limits(options.get("time_limit"), options.get("seed", 0))
    transfers = options.get("transfers", True)
    if not isinstance(transfers, bool):
        raise InvalidOption(f"transfers: must be True or False, got {transfers!r}")
    if "order" in options:
        check_order(options["order"], problem.n, ("designed",))


def posted_beside(plan: Any) -> Any:
    """The best posted price for a plan's aim, to compare with; None if there is none to compare."""
    if plan.mechanism == "posted-price":
        return None
    aim = {"objective": plan.objective_name or "expenditure", "target": plan.options.get("target")}
    try:
        found = solve(plan.instance, "posted-price", **aim)
    except (NotSupported, TooLarge):  # groups and fixed burdens know no price
        return None
    return found if found.has_answer else None


_ASKED = ("protocol", "order", "target", "transfers", "reserve", "withdrawal", "dropout", "shock",
          "confidence", "time_limit")  # fmt: skip


def solve_again(plan: Any, instance: Any, **changes: Any) -> Any:
    """The plan's mechanism and objective on a neighbouring instance, with what was asked for then.

    `changes` take the place of what was asked, where the mechanism takes them. Raises as `solve`.
    """
    taken = {
        *words.keywords(words.load(registry.MECHANISMS[plan.mechanism]["instance"])),
        *_ANYWHERE,
    }
    asked = {name: plan.options.get(name) for name in _ASKED}
    asked["protocol"] = asked["protocol"] or plan.protocol
    asked["reserve"] = asked["reserve"] or plan.reserve or None
    options = {**asked, "objective": plan.objective_name, **changes}
    said = {name: value for name, value in options.items() if name in taken}
    return solve(instance, plan.mechanism, **said)

"""`mechopt generate`: an instance or a population of a named family."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from mechopt.commands import options as cli
from mechopt.commands.arguments import Argument, Option
from mechopt.commands.output import check_out, emit, note


@dataclass(frozen=True)
class Shared:
    """What every family takes; the names are those of `mechopt.generate`."""

    n: Annotated[int, Option("--n", help="Number of users.")] = 100
    tightness: Annotated[
        float | None,
        Option(help="Threshold over what all users would give; above 1 needs payments."),
    ] = None
    levels: Annotated[int, Option(help="Number of thresholds K.")] = 1
    steps: Annotated[str, Option(help="K > 1: uncertain (lognormal belief) or learning-curve.")] = (
        "uncertain"
    )
    shape: Annotated[
        str, Option(help="K > 1: linear, diminishing, accelerating, or an exponent.")
    ] = "linear"
    reversibility: Annotated[float, Option(help="Share of the cost that comes back.")] = 1
    removable: Annotated[float, Option(help="Share of the data that leaves.")] = 1
    exclusion: Annotated[float, Option(help="Share of the benefit lost by whoever withdraws.")] = 0
    provider_value: Annotated[float | None, Option(help="Default: what users gain.")] = None
    budget: Annotated[float | None, Option(help="Cap on the payments.")] = None


def generate(
    family: Annotated[
        str | None, Argument(metavar="[FAMILY]", help="Leave out to list the families.")
    ] = None,
    *,
    shared: Shared,
    set_: Annotated[
        list[str] | None,
        Option("--set", metavar="NAME=VALUE", help="A parameter of the family; repeat."),
    ] = None,
    seed: cli.Seed = None,
    out: cli.Out = None,
    quiet: cli.Quiet = False,
) -> None:
    """Generate a problem of a family; the same arguments give the same file everywhere."""
    from mechopt.cases.generators import families, generate
    from mechopt.files import instances, write
    from mechopt.files.documents import dumps
    from mechopt.problem.instance import Instance
    from mechopt.studies.comparing import parse_options

    if family is None:
        _list(families("instance") | families("population"))
        return
    check_out(out)
    parameters: dict[str, Any] = {}
    for text in set_ or []:
        parameters |= parse_options(text, "--set")
    problem = generate(family, seed=seed or 0, **asdict(shared), **parameters)
    if out is not None:
        write(problem, out)
        note(f"mechopt: wrote {out}: {problem}", quiet=quiet)
        return
    document = instances.document(problem) if isinstance(problem, Instance) else problem.to_dict()
    emit(dumps(document))


def _list(known: dict[str, str]) -> None:
    width = max(map(len, known))
    emit("".join(f"{name:<{width}}  {what}\n" for name, what in known.items()))

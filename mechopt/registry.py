"""What there is: every mechanism and every formulation by name, and where its function lives.

Functions are named "module:function" and imported on first use, so that starting up stays fast
and a reader finds the whole catalogue on one page.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any

from mechopt.errors import InvalidOption

# mechanism -> {problem kind: function(problem, *, options) -> Plan or DirectMechanism}
MECHANISMS: dict[str, dict[str, str]] = {
    "burdens": {"instance": "mechopt.mechanisms.burdens:solve"},
    "rule": {"population": "mechopt.mechanisms.rules:solve"},
    "direct": {"population": "mechopt.mechanisms.direct_solve:solve"},
    "posted-price": {
        "instance": "mechopt.mechanisms.posted_price:solve",
        "population": "mechopt.mechanisms.population_benchmarks:posted_price",
    },
    "posted-contract": {
        "instance": "mechopt.mechanisms.posted_contract:solve",
        "population": "mechopt.mechanisms.population_benchmarks:posted_contract",
    },
    "subsidy": {"instance": "mechopt.mechanisms.subsidy:solve"},
    "complete-information": {
        "instance": "mechopt.mechanisms.complete_information:solve",
        "population": "mechopt.mechanisms.population_benchmarks:complete_information",
    },
}

# formulation (the name of its folder in models/) -> function(problem, *, options) -> ConcreteModel
FORMULATIONS: dict[str, str] = {
    "burdens": "mechopt.formulations.burdens:build",
    "burdens-levels": "mechopt.formulations.burdens_levels:build",
    "burdens-levels-bigm": "mechopt.formulations.burdens_levels_bigm:build",
    "burdens-sequential": "mechopt.formulations.burdens_sequential:build",
    "posted-price": "mechopt.formulations.posted_price:build",
    "posted-contract": "mechopt.formulations.posted_contract:build",
    "subsidy": "mechopt.formulations.subsidy:build",
    "direct-dsic": "mechopt.formulations.direct:build_dsic",
    "direct-bic": "mechopt.formulations.direct:build_bic",
    "direct-obedient": "mechopt.formulations.direct:build_obedient",
    "direct-deterministic": "mechopt.formulations.direct:build_deterministic",
    "withdrawal-equilibrium": "mechopt.formulations.withdrawal_equilibrium:build",
    "blocking-coalition": "mechopt.formulations.blocking_coalition:build",
}

OBJECTIVES = ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement")
PROTOCOLS = ("simultaneous", "sequential", "coalition", "none")


def load(place: str) -> Callable[..., Any]:
    """The function at "module:function"."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def choose(kind: str, name: object, known: Iterable[str]) -> str:
    """`name` if it is among `known`; InvalidOption with the nearest names otherwise."""
    names = list(known)
    if isinstance(name, str) and name in names:
        return name
    near = get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InvalidOption(f"{kind}: {name!r} is not known{hint} Choose from: {', '.join(names)}")


@cache
def keywords(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The keyword-only parameters of a mechanism or formulation, by name."""
    parameters = inspect.signature(function).parameters.items()
    return {name: it for name, it in parameters if it.kind is it.KEYWORD_ONLY}


def call(function: Callable[..., Any], what: str, problem: Any, options: Mapping[str, Any]) -> Any:
    """Call with keyword options; InvalidOption names one the function does not take, or needs."""
    taken = keywords(function)
    for name, parameter in taken.items():
        if parameter.default is parameter.empty and name not in options:
            raise InvalidOption(f"{what} needs the option {name!r}")
    for name in options:
        if name not in taken:
            near = get_close_matches(name, taken, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InvalidOption(
                f"{what} takes no option {name!r}{hint} It takes: {', '.join(taken)}"
            )
    return function(problem, **options)

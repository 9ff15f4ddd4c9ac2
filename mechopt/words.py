"""The words a user may say: objectives, protocols, and how a wrong word is answered.

Below everything, so that every layer validates its options in the same words; where the functions
live that the words stand for is in `mechopt.registry`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any

from mechopt.errors import InvalidOption, NotSupported

OBJECTIVES = ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement")
PROTOCOLS = ("simultaneous", "sequential", "coalition", "none", "reassign")
WITHDRAWALS = ("whole", "part")
NO_DOCSTRINGS = (
    "Python runs with -OO (PYTHONOPTIMIZE=2), without the docstrings that Pyomo and --help are "
    "made of; run it without, or with -O"
)


def need_docstrings() -> None:
    """NotSupported where Pyomo cannot be imported, because Python left out the docstrings."""
    if sys.flags.optimize > 1:
        raise NotSupported(NO_DOCSTRINGS)


def load(place: str) -> Callable[..., Any]:
    """The function at "module:function"."""
    module, _, name = place.partition(":")
    if "formulations" in module.split("."):
        need_docstrings()
    return getattr(import_module(module), name)


def choose(kind: str, name: object, known: Iterable[str]) -> str:
    """`name` if it is among `known`; InvalidOption with the nearest names otherwise."""
    names = list(known)
    if isinstance(name, str) and name in names:
        return name
    raise InvalidOption(
        f"{kind}: {name!r} is not known{_nearest(name, names)} Choose from: {', '.join(names)}"
    )


def _nearest(name: object, names: Iterable[str]) -> str:
    near = get_close_matches(str(name), list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else "."


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
            raise InvalidOption(
                f"{what} takes no option {name!r}{_nearest(name, taken)} "
                f"It takes: {', '.join(taken)}"
            )
    return function(problem, **options)

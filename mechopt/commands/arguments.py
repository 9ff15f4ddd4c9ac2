"""The words of a command line as the arguments of a command; its help; what completes a word.

A command is a function whose parameters are annotated `Annotated[kind, Option(…)]` or
`Annotated[kind, Argument(…)]`, the kind one of str, int, float, bool, Path, an enumeration, a list
of these, perhaps `| None`. Only the command that is called is looked at, and nothing is loaded for
it: a small solve takes no longer than importing NumPy a few times.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from difflib import get_close_matches
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from mechopt.commands.output import WIDEST, columns_of_terminal
from mechopt.errors import InvalidOption
from mechopt.words import choose

_LEFT = 28  # columns of help in which an option stands, at most


@dataclass(frozen=True)
class Option:
    """What an option is called ("--no-x" after a slash switches off), and what it means."""

    name: str = ""
    short: str = ""
    metavar: str = ""
    help: str = ""
    min: float | None = None


@dataclass(frozen=True)
class Argument:
    """What a word without a dash is called, and what it means."""

    metavar: str
    help: str


@dataclass(frozen=True)
class Parameter:
    """A parameter of a command as the command line has it."""

    name: str  # in Python
    told: Option | Argument
    kind: type
    many: bool
    default: Any
    group: str = ""  # the command's parameter, a dataclass, that it is a field of

    @property
    def flags(self) -> dict[str, bool | None]:
        """Every spelling of an option: what it switches to, or None where a value follows."""
        if isinstance(self.told, Argument):
            return {}
        spelled = self.told.name or "--" + self.name.strip("_").replace("_", "-")
        on, _, off = spelled.partition("/")
        switched = True if self.is_switch else None
        flags: dict[str, bool | None] = dict.fromkeys(filter(None, (on, self.told.short)), switched)
        return flags | ({off: False} if off else {})

    @property
    def is_switch(self) -> bool:
        """Whether the option takes no value."""
        return self.kind is bool

    @property
    def is_required(self) -> bool:
        """Whether the command needs it."""
        return self.default is inspect.Parameter.empty

    @property
    def shown(self) -> str:
        """The option, or argument, with what follows, as help has it."""
        if isinstance(self.told, Argument):
            return self.told.metavar
        values = "|".join(_values(self.kind)) or self.kind.__name__.upper()
        value = "" if self.is_switch else " " + (self.told.metavar or values)
        return ", ".join(self.flags) + value

    def read(self, flag: str, text: str) -> Any:
        """The value that a text stands for; InvalidOption if it is none."""
        if known := _values(self.kind):
            return self.kind(choose(flag, text, known))
        try:
            value = self.kind(text)
        except ValueError:
            what = "a whole number" if self.kind is int else "a number"
            raise InvalidOption(f"{flag}: expected {what}, got {text!r}") from None
        least = getattr(self.told, "min", None)
        if least is not None and not value >= least:
            raise InvalidOption(f"{flag}: must be ≥ {least:g}, got {text}")
        return value


def _values(kind: type) -> list[str]:
    return [str(member.value) for member in kind] if issubclass(kind, Enum) else []


def parameters(command: Callable[..., Any]) -> list[Parameter]:
    """The parameters of a command in its order, in the place of a group of options its fields."""
    hints = get_type_hints(command, include_extras=True)
    found = []
    for name, it in inspect.signature(command).parameters.items():
        if is_dataclass(hints.get(name)):
            found += [replace(field, group=name) for field in parameters(hints[name])]
            continue
        kind, told = get_args(hints[name])
        kinds = [part for part in get_args(kind) if part is not NoneType]
        if NoneType in get_args(kind):
            kind = kinds[0]
        many = get_origin(kind) is list
        found.append(Parameter(name, told, get_args(kind)[0] if many else kind, many, it.default))
    return found


# -- reading --------------------------------------------------------------------------------------


def parse(name: str, command: Callable[..., Any], words: Sequence[str]) -> dict[str, Any]:
    """What the words after a command's name say of its parameters.

    InvalidOption for an option that it does not take, a value that is none, and what is missing.
    """
    known = parameters(command)
    flags = {flag: it for it in known for flag in it.flags}
    given: dict[str, Any] = {}
    plain: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            plain += left
            break
        if word == "-" or not word.startswith("-"):
            plain.append(word)
            continue
        flag, equals, text = word.partition("=")
        if not word.startswith("--") and len(word) > 2:  # -oFILE
            flag, equals, text = word[:2], "=", word[2:].removeprefix("=")
        if flag not in flags:
            raise InvalidOption(f"{name}: there is no option {flag!r}{_nearest(flag, flags, name)}")
        it = flags[flag]
        if it.is_switch:
            if equals:
                raise InvalidOption(f"{flag}: takes no value, got {text!r}")
            given[it.name] = it.flags[flag]
            continue
        if not equals:
            if not left:
                raise InvalidOption(f"{flag}: needs a value; `mechopt {name} --help` says which")
            text = left.pop(0)
        _take(given, it, flag, text)
    _place(name, known, plain, given)
    return _grouped(command, known, given)


def _grouped(
    command: Callable[..., Any], known: list[Parameter], given: dict[str, Any]
) -> dict[str, Any]:
    """What is given, the fields of every group as one object."""
    hints = get_type_hints(command)
    for group in {it.group: None for it in known if it.group}:
        fields = [it.name for it in known if it.group == group and it.name in given]
        given[group] = hints[group](**{field: given.pop(field) for field in fields})
    return given


def _take(given: dict[str, Any], it: Parameter, flag: str, text: str) -> None:
    if it.many:
        given.setdefault(it.name, []).append(it.read(flag, text))
    else:
        given[it.name] = it.read(flag, text)


def _place(name: str, known: list[Parameter], plain: list[str], given: dict[str, Any]) -> None:
    """Hand the words without a dash to the arguments; InvalidOption if the number is wrong."""
    for it in known:
        if isinstance(it.told, Argument):
            taken = len(plain) if it.many else min(1, len(plain))
            for text in plain[:taken]:
                _take(given, it, it.told.metavar, text)
            del plain[:taken]
        if it.is_required and it.name not in given:
            what = it.told.metavar if isinstance(it.told, Argument) else next(iter(it.flags))
            raise InvalidOption(f"{name}: {what} is missing: {usage(name, known)}")
    if plain:
        raise InvalidOption(f"{name}: {plain[0]!r} is one word too many: {usage(name, known)}")


def _nearest(flag: str, flags: Mapping[str, Any], name: str) -> str:
    near = get_close_matches(flag, flags, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"{hint} `mechopt {name} --help` lists them"


# -- help -----------------------------------------------------------------------------------------


def usage(name: str, known: Sequence[Parameter]) -> str:
    """How a command is called, in a line."""
    words = [it.shown for it in known if it.is_required or isinstance(it.told, Argument)]
    return " ".join(["mechopt", name, *words, "[OPTIONS]"])


def help_text(name: str, command: Callable[..., Any], examples: Sequence[str]) -> str:
    """All that a command says of itself."""
    known = parameters(command)
    lines = [f"Usage: {usage(name, known)}", ""]
    for part in (inspect.getdoc(command) or "").split("\n\n"):
        lines += [*paragraph(part), ""]
    for title, kind in (("Arguments", Argument), ("Options", Option)):
        rows = [(it.shown, _meaning(it)) for it in known if isinstance(it.told, kind)]
        if kind is Option:
            rows.append(("--help", "Show this text."))
        if rows:
            lines += [f"{title}:", *listed(rows), ""]
    if examples:
        lines += ["Examples:", *(f"  {line}" for line in examples), ""]
    return "\n".join(lines[:-1]) + "\n"


def _meaning(it: Parameter) -> str:
    said = it.told.help
    if it.default in (None, False, [], inspect.Parameter.empty) or "efault" in said:
        return said
    default = it.default.value if isinstance(it.default, Enum) else it.default
    spelled = next(iter(it.flags)) if default is True else default
    return f"{said} Default: {spelled}."


def paragraph(text: str) -> list[str]:
    """A sentence or more, in lines of the page's width."""
    return _wrapped(" ".join(text.split()), "  ", "  ")


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    width = max(30, min(columns_of_terminal(), WIDEST))
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )


def listed(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Names with what they mean beside them, or below where a name is long."""
    widest = min(max(len(name) for name, _ in rows), _LEFT, columns_of_terminal() // 3)
    lines = []
    for name, meaning in rows:
        rest = " " * (widest + 4)
        if len(name) <= widest:
            lines += _wrapped(meaning, f"  {name:<{widest}}  ", rest) or [f"  {name}"]
        else:
            lines += [f"  {name}", *_wrapped(meaning, rest, rest)]
    return lines


# -- completion -----------------------------------------------------------------------------------

_BASH = """_mechopt() {
    local words="${COMP_WORDS[*]}" IFS=$'\\n'
    COMPREPLY=($(_MECHOPT_COMPLETE=1 COMP_WORDS="$words" COMP_CWORD=$COMP_CWORD mechopt))
}
complete -o default -F _mechopt mechopt
"""
SCRIPTS = {
    "bash": _BASH,
    "zsh": "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"
    + _BASH,
    "fish": "complete -c mechopt -a "
    "'(_MECHOPT_COMPLETE=1 COMP_WORDS=(commandline -cp | string collect) mechopt)'\n",
}


def completions(words: Sequence[str], commands: Mapping[str, Callable[[], Any]]) -> list[str]:
    """What the last of the words may become: a command, an option, or one of its values."""
    *before, last = words
    if not before:
        return [name for name in (*commands, "--help", "--version") if name.startswith(last)]
    if before[0] not in commands:
        return []
    flags = {flag: it for it in parameters(commands[before[0]]()) for flag in (*it.flags,)}
    it = flags.get(before[-1])
    known = _values(it.kind) if it and not it.is_switch else [*flags, "--help"]
    return [word for word in known if last and word.startswith(last)] or (known if it else [])

"""`compare`: problems × mechanisms × protocols, one row of metrics each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from math import fsum
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import Any

from mechopt import registry, words
from mechopt.errors import InvalidOption
from mechopt.solving import problem_kind, solve
from mechopt.studies.results import COLUMNS, FORMAT, METRICS, Store, Table
from mechopt.studies.running import check_extras, run

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Cell:
    """One row to be computed: which problem, by which mechanism, under which protocol."""

    label: str
    problem: Any = field(repr=False)
    kind: str
    mechanism: str  # as it was asked for, options included
    name: str
    options: Mapping[str, Any]
    protocol: str

    @property
    def key(self) -> str:
        """Identifies the row, also across runs."""
        content = (
            FORMAT,
            self.label,
            self.problem.hash,
            self.mechanism,
            json.dumps(dict(self.options), sort_keys=True),
            self.protocol,
        )
        return hashlib.sha256("\x00".join(content).encode()).hexdigest()[:20]


def compare(
    problems: Mapping[str, Any] | Iterable[Any],
    mechanisms: Sequence[str] = ("posted-price", "subsidy", "burdens"),
    protocols: Sequence[str] = ("simultaneous", "sequential"),
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Table:
    """Every mechanism that applies, on every problem, under every protocol it takes.

    Metrics (money, data, shares) are those of docs/explanation/model.md.

    :problems: Instances, Populations or paths of their files; a mapping gives them labels. A label
        that ends in "/" and a number is a draw of the group named before it
    :mechanisms: names, with options after a colon: "burdens:transfers=false,target=1"
    :protocols: of the withdrawal stage; populations, whose mechanisms have none, get one row each
        with protocol ""
    :options: given to every mechanism that takes them (objective, time_limit, …)
    :jobs, scheduler: processes on this machine, or the address of a Dask scheduler
    :out, resume: a .parquet file that gets every row as it comes; `resume` goes on with what an
        interrupted run left there
    :progress: called with (rows done, rows in all, seconds left by the pace so far)

    A failing row is recorded with status "error" and its message, and the others go on. All rows
    of a problem use the same numbers (common random numbers): compare them in pairs
    (`Table.difference`). Raises InvalidOption before anything runs if a name is unknown, an option
    is taken by no mechanism, or there are no problems.
    """
    cells = _cells(problems, mechanisms, protocols, options)
    keys = [cell.key for cell in cells]
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise InvalidOption(f"jobs: must be a whole number ≥ 1 (processes), got {jobs!r}")
    if progress is not None and not callable(progress):
        raise InvalidOption(
            f"progress: must be a function of (rows done, rows in all, seconds left), "
            f"got {progress!r}"
        )
    if scheduler is not None and jobs > 1:
        raise InvalidOption("jobs, scheduler: give one of the two; a cluster has its own workers")
    check_extras(jobs, scheduler)
    store = Store(out, keys, resume) if out is not None else None
    with nullcontext() if store is None else closing(store):
        return _filled(cells, store, progress, jobs, scheduler)


def _filled(
    cells: Sequence[Cell],
    store: Store | None,
    progress: Progress | None,
    jobs: int,
    scheduler: str | None,
) -> Table:
    """The table of all cells; what the store has already is not computed again."""
    keys = [cell.key for cell in cells]
    done = {} if store is None else dict(store.done)
    left = [cell for cell in cells if cell.key not in done]
    began = perf_counter()
    if progress is not None:
        progress(len(done), len(cells), float("nan"))
    for count, row in enumerate(run(compute, left, lost, jobs=jobs, scheduler=scheduler), 1):
        done[row["key"]] = row
        if store is not None:
            store.add(row)
        if progress is not None:
            pace = (perf_counter() - began) / count
            progress(len(done), len(cells), pace * (len(left) - count))
    return Table(tuple(done[key] for key in keys)) if store is None else store.finish(keys)


def compute(cell: Cell) -> dict[str, Any]:
    """The row of one cell. Never raises: whatever goes wrong is the row's error."""
    began = perf_counter()
    try:
        answer = solve(cell.problem, cell.name, **cell.options)
        if cell.kind == "instance":  # metrics and outcome by the row's protocol
            answer = answer.replace(protocol=cell.protocol)
        found = _columns(cell, answer)
    except Exception as error:  # the run must outlive any fault of one mechanism on one problem
        return lost(cell, f"{type(error).__name__}: {error}", perf_counter() - began)
    return {**_identity(cell), **found, "seconds": answer.seconds}


def lost(cell: Cell, error: str, seconds: float | None = None) -> dict[str, Any]:
    """The row of a cell that gave no answer."""
    return {**_identity(cell), "status": "error", "error": error, "seconds": seconds}


def _identity(cell: Cell) -> dict[str, Any]:
    group, _, draw = cell.label.rpartition("/")
    return {
        **dict.fromkeys(COLUMNS),
        "key": cell.key,
        "group": group if group and draw.isdigit() else cell.label,
        "problem": cell.label,
        "problem_hash": cell.problem.hash[:16],
        "kind": cell.kind,
        "n": cell.problem.n,
        "levels": cell.problem.levels,
        "mechanism": cell.mechanism,
        "options": json.dumps(dict(cell.options), sort_keys=True),
        "protocol": cell.protocol,
    }


def _columns(cell: Cell, answer: Any) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "status": str(answer.status.value),
        "objective": answer.objective,
        "bound": getattr(answer, "bound", None),  # a price that was given has none
        "gap": getattr(answer, "gap", None),
        "objective_name": getattr(answer, "objective_name", None),
        "reason": getattr(answer, "reason", "") or "",
    }
    metrics = answer.metrics
    columns |= {name: metrics[name] for name in (*METRICS, "regret") if name in metrics}
    stable = metrics.get("stable")
    if isinstance(stable, Mapping):
        for protocol in ("simultaneous", "sequential"):
            verdict = stable.get(protocol)
            if verdict is not None:
                columns[f"stable_{protocol}"] = bool(verdict["stable"])
                columns[f"margin_{protocol}"] = float(verdict["margin"])
    if cell.kind == "instance" and answer.has_answer:
        columns |= _outcome(cell, answer)
    return columns


def _outcome(cell: Cell, plan: Any) -> dict[str, Any]:
    """What the plan comes to once users have withdrawn by the row's protocol."""
    outcome = plan.withdrawal(cell.protocol).outcome  # already there, its metrics needed it
    return {
        "outcome_share": outcome.share,
        "outcome_data": outcome.total if outcome.level else 0.0,
        "outcome_social_cost": outcome.social_cost,
        "outcome_expenditure": fsum(outcome.payments.tolist()),
    }


# -- what to run ----------------------------------------------------------------------------------


def _cells(
    problems: Mapping[str, Any] | Iterable[Any],
    mechanisms: Sequence[str],
    protocols: Sequence[str],
    options: Mapping[str, Any],
) -> list[Cell]:
    named = _labelled(problems)
    if not named:
        raise InvalidOption("problems: there are none; give instances, populations or files")
    if isinstance(mechanisms, str) or isinstance(protocols, str):
        raise InvalidOption("mechanisms, protocols: give lists of names")
    if not mechanisms or not protocols:
        raise InvalidOption("mechanisms, protocols: give at least one of each")
    for protocol in protocols:
        words.choose("protocol", protocol, words.PROTOCOLS)
    for names in (mechanisms, protocols):
        twice = [name for k, name in enumerate(names) if name in names[:k]]
        if twice:
            raise InvalidOption(f"{twice[0]!r} is asked for twice; name it once")
    for option, value in options.items():
        try:
            json.dumps(value)
        except TypeError:
            raise InvalidOption(
                f"{option}: must be a name, a number or a list of them, so that it can be recorded "
                f"with the rows; got {value!r:.60}"
            ) from None
    asked = {text: parse_mechanism(text) for text in mechanisms}
    kinds = {label: problem_kind(problem) for label, problem in named.items()}
    _check_options(asked, set(kinds.values()), options)
    return [
        Cell(label, problem, kinds[label], text, name, chosen, protocol)
        for label, problem in named.items()
        for text, (name, own) in asked.items()
        if kinds[label] in registry.MECHANISMS[name]
        for protocol, chosen in _variants(name, kinds[label], {**options, **own}, protocols)
    ]


def _variants(
    name: str, kind: str, options: Mapping[str, Any], protocols: Sequence[str]
) -> list[tuple[str, dict[str, Any]]]:
    """(protocol, options) of each row. A mechanism that knows no protocol gives the same plan under
    every one; what the users make of it still differs."""
    takes = _taken(name, kind)
    chosen = {option: value for option, value in options.items() if option in takes}
    if "protocol" in chosen:
        return [(chosen["protocol"], chosen)]
    if "protocol" in takes:
        return [(protocol, {**chosen, "protocol": protocol}) for protocol in protocols]
    return [(protocol, chosen) for protocol in (protocols if kind == "instance" else [""])]


def _taken(name: str, kind: str) -> set[str]:
    return set(words.keywords(words.load(registry.MECHANISMS[name][kind])))


def _check_options(
    asked: Mapping[str, tuple[str, Mapping[str, Any]]], kinds: set[str], options: Mapping[str, Any]
) -> None:
    """Every mechanism must apply to some problem, and every option be taken by some mechanism."""
    anywhere: set[str] = set()
    for text, (name, own) in asked.items():
        fits = kinds & set(registry.MECHANISMS[name])
        if not fits:
            raise InvalidOption(
                f"mechanism: {text!r} applies to no problem given "
                f"(it is for {' and '.join(registry.MECHANISMS[name])}s)"
            )
        takes = set().union(*(_taken(name, kind) for kind in fits))
        for option in own:
            words.choose(f"option of {name}", option, sorted(takes))
        anywhere |= takes
    for option in options:
        words.choose("option", option, sorted(anywhere))


def parse_mechanism(text: str) -> tuple[str, dict[str, Any]]:
    """("burdens", {"transfers": False}) for "burdens:transfers=false"; values are JSON or text."""
    if not isinstance(text, str):
        raise InvalidOption(f"mechanism: expected a name, got {text!r}")
    name, _, rest = text.partition(":")
    words.choose("mechanism", name, registry.MECHANISMS)
    return name, parse_options(rest, text)


def parse_options(rest: str, what: str) -> dict[str, Any]:
    """{"a": 1} for "a=1"; commas separate options, values are JSON or plain text."""
    options: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        option, equals, value = part.partition("=")
        if not equals:
            raise InvalidOption(f"{what}: write options as name=value, got {part!r}")
        try:
            options[option.strip()] = json.loads(value)
        except json.JSONDecodeError:
            options[option.strip()] = value
    return options


def _labelled(problems: Mapping[str, Any] | Iterable[Any]) -> dict[str, Any]:
    if isinstance(problems, Mapping):
        return {str(label): _opened(problem) for label, problem in problems.items()}
    if isinstance(problems, (str, PathLike)) or not isinstance(problems, Iterable):
        raise InvalidOption("problems: give a list or a mapping of them, even for one")
    named: dict[str, Any] = {}
    for position, problem in enumerate(problems):
        path = isinstance(problem, (str, PathLike))
        label = Path(problem).as_posix() if path else str(position)
        if label in named:
            raise InvalidOption(f"problems: {label!r} is given twice")
        named[label] = _opened(problem)
    return named


def _opened(problem: Any) -> Any:
    if isinstance(problem, (str, PathLike)):
        from mechopt.files import read

        return read(problem)
    return problem

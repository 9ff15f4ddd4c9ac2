"""The provider's problems as Pyomo models, and their export to LP and MPS files."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechopt import registry, words
from mechopt.atomic import replacing
from mechopt.errors import InvalidOption, OutputError
from mechopt.solving import problem_kind, with_defaults


@dataclass(frozen=True)
class ExportedModel:
    """Where the model went; `labels` is the JSON map from written names to ours, if any differ.

    `warning` says which of its numbers mean something else to a solver than to us ("" if none).
    """

    path: Path
    labels: Path | None
    columns: int
    rows: int
    warning: str = ""


def build_model(problem: Any, name: str = "burdens", **options: Any) -> Any:
    """The readable Pyomo formulation of a mechanism (or of a formulation named in the catalogue).

    `name`: a key of `registry.FORMULATIONS`, or "direct" with the options of `solve`. Every
    component carries its equation tag in `doc`. Raises InvalidOption for unknown names.
    """
    name = formulation_of(name, options)
    words.choose("formulation", name, registry.FORMULATIONS)
    kind = "population" if name.startswith("direct-") else "instance"
    if problem_kind(problem) != kind:
        raise InvalidOption(
            f"formulation: the problem of {name!r} must be of kind {kind}, "
            f"got {problem_kind(problem)}"
        )
    from mechopt.solver.highs import paused_gc

    with paused_gc():
        build = words.load(registry.FORMULATIONS[name])
        options = with_defaults(problem, build, options)
        model = words.call(build, name, problem, options)
    return _signed(model, problem, name, options)


def _signed(model: Any, problem: Any, name: str, options: dict[str, Any]) -> Any:
    """The model with where it came from, for `solve_model`."""
    import pyomo.environ as pyo

    from mechopt.studies.own_model import Source

    rows = frozenset(part.name for part in model.component_objects(pyo.Constraint))
    model.mechopt_source = Source(problem, name, dict(options), rows)
    return model


def formulation_of(name: str, options: dict[str, Any]) -> str:
    """Which formulation a mechanism's options ask for; other names are returned as they are."""
    if name == "complete-information":
        options.setdefault("protocol", "none")
        return "burdens"
    if name == "direct":
        if options.get("randomized") is False:
            return "direct-deterministic"
        if options.get("incentive") != "bic":
            return "direct-dsic"
        full_rights = options.get("withdrawal_rights", True) is True
        return "direct-obedient" if full_rights else "direct-bic"
    return name


def export_model(
    problem: Any, name: str, path: str | os.PathLike[str], **options: Any
) -> ExportedModel:
    """Write a formulation as .lp or .mps with its names; atomic: complete or not there at all.

    Names a file format cannot hold are mangled by the writer ("burden[3]" becomes "burden(3)");
    `PATH.labels.json` beside the file maps every written name to component, index and user id.
    Raises OutputError if the file cannot be written.
    """
    target = Path(path)
    if target.suffix not in (".lp", ".mps"):
        raise InvalidOption(f"{target.name}: models are written as .lp or .mps")
    model = build_model(problem, name, **options)
    warning = _beyond_solvers(model)
    place = target.with_name(target.name + ".labels.json")
    # Pyomo takes its time to write: what a kill leaves then lies among the system's temporary files
    with tempfile.TemporaryDirectory(prefix="mechopt-") as folder:
        draft = Path(folder) / target.name
        try:
            _, symbols = model.write(
                str(draft), io_options={"symbolic_solver_labels": True}, format=None
            )
        except OSError as error:
            raise OutputError(f"{target}: cannot be drafted: {error.strerror or error}") from error
        labels = _labels(problem, model, symbols)
        with replacing(place) as stream:
            stream.write(json.dumps(labels, indent=1, ensure_ascii=False) + "\n")
        with replacing(target, binary=True) as stream, draft.open("rb") as written:
            shutil.copyfileobj(written, stream)
    counts = labels["counts"]
    return ExportedModel(target, place, counts["columns"], counts["rows"], warning)


# Solvers' usual settings: coefficients below 1e-9 are dropped, bounds and sides hold to 1e-7, and
# from 1e15 on a coefficient is refused, or a bound is none.
_LEAST_COEFFICIENT, _LEAST_SIDE, _MOST = 1e-9, 1e-7, 1e15


def _beyond_solvers(model: Any) -> str:
    """Which numbers of a model a solver takes for nothing, or for no limit; in words."""
    import numpy as np

    from mechopt.solver.highs import from_pyomo

    program = from_pyomo(model).program
    sides = (program.row_lower, program.row_upper, program.lower, program.upper)
    found = []
    for numbers, least in (
        (np.concatenate((program.value, program.cost)), _LEAST_COEFFICIENT),
        (np.concatenate(sides), _LEAST_SIDE),
    ):
        sizes = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
        found.append(sizes[(sizes < least) | (sizes >= _MOST)])
    odd = np.concatenate(found)
    if not odd.size:
        return ""
    return (
        f"{odd.size:,} numbers of this model, from {odd.min():g} to {odd.max():g}, mean something "
        "else to a solver: coefficients below 1e-9 and sides below 1e-7 count as nothing, 1e15 "
        "and more as no limit or as an error; count data or money in other units"
    )


def _labels(problem: Any, model: Any, symbols: int) -> dict[str, Any]:
    """Written name -> component, index and (for an index over users) the user's id."""
    import pyomo.environ as pyo

    users = getattr(model, "USERS", None)
    names: dict[str, Any] = {}
    written = model.solutions.symbol_map[symbols].bySymbol
    columns = rows = 0
    for symbol, component in written.items():
        if not hasattr(component, "parent_component"):
            continue
        parent = component.parent_component()
        columns += parent.ctype is pyo.Var
        rows += parent.ctype is pyo.Constraint
        index = component.index()
        entry: dict[str, Any] = {"component": parent.local_name, "tag": tag_of(parent)}
        if index is not None:
            entry["index"] = list(index) if isinstance(index, tuple) else index
            first = index[0] if isinstance(index, tuple) else index
            over = parent.index_set()
            outer = next(iter(over.subsets())) if over.dimen != 1 else over
            if getattr(problem, "has_ids", False) and (outer is users or outer.domain is users):
                entry["user"] = str(problem.ids[first])
        names[symbol] = entry
    counts = {"columns": columns, "rows": rows}
    return {"kind": "labels", "counts": counts, **_legend(problem), "names": names}


def _legend(problem: Any) -> dict[str, Any]:
    """What the indices of a population's model stand for; nothing for an instance.

    :types: name of each type column; states : users per type column, and probability, of each
        state; others : by group and ω_−i, the state that each report of the user leads to
    """
    from mechopt.problem.population import Population

    if not isinstance(problem, Population):
        return {}
    space = problem.states
    return {
        "types": [problem.type_name(j) for j in range(problem.type_costs.size)],
        "states": [
            {"counts": counts, "probability": chance}
            for counts, chance in zip(space.counts.tolist(), space.probability.tolist())
        ],
        "others": [others.state.tolist() for others in space.others],
    }


def tag_of(component: Any) -> str | None:
    """The equation tag at the start of a component's doc, e.g. 'A1'."""
    doc = component.doc or ""
    return doc[1 : doc.index(")")] if doc.startswith("(") and ")" in doc else None

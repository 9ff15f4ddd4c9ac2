"""The problems on which claims are checked, from a small specification (a JSON file).

    {"instances": [{"families": [...], "n": 16, "levels": [1], "tightness": [0.8], "draws": 40}],
     "real": [{"sources": [...], "n": 40, "share_of_total": [0.25], "draws": 20}],
     "populations": [{"families": [...], "n": [4], "tightness": [0.8], "draws": 1}]}

Every entry may be left out. "real" draws n people of a source (all of them without "n") and costs
and values by `mechopt.cases.calibration`; it needs the file of capacities.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any

from mechopt import draws
from mechopt.cases import calibration
from mechopt.cases.generators import generate
from mechopt.errors import InvalidFile, InvalidOption
from mechopt.studies.claims import Case

_SIBLING = 1_000_000  # added to the seed of the draw on which a price is found
_SECTIONS = {
    "instances": {"families", "n", "levels", "tightness", "draws"},
    "real": {"sources", "n", "share_of_total", "draws"},
    "populations": {"families", "n", "tightness", "draws"},
}


def read_spec(path: str | PathLike[str]) -> dict[str, Any]:
    """The specification in a JSON file; InvalidFile names what is unknown or missing."""
    try:
        spec = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidFile(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(spec, dict):
        raise InvalidFile(f"{path}: expected an object")
    for section, entries in spec.items():
        if section not in _SECTIONS:
            raise InvalidFile(f"{path}: {section!r} is none of {', '.join(_SECTIONS)}")
        for entry in entries:
            needed = _SECTIONS[section] - ({"n"} if section == "real" else set())
            for name in sorted(set(entry) - _SECTIONS[section]):
                raise InvalidFile(f"{path}: {section}: {name!r} is not known")
            for name in sorted(needed - set(entry)):
                raise InvalidFile(f"{path}: {section}: {name!r} is missing")
    return spec


def cases(
    spec: Mapping[str, Any], *, capacities: str | PathLike[str] | None = None, seed: int = 0
) -> list[Case]:
    """All cases of a specification, in its order.

    :capacities: CSV with columns source, contributor, units, for the "real" entries

    Draw d of an entry has seed `seed` + d. Raises InvalidOption if "real" is asked for without it.
    """
    if spec.get("real") and capacities is None:
        raise InvalidOption('capacities: the specification has "real" entries; name their file')
    found = list(_generated(spec.get("instances", []), seed))
    for entry in spec.get("real", []):
        assert capacities is not None
        found += _real(entry, capacities, seed)
    return found + list(_populations(spec.get("populations", []), seed))


def _generated(entries: list[dict[str, Any]], seed: int) -> Iterator[Case]:
    for entry in entries:
        for family, levels, tightness in product(
            entry["families"], entry["levels"], entry["tightness"]
        ):
            place = f"{family}, K = {levels}, tightness {tightness:g}"
            for draw in range(seed, seed + entry["draws"]):
                options = {"levels": levels, "tightness": tightness}
                problem = generate(family, entry["n"], seed=draw, **options)
                other = generate(family, entry["n"], seed=draw + _SIBLING, **options)
                sibling = other.replace(thresholds=problem.thresholds, shares=problem.shares)
                yield Case(family, f"{place}/{draw}", problem, sibling)


def _real(entry: dict[str, Any], capacities: str | PathLike[str], seed: int) -> Iterator[Case]:
    for source, share in product(entry["sources"], entry["share_of_total"]):
        _, units = calibration.read_capacities(capacities, source)
        size = entry.get("n") or units.size
        if size > units.size:
            raise InvalidOption(f"n: {source} has {units.size} people, {size} are asked for")
        place = f"{source}, {size} people, {100 * share:g} % of their data"
        for draw in range(seed, seed + entry["draws"]):
            people = units[draws.permutation(draw, "people", units.size)[:size]]
            problem, sibling = (
                calibration.instance_from_capacities(
                    people, share_of_total=share, never_sell=0.0, seed=number
                ).instance
                for number in (draw, draw + _SIBLING)
            )
            yield Case(source, f"{place}/{draw}", problem, sibling)


def _populations(entries: list[dict[str, Any]], seed: int) -> Iterator[Case]:
    for entry in entries:
        for family, n, tightness in product(entry["families"], entry["n"], entry["tightness"]):
            place = f"{family}, n = {n}, tightness {tightness:g}"
            for draw in range(seed, seed + entry["draws"]):
                problem = generate(family, n, seed=draw, tightness=tightness)
                yield Case(family, f"{place}/{draw}", problem)

"""The version ranges of pyproject.toml say what was proved, and no more."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


def ranges() -> dict[str, Requirement]:
    """What users install: the dependencies and the extras that are not for developing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = list(project["dependencies"])
    for name in ("parquet", "xlsx", "plot", "exact", "dask", "compare"):
        texts += project["optional-dependencies"][name]
    return {one.name: one for one in map(Requirement, texts)}


def pinned(name: str) -> dict[str, Version]:
    lines = (ROOT / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {package: Version(version) for package, version in pairs}


def test_the_lowest_versions_are_those_of_the_short_round() -> None:
    lowest = pinned(".ci/lowest.txt")
    for name, wanted in ranges().items():
        floor = [Version(one.version) for one in wanted.specifier if one.operator == ">="]
        assert len(floor) == 1, wanted
        if name != "distributed":  # needs the rest of Dask; the full round has today's
            assert lowest[name] == floor[0], wanted


def test_every_range_has_an_end_and_holds_what_was_proved() -> None:
    proved = pinned("constraints.txt")
    for name, wanted in ranges().items():
        assert any(one.operator == "<" for one in wanted.specifier), wanted
        assert wanted.specifier.contains(proved[name]), (wanted, proved[name])

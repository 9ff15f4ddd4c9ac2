"""What is installed here of all that pyproject.toml asks for, as a constraints file."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata

from packaging.requirements import Requirement


def applies(requirement: Requirement, extras: set[str]) -> bool:
    """Whether a requirement is one on this machine, with these extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})


def installed() -> dict[str, str]:
    """name -> version of everything the project and its tests need, directly or not."""
    with open("pyproject.toml", "rb") as stream:
        project = tomllib.load(stream)["project"]
    groups = project["optional-dependencies"]
    todo = [(Requirement(text), set()) for text in project["dependencies"]]
    for name in ("parquet", "xlsx", "plot", "exact", "dask", "compare", "test", "dev"):
        todo += [(Requirement(text), set()) for text in groups[name] if "mechopt" not in text]
    found: dict[str, str] = {}
    while todo:
        requirement, _ = todo.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in found:
            continue
        try:
            distribution = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            continue
        found[name] = distribution.version
        for text in distribution.requires or []:
            further = Requirement(text)
            if applies(further, requirement.extras):
                todo.append((further, set()))
    return found


if __name__ == "__main__":
    version = ".".join(map(str, sys.version_info[:2]))
    print(f"# What CI last proved, on Python {version}: pip install -c constraints.txt mechopt")
    for name, number in sorted(installed().items()):
        print(f"{name}=={number}")

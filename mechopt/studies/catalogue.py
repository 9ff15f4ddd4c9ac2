"""The catalogue: one sheet, small sample, LP file and certified optimum per formulation.

Its files are those of the folder models/ of the source tree; an installed package carries them as
`mechopt/sheets`. `python -m mechopt.studies.catalogue write NAME` writes a folder's model.lp anew.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from mechopt import registry, words
from mechopt.errors import InvalidFile, InvalidOption

PROBLEM_FILES = ("instance.json", "population.json")
_EQUATION = re.compile(r"\\tag\{([^}]*)\}")


@dataclass(frozen=True, eq=False)
class Entry:
    """One folder of the catalogue.

    :problem: Instance or Population; `model_options` : what `build_model` is given with it
    :value: the certified optimum, exact; `optimum` : the whole document optimum.json
    """

    name: str
    folder: Path
    sheet: str = field(repr=False)
    problem: Any = field(repr=False)
    model_options: dict[str, Any]
    value: Fraction
    optimum: dict[str, Any] = field(repr=False)

    @property
    def title(self) -> str:
        """The heading of the sheet."""
        return self.sheet.splitlines()[0].lstrip("# ").strip()

    @property
    def question(self) -> str:
        """The question in words: the quotation below the heading."""
        lines = [line[2:] for line in self.sheet.splitlines() if line.startswith("> ")]
        return " ".join(lines)

    @property
    def tags(self) -> frozenset[str]:
        """The tags of the sheet's equations."""
        return frozenset(_EQUATION.findall(self.sheet))

    @property
    def lp(self) -> Path:
        """The committed LP file."""
        return self.folder / "model.lp"

    def model(self) -> Any:
        """The sample as a Pyomo model, built now."""
        from mechopt.studies.models import build_model

        return build_model(self.problem, self.name, **self.model_options)


def place() -> Path:
    """The folder of the catalogue. Raises InvalidFile if the installation lacks it."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "sheets", package.parent / "models"):
        if (folder / "README.md").is_file():
            return folder
    raise InvalidFile(f"{package / 'sheets'}: the catalogue of models is not installed")


def names() -> tuple[str, ...]:
    """The formulations of the catalogue, in the order of the registry."""
    return tuple(registry.FORMULATIONS)


def entry(name: str) -> Entry:
    """A folder of the catalogue, read.

    Raises InvalidOption for an unknown name, InvalidFile if a file is missing or broken.
    """
    from mechopt.files import read

    words.choose("formulation", name, registry.FORMULATIONS)
    folder = place() / name
    missing = [file for file in ("README.md", "optimum.json") if not (folder / file).is_file()]
    problems = [folder / file for file in PROBLEM_FILES if (folder / file).is_file()]
    if missing or len(problems) != 1:
        lacks = ", ".join(missing or [f"one of {' and '.join(PROBLEM_FILES)}"])
        raise InvalidFile(f"models/{name}: the folder of this formulation lacks {lacks}")
    optimum = json.loads((folder / "optimum.json").read_text("utf-8"))
    problem = read(problems[0])
    options = dict(optimum["options"])
    if (folder / "plan.json").is_file():
        options["plan"] = read(folder / "plan.json", instance=problem)
    return Entry(
        name=name,
        folder=folder,
        sheet=(folder / "README.md").read_text("utf-8"),
        problem=problem,
        model_options=options,
        value=Fraction(optimum["value"]),
        optimum=optimum,
    )


def write(name: str) -> Path:
    """Write model.lp of a folder from what the code builds today; returns its path."""
    from mechopt.studies.models import export_model

    chosen = entry(name)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "model.lp"
        export_model(chosen.problem, name, draft, **chosen.model_options)
        chosen.lp.write_bytes(draft.read_bytes())
    return chosen.lp


def main(arguments: Sequence[str]) -> None:
    """`write NAME…`: model.lp of these folders."""
    if len(arguments) < 2 or arguments[0] != "write":
        raise InvalidOption("usage: python -m mechopt.studies.catalogue write NAME…")
    for name in arguments[1:]:
        sys.stdout.write(f"{write(name)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])

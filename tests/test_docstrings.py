"""Every public name has a docstring that is valid reST, and a place on the reference page."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docutils.core
import pytest

import mechopt as mo

NAMES = sorted(set(mo.__all__) - {"__version__"})
PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "api.rst"


def documented(name: str) -> Iterator[tuple[str, Any]]:
    """A public name and, of a class, its public members, with their docstrings."""
    thing = getattr(mo, name)
    yield name, thing.__doc__
    if not inspect.isclass(thing):
        return
    for member, entry in vars(thing).items():
        function = entry.fget if isinstance(entry, property) else getattr(entry, "func", entry)
        if not member.startswith("_") and (callable(function) or isinstance(entry, property)):
            yield f"{name}.{member}", getattr(function, "__doc__", None)


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_are_valid(name: str) -> None:
    for place, text in documented(name):
        assert text, f"{place} has no docstring"
        faults: list[str] = []

        class Stream:
            def write(self, text: str, faults: list[str] = faults) -> None:
                faults.append(text)

            def flush(self) -> None:
                """Nothing is kept back."""

        settings = {"report_level": 2, "halt_level": 6, "warning_stream": Stream()}
        docutils.core.publish_doctree(inspect.cleandoc(text), settings_overrides=settings)
        assert not faults, f"{place}: {faults[0]}"


# where a statement comes from: a row, a fact, a page of ours, a paper
SOURCE = re.compile(r"\b([AD][1-7]|[WF]\d+)\b|docs[/:]|the model|arXiv|B\(X\)")
UNIT = re.compile(r"\b(data|money|share|shares|probability|probabilities|seconds|examples)\b")
# files, text and errors: they have no units, or are not about the model
PLAIN = {"Status", "build_model", "export_model", "families", "solve_model"}
OF_FILES = {
    "append_event",
    "append_events",
    "read_log",
    "read_table",
    "read_capacities",
    "read_learning_curve",
}


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_say_unit_source_and_errors(name: str) -> None:
    thing, text = getattr(mo, name), getattr(mo, name).__doc__
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return
    if inspect.isroutine(thing):
        assert "Raises" in text
    if name not in PLAIN | OF_FILES:
        assert UNIT.search(text)
        assert SOURCE.search(text)


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_lists_every_name(name: str) -> None:
    assert f":: mechopt.{name}\n" in PAGE.read_text("utf-8")

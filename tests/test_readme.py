"""The README and docs tell the truth: every console block is run and its output compared.

A block marked `console` holds commands after "$ " and what they print. The commands of a page run
one after another in a scratch folder that looks like the top folder, with ../shared beside it.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, SHARED

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def _commands(page: Path) -> list[tuple[str, str]]:
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            assert command.startswith(("mechopt ", "python ")), command
            found.append((command, expected))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_console_blocks(page: Path, tmp_path: Path) -> None:
    top = tmp_path / "main"
    top.mkdir()
    for entry in ROOT.iterdir():
        if not entry.name.startswith("."):
            (top / entry.name).symlink_to(entry)
    (tmp_path / "shared").symlink_to(SHARED)
    environment = {**os.environ, "COLUMNS": "100"}
    for command, expected in _commands(page):
        words = shlex.split(command)
        program = [sys.executable, "-m", "mechopt"] if words[0] == "mechopt" else [sys.executable]
        run = subprocess.run(
            [*program, *words[1:]], cwd=top, env=environment, capture_output=True, text=True
        )
        assert run.returncode in (0, 3), run.stderr
        assert _lines(run.stdout) == _lines(expected), f"{page.name}: $ {command}"


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return [line for line in lines if line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    examples = "\n".join(block for block in blocks if ">>>" in block)
    test = doctest.DocTestParser().get_doctest(examples, {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert runner.run(test).failed == 0


def test_package_docstring() -> None:
    import mechopt

    assert doctest.testmod(mechopt).failed == 0

"""The README and docs tell the truth: every console block is run and its output compared.

A block marked `console` holds commands after "$ " and what they print. Commands starting with
`mechopt` or `python` are run from the top folder; others (installation) are for the reader.
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

from tests.conftest import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def _commands() -> list[tuple[str, str, str]]:
    found = []
    for page in PAGES:
        for block in re.findall(r"^```console\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
            for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
                command, _, expected = part.partition("\n")
                if command.startswith(("mechopt ", "python ")):
                    found.append((page.name, command, expected))
    return found


@pytest.mark.parametrize(("page", "command", "expected"), _commands())
def test_console_blocks(page: str, command: str, expected: str, tmp_path: Path) -> None:
    words = shlex.split(command)
    program = [sys.executable, "-m", "mechopt"] if words[0] == "mechopt" else [sys.executable]
    environment = {**os.environ, "COLUMNS": "100", "TMPDIR": str(tmp_path)}
    words = [word.replace("/tmp/", f"{tmp_path}/") for word in words[1:]]
    run = subprocess.run(
        [*program, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode in (0, 3), run.stderr
    assert _lines(run.stdout) == _lines(expected), f"{page}: $ {command}"


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return [line for line in lines if line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks(page: Path) -> None:
    failures, _ = doctest.testfile(
        str(page),
        module_relative=False,
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert failures == 0


def test_package_docstring() -> None:
    import mechopt

    assert doctest.testmod(mechopt).failed == 0

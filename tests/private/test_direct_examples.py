"""What the documentation of private costs shows, run as it is written."""

from __future__ import annotations

import re
import runpy
import sys

import pytest

from tests.conftest import ROOT

SCRIPTS = ROOT / "benchmarks" / "direct"


def test_worked_example_3(capsys):
    runpy.run_path(str(SCRIPTS / "worked_example_3.py"), run_name="__main__")
    rows = capsys.readouterr().out.splitlines()[1:]
    assert len(rows) == 7
    for row in rows:
        success, expected, verdict = row.split()[-3:]
        assert float(success) == pytest.approx(float(expected), abs=1e-6)
        assert verdict == "passed"


def test_success_against_n(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["success_against_n.py", "2", "3", "10"])
    runpy.run_path(str(SCRIPTS / "success_against_n.py"), run_name="__main__")
    for row in capsys.readouterr().out.splitlines()[1:]:
        _, dsic, bic, known, first = map(float, row.split())
        assert bic == pytest.approx(known, abs=1e-6)
        assert dsic <= bic <= first


def test_documented_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "direct.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert (tmp_path / "mechanism.json").exists()

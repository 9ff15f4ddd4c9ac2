"""The price of each right: a table, its laws, the command."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import mechopt as mo
from mechopt.cli import main


def example(seed: int = 0, levels: int = 2) -> mo.Instance:
    rng = np.random.default_rng(seed)
    cost, value = rng.lognormal(0, 1, 12), rng.lognormal(0, 1, 12)
    capacity = rng.uniform(1, 4, 12)
    most = float(np.minimum(capacity, value / cost).sum())
    thresholds = [0.7 * most] if levels == 1 else [0.45 * most, 0.9 * most]
    shares = [1.0] if levels == 1 else [0.4, 1.0]
    return mo.Instance(cost, value, capacity, thresholds, shares)


@pytest.mark.parametrize("seed", range(4))
def test_the_laws_of_the_rights(seed: int) -> None:
    table = mo.rights(example(seed), objective="expenditure", protocols=["simultaneous"])
    paid = {(row["right"], row["protocol"]): row["expenditure"] for row in table}
    free = paid["none", ""]
    slack = 1e-7 * (1 + max(value for value in paid.values() if value is not None))
    assert all(value >= free - slack for value in paid.values() if value is not None)
    assert paid["part", "simultaneous"] >= paid["whole", "simultaneous"] - slack
    assert paid["excluded", "simultaneous"] <= paid["whole", "simultaneous"] + slack
    less = [
        mo.solve(example(seed).replace(exclusion=eta), "burdens", objective="expenditure").objective
        for eta in (0, 0.25, 0.5, 1)
    ]
    assert all(one >= other - slack for one, other in pairwise(less))  # never hurts
    assert table.rows[0]["would_leave"] == 0
    assert [row["right"] for row in table][-1] == "reassign"
    assert table.rows[-1]["note"]


def test_the_table_and_its_picture(tmp_path: Path) -> None:
    table = mo.rights(example(1, levels=1), transfers=False, objective="social-cost")
    text = str(table)
    assert "would leave" in text
    assert "reassign" in text
    assert table.column("right")[0] == "none"
    assert len(table) == 8
    pytest.importorskip("matplotlib")
    table.plot(tmp_path / "rights.svg")
    assert (tmp_path / "rights.svg").read_text().startswith("<?xml")
    with pytest.raises(mo.OutputError):
        table.plot(tmp_path / "rights.nothing")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "i.json"
    example(2, levels=1).write(path)
    assert main(["rights", str(path), "--format", "json", "--out", str(tmp_path / "r.json")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "r.json").read_text())
    assert {row["right"] for row in printed["rows"]} >= {"whole", "part", "excluded"}
    assert main(["rights", str(path), "--out", str(tmp_path / "r.csv")]) == 0
    assert "social cost" in capsys.readouterr().out
    lines = (tmp_path / "r.csv").read_text().splitlines()
    assert lines[0].startswith("right,protocol,status,share,expenditure")
    assert len(lines) == 1 + len(printed["rows"])


def test_a_frontier_over_the_exclusion() -> None:
    table = mo.frontier(
        example(3), "burdens", over="exclusion", values=[0, 0.5, 1], objective="expenditure"
    )
    paid = [row["expenditure"] for row in table]
    assert paid[0] >= paid[1] - 1e-7 >= paid[2] - 2e-7

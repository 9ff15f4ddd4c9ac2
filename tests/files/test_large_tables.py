"""Large tables by pyarrow: to the last character and bit what the roads without it give."""

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.files import arrow_tables, csv_tables, plans
from mechopt.problem import numbers

ROWS = 40

CELLS = (
    *("1", "1.5", ".5", "5.", "+1.5", "-1.5", "1e3", "1E+3", "1e-400", "1e400", "0x10", "1_000"),
    *("nan", "inf", "Infinity", "NaN", "NA", "null", "true", "", " ", " 1.5", "1.5 ", "\t1.5"),
    *("1,5", '"1.5"', "'1.5", "1.5'", "1/3", "1.7976931348623157e308", "5e-324", "2.5e-324"),
    *("0.1234567890123456789", "9007199254740993", "123456789012345678901234567890", "1d5", "-0"),
    *("٣", "1 000", "a", "=1", "1.5\r", "\n", "\0", "1.5;2"),
)


def both(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> tuple[Any, Any]:
    """What a call gives by pyarrow and without it."""
    monkeypatch.setattr(arrow_tables, "LARGE", 1)
    monkeypatch.setattr(numbers, "EXACT_ROWS", 1)
    fast = call()
    monkeypatch.setattr(arrow_tables, "LARGE", 10**9)
    return fast, call()


def read_or_told(path: Path) -> Any:
    try:
        instance = mo.read(path, thresholds=[1.0])
    except mo.InvalidInput as error:
        return error.problems
    columns = [instance.ids, instance.cost, instance.capacity, instance.value]
    others = {name: list(cells) for name, cells in instance.others.items()}
    return [column.tolist() for column in columns], others, instance.notes, instance.hash


@pytest.mark.parametrize("column", ["id", "cost", "value", "note"])
@pytest.mark.parametrize("cell", CELLS)
def test_csv_is_read_the_same(
    cell: str, column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"id": f"u{k}", "cost": f"{1 + k / 7!r}", "capacity": "3", "value": "2", "note": f"n{k}"}
        for k in range(ROWS)
    ]
    rows[17][column] = cell
    path = tmp_path / "users.csv"
    for separator in (",", ";"):
        lines = [separator.join(rows[0]), *(separator.join(row.values()) for row in rows)]
        path.write_bytes("\n".join(lines).encode())
        fast, slow = both(monkeypatch, lambda: read_or_told(path))
        assert fast == slow


@pytest.mark.parametrize(
    "odd", ["a,1\n", "a,1,2,3,4,5\n", "\n", ",,,\n", "a,-1,2,3\n", "u3,1,2,3\n"]
)
def test_odd_rows_of_csv_are_read_the_same(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "users.csv"
    rows = [f"u{k},1.5,3,2\n" for k in range(ROWS)]
    for end in ("\n", "\r\n"):
        text = "".join(["id,cost,capacity,value\n", *rows[:20], odd, *rows[20:]])
        path.write_bytes(text.replace("\n", end).encode())
        fast, slow = both(monkeypatch, lambda: read_or_told(path))
        assert fast == slow


def spread(n: int, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Floats of every size and length."""
    rng = np.random.default_rng(seed)
    kinds = [
        rng.lognormal(0, 1, n),
        10.0 ** rng.uniform(-30, 30, n),
        np.round(rng.uniform(0, 1e4, n), 2),
        rng.integers(0, 10**17, n).astype(float),
        rng.integers(0, 2**63, n).view(np.float64),
        np.zeros(n),
        -rng.uniform(0, 1, n),
        10.0 ** rng.integers(-8, 20, n),
    ]
    return np.concatenate(kinds)


def test_floats_are_spelled_as_python_does() -> None:
    import pyarrow as pa
    import pyarrow.compute

    for seed in range(5):
        column = spread(2_000, seed)
        assert arrow_tables._spelled(pa, column).to_pylist() == list(map(repr, column.tolist()))


@pytest.mark.parametrize("name", ["a", "a,b", 'a"b', "=a", "-a", "'a", "a\nb", "é", "", "a b", "{"])
def test_csv_is_written_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    column = spread(50, 1)
    rng = np.random.default_rng(2)
    table = {
        "id": np.array([name, *map(str, range(1, column.size))]),
        "burden": column,
        "stays": rng.random(column.size) < 0.5,
    }

    def text() -> str:
        stream = io.StringIO()
        csv_tables.write(stream, table)
        return stream.getvalue()

    monkeypatch.setattr(arrow_tables, "_BLOCK", 64)
    fast, slow = both(monkeypatch, text)
    assert fast == slow


def test_sums_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    for column in (
        rng.lognormal(0, 2, 3_000),
        np.round(rng.uniform(0, 9, 3_000), 2),
        spread(300, 4),
    ):
        column = np.abs(column[np.isfinite(column)])
        spelled = sum((Fraction(Decimal(repr(x))) for x in column.tolist()), Fraction(0))
        fast, slow = both(monkeypatch, lambda: plans._decimal_sum(column))  # noqa: B023
        assert fast == slow == spelled
        assert plans._binary_sum(column) == sum(map(Fraction, column.tolist()), Fraction(0))


def test_the_largest_come_first() -> None:
    rng = np.random.default_rng(5)
    for n in (10, 300, 5_000):
        column = rng.integers(0, 50, n).astype(float)  # with ties
        users = np.flatnonzero(rng.random(n) < 0.9)
        expected = users[np.argsort(-column[users], kind="stable")].tolist()
        assert list(plans._largest_first(column, users)) == expected


def test_pandas_is_not_loaded(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, io, numpy as np; from mechopt.files import arrow_tables, csv_tables\n"
        "arrow_tables.LARGE = 1\n"
        "csv_tables.write(io.StringIO(), {'id': np.array(['a']), 'x': np.ones(1), "
        "'stays': np.ones(1, dtype=bool)})\n"
        "assert 'pyarrow' in sys.modules and 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_repeated_ids_are_found_among_many() -> None:
    ids = [f"user {k}" for k in range(1_000)]
    instance = {"cost": 1.0, "value": 1.0, "capacity": 1.0, "thresholds": [1.0]}
    assert mo.Instance(ids=np.array(ids), **instance).n == 1_000
    for wrong in ("user 3", ""):
        with pytest.raises(mo.InvalidInstance, match="ids"):
            mo.Instance(ids=np.array([*ids[:-1], wrong]), **instance)

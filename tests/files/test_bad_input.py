"""Bad input: one clear line per fault, exit status 2, nothing written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

import mechopt as mo
from mechopt import cli
from tests.mutants import mutated

DOCUMENT: dict[str, Any] = {
    "schema_version": 1,
    "kind": "instance",
    "provider": {"value": 100, "budget": 50},
    "improvement": {"thresholds": [3, 8], "shares": [0.5, 1]},
    "users": {
        "id": ["a", "b", "c"],
        "cost": [1, 2, 4],
        "value": [6, 6, 6],
        "capacity": [10, 10, 10],
        "reversibility": [1, 1, 1],
        "removable": [1, 1, 1],
    },
}


def refused(
    arguments: list[str], capfd: pytest.CaptureFixture[str], folder: Path, status: int = 2
) -> list[str]:
    """The lines on stderr of a command that must fail and leave the folder as it was."""
    before = sorted(folder.rglob("*"))
    assert cli.main(arguments) == status
    printed = capfd.readouterr()
    assert printed.out == ""
    assert sorted(folder.rglob("*")) == before
    lines = printed.err.splitlines()
    assert all(line.startswith("mechopt: ") for line in lines), lines
    return [line.removeprefix("mechopt: ") for line in lines]


def changed(**changes: Any) -> dict[str, Any]:
    """DOCUMENT with entries replaced by dotted path (`__` for the dot); None removes one."""
    document = json.loads(json.dumps(DOCUMENT))
    for path, value in changes.items():
        *parts, last = path.split("__")
        place = document
        for part in parts:
            place = place[part]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return document


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"users__cost": None}, "users.cost: is missing"),
        ({"users__age": [1, 2, 3]}, "users.age: is not a field"),
        ({"provider__valeu": 1}, "provider.valeu: is not a field"),
        ({"users__cost": [1, -2, 4]}, "users.cost[1] (id 'b'): must be ≥ 0"),
        ({"users__cost": [1, float("nan"), 4]}, "users.cost[1] (id 'b'): must be ≥ 0"),
        ({"users__cost": [1, "two", 4]}, "users.cost[1]: 'two' is not a number"),
        ({"users__cost": [1, True, 4]}, "users.cost[1]: 'True' is not a number"),
        ({"users__cost": [1, [], 4]}, "users.cost[1]: '[]' is not a number"),
        ({"users__cost": [1, 2]}, "users.cost: has 2 entries, but value has 3"),
        ({"users__value": [1, -1, 4]}, "users.value[1] (id 'b'): must be ≥ 0"),
        ({"users__capacity": [0, 0, 0]}, "users.capacity: is 0 for every user"),
        ({"improvement__thresholds": [8, 3]}, "improvement.thresholds[1]: must exceed"),
        ({"improvement__thresholds": [8, 8]}, "improvement.thresholds[1]: must exceed"),
        ({"improvement__thresholds": [0, 8]}, "improvement.thresholds[0]: must be > 0"),
        ({"improvement__shares": [0.5, 1.5]}, "improvement.shares[1]: must lie in (0, 1]"),
        ({"improvement__shares": [0, 1]}, "improvement.shares[0]: must lie in (0, 1]"),
        ({"improvement__shares": [1, 0.5]}, "improvement.shares[1]: must exceed"),
        ({"improvement__shares": [1]}, "improvement.shares: has 1 entries"),
        ({"improvement__shares": None}, "improvement.shares: missing"),
        (
            {"users__reversibility": [1, 2, 1]},
            "users.reversibility[1] (id 'b'): must lie in [0, 1]",
        ),
        ({"users__removable": [1, 1, -1]}, "users.removable[2] (id 'c'): must lie in [0, 1]"),
        ({"users__id": ["a", "b", "a"]}, "users.id[2]: 'a' is also the id of user 0"),
        ({"users__id": ["a", "", "c"]}, "users.id[1]: is empty"),
        ({"users__id": ["a", {}, "c"]}, "users.id.1: must be text or an integer"),
        (
            {"users__segments": {"widths": [5, 5], "slopes": [2, 1]}},
            "users.segments.slopes[1]: slopes must not decrease",
        ),
        ({"users__segments": {"widths": [5, 5], "slopes": 1}}, "users.segments.slopes: expected"),
        ({"users__segments": 3}, "users.segments: must be an object"),
        ({"provider__budget": -1}, "provider.budget: must be ≥ 0"),
        ({"provider__value": -1}, "provider.value: must be ≥ 0"),
        ({"provider__value": "1/0"}, "provider.value: '1/0' is not a number"),
        ({"users": 3}, "users: must be an object"),
        ({"kind": "instances"}, "kind is 'instances'; it must be one of"),
        ({"kind": None}, "kind is missing"),
        (
            {"provider_value": 3},
            "provider_value: is not a field of such a file; did you mean provider.value?",
        ),
        ({"schema_version": 2}, "schema_version 2 is newer than this mechopt reads (1)"),
        ({"schema_version": "1"}, "schema_version must be 1"),
        ({"schema_version": None}, "schema_version is missing"),
    ],
)
def test_fault_of_a_document(
    changes: dict[str, Any], expected: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "instance.json"
    path.write_text(json.dumps(changed(**changes)))
    lines = refused(["solve", str(path), "--out", str(tmp_path / "p.csv")], capfd, tmp_path)
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{path}: {expected}"), lines


TABLE = "id,cost,value,capacity\na,1,6,10\nb,2,6,10\nc,4,6,10\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TABLE.replace("id,cost", "id,price"), "column 'cost' is missing"),
        ("id,cost,value\na,1,6\n", "column 'capacity' is missing"),
        (TABLE.replace("id,", "name,"), "column 'id' is missing"),
        ("id,cost,value,capacity,removible\na,1,6,10,1\n", "column 'removible' is not known"),
        ("id,cost,value,capacity,cost\na,1,6,10,3\n", "column 'cost' occurs twice"),
        (TABLE.replace("b,2", "b,-2"), "row 2 (line 3): cost (id 'b'): must be ≥ 0"),
        (TABLE.replace("b,2", "b,nan"), "row 2 (line 3): cost (id 'b'): must be ≥ 0"),
        (TABLE.replace("b,2", "b,two"), "row 2 (line 3): cost 'two' is not a number"),
        (TABLE.replace("b,2", "b,"), "row 2 (line 3): cost is empty"),
        (TABLE.replace("b,2", "b,1_0"), "row 2 (line 3): cost '1_0' is not a number"),
        (TABLE.replace("b,2,6,10", "b,2,6"), "row 2 (line 3): the row has 3 cells"),
        (TABLE.replace("c,", "a,"), "row 3 (line 4): id: 'a' is also the id of row 1"),
        (TABLE.replace("c,4", f"{'c' * 201},4"), "row 3 (line 4): id has 201 characters"),
        (TABLE.replace(",10\n", ",0\n"), "capacity: is 0 for every user"),
        ("id,cost,value,capacity\n", "users: there are none"),
        (
            "id,a;cost\na,1;3\n",
            "its columns may be separated by commas or by semicolons",
        ),
        ('id,cost,value,capacity\n"a,1,6,10\n', "line 2: is not CSV"),
        (
            "id,cost,value,width_1,slope_1,width_2,slope_2\na,1,6,1,2,1,1\n",
            "row 1 (line 2): slope_2: slopes must not decrease",
        ),
        (
            "id,cost,value,width_1,slope_1,width_2\na,1,6,1,2,1\n",
            "column 'slope_2' is missing",
        ),
        ("", "is empty"),
        ("\n\n", "is empty"),
    ],
)
def test_fault_of_a_table(
    text: str, expected: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "users.csv"
    path.write_text(text)
    command = ["solve", str(path), "--threshold", "8", "--out", str(tmp_path / "plan.json")]
    lines = refused(command, capfd, tmp_path)
    assert lines[0].startswith(f"{path}: {expected}"), lines
    assert len(lines) == 1 + ("price" in text) + ("name" in text), lines


def test_all_faults_of_a_file_are_reported_together(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "users.csv"
    path.write_text('id,cost,valu,capacity\na,1,2,3\n"b\nb",x,2,-3\n\na,-1,2,3\nd,1,2\n')
    command = ["solve", str(path), "--threshold", "8", "--threshold", "3", "--budget", "-1"]
    assert refused(command, capfd, tmp_path) == [
        f"{path}: column 'valu' is not known; did you mean 'value'?",
        f"{path}: row 4 (line 7): the row has 3 cells, but the header has 4",
        f"{path}: row 2 (line 3): cost 'x' is not a number",
        f"{path}: row 3 (line 6): id: 'a' is also the id of row 1",
        f"{path}: row 3 (line 6): cost (id 'a'): must be ≥ 0 (money per data unit) and finite, "
        "got -1",
        f"{path}: row 2 (line 3): capacity (id 'b\\nb'): must be ≥ 0 (data) and finite, got -3",
        "--share: missing; 2 thresholds need as many shares",
        "--threshold (number 2): must exceed thresholds[0] = 8, got 3",
        "--budget: must be ≥ 0 (money), got -1",
    ]


def test_many_faults_are_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "users.csv"
    path.write_text("id,cost,value,capacity\n" + "".join(f"u{i},x,1,1\n" for i in range(100)))
    lines = refused(["solve", str(path), "--threshold", "8"], capfd, tmp_path)
    assert len(lines) == 6
    assert lines[-1] == f"{path}: cost: and 95 more rows like these"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.json", b"", "is empty"),
        ("x.json", b"{", "is not JSON"),
        ("x.json", b"[1]", "expected a JSON object, got an array"),
        ("x.json", b"\xff\xfe{}", "is not UTF-8 text (byte 0xff)"),
        ("x.json", b'{"kind": 1, "kind": 2}', "the key 'kind' occurs twice"),
        ("x.json", b"[" * 200_000, "is nested too deeply"),
        ("x.json", b'{"a":' * 200_000, "is nested too deeply"),
        ("x.json", b'{"a": ' + b"1" * 5000 + b"}", "a number has 5,000 digits"),
        ("x.csv", b"id,cost,value,capacity\n\x81,1,2,3\n", "line 2: is neither UTF-8 nor Windows"),
        ("x.parquet", b"PAR1", "is not Parquet, or damaged"),
        ("x.doc", b"abc", "must be a .json, .csv, .parquet or .xlsx file"),
    ],
)
def test_file_that_cannot_be_read(
    name: str, content: bytes, expected: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    lines = refused(["solve", str(path), "--threshold", "8"], capfd, tmp_path)
    assert len(lines) == 1
    assert lines[0].startswith(f"{path}: {expected}"), lines


def test_missing_file_folder_and_device(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.csv").mkdir()
    for name, expected in (
        ("none.json", "there is no such file"),
        ("folder.csv", "is a folder, not a file"),
        ("pipe.json", "is not a regular file"),
    ):
        lines = refused(["solve", str(tmp_path / name)], capfd, tmp_path)
        assert lines == [f"{tmp_path / name}: {expected}"]


def test_numbers_that_would_fill_the_memory(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "instance.json"
    path.write_text(json.dumps(changed(users__cost=["1e999999999", f"1{'0' * 400}", 4])))
    assert refused(["solve", str(path)], capfd, tmp_path) == [
        f"{path}: users.cost[0]: '1e999999999' is not a number",
        f"{path}: users.cost[1]: is larger than 1e308",
    ]
    path.write_text(json.dumps(DOCUMENT).replace("[1, 2, 4]", f"[1{'0' * 400}, 2, 4]"))
    assert refused(["solve", str(path)], capfd, tmp_path) == [f"{path}: a number has 401 digits"]


def test_parquet_that_is_damaged_or_of_the_wrong_type(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "users.parquet"
    good = {"id": ["a", "b"], "cost": [1.0, 2.0], "value": [1, 2], "capacity": [3.0, 4.0]}
    pq.write_table(pa.table({**good, "cost": [None, -1.0], "value": [True, False]}), path)
    assert refused(["solve", str(path), "--threshold", "1"], capfd, tmp_path) == [
        f"{path}: row 1: cost is empty; fill it in, or delete the row",
        f"{path}: row 1: value is no number (the column is bool)",
        f"{path}: row 2: cost (id 'b'): must be ≥ 0 (money per data unit) and finite, got -1",
    ]
    pq.write_table(pa.table(good), path)
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    path.write_bytes(content)
    lines = refused(["solve", str(path), "--threshold", "1"], capfd, tmp_path)
    assert lines[0].startswith(f"{path}: is not Parquet, or damaged")
    assert len(lines) == 1


def test_parquet_without_pyarrow(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users.parquet").write_bytes(b"PAR1PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    lines = refused(["solve", str(tmp_path / "users.parquet")], capfd, tmp_path)
    assert lines == ["Parquet needs pyarrow: pip install 'mechopt[parquet]' (or use CSV)"]


# -- files that name others ---------------------------------------------------------------------


def test_users_stay_in_the_folder_of_the_instance(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "users.csv").write_text(TABLE)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.csv").symlink_to(tmp_path / "users.csv")
    path = folder / "instance.json"
    for name in ("../users.csv", str(tmp_path / "users.csv"), "link.csv"):
        path.write_text(json.dumps(changed(users=name)))
        lines = refused(["solve", str(path)], capfd, tmp_path)
        assert len(lines) == 1
        assert "lies outside the folder of this file" in lines[0]
        assert cli.main(["solve", str(path), "--allow-outside"]) == 0
        capfd.readouterr()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none.csv", "there is no such file"),
        ("instance.json", "must be a .csv, .parquet or .xlsx file"),
        ("", "is no file name"),
        ("a\0b.csv", "is no file name"),
    ],
)
def test_users_file_that_is_none(
    name: str, expected: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "instance.json"
    path.write_text(json.dumps(changed(users=name)))
    lines = refused(["solve", str(path)], capfd, tmp_path)
    assert len(lines) == 1
    assert expected in lines[0]


# -- plans --------------------------------------------------------------------------------------


@pytest.fixture
def problem(tmp_path: Path) -> mo.Instance:
    path = tmp_path / "instance.json"
    path.write_text(json.dumps(DOCUMENT))
    return mo.read(path)


def test_plan_of_another_instance(
    problem: mo.Instance, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.json"
    problem.replace(cost=[1, 2, 5]).write(other)
    mo.solve(problem, "burdens").write(tmp_path / "plan.json")
    mo.solve(problem, "burdens").write(tmp_path / "plan.parquet")
    (tmp_path / "plan.csv").write_text("id,burden,payment,cost\na,3,0,3\nb,0,0,0\nc,5,0,20\n")
    for name in ("plan.json", "plan.parquet", "plan.csv"):
        command = ["check", str(tmp_path / name), "--instance", str(other)]
        lines = refused(command, capfd, tmp_path)
        assert len(lines) == 1
        assert "does not match its instance" in lines[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,burden\na,1\n", "column 'payment' is missing"),
        ("id,burden,payment,utilty\na,1,1,1\n", "column 'utilty' is not known"),
        (
            "id,burden,payment\na,6,0\nb,0,0\nz,2,0\n",
            "1 listed there are missing from the users' table: without their 2 of data 6 of 8 "
            "remain, 2 short. Put them back into the table, or solve again: the others can",
        ),
        (
            "id,burden,payment\na,8,0\nz,2,0\n",
            "1 listed there are missing from the users' table; th",
        ),
        ("id,burden,payment\na,1,0\na,2,0\nc,2,0\n", "row 1 (line 2): id 'a' occurs twice"),
        ("id,burden,payment\na,-1,0\nb,2,0\nc,2,0\n", "burden[0] (user 0 (id 'a')): must be ≥ 0"),
        ("id,burden,payment\na,x,0\nb,2,0\nc,2,0\n", "row 1 (line 2): burden 'x' is not a number"),
    ],
)
def test_fault_of_a_plan_table(
    problem: mo.Instance,
    text: str,
    expected: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "plan.csv"
    path.write_text(text)
    command = ["check", str(path), "--instance", str(tmp_path / "instance.json")]
    lines = refused(command, capfd, tmp_path)
    assert lines[0].startswith(f"{path}: {expected}"), lines


def test_plan_table_needs_its_instance(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.csv").write_text("id,burden,payment\na,1,0\n")
    lines = refused(["check", str(tmp_path / "plan.csv")], capfd, tmp_path)
    assert len(lines) == 1
    assert "--instance FILE" in lines[0]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("status", "best", "status: should be"),
        ("instance_hash", "abc", "instance_hash: "),
        ("users", {"id": ["a"], "burden": [1, 2], "payment": [0]}, "users.burden has 2 entries"),
        ("users", {"id": ["a"] * 3, "burden": [1, 2, "x"], "payment": [0] * 3}, "users.burden[2]"),
        (
            "users",
            {"id": ["a"] * 3, "burden": [1, 2, 3], "payment": [0] * 3},
            "row 1: id 'a' occurs twice",
        ),
        ("instance", "../../etc/passwd", "instance: '../../etc/passwd' lies outside the folder"),
        ("instance", 3, "instance"),
        ("secret", 3, "secret: is not a field"),
    ],
)
def test_fault_of_a_plan_document(
    problem: mo.Instance,
    field: str,
    value: Any,
    expected: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "plan.json"
    mo.solve(problem, "burdens").write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    lines = refused(["check", str(path)], capfd, tmp_path)
    assert lines[0].startswith(f"{path}: {expected}"), lines


def test_wrong_kind(
    problem: mo.Instance, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mo.solve(problem, "burdens").write(tmp_path / "plan.json")
    lines = refused(["solve", str(tmp_path / "plan.json")], capfd, tmp_path)
    assert lines == [f"{tmp_path / 'plan.json'}: is a plan; expected an instance or a population"]
    lines = refused(["check", str(tmp_path / "instance.json")], capfd, tmp_path)
    assert lines == [f"{tmp_path / 'instance.json'}: is an instance; expected a plan"]


# -- output -------------------------------------------------------------------------------------


def test_output_that_cannot_be_written(
    problem: mo.Instance, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.json").mkdir()
    for out, expected in (
        (tmp_path / "none" / "plan.json", "there is no folder"),
        (tmp_path / "folder.json", "it is a folder"),
        (tmp_path / "plan.xls", "the name must end in .json or .csv or .parquet or .xlsx"),
        (Path("/proc/plan.json"), "cannot write /proc/plan.json"),
        (Path("/dev/full"), "No space left on device"),
    ):
        command = ["solve", str(tmp_path / "instance.json"), "--out", str(out)]
        lines = refused(command, capfd, tmp_path)
        assert len(lines) == 1
        assert lines[0].startswith(f"cannot write {out}")
        assert expected in lines[0]


def _run(shell: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", shell, sys.executable, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ('"$0" -m mechopt.cli "$@" >&-', "it is closed"),
        ('"$0" -m mechopt.cli "$@" >/dev/full', "No space left on device"),
    ],
)
def test_standard_output_that_takes_nothing(shell: str, expected: str) -> None:
    done = _run(shell, "schema")
    assert done.returncode == 2
    assert done.stderr == f"mechopt: cannot write to standard output: {expected}\n"


def test_reader_that_leaves_early(problem: mo.Instance, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mechopt.cli", "solve", str(tmp_path / "instance.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(timeout=60) == 2
    assert said == "mechopt: cannot write to standard output: Broken pipe\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--mechanism", "burden"], "did you mean 'burdens'?"),
        (["--objective", "profit"], "objective: 'profit' is not known"),
        (["--protocol", "sequentail"], "did you mean 'sequential'?"),
        (["--threshold", "eight"], "--threshold: 'eight' is not a number"),
        (["--budget", "-1"], "--budget: must be ≥ 0"),
        (["--target", "nope"], "--target: 'nope' is not a number"),
        (["--price", "2"], "burdens takes no option 'price'"),
    ],
)
def test_bad_option(
    problem: mo.Instance,
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    lines = refused(["solve", str(tmp_path / "instance.json"), *arguments], capfd, tmp_path)
    assert len(lines) == 1
    assert expected in lines[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["sovle"],
        ["solve"],
        ["solve", "x.json", "--format", "xml"],
        ["solve", "x.json", "--seed", "x"],
        ["solve", "x.json", "--nonsense"],
        ["check"],
        ["export-model", "x.json"],
    ],
)
def test_bad_usage(arguments: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(arguments) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("mechopt: ")


# -- whatever stands in a file ------------------------------------------------------------------

JUNK: list[Any] = [
    *(None, True, -1, 0, 2, 1e308, 10**20, float("nan"), float("inf")),
    *("", "x", "1/3", "1/0", "1e999", "nan", "\0", "../x.csv"),
    *([], [1], [[1]], [[1], [2, 3]], {}, {"a": 1}, [None], ["a", "a"]),
]


def _mutated(document: Any, random: Random) -> Any:
    def change(place: Any, key: Any) -> None:
        if random.random() < 0.2:
            del place[key]
        else:
            place[key] = json.loads(json.dumps(random.choice(JUNK)))

    return mutated(document, random, change)


def _attempt(path: Path, **options: Any) -> tuple[Any, str]:
    """What is in the file, or how it is refused; any other exception fails the test."""
    try:
        return mo.read(path, **options), ""
    except mo.MechoptError as error:
        return None, str(error)


def test_mutated_documents_are_read_or_refused(problem: mo.Instance, tmp_path: Path) -> None:
    group = mo.Group(size=2, costs=[1, 2], probabilities=[0.5, 0.5], value=1, capacity=10)
    population = mo.Population(groups=[group], thresholds=[1.25], provider_value=1)
    originals = []
    for thing in (
        problem,
        problem.replace(segments=([[1, 2], [3], [4, 5]], [[1, 2], [3], [1, "7/2"]])),
        mo.solve(problem, "burdens"),
        population,
        mo.solve(population, "direct"),
    ):
        thing.write(tmp_path / "thing.json")
        originals.append(json.loads((tmp_path / "thing.json").read_text()))
    random = Random(5)
    path, read = tmp_path / "mutant.json", 0
    for _ in range(250):
        path.write_text(json.dumps(_mutated(random.choice(originals), random)))
        found, refusal = _attempt(path)
        if found is None:
            assert refusal.startswith(str(path))
            continue
        found.write(path)
        mo.read(path)
        read += 1
    assert read > 10


def test_mutated_tables_are_read_or_refused(tmp_path: Path) -> None:
    random = Random(6)
    segmented = "id,cost,value,width_1,slope_1,width_2,slope_2\na,1,2,3,1,2,2.5\nb,2,2,4,1,0,1\n"
    path = tmp_path / "users.csv"
    marks = ["", ",", "\n", '"', "-", "1", "e", "/", "\0", "é", "=", " ", "nan", "\r"]
    read = 0
    for _ in range(400):
        text = list(random.choice([TABLE, segmented]))
        for _ in range(random.choice([1, 1, 2, 4])):
            text[random.randrange(len(text))] = random.choice(marks)
        path.write_text("".join(text), encoding="utf-8")
        instance, refusal = _attempt(path, thresholds=1)
        if instance is None:
            assert refusal.startswith(str(path))
            continue
        mo.solve(instance, "burdens", objective="expenditure").write(tmp_path / "plan.csv")
        mo.read(tmp_path / "plan.csv", instance=instance)
        read += 1
    assert read > 10


@pytest.mark.parametrize("name", ["x.json", "x.csv", "x.parquet"])
def test_file_that_is_too_large(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.touch()
    os.truncate(path, 2**32 + 1)  # sparse: it takes no space
    lines = refused(["solve", str(path)], capfd, tmp_path)
    assert len(lines) == 1
    assert lines[0].startswith(f"{path}: has 4,294,967,297 bytes; files of this kind are read up")

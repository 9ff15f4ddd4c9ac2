"""What is written reads back the same, reaches its threshold in every spelling, and is whole."""

from __future__ import annotations

import csv
import json
import resource
import signal
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mechopt as mo
from mechopt.files import csv_tables, documents, opening, replacing, tables
from mechopt.files.plans import COLUMNS
from mechopt.problem import numbers

EXAMPLE = Path(mo.__file__).parent / "data" / "example.json"
SUFFIXES = (".csv", ".json", ".parquet")


def example(**changes: object) -> mo.Instance:
    """Worked example 1, with T = 8 unless changed."""
    return mo.read(EXAMPLE).replace(**{"thresholds": [8], **changes})


# -- instances ----------------------------------------------------------------------------------


def test_shipped_example_is_the_first_worked_example() -> None:
    instance = mo.read(EXAMPLE)
    assert instance.is_exact
    assert instance.cost.tolist() == [1, 2, 4]
    plan = mo.solve(instance, "burdens", objective="expenditure")
    assert plan.burden.tolist() == [6.5, 3, 1.5]
    assert plan.payment.tolist() == [0.5, 0, 0]


def test_instance_of_the_contract_reads(tmp_path: Path) -> None:
    path = tmp_path / "contract.json"
    path.write_text(
        '{"schema_version": 1, "kind": "instance",'
        ' "provider": {"value": 100.0, "budget": null},'
        ' "improvement": {"thresholds": [8.0], "shares": [1.0]},'
        ' "users": {"id": ["a", "b", "c"], "cost": [1, 2, 4], "value": [6, 6, 6],'
        ' "capacity": [10, 10, 10], "reversibility": [1, 1, 1]}}'
    )
    assert mo.read(path) == example(ids=["a", "b", "c"])


@pytest.mark.parametrize(
    "instance",
    [
        mo.Instance(cost=[0.1, 2.5], value=0, capacity=[1, 3], thresholds=2.5),
        mo.Instance(cost=1, value=6.5, capacity=10, thresholds=[3, 4], shares=[0.5, 1], budget=2),
        mo.Instance(
            cost=["1/3", 2, "0.1"],
            value=[Fraction(1, 7), Decimal("0.3"), 2],
            segments=([[1, 2], [3], [4, 5]], [[1, 2], [3], [1, "7/2"]]),
            thresholds=["0.3", 2],
            shares=["1/3", 1],
            reversibility=["1/2", 1, 0],
            removable="1/4",
            provider_value="22/7",
            budget="0.1",
            ids=["=1+1", "ünï", 'a"b,c\n'],
        ),
        mo.Instance(
            cost=[1.5, 2.5],
            value=1,
            segments=([1.0, 2.0], [1.0, 4.0]),
            thresholds=2,
            ids=["x", "y"],
        ),
    ],
)
def test_instance_round_trip_keeps_every_number_and_its_exactness(
    tmp_path: Path, instance: mo.Instance
) -> None:
    instance.write(tmp_path / "instance.json")
    again = mo.read(tmp_path / "instance.json")
    assert again == instance
    assert again.is_exact == instance.is_exact
    for field in ("cost", "value", "capacity", "thresholds", "shares", "widths", "slopes"):
        assert (again.exact(field) == instance.exact(field)).all()


def test_decimals_are_read_exactly_on_request(tmp_path: Path) -> None:
    path = tmp_path / "decimals.json"
    text = EXAMPLE.read_text().replace("[1, 2, 4]", "[0.1, 2, 4]")
    path.write_text(text)
    assert not mo.read(path).is_exact
    assert mo.read(path, exact=True).exact("cost")[0] == Fraction(1, 10)
    table = tmp_path / "users.csv"
    table.write_text("id,cost,value,capacity\na,0.1,1/3,2\n")
    exact = mo.read(table, thresholds=["1/2"], exact=True)
    assert exact.is_exact
    assert (exact.exact("cost")[0], exact.exact("value")[0]) == (Fraction(1, 10), Fraction(1, 3))


def _segmented(tmp_path: Path) -> Path:
    path = tmp_path / "users.csv"
    path.write_text(
        "id,cost,value,capacity,reversibility,removable,width_1,slope_1,width_2,slope_2\n"
        "a,1,2,3,1,0.5,1,1,2,2.5\n"
        "\n"
        "b,2,2,4,0.25,1,4,1,0,1\n"
    )
    return path


def test_users_csv_has_every_field_of_an_instance(tmp_path: Path) -> None:
    instance = mo.read(
        _segmented(tmp_path), thresholds=[2, 3], shares=[0.5, 1], provider_value=7, budget=9
    )
    assert instance == mo.Instance(
        cost=[1, 2],
        value=[2, 2],
        segments=([[1, 2], [4, 0]], [[1, 2.5], [1, 1]]),
        reversibility=[1, 0.25],
        removable=[0.5, 1],
        thresholds=[2, 3],
        shares=[0.5, 1],
        provider_value=7,
        budget=9,
        ids=["a", "b"],
    )


def test_users_may_stand_in_a_table_beside_the_instance(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table(
            {"id": ["a", "b", "c"], "cost": [1, 2, 4], "value": [6.0] * 3, "capacity": [10.0] * 3}
        ),
        tmp_path / "users.parquet",
    )
    with open(tmp_path / "users.csv", "w") as stream:
        stream.write("id,cost,value,capacity\na,1,6,10\nb,2,6,10\nc,4,6,10\n")
    document = json.loads(EXAMPLE.read_text().replace("[11]", "[8]"))
    read = []
    for name in ("users.parquet", "users.csv"):
        (tmp_path / "instance.json").write_text(json.dumps({**document, "users": name}))
        read.append(mo.read(tmp_path / "instance.json"))
    assert read[0] == read[1] == example(ids=["a", "b", "c"])


def test_options_replace_what_the_file_says() -> None:
    changed = mo.read(EXAMPLE, thresholds=[3, 11], shares=[0.5, 1], provider_value=1, budget=2)
    assert changed == example(thresholds=[3, 11], shares=[0.5, 1], provider_value=1, budget=2)


def test_long_integer_tables_are_read_as_floats(tmp_path: Path) -> None:
    rows = numbers.EXACT_ROWS + 1
    text = "id,cost,value,capacity\n" + "".join(f"u{i},1,2,3\n" for i in range(rows))
    (tmp_path / "users.csv").write_text(text)
    instance = mo.read(tmp_path / "users.csv", thresholds=5)
    assert instance.n == rows
    assert not instance.is_exact


def test_numbers_that_python_would_take_but_files_do_not_mean() -> None:
    for text in ("1_000", "0x10", "１２", "1e9999", "1/0", "--1", "1 2", "True"):
        with pytest.raises(ValueError, match="is not a number"):
            numbers.number(text, exact=False)
    assert numbers.number(" 1e3 ", exact=True) == 1000
    assert numbers.number("-3/6", exact=False) == Fraction(-1, 2)


# -- plans --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("mechanism", "options"),
    [
        ("burdens", {}),
        ("burdens", {"transfers": False, "protocol": "sequential"}),
        ("subsidy", {}),
        ("posted-price", {}),
        ("complete-information", {}),
    ],
)
def test_plan_reads_back_and_passes_the_same_audit(
    tmp_path: Path, suffix: str, mechanism: str, options: dict[str, object]
) -> None:
    instance = example(thresholds=[11], ids=["=cmd()", "b,c", "d"])
    plan = mo.solve(instance, mechanism, objective="expenditure", **options)
    path = tmp_path / f"plan{suffix}"
    plan.write(path)
    again = mo.read(path, instance=instance)
    assert again.burden.tolist() == plan.burden.tolist()
    assert again.payment.tolist() == plan.payment.tolist()
    assert mo.audit(instance, plan).ok
    if suffix != ".csv":  # a CSV file cannot say which mechanism the plan is of
        assert (again.status, again.mechanism, again.protocol) == (
            plan.status,
            plan.mechanism,
            plan.protocol,
        )
        assert mo.audit(instance, again).ok
    elif mechanism == "burdens":
        assert mo.audit(instance, again).ok


def test_plan_csv_says_what_happens_to_everyone(tmp_path: Path) -> None:
    instance = example(reversibility=["1/2", 1, 1])
    plan = mo.Plan.from_arrays(instance, burden=[6, 2, 0], payment=[0, 0, 0])
    plan.write(tmp_path / "plan.csv")
    with open(tmp_path / "plan.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["id", "burden", "payment", "cost", "utility", "stays"],
        ["ana", "6.0", "0.0", "6.0", "0.0", "true"],
        ["ben", "2.0", "0.0", "4.0", "2.0", "true"],
        ["cleo", "0.0", "0.0", "0.0", "6.0", "true"],
    ]


def test_utility_follows_the_outcome_when_users_leave(tmp_path: Path) -> None:
    # Worked example 2: x = (1, 2, 3, 4), T = 7: small-first leaves the last two.
    instance = mo.Instance(cost=["1", "1/2", "1/3", "1/4"], value=5, capacity=9, thresholds=7)
    plan = mo.Plan.from_arrays(instance, burden=[1, 2, 3, 4], protocol="sequential")
    plan.write(tmp_path / "plan.json")
    users = json.loads((tmp_path / "plan.json").read_text())["users"]
    assert users["stays"] == [False, False, True, True]
    assert users["utility"] == [5, 5, 4, 4]


def test_plan_json_finds_its_instance(tmp_path: Path) -> None:
    plan = mo.solve(example(), "burdens")
    plan.write(tmp_path / "small.json")
    assert mo.read(tmp_path / "small.json").instance == example()

    rows = 1001
    (tmp_path / "users.csv").write_text(
        "id,cost,value,capacity\n" + "".join(f"u{i},{1 + i / 7},2,3\n" for i in range(rows))
    )
    large = mo.read(tmp_path / "users.csv", thresholds=50, provider_value=9)
    plan = mo.solve(large, "burdens")
    mo.files.write(plan, tmp_path / "by_table.json", instance_path=tmp_path / "users.csv")
    assert mo.read(tmp_path / "by_table.json").instance == large
    large.write(tmp_path / "large.json")
    mo.files.write(plan, tmp_path / "by_name.json", instance_path=tmp_path / "large.json")
    assert json.loads((tmp_path / "by_name.json").read_text())["instance"] == "large.json"
    assert mo.read(tmp_path / "by_name.json").instance == large
    plan.write(tmp_path / "alone.json")
    with pytest.raises(mo.InvalidPlan, match="--instance"):
        mo.read(tmp_path / "alone.json")
    assert mo.read(tmp_path / "alone.json", instance=large).total == plan.total


def test_exact_plans_stay_exact_in_json(tmp_path: Path) -> None:
    instance = mo.Instance(cost=[1, 1, 1], value=1, capacity=1, thresholds=1)
    thirds = [Fraction(1, 3)] * 3
    plan = mo.Plan.from_arrays(instance, burden=thirds, payment=[0, 0, 0])
    plan.write(tmp_path / "plan.json")
    again = mo.read(tmp_path / "plan.json")
    assert again.is_exact
    assert again.exact("burden").tolist() == thirds
    plan.write(tmp_path / "plan.csv")  # three floats next to 1/3 sum to less than 1
    assert _sums(tmp_path / "plan.csv") >= (1, 1)


def test_plan_without_an_answer_is_written_as_json_only(tmp_path: Path) -> None:
    plan = mo.Plan(instance=example(), status=mo.Status.INFEASIBLE, reason="too little data")
    with pytest.raises(mo.InvalidPlan, match=r"infeasible .* \.json"):
        plan.write(tmp_path / "plan.csv")
    assert not list(tmp_path.iterdir())
    plan.write(tmp_path / "plan.json")
    again = mo.read(tmp_path / "plan.json")
    assert (again.status, again.burden, again.reason) == ("infeasible", None, "too little data")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_of_a_plan_may_be_sorted_by_hand(tmp_path: Path, suffix: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"id": ["cleo", "ana", "ben"], "burden": [0.0, 6.0, 2.0], "payment": [0.0] * 3}
    path = tmp_path / f"plan{suffix}"
    if suffix == ".csv":
        with open(path, "w") as stream:
            csv_tables.write(stream, columns)
    else:
        pq.write_table(pa.table(columns), path)
    assert mo.read(path, instance=example()).burden.tolist() == [6, 2, 0]


# -- X ≥ T in what is written -------------------------------------------------------------------


def _sums(path: Path) -> tuple[Fraction, Fraction]:
    """The exact total of a written plan: of its floats, and of its decimals as text."""
    if path.suffix == ".json":
        # the texts between the brackets of the burden column
        text = path.read_text().rsplit('"burden": [', 1)[1].split("]")[0]
        cells = [cell.strip().strip('"') for cell in text.split(",")]
    else:
        with open(path, newline="") as stream:
            cells = [row["burden"] for row in csv.DictReader(stream)]
    return sum(Fraction(float(Fraction(cell))) for cell in cells), sum(map(Fraction, cells))


def _reaches(path: Path, threshold: float) -> None:
    binary, decimal = _sums(path)
    assert binary >= Fraction(threshold)
    assert decimal >= Fraction(repr(threshold))


@pytest.mark.parametrize("suffix", [".csv", ".json"])
@pytest.mark.parametrize(
    ("values", "threshold"),
    [
        ([0.1] * 10, 1.0),
        ([0.1] * 12, 1.0),
        ([0.1, 0.2, 0.3], 0.3),
        ([1 / 3] * 4, 1.0),
        ([0.7, 0.1, 0.3], 0.8),
        ([1e-9, 1e9, 0.3], 1e9 + 0.2),
    ],
)
def test_threshold_holds_in_binary_and_in_decimals(
    tmp_path: Path, suffix: str, values: list[float], threshold: float
) -> None:
    instance = mo.Instance(cost=1.0, value=values, capacity=2e9, thresholds=threshold)
    plan = mo.solve(instance, "burdens", objective="expenditure")
    assert plan.level == 1
    plan.write(tmp_path / f"plan{suffix}")
    _reaches(tmp_path / f"plan{suffix}", threshold)


def test_decimals_that_fall_short_are_raised_where_there_is_room(tmp_path: Path) -> None:
    # 0.1 + 0.2 exceeds 0.30000000000000004 / 2 … in binary: the floats sum to more than their
    # decimals, 0.3, and T lies between.
    threshold = 0.1 + 0.2
    instance = mo.Instance(cost=1, value=1, capacity=[0.1, 0.5], thresholds=threshold)
    plan = mo.Plan.from_arrays(instance, burden=[0.1, 0.2])
    assert Fraction(0.1) + Fraction(0.2) < Fraction(threshold)  # short by itself: left alone
    plan.write(tmp_path / "short.csv")
    assert _sums(tmp_path / "short.csv")[1] == Fraction(3, 10)
    plan = mo.Plan.from_arrays(
        mo.Instance(cost=1, value=1, capacity=[0.1, 9], thresholds=0.3), burden=[0.1, 0.2]
    )
    plan.write(tmp_path / "enough.csv")
    assert _sums(tmp_path / "enough.csv")[1] == Fraction(3, 10)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(1, 999_999), min_size=1, max_size=12),
    st.integers(0, 6),
    st.floats(0.05, 1.0),
)
def test_threshold_holds_after_writing_any_solved_plan(
    tmp_path_factory: pytest.TempPathFactory, units: list[int], places: int, share: float
) -> None:
    values = [float(Fraction(unit, 10**places)) for unit in units]
    threshold = float(f"{sum(values) * share:.{places + 1}f}")
    if threshold <= 0:
        return
    instance = mo.Instance(cost=1.0, value=values, capacity=1e7, thresholds=threshold)
    plan = mo.solve(instance, "burdens", objective="social-cost")
    folder = tmp_path_factory.mktemp("plans")
    for suffix in (".csv", ".json"):
        plan.write(folder / f"plan{suffix}")
        _reaches(folder / f"plan{suffix}", threshold)
        again = mo.read(folder / f"plan{suffix}", instance=instance)
        assert mo.audit(instance, again).ok


# -- CSV cells a spreadsheet would execute ------------------------------------------------------


@given(st.text(max_size=8))
def test_neutralising_is_undone_by_reading(name: str) -> None:
    cell = tables.neutralise(name)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert tables.restore(cell) == name


def test_no_id_is_written_as_a_formula(tmp_path: Path) -> None:
    names = ["=HYPERLINK(1)", "+1", "-1", "@x", "'=y", "plain"]
    instance = mo.Instance(cost=1, value=1, capacity=1, thresholds=3, ids=names)
    mo.solve(instance, "burdens", objective="social-cost").write(tmp_path / "plan.csv")
    with open(tmp_path / "plan.csv", newline="") as stream:
        cells = [row["id"] for row in csv.DictReader(stream)]
    assert all(cell[0] not in "=+-@" for cell in cells)
    found = opening.opened(tmp_path / "plan.csv").read(COLUMNS)
    assert found.columns["id"].tolist() == names


# -- whole or not at all ------------------------------------------------------------------------


def _write_half(path: Path, error: type[BaseException]) -> None:
    with replacing(path) as stream:
        stream.write("half")
        raise error


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old")
    for error in (KeyboardInterrupt, ValueError, OSError):
        with pytest.raises((error, mo.OutputError)):
            _write_half(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_keeps_links_and_modes(tmp_path: Path) -> None:
    path, link = tmp_path / "plan.json", tmp_path / "link.json"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with replacing(link) as stream:
        stream.write("new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_interrupt_while_writing_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from mechopt.files import replacing\n"
        "with replacing(sys.argv[1]) as stream:\n"
        "    stream.write('x' * 10**6); stream.flush(); print('ready', flush=True)\n"
        "    while True: pass\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "plan.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
    assert not list(tmp_path.iterdir())


def _small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import sys, mechopt as mo\n"
        "plan = mo.solve(mo.read(sys.argv[1]), 'burdens')\n"
        "for suffix in ('.json', '.csv', '.parquet'):\n"
        "    try: plan.write(sys.argv[2] + suffix)\n"
        "    except mo.OutputError as error: print(error)\n"
    )
    target = tmp_path / ("plan" * 20)
    done = subprocess.run(
        [sys.executable, "-c", script, str(EXAMPLE), str(target)],
        capture_output=True,
        text=True,
        preexec_fn=_small_files,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines  # the CSV file is small enough
    assert all("cannot write" in line and "File too large" in line for line in lines)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".csv"}


def test_device_without_space_is_one_clear_error() -> None:
    plan = mo.solve(example(), "burdens")
    with (
        pytest.raises(mo.OutputError, match="No space left"),
        replacing("/dev/full") as stream,
    ):
        stream.write(documents.dumps({"plan": plan.burden}))


def test_strict_json_has_no_infinities() -> None:
    text = documents.dumps({"a": np.array([np.inf, np.nan, 1.0]), "b": {"c": -np.inf}, "d": True})
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": [None, None, 1.0],
        "b": {"c": None},
        "d": True,
    }


def test_nothing_is_executed_on_reading() -> None:
    folder = Path(mo.__file__).parent
    sources = [path.read_text() for path in folder.rglob("*.py")]
    for word in ("import pickle", " eval(", " exec(", "allow_pickle=True", "yaml"):
        assert not any(word in source for source in sources), word
    assert sources


def test_a_tiny_burden_takes_up_a_large_decimal_shortfall() -> None:
    """One jump and a few ulps, not millions of ulps of a tiny number."""
    from mechopt.files import plans

    instance = mo.Instance([1, 1, 1], 1, [0.7, 0.2, 1], [1.0])
    plan = mo.Plan.from_arrays(instance, [0.7, 0.2, 0.1]).replace(
        burden=np.array([0.7, 0.2, 4e-17])
    )
    raised = plans._raised(plan.burden, instance.capacity, Fraction(1, 10**17), Fraction(3, 10**5))
    assert sum(Fraction(repr(x)) for x in raised.tolist()) >= Fraction("0.90003")

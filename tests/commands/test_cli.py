"""The command line: what it prints, where, and its exit status."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mechopt as mo
from mechopt import cli
from mechopt.commands import show
from mechopt.files import schema

EXAMPLE = Path(mo.__file__).parent / "data" / "example.json"


def run(
    capfd: pytest.CaptureFixture[str], *arguments: str, status: int = 0
) -> tuple[str, list[str]]:
    """stdout, and the lines of stderr."""
    assert cli.main(list(arguments)) == status
    printed = capfd.readouterr()
    return printed.out, printed.err.splitlines()


def run_json(capfd: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    out, _ = run(capfd, *arguments, "--format", "json", status=status)
    return json.loads(out, parse_constant=pytest.fail)


def row(text: str, label: str) -> list[str]:
    """The cells after `label` in a table."""
    line = next(line for line in text.splitlines() if line.startswith(label))
    return line[len(label) :].split()


# -- solve --------------------------------------------------------------------------------------


def test_solve_prints_worked_example_1(capfd: pytest.CaptureFixture[str]) -> None:
    out, err = run(capfd, "solve", str(EXAMPLE), "--objective", "expenditure")
    assert err == []
    assert out.startswith("burdens for 3 users: optimal (proved); expenditure 0.5\n")
    assert row(out, "data asked for") == ["11", "20"]
    assert row(out, "expenditure") == ["0.5", "40"]
    assert row(out, "price per data unit") == ["-", "2"]
    assert row(out, "ana") == ["6.5", "0.5", "6.5", "0", "yes"]
    assert "withdrawal, simultaneous: everyone stays (margin 0)\n" in out
    assert "pivotal: 3 of 3 contributors: ana, ben, cleo\n" in out
    assert max(map(len, out.splitlines())) <= 100


def test_price_that_leaks_is_shown_beside(capfd: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capfd, "solve", str(EXAMPLE), "--mechanism", "posted-price", "--price", "1")
    assert row(out, "expenditure") == ["10"]
    assert row(out, "leakage") == ["10"]
    assert row(out, "share of the improvement") == ["0"]


def test_null_outcome_is_an_answer_with_a_reason(capfd: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capfd, "solve", str(EXAMPLE), "--no-transfers")
    assert "null outcome: nothing is collected, nothing is paid" in out
    assert "short by 0.5" in out
    found = run_json(capfd, "solve", str(EXAMPLE), "--no-transfers")
    assert (found["status"], found["users"]["burden"]) == ("null", [0, 0, 0])


def test_default_objective_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    out, err = run(capfd, "solve", str(EXAMPLE), "--provider-value", "0")
    assert "no provider value is given, so the objective is expenditure" in out
    assert err == []
    assert cli.main(["solve", str(EXAMPLE), "--provider-value", "0", "--format", "json"]) == 0
    printed = capfd.readouterr()
    assert json.loads(printed.out)["objective_name"] == "expenditure"
    assert "so the objective is expenditure" in printed.err
    assert run_json(capfd, "solve", str(EXAMPLE))["objective_name"] == "provider-surplus"


def test_json_of_solve_is_a_plan_that_can_be_checked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, _ = run(capfd, "solve", str(EXAMPLE), "--format", "json")
    (tmp_path / "plan.json").write_text(out)
    found = json.loads(out)
    assert schema.faults(schema.PlanFile, found) == []
    assert found["benchmark"]["price"] == 2
    assert found["withdrawal"]["sequential"]["stable"] is True
    assert run_json(capfd, "check", str(tmp_path / "plan.json"))["ok"] is True


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_users_csv_to_a_checked_plan(
    suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    users, plan = tmp_path / "users.csv", tmp_path / f"plan{suffix}"
    users.write_text("id,cost,value,capacity\na,1,6,10\nb,2,6,10\nc,4,6,10\n")
    given = ["--threshold", "11"]
    _, err = run(capfd, "solve", str(users), *given, "--out", str(plan))
    assert err == [f"mechopt: wrote {plan}"]
    _, err = run(capfd, "solve", str(users), *given, "--out", str(plan), "--quiet")
    assert err == []
    out, _ = run(capfd, "check", str(plan), "--instance", str(users), *given)
    assert "every constraint holds" in out
    assert row(out, "a  ") == ["6.5", "0.5", "6.5", "0", "yes"]


def test_every_mechanism_option_reaches_the_mechanism(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def record(problem: mo.Instance, mechanism: str, **options: Any) -> mo.Plan:
        seen.setdefault(mechanism, options)
        return mo.Plan.null(problem)

    monkeypatch.setattr(mo, "solve", record)
    options = "--objective expenditure --protocol sequential --order 2,0,1 --target 1 --reserve 0.5"
    limits = "--no-transfers --seed 3 --time-limit 2.5"
    run(capfd, "solve", str(EXAMPLE), *options.split(), *limits.split())
    assert seen["burdens"] == {
        "objective": "expenditure",
        "protocol": "sequential",
        "order": [2, 0, 1],
        "target": 1,
        "transfers": False,
        "reserve": 0.5,
        "seed": 3,
        "time_limit": 2.5,
    }


def test_time_limit_is_no_error_where_nothing_can_take_long(
    capfd: pytest.CaptureFixture[str],
) -> None:
    run(capfd, "solve", str(EXAMPLE), "--mechanism", "posted-price", "--time-limit", "5")


@pytest.mark.parametrize(
    ("found", "status"),
    [("optimal", 0), ("null", 0), ("infeasible", 3), ("feasible", 4), ("unknown", 4)],
)
def test_exit_status_follows_the_status(
    found: str,
    status: int,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = found in ("optimal", "feasible")
    plan = mo.Plan.from_arrays(
        mo.read(EXAMPLE), [6.5, 3, 1.5], [0.5, 0, 0], status=mo.Status(found), reason="because"
    )
    if not answered:
        plan = plan.replace(burden=None, payment=None)
    monkeypatch.setattr(mo, "solve", lambda *_, **__: plan)
    out = tmp_path / "plan.json"
    text, _ = run(capfd, "solve", str(EXAMPLE), "--out", str(out), status=status)
    assert "because" in text
    assert mo.read(out).status == found  # an incumbent is written too
    assert (mo.read(out).burden is not None) == answered
    run(capfd, "check", str(out), status=0 if answered else 3 if found == "infeasible" else 4)


def test_interrupt_ends_with_130_and_no_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mo, "solve", interrupt)
    command = ["solve", str(EXAMPLE), "--out", str(tmp_path / "plan.json")]
    out, err = run(capfd, *command, status=130)
    assert out == ""
    assert err == ["mechopt: interrupted; nothing was left half-written"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
@pytest.mark.parametrize(
    "work", ["while True: pass", "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"]
)
def test_signals_while_working(number: int, status: int, work: str, tmp_path: Path) -> None:
    # the second kind of work is compiled: like HiGHS it does not let Python see the signal
    script = (
        "import hashlib, sys, mechopt as mo\n"
        "from mechopt import cli\n"
        "def wait(*_, **__):\n"
        "    stream = mo.files.replacing(sys.argv[-1]).__enter__()\n"
        "    print('ready', flush=True)\n"
        f"    {work}\n"
        "mo.solve = wait\n"
        "sys.argv[0] = 'mechopt'\n"
        "sys.exit(cli.main())\n"
    )
    command = [
        sys.executable,
        "-c",
        script,
        "solve",
        str(EXAMPLE),
        "--out",
        str(tmp_path / "p.csv"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(timeout=20) == status
    assert not list(tmp_path.iterdir())


def test_ids_cannot_write_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    users = tmp_path / "users.csv"
    users.write_text(
        'id,cost,value,capacity\n"\x1b[31m[red]a\nb",1,6,10\n' + "c" * 99 + ",1,6,10\n"
    )
    out, _ = run(capfd, "solve", str(users), "--threshold", "11")
    assert "\x1b" not in out
    assert "\ufffd[31m[red]a\ufffdb" in out
    assert max(map(len, out.splitlines())) <= 100


def test_population_is_solved_by_the_direct_mechanism(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Worked example 3: DSIC, ex-post, no transfers: 0.625, deterministic 0.5.
    group = mo.Group(size=2, costs=[1, 2], probabilities=[0.5, 0.5], value=1, capacity=10)
    path = tmp_path / "population.json"
    mo.Population(groups=[group], thresholds=[1.25]).write(path)
    command = ("solve", str(path), "--no-transfers", "--objective", "improvement")
    out, _ = run(capfd, *command, "--out", str(tmp_path / "mechanism.json"))
    assert float(row(out, "share of the improvement")[0]) == pytest.approx(0.625)
    assert mo.read(tmp_path / "mechanism.json").improvement == pytest.approx(0.625)
    out, _ = run(capfd, *command, "--deterministic")
    assert float(row(out, "share of the improvement")[0]) == pytest.approx(0.5)


# -- check --------------------------------------------------------------------------------------


def test_check_shows_who_leaves_and_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Worked example 2: small-first leaves {3, 4}.
    instance = mo.Instance(cost=["1", "1/2", "1/3", "1/4"], value=5, capacity=9, thresholds=7)
    plan = mo.Plan.from_arrays(instance, burden=[1, 2, 3, 4], protocol="sequential")
    plan.write(tmp_path / "plan.json")
    out, _ = run(capfd, "check", str(tmp_path / "plan.json"), status=3)
    assert "NOT every constraint holds" in out
    assert "NOT STABLE (sequential, small-first)" in out
    assert "user 0 gains 1 by leaving" in out
    assert "user 0, user 1 leave, 2 stay; 7 data" in out
    found = run_json(capfd, "check", str(tmp_path / "plan.json"), status=3)
    assert found["ok"] is False
    assert found["withdrawal"]["sequential"]["outcome"]["leave"] == [0, 1]
    order = ("--order", "large-first")
    found = run_json(capfd, "check", str(tmp_path / "plan.json"), *order, status=3)
    assert found["withdrawal"]["sequential"]["outcome"]["leave"] == [2]


def test_a_mechanism_is_solved_saved_checked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    problem, path = tmp_path / "population.json", tmp_path / "mechanism.json"
    run(capfd, "generate", "population-two-type", "--n", "3", "--seed", "1", "--out", str(problem))
    run(capfd, "solve", str(problem), "--incentive", "bic", "--out", str(path))
    out, _ = run(capfd, "check", str(path))
    assert "audit passed" in out
    changed = json.loads(path.read_text())
    changed["states"]["burden"][-1][0][0] += 0.25
    path.write_text(json.dumps(changed))
    out, _ = run(capfd, "check", str(path), status=3)
    assert "audit failed" in out
    out, _ = run(capfd, "solve", str(problem), "--mechanism", "rule")
    assert "rule proportional" in out


def test_check_of_a_tampered_plan_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    run(capfd, "solve", str(EXAMPLE), "--out", str(path))
    text = path.read_text()
    assert '"burden": [6.5' in text
    path.write_text(text.replace('"burden": [6.5', '"burden": [6.4'))
    out, _ = run(capfd, "check", str(path), status=3)
    assert "(A1)" in out


def test_check_writes_its_report(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plan, report = tmp_path / "plan.json", tmp_path / "report.json"
    run(capfd, "solve", str(EXAMPLE), "--out", str(plan))
    run(capfd, "check", str(plan), "--out", str(report))
    assert json.loads(report.read_text()) == run_json(capfd, "check", str(plan))


# -- who is pivotal -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("burden", "thresholds", "removable", "expected"),
    [
        ([6, 2, 0], [8], 1, [0, 1]),
        ([6, 3, 0], [8], 1, [0, 1]),
        ([8, 1, 0], [8], 1, [0]),
        ([8, 1, 0], [8], ["1/16", 1, 1], []),
        ([8, 1, 0], [8], ["1/4", 1, 1], [0]),
        ([3, 3, 3], [4, 6], 1, []),
        ([3, 3, 3], [4, 9], 1, [0, 1, 2]),
        ([1, 1, 1], [4, 9], 1, []),
    ],
)
def test_pivotal(
    burden: list[int], thresholds: list[int], removable: Any, expected: list[int]
) -> None:
    shares = [1] if len(thresholds) == 1 else ["1/2", 1]
    instance = mo.Instance(
        cost=[1, 1, 1],
        value=9,
        capacity=10,
        thresholds=thresholds,
        shares=shares,
        removable=removable,
    )
    assert show.pivotal(mo.Plan.from_arrays(instance, burden)).tolist() == expected


# -- export-model, schema, start-up -------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".lp", ".mps"])
def test_export_model(suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / f"model{suffix}"
    found = run_json(capfd, "export-model", str(EXAMPLE), "--out", str(out))
    assert found["path"] == str(out)
    assert found["columns"] > 0
    assert out.read_text()
    assert json.loads(Path(found["labels"]).read_text())["names"]


def test_schemas_describe_what_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    every = json.loads(run(capfd, "schema")[0])
    assert set(every) >= {"instance", "plan"}
    for kind, described in every.items():
        assert json.loads(run(capfd, "schema", kind)[0]) == described
    assert set(every["instance"]["properties"]) == set(json.loads(EXAMPLE.read_text()))
    run(capfd, "solve", str(EXAMPLE), "--out", str(tmp_path / "plan.json"))
    written = json.loads((tmp_path / "plan.json").read_text())
    assert set(written) <= set(every["plan"]["properties"])
    assert set(every["plan"]["required"]) <= set(written)
    run(capfd, "schema", "instance", "--out", str(tmp_path / "schema.json"))
    assert json.loads((tmp_path / "schema.json").read_text()) == every["instance"]


def test_schema_prints_no_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "mechopt.cli", "schema"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from mechopt import cli\n"
        "status = cli.main(['--help'])\n"
        "heavy = {'numpy', 'pyomo', 'highspy', 'scipy', 'pydantic', 'pyarrow', 'rich'}\n"
        "print(status, sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == "0 []\n"
    for command in cli.COMMANDS:
        assert command in done.stdout


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "--version")[0] == f"mechopt {mo.__version__}\n"

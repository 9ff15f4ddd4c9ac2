"""Compare: rows equal single calls, a kill loses nothing, faults are rows, names are checked."""

from __future__ import annotations

import operator
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from math import inf, isclose
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import mechopt as mo
from mechopt import cli, registry
from mechopt.commands import compare as compare_command
from mechopt.errors import InvalidFile, InvalidOption, OutputError
from mechopt.studies import results
from mechopt.studies.results import Interval, Table, interval, mean_of, read_table, share_interval
from mechopt.studies.running import run

MECHANISMS = ["posted-price", "subsidy", "burdens", "burdens:transfers=false"]


def small_problems() -> dict[str, mo.Instance]:
    return {
        f"{family}/{seed}": mo.generate(family, 12, seed=seed)
        for family in ("uniform", "two-type")
        for seed in range(3)
    }


def fail_on_three_users(problem, *, protocol: str = "simultaneous"):
    if problem.n == 3:
        raise ArithmeticError("three is too many")
    return mo.Plan.null(problem, protocol=protocol)


def without_seconds(table: Table) -> list[dict]:
    return [{**row, "seconds": None} for row in table.rows]


# -- rows -----------------------------------------------------------------------------------------


def test_rows_are_problem_by_mechanism_by_protocol_and_equal_single_calls() -> None:
    problems = small_problems()
    protocols = ["simultaneous", "sequential"]
    table = mo.compare(problems, MECHANISMS, protocols, objective="provider-surplus")
    assert len(table) == len(problems) * len(MECHANISMS) * len(protocols)
    assert table.columns == tuple(table.rows[0])
    for row in table:
        name, _, rest = row["mechanism"].partition(":")
        options = {"transfers": False} if rest else {}
        if name == "burdens":
            options["protocol"] = row["protocol"]
        plan = mo.solve(problems[row["problem"]], name, **options)
        assert (row["status"], row["objective"]) == (plan.status.value, plan.objective)
        for metric in results.METRICS:
            if metric != "participation":
                assert row[metric] == plan.metrics[metric]
        outcome = mo.check_withdrawal(
            problems[row["problem"]], plan, protocol=row["protocol"]
        ).outcome
        assert row["outcome_share"] == outcome.share
        assert row["outcome_social_cost"] == outcome.social_cost
        assert row["group"] == row["problem"].split("/")[0]
        assert row["error"] is None


def test_a_mechanism_may_fix_its_own_protocol() -> None:
    table = mo.compare([mo.generate("uniform", 4)], ["burdens:protocol=none"])
    assert table.column("protocol") == ["none"]


def test_a_failing_instance_is_recorded_and_the_others_go_on(monkeypatch) -> None:
    monkeypatch.setitem(
        registry.MECHANISMS, "failing", {"instance": f"{__name__}:fail_on_three_users"}
    )
    problems = [mo.generate("uniform", n) for n in (2, 3, 4)]
    table = mo.compare(problems, ["failing", "subsidy"], ["simultaneous"])
    failing = [row for row in table if row["mechanism"] == "failing"]
    assert [row["status"] for row in failing] == ["null", "error", "null"]
    assert failing[1]["error"] == "ArithmeticError: three is too many"
    assert all(row["status"] == "optimal" for row in table if row["mechanism"] == "subsidy")
    assert table.summary(["expenditure"], by=["mechanism"])[0]["errors"] == 1


def test_progress_counts_to_the_end() -> None:
    seen: list[tuple[int, int, float]] = []
    mo.compare(
        small_problems(), ["subsidy"], ["simultaneous"], progress=lambda *it: seen.append(it)
    )
    assert [done for done, _, _ in seen] == list(range(7))
    assert {whole for _, whole, _ in seen} == {6}
    assert seen[-1][2] == 0


# -- the table ------------------------------------------------------------------------------------


def test_intervals_are_student_and_wilson() -> None:
    values = np.random.default_rng(1).normal(3, 2, 12)
    found = interval(values.tolist())
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert interval([1.0, None, float("nan")]) == results.Interval(1.0, -inf, inf, 1)
    assert interval([None]) is None
    for successes, count in ((0, 10), (10, 10), (3, 17)):
        found = share_interval(successes, count)
        expected = stats.binomtest(successes, count).proportion_ci(0.95, "wilson")
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert share_interval(0, 0) is None


def test_paired_differences_use_the_same_problems() -> None:
    table = mo.compare(small_problems(), ["subsidy", "burdens"], ["simultaneous"])
    by_row = {(row["problem"], row["mechanism"]): row["expenditure"] for row in table}
    found = table.difference("expenditure", "burdens", "subsidy")
    for group in ("uniform", "two-type"):
        gaps = [
            by_row[f"{group}/{s}", "burdens"] - by_row[f"{group}/{s}", "subsidy"] for s in range(3)
        ]
        assert isclose(found[group, "simultaneous"].mean, sum(gaps) / 3)
        assert found[group, "simultaneous"].count == 3


def test_written_tables_read_back_equal(tmp_path) -> None:
    table = mo.compare(small_problems(), ["subsidy"], ["simultaneous"])
    table.write(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").to_dicts() == table.to_dicts()
    table.write(tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == ",".join(results.COLUMNS)
    assert len(lines) == 7
    with pytest.raises(OutputError, match=r"\.parquet or \.csv"):
        table.write(tmp_path / "t.xlsx")


# -- several processes, a cluster, and what can die ------------------------------------------------


def test_two_processes_give_the_same_table() -> None:
    problems = small_problems()
    one = mo.compare(problems, ["subsidy", "burdens"])
    two = mo.compare(problems, ["subsidy", "burdens"], jobs=2)
    assert without_seconds(two) == without_seconds(one)


def test_a_dying_process_costs_only_its_own_task() -> None:
    tasks = [partial(pow, number, 2) for number in range(6)]  # workers import nothing of ours
    tasks[3] = partial(os._exit, 9)
    found = list(run(operator.call, tasks, lambda task, why: f"{task.args}: {why}", jobs=2))
    assert {it for it in found if isinstance(it, int)} == {0, 1, 4, 16, 25}
    assert [it for it in found if isinstance(it, str)] == [
        "(9,): its process died (killed, or out of memory)"
    ]


def test_a_local_two_worker_cluster_gives_the_same_table() -> None:
    script = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from distributed import LocalCluster\n"
        "import mechopt as mo\n"
        "if __name__ == '__main__':\n"
        "    problems = {f'u/{s}': mo.generate('uniform', 12, seed=s) for s in range(4)}\n"
        "    with LocalCluster(n_workers=2, threads_per_worker=1, host='127.0.0.1',\n"
        "                      dashboard_address=None) as cluster:\n"
        "        far = mo.compare(problems, ['burdens', 'subsidy'], "
        "scheduler=cluster.scheduler_address)\n"
        "    near = mo.compare(problems, ['burdens', 'subsidy'])\n"
        "    clean = lambda table: [{**row, 'seconds': 0} for row in table]\n"
        "    assert clean(far) == clean(near)\n"
        "    print('same', len(far))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "same 16", done.stderr


def test_an_unreachable_scheduler_is_named(monkeypatch) -> None:
    monkeypatch.setattr("mechopt.studies.running._PATIENCE", "1s")
    with pytest.raises(InvalidOption, match=r"tcp://127\.0\.0\.1:9.*does not answer"):
        mo.compare([mo.generate("uniform", 4)], ["subsidy"], scheduler="tcp://127.0.0.1:9")
    with pytest.raises(InvalidOption, match="nonsense"):
        mo.compare([mo.generate("uniform", 4)], ["subsidy"], scheduler="nonsense://x")


KILLED = """
import os, sys, mechopt as mo
problems = {f"uniform/{seed}": mo.generate("uniform", 60, seed=seed) for seed in range(20)}
mo.compare(problems, ["posted-price", "burdens"], out=sys.argv[1])
for line in sys.stdin:  # a child of all that is loaded now: told its number, then how it ended
    child = os.fork()
    if not child:
        mo.compare(problems, ["posted-price", "burdens"], out=sys.argv[2], resume=True)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_killed_ten_times_and_resumed_gives_the_same_table(tmp_path) -> None:
    rng = random.Random(20)
    whole, out = tmp_path / "whole.parquet", tmp_path / "killed.parquet"
    parts = tmp_path / "killed.parquet.parts"
    command = [sys.executable, "-c", KILLED, str(whole), str(out)]
    kept = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        for attempt in range(11):
            parent.stdin.write("go\n")
            parent.stdin.flush()
            child = int(parent.stdout.readline())
            if attempt == 10:  # the last one may end
                assert int(parent.stdout.readline()) == 0
                break
            before = len(list(parts.glob("*.parquet")))
            wanted = before + rng.randint(0, 7)
            while not out.exists() and len(list(parts.glob("*.parquet"))) < wanted:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.004))  # somewhere within a row or its writing
            os.kill(child, signal.SIGKILL)
            assert int(parent.stdout.readline()) == -signal.SIGKILL
            kept.append(len(list(parts.glob("*.parquet"))))
            assert kept[-1] >= before
        parent.stdin.close()
    assert kept[-1] > 0
    assert without_seconds(read_table(out)) == without_seconds(read_table(whole))
    assert not parts.exists()


def test_resuming_computes_only_what_is_missing(tmp_path, monkeypatch) -> None:
    problems, out = small_problems(), tmp_path / "t.parquet"
    whole = mo.compare(problems, ["subsidy"], ["simultaneous"])
    keys = whole.column("key")
    store = results.Store(out, keys, resume=False)
    for row in whole.rows[:4]:
        store.add(row)
    assert len(read_table(out)) == 4  # readable while under way
    with pytest.raises(OutputError, match="another run writes these results now"):
        mo.compare(problems, ["subsidy"], ["simultaneous"], out=out, resume=True)
    store.close()
    counted: list[int] = []
    again = mo.compare(
        problems,
        ["subsidy"],
        ["simultaneous"],
        out=out,
        resume=True,
        progress=lambda done, *_: counted.append(done),
    )
    assert counted == [4, 5, 6]
    assert without_seconds(again) == without_seconds(whole)


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problems", "mechanisms", "options", "message"),
    [
        ([], ["subsidy"], {}, "problems: there are none"),
        (None, ["subsidy"], {}, "give a list"),
        ([3], ["subsidy"], {}, "expected an Instance"),
        (1, ["burden"], {}, "'burdens'"),
        (1, ["burdens:transfer=false"], {}, "'transfers'"),
        (1, ["burdens:transfers"], {}, "name=value"),
        (1, [], {}, "at least one"),
        (1, "burdens", {}, "lists of names"),
        (1, ["burdens", "burdens"], {}, "twice"),
        (1, ["subsidy"], {"protocols": ["simultanous"]}, "'simultaneous'"),
        (1, ["subsidy"], {"jobs": 0}, "jobs"),
        (1, ["subsidy"], {"jobs": 2, "scheduler": "tcp://127.0.0.1:9"}, "one of the two"),
        (1, ["subsidy"], {"colour": 1}, "colour"),
    ],
)
def test_bad_arguments_are_named_before_anything_runs(
    tmp_path, problems, mechanisms, options, message
) -> None:
    problems = [mo.generate("uniform", 3)] if problems == 1 else problems
    with pytest.raises(InvalidOption, match=message):
        mo.compare(problems, mechanisms, out=tmp_path / "t.parquet", **options)
    assert not any(tmp_path.iterdir())


def test_result_files_are_checked(tmp_path, monkeypatch) -> None:
    out = tmp_path / "t.parquet"
    one = [mo.generate("uniform", 3)]
    mo.compare(one, ["subsidy"], out=out)
    with pytest.raises(OutputError, match="has results already"):
        mo.compare(one, ["subsidy"], out=out)
    with pytest.raises(OutputError, match="another comparison"):
        mo.compare([mo.generate("uniform", 4)], ["subsidy"], out=out, resume=True)
    with pytest.raises(OutputError, match=r"\.parquet"):
        mo.compare(one, ["subsidy"], out=tmp_path / "t.csv")
    with monkeypatch.context() as patch:
        patch.setattr(results, "FORMAT", "99")
        mo.compare(one, ["subsidy"], out=tmp_path / "future.parquet")
    with pytest.raises(InvalidFile, match="format 99, this version reads 1"):
        read_table(tmp_path / "future.parquet")
    with pytest.raises(InvalidFile, match="format 99"):
        mo.compare(one, ["subsidy"], out=tmp_path / "future.parquet", resume=True)
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(InvalidFile, match="cannot be read"):
        read_table(tmp_path / "bad.parquet")


def test_what_was_altered_is_said_before_anything_runs(tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out, one = tmp_path / "t.parquet", [mo.generate("uniform", 3)]
    mo.compare(one, ["subsidy"], out=out)
    good = parquet.read_table(out)
    place = good.schema.get_field_index("n")
    cost = good.schema.get_field_index("social_cost")
    dearer = [[value + 1e-9 for value in good["social_cost"].to_pylist()]]
    changes = {
        r"row of '0' by subsidy was altered": good.set_column(
            cost, good.schema.field(cost), dearer
        ),
        "it was altered": good.slice(0, 0),
        "was altered": good.set_column(place, good.schema.field(place), [[7] * len(good)]),
        "column 'n' is not": good.set_column(place, "n", [["7"] * len(good)]),
        "column 'bound' is not": good.drop_columns(["bound"]),
        "of format 7": good.replace_schema_metadata({results._MARK: b"7"}),
        "is not a table": good.replace_schema_metadata({}),
    }
    for said, table in changes.items():
        parquet.write_table(table, out)
        with pytest.raises(InvalidFile, match=said):
            mo.compare(one, ["subsidy"], out=out, resume=True)
        assert not out.with_name("t.parquet.parts").exists()
    (tmp_path / "link.parquet").symlink_to(out)
    with pytest.raises(OutputError, match="symbolic link"):
        mo.compare(one, ["subsidy"], out=tmp_path / "link.parquet", resume=True)


ORPHANS = """
import os, sys, time
from mechopt.studies.running import run
def slow(number):
    print(os.getpid(), flush=True)
    time.sleep(60)
list(run(slow, [1, 2], None, jobs=2))
"""


def test_workers_end_when_their_parent_was_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        workers = [int(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGKILL)
    ends = time.monotonic() + 15
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < ends:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_intervals_fit_the_quantity() -> None:
    """Shares stay within [0, 1], amounts are not negative; surplus may be."""
    rng = np.random.default_rng(4)
    for size in (2, 3, 10, 40):
        for values in (rng.random(size), rng.random(size) ** 8, rng.integers(0, 2, size) * 1.0):
            share, amount = mean_of("improvement", values), mean_of("expenditure", 90 * values)
            assert 0 <= share.low <= share.mean <= share.high <= 1
            assert 0 <= amount.low <= amount.mean <= amount.high
    assert mean_of("improvement", [1.0] * 9).low == share_interval(9, 9).low < 1
    assert mean_of("improvement", [0.6] * 9) == Interval(0.6, 0.6, 0.6, 9)
    assert mean_of("expenditure", [3.0]) == Interval(3.0, 0.0, inf, 1)
    assert mean_of("welfare", [0.0, 1.0]).low < 0
    # As often as promised: skewed amounts and shares of unequal size, 20 draws each.
    inside = [0, 0]
    for _ in range(200):
        amount = mean_of("expenditure", rng.gamma(2.0, 1.0, 20))
        share = mean_of("improvement", rng.beta(0.5, 0.5, 20))
        inside[0] += amount.low <= 2.0 <= amount.high
        inside[1] += share.low <= 0.5 <= share.high
    assert min(inside) >= 170


def test_the_command_prints_one_table_per_family(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--family", "uniform:n=5", "--family", "pareto:n=5", "--draws", "2", "--quiet")
    for width in (120, 60):
        monkeypatch.setattr(compare_command, "columns_of_terminal", lambda width=width: width)
        assert cli.main(["compare", *options]) == 0
        lines = capfd.readouterr().out.splitlines()
        assert [line for line in lines if line.startswith(("uniform", "pareto"))] == [
            "uniform:n=5",
            "pareto:n=5",
        ]
        assert max(map(len, lines)) <= width
        tables = [line for line in lines if line.startswith("mechanism ")]
        assert len(tables) == 2 if width == 120 else len(tables) >= 4
        assert all(line.count(" ± ") <= 5 for line in lines)


def test_missing_extras_are_found_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mechopt.studies import results, running

    def missing() -> None:
        raise mo.NotSupported('results in Parquet need pyarrow: pip install "mechopt[compare]"')

    instance = mo.generate("uniform", n=4)
    monkeypatch.setattr(results, "_parquet", missing)
    with pytest.raises(mo.NotSupported, match="pyarrow"):
        mo.compare([instance], ["burdens"], out=tmp_path / "st.parquet")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(running, "find_spec", lambda name: None)
    with pytest.raises(mo.NotSupported, match="joblib"):
        mo.compare([instance], ["burdens"], jobs=2)
    with pytest.raises(mo.NotSupported, match="Dask"):
        mo.compare([instance], ["burdens"], scheduler="tcp://127.0.0.1:1")


def test_an_interrupted_or_empty_result_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = tmp_path / "done.parquet"
    mo.compare({"a": mo.generate("uniform", n=4)}, ["burdens"], out=done)
    (tmp_path / "part.parquet.parts").mkdir()
    done.rename(tmp_path / "part.parquet.parts" / "row.parquet")
    page = tmp_path / "page.html"
    figures = ("--figures", str(tmp_path / "figures"))
    command = ["report", str(tmp_path / "part.parquet"), "--out", str(page), *figures]
    assert cli.main(command) == 4
    assert "was interrupted" in page.read_text()
    assert "was interrupted" in capfd.readouterr().err
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".png", ".pdf", ".svg"}
    (tmp_path / "none.parquet.parts").mkdir()
    assert cli.main(["report", str(tmp_path / "none.parquet"), "--out", str(page)]) == 4
    assert "there are no rows" in page.read_text()

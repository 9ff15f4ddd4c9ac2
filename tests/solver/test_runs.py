"""Whatever ran HiGHS before: our answers stay, a failing run is an error, nothing is printed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from time import perf_counter

import numpy as np
import pytest

from mechopt.errors import SolverError
from mechopt.solver import highs, runs

PAIR = """
import mechopt as mo
group = mo.Group(size=2, costs=[1, 2], probabilities=[0.5, 0.5], value=1, capacity=10)
pair = mo.Population([group], thresholds=[1.25])

def shares():
    options = {"objective": "improvement", "transfers": False}
    free = mo.solve(pair, "direct", **options)
    fixed = mo.solve(pair, "direct", randomized=False, **options)
    assert free.status == fixed.status == "optimal"
    assert mo.certify(pair, free).optimum == 0.625
    return round(free.improvement, 9), round(fixed.bound, 9)
"""
OTHERS = """
import highspy, numpy as np
from concurrent.futures import ThreadPoolExecutor

def others(threads=2):
    h = highspy.Highs.__base__()
    h.setOptionValue("output_flag", False)
    h.setOptionValue("threads", threads)
    lp = highspy.HighsLp()
    lp.num_col_ = lp.num_row_ = lp.a_matrix_.num_col_ = lp.a_matrix_.num_row_ = 1
    lp.col_cost_ = lp.row_lower_ = lp.a_matrix_.value_ = np.ones(1)
    lp.col_lower_, lp.col_upper_, lp.row_upper_ = np.zeros(1), np.full(1, 9.0), np.full(1, 9.0)
    lp.a_matrix_.start_, lp.a_matrix_.index_ = np.array([0, 1]), np.array([0])
    h.passModel(lp)
    h.run()
    return h.getModelStatus() == highspy.HighsModelStatus.kOptimal
"""
TRUTH = "(0.625, 0.5)\n"


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    "before",
    [
        "assert others()",
        "assert all(ThreadPoolExecutor(2).map(lambda _: others(), range(2)))",
        "assert shares() and others()",  # we do not disturb them either
    ],
)
def test_somebody_elses_run_came_first(before: str) -> None:
    assert _python(f"{PAIR}{OTHERS}\n{before}\nprint(shares())\nassert others()") == TRUTH


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_after_a_fork_and_in_threads() -> None:
    code = f"""{PAIR}{OTHERS}
import os
assert others() and shares()
child = os.fork()
if child == 0:
    assert shares() == {TRUTH.strip()}
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
with ThreadPoolExecutor(3) as pool:
    found = list(pool.map(lambda _: shares(), range(6)))
assert set(found) == {{{TRUTH.strip()}}}
print(shares())
"""
    assert _python(code) == TRUTH


def _program(n: int = 1) -> highs.LinearProgram:
    """max Σ x over n columns in [0, 1], one row without a limit."""
    return highs.LinearProgram(
        cost=np.ones(n),
        start=np.array([0, n], dtype=np.int32),
        index=np.arange(n, dtype=np.int32),
        value=np.ones(n),
        row_lower=np.array([-np.inf]),
        row_upper=np.array([n - 0.5]),
        lower=np.zeros(n),
        upper=np.ones(n),
        maximize=True,
    )


def test_a_run_that_fails_is_an_error_in_highs_words() -> None:
    session = highs.Session(_program())
    assert session.solve().objective == 0.5
    session.set_option("threads", 3)  # the thread's scheduler has one
    with pytest.raises(SolverError, match="HiGHS failed: Option 'threads' is set to 3"):
        session.solve()


def test_an_error_of_the_job_comes_back() -> None:
    with pytest.raises(ZeroDivisionError):
        runs.in_own_thread(lambda: 1 // 0, stop=lambda: None)


def test_silent_without_the_base_class(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import highspy

    class Loud:
        def __init__(self) -> None:
            os.write(1, b"Running HiGHS\n")

    monkeypatch.setattr(highspy, "Highs", Loud)
    assert isinstance(runs.silent_highs(), Loud)
    os.write(1, b"open again\n")
    assert capfd.readouterr().out == "open again\n"


def test_file_descriptors_stay_silent(tmp_path: object) -> None:
    """Solving, certifying, exporting and comparing with several processes, from the first run."""
    code = f"""{PAIR}
if __name__ == "__main__":
    shares()
    instance = mo.generate("lognormal", n=6, seed=1, tightness=0.8, levels=3)
    for protocol in ("simultaneous", "sequential"):
        plan = mo.solve(instance, "burdens", protocol=protocol)
        plan.withdrawal().best, plan.metrics
    mo.certify(instance, mo.solve(instance, "burdens"))
    mo.export_model(instance, "burdens-levels", {str(tmp_path)!r} + "/model.lp")
    assert len(mo.compare([instance], ["burdens", "subsidy"], jobs=2).rows) == 4
"""
    assert _python(code) == ""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupt_comes_through_and_stops_the_run() -> None:
    rng = np.random.default_rng(0)
    m, n = 60, 300
    matrix = rng.integers(1, 100, (m, n)).astype(float)
    hard = highs.LinearProgram(
        cost=rng.integers(1, 100, n).astype(float),
        start=np.arange(0, m * n + 1, n, dtype=np.int32),
        index=np.tile(np.arange(n, dtype=np.int32), m),
        value=matrix.ravel(),
        row_lower=np.full(m, -np.inf),
        row_upper=matrix.sum(1) / 2.7,
        lower=np.zeros(n),
        upper=np.ones(n),
        integer=np.ones(n, dtype=bool),
        maximize=True,
    )
    began = perf_counter()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        highs.solve(hard, time_limit=30)
    assert perf_counter() - began < 5

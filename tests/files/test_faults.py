"""Limits, kills, full disks, threads: no fault may turn into a wrong or half-written answer."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt import checker, cli
from tests.problems import random_instance

ALLOWED = 1.0  # seconds beyond 110 % of a time limit


@pytest.fixture(scope="module", autouse=True)
def everything_is_imported() -> None:
    """Loading the solver and Pyomo takes a second or two and is no part of a time limit."""
    solved(0)
    mo.build_model(random_instance(np.random.default_rng(0), users=2), "subsidy")


def within(limit: float, began: float) -> None:
    spent = time.process_time() - began
    assert spent <= 1.1 * limit + ALLOWED, f"{spent:.2f} s of processor time for a limit of {limit}"


@pytest.mark.parametrize("limit", [0.0, 0.3, 1.0])
def test_time_limit_of_the_level_search(limit: float) -> None:
    rng = np.random.default_rng(5)
    n = 60
    instance = mo.Instance(
        cost=rng.lognormal(0, 1, n),
        value=rng.lognormal(1, 1, n),
        capacity=rng.lognormal(1, 0.7, n),
        thresholds=np.linspace(20, 110, 12),
        shares=np.linspace(0.2, 1, 12),
        provider_value=400.0,
    )
    began = time.process_time()
    plan = mo.solve(instance, "burdens", time_limit=limit)
    within(limit, began)
    assert_honest(instance, plan)


@pytest.mark.parametrize("limit", [0.0, 0.5])
def test_time_limit_of_a_milp(limit: float) -> None:
    group = mo.Group(6, [0.3, 0.6, 0.9, 1.4], [0.2, 0.3, 0.3, 0.2], value=1.0, capacity=6.0)
    population = mo.Population([group], thresholds=[7.0], provider_value=3.0)
    began = time.process_time()
    mechanism = mo.solve(
        population, "direct", randomized=False, symmetric=True, incentive="bic", time_limit=limit
    )
    within(limit, began)
    assert_honest(population, mechanism)


def test_time_limit_of_an_equilibrium_search() -> None:
    rng = np.random.default_rng(1)
    n = 1000
    instance = mo.Instance(
        cost=rng.lognormal(0, 1, n),
        value=rng.lognormal(1, 1, n),
        capacity=rng.lognormal(1, 0.7, n),
        thresholds=np.linspace(0.33, 1.2, 6) * n,
        shares=np.linspace(0.2, 1, 6),
    )
    burden = instance.capacity
    plan = mo.Plan.from_arrays(instance, burden, 0.3 * instance.cost_of(burden))
    report = mo.check_withdrawal(instance, plan, time_limit=0.3)
    began = time.process_time()
    best = report.best
    within(0.3, began)
    assert best.status is not mo.Status.INFEASIBLE  # everybody leaving is one


@pytest.mark.parametrize("limit", [0.3, 1.0])
def test_time_limit_of_the_sequential_search(limit: float) -> None:
    """Here most of the time went into payments that would repair a candidate."""
    rng = np.random.default_rng(5)
    n = 12
    instance = mo.Instance(
        cost=rng.lognormal(0, 1, n),
        value=rng.lognormal(1, 1, n),
        capacity=rng.lognormal(1, 0.7, n),
        thresholds=np.linspace(0.33, 1.85, 3) * n,
        shares=np.linspace(0.2, 1, 3),
        provider_value=6.67 * n,
    )
    began = time.process_time()
    plan = mo.solve(instance, "burdens", protocol="sequential", time_limit=limit)
    within(limit, began)
    assert_honest(instance, plan)


def test_time_limit_of_an_lp() -> None:
    costs = np.sort(np.random.default_rng(3).uniform(0.2, 2, 4))
    population = mo.Population([mo.Group(30, costs, np.full(4, 0.25), 1.0, 6.0)], 33.0)
    began = time.process_time()
    mechanism = mo.solve(
        population, "direct", objective="improvement", incentive="bic", time_limit=1.0
    )
    within(1.0, began)
    assert_honest(population, mechanism)
    assert mechanism.has_answer  # never to run is always allowed
    assert 0 <= mechanism.objective <= mechanism.bound <= 1


def assert_honest(problem: Any, answer: Any) -> None:
    """An incumbent passes the audit and lies on the right side of its bound; or there is none."""
    if not answer.has_answer:
        assert answer.status in (mo.Status.UNKNOWN, mo.Status.INFEASIBLE)
        assert answer.reason
        return
    if answer.status is not mo.Status.UNKNOWN:
        assert mo.audit(problem, answer).ok
    assert answer.bound is None or answer.bound >= answer.objective - 1e-6 * abs(answer.objective)
    if answer.status is mo.Status.FEASIBLE:
        assert answer.bound is not None


def solved(seed: int) -> list[float]:
    """Numbers of a few answers, for comparison between workers."""
    rng = np.random.default_rng(seed)
    numbers: list[float] = []
    for levels in (1, 2):
        instance = random_instance(rng, users=6, levels=levels)
        plan = mo.solve(instance, "burdens", objective="welfare")
        numbers += [plan.objective or 0.0, *plan.burden.tolist(), *plan.payment.tolist()]
    group = mo.Group(2, [1.0, 2.0], [0.5, 0.5], value=1.0 + seed / 8, capacity=10.0)
    mechanism = mo.solve(
        mo.Population([group], thresholds=[1.25]), "direct", objective="improvement"
    )
    return [*numbers, mechanism.objective, *mechanism.run.ravel().tolist()]


def test_threads_and_processes_give_the_serial_answers() -> None:
    seeds = range(6)
    serial = [solved(seed) for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(solved, seeds)) == serial
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(solved, seeds)) == serial


def test_a_model_too_large_for_memory_is_refused_before_it_is_built() -> None:
    group = mo.Group(60, np.arange(1, 9) / 8, [1 / 8] * 8, value=1.0, capacity=9.0)
    population = mo.Population([group], thresholds=[60.0], provider_value=9.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(mo.TooLarge, match=r"[0-9]"):
        mo.solve(population, "direct", incentive="bic")
    assert time.process_time() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Users whose plan takes a moment to write."""
    rng = np.random.default_rng(6)
    path = tmp_path / "large.json"
    mo.Instance(
        cost=rng.lognormal(0, 1, 60_000),
        value=rng.lognormal(0, 1, 60_000),
        capacity=rng.lognormal(0, 1, 60_000),
        thresholds=[30_000.0],
        provider_value=1e6,
    ).write(path)
    return path


def mechopt(*arguments: str, **settings: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mechopt.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


@pytest.mark.parametrize("moment", [0.1, 0.6, 1.2, 2.0])
def test_killed_at_any_moment_the_old_file_is_whole(
    moment: float, large: Path, tmp_path: Path
) -> None:
    out = tmp_path / "plan.csv"
    out.write_text("the old plan\n")
    work = mechopt("solve", str(large), "--out", str(out))
    time.sleep(moment)
    work.send_signal(signal.SIGKILL)
    work.communicate()
    text = out.read_text()
    assert text == "the old plan\n" or text.count("\n") == 60_001


_EXPORT = """
import sys, time
from pathlib import Path
import mechopt as mo
from pyomo.core.base.PyomoModel import ConcreteModel

def half(self, name, **options):
    Path(name).write_text("half a model")
    print("writing", flush=True)
    time.sleep(60)

ConcreteModel.write = half
instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[8])
mo.export_model(instance, "burdens", sys.argv[1])
"""


def test_killed_while_a_model_is_written_its_folder_is_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "models" / "model.lp"
    target.parent.mkdir()
    target.write_text("the old model")
    (tmp_path / "temporary").mkdir()
    work = subprocess.Popen(
        [sys.executable, "-c", _EXPORT, str(target)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
    )
    assert work.stdout is not None
    assert work.stdout.readline() == "writing\n"
    work.kill()
    work.communicate()
    assert target.read_text() == "the old model"
    assert [path.name for path in target.parent.iterdir()] == ["model.lp"]


@pytest.mark.parametrize("moment", [0.5, 1.5])
def test_interrupted_the_exit_status_is_130_and_nothing_is_left(
    moment: float, large: Path, tmp_path: Path
) -> None:
    out = tmp_path / "plan.csv"
    work = mechopt("solve", str(large), "--exact", "--out", str(out))
    time.sleep(moment)
    work.send_signal(signal.SIGINT)
    _, errors = work.communicate()
    assert work.returncode in (130, -signal.SIGINT), errors  # before main() starts: by the signal
    assert [path.name for path in tmp_path.iterdir() if path != large] in ([], ["plan.csv"])


def test_a_full_disk_is_one_clear_line(large: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.csv"
    out.write_text("the old plan\n")

    def little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    work = mechopt("solve", str(large), "--quiet", "--out", str(out), preexec_fn=little_room)
    _, errors = work.communicate()
    assert work.returncode == 2
    assert len(errors.splitlines()) == 1
    assert "File too large" in errors
    assert out.read_text() == "the old plan\n"
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"large.json", "plan.csv"}, left  # no side file beside the old plan


def test_a_certificate_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    instance = mo.Instance(cost=[1], value=1, capacity=9, thresholds=[3], provider_value=9)
    certificate = mo.certify(instance, mo.solve(instance, "burdens"))
    with pytest.raises(mo.OutputError, match="cert"):
        certificate.write("/dev/full/cert.json")
    with pytest.raises(mo.OutputError, match="space"):
        certificate.write("/dev/full")
    with pytest.raises(mo.OutputError, match="missing"):
        certificate.write(tmp_path / "missing" / "cert.json")
    assert not list(tmp_path.iterdir())


def test_solve_exact_and_verify_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    problem = {
        "schema_version": 1,
        "kind": "population",
        "improvement": {"thresholds": [4]},
        "groups": [
            {"size": 2, "costs": ["1/4", 1], "probabilities": [0.6, 0.4], "value": 1, "capacity": 4}
        ],
    }
    (tmp_path / "p.json").write_text(json.dumps(problem))
    problem["improvement"]["thresholds"] = [5]
    (tmp_path / "other.json").write_text(json.dumps(problem))

    def run(*arguments: str) -> tuple[int, str]:
        return cli.main(list(arguments)), capfd.readouterr().out

    options = ("--objective", "improvement", "--incentive", "bic", "--participation", "interim")
    more = ("--no-withdrawal-rights", "--no-transfers", "--exact", "--out", "m.json")
    status, text = run("solve", "p.json", *options, *more)
    assert status == 0
    assert "optimal, 27/35 = 0.771428571429" in text
    assert run("verify", "m.certificate.json", "--problem", "p.json")[0] == 0
    status, text = run("verify", "m.certificate.json", "--problem", "other.json")
    assert status == 3
    assert "another problem" in text
    document = json.loads((tmp_path / "m.certificate.json").read_text())
    document["claim"]["optimum"] = "28/35"
    document["seal"] = checker.seal_of(document)
    (tmp_path / "forged.json").write_text(json.dumps(document))
    status, text = run("verify", "forged.json", "--format", "json")
    assert status == 3
    assert json.loads(text)["verified"] is False
    assert run("verify", "p.json")[0] == 2
    assert os.listdir(tmp_path).count("m.certificate.json") == 1

"""What would not fit into memory is refused before it is built, with the size and a way out."""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import weakref
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt import memory
from mechopt.withdrawal import sequential
from tests.conftest import ROOT


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "limit", lambda: 1e6)


@pytest.fixture(scope="module")
def many() -> mo.Instance:
    rng = np.random.default_rng(1)
    n, levels = 3000, 6
    return mo.Instance(
        cost=rng.lognormal(0, 1, n),
        value=rng.lognormal(0, 1, n),
        capacity=rng.lognormal(0, 1, n),
        thresholds=np.linspace(0.2, 0.9, levels) * n,
        shares=np.linspace(0.2, 1, levels),
    )


def refused(call: Any, *words: str) -> None:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, process_time()
    with pytest.raises(mo.TooLarge) as caught:
        call()
    assert process_time() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    for word in (*words, "GB"):
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["burdens", "subsidy", "burdens-levels", "burdens-levels-bigm"])
def test_pyomo_models(name: str, many: mo.Instance, small_machine: None) -> None:
    one = many.replace(thresholds=many.thresholds[:1], shares=[1.0])
    instance = many if name.startswith("burdens-levels") else one
    refused(lambda: mo.build_model(instance, name), "formulation", "3,000 users", "solve")


def test_a_model_that_grows_with_the_square_is_refused_on_any_machine() -> None:
    instance = mo.Instance(
        cost=np.ones(60_000), value=1, capacity=1, thresholds=[20_000, 50_000], shares=[0.5, 1]
    )
    refused(lambda: mo.build_model(instance, "burdens-levels-bigm"), "coefficients")


def test_count_states(small_machine: None) -> None:
    groups = [mo.Group(1, [1, 2], [0.5, 0.5], 1, 4) for _ in range(14)]
    population = mo.Population(groups, 4)
    refused(lambda: population.states, "16,384 count states of 28 types", "groups")


def test_draws_of_mistakes() -> None:
    instance = mo.Instance(cost=[1, 2], value=3, capacity=5, thresholds=[4])
    plan = mo.solve(instance, "burdens", objective="expenditure")
    refused(lambda: mo.simulate_withdrawal(instance, plan, draws=10**12), "draws")


def test_a_list_of_equilibria_among_many_users(small_machine: None) -> None:
    """Nobody minds: all 2^12 stay-sets are equilibria, each with 3,000 users."""
    n = 3000
    instance = mo.Instance(cost=np.ones(n), value=0, capacity=1, thresholds=[n], reversibility=0)
    burden = np.zeros(n)
    burden[:12] = 1
    report = mo.check_withdrawal(instance, mo.Plan.from_arrays(instance, burden))
    refused(lambda: report.equilibria, "equilibria", "3,000 users")


def test_files_larger_than_the_memory(tmp_path: Path, small_machine: None) -> None:
    path = tmp_path / "instance.json"
    path.write_text("{" + " " * 400_000 + "}")
    refused(lambda: mo.read(path), "instance.json", "400,002 bytes")


def test_a_certificate_of_too_many_rows() -> None:
    group = mo.Group(60, np.arange(1, 6) / 8, [0.2] * 5, value=1.0, capacity=9.0)
    population = mo.Population([group], thresholds=[60.0])
    mechanism = mo.DirectMechanism(population, _terms(), mo.Status.UNKNOWN)
    with pytest.raises(mo.TooLarge, match=r"rows.*limit is 20,000"):
        mo.certify(population, mechanism)


def _terms() -> Any:
    from mechopt.problem.direct_terms import DirectTerms

    return DirectTerms(objective="improvement", transfers=False)


def test_the_limit_is_half_of_the_machine() -> None:
    assert memory.limit() > 1e8


def test_the_sequential_recursion_with_many_thresholds(small_machine: None) -> None:
    levels, n = 300, 40
    instance = mo.Instance(
        cost=np.ones(n),
        value=1,
        capacity=10,
        thresholds=np.arange(1, levels + 1),
        shares=np.arange(1, levels + 1) / levels,
    )
    plan = mo.Plan.from_arrays(instance, np.full(n, 10.0))
    refused(lambda: mo.check_withdrawal(instance, plan, protocol="sequential"), "300 levels")


def test_preference_tables_are_held_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same outcome, however few tables fit."""
    rng = np.random.default_rng(2)
    n, levels = 50, 20
    instance = mo.Instance(
        cost=rng.lognormal(0, 1, n),
        value=rng.lognormal(1, 1, n),
        capacity=rng.lognormal(0, 1, n),
        thresholds=np.linspace(0.1, 0.9, levels) * n,
        shares=np.linspace(0.1, 1, levels),
    )
    plan = mo.Plan.from_arrays(instance, instance.capacity)
    whole = mo.check_withdrawal(instance, plan, protocol="sequential").outcome.stay
    monkeypatch.setattr(sequential, "PAIRS", 1)
    again = mo.check_withdrawal(instance, plan, protocol="sequential").outcome.stay
    assert again.tolist() == whole.tolist()
    assert not whole.all()


ALIVE = """
import weakref
import numpy as np
import mechopt as mo
n, models, most = 100, [], 0
instance = mo.Instance(np.ones(n), 1.0, np.ones(n), [20.0, 40.0, 60.0], [0.2, 0.5, 1.0])
for _ in range(40):
    models.append(weakref.ref(mo.build_model(instance, "burdens-levels")))
    most = max(most, sum(model() is not None for model in models))
print(most)
"""


def test_models_that_nobody_holds_are_given_back() -> None:
    """They are cyclic: where the collector is told that they are old, all forty stay."""
    code = [sys.executable, "-c", ALIVE]
    alive = subprocess.run(code, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert int(alive) <= 25


GROWTH = """
import numpy as np
import mechopt as mo
from mechopt import memory
from benchmarks.units.run import resident
memory.PILE = 300_000  # as 1,000,000 to models of 1,000 users
n, peaks = 300, []
instance = mo.Instance(
    np.ones(n), 1.0, np.ones(n), np.array([0.2, 0.4, 0.6, 0.8]) * n, [0.2, 0.4, 0.7, 1.0]
)
for _ in range(24):
    mo.build_model(instance, "burdens-levels")
    peaks.append(resident())
print(max(peaks[10:]) - max(peaks[:10]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own count")
def test_memory_does_not_grow_while_models_are_built_and_dropped() -> None:
    code = [sys.executable, "-c", GROWTH]
    grown = subprocess.run(code, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert float(grown) <= 15.0  # MB, as 50 MB are to models of 1,000 users


def test_a_pause_gives_back_what_earlier_ones_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PILE", 1000)
    gc.collect()
    monkeypatch.setattr(memory.Pile, "waiting", 0)
    monkeypatch.setattr(memory.Pile, "alive", 0)

    def made() -> list[weakref.ref[Ring]]:
        with memory.paused_gc():
            rings = [Ring() for _ in range(1500)]
        return [weakref.ref(ring) for ring in rings]

    first = made()
    assert any(ring() for ring in first)
    with memory.paused_gc():
        assert not any(ring() for ring in first)
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.Pile, "waiting", 10 * memory.PILE)
    gc.disable()
    try:
        with memory.paused_gc():
            pass
        assert not gc.isenabled()
        assert memory.Pile.waiting == 10 * memory.PILE
    finally:
        gc.enable()


class Ring:
    """Holds itself, as a scalar component of Pyomo does."""

    def __init__(self) -> None:
        self.own = {None: self}

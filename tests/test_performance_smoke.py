"""Every benchmark spec of benchmarks/performance at its smallest size: all routes, one answer."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import highspy
import pytest

import mechopt as mo

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "performance"
EXTRA = ("linopy", "OR-tools")  # tools of the extra "bench", which tests do not need
NAMES = (
    "burdens-1",
    "burdens-10",
    "posted-price",
    "sequential-1",
    "sequential-10",
    "simultaneous-1",
    "simultaneous-10",
    "direct-dsic",
    "direct-bic",
    "procurement",
    "sweep",
    "handoff",
    "total",
)


@pytest.fixture(scope="module")
def modules() -> Any:
    """The benchmark's own modules, importable while these tests run and forgotten afterwards."""
    highspy.Highs.resetGlobalScheduler(True)  # an earlier test may have run it with more threads
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    try:
        import plot
        import run
        import specs
        import summary

        yield SimpleNamespace(plot=plot, run=run, specs=specs, summary=summary)
    finally:
        sys.path = [place for place in sys.path if "benchmarks" not in place]
        for name in set(sys.modules) - before:
            path = getattr(sys.modules[name], "__file__", None) or ""
            if "benchmarks" in path:
                del sys.modules[name]


def test_names(modules: Any) -> None:
    assert set(modules.specs.SPECS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_routes_agree(modules: Any, name: str) -> None:
    spec = modules.specs.SPECS[name]
    size = spec.sizes[0]
    assert list(spec.sizes) == sorted(spec.sizes)
    assert set(spec.quick) <= set(spec.sizes)
    problem = spec.make(size)
    reference = spec.routes[spec.reference]
    expected = reference.run(reference.prepare(problem))
    for label, route in spec.routes.items():
        if label.startswith(EXTRA):
            continue
        answer = route.run(route.prepare(problem))
        assert answer == pytest.approx(expected, rel=route.tolerance, abs=route.tolerance), label


def test_exponent(modules: Any) -> None:
    exponent = modules.plot.exponent
    assert exponent([(10, 1e-4), (100, 0.01), (1000, 1.0)]) == pytest.approx(2.0)
    assert exponent([(10, 1e-4), (100, 0.01)]) is None


def test_predicted(modules: Any) -> None:
    predicted = modules.run.predicted
    assert predicted([], 10) == 0
    assert predicted([(10, 0.01)], 1000) == 0  # growth does not show yet
    assert predicted([(10, 1.0)], 100) == pytest.approx(10)
    assert predicted([(10, 0.1), (100, 10.0)], 1000) == pytest.approx(1000)


def test_tables_of_a_recorded_run(modules: Any, tmp_path: Path) -> None:
    def row(size: int, route: str, cpu: float | None, note: str = "") -> dict[str, Any]:
        measured = {"seconds": cpu, "cpu": cpu, "answer": 1.0}
        return {"spec": "total", "size": size, "route": route, "note": note, **measured}

    rows = [
        row(969, "mechopt", 0.2),
        row(969, "arrays, no Pyomo", 0.1),
        row(3876, "mechopt", 4.0),
        row(3876, "arrays, no Pyomo", 1.0),
        row(3876, "Pyomo appsi_highs", None, "predicted > 60 s (80 s)"),
    ]
    about: dict[str, Any] = {"system": "Linux", "processor": "one", "cores": 2, "python": "3"}
    about |= {"packages": {"mechopt": "0"}, "runs": {}}
    about["runs"]["total"] = {
        "date": "2026-11-22T00:00",
        "limit": 60.0,
        "minutes": 1.0,
        "load": [1],
    }
    modules.run.write(tmp_path, rows, about)
    judged = modules.run.goals.table(tmp_path)
    (tmp_path / "goals.md").write_text("\n".join(judged))
    assert "2.00× (0.20 s against 0.10) | yes |" in judged[1]
    assert "4.00× (4.00 s against 1.00) | no |" in judged[2]
    blocks = modules.summary.blocks(tmp_path)
    assert "arrays, no Pyomo 0.25×" in blocks["largest"]
    assert "| arrays, no Pyomo | 969 to 3,876 states | 0.25 to 0.5 of it |" in blocks["faster"]
    assert "Limit 60 s" in blocks["machine"]
    text = modules.summary.README.read_text()
    assert all(f"<!-- {name} -->" in text and f"<!-- /{name} -->" in text for name in blocks)


def test_sweep_agrees_with_single_solves(modules: Any) -> None:
    from sweep import sweep_provider_value

    population = mo.Population([mo.Group(4, [1, 2, 3], [0.3, 0.3, 0.4], 0.5, 3)], [4])
    values = [0.0, 1.0, 3.0, 6.0, 12.0]
    answers = sweep_provider_value(population, values)
    for value, answer in zip(values, answers):
        point = population.replace(provider_value=value)
        alone = mo.solve(point, "direct", objective="provider-surplus")
        assert answer.objective == pytest.approx(alone.objective, rel=1e-9, abs=1e-9)
        assert mo.audit(point, answer).ok
    surplus = [answer.objective for answer in answers]
    assert surplus == sorted(surplus)
    with pytest.raises(mo.InvalidOption, match="V does not occur"):
        sweep_provider_value(population, values, objective="improvement")

"""Every benchmark spec of benchmarks/performance at its smallest size: all routes, one answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

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
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    try:
        import plot
        import specs

        yield specs, plot
    finally:
        sys.path = [place for place in sys.path if "benchmarks" not in place]
        for name in set(sys.modules) - before:
            path = getattr(sys.modules[name], "__file__", None) or ""
            if "benchmarks" in path:
                del sys.modules[name]


def test_names(modules: Any) -> None:
    assert set(modules[0].SPECS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_routes_agree(modules: Any, name: str) -> None:
    spec = modules[0].SPECS[name]
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
    exponent = modules[1].exponent
    assert exponent([(10, 1e-4), (100, 0.01), (1000, 1.0)]) == pytest.approx(2.0)
    assert exponent([(10, 1e-4), (100, 0.01)]) is None

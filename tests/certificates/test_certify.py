"""Certificates: exact optima against known answers, brute force and the production solver."""

from __future__ import annotations

import json
from fractions import Fraction as F
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.checker.__main__ import main
from mechopt.exact import basis as exact_basis
from mechopt.exact import lp as exact_lp
from tests.certificates.checked import certified
from tests.oracles import brute_force
from tests.oracles.known_answers import direct_cases
from tests.problems import random_instance, random_population

OBJECTIVES = ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement")


def test_every_lp_of_the_known_answers_as_its_exact_fraction(shared_data: Path) -> None:
    checked = 0
    for name, population, options, exact in direct_cases(shared_data):
        mechanism = mo.solve(population, "direct", **options)
        certificate = certified(population, mechanism)
        assert certificate.status == "optimal", name
        assert certificate.optimum == exact, name
        assert certificate.agrees, (name, certificate.remark)
        checked += 1
    assert checked == 15


def test_least_subsidy_of_the_known_answers(shared_data: Path) -> None:
    cases = json.loads((shared_data / "known_answers.json").read_text())["cases"]
    checked = 0
    for case in cases:
        if case["id"].startswith("GT15"):
            given = case["instance"]
            instance = mo.Instance(given["theta"], given["v"], given["cap"], [given["T"]])
            plan = mo.solve(instance, "burdens", objective="expenditure")
            assert certified(instance, plan).optimum == F(case["exact"])
            checked += 1
    assert checked == 2


def test_worked_numbers_of_the_formulation(worked: mo.Instance) -> None:
    def exact(instance: mo.Instance, **options: Any) -> Any:
        certificate = certified(instance, mo.solve(instance, "burdens", **options))
        return certificate.status, certificate.optimum

    far = worked.replace(thresholds=[11])
    assert exact(worked, objective="social-cost", transfers=False) == ("optimal", 10)
    assert exact(worked, objective="social-cost") == ("optimal", 8)
    assert exact(far, objective="expenditure", transfers=False) == ("null", 0)
    assert exact(far, objective="expenditure") == ("optimal", F(1, 2))
    third = far.replace(cost=["1/3", "2/3", "4/3"], value=2, thresholds=["34/3"])
    assert exact(third, objective="expenditure") == ("optimal", F(5, 18))


@pytest.mark.parametrize("protocol", ["simultaneous", "sequential", "none"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_one_threshold_is_certified_at_the_brute_force_optimum(
    objective: str, protocol: str
) -> None:
    rng = np.random.default_rng([7, len(objective), len(protocol)])
    for _ in range(25):
        instance = random_instance(rng, users=int(rng.integers(1, 4)), exact=True)
        transfers = bool(rng.integers(2))
        plan = mo.solve(
            instance, "burdens", objective=objective, transfers=transfers, protocol=protocol
        )
        certificate = certified(instance, plan)
        best = brute_force.burdens(instance, objective, transfers, protocol)
        assert certificate.status == ("null" if best is None else "optimal")
        assert best is None or certificate.optimum == best[0]


@pytest.mark.parametrize("protocol", ["simultaneous", "sequential", "none"])
def test_several_thresholds_agree_with_the_solver(protocol: str) -> None:
    rng = np.random.default_rng([8, len(protocol)])
    closed = 0
    for _ in range(40):
        instance = random_instance(rng, users=3, levels=int(rng.integers(2, 4)))
        objective = OBJECTIVES[rng.integers(5)]
        plan = mo.solve(instance, "burdens", objective=objective, protocol=protocol)
        certificate = certified(instance, plan)
        closed += certificate.status != "feasible"
    assert closed >= 36


def test_random_direct_mechanisms_agree_with_the_solver() -> None:
    rng = np.random.default_rng(9)
    for _ in range(30):
        population = random_population(rng, users=2, types=3)
        mechanism = mo.solve(
            population,
            "direct",
            objective=OBJECTIVES[rng.choice([0, 1, 4])],
            incentive=("dsic", "bic")[rng.integers(2)],
            participation=("ex-post", "interim")[rng.integers(2)],
            transfers=bool(rng.integers(2)),
        )
        certified(population, mechanism)


def test_a_deterministic_mechanism_by_an_exact_tree() -> None:
    group = mo.Group(2, costs=[1, 2], probabilities=["1/2", "1/2"], value=1, capacity=10)
    population = mo.Population([group], thresholds="5/4")
    options = {"objective": "improvement", "transfers": False, "incentive": "dsic"}
    lottery = mo.solve(population, "direct", **options)
    sure = mo.solve(population, "direct", randomized=False, **options)
    assert certified(population, lottery).optimum == F(5, 8)
    certificate = certified(population, sure)
    assert certificate.optimum == F(1, 2)
    assert "zero" in certificate.document["proof"]


def test_an_unreachable_target_is_proved_infeasible() -> None:
    group = mo.Group(2, costs=[1, 2], probabilities=["1/2", "1/2"], value=1, capacity=10)
    population = mo.Population([group], thresholds="5/4")
    mechanism = mo.solve(population, "direct", objective="social-cost", target=0.7, transfers=False)
    assert mechanism.status is mo.Status.INFEASIBLE
    assert certified(population, mechanism).status == "infeasible"


def test_two_thousand_rows_within_thirty_seconds() -> None:
    group = mo.Group(
        22, costs=[0.25, 0.5, 1.0], probabilities=[0.3, 0.3, 0.4], value=1.0, capacity=44.0
    )
    population = mo.Population([group], thresholds=[40.0])
    mechanism = mo.solve(
        population, "direct", objective="improvement", incentive="dsic", transfers=False
    )
    began = process_time()
    certificate = mo.certify(population, mechanism)
    assert certificate.document["about"]["rows"] >= 2000
    assert certificate.status == "optimal"
    assert certificate.agrees, certificate.remark
    assert process_time() - began < 30


def test_a_wrong_answer_is_contradicted(worked: mo.Instance) -> None:
    plan = mo.solve(worked.replace(thresholds=[11]), "burdens", objective="expenditure")
    for said in (0.25, 0.75):
        lie = plan.replace(objective=said, bound=said)
        certificate = mo.certify(plan.instance, lie)
        assert not certificate.agrees
        assert "1/2" in certificate.remark
    null = mo.Plan.null(worked, mechanism="burdens", objective_name="provider-surplus")
    assert not mo.certify(worked, null).agrees


def test_floats_are_read_as_the_decimals_they_were_typed_as() -> None:
    """0.1 + 0.2 reaches 0.3 in decimals; in binary it misses or exceeds it."""
    instance = mo.Instance(cost=1.0, value=1.0, capacity=[0.1, 0.2], thresholds=[0.3])
    plan = mo.solve(instance, "burdens", objective="expenditure")
    certificate = certified(instance, plan)
    assert certificate.status == "optimal"
    assert certificate.optimum == 0
    assert "decimal" in certificate.document["about"]["reading"]


def test_what_cannot_be_certified_says_so(worked: mo.Instance) -> None:
    with pytest.raises(mo.NotSupported, match="given"):
        mo.certify(worked, mo.Plan.from_arrays(worked, [6, 2, 0]))
    with pytest.raises(mo.InvalidOption, match="another instance"):
        mo.certify(worked.replace(thresholds=[9]), mo.solve(worked, "burdens"))


def test_a_certificate_is_written_whole(worked: mo.Instance, tmp_path: Path) -> None:
    certificate = mo.certify(worked, mo.solve(worked, "burdens"))
    certificate.write(tmp_path / "cert.json")
    assert main([str(tmp_path / "cert.json")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["cert.json"]


# -- exact linear algebra -------------------------------------------------------------------------


def _random_system(rng: np.random.Generator, n: int) -> tuple[list[dict[Any, F]], list[F]]:
    matrix = rng.integers(-3, 4, (n, n)) * (rng.random((n, n)) < 0.4) + np.diag(
        rng.integers(1, 5, n) * 7
    )
    rows = [{j: F(int(a)) for j, a in enumerate(row) if a} for row in matrix]
    return rows, [F(int(b), 3) for b in rng.integers(-5, 6, n)]


@pytest.mark.parametrize("n", [1, 2, 5, 14, 40])
def test_exact_equations_with_and_without_flint(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(n)
    rows, right = _random_system(rng, n)
    found = exact_basis.solve(rows, right)
    for row, b in zip(rows, right):
        assert sum((a * found[j] for j, a in row.items()), F(0)) == b
    monkeypatch.setitem(__import__("sys").modules, "flint", None)
    assert exact_basis.solve(rows, right) == found
    if n == 40:
        monkeypatch.setattr(exact_basis, "LARGEST_NUCLEUS", 5)
        with pytest.raises(mo.NotSupported, match=r"mechopt\[exact\]"):
            exact_basis.solve(rows, right)


def test_singular_equations_are_refused() -> None:
    with pytest.raises(mo.SolverError, match="singular"):
        exact_basis.solve([{0: F(1), 1: F(1)}, {0: F(2), 1: F(2)}], [F(1), F(2)])


@pytest.mark.parametrize("start", ["slacks", "worst"])
def test_exact_pivots_repair_a_basis(start: str) -> None:
    """max x + y, x + 2y ≤ 4, 3x + y ≤ 6: optimum 14/5 from any basis."""
    rows: list[exact_lp.Row] = [
        ("a", {"x": F(-1), "y": F(-2)}, False, F(-4)),
        ("b", {"x": F(-3), "y": F(-1)}, False, F(-6)),
    ]
    program = exact_lp._Program(rows, {"x": F(1), "y": F(1)}, frozenset(), {}, float("inf"))
    basis = [("slack", 0), ("slack", 1)] if start == "slacks" else ["x", ("slack", 1)]
    found = program.optimum(basis)
    assert found.value == F(14, 5)
    assert found.pivots > 0
    assert found.multipliers == {"a": F(2, 5), "b": F(1, 5)}


@pytest.mark.parametrize(
    ("shares", "optimum"), [(["1/2", "4/5", 1], "107/15"), (["1/3", "2/3", 1], "41/9")]
)
def test_in_sequence_with_diminishing_returns_the_optimum_is_certified(
    shares: list[object], optimum: str
) -> None:
    """F11: where no step exceeds the one before, the checker takes (W1) for the whole right."""
    instance = mo.Instance(
        cost=[1, 2, 3, "1/2", 1, 2],
        value=[4, 3, 5, 2, 6, 1],
        capacity=2,
        thresholds=[5, 7, 9],
        shares=shares,
    )
    plan = mo.solve(instance, objective="expenditure", protocol="sequential")
    certificate = mo.certify(instance, plan)
    assert certificate.status == "optimal"
    assert certificate.optimum == F(optimum)


@pytest.mark.parametrize("value", [10**15, 10**30])
def test_a_value_that_means_in_any_case_does_not_hide_the_basis(value: int) -> None:
    small = mo.Group(size=2, costs=[1, 2], probabilities=["1/2", "1/2"], value=1, capacity=10)
    large = mo.Group(size=2, costs=[1, 2], probabilities=["1/2", "1/2"], value=value, capacity=10)
    population = mo.Population([large, small], ["5/4"], provider_value=1)
    began = process_time()
    certificate = mo.certify(population, mo.solve(population, "direct", time_limit=5))
    assert certificate.agrees
    assert certificate.optimum == 1
    assert process_time() - began < 4

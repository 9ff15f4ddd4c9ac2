"""Real capacities to an instance: the recipe's distributions, its assumptions, its refusals."""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np
import pytest
from scipy.stats import spearmanr

from mechopt.cases import calibration
from mechopt.cases.calibration import instance_from_capacities, read_capacities
from mechopt.errors import InvalidFile, InvalidOption
from mechopt.problem.improvement_curves import step_curve_from_distribution


def test_prism_instance_follows_the_recipe(shared_data) -> None:
    source = "prism_rated_responses"
    ids, units = read_capacities(shared_data / "contributions.csv", source)
    made = instance_from_capacities(units, share_of_total=0.5, source=source, ids=ids, seed=1)
    instance = made.instance
    assert instance.n == 1396
    assert instance.thresholds.tolist() == [68_371 / 2]
    assert (instance.capacity == 0).sum() == round(0.11 * 1396)
    kept = instance.capacity > 0
    assert instance.capacity[kept].tolist() == units[kept].tolist()
    assert instance.provider_value == 20 * 1396
    text = " ".join(made.assumptions)
    for said in ("prism_rated_responses", "6.05", "-0.22", "+0.47", "2.33", "11 %", "seed 1"):
        assert said in text


def test_drawn_costs_and_values_have_the_stated_moments_and_dependence() -> None:
    n = 40_000
    units = np.arange(1.0, n + 1)
    cost, value = calibration.draw_cost_and_value(units, seed=5)
    monthly = np.log((cost - calibration.EFFORT) * units)
    within = 4 / sqrt(n)
    assert monthly.mean() == pytest.approx(log(6.05), abs=within)
    assert monthly.std() == pytest.approx(1, abs=within)
    assert np.log(value).mean() == pytest.approx(0.51, abs=2.33 * within)
    assert np.log(value).std() == pytest.approx(2.33, abs=2.33 * within)
    # Spearman's rho of a Gaussian copula with correlation r is 6/π · asin(r / 2)
    for drawn, r in ((monthly, -0.22), (value, 0.47)):
        expected = 6 / np.pi * np.arcsin(r / 2)
        assert spearmanr(drawn, units).statistic == pytest.approx(expected, abs=within)
    assert float((value > 20).mean()) == pytest.approx(0.143, abs=0.01)  # the survey's anchors
    assert float((value > 200).mean()) == pytest.approx(0.02, abs=0.01)


def test_same_seed_same_instance_and_parameters_change_only_their_own_draws() -> None:
    units = np.array([3.0, 3.0, 1.0, 8.0, 2.0, 9.0, 4.0, 4.0, 6.0])
    a = instance_from_capacities(units, share_of_total=0.5, seed=2).instance
    assert a == instance_from_capacities(units, share_of_total=0.5, seed=2).instance
    assert a != instance_from_capacities(units, share_of_total=0.5, seed=3).instance
    wide = instance_from_capacities(units, share_of_total=0.5, cost_log_sd=1.5, seed=2).instance
    assert wide.value.tolist() == a.value.tolist()
    assert wide.cost.tolist() != a.cost.tolist()


def test_thresholds_from_each_source() -> None:
    units = np.ones(10)
    several = instance_from_capacities(units, share_of_total=[0.25, 0.5], seed=0).instance
    assert several.thresholds.tolist() == [2.5, 5]
    assert several.shares.tolist() == [0.5, 1]
    given = instance_from_capacities(units, thresholds=[3], shares=[0.9], seed=0).instance
    assert (given.thresholds.tolist(), given.shares.tolist()) == ([3], [0.9])
    curve = step_curve_from_distribution("lognormal", 3, median=5, log_sd=0.2)
    made = instance_from_capacities(units, curve=curve, seed=0)
    assert made.instance.levels == 3
    assert any("lognormal threshold" in line and "error" in line for line in made.assumptions)


def test_provider_value_of_the_caller_is_used() -> None:
    made = instance_from_capacities([1, 2], thresholds=2, provider_value=7, seed=0)
    assert made.instance.provider_value == 7
    assert exp(calibration.VALUE_MU) == pytest.approx(1.665, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give one of"),
        ({"share_of_total": 0.5, "thresholds": 3}, "give one of"),
        ({"share_of_total": 0}, "share_of_total"),
        ({"thresholds": 3, "never_sell": 1.0}, "never_sell"),
        ({"thresholds": 3, "cost_capacity": -1.5}, "cost_capacity"),
        ({"capacity": [1, 0], "thresholds": 3}, r"capacity\[1\]"),
        ({"capacity": [], "thresholds": 3}, "at least one person"),
    ],
)
def test_bad_arguments_are_named(options, message: str) -> None:
    capacity = options.pop("capacity", [1.0, 2.0])
    with pytest.raises(InvalidOption, match=message):
        instance_from_capacities(capacity, seed=0, **options)


def test_capacity_files_are_checked(shared_data, tmp_path) -> None:
    with pytest.raises(InvalidFile, match="several sources"):
        read_capacities(shared_data / "contributions.csv")
    with pytest.raises(InvalidFile, match="choose from: commonvoice"):
        read_capacities(shared_data / "contributions.csv", "prism")
    file = tmp_path / "units.csv"
    file.write_text("contributor,units\na,3\nb,-1\n")
    with pytest.raises(InvalidFile, match=r"units of b: must be a number ≥ 0, got '-1'"):
        read_capacities(file)
    file.write_text("contributor,units\na,3\n")
    assert read_capacities(file)[0] == ["a"]
    file.write_text("who,units\na,3\n")
    with pytest.raises(InvalidFile, match="missing column contributor"):
        read_capacities(file)

"""Step curves: the stated error is the error, thresholds are where the curve says."""

from __future__ import annotations

from math import exp, log
from statistics import NormalDist

import numpy as np
import pytest

import mechopt as mo
from mechopt.cases.calibration import read_learning_curve
from mechopt.errors import InvalidFile, InvalidOption
from mechopt.problem.improvement_curves import (
    StepCurve,
    step_curve_from_distribution,
    step_curve_from_losses,
)

SIZES = [0, 100, 1000, 10_000]
LOSSES = [4.0, 3.0, 2.5, 2.0]  # shares .5, .75, 1


def height(curve: StepCurve, x: float) -> float:
    """B(x), from the definition."""
    return max([b for t, b in zip(curve.thresholds, curve.shares) if t <= x], default=0.0)


def test_steps_lie_on_the_measured_points() -> None:
    curve = step_curve_from_losses(SIZES, LOSSES, [0.5, 0.75, 1.0])
    assert curve.thresholds.tolist() == [100, 1000, 10_000]
    assert curve.error == 0.5
    assert curve.overstated == 0


def test_between_sizes_the_gain_is_linear_in_log_size_and_in_size_from_zero() -> None:
    curve = step_curve_from_losses(SIZES, LOSSES, [0.25, 0.6], per_unit=10)
    assert curve.thresholds[0] == 5  # half of 100 examples
    assert curve.thresholds[1] == pytest.approx(100 * exp(0.4 * log(10)) / 10, rel=1e-12)
    assert curve.reach == 1000
    assert curve.error == pytest.approx(0.4)  # after the last step


def test_a_rising_loss_counts_as_the_lowest_so_far() -> None:
    curve = step_curve_from_losses([0, 1, 2, 3], [4, 3, 3.5, 2], [0.5, 0.75, 1.0])
    assert curve.thresholds[0] == 1
    assert 2 < curve.thresholds[1] < curve.thresholds[2] == 3


@pytest.mark.parametrize("discretisation", ["lower", "nearest"])
@pytest.mark.parametrize("seed", range(5))
def test_stated_error_is_the_largest_distance_to_the_learning_curve(
    discretisation: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    size = np.concatenate([[0], np.cumsum(rng.integers(1, 500, 6))]).astype(float)
    loss = 5 - np.cumsum(np.concatenate([[0], rng.random(6)]))
    shares = np.unique(np.round(rng.random(4), 3) * 0.98 + 0.01)
    curve = step_curve_from_losses(size, loss, shares, discretisation=discretisation)
    at = np.concatenate([np.linspace(0, size[-1], 4001), curve.thresholds, size])
    at = np.concatenate([at, curve.thresholds * (1 - 1e-9)])
    gain = (loss[0] - loss) / (loss[0] - loss[-1])
    position = np.searchsorted(size, at, side="right").clip(1, size.size - 1)
    low, high = size[position - 1], size[position]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(low == 0, at / high, np.log(at / low) / np.log(high / low))
    truth = gain[position - 1] + part * (gain[position] - gain[position - 1])
    steps = np.array([height(curve, x) for x in at])
    assert np.abs(truth - steps).max() == pytest.approx(curve.error, abs=1e-6)
    assert max(0.0, (steps - truth).max()) == pytest.approx(curve.overstated, abs=1e-6)


@pytest.mark.parametrize(
    ("distribution", "parameters", "cdf"),
    [
        ("normal", {"mean": 50, "sd": 10}, NormalDist(50, 10).cdf),
        (
            "lognormal",
            {"median": 50, "log_sd": 0.4},
            lambda x: NormalDist(log(50), 0.4).cdf(log(x)),
        ),
    ],
)
@pytest.mark.parametrize("discretisation", ["lower", "nearest"])
@pytest.mark.parametrize("levels", [1, 2, 7])
def test_distribution_steps_have_the_least_possible_error(
    distribution, parameters, cdf, discretisation, levels
) -> None:
    curve = step_curve_from_distribution(
        distribution, levels, discretisation=discretisation, **parameters
    )
    assert curve.shares.size == levels
    least = 1 / (levels + 1) if discretisation == "lower" else 1 / (2 * levels)
    assert curve.error == pytest.approx(least)
    grid = np.concatenate([np.linspace(1, 150, 5000), curve.thresholds, curve.thresholds - 1e-9])
    apart = max(abs(cdf(x) - height(curve, x)) for x in grid)
    assert apart == pytest.approx(curve.error, abs=2e-3)


def test_empirical_belief_with_all_its_values_is_exact() -> None:
    sample = [3.0, 1.0, 2.0, 7.0]
    for discretisation in ("lower", "nearest"):
        curve = step_curve_from_distribution(
            "empirical", shares=[0.25, 0.5, 0.75, 1.0], sample=sample, discretisation=discretisation
        )
        assert curve.thresholds.tolist() == sorted(sample)
        assert curve.error == 0


@pytest.mark.parametrize("seed", range(8))
def test_empirical_error_is_as_stated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sample = rng.integers(1, 12, 9).astype(float)
    for discretisation in ("lower", "nearest"):
        curve = step_curve_from_distribution(
            "empirical", 3, sample=sample, discretisation=discretisation
        )
        at = np.arange(0.5, 13, 0.5)
        truth = np.array([(sample <= x).mean() for x in at])
        steps = np.array([height(curve, x) for x in at])
        assert np.abs(truth - steps).max() == pytest.approx(curve.error)
        assert max(0.0, (steps - truth).max()) == pytest.approx(curve.overstated)


@pytest.mark.parametrize("task", ["flan", "gigaword", "wmt19"])
def test_real_learning_curves_become_instances(shared_data, task: str) -> None:
    sizes, losses = read_learning_curve(shared_data / "finetune_learning_curves.csv", task)
    curve = step_curve_from_losses(sizes, losses, [0.5, 0.9, 1.0])
    instance = mo.Instance(
        cost=[1, 2],
        value=3,
        capacity=1e6,
        thresholds=curve.thresholds,
        shares=curve.shares,
    )
    assert instance.levels == 3


def test_median_gain_equals_the_data_sheet(shared_data) -> None:
    sheet = {
        "flan": (0.43, 0.52, 0.59, 0.67, 0.76, 0.86, 0.96),
        "gigaword": (0.69, 0.75, 0.80, 0.84, 0.89, 0.94, 0.98),
        "wmt19": (0.20, 0.26, 0.36, 0.50, 0.68, 0.85, 0.96),
    }
    for task, expected in sheet.items():
        sizes, losses = read_learning_curve(shared_data / "finetune_learning_curves.csv", task)
        reached = dict(zip(sizes.tolist(), 1 - losses))
        at = [200, 800, 3200, 12800, 51200, 204800, 819200]
        assert [round(reached[size], 2) for size in at] == pytest.approx(expected, abs=0.0101)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: step_curve_from_losses([0, 1], [1, 2], [1.0]), "never|none is below"),
        (lambda: step_curve_from_losses([0, 0], [2, 1], [1.0]), "sizes"),
        (lambda: step_curve_from_losses([0, 1, 2], [2, 1], [1.0]), "as many"),
        (lambda: step_curve_from_losses([0, 1], [2, float("nan")], [1.0]), "losses"),
        (lambda: step_curve_from_losses([0, 1], [2, 1], [0.5, 0.5]), "increase"),
        (lambda: step_curve_from_losses([0, 1], [2, 1], [1.5]), "shares"),
        (lambda: step_curve_from_losses([0, 1], [2, 1], discretisation="lowr"), "'lower'"),
        (lambda: step_curve_from_losses([0, 1], [2, 1], per_unit=0), "per_unit"),
        (lambda: step_curve_from_distribution("nrmal", 2), "'normal'"),
        (lambda: step_curve_from_distribution("normal", 2, mean=1), "missing: sd"),
        (lambda: step_curve_from_distribution("normal", 2, mean=1, sd=1, log_sd=1), "log_sd"),
        (lambda: step_curve_from_distribution("normal", mean=1, sd=1), "exactly one"),
        (lambda: step_curve_from_distribution("normal", 5, mean=1, sd=9), r"P\(T ≤ 0\)"),
        (lambda: step_curve_from_distribution("lognormal", 0, median=1, log_sd=1), "levels"),
        (lambda: step_curve_from_distribution("lognormal", 2, median=-1, log_sd=1), "median"),
        (
            lambda: step_curve_from_distribution(
                "normal", shares=[0.5, 1.0], discretisation="lower", mean=9, sd=1
            ),
            "no quantile at 1",
        ),
        (lambda: step_curve_from_distribution("empirical", 2, sample=[0.0, 1]), "sample"),
    ],
)
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        call()


def test_bad_learning_curve_files_are_named(tmp_path) -> None:
    file = tmp_path / "curves.csv"
    file.write_text("task,model,loss_0,loss_10\nflan,a,2,1\nflan,b,2,x\n")
    with pytest.raises(InvalidFile, match=r"loss_10 of b"):
        read_learning_curve(file, "flan")
    with pytest.raises(InvalidFile, match="choose from: flan"):
        read_learning_curve(file, "flam")
    with pytest.raises(InvalidFile, match="choose from: a, b"):
        read_learning_curve(file, "flan", "c")
    with pytest.raises(InvalidFile, match="cannot be read"):
        read_learning_curve(tmp_path / "none.csv", "flan")

"""Draws: accuracy of the elementary functions, separate streams, frozen first values."""

from __future__ import annotations

from math import exp, isclose, log, ulp
from statistics import NormalDist

import numpy as np
import pytest

from mechopt import draws


def test_log_and_exp_are_within_two_units_in_the_last_place() -> None:
    u = draws.uniform(3, "points", 1000)
    for x in np.concatenate([u, u * 1e-12, u * 1e12, [1.0, 2.0, 0.5, 0.7071067811865476]]).tolist():
        assert abs(float(draws.log(np.array([x]))[0]) - log(x)) <= 2.5 * ulp(log(x))
    for x in ((u - 0.5) * 400).tolist():
        assert abs(float(draws.exp(np.array([x]))[0]) - exp(x)) <= 2.5 * ulp(exp(x))


def test_normal_quantile_equals_the_standard_library() -> None:
    u = draws.uniform(4, "points", 3000)
    points = np.concatenate([u, u * 1e-9, 1 - u * 1e-6, [0.5, 2.0**-54, 0.075, 0.925]])
    for p, z in zip(points.tolist(), draws.normal_quantile(points).tolist()):
        assert isclose(z, NormalDist().inv_cdf(p), rel_tol=1e-12, abs_tol=1e-15)


def test_streams_are_reproducible_and_independent_of_each_other() -> None:
    first = draws.uniform(7, "cost", 5)
    assert first.tolist() == draws.uniform(7, "cost", 5).tolist()
    assert first.tolist() == draws.uniform(7, "cost", 9)[:5].tolist()
    assert not np.isin(first, draws.uniform(7, "value", 5)).any()
    assert not np.isin(first, draws.uniform(8, "cost", 5)).any()


def test_first_values_are_frozen() -> None:
    """A platform or NumPy version on which these differ would change every published instance."""
    assert [value.hex() for value in draws.uniform(0, "cost", 2).tolist()] == FROZEN["uniform"]
    assert [value.hex() for value in draws.normal(0, "cost", 2).tolist()] == FROZEN["normal"]
    assert draws.permutation(0, "order", 8).tolist() == FROZEN["permutation"]


FROZEN = {
    "uniform": ["0x1.2d117e5dd5dfep-1", "0x1.e6612fdb7e730p-1"],
    "normal": ["0x1.c79bcbc286736p-3", "0x1.a4fbdccbf0038p+0"],
    "permutation": [6, 1, 7, 4, 5, 2, 3, 0],
}


def test_uniforms_are_inside_the_open_interval_with_the_right_moments() -> None:
    u = draws.uniform(1, "x", 100_000)
    assert 0 < u.min() < u.max() < 1
    assert u.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * u.size))
    z = draws.normal(1, "x", 100_000)
    assert z.mean() == pytest.approx(0, abs=4 / np.sqrt(z.size))
    assert z.var() == pytest.approx(1, abs=4 * np.sqrt(2 / z.size))


def test_normal_scores_keep_ranks_and_break_ties_at_random() -> None:
    values = np.array([3.0, 1.0, 2.0, 2.0, 2.0])
    scores = draws.normal_scores(values, 1, "ties")
    assert scores[1] < scores[2:].min()
    assert scores[2:].max() < scores[0]
    assert len(set(scores.tolist())) == 5
    assert draws.normal_scores(values, 2, "ties").tolist() != scores.tolist()


def test_interpolate_passes_through_the_points() -> None:
    x, y = np.array([0.0, 1.0, 3.0]), np.array([2.0, 4.0, 0.0])
    assert draws.interpolate(x, x, y).tolist() == y.tolist()
    assert draws.interpolate(np.array([0.5, 2.0, 9.0]), x, y).tolist() == [3.0, 2.0, 0.0]

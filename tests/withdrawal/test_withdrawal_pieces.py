"""What happens when the exact recursion would grow too large: a proof without it, or a refusal."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.withdrawal import cascades, sequential
from mechopt.withdrawal.stage import Stage


def _random_stage(rng: np.random.Generator) -> Stage:
    n, levels = int(rng.integers(2, 6)), int(rng.integers(2, 4))
    x = rng.integers(2, 7, n) / 2
    most = int(2 * x.sum())
    thresholds = np.sort(rng.choice(np.arange(1, most), levels, replace=False)) / 2
    if rng.integers(4):
        thresholds[-1] = x.sum()
    shares = np.sort(rng.choice(np.arange(1, 9), levels, replace=False)) / 8
    r, v = rng.integers(0, 9, (2, n)) / 2
    delta, bonus = rng.choice([0.5, 1], n), rng.choice([0, 0, 0.5], n)
    return Stage.from_arrays(x, r, v, delta, thresholds, shares, bonus)


def test_cascades_bracket_what_the_recursion_finds() -> None:
    """The level after a withdrawal lies between the bounds, exactly; with K = 1 and X = T they
    meet; a decided "everyone stays" is the truth, and most cases are decided."""
    rng = np.random.default_rng(3)
    decided = undecided = 0
    for _ in range(600):
        stage = _exact_stage(rng)
        movers = rng.permutation(stage.movers)
        if not movers.size or not stage.level_of(stage.total):
            continue
        final = sequential.final_levels(stage, movers)
        least, most = cascades.levels_after(stage, movers)
        pairwise = cascades.least_levels_after(stage, movers)
        left = Fraction(0)
        for place, user in enumerate(movers):
            true = final.at(place + 1, left + stage.x[user] - stage.removed[user])
            assert least[place] <= pairwise[place] <= true <= most[place]
            left += stage.x[user]
        truth = bool(sequential.follow(stage, movers, final).stay.all())
        quick = cascades.everyone_stays(stage, movers)
        assert quick is None or quick == truth
        decided, undecided = decided + (quick is not None), undecided + (quick is None)
    assert decided > 20 * undecided


def _exact_stage(rng: np.random.Generator) -> Stage:
    def fractions(numbers: Any, scale: int) -> Any:
        return np.array([Fraction(int(a), scale) for a in numbers], dtype=object)

    n, levels = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    thresholds = np.sort(rng.choice(np.arange(1, 24), levels, replace=False))
    shares = np.sort(rng.choice(np.arange(1, 9), levels, replace=False))
    return Stage.from_arrays(
        fractions(rng.integers(0, 9, n), 4),
        fractions(rng.integers(-4, 24, n), 8),
        fractions(rng.integers(0, 9, n), 2),
        fractions(rng.choice([0, 1, 2, 2, 2], n), 2),
        fractions(thresholds, 4),
        fractions(shares, 8),
    )


def test_what_cascades_prove_agrees_with_the_path() -> None:
    rng = np.random.default_rng(3)
    proved = exactly = 0
    for _ in range(4000):
        stage = _random_stage(rng)
        order = np.argsort(stage.x, kind="stable")
        path = sequential._held_by_cascades(stage, order)
        if path is None:
            continue
        exact = sequential.sequential_path(stage, order)
        assert exact.stay.all()
        assert exact.level == path.level
        assert (path.slack(stage) <= exact.slack(stage) + 1e-12).all()
        proved += 1
        exactly += bool((path.slack(stage) > exact.slack(stage) - 1e-12).all())
    assert proved > 50
    assert exactly > 10


def test_too_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = mo.Instance(
        cost=[7, 1], value=["9/2", "3/2"], capacity=5, thresholds=["3/4", 1, 2],
        shares=["3/14", "9/14", 1],
    )  # fmt: skip
    plan = mo.Plan.from_arrays(instance, ["1/2", "3/2"])
    monkeypatch.setattr(sequential, "MOST_PIECES", 2)
    # The example of F1: (W1) fails for user 0, user 1 is the key that holds him.
    report = mo.check_withdrawal(instance, plan, protocol="sequential")
    assert report.stable
    assert report.margin == 0
    loose = mo.Plan.from_arrays(instance, ["1/2", 1])
    with pytest.raises(mo.TooLarge, match="near indifference"):
        mo.check_withdrawal(instance, loose, protocol="sequential")
    assert loose.metrics["stable"]["sequential"] == {"stable": None, "margin": None}

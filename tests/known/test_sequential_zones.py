"""Facts F11 and F12 of the sequential protocol, against full game trees."""

from __future__ import annotations

import numpy as np
import pytest

import mechopt as mo
from tests.oracles import oracle_levels as oracle


def simultaneous(x, r, v, delta, thresholds, shares):
    """(W1), row by row; exact data up to 1e-12."""
    b = np.append(0.0, shares)
    total = x.sum(axis=1, keepdims=True)
    after = np.searchsorted(thresholds, total - delta * x + 1e-12, side="right")
    level = np.searchsorted(thresholds, total + 1e-12, side="right")
    return ((v * (b[level] - b[after]) >= r - 1e-12) | (x == 0)).all(axis=1)


def random_plans(rng, *, excess: bool, rows: int = 200):
    """Plans (rows, n) on a lattice with s_K ≤ s_{K−1} whose last gap nobody bridges alone."""
    n, levels = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    steps = rng.integers(1, 7, levels)
    steps[-2:] = np.sort(steps[-2:])[::-1]
    shares = np.cumsum(steps) / steps.sum()
    delta = rng.choice([0.5, 1.0], n)
    x = rng.permuted(np.tile(rng.integers(1, 5, n) / 4, (rows, 1)), axis=1)
    v = rng.integers(1, 9, n) * 1.0
    r = v * rng.integers(-1, rng.integers(2, 8), (rows, n)) / steps.sum()
    total = x[0].sum()
    top = total - excess * rng.integers(1, 4) / 4
    gap = max((delta * x).max() - (total - top), 0.125)
    below = np.unique(top - gap - rng.integers(0, 12, levels - 1) / 8)
    thresholds = np.append(below, top)
    if thresholds[0] <= 0 or thresholds.size < levels or thresholds[-2] + gap < top:
        return None
    return x, r, v, delta, thresholds, shares


@pytest.mark.parametrize("excess", [False, True])
def test_one_step_at_most_means_one_condition_for_every_order(excess: bool) -> None:
    """F11: everyone stays in some order ⇔ in every order ⇔ (W1), also above T_K."""
    seen = held = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        drawn = random_plans(rng, excess=excess)
        if drawn is None:
            continue
        x, r, v, delta, thresholds, shares = drawn
        wanted = simultaneous(x, r, v, delta, thresholds, shares)
        order = np.array([rng.permutation(x.shape[1]) for _ in range(len(x))])
        found = oracle.everyone_stays(x, r, v, delta, thresholds, shares, order)
        assert (found == wanted).all()
        seen, held = seen + len(x), held + int(wanted.sum())
    assert seen > 2000
    assert held > 100


@pytest.mark.parametrize("order", ["small-first", "large-first", "designed", "cost"])
@pytest.mark.parametrize("shape", ["linear", "diminishing"])
def test_diminishing_returns_are_solved_at_any_size(order: str, shape: str) -> None:
    for n, levels in ((60, 2), (20_000, 5)):
        instance = mo.generate("lognormal", n, tightness=1.05, levels=levels, shape=shape, seed=1)
        alone = mo.solve(instance, "burdens", objective="expenditure")
        plan = mo.solve(
            instance, "burdens", objective="expenditure", protocol="sequential", order=order
        )
        assert plan.status is mo.Status.OPTIMAL
        assert plan.objective == alone.objective > 0

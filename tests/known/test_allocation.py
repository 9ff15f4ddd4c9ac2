"""Allocation: selection against sorting, exact totals, Lagrangian budget, duality."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import mechopt as mo
from mechopt import arrays
from mechopt.arrays import exact_sum
from mechopt.known import allocation


def test_selection_equals_sorting() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 63, 64, 65, 500, 3000):
        for _ in range(20):
            length = rng.integers(0, 5, size) / 4
            key = rng.integers(0, rng.integers(1, 50), size) / 2
            other = rng.integers(0, 9, size) / 2
            amount = float(rng.random() * length.sum())
            taken = allocation._take(length, (key, other), amount)
            order = np.lexsort((np.arange(size), other, key))
            reach = np.cumsum(length[order])
            expected = np.empty(size)
            expected[order] = np.clip(amount - (reach - length[order]), 0, length[order])
            assert taken == pytest.approx(expected, abs=1e-9)


def test_settle_reaches_exactly() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        size = int(rng.integers(1, 40))
        upper = rng.lognormal(0, rng.choice([0.1, 1, 10]), size)
        part = rng.random(size) * upper * rng.integers(0, 2, size)
        part[0] = 0.5 * upper[0]
        amount = float(part.sum() * (1 + rng.integers(-4, 5) * 2.0**-52))
        settled = arrays.settle(part, upper, amount)
        total = sum(map(Fraction, settled.tolist()))
        assert total >= Fraction(amount)
        assert float(total - Fraction(amount)) <= 1e-15 * amount
        assert (settled <= upper).all()
        assert np.abs(settled - part).max() <= 1e-13 * amount


def test_settle_when_everybody_gives_everything() -> None:
    upper = np.array([0.7, 0.2, 0.1])  # exact sum just below 1
    settled = arrays.settle(upper, upper, 1.0)
    assert sum(map(Fraction, settled.tolist())) >= 1
    assert np.abs(settled - upper).max() <= 2e-16


@pytest.mark.parametrize("spread", [1.0, 10.0, 40.0])
def test_exact_sum(spread: float) -> None:
    rng = np.random.default_rng(2)
    column = rng.lognormal(0, spread, 5000) * rng.choice([-1, 1], 5000)
    extra = -float(column.sum())
    expected = float(sum(map(Fraction, column.tolist())) + Fraction(extra))
    assert exact_sum(column, extra) == expected
    assert exact_sum(np.zeros(5000), 2.5) == 2.5


@pytest.mark.parametrize("size", [799, 800, 1500])
@pytest.mark.parametrize("scale", [1.0, 1e-310, 5e-324, 1e300])
def test_exact_parts_lose_nothing(size: int, scale: float) -> None:
    rng = np.random.default_rng(size)
    for column in (
        rng.normal(size=size) * scale / size,
        np.where(rng.random(size) < 0.01, 5e-324, 0.0),
        rng.normal(size=size) * 10.0 ** rng.integers(-300, 300, size),
    ):
        parts = arrays.exact_parts(column)
        assert sum(map(Fraction, parts)) == sum(map(Fraction, column.tolist()))


def test_many_pieces_duality() -> None:
    """Value equals the Lagrangian bound, with and without a binding budget, at n = 3000."""
    import mechopt as mo

    rng = np.random.default_rng(7)
    for _ in range(10):
        n = 3000
        cost, value, capacity = rng.lognormal(0, 1, (3, n))
        free = np.minimum(capacity, value / cost).sum()
        instance = mo.Instance(cost, value, capacity, [1.1 * free], removable=rng.integers(0, 2, n))
        plan = mo.solve(instance, objective="social-cost")
        least = mo.solve(instance, objective="expenditure").objective
        spent = float(plan.payment.sum())
        middle = instance.replace(budget=(spent + 2 * least) / 3)
        between = mo.solve(middle, objective="social-cost")
        for one in (plan, between):
            assert one.status is mo.Status.OPTIMAL
            assert one.gap <= 1e-12
        assert float(between.payment.sum()) == pytest.approx(middle.budget, rel=1e-9)
        assert between.objective > plan.objective
        assert mo.audit(middle, between).ok


def test_free_pieces_change_nothing_but_the_time() -> None:
    rng = np.random.default_rng(5)
    for n in (1, 7, 5000):
        width = rng.uniform(0, 2, (n, 2))
        slopes = np.array([1.0, 1.5])
        instance = mo.Instance(
            rng.lognormal(0, 1, n),
            rng.lognormal(0, 1, n),
            segments=(width, np.tile(slopes, (n, 1))),
            thresholds=[0.5 * width.sum()],
        )
        pieces = allocation.user_pieces(instance, instance.value, np.zeros(n))
        assert pieces.free == 2 * n
        assert not pieces.pay[: pieces.free].any()
        for fraction in (0.1, 0.5, 0.9):
            amount = fraction * float(pieces.length.sum())
            for first in ("pay", "cost"):
                found = allocation.cheapest(pieces, amount, instance.capacity, first=first)
                plain = allocation.cheapest(
                    replace(pieces, free=0), amount, instance.capacity, first=first
                )
                assert found.value == pytest.approx(plain.value, rel=1e-12, abs=1e-9)
                assert found.bound == pytest.approx(plain.bound, rel=1e-12, abs=1e-9)
                assert found.burden == pytest.approx(plain.burden, rel=1e-12, abs=1e-9)

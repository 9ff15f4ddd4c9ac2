"""Posted price and posted contract: definitions by brute force, and the formulations' optimum."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import mechopt as mo
from mechopt.known import posted_contract, posted_price
from mechopt.solver import highs
from tests.oracles import brute_force
from tests.problems import random_instance

OBJECTIVES = ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement")


def test_worked_example() -> None:
    instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[11])
    plan = mo.solve(instance, "posted-price", objective="expenditure")
    assert plan.details["price"] == 2
    assert plan.objective == 40
    low = mo.solve(instance, "posted-price", price=1.0)
    assert low.metrics["leakage"] == 10
    assert low.metrics["improvement"] == 0
    assert low.metrics["expenditure"] == 10


def _offers(instance: mo.Instance) -> list[tuple[list[Fraction], Fraction]]:
    """Every candidate price with its floor response, by definition, in Fractions."""
    users = [brute_force.User(instance, i) for i in range(instance.n)]
    prices = {Fraction(0), *(rate for user in users for rate in user.rates)}
    offers = []
    for price in sorted(prices):
        floor = []
        for user in users:
            points = [Fraction(0)]
            for width in user.widths:
                points.append(points[-1] + width)
            gain = [price * x - user.cost(x) for x in points]
            floor.append(max(x for x, g in zip(points, gain) if g == max(gain)))
        offers.append((floor, price))
    return offers


def _best(instance: mo.Instance, objective: str, offers: list) -> tuple | None:
    """Lexicographic optimum (objective, then cost) over offers (burdens, payment total)."""
    users = [brute_force.User(instance, i) for i in range(instance.n)]
    provider = Fraction(instance.provider_value)
    everyone = sum((user.value for user in users), Fraction(0))
    top = instance.exact("shares")[-1]
    best = None
    for burden, spent in offers:
        cost = sum((user.cost(x) for user, x in zip(users, burden)), Fraction(0))
        share = brute_force.improvement(instance, sum(burden, Fraction(0)))
        if spent > Fraction(instance.budget) if np.isfinite(instance.budget) else False:
            continue
        if objective in ("expenditure", "social-cost") and share < top:
            continue
        key = {
            "provider-surplus": (spent - provider * share, cost),
            "welfare": (cost - (provider + everyone) * share, cost),
            "expenditure": (spent, cost),
            "social-cost": (cost, cost),
            "improvement": (-share, spent),
        }[objective]
        if best is None or key < best:
            best = key
    return best


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_posted_price_by_definition(objective: str, levels: int) -> None:
    rng = np.random.default_rng([1, levels])
    for _ in range(40):
        instance = random_instance(rng, users=int(rng.integers(1, 6)), levels=levels, exact=True)
        offers = [(x, s * sum(x, Fraction(0))) for x, s in _offers(instance)]
        best = _best(instance, objective, offers)
        plan = mo.solve(instance, "posted-price", objective=objective)
        if best is None:
            assert plan.status is mo.Status.NULL
            continue
        sign = 1 if objective in ("expenditure", "social-cost") else -1
        assert plan.objective == pytest.approx(sign * float(best[0]), abs=1e-9)
        if plan.status is mo.Status.OPTIMAL:
            assert mo.audit(instance, plan).ok, str(mo.audit(instance, plan))
        model = mo.build_model(instance, "posted-price", objective=objective)
        assert highs.solve_model(model).objective == pytest.approx(plan.objective, abs=1e-6)


def test_equilibria_by_definition() -> None:
    """Floor and coordinated equilibria against all deviations on a fine grid of burdens."""
    rng = np.random.default_rng(5)
    seen = {True: 0, False: 0}
    for _ in range(160):
        instance = random_instance(rng, users=2, levels=int(rng.integers(1, 3)), segments=False)
        if (instance.capacity > 3).any():
            continue
        rates = np.unique(np.append(instance.cost, 0.0))
        price = float(rng.choice(rates))
        got = posted_price.equilibria(instance, price)
        step = 1 / 8  # thresholds, capacities and floors are multiples of 1/4
        grids = [np.arange(0, cap + step / 2, step) for cap in instance.capacity]

        def payoff(i: int, x: tuple[float, ...], s: float = price, inst: mo.Instance = instance):
            share = inst.share_at(inst.level_of(sum(x)))
            return inst.value[i] * share + s * x[i] - inst.cost[i] * x[i]

        floor = posted_price.floor_response(instance, price)
        top = 0
        floor_holds = True
        for x in product(*grids):
            stable = True
            for i in range(2):
                for other in grids[i]:
                    y = (other, x[1]) if i == 0 else (x[0], other)
                    if payoff(i, y) > payoff(i, x) + 1e-12:
                        stable = False
                        break
                if not stable:
                    break
            if stable:
                top = max(top, instance.level_of(sum(x)))
            elif x == tuple(floor):
                floor_holds = False
        assert got["floor_is_equilibrium"] == floor_holds, (instance, price)
        seen[got["coordinated_level"] > 0] += 1
        # Equilibria on the grid are equilibria; the exact interval may also use finer burdens.
        assert got["coordinated_level"] >= top
    assert min(seen.values()) >= 5


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_posted_contract_by_definition(objective: str) -> None:
    rng = np.random.default_rng(8)
    for _ in range(60):
        instance = random_instance(rng, users=int(rng.integers(1, 7)), exact=True)
        users = [brute_force.User(instance, i) for i in range(instance.n)]
        threshold = instance.exact("thresholds")[0]
        offers = [([Fraction(0)] * instance.n, Fraction(0))]
        for m in range(1, instance.n + 1):
            f = threshold / m
            for q in [user.cost(f) for user in users if user.capacity >= f]:
                takes = [user.capacity >= f and user.cost(f) <= q for user in users]
                offers.append(([f if take else Fraction(0) for take in takes], q * sum(takes)))
        best = _best(instance, objective, offers)
        plan = mo.solve(instance, "posted-contract", objective=objective)
        if best is None:
            assert plan.status is mo.Status.NULL
            continue
        sign = 1 if objective in ("expenditure", "social-cost") else -1
        if plan.status is mo.Status.NULL:
            assert float(best[0]) == pytest.approx(0, abs=1e-9)
            continue
        assert plan.objective == pytest.approx(sign * float(best[0]), abs=1e-9)
        assert sum(map(Fraction, plan.burden.tolist())) >= threshold
        model = mo.build_model(instance, "posted-contract", objective=objective)
        assert highs.solve_model(model).objective == pytest.approx(plan.objective, abs=1e-6)


def test_contract_payments_are_optimal_over_all_floors() -> None:
    """No floor on a fine grid, with any pay, beats the even splits (the convexity argument)."""
    rng = np.random.default_rng(21)
    for _ in range(60):
        instance = random_instance(rng, users=4, budget=False)
        plan = mo.solve(instance, "posted-contract", objective="expenditure")
        threshold = float(instance.thresholds[0])
        for f in np.linspace(0.01, instance.capacity.max(), 200):
            cost = instance.cost_of(np.full(instance.n, f))
            able = instance.capacity >= f
            for q in cost[able]:
                takes = able & (cost <= q)
                if f * takes.sum() >= threshold:
                    assert plan.status is mo.Status.OPTIMAL
                    assert plan.objective <= q * takes.sum() + 1e-9


def test_linear_splits_equal_convex_splits() -> None:
    """The wavelet order statistics against evaluating every curve."""
    rng = np.random.default_rng(2)
    for _ in range(100):
        instance = random_instance(rng, users=int(rng.integers(1, 30)), segments=False)
        room = posted_contract.Room(instance)
        fast = posted_contract._linear_splits(instance, 1, room)
        slow = posted_contract._convex_splits(instance, 1, room, float("inf"))
        for one, other in zip(fast, slow):
            assert one == pytest.approx(other, abs=1e-9)


def test_a_given_offer() -> None:
    instance = mo.Instance(cost=[1, 2], value=1, capacity=4, thresholds=[6], provider_value=50)
    plan = mo.solve(instance, "posted-contract", floor=3, payment=6)
    assert (plan.status, plan.objective, plan.details["accepters"]) == ("optimal", 38, 2)
    half = mo.solve(instance, "posted-contract", floor=3, payment=3)
    assert (half.level, half.metrics["leakage"]) == (0, 3)
    poor = instance.replace(budget=1)
    for name, offer in (
        ("posted-price", {"price": 2}),
        ("posted-contract", {"floor": 3, "payment": 6}),
    ):
        plan = mo.solve(poor, name, **offer)
        assert (plan.status, plan.burden) == ("infeasible", None)
        assert plan.shortfall["money"] > 0


def test_bad_options() -> None:
    instance = mo.Instance(cost=[1], value=1, capacity=1, thresholds=[1])
    with pytest.raises(mo.InvalidOption, match="price"):
        mo.solve(instance, "posted-price", price=-1)
    with pytest.raises(mo.InvalidOption, match="both"):
        mo.solve(instance, "posted-contract", payment=1)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_contract_keeps_its_time_limit(objective: str) -> None:
    """Splits left untried are admitted: never optimal, and a bound that no contract beats."""
    instance = mo.generate("convex", n=3000, levels=3, tightness=0.6, seed=1)
    instance = instance.replace(provider_value=1e5)
    for limit in (0.0, 0.05):
        plan = mo.solve(instance, "posted-contract", objective=objective, time_limit=limit)
        assert plan.status in (mo.Status.FEASIBLE, mo.Status.UNKNOWN)
        assert plan.bound is not None
        assert plan.seconds < 1
        if plan.objective is not None:
            least = objective in ("expenditure", "social-cost")
            assert plan.bound <= plan.objective if least else plan.objective <= plan.bound
    few = mo.generate("convex", n=30, levels=3, tightness=0.6, seed=1)
    whole, plain = (
        mo.solve(few, "posted-contract", objective=objective, **limit)
        for limit in ({"time_limit": 60}, {})
    )
    assert (whole.status, whole.objective) == (plain.status, plain.objective)

"""Zones as a proof: no tree and no prices prove more than a plan that is sustained costs."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest

import mechopt as mo
from mechopt.certificates.plan_proofs import zone_node
from mechopt.checker.data import Refuted
from mechopt.checker.plans import PlanProblem
from mechopt.checker.withdrawal import all_stay_in_turn
from mechopt.checker.zones import ZoneProblem, zones_of
from mechopt.exact.prices import LevelProblem
from mechopt.problem.exact_data import instance_data, spelled

ORDERS = ("small-first", "large-first", "given", "free")


class Sustained:
    """A random plan that everybody keeps in turn, and the problem it is one of."""

    def __init__(self, rng: random.Random) -> None:
        n, levels = rng.randint(2, 5), rng.randint(2, 4)
        self.burden = [Fraction(rng.randint(1, 12), rng.choice((1, 2))) for _ in range(n)]
        everything = sum(self.burden)
        shares = sorted(rng.sample(range(1, 12), levels - 1))
        cuts = sorted(rng.sample(range(1, 24), levels - 1))
        reserve = rng.choice((0, 0, Fraction(everything, 20)))
        top = everything - reserve
        common: dict[str, Any] = {
            "thresholds": [*(top * Fraction(cut, 24) for cut in cuts), top],
            "shares": [*(Fraction(share, 12) for share in shares), 1],
            "cost": [Fraction(rng.randint(1, 6), 2) for _ in range(n)],
            "value": [Fraction(rng.randint(1, 40), 2) for _ in range(n)],
            "capacity": [x + rng.choice((0, 1, 3)) for x in self.burden],
            "reversibility": [rng.choice((1, 1, Fraction(2, 3))) for _ in range(n)],
            "removable": [rng.choice((1, 1, Fraction(1, 2), 0)) for _ in range(n)],
        }
        if rng.random() < 0.3:
            common["exclusion"] = [Fraction(rng.randint(0, 2), 2) for _ in range(n)]
        self.instance = mo.Instance(**common)
        self.name = rng.choice(ORDERS)
        self.order: Any = self.name if self.name in ORDERS[:2] else rng.sample(range(n), n)
        self.terms: dict[str, Any] = {
            "mechanism": "burdens",
            "objective": rng.choice(("expenditure", "social-cost")),
            "target": None,
            "protocol": "sequential",
            "order": self.order,
            "order_free": self.name == "free",
            "transfers": True,
            "reserve": reserve,
        }
        self.problem = PlanProblem(instance_data(self.instance), spelled(self.terms))
        users = self.problem.users
        self.zones = ZoneProblem(self.problem.levels, users, self.problem.amount(levels), None)
        self.payment = []
        for user, x in zip(users, self.burden):
            cost, held = user.curve.cost(x), self.zones.held(user, rng.randint(0, self.zones.top))
            need = max(cost - user.value, user.rho * cost - held, Fraction(0))
            self.payment.append(need)

    @property
    def holds(self) -> bool:
        levels, users = self.problem.levels, self.problem.users
        return all_stay_in_turn(levels, users, self.burden, self.payment, self.order)

    @property
    def value(self) -> Fraction:
        answer = {"level": self.instance.levels, "burden": self.burden, "payment": self.payment}
        return self.problem.outcome(answer)[1]


def tree(rng: random.Random, zones: ZoneProblem, first: int, lowest: int, depth: int) -> Any:
    """A random proof: the checker must be right about every one of them."""
    rows = range(first, zones.top + 1)
    if first > lowest + 1 and lowest == 0 and rng.random() < 0.8:
        return {
            "nobody": tree(rng, zones, first, first - 1, depth),
            "somebody": tree(rng, zones, first - 1, 0, depth),
        }
    if depth and rows and rng.random() < 0.7:
        of = rng.choice(("short", "place")) if zones.order is not None else "short"
        row = rng.choice(list(rows))
        cut = zones.gap[row] * Fraction(rng.randint(0, 8), 8)
        if of == "place":
            cut = rng.randint(0, 12) * Fraction(-1 if zones.order == "large-first" else 1, 2)
        sides = {side: tree(rng, zones, first, lowest, depth - 1) for side in ("below", "above")}
        return {"row": row, "of": of, "cut": cut, **sides}
    return {
        "shows": "bound",
        "data_price": Fraction(rng.randint(0, 24), 8),
        "budget_price": 0,
        "row_prices": [Fraction(rng.choice((0, rng.randint(0, 16))), 8) for _ in rows],
        "grid": Fraction(1, 1000),
    }


@pytest.mark.parametrize("seed", range(2))
def test_no_tree_proves_more_than_a_sustained_plan_costs(seed: int) -> None:
    rng, seen = random.Random(seed), 0
    while seen < 20:
        one = Sustained(rng)
        if not one.holds or one.problem.exactly(one.instance.levels):
            continue
        seen += 1
        zones = zones_of(one.problem, one.instance.levels)
        for _ in range(10):
            proof = tree(rng, zones, zones.top + 1, 0, 3)
            costs = one.problem.aim.counts_cost
            bound = zones.least(spelled(proof), True, costs)
            assert bound is not None
            assert bound <= one.value, (one.terms, proof)


def test_the_prices_that_are_found_prove_less_than_sustained_plans_cost() -> None:
    rng, seen, better = random.Random(101), 0, 0
    while seen < 24:
        one = Sustained(rng)
        if not one.holds or one.problem.exactly(one.instance.levels):
            continue
        seen += 1
        level = LevelProblem(one.problem, one.instance.levels)
        order = "designed" if one.name == "free" else one.order
        plan = mo.Plan.from_arrays(
            one.instance, one.burden, one.payment, protocol="sequential", order=order
        )
        node = zone_node(level, one.instance, plan)
        bound = one.problem.least(one.instance.levels, spelled(node))
        assert bound is not None
        assert bound <= one.value
        alone = one.problem.least(one.instance.levels, level.solve())
        better += bound > alone
    assert better > 0


GROWING = mo.Instance(
    cost=[1, 2, 1, 3, 1, 2],
    value=[2, 5, 1, 4, 3, 2],
    capacity=4,
    thresholds=[5, 10],
    shares=["1/4", 1],
)


@pytest.mark.parametrize("order", ["designed", "small-first", "large-first", [2, 0, 1, 5, 4, 3]])
def test_a_sequential_plan_is_proved_to_hold_and_its_bound_to_be_one(order: Any) -> None:
    """The certificate proves what the solver says: the plan stays, and the bound is one."""
    plan = mo.solve(GROWING, "burdens", objective="expenditure", protocol="sequential", order=order)
    certificate = mo.certify(GROWING, plan)
    assert certificate.agrees
    assert certificate.document["claim"]["also"]["stays"]["sequential"]
    assert plan.objective is not None
    assert certificate.optimum is not None
    assert float(certificate.optimum) == pytest.approx(plan.objective, rel=1e-9)
    assert certificate.bound is not None
    assert float(certificate.bound) <= plan.objective
    facts = mo.checker.verify(dict(certificate.document))
    assert "everyone stays, sequential: True" in facts
    assert any("whatever the order" in fact for fact in facts) == (order == "designed")


def test_what_no_zone_proof_may_say() -> None:
    one = Sustained(random.Random(4))
    zones = one.zones
    rows = [0] * zones.top
    leaf = {"shows": "bound", "data_price": 1, "budget_price": 0, "grid": 1}
    whole = {"nobody": {**leaf, "row_prices": []}, "somebody": None}
    short = {"row": zones.top + 1, "cut": 1, "of": "short", "below": leaf, "above": leaf}
    for wrong in (
        {**leaf, "row_prices": rows[1:] if len(rows) > 1 else [1, 1]},
        {**leaf, "row_prices": [], "data_price": -1},
        {**leaf, "row_prices": [], "grid": 0},
        {**leaf, "row_prices": [], "budget_price": 1},
        {**leaf, "row_prices": [], "shows": "unreachable", "data_price": 0},
        short,
        {**short, "of": "place", "row": zones.top},
        {**whole, "nobody": {**whole, "somebody": leaf}},
    ):
        with pytest.raises((Refuted, ValueError, TypeError, LookupError)):
            zones.least(wrong, True, False)

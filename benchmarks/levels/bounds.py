"""Hunt for a sequential bound above a plan that everyone stays in.

    python -m benchmarks.levels.bounds [--seed 1] [--instances 10000] [--limit 0.15]

Small random instances (ties and knife edges common; all shapes, rights and orders, reserves, with
and without payments): the bounds of the zone search, for the order asked for and for a designed
one, and of `solve`, against the solver's plan and about a thousand others, random ones and changes
of the best so far. Whether everyone stays is decided by the full game tree of tests/oracles; the
solver's plan is also audited and checked. Anything above is printed and counted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

import mechopt as mo
from mechopt.known.sequential.search import ZoneSearch
from mechopt.known.sequential.task import SequentialTask
from mechopt.problem.aims import required_total
from tests.oracles import oracle_levels as oracle

TRIED = 300  # plans around each start
ROUNDS = 3  # of changes, each around the best plan so far


def drawn(rng: np.random.Generator) -> tuple[mo.Instance, float]:
    """An instance and a reserve, data."""
    n, levels = int(rng.integers(2, 7)), int(rng.integers(2, 5))
    lattice = rng.random() < 0.5
    if lattice:
        capacity, cost = rng.integers(1, 9, n) / 2, rng.integers(1, 7, n) / 2
        value = rng.integers(0, 17, n) / 2
    else:
        capacity, cost = rng.uniform(0.3, 4, n), rng.lognormal(0, 0.7, n)
        value = rng.lognormal(0.5, 0.8, n)
    steps = rng.integers(1, 9, levels) if lattice else rng.dirichlet(np.ones(levels)) + 0.01
    steps = [steps, np.sort(steps), np.sort(steps)[::-1]][int(rng.integers(3))]
    reach = capacity.sum() * rng.uniform(0.4, 1.0)
    places = np.sort(rng.choice(np.arange(1, 21), levels, replace=False)) / 20
    if lattice:
        reach = np.ceil(2 * reach) / 2
    some = {
        "reversibility": rng.choice([0.0, 0.5, 1.0], n),
        "removable": rng.choice([0.0, 0.5, 1.0, 1.0], n),
        "exclusion": rng.choice([0.0, 0.5, 1.0], n),
    }
    kept: dict[str, Any] = {name: at for name, at in some.items() if rng.random() < 0.2}
    if rng.random() < 0.2:
        widths = np.stack([capacity / 2, capacity / 2], axis=1)
        kept["segments"] = (widths, np.tile([1.0, 2.0], (n, 1)))
    instance = mo.Instance(
        cost=cost,
        value=value,
        capacity=capacity,
        thresholds=places * reach,
        shares=np.cumsum(steps) / np.sum(steps),
        **kept,
    )
    reserve = float(rng.choice([0.25, 0.5])) if rng.random() < 0.2 else 0.0
    return instance, reserve


class Plans:
    """Plans at the highest level, and the least payments (or cost) of those that stay, by order."""

    def __init__(self, instance: mo.Instance, reserve: float, quantity: str, budget: float) -> None:
        self.instance, self.quantity, self.budget = instance, quantity, budget
        self.total = required_total(instance, instance.levels, reserve)
        enjoyed = 1 - instance.exclusion
        left = np.append(0.0, instance.shares)
        self.losses = instance.value * (instance.shares[-1] - enjoyed * left[:, None])

    def drawn(self, rng: np.random.Generator) -> np.ndarray:
        """Burdens (TRIED, n) whose sum is the total, some of them at capacity, 0 or alike."""
        instance = self.instance
        burden = rng.dirichlet(np.full(instance.n, rng.choice([0.3, 1.0, 5.0])), TRIED)
        burden = np.minimum(burden * self.total, instance.capacity)
        return self._filled(rng, burden)

    def near(self, rng: np.random.Generator, burden: np.ndarray) -> np.ndarray:
        """Changes of one plan (n,): data moved between two users, or exchanged."""
        n = self.instance.n
        moved = np.tile(burden, (TRIED, 1))
        rows = np.arange(TRIED)
        one, other = rng.integers(0, n, TRIED), rng.integers(0, n, TRIED)
        size = self.total * 10.0 ** rng.uniform(-7, -0.3, TRIED)
        size = np.where(rng.random(TRIED) < 0.2, moved[rows, one] - moved[rows, other], size)
        moved[rows, one] -= size
        moved[rows, other] += size
        return self._filled(rng, np.clip(moved, 0.0, self.instance.capacity))

    def _filled(self, rng: np.random.Generator, burden: np.ndarray) -> np.ndarray:
        """Raised to the total (exactly, where there is room), users in a random order."""
        for user in rng.permutation(self.instance.n).tolist():
            missing = self.total - burden.sum(axis=1)
            most = self.instance.capacity[user]
            burden[:, user] = np.clip(burden[:, user] + missing, 0.0, most)
        return burden[burden.sum(axis=1) >= self.total * (1 - 1e-13)]

    def best(
        self, rng: np.random.Generator, burden: np.ndarray, order: Any
    ) -> tuple[float, np.ndarray | None]:
        """(the least payments or cost of the plans that stay, its burdens (n,))."""
        instance, n = self.instance, self.instance.n
        cost = np.stack([instance.cost_of(row) for row in burden]) if len(burden) else burden
        recovered = instance.reversibility * cost
        if isinstance(order, str) and order != "designed":
            sign = 1.0 if order == "small-first" else -1.0
            # An ulp, which the total may be short by, does not decide who comes first: in exact
            # numbers a plan that turns a tie round so is none.
            alike = np.round(burden / self.total, 13)
            place = np.argsort(sign * alike, axis=1, kind="stable")
        elif isinstance(order, str):
            place = rng.permuted(np.tile(np.arange(n), (len(burden), 1)), axis=1)
        else:
            place = np.tile(order, (len(burden), 1))
        zone = rng.integers(0, len(self.losses), burden.shape)
        zone = np.where(rng.random((len(burden), 1)) < 0.3, 0, zone)
        held = np.take_along_axis(self.losses, zone, axis=0) if len(burden) else burden
        need = np.maximum(
            np.maximum(cost - instance.value * instance.shares[-1], 0.0),
            np.where(burden > 0, recovered - held, 0.0),
        )
        need[need <= 1e-13 * cost] = 0.0
        keep = need.sum(axis=1) <= self.budget * (1 + 1e-12)
        burden, need, cost, recovered, place = (
            part[keep] for part in (burden, need, cost, recovered, place)
        )
        if not len(burden):
            return inf, None
        stays = oracle.everyone_stays(
            burden,
            recovered - need,
            instance.value,
            instance.removable,
            instance.thresholds,
            instance.shares,
            place,
            instance.exclusion,
        )
        value = (need if self.quantity == "pay" else cost).sum(axis=1)[stays]
        if not value.size:
            return inf, None
        return float(value.min()), burden[stays][int(value.argmin())]


def zone_bound(
    instance: mo.Instance, quantity: str, reserve: float, order: Any, budget: float, limit: float
) -> float:
    """What the zone search alone proves for the highest level, money."""
    total = required_total(instance, instance.levels, reserve)
    until = perf_counter() + limit
    task = SequentialTask(
        instance, instance.levels, quantity, reserve, total, order, budget, until, 0
    )
    search = ZoneSearch(task, None, 0.0)
    search.run()
    return search.bound


def hunt(seed: int, number: int, counts: Counter[str], *, limit: float = 0.15) -> None:
    """`number` instances, from `seed` on; counts what was compared, prints what is above."""
    for trial in range(seed, seed + number):
        rng = np.random.default_rng(trial)
        instance, reserve = drawn(rng)
        if required_total(instance, instance.levels, reserve) > instance.capacity.sum():
            counts["total out of reach"] += 1
            continue
        quantity = "pay" if rng.random() < 0.7 else "cost"
        budget = 0.0 if rng.random() < 0.3 and quantity == "cost" else inf
        name = str(rng.choice(["small-first", "large-first", "designed", "given"]))
        order = rng.permutation(instance.n) if name == "given" else name
        plan = mo.solve(
            instance,
            "burdens",
            protocol="sequential",
            order=order,
            time_limit=limit,
            objective="expenditure" if quantity == "pay" else "social-cost",
            transfers=budget > 0,
            target=float(instance.shares[-1]),
            reserve=reserve,
        )
        counts["instances"] += 1
        counts[f"{name}: {plan.status}"] += 1
        plans = Plans(instance, reserve, quantity, budget)
        least, start = inf, plans.drawn(rng)
        if plan.burden is not None:
            counts["plans checked"] += 1
            stays = mo.check_withdrawal(instance, plan, protocol="sequential", order=plan.order)
            if not stays.stable or not mo.audit(instance, plan).ok:
                counts["NOT ACCEPTED"] += 1
                print("not accepted", trial, name, flush=True)
            least = float(plan.objective or 0.0)
            start = np.concatenate((start, plans.near(rng, np.asarray(plan.burden))))
        for _ in range(ROUNDS):
            value, burden = plans.best(rng, start, order)
            counts["plans compared"] += len(start)
            if burden is None:
                break
            least, start = min(least, value), plans.near(rng, burden)
        proved = inf if plan.status is mo.Status.INFEASIBLE else float(plan.bound or 0.0)
        bounds = {"solve": proved}
        for other in {name: order, "designed": "designed"}.items():
            found = zone_bound(instance, quantity, reserve, other[1], budget, limit)
            bounds[f"zones, {other[0]}"] = found
        counts["bounds compared"] += len(bounds) * (least < inf)
        for by, bound in bounds.items():
            if bound > least * (1 + 1e-7) + 1e-8:
                counts["ABOVE"] += 1
                print(f"above: {trial} {name}, {by}: bound {bound}, plan {least}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--limit", type=float, default=0.15, help="seconds per solve")
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    began = perf_counter()
    hunt(arguments.seed, arguments.instances, counts, limit=arguments.limit)
    for name in sorted(counts):
        print(f"{name}: {counts[name]}")
    print(f"{perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()

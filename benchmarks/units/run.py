"""Long counts: another unit, edges that rounding decides, numbers far apart, users nobody asks.

    python benchmarks/units/run.py edges --count 5000
    python benchmarks/units/run.py spread --count 3000
    python benchmarks/units/run.py scales --count 10000
    python benchmarks/units/run.py companions --count 2000
    python benchmarks/units/run.py models --count 200
    python benchmarks/units/run.py solves --count 40000

Prints how many were tried and every finding with its seed; `--from SEED` starts elsewhere,
`--show N` prints more of them. Nothing is repeated: case number s is made from seed s alone.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections import Counter
from collections.abc import Iterator
from math import fsum, inf
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import mechopt as mo
from mechopt.problem.instance import Instance

MINIMISED = ("expenditure", "social-cost")
LIMIT = 20.0  # seconds per solve
ANSWERED = (mo.Status.OPTIMAL, mo.Status.FEASIBLE, mo.Status.NULL)


# -- problems -----------------------------------------------------------------------------------


def users(rng: np.random.Generator, most: int = 50, spread: float = 0.0) -> dict[str, Any]:
    """Columns of users; `spread` in decimal orders up and down for costs, values, capacities."""
    n = int(rng.integers(2, most + 1))

    def scale() -> Any:
        return 10.0 ** rng.uniform(-spread, spread, n) if spread else 1.0

    rounded = rng.random() < 0.5  # decimals, as people type them

    def drawn(sigma: float) -> Any:
        column = rng.lognormal(0, sigma, n) * scale()
        return np.array([float(f"{one:.2g}") for one in column]) if rounded else column

    return {
        "cost": drawn(0.5),
        "value": drawn(1.0) * (rng.random(n) < 0.9),
        "capacity": drawn(0.7),
        "reversibility": rng.choice([0.0, 0.3, 1.0, 1.0], n),
        "removable": rng.choice([1.0, 1.0, 1.0, 0.5], n),
    }


def instance_of(rng: np.random.Generator, levels: int, **how: Any) -> Instance:
    """A random instance with `levels` thresholds."""
    columns = users(rng, **how)
    most = float(columns["capacity"].sum())
    top = most * rng.uniform(0.3, 0.95)
    cuts = np.sort(rng.uniform(0.3, 1, levels))
    cuts[-1] = 1.0
    shares = np.cumsum(rng.dirichlet(np.ones(levels)))
    shares[-1] = 1.0
    worth = fsum(columns["value"].tolist()) * float(rng.choice([0.0, 0.5, 2.0, 20.0]))
    return mo.Instance(**columns, thresholds=top * cuts, shares=shares, provider_value=worth)


def population_of(rng: np.random.Generator, spread: float = 0.0) -> mo.Population:
    """One or two small groups."""

    def scale() -> float:
        return float(10.0 ** rng.uniform(-spread, spread)) if spread else 1.0

    groups = []
    for _ in range(int(rng.integers(1, 3))):
        m = int(rng.integers(1, 4))
        costs = np.unique([rng.lognormal(0, 0.7) * scale() for _ in range(m)])
        law = rng.dirichlet(np.ones(costs.size))
        groups.append(
            mo.Group(
                size=int(rng.integers(1, 3)),
                costs=costs,
                probabilities=law,
                value=rng.lognormal() * scale() * (rng.random() < 0.8),
                capacity=rng.lognormal() * scale(),
                reversibility=float(rng.choice([0, 0.5, 1])),
            )
        )
    most = sum(group.size * group.capacity for group in groups)
    return mo.Population(
        groups=groups,
        thresholds=[most * rng.uniform(0.2, 0.9)],
        provider_value=sum(group.size * group.value for group in groups) * rng.choice([0.5, 3.0]),
    )


KNOWN = ("burdens", "subsidy", "posted-price", "posted-contract", "complete-information")
OBJECTIVES = ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement")


def options_of(rng: np.random.Generator, mechanism: str, levels: int) -> dict[str, Any]:
    options: dict[str, Any] = {"objective": str(rng.choice(OBJECTIVES))}
    if mechanism == "burdens":
        options["protocol"] = str(rng.choice(["simultaneous", "none", "coalition", "sequential"]))
        options["time_limit"] = LIMIT
    return options


def direct_options(rng: np.random.Generator, objective: str | None = None) -> dict[str, Any]:
    return {
        "objective": objective or str(rng.choice(["provider-surplus", "welfare", "improvement"])),
        "incentive": str(rng.choice(["dsic", "bic"])),
        "participation": str(rng.choice(["ex-post", "interim"])),
        "randomized": bool(rng.random() < 0.6),
        "transfers": bool(rng.random() < 0.7),
        "time_limit": LIMIT,
    }


# -- what is asked of them ------------------------------------------------------------------------


def edges(seed: int) -> Iterator[tuple[str, str]]:
    """Natural knife edges: (kind, finding or "")."""
    rng = np.random.default_rng([1, seed])
    kind = str(rng.choice(["capacity", "accepted", "budget", "even", "expected"]))
    if kind == "expected":
        yield kind, _expected_edge(rng)
        return
    levels = int(rng.integers(1, 4))
    mechanism = str(rng.choice(KNOWN))
    instance = instance_of(rng, levels)
    options = options_of(rng, mechanism, levels)
    if kind in ("capacity", "accepted"):
        if mechanism.startswith("posted"):
            mechanism = "burdens"
        most = instance.capacity
        if kind == "accepted":
            mechanism, options = "burdens", {**options, "transfers": False}
            options["protocol"] = str(rng.choice(["simultaneous", "none"]))
            levels = 1
            most = np.minimum(instance.capacity, instance.value / instance.cost)
            if not most.any():
                return
        sums = (most.sum(), sum(most.tolist()), fsum(most.tolist()), np.cumsum(most)[-1])
        top = float(sums[int(rng.integers(4))])
        cuts = np.sort(rng.uniform(0.3, 1, levels))
        cuts[-1] = 1.0
        shares = instance.shares[-levels:]
        instance = instance.replace(thresholds=top * cuts, shares=shares)
        if options["objective"] in ("provider-surplus", "welfare"):
            options["objective"] = "expenditure"
        plan = mo.solve(instance, mechanism, **options)
        reached = plan.level == levels or options["objective"] == "improvement"
        good = plan.status in (mo.Status.OPTIMAL, mo.Status.FEASIBLE) and reached
        if kind == "accepted" and (instance.removable < 1).any():
            good = plan.status is not mo.Status.UNKNOWN
        yield kind, _finding(good, instance, mechanism, options, plan)
        return
    first = mo.solve(instance, mechanism, **options)
    if first.payment is None or first.status not in ANSWERED:
        return
    spent = fsum(first.payment.tolist())
    if kind == "budget":
        again = instance.replace(budget=spent)
    else:
        if spent == 0 or first.share == 0:
            return
        again = instance.replace(provider_value=spent / first.share)
        options["objective"] = "provider-surplus"
    plan = mo.solve(again, mechanism, **options)
    good = plan.status in ANSWERED
    if good and kind == "budget" and first.status is mo.Status.OPTIMAL:
        sign = -1.0 if options["objective"] in MINIMISED else 1.0
        size = abs(first.objective) + spent + fsum(instance.cost_of(first.burden).tolist())
        good = sign * plan.objective >= sign * first.objective - 1e-9 * size
    yield kind, _finding(good, again, mechanism, options, plan, f"first {first.objective!r}")


def _expected_edge(rng: np.random.Generator) -> str:
    population = population_of(rng)
    options = direct_options(rng, "improvement")
    options["transfers"] = True
    first = mo.solve(population, "direct", **options)
    if first.status is not mo.Status.OPTIMAL:
        return ""
    again = population.replace(expected_budget=first.metrics["expenditure"])
    second = mo.solve(again, "direct", **options)
    good = second.status in ANSWERED and second.objective >= first.objective - 1e-9
    return _finding(good, again, "direct", options, second, f"first {first.objective!r}")


def _finding(
    good: bool, problem: Any, mechanism: str, options: Any, answer: Any, more: str = ""
) -> str:
    if good and answer.status in ANSWERED and not mo.audit(problem, answer).ok:
        good, more = False, f"{more} {mo.audit(problem, answer)}"
    if good:
        return ""
    return (
        f"{mechanism} {options} {problem!r}: {answer.status} {answer.objective!r} "
        f"bound {answer.bound!r} {answer.reason} {more}"
    )


def spread(seed: int) -> Iterator[tuple[str, str]]:
    """Numbers spread over 10^±9: nothing the audit or the exact certificate contradicts."""
    rng = np.random.default_rng([2, seed])
    wide = float(rng.choice([3, 6, 9]))
    problem: Any
    if rng.random() < 0.4:
        problem, mechanism = population_of(rng, wide), "direct"
        options = direct_options(rng)
        kind = "direct" if options["randomized"] else "deterministic"
    else:
        mechanism = str(rng.choice(KNOWN))
        levels = int(rng.integers(1, 4))
        problem = instance_of(rng, levels, most=6, spread=wide)
        options = options_of(rng, mechanism, levels)
        kind = mechanism
    try:
        answer = mo.solve(problem, mechanism, **options)
    except mo.SolverError as error:
        yield f"{kind}, SolverError", ""
        yield kind, f"SolverError allowed: {error}" if False else ""
        return
    if answer.status is mo.Status.UNKNOWN:
        yield f"{kind}, unknown", ""
        return
    found = _finding(True, problem, mechanism, options, answer)
    if not found and (mechanism != "direct" or len(answer.population.states) <= 30):
        try:
            certificate = mo.certify(problem, answer)
        except (mo.SolverError, mo.NotSupported, mo.TooLarge):
            certificate = None
        if certificate is not None and not certificate.agrees:
            found = _finding(False, problem, mechanism, options, answer, certificate.remark)
    yield kind, found


def counted(problem: Any, data: float, money: float) -> Any:
    """The same problem with data and money counted in units so many times as small."""

    def limit(amount: float) -> float | None:
        return None if amount == inf else amount * money

    if isinstance(problem, Instance):
        return problem.replace(
            cost=problem.cost * (money / data),
            value=problem.value * money,
            capacity=problem.capacity * data,
            thresholds=problem.thresholds * data,
            provider_value=problem.provider_value * money,
            budget=limit(problem.budget),
        )
    groups = [
        mo.Group(
            size=group.size,
            costs=group.costs * (money / data),
            probabilities=group.probabilities,
            value=group.value * money,
            capacity=group.capacity * data,
            reversibility=group.reversibility,
            removable=group.removable,
        )
        for group in problem.groups
    ]
    return problem.replace(
        groups=groups,
        thresholds=problem.thresholds * data,
        provider_value=problem.provider_value * money,
        budget=limit(problem.budget),
        expected_budget=limit(problem.expected_budget),
    )


def scales(seed: int) -> Iterator[tuple[str, str]]:
    """Four changes of unit by powers of two: the same status and value, to the last bit."""
    rng = np.random.default_rng([3, seed])
    if rng.random() < 0.2:
        problem: Any = population_of(rng)
        mechanism, options = "direct", direct_options(rng)
    else:
        mechanism = str(rng.choice(KNOWN))
        levels = int(rng.integers(1, 6))
        problem = instance_of(rng, levels, most=8)
        options = options_of(rng, mechanism, levels)
    first = mo.solve(problem, mechanism, **options)
    worth = 0 if options["objective"] == "improvement" else 1
    for _ in range(4):
        data, money = 2.0 ** rng.integers(-30, 31), 2.0 ** rng.integers(-30, 31)
        again = mo.solve(counted(problem, data, money), mechanism, **options)
        value = None if again.objective is None else again.objective / money**worth
        if first.status is again.status and value == first.objective:
            yield mechanism, ""
        elif {first.status, again.status} <= {mo.Status.OPTIMAL, mo.Status.FEASIBLE} and (
            mo.Status.FEASIBLE in (first.status, again.status)
        ):
            yield f"{mechanism}, stopped by the clock", ""
        else:
            found = f"{mechanism} {options} × {data:g}, {money:g}: {first.status} "
            found += f"{first.objective!r}, {again.status} {value!r} {again.reason}"
            yield mechanism, found


def companions(seed: int) -> Iterator[tuple[str, str]]:
    """Three companions nobody would ask: the same status and value."""
    rng = np.random.default_rng([4, seed])
    levels = int(rng.integers(1, 4))
    mechanism = str(rng.choice(("burdens", "subsidy", "complete-information")))
    instance = instance_of(rng, levels, most=8)
    options = options_of(rng, mechanism, levels)
    if options["objective"] == "welfare":
        options["objective"] = "social-cost"
    first = mo.solve(instance, mechanism, **options)
    for cost, value, capacity in (
        (10.0 ** rng.uniform(9, 15), 0.0, 1.0),
        (10.0 ** rng.uniform(9, 15), float(rng.uniform(0, 1)), 10.0 ** rng.uniform(0, 15)),
        (1.0, 1.0, 0.0),
    ):
        where = int(rng.integers(instance.n + 1))
        wider = instance.replace(
            cost=np.insert(instance.cost, where, cost),
            value=np.insert(instance.value, where, value),
            capacity=np.insert(instance.capacity, where, capacity),
            reversibility=np.insert(instance.reversibility, where, 1.0),
            removable=np.insert(instance.removable, where, 1.0),
        )
        again = mo.solve(wider, mechanism, **options)
        kinds = {first.status, again.status}
        if mo.Status.FEASIBLE in kinds and kinds <= {mo.Status.OPTIMAL, mo.Status.FEASIBLE}:
            yield f"{mechanism}, stopped by the clock", ""
            continue
        good = first.status is again.status
        if good and first.objective is not None:
            size = abs(first.objective) + instance.provider_value
            size += 0 if first.burden is None else fsum(instance.cost_of(first.burden).tolist())
            good = abs(first.objective - again.objective) <= 1e-9 * size
        told = f"first {first.status} {first.objective!r}; with cost {cost:g} value {value:g}"
        yield mechanism, _finding(good, wider, mechanism, options, again, told)


# -- memory ---------------------------------------------------------------------------------------


def resident() -> float:
    """Megabytes of memory in use by this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def models(count: int) -> None:
    """Memory while models are built and dropped, n = 1,000, K = 4."""
    rng = np.random.default_rng(5)
    capacity = rng.lognormal(size=1000)
    thresholds = capacity.sum() * np.array([0.2, 0.4, 0.6, 0.8])
    instance = mo.Instance(
        rng.lognormal(size=1000), rng.lognormal(size=1000), capacity, thresholds, [0.2, 0.4, 0.7, 1]
    )
    began, after_ten = process_time(), 0.0
    most = 0.0
    for number in range(1, count + 1):
        mo.build_model(instance, "burdens-levels")
        after_ten = max(after_ten, resident()) if number <= 10 else after_ten
        most = max(most, resident())
    seconds = (process_time() - began) / count
    print(
        f"{count} models: {after_ten:.0f} MB at most in the first ten, {most:.0f} MB at most, "
        f"{resident():.0f} MB at the end; {seconds:.2f} s CPU each"
    )


def solves(count: int) -> None:
    """Memory while small instances are solved."""
    after = 0.0
    for seed in range(count):
        rng = np.random.default_rng([6, seed])
        instance = instance_of(rng, 1, most=8)
        plan = mo.solve(instance, "burdens")
        mo.audit(instance, plan)
        if seed == count // 40:
            gc.collect()
            after = resident()
    print(f"{count} solves: {after:.1f} MB after the first {count // 40}, {resident():.1f} MB now")


def main() -> None:
    kinds = {"edges": edges, "spread": spread, "scales": scales, "companions": companions}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=[*kinds, "models", "solves"])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--show", type=int, default=10)
    given = parser.parse_args()
    if given.what in ("models", "solves"):
        (models if given.what == "models" else solves)(given.count)
        return
    tried, wrong = Counter[str](), Counter[str]()
    began = process_time()
    for seed in range(given.first, given.first + given.count):
        for kind, finding in kinds[given.what](seed):
            tried[kind] += 1
            if finding:
                wrong[kind] += 1
                if wrong.total() <= given.show:
                    print(f"{given.what} {seed}: {finding}", flush=True)
    for kind in sorted(tried):
        print(f"{kind:30s} {tried[kind]:7,d} tried {wrong[kind]:6,d} findings")
    seconds = process_time() - began
    print(f"{given.what}: {given.count:,} cases, {wrong.total()} findings, {seconds:.0f} s CPU")


if __name__ == "__main__":
    main()

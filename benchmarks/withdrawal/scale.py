"""Time and memory of the withdrawal stage at the scale of real user bases.

    python benchmarks/withdrawal/scale.py --seed 0

Burdens are lognormal (log-sd 1), values uniform; every user is asked. Times are seconds of
wall-clock and of processor time of the call alone, memory the peak of the process so far.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

import numpy as np

import mechopt as mo
from mechopt.status import Status
from mechopt.withdrawal import check_withdrawal
from mechopt.withdrawal.equilibria import Goal, extreme_equilibrium
from mechopt.withdrawal.stage import Stage


def asked(seed: int, n: int, levels: int, removable: float = 1.0) -> tuple[mo.Instance, mo.Plan]:
    """n users with lognormal burdens who are on average just willing."""
    rng = np.random.default_rng(seed)
    x = rng.lognormal(0, 1, n)
    instance = mo.Instance(
        cost=1.0,
        value=x * rng.random(n) * 4,
        capacity=x,
        thresholds=np.linspace(0.5 if levels == 1 else 0.3, 1, levels) * x.sum(),
        shares=np.linspace(0.2, 1, levels) if levels > 1 else [1.0],
        removable=removable,
    )
    return instance, mo.Plan.from_arrays(instance, x)


def timed(label: str, call: Callable[[], Any]) -> Any:
    wall, processor = perf_counter(), process_time()
    answer = call()
    wall, processor = perf_counter() - wall, process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{label:58s} {wall:7.2f} s  {processor:7.2f} s processor  peak {peak:6.0f} MB")
    return answer


def verdict(instance: mo.Instance, plan: mo.Plan, protocol: str, order: Any) -> Any:
    report = check_withdrawal(instance, plan, protocol, order)
    assert report.outcome.level >= 0
    return report


def random_stage(seed: int, n: int, levels: int) -> tuple[Stage, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.lognormal(0, rng.choice([0.3, 1.0, 1.5]), n)
    stage = Stage.from_arrays(
        x,
        rng.uniform(0, 1, n) * x - rng.choice([0, 0.1]) * x,
        rng.lognormal(0, 1, n) * x * rng.choice([0.3, 1, 5]),
        rng.choice([1.0, 0.5]),
        np.sort(rng.uniform(0.1, 1, levels)) * x.sum(),
        np.sort(rng.uniform(0.1, 1, levels)),
    )
    return stage, np.maximum(stage.r, 0) + rng.random(n) * 0.1 * x


def proofs(seed: int, instances: int, n: int, levels: int) -> None:
    counts: dict[tuple[str, str], int] = {}
    slowest = 0.0
    for number in range(instances):
        stage, cost = random_stage(seed + number, n, levels)
        for goal in (Goal.BEST, Goal.WORST):
            began = perf_counter()
            found = extreme_equilibrium(stage, cost, goal, time_limit=60)
            slowest = max(slowest, perf_counter() - began)
            settled = found.status in (Status.OPTIMAL, Status.INFEASIBLE)
            key = (goal.name.lower(), "proved" if settled else found.status.value)
            counts[key] = counts.get(key, 0) + 1
    print(f"extreme equilibria, n = {n}, K = {levels}, {instances} random instances: "
          f"{ {' '.join(key): count for key, count in sorted(counts.items())} }, "
          f"slowest {slowest:.2f} s")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--instances", type=int, default=100)
    options = parser.parse_args()
    million = asked(options.seed, 10**6, 1)
    order = np.random.default_rng(options.seed).permutation(10**6)
    timed("sequential small-first, K = 1, n = 1,000,000",
          lambda: check_withdrawal(*million, "sequential"))  # fmt: skip
    timed("sequential random order, K = 1, n = 1,000,000",
          lambda: check_withdrawal(*million, "sequential", order))  # fmt: skip
    report = timed("simultaneous W1, K = 1, n = 1,000,000", lambda: check_withdrawal(*million))
    timed("  its best equilibrium", lambda: report.best)
    timed("  its worst equilibrium", lambda: report.worst)
    for levels, removable in ((2, 1.0), (10, 1.0), (10, 0.5)):
        many = asked(options.seed, 10**5, levels, removable)
        for name, order in (("small-first", "small-first"), ("random order",
                            np.random.default_rng(options.seed).permutation(10**5))):  # fmt: skip
            label = f"sequential {name}, K = {levels}, δ = {removable:g}, n = 100,000"
            timed(label, lambda many=many, order=order: verdict(*many, "sequential", order))
    for n, levels in ((200, 3), (200, 1), (1000, 3)):
        proofs(options.seed, options.instances if n == 200 else options.instances // 5, n, levels)


if __name__ == "__main__":
    main()

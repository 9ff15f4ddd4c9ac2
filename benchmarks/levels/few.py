"""How many problems of a few users are proved, by shape, order and number of users.

    python -m benchmarks.levels.few [--seed 1] [--instances 60] [--limit 10] [--most 8]

Generated instances (lognormal and heavy-tailed users, tightness 0.7 to 1.1, 2 or 3 thresholds),
least payments at the full share; what is not proved is printed.
"""

from __future__ import annotations

import argparse
from collections import Counter
from time import perf_counter, process_time

import numpy as np

import mechopt as mo

SHAPES = ("diminishing", "linear", "accelerating")
ORDERS = ("small-first", "large-first", "designed", "given")


def drawn(seed: int, most: int) -> tuple[mo.Instance, str, str]:
    """An instance, its shape and its order's name."""
    rng = np.random.default_rng(seed)
    n, levels = int(rng.integers(2, most + 1)), int(rng.integers(2, 4))
    shape = SHAPES[seed % 3]
    family = str(rng.choice(["lognormal", "heavy-tailed"]))
    tight = float(rng.choice([0.7, 0.9, 1.05, 1.1]))
    instance = mo.generate(family, n, tightness=tight, levels=levels, shape=shape, seed=seed)
    return instance, shape, ORDERS[int(rng.integers(4))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instances", type=int, default=60)
    parser.add_argument("--limit", type=float, default=10.0)
    parser.add_argument("--most", type=int, default=8, help="users, at most")
    options = parser.parse_args()
    counts: Counter[tuple[str, bool]] = Counter()
    slowest = 0.0
    for seed in range(options.seed, options.seed + options.instances):
        instance, shape, name = drawn(seed, options.most)
        order = np.random.default_rng(seed).permutation(instance.n) if name == "given" else name
        began, clock = process_time(), perf_counter()
        plan = mo.solve(
            instance,
            "burdens",
            objective="expenditure",
            protocol="sequential",
            order=order,
            time_limit=options.limit,
        )
        seconds = process_time() - began
        slowest = max(slowest, seconds)
        proved = plan.status in (mo.Status.OPTIMAL, mo.Status.INFEASIBLE, mo.Status.NULL)
        for group in (shape, name, f"n = {instance.n}", f"K = {instance.levels}", "all"):
            counts[group, proved] += 1
        if not proved:
            print(
                f"open: {seed} {shape} {name} n={instance.n} K={instance.levels} "
                f"{plan.objective} ≥ {plan.bound}, {seconds:.1f} s "
                f"({perf_counter() - clock:.1f} on the clock)",
                flush=True,
            )
    for group in sorted({group for group, _ in counts}):
        done = counts[group, True]
        print(f"{group}: {done} of {done + counts[group, False]}")
    print(f"slowest: {slowest:.1f} s")


if __name__ == "__main__":
    main()

"""Time limits of random calls: python benchmarks/limits/run.py [calls] [seed]

Mechanisms, protocols, objectives, thresholds and limits (0.05 to 5 s) at random; up to 10^5 users
where costs are known. Prints every call over limit + 10 % + 0.2 s of processor time, then the
count; the clock beside it, which a busy machine lengthens.
"""

from __future__ import annotations

import sys
import warnings
from time import perf_counter, process_time
from typing import Any

import numpy as np

import mechopt as mo

KNOWN = ("burdens", "subsidy", "posted-price", "posted-contract", "complete-information",
         "floor-and-burdens")  # fmt: skip
PRIVATE = ("direct", "posted-price", "posted-contract", "complete-information", "rule")
FAMILIES = ("lognormal", "uniform", "pareto", "two-type", "heavy-tailed", "convex", "homogeneous")
OBJECTIVES = ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement")
ORDERS = ("small-first", "large-first", "designed", "cost")


def known(rng: np.random.Generator) -> tuple[Any, str, dict[str, Any]]:
    """An instance of up to 10^5 users, a mechanism and its options."""
    n, levels = int(10 ** rng.uniform(0.4, 5)), int(rng.choice([1, 1, 2, 3, 4]))
    shape = str(rng.choice(["linear", "accelerating", "diminishing"]))
    instance = mo.generate(
        str(rng.choice(FAMILIES)),
        n=n,
        tightness=float(rng.uniform(0.3, 1.05)),
        levels=levels,
        seed=int(rng.integers(2**31)),
        **({"shape": shape} if levels > 1 else {}),
    )
    mechanism = str(rng.choice(KNOWN, p=[0.6, 0.08, 0.08, 0.08, 0.08, 0.08]))
    options: dict[str, Any] = {"objective": str(rng.choice(OBJECTIVES))}
    if mechanism == "burdens":
        options["protocol"] = str(rng.choice(["simultaneous", "sequential", "sequential", "none"]))
        if options["protocol"] == "sequential":
            options["order"] = str(rng.choice(ORDERS))
        options["transfers"] = bool(rng.random() < 0.7)
    return instance, mechanism, options


def private(rng: np.random.Generator) -> tuple[Any, str, dict[str, Any]]:
    """A population of one or two groups, a mechanism and its options."""
    n, types = int(10 ** rng.uniform(0.3, 2.3)), int(rng.integers(2, 5))
    groups = [
        mo.Group(
            max(1, n // 2),
            np.sort(rng.uniform(0.2, 2, types)),
            np.full(types, 1 / types),
            float(rng.uniform(0.1, 2)),
            4.0,
            reversibility=float(rng.choice([0, 0.5, 1])),
        )
        for _ in range(int(rng.integers(1, 3)))
    ]
    size = sum(group.size for group in groups)
    population = mo.Population(groups, [size * rng.uniform(0.3, 1.5)], provider_value=float(size))
    mechanism = str(rng.choice(PRIVATE, p=[0.6, 0.1, 0.1, 0.1, 0.1]))
    options: dict[str, Any] = {}
    if mechanism == "rule":
        options["rule"] = str(rng.choice(["least-cost", "proportional"]))
    else:
        options["objective"] = str(rng.choice(OBJECTIVES))
    if mechanism == "direct":
        options |= {
            "incentive": str(rng.choice(["dsic", "bic"])),
            "participation": str(rng.choice(["ex-post", "interim"])),
            "randomized": bool(rng.random() < 0.7),
            "transfers": bool(rng.random() < 0.7),
        }
    return population, mechanism, options


def main() -> None:
    calls, seed = (int(one) for one in (sys.argv[1:] + ["200", "1"][len(sys.argv) - 1 :])[:2])
    rng, over, late, done = np.random.default_rng(seed), 0, 0, 0
    warnings.simplefilter("ignore")
    mo.solve(mo.generate("lognormal", n=9, levels=3, seed=1), protocol="sequential")  # imports
    mo.solve(
        mo.Population([mo.Group(2, [1, 2], [0.5, 0.5], 1, 10)], [1]), "direct", randomized=False
    )
    while done < calls:
        problem, mechanism, options = (known if rng.random() < 0.6 else private)(rng)
        limit = float(10 ** rng.uniform(-1.3, 0.7))
        clock, processor = perf_counter(), process_time()
        try:
            said = mo.solve(problem, mechanism, time_limit=limit, **options).status
        except (mo.InvalidOption, mo.NotSupported):
            continue
        except mo.MechoptError as error:
            said = f"{type(error).__name__}: {error}"[:60]
        clock, processor = perf_counter() - clock, process_time() - processor
        done += 1
        allowed = 1.1 * limit + 0.2
        late += clock > allowed
        if processor > allowed:
            over += 1
            print(
                f"limit {limit:.2f}: processor {processor:.2f}, clock {clock:.2f}; "
                f"n = {problem.n}, K = {problem.levels}, {mechanism} {options}: {said}",
                flush=True,
            )
    print(f"seed {seed}: {done} calls, {over} over by processor time, {late} by the clock")


if __name__ == "__main__":
    main()

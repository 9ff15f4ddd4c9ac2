"""What deciding in sequence is worth, by the shape of the improvement.

    python -m benchmarks.levels.shapes OUT.md [--n 200] [--limit 3] [--draws 2]

Least payments for the full share (tightness 1.05) under simultaneous, small-first, large-first and
designed sequential withdrawal, on generated instances with shares (k/K)^a; savings are relative to
the simultaneous optimum, averaged over draws; gaps are what the bounds leave open.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from statistics import mean
from time import perf_counter

import mechopt as mo

SHAPES = (0.5, 1.0, 1.05, 1.5, 2.0, 3.0)
ORDERS = ("small-first", "large-first", "designed")


def paid(instance: mo.Instance, limit: float, **options: str) -> tuple[float, float]:
    """(payments, bound) of the cheapest plan found for the full share."""
    plan = mo.solve(instance, "burdens", objective="expenditure", time_limit=limit, **options)
    assert plan.objective is not None
    assert plan.bound is not None
    return plan.objective, plan.bound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--limit", type=float, default=3.0)
    parser.add_argument("--draws", type=int, default=2)
    arguments = parser.parse_args()
    lines = [
        "| shares (k/K)^a, a = | K | family | simultaneous pays | saved small-first | large-first "
        "| designed | gap small-first | gap designed | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for power, levels, family in product(SHAPES, (2, 3), ("lognormal", "heavy-tailed")):
        began = perf_counter()
        base, saved, gap = [], {order: [] for order in ORDERS}, {order: [] for order in ORDERS}
        for seed in range(arguments.draws):
            instance = mo.generate(
                family, arguments.n, tightness=1.05, levels=levels, shape=power, seed=seed
            )
            alone, _ = paid(instance, arguments.limit)
            base.append(alone)
            for order in ORDERS:
                found, bound = paid(instance, arguments.limit, protocol="sequential", order=order)
                saved[order].append(1 - found / alone)
                gap[order].append((found - bound) / found if found else 0.0)
        cells = [f"{power:g}", str(levels), family, f"{mean(base):.4g}"]
        cells += [f"{100 * mean(saved[order]):.1f} %" for order in ORDERS]
        cells += [f"{100 * mean(gap[order]):.2f} %" for order in ("small-first", "designed")]
        cells.append(f"{perf_counter() - began:.0f}")
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

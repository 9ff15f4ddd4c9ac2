"""What deciding in sequence is worth, by the shape of the improvement.

    python -m benchmarks.levels.shapes OUT.md [--n 200] [--limit 3] [--draws 2]
    python -m benchmarks.levels.shapes OUT.md --crossing [--n 20] [--limit 0.5] [--draws 8]

Least payments for the full share under simultaneous, small-first, large-first and designed
sequential withdrawal, on generated instances with shares (k/K)^a, 2, 3 and 5 thresholds, two
tightnesses, invented and real capacities (prism); savings are relative to the simultaneous optimum,
averaged over draws; gaps are what the bounds leave open.

--crossing: the share of draws in which the full share is reached without payments, by protocol; two
numbers where some draws stay undecided (no plan found, none excluded): at least and at most.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from statistics import mean
from time import perf_counter

import mechopt as mo

SHAPES = (0.5, 1.0, 1.05, 1.5, 2.0, 3.0)
LEVELS = (2, 3, 5)
FAMILIES = ("lognormal", "heavy-tailed", "prism")
TIGHT = (0.8, 1.05)
CROSSING = ("diminishing", "linear", "accelerating")
PROTOCOLS = ("none", "simultaneous", "small-first", "large-first", "designed")
ORDERS = ("small-first", "large-first", "designed")


def paid(instance: mo.Instance, limit: float, **options: str) -> tuple[float, float]:
    """(payments, bound) of the cheapest plan found for the full share."""
    plan = mo.solve(instance, "burdens", objective="expenditure", time_limit=limit, **options)
    assert plan.objective is not None
    assert plan.bound is not None
    return plan.objective, plan.bound


def crosses(instance: mo.Instance, protocol: str, limit: float) -> bool | None:
    """Whether the full share is reached without payments; None if that stays open."""
    options = {"protocol": protocol}
    if protocol in ORDERS:
        options = {"protocol": "sequential", "order": protocol}
    plan = mo.solve(
        instance,
        "burdens",
        objective="social-cost",
        transfers=False,
        target=float(instance.shares[-1]),
        time_limit=limit,
        **options,
    )
    if plan.burden is not None:
        return True
    return False if plan.status is mo.Status.INFEASIBLE else None


def crossing(n: int, limit: float, draws: int) -> list[str]:
    """The table of --crossing."""
    lines = [
        "| shape | K | family | tightness | " + " | ".join(PROTOCOLS) + " | s |",
        "|---" * (5 + len(PROTOCOLS)) + "|",
    ]
    for shape, levels, family, tight in product(CROSSING, LEVELS, FAMILIES, (0.4, 0.6, 0.8)):
        began = perf_counter()
        found: dict[str, list[bool | None]] = {protocol: [] for protocol in PROTOCOLS}
        for seed in range(draws):
            instance = mo.generate(
                family, n, tightness=tight, levels=levels, shape=shape, seed=seed
            )
            for protocol in PROTOCOLS:
                found[protocol].append(crosses(instance, protocol, limit))
        cells = [shape, str(levels), family, f"{tight:g}"]
        for protocol in PROTOCOLS:
            least = mean(it is True for it in found[protocol])
            most = mean(it is not False for it in found[protocol])
            cells.append(f"{least:.2f}" if least == most else f"{least:.2f}–{most:.2f}")
        cells.append(f"{perf_counter() - began:.0f}")
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--crossing", action="store_true")
    parser.add_argument("--n", type=int)
    parser.add_argument("--limit", type=float)
    parser.add_argument("--draws", type=int)
    arguments = parser.parse_args()
    n, limit, draws = (20, 0.5, 8) if arguments.crossing else (200, 3.0, 2)
    n, limit, draws = arguments.n or n, arguments.limit or limit, arguments.draws or draws
    lines = crossing(n, limit, draws) if arguments.crossing else payments(n, limit, draws)
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def payments(n: int, limit: float, draws: int) -> list[str]:
    """The table of least payments by shape."""
    lines = [
        "| shares (k/K)^a, a = | K | family | tightness | simultaneous pays | saved small-first "
        "| large-first | designed | gap small-first | gap designed | s |",
        "|---" * 11 + "|",
    ]
    for power, levels, family, tight in product(SHAPES, LEVELS, FAMILIES, TIGHT):
        began = perf_counter()
        base, saved, gap = [], {order: [] for order in ORDERS}, {order: [] for order in ORDERS}
        for seed in range(draws):
            instance = mo.generate(
                family, n, tightness=tight, levels=levels, shape=power, seed=seed
            )
            alone, _ = paid(instance, limit)
            base.append(alone)
            for order in ORDERS:
                found, bound = paid(instance, limit, protocol="sequential", order=order)
                saved[order].append(1 - found / alone if alone else 0.0)
                gap[order].append((found - bound) / found if found else 0.0)
        cells = [f"{power:g}", str(levels), family, f"{tight:g}", f"{mean(base):.4g}"]
        cells += [f"{100 * mean(saved[order]):.1f} %" for order in ORDERS]
        cells += [f"{100 * mean(gap[order]):.2f} %" for order in ("small-first", "designed")]
        cells.append(f"{perf_counter() - began:.0f}")
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    return lines


if __name__ == "__main__":
    main()

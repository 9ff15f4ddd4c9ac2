"""How the certified interval of `mo.bracket` tightens with n, and how long it takes.

python benchmarks/performance/large.py [--out FOLDER]
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import mechopt as mo

SIZES = (10, 30, 100, 1000, 10_000, 100_000, 1_000_000)


def procurement(n: int) -> mo.Population:
    """No user values; T is just what the two cheaper types supply on average: the hard case."""
    group = mo.Group(n, [0.5, 1, 2], [0.3, 0.4, 0.3], capacity=1.0)
    return mo.Population([group], [0.7 * n], provider_value=1.5 * n)


def valued(n: int) -> mo.Population:
    """Two groups; one values the improvement and gives a base unpaid."""
    groups = [
        mo.Group(n // 2, [1, 2, 4], [0.3, 0.3, 0.4], value=0.5, capacity=3.0),
        mo.Group(n - n // 2, [0.5, 3], [0.5, 0.5], capacity=1.0),
    ]
    return mo.Population(groups, [0.8 * n], provider_value=3.0 * n)


def unpaid(n: int) -> mo.Population:
    """No payments: success must vanish (Mailath and Postlewaite)."""
    group = mo.Group(n, [1, 2, 4], [0.4, 0.3, 0.3], value=1.0, capacity=5.0)
    return mo.Population([group], [0.45 * n])


CASES: dict[str, tuple[Callable[[int], mo.Population], str, bool, bool]] = {
    # name: population, objective, transfers, per user
    "procurement, surplus per user": (procurement, "provider-surplus", True, True),
    "two groups, surplus per user": (valued, "provider-surplus", True, True),
    "two groups, welfare per user": (valued, "welfare", True, True),
    "no payments, success probability": (unpaid, "improvement", False, False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for large.csv")
    options = parser.parse_args()
    table = [("case", "n", "lower", "lp", "upper", "relative gap", "mechanism", "seconds")]
    print("| case | n | lower | exact LP | upper | gap | mechanism | s |\n" + "|---" * 8 + "|")
    for name, (make, objective, transfers, per_user) in CASES.items():
        for n in SIZES:
            population = make(n)
            began = perf_counter()
            found = mo.bracket(population, objective=objective, transfers=transfers)
            seconds = perf_counter() - began
            scale = n if per_user else 1
            exact = ""
            if n <= 10:  # DSIC, ex post; the interval also holds for BIC
                answer = mo.solve(population, "direct", objective=objective, transfers=transfers)
                exact = f"{answer.objective / scale:.6f}"
            gap = (found.upper - found.lower) / max(found.upper, 1e-300)
            row = (
                name,
                str(n),
                f"{found.lower / scale:.6f}",
                exact,
                f"{found.upper / scale:.6f}",
                f"{gap:.1e}",
                found.mechanism,
                f"{seconds:.3f}",
            )
            table.append(row)
            print("| " + " | ".join(row) + " |", flush=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        with open(options.out / "large.csv", "w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(table)


if __name__ == "__main__":
    main()

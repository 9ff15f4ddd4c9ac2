"""All instances of sequential_zones.json: bounds and plans against what is recorded there.

    python -m benchmarks.levels.recorded DATA.json OUT.md [--limit 10] [--n 50 200 1000]

DATA.json is the file itself; what misses a recorded bound or plan is marked.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

import mechopt as mo

NEAR = 1e-4  # the file's rounding


def instance_of(row: dict[str, Any]) -> mo.Instance:
    """The instance of a row, by the file's recipe."""
    rng, n = np.random.default_rng(row["seed"]), row["n"]
    cost = np.round(rng.lognormal(0, 1, n), 4) + 0.01
    value = np.round(rng.lognormal(0, 1, n), 4) + 0.01
    capacity = np.round(rng.uniform(1, 10, n), 4)
    reach = np.minimum(capacity, value / cost).sum()
    thresholds = np.round(np.linspace(0.5, 1.05, len(row["shares"])) * reach, 4)
    return mo.Instance(
        cost=cost, value=value, capacity=capacity, thresholds=thresholds, shares=row["shares"]
    )


def wanted(row: dict[str, Any], order: str) -> float:
    """Payments attained in this order, else those of 22 November."""
    name = order.replace("-", "_")
    return float(row.get(f"{name}_attained", row[f"{name}_today"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=float, default=10.0)
    parser.add_argument("--n", type=int, nargs="*", default=[50, 200, 1000])
    arguments = parser.parse_args()
    rows = json.loads(arguments.data.read_text())["instances"]
    lines = [
        "| shares | n | seed | order | pays | recorded | bound | recorded | gap | CPU s | |",
        "|---" * 11 + "|",
    ]
    for row in rows:
        if row["n"] not in arguments.n:
            continue
        for order in ("designed", "small-first"):
            began = process_time()
            plan = mo.solve(
                instance_of(row),
                "burdens",
                objective="expenditure",
                protocol="sequential",
                order=order,
                time_limit=arguments.limit,
            )
            pays, bound = float(plan.objective or 0.0), float(plan.bound or 0.0)
            missed = pays > wanted(row, order) + NEAR or bound < row["zone_bound"] - NEAR
            cells = [str(row["shares"]), str(row["n"]), str(row["seed"]), order, f"{pays:.4f}"]
            cells += [f"{wanted(row, order):.4f}", f"{bound:.4f}", f"{row['zone_bound']:.4f}"]
            cells += [f"{100 * (1 - bound / pays):.2f} %", f"{process_time() - began:.1f}"]
            lines.append("| " + " | ".join([*cells, "missed" if missed else ""]) + " |")
            print(lines[-1], flush=True)
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

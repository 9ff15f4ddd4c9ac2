"""Private costs, several thresholds, growing shares: what withdrawing in sequence is worth.

Random populations of 2 to 6 users (one group, two or three types, K = 2 or 3, shares convex, all
terms at random). Per population: value if users withdraw at once, value and bound in sequence.

    python benchmarks/direct/sequential.py [populations] [seconds each]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import process_time

import numpy as np

import mechopt as mo

SEED = 20261129
LARGEST = 6


def populations(count):
    random = np.random.default_rng(SEED)
    for _ in range(count):
        size, levels = int(random.integers(2, LARGEST + 1)), int(random.integers(2, 4))
        types = int(random.integers(2, 4)) if size < 5 else 2
        costs = np.sort(random.choice(np.arange(1, 17), types, replace=False)) / 8
        value, cap = float(random.uniform(0.4, 2)), float(random.uniform(0.5, 4))
        top = size * min(cap, value / costs[0]) * random.uniform(0.3, 0.8)
        thresholds = [*np.sort(random.uniform(0.2, 0.95, levels - 1)) * top, top]
        steps = np.sort(random.uniform(0.05, 1, levels))
        group = mo.Group(
            size,
            costs,
            random.dirichlet(np.full(types, 3.0)),
            value,
            cap,
            reversibility=float(random.choice([1.0, 1.0, 0.6])),
        )
        population = mo.Population(
            [group],
            thresholds,
            np.cumsum(steps) / steps.sum(),
            provider_value=float(random.uniform(1, 6)),
        )
        yield (
            population,
            {
                "transfers": bool(random.random() < 0.5),
                "objective": str(random.choice(["improvement", "welfare", "provider-surplus"])),
                "incentive": str(random.choice(["dsic", "bic"])),
            },
        )


def main(count=100, seconds=20.0):
    rows = []
    for population, options in populations(count):
        at_once = mo.solve(population, "direct", **options)
        began = process_time()
        answer = mo.solve(
            population, "direct", protocol="sequential", time_limit=seconds, **options
        )
        rows.append(
            {
                "users": population.n,
                "levels": population.levels,
                **options,
                "at once": at_once.objective,
                "in sequence": answer.objective,
                "bound": answer.bound,
                "status": str(answer.status),
                "audit": mo.audit(population, answer).ok,
                "seconds": round(process_time() - began, 2),
            }
        )
    for transfers in (False, True):
        some = [row for row in rows if row["transfers"] is transfers]
        gaps = [(row["bound"] - row["in sequence"]) / max(abs(row["bound"]), 1e-9) for row in some]
        gain = [row["in sequence"] - row["at once"] > 1e-6 for row in some]
        proved = sum(row["status"] == "optimal" for row in some)
        print(
            f"payments {transfers!s:5}: {len(some):3d} populations, proved {proved:3d}, "
            f"gap mean {np.mean(gaps):.4f} largest {max(gaps):.4f}, better than at once "
            f"{sum(gain):3d}, audited {sum(row['audit'] for row in some):3d}, "
            f"seconds median {np.median([row['seconds'] for row in some]):.2f} "
            f"largest {max(row['seconds'] for row in some):.2f}"
        )
    return rows


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    found = main(*(int(given[0]), *given[1:]) if given else ())
    rows = ",\n".join(json.dumps(row) for row in found)
    Path(__file__).with_suffix(".json").write_text(f"[\n{rows}\n]\n")

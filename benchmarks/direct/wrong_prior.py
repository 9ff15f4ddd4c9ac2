"""How much a wrong prior costs: nominal against robust mechanisms, from survey samples.

    python -m benchmarks.direct.wrong_prior ../shared/data/privacy_wta.csv

The 394 people of the survey are the truth: cost = middle of the bracket in which a person starts to
sell (0.5 where it starts at 0; 12 for people never seen to sell), three types. From samples of N
people the same types get estimated probabilities; the nominal mechanism takes them as true, the
robust one guards against total variation within the radius that holds with 80 % confidence. Both
are then held against the true law. Writes wrong_prior.json.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

import mechopt as mo
from mechopt.private.direct.expectations import state_values
from mechopt.private.worst_law import probability
from mechopt.problem.discretise import confidence_radius, from_observations

USERS, VALUE, CAPACITY, PROVIDER = 5, 1.0, 2.0, 25.0
SAMPLES, DRAWS = (30, 100, 300, 1000), 16


def costs_of(path: str) -> np.ndarray:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    costs = []
    for row in rows:
        low = float(row["reserve_low"] or 0)
        high = float(row["reserve_high"]) if row["reserve_high"] else None
        costs.append(12.0 if high is None else max(0.5, (low + high) / 2))
    return np.array(costs)


def main(path: str) -> None:
    began = perf_counter()
    costs = costs_of(path)
    types = from_observations(costs, 3)
    nearest = np.argmin(np.abs(costs[:, None] - types.costs), axis=1)
    true = np.bincount(nearest, minlength=3) / costs.size
    random = np.random.default_rng(1)

    def population(law: np.ndarray) -> mo.Population:
        group = mo.Group(USERS, types.costs, law, VALUE, CAPACITY)
        return mo.Population([group], [0.6 * USERS * CAPACITY], provider_value=PROVIDER)

    def under_truth(answer: mo.DirectMechanism) -> float:
        chance = probability(answer.population, (true,))
        return float(chance @ state_values(answer)["provider_surplus"])

    best = mo.solve(population(true), "direct").objective
    table = []
    for size in SAMPLES:
        radius = confidence_radius(size, 3, 0.8)
        rows = []
        for _ in range(DRAWS):
            counts = np.bincount(random.choice(nearest, size), minlength=3) + 1e-3
            estimated = population(counts / counts.sum())
            plain = mo.solve(estimated, "direct")
            robust = mo.solve(estimated, "direct", robust="total-variation", radius=radius)
            rows.append(
                (
                    best - under_truth(plain),
                    best - under_truth(robust),
                    under_truth(plain) - plain.objective,
                    under_truth(robust) - robust.objective,
                    robust.details["nominal_guarantees"],
                    robust.objective,
                )
            )
        mean = np.mean(rows, axis=0).tolist()
        table.append(
            {
                "people asked": size,
                "radius": round(radius, 4),
                "loss of the nominal": round(mean[0], 4),
                "loss of the robust": round(mean[1], 4),
                "nominal: truth minus promise, least": round(min(r[2] for r in rows), 4),
                "robust: truth minus promise, least": round(min(r[3] for r in rows), 4),
                "nominal guarantees": round(mean[4], 4),
                "robust guarantees": round(mean[5], 4),
            }
        )
        print(table[-1], flush=True)
    record = {
        "types": types.costs.tolist(),
        "law": true.tolist(),
        "best under the truth": best,
        "draws": DRAWS,
        "results": table,
        "seconds": round(perf_counter() - began, 1),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

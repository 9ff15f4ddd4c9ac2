"""Robust optimum against brute-force max–min over the vertices of the balls, on tiny populations.

    python -m benchmarks.direct.robust_agreement 240

Every user has a law of her own, so the worst laws are products of vertices; the oracle is one LP
over full profiles by SciPy (tests/oracles/oracle_robust.py). Writes robust_agreement.json.
"""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np

import mechopt as mo
from mechopt.problem.direct_terms import payment_bounds
from tests.oracles import oracle_robust
from tests.problems import random_population

OBJECTIVES = ("provider-surplus", "welfare", "improvement", "social-cost", "expenditure")
DISTANCES = ("total-variation", "wasserstein")


def main(problems: int) -> None:
    random, began = np.random.default_rng(2026), perf_counter()
    worst, counts = 0.0, {"agree": 0, "infeasible": 0, "wrong": 0}
    for trial in range(problems):
        population = random_population(random, users=3, types=3, segments=False)
        population = population.replace(
            groups=[g.replace(removable=1, reversibility=1) for g in population.groups]
        ).individual()
        objective, distance = OBJECTIVES[trial % 5], DISTANCES[trial % 2]
        radius, transfers = float(random.uniform(0.02, 0.6)), bool(random.integers(2))
        target = 0.3 if objective in ("social-cost", "expenditure") else None
        vertices = [
            oracle_robust.ball_vertices(g.costs, g.probabilities, distance, radius)
            for g in population.groups
        ]
        truth = oracle_robust.maximin(
            population,
            list(product(*vertices)),
            objective,
            transfers,
            target,
            payment_bounds(population, 0),
        )
        answer = mo.solve(
            population,
            "direct",
            objective=objective,
            transfers=transfers,
            target=target,
            robust=distance,
            radius=radius,
        )
        if truth is None:
            counts["infeasible" if str(answer.status) == "infeasible" else "wrong"] += 1
            continue
        off = abs(answer.objective - truth) / max(1.0, abs(truth))
        worst = max(worst, off)
        sound = off <= 2e-6 and str(answer.status) == "optimal" and mo.audit(population, answer).ok
        counts["agree" if sound else "wrong"] += 1
    record = {
        "problems": problems,
        **counts,
        "largest relative difference": worst,
        "seconds": round(perf_counter() - began, 1),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print(record)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 240)

"""Beyond 50,000 count states: structure against HiGHS' simplex, interior point and PDLP, one run.

    python -m benchmarks.direct.larger [seconds per LP]

`structure` is a whole `mo.solve` (states, bound, mechanism, audit); a `gap` is certified by it. The
LPs are those of `direct` on the smaller cases, arrays built before the clock starts, each with the
time limit; PDLP and interior point without crossover stop at HiGHS' default tolerances.
Seconds on the clock and of the processor. Writes larger.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

import mechopt as mo
from mechopt.errors import SolverError
from mechopt.private.direct.optimise import SETTINGS, build_for
from mechopt.problem.direct_terms import DirectTerms
from mechopt.solver import highs

WAYS = {
    "simplex": SETTINGS,
    "ipm": {"objective_scale": 1e4, "solver": "ipm", "run_crossover": "off"},
    "pdlp": {"objective_scale": 1e4, "solver": "pdlp"},
}
BAYES = {"incentive": "bic", "participation": "interim", "withdrawal_rights": False}


def one_group(n: int, types: int, need: float, worth: float) -> mo.Population:
    """Costs 1/4 … 2, equally likely; T = need · what users would give; V = worth · n."""
    costs = np.linspace(0.25, 2, types)
    group = mo.Group(n, costs, [1 / types] * types, value=1, capacity=4)
    supply = n * float(np.mean(np.minimum(4, 1 / costs)))
    return mo.Population([group], [need * supply], provider_value=worth * n)


def groups(n: int, types: int, number: int) -> mo.Population:
    """`number` groups of n users, up to three types each."""
    kinds = [
        mo.Group(n, [0.25, 1.0, 2.0], [1 / 3] * 3, value=1, capacity=4),
        mo.Group(n, [0.5, 1.0, 1.5], [0.3, 0.4, 0.3], value=0.5, capacity=3),
        mo.Group(n, [0.4, 0.7, 1.0], [0.3, 0.3, 0.4], value=0.2, capacity=2),
    ][:number]
    if types == 2:
        kinds = [one.replace(costs=one.costs[[0, 2]], probabilities=[0.5, 0.5]) for one in kinds]
    supply = sum(
        one.size * float(one.probabilities @ np.minimum(one.capacity, one.value / one.costs))
        for one in kinds
    )
    return mo.Population(kinds, [0.6 * supply], provider_value=0.5 * number * n)


CASES = {
    "3 types, n = 20": (one_group(20, 3, 0.9, 0.6), {}),
    "4 types, n = 16": (one_group(16, 4, 0.6, 0.5), {}),
    "2 groups x 3 types, n = 8 + 8": (groups(8, 3, 2), {}),
    "2 types, n = 10,000": (one_group(10_000, 2, 0.6, 0.5), {}),
    "3 types, n = 400, scarce": (one_group(400, 3, 0.9, 0.6), {}),
    "4 types, n = 80, scarce": (one_group(80, 4, 0.9, 0.6), {}),
    "2 groups x 2 types, n = 300 + 300": (groups(300, 2, 2), {}),
    "2 groups x 3 types, n = 30 + 30": (groups(30, 3, 2), {}),
    "2 groups x 3 types, n = 30 + 30, Bayesian": (groups(30, 3, 2), BAYES),
}
WITH_LP = 12_000  # rows up to which the LPs are run as well


def main(limit: float) -> None:
    record = []
    mo.solve(one_group(3, 2, 0.6, 0.5), "direct")  # imports
    for name, (population, options) in CASES.items():
        began, busy = perf_counter(), process_time()
        answer = mo.solve(population, "direct", **options)
        row = {
            "case": name,
            "states": len(population.states),
            "status": str(answer.status),
            "objective": answer.objective,
            "gap": answer.gap,
            "by": answer.solver,
            "seconds": round(perf_counter() - began, 1),
            "cpu": round(process_time() - busy, 1),
        }
        built = None
        if len(population.states) < WITH_LP and not options:
            built = build_for(population, DirectTerms())
            row["rows"] = built.program.rows
        for way, settings in WAYS.items() if built is not None else ():
            began, busy = perf_counter(), process_time()
            try:
                found = highs.solve(built.program, time_limit=limit, **settings)
                said, value = str(found.status), found.objective
            except SolverError as error:
                said, value = str(error), None
            row[way] = {
                "seconds": round(perf_counter() - began, 1),
                "cpu": round(process_time() - busy, 1),
                "said": said,
                "off": None if value is None else abs(value / answer.objective - 1),
            }
        record.append(row)
        print(row, flush=True)
        Path(__file__).with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)

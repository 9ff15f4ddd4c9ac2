"""Certificates of plans in practice: how many are proved optimal, and how long that takes.

python benchmarks/practice/certificates.py [N …]      (default 30 100)

Two problems per size, terms and objective; most people give without payment.
"""

from __future__ import annotations

import sys
from collections import Counter
from time import perf_counter
from typing import Any

import numpy as np

import mechopt as mo

TERMS: dict[str, dict[str, Any]] = {
    "units": {"unit": 1},
    "units, cents, contacts": {"unit": 1, "payment_step": 0.01, "contact_cost": 0.5},
    "least, contacts": {"least": 3, "contact_cost": 0.5},
    "units beside none": {"unit": [0, 1, 0.5]},
    "units, budget": {"unit": 1, "budget": 0.15},
    "units, groups": {"unit": 1, "group_least": 0.15, "group_most": "30 %"},
    "units, two thresholds": {"unit": 1, "levels": 2},
}


def problem(n: int, seed: int, terms: dict[str, Any]) -> mo.Instance:
    """Uniform costs and values to two digits; half of what all can give is needed."""
    rng = np.random.default_rng(seed)
    capacity = rng.integers(4, 12, n)
    given, goal = dict(terms), int(capacity.sum()) // 2
    two = given.pop("levels", 1) == 2
    if "group_least" in given:
        given |= {"group": np.resize(["a", "b", "c"], n)}
        given |= {"group_least": {"a": round(0.15 * goal)}, "group_most": {"b": "30 %"}}
    if "budget" in given:
        given["budget"] = round(given["budget"] * goal)
    if isinstance(given.get("unit"), list):
        given["unit"] = np.resize(given["unit"], n)
    return mo.Instance(
        cost=np.round(rng.uniform(0.2, 2, n), 2),
        value=np.round(rng.uniform(0, 12, n), 1),
        capacity=capacity,
        thresholds=[goal // 2, goal] if two else [goal],
        shares=[0.5, 1] if two else [1],
        **given,
    )


def main() -> None:
    for n in [int(word) for word in sys.argv[1:]] or [30, 100]:
        for name, terms in TERMS.items():
            for objective in ("expenditure", "social-cost"):
                found: Counter[str] = Counter()
                seconds = []
                for seed in range(2):
                    instance = problem(n, seed, terms)
                    plan = mo.solve(instance, objective=objective, time_limit=20)
                    began = perf_counter()
                    certificate = mo.certify(instance, plan)
                    seconds.append(perf_counter() - began)
                    status = certificate.status if certificate.agrees else "CONTRADICTED"
                    if status == "feasible" and certificate.optimum and certificate.bound:
                        gap = 1 - float(certificate.bound) / float(certificate.optimum)
                        status += f" (gap {gap:.1e})"
                    found[status] += 1
                worst = max(seconds)
                print(f"{n:5} {name:24} {objective:12} {dict(found)} {worst:.1f} s", flush=True)


if __name__ == "__main__":
    main()

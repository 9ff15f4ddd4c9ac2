"""Large plans in practice: seconds, status and gap.   python benchmarks/practice/large.py [N …]"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any

import numpy as np

import mechopt as mo

TERMS: dict[str, dict[str, Any]] = {
    "units": {"unit": 0.5},
    "least": {"least": 2.0},
    "contact": {"contact_cost": 0.3},
    "all": {"unit": 0.5, "least": 2.0, "contact_cost": 0.3},
    "all, in cents": {"unit": 0.5, "least": 2.0, "contact_cost": 0.3, "payment_step": 0.01},
    "20 groups": {"groups": 20},
    "20 groups, all": {"groups": 20, "unit": 0.5, "least": 2.0, "contact_cost": 0.3},
}


def problem(n: int, seed: int, *, levels: int = 1, groups: int = 0, **terms: Any) -> mo.Instance:
    """Lognormal costs and values; the threshold is 1.1 of what users would give unpaid."""
    rng = np.random.default_rng(seed)
    cost, value = rng.lognormal(0, 0.6, n), rng.lognormal(1, 0.8, n)
    capacity = np.round(rng.uniform(2, 12, n), 1)
    free = float(np.minimum(capacity, value / cost).sum())
    if groups:
        terms["group"] = np.array([f"g{label}" for label in rng.integers(0, groups, n)])
        terms["group_least"] = {
            f"g{label}": 1.3 * 1.1 * free / groups for label in range(groups // 4)
        }
        terms["group_most"] = {f"g{groups - 1}": 0.6 * free / groups}
    thresholds, shares = [1.1 * free], [1.0]
    if levels == 2:
        thresholds, shares = [0.6 * free, 1.1 * free], [0.4, 1.0]
    return mo.Instance(
        cost=cost, value=value, capacity=capacity, thresholds=thresholds, shares=shares, **terms
    )


def main() -> None:
    for n in [int(text) for text in sys.argv[1:]] or [10_000]:
        for name, terms in TERMS.items():
            if terms.get("groups") and n > 20_000:
                continue
            for objective in ("expenditure", "social-cost"):
                for levels in (1, 2):
                    instance = problem(n, 1, levels=levels, **terms)
                    began = perf_counter()
                    plan = mo.solve(instance, "burdens", objective=objective, time_limit=60)
                    print(
                        f"n {n:>9,}  {name:<15} K {levels}  {objective:<12} {plan.status:<9}"
                        f" {plan.objective or 0:>14.6f}  gap {plan.gap or 0:.1e}"
                        f"  {perf_counter() - began:7.2f} s",
                        flush=True,
                    )


if __name__ == "__main__":
    main()

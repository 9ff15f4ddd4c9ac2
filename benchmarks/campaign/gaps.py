"""Safe plans by size: payments, the lower bound, the gap between them, processor seconds.

    python benchmarks/campaign/gaps.py 10 100 1000 10000 100000 1000000

And how long the crossing probability of a plan takes, in whole units and not, with how far its
certified bounds are apart.
"""

from __future__ import annotations

import sys
from time import process_time
from typing import Any

import numpy as np

import mechopt as mo


def families(n: int) -> list[tuple[str, mo.Instance, dict[str, Any]]]:
    """(name, instance, drop-outs): threshold three quarters of what all could give."""
    found = []
    for name in ("lognormal", "withdrawal-shock"):
        instance = mo.generate(name, n=n, seed=1)
        losses = {"dropout": 0.03} if name == "lognormal" else mo.withdrawal_shock()
        threshold = 0.75 * float(instance.capacity.sum())
        found.append((name, instance.replace(thresholds=[threshold]), losses))
    return found


def plans(n: int) -> None:
    for name, instance, losses in families(n):
        for confidence in (0.9, 0.99):
            for protocol in ("none", "simultaneous"):
                began = process_time()
                plan = mo.solve(
                    instance,
                    "burdens",
                    objective="expenditure",
                    confidence=confidence,
                    protocol=protocol,
                    time_limit=30,
                    **losses,
                )
                seconds = process_time() - began
                if plan.objective is None:
                    print(
                        f"{n:8d} {name:17}{confidence:5}{protocol:13} {plan.status} {plan.reason}"
                    )
                    continue
                gap = 1 - plan.bound / plan.objective if plan.objective else 0.0
                print(
                    f"{n:8d} {name:17}{confidence:5} {protocol:13} pays {plan.objective:12.6g} "
                    f"bound {plan.bound:12.6g} gap {gap:6.2%} {seconds:6.1f} s",
                    flush=True,
                )


def crossings(n: int) -> None:
    for name, instance, losses in families(n):
        for whole in (True, False):
            x = instance.capacity * 0.9
            x = np.floor(x) if whole else x
            plan = mo.Plan.from_arrays(instance.replace(thresholds=[0.97 * x.sum()]), x)
            began = process_time()
            found = mo.crossing(plan.instance, plan, **losses)
            print(
                f"{n:8d} {name:17} crossing, {'whole units' if whole else 'any amounts'}: "
                f"{found.probability:.6f}, bounds {found.high - found.low:.1e} apart, "
                f"{process_time() - began:.2f} s",
                flush=True,
            )


def main() -> None:
    for word in sys.argv[1:] or ["10", "100", "1000", "10000", "100000"]:
        crossings(int(word))
        plans(int(word))


if __name__ == "__main__":
    main()

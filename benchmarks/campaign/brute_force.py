"""Safe plans of tiny instances against brute force, see tests/known/safety_cases.py.

    PYTHONPATH=. python benchmarks/campaign/brute_force.py 200

So many instances with one threshold at once, in sequence (an order given, small-first), and with
two thresholds; the same in whole units and on top of committed data. Prints how many had a plan.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any

from tests.known import safety_cases as brute

PLAIN: tuple[tuple[str, int, Any, int], ...] = (
    ("K = 1, at once", 1, None, 3),
    ("K = 1, sequence given", 1, "given", 3),
    ("K = 1, small-first", 1, "small-first", 3),
    ("K = 2, at once", 2, None, 2),
    ("K = 2, at once", 2, None, 3),
    ("K = 2, sequence given", 2, "given", 2),
    ("K = 2, small-first", 2, "small-first", 2),
    ("K = 2, sequence given", 2, "given", 3),
)
FEWER = (*PLAIN[:4], PLAIN[5])
KINDS = (
    ("any amounts", None, PLAIN),
    ("whole units and other terms", brute.in_units, FEWER),
    ("on top of committed data", brute.committed, (*PLAIN[:2], PLAIN[3], PLAIN[5])),
)


def main() -> None:
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for terms, changed, rows in KINDS:
        for name, levels, order, users in rows:
            began, told, wrong = perf_counter(), 0, 0
            for case in range(cases):
                data, dropouts, rng = brute.draw(7, case, levels, users)
                try:
                    data = data if changed is None else changed(data, rng)
                    told += brute.compare(data, dropouts, rng, order, every=True)
                except AssertionError as fault:
                    wrong += 1
                    print(f"{terms}, {name}, case {case}: {str(fault)[:400]}")
            seconds = perf_counter() - began
            print(
                f"{terms}: {name}, {users} users: {cases} instances, {told} with a safe plan, "
                f"{wrong} wrong, {seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()

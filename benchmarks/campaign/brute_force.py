"""Safe plans of tiny instances against brute force, see tests/known/safety_cases.py.

    PYTHONPATH=. python benchmarks/campaign/brute_force.py 200

So many instances with one threshold at once, in sequence (an order given, small-first), and with
two thresholds; prints how many had a safe plan.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any

from tests.known import safety_cases as brute

KINDS: tuple[tuple[str, int, Any, int], ...] = (
    ("K = 1, at once", 1, None, 3),
    ("K = 1, sequence given", 1, "given", 3),
    ("K = 1, small-first", 1, "small-first", 3),
    ("K = 2, at once", 2, None, 2),
    ("K = 2, at once", 2, None, 3),
    ("K = 2, sequence given", 2, "given", 2),
    ("K = 2, small-first", 2, "small-first", 2),
    ("K = 2, sequence given", 2, "given", 3),
)


def main() -> None:
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for name, levels, order, users in KINDS:
        began, told, wrong = perf_counter(), 0, 0
        for case in range(cases):
            try:
                told += brute.compare(*brute.draw(7, case, levels, users), order)
            except AssertionError as fault:
                wrong += 1
                print(f"{name}, case {case}: {str(fault)[:400]}")
        seconds = perf_counter() - began
        print(
            f"{name}, {users} users: {cases} instances, {told} with a safe plan, {wrong} wrong, "
            f"{seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()

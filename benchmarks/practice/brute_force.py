"""Plans in practice against brute force.   python benchmarks/practice/brute_force.py SEED COUNT

Small random instances in whole units (2 to 4 users, up to three thresholds, every term of
docs: practice, every objective, four protocols, reserves, without payments): the answer of
`mo.solve` against every plan there is, in fractions. What differs is printed and counted.
"""

from __future__ import annotations

import sys
from time import perf_counter

from tests.practice_cases import agrees, random_case


def main() -> None:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    wrong, began = 0, perf_counter()
    for seed in range(first, first + count):
        found = agrees(*random_case(seed))
        if found:
            wrong += 1
            print(f"seed {seed}: {found}", flush=True)
    print(f"{count} instances, {wrong} wrong, {perf_counter() - began:.0f} s")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()

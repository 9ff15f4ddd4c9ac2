"""Plans in practice against brute force.

    python benchmarks/practice/brute_force.py SEED COUNT [listed | searched | sequence | certified]

Small random instances in whole units (2 to 4 users, up to three thresholds, every term of
docs: practice, every objective, four protocols, reserves, without payments): the answer of
`mo.solve` against every plan there is, in fractions. What differs is printed and counted.
"searched": by the search that larger problems take, too; "sequence": 2 or 3 users who decide one
after another in three kinds of order, against the game tree; "certified": the exact optimum of the
certificate is the fraction that brute force finds.
"""

from __future__ import annotations

import sys
from time import perf_counter

from mechopt.known.practice import few
from tests.practice_cases import (
    agrees,
    agrees_in_sequence,
    case_in_sequence,
    certified,
    random_case,
)


def main() -> None:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    road = sys.argv[3] if len(sys.argv) > 3 else "listed"
    if road == "searched":
        few.MOST_PLANS = 0
    wrong, began = 0, perf_counter()
    for seed in range(first, first + count):
        if road == "sequence":
            found = agrees_in_sequence(*case_in_sequence(seed))
        elif road == "certified":
            found = certified(*random_case(seed))
        else:
            found = agrees(*random_case(seed))
        if found:
            wrong += 1
            print(f"seed {seed}: {found}", flush=True)
    print(f"{count} instances, {wrong} wrong, {perf_counter() - began:.0f} s")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()

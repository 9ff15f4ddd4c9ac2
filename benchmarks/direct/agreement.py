"""`direct` against the full-profile LP of the tests, on random populations:
python -m benchmarks.direct.agreement [seed] [count]   (from the project's root)
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import product

import numpy as np

import mechopt as mo
from mechopt.problem.direct_terms import payment_bounds
from tests.oracles.oracle_direct import optimum
from tests.problems import RIGHTS, random_population

NAMES = ("objective", "incentive", "participation", "withdrawal_rights", "transfers")
COMBINATIONS = list(
    product(
        ("improvement", "provider-surplus", "welfare"),
        ("dsic", "bic"),
        ("ex-post", "interim"),
        RIGHTS,
        (True, False),
    )
)


def main() -> None:
    seed, count = (int(argument) for argument in [*sys.argv[1:], "7", "1000"][:2])
    random = np.random.default_rng(seed)
    worst, verdicts = 0.0, Counter[str]()
    for number in range(count):
        population = random_population(random)
        combination = COMBINATIONS[number % len(COMBINATIONS)]
        most = payment_bounds(population, 0)[population.group_of_user]
        expected = optimum(population, *combination, payment_bounds=most)
        answer = mo.solve(population, "direct", **dict(zip(NAMES, combination)))
        gap = abs(answer.objective - expected) / max(1.0, abs(expected))
        worst = max(worst, gap)
        sound = gap <= 1e-7 and answer.status == "optimal" and mo.audit(population, answer).ok
        verdicts["agrees" if sound else "DIFFERS"] += 1
    print(f"seed {seed}: {dict(verdicts)} over {len(COMBINATIONS)} option combinations, ", end="")
    print(f"largest relative gap {worst:.1e}")


if __name__ == "__main__":
    main()

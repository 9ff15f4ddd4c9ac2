"""Compare the withdrawal stage with the full game tree and all stay-sets on random small games.

    python benchmarks/withdrawal/cross_check.py --games 6000 --seed 0

Two thirds of the games are random and rich in ties, one third pivotal (leaving hurts about as
much as staying). Every game is checked in exact arithmetic; every fifth also as floats. Prints
the counts and every mismatch; exit status 1 if there is one. The oracle
(tests/oracles/oracle_withdrawal.py) shares no code with mechopt.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.oracles import oracle_withdrawal as oracle
from tests.oracles.withdrawal_agreement import disagreements


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    mismatches = floats = 0
    users: dict[int, int] = {}
    levels: dict[int, int] = {}
    for seed in range(options.seed, options.seed + options.games):
        make = oracle.pivotal_game if seed % 3 == 0 else oracle.random_game
        game = make(Random(seed))
        users[len(game["x"])] = users.get(len(game["x"]), 0) + 1
        levels[len(game["T"])] = levels.get(len(game["T"]), 0) + 1
        ways = (True, False) if seed % 5 == 0 else (True,)
        floats += len(ways) - 1
        for exact in ways:
            found = disagreements(game, seed, exact=exact)
            mismatches += bool(found)
            if found:
                print(f"seed {seed} {'exact' if exact else 'float'}: {'; '.join(found)}")
    print(f"games {options.games} (seeds from {options.seed}), of these also as floats {floats}")
    print(f"by users {dict(sorted(users.items()))}, by thresholds {dict(sorted(levels.items()))}")
    print(f"mismatches {mismatches}")
    return int(mismatches > 0)


if __name__ == "__main__":
    sys.exit(main())

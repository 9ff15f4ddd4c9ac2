"""The plain problem beside another version of the package, and beside NumPy by hand.

    python benchmarks/performance/beside.py OTHER_TREE [--rounds 9]

Each round runs a fresh process per version and size, in turn, that has solved ten users before;
processor time of the first call at the size and the median of later ones. Printed: medians over the
rounds, and the rounds' ratios as median and quartiles.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from time import process_time
from typing import Any

from people import by_sorting, one_threshold_fields

SIZES = {"one threshold": (1000, 10_000, 1_000_000), "two thresholds": (1000, 100_000)}
HERE = Path(__file__).resolve().parents[2]


def fields(n: int, problem: str) -> dict[str, Any]:
    """The arguments of `Instance`; with two thresholds half the data is half of the improvement."""
    given = one_threshold_fields(n)
    if problem == "two thresholds":
        top = given["thresholds"][0]
        given |= {"thresholds": [top / 2, top], "shares": [0.5, 1]}
    return given


def timed(call: Callable[[], object], later: int) -> tuple[float, float]:
    """Processor seconds of the first call, and the median of later ones."""
    seconds = []
    for _ in range(1 + later):
        began = process_time()
        call()
        seconds.append(process_time() - began)
    return seconds[0], median(seconds[1:])


def measure(n: int, problem: str) -> dict[str, tuple[float, float]]:
    """What one process takes, by what it does."""
    import mechopt as mo

    def solved(instance: mo.Instance) -> mo.Plan:
        return mo.solve(instance, "burdens", objective="expenditure")

    def checked(instance: mo.Instance, plan: mo.Plan) -> object:
        return mo.check_withdrawal(instance, plan, protocol="sequential")

    few = mo.Instance(**fields(10, problem))
    checked(few, solved(few))
    people, later = fields(n, problem), max(3, 100_000 // n)
    found = {"instance": timed(lambda: mo.Instance(**people), later)}
    instance = mo.Instance(**people)
    found["solve"] = timed(lambda: solved(instance), later)
    if problem == "one threshold":
        plan = solved(instance)
        found["check"] = timed(lambda: checked(instance, plan), later)
        found["NumPy by hand"] = timed(lambda: by_sorting(instance), later)
    return found


def run(tree: Path, n: int, problem: str) -> dict[str, list[float]]:
    command = [sys.executable, __file__, "--measure", str(n), problem]
    where = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=where, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, nargs="?", help="the other version's tree")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--measure", nargs=2, metavar=("N", "PROBLEM"))
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(int(options.measure[0]), options.measure[1])))
        return
    print("| problem | users | what | other: first, later | ratio: first | ratio: later |")
    print("|---|---|---|---|---|---|")
    for problem, sizes in SIZES.items():
        for n in sizes:
            rounds = [
                (run(options.other, n, problem), run(HERE, n, problem))
                for _ in range(options.rounds)
            ]
            for what in rounds[0][1]:
                beside = "solve" if what == "NumPy by hand" else what
                pairs = [
                    ((ours if beside != what else other)[what], ours[beside])
                    for other, ours in rounds
                ]
                told = [f"{1e3 * median(pair[0][k] for pair in pairs):.3g}" for k in (0, 1)]
                ratios = []
                for k in (0, 1):
                    each = [mine[k] / theirs[k] for theirs, mine in pairs]
                    low, mid, high = quantiles(each, n=4)
                    ratios.append(f"{mid:.2f} ({low:.2f} … {high:.2f})")
                row = (problem, f"{n:,}", what, ", ".join(told) + " ms", *ratios)
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()

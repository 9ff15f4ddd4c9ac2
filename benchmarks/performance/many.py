"""Many instances: throughput of `compare` in one process, in two, and on a local Dask cluster.

    python benchmarks/performance/many.py [--quick] [--out FOLDER]

Every row is a problem of the given size solved by `burdens` with its withdrawal check; the overhead
is the time per row beyond that of a plain loop over `solve` and `metrics`.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import mechopt as mo

ARGUMENTS: dict[str, Any] = {"mechanisms": ["burdens"], "protocols": ["simultaneous"]}


def plain_loop(problems: list[mo.Instance]) -> list[float]:
    """What the work itself takes."""
    plans = [mo.solve(problem) for problem in problems]
    return [plan.metrics["provider_surplus"] for plan in plans]


def by_compare(**options: Any) -> Callable[[list[mo.Instance]], list[float]]:
    return lambda problems: [
        row["provider_surplus"] for row in mo.compare(problems, **ARGUMENTS, **options)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the problems, one round")
    parser.add_argument("--out", type=Path, help="folder for many.csv")
    options = parser.parse_args()
    from distributed import Client, LocalCluster

    cases = ((10, 400), (10_000, 100)) if not options.quick else ((10, 40), (10_000, 10))
    table: list[tuple[str, ...]] = [("users", "problems", "route", "seconds", "ms per row")]
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        routes = {
            "plain loop": plain_loop,
            "compare, 1 process": by_compare(jobs=1),
            "compare, 2 processes": by_compare(jobs=2),
            "compare, Dask, 2 workers": by_compare(scheduler=client.scheduler.address),
        }
        for users, count in cases:
            problems = [mo.generate("lognormal", n=users, seed=seed) for seed in range(count)]
            expected = plain_loop(problems)
            times: dict[str, list[float]] = {name: [] for name in routes}
            for number in range(2 if options.quick else 4):
                for name, route in routes.items():  # interleaved; the first round warms up
                    began = perf_counter()
                    assert route(problems) == expected, name
                    if number:
                        times[name].append(perf_counter() - began)
            for name, seconds in times.items():
                middle = median(seconds)
                row = (str(users), str(count), name, f"{middle:.3f}", f"{1e3 * middle / count:.2f}")
                table.append(row)
                print(" ".join(f"{entry:>26}" for entry in row), flush=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        with open(options.out / "many.csv", "w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(table)


if __name__ == "__main__":
    main()

"""Success probability and expenditure against the number of users, the budget and ρ.

    python benchmarks/claims/curves.py OUT.parquet            (--smoke for a few points)

Mechanisms for private costs are solved on the population; burdens take reported costs at face
value and are averaged over draws of costs. A group named "picture @ n=8" is one point of a curve.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mechopt as mo
from mechopt.studies.results import Table


@dataclass(frozen=True)
class Picture:
    """One picture: populations along x, mechanisms on them, options of the burdens on draws."""

    title: str
    variable: str
    populations: dict[float, mo.Population]
    mechanisms: tuple[str, ...]
    burdens: str | None
    draws: int = 30


def pictures(smoke: bool) -> Iterator[Picture]:
    sizes = (2, 4) if smoke else (2, 3, 4, 6, 8, 12, 16, 24, 32)
    draws = 5 if smoke else 30
    family = "population-two-type"

    def population(n: int, **options: float) -> mo.Population:
        return mo.generate(family, n, tightness=0.8, capacity=4.0, **options)

    yield Picture(
        "No payments",
        "n",
        {n: population(n) for n in sizes},
        (
            "direct:objective=improvement,transfers=false",
            "complete-information:objective=improvement,transfers=false",
        ),
        "burdens:objective=improvement,transfers=false",
        draws,
    )
    yield Picture(
        "Provider values success at 2 per user",
        "n",
        {n: population(n, provider_value=2.0 * n) for n in sizes},
        ("posted-price", "direct", "complete-information"),
        "burdens",
        draws,
    )
    budgets = (0.0, 1.0) if smoke else (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
    yield Picture(
        "Eight users, by budget",
        "budget",
        {budget: population(8, budget=budget) for budget in budgets},
        (
            "posted-price:objective=improvement",
            "direct:objective=improvement",
            "complete-information:objective=improvement",
        ),
        "burdens:objective=improvement",
        draws,
    )
    shares = (0.0, 1.0) if smoke else tuple(k / 10 for k in range(11))
    two = mo.Population([mo.Group(2, [1, 2], [0.5, 0.5], 1, 10)], thresholds=[1.25])
    yield Picture(
        "Worked example 3: two users, no payments",
        "reversibility",
        {
            share: two.replace(groups=[two.groups[0].replace(reversibility=share)])
            for share in shares
        },
        (
            "direct:objective=improvement,transfers=false,incentive=bic,participation=interim",
            "direct:objective=improvement,transfers=false",
            "complete-information:objective=improvement,transfers=false",
        ),
        None,
    )


def table(smoke: bool, jobs: int = 1) -> Table:
    rows = []
    for picture in pictures(smoke):
        print(picture.title, file=sys.stderr)
        place = {x: f"{picture.title} @ {picture.variable}={x:g}" for x in picture.populations}
        known = {place[x]: population for x, population in picture.populations.items()}
        rows += mo.compare(known, picture.mechanisms, jobs=jobs).rows
        if picture.burdens is None:
            continue
        drawn = {
            f"{place[x]}/{draw}": population.sample(seed=draw)
            for x, population in picture.populations.items()
            for draw in range(picture.draws)
        }
        rows += mo.compare(drawn, [picture.burdens], ["simultaneous"], jobs=jobs).rows
    return Table(tuple(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    found = table(arguments.smoke, arguments.jobs)
    found.write(arguments.out)
    failed = sum(row["status"] == "error" for row in found)
    print(f"{len(found)} rows, {failed} failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

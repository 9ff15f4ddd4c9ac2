"""Every mechanism for known costs on every family of instances, under both protocols.

    python benchmarks/claims/compare.py OUT.parquet --jobs 2      (--smoke for a few rows)

An interrupted run goes on where it stopped when it is started again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import mechopt as mo

MECHANISMS = (
    "posted-price",
    "posted-contract",
    "subsidy",
    "burdens",
    "burdens:transfers=false",
    "complete-information",
)
HARD = ("lognormal", "two-type", "heavy-tailed", "prism")  # also beyond what users would give


def problems(smoke: bool) -> dict[str, mo.Instance]:
    size, draws = (10, 1) if smoke else (200, 3)
    asked = [(family, None) for family in mo.families("instance")]
    asked += [(family, 1.2) for family in HARD]
    return {
        f"{family}{f', tightness {tightness}' if tightness else ''}/{draw}": mo.generate(
            family, size, seed=draw, tightness=tightness
        )
        for family, tightness in asked
        for draw in range(draws)
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    table = mo.compare(
        problems(arguments.smoke), MECHANISMS, jobs=arguments.jobs, out=arguments.out, resume=True
    )
    failed = sum(row["status"] == "error" for row in table)
    print(f"{len(table)} rows, {failed} failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

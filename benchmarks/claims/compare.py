"""Which mechanism, on which users, and what does the protocol change?

    python benchmarks/claims/compare.py families OUT.parquet      every mechanism for known costs
    python benchmarks/claims/compare.py protocols OUT.parquet     burdens with two thresholds

`--smoke` for a few rows. An interrupted run goes on where it stopped when it is started again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import mechopt as mo


@dataclass(frozen=True)
class Study:
    """Families (with their tightness), numbers of users, draws and thresholds, and what is run."""

    families: tuple[tuple[str, float | None], ...]
    n: int
    draws: int
    levels: int
    mechanisms: tuple[str, ...]
    protocols: tuple[str, ...]


STUDIES = {
    "families": Study(
        (
            *((family, None) for family in mo.families()),
            *((family, 1.2) for family in ("lognormal", "two-type", "heavy-tailed", "prism")),
        ),
        n=200,
        draws=3,
        levels=1,
        mechanisms=(
            "posted-price",
            "posted-contract",
            "subsidy",
            "burdens",
            "burdens:transfers=false",
            "complete-information",
        ),
        protocols=("simultaneous", "sequential"),
    ),
    "protocols": Study(
        tuple((family, 1.2) for family in ("uniform", "heavy-tailed", "prism", "common-voice")),
        n=20,
        draws=5,
        levels=2,
        mechanisms=("burdens", "subsidy"),
        protocols=("none", "simultaneous", "coalition", "sequential"),
    ),
}


def problems(study: Study, smoke: bool) -> dict[str, mo.Instance]:
    size, draws = (6, 1) if smoke else (study.n, study.draws)
    return {
        f"{family}{f', tightness {tightness}' if tightness else ''}/{draw}": mo.generate(
            family, size, seed=draw, tightness=tightness, levels=study.levels
        )
        for family, tightness in study.families
        for draw in range(draws)
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("out", type=Path)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    study = STUDIES[arguments.study]
    table = mo.compare(
        problems(study, arguments.smoke),
        study.mechanisms,
        study.protocols,
        jobs=arguments.jobs,
        out=arguments.out,
        resume=True,
        time_limit=30.0,
    )
    failed = sum(row["status"] == "error" for row in table)
    print(f"{len(table)} rows, {failed} failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

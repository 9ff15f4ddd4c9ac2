"""Tables of a recorded run in Markdown: python benchmarks/performance/summary.py FOLDER.

Ratios are of processor seconds (all routes run on one thread): on a busy machine these are what
can be compared. Wall seconds are in results.csv.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

from plot import fits
from specs import SPECS

Row = dict[str, str]
HEAD = "| problem | size | mechopt: s (grows as) | the others: times as long |\n" + "|---" * 4 + "|"
FASTER = "| problem | size | faster than mechopt | ratio | mechopt | it |\n" + "|---" * 6 + "|"


def rows_of(folder: Path) -> dict[tuple[str, int], list[Row]]:
    """Measured rows by (spec, size)."""
    found: dict[tuple[str, int], list[Row]] = defaultdict(list)
    with open(folder / "results.csv", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["seconds"]:
                found[row["spec"], int(row["size"])].append(row)
    return dict(found)


def ratio(row: Row, ours: Row) -> float:
    return float(row["cpu"]) / max(float(ours["cpu"]), 1e-6)


def main() -> None:
    folder = Path(sys.argv[1])
    measured = rows_of(folder)
    slopes = {(spec, route): slope for spec, route, slope, _, _ in fits(folder)}
    print(HEAD)
    faster: list[str] = []
    for name, spec in SPECS.items():
        sizes = sorted(size for one, size in measured if one == name)
        for size in sizes:
            rows = measured[name, size]
            ours = next((row for row in rows if row["route"] == spec.reference), None)
            if ours is None:
                continue
            others = [row for row in rows if row is not ours]
            faster += [
                f"| {name} | {size:,} {spec.unit} | {row['route']} | {ratio(row, ours):.2g} | "
                f"{1e3 * float(ours['cpu']):.3g} ms | {1e3 * float(row['cpu']):.3g} ms |"
                for row in others
                if ratio(row, ours) < 1 and not spec.routes[row["route"]].check
            ]
            most = max(len(measured[name, one]) for one in sizes)
            compared = [one for one in sizes if len(measured[name, one]) >= max(2, most / 2)]
            if size not in (compared[-1], sizes[-1]):
                continue
            words = ", ".join(f"{row['route']} {ratio(row, ours):.3g}×" for row in others)
            slope = slopes.get((name, spec.reference))
            grows = "" if slope is None else f" (n^{slope:.2f})"
            print(
                f"| {spec.title} | {size:,} {spec.unit} | {float(ours['cpu']):.3g}{grows} | "
                f"{words or 'nobody else got here'} |"
            )
    print(f"\n{FASTER}")
    print("\n".join(faster))


if __name__ == "__main__":
    main()

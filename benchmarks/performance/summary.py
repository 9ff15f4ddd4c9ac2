"""Tables of a recorded run in Markdown: python benchmarks/performance/summary.py FOLDER [--readme].

Ratios are of processor seconds (all routes run on one thread): on a busy machine these are what
can be compared. Wall seconds are in results.csv. --readme puts the tables into the README, between
its marks `<!-- name -->` and `<!-- /name -->`.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections import defaultdict
from pathlib import Path

from plot import fits
from specs import SPECS

README = Path(__file__).resolve().parent / "README.md"
Row = dict[str, str]
HEAD = "| problem | size | mechopt: s (grows as) | the others: times as long |\n" + "|---" * 4 + "|"
FASTER = "| problem | faster than mechopt | at | takes |\n" + "|---" * 4 + "|"


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


def largest_and_faster(folder: Path) -> tuple[str, str]:
    """The largest size with half of the routes and the largest of ours; who is faster where."""
    measured = rows_of(folder)
    slopes = {(spec, route): slope for spec, route, slope, _, _ in fits(folder)}
    largest, faster = [HEAD], [FASTER]
    ahead: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for name, spec in SPECS.items():
        sizes = sorted(size for one, size in measured if one == name)
        for size in sizes:
            rows = measured[name, size]
            ours = next((row for row in rows if row["route"] == spec.reference), None)
            if ours is None:
                continue
            others = [row for row in rows if row is not ours]
            for row in others:
                if ratio(row, ours) < 1 and not spec.routes[row["route"]].check:
                    ahead.setdefault((name, row["route"]), []).append((size, ratio(row, ours)))
            most = max(len(measured[name, one]) for one in sizes)
            compared = [one for one in sizes if len(measured[name, one]) >= max(2, most / 2)]
            if size not in (compared[-1], sizes[-1]):
                continue
            words = ", ".join(f"{row['route']} {ratio(row, ours):.3g}×" for row in others)
            slope = slopes.get((name, spec.reference))
            grows = "" if slope is None else f" (n^{slope:.2f})"
            largest.append(
                f"| {spec.title} | {size:,} {spec.unit} | {float(ours['cpu']):.3g}{grows} | "
                f"{words or 'nobody else got here'} |"
            )
    for (name, route), found in ahead.items():
        sizes = " to ".join(f"{size:,}" for size in sorted({found[0][0], found[-1][0]}))
        takes = " to ".join(dict.fromkeys(f"{at(r for _, r in found):.2g}" for at in (min, max)))
        faster.append(f"| {name} | {route} | {sizes} {SPECS[name].unit} | {takes} of it |")
    return "\n".join(largest), "\n".join(faster)


def machine(folder: Path) -> str:
    """Machine, versions, limits and load of the run in one paragraph."""
    about = json.loads((folder / "environment.json").read_text())
    runs = about["runs"].values()
    versions = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    limits = sorted({run["limit"] for run in runs})
    loads = [load for run in runs for load in run.get("load", [])]
    return (
        f"Recorded {min(run['date'] for run in runs)[:10]} on {about['system']}, "
        f"{about['processor']}, {about['cores']} cores, Python {about['python']}: {versions}. "
        f"Limit {' and '.join(f'{limit:g}' for limit in limits)} s per route and size; "
        f"{sum(run['minutes'] for run in runs):.0f} minutes in all, "
        f"load {min(loads, default=0):g} to {max(loads, default=0):g}."
    )


def blocks(folder: Path) -> dict[str, str]:
    """What goes between which marks of the README."""
    largest, faster = largest_and_faster(folder)
    goals = (folder / "goals.md").read_text().strip()
    return {"machine": machine(folder), "largest": largest, "goals": goals, "faster": faster}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what run.py --out wrote")
    parser.add_argument("--readme", action="store_true", help="put the tables into the README")
    options = parser.parse_args()
    found = blocks(options.folder)
    if not options.readme:
        print("\n\n".join(found.values()))
        return
    text = README.read_text()
    for name, block in found.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        assert marked.search(text), f"the README has no marks for {name}"
        text = marked.sub(lambda match, block=block: f"{match[1]}{block}\n{match[2]}", text)
    README.write_text(text)


if __name__ == "__main__":
    main()

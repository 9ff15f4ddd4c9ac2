"""Growth exponents and one picture from a recorded run: python plot.py FOLDER."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from specs import SPECS

FLOOR = 2e-3  # seconds: below this, fixed costs hide how a route grows


def series(folder: Path) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """(spec, route) -> (size, processor seconds) in ascending size."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    with open(folder / "results.csv", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["seconds"]:
                found[row["spec"], row["route"]].append((int(row["size"]), float(row["cpu"])))
    return dict(found)


def exponent(points: list[tuple[int, float]]) -> float | None:
    """Slope of log seconds on log size over the points above FLOOR; None with fewer than two."""
    used = [(size, seconds) for size, seconds in points if seconds >= FLOOR]
    if len(used) < 2:
        return None
    size, seconds = np.log(np.array(used)).T
    return float(np.polyfit(size, seconds, 1)[0])


def fits(folder: Path) -> list[tuple[str, str, float | None, int, float]]:
    """spec, route, exponent, largest size finished, its seconds."""
    return [(*key, exponent(points), *points[-1]) for key, points in series(folder).items()]


def draw(folder: Path) -> None:
    """plot.svg and exponents.csv."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "mechopt", "svg.fonttype": "none", "font.size": 8})
    from matplotlib import pyplot

    found = series(folder)
    names = [name for name in SPECS if any(spec == name for spec, _ in found)]
    rows = -(-len(names) // 3)
    figure, axes = pyplot.subplots(rows, 3, figsize=(13, 3.3 * rows), squeeze=False)
    routes = sorted({route for _, route in found}, key=lambda route: (route != "mechopt", route))
    colours = {route: pyplot.get_cmap("tab20")(k % 20) for k, route in enumerate(routes)}
    for axis, name in zip(axes.flat, names):
        for (spec, route), points in found.items():
            if spec == name:
                size, seconds = zip(*points)
                ours = route == "mechopt"
                axis.loglog(
                    size,
                    seconds,
                    marker="o" if ours else ".",
                    linewidth=2.2 if ours else 1,
                    color="black" if ours else colours[route],
                    label=route,
                )
        axis.set_title(SPECS[name].title)
        axis.set_xlabel(SPECS[name].unit)
        axis.set_ylabel("processor seconds")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=5.5)
    for axis in list(axes.flat)[len(names) :]:
        axis.set_visible(False)
    figure.tight_layout()
    figure.savefig(folder / "plot.svg", metadata={"Date": None})
    with open(folder / "exponents.csv", "w", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("spec", "route", "exponent", "largest", "seconds"))
        for spec, route, slope, size, seconds in fits(folder):
            table.writerow((spec, route, "" if slope is None else f"{slope:.2f}", size, seconds))


if __name__ == "__main__":
    draw(Path(sys.argv[1]))

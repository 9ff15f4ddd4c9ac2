"""Do the goals of the issue hold? Judged from the rows of a run, in processor seconds."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from spec import OURS
from specs import SPECS
from startup import LIMITS, NUMPY, RATIOS, start_up

HEAD = "| goal | measured | holds |\n|---|---|---|"
USERS_FROM = 100  # "at any size from 100 users on"
# Routes that are no alternative with the same answer at the same question: Pyomo measured against
# having no Pyomo model is what `total` and `handoff` are about.
ABOUT_PYOMO = ("handoff", "total")

Column = dict[tuple[str, int, str], float]


def column(folder: Path, name: str) -> Column:
    """(problem, size, route) -> a number of results.csv, such as median processor seconds "cpu"."""
    with open(folder / "results.csv", newline="") as stream:
        return {
            (row["spec"], int(row["size"]), row["route"]): float(row[name])
            for row in csv.DictReader(stream)
            if row["seconds"]
        }


def table(folder: Path) -> list[str]:
    """Lines of the goals table in Markdown; goals whose sizes were not run are left out."""
    return [HEAD, *_rows(column(folder, "cpu"), column(folder, "answer"))]


def _row(goal: str, measured: str, holds: bool) -> str:
    return f"| {goal} | {measured} | {'yes' if holds else 'no'} |"


def _rows(cpu: Column, answer: Column) -> Iterator[str]:
    million = cpu.get(("burdens-1", 1_000_000, OURS))
    if million is not None:
        yield _row("burdens, 10^6 users: ≤ 0.1 s", f"{million:.3f} s", million <= 0.1)
    yield from _at_least(
        cpu, "burdens-1", (10_000,), "Pyomo appsi_highs", 1000, "2n-variable LP through Pyomo"
    )
    yield from _at_least(
        cpu, "handoff", (969, 3876), "Pyomo appsi_highs", 5, "handing over, appsi_highs"
    )
    for size in (969, 3876):
        ours, arrays = (cpu.get(("total", size, name)) for name in (OURS, "arrays, no Pyomo"))
        if ours is not None and arrays is not None:
            times = ours / arrays
            yield _row(
                f"Pyomo road, total at {size:,} states: ≤ 3× bare arrays",
                f"{times:.2f}× ({ours:.2f} s against {arrays:.2f})",
                times <= 3,
            )
    for problem, size, limit in (("sequential-10", 100_000, 5.0), ("sequential-1", 1_000_000, 0.5)):
        ours = cpu.get((problem, size, OURS))
        if ours is not None:
            yield _row(f"{problem}, {size:,} users: ≤ {limit:g} s", f"{ours:.2f} s", ours <= limit)
    apart = {
        size: abs(found - answer[name, size, OURS]) / max(1.0, abs(answer[name, size, OURS]))
        for (name, size, route), found in answer.items()
        if (name, route) == ("procurement", "mechopt, LP")
    }
    if apart:
        words = ", ".join(f"{error:.1e} at {size:,}" for size, error in sorted(apart.items()))
        holds = max(apart.values()) <= 1e-9
        yield _row("direct LP within 1e-9 of the closed form (relative; states)", words, holds)
    started = start_up(rounds=5)
    for name, limit in LIMITS.items():
        wall, used = started[name]
        words = f"{used:.2f} s, wall {wall:.2f}"
        yield _row(f"`{name}` ≤ {limit:g} s", words, used <= limit)
    for name, limit in RATIOS.items():
        ratio = started[name][0] / started[NUMPY][0]
        yield _row(f"`{name}` ≤ {limit:g} × `{NUMPY}`", f"{ratio:.2f} ×", ratio <= limit)
    quicker = [
        f"{route} at {size:,} ({name}, {cpu[name, size, route] / cpu[name, size, OURS]:.2f}×)"
        for name, size, route in cpu
        if size >= USERS_FROM
        and name not in ABOUT_PYOMO
        and not SPECS[name].routes[route].check
        and cpu.get((name, size, OURS), 0.0) > cpu[name, size, route]
    ]
    words = ", ".join(quicker) or "none"
    yield _row("nobody faster from 100 users (or states) on", words, not quicker)


def _at_least(
    cpu: Column, problem: str, sizes: tuple[int, ...], route: str, times: float, words: str
) -> Iterator[str]:
    for size in sizes:
        ours, other = cpu.get((problem, size, OURS)), cpu.get((problem, size, route))
        if ours is not None and other is not None:
            yield _row(
                f"{words}, {size:,}: ≥ {times:g}×",
                f"{other / ours:,.3g}× ({1e3 * ours:.3g} ms against {other:.3g} s)",
                other / ours >= times,
            )

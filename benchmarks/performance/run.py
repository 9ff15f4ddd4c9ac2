"""Every problem through mechopt and through what people would use instead, in one run.

    python benchmarks/performance/run.py [--quick] [--problem NAME ...] [--limit S] [--out FOLDER]

Routes run in a process each, round by round in turn, so that noise falls on all of them alike;
times are medians over the rounds, ratios are taken within a size. Every answer must be that of
the reference route. A route that needs more than `--limit` seconds is not tried at larger sizes;
nor is one whose growth predicts more, and the table then says what was predicted.
--out gets results.csv (one row per problem, size and route), environment.json and plot.svg; each
problem's rows are written as soon as it is done and replace its older ones, so that a run can be
done in parts. The goals of the issue are judged at the end (goals.md), from everything in --out.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from math import log
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import goals
from spec import Route, Spec
from specs import SPECS
from worker import Worker, import_tools

COLUMNS = (
    *("spec", "size", "route", "seconds", "fastest", "cpu", "rounds", "answer", "peak_mb"),
    *("ratio", "note"),
)
PACKAGES = ("mechopt", "numpy", "scipy", "pyomo", "highspy", "linopy", "ortools", "pyscipopt")
MOST_ROUNDS = 15
SHORT = 0.05  # seconds: below this, fixed costs hide growth


def rounds_for(seconds: float, quick: bool) -> int:
    """More rounds where they are cheap."""
    if seconds < 0.01:
        return MOST_ROUNDS
    if quick:
        return 3 if seconds < 0.1 else 1
    return 5 if seconds < 0.5 else 3 if seconds < 3 else 1


def run_spec(spec: Spec, limit: float, *, quick: bool = False) -> list[dict[str, Any]]:
    """One row per size and route, in the order of the sizes."""
    workers: dict[str, Worker] = {}
    rows: list[dict[str, Any]] = []
    past: dict[str, list[tuple[int, float]]] = {name: [] for name in spec.routes}
    out: set[str] = set()
    try:
        for size in spec.quick if quick else spec.sizes:
            going: dict[str, Route] = {}
            for name, route in spec.routes.items():
                if name in out or size > route.most:
                    continue
                expected = predicted(past[name], size)
                if expected > limit:
                    out.add(name)
                    note = f"predicted > {limit:g} s ({expected:.0f} s)"
                    rows.append(_row(spec, size, name, [{"error": note}]))
                    _print(rows[-1])
                    continue
                going[name] = route
                if name not in workers:
                    workers[name] = Worker(spec, name)
            replies, stopped = _rounds(workers, going, size, limit, quick)
            out |= stopped
            found = [_row(spec, size, name, replies[name]) for name in going]
            for row in found:
                if row["seconds"] is not None:
                    past[row["route"]].append((size, row["seconds"]))
            rows += _compared(spec, found)
            for row in rows[len(rows) - len(found) :]:
                _print(row)
    finally:
        for worker in workers.values():
            worker.stop()
    return rows


def predicted(past: list[tuple[int, float]], size: int) -> float:
    """Seconds at `size` if growth goes on as between the last two sizes, at least linearly.

    0, that is nothing to go by, from times in which growth does not show yet.
    """
    if not past or past[-1][1] < SHORT:
        return 0.0
    last, seconds = past[-1]
    slope = 1.0
    if len(past) > 1:
        before, earlier = past[-2]
        slope = max(1.0, log(seconds / earlier) / log(last / before))
    return seconds * float(size / last) ** slope


def _rounds(
    workers: dict[str, Worker], going: dict[str, Route], size: int, limit: float, quick: bool
) -> tuple[dict[str, list[dict[str, Any]]], set[str]]:
    replies: dict[str, list[dict[str, Any]]] = {name: [] for name in going}
    stopped: set[str] = set()
    for number in range(MOST_ROUNDS):
        for name in going:
            mine = replies[name]
            if name in stopped or (mine and number >= rounds_for(mine[0]["seconds"], quick)):
                continue
            reply = workers[name].ask(size, limit)
            if "error" in reply:
                stopped.add(name)
            mine.append(reply)
    return replies, stopped


def _row(spec: Spec, size: int, name: str, replies: list[dict[str, Any]]) -> dict[str, Any]:
    good = [reply for reply in replies if "error" not in reply]
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update(spec=spec.name, size=size, route=name, rounds=len(good), note="")
    if len(good) < len(replies):
        row["note"] = replies[-1]["error"]
    if good:
        row["seconds"] = median(reply["seconds"] for reply in good)
        row["fastest"] = min(reply["seconds"] for reply in good)
        row["cpu"] = median(reply["cpu"] for reply in good)
        row["peak_mb"] = max(reply["peak_mb"] for reply in good)
        row["answer"] = good[0]["answer"]
    return row


def _compared(spec: Spec, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ratios to our route; an answer that is not ours is noted as WRONG and fails the run."""
    ours = next((row for row in rows if row["route"] == spec.reference), None)
    if ours is None or ours["seconds"] is None:
        return rows
    for row in rows:
        if row["seconds"] is None:
            continue
        row["ratio"] = row["seconds"] / ours["seconds"]
        apart = abs(row["answer"] - ours["answer"]) / max(1.0, abs(ours["answer"]))
        allowed = spec.routes[row["route"]].tolerance
        if not apart <= allowed:
            row["note"] = f"WRONG: {apart:.1e} from {spec.reference}, {allowed:g} allowed"
    return rows


def _print(row: dict[str, Any]) -> None:
    if row["seconds"] is None:
        print(f"{row['spec']:16} {row['size']:>9,} {row['route']:26} {row['note']}", flush=True)
        return
    ratio = "" if row["ratio"] is None else f"{row['ratio']:10.3g}×"
    print(
        f"{row['spec']:16} {row['size']:>9,} {row['route']:26} {row['seconds']:11.5f} s "
        f"{ratio:>12} {row['peak_mb']:8.0f} MB {row['note']}",
        flush=True,
    )


def environment() -> dict[str, Any]:
    cpus = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": cpus[0].split(":")[1].strip() if cpus else platform.processor(),
        "cores": len(cpus),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def write(folder: Path, rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Replace the rows of the specs that were run; those of others stay."""
    folder.mkdir(parents=True, exist_ok=True)
    table, facts = folder / "results.csv", folder / "environment.json"
    mine = {row["spec"] for row in rows}
    kept: list[dict[str, Any]] = []
    if table.exists():
        with open(table, newline="") as stream:
            kept = [row for row in csv.DictReader(stream) if row["spec"] not in mine]
        about = {**about, "runs": {**json.loads(facts.read_text())["runs"], **about["runs"]}}
    everything = [{key: _short(value) for key, value in row.items()} for row in rows] + kept
    everything.sort(key=lambda row: list(SPECS).index(row["spec"]))
    with open(table, "w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(everything)
    facts.write_text(json.dumps(about, indent=1) + "\n")


def _short(value: Any) -> Any:
    return repr(value) if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few sizes, 3 s per route, 3 minutes")
    parser.add_argument("--problem", nargs="+", choices=list(SPECS), default=list(SPECS))
    parser.add_argument("--limit", type=float, help="seconds per route and size (60; quick: 3)")
    parser.add_argument("--out", type=Path, help="folder for results.csv and plot.svg")
    options = parser.parse_args()
    limit = options.limit or (3.0 if options.quick else 60.0)
    began = perf_counter()
    import_tools()
    wrong = 0
    about: dict[str, Any] = {**environment(), "runs": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        for name in options.problem:
            spec, started = SPECS[name], perf_counter()
            print(f"\n{spec.title}", flush=True)
            load = os.getloadavg()[0]
            rows = run_spec(spec, limit, quick=options.quick)
            wrong += sum(row["note"].startswith("WRONG") for row in rows)
            about["runs"][name] = {
                "date": datetime.now(UTC).isoformat(timespec="minutes"),
                "limit": limit,
                "minutes": round((perf_counter() - started) / 60, 1),
                "load": [round(load, 1), round(os.getloadavg()[0], 1)],
            }
            write(folder, rows, about)
        judged = "\n".join(goals.table(folder))
        (folder / "goals.md").write_text(judged + "\n")
        print("\n" + judged)
        if options.out:
            from plot import draw

            draw(options.out)
    print(f"\n{(perf_counter() - began) / 60:.1f} minutes, {wrong} answers differ")
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()

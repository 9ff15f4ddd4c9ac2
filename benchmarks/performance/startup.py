"""Start-up times and the profiles of the ten most used calls.

    python benchmarks/performance/startup.py [--out FOLDER]

Start-up is the median of five fresh processes, wall and processor seconds. A profile lists the
functions that take most of a call, by their own time.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import pstats
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from known_costs import one_threshold, ten_thresholds
from private_costs import population
from withdrawal import game

import mechopt as mo

LIMITS = {"import mechopt": 0.5, "mechopt --help": 0.3, "bare interpreter": None}
COMMANDS = {
    "import mechopt": ["-c", "import mechopt"],
    "mechopt --help": ["-m", "mechopt", "--help"],
    "bare interpreter": ["-c", "pass"],
}


def start_up(arguments: list[str]) -> tuple[float, float]:
    """Median wall and processor seconds of a fresh process."""
    wall, cpu = [], []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        wall.append(perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(wall), median(cpu)


def calls(folder: Path) -> dict[str, Callable[[], object]]:
    """The ten most used calls, at sizes at which they take a noticeable time."""
    large, levels, private = one_threshold(1_000_000), ten_thresholds(10_000), population(286)
    sequential, plan_levels = game(1_000_000, 1), game(10_000, 10)
    plan = mo.solve(large, objective="expenditure")
    smaller = one_threshold(10_000)
    file = folder / "instance.json"
    smaller.write(file)
    return {
        "Instance(n = 10^6)": lambda: large.replace(provider_value=2e9),
        "solve burdens (n = 10^6)": lambda: mo.solve(large, objective="expenditure"),
        "solve burdens, 10 thresholds (n = 10^4)": lambda: mo.solve(
            levels, objective="expenditure"
        ),
        "solve posted-price (n = 10^6)": lambda: mo.solve(
            large, "posted-price", objective="expenditure"
        ),
        "check sequential (n = 10^6)": lambda: mo.check_withdrawal(
            *sequential, protocol="sequential"
        ),
        "check sequential, 10 thresholds (n = 10^4)": lambda: mo.check_withdrawal(
            *plan_levels, protocol="sequential"
        ),
        "audit (n = 10^6)": lambda: mo.audit(large, plan),
        "solve direct (286 states)": lambda: mo.solve(private.replace(), "direct"),
        "build_model burdens (n = 10^4)": lambda: mo.build_model(smaller, "burdens"),
        "read instance.json (n = 10^4)": lambda: mo.read(file),
    }


def profile(call: Callable[[], object]) -> tuple[float, list[tuple[str, float]]]:
    """Seconds of the call (second of two) and its costliest functions with their own share."""
    call()
    began = perf_counter()
    call()
    seconds = perf_counter() - began
    tracer = cProfile.Profile()
    tracer.runcall(call)
    stats = pstats.Stats(tracer, stream=io.StringIO())
    own = sorted(((row[2], key) for key, row in stats.stats.items()), reverse=True)
    total = sum(time for time, _ in own)
    top = []
    for time, (path, _, name) in own[:4]:
        place = "" if path == "~" else f"{os.path.basename(path)}:"
        top.append((f"{place}{name}", time / total))
    return seconds, top


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for startup.json")
    options = parser.parse_args()
    recorded: dict[str, dict[str, object]] = {"start-up": {}, "profiles": {}}
    print("| start-up | wall s | processor s | limit |\n|---|---|---|---|")
    for name, arguments in COMMANDS.items():
        wall, cpu = start_up(arguments)
        recorded["start-up"][name] = {"wall": round(wall, 3), "cpu": round(cpu, 3)}
        print(f"| `{name}` | {wall:.3f} | {cpu:.3f} | {LIMITS[name] or ''} |", flush=True)
    print("\n| call | s | where the time goes |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, call in calls(Path(folder)).items():
            seconds, top = profile(call)
            words = ", ".join(f"`{place}` {share:.0%}" for place, share in top)
            recorded["profiles"][name] = {"seconds": round(seconds, 4), "top": words}
            print(f"| {name} | {seconds:.3f} | {words} |", flush=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "startup.json").write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()

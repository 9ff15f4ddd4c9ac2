"""Start-up times and the profiles of the ten most used calls.

    python benchmarks/performance/startup.py [--out FOLDER]

Start-up is the median of fresh processes, wall and processor seconds, the commands by turns and
from compiled modules, as an installed package has them; the last column is the ratio to importing
NumPy. A profile lists the functions that take most of a call, by their own time.
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

EXAMPLE = str(Path(mo.__file__).parent / "data" / "example.json")
NUMPY = "import numpy"
LIMITS = {"import mechopt": 0.5, "mechopt --help": 0.3}  # asked for, processor seconds
RATIOS = {f"mechopt solve {os.path.basename(EXAMPLE)}": 3.0}  # asked for, of importing NumPy
COMMANDS = {
    "bare interpreter": ["-c", "pass"],
    NUMPY: ["-c", NUMPY],
    "import mechopt": ["-c", "import mechopt"],
    "mechopt --help": ["-m", "mechopt", "--help"],
    next(iter(RATIOS)): ["-m", "mechopt", "solve", EXAMPLE, "--quiet"],
}


def start_up(rounds: int = 15) -> dict[str, tuple[float, float]]:
    """Median wall and processor seconds of each command in fresh processes, by turns."""
    wall: dict[str, list[float]] = {name: [] for name in COMMANDS}
    cpu: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for turn in range(rounds + 1):
            for name, arguments in COMMANDS.items():
                before, began = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
                subprocess.run(
                    [sys.executable, *arguments],
                    check=True,
                    stdout=subprocess.DEVNULL,
                    env=environment,
                )
                seconds = perf_counter() - began
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                if turn:  # the first compiles
                    wall[name].append(seconds)
                    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                    cpu[name].append(used)
    return {name: (median(wall[name]), median(cpu[name])) for name in COMMANDS}


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
    parser.add_argument("--no-profiles", action="store_true", help="start-up only")
    options = parser.parse_args()
    recorded: dict[str, dict[str, object]] = {"start-up": {}, "profiles": {}}
    print(
        "| start-up | wall s | processor s | wall over NumPy's | asked for |\n|---|---|---|---|---|"
    )
    times = start_up()
    for name, (wall, cpu) in times.items():
        ratio = wall / times[NUMPY][0]
        recorded["start-up"][name] = {"wall": round(wall, 3), "cpu": round(cpu, 3)}
        print(f"| `{name}` | {wall:.3f} | {cpu:.3f} | {ratio:.2f} | {RATIOS.get(name, '')} |")
    if options.no_profiles:
        return
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

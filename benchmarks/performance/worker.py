"""One route in a process of its own: answers measurement requests, one JSON line each.

    {"size": 100, "seed": 0} -> {"seconds": ..., "cpu": ..., "answer": ..., "peak_mb": ...}

A process per route makes peak memory attributable and lets the parent stop a route at its limit.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from time import perf_counter, process_time
from typing import Any

from specs import SPECS


def high_water() -> float:
    """Peak resident memory since `reset_high_water`, MB (0 where /proc has none)."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def reset_high_water() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as control:
            control.write("5")
    except OSError:
        pass


def measure(spec: Any, route: Any, size: int, problem: Any) -> dict[str, Any]:
    prepared = route.prepare(problem)
    gc.collect()
    reset_high_water()
    before = high_water()
    began, worked = perf_counter(), process_time()
    answer = route.run(prepared)
    return {
        "seconds": perf_counter() - began,
        "cpu": process_time() - worked,
        "answer": float(answer),
        "peak_mb": max(0.0, high_water() - before),
    }


def main() -> None:
    spec = SPECS[sys.argv[1]]
    route = spec.routes[sys.argv[2]]
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what solvers print is not an answer
    measure(spec, route, spec.sizes[0], spec.make(spec.sizes[0]))  # imports and first-call work
    print(json.dumps({"ready": True}), file=replies, flush=True)
    made: tuple[int, Any] = (-1, None)
    for line in sys.stdin:
        size = int(json.loads(line)["size"])
        if made[0] != size:
            made = (size, spec.make(size))
        try:
            reply = measure(spec, route, size, made[1])
        except Exception as error:  # a tool's failure is a result to record
            reply = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()

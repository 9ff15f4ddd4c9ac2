"""One route in a process of its own, forked from the benchmark: it answers measurement requests.

The child inherits the tools that were imported already, so that no import is timed or paid for
once per route; a process per route makes peak memory attributable and lets the parent stop a
route at its limit.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from importlib import import_module
from multiprocessing.connection import Connection
from time import perf_counter, process_time
from typing import Any

from spec import Route, Spec

PREPARING = 120.0  # seconds a route may take to make and prepare a problem, which is not timed
# Nothing that brings a HiGHS or SCIP of its own: two of them in one process may not get along.
SHARED = (
    *("scipy.sparse", "scipy.stats", "pandas", "xarray", "pyomo.environ"),
    *("pyomo.contrib.appsi.solvers", "pyomo.contrib.solver.solvers.highs"),
)


def import_tools() -> None:
    """Once, before the first route is forked."""
    for name in SHARED:
        import_module(name)


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


def measure(route: Route, prepared: Any) -> dict[str, Any]:
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


def serve(spec: Spec, route: Route, requests: Connection) -> None:
    """Answer sizes with {} once the problem is prepared and then with the measurement."""
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)  # what solvers print is no result
    os.dup2(silent, 2)
    measure(route, route.prepare(spec.make(spec.sizes[0])))  # first-call work
    requests.send({})
    made: tuple[int, Any] = (-1, None)
    parent = os.getppid()
    while True:
        while not requests.poll(5):
            if os.getppid() != parent:  # the benchmark was killed
                return
        size = requests.recv()
        try:
            if made[0] != size:
                made = (size, spec.make(size))
            prepared = route.prepare(made[1])
            requests.send({})
            reply = measure(route, prepared)
        except Exception as error:  # a tool's failure is a result to record
            reply = {"error": f"{type(error).__name__}: {error}"[:200]}
        requests.send(reply)


class Worker:
    """The parent's end."""

    def __init__(self, spec: Spec, name: str) -> None:
        self.requests, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(
            target=serve, args=(spec, spec.routes[name], theirs), daemon=True
        )
        sys.stdout.flush()
        self.process.start()
        theirs.close()
        self.failed = self._reply(PREPARING)

    def ask(self, size: int, limit: float) -> dict[str, Any]:
        """The measurement, or {"error": …}: the route failed or took more than `limit` seconds."""
        if "error" in self.failed:
            return self.failed
        self.requests.send(size)
        prepared = self._reply(PREPARING)
        return prepared if "error" in prepared else self._reply(limit)

    def _reply(self, patience: float) -> dict[str, Any]:
        try:
            if self.requests.poll(patience):
                return dict(self.requests.recv())
        except (EOFError, OSError):
            return {"error": "its process died"}
        self.stop()
        return {"error": f"more than {patience:g} s"}

    def stop(self) -> None:
        self.process.kill()
        self.process.join()

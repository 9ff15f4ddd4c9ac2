"""Runs of HiGHS that neither print nor are disturbed by what else runs HiGHS in the process.

HiGHS keeps one task scheduler per thread, made by the first run there with that run's number of
threads; every later run in the thread that asks for another number ends at once with an error. So
our runs, which ask for one, happen in threads in which nobody else runs HiGHS: whatever the caller
solved before does not disturb us, and what he solves next is not disturbed by us. It also gives a
forked process, in which the scheduler's workers are gone, a scheduler of its own.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from mechopt.errors import SolverError


def silent_highs() -> Any:
    """A HiGHS object; making it prints nothing.

    From 1.16 on the wrapper class prints two lines while it is made, before they can be turned
    off; its base, which has all that we use, prints none. Should there be no such base one day,
    standard output is closed for the moment.
    """
    import highspy

    base = highspy.Highs.__base__
    if hasattr(base, "passModel"):
        return base()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        return highspy.Highs()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def run(highs: Any) -> Any:
    """The model status a run ends with; SolverError, with what HiGHS says, if the run failed."""
    import highspy

    kinds = highspy.HighsModelStatus
    said = in_own_thread(highs.run, stop=lambda: highs.setOptionValue("time_limit", 0.0))
    kind = highs.getModelStatus()
    failed = (
        kinds.kNotset,
        kinds.kLoadError,
        kinds.kModelError,
        kinds.kPresolveError,
        kinds.kSolveError,
        kinds.kPostsolveError,
    )
    if said == highspy.HighsStatus.kError or kind in failed:
        raise SolverError(f"HiGHS failed: {_complaint(highs) or highs.modelStatusToString(kind)}")
    return kind


def _complaint(highs: Any) -> str:
    """The errors HiGHS logs when it runs into them again; "" if it does not say."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")
        options = {"log_file": path, "log_to_console": False, "output_flag": True}
        limit = highs.getOptionValue("time_limit")[1]
        for name, setting in {**options, "time_limit": 1.0}.items():
            highs.setOptionValue(name, setting)
        in_own_thread(highs.run, stop=lambda: None)
        highs.setOptionValue("output_flag", False)
        highs.setOptionValue("log_file", "")
        highs.setOptionValue("time_limit", limit)
        with open(path, errors="replace") as log:
            lines = [line.partition("ERROR:")[2].strip() for line in log if "ERROR:" in line]
    return "; ".join(dict.fromkeys(lines))


_OURS = "mechopt-highs"  # the name of our threads


class _Worker:
    """A daemon thread that does one job after another until it is given None."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self.results: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self.thread = threading.Thread(target=self._work, name=_OURS, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            try:
                self.results.put((job(), None))
            except BaseException as error:  # raised again where the job came from
                self.results.put((None, error))


_idle: list[_Worker] = []  # a new scheduler costs 2 ms, so threads wait here for the next run


def in_own_thread(job: Callable[[], Any], *, stop: Callable[[], Any]) -> Any:
    """`job()` in a thread of our own; `stop()` ends it early if the caller is interrupted.

    A job of thousands of small runs comes here whole: handing over every run costs more than it.
    """
    if threading.current_thread().name == _OURS:
        return job()
    try:
        worker = _idle.pop()  # the list's operations are atomic
    except IndexError:
        worker = _Worker()
    try:
        worker.jobs.put(job)
        result, error = _awaited(worker.results)
    except BaseException:
        stop()
        worker.jobs.put(None)
        raise
    _idle.append(worker)
    if error is not None:
        raise error
    return result


def _awaited(results: SimpleQueue[tuple[Any, BaseException | None]]) -> Any:
    """The next result, looking up every so often: a signal may reach another thread than this."""
    while True:
        try:
            return results.get(timeout=0.2)
        except Empty:
            pass


def _retire() -> None:
    """End the waiting threads: a process with threads should not be forked."""
    while _idle:
        worker = _idle.pop()
        worker.jobs.put(None)
        worker.thread.join()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_retire)

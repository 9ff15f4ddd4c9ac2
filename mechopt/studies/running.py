"""Running many independent tasks: here, in several processes, or on a Dask cluster."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar

from mechopt.errors import InvalidOption, NotSupported

Task = TypeVar("Task")
_LOOK = 0.5  # seconds between two looks whether the parent is there
_PATIENCE = "10s"  # how long to wait for a scheduler's answer


def check_extras(jobs: int, scheduler: str | None) -> None:
    """NotSupported, before any work, if what runs elsewhere needs is not installed."""
    if scheduler is not None and find_spec("distributed") is None:
        raise NotSupported('a scheduler needs Dask: pip install "mechopt[dask]"')
    if jobs > 1 and find_spec("joblib") is None:
        raise NotSupported('jobs > 1 needs joblib: pip install "mechopt[compare]"')


def run(
    function: Callable[[Task], Any],
    tasks: Sequence[Task],
    lost: Callable[[Task, str], Any],
    *,
    jobs: int = 1,
    scheduler: str | None = None,
) -> Iterator[Any]:
    """`function(task)` for every task, in the order in which they finish.

    :jobs: processes (joblib's loky); 1 runs here
    :scheduler: address of a Dask scheduler, such as "tcp://host:8786"; its workers need mechopt
    :lost: gives the result of a task whose process died, with what is known about it

    Raises InvalidOption for a scheduler that does not answer.
    """
    if scheduler is not None:
        yield from _on_dask(function, tasks, lost, scheduler)
    elif jobs == 1:
        for task in tasks:
            yield function(task)
    else:
        yield from _in_processes(function, tasks, lost, jobs)


def _in_processes(
    function: Callable[[Task], Any],
    tasks: Sequence[Task],
    lost: Callable[[Task, str], Any],
    jobs: int,
) -> Iterator[Any]:
    """When a process dies the whole pool is gone: the unfinished tasks go on one at a time in a
    process of their own, so that the one at fault is known and the others get done."""
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # Its remarks on workers that stop and start are of no use to whoever waits for results.
    warnings.filterwarnings("ignore", category=UserWarning, module="joblib")
    pending = set(range(len(tasks)))
    try:
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
        here = os.getpid()
        call = joblib.delayed(_numbered)
        numbered = (call(function, k, task, here) for k, task in enumerate(tasks))
        for position, result in parallel(numbered):
            pending.discard(position)
            yield result
    except TerminatedWorkerError:
        for position in sorted(pending):
            yield _alone(function, tasks[position], lost)


def _numbered(
    function: Callable[[Task], Any], position: int, task: Task, parent: int
) -> tuple[int, Any]:
    _end_with(parent)
    return position, function(task)


@cache
def _end_with(parent: int) -> None:
    """End this process soon after its parent, which may have been killed without a word."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os._exit(1)

    if os.name == "posix" and os.getppid() == parent:
        threading.Thread(target=watch, daemon=True).start()


def _alone(function: Callable[[Task], Any], task: Task, lost: Callable[[Task, str], Any]) -> Any:
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with ProcessPoolExecutor(max_workers=1) as pool:
        try:
            return pool.submit(_numbered, function, 0, task, os.getpid()).result()[1]
        except TerminatedWorkerError:
            return lost(task, "its process died (killed, or out of memory)")


def _on_dask(
    function: Callable[[Task], Any],
    tasks: Sequence[Task],
    lost: Callable[[Task, str], Any],
    scheduler: str,
) -> Iterator[Any]:
    from distributed import Client, as_completed

    try:
        client = Client(scheduler, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InvalidOption(
            f"scheduler: {scheduler!r} does not answer ({error}); give the address it prints when "
            "it starts, such as tcp://host:8786"
        ) from None
    with client:
        futures = client.map(function, tasks, pure=False)
        position = {future.key: k for k, future in enumerate(futures)}
        for future in as_completed(futures, loop=client.loop):
            if future.status == "finished":
                yield future.result()
            else:
                task = tasks[position[future.key]]
                yield lost(task, f"lost on the cluster ({future.exception()!r})")
            future.release()

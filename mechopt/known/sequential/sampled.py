"""Cutoffs for many users from a sample of them: with many small users the two are alike."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from mechopt.arrays import FloatArray
from mechopt.known.sequential.search import ZoneSearch
from mechopt.known.sequential.task import SequentialTask
from mechopt.problem.instance import Instance

_MANY, _SIZE = 20_000, 1000  # users from which on a sample is asked first; users of a sample
_FIELDS = ("cost", "value", "reversibility", "removable", "exclusion")  # of everybody
_ASKING = 0.15  # of the time left


def sampled_cutoffs(task: SequentialTask) -> FloatArray | None:
    """Places ξ_m (M,), data, that are good for every so many-th user, if users move by burden."""
    instance = task.instance
    by_burden = isinstance(task.order, str) and task.order in ("small-first", "large-first")
    if instance.n < _MANY or not by_burden:
        return None
    users = np.arange(0, instance.n, instance.n // _SIZE)
    part = users.size / instance.n
    fields: dict[str, Any] = {name: getattr(instance, name)[users] for name in _FIELDS}
    few = Instance(
        **fields,
        segments=(instance.widths[users], instance.slopes[users]),
        thresholds=part * instance.thresholds,
        shares=instance.shares,
    )
    until = perf_counter() + _ASKING * max(0.0, task.deadline - perf_counter())
    small = replace(
        task,
        instance=few,
        total=part * task.total,
        reserve=part * task.reserve,
        budget=part * task.budget,
        deadline=until,
    )
    search = ZoneSearch(small, None, 0.0)
    search.run()
    return search.cutoffs

"""Reported costs as types of a population: what every mechanism's `assign` takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import IntArray
from mechopt.errors import InvalidPlan
from mechopt.problem.population import Population

_NAMED = 5  # faults listed


def types_of(population: Population, reports: Any) -> IntArray:
    """Type column of each user, shape (n,), users group after group.

    A report may be off by rounding (`tolerances.MONEY`, relative). InvalidPlan names the reports
    that are no possible cost of their group.
    """
    try:
        costs = np.atleast_1d(arrays.to_float(reports))
    except ValueError as error:
        raise InvalidPlan(f"reports: {error.args[0]}") from None
    if costs.shape != (population.n,):
        raise InvalidPlan(
            f"reports: has shape {costs.shape}, but the population has {population.n} users"
        )
    types = np.empty(population.n, dtype=np.int64)
    problems: list[str] = []
    start = 0
    for group, first in zip(population.groups, population.first_type):
        mine = costs[start : start + group.size]
        between = (group.costs[1:] + group.costs[:-1]) / 2
        place = np.searchsorted(between, mine)
        near = np.abs(group.costs[place] - mine) <= tolerances.MONEY * group.costs[place]
        known = ", ".join(f"{one:g}" for one in group.costs)
        problems += [
            f"reports[{start + user}]: {mine[user]:g} is not a cost of the user's group ({known})"
            for user in np.flatnonzero(~near)[: _NAMED - len(problems)].tolist()
        ]
        types[start : start + group.size] = place + first
        start += group.size
    if problems:
        raise InvalidPlan(problems)
    return types

"""Units in which a population's numbers are near 1, so that a solver's absolute tolerances fit.

HiGHS accepts violations of 1e-7 whatever the size of the numbers: with costs of 1e-11 that is
everything. Units are powers of two, so that changing them and back is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from math import frexp, inf, ldexp

import numpy as np

from mechopt.answer.mechanism import DirectMechanism
from mechopt.problem.population import Group, Population

NEAR = 2.0**10  # units are left alone if the typical amounts are within this factor of 1
_MONEY = ("provider-surplus", "welfare", "expenditure", "social-cost")


def units(population: Population) -> tuple[float, float]:
    """(data, money): the unit of data is about T_K, that of money what a user has at stake."""
    top = float(population.thresholds[-1])
    stakes = [
        max(group.value, float(group.costs[0]) * min(group.capacity, top))
        for group in population.groups
    ]
    return _power(top), _power(max(stakes))


def _power(amount: float) -> float:
    if 1 / NEAR <= amount <= NEAR:
        return 1.0
    return ldexp(1.0, frexp(amount)[1])


def in_units(
    population: Population, solve: Callable[[Population], DirectMechanism]
) -> DirectMechanism:
    """`solve` the population in its own units, and the answer in the given ones."""
    data, money = units(population)
    if data == money == 1:
        return solve(population)
    answer = solve(_scaled(population, data, money))
    factor = money if answer.terms.objective in _MONEY else 1.0

    def back(array: np.ndarray | None, unit: float) -> np.ndarray | None:
        return None if array is None else array * unit

    return answer.replace(
        population=population,
        burden=back(answer.burden, data),
        payment=back(answer.payment, money),
        objective=None if answer.objective is None else answer.objective * factor,
        bound=None if answer.bound is None else answer.bound * factor,
        details={**answer.details, "units": {"data": data, "money": money}},
    )


def _scaled(population: Population, data: float, money: float) -> Population:
    def cap(limit: float) -> float | None:
        return None if limit == inf else limit / money

    return Population(
        groups=[
            Group(
                size=group.size,
                costs=group.costs * (data / money),
                probabilities=group.probabilities,
                value=group.value / money,
                reversibility=group.reversibility,
                removable=group.removable,
                segments=(group.widths / data, group.slopes),
            )
            for group in population.groups
        ],
        thresholds=population.thresholds / data,
        shares=population.shares,
        provider_value=population.provider_value / money,
        budget=cap(population.budget),
        expected_budget=cap(population.expected_budget),
    )

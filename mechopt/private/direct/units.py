"""A direct mechanism solved in natural units (`problem.units`), the answer in the caller's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mechopt.answer.mechanism import DirectMechanism
from mechopt.problem.direct_terms import payment_bounds
from mechopt.problem.population import Group, Population
from mechopt.problem.units import natural_population

_MONEY = ("provider-surplus", "welfare", "expenditure", "social-cost")


def in_units(
    population: Population, solve: Callable[[Population], DirectMechanism]
) -> DirectMechanism:
    """`solve` the population in its own units, and the answer in the given ones."""
    units = natural_population(population)
    data, money = units.data, units.money
    answer = solve(_scaled(population, data, money))
    factor = money if answer.terms.objective in _MONEY else 1.0

    def back(array: np.ndarray | None, unit: float) -> np.ndarray | None:
        return None if array is None else array * unit

    plans = answer.plans
    if plans is not None:
        plans = tuple(
            replace(one, burden=one.burden * data, payment=one.payment * money) for one in plans
        )
    return answer.replace(
        population=population,
        plans=plans,
        burden=back(answer.burden, data),
        payment=back(answer.payment, money),
        objective=None if answer.objective is None else answer.objective * factor,
        bound=None if answer.bound is None else answer.bound * factor,
        details={**answer.details, "units": {"data": data, "money": money}},
    )


def _scaled(population: Population, data: float, money: float) -> Population:
    # A budget that covers all payments there may be is none: no solver need see its digits.
    bounds = [payment_bounds(population, k) for k in range(population.levels)]
    most = sum(
        group.size * float(max(column)) for group, column in zip(population.groups, zip(*bounds))
    )

    def cap(limit: float) -> float | None:
        return None if limit >= most else limit / money

    most_used = float(population.thresholds[-1])  # nobody is asked for more than T_K (D1)
    cuts = []
    for group in population.groups:
        before = np.cumsum(group.widths) - group.widths
        cuts.append(np.clip(most_used - before, 0.0, group.widths) / data)
    return Population(
        groups=[
            Group(
                size=group.size,
                costs=group.costs * (data / money),
                probabilities=group.probabilities,
                value=group.value / money,
                reversibility=group.reversibility,
                removable=group.removable,
                exclusion=group.exclusion,
                segments=(widths, group.slopes),
            )
            for group, widths in zip(population.groups, cuts)
        ],
        thresholds=population.thresholds / data,
        shares=population.shares,
        provider_value=population.provider_value / money,
        budget=cap(population.budget),
        expected_budget=cap(population.expected_budget),
        law=population.law,
    )

"""The optimal mechanism over a range of provider values, re-solving one LP from its last basis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from mechopt.answer.mechanism import DirectMechanism
from mechopt.errors import InvalidOption, NotSupported
from mechopt.private.direct import arrays as direct_arrays
from mechopt.private.direct.layout import Layout
from mechopt.private.direct.optimise import SETTINGS, build_for, finish
from mechopt.problem.direct_size import refuse_if_large
from mechopt.problem.direct_terms import read_terms
from mechopt.problem.population import Population
from mechopt.solver import highs


def sweep_provider_value(
    population: Population,
    provider_values: Iterable[float],
    *,
    objective: str = "provider-surplus",
    incentive: str = "dsic",
    participation: str = "ex-post",
    withdrawal_rights: bool | str = True,
    transfers: bool = True,
    seed: int = 0,
) -> list[DirectMechanism]:
    """One mechanism per V (money), in the order given; options as `private.direct.solve`.

    Only objectives in which V occurs, randomized mechanisms and one cost segment: what changes
    between two points is the objective, so the last basis stays primal feasible.
    """
    if objective not in ("provider-surplus", "welfare"):
        raise InvalidOption(f"objective: V does not occur in {objective!r}; there is no sweep")
    if not population.linear:
        raise NotSupported("a sweep needs linear costs (one segment); solve point by point")
    terms = read_terms(
        population,
        objective=objective,
        incentive=incentive,
        participation=participation,
        withdrawal_rights=withdrawal_rights,
        randomized=True,
        transfers=transfers,
        target=None,
    )
    refuse_if_large(population, terms)
    points = [population.replace(provider_value=value) for value in provider_values]
    built = build_for(population, terms)
    session = highs.Session(built.program, seed=seed, **SETTINGS)
    columns = np.arange(built.layout.columns)
    answers = []
    for point in points:
        costs = direct_arrays.objective_costs(built.layout, objective, point.provider_value)
        session.change_costs(columns, costs)
        answers.append(finish(_at(built, point, costs), session, seed=seed))
    return answers


def _at(built: Any, point: Population, costs: Any) -> Any:
    """The program with another objective; the layout shares its states with the first one."""
    layout = Layout.__new__(Layout)
    layout.__dict__.update(built.layout.__dict__, population=point)
    point.__dict__["states"] = built.layout.space
    return replace(built, layout=layout, program=replace(built.program, cost=costs))

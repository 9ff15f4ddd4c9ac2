"""The metrics of a direct mechanism that are expectations over the states (docs: model)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray

if TYPE_CHECKING:
    from mechopt.answer.mechanism import DirectMechanism


def state_values(mechanism: DirectMechanism) -> dict[str, FloatArray]:
    """What each state yields of the metrics that are expectations, shape (S,) each."""
    population, space = mechanism.population, mechanism.population.states
    run, _, payment = mechanism._answer()
    shares = population.shares
    paid = np.einsum("sm,skm->sk", space.counts, payment)
    cost = np.einsum("sm,skm->s", space.counts, mechanism.costs)
    improvement, expenditure = run @ shares, paid.sum(axis=1)
    everyone = population.users_value
    enjoyed = everyone * improvement
    if mechanism.access is not None:
        value = population.of_type("value")
        enjoyed = np.einsum("sm,skm->s", space.counts * value, mechanism.enjoyed)
    return {
        "improvement": improvement,
        "data": run @ population.thresholds,
        "social_cost": cost,
        "expenditure": expenditure,
        "leakage": paid @ (1 - shares),
        "provider_surplus": population.provider_value * improvement - expenditure,
        "welfare": (population.provider_value + everyone) * improvement - cost
        if mechanism.access is None
        else population.provider_value * improvement + enjoyed - cost,
    }


def expectations(mechanism: DirectMechanism) -> dict[str, float]:
    """The metrics that are objectives, and the data and leakage that go with them."""
    population, values = mechanism.population, state_values(mechanism)
    means = {name: float(population.states.probability @ one) for name, one in values.items()}
    reached = values["improvement"]
    if np.ptp(reached) <= tolerances.REACH:
        means["improvement"] = float(reached.max())  # for sure: not less by rounding
    improvement, worth = means["improvement"], population.provider_value
    enjoyed = population.users_value
    means["provider_surplus"] = worth * improvement - means["expenditure"]
    if mechanism.access is None:
        means["welfare"] = (worth + enjoyed) * improvement - means["social_cost"]
    return means

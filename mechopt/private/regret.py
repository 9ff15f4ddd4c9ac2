"""Regret: the largest gain from misreporting a cost, exact through count states.

docs: model, last item: any mechanism or rule that takes reports at face value can be
held against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mechopt.arrays import FloatArray, IntArray
from mechopt.withdrawal.mechanisms import misreporting

if TYPE_CHECKING:
    from mechopt.answer.mechanism import DirectMechanism


@dataclass(frozen=True)
class Regret:
    """Largest gains from misreporting, money, 0 if none gains.

    :interim: in expectation over the others (BIC); ex_post : in the worst state (DSIC)
    :true, told: type columns of the largest interim gain (equal if nobody gains)
    :standard_error: of `interim`, 0 when exact; samples : 0 when exact
    :report: of a rule, the report that gains, money per data unit; `told` is the type next to it
    :exact: False if more may be gained by a report that was not tried
    """

    interim: float
    ex_post: float
    true: int
    told: int
    standard_error: float = 0.0
    samples: int = 0
    report: float | None = None
    exact: bool = True


def gains(
    mechanism: DirectMechanism, true: int, told: int, states: tuple[IntArray, IntArray]
) -> FloatArray:
    """Gain of a `true` type who reports `told` and may withdraw, per pair of states, money."""
    population = mechanism.population
    _, burden, _ = mechanism._answer()
    honest, lying = states
    if mechanism.plans is not None:
        told_so = misreporting(mechanism, true, told)[lying]
        return told_so - mechanism.utility[honest, :, true].sum(axis=1)
    theta, effort = population.type_costs, mechanism.effort[lying, :, told]
    own_cost = theta[true] * effort
    stay = mechanism.utility[lying, :, told] + (theta[told] - theta[true]) * effort
    if mechanism.terms.withdrawal_rights is True:
        group = population.groups[population.group_of_type[true]]
        leave = mechanism.kept[lying, :, told] - (1 - group.reversibility) * own_cost
        stay = np.where(burden[lying, :, told] > 0, np.maximum(stay, leave), stay)
    return stay.sum(axis=1) - mechanism.utility[honest, :, true].sum(axis=1)


def mechanism_regret(mechanism: DirectMechanism) -> Regret:
    """Exact regret of a mechanism over all types, reports and states."""
    population = mechanism.population
    best = Regret(0.0, 0.0, 0, 0)
    worst = 0.0
    for g, others in enumerate(population.states.others):
        first, types = population.first_type[g], population.groups[g].types
        for true in range(types):
            for told in range(types):
                if true == told:
                    continue
                pair = others.state[:, true], others.state[:, told]
                gain = gains(mechanism, first + true, first + told, pair)
                expected = float(others.given(true) @ gain)
                worst = max(worst, float(gain.max()))
                if expected > best.interim:
                    best = Regret(expected, 0.0, first + true, first + told)
    return Regret(best.interim, worst, best.true, best.told)

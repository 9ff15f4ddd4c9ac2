"""The sequential game that a direct mechanism leaves, state by state and level by level.

Once a level is drawn, burdens and payments are fixed and everybody moves small-first (section 3);
who misreported is believed to be what she said until her turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mechopt.arrays import FloatArray
from mechopt.withdrawal.moves import ascending
from mechopt.withdrawal.sequential import sequential_path
from mechopt.withdrawal.stage import Stage

if TYPE_CHECKING:
    from mechopt.answer.mechanism import DirectMechanism


def small_first(mechanism: DirectMechanism) -> tuple[FloatArray, FloatArray]:
    """(v B of what is left when a user of a cell leaves on her turn, most of the cell, (S, K, M);
    the least that a mover loses by leaving, (S, K), inf if nobody is asked). Money, times p.
    """
    population, space = mechanism.population, mechanism.population.states
    run, burden, payment = mechanism._answer()
    of = population.group_of_type
    value, rho, delta, eta = (
        population.of_type(name) for name in ("value", "reversibility", "removable", "exclusion")
    )
    share = np.concatenate([[0.0], population.shares])
    kept = np.zeros(burden.shape)
    slack = np.full(run.shape, np.inf)
    for s, k in zip(*np.nonzero(run > 0)):
        kind = np.repeat(np.arange(of.size), space.counts[s])
        chance = run[s, k]
        given = burden[s, k, kind] / chance
        owed = (rho[kind] * mechanism.costs[s, k, kind] - payment[s, k, kind]) / chance
        stage = Stage.from_arrays(
            given,
            owed,
            value[kind],
            delta[kind],
            population.thresholds,
            population.shares,
            exclusion=eta[kind],
        )
        path = sequential_path(stage, ascending(stage.x))
        if not path.movers.size:
            continue
        slack[s, k] = chance * float(np.min(path.slack(stage)))
        if not path.stay.all() or path.level != k + 1:
            slack[s, k] = min(slack[s, k], -chance * float(np.max(value)))
        enjoyed = (value * (1 - eta))[kind[path.movers]] * share[path.if_leaves] * chance
        np.maximum.at(kept[s, k], kind[path.movers], enjoyed)
    return kept, slack

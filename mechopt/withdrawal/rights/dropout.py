"""Who stays when others may be lost: the stage in expectation (docs: practice).

Nobody knows yet who will be lost. A user who is not lost himself stays iff
v_i (E[B | stays] − (1 − η_i) E[B | leaves]) ≥ r_i, r_i counted in full; in sequence the
expectations are those at the end of the game that follows. Everybody staying at once is then the
outcome in every order: by induction from the last mover, who leaves keeps at most the others (F1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.dropouts import Hazards, crossing, hazards_of
from mechopt.dropouts.crossing import removed_by
from mechopt.errors import TooLarge
from mechopt.withdrawal.stage import Stage, as_float

if TYPE_CHECKING:
    from mechopt.answer.plan import Plan
    from mechopt.problem.instance import Instance

MOST_MOVERS = 12  # of whom all decisions are followed


def dropout_slack(
    instance: Instance, plan: Plan, stage: Stage, dropout: Any, shock: Any
) -> FloatArray:
    """What each mover is held by beyond r_i when nobody follows him, money, (m,); certified.

    `dropout` may also be what a plan carries (`Plan.dropout`).
    """
    dropout, shock = _spelled(dropout, shock)
    held = crossing(instance, plan, dropout, shock).held(instance)
    return as_float(held)[stage.movers] - as_float(stage.r)[stage.movers]


def dropout_sequence(
    instance: Instance, plan: Plan, stage: Stage, movers: IntArray, dropout: Any, shock: Any
) -> tuple[FloatArray, BoolArray]:
    """(the same on the path played, (m,); who stays, (n,)) for `movers` who decide in this order.

    Up to `MOST_MOVERS` the whole game is followed. Above, what holds everybody simultaneously holds
    them in every order, so its slack is returned; raises TooLarge where somebody has none.
    """
    stay = np.ones(instance.n, dtype=bool)
    if movers.size > MOST_MOVERS:
        slack = np.zeros(instance.n)
        slack[stage.movers] = dropout_slack(instance, plan, stage, dropout, shock)
        if (slack[movers] < -as_float(stage.money_tolerance)[movers]).any():
            raise TooLarge(
                f"dropout: {movers.size:,} people decide in sequence, some of them held only by "
                f"what would follow; that is worked out for up to {MOST_MOVERS}"
            )
        return slack[movers], stay
    assert plan.burden is not None
    hazards = hazards_of(instance, *_spelled(dropout, shock))
    expected = _expected_shares(instance, plan.burden, hazards, movers)
    outcome = np.arange(2**movers.size)  # of the decisions so far; bit p is the p-th mover's
    gains: list[FloatArray] = []
    for place in range(movers.size - 1, -1, -1):
        user = int(movers[place])
        before = np.arange(2**place)
        stays, leaves = outcome[before | 1 << place], outcome[before]
        enjoyed = (1 - instance.exclusion[user]) * expected[place][leaves]
        gain = instance.value[user] * (expected[place][stays] - enjoyed) - float(stage.r[user])
        outcome = np.where(gain >= -float(stage.money_tolerance[user]), stays, leaves)
        gains.append(gain)
    played = int(outcome[0])
    stay[movers] = (played >> np.arange(movers.size)) & 1 == 1
    slack = np.array([gain[played % gain.size] for gain in reversed(gains)])
    return slack, stay


def _spelled(dropout: Any, shock: Any) -> tuple[Any, Any]:
    if isinstance(dropout, Mapping) and "hazard" in dropout:
        return dropout["hazard"], dropout.get("shock")
    return dropout, shock


def _expected_shares(
    instance: Instance, burden: FloatArray, hazards: Hazards, movers: IntArray
) -> list[FloatArray]:
    """E[B | who has decided to stay, this mover is not lost] for every mover, (2^m,) each."""
    removed = removed_by(instance, burden)[movers]
    sets = np.arange(2**movers.size)
    inside = (sets[:, None] >> np.arange(movers.size)) & 1
    left = burden.sum() - (1 - inside) @ removed
    level = np.searchsorted(instance.thresholds * (1 - tolerances.TOTALS), left, side="right")
    share = np.append(0.0, instance.shares)[level]
    kept = np.maximum(1 - hazards.mean[movers], tolerances.TINY)
    found = [np.zeros(share.size) for _ in range(movers.size)]
    for chance, hazard in hazards.states:
        for place in range(movers.size):
            expected = share.copy()
            for other, risk in enumerate(hazard[movers].tolist()):
                if other != place:
                    there = inside[:, other] == 1
                    lost = expected[sets[there] ^ 1 << other]
                    expected[there] = (1 - risk) * expected[there] + risk * lost
            weight = chance * (1 - hazard[movers[place]]) / kept[place]
            found[place] += weight * expected
    return found

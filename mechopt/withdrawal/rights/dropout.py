"""Who stays when others may be lost: the simultaneous slack in expectation (section 12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt.arrays import FloatArray
from mechopt.dropouts import crossing
from mechopt.errors import NotSupported
from mechopt.withdrawal.stage import Stage, as_float

if TYPE_CHECKING:
    from mechopt.answer.plan import Plan
    from mechopt.problem.instance import Instance


def dropout_slack(
    instance: Instance, plan: Plan, stage: Stage, dropout: Any, shock: Any
) -> FloatArray:
    """v_i b (P(X ≥ T | stays) − (1 − η_i) P(X ≥ T | leaves)) − r_i of the movers, money, (m,).

    Certified: the lower bound of the first and the upper bound of the second probability. `dropout`
    may also be what a plan carries (`Plan.dropout`).
    """
    if instance.levels > 1:
        raise NotSupported("dropout: the withdrawal check with drop-outs is for one threshold")
    if isinstance(dropout, Mapping) and "hazard" in dropout:
        dropout, shock = dropout["hazard"], dropout.get("shock")
    stay, _, _, gone = crossing(instance, plan, dropout, shock).without
    share = instance.share_at(1)
    held = instance.value * share * np.maximum(stay - (1 - instance.exclusion) * gone, 0.0)
    return as_float(held)[stage.movers] - as_float(stage.r)[stage.movers]

"""Personalized subsidies (docs: model): users are paid in full, nobody need be pivotal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mechopt import words
from mechopt.answer.plan import Plan
from mechopt.known import milp
from mechopt.known.burdens import exact_edge
from mechopt.known.burdens.separable import Stakes, one_level
from mechopt.known.burdens.solve import METHODS
from mechopt.known.levels import LevelAnswer, Wanted, best_level
from mechopt.problem.instance import Instance


def solve(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    target: float | None = None,
    reserve: float = 0.0,
    method: str = "auto",
    time_limit: float | None = None,
    seed: int = 0,
) -> Plan:
    """Least-cost data for t_i ≥ C_i(x_i) (S1); stable under every protocol, since r_i ≤ 0.

    Options as for `burdens.solve`.
    """
    words.choose("method", method, METHODS)
    wanted = Wanted(
        mechanism="subsidy",
        objective=objective,
        target=target,
        reserve=reserve,
        method=method,
        time_limit=time_limit,
        seed=seed,
    )
    if instance.practice is not None:
        from mechopt.known.burdens import several_levels

        return several_levels.solve(instance, wanted)
    if method == "model":
        return milp.solve(instance, "subsidy", wanted)

    def solve_level(level: int, quantity: str) -> LevelAnswer:
        paid_in_full = Stakes(np.zeros(instance.n), np.ones(instance.n))
        found = one_level(instance, level, quantity, wanted, paid_in_full)
        return exact_edge.decided(instance, found, replace(wanted, protocol="none"))

    return best_level(instance, solve_level, wanted, solver="selection")

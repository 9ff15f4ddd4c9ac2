"""Followers named one by one (S8), for users whose collapse turned out to be an illusion.

Equations: models/burdens-sequential/README.md. Variables: follows[m, i, j, q] ∈ {0, 1}, user j
leaves after i as long as level q is left; taken[m, i, j], data that he takes away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo

from mechopt.formulations.burdens_sequential_steps import beyond, excess_of, step_of
from mechopt.formulations.parts import Model
from mechopt.problem.aims import MARGIN, required_total
from mechopt.problem.instance import Instance
from mechopt.withdrawal.moves import permutation


def add_followers(
    model: Model,
    instance: Instance,
    followed: Sequence[tuple[int, int]],
    order: Any,
    reserve: float,
) -> None:
    """For each (m, i) in `followed`: who leaves after i so that level m collapses."""
    removable, capacity = instance.removable, instance.capacity
    place = np.zeros(instance.n)
    if not isinstance(order, str):
        place[permutation(order, instance.n)] = np.arange(instance.n)
    at = {
        (level, base): step_of(instance, level, base, reserve)
        for level in {m for m, _ in followed}
        for base in range(level)
    }
    total = required_total(instance, instance.levels, reserve)
    members = [
        (m, i, j, base)
        for m, i in followed
        for base in range(m)
        for j in np.flatnonzero(at[m, base].low <= at[m, base].high).tolist()
        if j != i and (isinstance(order, str) or place[j] > place[i])
    ]
    pairs = list(dict.fromkeys((m, i, j) for m, i, j, _ in members))
    bases: dict[tuple[int, int, int], list[int]] = {pair: [] for pair in pairs}
    for m, i, j, base in members:
        bases[m, i, j].append(base)
    takers: dict[tuple[int, int], list[int]] = {pair: [] for pair in followed}
    for m, i, j in pairs:
        takers[m, i].append(j)
    model.leeway = pyo.Param(
        initialize=MARGIN, mutable=True, doc="of T_q, by which less still counts as T_q (S8)"
    )
    model.FOLLOWED = pyo.Set(dimen=2, initialize=list(followed), doc="(m, i): followers are named")
    model.PAIRS = pyo.Set(dimen=3, initialize=pairs, doc="(m, i, j): j may follow i at m")
    model.FOLLOWERS = pyo.Set(dimen=4, initialize=members, doc="(m, i, j, q): level q being left")
    model.follows = pyo.Var(model.FOLLOWERS, domain=pyo.Binary, doc="j leaves after i, q is left")
    model.taken = pyo.Var(
        model.PAIRS,
        bounds=lambda _, m, i, j: (0, float(removable[j] * capacity[j])),
        doc="data that leave with j after i",
    )

    def own(m: Model, i: int) -> Any:
        return float(removable[i]) * m.burden[i]

    model.follow_collapse = pyo.Constraint(
        model.FOLLOWED,
        rule=lambda m, k, i: (
            own(m, i) + sum(m.taken[k, i, j] for j in takers[k, i])
            >= at[k, 0].gap * m.collapse[k, i] + beyond(m, m.collapse[k, i])
        ),
        doc="(S8) followers: what leaves",
    )
    model.follow_owned = pyo.Constraint(
        model.PAIRS, rule=lambda m, k, i, j: m.taken[k, i, j] <= own(m, j), doc="(S8) followers"
    )
    model.follow_meant = pyo.Constraint(
        model.PAIRS,
        rule=lambda m, k, i, j: (
            m.taken[k, i, j]
            <= float(removable[j] * capacity[j])
            * sum(m.follows[k, i, j, q] for q in bases[k, i, j])
        ),
        doc="(S8) followers: only those who leave",
    )
    model.follow_once = pyo.Constraint(
        model.PAIRS,
        rule=lambda m, k, i, j: sum(m.follows[k, i, j, q] for q in bases[k, i, j]) <= 1,
        doc="(S8) followers: one reason",
    )
    model.follow_low = pyo.Constraint(
        model.FOLLOWERS,
        rule=lambda m, k, i, j, q: m.burden[j] >= float(at[k, q].low[j]) * m.follows[k, i, j, q],
        doc="(S8) followers: burden large enough",
    )
    model.follow_high = pyo.Constraint(
        model.FOLLOWERS,
        rule=lambda m, k, i, j, q: (
            m.burden[j]
            <= float(capacity[j]) - float(capacity[j] - at[k, q].high[j]) * m.follows[k, i, j, q]
        ),
        doc="(S8) followers: nothing has to be paid for participation",
    )

    def kept(m: Model, k: int, i: int, j: int, q: int) -> Any:
        held = at[k, q].held_by
        if not held:
            return pyo.Constraint.Feasible
        return m.follows[k, i, j, q] <= m.collapse[held, j]

    def left(m: Model, k: int, i: int, j: int, q: int) -> Any:
        if q == 0:
            return pyo.Constraint.Feasible
        threshold = float(instance.thresholds[q - 1])
        gap = total - threshold * (1 - m.leeway)
        most = float(removable[i] * capacity[i] + removable[j] * capacity[j])
        loose = max(0.0, most - total + threshold)
        rest = own(m, i) + own(m, j) - excess_of(m)
        return rest <= gap + loose * (1 - m.follows[k, i, j, q])

    def later(m: Model, k: int, i: int, j: int, q: int) -> Any:
        if order == "small-first":
            return m.burden[j] - m.burden[i] >= -float(capacity[i]) * (1 - m.follows[k, i, j, q])
        return m.burden[i] - m.burden[j] >= -float(capacity[j]) * (1 - m.follows[k, i, j, q])

    model.follow_kept = pyo.Constraint(
        model.FOLLOWERS, rule=kept, doc="(S8) followers: kept only by a collapse"
    )
    model.follow_left = pyo.Constraint(
        model.FOLLOWERS, rule=left, doc="(S8) followers: level q is left"
    )
    if isinstance(order, str) and order != "designed":
        model.follow_later = pyo.Constraint(
            model.FOLLOWERS, rule=later, doc="(S8) followers: j moves after i"
        )

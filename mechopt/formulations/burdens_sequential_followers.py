"""Followers named one by one (S8), for users whose collapse turned out to be an illusion.

Equations: models/burdens-sequential/README.md. Variables: follows[m, i, j, q] ∈ {0, 1}, user j
leaves after i as long as level q is left; taken[m, i, j], data that he takes away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo

from mechopt.formulations.burdens_sequential_steps import Step, beyond, excess_of, step_of
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
    at = {
        (level, base): step_of(instance, level, base, reserve)
        for level in {m for m, _ in followed}
        for base in range(level)
    }
    _add_sets(model, instance, followed, order, at)
    _add_what_leaves(model, instance, at)
    _add_when_unwilling(model, instance, at)
    _add_what_is_left(model, instance, required_total(instance, instance.levels, reserve))
    if isinstance(order, str) and order != "designed":
        _add_later(model, instance, ascending=order == "small-first")


def _add_sets(
    model: Model,
    instance: Instance,
    followed: Sequence[tuple[int, int]],
    order: Any,
    at: Mapping[tuple[int, int], Step],
) -> None:
    """Who may follow whom at which level, `follows` and `taken`."""
    place = np.zeros(instance.n)
    if not isinstance(order, str):
        place[permutation(order, instance.n)] = np.arange(instance.n)
    members = [
        (m, i, j, base)
        for m, i in followed
        for base in range(m)
        for j in np.flatnonzero(at[m, base].low <= at[m, base].high).tolist()
        if j != i and (isinstance(order, str) or place[j] > place[i])
    ]
    pairs = list(dict.fromkeys((m, i, j) for m, i, j, _ in members))
    model.leeway = pyo.Param(
        initialize=MARGIN, mutable=True, doc="of T_q, by which less still counts as T_q (S8)"
    )
    model.FOLLOWED = pyo.Set(dimen=2, initialize=list(followed), doc="(m, i): followers are named")
    model.PAIRS = pyo.Set(dimen=3, initialize=pairs, doc="(m, i, j): j may follow i at m")
    model.FOLLOWERS = pyo.Set(dimen=4, initialize=members, doc="(m, i, j, q): level q being left")
    model.follows = pyo.Var(model.FOLLOWERS, domain=pyo.Binary, doc="j leaves after i, q is left")
    model.taken = pyo.Var(
        model.PAIRS,
        bounds=lambda _, m, i, j: (0, _most(instance, j)),
        doc="data that leave with j after i",
    )


def _most(instance: Instance, j: int) -> float:
    return float(instance.removable[j] * instance.capacity[j])


def _own(model: Model, instance: Instance, i: int) -> Any:
    return float(instance.removable[i]) * model.burden[i]


def _add_what_leaves(model: Model, instance: Instance, at: Mapping[tuple[int, int], Step]) -> None:
    """The followers' data complete the collapse; each follows for one reason."""
    takers: dict[tuple[int, int], list[int]] = {pair: [] for pair in model.FOLLOWED}
    for k, i, j in model.PAIRS:
        takers[k, i].append(j)
    follows: dict[tuple[int, int, int], list[Any]] = {pair: [] for pair in model.PAIRS}
    for k, i, j, q in model.FOLLOWERS:
        follows[k, i, j].append(model.follows[k, i, j, q])
    model.follow_collapse = pyo.Constraint(
        model.FOLLOWED,
        rule=lambda m, k, i: (
            _own(m, instance, i) + sum(m.taken[k, i, j] for j in takers[k, i])
            >= at[k, 0].gap * m.collapse[k, i] + beyond(m, m.collapse[k, i])
        ),
        doc="(S8) followers: what leaves",
    )
    model.follow_owned = pyo.Constraint(
        model.PAIRS,
        rule=lambda m, k, i, j: m.taken[k, i, j] <= _own(m, instance, j),
        doc="(S8) followers",
    )
    model.follow_meant = pyo.Constraint(
        model.PAIRS,
        rule=lambda m, *pair: m.taken[pair] <= _most(instance, pair[2]) * sum(follows[pair]),
        doc="(S8) followers: only those who leave",
    )
    model.follow_once = pyo.Constraint(
        model.PAIRS, rule=lambda _, *pair: sum(follows[pair]) <= 1, doc="(S8) followers: one reason"
    )


def _add_when_unwilling(
    model: Model, instance: Instance, at: Mapping[tuple[int, int], Step]
) -> None:
    """A follower's burden is in the range where he is unwilling, and no collapse keeps him."""
    capacity = instance.capacity
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

    model.follow_kept = pyo.Constraint(
        model.FOLLOWERS, rule=kept, doc="(S8) followers: kept only by a collapse"
    )


def _add_what_is_left(model: Model, instance: Instance, total: float) -> None:
    """Level q is left when i and j are gone."""

    def left(m: Model, k: int, i: int, j: int, q: int) -> Any:
        if q == 0:
            return pyo.Constraint.Feasible
        threshold = float(instance.thresholds[q - 1])
        gap = total - threshold * (1 - m.leeway)
        most = _most(instance, i) + _most(instance, j)
        loose = max(0.0, most - total + threshold)
        rest = _own(m, instance, i) + _own(m, instance, j) - excess_of(m)
        return rest <= gap + loose * (1 - m.follows[k, i, j, q])

    model.follow_left = pyo.Constraint(
        model.FOLLOWERS, rule=left, doc="(S8) followers: level q is left"
    )


def _add_later(model: Model, instance: Instance, *, ascending: bool) -> None:
    """In an order by burden j moves after i."""
    capacity = instance.capacity

    def later(m: Model, k: int, i: int, j: int, q: int) -> Any:
        if ascending:
            return m.burden[j] - m.burden[i] >= -float(capacity[i]) * (1 - m.follows[k, i, j, q])
        return m.burden[i] - m.burden[j] >= -float(capacity[j]) * (1 - m.follows[k, i, j, q])

    model.follow_later = pyo.Constraint(
        model.FOLLOWERS, rule=later, doc="(S8) followers: j moves after i"
    )

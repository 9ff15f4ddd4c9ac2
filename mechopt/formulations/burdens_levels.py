"""Simultaneous withdrawal with several thresholds, tight: one multiple choice per user and level.

Sets: USERS, SEGMENTS, LEVELS k = 1..K, CHOICES (i, k, m): intervals that user i can reach.
Variables: reach[k]; choose[i, k, m]: user i is in that interval; give[i, k, m, j] (data), pay[i].
Equations: models/burdens-levels/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyomo.environ as pyo

from mechopt import memory
from mechopt.arrays import FloatArray
from mechopt.formulations import parts
from mechopt.formulations.parts import Model
from mechopt.problem.aims import leaving_loss
from mechopt.problem.instance import Instance


def build(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    target: float | None = None,
    transfers: bool = True,
    reserve: float = 0.0,
) -> Model:
    """The MILP for all levels. Options as for `burdens.solve`; InvalidOption if they are not."""
    model = parts.new_model(instance, "burdens-levels")
    parts.add_levels(model, instance, objective, target, reserve)
    add_intervals(model, instance, reserve)
    add_payments(model, instance, transfers=transfers)
    add_threshold(model, instance, reserve)
    add_participation(model, instance)
    add_obedience(model, instance)
    parts.add_budget(model, instance)
    parts.add_objective(model, instance, objective)
    return model


def interval_ends(instance: Instance, level: int, after: int, reserve: float) -> np.ndarray:
    """[low, high], data, shape (n, 2): burdens at which leaving `level` leaves level `after`."""
    total = float(instance.thresholds[level - 1]) + reserve
    thresholds = [0.0, *instance.thresholds.tolist()]
    with np.errstate(divide="ignore", invalid="ignore"):
        low = (total - thresholds[after + 1]) / instance.removable if after < level else 0.0
        high = (total - thresholds[after]) / instance.removable if after > 0 else np.inf
    low = np.where(instance.removable > 0, low, 0.0 if after == level else np.inf)
    high = np.where(instance.removable > 0, high, np.inf)
    return np.column_stack((np.maximum(low, 0.0), np.minimum(high, instance.capacity)))


def add_intervals(model: Model, instance: Instance, reserve: float) -> None:
    """choose[i, k, m] and the data given on that interval; with them burden and cost."""
    ends = {
        (k, m): interval_ends(instance, k, m, reserve)
        for k in range(1, instance.levels + 1)
        for m in range(k + 1)
    }
    count = sum(int((interval[:, 0] <= interval[:, 1]).sum()) for interval in ends.values())
    memory.refuse_beyond(
        "formulation burdens-levels",
        f"a Pyomo model with {count:,} intervals of burdens ({instance.n:,} users, "
        f"{instance.levels} thresholds)",
        count * memory.PER_COMPONENT * (6 + 4 * instance.widths.shape[1]),
        "`solve` needs no model, or take fewer thresholds",
    )
    choices = [
        (i, k, m)
        for (k, m), interval in ends.items()
        for i in range(instance.n)
        if interval[i, 0] < interval[i, 1] or (m == k and interval[i, 0] == interval[i, 1])
    ]
    model.CHOICES = pyo.Set(dimen=3, initialize=choices, doc="user, level, level left by leaving")
    model.choose = pyo.Var(model.CHOICES, domain=pyo.Binary, doc="burden is in this interval")
    model.give = pyo.Var(
        model.CHOICES,
        model.SEGMENTS,
        bounds=lambda _, i, k, m, j: (0, float(instance.widths[i, j])),
        doc="data given by user i on segment j, in this interval",
    )
    model.width = pyo.Constraint(
        model.CHOICES,
        model.SEGMENTS,
        rule=lambda m, i, k, a, j: (
            m.give[i, k, a, j] <= float(instance.widths[i, j]) * m.choose[i, k, a]
        ),
        doc="(A2) within the segment",
    )
    model.amount = pyo.Expression(
        model.CHOICES,
        rule=lambda m, i, k, a: sum(m.give[i, k, a, j] for j in m.SEGMENTS),
        doc="data given in this interval",
    )
    model.interval_low = pyo.Constraint(
        model.CHOICES,
        rule=lambda m, i, k, a: m.amount[i, k, a] >= float(ends[k, a][i, 0]) * m.choose[i, k, a],
        doc="(L1) interval",
    )
    model.interval_high = pyo.Constraint(
        model.CHOICES,
        rule=lambda m, i, k, a: m.amount[i, k, a] <= float(ends[k, a][i, 1]) * m.choose[i, k, a],
        doc="(L1) interval",
    )
    _add_totals(model, instance, {key: leaving_loss(instance, *key) for key in ends})


def _add_totals(
    model: Model, instance: Instance, losses: Mapping[tuple[int, int], FloatArray]
) -> None:
    """One interval a user; over her intervals burden, cost, and what leaving costs her, money."""
    own: dict[tuple[int, int], list[int]] = {}
    for i, k, m in model.CHOICES:
        own.setdefault((i, k), []).append(m)
    model.one_interval = pyo.Constraint(
        model.USERS,
        model.LEVELS,
        rule=lambda m, i, k: sum(m.choose[i, k, a] for a in own[i, k]) == m.reach[k],
        doc="(L2) one interval at the level reached",
    )
    model.burden = pyo.Expression(
        model.USERS,
        rule=lambda m, i: sum(m.amount[i, k, a] for k in m.LEVELS for a in own[i, k]),
        doc="burden x_i, data",
    )
    model.level_cost = pyo.Expression(
        model.USERS,
        model.LEVELS,
        rule=lambda m, i, k: sum(
            float(instance.cost[i] * instance.slopes[i, j]) * m.give[i, k, a, j]
            for a in own[i, k]
            for j in m.SEGMENTS
        ),
        doc="cost C_i(x_i) if level k is reached, money",
    )
    model.cost = pyo.Expression(
        model.USERS, rule=lambda m, i: sum(m.level_cost[i, k] for k in m.LEVELS), doc="cost, money"
    )
    model.loss = pyo.Expression(
        model.USERS,
        model.LEVELS,
        rule=lambda m, i, k: sum(float(losses[k, a][i]) * m.choose[i, k, a] for a in own[i, k]),
        doc="what leaving costs user i, money",
    )


def add_payments(model: Model, instance: Instance, *, transfers: bool) -> None:
    """pay_at[i, k] ≥ 0, the payment if level k is reached."""
    most = instance.cost_of(instance.capacity)
    model.pay_at = pyo.Var(
        model.USERS,
        model.LEVELS,
        bounds=lambda _, i, k: (0, float(most[i]) if transfers else 0.0),
        doc="payment t_i if level k is reached, money",
    )
    model.pay = pyo.Expression(
        model.USERS,
        rule=lambda m, i: sum(m.pay_at[i, k] for k in m.LEVELS),
        doc="payment t_i, money",
    )


def add_threshold(model: Model, instance: Instance, reserve: float) -> None:
    """The total is met exactly; a level whose reserve reaches the next one is not offered."""

    def total(m: Model, k: int) -> object:
        data = float(instance.thresholds[k - 1]) + reserve
        given = sum(m.amount[i, l, a] for i, l, a in m.CHOICES if l == k)
        return given == data * m.reach[k]

    model.threshold = pyo.Constraint(model.LEVELS, rule=total, doc="(A1) threshold")
    parts_of = instance.thresholds
    for k in range(1, instance.levels):
        if parts_of[k - 1] + reserve >= parts_of[k]:
            model.reach[k].fix(0)


def add_participation(model: Model, instance: Instance) -> None:
    """Everyone is at least as well off as in the null outcome."""
    model.participation = pyo.Constraint(
        model.USERS,
        model.LEVELS,
        rule=lambda m, i, k: (
            float(instance.value[i] * instance.share_at(k)) * m.reach[k] + m.pay_at[i, k]
            >= m.level_cost[i, k]
        ),
        doc="(A3) participation",
    )


def add_obedience(model: Model, instance: Instance) -> None:
    """Nobody gains by leaving alone."""
    model.obedience = pyo.Constraint(
        model.USERS,
        model.LEVELS,
        rule=lambda m, i, k: (
            m.loss[i, k] + m.pay_at[i, k] >= float(instance.reversibility[i]) * m.level_cost[i, k]
        ),
        doc="(W1) nobody gains by leaving alone",
    )

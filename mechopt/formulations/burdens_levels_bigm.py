"""Simultaneous withdrawal with several thresholds, as in a textbook: binaries and big-M.

The readable reference for small n; `burdens-levels` has the same optimum and no big-M.
Sets: USERS, SEGMENTS, LEVELS k = 1..K. Variables: give[i, j], pay[i], reach[k], and
left[i, k] = 0: without user i, threshold k is missed.
Equations: models/burdens-levels-bigm/README.md.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from mechopt import memory
from mechopt.formulations import parts
from mechopt.formulations.burdens import add_participation
from mechopt.formulations.parts import Model
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
    refuse_large(instance)
    model = parts.new_model(instance, "burdens-levels-bigm")
    parts.add_burdens(model, instance)
    parts.add_payments(model, instance, transfers=transfers)
    parts.add_levels(model, instance, objective, target, reserve)
    parts.add_threshold(model, instance, reserve)
    add_level_above(model, instance, reserve)
    add_participation(model, instance)
    parts.add_budget(model, instance)
    add_leaving(model, instance)
    add_obedience(model, instance)
    parts.add_no_leakage(model, instance)
    parts.add_objective(model, instance, objective)
    return model


def refuse_large(instance: Instance) -> None:
    """TooLarge where the rows of users times users do not fit into memory."""
    coefficients = instance.n**2 * instance.levels * instance.widths.shape[1]
    memory.refuse_beyond(
        "formulation burdens-levels-bigm",
        f"a Pyomo model with {coefficients:,} coefficients ({instance.n:,} users in all rows, "
        f"{instance.levels} thresholds)",
        memory.PER_COEFFICIENT * coefficients,
        "It is the reference for small instances: use burdens-levels, or `solve`",
    )


def add_level_above(model: Model, instance: Instance, reserve: float) -> None:
    """The level chosen is the one reached: the total stays at or below the next threshold."""
    everything = float(instance.capacity.sum())
    above = [*map(float, instance.thresholds[1:]), everything]
    model.level_above = pyo.Constraint(
        expr=sum(model.burden[i] for i in model.USERS)
        <= sum(above[k - 1] * model.reach[k] for k in model.LEVELS),
        doc="(L3) not above the level reached",
    )
    for k in range(1, instance.levels):
        if instance.thresholds[k - 1] + reserve >= instance.thresholds[k]:
            model.reach[k].fix(0)


def add_leaving(model: Model, instance: Instance) -> None:
    """left[i, k] is 1 if threshold k is still exceeded without user i."""
    everything = float(instance.capacity.sum())
    model.left = pyo.Var(
        model.USERS, model.LEVELS, domain=pyo.Binary, doc="threshold k is met without user i"
    )

    def missed(m: Model, i: int, k: int) -> Any:
        threshold = float(instance.thresholds[k - 1])
        rest = sum(m.burden[j] for j in m.USERS) - float(instance.removable[i]) * m.burden[i]
        return rest <= threshold + max(0.0, everything - threshold) * m.left[i, k]

    def reached(m: Model, i: int, k: int) -> Any:
        some = sum(m.reach[l] for l in m.LEVELS if l >= k)
        if instance.removable[i] == 0:  # nothing leaves with him
            return m.left[i, k] == some
        return m.left[i, k] <= some

    model.missed = pyo.Constraint(model.USERS, model.LEVELS, rule=missed, doc="(L4) left")
    model.left_reached = pyo.Constraint(
        model.USERS,
        model.LEVELS,
        rule=reached,
        doc="(L5) left: only what was reached",
    )


def add_obedience(model: Model, instance: Instance) -> None:
    """Nobody gains by leaving alone."""

    def rule(m: Model, i: int) -> Any:
        enjoyed = 1.0 - float(instance.exclusion[i])
        remaining = sum(
            enjoyed * float(instance.share_at(k) - instance.share_at(k - 1)) * m.left[i, k]
            for k in m.LEVELS
        )
        loss = float(instance.value[i]) * (m.share - remaining)
        return loss + m.pay[i] >= float(instance.reversibility[i]) * m.cost[i]

    model.obedience = pyo.Constraint(
        model.USERS, rule=rule, doc="(W1) nobody gains by leaving alone"
    )

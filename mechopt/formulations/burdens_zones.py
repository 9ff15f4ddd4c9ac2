"""The zone relaxation of sequential withdrawal: a bound for every order (F12).

Equations and symbols: models/burdens-zones/README.md. Variables: give[i, j], pay[i]; zone[i, l]
= 1: whoever leaves from zone l leaves that many levels behind; unwilling[m, i] = 1: leaves at level
m, with threat[m, i] data; key[m, i] = 1: is the last user below row m, with own[m, i] data;
below[m]: somebody is below row m. `mechopt.known.sequential` solves the same by prices.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from mechopt.formulations import parts
from mechopt.formulations.parts import Model
from mechopt.problem.aims import MARGIN
from mechopt.problem.instance import Instance
from mechopt.problem.zones import Zones, unwilling, zones


def build(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    transfers: bool = True,
    reserve: float = 0.0,
) -> Model:
    """The MILP for the highest level, X = T_K + R; its optimum bounds every order's.

    :reserve: R ≥ 0, data kept above the threshold
    """
    known = zones(instance, reserve, most_rows=instance.levels)
    model = parts.new_model(instance, "burdens-zones")
    model.ROWS = pyo.RangeSet(1, known.rows, doc="rows m, a level that can collapse each")
    model.ZONES = pyo.RangeSet(0, known.rows, doc="zones l, by what is surely left")
    parts.add_burdens(model, instance)
    parts.add_payments(model, instance, transfers=transfers)
    model.share = pyo.Expression(expr=float(instance.shares[-1]), doc="share reached")
    model.threshold = pyo.Constraint(
        expr=sum(model.burden[i] for i in model.USERS) == known.total, doc="(A1) threshold"
    )
    model.participation = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: float(known.gain[i]) + m.pay[i] >= m.cost[i],
        doc="(A3) participation",
    )
    parts.add_budget(model, instance)
    add_zones(model, instance, known)
    add_threats(model, instance, known)
    add_keys(model, instance, known)
    parts.add_objective(model, instance, objective)
    return model


def add_zones(model: Model, instance: Instance, known: Zones) -> None:
    """Everyone has one zone, and what he loses from there holds him."""
    model.zone = pyo.Var(model.USERS, model.ZONES, domain=pyo.Binary, doc="zone of user i")
    model.one_zone = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: sum(m.zone[i, zone] for zone in m.ZONES) == 1,
        doc="(Z1) one zone each",
    )
    model.obedience = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: (
            float(instance.reversibility[i]) * m.cost[i] - m.pay[i]
            <= sum(float(known.loss[zone, i]) * m.zone[i, zone] for zone in m.ZONES)
        ),
        doc="(Z2) obedience: what leaving from there costs",
    )


def add_threats(model: Model, instance: Instance, known: Zones) -> None:
    """Who leaves at which level, and with how much data."""
    ranges = [unwilling(known, row) for row in range(known.rows)]
    able = [
        (row + 1, i)
        for row, (low, high) in enumerate(ranges)
        for i in range(instance.n)
        if low[i] <= high[i]
    ]
    removable, capacity = instance.removable, instance.capacity
    model.ABLE = pyo.Set(dimen=2, initialize=able, doc="(m, i): users who can be unwilling at m")
    model.unwilling = pyo.Var(model.ABLE, domain=pyo.Binary, doc="leaves at level m")
    model.threat = pyo.Var(
        model.ABLE,
        bounds=lambda _, m, i: (0, float(removable[i] * capacity[i])),
        doc="data that leave with him, if so",
    )
    model.in_zone = pyo.Constraint(
        model.ABLE,
        rule=lambda m, row, i: (
            m.unwilling[row, i] <= sum(m.zone[i, zone] for zone in range(row, known.rows + 1))
        ),
        doc="(Z3) whoever leaves at level m counts on it",
    )
    model.unwilling_from = pyo.Constraint(
        model.ABLE,
        rule=lambda m, row, i: m.burden[i] >= float(ranges[row - 1][0][i]) * m.unwilling[row, i],
        doc="(Z4) unwilling: from a burden on",
    )
    model.unwilling_to = pyo.Constraint(
        [pair for pair in able if ranges[pair[0] - 1][1][pair[1]] < capacity[pair[1]]],
        rule=lambda m, row, i: (
            m.burden[i]
            <= float(capacity[i]) - float(capacity[i] - ranges[row - 1][1][i]) * m.unwilling[row, i]
        ),
        doc="(Z4) unwilling: up to a burden",
    )
    model.threat_given = pyo.Constraint(
        model.ABLE,
        rule=lambda m, row, i: m.threat[row, i] <= float(removable[i]) * m.burden[i],
        doc="(Z5) a threat is data given",
    )
    model.threat_meant = pyo.Constraint(
        model.ABLE,
        rule=lambda m, row, i: (
            m.threat[row, i] <= float(removable[i] * capacity[i]) * m.unwilling[row, i]
        ),
        doc="(Z5) and only the unwilling's",
    )


def add_keys(model: Model, instance: Instance, known: Zones) -> None:
    """(Z): the threats above a row, and the key below it, take more than the level can spare."""
    removable, most = instance.removable, instance.removable * instance.capacity
    able = [i for i in range(instance.n) if most[i] > 0]
    model.KEYS = pyo.Set(
        dimen=2, initialize=[(row, i) for row in model.ROWS for i in able], doc="(m, i)"
    )
    model.key = pyo.Var(model.KEYS, domain=pyo.Binary, doc="the last user below row m")
    model.own = pyo.Var(
        model.KEYS, bounds=lambda _, m, i: (0, float(most[i])), doc="data that leave with the key"
    )
    model.below = pyo.Var(model.ROWS, bounds=(0, 1), doc="somebody is below row m")
    model.one_key = pyo.Constraint(
        model.ROWS,
        rule=lambda m, row: sum(m.key[row, i] for i in able) <= 1,
        doc="(Z6) one key",
    )

    def lower(m: Model, row: int, i: int) -> Any:
        return sum(m.zone[i, zone] for zone in range(row))

    model.key_below = pyo.Constraint(
        model.KEYS,
        rule=lambda m, row, i: m.key[row, i] <= lower(m, row, i),
        doc="(Z6) who is below the row",
    )
    model.own_given = pyo.Constraint(
        model.KEYS,
        rule=lambda m, row, i: m.own[row, i] <= float(removable[i]) * m.burden[i],
        doc="(Z7) the key's data are given",
    )
    model.own_meant = pyo.Constraint(
        model.KEYS,
        rule=lambda m, row, i: m.own[row, i] <= float(most[i]) * m.key[row, i],
        doc="(Z7) and only the key's",
    )
    model.is_below = pyo.Constraint(
        model.ROWS,
        model.USERS,
        rule=lambda m, row, i: m.below[row] >= lower(m, row, i),
        doc="(Z8) a row is in force if somebody is below it",
    )
    model.collapses = pyo.Constraint(
        model.ROWS,
        rule=lambda m, row: (
            sum(m.threat[pair] for pair in m.ABLE if pair[0] == row)
            + sum(m.own[row, i] for i in able)
            >= _more_than(known, row - 1) * m.below[row]
        ),
        doc="(Z9) what leaves misses level m",
    )


def _more_than(known: Zones, row: int) -> float:
    """G_m, and what misses T_m for sure, data."""
    return float(known.gap[row] + MARGIN * (known.total - known.gap[row]))

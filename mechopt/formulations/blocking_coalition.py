"""A largest set of users who all gain by leaving together, given a plan.

Infeasible iff no coalition blocks, which is the case iff (W1) holds: whoever gains with others
gains alone. `mechopt.withdrawal.blocking_coalition` has the optimum in closed form. Equations:
models/blocking-coalition/README.md.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from mechopt.answer.plan import Plan
from mechopt.errors import InvalidOption
from mechopt.problem.instance import Instance
from mechopt.withdrawal.stage import stage_of


def build(instance: Instance, *, plan: Plan) -> Any:
    """The MILP for a plan (burdens, payments, failure bonus)."""
    stage = stage_of(instance, plan, exact=False)
    if not stage.movers.size:
        raise InvalidOption("plan: it asks nothing of anybody, so nobody can withdraw")
    top = int(stage.level_of(stage.total))
    users = stage.movers.tolist()
    model = pyo.ConcreteModel(name="blocking-coalition")
    model.USERS = pyo.Set(initialize=users, ordered=True, doc="users with positive burden")
    model.LEVELS = pyo.RangeSet(0, top, doc="level left after the coalition has gone")
    model.leave = pyo.Var(model.USERS, domain=pyo.Binary, doc="members of the coalition")
    model.after = pyo.Var(model.LEVELS, domain=pyo.Binary, doc="the level left")
    model.one_level = pyo.Constraint(
        expr=pyo.quicksum(model.after[m] for m in model.LEVELS) == 1, doc="(C1) one level is left"
    )
    gains = {
        i: [
            m
            for m in range(top + 1)
            if stage.leaving_pays(i, m) - stage.staying_pays(i, top) > stage.money_tolerance[i]
        ]
        for i in users
    }
    model.members_gain = pyo.Constraint(
        model.USERS,
        rule=lambda model, i: (
            model.leave[i] <= pyo.quicksum(model.after[m] for m in gains[i])
            if gains[i]
            else model.leave[i] == 0
        ),
        doc="(C2) every member gains",
    )
    model.remains = pyo.Constraint(
        expr=float(stage.total)
        - pyo.quicksum(float(stage.removed[i]) * model.leave[i] for i in users)
        >= pyo.quicksum(float(stage.reached[m - 1]) * model.after[m] for m in range(1, top + 1)),
        doc="(C3) the level is really left",
    )
    model.somebody = pyo.Constraint(
        expr=pyo.quicksum(model.leave[i] for i in users) >= 1, doc="(C4) somebody leaves"
    )
    model.members = pyo.Objective(
        expr=pyo.quicksum(model.leave[i] for i in users),
        sense=pyo.maximize,
        doc="(C5) number of members",
    )
    return model

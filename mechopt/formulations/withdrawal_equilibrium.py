"""Best or worst pure equilibrium of the simultaneous withdrawal stage, at a given level.

Every implication is one row whose coefficient is tight for the range that (E1) leaves for X; "<" is
"≤" less `strictness`. Equations: models/withdrawal-equilibrium/README.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo

from mechopt.answer.plan import Plan
from mechopt.errors import InvalidOption
from mechopt.problem.instance import Instance
from mechopt.withdrawal.outcome import contribution_cost
from mechopt.withdrawal.stage import Stage, stage_of

GOALS = ("best", "worst", "most-data", "least-data")


def build(
    instance: Instance,
    *,
    plan: Plan,
    level: int | None = None,
    goal: str = "best",
    strictness: float = 1e-4,
) -> Any:
    """The MILP for one level; infeasible iff no equilibrium reaches exactly that level.

    plan: burdens, payments and failure bonus. level: default that of everyone staying.
    goal: "best" (least social cost), "worst" (greatest), "most-data", "least-data".
    strictness: share of T_1 by which a total must stay below a threshold not to reach it; well
    above the solver's feasibility tolerance.

    Raises InvalidOption for an unknown goal, or a level no stay-set can have.
    """
    if goal not in GOALS:
        raise InvalidOption(f"goal: {goal!r} is not known; choose from {', '.join(GOALS)}")
    stage = stage_of(instance, plan, exact=False)
    if not stage.movers.size:
        raise InvalidOption("plan: it asks nothing of anybody, so nobody can withdraw")
    top = int(stage.level_of(stage.total))
    level = top if level is None else level
    if not 0 <= level <= stage.levels:
        raise InvalidOption(f"level: must be 0 … {stage.levels}, got {level}")
    model = pyo.ConcreteModel(name="withdrawal-equilibrium")
    users = stage.movers.tolist()
    model.USERS = pyo.Set(initialize=users, ordered=True, doc="users with positive burden")
    model.stay = pyo.Var(model.USERS, domain=pyo.Binary, doc="whether the user stays")
    left = float(stage.left_behind)
    model.total = pyo.Expression(
        expr=left + pyo.quicksum(float(stage.removed[i]) * model.stay[i] for i in users),
        doc="X, data in the pool",
    )
    gap = strictness * float(stage.thresholds[0])
    low, high = _range(stage, level, gap)
    if low > high or low > float(stage.total):
        raise InvalidOption(
            f"level: no stay-set has level {level}; totals range from {left:g} to "
            f"{float(stage.total):g} (data)"
        )
    if level:
        model.reached = pyo.Constraint(expr=model.total >= low, doc="(E1) the level is reached")
    if level < stage.levels:
        model.not_above = pyo.Constraint(expr=model.total <= high, doc="(E1) and no higher one")
    _add_choices(model, stage, level, low, high, gap)
    _add_goal(model, instance, plan, stage, level, goal)
    return model


def _range(stage: Stage, level: int, gap: float) -> tuple[float, float]:
    """The least and the greatest total at this level."""
    low = float(stage.thresholds[level - 1]) if level else float(stage.left_behind)
    high = float(stage.total)
    if level < stage.levels:
        high = min(high, float(stage.thresholds[level]) - gap)
    return max(low, float(stage.left_behind)), high


def _add_choices(model: Any, stage: Stage, level: int, low: float, high: float, gap: float) -> None:
    """(E2)–(E5): what each user may do, as bounds on the total."""
    b, thresholds = stage.shares, stage.thresholds
    below: dict[int, float] = {}  # if he stays, the total must be at most this
    above: dict[int, float] = {}  # if he leaves, the total must be at most this
    least: dict[int, float] = {}  # if he leaves, the total must be at least this
    must_stay: list[int] = []
    must_leave: list[int] = []
    for i in stage.movers.tolist():
        v, r, d = float(stage.v[i]), float(stage.r[i]), float(stage.removed[i])
        left_out = float(stage.lost[i] * b[level])
        tolerance = float(stage.money_tolerance[i])
        bonus = float(stage.bonus[i])
        if level:
            keeps = [m for m in range(level + 1) if stage.loss(i, level, m) >= r - tolerance]
            if not keeps:
                must_leave.append(i)
            elif max(keeps) < level:
                below[i] = float(thresholds[max(keeps)]) + d - gap
        start = max(level, 1)
        goes = [
            m
            for m in range(start, stage.levels + 1)
            if v * (b[m] - b[level]) + left_out <= r + tolerance
        ]
        last = max(goes, default=0)
        if not goes and (level or bonus > 0):
            must_stay.append(i)
            continue
        if last < stage.levels:
            above[i] = float(thresholds[last]) - d - gap
        if not level and bonus > 0:
            least[i] = float(thresholds[0]) - d
    # Where no total of this level allows one of the two, the other is the only choice.
    must_leave += [i for i in below if below[i] < low]
    must_stay += [i for i in above if above[i] < low]
    must_stay += [i for i in least if least[i] > high and above.get(i, low) >= low]
    model.bound_to_stay = pyo.Constraint(
        must_stay, rule=lambda m, i: m.stay[i] >= 1, doc="(E5) only staying is possible"
    )
    model.bound_to_leave = pyo.Constraint(
        must_leave, rule=lambda m, i: m.stay[i] <= 0, doc="(E5) only leaving is possible"
    )
    model.pivotal = pyo.Constraint(
        [i for i in sorted(below) if low <= below[i] < high],
        rule=lambda m, i: m.total <= high + (below[i] - high) * m.stay[i],
        doc="(E2) whoever stays loses enough by leaving",
    )
    model.no_return = pyo.Constraint(
        [i for i in sorted(above) if low <= above[i] < high],
        rule=lambda m, i: m.total <= above[i] + (high - above[i]) * m.stay[i],
        doc="(E3) whoever leaves would not gain by returning",
    )
    model.bonus = pyo.Constraint(
        [i for i in sorted(least) if low < least[i] <= high],
        rule=lambda m, i: m.total >= least[i] + (low - least[i]) * m.stay[i],
        doc="(E4) whoever leaves would tip the balance",
    )


def _add_goal(
    model: Any, instance: Instance, plan: Plan, stage: Stage, level: int, goal: str
) -> None:
    assert plan.burden is not None
    if goal in ("most-data", "least-data"):
        expression = model.total
    else:
        cost = contribution_cost(instance, plan.burden, exact=False)
        back = instance.reversibility * cost if level else np.zeros(instance.n)
        expression = float((cost - instance.reversibility * cost).sum()) + pyo.quicksum(
            float(back[i]) * model.stay[i] for i in model.USERS
        )
    sense = pyo.maximize if goal in ("worst", "most-data") else pyo.minimize
    words = "data" if goal in ("most-data", "least-data") else "social cost"
    model.objective = pyo.Objective(expr=expression, sense=sense, doc=f"(E6) {words}")

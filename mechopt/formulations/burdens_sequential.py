"""Sequential withdrawal: the best way to reach the highest threshold (facts F2, F5, F10).

Equations (A1)-(A4), (S1)-(S8) and when they are exact: models/burdens-sequential/README.md.
Variables: give[i, j], pay[i]; for each level m that can collapse, collapse[m, i] = 1: counted on;
unwilling[m, i] = 1: counted on to leave after others; threat[m, i]: data counted on to leave with
him. In a given order behind[m, i] sums the threats; otherwise late[m, i], before[m, i], keyed[m]
and mark[m] say where the key is. Strict inequalities keep the margin of
`mechopt.known.burdens.level_curves`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyomo.environ as pyo

from mechopt.errors import NotSupported
from mechopt.formulations import parts
from mechopt.formulations.burdens_sequential_followers import add_followers
from mechopt.formulations.burdens_sequential_steps import Step, beyond, excess_of, steps
from mechopt.formulations.parts import Model
from mechopt.problem.aims import required_total
from mechopt.problem.instance import Instance
from mechopt.withdrawal.moves import permutation

CHOSEN = ("designed", "small-first", "large-first")


def build(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    order: Any = "designed",
    transfers: bool = True,
    reserve: float = 0.0,
    threats: str = "possible",
    followed: Sequence[tuple[int, int]] = (),
) -> Model:
    """The MILP for the highest level.

    :order: a permutation of the users, "designed", "small-first" or "large-first"
    :reserve: R ≥ 0, data kept above the threshold
    :threats: "possible" (a relaxation: its optimum is a bound) or "certain" (its plans are
        sustained); the same with two thresholds and no reserve
    :followed: pairs (level m, user i) whose followers are named one by one (S8)

    Raises NotSupported for other orders, InvalidOption for other threats.
    """
    if isinstance(order, str) and order not in CHOSEN:
        raise NotSupported(
            f"the formulation 'burdens-sequential' takes {', '.join(map(repr, CHOSEN))} or a "
            f"permutation, not {order!r}"
        )
    able = steps(instance, reserve=reserve, threats=threats)
    model = parts.new_model(instance, "burdens-sequential")
    model.COLLAPSING = pyo.Set(
        initialize=[step.level for step in able], doc="levels m that a withdrawal can collapse"
    )
    parts.add_burdens(model, instance)
    parts.add_payments(model, instance, transfers=transfers)
    model.share = pyo.Expression(expr=float(instance.shares[-1]), doc="share reached")
    add_total(model, instance, order, reserve)
    add_participation(model, instance)
    parts.add_budget(model, instance)
    add_obedience(model, instance, able, sure=_sure(instance, reserve))
    add_threats(model, instance, able)
    if isinstance(order, str):
        add_key(model, instance, able)
        if order != "designed":
            add_order_by_burden(model, instance, ascending=order == "small-first")
    else:
        add_given_order(model, instance, able, permutation(order, instance.n).tolist())
    if followed:
        add_followers(model, instance, followed, order, reserve)
    parts.add_objective(model, instance, objective)
    return model


def add_total(model: Model, instance: Instance, order: Any, reserve: float) -> None:
    """The threshold is met exactly; in large-first order it may be exceeded by `excess`."""
    total = required_total(instance, instance.levels, reserve)
    if isinstance(order, str) and order == "large-first":
        most = max(0.0, float(instance.capacity.sum()) - total)
        model.excess = pyo.Var(bounds=(0, most), doc="data beyond the threshold")
    model.threshold = pyo.Constraint(
        expr=sum(model.burden[i] for i in model.USERS) == total + excess_of(model),
        doc="(A1) threshold",
    )


def _sure(instance: Instance, reserve: float) -> float:
    """What whoever takes data away loses in any case, a share: the highest step, if R = 0."""
    shares = np.append(0.0, instance.shares)
    return 0.0 if reserve > 0 else float(shares[-1] - shares[-2])


def add_participation(model: Model, instance: Instance) -> None:
    """Everyone is at least as well off as in the null outcome."""
    model.participation = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: float(instance.value[i]) * m.share + m.pay[i] >= m.cost[i],
        doc="(A3) participation",
    )


def add_obedience(model: Model, instance: Instance, able: list[Step], *, sure: float) -> None:
    """What keeps a user: the steps that his leaving collapses."""
    model.collapse = pyo.Var(
        model.COLLAPSING, model.USERS, domain=pyo.Binary, doc="leaving collapses level m"
    )

    def rule(m: Model, i: int) -> Any:
        value, recovered = float(instance.value[i]), float(instance.reversibility[i])
        if instance.removable[i] == 0:
            return m.pay[i] >= recovered * m.cost[i]
        lost = value * sure + sum(value * step.gain * m.collapse[step.level, i] for step in able)
        return recovered * m.cost[i] - m.pay[i] <= lost

    model.obedience = pyo.Constraint(model.USERS, rule=rule, doc="(S1) obedience")
    if len(able) > 1:
        model.collapse_downwards = pyo.Constraint(
            [step.level for step in able[:-1]],
            model.USERS,
            rule=lambda m, k, i: m.collapse[k, i] <= m.collapse[k + 1, i],
            doc="(S1) obedience: a level collapses only with all above it",
        )


def add_threats(model: Model, instance: Instance, able: list[Step]) -> None:
    """Who is unwilling at level m, and the data that leave with him."""
    removable, capacity = instance.removable, instance.capacity
    at = {step.level: step for step in able}
    pairs = [
        (step.level, j) for step in able for j in np.flatnonzero(step.low <= step.high).tolist()
    ]
    model.ABLE = pyo.Set(dimen=2, initialize=pairs, doc="(m, j): users who can be unwilling at m")
    model.unwilling = pyo.Var(model.ABLE, domain=pyo.Binary, doc="leaves at level m")

    def most(m: int, j: int) -> float:
        return float(removable[j] * at[m].high[j])

    model.threat = pyo.Var(
        model.ABLE,
        bounds=lambda _, k, j: (0, most(k, j)),
        doc="data that leave with an unwilling user",
    )
    model.threat_owned = pyo.Constraint(
        model.ABLE,
        rule=lambda m, k, j: m.threat[k, j] <= float(removable[j]) * m.burden[j],
        doc="(S3) threat: his own data",
    )
    model.threat_meant = pyo.Constraint(
        model.ABLE,
        rule=lambda m, k, j: m.threat[k, j] <= most(k, j) * m.unwilling[k, j],
        doc="(S3) threat: only if unwilling",
    )
    model.unwilling_low = pyo.Constraint(
        model.ABLE,
        rule=lambda m, k, j: m.burden[j] >= float(at[k].low[j]) * m.unwilling[k, j],
        doc="(S4) unwilling: burden large enough",
    )
    model.unwilling_high = pyo.Constraint(
        model.ABLE,
        rule=lambda m, k, j: (
            m.burden[j]
            <= float(capacity[j]) - float(capacity[j] - at[k].high[j]) * m.unwilling[k, j]
        ),
        doc="(S4) unwilling: nothing has to be paid for participation",
    )
    held = [(step.level, j) for step, j in ((at[k], j) for k, j in pairs) if step.held_by]
    if held:
        model.unwilling_kept = pyo.Constraint(
            held,
            rule=lambda m, k, j: m.unwilling[k, j] <= m.collapse[at[k].held_by, j],
            doc="(S5) unwilling: kept only by a collapse",
        )


def add_given_order(model: Model, instance: Instance, able: list[Step], order: list[int]) -> None:
    """Everyone counts on the unwilling who move after him; `behind` sums their threats."""
    at = {step.level: step for step in able}
    follower = dict(pairwise(order))
    model.behind = pyo.Var(
        model.COLLAPSING, model.USERS, bounds=(0, None), doc="data counted on to leave after i"
    )

    def behind(m: Model, k: int, i: int) -> Any:
        if i not in follower:
            return m.behind[k, i] == 0
        j = follower[i]
        threat = m.threat[k, j] if (k, j) in m.ABLE else 0.0
        return m.behind[k, i] == m.behind[k, j] + threat

    def rule(m: Model, k: int, i: int) -> Any:
        own = float(instance.removable[i]) * m.burden[i]
        return own + m.behind[k, i] >= at[k].gap * m.collapse[k, i]

    model.behind_sum = pyo.Constraint(
        model.COLLAPSING, model.USERS, rule=behind, doc="(S2) collapse: threats after i"
    )
    model.collapses = pyo.Constraint(model.COLLAPSING, model.USERS, rule=rule, doc="(S2) collapse")


def add_key(model: Model, instance: Instance, able: list[Step]) -> None:
    """Everyone before the key user counts on him and those who leave after him."""
    at = {step.level: step for step in able}
    _add_late(model, instance, at)
    members = {k: [j for step, j in model.ABLE if step == k] for k in at}
    model.keyed = pyo.Var(model.COLLAPSING, bounds=(0, 1), doc="there is a key")
    model.one_key = pyo.Constraint(
        model.COLLAPSING,
        rule=lambda m, k: m.keyed[k] == sum(m.key[k, j] for j in members[k]),
        doc="(S6) order: at most one key",
    )
    model.threats = pyo.Var(
        model.COLLAPSING, bounds=(0, None), doc="data counted on to leave with the late"
    )
    model.threats_sum = pyo.Constraint(
        model.COLLAPSING,
        rule=lambda m, k: m.threats[k] == sum(m.threat[k, j] for j in members[k]),
        doc="(S2) collapse: all threats",
    )
    model.before_key = pyo.Constraint(
        model.COLLAPSING,
        model.USERS,
        rule=lambda m, k, i: m.before[k, i] <= m.keyed[k],
        doc="(S6) order: before the key, if there is one",
    )

    def rule(m: Model, k: int, i: int) -> Any:
        others = m.threats[k] - (m.threat[k, i] if (k, i) in m.ABLE else 0.0)
        own = float(instance.removable[i]) * m.burden[i]
        gap = at[k].gap
        relied = m.collapse[k, i] - m.before[k, i]
        return own + others >= gap * relied + beyond(m, relied)

    model.collapses = pyo.Constraint(model.COLLAPSING, model.USERS, rule=rule, doc="(S2) collapse")


def _add_late(model: Model, instance: Instance, at: Mapping[int, Step]) -> None:
    """Who is before the key, who is the key, and who is late: unwilling, and after it."""
    model.late = pyo.Var(model.ABLE, domain=pyo.Binary, doc="unwilling, moves after the key")
    model.before = pyo.Var(
        model.COLLAPSING, model.USERS, domain=pyo.Binary, doc="moves before the key"
    )
    model.key = pyo.Expression(
        model.ABLE, rule=lambda m, k, j: m.unwilling[k, j] - m.late[k, j], doc="the key user"
    )
    model.threat_late = pyo.Constraint(
        model.ABLE,
        rule=lambda m, k, j: (
            m.threat[k, j] <= float(instance.removable[j] * at[k].high[j]) * m.late[k, j]
        ),
        doc="(S3) threat: the late",
    )
    model.late_unwilling = pyo.Constraint(
        model.ABLE, rule=lambda m, k, j: m.key[k, j] >= 0, doc="(S6) order: the late are unwilling"
    )
    model.key_collapses = pyo.Constraint(
        model.ABLE,
        rule=lambda m, k, j: m.key[k, j] <= m.collapse[k, j],
        doc="(S6) order: the key completes the collapse",
    )
    model.late_collapse_nothing = pyo.Constraint(
        model.ABLE,
        rule=lambda m, k, j: m.late[k, j] + m.collapse[k, j] <= 1,
        doc="(S6) order: the late do not",
    )
    model.before_willing = pyo.Constraint(
        model.ABLE,
        rule=lambda m, k, j: m.before[k, j] + m.unwilling[k, j] <= 1,
        doc="(S6) order: the unwilling are not before the key",
    )


def add_order_by_burden(model: Model, instance: Instance, *, ascending: bool) -> None:
    """ξ_m, the key user's burden, separates those before him from the late."""
    capacity = instance.capacity
    largest = float(capacity.max())
    model.mark = pyo.Var(model.COLLAPSING, bounds=(0, largest), doc="burden of the key user, data")
    sign = 1 if ascending else -1

    def before(m: Model, k: int, i: int) -> Any:
        loose = float(capacity[i]) if ascending else largest
        return sign * (m.mark[k] - m.burden[i]) >= -loose * (1 - m.before[k, i])

    def late(m: Model, k: int, j: int) -> Any:
        loose = largest if ascending else float(capacity[j])
        return sign * (m.burden[j] - m.mark[k]) >= -loose * (1 - m.late[k, j])

    model.order_before = pyo.Constraint(
        model.COLLAPSING, model.USERS, rule=before, doc="(S7) order: before"
    )
    model.order_late = pyo.Constraint(model.ABLE, rule=late, doc="(S7) order: late")
    model.order_key_low = pyo.Constraint(
        model.ABLE,
        rule=lambda m, k, j: m.burden[j] - m.mark[k] >= -largest * (1 - m.key[k, j]),
        doc="(S7) order: the key's burden",
    )
    model.order_key_high = pyo.Constraint(
        model.ABLE,
        rule=lambda m, k, j: m.burden[j] - m.mark[k] <= float(capacity[j]) * (1 - m.key[k, j]),
        doc="(S7) order: the key's burden",
    )

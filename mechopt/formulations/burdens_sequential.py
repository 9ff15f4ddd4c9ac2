"""Sequential withdrawal with two thresholds: the best way to reach T_2 (facts F2, F5, F10).

With X = T_2 (without loss: data beyond T_2 can be taken back from the first movers), a user who
leaves takes a_i = δ_i x_i with him and only T_1 can still be reached. Then those leave as well who
are *unwilling* at level 1, r_j > v_j b_1, if they move later. So user i's leaving collapses
everything, and costs him v_i b_2, iff

    a_i + Σ_{j after i, unwilling} a_j > G = T_2 − T_1;

otherwise it costs him v_i (b_2 − b_1). User j can be unwilling at his least payment iff his burden
lies in [x̲_j, x̄_j] with ρ_j C_j(x̲_j) = v_j b_1, (1 − ρ_j) C_j(x̄_j) = v_j (b_2 − b_1), and what
keeps him is more than v_j b_1: he collapses everything himself, or b_2 > 2 b_1.

Variables: give[i, j], pay[i]; collapse[i] = 1: counted on to lose v_i b_2; unwilling[i] = 1:
counted on to leave after others; threat[i]: data counted on to leave with him.

    Σ_i x_i = T_2                                                          threshold     (A1)
    v_i b_2 + t_i ≥ C_i(x_i)                                               participation (A3)
    Σ_i t_i ≤ β                                                            budget        (A4)
    ρ_i C_i(x_i) − t_i ≤ v_i (b_2 − b_1) + v_i b_1 collapse_i              obedience     (S1)
    δ_i x_i + Σ_{j after i} threat_j ≥ G collapse_i                        collapse      (S2)
    threat_j ≤ δ_j x_j,  threat_j ≤ δ_j x̄_j unwilling_j                   threat        (S3)
    x_j ≥ x̲_j unwilling_j,  x_j ≤ cap_j − (cap_j − x̄_j) unwilling_j       unwilling     (S4)
    unwilling_j ≤ collapse_j   if b_2 ≤ 2 b_1                              unwilling     (S5)

That is exact for a given order. If the order is designed or depends on the burdens, let the *key*
be the last user from whom on the unwilling take more than G; late[j] = 1: unwilling, after the
key; before[i] = 1: moves before the key. Only the late count in `threat`, and

    δ_i x_i + Σ_{j ≠ i} threat_j + G before_i ≥ G collapse_i               collapse      (S2)
    threat_j ≤ δ_j x̄_j late_j                                             threat        (S3)
    key_j = unwilling_j − late_j,  0 ≤ key_j ≤ collapse_j,  Σ_j key_j ≤ 1  order         (S6)
    before_i ≤ Σ_j key_j,  before_i + unwilling_i ≤ 1,  late_j + collapse_j ≤ 1          (S6)
    small-first: x_i ≤ ξ if before_i, x_j ≥ ξ if late_j, x_j = ξ if key_j; large-first reversed (S7)

which is exact for the designed order, and otherwise a relaxation in one respect: a user after the
key may count on all late users, not only on those after him.

Strict inequalities keep the margin of `mechopt.mechanisms.level_curves`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo

from mechopt import tolerances
from mechopt.arrays import FloatArray
from mechopt.errors import NotSupported
from mechopt.formulations import parts
from mechopt.formulations.parts import Model
from mechopt.instance import Instance
from mechopt.mechanisms.level_curves import MARGIN
from mechopt.withdrawal.stage import permutation

CHOSEN = ("designed", "small-first", "large-first")


def build(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    order: Any = "designed",
    transfers: bool = True,
) -> Model:
    """The MILP for level 2 of two; `order` is a permutation of the users, "designed",
    "small-first" or "large-first".

    Raises NotSupported unless K = 2 and the order is one of these.
    """
    if instance.levels != 2:
        raise NotSupported(
            f"the formulation 'burdens-sequential' has two thresholds, not {instance.levels}"
        )
    if isinstance(order, str) and order not in CHOSEN:
        raise NotSupported(
            f"the formulation 'burdens-sequential' takes {', '.join(map(repr, CHOSEN))} or a "
            f"permutation, not {order!r}"
        )
    model = parts.new_model(instance, "burdens-sequential")
    parts.add_burdens(model, instance)
    parts.add_payments(model, instance, transfers=transfers)
    model.share = pyo.Expression(expr=float(instance.shares[1]), doc="share reached")
    model.threshold = pyo.Constraint(
        expr=sum(model.burden[i] for i in model.USERS) == float(instance.thresholds[1]),
        doc="(A1) threshold, met exactly",
    )
    add_participation(model, instance)
    parts.add_budget(model, instance)
    add_obedience(model, instance)
    add_threats(model, instance)
    if isinstance(order, str):
        add_key(model, instance)
        if order != "designed":
            add_order_by_burden(model, instance, ascending=order == "small-first")
    else:
        add_given_order(model, instance, permutation(order, instance.n).tolist())
    parts.add_objective(model, instance, objective)
    return model


def unwilling_range(instance: Instance) -> tuple[FloatArray, FloatArray]:
    """[x̲, x̄], data, shape (n,) each: where a user is unwilling at level 1; empty if x̲ > x̄."""
    value, recovered = instance.value, instance.reversibility
    b1, b2 = instance.shares[:2]
    top = instance.cost_of(instance.capacity)
    slack = 2 * MARGIN * value
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(recovered > 0, (value * b1 + slack) / recovered, np.inf)
        most = np.where(recovered < 1, (value * (b2 - b1) - slack) / (1 - recovered), top)
    low = instance.affordable(np.minimum(least, top))
    low = np.where(least > top, np.inf, low)
    high = instance.affordable(np.clip(most, 0.0, top))
    # r > v b_1 ≥ 0 needs a positive burden even if v = 0.
    low = np.maximum(low, instance.capacity * tolerances.DATA)
    return low, np.where(instance.removable > 0, high, -1.0)


def gap_between(instance: Instance) -> float:
    """G with its margin: taking this much from T_2 surely misses T_1, data."""
    t1, t2 = instance.thresholds[:2]
    return float(t2 - t1 * (1 - MARGIN))


def add_participation(model: Model, instance: Instance) -> None:
    """Everyone is at least as well off as in the null outcome."""
    model.participation = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: float(instance.value[i]) * m.share + m.pay[i] >= m.cost[i],
        doc="(A3) participation",
    )


def add_obedience(model: Model, instance: Instance) -> None:
    """What keeps a user: one level's worth, or both if his leaving collapses everything."""
    b1, b2 = map(float, instance.shares[:2])
    model.collapse = pyo.Var(model.USERS, domain=pyo.Binary, doc="leaving ends training")

    def rule(m: Model, i: int) -> Any:
        value, recovered = float(instance.value[i]), float(instance.reversibility[i])
        if instance.removable[i] == 0:
            return m.pay[i] >= recovered * m.cost[i]
        lost = value * (b2 - b1) + value * b1 * m.collapse[i]
        return recovered * m.cost[i] - m.pay[i] <= lost

    model.obedience = pyo.Constraint(model.USERS, rule=rule, doc="(S1) obedience")


def add_threats(model: Model, instance: Instance) -> None:
    """Who is unwilling at level 1, and the data that leave with him."""
    low, high = unwilling_range(instance)
    removable, capacity = instance.removable, instance.capacity
    b1, b2 = map(float, instance.shares[:2])
    model.unwilling = pyo.Var(model.USERS, domain=pyo.Binary, doc="leaves at level 1")
    for i in np.flatnonzero(low > high).tolist():
        model.unwilling[i].fix(0)
    able = np.flatnonzero(low <= high).tolist()
    model.ABLE = pyo.Set(initialize=able, doc="users who can be unwilling")
    model.threat = pyo.Var(
        model.ABLE,
        bounds=lambda _, j: (0, float(removable[j] * high[j])),
        doc="data that leave with an unwilling user",
    )
    model.threat_owned = pyo.Constraint(
        model.ABLE,
        rule=lambda m, j: m.threat[j] <= float(removable[j]) * m.burden[j],
        doc="(S3) threat: his own data",
    )
    model.threat_meant = pyo.Constraint(
        model.ABLE,
        rule=lambda m, j: m.threat[j] <= float(removable[j] * high[j]) * m.unwilling[j],
        doc="(S3) threat: only if unwilling",
    )
    model.unwilling_low = pyo.Constraint(
        model.ABLE,
        rule=lambda m, j: m.burden[j] >= float(low[j]) * m.unwilling[j],
        doc="(S4) unwilling: burden large enough",
    )
    model.unwilling_high = pyo.Constraint(
        model.ABLE,
        rule=lambda m, j: (
            m.burden[j] <= float(capacity[j]) - float(capacity[j] - high[j]) * m.unwilling[j]
        ),
        doc="(S4) unwilling: nothing has to be paid for participation",
    )
    if b2 * (1 - MARGIN) <= 2 * b1:
        model.unwilling_kept = pyo.Constraint(
            model.ABLE,
            rule=lambda m, j: m.unwilling[j] <= m.collapse[j],
            doc="(S5) unwilling: kept only by a collapse",
        )


def add_given_order(model: Model, instance: Instance, order: list[int]) -> None:
    """Everyone counts on the unwilling who move after him."""
    place = {user: position for position, user in enumerate(order)}
    gap = gap_between(instance)

    def rule(m: Model, i: int) -> Any:
        after = [j for j in m.ABLE if place[j] > place[i]]
        own = float(instance.removable[i]) * m.burden[i]
        return own + sum(m.threat[j] for j in after) >= gap * m.collapse[i]

    model.collapses = pyo.Constraint(model.USERS, rule=rule, doc="(S2) collapse")


def add_key(model: Model, instance: Instance) -> None:
    """Everyone before the key user counts on him and those who leave after him."""
    high = unwilling_range(instance)[1]
    removable = instance.removable
    gap = gap_between(instance)
    model.late = pyo.Var(model.ABLE, domain=pyo.Binary, doc="unwilling, moves after the key")
    model.before = pyo.Var(model.USERS, domain=pyo.Binary, doc="moves before the key")
    model.key = pyo.Expression(
        model.ABLE, rule=lambda m, j: m.unwilling[j] - m.late[j], doc="the key user"
    )
    model.threat_late = pyo.Constraint(
        model.ABLE,
        rule=lambda m, j: m.threat[j] <= float(removable[j] * high[j]) * m.late[j],
        doc="(S3) threat: the late",
    )
    model.late_unwilling = pyo.Constraint(
        model.ABLE, rule=lambda m, j: m.key[j] >= 0, doc="(S6) order: the late are unwilling"
    )
    model.key_collapses = pyo.Constraint(
        model.ABLE,
        rule=lambda m, j: m.key[j] <= m.collapse[j],
        doc="(S6) order: the key completes the collapse",
    )
    model.late_collapse_nothing = pyo.Constraint(
        model.ABLE,
        rule=lambda m, j: m.late[j] + m.collapse[j] <= 1,
        doc="(S6) order: the late do not",
    )
    model.before_willing = pyo.Constraint(
        model.ABLE,
        rule=lambda m, j: m.before[j] + m.unwilling[j] <= 1,
        doc="(S6) order: the unwilling are not before the key",
    )
    keys = sum(model.key[j] for j in model.ABLE)
    if len(model.ABLE):
        model.one_key = pyo.Constraint(expr=keys <= 1, doc="(S6) order: one key")
    model.before_key = pyo.Constraint(
        model.USERS,
        rule=lambda m, i: m.before[i] <= keys,
        doc="(S6) order: before the key, if there is one",
    )

    def rule(m: Model, i: int) -> Any:
        threats = sum(m.threat[j] for j in m.ABLE if j != i)
        own = float(removable[i]) * m.burden[i]
        return own + threats + gap * m.before[i] >= gap * m.collapse[i]

    model.collapses = pyo.Constraint(model.USERS, rule=rule, doc="(S2) collapse")


def add_order_by_burden(model: Model, instance: Instance, *, ascending: bool) -> None:
    """ξ, the key user's burden, separates those before him from the late."""
    capacity = instance.capacity
    largest = float(capacity.max())
    model.mark = pyo.Var(bounds=(0, largest), doc="burden of the key user, data")
    sign = 1 if ascending else -1

    def before(m: Model, i: int) -> Any:
        loose = float(capacity[i]) if ascending else largest
        return sign * (m.mark - m.burden[i]) >= -loose * (1 - m.before[i])

    def late(m: Model, j: int) -> Any:
        loose = largest if ascending else float(capacity[j])
        return sign * (m.burden[j] - m.mark) >= -loose * (1 - m.late[j])

    model.order_before = pyo.Constraint(model.USERS, rule=before, doc="(S7) order: before")
    model.order_late = pyo.Constraint(model.ABLE, rule=late, doc="(S7) order: late")
    model.order_key_low = pyo.Constraint(
        model.ABLE,
        rule=lambda m, j: m.burden[j] - m.mark >= -largest * (1 - m.key[j]),
        doc="(S7) order: the key's burden",
    )
    model.order_key_high = pyo.Constraint(
        model.ABLE,
        rule=lambda m, j: m.burden[j] - m.mark <= float(capacity[j]) * (1 - m.key[j]),
        doc="(S7) order: the key's burden",
    )

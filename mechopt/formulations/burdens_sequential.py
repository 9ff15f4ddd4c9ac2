"""Sequential withdrawal: the best way to reach the highest threshold (facts F2, F5, F10).

Let X = T_K + R. If user i leaves, his data a_i = δ_i x_i go, and *unwilling* users who move later
follow. His leaving **collapses** level m, so that less is reached in the end, if they take more
than G_m = X − T_m together:

    a_i + Σ_{j after i, unwilling at m} a_j > G_m,

and if it collapses m but not m − 1 it costs him v_i (b_K − b_{m−1}). Who is unwilling at level m?

- threats="possible": r_j > v_j (b_m − b_{m−1}). If level m does not collapse by this reading, it
  is surely reached (`mechopt.withdrawal.cascades`). So this is a relaxation: its optimum is a
  bound, stronger than the prefix bound (W2, F5).
- threats="certain": r_j > v_j b_m. If level m collapses by this reading, it surely does: every
  plan is sustained.

For m = 1 they are the same: with K = 2 and R = 0, where only level 1 can collapse, the model is
exact. X = T_K + R is without loss for the bound: giving up data beyond it by those who move first
makes every collapse easier, and leaves a given or small-first order as it is. (In large-first
order it may not; there X may exceed it, and (S2) and (S8) require the excess as well.) With
w_m = b_m − b_{m−1} or b_m, user j can be unwilling at his least payment iff his burden lies in
[x̲_jm, x̄_jm], ρ_j C_j(x̲_jm) = v_j w_m and (1 − ρ_j) C_j(x̄_jm) = v_j (b_K − w_m), and what keeps him
is more than v_j w_m: his own leaving collapses every level q with b_K − b_q ≤ w_m.

Variables: give[i, j], pay[i]; for each level m that can collapse (1..K − 1, and K if R > 0)
collapse[m, i] = 1: counted on; unwilling[m, i] = 1: counted on to leave after others; threat[m, i]:
data counted on to leave with him. `sure` is b_K − b_{K−1} if R = 0, else 0.

    Σ_i x_i = T_K + R                                                      threshold     (A1)
    v_i b_K + t_i ≥ C_i(x_i)                                               participation (A3)
    Σ_i t_i ≤ β                                                            budget        (A4)
    ρ_i C_i(x_i) − t_i ≤ v_i (sure + Σ_m (b_m − b_{m−1}) collapse_mi)      obedience     (S1)
    collapse_mi ≤ collapse_{m+1,i}                                         obedience     (S1)
    δ_i x_i + Σ_{j after i} threat_mj ≥ G_m collapse_mi                    collapse      (S2)
    threat_mj ≤ δ_j x_j,  threat_mj ≤ δ_j x̄_mj unwilling_mj                threat        (S3)
    x_j ≥ x̲_mj unwilling_mj,  x_j ≤ cap_j − (cap_j − x̄_mj) unwilling_mj    unwilling     (S4)
    unwilling_mj ≤ collapse_qj,  q lowest with b_K − b_q ≤ w_m             unwilling     (S5)

That is for a given order. If the order is designed or depends on the burdens, let the *key* of m
be the last user from whom on the unwilling take more than G_m; late[m, j] = 1: unwilling, after the
key; before[m, i] = 1: moves before the key. Only the late count in `threat`, and

    δ_i x_i + Σ_{j ≠ i} threat_mj + G_m before_mi ≥ G_m collapse_mi        collapse      (S2)
    threat_mj ≤ δ_j x̄_mj late_mj                                           threat        (S3)
    key_mj = unwilling_mj − late_mj,  0 ≤ key_mj ≤ collapse_mj,  Σ_j key_mj ≤ 1  order   (S6)
    before_mi ≤ Σ_j key_mj,  before_mi + unwilling_mi ≤ 1,  late_mj + collapse_mj ≤ 1    (S6)
    small-first: x_i ≤ ξ_m if before_mi, x_j ≥ ξ_m if late_mj, x_j = ξ_m if key_mj;
    large-first reversed                                                                 (S7)

It is exact for the designed order with one level that can collapse, and otherwise a relaxation:
a user after the key may count on all late users, not only on those after him, and the keys of
different levels need not fit one order.

A follower j of i, unwilling at level m only as long as level q is left if he leaves, needs
a_i + a_j ≤ G_q: with less than that nothing is left for him and he stays. For users picked by the
caller (the solver asks for those whose collapse turned out to be an illusion) the followers are
named, follows[m, i, j, q] ∈ {0, 1}, with what they take away, taken[m, i, j]:

    δ_i x_i + Σ_{j ≠ i} taken_mij ≥ G_m collapse_mi,  Σ_q follows_mijq ≤ 1 followers     (S8)
    taken_mij ≤ δ_j x_j,  taken_mij ≤ δ_j cap_j Σ_q follows_mijq                         (S8)
    follows_mijq = 1: x_j as in (S4), (S5) with w_m = b_m − b_q;
    a_i + a_j ≤ G_q if q ≥ 1; j moves after i                                            (S8)

Strict inequalities keep the margin of `mechopt.known.burdens.level_curves`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyomo.environ as pyo

from mechopt import tolerances, words
from mechopt.arrays import FloatArray
from mechopt.errors import NotSupported
from mechopt.formulations import parts
from mechopt.formulations.parts import Model
from mechopt.problem.aims import MARGIN, required_total
from mechopt.problem.instance import Instance
from mechopt.withdrawal.moves import permutation

CHOSEN = ("designed", "small-first", "large-first")
THREATS = ("possible", "certain")


@dataclass(frozen=True, eq=False)
class Step:
    """A level m that a withdrawal can collapse, and who is unwilling there, level q being left.

    gap : G_m with its margin (taking this much surely misses T_m), data
    gain : b_m − b_{m−1}
    low, high : [x̲, x̄] (n,), data: burdens at which r_j > v_j (b_m − b_q) can hold; empty if
        low > high
    held_by : the lowest level h ≥ 1 with b_K − b_h ≤ b_m − b_q, 0 if there is none (S5)
    """

    level: int
    gap: float
    gain: float
    low: FloatArray
    high: FloatArray
    held_by: int


def steps(instance: Instance, *, reserve: float = 0.0, threats: str = "possible") -> list[Step]:
    """The levels that can collapse, ascending: 1..K − 1, and K if there is a reserve.

    With "possible" threats level m − 1 is left to the unwilling at m, with "certain" none.
    """
    words.choose("threats", threats, THREATS)
    return [
        _step(instance, level, level - 1 if threats == "possible" else 0, reserve)
        for level in range(1, instance.levels + (reserve > 0))
    ]


def _step(instance: Instance, level: int, base: int, reserve: float) -> Step:
    shares = np.append(0.0, instance.shares)
    top = instance.levels
    worth = float(shares[level] - shares[base])
    low, high = unwilling_range(instance, worth)
    lost = shares[top] - shares[1 : top + (reserve > 0)]  # if level 1, 2, … is left
    weak = np.flatnonzero(lost <= worth + MARGIN * shares[top])
    threshold = float(instance.thresholds[level - 1])
    gap = required_total(instance, top, reserve) - threshold * (1 - MARGIN)
    gain = float(shares[level] - shares[level - 1])
    return Step(level, gap, gain, low, high, int(weak[0]) + 1 if weak.size else 0)


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

    order : a permutation of the users, "designed", "small-first" or "large-first"
    reserve : R ≥ 0, data kept above the threshold
    threats : "possible" (a relaxation: its optimum is a bound) or "certain" (its plans are
        sustained); the same with two thresholds and no reserve
    followed : pairs (level m, user i) whose followers are named one by one (S8)

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
        expr=sum(model.burden[i] for i in model.USERS) == total + _excess(model),
        doc="(A1) threshold",
    )


def _excess(model: Model) -> Any:
    return model.excess if hasattr(model, "excess") else 0.0


def _beyond(model: Model, counted: Any) -> Any:
    """What (S2) must cover beyond G_m: the excess, if `counted` is 1."""
    excess = _excess(model)
    return excess - excess.ub * (1 - counted) if hasattr(model, "excess") else 0.0


def _sure(instance: Instance, reserve: float) -> float:
    """What whoever takes data away loses in any case, a share: the highest step, if R = 0."""
    shares = np.append(0.0, instance.shares)
    return 0.0 if reserve > 0 else float(shares[-1] - shares[-2])


def unwilling_range(instance: Instance, worth: float) -> tuple[FloatArray, FloatArray]:
    """[x̲, x̄], data, shape (n,) each: burdens at which `worth` (a share) would not keep a user."""
    value, recovered = instance.value, instance.reversibility
    most_share = float(instance.shares[-1])
    top = instance.cost_of(instance.capacity)
    slack = 2 * MARGIN * value
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(recovered > 0, (value * worth + slack) / recovered, np.inf)
        most = np.where(
            recovered < 1, (value * (most_share - worth) - slack) / (1 - recovered), top
        )
    low = instance.affordable(np.minimum(least, top))
    low = np.where(least > top, np.inf, low)
    high = instance.affordable(np.clip(most, 0.0, top))
    # r > v w ≥ 0 needs a positive burden even if v = 0.
    low = np.maximum(low, instance.capacity * tolerances.DATA)
    return low, np.where(instance.removable > 0, high, -1.0)


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
    members = {k: [j for step, j in model.ABLE if step == k] for k in at}
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
        return own + others >= gap * relied + _beyond(m, relied)

    model.collapses = pyo.Constraint(model.COLLAPSING, model.USERS, rule=rule, doc="(S2) collapse")


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
        (level, base): _step(instance, level, base, reserve)
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
            >= at[k, 0].gap * m.collapse[k, i] + _beyond(m, m.collapse[k, i])
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
        rest = own(m, i) + own(m, j) - _excess(m)
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

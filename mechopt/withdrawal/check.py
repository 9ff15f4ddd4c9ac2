"""`check_withdrawal`: what happens to a plan when users may leave, with witnesses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mechopt import arrays, doors, words
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.errors import InvalidOption, NotSupported
from mechopt.withdrawal.moves import ORDERS, order_of
from mechopt.withdrawal.outcome import Equilibrium, Outcome, outcome_of
from mechopt.withdrawal.sequential import Path, sequential_path
from mechopt.withdrawal.simultaneous import all_stay_slack, best_reply_outcome
from mechopt.withdrawal.stage import Stage, as_float, at_stake, reversible_cost, stage_of, sunk_cost
from mechopt.withdrawal.ties import Tie, Turned, total_ties, user_ties, verdict

if TYPE_CHECKING:
    from mechopt.answer.plan import Plan
    from mechopt.problem.instance import Instance
    from mechopt.withdrawal.coalition import Coalition
    from mechopt.withdrawal.rights.part import Choices
    from mechopt.withdrawal.threats import Threat


class Deviation(NamedTuple):
    """A user who gains by leaving: position, gain (money), level reached when he leaves.

    :taken: what he takes back, data: everything he can, or under `withdrawal="part"` his best part
    """

    user: int
    gain: float
    level: int
    taken: float


@dataclass(eq=False)
class WithdrawalReport:
    """The verdict on a plan under one protocol, its witnesses, and what would happen instead.

    :stable: everyone stays, and training happens (or nothing is asked of anybody)
    :margin: smallest utility slack, money, over the users with x_i > 0: what the least attached
        of them loses by leaving. `inf` if there is nobody who could leave. Negative if someone
        leaves, and then minus the largest gain. If X < T_1 the plan is not stable although
        nobody gains by leaving (margin ≥ 0): nothing is trained
    :users, slack, level_if_leaves: (m,) users with x_i > 0 (sequential: in the order in which
        they move), what each loses by leaving and the level then reached. Simultaneous: when
        everybody else stays. Sequential: on the path played, those after him replying
    :withdrawal: "whole" or "part" (docs: rights); taken : (m,) data each would take back,
        for "part" the best amount
    """

    instance: Instance = field(repr=False)
    plan: Plan = field(repr=False)
    protocol: str
    order: Any
    stage: Stage = field(repr=False)
    stable: bool
    margin: float
    users: IntArray = field(repr=False)
    slack: FloatArray = field(repr=False)
    level_if_leaves: Any = field(repr=False)
    path: Path | None = field(default=None, repr=False)
    positions: IntArray | None = field(default=None, repr=False)
    time_limit: float = 60.0
    withdrawal: str = "whole"
    choices: Choices | None = field(default=None, repr=False)
    bought: FloatArray | None = field(default=None, repr=False)  # money for floors, in any case

    @property
    def exact(self) -> bool:
        """Whether every decision was made in exact arithmetic."""
        return self.stage.exact

    @cached_property
    def deviations(self) -> tuple[Deviation, ...]:
        """Who gains by leaving, with the gain; in order of moving (sequential) or position."""
        gains = np.flatnonzero(self.slack < -self.tolerance)
        return tuple(
            Deviation(
                int(self.users[row]),
                -float(self.slack[row]),
                int(self.level_if_leaves[row]),
                float(self.taken[row]),
            )
            for row in gains
        )

    @cached_property
    def taken(self) -> FloatArray:
        """What each user who moves would take back at his best deviation, data, shape (m,)."""
        if self.choices is not None:
            return as_float(self.choices.taken)
        return as_float((self.stage.x - self.stage.committed)[self.users])

    @cached_property
    def tolerance(self) -> FloatArray:
        """Rounding allowed in each mover's comparison, money, shape (m,); 0 for exact data."""
        return as_float(self.stage.money_tolerance[self.users])

    @cached_property
    def outcome(self) -> Outcome:
        """What actually happens.

        Sequential: the subgame-perfect outcome. Simultaneous: everyone stays if that is stable,
        else where best replies lead from there (`simultaneous.best_reply_outcome`). Reassign: all
        who gain refuse, before anybody is put in their place.
        """
        found = self._what_happens()
        if self.bought is None:
            return found
        return replace(found, payments=arrays.freeze(found.payments + self.bought))

    def _what_happens(self) -> Outcome:
        stay: BoolArray = np.ones(self.stage.n, dtype=bool)
        if self.protocol == "reassign":
            stay[self.users[self.slack < -self.tolerance]] = False
            return outcome_of(self.instance, self.plan, self.stage, stay)
        if self.choices is not None:
            kept, level = self.choices.kept, self.choices.level
            stay = np.asarray(kept == self.stage.x, dtype=bool)
            return outcome_of(self.instance, self.plan, self.stage, stay, level, kept)
        if self.path is not None:
            return outcome_of(self.instance, self.plan, self.stage, self.path.stay, self.path.level)
        leaves = self.protocol != "none" and self.deviations_exist
        return outcome_of(
            self.instance, self.plan, self.stage, best_reply_outcome(self.stage) if leaves else stay
        )

    @property
    def deviations_exist(self) -> bool:
        """Whether anybody gains by leaving, without listing them."""
        return bool((self.slack < -self.tolerance).any())

    # -- equilibria of the simultaneous protocol -------------------------------------------------

    @cached_property
    def best(self) -> Equilibrium:
        """The equilibrium of highest share, then of least social cost."""
        return self._extreme("BEST")

    @cached_property
    def worst(self) -> Equilibrium:
        """The equilibrium of lowest share, then of greatest social cost."""
        return self._extreme("WORST")

    @cached_property
    def most_data(self) -> Equilibrium:
        """The equilibrium with the most data."""
        return self._extreme("MOST_DATA")

    @cached_property
    def least_data(self) -> Equilibrium:
        """The equilibrium with the least data."""
        return self._extreme("LEAST_DATA")

    @cached_property
    def equilibria(self) -> BoolArray:
        """All pure equilibria of the simultaneous protocol, shape (number, n).

        Raises TooLarge above 20 users with positive burden.
        """
        from mechopt.withdrawal.equilibria import list_equilibria

        return list_equilibria(self.stage)

    @cached_property
    def all_leave(self) -> bool:
        """Whether "everybody leaves" is a simultaneous equilibrium: the coordination failure."""
        from mechopt.withdrawal.equilibria import all_leave_is_equilibrium

        return all_leave_is_equilibrium(self.stage)

    def _extreme(self, name: str) -> Equilibrium:
        from mechopt.withdrawal.equilibria import Goal, extreme_equilibrium

        goal = Goal[name]
        assert self.plan.burden is not None
        if self.withdrawal == "part":
            raise NotSupported('equilibria where parts may be taken back; ask for "whole"')
        stage, instance = self.stage, self.instance
        data = goal.weighs_level_0
        weights = stage.removed
        if not data:
            burden = stage.x if stage.exact else self.plan.burden
            weights = reversible_cost(instance, burden, exact=stage.exact)
        found = extreme_equilibrium(stage, weights, goal, time_limit=self.time_limit)
        outcome, offset = None, float(stage.left_behind)
        if found.stay is not None:
            outcome = outcome_of(instance, self.plan, stage, found.stay, found.level)
            if not data:
                offset = float(sunk_cost(instance, self.plan.burden, exact=False).sum())
        bound = None if found.bound is None else found.bound + offset
        if outcome is not None and bound is not None:
            value = outcome.total if data else outcome.social_cost
            if found.bound == found.objective:
                bound = value  # summed in another order
            bound = max(bound, value) if goal.maximize else min(bound, value)
        return Equilibrium(found.status, outcome, float(stage.shares[found.level_bound]), bound)

    # -- coalitions, threats, ties ---------------------------------------------------------------

    @cached_property
    def coalition(self) -> Coalition | None:
        """A largest set of users who all gain by leaving together, or None: there is none."""
        from mechopt.withdrawal.coalition import blocking_coalition

        return blocking_coalition(self.stage)

    def threat(self, user: int) -> Threat:
        """What holds `user` in the sequential protocol: what would happen if he left.

        Raises InvalidOption if the protocol is not sequential or he has nothing to withdraw.
        """
        if self.path is None:
            raise InvalidOption("threat: only the sequential protocol has movers who reply")
        from mechopt.withdrawal.threats import threat_of

        return threat_of(self.stage, self.path, user)

    @cached_property
    def ties(self) -> tuple[Tie, ...]:
        """Decisions inside the tolerance of float data; empty for exact numbers.

        `if_ties_turn` has the verdict if they went the other way.
        """
        apart = self.protocol in ("none", "reassign") or self.choices is not None
        if apart or not self.users.size:
            return ()
        if_stays = (
            np.full(self.users.size, self.stage.level_of(self.stage.total))
            if self.path is None
            else self.path.if_stays
        )
        users = user_ties(self.stage, self.users, self.slack, if_stays, self.level_if_leaves)
        return (*total_ties(self.stage), *users)

    @cached_property
    def if_ties_turn(self) -> dict[str, Turned]:
        """The verdict with all ties of one kind decided the other way; empty for exact numbers.

        "totals short": totals within the tolerance of a threshold do not reach it.
        "totals reach": they do; only where some total was taken to be short.
        "indifferent leave": users within the tolerance of indifference leave.
        """
        if self.stage.exact or not self.users.size or self.choices is not None:
            return {}
        if self.protocol in ("none", "reassign"):
            return {}
        stage, positions = self.stage, self.positions
        turned = {
            "totals short": verdict(stage.counting_ties(reached=False), positions),
            "indifferent leave": verdict(stage.leaving_ties(), positions),
        }
        if any(tie.kind == "total" and tie.other > tie.level for tie in self.ties):
            turned["totals reach"] = verdict(stage.counting_ties(reached=True), positions)
        return turned

    @property
    def depends_on_ties(self) -> bool:
        """Whether the verdict would be another one if ties were decided the other way."""
        return any(turned.stable != self.stable for turned in self.if_ties_turn.values())

    # -- for people and machines -----------------------------------------------------------------

    def to_dict(self, *, further: bool = True) -> dict[str, Any]:
        """JSON-ready: verdict, witnesses, outcome; `further`: equilibria (simultaneous), ties.

        For those it solves for the extreme equilibria. An infinite margin is None.
        """
        from mechopt.withdrawal.page import report_dict

        return report_dict(self, further=further)

    def __str__(self) -> str:
        from mechopt.withdrawal.page import describe

        return describe(self)

    def _repr_html_(self) -> str:
        return doors.html(self)

    def plot(self, axes: Any = None) -> Any:
        """What each user who is asked loses by leaving, over the burdens: Matplotlib axes."""
        return doors.plot(self, axes)


def check_withdrawal(
    instance: Instance,
    plan: Plan,
    protocol: str = "simultaneous",
    order: Any = "small-first",
    *,
    withdrawal: str = "whole",
    dropout: Any = None,
    shock: Any = None,
    time_limit: float = 60.0,
) -> WithdrawalReport:
    """What happens to `plan` when users may withdraw by `protocol` (docs: withdrawal).

    :protocol: "simultaneous", "sequential", "coalition", "none" (nobody may leave), or "reassign":
        the mechanism is run again without whoever refuses (docs: rights)
    :order: sequential only: "small-first", "large-first", "cost", or a permutation of 0 … n−1
    :withdrawal: "whole", or "part": any amount may be taken back, and a payment goes only to who
        keeps everything (docs: rights)
    :dropout, shock: users are lost for other reasons, as in `crossing` (also the `plan.dropout` of
        a plan), in the protocols simultaneous and sequential; whoever is not lost then stays iff
        v_i (E[B | stays] − (1 − η_i) E[B | leaves]) ≥ r_i (docs: practice)
    :time_limit: seconds for each extreme equilibrium, when one is asked for

    Everything beyond the verdict (equilibria, ties, what would restore stability) is computed
    when it is asked for. Instances and plans given in exact numbers are decided exactly.

    Raises InvalidPlan for a plan without burdens, of another length, or above capacity;
    InvalidOption for an unknown protocol or order.
    """
    words.choose("protocol", protocol, words.PROTOCOLS)
    words.choose("withdrawal", withdrawal, words.WITHDRAWALS)
    instance, plan, bought = at_stake(instance, plan)
    stage = stage_of(instance, plan)
    positions = None
    if protocol == "sequential" or not isinstance(order, str) or order not in ORDERS:
        positions = order_of(instance, stage, order)
    game = _Game(instance, plan, stage, positions)
    found = game.decided(protocol, withdrawal, None if dropout is None else (dropout, shock))
    users, slack, path = found.users, found.slack, found.path
    stays = bool(np.all(slack >= -stage.money_tolerance[users]))
    margin = float(slack.min()) if users.size else inf
    level = int(stage.level_of(stage.total))
    return WithdrawalReport(
        instance=instance,
        plan=plan,
        protocol=protocol,
        order=order if positions is None or isinstance(order, str) else tuple(positions.tolist()),
        stage=stage,
        stable=protocol == "none" or (stays and (level > 0 or not users.size)),
        margin=max(margin, 0.0) if stays else margin,  # a tie is a slack of 0
        users=users,
        slack=as_float(slack),
        level_if_leaves=np.asarray(found.after),
        path=path,
        positions=None if path is None else positions,
        time_limit=time_limit,
        withdrawal=withdrawal,
        choices=found.choices,
        bought=bought,
    )


class _Decided(NamedTuple):
    """Who may move, (m,), what each loses by leaving, and the level that is then reached."""

    users: IntArray
    slack: Any
    after: Any
    path: Path | None = None
    choices: Choices | None = None


class _Game(NamedTuple):
    """A plan's stage, and the order of its users where they move in turn."""

    instance: Instance
    plan: Plan
    stage: Stage
    positions: IntArray | None

    def decided(self, protocol: str, withdrawal: str, losses: Any) -> _Decided:
        """What everybody does under the protocol; `losses`: hazards and shock, or None."""
        instance, plan, stage, positions = self
        users = stage.movers
        if protocol == "none":
            return _Decided(users[:0], as_float(users[:0]), users[:0])
        if protocol == "reassign":
            from mechopt.withdrawal.rights.reassign import reassign_slack

            return _Decided(users, *reassign_slack(instance, plan, stage))
        if withdrawal == "part":
            from mechopt.withdrawal.rights import part

            choices = (
                part.simultaneous(instance, stage)
                if protocol != "sequential" or positions is None
                else part.sequential(instance, stage, positions)
            )
            return _Decided(choices.users, choices.slack, choices.after, choices=choices)
        if protocol == "sequential" and positions is not None:
            path = sequential_path(stage, positions)
            users, slack, after = path.movers, path.slack(stage), path.if_leaves
            if losses is not None:
                from mechopt.withdrawal.rights.dropout import dropout_sequence

                slack, stay = dropout_sequence(instance, plan, stage, users, *losses)
                path = replace(path, stay=stay, level=int(stage.level_of(stage.total_of(stay))))
            return _Decided(users, slack, after, path)
        slack, after = all_stay_slack(stage)
        if losses is not None:
            from mechopt.withdrawal.rights.dropout import dropout_slack

            slack = dropout_slack(instance, plan, stage, *losses)
        return _Decided(users, slack, after)


def all_equilibria(instance: Instance, plan: Plan) -> BoolArray:
    """All pure equilibria of the simultaneous protocol, shape (number, n), weak inequalities.

    Users with x_i = 0 count as staying. Raises TooLarge above 20 users with x_i > 0.
    """
    from mechopt.withdrawal.equilibria import list_equilibria

    return list_equilibria(stage_of(instance, plan))

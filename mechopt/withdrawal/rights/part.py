"""Withdrawal of a part: any amount may be taken back; a payment goes only to who keeps everything.

Who takes z of x_i − y_i back leaves X − δ_i z, is excluded (η_i) like whoever leaves, and recovers
ρ_i (C_i(x_i) − C_i(x_i − z)). He takes as much as still leaves the threshold he settles for, so his
choices are: keep everything, take back everything, or take (X − T_m) / δ_i for some m (F15).
If nothing is trained in the end, everybody recovers all that is reversible, whatever he took.

Simultaneous: nobody gains by any amount while the others keep everything. Sequential: with one
threshold in closed form (F16); with several by a recursion over the totals at which somebody's
choice changes, in fractions, for linear costs.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mechopt.arrays import IntArray
from mechopt.errors import NotSupported, TooLarge
from mechopt.withdrawal.simultaneous import MAX_SWEEPS
from mechopt.withdrawal.stage import Array, Stage, contribution_cost, field_of

if TYPE_CHECKING:
    from mechopt.problem.instance import Instance

MOST_STEPS = 3_000_000  # choices looked at by the recursion over several thresholds


@dataclass(frozen=True, eq=False)
class Choices:
    """What the m users with something to withdraw do or would do, in the order given.

    users (m,); slack (m,) : what each loses by his best amount, money; taken (m,) : that amount,
    data; after (m,) : the level then reached; kept (n,) : the data everybody keeps in the outcome;

    :level: reached in it
    """

    users: IntArray
    slack: Array
    taken: Array
    after: IntArray
    kept: Array
    level: int


def simultaneous(instance: Instance, stage: Stage) -> Choices:
    """The best amount of each when all others keep everything; where best replies lead from there.

    Best replies may cycle with several thresholds; they are followed for `MAX_SWEEPS` sweeps.
    """
    slack, taken, after = best_amounts(instance, stage)
    users = stage.movers
    kept, level = stage.x, int(stage.level_of(stage.total))
    if bool((slack < -stage.money_tolerance[users]).any()):
        players = _players(instance, stage, users)
        kept, level = _best_replies(stage, players, np.argsort(slack, kind="stable"))
    return Choices(users, slack, taken, after, kept, level)


def best_amounts(instance: Instance, stage: Stage) -> tuple[Array, Array, IntArray]:
    """(slack, amount taken back, level after it), (m,), of each mover's best amount by himself.

    Vectorised: one pass per threshold below the total.
    """
    users = stage.movers
    level = int(stage.level_of(stage.total))
    free = (stage.x - stage.committed)[users]
    after = np.asarray(stage.level_of(stage.without(users)), dtype=np.int64)
    best, taken = stage.leaving_pays(users, after), free
    delta = field_of(instance, "removable", stage.exact)[users]
    rho = field_of(instance, "reversibility", stage.exact)[users]
    committed = contribution_cost(instance, stage.committed, exact=stage.exact)
    zero = stage.thresholds[0] * 0
    for m in range(1, level + 1):
        room = max(stage.total - stage.thresholds[m - 1], zero)
        amount = np.where(delta > 0, room / np.where(delta > 0, delta, 1), free)
        some = np.asarray((amount > 0) & (amount < free), dtype=bool)
        if not some.any():
            continue
        left = stage.x.copy()
        left[users] = np.where(some, left[users] - amount, left[users])
        cost = contribution_cost(instance, left, exact=stage.exact) - committed
        pays = stage.leaving_pays(users, m) - rho * cost[users]
        better = some & np.asarray(pays > best, dtype=bool)
        best, taken = np.where(better, pays, best), np.where(better, amount, taken)
        after = np.where(better, m, after)
    return stage.staying_pays(users, level) - best, taken, after


# -- players one by one ---------------------------------------------------------------------------


Steps = tuple[list[Any], list[int]]  # totals at which the final level changes, and the levels


class Keeping(NamedTuple):
    """A choice: payoff, data kept, data left in the pool, and the level reached."""

    pays: Any
    kept: Any
    left: Any
    level: int


class Player:
    """One user's payoffs in plain numbers (floats, or Fractions)."""

    def __init__(self, **numbers: Any) -> None:
        self.x, self.y, self.delta, self.rho = (numbers[k] for k in ("x", "y", "delta", "rho"))
        self.v, self.outside, self.r = (numbers[k] for k in ("v", "outside", "r"))
        self.bonus, self.tolerance = numbers["bonus"], numbers["tolerance"]
        self.pieces, self.shares = numbers["pieces"], numbers["shares"]
        self.least = self.x - self.delta * (self.x - self.y)
        self.committed = self.cost(self.y)

    def cost(self, x: Any) -> Any:
        spent, left = x * 0, x
        for rate, width in self.pieces[:-1]:
            spent, left = spent + rate * min(left, width), max(left - width, left * 0)
        return spent + self.pieces[-1][0] * left

    def affords(self, money: Any) -> Any:
        """The most he keeps for C(kept) ≤ C(y) + money, within [y, x]; money ≥ 0."""
        kept, left = money * 0, self.committed + money
        for rate, width in self.pieces:
            if rate == 0 or left >= rate * width:
                kept, left = kept + width, left - rate * width
            else:
                return min(self.x, kept + left / rate)
        return self.x

    def left_of(self, kept: Any) -> Any:
        """What is left in the pool if he keeps so much."""
        return self.x - self.delta * (self.x - kept)

    def kept_for(self, left: Any) -> Any:
        """What he keeps if so much is to be left in the pool; δ > 0."""
        return self.x - (self.x - left) / self.delta

    def keeping(self, level: int) -> Keeping:
        pays = self.v * self.shares[level] - self.r if level else self.bonus
        return Keeping(pays, self.x, self.x, level)

    def trimming(self, kept: Any, level: int) -> Keeping:
        """Keeping less than x: no payment, excluded; all recovered if nothing is trained."""
        pays = self.outside * self.shares[level]
        if level:
            pays = pays - self.rho * (self.cost(kept) - self.committed)
        return Keeping(pays, kept, self.left_of(kept), level)

    def holds(self) -> Any:
        """The most he leaves in the pool rather than see nothing trained (K = 1)."""
        if self.keeping(1).pays >= -self.tolerance:
            return self.x
        if self.rho == 0:
            return self.left_of(self.x)
        return self.left_of(self.affords(self.outside * self.shares[1] / self.rho))

    def number(self, amount: Any) -> Any:
        """An amount as the kind of number that he counts in."""
        return Fraction(amount) if isinstance(self.x, Fraction) else float(amount)

    def keeps(self, keep: Keeping, other: Keeping) -> bool:
        """Whether he keeps everything; an indifferent user does."""
        return bool(keep.pays - other.pays >= -self.tolerance)

    def choice(self, final: Steps, total: Any) -> tuple[Keeping, Keeping]:
        """Keeping everything, and his best alternative, when those before have left `total`.

        :final: the final level by what is in the pool after his decision
        """

        def level(left: Any) -> int:
            return final[1][bisect_right(final[0], total + left)]

        others = [self.trimming(self.y, level(self.least))]
        if self.delta > 0:
            for start, reached in zip(final[0], final[1][1:]):
                if self.least < start - total < self.x:
                    others.append(self.trimming(self.kept_for(start - total), reached))
        return self.keeping(level(self.x)), self.best(others)

    def reply(self, final: Steps, total: Any) -> Keeping:
        """What he does."""
        keep, other = self.choice(final, total)
        return keep if self.keeps(keep, other) else other

    def best(self, options: list[Keeping]) -> Keeping:
        """The best of them; an indifferent user keeps the most."""
        top = max(option.pays for option in options)
        good = [option for option in options if option.pays >= top - self.tolerance]
        return max(good, key=lambda option: (option.kept, option.pays))


def _players(
    instance: Instance, stage: Stage, users: IntArray, *, fractions: bool = False
) -> list[Player]:
    kind = Fraction if fractions else None

    def column(values: Array) -> list[Any]:
        plain = values.tolist()
        return plain if kind is None else [Fraction(value) for value in plain]

    cost = field_of(instance, "cost", stage.exact)[users]
    widths = field_of(instance, "widths", stage.exact)[users]
    slopes = field_of(instance, "slopes", stage.exact)[users]
    shares = column(stage.shares)
    columns = {
        "x": stage.x[users],
        "y": stage.committed[users],
        "delta": field_of(instance, "removable", stage.exact)[users],
        "rho": field_of(instance, "reversibility", stage.exact)[users],
        "v": stage.v[users],
        "outside": stage.outside[users],
        "r": stage.r[users],
        "bonus": stage.bonus[users],
        "tolerance": stage.money_tolerance[users],
    }
    rows = zip(*(column(values) for values in columns.values()))
    rates = [column(row) for row in cost[:, None] * slopes]
    return [
        Player(**dict(zip(columns, row)), pieces=list(zip(rate, column(width))), shares=shares)
        for row, rate, width in zip(rows, rates, widths)
    ]


def _best_replies(stage: Stage, players: list[Player], order: IntArray) -> tuple[Array, int]:
    users = stage.movers
    kept = stage.x.copy()
    total = stage.total
    thresholds = stage.thresholds.tolist()
    for _ in range(MAX_SWEEPS):
        moved = False
        for place in order.tolist():
            player, user = players[place], users[place]
            others = total - player.left_of(kept[user])
            options = [player.keeping(int(stage.level_of(others + player.x)))]
            amounts = {player.y}
            if player.delta > 0:
                amounts |= {
                    player.kept_for(threshold - others)
                    for threshold in thresholds
                    if player.least < threshold - others < player.x
                }
            for amount in amounts:
                level = int(stage.level_of(others + player.left_of(amount)))
                options.append(player.trimming(amount, level))
            best = player.best(options)
            now = options[0]
            if kept[user] != player.x:
                left = others + player.left_of(kept[user])
                now = player.trimming(kept[user], int(stage.level_of(left)))
            if best.pays > now.pays + player.tolerance:
                moved = True
                kept[user], total = best.kept, others + best.left
        if not moved:
            break
    return kept, int(stage.level_of(total))


# -- sequential -----------------------------------------------------------------------------------


def sequential(instance: Instance, stage: Stage, order: IntArray) -> Choices:
    """The subgame-perfect path when users take back amounts in `order` (n,).

    Whoever gains nothing while the others keep everything gains nothing in any order, as fewer data
    are left then: such plans need no recursion where it is out of reach (slacks are then those of
    the simultaneous protocol, no larger). Raises NotSupported for other plans with several
    thresholds and curved costs, TooLarge where the recursion takes more than `MOST_STEPS` steps.
    """
    movers = order[stage.able[order]]
    try:
        players, finals = in_turn(instance, stage, movers)
    except (NotSupported, TooLarge):
        together = simultaneous(instance, stage)
        if together.level and not (together.kept != stage.x).any():
            return together
        raise
    total = players[0].number(stage.settled) if players else stage.settled
    kept = stage.x.copy()
    slack = np.empty(movers.size, dtype=stage.x.dtype)
    taken, after = slack.copy(), np.empty(movers.size, dtype=np.int64)
    level = int(stage.level_of(stage.total))
    for place, (user, player, final) in enumerate(zip(movers.tolist(), players, finals)):
        keep, other = player.choice(final, total)
        slack[place] = keep.pays - other.pays
        taken[place], after[place] = keep.kept - other.kept, other.level
        chosen = keep if player.keeps(keep, other) else other
        kept[user], level = chosen.kept, chosen.level
        total = total + chosen.left
    return Choices(movers, slack, taken, after, kept, level)


def in_turn(instance: Instance, stage: Stage, movers: IntArray) -> tuple[list[Player], list[Steps]]:
    """The movers, and for each the final level by what is in the pool after his decision.

    Raises NotSupported and TooLarge as `sequential` does.
    """
    if stage.levels > 1:
        return _several_thresholds(instance, stage, movers)
    players = _players(instance, stage, movers)
    return players, _one_threshold(stage, players)


def _one_threshold(stage: Stage, players: list[Player]) -> list[Steps]:
    """F16: it trains iff Σ e_i ≥ T, e_i the most each would leave in the pool rather than fail.

    By induction from the last mover: those after i reach T iff what is there suffices together with
    their Σ e. Whoever moves while the rest is more than enough takes that back for himself.
    """
    finals: list[Steps] = []
    needed = stage.reached[0]
    for player in reversed(players):
        finals.append(([needed], [0, 1]))
        needed = needed - player.holds()
    return finals[::-1]


def _several_thresholds(
    instance: Instance, stage: Stage, movers: IntArray
) -> tuple[list[Player], list[Steps]]:
    """The final level as a step function of what the movers so far left, mover by mover back."""
    if not instance.linear:
        raise NotSupported(
            'withdrawal="part": the sequential protocol with several thresholds needs linear '
            "costs; check the simultaneous one, which is enough for every order"
        )
    players = _players(instance, stage, movers, fractions=True)
    reached = [Fraction(value) for value in stage.reached.tolist()]
    steps: list[Steps] = [(reached, list(range(stage.levels + 1)))]
    work = 0
    for player in reversed(players):
        after = steps[-1]
        starts = _starts(player, after)
        work += len(starts) * len(after[0])
        if work > MOST_STEPS:
            raise TooLarge(
                f"the sequential outcome with parts takes more than {MOST_STEPS:,} steps: check "
                "the simultaneous protocol, which is enough for every order, or fewer users"
            )
        first = starts[0] - 1 if starts else Fraction(0)
        level = player.reply(after, first).level
        breaks: list[Any] = []
        levels = [level]
        for start in starts:
            level = player.reply(after, start).level
            if level != levels[-1]:
                breaks.append(start)
                levels.append(level)
        steps.append((breaks, levels))
    return players, steps[-2::-1]


def _starts(player: Player, after: Steps) -> list[Any]:
    """Totals at which the mover's choice can change, ascending."""
    found = {start - left for start in after[0] for left in (player.x, player.least)}
    if player.delta > 0 and player.rho > 0:
        levels = range(len(player.shares))
        rivals = {player.v * player.shares[m] - player.r for m in levels if m}
        rivals |= {player.outside * player.shares[m] for m in levels} | {player.bonus}
        for start, reached in zip(after[0], after[1][1:]):
            for rival in rivals if reached else ():
                for slip in {player.tolerance * 0, player.tolerance, -player.tolerance}:
                    money = player.outside * player.shares[reached] - rival - slip
                    if money >= 0:
                        kept = player.affords(money / player.rho)
                        found.add(start - player.left_of(kept))
    return sorted(found)

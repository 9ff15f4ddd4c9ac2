"""Mistakes: what happens when each decision goes wrong with a small probability."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import memory, words
from mechopt.arrays import FloatArray, IntArray
from mechopt.draws import wilson
from mechopt.errors import InvalidOption, TooLarge
from mechopt.withdrawal.check import WithdrawalReport, check_withdrawal
from mechopt.withdrawal.moves import order_of
from mechopt.withdrawal.rights.part import in_turn
from mechopt.withdrawal.sequential import FinalLevels, final_levels
from mechopt.withdrawal.stage import Stage, stage_of

if TYPE_CHECKING:
    from mechopt.answer.plan import Plan
    from mechopt.problem.instance import Instance

MOST_REPLIES = 1_000_000  # decisions about parts, one by one: about half a minute
BATCH = 4_000_000  # draws × users that are held at a time


@dataclass(frozen=True, eq=False)
class Simulation:
    """Distribution of what is reached when decisions go wrong with probability `mistake`.

    levels (K + 1,): share of the draws that end at each level; crossing: share that trains, with
    its 95 % Wilson interval; improvement: mean of B, data: mean total; draws, seed, mistake.
    """

    protocol: str
    mistake: float
    draws: int
    seed: int
    levels: FloatArray
    crossing: float
    interval: tuple[float, float]
    improvement: float
    data: float
    totals: FloatArray = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the totals of the draws."""
        return {
            "protocol": self.protocol,
            "mistake": self.mistake,
            "draws": self.draws,
            "seed": self.seed,
            "levels": self.levels.tolist(),
            "crossing": self.crossing,
            "interval": list(self.interval),
            "improvement": self.improvement,
            "data": self.data,
        }


def simulate_withdrawal(
    instance: Instance,
    plan: Plan,
    protocol: str = "simultaneous",
    *,
    order: Any = "small-first",
    withdrawal: str = "whole",
    mistake: float = 0.01,
    draws: int = 1000,
    seed: int = 0,
) -> Simulation:
    """Simulate the stage when each decision is turned around with probability `mistake`.

    Simultaneous, coalition, none: everyone means to do as in `check_withdrawal(...).outcome`.
    Sequential: each mover sees what is in the pool so far, mistakes included, and decides by the
    recursion F3, expecting no more mistakes; then his decision goes wrong or not. Users with
    x_i = 0 decide nothing. Vectorised over draws; memory O(draws + users).

    :withdrawal: "part" if any amount may be taken back (simultaneous and sequential). Whoever means
        to keep everything then takes all of it back by mistake, and whoever means to take something
        back keeps everything

    Raises InvalidOption if `mistake` is outside [0, 1] or `draws` is not a positive integer,
    TooLarge if the draws do not fit into memory, or parts in sequence ask for more than
    `MOST_REPLIES` decisions.
    """
    words.choose("protocol", protocol, words.PROTOCOLS)
    words.choose("withdrawal", withdrawal, words.WITHDRAWALS)
    if isinstance(mistake, bool) or not isinstance(mistake, (int, float)) or not 0 <= mistake <= 1:
        raise InvalidOption(f"mistake: must be a probability in [0, 1], got {mistake!r}")
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 1:
        raise InvalidOption(f"draws: must be a positive integer, got {draws!r}")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InvalidOption(f"seed: must be a non-negative integer, got {seed!r}")
    memory.refuse_beyond("simulate_withdrawal", f"{draws:,} draws", 100.0 * draws, "Ask for fewer.")
    stage = stage_of(instance, plan, exact=False)
    rng = np.random.default_rng(seed)
    report = check_withdrawal(instance, plan, protocol, order, withdrawal=withdrawal)
    totals = _totals(instance, report, stage, (float(mistake), int(draws), rng))
    reached = stage.level_of(totals)
    counts = np.bincount(reached, minlength=stage.levels + 1)
    crossed = int(draws - counts[0])
    return Simulation(
        protocol=protocol,
        mistake=float(mistake),
        draws=int(draws),
        seed=int(seed),
        levels=counts / draws,
        crossing=crossed / draws,
        interval=wilson(crossed, int(draws)),
        improvement=float(stage.shares[reached].mean()),
        data=float(totals.mean()),
        totals=totals,
    )


def _totals(
    instance: Instance,
    report: WithdrawalReport,
    stage: Stage,
    many: tuple[float, int, np.random.Generator],
) -> FloatArray:
    """What is in the pool at the end of each draw, data, (draws,); `many`: mistake, draws, rng."""
    if report.withdrawal == "part" and report.protocol == "sequential":
        return _parts_in_turn(instance, stage, order_of(instance, stage, report.order), *many)
    if report.path is not None:
        return _sequential(stage, report.path.movers, *many)
    outcome = report.outcome
    meant = np.where(outcome.stay, stage.x, stage.x - stage.removed)
    if outcome.kept is not None:
        meant = stage.x - instance.removable * (stage.x - outcome.kept)
    return _at_once(stage, meant, outcome.total, *many)


def _at_once(
    stage: Stage,
    meant: FloatArray,
    total: float,
    mistake: float,
    draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Totals (draws,) when what each means to leave in the pool, (n,), goes wrong independently."""
    users = stage.movers
    stays = meant[users] >= stage.x[users]
    wrongly = np.where(stays, (stage.x - stage.removed)[users], stage.x[users])
    change = wrongly - meant[users]
    totals = np.full(draws, float(total))
    batch = max(1, BATCH // max(users.size, 1))
    for begin in range(0, draws, batch):
        end = min(begin + batch, draws)
        wrong = rng.random((end - begin, users.size)) < mistake
        totals[begin:end] += wrong @ change
    return totals


def _parts_in_turn(
    instance: Instance,
    stage: Stage,
    order: IntArray,
    mistake: float,
    draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Totals (draws,) when every mover takes back what is best after what he sees, or errs."""
    movers = order[stage.able[order]]
    players, finals = in_turn(instance, stage, movers)
    totals = np.full(draws, float(stage.settled))
    replies = 0
    for player, final in zip(players, finals):
        seen, where = np.unique(totals, return_inverse=True)
        replies += seen.size
        if replies > MOST_REPLIES:
            raise TooLarge(
                f"simulate_withdrawal: more than {MOST_REPLIES:,} decisions about parts; ask for "
                "fewer draws"
            )
        chosen = [player.reply(final, player.number(total)) for total in seen.tolist()]
        meant = np.array([float(one.left) for one in chosen])
        keeps = np.array([one.kept == player.x for one in chosen])
        wrongly = np.where(keeps, float(player.least), float(player.x))
        totals += np.where(rng.random(draws) < mistake, wrongly[where], meant[where])
    return totals


def _sequential(
    stage: Stage, movers: IntArray, mistake: float, draws: int, rng: np.random.Generator
) -> FloatArray:
    """Totals (draws,) when every mover replies to what he sees."""
    final: FinalLevels = final_levels(stage, movers)
    left = stage.x - stage.removed
    totals = np.full(draws, float(stage.settled))
    every = np.arange(stage.levels + 1)
    for position, user in enumerate(movers.tolist()):
        breaks, levels = final.breaks[position + 1], final.levels[position + 1]
        stays, leaves = totals + stage.x[user], totals + left[user]
        high = levels[breaks.searchsorted(stays, side="right")]
        low = levels[breaks.searchsorted(leaves, side="right")]
        slack = stage.staying_pays(user, every)[high] - stage.leaving_pays(user, every)[low]
        keeps = (slack >= -stage.money_tolerance[user]) ^ (rng.random(draws) < mistake)
        totals = np.where(keeps, stays, leaves)
    return totals

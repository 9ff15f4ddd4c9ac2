"""The sequential game that a direct mechanism leaves, plan by plan of its lottery.

Once a plan is drawn, burdens and payments are fixed and everybody moves small-first (section 3);
who misreported is believed to be what she said until her turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mechopt.answer.lottery import Draw
from mechopt.arrays import FloatArray
from mechopt.problem.population import Population
from mechopt.withdrawal.moves import ascending
from mechopt.withdrawal.sequential import sequential_path
from mechopt.withdrawal.stage import Stage

if TYPE_CHECKING:
    from mechopt.answer.mechanism import DirectMechanism


@dataclass(frozen=True, eq=False)
class Played:
    """A drawn plan after its game, nothing multiplied by its chance.

    kept (n,): v B of what is left when the user of a place leaves on her turn, money, 0 where
    nothing is asked; slack: the least that a mover loses by leaving, money, inf if nobody is asked
    """

    kept: FloatArray
    slack: float


def stage_of(population: Population, draw: Draw) -> Stage:
    """The withdrawal stage of a drawn plan, place by place."""
    kind = draw.kind
    groups = [population.groups[g] for g in population.group_of_type[kind]]
    value, rho, delta, eta = (
        population.of_type(name)[kind]
        for name in ("value", "reversibility", "removable", "exclusion")
    )
    shape = np.array([float(g.shape(np.array(x))) for g, x in zip(groups, draw.burden)])
    return Stage.from_arrays(
        draw.burden,
        rho * population.type_costs[kind] * shape - draw.payment,
        value,
        delta,
        population.thresholds,
        population.shares,
        exclusion=eta,
    )


def play(population: Population, draw: Draw) -> Played:
    """Everybody moves in turn, small-first, equals by place."""
    stage, kept = stage_of(population, draw), np.zeros(draw.kind.size)
    path = sequential_path(stage, ascending(stage.x))
    if not path.movers.size:
        return Played(kept, np.inf)
    slack = float(np.min(path.slack(stage)))
    if not path.stay.all() or path.level != draw.level + 1:
        slack = min(slack, -float(np.max(stage.v)))
    left = np.concatenate([[0.0], population.shares])[path.if_leaves]
    kept[path.movers] = stage.outside[path.movers] * left
    return Played(kept, slack)


def draws_of(mechanism: DirectMechanism) -> Iterator[Draw]:
    """The plans of the lottery; where users of a type are treated alike, one per level run."""
    if mechanism.plans is not None:
        yield from mechanism.plans
        return
    run, burden, payment = mechanism._answer()
    counts = mechanism.population.states.counts
    for s, k in zip(*np.nonzero(run > 0)):
        kind = np.repeat(np.arange(counts.shape[1]), counts[s])
        given, paid = burden[s, k, kind] / run[s, k], payment[s, k, kind] / run[s, k]
        yield Draw(int(s), int(k), float(run[s, k]), kind, given, paid)


def small_first(mechanism: DirectMechanism) -> tuple[FloatArray, FloatArray]:
    """(v B of what is left when a user of a cell leaves on her turn, most of the cell, (S, K, M);
    the least that a mover loses by leaving, (S, K), inf if nobody is asked). Money, times p.
    """
    run, burden, _ = mechanism._answer()
    kept, slack = np.zeros(burden.shape), np.full(run.shape, np.inf)
    for draw in draws_of(mechanism):
        at = draw.state, draw.level
        played = play(mechanism.population, draw)
        most = np.zeros(burden.shape[2])
        np.maximum.at(most, draw.kind, played.kept)
        kept[at] += draw.chance * most
        slack[at] = min(slack[at], draw.chance * played.slack)
    return kept, slack


def misreporting(mechanism: DirectMechanism, true: int, told: int) -> FloatArray:
    """What a user of type `true` gets in each state in which she is counted as `told` (columns),
    staying or leaving on her turn as she likes in every plan drawn; money, shape (S,)."""
    population = mechanism.population
    group = population.groups[population.group_of_type[true]]
    cost = population.type_costs[true]
    found = np.zeros(len(population.states))
    for draw in draws_of(mechanism):
        mine = draw.kind == told
        if not mine.any():
            continue
        own = cost * group.shape(draw.burden[mine])
        stay = group.value * population.shares[draw.level] + draw.payment[mine] - own
        if mechanism.terms.withdrawal_rights is True and mechanism.terms.incentive != "none":
            leave = play(population, draw).kept[mine] - (1 - group.reversibility) * own
            stay = np.where(draw.burden[mine] > 0, np.maximum(stay, leave), stay)
        found[draw.state] += draw.chance * float(stay.mean())
    return found

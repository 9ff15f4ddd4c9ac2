"""Expected metrics of a direct mechanism (docs: model)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import tolerances
from mechopt.answer.lottery import Draw
from mechopt.private.direct.expectations import expectations
from mechopt.withdrawal.mechanisms import play, stage_of

if TYPE_CHECKING:
    from mechopt.answer.mechanism import DirectMechanism


def direct_metrics(mechanism: DirectMechanism) -> dict[str, Any]:
    """All metrics, if users report truthfully and, where it is stable, stay.

    `stable`: obedience (D5, which is W1) of truthful users after the lottery. It implies the
    sequential protocol (F1); for K > 1 False is only "not shown" for that one, unless the mechanism
    draws from plans, which are played.
    """
    margin, stays = obedience(mechanism)
    margins = {"simultaneous": margin, "sequential": margin}
    if mechanism.plans is not None:
        margins = of_plans(mechanism, mechanism.plans)
        margin = margins["sequential"]
        stays = float(margin >= -_room(mechanism) and (mechanism._answer()[1] > 0).any())
    return {
        **expectations(mechanism),
        "participation": stays,
        **_access(mechanism),
        **_regret(mechanism),
        "stable": {
            protocol: {"stable": bool(margin >= -_room(mechanism)), "margin": margin}
            for protocol, margin in margins.items()
        },
    }


def _access(mechanism: DirectMechanism) -> dict[str, float]:
    """Mean access of a user, over the lottery, where users can be excluded; else nothing."""
    if mechanism.access is None:
        return {}
    population, space = mechanism.population, mechanism.population.states
    entered = np.einsum("sm,skm->s", space.counts, mechanism.access)
    return {"access": float(space.probability @ entered) / population.n}


def _regret(mechanism: DirectMechanism) -> dict[str, float | bool]:
    """Over the types; of a rule, which takes any report, over every report > 0 as well.

    "regret_exact" is False where not every report was tried: the regret is at least that.
    """
    from mechopt.private.regret import mechanism_regret

    types = mechanism_regret(mechanism).interim
    if not mechanism.mechanism.startswith("rule "):
        return {"regret": types}
    from mechopt.private.rule_regret import rule_regret

    rule = mechanism.mechanism.removeprefix("rule ")
    limit = mechanism.options.get("time_limit")
    seconds = inf if limit is None else float(limit)
    found = rule_regret(mechanism.population, rule, reports="all", seconds=seconds)
    known = {} if found.exact else {"regret_exact": False}
    return {"regret": max(types, found.interim), "regret_types": types, **known}


def _room(mechanism: DirectMechanism) -> float:
    values = [group.value for group in mechanism.population.groups]
    _, _, payment = mechanism._answer()
    return tolerances.MONEY * max(1.0, *values, float(payment.max(initial=0.0)))


def of_plans(mechanism: DirectMechanism, plans: tuple[Draw, ...]) -> dict[str, float]:
    """The least that anybody loses by leaving a plan that is drawn, times its chance, money."""
    population, least = mechanism.population, {"simultaneous": inf, "sequential": inf}
    for draw in plans:
        stage, played = stage_of(population, draw), play(population, draw)
        now, movers = draw.level + 1, stage.movers
        after = stage.level_of(stage.without(movers))
        slack = stage.loss(movers, now, after) - stage.r[movers]
        alone = float(np.min(slack, initial=inf))
        for protocol, loss in (("simultaneous", alone), ("sequential", played.slack)):
            least[protocol] = min(least[protocol], draw.chance * loss)
    return {protocol: 0.0 if loss == inf else loss for protocol, loss in least.items()}


def obedience(mechanism: DirectMechanism) -> tuple[float, float]:
    """(smallest slack of D5, money times run probability; share of burdened users who stay)."""
    population, space = mechanism.population, mechanism.population.states
    run, burden, payment = mechanism._answer()
    value, rho = population.of_type("value"), population.of_type("reversibility")
    loss = value * mechanism.enjoyed - mechanism.kept
    slack = loss + payment - rho * mechanism.costs
    asked = (burden > 0) & (space.counts[:, None, :] > 0)
    if not asked.any():
        return 0.0, 0.0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        chance = np.where(asked, run[:, :, None], 0.0)
    weight = space.probability[:, None, None] * space.counts[:, None, :] * chance
    staying = asked & (slack >= -_room(mechanism))
    return float(slack[asked].min()), float(weight[staying].sum() / weight[asked].sum())

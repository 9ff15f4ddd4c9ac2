"""Expected metrics of a direct mechanism (docs: model)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray

if TYPE_CHECKING:
    from mechopt.answer.mechanism import DirectMechanism


def state_values(mechanism: DirectMechanism) -> dict[str, FloatArray]:
    """What each state yields of the metrics that are expectations, shape (S,) each."""
    population, space = mechanism.population, mechanism.population.states
    run, _, payment = mechanism._answer()
    shares = population.shares
    paid = np.einsum("sm,skm->sk", space.counts, payment)
    cost = np.einsum("sm,skm->s", space.counts, mechanism.costs)
    improvement, expenditure = run @ shares, paid.sum(axis=1)
    everyone = population.users_value
    enjoyed = everyone * improvement
    if mechanism.access is not None:
        value = population.of_type("value")
        enjoyed = np.einsum("sm,skm->s", space.counts * value, mechanism.enjoyed)
    return {
        "improvement": improvement,
        "data": run @ population.thresholds,
        "social_cost": cost,
        "expenditure": expenditure,
        "leakage": paid @ (1 - shares),
        "provider_surplus": population.provider_value * improvement - expenditure,
        "welfare": (population.provider_value + everyone) * improvement - cost
        if mechanism.access is None
        else population.provider_value * improvement + enjoyed - cost,
    }


def expectations(mechanism: DirectMechanism) -> dict[str, float]:
    """The metrics that are objectives, and the data and leakage that go with them."""
    population, values = mechanism.population, state_values(mechanism)
    means = {name: float(population.states.probability @ one) for name, one in values.items()}
    reached = values["improvement"]
    if np.ptp(reached) <= tolerances.REACH:
        means["improvement"] = float(reached.max())  # for sure: not less by rounding
    improvement, worth = means["improvement"], population.provider_value
    enjoyed = population.users_value
    means["provider_surplus"] = worth * improvement - means["expenditure"]
    if mechanism.access is None:
        means["welfare"] = (worth + enjoyed) * improvement - means["social_cost"]
    return means


def direct_metrics(mechanism: DirectMechanism) -> dict[str, Any]:
    """All metrics, if users report truthfully and, where it is stable, stay.

    `stable`: obedience (D5, which is W1) of truthful users after the lottery. It implies the
    sequential protocol (F1); for K > 1 False is only "not shown" for that one.
    """
    margin, stays = obedience(mechanism)
    return {
        **expectations(mechanism),
        "participation": stays,
        **_access(mechanism),
        **_regret(mechanism),
        "stable": {
            protocol: {"stable": bool(margin >= -_room(mechanism)), "margin": margin}
            for protocol in ("simultaneous", "sequential")
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

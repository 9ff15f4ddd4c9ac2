"""What the budget, the prior and one more user are worth to a direct mechanism's problem."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from mechopt.answer.mechanism import DirectMechanism
from mechopt.errors import NotSupported
from mechopt.private.direct.expectations import state_values
from mechopt.private.direct.optimise import optimise
from mechopt.private.direct.sequential import one_protocol
from mechopt.problem.population import Population
from mechopt.status import Status

STEP = 1e-4  # relative: the budget's worth is a difference quotient of two optima


def worth(mechanism: DirectMechanism) -> dict[str, Any]:
    """Changes of the optimal objective; costs fall if the number is negative.

    :budget, expected_budget: per money unit more (None without one)
    :prior: per group and type, by how much the objective rises per probability moved to the type
        from all types in proportion; by the envelope theorem, so only under DSIC with ex-post
        participation, whose rows contain no probabilities (None otherwise)
    :user: per group, by how much it rises with one user more

    Budgets and users are solved again. NotSupported without a proved optimum.
    """
    if mechanism.status is not Status.OPTIMAL or mechanism.objective is None:
        raise NotSupported(f"worth: needs an optimal mechanism, this one is {mechanism.status}")
    if mechanism.terms.robust is not None or mechanism.population.law is not None:
        raise NotSupported("worth: only for independent types with a known law")
    if mechanism.terms.protocol == "sequential" and not one_protocol(mechanism.population):
        raise NotSupported("worth: in sequence only where both protocols are the same (F11)")
    population, now = mechanism.population, mechanism.objective

    def gain(changed: Population) -> float | None:
        other = optimise(changed, mechanism.terms, seed=mechanism.seed)
        return None if other.objective is None else other.objective - now

    found: dict[str, Any] = {}
    for name in ("budget", "expected_budget"):
        limit = getattr(population, name)
        found[name] = None
        if limit < inf:
            step = STEP * max(limit, 1.0)
            more = gain(population.replace(**{name: limit + step}))
            found[name] = None if more is None else more / step
    found["prior"] = _prior(mechanism)
    found["user"] = [
        gain(
            population.replace(
                groups=[
                    group.replace(size=group.size + 1) if h == g else group
                    for h, group in enumerate(population.groups)
                ]
            )
        )
        for g in range(len(population.groups))
    ]
    return found


def explain(mechanism: DirectMechanism) -> str:
    """The summary and the worths in sentences, or why there are none."""
    lines = [mechanism.summary()]
    try:
        found = worth(mechanism)
    except NotSupported as why:
        return "\n".join([*lines, str(why)])
    unit = "" if mechanism.objective_name == "improvement" else " money"
    population = mechanism.population
    for name in ("budget", "expected_budget"):
        if found[name] is not None:
            said = name.replace("_", " ")
            lines.append(
                f"one money unit more of {said} changes the objective by {found[name]:.4g}"
            )
    for g, more in enumerate(found["user"]):
        if more is not None:
            place = f" in group {g + 1}" if len(population.groups) > 1 else ""
            lines.append(f"one user more{place} changes it by {more:.4g}{unit}")
    for g, column in enumerate(found["prior"] or ()):
        for k, slope in enumerate(column):
            name = population.type_name(population.first_type[g] + k)
            lines.append(
                f"a probability of {name} higher by 0.01 changes it by {slope / 100:.4g}{unit}"
            )
    return "\n".join(lines)


def _prior(mechanism: DirectMechanism) -> list[list[float]] | None:
    """n_g (E[h | one user of the group has type k] − E[h]), h the states' values."""
    terms, space = mechanism.terms, mechanism.population.states
    if (terms.incentive, terms.participation) != ("dsic", "ex-post"):
        return None
    if terms.target is not None or mechanism.population.expected_budget < inf:
        return None  # these rows do contain probabilities
    values = state_values(mechanism)[replace(terms).objective.replace("-", "_")]
    mean = float(space.probability @ values)
    return [
        [
            group.size * (float(others.probability @ values[others.state[:, k]]) - mean)
            for k in range(group.types)
        ]
        for group, others in zip(mechanism.population.groups, space.others)
    ]


def figure(mechanism: DirectMechanism) -> Any:
    """Run probability against the state (two types, one group) and burden, payment by type.

    A Matplotlib figure; ImportError names the extra if Matplotlib is missing.
    """
    from matplotlib.figure import Figure

    population, curves = mechanism.population, mechanism.interim
    drawn = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = drawn.subplots(1, 2)
    run, counts = mechanism.run_probability, population.states.counts
    order = np.argsort(counts[:, 0], kind="stable")
    left.step(counts[order, 0], run[order], where="mid")
    left.set_xlabel(f"users of {population.type_name(0)}")
    left.set_ylabel("run probability")
    left.set_ylim(-0.02, 1.02)
    places = np.arange(curves.burden.size)
    right.bar(places - 0.2, curves.burden, 0.4, label="burden, data")
    right.bar(places + 0.2, curves.payment, 0.4, label="payment, money")
    right.set_xticks(places, [f"{cost:g}" for cost in population.type_costs])
    right.set_xlabel("cost per data unit")
    right.legend()
    return drawn

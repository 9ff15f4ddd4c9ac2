"""What a rule beyond counting brings, estimated from drawn profiles (docs: model)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt.private.large.assignment import access, outcome

if TYPE_CHECKING:
    from mechopt.answer.bracket import Bracket

DRAWS = 1000  # standard errors of 3 % of a standard deviation; at most a second


def rule_metrics(bracket: Bracket) -> dict[str, Any]:
    """The metrics of the rule, means over `DRAWS` profiles drawn from `bracket.seed`.

    The rule's lottery is taken in expectation. Regret is 0 and everybody stays by construction
    (see `bracket`); `margin` is the smallest slack of D5 that was drawn, money.
    """
    population, rule = bracket.population, bracket.rule
    threshold, share = float(population.thresholds[0]), float(population.shares[0])
    value = population.of_group("value")
    group, cost = population.group_of_type, population.type_rates
    sunk = population.of_type("reversibility")
    random = np.random.default_rng(bracket.seed)
    laws = [one.probabilities / one.probabilities.sum() for one in population.groups]
    counts = np.concatenate(
        [
            random.multinomial(one.size, law, size=DRAWS)
            for one, law in zip(population.groups, laws)
        ],
        axis=1,
    )
    runs, burden, payment = outcome(population, rule, counts)
    entered = access(population, rule, counts, runs)
    enjoyed = runs[:, None] if entered is None else entered
    slack = value[group] * share * enjoyed + payment - sunk * cost * burden
    asked = (counts > 0) & (burden > 0) & (rule.chance > 0)
    margin = float(slack[asked].min(initial=np.inf))
    run = rule.chance * runs
    paid = rule.chance * (counts * payment).sum(axis=1)
    spent = rule.chance * (counts * cost * burden).sum(axis=1)
    columns = {
        "improvement": share * run,
        "data": threshold * run,
        "social_cost": spent,
        "expenditure": paid,
        "leakage": (1 - share) * paid,
        "provider_surplus": population.provider_value * share * run - paid,
        "welfare": population.provider_value * share * run
        + rule.chance * share * (counts * enjoyed) @ value[group]
        - spent,
    }
    stable = {"stable": True, "margin": margin if np.isfinite(margin) else 0.0}
    return {
        **{name: float(column.mean()) for name, column in columns.items()},
        "participation": 1.0 if run.any() else 0.0,
        "regret": 0.0,
        "stable": {"simultaneous": stable, "sequential": stable},
        "standard_error": {
            name: float(column.std(ddof=1) / DRAWS**0.5) for name, column in columns.items()
        },
    }

"""What a rule beyond counting brings, estimated from drawn profiles (FORMULATION section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt.private.large.assignment import group_arrays, outcome, type_arrays

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
    size, _, value = group_arrays(population)
    group, _, cost = type_arrays(population)
    sunk = np.array([one.reversibility for one in population.groups])[group]
    worth = population.provider_value + float(size @ value)
    random = np.random.default_rng(bracket.seed)
    laws = [one.probabilities / one.probabilities.sum() for one in population.groups]
    rows, margin = np.zeros((DRAWS, 3)), np.inf  # run, paid, cost
    for draw in range(DRAWS):
        counts = np.concatenate(
            [random.multinomial(one.size, law) for one, law in zip(population.groups, laws)]
        )
        found = outcome(population, rule, counts, threshold) if rule.chance else None
        if found is None:
            continue
        burden, payment = found
        asked = (counts > 0) & (burden > 0)
        slack = value[group] * share + payment - sunk * cost * burden
        margin = min(margin, float(slack[asked].min(initial=np.inf)))
        rows[draw] = 1.0, float(counts @ payment), float(counts @ (cost * burden))
    run, paid, spent = (rule.chance * rows).T
    columns = {
        "improvement": share * run,
        "data": threshold * run,
        "social_cost": spent,
        "expenditure": paid,
        "leakage": (1 - share) * paid,
        "provider_surplus": population.provider_value * share * run - paid,
        "welfare": worth * share * run - spent,
    }
    runs = bool(run.any())
    stable = {"stable": True, "margin": margin if np.isfinite(margin) else 0.0}
    return {
        **{name: float(column.mean()) for name, column in columns.items()},
        "participation": 1.0 if runs else 0.0,
        "regret": 0.0,
        "stable": {"simultaneous": stable, "sequential": stable},
        "standard_error": {
            name: float(column.std(ddof=1) / DRAWS**0.5) for name, column in columns.items()
        },
    }

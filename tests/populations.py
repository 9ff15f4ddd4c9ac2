"""Random small populations for the tests of private costs."""

from __future__ import annotations

import numpy as np

import mechopt as mo

RIGHTS = (True, "truthful", False)


def draw(random, *, users=3, types=3, levels=1, segments=False, budgets=True, values=True):
    """One or two groups, costs on a grid of quarters, everything else from short lists."""
    groups = []
    left = int(random.integers(1, users + 1))
    while left and len(groups) < 2:
        size = int(random.integers(1, left + 1))
        left -= size
        m = int(random.integers(1, types + 1))
        costs = np.sort(random.choice(np.arange(13), m, replace=False)) / 4
        law = random.dirichlet(np.ones(m))
        capacity = float(random.integers(1, 9)) / 2
        shape = None
        if segments and random.random() < 0.6:
            shape = ([capacity / 2, capacity / 2], [1.0, float(random.choice([1.5, 3]))])
        groups.append(
            mo.Group(
                size,
                costs,
                law / law.sum(),
                float(random.integers(0, 5)) / 2 if values else 0.0,
                None if shape else capacity,
                float(random.choice([0, 0.3, 0.5, 1])),
                float(random.choice([1, 1, 0.5, 0])),
                shape,
            )
        )
    thresholds = np.cumsum(random.integers(1, 5, levels)) / 2
    shares = np.cumsum(random.dirichlet(np.ones(levels)))
    if levels == 1:
        shares = np.array([random.choice([1.0, 0.8])])
    return mo.Population(
        groups,
        thresholds,
        np.minimum(shares, 1.0),
        provider_value=float(random.integers(0, 8)),
        budget=random.choice([None, None, 0.5, 2.0]) if budgets else None,
        expected_budget=random.choice([None, None, 0.4]) if budgets else None,
    )

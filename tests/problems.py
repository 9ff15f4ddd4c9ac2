"""The random small problems that tests and benchmarks share: grids of quarters, rich in ties."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import prod
from random import Random
from typing import Any

import numpy as np

import mechopt as mo

F = Fraction
RIGHTS = (True, "truthful", False)  # of a direct mechanism


def random_instance(
    rng: np.random.Generator,
    *,
    users: int,
    levels: int = 1,
    exact: bool = False,
    budget: bool | None = None,
    segments: bool | None = None,
) -> mo.Instance:
    """A small instance on a grid of quarters. `exact` passes Fractions instead of floats."""

    def some(low: int, high: int, size: Any = None) -> Any:
        return rng.integers(low, high + 1, size=size)

    give: dict[str, Any] = {
        "cost": some(0, 8, users) / 4,
        "value": some(0, 12, users) / 2,
        "reversibility": rng.choice([0, 0.5, 1], users),
        "removable": rng.choice([0, 0.5, 1, 1, 1], users),
        "provider_value": float(some(0, 40)) / 2,
    }
    if segments if segments is not None else rng.integers(3) == 0:
        pieces = int(some(1, 3))
        give["segments"] = (
            some(1, 8, (users, pieces)) / 2,
            np.cumsum(some(1, 2, (users, pieces)), axis=1) / 2,
        )
        most = give["segments"][0].sum()
    else:
        give["capacity"] = some(0, 12, users) / 2
        give["capacity"][0] += 1
        most = give["capacity"].sum()
    cuts = np.sort(rng.choice(np.arange(1, 40), levels, replace=False)) / 40
    give["thresholds"] = np.maximum(np.round(cuts * 1.2 * most * 4), np.arange(1, levels + 1)) / 4
    give["thresholds"] = np.maximum.accumulate(give["thresholds"] + np.arange(levels) / 4)
    give["shares"] = np.sort(rng.choice(np.arange(1, 9), levels, replace=False)) / 8
    if budget if budget is not None else rng.integers(3) == 0:
        give["budget"] = float(some(0, 12)) / 2
    if exact:
        give = {key: _fractions(value) for key, value in give.items()}
    return mo.Instance(**give)


def _fractions(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_fractions(one) for one in value)
    if isinstance(value, np.ndarray):
        return [_fractions(one) for one in value.tolist()]
    if isinstance(value, list):
        return [_fractions(one) for one in value]
    return Fraction(value)


def random_population(
    random, *, users=3, types=3, levels=1, segments=False, budgets=True, values=True
):
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


def profiles(population: mo.Population) -> Iterator[tuple[float, list[int]]]:
    """(probability, type column per user) of every profile of types."""
    laws = [population.groups[g].probabilities for g in population.group_of_user]
    first = [population.first_type[g] for g in population.group_of_user]
    for profile in product(*(range(law.size) for law in laws)):
        yield (
            prod(law[k] for law, k in zip(laws, profile)),
            [start + k for start, k in zip(first, profile)],
        )


def worked(**more: Any) -> mo.Instance:
    """The worked example 1 of the model: T = 8, and a provider to whom it is worth 100."""
    given = {"thresholds": [8], "provider_value": 100, **more}
    return mo.Instance(cost=[1, 2, 4], value=6, capacity=10, **given)


SHOCK = {"worlds": [[[0.8, 0.2]], [[0.1, 0.9]]], "probabilities": [0.5, 0.5]}


def shocked(n: int = 3, **changes: Any) -> mo.Population:
    """Users alike whose costs are high or low together."""
    group = mo.Group(n, [1, 2], [0.45, 0.55], value=1.0, capacity=2.0)
    return mo.Population([group], [2.0], **{"provider_value": 3.0, "law": SHOCK, **changes})


def without_rights(population: mo.Population, *kept: str, **more: Any) -> mo.Population:
    """The same where all is recovered and removed and nobody excluded, but for rights `kept`."""
    plain = {"reversibility": 1, "removable": 1, "exclusion": 0}
    changes = {name: number for name, number in plain.items() if name not in kept}
    groups = [group.replace(**changes) for group in population.groups]
    return population.replace(groups=groups, **more)


def small_game(
    rng: Random,
    *,
    levels: int | None = None,
    eta: tuple[int, ...] = (0, 1),
    costs: tuple[int, ...] = (1, 2),
) -> dict:
    """Two or three users in the words of the oracles, in fractions; `eta`: () for no exclusion."""
    n = rng.randint(2, 3)
    levels = rng.randint(1, 3) if levels is None else levels
    cap = [F(rng.randint(1, 6), 2) for _ in range(n)]
    cuts = rng.sample(range(1, max(int(2 * sum(cap)), levels) + 1), levels)
    return {
        "cap": cap,
        "theta": [F(rng.choice(costs)) for _ in cap],
        "rho": [rng.choice([F(1), F(1), F(1, 2)]) for _ in cap],
        "delta": [rng.choice([F(1), F(1), F(1), F(0)]) for _ in cap],
        "eta": [F(rng.choice(eta)) if eta else F(0) for _ in cap],
        "v": [F(rng.randint(0, 8)) for _ in cap],
        "T": [F(cut, 2) for cut in sorted(cuts)],
        "b": sorted(rng.sample([F(1, 4), F(1, 2), F(3, 4), F(1)], levels)),
        "f": F(0),
        "unconditional": False,
    }


def instance_of(game: dict, **more: Any) -> mo.Instance:
    """The instance of an oracle's game."""
    names = ("theta", "v", "cap", "T", "b", "rho", "delta", "eta")
    fields = ("cost", "value", "capacity", "thresholds", "shares")
    fields += ("reversibility", "removable", "exclusion")
    return mo.Instance(**{field: game[name] for field, name in zip(fields, names)}, **more)

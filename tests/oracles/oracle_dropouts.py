"""Drop-outs by enumeration and by simulation; shares no code with the package."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np


def enumerated(
    removed: list[Fraction], hazard: list[Fraction], slack: Fraction
) -> tuple[Fraction, list[Fraction]]:
    """P(Σ removed of the lost ≤ slack), and for every user P(he is not lost and decides it)."""
    n = len(removed)
    total, pivotal = Fraction(0), [Fraction(0)] * n
    for lost in product((False, True), repeat=n):
        chance = Fraction(1)
        for gone, h in zip(lost, hazard):
            chance *= h if gone else 1 - h
        loss = sum((a for gone, a in zip(lost, removed) if gone), Fraction(0))
        if loss <= slack:
            total += chance
        for i in range(n):
            if not lost[i] and loss <= slack < loss + removed[i]:
                pivotal[i] += chance
    return total, pivotal


def mixed(
    removed: list[Fraction], hazard: list[Fraction], slack: Fraction, shock: tuple[Any, Any]
) -> tuple[Fraction, list[Fraction]]:
    """With a common shock (π, factor): P(met), and P(i decides it | i is not lost)."""
    chance, factor = shock
    hit = [min(h * factor, Fraction(1)) for h in hazard]
    calm, stormy = enumerated(removed, hazard, slack), enumerated(removed, hit, slack)
    kept = [(1 - chance) * (1 - h) + chance * (1 - k) for h, k in zip(hazard, hit)]
    return (
        (1 - chance) * calm[0] + chance * stormy[0],
        [
            ((1 - chance) * one + chance * other) / k if k else Fraction(0)
            for one, other, k in zip(calm[1], stormy[1], kept)
        ],
    )


def simulated(
    removed: np.ndarray,
    hazard: np.ndarray,
    slack: float,
    shock: tuple[float, float],
    draws: int,
    seed: int,
) -> tuple[float, float]:
    """(share of draws in which the loss is at most slack, its standard error)."""
    rng = np.random.default_rng(seed)
    kept = 0
    for _ in range(draws):
        h = np.minimum(hazard * shock[1], 1) if rng.random() < shock[0] else hazard
        kept += float(removed[rng.random(removed.size) < h].sum()) <= slack
    share = kept / draws
    return share, (max(share * (1 - share), 1 / draws) / draws) ** 0.5

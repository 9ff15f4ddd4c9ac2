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


def least_safe_payment(
    data: dict[str, Any], hazard: np.ndarray, shock: tuple[float, float], confidence: float
) -> float:
    """The least payments of a safe plan: every way in which sets of users may win, one LP each.

    `data` has cost, value, capacity, reversibility, removable, exclusion (n,), threshold, share.
    inf if there is no safe plan. Sets that lose stay a relative 10⁻⁶ below the threshold.
    """
    from scipy.optimize import linprog

    n, T = len(data["cost"]), data["threshold"]
    subsets = list(product((False, True), repeat=n))
    states = [(1 - shock[0], hazard), (shock[0], np.minimum(hazard * shock[1], 1))]
    weight = {
        S: sum(w * np.prod([1 - h[i] if S[i] else h[i] for i in range(n)]) for w, h in states)
        for S in subsets
    }
    kept = 1 - sum(w * h for w, h in states)
    best = np.inf
    for wins in _monotone(subsets):
        if sum(weight[S] for S in wins) < confidence - 1e-12:
            continue
        held = np.zeros(n)
        for i in range(n):
            for S in subsets:
                if S[i] and kept[i] > 0:
                    without = (*S[:i], False, *S[i + 1 :])
                    gone = (1 - data["exclusion"][i]) * (without in wins)
                    held[i] += weight[S] / kept[i] * ((S in wins) - gone)
        A, b = [], []
        for S in subsets:
            row = np.where(S, 1.0, 1 - data["removable"])
            sign = -1 if S in wins else 1
            A.append([*(sign * row), *np.zeros(n)])
            b.append(-T if S in wins else T * (1 - 1e-6))
        v = data["value"] * data["share"]
        for i in range(n):
            for rho, worth in ((1.0, v[i]), (data["reversibility"][i], v[i] * held[i])):
                row = np.zeros(2 * n)
                row[i], row[n + i] = rho * data["cost"][i], -1
                A.append(row)
                b.append(worth)
        bounds = [(0, c) for c in data["capacity"]] + [(0, None)] * n
        found = linprog([0] * n + [1] * n, A_ub=A, b_ub=b, bounds=bounds, method="highs")
        if found.status == 0:
            best = min(best, found.fun)
    return best


def _monotone(subsets: list[tuple[bool, ...]]) -> list[set[tuple[bool, ...]]]:
    """All families of subsets that contain the supersets of their members."""
    order = sorted(subsets, key=sum, reverse=True)
    families: list[set[tuple[bool, ...]]] = [set()]
    for S in order:
        above = [(*S[:i], True, *S[i + 1 :]) for i in range(len(S)) if not S[i]]
        families += [F | {S} for F in families if all(U in F for U in above)]
    return families

"""Drop-outs by enumeration and by simulation; shares no code with the package."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, permutations, product
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
    data: dict[str, Any],
    hazard: np.ndarray,
    shock: tuple[float, float],
    confidence: float,
    order: Any = None,
    level: int | None = None,
) -> float:
    """The least payments of a safe plan: every way in which sets of users may win, one LP each.

    `data` has cost, value, capacity, reversibility, removable, exclusion (n,), thresholds and
    shares (K,). `level`: which one must be reached (default: the last). `order`: None if users
    decide at once, else a permutation, "small-first" or "large-first"; then also every way in which
    those after a leaver may decide. inf if there is no safe plan. Sets that lose stay a relative
    10⁻⁶ below the threshold, and who leaves prefers to by 10⁻⁷. `committed` (n,), if it is there,
    stays whoever leaves or is lost, and its cost is spent.
    """
    n, K = len(data["cost"]), len(data["thresholds"])
    aim = (K if level is None else level) - 1
    subsets = list(product((False, True), repeat=n))
    states = [(1 - shock[0], hazard), (shock[0], np.minimum(hazard * shock[1], 1))]
    weight = {
        S: sum(w * np.prod([1 - h[i] if S[i] else h[i] for i in range(n)]) for w, h in states)
        for S in subsets
    }
    orders = list(permutations(range(n))) if isinstance(order, str) else [order]
    chances = {(D, i): _left(D, i, subsets, states) for D in subsets for i in range(n)}
    best = np.inf
    for wins in _nested(_monotone(subsets), K):
        if sum(weight[S] for S in wins[aim]) < confidence - 1e-12:
            continue
        steps = np.diff(data["shares"], prepend=0.0)
        worth = {S: sum(step for step, W in zip(steps, wins) if S in W) for S in subsets}
        expects = {
            key: sum(p * worth[S] for S, p in zip(subsets, chance))
            for key, chance in chances.items()
        }
        for one in orders:
            named = order if isinstance(order, str) else None
            for low, high in _ranges(data, expects, one):
                best = min(best, _least(data, subsets, wins, aim, (low, high), one, named))
    return best


def least_safe_on_grid(
    data: dict[str, Any],
    hazard: np.ndarray,
    shock: tuple[float, float],
    confidence: float,
    order: Any = None,
    level: int | None = None,
) -> float:
    """The least payments and contacts of a safe plan in whole units: all of them, one by one.

    `data` has also unit, least, contact_cost, fixed (NaN: free), group (n,), payment_step (0: none)
    and group_most: label to data. See `least_safe_payment`.
    """
    n, aim = len(data["cost"]), (len(data["thresholds"]) if level is None else level) - 1
    subsets = list(product((False, True), repeat=n))
    states = [(1 - shock[0], hazard), (shock[0], np.minimum(hazard * shock[1], 1))]
    weight = [sum(w * np.prod(np.where(S, 1 - h, h)) for w, h in states) for S in subsets]
    asked = [D for D in subsets if order is not None or sum(D) >= n - 1]
    chances = {(D, i): np.array(_left(D, i, subsets, states)) for D in asked for i in range(n)}
    there = np.array([np.where(S, 1.0, 1 - data["removable"]) for S in subsets])
    step, best = data["payment_step"], np.inf
    for x in map(np.array, product(*(_grid(data, i) for i in range(n)))):
        left = there @ x
        cost, gain = data["cost"] * x, data["value"] * data["shares"][aim]
        if np.dot(weight, left >= data["thresholds"][aim]) < confidence - 1e-12:
            continue
        if any(x[data["group"] == g].sum() > most for g, most in data["group_most"].items()):
            continue
        contact = float(data["contact_cost"][x > 0].sum())
        if contact + np.maximum(cost - gain, 0).sum() >= best:
            continue
        level_of = np.searchsorted(data["thresholds"], left, side="right")
        worth = np.append(0.0, data["shares"])[level_of]
        expects = {key: float(chance @ worth) for key, chance in chances.items()}
        sign = {"small-first": 1, "large-first": -1}.get(order if isinstance(order, str) else "", 0)
        turn = np.argsort(sign * x, kind="stable").tolist() if sign else order
        for low, high in _ranges(data, expects, turn):
            r = data["reversibility"] * cost
            need = np.maximum(np.maximum(cost - gain, r - high), 0)
            paid = np.ceil(need / step - 1e-9) * step if step else need
            if (r - paid >= low - 1e-12).all():
                best = min(best, float(paid.sum()) + contact)
    return best


def _grid(data: dict[str, Any], i: int) -> list[float]:
    """What user i may be asked for."""
    if not np.isnan(data["fixed"][i]):
        return [data["fixed"][i]]
    unit = data["unit"][i]
    counts = range(1, int(data["capacity"][i] / unit) + 1)
    return [0.0, *(k * unit for k in counts if k * unit >= data["least"][i])]


def _left(D: Any, i: int, subsets: Any, states: Any) -> list[float]:
    """P(exactly S is left | D decide to stay, i is not lost) for every S."""
    kept = sum(w * (1 - h[i]) for w, h in states)
    found = []
    for S in subsets:
        chance = 0.0
        for w, h in states:
            p = w * (1 - h[i]) / kept if kept > 0 else 0.0
            for j, there in enumerate(S):
                stays = (1.0 if j == i else 1 - h[j]) if D[j] else 0.0
                p *= stays if there else 1 - stays
            chance += p
        found.append(chance)
    return found


def _ranges(data: dict[str, Any], expects: Any, order: Any) -> list[tuple[Any, Any]]:
    """In which ranges (low, high) of r everybody stays, (n,) each; several ways to hold them."""
    n = len(data["cost"])
    everyone = (True,) * n

    def gain(i: int, stays: Any, leaves: Any) -> float:
        enjoyed = (1 - data["exclusion"][i]) * expects[leaves, i]
        return float(data["value"][i] * (expects[stays, i] - enjoyed))

    def without(D: Any, i: int) -> Any:
        return (*D[:i], False, *D[i + 1 :])

    def subgames(place: int, D: Any) -> list[tuple[Any, dict[int, tuple[float, float]]]]:
        """(who stays at the end, the range of r of those who decide from `place` on)."""
        if place == n:
            return [(D, {})]
        mover, found = order[place], []
        for stays, one in subgames(place + 1, D):
            for leaves, other in subgames(place + 1, without(D, mover)):
                both = _both(one, other)
                if both is None:
                    continue
                at = gain(mover, stays, leaves)
                for end, here in ((stays, (-np.inf, at)), (leaves, (at + 1e-7, np.inf))):
                    joined = _both(both, {mover: here})
                    if joined is not None:
                        found.append((end, joined))
        return found

    if order is None:
        high = [gain(i, everyone, without(everyone, i)) for i in range(n)]
        return [(np.full(n, -np.inf), np.array(high))]
    ways: list[dict[int, tuple[float, float]]] = [{}]
    for place, mover in enumerate(order):
        ways = [
            joined
            for way in ways
            for end, below in subgames(place + 1, without(everyone, mover))
            if (joined := _both(_both(way, below), {mover: (-np.inf, gain(mover, everyone, end))}))
        ]
    whole = (-np.inf, np.inf)
    found = {tuple(way.get(i, whole) for i in range(n)) for way in ways}
    return [(np.array([lo for lo, _ in way]), np.array([hi for _, hi in way])) for way in found]


def _both(one: Any, other: Any) -> dict[int, tuple[float, float]] | None:
    """Both ranges of r per user; None if they exclude one another."""
    if one is None:
        return None
    found = dict(one)
    for i, (low, high) in other.items():
        lo, hi = found.get(i, (-np.inf, np.inf))
        found[i] = max(lo, low), min(hi, high)
        if found[i][0] > found[i][1]:
            return None
    return found


def _least(
    data: dict[str, Any],
    subsets: Any,
    wins: Any,
    aim: int,
    ranges: Any,
    order: Any,
    named: str | None,
) -> float:
    """The least payments with given sets of winners and ranges of r: a linear program."""
    from scipy.optimize import linprog

    n = len(data["cost"])
    given = data.get("committed", np.zeros(n))
    before = max(
        (b for T, b in zip(data["thresholds"], data["shares"]) if given.sum() >= T), default=0
    )
    A, b = [], []
    for S in subsets:
        row = np.where(S, 1.0, 1 - data["removable"])
        kept = float((1 - row) @ given)
        for W, T in zip(wins, data["thresholds"]):
            sign = -1 if S in W else 1
            A.append([*(sign * row), *np.zeros(n)])
            b.append(kept - T if S in W else T * (1 - 1e-6) - kept)
    gain = data["value"] * (data["shares"][aim] - before)
    for i in range(n):
        for rho, most, sign in (
            (1.0, gain[i], 1),
            (data["reversibility"][i], ranges[1][i], 1),
            (data["reversibility"][i], ranges[0][i], -1),
        ):
            if np.isfinite(most):
                row = np.zeros(2 * n)
                row[i], row[n + i] = sign * rho * data["cost"][i], -sign
                A.append(row)
                b.append(sign * most + sign * rho * data["cost"][i] * given[i])
    if named is not None:
        sign = 1.0 if named == "small-first" else -1.0
        for first, second in pairwise(order):
            row = np.zeros(2 * n)
            row[first], row[second] = sign, -sign
            A.append(row)
            b.append(0.0 if first < second else -1e-7)
    bounds = [*zip(given, data["capacity"])] + [(0, None)] * n
    found = linprog([0] * n + [1] * n, A_ub=A, b_ub=b, bounds=bounds, method="highs")
    return float(found.fun) if found.status == 0 else np.inf


def _nested(families: Any, levels: int) -> list[list[Any]]:
    """All lists of `levels` families, each inside the one before."""
    found = [[F] for F in families]
    for _ in range(levels - 1):
        found = [[*one, F] for one in found for F in families if one[-1] >= F]
    return found


def _monotone(subsets: list[tuple[bool, ...]]) -> list[set[tuple[bool, ...]]]:
    """All families of subsets that contain the supersets of their members."""
    order = sorted(subsets, key=sum, reverse=True)
    families: list[set[tuple[bool, ...]]] = [set()]
    for S in order:
        above = [(*S[:i], True, *S[i + 1 :]) for i in range(len(S)) if not S[i]]
        families += [F | {S} for F in families if all(U in F for U in above)]
    return families

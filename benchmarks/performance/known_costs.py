"""Benchmarks with known costs: burdens at one and at ten thresholds, posted price."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import tools
from people import by_sorting, one_threshold_fields
from spec import OURS, Route, Spec

import mechopt as mo
from mechopt.formulations.posted_price import MOST_USERS
from mechopt.solver.highs import LinearProgram, from_pyomo

LEVELS = 10


def one_threshold(n: int) -> mo.Instance:
    """T is 1.2 times what is given without payments."""
    return mo.Instance(**one_threshold_fields(n))


def ten_thresholds(n: int) -> mo.Instance:
    """Thresholds closer together than users' capacities: a user's leaving may cost several levels.

    Data are integers, so that solvers of integer programs find the same optimum: what is given
    without payment is even at every level, and so are capacities, while leaving drops a level
    from an odd burden on, so that nobody's capacity ends just where it would have to be exceeded.
    """
    rng = np.random.Generator(np.random.PCG64(n))
    cost, capacity, ratio = rng.lognormal(0, 1, (3, n))
    cost = np.maximum(1.0, np.round(10_000 * cost))
    capacity = 2 * np.maximum(1.0, np.round(5 * capacity))
    value = 20 * cost * np.round(ratio / 2)  # a tenth of it is worth an even amount of data
    free = np.minimum(capacity, value / cost).sum()
    top = np.floor(min(1.2 * free, 0.9 * capacity.sum()))
    gap = 2 * max(1.0, np.floor(min(10.0, top / (2 * LEVELS + 2))))
    drop = gap * np.arange(LEVELS)[::-1]
    drop[:-1] -= 1
    return mo.Instance(
        cost, value, capacity, top - drop, np.linspace(0.1, 1, LEVELS), provider_value=1e9
    )


def price_instance(n: int) -> mo.Instance:
    """One threshold, integral costs and capacities; what users value plays no part."""
    rng = np.random.Generator(np.random.PCG64(n))
    cost, capacity = np.maximum(1.0, np.round([[10_000], [10]] * rng.lognormal(0, 1, (2, n))))
    top = np.floor(0.6 * capacity.sum())
    return mo.Instance(cost, 0.0, capacity, [top], provider_value=1e12)


def expenditure(instance: mo.Instance) -> float:
    return mo.solve(instance, "burdens", objective="expenditure").objective


def by_model(instance: mo.Instance) -> float:
    return mo.solve(instance, "burdens", objective="expenditure", method="model").objective


def lp(instance: mo.Instance) -> LinearProgram:
    """The 2n-variable LP: x, t; Σ x ≥ T, θ x − t ≤ v."""
    n = instance.n
    index = np.empty(3 * n, dtype=np.int32)
    value = np.empty(3 * n)
    index[:n], value[:n] = np.arange(n), 1.0
    index[n::2], index[n + 1 :: 2] = np.arange(n), n + np.arange(n)
    value[n::2], value[n + 1 :: 2] = instance.cost, -1.0
    return LinearProgram(
        cost=np.repeat([0.0, 1.0], n),
        start=np.append(0, n + 2 * np.arange(n + 1)).astype(np.int32),
        index=index,
        value=value,
        row_lower=np.append(instance.thresholds[0], np.full(n, -np.inf)),
        row_upper=np.append(np.inf, instance.value),
        lower=np.zeros(2 * n),
        upper=np.append(instance.capacity, np.full(n, np.inf)),
    )


@lru_cache(maxsize=1)
def bigm(instance: mo.Instance) -> LinearProgram:
    """The top level as the textbook MILP: y_ik = 1 if T_k is still reached without user i.

    Σ x = T_K;  x_i + (T_K − T_k) y_ik ≥ T_K − T_k;  θ x_i − t_i ≤ v_i b_K;
    θ_i x_i − t_i + v_i Σ_k (b_k − b_{k−1}) y_ik ≤ v_i b_K      (W1, δ = ρ = 1)
    """
    n, levels = instance.n, instance.levels
    T, b = instance.thresholds, instance.shares
    steps = np.diff(b, prepend=0.0)
    drop = T[-1] - T[:-1]
    index, value, start = [np.arange(n)], [np.ones(n)], [0, n]
    low, high = [T[-1]], [T[-1]]
    for i in range(n):
        y = 2 * n + i * (levels - 1) + np.arange(levels - 1)
        for k in range(levels - 1):
            index.append(np.array([i, y[k]]))
            value.append(np.array([1.0, drop[k]]))
            start.append(start[-1] + 2)
        low += drop.tolist()
        high += [np.inf] * (levels - 1)
        index.append(np.concatenate([[i, n + i], y]))
        value.append(np.concatenate([[instance.cost[i], -1.0], instance.value[i] * steps[:-1]]))
        start.append(start[-1] + levels + 1)
        low.append(-np.inf)
        high.append(instance.value[i] * b[-1])
    binaries = n * (levels - 1)
    return LinearProgram(
        cost=np.concatenate([np.zeros(n), np.ones(n), np.zeros(binaries)]),
        start=np.array(start, dtype=np.int32),
        index=np.concatenate(index).astype(np.int32),
        value=np.concatenate(value),
        row_lower=np.array(low),
        row_upper=np.array(high),
        lower=np.zeros(2 * n + binaries),
        upper=np.concatenate([instance.capacity, np.full(n, np.inf), np.ones(binaries)]),
        integer=np.arange(2 * n + binaries) >= 2 * n,
    )


def best_price(instance: mo.Instance) -> float:
    return mo.solve(instance, "posted-price", objective="expenditure").objective


def every_price(instance: mo.Instance) -> float:
    """Try every price, one pass over the users each."""
    best = np.inf
    for price in instance.cost:
        total = instance.capacity[instance.cost <= price].sum()
        if total >= instance.thresholds[0]:
            best = min(best, price * total)
    return float(best)


@lru_cache(maxsize=1)  # a worker asks for the same one round after round
def price_milp(instance: mo.Instance) -> LinearProgram:
    """The sheet's MILP (models/posted-price), given to the other tools as arrays."""
    return from_pyomo(mo.build_model(instance, "posted-price", objective="expenditure")).program


BURDENS = Spec(
    "burdens-1",
    "Burdens, one threshold: least expenditure",
    "users",
    (10, 100, 1000, 10_000, 100_000, 1_000_000),
    (100, 10_000, 1_000_000),
    one_threshold,
    {
        OURS: Route(expenditure),
        "NumPy sort by hand": Route(by_sorting, tolerance=1e-9),
        "mechopt, method='model'": Route(by_model),
        **{
            name: Route(tool, lp, 1e-4 if "PDLP" in name else 1e-6)
            for name, tool in tools.LP_TOOLS.items()
        },
    },
)

BURDENS_LEVELS = Spec(
    "burdens-10",
    "Burdens, ten thresholds, simultaneous protocol: least expenditure",
    "users",
    (5, 10, 20, 50, 100, 1000, 10_000, 100_000),
    (20, 100, 10_000),
    ten_thresholds,
    {
        OURS: Route(expenditure),
        **{name: Route(tool, bigm, 1e-5) for name, tool in tools.MIP_TOOLS.items()},
        "OR-tools CP-SAT": Route(tools.ortools_cpsat, bigm),
    },
)

POSTED = Spec(
    "posted-price",
    "Posted price: least expenditure",
    "users",
    (10, 100, 1000, 10_000, 100_000, 1_000_000),
    (100, 1_000_000),
    price_instance,
    {
        OURS: Route(best_price),
        "NumPy, every price": Route(every_price, tolerance=1e-9),
        **{
            name: Route(tool, price_milp, 1e-5, MOST_USERS)
            for name, tool in tools.MIP_TOOLS.items()
        },
        "OR-tools CP-SAT": Route(tools.ortools_cpsat, price_milp, most=MOST_USERS),
    },
)

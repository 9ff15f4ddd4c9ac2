"""The table of benchmarks/levels/README.md: instance family × protocol, and the formulations.

    python -m benchmarks.levels.run table OUT.md
    python -m benchmarks.levels.run scale OUT.md
    python -m benchmarks.levels.run formulations OUT.md
    python -m benchmarks.levels.run gain OUT.md
    python -m benchmarks.levels.run real OUT.md --data DIRECTORY_OF_SHARED_DATA

Times are CPU seconds of one process. Seeds are fixed; every answer comes with status, bound, gap.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

import mechopt as mo
from mechopt.formulations import burdens_levels as tight
from mechopt.formulations import burdens_levels_bigm as bigm
from mechopt.solver import highs

PROTOCOLS = ("none", "simultaneous", "coalition", "sequential")
LIMIT = 5.0  # seconds per solve
GAIN_LIMIT = 5.0
QUARTILES = (0.25, 0.5, 0.75)


def close_steps(n: int, levels: int, seed: int, *, width: float = 12.0) -> mo.Instance:
    """Lognormal users; all thresholds within `width` median capacities: many are pivotal."""
    rng = np.random.default_rng(seed)
    capacity = rng.lognormal(1, 1, n)
    cost, value = rng.lognormal(0, 1, n), 3 * rng.lognormal(0, 1, n)
    reach = float(np.minimum(capacity, value / cost).sum())
    top = 0.45 * reach
    steps = np.arange(levels) - (levels - 1)
    return mo.Instance(
        cost=cost,
        value=value,
        capacity=capacity,
        thresholds=top + steps * min(width * float(np.median(capacity)), 0.8 * top) / levels,
        shares=np.sqrt(np.arange(1, levels + 1) / levels),
        provider_value=reach,
    )


def separated_steps(n: int, levels: int, seed: int) -> mo.Instance:
    """Lognormal users; gaps between thresholds larger than any capacity."""
    rng = np.random.default_rng(seed)
    capacity, cost = rng.lognormal(3.8, 0.4, n), rng.lognormal(0, 1, n) / 10
    value = rng.lognormal(0.5, 1.5, n)
    reach = float(np.minimum(capacity, value / cost).sum())
    return mo.Instance(
        cost=cost,
        value=value,
        capacity=capacity,
        thresholds=0.5 * reach * np.linspace(0.2, 1.2, levels),
        shares=np.sqrt(np.arange(1, levels + 1) / levels),
        provider_value=0.05 * reach,
    )


def heavy_tailed(n: int, levels: int, seed: int) -> mo.Instance:
    """Pareto capacities (tail index 1.1): a few users bridge several levels."""
    rng = np.random.default_rng(seed)
    capacity = np.minimum((rng.pareto(1.1, n) + 1) * 5, 2.0 * n)
    cost, value = rng.lognormal(0, 1, n) / 10, rng.lognormal(0.5, 1.5, n)
    reach = float(np.minimum(capacity, value / cost).sum())
    return mo.Instance(
        cost=cost,
        value=value,
        capacity=capacity,
        thresholds=0.5 * reach * np.linspace(0.2, 1.2, levels),
        shares=np.sqrt(np.arange(1, levels + 1) / levels),
        provider_value=0.05 * reach,
    )


FAMILIES: dict[str, Callable[[int, int, int], mo.Instance]] = {
    "close steps": close_steps,
    "heavy-tailed": heavy_tailed,
    "separated steps": separated_steps,
}

HEAD = (
    "| instance | objective | protocol | share | expenditure | social cost | bound | gap | "
    "status | CPU s |"
)


def rows_of(title: str, instance: mo.Instance, *, limit: float = LIMIT) -> Iterator[str]:
    for objective, options in (
        ("provider-surplus", {}),
        ("social-cost", {"transfers": False, "target": float(instance.shares[-1])}),
    ):
        for protocol in PROTOCOLS:
            yield row(title, instance, objective, protocol, limit, **options)


def row(
    title: str, instance: mo.Instance, objective: str, protocol: str, limit: float, **options: Any
) -> str:
    began = process_time()
    plan = mo.solve(
        instance, "burdens", objective=objective, protocol=protocol, time_limit=limit, **options
    )
    seconds = process_time() - began
    label = "no payments, least cost" if options.get("transfers") is False else objective
    if plan.burden is None or plan.payment is None:
        known = [f"{plan.bound:.6g}" if plan.bound is not None else "–", "–"]
        cells = ["–", "–", "–", *known]
    else:
        cells = [
            f"{plan.share:.3g}",
            f"{plan.payment.sum():.5g}",
            f"{instance.cost_of(plan.burden).sum():.5g}",
            f"{plan.bound:.6g}",
            f"{plan.gap:.1e}",
        ]
    cells += [plan.status.value, f"{seconds:.2f}"]
    return f"| {title} | {label} | {protocol} | " + " | ".join(cells) + " |"


def table() -> Iterator[str]:
    yield HEAD
    yield "|---" * 10 + "|"
    for name, family in FAMILIES.items():
        for n, levels in ((20, 2), (50, 2), (50, 4), (500, 5)):
            yield from rows_of(f"{name}, n = {n}, K = {levels}", family(n, levels, 1))


def scale() -> Iterator[str]:
    yield HEAD
    yield "|---" * 10 + "|"
    for name, family in FAMILIES.items():
        instance = family(100_000, 10, 1)
        for objective in ("provider-surplus", "welfare", "expenditure", "social-cost"):
            yield row(f"{name}, n = 1e5, K = 10", instance, objective, "simultaneous", 60.0)
    instance = separated_steps(1_000_000, 10, 1)
    for objective in ("provider-surplus", "welfare", "expenditure", "social-cost"):
        yield row("separated steps, n = 1e6, K = 10", instance, objective, "simultaneous", 60.0)


def formulations() -> Iterator[str]:
    """Expenditure at the highest share, K = 10, and provider surplus over all levels."""
    yield "| n | objective | level decomposition | tight MILP | big-M MILP |"
    yield "|---|---|---|---|---|"
    for n in (20, 50, 100, 200):
        instance = close_steps(n, 10, 1)
        for objective in ("expenditure", "provider-surplus"):
            began = process_time()
            plan = mo.solve(instance, "burdens", objective=objective)
            cells = [f"{plan.objective:.6g} ({plan.status}, {process_time() - began:.2f} s)"]
            for formulation in (tight, bigm):
                began = process_time()
                model = formulation.build(instance, objective=objective)
                found = highs.solve_model(model, time_limit=20.0)
                shown = "none" if found.objective is None else f"{found.objective:.6g}"
                bound = "–" if found.bound is None else f"{found.bound:.6g}"
                seconds = process_time() - began
                cells.append(f"{shown}, bound {bound} ({found.status}, {seconds:.1f} s)")
            yield f"| {n} | {objective} | " + " | ".join(cells) + " |"


def gain() -> Iterator[str]:
    """Sequential (small-first) against simultaneous over random instances; gaps that remain."""
    yield (
        "| family | n | K | instances | same | cheaper in sequence | only in sequence | "
        "none | median saving | proved | gap of the rest: quartiles | CPU s: median, most |"
    )
    yield "|---" * 12 + "|"
    for name in FAMILIES:
        for n, levels in ((8, 2), (30, 2), (8, 3), (30, 3), (8, 5), (30, 5), (100, 3)):
            counts: Counter[str] = Counter()
            savings, gaps, seconds = [], [], []
            number = 40 if n < 30 else 15
            for seed in range(number):
                instance = FAMILIES[name](n, levels, 1000 + seed)
                options: dict[str, Any] = {
                    "objective": "social-cost",
                    "transfers": False,
                    "target": float(instance.shares[-1]),
                    "time_limit": GAIN_LIMIT,
                }
                alone = mo.solve(instance, "burdens", protocol="simultaneous", **options)
                began = process_time()
                plan = mo.solve(instance, "burdens", protocol="sequential", **options)
                seconds.append(process_time() - began)
                ours = inf if plan.burden is None else float(plan.objective or 0.0)
                theirs = inf if alone.burden is None else float(alone.objective or 0.0)
                if ours > theirs * (1 + 1e-9):
                    counts["worse"] += 1
                if ours == inf:
                    counts["none"] += 1
                elif theirs == inf:
                    counts["only"] += 1
                elif ours < theirs * (1 - 1e-9):
                    counts["cheaper"] += 1
                    savings.append(1 - ours / theirs)
                else:
                    counts["same"] += 1
                if plan.status in (mo.Status.OPTIMAL, mo.Status.INFEASIBLE):
                    counts["proved"] += 1
                elif plan.gap is not None:
                    gaps.append(plan.gap)
            assert not counts["worse"], "F1 violated"
            saving = f"{np.median(savings):.1%}" if savings else "–"
            left = ", ".join(f"{q:.1%}" for q in np.quantile(gaps, QUARTILES)) if gaps else "–"
            spent = f"{np.median(seconds):.2f}, {max(seconds):.1f}"
            yield (
                f"| {name} | {n} | {levels} | {number} | {counts['same']} | {counts['cheaper']} | "
                f"{counts['only']} | {counts['none']} | {saving} | {counts['proved']} | "
                f"{left} | {spent} |"
            )


def real(data: Path) -> Iterator[str]:
    """A learning curve in steps on real capacities (assumptions: mechopt.cases.calibration)."""
    yield HEAD
    yield "|---" * 10 + "|"
    sizes, losses = mo.read_learning_curve(data / "finetune_learning_curves.csv", "wmt19")
    for source in ("prism_rated_responses", "commonvoice_vi_11_validated_clips"):
        _, capacity = mo.read_capacities(data / "contributions.csv", source)
        per_unit = float(sizes[-1]) / (0.6 * float(capacity.sum()))
        curve = mo.step_curve_from_losses(sizes, losses, (0.25, 0.5, 0.75, 1.0), per_unit=per_unit)
        made = mo.instance_from_capacities(capacity, curve=curve, provider_value=20000.0, seed=1)
        yield from rows_of(f"{source}, n = {capacity.size}, K = 4", made.instance)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("table", "scale", "formulations", "gain", "real"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    lines = {
        "table": table,
        "scale": scale,
        "formulations": formulations,
        "gain": gain,
        "real": lambda: real(options.data),
    }[options.what]()
    with open(options.out, "w", encoding="utf-8") as file:
        for line in lines:
            print(line, file=file, flush=True)


if __name__ == "__main__":
    main()

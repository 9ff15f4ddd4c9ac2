"""Counts behind benchmarks/levels/README.md: independent routes to the same optimum.

    python -m benchmarks.levels.cross_check [--seed 1] [--instances 300]

1. Lattice instances (ties and knife edges common): every level, with and without payments, with
   reserves, equals the enumeration of tests/oracles/oracle_levels.py, and no grid point is better.
2. Generic instances: level decomposition = tight MILP = big-M MILP, all five objectives.
3. Sequential, two thresholds: the full game tree over a grid of burdens.
4. Sequential, two to four close thresholds, with and without a reserve: the same.
5. Sequential with payments, two users: the full game tree over a grid of burdens and payments.
Every plan is audited and checked under its protocol. Any disagreement is printed and counted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from math import inf
from time import perf_counter

import numpy as np

import mechopt as mo
from mechopt.formulations import burdens_levels as tight
from mechopt.formulations import burdens_levels_bigm as bigm
from mechopt.known.burdens import several_levels as burdens_levels
from mechopt.known.burdens import simultaneous_level
from mechopt.known.levels import Wanted
from mechopt.solver import highs
from tests.known.test_burdens_levels import OBJECTIVES, SIZES
from tests.known.test_burdens_sequential import close_instance, least_cost, small_instance
from tests.oracles import oracle_levels as oracle


def checked(instance: mo.Instance, plan: mo.Plan, counts: Counter[str]) -> None:
    """Audit and withdrawal check; failures are counted."""
    if plan.burden is None:
        return
    counts["plans audited"] += 1
    counts["audit failures"] += not mo.audit(instance, plan).ok
    if plan.level:
        report = mo.check_withdrawal(instance, plan, protocol=plan.protocol, order=plan.order)
        counts["unstable plans"] += not report.stable


def enumeration(rng: np.random.Generator, number: int, counts: Counter[str]) -> None:
    for trial in range(number):
        n, levels = [*SIZES, (6, 1), (6, 2)][int(rng.integers(8))]
        instance = oracle.lattice_instance(rng, n, levels, segments=rng.random() < 0.3)
        reserve = float(rng.choice([0, 0, 0.5, 1.0]))
        counts["1 instances"] += 1
        for level in range(1, levels + 1):
            for quantity in ("pay", "cost"):
                for transfers in (True, False):
                    wanted = Wanted(transfers=transfers, reserve=reserve)
                    found = simultaneous_level.solve_level(
                        instance, level, quantity, wanted, perf_counter() + 20
                    )
                    answer = found.allocation
                    got = inf if answer is None else answer.value
                    want = oracle.level_optimum(
                        instance, level, quantity, transfers=transfers, reserve=reserve
                    )
                    counts["1 level problems"] += 1
                    counts["1 out of reach"] += want == inf
                    agree = got == want or abs(got - want) <= 1e-6 * (1 + abs(want))
                    if not agree or found.least is not None:
                        counts["1 DISAGREE"] += 1
                        print("enumeration", trial, level, quantity, transfers, got, want)
                    if n <= 3 and reserve == 0 and transfers:
                        grid = oracle.grid_optimum(instance, quantity, level, step=0.5)
                        counts["1 grids"] += 1
                        counts["1 grid better"] += grid < got - 1e-6
        plan = burdens_levels.solve(instance, Wanted(reserve=reserve))
        checked(instance, plan, counts)


def formulations(rng: np.random.Generator, number: int, counts: Counter[str]) -> None:
    for trial in range(number):
        instance = oracle.generic_instance(
            rng, int(rng.integers(2, 7)), int(rng.integers(1, 5)), segments=rng.random() < 0.3
        )
        if rng.random() < 0.4:
            instance = instance.replace(budget=float(rng.choice([1.0, 5.0, 20.0])))
        reserve = float(rng.choice([0, 0, 0.3]))
        counts["2 instances"] += 1
        for objective, options in OBJECTIVES:
            stated = {"objective": objective, "reserve": reserve, **options}
            plan = burdens_levels.solve(instance, Wanted(**stated))
            checked(instance, plan, counts)
            none = objective in ("expenditure", "social-cost") and not plan.level
            for formulation in (tight, bigm):
                solution = highs.solve_model(formulation.build(instance, **stated), twice=True)
                counts["2 MILPs"] += 1
                if none:
                    agree = solution.status is mo.Status.INFEASIBLE
                else:
                    value = plan.objective or 0.0
                    agree = solution.objective is not None and abs(
                        solution.objective - value
                    ) <= 1e-5 * (1 + abs(value))
                if not agree:
                    counts["2 DISAGREE"] += 1
                    print("formulations", trial, stated, plan.objective, solution.objective)


def game_trees(rng: np.random.Generator, number: int, counts: Counter[str]) -> None:
    steps = {2: 1 / 32, 3: 1 / 16, 4: 1 / 4, 5: 1 / 2}
    for trial in range(number):
        n = int(rng.integers(2, 6))
        instance = small_instance(rng, n, 2)
        counts["3 instances"] += 1
        alone = mo.solve(
            instance, objective="social-cost", transfers=False, target=float(instance.shares[-1])
        )
        for name in ("small-first", "large-first", "given"):
            order = rng.permutation(n) if name == "given" else name
            beyond = n < 4 and trial % 2 == 1
            grid = oracle.sequential_grid(instance, order, step=steps[n], exact_total=not beyond)
            plan = least_cost(instance, order)
            checked(instance, plan, counts)
            counts[f"3 {name}: {plan.status}"] += 1
            got = inf if plan.burden is None else float(plan.objective or 0.0)
            if plan.status is mo.Status.INFEASIBLE:
                wrong = grid < inf
            else:
                wrong = grid < float(plan.bound or 0.0) - 1e-6 or (
                    plan.status is mo.Status.OPTIMAL
                    and grid < inf
                    and not grid - steps[n] * instance.cost.sum() * 1.01 <= got <= grid + 1e-6
                )
            if wrong:
                counts["3 DISAGREE"] += 1
                print("game tree", trial, name, plan.status, got, plan.bound, grid)
            if name == "small-first" and got < inf:
                counts["3 sustained: only in sequence"] += alone.burden is None
                cheaper = alone.burden is not None and got < float(alone.objective or 0) - 1e-7
                counts["3 sustained: cheaper in sequence"] += cheaper
                counts["3 sustained: the same"] += alone.burden is not None and not cheaper


def more_thresholds(rng: np.random.Generator, number: int, counts: Counter[str]) -> None:
    steps = {2: 1 / 16, 3: 1 / 8, 4: 1 / 2}
    for trial in range(number):
        n, levels = int(rng.integers(2, 5)), int(rng.integers(2, 5))
        instance = close_instance(rng, n, levels)
        reserve = float(rng.choice([0.0, 0.0, 0.25, 0.5]))
        counts["4 instances"] += 1
        for name in ("small-first", "large-first", "given"):
            order = rng.permutation(n) if name == "given" else name
            beyond = n < 4 and trial % 2 == 1
            grid = oracle.sequential_grid(
                instance, order, step=steps[n], exact_total=not beyond, reserve=reserve
            )
            plan = least_cost(instance, order, reserve=reserve)
            checked(instance, plan, counts)
            counts[f"4 {name}: {plan.status}"] += 1
            if plan.status is mo.Status.INFEASIBLE:
                wrong = grid < inf
            else:
                wrong = grid < float(plan.bound or 0.0) - 1e-6
            if wrong:
                counts["4 DISAGREE"] += 1
                print("more thresholds", trial, name, plan.status, plan.bound, grid)


def payments(rng: np.random.Generator, number: int, counts: Counter[str]) -> None:
    for trial in range(number):
        instance = close_instance(rng, 2, int(rng.integers(2, 5))).replace(removable=1.0)
        counts["5 instances"] += 1
        for order in ("small-first", "large-first"):
            grid = oracle.sequential_payment_grid(instance, order, step=1 / 4)
            plan = mo.solve(
                instance,
                "burdens",
                objective="expenditure",
                protocol="sequential",
                order=order,
                target=float(instance.shares[-1]),
            )
            checked(instance, plan, counts)
            counts[f"5 {order}: {plan.status}"] += 1
            counts["5 with payments"] += bool(plan.objective)
            if plan.status is mo.Status.INFEASIBLE:
                wrong = grid < inf
            else:
                wrong = grid < float(plan.bound or 0.0) - 1e-6
            if wrong:
                counts["5 DISAGREE"] += 1
                print("payments", trial, order, plan.status, plan.bound, grid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instances", type=int, default=300)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    for check in (enumeration, formulations, game_trees, more_thresholds, payments):
        began = perf_counter()
        check(np.random.default_rng(options.seed), options.instances, counts)
        print(f"{check.__name__}: {perf_counter() - began:.1f} s")
    for name in sorted(counts):
        print(f"{name}: {counts[name]}")


if __name__ == "__main__":
    main()

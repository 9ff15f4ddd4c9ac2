"""Plans in practice against SCIP on the Pyomo formulation.

    python benchmarks/practice/cross_check.py SEED COUNT [USERS]

Random instances with every term of practice; `mo.solve` against the formulation
`burdens-practice`, written as an LP file and solved by SCIP (pyscipopt). A difference beyond 1e-6
of the money involved, or an answer without proof, is printed and counted.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import mechopt as mo
from mechopt.formulations import burdens_practice


def problem(seed: int, n: int) -> tuple[mo.Instance, dict[str, Any]]:
    """A random instance with a random choice of terms, and an objective."""
    rng = np.random.default_rng(seed)
    cost, value = rng.lognormal(0, 0.6, n).round(3), rng.lognormal(0.7, 0.8, n).round(3)
    capacity = (rng.integers(4, 25, n) / 2).astype(float)
    free = float(np.minimum(capacity, value / cost).sum())
    levels = int(rng.choice([1, 1, 2]))
    thresholds = [round(free * share, 2) for share in ((0.6, 1.15) if levels == 2 else (1.15,))]
    terms: dict[str, Any] = {
        "unit": [0, 0.5, 1.0, rng.choice([0.5, 1.0, 0], n)][int(rng.integers(4))],
        "least": [0, 2.0, rng.choice([0, 1.5, 3.0], n)][int(rng.integers(3))],
        "contact_cost": [0, 0.3, rng.choice([0, 0.25, 0.5], n)][int(rng.integers(3))],
        "payment_step": [None, None, 0.25][int(rng.integers(3))],
    }
    if rng.random() < 0.3:
        terms["fixed"] = np.where(rng.random(n) < 0.1, np.minimum(capacity, 1.0), np.nan)
    if rng.random() < 0.3:
        terms["required"] = (rng.random(n) < 0.15) * np.isnan(
            terms.get("fixed", np.full(n, np.nan))
        )
    if rng.random() < 0.4:
        terms["group"] = rng.choice(["a", "b", "c"], n)
        terms["group_least"] = {"a": round(0.5 * thresholds[-1], 1)}
        if rng.random() < 0.5:
            terms["group_most"] = {"b": "25 %"}
    instance = mo.Instance(
        cost=cost,
        value=value,
        capacity=capacity,
        thresholds=thresholds,
        shares=[0.4, 1.0] if levels == 2 else [1.0],
        reversibility=rng.choice([0.5, 1.0], n),
        provider_value=float(rng.choice([0, 4 * free])),
        **terms,
    )
    objective = str(rng.choice(["expenditure", "social-cost", "welfare", "provider-surplus"]))
    return instance, {"objective": objective}


def by_scip(
    instance: mo.Instance, options: dict[str, Any], seconds: float
) -> tuple[str, float, float]:
    """Status, objective and bound of SCIP on the exported formulation."""
    from pyscipopt import Model

    model = burdens_practice.build(instance, **options)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.lp")
        model.write(path, io_options={"symbolic_solver_labels": True})
        scip = Model()
        scip.hideOutput()
        scip.readProblem(path)
        scip.setParam("limits/time", seconds)
        scip.setParam("numerics/feastol", 1e-9)
        scip.optimize()
        status = scip.getStatus()
        value = scip.getObjVal() if scip.getNSols() else float("nan")
        return status, value, scip.getDualbound()


def compare(seed: int, n: int, seconds: float = 30.0) -> tuple[str, str]:
    """("", what was compared) if both agree; else what differs."""
    instance, options = problem(seed, n)
    plan = mo.solve(instance, "burdens", **options)
    status, value, bound = by_scip(instance, options, seconds)
    ours = f"{plan.status} {plan.objective}"
    what = f"seed {seed}: {options['objective']}, {ours}, SCIP {status} {value}"
    if status == "infeasible":
        return ("" if plan.status == "null" else "infeasible for SCIP: ") + "", what
    money = max(1.0, abs(value), float(instance.cost_of(plan.burden).sum()))
    if plan.status not in ("optimal", "null") or plan.objective is None:
        return "no proof: ", what
    better = -1 if options["objective"] in ("expenditure", "social-cost") else 1
    if status == "optimal":
        return ("" if abs(plan.objective - value) <= 1e-6 * money else "differs: "), what
    # out of time: our proved optimum must lie between what SCIP has and its bound
    inside = better * (plan.objective - value) >= -1e-6 * money
    inside = inside or value != value
    within = better * (bound - plan.objective) >= -1e-6 * money
    return ("" if inside and within else "outside: "), what + f" bound {bound}"


def main() -> None:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    n = int(sys.argv[3]) if len(sys.argv) > 3 else 30
    wrong, timed, began = 0, 0, perf_counter()
    for seed in range(first, first + count):
        verdict, what = compare(seed, n)
        wrong += bool(verdict)
        timed += "timelimit" in what
        if verdict:
            print(verdict + what, flush=True)
    print(
        f"{count} instances of {n} users, {wrong} wrong, {timed} where SCIP stopped at its limit, "
        f"{perf_counter() - began:.0f} s"
    )
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()

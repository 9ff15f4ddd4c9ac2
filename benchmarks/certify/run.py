"""Long run: random small instances, every claim cross-checked against brute force.

    python benchmarks/certify/run.py --count 100000 --seed 1

Each instance goes solve → certify → verify (the certificate as JSON text, read back) and
solve → check (audit and withdrawal verdicts) → brute force (`tests/brute_force.py` for one
threshold, `tests/oracle_levels.py` for several, plain recursion for the withdrawal game). Prints
counts and every wrong claim; exit status 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from fractions import Fraction
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import mechopt as mo
from mechopt.certificates import checker
from tests import brute_force, oracle_levels

F = Fraction
OBJECTIVES = ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement")
PROTOCOLS = ("simultaneous", "sequential", "none")
CLOSE = 1e-7  # relative; between a floating-point objective and the exact one


def draw(rng: np.random.Generator) -> tuple[mo.Instance, mo.Instance]:
    """(the instance to solve, the same in exact numbers): on grids of 1/4, 1/10, 1/3, with ties."""
    grid = int(rng.choice([4, 10, 3]))
    n = int(rng.choice([1, 2, 2, 2, 3]))
    levels = int(rng.choice([1, 1, 1, 1, 2, 3]))

    def some(low: int, high: int, size: int) -> list[Fraction]:
        return [F(int(one), grid) for one in rng.integers(low, high + 1, size)]

    def one(values: list[Any]) -> list[Fraction]:
        return [F(values[place]) for place in rng.integers(len(values), size=n)]

    give: dict[str, Any] = {
        "cost": some(1, 8, n),
        "value": some(0, 16, n),
        "reversibility": one([0, F(1, 2), 1, 1]),
        "removable": one([0, F(1, 2), 1, 1, 1, 1]),
        "provider_value": F(int(rng.integers(0, 41)), 2),
    }
    if rng.integers(4) == 0:
        pieces = int(rng.integers(1, 4))
        widths = [some(1, 8, pieces) for _ in range(n)]
        slopes = [np.cumsum(some(1, 3, pieces)).tolist() for _ in range(n)]
        give["segments"] = (widths, slopes)
        most = sum(map(sum, widths), F(0))
    else:
        give["capacity"] = some(0, 12, n)
        give["capacity"][0] += F(1, grid)
        most = sum(give["capacity"], F(0))
    places = np.sort(rng.choice(np.arange(1, 14), levels, replace=False))
    give["thresholds"] = [max(F(1, grid), most * F(int(place), 12)) for place in places]
    for k in range(1, levels):
        least = give["thresholds"][k - 1] + F(1, grid)
        give["thresholds"][k] = max(give["thresholds"][k], least)
    shares = np.sort(rng.choice(np.arange(1, 9), levels, replace=False))
    give["shares"] = [F(int(share), 8) for share in shares]
    if rng.integers(3) == 0:
        give["budget"] = F(int(rng.integers(0, 13)), grid)
    exact = mo.Instance(**give)
    if grid == 3 or rng.integers(2) or _has_long_decimals(give):
        return exact, exact
    return mo.Instance(**{key: _floats(value) for key, value in give.items()}), exact


def _has_long_decimals(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_long_decimals, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_long_decimals, value))
    return F(repr(float(value))) != value


def _floats(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_floats, value))
    return float(value)


def game(instance: mo.Instance, x: list[Fraction], t: list[Fraction], order: list[int]) -> bool:
    """Whether everyone stays and training happens in the subgame-perfect outcome: 2^n tree."""
    v, rho, delta = (instance.exact(f) for f in ("value", "reversibility", "removable"))
    cost = [brute_force.User(instance, i).cost(x[i]) for i in range(instance.n)]

    def share(total: Fraction) -> Fraction:
        return brute_force.improvement(instance, total)

    def payoff(i: int, stays: tuple[bool, ...]) -> Fraction:
        total = sum((x[j] if s else (1 - delta[j]) * x[j] for j, s in zip(order, stays)), F(0))
        b = share(total)
        if stays[order.index(i)]:
            return v[i] * b + t[i] - cost[i] if b else -(1 - rho[i]) * cost[i]
        return v[i] * b - (1 - rho[i]) * cost[i]

    @cache
    def outcome(so_far: tuple[bool, ...]) -> tuple[bool, ...]:
        if len(so_far) == len(order):
            return so_far
        i = order[len(so_far)]
        stay, leave = outcome((*so_far, True)), outcome((*so_far, False))
        if x[i] == 0:
            return stay
        return stay if payoff(i, stay) >= payoff(i, leave) else leave

    final = outcome(())
    return share(sum(x, F(0))) > 0 and all(s or x[i] == 0 for i, s in zip(order, final))


def nobody_gains(instance: mo.Instance, x: list[Fraction], t: list[Fraction]) -> bool:
    """W1 by definition."""
    total = sum(x, F(0))
    v, rho, delta = (instance.exact(f) for f in ("value", "reversibility", "removable"))
    b = brute_force.improvement(instance, total)
    for i in range(instance.n):
        if x[i] > 0:
            after = brute_force.improvement(instance, total - delta[i] * x[i])
            if v[i] * (b - after) < rho[i] * brute_force.User(instance, i).cost(x[i]) - t[i]:
                return False
    return b > 0


def brute_optimum(
    instance: mo.Instance, mechanism: str, objective: str, transfers: bool, protocol: str
) -> Any:
    """The optimum (None: null or out of reach), or "unknown" where there is no oracle."""
    if mechanism == "subsidy":
        if objective == "welfare":
            return "unknown"  # the oracle counts values in welfare and in participation alike
        instance = instance.replace(value=[F(0)] * instance.n)
    if protocol == "none":
        return _level_by_level(instance, objective, transfers)
    if instance.levels == 1:
        found = brute_force.burdens(instance, objective, transfers, "simultaneous")
        return None if found is None else found[0]
    if protocol != "simultaneous":
        return "unknown"
    best: float | None = None
    quantity = "cost" if objective in ("social-cost", "welfare") else "pay"
    for level in range(instance.levels, 0, -1):
        least = oracle_levels.level_optimum(
            instance, level, quantity, transfers=transfers, budget=float(instance.budget)
        )
        if least == float("inf"):
            if objective in ("expenditure", "social-cost"):
                return None
            continue
        share = float(instance.shares[level - 1])
        gain = instance.provider_value + (
            float(instance.value.sum()) if objective == "welfare" else 0.0
        )
        worth = {
            "improvement": share,
            "expenditure": least,
            "social-cost": least,
        }.get(objective, gain * share - least)
        if objective in ("improvement", "expenditure", "social-cost"):
            return worth
        best = worth if best is None else max(best, worth)
    return best if best is not None and best > 1e-9 else None


def _level_by_level(instance: mo.Instance, objective: str, transfers: bool) -> Any:
    """Without withdrawal rights every level is a problem of its own, with one threshold."""
    best: Fraction | None = None
    T, b = instance.exact("thresholds"), instance.exact("shares")
    for k in range(instance.levels - 1, -1, -1):
        one = instance.replace(thresholds=[T[k]], shares=[b[k]])
        found = brute_force.burdens(one, objective, transfers, "none")
        if objective in ("expenditure", "social-cost"):
            return None if found is None else found[0]
        if found is not None:
            best = found[0] if best is None else max(best, found[0])
    return best


def check(rng: np.random.Generator) -> tuple[str, list[str]]:
    """(kind of claim, wrong claims) of one random instance."""
    instance, exact = draw(rng)
    mechanism = str(
        rng.choice(["burdens", "burdens", "burdens", "subsidy", "complete-information"])
    )
    objective = str(rng.choice(OBJECTIVES))
    options: dict[str, Any] = {"objective": objective}
    transfers, protocol = True, "none"
    if mechanism != "subsidy":
        options["transfers"] = transfers = bool(rng.integers(4))
    if mechanism == "burdens":
        options["protocol"] = protocol = str(rng.choice(PROTOCOLS))
    plan = mo.solve(instance, mechanism, **options)
    wrong: list[str] = []

    # solve → certify → verify
    certificate = mo.certify(instance, plan)
    document = json.loads(json.dumps(dict(certificate.document)))
    checker.verify(document)
    if not certificate.agrees:
        wrong.append(certificate.remark)

    # solve → check → brute force
    if plan.has_answer and plan.status in (mo.Status.OPTIMAL, mo.Status.NULL, mo.Status.FEASIBLE):
        audit = mo.audit(instance, plan)
        if not audit.ok:
            wrong.append(f"audit: {audit}")
    truth = brute_optimum(exact, mechanism, objective, transfers, protocol)
    if truth != "unknown" and certificate.status in ("optimal", "null", "infeasible"):
        mine = certificate.optimum if certificate.status == "optimal" else None
        if mine == 0 and objective in ("provider-surplus", "welfare"):
            mine = None
        if (mine is None) != (truth is None) or (
            truth is not None and not _close(mine, truth, isinstance(truth, F))
        ):
            wrong.append(f"certified {certificate}, brute force {truth}")
    if truth != "unknown" and plan.status in (mo.Status.OPTIMAL, mo.Status.NULL):
        said = plan.objective if plan.status is mo.Status.OPTIMAL else None
        if (said is None) != (truth is None) and float(truth or said or 0) > CLOSE:
            wrong.append(f"{plan.status} {plan.objective}, brute force {truth}")
        elif said is not None and truth is not None and not _close(said, truth, False):
            wrong.append(f"objective {plan.objective}, brute force {truth}")
    wrong += _withdrawal(exact, document)
    if wrong:
        wrong.append(f"  {mechanism} {options} {exact._given}")
    return f"{mechanism} K={exact.levels} {certificate.status} ({plan.status})", wrong


def _close(mine: Any, truth: Any, exactly: bool) -> bool:
    if exactly:
        return bool(mine == truth)
    return abs(float(mine) - float(truth)) <= CLOSE * max(1.0, abs(float(truth)))


def _withdrawal(exact: mo.Instance, document: dict[str, Any]) -> list[str]:
    """The certificate's withdrawal verdicts and the package's, against definition and game tree."""
    stays = document["claim"]["withdrawal"]
    if stays is None:
        return []
    x, t = ([F(one) for one in document["answer"][name]] for name in ("burden", "payment"))
    order = sorted(range(exact.n), key=lambda i: x[i])
    truth = {"simultaneous": nobody_gains(exact, x, t), "sequential": game(exact, x, t, order)}
    wrong = [] if truth == stays else [f"withdrawal certified {stays}, by definition {truth}"]
    plan = mo.Plan.from_arrays(exact, x, t)
    for protocol, verdict in truth.items():
        if mo.check_withdrawal(exact, plan, protocol=protocol).stable is not verdict:
            wrong.append(f"check_withdrawal {protocol}: not {verdict}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first instance")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    wrong = 0
    began = perf_counter()
    for number in range(options.first, options.first + options.count):
        try:
            kind, faults = check(np.random.default_rng([options.seed, number]))
        except (mo.MechoptError, checker.Refuted, AssertionError, ArithmeticError) as error:
            kind, faults = "exception", [f"{type(error).__name__}: {error}"]
        counts[kind] += 1
        wrong += bool(faults)
        for line in faults:
            print(f"instance {options.seed}/{number}: {line}", flush=True)
        done = number + 1 - options.first
        if done % 5000 == 0:
            seconds = perf_counter() - began
            print(f"{done:,} instances, {wrong} with wrong claims, {seconds:,.0f} s", flush=True)
    for kind, count in sorted(counts.items()):
        print(f"{count:8,}  {kind}")
    print(
        f"{options.count:,} instances, seed {options.seed}: {wrong} with wrong claims, "
        f"{perf_counter() - began:,.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

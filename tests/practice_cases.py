"""Random small instances with the terms of practice, on a grid of quarters."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

import mechopt as mo
from tests.oracles.oracle_practice import Problem


def random_case(seed: int) -> tuple[mo.Instance, Problem, dict[str, Any]]:
    """An instance in whole units, its oracle, and options for both."""
    rng = np.random.default_rng(seed)
    n, levels = int(rng.integers(2, 5)), int(rng.choice([1, 1, 1, 2, 3]))
    pieces = int(rng.choice([1, 1, 2]))
    widths = rng.integers(1, 6, (n, pieces)) / 2
    slopes = np.cumsum(rng.integers(1, 3, (n, pieces)), axis=1) / 2
    most = widths.sum(axis=1)
    cuts = np.round(np.sort(rng.random(levels)) * most.sum() * 3.6)
    thresholds = np.unique(np.maximum(1, cuts)) / 4
    shares = np.sort(rng.choice(np.arange(1, 9), thresholds.size, replace=False)) / 8
    common = rng.random() < 0.7
    fixed = np.where(rng.random(n) < 0.15, np.minimum(most, rng.integers(0, 5, n) / 4), np.nan)
    given: dict[str, Any] = {
        "cost": rng.integers(0, 9, n) / 4,
        "value": rng.integers(0, 13, n) / 2,
        "segments": (widths, slopes),
        "thresholds": thresholds,
        "shares": shares,
        "reversibility": rng.choice([0, 0.5, 1], n),
        "removable": rng.choice([0, 0.5, 1, 1, 1, 1], n),
        "provider_value": float(rng.choice([0, 5, 10, 20])),
        "budget": None if rng.random() < 0.6 else float(rng.integers(0, 12)) / 2,
        "least": rng.choice([0, 0, 1, 1.5, 2], n),
        "unit": float(rng.choice([0.5, 1, 1.5, 0.75])) if common else rng.choice([0.5, 1, 0.75], n),
        "contact_cost": rng.choice([0, 0, 0.25, 0.5], n) * float(rng.random() < 0.5),
        "fixed": fixed,
        "payment_step": float(rng.choice([0, 0, 0, 0.25, 0.5])),
        "group": rng.choice(["a", "b"], n),
    }
    groups: dict[str, Any] = {}
    if rng.random() < 0.25:
        label, kind = str(given["group"][0]), str(rng.choice(["data", "share"]))
        side = str(rng.choice(["group_least", "group_most"]))
        limit = Fraction(int(rng.integers(1, 6)), 2 if kind == "data" else 8)
        given[side] = {label: float(limit) if kind == "data" else f"{float(100 * limit):g} %"}
        groups[label] = (kind, *((limit, None) if side == "group_least" else (None, limit)))
    if rng.random() < 0.15:
        given["required"] = (np.isnan(fixed) & (rng.random(n) < 0.4)).astype(float)
    instance = mo.Instance(**given)
    protocol = str(rng.choice(["simultaneous", "none", "subsidy", "coalition"]))
    options = {
        "objective": str(
            rng.choice(["provider-surplus", "welfare", "expenditure", "social-cost", "improvement"])
        ),
        "protocol": protocol,
        "reserve": float(rng.choice([0, 0, 0, 0.25, 0.5])),
        "transfers": protocol == "subsidy" or bool(rng.random() < 0.8),
    }
    return instance, Problem(_fractions(instance, groups)), options


def case_in_sequence(seed: int) -> tuple[mo.Instance, Problem, dict[str, Any]]:
    """A problem for the game tree: two or three users, few units, payments in halves, groups."""
    rng = np.random.default_rng([seed, 1])
    n, levels = int(rng.integers(2, 4)), int(rng.integers(1, 4))
    widths = rng.integers(1, 5, (n, 1)) / 2
    thresholds = np.unique(rng.integers(1, int(4 * widths.sum()) + 1, levels)) / 4
    shares = np.sort(rng.choice(np.arange(1, 9), thresholds.size, replace=False)) / 8
    given: dict[str, Any] = {
        "cost": rng.integers(1, 6, n) / 4,
        "value": rng.integers(0, 9, n) / 4,
        "segments": (widths, np.ones((n, 1))),
        "thresholds": thresholds,
        "shares": shares,
        "reversibility": rng.choice([0.5, 1, 1], n),
        "removable": rng.choice([0, 0.5, 1, 1, 1, 1], n),
        "provider_value": float(rng.choice([0, 2, 5])),
        "budget": None if rng.random() < 0.7 else float(rng.integers(0, 6)) / 2,
        "least": rng.choice([0, 0, 1], n),
        "unit": 0.5 if rng.random() < 0.5 else rng.choice([0.5, 1, 0.75], n),
        "contact_cost": rng.choice([0, 0.25], n) * float(rng.random() < 0.3),
        "payment_step": 0.5,
        "group": rng.choice(["a", "b"], n),
    }
    groups: dict[str, Any] = {}
    if rng.random() < 0.4:
        label, limit = str(given["group"][0]), Fraction(int(rng.integers(1, 4)), 2)
        given["group_most"] = {label: float(limit)}
        groups[label] = ("data", None, limit)
    options = {
        "objective": str(rng.choice(["provider-surplus", "welfare", "expenditure", "social-cost"])),
        "order": str(rng.choice(["small-first", "large-first", "designed"])),
        "reserve": float(rng.choice([0, 0, 0.25, 0.5])),
        "transfers": bool(rng.random() < 0.8),
    }
    instance = mo.Instance(**given)
    return instance, Problem(_fractions(instance, groups)), options


def agrees_in_sequence(instance: mo.Instance, oracle: Problem, options: dict[str, Any]) -> str:
    """ "" if the answer in sequence is the game tree's, proved, and everybody stays."""
    reserve = Fraction(options["reserve"])
    best = oracle.best_in_sequence(
        options["objective"],
        instance.levels,
        options["order"],
        reserve=reserve,
        transfers=options["transfers"],
    )
    plan = mo.solve(instance, "burdens", protocol="sequential", **options)
    if plan.level and not mo.check_withdrawal(instance, plan, "sequential", plan.order).stable:
        return "not stable"
    return _compared(instance, plan, best)


def _fractions(instance: mo.Instance, groups: dict[str, Any]) -> dict[str, Any]:
    def some(column: Any) -> list[Fraction]:
        return [Fraction(float(entry)) for entry in column]

    free = np.isnan(instance.fixed)
    finite = instance.budget < np.inf
    return {
        **{
            name: some(getattr(instance, name))
            for name in ("cost", "value", "reversibility", "removable", "thresholds", "shares")
        },
        "widths": [some(row) for row in instance.widths],
        "slopes": [some(row) for row in instance.slopes],
        "provider_value": Fraction(instance.provider_value),
        "budget": Fraction(instance.budget) if finite else None,
        "least": some(instance.least),
        "unit": some(instance.unit),
        "contact": some(instance.contact_cost),
        "fixed": [
            None if is_free else Fraction(float(x)) for is_free, x in zip(free, instance.fixed)
        ],
        "required": (instance.required > 0).tolist(),
        "step": Fraction(instance.payment_step),
        "group": instance.group.tolist(),
        "groups": groups,
    }


def solved(instance: mo.Instance, options: dict[str, Any]) -> mo.Plan:
    """The package's answer to a random case."""
    if options["protocol"] == "subsidy":
        aim = {name: options[name] for name in ("objective", "reserve")}
        return mo.solve(instance, "subsidy", **aim)
    return mo.solve(instance, "burdens", **options)


def certified(instance: mo.Instance, oracle: Problem, options: dict[str, Any]) -> str:
    """ "" if the certificate proves the oracle's fraction, or that nothing beats nothing."""
    best = oracle.best(
        options["objective"],
        instance.levels,
        rights=_rights(options),
        reserve=Fraction(options["reserve"]),
        transfers=options["transfers"],
    )
    certificate = mo.certify(instance, solved(instance, options))
    proved = certificate.status == "null" and not best
    proved |= certificate.status == "optimal" and certificate.optimum == best
    return "" if proved and certificate.agrees else f"{certificate}, the optimum is {best}"


def _rights(options: dict[str, Any]) -> str:
    return {"none": "participation", "subsidy": "cost"}.get(options["protocol"], "withdrawal")


def agrees(instance: mo.Instance, oracle: Problem, options: dict[str, Any]) -> str:
    """ "" if the answer is the oracle's and holds; else what is wrong."""
    objective = options["objective"]
    best = oracle.best(
        objective,
        instance.levels,
        rights=_rights(options),
        reserve=Fraction(options["reserve"]),
        transfers=options["transfers"],
    )
    return _compared(instance, solved(instance, options), best)


def _compared(instance: mo.Instance, plan: mo.Plan, best: Fraction | None) -> str:
    """ "" if the plan is proved, worth what the oracle finds and passes the audit."""
    if best is None:
        return "" if plan.status == "null" else f"{plan.status}, but nothing can be reached"
    if plan.status not in ("optimal", "null") or plan.objective is None:
        return f"{plan.status} {plan.objective}, the optimum is {float(best)}"
    if abs(plan.objective - float(best)) > 1e-7:
        return f"{plan.objective}, the optimum is {float(best)}"
    verdict = mo.audit(instance, plan)
    return "" if verdict.ok else str(verdict)

"""The LP and MILP cases of the known answers, as populations and options of `solve`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import mechopt as mo


def direct_cases(folder: Path) -> Iterator[tuple[str, mo.Population, dict[str, Any], Fraction]]:
    """(id, population, options, exact optimum) of every case a direct mechanism answers."""
    for case in json.loads((folder / "known_answers.json").read_text())["cases"]:
        quantity, data = case["quantity"], case["instance"]
        if (
            "prob" not in data
            or "posted" in quantity
            or not case["id"].startswith(("GT01", "GT04", "GT07", "GT08", "GT17", "GT21"))
        ):
            continue
        yield case["id"], _population(data), _options(case["id"], quantity), Fraction(case["exact"])


def _population(data: dict[str, Any]) -> mo.Population:
    def first(entry: Any) -> Any:
        return entry[0] if isinstance(entry, list) else entry

    several = isinstance(data["theta"][0], list)
    group = mo.Group(
        size=data["n"],
        costs=data["theta"][0] if several else data["theta"],
        probabilities=data["prob"][0] if several else data["prob"],
        value=first(data["v"]),
        capacity=first(data["cap"]),
    )
    return mo.Population(groups=[group], thresholds=data["T"], provider_value=data.get("V", 0))


def _options(name: str, quantity: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "objective": "improvement"
        if "Pr(X>=T)" in quantity and "V" not in quantity
        else "provider-surplus",
        "incentive": "dsic" if "DSIC;" in quantity or "IR, DSIC" in quantity else "bic",
        "participation": "interim" if "interim" in quantity else "ex-post",
        "withdrawal_rights": False,
        "transfers": "E[" in quantity or "profit" in quantity,
    }
    if "DSIC" in quantity and "BIC" not in quantity:
        options["incentive"] = "dsic"
    if "deterministic (p" in quantity:
        options["randomized"] = False
    if name == "GT21.A.bic_expost":
        options["withdrawal_rights"] = "truthful"
    if name == "GT21.A.bic_quit":
        options["withdrawal_rights"] = True
    return options

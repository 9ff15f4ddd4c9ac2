"""Real capacities to an instance: costs and values nobody measured are drawn, and it says how.

No data set gives cost, value and capacity of the same people, so an instance combines published
marginals. Each step is an assumption; `Calibrated.assumptions` lists them for printing beside the
result. Parameters and their sources:

capacity    what each person gave (PRISM: Kirk et al. 2024, arXiv 2404.16019, CC-BY-4.0; Mozilla
            Common Voice, CC0): a lower bound on what she could give
never sell  11 % of 298 chatbot users would not share their history for a subscription worth 200 a
            month (Tran et al. 2025, arXiv 2508.06760); 8.4 % never sell in Paliński 2022
cost        6.05 USD a month for reading texts (Prince & Wallsten 2020), taken as the median of a
            lognormal with log-sd 1; rank correlation −0.22 with capacity: the +0.22 (Spearman)
            between willingness to share and usage in Tran et al. 2025, read as the correlation of a
            Gaussian copula; effort 0.05 per data unit on top
value       14.3 % pay 20 USD and 2 % pay 200 USD a month for a chatbot (Tran et al. 2025): a
            lognormal with mu 0.51, sigma 2.33; copula correlation +0.47 with capacity
provider    20 USD a month per contributor, the price of one such subscription
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from os import PathLike
from typing import Any

import numpy as np

from mechopt import arrays, draws
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import InvalidFile, InvalidOption
from mechopt.problem.improvement_curves import StepCurve
from mechopt.problem.instance import Instance

NEVER_SELL = 0.11  # share of people
MONTHLY_COST = 6.05  # money, median
COST_LOG_SD = 1.0  # log-sd; sweep 0.5, 1, 1.5
COST_CAPACITY = -0.22  # copula correlation
EFFORT = 0.05  # money per data unit
VALUE_MU = 0.51  # log money
VALUE_SIGMA = 2.33
VALUE_CAPACITY = 0.47  # copula correlation
PROVIDER_VALUE_PER_USER = 20.0  # money


@dataclass(frozen=True, eq=False)
class Calibrated:
    """An instance from real capacities (data, shape (n,)) and what had to be assumed.

    The assumptions about costs, values and thresholds: this module, and docs/campaign.md.
    """

    instance: Instance
    assumptions: tuple[str, ...]


def instance_from_capacities(
    capacity: Any,
    *,
    share_of_total: float | Sequence[float] | None = None,
    thresholds: Any = None,
    shares: Any = None,
    curve: StepCurve | None = None,
    never_sell: float = NEVER_SELL,
    monthly_cost: float = MONTHLY_COST,
    cost_log_sd: float = COST_LOG_SD,
    cost_capacity: float = COST_CAPACITY,
    effort: float = EFFORT,
    value_mu: float = VALUE_MU,
    value_sigma: float = VALUE_SIGMA,
    value_capacity: float = VALUE_CAPACITY,
    provider_value: float | None = None,
    budget: float | None = None,
    reversibility: Any = 1.0,
    ids: Sequence[str] | None = None,
    source: str = "capacities given by the caller",
    seed: int,
) -> Calibrated:
    """An instance with these capacities (data, shape (n,)) and drawn costs and values (money).

    What is drawn, and after which published figures, is in docs/campaign.md and in this module.

    Thresholds by one of: `share_of_total` (fractions of Σ capacity, all people counted),
    `thresholds` (data), `curve` (a StepCurve). `shares` go with the first two; by default b_k = 1
    for one threshold and T_k / T_K for several.

    :never_sell: share of people, drawn at random, whose capacity becomes 0
    :monthly_cost, cost_log_sd, cost_capacity, effort: money; log; copula correlation with
        capacity; money per unit. θ_i = lognormal_i / capacity_i + effort
    :value_mu, value_sigma, value_capacity: lognormal value and its copula correlation
    :provider_value: money; default 20 per person
    :source: what the capacities are, for the list of assumptions

    Costs and values depend on each other only through capacity. Raises InvalidOption.
    (Long because every assumption is an option with its unit.)
    """
    units = _units(capacity)
    _check_parameters(
        never_sell=never_sell, cost_capacity=cost_capacity, value_capacity=value_capacity
    )
    steps, shares, how = _thresholds(units, share_of_total, thresholds, shares, curve)
    costs = (monthly_cost, cost_log_sd, cost_capacity, effort)
    law = Marginals(*costs, value_mu, value_sigma, value_capacity)
    cost, value = draw_cost_and_value(units, law, seed=seed)
    refusing = never_selling(units.size, never_sell, seed)
    offered = units.copy()
    offered[refusing] = 0.0
    paid = PROVIDER_VALUE_PER_USER * units.size if provider_value is None else provider_value
    instance = Instance(
        cost=cost,
        value=value,
        capacity=offered,
        thresholds=steps,
        shares=shares,
        reversibility=reversibility,
        provider_value=paid,
        budget=budget,
        ids=ids,
    )
    left = arrays.exact_sum(offered)
    assumptions = (
        f"capacity is what each of {units.size} people gave ({source}), {_brief(units)}; "
        "she could perhaps give more",
        f"{100 * never_sell:g} % of people ({refusing.size}, drawn at random) never sell: "
        f"capacity 0; {left:g} of {arrays.exact_sum(units):g} data units are left",
        *law.words(),
        how,
        f"the full improvement is worth {paid:g} to the provider"
        + (f" ({PROVIDER_VALUE_PER_USER:g} per person)" if provider_value is None else ""),
        f"one draw of costs and values, seed {seed}; they are taken as known",
    )
    return Calibrated(instance, assumptions)


@dataclass(frozen=True)
class Marginals:
    """The laws of costs and values, as in `instance_from_capacities`."""

    monthly_cost: float = MONTHLY_COST
    cost_log_sd: float = COST_LOG_SD
    cost_capacity: float = COST_CAPACITY
    effort: float = EFFORT
    value_mu: float = VALUE_MU
    value_sigma: float = VALUE_SIGMA
    value_capacity: float = VALUE_CAPACITY

    def words(self) -> tuple[str, str]:
        """What they assume, of costs and of values."""
        return (
            f"monthly cost is lognormal, median {self.monthly_cost:g} and log-sd "
            f"{self.cost_log_sd:g}, Gaussian copula {self.cost_capacity:+g} with capacity; cost "
            f"per unit is monthly cost / capacity + effort {self.effort:g}",
            f"value is lognormal, mu {self.value_mu:g} and sigma {self.value_sigma:g} (median "
            f"{_exp(self.value_mu):.3g}), Gaussian copula {self.value_capacity:+g} with capacity",
        )


def draw_cost_and_value(
    capacity: FloatArray, law: Marginals | None = None, *, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Costs (n,) money per data unit and values (n,) money for capacities (n,) > 0, data."""
    n, law = capacity.size, law or Marginals()
    given = draws.normal_scores(capacity, seed, "ties")
    costs = coupled(given, draws.normal(seed, "cost", n), law.cost_capacity)
    values = coupled(given, draws.normal(seed, "value", n), law.value_capacity)
    monthly = law.monthly_cost * draws.exp(law.cost_log_sd * costs)
    value = draws.exp(law.value_mu + law.value_sigma * values)
    return draws.rounded(monthly / capacity + law.effort), draws.rounded(value)


def coupled(given: FloatArray, fresh: FloatArray, correlation: float) -> FloatArray:
    """Standard normals with this correlation to `given` (a Gaussian copula), shape (n,)."""
    return correlation * given + np.sqrt(1 - correlation * correlation) * fresh


def never_selling(n: int, share: float, seed: int) -> IntArray:
    """The round(share · n) people who never sell, at random, ascending."""
    return np.sort(draws.permutation(seed, "never sell", n)[: round(share * n)])


# -- reading the files ----------------------------------------------------------------------------


def read_capacities(
    path: str | PathLike[str], source: str | None = None
) -> tuple[list[str], FloatArray]:
    """Ids and capacities (data) from a CSV with columns contributor, units and perhaps source.

    `source` picks the rows of one source; needed if the file has several. Raises InvalidFile.
    """
    rows = _rows(path, ("contributor", "units"))
    if "source" in rows[0]:
        sources = sorted({row["source"] for row in rows})
        if source is None and len(sources) > 1:
            raise InvalidFile(f"{path}: has several sources; choose from: {', '.join(sources)}")
        if source is not None and source not in sources:
            raise InvalidFile(f"{path}: no source {source!r}; choose from: {', '.join(sources)}")
        rows = [row for row in rows if source is None or row["source"] == source]
    elif source is not None:
        raise InvalidFile(f"{path}: has no column 'source', so {source!r} cannot be chosen")
    units = np.array([_cell(path, row, "units") for row in rows])
    return [row["contributor"] for row in rows], units


def read_learning_curve(
    path: str | PathLike[str], task: str, model: str | None = None
) -> tuple[FloatArray, FloatArray]:
    """Sizes (m,) examples and losses (m,) from a CSV with columns task, model, loss_<size>.

    Without `model`, the median over all models of the task of the share of the gain still missing
    (loss rescaled to 1 at the first size and 0 at each model's lowest). Raises InvalidFile.
    """
    rows = _rows(path, ("task", "model"))
    tasks = sorted({row["task"] for row in rows})
    if task not in tasks:
        raise InvalidFile(f"{path}: no task {task!r}; choose from: {', '.join(tasks)}")
    names = [name for name in rows[0] if name.startswith("loss_")]
    if len(names) < 2:
        raise InvalidFile(f"{path}: needs columns loss_<size> for at least two sizes")
    chosen = [row for row in rows if row["task"] == task and model in (None, row["model"])]
    if not chosen:
        models = sorted({row["model"] for row in rows if row["task"] == task})
        raise InvalidFile(f"{path}: no model {model!r}; choose from: {', '.join(models)}")
    sizes = np.array([float(name.removeprefix("loss_")) for name in names])
    losses = np.array([[_cell(path, row, name) for name in names] for row in chosen])
    if model is not None:
        return sizes, losses[0]
    lowest = losses.min(axis=1, keepdims=True)
    return sizes, np.median((losses - lowest) / (losses[:, :1] - lowest), axis=0)


def read_survey(path: str | PathLike[str]) -> tuple[list[float], list[str] | None]:
    """Costs of the people asked (money per data unit) and their groups, if there is a column.

    A CSV with a column cost and perhaps group. Raises InvalidFile.
    """
    rows = _rows(path, ("cost",))
    costs = []
    for number, row in enumerate(rows, start=2):
        try:
            costs.append(float(row["cost"]))
        except (TypeError, ValueError):
            raise InvalidFile(
                f"{path}: line {number}: cost must be a number ≥ 0, got {row['cost']!r}"
            ) from None
        if not 0 <= costs[-1] < float("inf"):
            raise InvalidFile(
                f"{path}: line {number}: cost must be ≥ 0 and finite, got {row['cost']!r}; give "
                "people who never sell the highest price asked, or leave them out"
            )
    return costs, [row["group"] for row in rows] if "group" in rows[0] else None


def _rows(path: str | PathLike[str], needed: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidFile(f"{path}: cannot be read as CSV ({error})") from None
    if not rows:
        raise InvalidFile(f"{path}: has no rows")
    missing = [name for name in needed if name not in rows[0]]
    if missing:
        raise InvalidFile(f"{path}: missing column {', '.join(missing)}")
    return rows


def _cell(path: str | PathLike[str], row: dict[str, str], name: str) -> float:
    try:
        number = float(row[name])
    except (TypeError, ValueError):
        number = float("nan")
    if not (isfinite(number) and number >= 0):
        who = row.get("contributor") or row.get("model")
        raise InvalidFile(f"{path}: {name} of {who}: must be a number ≥ 0, got {row[name]!r}")
    return number


# -- arguments ------------------------------------------------------------------------------------


def _units(capacity: Any) -> FloatArray:
    units = np.array(capacity, dtype=float)
    if units.ndim != 1 or units.size == 0:
        raise InvalidOption("capacity: expected one number per person, and at least one person")
    bad = np.flatnonzero(~(np.isfinite(units) & (units > 0)))
    if bad.size:
        raise InvalidOption(
            f"capacity[{bad[0]}]: must be > 0 (data; leave out people who gave nothing), "
            f"got {units[bad[0]]:g}"
        )
    return units


def _check_parameters(**parameters: float) -> None:
    for name, value in parameters.items():
        low = 0.0 if name == "never_sell" else -1.0
        if not low <= value < 1:
            raise InvalidOption(f"{name}: must lie in [{low:g}, 1), got {value:g}")


def _thresholds(
    units: FloatArray,
    share_of_total: float | Sequence[float] | None,
    thresholds: Any,
    shares: Any,
    curve: StepCurve | None,
) -> tuple[Any, Any, str]:
    if sum(given is not None for given in (share_of_total, thresholds, curve)) != 1:
        raise InvalidOption("give one of share_of_total, thresholds and curve")
    if curve is not None:
        if shares is not None:
            raise InvalidOption("shares: the curve has its own; leave shares out")
        return curve.thresholds, curve.shares, f"thresholds from a {curve.description}"
    if share_of_total is None:
        steps = np.atleast_1d(np.asarray(thresholds, dtype=float))
        how = (
            f"thresholds {steps.tolist()} data units chosen by hand, a contract rather than a fact"
        )
    else:
        parts = np.atleast_1d(np.asarray(share_of_total, dtype=float))
        if not np.all((parts > 0) & (parts <= 1)):
            raise InvalidOption(f"share_of_total: must lie in (0, 1], got {parts.tolist()}")
        steps = draws.rounded(parts * arrays.exact_sum(units))
        how = (
            f"thresholds {steps.tolist()} data units: {(100 * parts).tolist()} % of what all "
            "people gave, a contract rather than a fact"
        )
    if shares is None:
        shares = draws.rounded(steps / steps[-1])
    return steps, shares, how


def _brief(units: FloatArray) -> str:
    low, middle, high = np.quantile(units, [0.1, 0.5, 0.9])
    return f"10/50/90 % quantiles {low:g}/{middle:g}/{high:g}, largest {units.max():g}"


def _exp(exponent: float) -> float:
    return float(draws.exp(np.array([exponent]))[0])

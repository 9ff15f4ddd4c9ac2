"""The source's claims (benchmarks/claims) as checks: does each hold on a problem, by how much?

A claim that something *can* happen is answered by how often it does, with a witness; one that
something *always* happens, or that one protocol is better, by its counterexamples. Both are kept as
files that `mechopt solve` and `mechopt check` open.

Burdens that are not designed for a protocol are needed to compare protocols (an optimal plan leaves
no slack, so that all protocols agree on it). See `asked_plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from mechopt import draws, tolerances
from mechopt.answer.plan import Plan
from mechopt.problem.instance import Instance
from mechopt.solving import solve
from mechopt.status import Status
from mechopt.withdrawal.check import check_withdrawal
from mechopt.withdrawal.mistakes import simulate_withdrawal

ASKED = 0.95
ORDERS = 20  # random orders tried against small-first
PATIENCE = 5.0  # seconds per optimisation
MISTAKE = 0.05  # probability that a decision goes wrong
BEYOND = 1.15  # times what users give unpaid: where burdens alone reach nothing
DRAWS = 400  # of mistakes, per problem and protocol


@dataclass(frozen=True, eq=False)
class Case:
    """One problem to check claims on. `sibling`: another draw with the same thresholds."""

    group: str
    label: str
    problem: Any = field(repr=False)
    sibling: Any = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Finding:
    """What one claim comes to on one problem.

    :holds: None if the problem says nothing about the claim
    :amount: by how much, in the claim's own measure
    :proved: whether every optimum and equilibrium used was proved to be one
    :numbers: what the verdict rests on
    """

    claim: str
    group: str
    problem: str
    n: int
    levels: int
    holds: bool | None
    amount: float | None = None
    proved: bool = True
    numbers: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    file: str = ""
    seconds: float = 0.0


Verdict = tuple[bool, float, bool, dict[str, Any]]  # holds, amount, proved, numbers


@dataclass(frozen=True)
class Claim:
    """A claim: its words, whether it says "can" or "always", what `amount` measures, its check."""

    statement: str
    says: str
    amount: str
    kind: str  # of problem
    levels: Callable[[int], bool]
    asked: bool  # whether it is about the burdens of `asked_plan`
    check: Callable[[Case], Verdict | None]


# -- the checks -----------------------------------------------------------------------------------


def _posted_leaks(case: Case) -> Verdict | None:
    """The price is posted before costs are known: the cheapest that reaches T_K on a sibling."""
    if case.sibling is None:
        return None
    before = solve(case.sibling, "posted-price", objective="expenditure")
    informed = solve(case.problem, "posted-price", objective="expenditure")
    if before.status is not Status.OPTIMAL or informed.status is not Status.OPTIMAL:
        return None
    price = before.details["price"]
    metrics = solve(case.problem, "posted-price", price=price).metrics
    paid = informed.metrics["expenditure"]
    short = metrics["improvement"] < 1 and metrics["leakage"] > 0
    return short, metrics["leakage"] / paid, True, {"price": price, **_some(metrics)}


def _burdens_leak_nothing(case: Case) -> Verdict | None:
    numbers: dict[str, Any] = {}
    worst, proved = 0.0, True
    for transfers in (True, False):
        for protocol in ("simultaneous", "sequential"):
            plan = solve(case.problem, "burdens", protocol=protocol, transfers=transfers)
            name = f"{protocol}{'' if transfers else ', no payments'}"
            numbers[name] = {
                "status": plan.status.value,
                "improvement": plan.metrics["improvement"],
                "expenditure": plan.metrics["expenditure"],
            }
            proved &= plan.status in (Status.OPTIMAL, Status.NULL)
            worst = max(worst, plan.metrics["leakage"])
    return worst == 0, worst, proved, numbers


def _direct_leaks_nothing(case: Case) -> Verdict | None:
    mechanism = solve(case.problem, "direct", objective="improvement", transfers=True)
    if not mechanism.has_answer:
        return None
    metrics = mechanism.metrics
    proved = mechanism.status in (Status.OPTIMAL, Status.NULL)
    return metrics["leakage"] == 0, metrics["leakage"], proved, _some(metrics)


def _uncertain_threshold_leaks(case: Case) -> Verdict | None:
    plan = solve(case.problem, "burdens", time_limit=PATIENCE)
    if not plan.has_answer or not plan.metrics["expenditure"] > 0:
        return None
    metrics = plan.metrics
    risk = metrics["leakage"] / metrics["expenditure"]
    return metrics["leakage"] > 0, risk, plan.status is Status.OPTIMAL, _some(metrics)


def _simultaneous_costs_less(case: Case) -> Verdict | None:
    stage = _stage(case)
    if stage is None or stage.best.outcome is None or stage.best.share < stage.small_first.share:
        return None
    saved = stage.small_first.social_cost - stage.best.social_cost
    return (
        saved >= -tolerances.MONEY * stage.small_first.social_cost,
        saved / stage.small_first.social_cost,
        stage.best.status is Status.OPTIMAL,
        {"best": stage.best.social_cost, "small_first": stage.small_first.social_cost},
    )


def _simultaneous_can_fail(case: Case) -> Verdict | None:
    stage = _stage(case)
    if stage is None or stage.worst.outcome is None:
        return None
    lost = stage.small_first.share - stage.worst.share
    numbers = {
        "small_first": _stays(stage.plan, stage.small_first),
        "worst": _stays(stage.plan, stage.worst.outcome),
        "all_leave": stage.report.all_leave,
    }
    return lost > 0, lost, stage.worst.status is Status.OPTIMAL, numbers


def _small_first_more_data(case: Case) -> Verdict | None:
    stage = _stage(case)
    if stage is None or stage.best.outcome is None:
        return None
    small, best = (_stays(stage.plan, o) for o in (stage.small_first, stage.best.outcome))
    more = (small["data"] - best["data"]) / float(case.problem.thresholds[-1])
    numbers = {"small_first": small, "cheapest_equilibrium": best}
    return more >= -tolerances.DATA, more, stage.best.status is Status.OPTIMAL, numbers


def _small_first_survives_mistakes(case: Case) -> Verdict | None:
    stage = _stage(case)
    if stage is None:
        return None
    found = {
        protocol: simulate_withdrawal(
            case.problem, stage.plan, protocol, mistake=MISTAKE, draws=DRAWS
        )
        for protocol in ("simultaneous", "sequential")
    }
    one, other = found["sequential"], found["simultaneous"]
    numbers = {
        protocol: {"crossing": it.crossing, "interval": list(it.interval)}
        for protocol, it in found.items()
    }
    ahead = one.crossing - other.crossing
    return one.interval[1] >= other.interval[0], ahead, True, numbers


def _sustainable_share(case: Case) -> Verdict | None:
    found = _by_protocol(case, "improvement", (Status.OPTIMAL, Status.NULL), transfers=False)
    if found is None:
        return None
    shares, proved = found
    more = shares["sequential"] - shares["simultaneous"]
    return more >= 0, more, proved, shares


def _by_protocol(
    case: Case, objective: str, proofs: tuple[Status, ...], **options: Any
) -> tuple[dict[str, float], bool] | None:
    """What the best burdens of either protocol reach, and whether both are proved."""
    options |= {"objective": objective, "time_limit": PATIENCE}
    found, proved = {}, True
    for protocol in ("simultaneous", "sequential"):
        plan = solve(case.problem, "burdens", protocol=protocol, **options)
        if not plan.has_answer:
            return None
        found[protocol] = plan.metrics[objective]
        proved &= plan.status in proofs
    return found, proved


def _small_first_pays_less(case: Case) -> Verdict | None:
    found = _by_protocol(case, "expenditure", (Status.OPTIMAL,))
    if found is None or found[0]["simultaneous"] == 0:
        return None
    paid, proved = found
    saved = (paid["simultaneous"] - paid["sequential"]) / paid["simultaneous"]
    return saved >= -tolerances.SOLVER, saved, proved, paid


def _small_first_is_best_order(case: Case) -> Verdict | None:
    stage = _stage(case)
    if stage is None:
        return None
    n = case.problem.n
    orders: list[Any] = ["large-first", "cost"]
    orders += [draws.permutation(k, "order", n).tolist() for k in range(ORDERS)]
    shares = [
        check_withdrawal(case.problem, stage.plan, protocol="sequential", order=order).outcome.share
        for order in orders
    ]
    ahead = max(shares) - stage.small_first.share
    best = orders[int(np.argmax(shares))]
    numbers = {"small_first": stage.small_first.share, "best_other": max(shares), "order": best}
    return ahead <= 0, ahead, True, numbers


def _floors_and_burdens_together(case: Case) -> Verdict | None:
    """One price for everybody, no personal payments, T_K beyond what users give unpaid."""
    instance: Instance = case.problem
    free = instance.affordable(instance.value * instance.share_at(instance.levels)).sum()
    factor = BEYOND * free / float(instance.thresholds[-1])
    if not 1 < factor * float(instance.thresholds[-1]) / free < instance.capacity.sum() / free:
        return None
    harder = instance.replace(thresholds=instance.thresholds * factor)
    options: dict[str, Any] = {"objective": "expenditure", "transfers": False}
    plan = solve(harder, "floor-and-burdens", time_limit=PATIENCE, **options)
    alone = solve(harder, "posted-price", objective="expenditure")  # burdens alone are out of reach
    if not plan.level or plan.objective is None or not alone.objective:
        return None
    saved = 1 - plan.objective / alone.objective
    numbers = {
        "thresholds": harder.thresholds.tolist(),
        "price": plan.details["price"],
        "paid whatever happens": plan.details["floor_payment"],
        "posted price pays": alone.objective,
        **_some(plan.metrics),
    }
    return bool(plan.details["better_than_parts"]), saved, plan.status is Status.OPTIMAL, numbers


CLAIMS: dict[str, Claim] = {
    "posted-subsidies-leak": Claim(
        "Posted subsidies can fall short of the threshold and leak",
        "can",
        "money leaked, relative to what the best posted price with known costs would pay",
        "instance",
        lambda levels: levels == 1,
        False,
        _posted_leaks,
    ),
    "burdens-leak-nothing": Claim(
        "Reported costs and personal burdens leak nothing (one threshold)",
        "always",
        "largest leakage, money",
        "instance",
        lambda levels: levels == 1,
        False,
        _burdens_leak_nothing,
    ),
    "direct-leaks-nothing": Claim(
        "The direct mechanism leaks nothing (one threshold)",
        "always",
        "leakage, money",
        "population",
        lambda levels: levels == 1,
        False,
        _direct_leaks_nothing,
    ),
    "uncertain-threshold-leaks": Claim(
        "With an uncertain threshold payments can still leak",
        "can",
        "share of expenditure that is at risk",
        "instance",
        lambda levels: levels > 1,
        False,
        _uncertain_threshold_leaks,
    ),
    "simultaneous-costs-less": Claim(
        "The best simultaneous equilibrium costs no more than the small-first outcome",
        "always",
        "social cost saved, relative to the small-first outcome",
        "instance",
        lambda levels: True,
        True,
        _simultaneous_costs_less,
    ),
    "simultaneous-can-fail": Claim(
        "Simultaneous withdrawal can fail to coordinate where small-first does not",
        "can",
        "share of the improvement lost in the worst equilibrium",
        "instance",
        lambda levels: True,
        True,
        _simultaneous_can_fail,
    ),
    "small-first-more-data": Claim(
        "Small-first keeps at least the data of the cheapest simultaneous equilibrium",
        "always",
        "additional data, relative to the highest threshold",
        "instance",
        lambda levels: True,
        True,
        _small_first_more_data,
    ),
    "small-first-survives-mistakes": Claim(
        f"With {100 * MISTAKE:g} % mistakes small-first crosses the first threshold as often as "
        "simultaneous withdrawal from where best replies lead (not significantly less, 95 %)",
        "always",
        "crossing probability gained",
        "instance",
        lambda levels: True,
        True,
        _small_first_survives_mistakes,
    ),
    "small-first-sustains-more": Claim(
        "Small-first sustains at least the share that simultaneous withdrawal does (K > 1)",
        "always",
        "additional share of the improvement",
        "instance",
        lambda levels: levels > 1,
        False,
        _sustainable_share,
    ),
    "small-first-pays-less": Claim(
        "Small-first reaches the full share with payments no higher than simultaneous (K > 1)",
        "always",
        "payments saved, relative",
        "instance",
        lambda levels: levels > 1,
        False,
        _small_first_pays_less,
    ),
    "small-first-is-best-order": Claim(
        "No other order reaches more than small-first (K > 1)",
        "always",
        "share by which the best of the other orders tried is ahead",
        "instance",
        lambda levels: levels > 1,
        True,
        _small_first_is_best_order,
    ),
    "floor-and-burdens-pay-less": Claim(
        "One price with burdens on its floors costs less than the price or burdens alone",
        "can",
        "payments saved against the posted price, relative",
        "instance",
        lambda levels: True,
        False,
        _floors_and_burdens_together,
    ),
}


# -- burdens that leave slack ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Compared:
    plan: Plan
    report: Any
    small_first: Any

    @property
    def best(self) -> Any:
        return self.report.best

    @property
    def worst(self) -> Any:
        return self.report.worst


def asked_plan(instance: Instance) -> Plan:
    """Everyone is asked for a part of what he would give for his own benefit; no payments.

    One threshold: 0.95 · min(cap_i, C_i⁻¹(v_i)), so that all are willing and there is slack.
    Several: a part drawn uniformly from [0.2, 0.95], the same for the same position in every
    instance, so that some are held by one level, some by several and some by none.
    """
    part = np.full(instance.n, ASKED)
    if instance.levels > 1:
        part = 0.2 + (ASKED - 0.2) * draws.uniform(0, "asked", instance.n)
    return Plan.from_arrays(instance, part * instance.affordable(instance.value))


@lru_cache(maxsize=1)
def _stage(case: Case) -> _Compared | None:
    """Both protocols on the asked burdens; None if small-first does not train either."""
    plan = asked_plan(case.problem)
    small_first = check_withdrawal(case.problem, plan, protocol="sequential").outcome
    if not small_first.trains:
        return None
    report = check_withdrawal(case.problem, plan, time_limit=PATIENCE)
    return _Compared(plan, report, small_first)


def _stays(plan: Plan, outcome: Any) -> dict[str, float]:
    assert plan.burden is not None
    asked = plan.burden > 0
    return {
        "share": outcome.share,
        "data": outcome.total if outcome.trains else 0.0,
        "social_cost": outcome.social_cost,
        "participation": float((asked & outcome.stay).sum() / asked.sum()),
    }


def _some(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: metrics[name] for name in ("improvement", "data", "expenditure", "leakage")}

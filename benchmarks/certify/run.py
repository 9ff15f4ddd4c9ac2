"""Long run: random small instances, every claim cross-checked against brute force.

    python benchmarks/certify/run.py --count 100000 --seed 1 --processes 2

Each instance goes solve → certify → verify (the certificate as JSON text, read back) and
solve → check (audit and withdrawal verdicts) → an independent answer (README.md says which for
which kind). Instance (seed, number) is the same whatever the count or the processes. Prints
counts by kind and every wrong claim; exit status 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import cache
from math import inf
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import mechopt as mo
from mechopt import checker
from mechopt.problem.direct_terms import payment_bounds
from tests import problems
from tests.oracles import brute_force, oracle_direct, oracle_levels, oracle_posted

F = Fraction
OBJECTIVES = ("provider-surplus", "welfare", "expenditure", "social-cost", "improvement")
PROTOCOLS = ("simultaneous", "sequential", "none", "coalition")
MINIMISED = ("expenditure", "social-cost")
CLOSE = 1e-7  # relative; between a floating-point objective and the exact one


def draw(
    rng: np.random.Generator, *, users: tuple[int, ...], levels: tuple[int, ...]
) -> tuple[mo.Instance, mo.Instance]:
    """(the instance to solve, the same in exact numbers): on grids of 1/4, 1/10, 1/3, with ties.

    `users`, `levels`: numbers to choose from.
    """
    grid = int(rng.choice([4, 10, 3]))
    n, count = int(rng.choice(users)), int(rng.choice(levels))

    def some(low: int, high: int, size: int) -> list[Fraction]:
        return [F(int(one), grid) for one in rng.integers(low, high + 1, size)]

    def one(values: list[Any]) -> list[Fraction]:
        return [F(values[place]) for place in rng.integers(len(values), size=n)]

    give: dict[str, Any] = {
        "cost": some(0, 8, n),
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
    places = np.sort(rng.choice(np.arange(1, 14), count, replace=False))
    give["thresholds"] = [max(F(1, grid), most * F(int(place), 12)) for place in places]
    for k in range(1, count):
        least = give["thresholds"][k - 1] + F(1, grid)
        give["thresholds"][k] = max(give["thresholds"][k], least)
    shares = np.sort(rng.choice(np.arange(1, 9), count, replace=False))
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
    instance: mo.Instance,
    mechanism: str,
    objective: str,
    transfers: bool,
    protocol: str,
    reserve: float,
) -> Any:
    """The optimum (None: null or out of reach), or "unknown" where there is no oracle."""
    if mechanism == "subsidy":
        if objective == "welfare":
            return _subsidised_welfare(instance)
        instance = instance.replace(value=[F(0)] * instance.n)
    if protocol == "none":
        return _level_by_level(instance, objective, transfers)
    if instance.levels == 1 and not reserve:
        found = brute_force.burdens(instance, objective, transfers, "simultaneous")
        return None if found is None else found[0]
    if protocol == "sequential":
        return "unknown"
    best: float | None = None
    quantity = "cost" if objective in ("social-cost", "welfare") else "pay"
    T = instance.exact("thresholds").tolist()
    for level in range(instance.levels, 0, -1):
        if level < instance.levels and T[level - 1] + F(reserve) >= T[level]:
            least = inf  # the oracle, in floats, may take an exact tie for less
        else:
            least = oracle_levels.level_optimum(
                instance,
                level,
                quantity,
                transfers=transfers,
                reserve=reserve,
                budget=float(instance.budget),
            )
        if least == inf:
            if objective in MINIMISED:
                return None
            continue
        share = float(instance.shares[level - 1])
        gain = instance.provider_value + (
            float(instance.value.sum()) if objective == "welfare" else 0.0
        )
        worth = {"improvement": share, "expenditure": least, "social-cost": least}.get(
            objective, gain * share - least
        )
        if objective == "improvement" or objective in MINIMISED:
            return worth
        best = worth if best is None else max(best, worth)
    return best if best is not None and best > 1e-9 else None


def _subsidised_welfare(instance: mo.Instance) -> Fraction | None:
    """Everybody is paid his cost: the cheapest units first, if the budget pays for them."""
    users = [brute_force.User(instance, i) for i in range(instance.n)]
    units = sorted((r, w) for user in users for r, w in zip(user.rates, user.widths))
    gain = F(instance.exact("provider_value")[()]) + sum((user.value for user in users), F(0))
    best = F(0)
    for threshold, share in zip(instance.exact("thresholds"), instance.exact("shares")):
        left, cost = F(threshold), F(0)
        for rate, width in units:
            left, cost = left - min(left, width), cost + rate * min(left, width)
        if left == 0 and (instance.budget == inf or cost <= F(instance.exact("budget")[()])):
            best = max(best, gain * share - cost)
    return best or None


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


def certified(problem: Any, answer: Any, wrong: list[str]) -> tuple[mo.Certificate, dict[str, Any]]:
    """Certificate, verified from its text, and the audit of the answer; faults go to `wrong`."""
    certificate = mo.certify(problem, answer)
    document = json.loads(json.dumps(dict(certificate.document)))
    checker.verify(document)
    if not certificate.agrees:
        wrong.append(certificate.remark)
    if answer.has_answer and answer.status is not mo.Status.UNKNOWN:
        audit = mo.audit(problem, answer)
        if not audit.ok:
            wrong.append(f"audit: {audit}")
    return certificate, document


def compared(
    certificate: mo.Certificate, answer: Any, objective: str, truth: Any, wrong: list[str]
) -> None:
    """Certificate and floating-point answer against the true optimum (None: null, or none)."""
    if certificate.status in ("optimal", "null", "infeasible"):
        mine = certificate.optimum if certificate.status == "optimal" else None
        if mine == 0 and objective not in MINIMISED:
            mine = None
        if (mine is None) != (truth is None) or (
            truth is not None and not _close(mine, truth, isinstance(truth, F))
        ):
            wrong.append(f"certified {certificate}, brute force {truth}")
    if answer.status in (mo.Status.OPTIMAL, mo.Status.NULL):
        said = answer.objective if answer.status is mo.Status.OPTIMAL else None
        if (said is None) != (truth is None) and abs(float(truth or said or 0)) > CLOSE:
            wrong.append(f"{answer.status} {answer.objective}, brute force {truth}")
        elif said is not None and truth is not None and not _close(said, truth, False):
            wrong.append(f"objective {answer.objective}, brute force {truth}")


Outcome = tuple[str, list[str]]  # kind of claim, wrong claims


def burdens(rng: np.random.Generator) -> Outcome:
    """Burdens under every protocol, with and without a reserve; subsidies; no withdrawal rights."""
    instance, exact = draw(rng, users=(1, 2, 2, 2, 3), levels=(1, 1, 1, 1, 2, 3))
    mechanism = str(
        rng.choice(["burdens", "burdens", "burdens", "subsidy", "complete-information"])
    )
    objective = str(rng.choice(OBJECTIVES))
    options: dict[str, Any] = {"objective": objective}
    transfers, protocol, reserve = True, "none", 0.0
    if mechanism != "subsidy":
        options["transfers"] = transfers = bool(rng.integers(4))
    if mechanism == "burdens":
        options["protocol"] = protocol = str(rng.choice(PROTOCOLS))
        if protocol != "none" and rng.integers(6) == 0:
            options["reserve"] = reserve = float(rng.integers(1, 9)) / 4
    plan = mo.solve(instance, mechanism, **options)
    wrong: list[str] = []
    certificate, document = certified(instance, plan, wrong)
    truth = brute_optimum(exact, mechanism, objective, transfers, protocol, reserve)
    if truth != "unknown":
        compared(certificate, plan, objective, truth, wrong)
    wrong += _withdrawal(exact, document)
    if wrong:
        wrong.append(f"  {mechanism} {options} {exact._given}")
    what = f"{mechanism} {protocol}" if mechanism == "burdens" else mechanism
    what += " reserve" if reserve else ""
    return f"{what} K={exact.levels}: {certificate.status} ({plan.status})", wrong


def posted(rng: np.random.Generator) -> Outcome:
    """Posted prices and contracts."""
    instance, exact = draw(rng, users=(1, 2, 3, 4), levels=(1, 1, 2))
    mechanism = str(rng.choice(["posted-price", "posted-contract"]))
    objective = str(rng.choice(OBJECTIVES))
    plan = mo.solve(instance, mechanism, objective=objective)
    wrong: list[str] = []
    certificate, _ = certified(instance, plan, wrong)
    if mechanism == "posted-price":
        found = oracle_posted.best_price(exact, objective)
    else:
        costs = objective in ("welfare", "social-cost")
        found = oracle_posted.best_contract(exact, objective, splits_only=costs)
    truth = None if found is None or (found[0] == 0 and objective not in MINIMISED) else found[0]
    compared(certificate, plan, objective, truth, wrong)
    if wrong:
        wrong.append(f"  {mechanism} {objective} {exact._given}")
    return f"{mechanism} K={exact.levels}: {certificate.status} ({plan.status})", wrong


def sequential(rng: np.random.Generator) -> Outcome:
    """Several thresholds, one after another: no plan that the game tree sustains beats the bound,
    and what is claimed to be sustained is."""
    instance, exact = draw(rng, users=(2, 2, 3), levels=(2, 2, 3))
    objective = str(rng.choice(OBJECTIVES))
    transfers = bool(rng.integers(3))
    order = [int(i) for i in rng.permutation(exact.n)]
    named: Any = "small-first" if rng.integers(2) else order
    options = {"objective": objective, "transfers": transfers, "order": named}
    plan = mo.solve(instance, "burdens", protocol="sequential", **options)
    wrong: list[str] = []
    certificate, document = certified(instance, plan, wrong)
    sustained = 0
    for x, t in _plans(rng, exact, transfers):
        turns = order if named is order else sorted(range(exact.n), key=lambda i: x[i])
        worth = _worth(exact, objective, x, t)
        if worth is None or not game(exact, x, t, turns):
            continue
        sustained += 1
        for bound in (certificate.bound, plan.bound):
            if certificate.status in ("infeasible", "null") and objective in MINIMISED:
                wrong.append(f"said to be out of reach, but {worth} is sustained: {x} {t}")
            elif bound is not None and _beats(worth, bound, objective):
                wrong.append(f"{worth} is sustained, beyond the bound {bound}: {x} {t}")
    wrong += _withdrawal(exact, document, None if named == "small-first" else order)
    if wrong:
        wrong.append(f"  {options} {exact._given}")
    tried = "some plan sustained" if sustained else "none sustained"
    return f"sequential tree K={exact.levels}: {certificate.status} ({plan.status}), {tried}", wrong


def _beats(worth: Fraction, bound: Any, objective: str) -> bool:
    gain = float(bound - worth) if objective in MINIMISED else float(worth - bound)
    return gain > (0 if isinstance(bound, F) else CLOSE * max(1.0, abs(bound)))


def _plans(
    rng: np.random.Generator, exact: mo.Instance, transfers: bool, count: int = 12
) -> Iterator[tuple[list[Fraction], list[Fraction]]]:
    """Plans on a grid, most with a total that is a threshold: burdens at kinks or in between, and
    payments of what participation, or participation and withdrawal, asks for."""
    users = [brute_force.User(exact, i) for i in range(exact.n)]
    T, b = exact.exact("thresholds").tolist(), exact.exact("shares").tolist()
    for _ in range(count):
        level = int(rng.integers(exact.levels))
        marks = [
            [*user.kinks(user.value * b[level]), user.capacity * F(int(rng.integers(9)), 8)]
            for user in users
        ]
        x = [one[rng.integers(len(one))] for one in marks]
        last = int(rng.integers(exact.n))
        rest = T[level] - (sum(x, F(0)) - x[last])
        if rng.integers(4) and 0 <= rest <= users[last].capacity:
            x[last] = rest
        total = sum(x, F(0))
        if total < T[0] or any(given > user.capacity for given, user in zip(x, users)):
            continue
        rules = rng.choice(["none", "simultaneous"], exact.n) if transfers else ["none"] * exact.n
        t = [brute_force.need(exact, u, one, total, str(r)) for u, one, r in zip(users, x, rules)]
        if transfers or not any(t):
            yield x, t


def _worth(
    exact: mo.Instance, objective: str, x: list[Fraction], t: list[Fraction]
) -> Fraction | None:
    """The objective of a plan; None if it breaks the budget or misses the target."""
    users = [brute_force.User(exact, i) for i in range(exact.n)]
    b, spent = brute_force.improvement(exact, sum(x, F(0))), sum(t, F(0))
    cost = sum((user.cost(given) for user, given in zip(users, x)), F(0))
    if exact.budget < inf and spent > F(exact.exact("budget")[()]):
        return None
    if objective in MINIMISED:
        reached = b >= exact.exact("shares")[-1]
        return (spent if objective == "expenditure" else cost) if reached else None
    gain = F(exact.exact("provider_value")[()])
    if objective == "welfare":
        return (gain + sum((user.value for user in users), F(0))) * b - cost
    return b if objective == "improvement" else gain * b - spent


def private_costs(rng: np.random.Generator) -> Outcome:
    """Direct mechanisms of tiny populations against the LP over full profiles."""
    population = problems.random_population(rng, users=2, types=2)
    objective = str(rng.choice(OBJECTIVES))
    incentive = str(rng.choice(["dsic", "bic"]))
    participation = str(rng.choice(["ex-post", "interim"]))
    rights = (True, "truthful", False)[rng.integers(3)]
    transfers, randomized = bool(rng.integers(2)), bool(rng.integers(4))
    terms = (objective, incentive, participation, rights, transfers)
    names = ("objective", "incentive", "participation", "withdrawal_rights", "transfers")
    target = None
    if objective in MINIMISED:
        target = float(population.shares[-1] * rng.choice([0.25, 0.5, 1.0]))
    options = dict(zip(names, terms)) | {"target": target, "randomized": randomized}
    answer = mo.solve(population, "direct", **options)
    wrong: list[str] = []
    certificate, _ = certified(answer.population, answer, wrong)
    most = payment_bounds(population, 0)[population.group_of_user]
    oracle = oracle_direct.optimum if randomized else oracle_direct.brute_force_deterministic
    found = oracle(population, *terms, target=target, payment_bounds=most)
    for said, text in (
        (None if certificate.status == "infeasible" else certificate.optimum, "certified"),
        (answer.objective, str(answer.status)),
    ):
        if (said is None) != (found is None) or (
            said is not None and not _close(said, found, False)
        ):
            wrong.append(f"{text} {said}, all profiles {found}")
    if wrong:
        wrong.append(f"  {options} {population.to_dict()}")
    kind = "direct" if randomized else "direct deterministic"
    return f"{kind} {incentive}: {certificate.status} ({answer.status})", wrong


KINDS = ((burdens, 0.84), (posted, 0.08), (sequential, 0.04), (private_costs, 0.04))


def check(rng: np.random.Generator) -> Outcome:
    """One random instance of a random kind."""
    place = rng.choice(len(KINDS), p=[share for _, share in KINDS])
    return KINDS[place][0](rng)


def _close(mine: Any, truth: Any, exactly: bool) -> bool:
    if exactly:
        return bool(mine == truth)
    return abs(float(mine) - float(truth)) <= CLOSE * max(1.0, abs(float(truth)))


def _withdrawal(
    exact: mo.Instance, document: dict[str, Any], order: list[int] | None = None
) -> list[str]:
    """The certificate's withdrawal verdicts and the package's, against definition and game tree."""
    stays = document["claim"]["also"].get("stays")
    if stays is None:
        return []
    x, t = ([F(one) for one in document["answer"][name]] for name in ("burden", "payment"))
    turns = order or sorted(range(exact.n), key=lambda i: x[i])
    truth = {
        "simultaneous": nobody_gains(exact, x, t),
        "coalition": not oracle_posted.a_coalition_gains(exact, x, t),
        "sequential": game(exact, x, t, turns),
    }
    wrong = [] if truth == stays else [f"withdrawal certified {stays}, by definition {truth}"]
    plan = mo.Plan.from_arrays(exact, x, t)
    for protocol, verdict in truth.items():
        found = mo.check_withdrawal(exact, plan, protocol=protocol, order=order or "small-first")
        if found.stable is not verdict:
            wrong.append(f"check_withdrawal {protocol}: not {verdict}")
    return wrong


FAULTS = (
    mo.MechoptError,
    checker.Refuted,
    AssertionError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
Batch = tuple[Counter[str], dict[str, float], list[str], int]


def batch(seed: int, first: int, count: int) -> Batch:
    """(instances by kind, processor seconds by kind, lines about wrong claims, their number)."""
    counts: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    lines: list[str] = []
    wrong = 0
    for number in range(first, first + count):
        began = process_time()
        try:
            kind, faults = check(np.random.default_rng([seed, number]))
        except FAULTS as error:
            kind, faults = "exception:", [f"{type(error).__name__}: {error}"]
        counts[kind] += 1
        family = kind.partition(":")[0].partition(" K=")[0]
        seconds[family] = seconds.get(family, 0.0) + process_time() - began
        wrong += bool(faults)
        lines += [f"instance {seed}/{number}: {line}" for line in faults]
    return counts, seconds, lines, wrong


def batches(seed: int, first: int, count: int, processes: int) -> Iterator[Batch]:
    """The work in pieces, in order, on one or more processes."""
    size = 500
    pieces = [
        (seed, start, min(size, first + count - start))
        for start in range(first, first + count, size)
    ]
    if processes == 1:
        yield from (batch(*piece) for piece in pieces)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(batch, *zip(*pieces))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first instance")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    wrong = 0
    began = perf_counter()
    for kinds, spent, lines, faulty in batches(
        given.seed, given.first, given.count, given.processes
    ):
        counts += kinds
        seconds.update(spent)
        wrong += faulty
        if lines:
            print("\n".join(lines), flush=True)
        done = counts.total()
        if done % 5000 == 0:
            passed = perf_counter() - began
            print(f"{done:,} instances, {wrong} with wrong claims, {passed:,.0f} s", flush=True)
    for kind, count in sorted(counts.items()):
        print(f"{count:8,}  {kind}")
    families: Counter[str] = Counter()
    for kind, count in counts.items():
        families[kind.partition(":")[0].partition(" K=")[0]] += count
    print("\ninstances, processor milliseconds each:")
    for family, count in sorted(families.items()):
        print(f"{count:8,}  {1e3 * seconds[family] / count:6.1f}  {family}")
    print(
        f"{counts.total():,} instances, seed {given.seed}: {wrong} with wrong claims, "
        f"{perf_counter() - began:,.0f} s, {1e3 * sum(seconds.values()) / counts.total():.1f} ms "
        "of processor time each"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

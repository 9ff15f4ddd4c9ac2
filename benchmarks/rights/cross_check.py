"""Every right against its definition on random small instances, in exact arithmetic, ties included.

    python benchmarks/rights/cross_check.py --games 2000 --designs 200 --seed 0

Checks (per right and protocol, `--games` each): exclusion and committed data with the full game
tree and all stay-sets; parts, simultaneous (every amount that can matter) and in sequence (backward
induction over a grid, refined where it disagrees); re-assignment by the definition. Users with cost
0 are among them. Designs (`--designs` each) against a grid of burdens: parts, re-assignment,
committed data, floor and burdens. The oracles (tests/oracles/) share no code with mechopt. Prints
counts and every disagreement; exit status 1 if there is one.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import mechopt as mo
from mechopt.withdrawal import check_withdrawal
from tests.known import test_burdens_part as parts
from tests.known import test_floor_and_burdens as floors
from tests.oracles import oracle_rights as rights
from tests.oracles import oracle_withdrawal as oracle
from tests.oracles.withdrawal_agreement import disagreements, instance_and_plan

F = Fraction
FINER = (F(1, 4), F(1, 8), F(1, 16))
CLOSE = 1e-8


def whole(seed: int) -> list[str]:
    """Exclusion and committed data: simultaneous, in four orders, coalitions, equilibria."""
    make = oracle.pivotal_game if seed % 3 else oracle.random_game
    game = oracle.with_rights(Random(-seed), make(Random(seed), most_users=5))
    return disagreements(game, seed)


def parts_at_once(seed: int) -> list[str]:
    make = oracle.pivotal_game if seed % 3 else oracle.random_game
    game = oracle.with_rights(Random(-seed), make(Random(seed), most_users=5))
    instance, plan = instance_and_plan(game)
    report = check_withdrawal(instance, plan, withdrawal="part")
    gains = {i: rights.part_gain(game, i) for i in oracle.movers(game)}
    wanted = {i: float(gain) for i, gain in gains.items() if gain > 0}
    found = {d.user: d.gain for d in report.deviations}
    if found.keys() != wanted.keys() or any(abs(found[i] - wanted[i]) > CLOSE for i in found):
        return [f"gains {found}, oracle {wanted}"]
    everyone = not wanted and (rights.share(game, sum(game["x"])) > 0 or not gains)
    bad = ["part-stable but not stable as a whole"] * (
        report.stable and not check_withdrawal(instance, plan).stable
    )
    return bad + ["stable?"] * (report.stable != everyone)


def parts_in_turn(seed: int) -> list[str]:
    rng = Random(seed)
    game = rights.part_game(rng, levels=1 + seed % 3)
    order = rng.sample(range(len(game["x"])), len(game["x"]))
    instance, plan = instance_and_plan(game)
    report = check_withdrawal(instance, plan, "sequential", order, withdrawal="part")
    movers = [i for i in order if game["x"][i] > game["y"][i]]
    says = ""
    for grid in FINER:
        kept = rights.part_path(game, movers, grid)
        same = report.outcome.share == float(rights.part_share(game, kept))
        if same and report.outcome.share:
            same = report.outcome.kept.tolist() == [float(one) for one in kept]
        if same:
            return []
        says = f"grid {grid}: kept {report.outcome.kept}, oracle {[str(one) for one in kept]}"
    return [says]


def reassigned(seed: int) -> list[str]:
    """One threshold, no payments, any plan: W1 or who replaces him, whichever leaves him more."""
    rng = Random(seed)
    n = rng.randint(2, 6)
    cap = [F(rng.randint(1, 8), 2) for _ in range(n)]
    game = {
        "cap": cap,
        "theta": [F(rng.randint(0, 4), 2) for _ in cap],
        "v": [F(rng.randint(0, 8), 2) for _ in cap],
        "T": [F(rng.randint(1, max(1, int(sum(cap)))))],
        "b": [rng.choice([F(1), F(1, 2)])],
    }
    eta, delta = ([F(rng.choice([0, 0, 1, 2]), 2) for _ in cap] for _ in range(2))
    x = [F(rng.randint(0, int(4 * most)), 4) for most in cap]
    instance = mo.Instance(
        cost=game["theta"], value=game["v"], capacity=cap, thresholds=game["T"],
        shares=game["b"], exclusion=eta, removable=delta,
    )  # fmt: skip
    plan = mo.Plan.from_arrays(instance, burden=x, payment=[0] * n)
    report = check_withdrawal(instance, plan, "reassign")
    b, amount = game["b"][0], sum(x, F(0))
    now = b if amount >= game["T"][0] else F(0)
    leaves = set()
    for i in range(n):
        left = b if amount - delta[i] * x[i] >= game["T"][0] else F(0)
        again = rights.reaches(game, [j for j in range(n) if j != i])
        outside = (1 - eta[i]) * game["v"][i] * min(now, max(left, again))
        if x[i] and game["v"][i] * now - game["theta"][i] * x[i] < outside:
            leaves.add(i)
    found = {d.user for d in report.deviations}
    return [] if found == leaves else [f"leave {found}, oracle {leaves}"]


# -- designs against a grid -----------------------------------------------------------------------


def compare(plan: mo.Plan, want: float, reached: bool) -> list[str]:
    """A plan may beat the grid, never miss it by more; it must pass audit and check."""
    got = plan.objective if reached else float("inf")
    if got > want + CLOSE:
        return [f"objective {got}, grid {want}"]
    if reached and not mo.audit(plan.instance, plan).ok:
        return [str(mo.audit(plan.instance, plan))]
    return []


def part_designs(seed: int) -> list[str]:
    game = parts.small_game(Random(seed))
    instance = parts.instance_of(game)
    grid = rights.part_design(game, instance.levels, F(1, 4))
    bad = []
    for objective, transfers in (("expenditure", True), ("social-cost", False)):
        plan = mo.solve(
            instance, "burdens", withdrawal="part", objective=objective, transfers=transfers
        )
        want = float("inf")
        if grid is not None:
            want = float(grid[0] if transfers else grid[1])
            want = float("inf") if want < 0 else want
        reached = plan.level == instance.levels
        bad += compare(plan, want, reached)
        if reached and not check_withdrawal(instance, plan, withdrawal="part").stable:
            bad.append("not stable")
    return bad


def part_designs_in_turn(seed: int) -> list[str]:
    """Several thresholds: no plan on the grid beats the bound; plans are held."""
    game = rights.part_design_game(Random(seed))
    instance = parts.instance_of(game)
    order = ("small-first", "large-first")[seed % 2]
    bad = []
    for objective, paid in (("expenditure", True), ("social-cost", False)):
        how = {"objective": objective, "transfers": paid, "withdrawal": "part"}
        plan = mo.solve(instance, "burdens", protocol="sequential", order=order, **how)
        grid = rights.part_design_in_turn(game, order, F(1, 4), paid=paid)
        want = float("inf") if grid is None else float(grid)
        none = plan.status in ("null", "infeasible")
        bound = float("inf") if none or plan.bound is None else plan.bound
        if bound > want + CLOSE:
            bad.append(f"{plan.status}: bound {bound}, grid {want}")
        if plan.level and plan.burden is not None:
            report = check_withdrawal(instance, plan, "sequential", order, withdrawal="part")
            bad += ["not stable"] * (not report.stable)
            bad += [str(mo.audit(instance, plan))] * (not mo.audit(instance, plan).ok)
    return bad


def reassign_designs(seed: int) -> list[str]:
    rng = Random(seed)
    game = parts.small_game(rng)
    game |= {"T": game["T"][-1:], "b": game["b"][-1:]}
    instance = parts.instance_of(game)
    n, b = len(game["cap"]), game["b"][0]
    bad = []
    for objective, transfers in (("expenditure", True), ("social-cost", False)):
        if transfers:
            again = [sum(game["cap"]) - cap >= game["T"][0] for cap in game["cap"]]
        else:
            again = [bool(rights.reaches(game, [j for j in range(n) if j != i])) for i in range(n)]
        again = [one or not delta for one, delta in zip(again, game["delta"])]
        want: float = float("inf")
        for x in product(*([F(k, 4) for k in range(int(4 * cap) + 1)] for cap in game["cap"])):
            if sum(x) != game["T"][0]:
                continue
            needs = [
                max(F(0), th * one - v * b + (1 - eta) * v * b * other)
                for th, one, v, eta, other in zip(game["theta"], x, game["v"], game["eta"], again)
            ]
            if transfers:
                want = min(want, float(sum(needs)))
            elif not any(needs):
                want = min(want, float(sum(th * one for th, one in zip(game["theta"], x))))
        plan = mo.solve(
            instance, "burdens", protocol="reassign", objective=objective, transfers=transfers
        )
        bad += compare(plan, want, bool(plan.level))
        if plan.level and not check_withdrawal(instance, plan, "reassign").stable:
            bad.append("not stable")
    return bad


def committed_designs(seed: int) -> list[str]:
    rng = Random(seed)
    game = floors.small_game(rng, levels=rng.randint(1, 2), costs=(0, 1, 1, 2))
    y = [min(cap, F(rng.randint(0, 4), 4)) for cap in game["cap"]]
    if sum(y) >= game["T"][0] and any(game["eta"]):
        return []
    instance = floors.instance_of(game, committed=y)
    bad = []
    for objective, transfers in (("expenditure", True), ("social-cost", False)):
        plan = mo.solve(instance, "burdens", objective=objective, transfers=transfers)
        want = floors.grid_least(game, y, F(1, 4), free=not transfers)
        reached = plan.burden is not None and plan.share == float(game["b"][-1])
        bad += compare(plan, float(want), reached)
    return bad


def floor_designs(seed: int) -> list[str]:
    rng = Random(seed)
    game = floors.small_game(rng, levels=1 + seed % 2, eta=False, costs=(0, 1, 2)[seed % 3 > 0 :])
    instance = floors.instance_of(game)
    plan = mo.solve(instance, "floor-and-burdens", objective="expenditure", transfers=False)
    want = float("inf")
    for price in {F(0), *game["theta"]}:
        y = [c if th <= price else F(0) for th, c in zip(game["theta"], game["cap"])]
        if floors.grid_least(game, y, F(1, 4), free=True) < float("inf"):
            want = min(want, float(price * sum(y)))
    return compare(plan, want, bool(plan.level))


CHECKS = {
    "exclusion and committed, every protocol": whole,
    "part, simultaneous": parts_at_once,
    "part, sequential": parts_in_turn,
    "reassign": reassigned,
}
DESIGNS = {
    "design: part": part_designs,
    "design: part, sequential": part_designs_in_turn,
    "design: reassign": reassign_designs,
    "design: committed": committed_designs,
    "design: floor and burdens": floor_designs,
}


def run(name: str, compares: Any, count: int, start: int) -> int:
    """Disagreements among `count` instances, printed."""
    wrong = 0
    for seed in range(start, start + count):
        found = compares(seed)
        wrong += bool(found)
        if found:
            print(f"{name}, seed {seed}: {'; '.join(found)}", flush=True)
    print(f"{name}: {count:,} instances, {wrong} disagreements", flush=True)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", type=int, default=2000)
    parser.add_argument("--designs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    wrong = sum(run(name, one, options.games, options.seed) for name, one in CHECKS.items())
    wrong += sum(run(name, one, options.designs, options.seed) for name, one in DESIGNS.items())
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

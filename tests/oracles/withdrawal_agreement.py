"""Compare mechopt's withdrawal stage with the oracle on one small game; list every mismatch."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import mechopt as mo
from mechopt.withdrawal import all_equilibria, check_withdrawal
from tests.oracles import oracle_withdrawal as oracle


def instance_and_plan(game: oracle.Game, *, exact: bool = True) -> tuple[mo.Instance, mo.Plan]:
    """The game as mechopt sees it, in Fractions or in floats."""

    def numbers(column: list[Fraction]) -> list:
        return list(column) if exact else [float(entry) for entry in column]

    instance = mo.Instance(
        cost=numbers(game["theta"]),
        value=numbers(game["v"]),
        capacity=numbers([max(x, Fraction(1)) for x in game["x"]]),
        thresholds=numbers(game["T"]),
        shares=numbers(game["b"]),
        reversibility=numbers(game["rho"]),
        removable=numbers(game["delta"]),
        exclusion=numbers(game["eta"]) if "eta" in game else 0,
        committed=numbers(game["y"]) if "y" in game else 0,
    )
    plan = mo.Plan.from_arrays(
        instance,
        numbers(game["x"]),
        numbers(game["t"]),
        failure_bonus=game["f"] if exact else float(game["f"]),
        unconditional=game["unconditional"],
    )
    return instance, plan


def disagreements(game: oracle.Game, seed: int, *, exact: bool = True) -> list[str]:
    """What mechopt and the oracle say differently about one game, in exact numbers or floats."""
    instance, plan = instance_and_plan(game, exact=exact)
    rng = Random(seed)
    n = len(game["x"])
    found: list[str] = []

    def expect(what: str, got: object, wanted: object) -> None:
        if got != wanted:
            found.append(f"{what}: {got!r}, oracle {wanted!r}")

    everyone = oracle.everyone(game)
    report = check_withdrawal(instance, plan)
    expect("exact", report.exact, exact)
    expect("stable", report.stable, oracle.stable(game))
    slack = [
        oracle.payoff(game, i, everyone)
        - oracle.payoff(game, i, (*everyone[:i], False, *everyone[i + 1 :]))
        for i in oracle.movers(game)
    ]
    expect("margin", report.margin, float(min(slack)) if slack else float("inf"))
    gainers = [i for i, loss in zip(oracle.movers(game), slack) if loss < 0]
    expect("deviations", [deviation.user for deviation in report.deviations], gainers)

    nash = set(oracle.equilibria(game))
    listed = {tuple(stay.tolist()) for stay in all_equilibria(instance, plan)}
    expect("equilibria", listed, nash)
    expect(
        "all leave",
        report.all_leave,
        bool(oracle.movers(game)) and tuple(i not in oracle.movers(game) for i in range(n)) in nash,
    )
    if nash:
        keyed = {
            stay: (oracle.level(game, oracle.total(game, stay)), oracle.social_cost(game, stay))
            for stay in nash
        }
        best = min(keyed.values(), key=lambda key: (-key[0], key[1]))
        worst = min(keyed.values(), key=lambda key: (key[0], -key[1]))
        for name, answer, wanted in (("best", report.best, best), ("worst", report.worst, worst)):
            expect(f"{name} stays", tuple(answer.stay.tolist()) in nash, True)
            expect(name, (answer.level, answer.social_cost), (wanted[0], float(wanted[1])))
        data = [float(oracle.total(game, stay)) for stay in nash]
        expect("most data", report.most_data.total, max(data))
        expect("least data", report.least_data.total, min(data))
    else:
        expect("no equilibrium", str(report.best.status), "infeasible")

    for order in ("small-first", "large-first", "cost", rng.sample(range(n), n)):
        positions = oracle.order_by(game, order) if isinstance(order, str) else order
        wanted = oracle.subgame_perfect(game, positions)
        sequential = check_withdrawal(instance, plan, "sequential", order)
        expect(f"sequential {order}", tuple(sequential.outcome.stay.tolist()), wanted)
        level = oracle.level(game, oracle.total(game, wanted))
        expect(f"level {order}", sequential.outcome.level, level)
        expect(
            f"cost {order}", sequential.outcome.social_cost, float(oracle.social_cost(game, wanted))
        )
        everyone_trains = wanted == everyone and (level > 0 or not oracle.movers(game))
        expect(f"stable {order}", sequential.stable, everyone_trains)
        expect(
            f"leavers {order}",
            {d.user for d in sequential.deviations},
            {i for i, stays in enumerate(wanted) if not stays},
        )

    coalition = check_withdrawal(instance, plan, "coalition")
    blocking = oracle.blocking_coalitions(game, everyone)
    expect("coalition", coalition.stable, oracle.stable(game) and not blocking)
    witness = coalition.coalition
    expect("coalition exists", witness is not None, bool(blocking))
    if witness is not None:
        expect("coalition blocks", tuple(witness.users.tolist()) in blocking, True)
        expect("coalition size", witness.users.size, max(map(len, blocking)))
    return found

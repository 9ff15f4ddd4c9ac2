"""Benchmarks of the withdrawal checks against the full game tree and all stay-sets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from known_costs import LEVELS
from people import users
from spec import OURS, Route, Spec

import mechopt as mo

Game = tuple[mo.Instance, mo.Plan]


def game(n: int, levels: int) -> Game:
    """Random burdens, nine users in ten willing at the top level."""
    people = users(n)
    rng = np.random.Generator(np.random.PCG64(n + levels))
    burden = np.minimum(people["capacity"], rng.lognormal(0, 1, n))
    total = float(burden.sum())
    instance = mo.Instance(
        **people,
        thresholds=total * np.linspace(0.5, 0.9, levels) if levels > 1 else [0.7 * total],
        shares=np.linspace(0.1, 1, levels) if levels > 1 else None,
    )
    cost = people["cost"] * burden
    excess = np.maximum(cost - rng.uniform(0.2, 1.1, n) * people["value"], 0.0)
    return instance, mo.Plan.from_arrays(instance, burden, excess)


RISKY = 12  # users who may leave


def risky_game(n: int, levels: int) -> Game:
    """The largest dozen (of few users: every other one) may leave, the others are paid in full.

    The thresholds lie within what the dozen give, so that the best equilibrium trains, with some
    of them or all.
    """
    people = users(n)
    rng = np.random.Generator(np.random.PCG64(n + levels))
    burden = np.minimum(people["capacity"], rng.lognormal(0, 1, n))
    cost = people["cost"] * burden
    some = np.argsort(-burden)[:RISKY] if n > 2 * RISKY else np.arange(0, n, 2)
    total, at_stake = float(burden.sum()), float(burden[some].sum())
    drop = at_stake * np.linspace(0.95, 0.05, levels) if levels > 1 else np.array([0.3 * at_stake])
    instance = mo.Instance(
        **people,
        thresholds=total - drop,
        shares=np.linspace(0.1, 1, levels) if levels > 1 else None,
    )
    payment = 1.05 * cost
    least = cost[some] - rng.uniform(0.0, 0.2, some.size) * people["value"][some]
    payment[some] = np.maximum(least, 0.0)
    return instance, mo.Plan.from_arrays(instance, burden, payment)


def sequential(case: Game) -> float:
    return mo.check_withdrawal(*case, protocol="sequential").outcome.total


def simultaneous(case: Game) -> float:
    """Share and social cost of the best equilibrium in one number."""
    best = mo.check_withdrawal(*case, protocol="simultaneous").best
    return best.outcome.share + 1e-3 * best.outcome.social_cost


def _share(instance: mo.Instance, total: float) -> float:
    return instance.share_at(instance.level_of(total))


def tree(case: Game) -> float:
    """Backward induction on all 2^n histories, small-first; an indifferent user stays."""
    instance, plan = case
    burden = plan.burden
    risk = instance.reversibility * instance.cost * burden - plan.payment
    order = np.argsort(burden, kind="stable").tolist()
    x, r, v = burden.tolist(), risk.tolist(), instance.value.tolist()
    T, b = instance.thresholds.tolist(), [0.0, *instance.shares.tolist()]

    def play(position: int, kept: float) -> float:
        """The total finally kept."""
        if position == len(order):
            return kept
        i = order[position]
        stay, leave = play(position + 1, kept + x[i]), play(position + 1, kept)
        share_stay = b[sum(t <= stay for t in T)]
        share_leave = b[sum(t <= leave for t in T)]
        # nothing is paid and the cost comes back if training does not happen
        gain = v[i] * share_stay - (r[i] if share_stay > 0 else 0.0)
        return stay if gain >= v[i] * share_leave else leave

    return play(0, 0.0)


def stay_sets(case: Game) -> float:
    """All 2^n stay-sets, in NumPy; the best Nash equilibrium by share, then social cost."""
    return _best_of(case, np.arange(case[0].n))


def risky_sets(case: Game) -> float:
    """The stay-sets of those who are not paid in full; the others gain by staying in any case."""
    instance, plan = case
    return _best_of(case, np.flatnonzero(plan.payment < instance.cost * plan.burden))


def _best_of(case: Game, some: np.ndarray) -> float:
    """The best Nash equilibrium in which all but `some` stay."""
    instance, plan = case
    burden, value = plan.burden[some], instance.value[some]
    cost = instance.cost * plan.burden
    risk = instance.reversibility[some] * cost[some] - plan.payment[some]
    others = np.ones(instance.n, dtype=bool)
    others[some] = False
    sets = (np.arange(2**some.size)[:, None] >> np.arange(some.size)) & 1 == 1
    totals = plan.burden[others].sum() + sets @ burden
    levels = np.append(0.0, instance.shares)
    share = levels[np.searchsorted(instance.thresholds, totals, side="right")]
    stable = np.ones(len(sets), dtype=bool)
    for i in range(some.size):
        staying = sets[:, i]
        changed = np.where(staying, totals - burden[i], totals + burden[i])
        other = levels[np.searchsorted(instance.thresholds, changed, "right")]
        with_i, without = np.where(staying, share, other), np.where(staying, other, share)
        stays = value[i] * with_i - risk[i] * (with_i > 0)
        leaves = value[i] * without
        stable &= np.where(staying, stays >= leaves, leaves >= stays)
    spent = np.where(share > 0, cost[others].sum() + sets @ cost[some], 0.0)
    best = share[stable].max()
    return float(best + 1e-3 * spent[stable & (share == best)].min())


def _spec(
    make: Callable[[int, int], Game],
    levels: int,
    name: str,
    title: str,
    top: tuple[int, ...],
    **routes: Route,
) -> Spec:
    return Spec(
        name,
        title,
        "users",
        (4, 8, 12, 16, 18, 100, 1000, 10_000, *top),
        (4, 12, 1000, top[-1]),
        lambda n: make(n, levels),
        routes,
    )


SEQUENTIAL = _spec(
    game,
    1,
    "sequential-1",
    "Sequential check, one threshold: who stays",
    (100_000, 1_000_000),
    **{OURS: Route(sequential), "game tree 2^n": Route(tree, most=22)},
)
SEQUENTIAL_LEVELS = _spec(
    game,
    LEVELS,
    "sequential-10",
    "Sequential check, ten thresholds: who stays",
    (100_000,),
    **{OURS: Route(sequential), "game tree 2^n": Route(tree, most=22)},
)
SIMULTANEOUS = _spec(
    risky_game,
    1,
    "simultaneous-1",
    "Simultaneous check, one threshold: best equilibrium",
    (100_000, 1_000_000),
    **{
        OURS: Route(simultaneous),
        "stay-sets 2^n": Route(stay_sets, most=22),
        "stay-sets of the risky (check)": Route(risky_sets, check=True),
    },
)
SIMULTANEOUS_LEVELS = _spec(
    risky_game,
    LEVELS,
    "simultaneous-10",
    "Simultaneous check, ten thresholds: best equilibrium",
    (100_000,),
    **{
        OURS: Route(simultaneous),
        "stay-sets 2^n": Route(stay_sets, most=22),
        "stay-sets of the risky (check)": Route(risky_sets, check=True),
    },
)

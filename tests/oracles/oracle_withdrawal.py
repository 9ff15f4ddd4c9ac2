"""Oracle for the withdrawal stage: full game tree and all stay-sets, in Fractions, from the text.

Shares no code with mechopt. A game is a dict of lists (x, theta, rho, delta, v, t, and where given
exclusion eta and committed data y, section 10) and T, b, f.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial
from itertools import product
from typing import Any

Game = dict[str, Any]


def random_game(rng: Any, *, most_users: int = 6, most_levels: int = 4) -> Game:
    """A small game of dyadic numbers in eighths and quarters, rich in ties."""
    n = rng.randint(1, most_users)
    levels = rng.randint(1, most_levels)
    eighths = [Fraction(k, 8) for k in range(9)]
    x = [Fraction(rng.choice([0, 1, 1, 2, 2, 3, 4, 6]), 2) for _ in range(n)]
    kind = rng.random()
    delta = [Fraction(1)] * n if kind < 0.5 else [rng.choice([0, *eighths[2::2]]) for _ in range(n)]
    total = sum(x)
    grid = sorted({Fraction(k, 4) for k in range(1, int(4 * max(total, 2)) + 3)})
    thresholds = sorted(rng.sample(grid, levels))
    if rng.random() < 0.5 and total > 0 and total not in thresholds:
        thresholds = sorted([*thresholds[:-1], total])
    shares = sorted(rng.sample(eighths[1:], levels))
    return {
        "x": x,
        "theta": [Fraction(rng.randint(1, 8), 4) for _ in range(n)],
        "rho": [rng.choice([Fraction(1), Fraction(1), Fraction(1, 2), Fraction(0)]) for _ in x],
        "delta": [Fraction(d) for d in delta],
        "v": [Fraction(rng.randint(0, 12), 2) for _ in range(n)],
        "t": [Fraction(rng.choice([0, 0, 0, 1, 2, 6]), 2) for _ in range(n)],
        "T": thresholds,
        "b": shares,
        "f": rng.choice([Fraction(0), Fraction(0), Fraction(1, 2), Fraction(2)]),
        "unconditional": rng.random() < 0.15,
    }


def pivotal_game(rng: Any, *, most_users: int = 6, most_levels: int = 4) -> Game:
    """A game in which leaving hurts about as much as staying: X = T_K, r_i near v_i (b_K − b_m).

    Here protocols and orders often differ, which they seldom do in `random_game`.
    """
    n = rng.randint(2, max(2, most_users))
    x = [Fraction(rng.randint(1, 6), 2) for _ in range(n)]
    halves = [Fraction(k, 2) for k in range(1, int(2 * sum(x)))]
    levels = min(rng.randint(2, max(2, most_levels)), len(halves) + 1)
    thresholds = [*sorted(rng.sample(halves, levels - 1)), sum(x)]
    b = [Fraction(0), *sorted(Fraction(k, 8) for k in rng.sample(range(1, 9), levels))]
    v = [Fraction(rng.randint(1, 12), 2) for _ in range(n)]
    slip = [Fraction(0), Fraction(0), Fraction(-1, 4), Fraction(1, 8)]
    r = [max(u * (b[-1] - rng.choice(b[:-1])) + rng.choice(slip), Fraction(1, 16)) for u in v]
    t = [Fraction(rng.choice([0, 0, 1]), 4) for _ in range(n)]
    return {
        "x": x,
        "theta": [(gap + pay) / amount for gap, pay, amount in zip(r, t, x)],
        "rho": [Fraction(1)] * n,
        "delta": [rng.choice([Fraction(1), Fraction(1), Fraction(3, 4)]) for _ in x]
        if rng.random() < 0.3
        else [Fraction(1)] * n,
        "v": v,
        "t": t,
        "T": thresholds,
        "b": b[1:],
        "f": Fraction(0),
        "unconditional": False,
    }


def with_rights(rng: Any, game: Game) -> Game:
    """The game with exclusion and, half of the time, committed data."""
    eighth = Fraction(1, 8)
    eta = rng.choice([[0], [1], [Fraction(1, 2)], [0, Fraction(1, 4), Fraction(1, 2), 1]])
    part = rng.choice([[0], [0, 0, Fraction(1, 2), 1]])
    return {
        **game,
        "eta": [Fraction(rng.choice(eta)) for _ in game["x"]],
        "y": [rng.choice(part) * x for x in game["x"]],
        "t": [t + rng.choice([0, 0, eighth]) for t in game["t"]],
    }


def right(game: Game, name: str, i: int) -> Fraction:
    """η_i or y_i, 0 where not given."""
    return game[name][i] if name in game else Fraction(0)


def left_behind(game: Game) -> list[Fraction]:
    """What of everybody's data stays if he leaves."""
    return [
        right(game, "y", i) + (1 - d) * (x - right(game, "y", i))
        for i, (x, d) in enumerate(zip(game["x"], game["delta"]))
    ]


def total(game: Game, stay: Any) -> Fraction:
    left = left_behind(game)
    return sum((x if s else rest for x, rest, s in zip(game["x"], left, stay)), Fraction(0))


def level(game: Game, amount: Fraction) -> int:
    return sum(1 for threshold in game["T"] if amount >= threshold)


def payoff(game: Game, i: int, stay: Any) -> Fraction:
    """Section 2, word for word, with section 10's exclusion and committed data."""
    return payoff_at(game, i, stay[i], level(game, total(game, stay)))


def payoff_at(game: Game, i: int, stays: bool, reached: int) -> Fraction:
    """What i gets, staying or not, where this level is reached."""
    share = game["b"][reached - 1] if reached else Fraction(0)
    cost = game["theta"][i] * game["x"][i]
    sunk = sunk_cost(game, i)
    if not stays:
        return (1 - right(game, "eta", i)) * game["v"][i] * share - sunk
    if reached:
        return game["v"][i] * share + game["t"][i] - cost
    return (game["t"][i] if game["unconditional"] else 0) + game["f"] - sunk


def payoffs(game: Game) -> Callable[[int, tuple[bool, ...]], Fraction]:
    """`payoff` of this game as a function of i and stay, for many calls: nothing twice."""
    at = cache(partial(payoff_at, game))
    pairs = list(zip(left_behind(game), game["x"]))

    @cache
    def reached(stay: tuple[bool, ...]) -> int:
        return level(game, sum((pair[s] for pair, s in zip(pairs, stay)), Fraction(0)))

    return lambda i, stay: at(i, stay[i], reached(stay))


def sunk_cost(game: Game, i: int) -> Fraction:
    recovered = game["rho"][i] * game["theta"][i] * (game["x"][i] - right(game, "y", i))
    return game["theta"][i] * game["x"][i] - recovered


def movers(game: Game) -> list[int]:
    return [i for i, x in enumerate(game["x"]) if x > right(game, "y", i)]


def stay_sets(game: Game) -> list[tuple[bool, ...]]:
    """All profiles; users with nothing to withdraw stay."""
    able = movers(game)
    return list(product(*((False, True) if i in able else (True,) for i in range(len(game["x"])))))


def is_nash(game: Game, stay: tuple[bool, ...], pay: Any = None) -> bool:
    pay = pay or payoffs(game)
    for i in movers(game):
        other = (*stay[:i], not stay[i], *stay[i + 1 :])
        if pay(i, other) > pay(i, stay):
            return False
    return True


def equilibria(game: Game) -> list[tuple[bool, ...]]:
    pay = payoffs(game)
    return [stay for stay in stay_sets(game) if is_nash(game, stay, pay)]


def everyone(game: Game) -> tuple[bool, ...]:
    return (True,) * len(game["x"])


def stable(game: Game) -> bool:
    """W1: training happens and nobody gains by leaving alone; true if nothing is asked."""
    if not movers(game):
        return True
    stay = everyone(game)
    return level(game, total(game, stay)) > 0 and is_nash(game, stay)


def subgame_perfect(game: Game, order: list[int]) -> tuple[bool, ...]:
    """Backward induction on the full tree; an indifferent user stays."""
    able, pay = movers(game), payoffs(game)
    sequence = [i for i in order if i in able]

    def play(position: int, stay: tuple[bool, ...]) -> tuple[bool, ...]:
        if position == len(sequence):
            return stay
        i = sequence[position]
        keep = play(position + 1, stay)
        leave = play(position + 1, (*stay[:i], False, *stay[i + 1 :]))
        return keep if pay(i, keep) >= pay(i, leave) else leave

    return play(0, everyone(game))


def social_cost(game: Game, stay: tuple[bool, ...]) -> Fraction:
    trains = level(game, total(game, stay)) > 0
    return sum(
        (
            game["theta"][i] * game["x"][i] if s and trains else sunk_cost(game, i)
            for i, s in enumerate(stay)
        ),
        Fraction(0),
    )


def blocking_coalitions(game: Game, stay: tuple[bool, ...]) -> list[tuple[int, ...]]:
    """All sets of users who all gain strictly when they change their decisions together."""
    found, able, pay = [], movers(game), payoffs(game)
    for other in stay_sets(game):
        changed = [i for i in able if other[i] != stay[i]]
        if changed and all(pay(i, other) > pay(i, stay) for i in changed):
            found.append(tuple(changed))
    return found


def order_by(game: Game, name: str) -> list[int]:
    keys = {
        "small-first": lambda i: game["x"][i],
        "large-first": lambda i: -game["x"][i],
        "cost": lambda i: game["theta"][i],
    }
    return sorted(range(len(game["x"])), key=keys[name])

"""Oracle for the rights of the rights, in Fractions, from the text.

Withdrawal of a part and re-assignment (exclusion and committed data are in `oracle_withdrawal`,
whose games these are, always with `eta` and `y`). Shares no code with mechopt.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

F = Fraction
Game = dict[str, Any]


def share(game: Game, amount: Fraction) -> Fraction:
    level = sum(1 for threshold in game["T"] if amount >= threshold)
    return game["b"][level - 1] if level else F(0)


# -- a part may be taken back ---------------------------------------------------------------------


def part_payoff(game: Game, i: int, kept: list[Fraction]) -> Fraction:
    """Everyone keeps kept_j ∈ [y_j, x_j]; the payment goes to who keeps everything."""
    left = sum((k + (1 - d) * (x - k) for k, d, x in zip(kept, game["delta"], game["x"])), F(0))
    b = share(game, left)
    x, y, k = game["x"][i], game["y"][i], kept[i]
    theta, rho = game["theta"][i], game["rho"][i]
    if not b:  # the data are deleted; everybody recovers what is reversible
        promised = game["f"] + (game["t"][i] if game["unconditional"] else 0)
        return -theta * x + rho * theta * (x - y) + (promised if k == x else 0)
    enjoyed = (1 if k == x else 1 - game["eta"][i]) * game["v"][i] * b
    return enjoyed + (game["t"][i] if k == x else 0) - theta * x + rho * theta * (x - k)


def part_gain(game: Game, i: int) -> Fraction:
    """What user i gains by the best amount taken back when all others keep everything.

    His payoff rises in what he takes back but where a level is lost (and, with exclusion or a
    payment, at the first crumb), so only the ends of the stretches matter: all of it, and as much
    as still leaves T_m.
    """
    x, y, d = game["x"][i], game["y"][i], game["delta"][i]
    everything = sum(game["x"], F(0))
    takes = {x - y}
    for threshold in game["T"]:
        if d > 0 and 0 < (everything - threshold) / d < x - y:
            takes.add((everything - threshold) / d)
    kept = list(game["x"])
    now = part_payoff(game, i, kept)
    best = -now + max(part_payoff(game, i, [*kept[:i], x - take, *kept[i + 1 :]]) for take in takes)
    return best


def part_path(game: Game, order: list[int], grid: Fraction) -> list[Fraction]:
    """What everybody keeps, subgame-perfect, by backward induction over multiples of `grid`.

    An indifferent user keeps the most. Exact if every amount at which anybody stops is a multiple.
    """

    def play(position: int, kept: list[Fraction]) -> list[Fraction]:
        if position == len(order):
            return kept
        i = order[position]
        options = []
        for step in range(int((game["x"][i] - game["y"][i]) / grid) + 1):
            mine = list(kept)
            mine[i] = game["x"][i] - step * grid
            options.append(play(position + 1, mine))
        return max(options, key=lambda found: (part_payoff(game, i, found), found[i]))

    return play(0, list(game["x"]))


def part_share(game: Game, kept: list[Fraction]) -> Fraction:
    left = [k + (1 - d) * (x - k) for k, d, x in zip(kept, game["delta"], game["x"])]
    return share(game, sum(left, F(0)))


def part_game(rng: Any, *, levels: int) -> Game:
    """Up to three users; all amounts at which anybody stops are multiples of 1/4 (δ = 1)."""
    n = rng.randint(1, 3)
    x = [F(rng.randint(1, 6), 4) for _ in range(n)]
    room = range(1, max(int(4 * sum(x)), levels) + 2)
    cuts = sorted(rng.sample(room, levels))
    if rng.random() < 0.5:
        cuts = sorted({*cuts[:-1], int(4 * sum(x))})
    b = sorted(rng.sample([F(1, 4), F(1, 2), F(3, 4), F(1)], len(cuts)))
    return {
        "x": x,
        "y": [rng.choice([F(0), F(0), min(F(1, 4), k)]) for k in x],
        "theta": [F(rng.random() < 0.8) for _ in x],
        "rho": [F(1)] * n,
        "delta": [F(1)] * n,
        "eta": [rng.choice([F(0), F(0), F(1, 2), F(1)]) for _ in x],
        "v": [F(2 * rng.randint(0, 4)) for _ in x],
        "t": [F(rng.choice([0, 0, 0, 1, 2]), 4) for _ in x],
        "T": [F(cut, 4) for cut in cuts],
        "b": b,
        "f": F(0),
        "unconditional": False,
    }


def part_design(game: Game, level: int, grid: Fraction) -> tuple[Fraction, Fraction] | None:
    """(least payments, least cost without payments or None) at `level`, burdens on a grid.

    Each user's payment is what makes taking anything back, and staying out, no gain; θ x is the
    cost of x. Users' capacities are in `cap`; one user makes up the total.
    """
    amount, b = game["T"][level - 1], game["b"][level - 1]
    top = {**game, "T": game["T"][:level], "b": game["b"][:level]}
    axes = [[grid * k for k in range(int(cap / grid) + 1)] for cap in game["cap"]]
    pay: Fraction | None = None
    cost: Fraction | None = None
    for x in product(*axes):
        if sum(x) != amount:
            continue
        asked = {**top, "x": list(x), "y": [F(0)] * len(x), "t": [F(0)] * len(x)}
        costs = [theta * one for theta, one in zip(game["theta"], x)]
        needs = [
            max(F(0), c - v * b, part_gain(asked, i) if x[i] else F(0))
            for i, (c, v) in enumerate(zip(costs, game["v"]))
        ]
        spent, borne = sum(needs, F(0)), sum(costs, F(0))
        pay = spent if pay is None else min(pay, spent)
        if not spent:
            cost = borne if cost is None else min(cost, borne)
    return None if pay is None else (pay, cost if cost is not None else F(-1))


def part_design_in_turn(game: Game, name: str, grid: Fraction, *, paid: bool) -> Fraction | None:
    """Least payments (or cost, unpaid) at the top level in sequence; burdens, payments on a grid.

    Everybody keeps everything on the path of `part_path`, in the order `name` of the burdens.
    """
    n, b = len(game["cap"]), game["b"][-1]
    axes = [[grid * k for k in range(int(cap / grid) + 1)] for cap in game["cap"]]
    best: Fraction | None = None
    for x in product(*axes):
        if sum(x) < game["T"][-1]:
            continue
        costs = [theta * one for theta, one in zip(game["theta"], x)]
        least = [max(F(0), c - v * b) for c, v in zip(costs, game["v"])]
        money = [[k * grid for k in range(int(c / grid) + 1) if k * grid >= low] if paid else [F(0)]
                 for c, low in zip(costs, least)]  # fmt: skip
        if not paid and any(least):
            continue
        order = sorted(range(n), key=lambda i: x[i] if name == "small-first" else -x[i])
        for t in product(*money):
            worth = sum(t, F(0)) if paid else sum(costs, F(0))
            if best is not None and worth >= best:
                continue
            asked = {**game, "x": list(x), "y": [F(0)] * n, "t": list(t)}
            if part_path(asked, [i for i in order if x[i]], grid) == list(x):
                best = worth
    return best


def part_design_game(rng: Any) -> Game:
    """Two or three users, two or three thresholds, everything a multiple of 1/4 (δ = ρ = θ = 1)."""
    n = rng.choice([2, 2, 3])
    cap = [F(rng.randint(1, 6 if n == 2 else 3), 4) for _ in range(n)]
    levels = rng.randint(2, 3)
    cuts = rng.sample(range(1, max(int(4 * sum(cap)), levels) + 1), levels)
    one = [F(1)] * n
    return {
        "cap": cap, "theta": one, "rho": one, "delta": one,
        "eta": [rng.choice([F(0), F(0), F(1, 2), F(1)]) for _ in cap],
        "v": [F(2 * rng.randint(0, 3), 2) for _ in cap],
        "T": [F(cut, 4) for cut in sorted(cuts)],
        "b": sorted(rng.sample([F(1, 4), F(1, 2), F(3, 4), F(1)], levels)),
        "f": F(0), "unconditional": False,
    }  # fmt: skip


# -- re-assignment: the mechanism is run again without whoever leaves -----------------------------


def reaches(game: Game, users: list[int]) -> Fraction:
    """B reached by `users` asked afresh, one threshold, no payments: each up to C^{-1}(v b)."""
    b = game["b"][0]
    most = sum(
        (
            min(
                game["cap"][i],
                game["v"][i] * b / game["theta"][i] if game["theta"][i] else game["cap"][i],
            )
            for i in users
        ),
        F(0),
    )
    return b if most >= game["T"][0] else F(0)

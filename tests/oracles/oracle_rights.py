"""Oracle for the rights of FORMULATION section 10, in Fractions, from the text.

Withdrawal of a part and re-assignment (exclusion and committed data are in `oracle_withdrawal`,
whose games these are, always with `eta` and `y`). Shares no code with mechopt.
"""

from __future__ import annotations

from fractions import Fraction
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
        return -theta * x + rho * theta * (x - y)
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


def part_outcome_trains(game: Game, order: list[int], grid: Fraction) -> bool:
    """K = 1, sequential: whether training happens, by backward induction over a grid of amounts.

    Indifferent users keep the most. Exact if all data are multiples of `grid` and so is every
    v / (ρ θ) (the only places at which anybody stops).
    """
    amounts = {i: int((game["x"][i] - game["y"][i]) / grid) for i in order}

    def play(position: int, kept: list[Fraction]) -> list[Fraction]:
        if position == len(order):
            return kept
        i = order[position]
        best: list[Fraction] | None = None
        for step in range(amounts[i] + 1):
            mine = list(kept)
            mine[i] = game["x"][i] - step * grid
            found = play(position + 1, mine)
            if best is None or part_payoff(game, i, found) > part_payoff(game, i, best):
                best = found
        assert best is not None
        return best

    kept = play(0, list(game["x"]))
    left = sum((k + (1 - d) * (x - k) for k, d, x in zip(kept, game["delta"], game["x"])), F(0))
    return share(game, left) > 0


# -- re-assignment: the mechanism is run again without whoever leaves -----------------------------


def reaches(game: Game, users: list[int]) -> Fraction:
    """B reached by `users` asked afresh, one threshold, no payments: each up to C^{-1}(v b)."""
    b = game["b"][0]
    most = sum((min(game["cap"][i], game["v"][i] * b / game["theta"][i]) for i in users), F(0))
    return b if most >= game["T"][0] else F(0)

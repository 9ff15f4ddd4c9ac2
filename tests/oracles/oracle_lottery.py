"""A few users of one group, no payments: the best DSIC lottery over a grid of plans, by the game.

Shares no code with the package: in every state and at every level all splits of T_k on a grid are
played (the one who gives less decides first, an indifferent user stays), and a linear program
chooses the lottery, with incentives, misreport-then-withdraw included, and participation.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import linprog

EDGE = 1e-9


def level(total, thresholds):
    return sum(total >= edge - EDGE for edge in thresholds)


def game(x, r, v, thresholds, shares):
    """(who stays, level left if each goes on his turn), small-first, equals by position."""
    b = [0.0, *shares]
    order = sorted(range(len(x)), key=lambda i: (x[i], i))

    def reply(place, total):
        """(does everybody from here on stay, level reached) when `total` was left so far."""
        if place == len(order):
            return True, level(total, thresholds)
        user = order[place]
        all_stay, stay = reply(place + 1, total + x[user])
        if x[user] == 0:
            return all_stay, stay
        gone = reply(place + 1, total)[1]
        pays = v * b[stay] - r[user] if stay else 0.0
        if pays >= v * b[gone] - EDGE:
            return all_stay, stay
        return False, gone

    before = [sum(x[j] for j in order[:place]) for place in range(len(order))]
    left = [0] * len(x)
    for place, user in enumerate(order):
        left[user] = reply(place + 1, before[place])[1]
    return reply(0, 0.0)[0], left


def splits(users, steps):
    """Shares of all the data, on a grid, shape (users,) each."""
    for bars in itertools.combinations(range(steps + users - 1), users - 1):
        ends = (-1, *bars, steps + users - 1)
        yield [(b - a - 1) / steps for a, b in itertools.pairwise(ends)]


def plans(costs, types, v, cap, rho, thresholds, shares, steps):
    """(level, x, levels left) of the sustained splits of every threshold between the users."""
    for k, top in enumerate(thresholds):
        for share in splits(len(types), steps):
            x = [top * one for one in share]
            own = [costs[j] * one for j, one in zip(types, x)]
            if max(x) > cap + EDGE or any(v * shares[k] < one - EDGE for one in own):
                continue
            stay, left = game(x, [rho * one for one in own], v, thresholds, shares)
            if stay:
                yield k, x, left


def best(costs, chances, v, cap, rho, thresholds, shares, *, steps, users=2):
    """The highest E[B] of a lottery over plans on the grid, DSIC, ex-post, D5 and D6."""
    b = [0.0, *shares]
    profiles = list(itertools.product(range(len(costs)), repeat=users))
    columns = []  # (reports, level, x, left)
    for types in profiles:
        columns += [
            (types, *plan) for plan in plans(costs, types, v, cap, rho, thresholds, shares, steps)
        ]
    if not columns:
        return 0.0

    def payoff(user, true, column):
        types, k, x, left = column
        stay = v * shares[k] - costs[true] * x[user]
        if true == types[user] or x[user] == 0:
            return stay
        return max(stay, v * b[left[user]] - (1 - rho) * costs[true] * x[user])

    law = {types: np.prod([chances[j] for j in types]) for types in profiles}
    gain = np.array([law[c[0]] * shares[c[1]] for c in columns])
    rows = [[float(c[0] == types) for c in columns] for types in profiles]
    most = [1.0] * len(rows)
    for user, honest, told in itertools.product(range(users), profiles, range(len(costs))):
        true = honest[user]
        if true == told:
            continue
        lying = (*honest[:user], told, *honest[user + 1 :])
        rows.append(
            [
                payoff(user, true, c) * (float(c[0] == lying) - float(c[0] == honest))
                for c in columns
            ]
        )
        most.append(0.0)
    return -linprog(-gain, A_ub=np.array(rows), b_ub=most, method="highs").fun

"""Game files: parsed back here, they have the equilibria of the oracle."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import product
from pathlib import Path
from random import Random

import pytest

import mechopt as mo
from mechopt.errors import InvalidOption, OutputError, TooLarge
from mechopt.withdrawal import sequential_game, simultaneous_game, write_game
from tests.oracles import oracle_withdrawal as oracle
from tests.oracles.withdrawal_agreement import instance_and_plan

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}]|[^\s{},]+')


def parse_nfg(text: str) -> tuple[list[str], dict[tuple[bool, ...], list[Fraction]]]:
    """Players, and payoffs by profile (True = first strategy); first player fastest."""
    tokens = TOKEN.findall(text)
    assert tokens[:3] == ["NFG", "1", "R"]
    end = tokens.index("}")
    players = tokens[5:end]
    rest = tokens[end + 1 :]
    assert rest[0] == "{"
    place = 1
    for _ in players:
        assert rest[place : place + 4] == ["{", '"stay"', '"leave"', "}"]
        place += 4
    assert rest[place] == "}"
    numbers = [Fraction(token) for token in rest[place + 1 :]]
    profiles = [tuple(reversed(p)) for p in product((True, False), repeat=len(players))]
    assert len(numbers) == len(players) * len(profiles)
    width = len(players)
    return players, {
        profile: numbers[row * width : (row + 1) * width] for row, profile in enumerate(profiles)
    }


def solve_efg(text: str) -> tuple[list[str], list[bool], int]:
    """Players, the subgame-perfect path (first action on ties), and the number of end nodes."""
    lines = text.splitlines()
    head = TOKEN.findall(lines[0])
    assert head[:3] == ["EFG", "2", "R"]
    players = head[5:-1]
    nodes = iter(line for line in lines[2:] if line)
    ends = set()
    sets = set()

    def read() -> tuple[list[Fraction], list[bool]]:
        tokens = TOKEN.findall(next(nodes))
        if tokens[0] == "t":
            assert tokens[2] not in ends
            ends.add(tokens[2])
            return [Fraction(token) for token in tokens[5:-1]], []
        assert tokens[0] == "p"
        assert tokens[5:9] == ["{", '"stay"', '"leave"', "}"]
        player = int(tokens[2]) - 1
        assert (player, tokens[3]) not in sets  # perfect information
        sets.add((player, tokens[3]))
        keep, leave = read(), read()
        if keep[0][player] >= leave[0][player]:
            return keep[0], [True, *keep[1]]
        return leave[0], [False, *leave[1]]

    _, path = read()
    assert next(nodes, None) is None
    return players, path, len(ends)


def test_strategic_form_has_the_oracles_payoffs_and_equilibria() -> None:
    for seed in range(80):
        game = oracle.random_game(Random(seed), most_users=5)
        users = oracle.movers(game)
        if not users:
            continue
        instance, plan = instance_and_plan(game)
        players, payoffs = parse_nfg(simultaneous_game(instance, plan))
        assert len(players) == len(users)
        nash = set()
        for profile, values in payoffs.items():
            stay = list(oracle.everyone(game))
            for i, stays in zip(users, profile):
                stay[i] = stays
            assert values == [oracle.payoff(game, i, tuple(stay)) for i in users]
            turned = [(*profile[:k], not profile[k], *profile[k + 1 :]) for k in range(len(users))]
            if all(payoffs[other][k] <= values[k] for k, other in enumerate(turned)):
                nash.add(tuple(stay))
        assert nash == set(oracle.equilibria(game))


def test_extensive_form_has_the_oracles_outcome() -> None:
    for seed in range(80):
        rng = Random(seed)
        game = oracle.random_game(rng, most_users=5)
        users = oracle.movers(game)
        if not users:
            continue
        instance, plan = instance_and_plan(game)
        order = rng.sample(range(instance.n), instance.n)
        players, path, ends = solve_efg(sequential_game(instance, plan, order))
        movers = [i for i in order if game["x"][i] > 0]
        assert players == [f'"user {i}"' for i in movers]
        assert ends == 2 ** len(users)
        stay = oracle.subgame_perfect(game, order)
        assert path == [stay[i] for i in movers]


def test_files_and_refusals(tmp_path: Path) -> None:
    instance = mo.Instance(
        cost=[0.5, 1], value=3, capacity=1, thresholds=[2], ids=['a "quoted" one', "b\\"]
    )
    plan = mo.Plan.from_arrays(instance, [1, 1])
    write_game(instance, plan, tmp_path / "game.nfg")
    players, payoffs = parse_nfg((tmp_path / "game.nfg").read_text())
    assert players[0] == '"user 0 (id \'a \\"quoted\\" one\')"'
    assert payoffs[True, True] == [Fraction(5, 2), 2]
    write_game(instance, plan, tmp_path / "game.efg", order="large-first")
    assert solve_efg((tmp_path / "game.efg").read_text())[1] == [True, True]
    with pytest.raises(InvalidOption, match=r"ends in \.nfg or \.efg"):
        write_game(instance, plan, tmp_path / "game.txt")
    with pytest.raises(OutputError, match="cannot be written"):
        write_game(instance, plan, tmp_path / "missing" / "game.nfg")
    many = mo.Instance(cost=[1] * 13, value=3, capacity=1, thresholds=[2])
    with pytest.raises(TooLarge, match="13 users"):
        simultaneous_game(many, mo.Plan.from_arrays(many, [1] * 13))

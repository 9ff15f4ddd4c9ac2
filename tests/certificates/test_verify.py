"""The checker on its own: certificates made by hand, forged ones, and thousands of mutants."""

from __future__ import annotations

import ast
import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction as F
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt import checker
from mechopt.certificates.mechanism_proofs import ExactOptimum
from mechopt.checker import Refuted
from mechopt.checker.claims import problem_of
from mechopt.checker.data import _NUMBER, Levels, User
from mechopt.checker.withdrawal import all_stay_in_turn
from mechopt.exact.prices import LevelProblem
from tests.certificates.checked import sealed
from tests.oracles import oracle_posted
from tests.problems import random_instance


@pytest.fixture
def by_hand() -> dict[str, Any]:
    """θ = 1, 2, T = 3, v = 2: free are 2 and 1 units; social cost 2 + 2 = 4 without payments.

    Prices: λ = 2 makes the second user's units break even: 2·3 − [2·2 − 2] = 4.
    """
    user = {"reversibility": 1, "removable": 1, "widths": [9], "slopes": [1], "value": 2}
    return sealed(
        {
            "schema_version": 1,
            "kind": "certificate",
            "problem": {
                "kind": "instance",
                "users": [{"id": "a", "cost": 1, **user}, {"id": "b", "cost": 2, **user}],
                "thresholds": [3],
                "shares": [1],
                "provider_value": 0,
                "budget": None,
            },
            "terms": {
                "mechanism": "burdens",
                "objective": "social-cost",
                "protocol": "simultaneous",
                "order": "small-first",
                "transfers": False,
                "reserve": 0,
                "target": None,
            },
            "claim": {
                "status": "optimal",
                "optimum": 4,
                "bound": "4",
                "also": {"stays": {"simultaneous": True, "coalition": True, "sequential": True}},
            },
            "answer": {"level": 1, "burden": ["2", 1], "payment": [0, 0]},
            "proof": {"1": {"shows": "bound", "data_price": "2", "budget_price": "0"}},
            "about": {},
        }
    )


@pytest.fixture(scope="module")
def lottery() -> dict[str, Any]:
    """Example 5 of the formulation with D6: 13/25."""
    group = mo.Group(
        2, costs=["1/8", "1/3", 1], probabilities=["1/5", "1/5", "3/5"], value=1, capacity=4
    )
    population = mo.Population([group], thresholds=4)
    mechanism = mo.solve(
        population, "direct", objective="improvement", incentive="bic", transfers=False
    )
    return dict(mo.certify(population, mechanism).document)


def three(**more: Any) -> mo.Instance:
    """Three users in exact numbers, a provider to whom the improvement is worth 40."""
    return mo.Instance(
        **{"cost": [1, "3/2", 4], "capacity": [4, 5, 10], "provider_value": 40, **more}
    )


TWO = {"thresholds": [3, 8], "shares": ["1/2", 1]}


@pytest.fixture(scope="module")
def paying() -> dict[str, Any]:
    """A plan with a binding budget: both prices are positive."""
    instance = three(value=[2, 0, 6], thresholds=[9], budget=9, provider_value=0)
    plan = mo.solve(instance, "burdens", objective="social-cost")
    document = dict(mo.certify(instance, plan).document)
    assert F(document["proof"]["1"]["budget_price"]) > 0
    return document


@pytest.fixture(scope="module")
def branching() -> dict[str, Any]:
    """Two thresholds, with a split range in the proof."""
    rng = np.random.default_rng(3)
    while True:
        instance = random_instance(rng, users=3, levels=2, exact=True)
        plan = mo.solve(instance, "burdens", objective="provider-surplus")
        document = dict(mo.certify(instance, plan).document)
        if "cut" in json.dumps(document["proof"]) and document["claim"]["status"] == "optimal":
            return document


@pytest.fixture(scope="module")
def price() -> dict[str, Any]:
    """A posted price that reaches the second of two thresholds."""
    instance = three(value=[2, 0, 6], **TWO)
    return dict(mo.certify(instance, mo.solve(instance, "posted-price")).document)


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    instance = three(value=1, thresholds=[8])
    plan = mo.solve(instance, "posted-contract", objective="improvement")
    return dict(mo.certify(instance, plan).document)


@pytest.fixture(scope="module")
def together() -> dict[str, Any]:
    """The coalition protocol with a reserve above the first of two thresholds."""
    instance = three(value=[7, 5, 6], **TWO)
    plan = mo.solve(instance, "burdens", objective="welfare", protocol="coalition", reserve=0.5)
    document = dict(mo.certify(instance, plan).document)
    assert document["claim"]["status"] == "optimal"
    return document


def test_a_certificate_written_by_hand(by_hand: dict[str, Any]) -> None:
    facts = checker.verify(by_hand)
    assert "social-cost 4 is reached; any answer has at least 4" in facts
    assert "everyone stays, sequential: True" in facts


FOLDER = Path(checker.__file__).parent


def test_only_the_standard_library_is_imported() -> None:
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and not node.level:
                assert (node.module or "").split(".")[0] in {*sys.stdlib_module_names, "__future__"}
            elif isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= set(sys.stdlib_module_names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 1, path


def test_a_sceptic_reads_it_in_ten_minutes() -> None:
    """What one certificate needs: claims, data, and the module of its kind of problem.

    Parts, re-assignment and committed data need `rights` as well, plans in whole units and the like
    `practice`.
    """
    lines = {path.stem: len(path.read_text().splitlines()) for path in FOLDER.glob("*.py")}
    shared = lines["claims"] + lines["data"]
    assert shared + lines["plans"] + lines["withdrawal"] < 590
    assert lines["rights"] < 150
    assert lines["practice"] < 330
    assert lines["zones"] < 290
    assert shared + lines["posted"] < 420
    assert shared + lines["mechanisms"] < 590


def test_it_runs_as_a_lone_folder(by_hand: dict[str, Any], tmp_path: Path) -> None:
    """Copied elsewhere, without the package and without site-packages."""
    shutil.copytree(FOLDER, tmp_path / "checker", ignore=shutil.ignore_patterns("__pycache__"))
    forged = copy.deepcopy(by_hand)
    forged["claim"]["optimum"] = forged["claim"]["bound"] = 3
    for name, document in (("good", by_hand), ("forged", sealed(forged))):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    (tmp_path / "nonsense.json").write_text("{")

    def run(*names: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-E", "-s", "-S", "-m", "checker", *names],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    assert run("good.json")[0] == 0
    assert run("forged.json")[0] == 1
    assert "REFUTED" in run("forged.json")[1]
    assert run("nonsense.json")[0] == 2
    assert run("missing.json")[0] == 2
    assert run()[0] == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d["answer"].update(burden=[1, 2]), "A3"),
        (lambda d: d["answer"].update(burden=[2, "1/2"]), "A1"),
        (lambda d: d["answer"].update(burden=[-1, 4]), "A2"),
        (lambda d: d["answer"].update(payment=[0, 1]), "transfers"),
        (lambda d: d["answer"].update(level=0), "A6"),
        (lambda d: d["answer"].update(level=2), "level"),
        (lambda d: d["claim"].update(optimum=3), "objective"),
        (lambda d: d["claim"].update(bound=3), "bound"),
        (lambda d: d["claim"].update(status="null"), "null"),
        (lambda d: d["claim"].update(status="infeasible"), "infeasible"),
        (lambda d: d["claim"].update(also={}), "besides"),
        (lambda d: d["proof"]["1"].update(data_price="3/2"), "bound"),
        (lambda d: d["proof"]["1"].update(data_price="-2"), "bound"),
        (lambda d: d["proof"]["1"].update(budget_price="1"), "budget"),
        (lambda d: d["proof"]["1"].update(shows="unreachable"), "out of reach"),
        (lambda d: d["problem"]["users"][0].update(cost=-1), "cost"),
        (lambda d: d["problem"]["users"][0].update(slopes=[0]), "slope"),
        (lambda d: d["problem"]["users"][0].update(reversibility=2), "user"),
        (lambda d: d["problem"].update(thresholds=[]), "thresholds"),
        (lambda d: d["problem"].update(thresholds=[3, 2], shares=["1/2", 1]), "increase"),
        (lambda d: d["problem"].update(thresholds=["1e1"]), "fraction"),
        (lambda d: d["problem"].update(thresholds=[3.0]), "fraction"),
        (lambda d: d["problem"].update(thresholds=[True]), "fraction"),
        (lambda d: d["terms"].update(protocol="whatever"), "protocol"),
        (lambda d: d.update(proof={}), "malformed"),
        (lambda d: d.update(answer=[]), "malformed"),
        (lambda d: d.update(problem={"kind": "plan"}), "kind"),
    ],
)
def test_what_a_forger_may_try(by_hand: dict[str, Any], change: Any, why: str) -> None:
    document = copy.deepcopy(by_hand)
    change(document)
    with pytest.raises(Refuted, match="seal"):
        checker.verify(document)
    with pytest.raises(Refuted, match=why):
        checker.verify(sealed(document))


@pytest.mark.parametrize("name", ["transfers", "randomized", "withdrawal_rights"])
@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_flags_are_true_or_false(lottery: dict[str, Any], name: str, value: Any) -> None:
    """1 is not quite True: it must not switch a constraint off unseen."""
    document = copy.deepcopy(lottery)
    document["terms"][name] = value
    with pytest.raises(Refuted, match="neither"):
        checker.verify(sealed(document))


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("price", lambda d: d["answer"].update(price="1/2"), "optimal"),
        ("price", lambda d: d["claim"]["also"].update(least_payments="0"), "besides"),
        ("price", lambda d: d["terms"].update(offer={"price": "4"}), "another offer"),
        ("price", lambda d: d.update(proof={"1": {}}), "enumeration"),
        ("contract", lambda d: d["answer"].update(floor=0), "nothing"),
        ("contract", lambda d: d["claim"]["also"].update(offers="some"), "besides"),
        ("together", lambda d: d["claim"]["also"]["stays"].update(coalition=False), "besides"),
        ("together", lambda d: d["terms"].update(reserve="5"), "A1|bound|level"),
        ("lottery", lambda d: d["terms"].update(withdrawal_rights=False), "variable|multipl|D|ma"),
        ("lottery", lambda d: d["answer"].update({"p 1 (9, 0, 0)": "1"}), "variable"),
        ("lottery", lambda d: d["terms"].update(levels="whatever"), "levels"),
    ],
)
def test_what_else_a_forger_may_try(
    name: str, change: Any, why: str, request: pytest.FixtureRequest
) -> None:
    document = copy.deepcopy(request.getfixturevalue(name))
    change(document)
    with pytest.raises(Refuted, match=why):
        checker.verify(sealed(document))


def test_deep_or_huge_certificates_do_not_crash(by_hand: dict[str, Any]) -> None:
    node: Any = by_hand["proof"]["1"]
    for _ in range(100_000):
        node = {"user": 0, "cut": 1, "below": node, "above": by_hand["proof"]["1"]}
    with pytest.raises((Refuted, RecursionError)):
        checker.verify({**by_hand, "proof": {"1": node}})
    huge = {**by_hand, "problem": {**by_hand["problem"], "thresholds": ["9" * 2_000_000]}}
    with pytest.raises(Refuted, match="malformed"):
        checker.verify(sealed(huge))


# -- mutants ---------------------------------------------------------------------------------------


_UNCLAIMED = ("about", "schema_version")


def numbers_in(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to every number (integer or fraction string) below `node`."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key not in ("id", "mechopt", "reading", "solver", "seal", "kind"):
                yield from numbers_in(value, (*path, key))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from numbers_in(value, (*path, place))
    elif type(node) is int or (isinstance(node, str) and _NUMBER.fullmatch(node)):
        yield path


def changed(document: dict[str, Any], path: tuple[Any, ...], number: F) -> dict[str, Any]:
    mutant = copy.deepcopy(document)
    node = mutant
    for key in path[:-1]:
        node = node[key]
    old = node[path[-1]]
    node[path[-1]] = (
        int(number) if isinstance(old, int) and number.denominator == 1 else str(number)
    )
    return mutant


def mutants(
    document: dict[str, Any], rng: np.random.Generator, count: int
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Random numbers of the certificate nudged, scaled, negated, zeroed or inverted."""
    places = [path for path in numbers_in(document) if path[0] not in _UNCLAIMED]
    for _ in range(count):
        path = places[rng.integers(len(places))]
        node = document
        for key in path:
            node = node[key]
        old = F(node)
        new = (
            old + F(1, int(rng.choice([1, 7, 10**6, 10**18]))),
            old - F(1, int(rng.choice([1, 7, 10**6, 10**18]))),
            old * F(int(rng.integers(2, 9)), int(rng.integers(1, 9))),
            -old,
            F(0),
            F(1) / old if old else F(2),
        )[rng.integers(6)]
        if new != old:
            yield path, changed(document, path, new)


def true_claim(document: dict[str, Any]) -> bool:
    """Whether the claim holds, found out without the certificate's proof."""
    claim = document["claim"]
    problem = problem_of(document["problem"], document["terms"])
    value = problem.value(document["answer"])
    if document["problem"]["kind"] == "population":
        search = ExactOptimum(problem)
        search.solve()
        assert search.best is not None
        sign = -1 if problem.aim.minimised else 1
        return bool(sign * search.best[0] == F(claim["optimum"]) == value)
    if document["terms"]["mechanism"].startswith("posted-"):
        instance, objective = instance_of(document), document["terms"]["objective"]
        price = document["terms"]["mechanism"] == "posted-price"
        best_of = oracle_posted.best_price if price else oracle_posted.best_contract
        truth = best_of(instance, objective)
        assert truth is not None
        least = claim["also"].get("least_payments")
        return F(claim["optimum"]) == truth[0] and (least is None or F(least) == truth[1])
    found = [LevelProblem(problem, k) for k in range(1, problem.levels.K + 1)]
    for one in found:
        one.solve()
    worth = [
        problem.aim.worth(one.level, one.best[0])
        for one in found
        if one.best is not None and one.level >= problem.aim.lowest
    ]
    best = problem.aim.best(worth if problem.aim.lowest else [F(0), *worth])
    return bool(value == F(claim["optimum"]) == best)


def instance_of(document: dict[str, Any]) -> mo.Instance:
    """The problem inside a certificate as an instance with exact data."""
    problem = document["problem"]
    names = ("cost", "value", "reversibility", "removable", "widths", "slopes")
    columns = {name: [user[name] for user in problem["users"]] for name in names}
    return mo.Instance(
        segments=(columns.pop("widths"), columns.pop("slopes")),
        **columns,
        **{name: problem[name] for name in ("thresholds", "shares", "provider_value", "budget")},
    )


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("by_hand", 400),
        ("paying", 400),
        ("branching", 300),
        ("lottery", 300),
        ("price", 200),
        ("contract", 200),
        ("together", 300),
    ],
)
def test_mutants(name: str, count: int, request: pytest.FixtureRequest) -> None:
    """Every mutant breaks the seal; with a new seal, whatever survives still makes a true claim."""
    document = request.getfixturevalue(name)
    checker.verify(document)
    rng = np.random.default_rng([11, count])
    killed = survivors = 0
    for path, mutant in mutants(document, rng, count):
        with pytest.raises(Refuted, match="seal"):
            checker.verify(mutant)
        try:
            checker.verify(sealed(mutant))
        except Refuted:
            killed += 1
            continue
        survivors += 1
        # a slack datum, or another optimal answer or price: the claim must still be true
        assert true_claim(mutant), (path, "a false claim survives")
        assert path[0] in ("problem", "answer", "proof", "terms"), path
    assert killed > count / 3
    assert killed + survivors > count * 0.7


def test_a_million_digits_are_read_but_python_keeps_its_limit(by_hand: dict[str, Any]) -> None:
    before = sys.get_int_max_str_digits()
    tiny = {**by_hand, "claim": {**by_hand["claim"], "bound": "4" + "0" * 5000}}
    with pytest.raises(Refuted, match="bound"):
        checker.verify(sealed(tiny))
    assert sys.get_int_max_str_digits() == before


def test_the_recursion_agrees_with_the_game_tree() -> None:
    """F3 in fractions against 2^n backward induction, several thresholds, orders at random."""

    rng = np.random.default_rng(12)
    outcomes = set()
    for _round in range(300):
        instance = random_instance(rng, users=4, levels=int(rng.integers(1, 4)), exact=True)
        x = [F(int(a), 4) for a in rng.integers(0, 9, 4)]
        t = [F(int(a), 4) for a in rng.integers(0, 9, 4)]
        order = [int(i) for i in rng.permutation(4)]
        users = [
            User(
                {
                    "cost": instance.exact("cost")[i],
                    "value": instance.exact("value")[i],
                    "reversibility": instance.exact("reversibility")[i],
                    "removable": instance.exact("removable")[i],
                    "widths": instance.exact("widths")[i].tolist(),
                    "slopes": instance.exact("slopes")[i].tolist(),
                }
            )
            for i in range(4)
        ]
        if any(given > user.curve.capacity for given, user in zip(x, users)):
            continue
        levels = Levels(
            {
                "thresholds": instance.exact("thresholds").tolist(),
                "shares": instance.exact("shares").tolist(),
                "provider_value": 0,
                "budget": None,
            }
        )
        mine = all_stay_in_turn(levels, users, x, t, order)
        assert mine is _backward_induction(levels, users, x, t, order)
        outcomes.add(mine)
    assert outcomes == {True, False}


def _backward_induction(
    levels: Levels, users: list[User], x: list[F], t: list[F], order: list[int]
) -> bool:
    def payoff(i: int, stays: bool, level: int) -> F:
        cost, share = users[i].curve.cost(x[i]), levels.b[level]
        if stays and level:
            return users[i].value * share + t[i] - cost
        return users[i].value * share - (1 - users[i].rho) * cost

    def play(turn: int, total: F) -> tuple[int, bool]:
        """(level reached, whether everyone from `turn` on stays)."""
        if turn == len(order):
            return levels.level(total), True
        i = order[turn]
        if x[i] == 0:
            return play(turn + 1, total)
        stay = play(turn + 1, total + x[i])
        leave = play(turn + 1, total + (1 - users[i].delta) * x[i])
        if payoff(i, True, stay[0]) >= payoff(i, False, leave[0]):
            return stay
        return leave[0], False

    level, everyone = play(0, F(0))
    return everyone and level > 0


def _hostile() -> Iterator[tuple[dict[str, Any], Any]]:
    """Small files that ask for work without end: (document, what is changed in its problem)."""
    instance = mo.Instance([1, 2, 4], 6, 10, [3, 8], [0.5, 1], provider_value=100)
    plan = mo.certify(instance, mo.solve(instance, "burdens")).document
    contract = mo.certify(instance, mo.solve(instance, "posted-contract")).document
    group = mo.Group(2, [1, 2], [0.5, 0.5], value=1, capacity=10)
    population = mo.Population([group], [1.25], provider_value=1)
    mechanism = mo.certify(population, mo.solve(population, "direct")).document
    for size in (3000, 10**5, 10**9, 10**30):
        yield mechanism, lambda data, size=size: data["groups"][0].update(size=size)
    law = {"costs": [str(j) for j in range(1, 7)], "probabilities": ["1/6"] * 6, "size": 20}
    yield mechanism, lambda data: data["groups"][0].update(law)
    yield mechanism, lambda data: data.update(groups=data["groups"] * 12)
    many = [str(j) for j in range(1, 301)]
    steps = {"thresholds": many, "shares": [f"{j}/300" for j in many]}
    segments = {"widths": ["1"] * 300, "slopes": many}

    def curved(data: dict[str, Any]) -> None:
        data.update(steps, users=[{**user, **segments} for user in data["users"]])

    yield plan, curved
    yield plan, lambda data: data["users"][0].update(value="1" * 1_000_000)
    yield contract, lambda data: data.update(steps, users=data["users"] * 100)


def test_small_files_cannot_ask_for_work_without_end() -> None:
    for document, change in _hostile():
        changed = json.loads(json.dumps(document))
        change(changed["problem"])
        began = process_time()
        with pytest.raises(Refuted):
            checker.verify(sealed({k: v for k, v in changed.items() if k != "seal"}))
        assert process_time() - began < 2

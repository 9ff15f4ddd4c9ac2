"""Mutated files through the command line: answered soundly or refused in words, and quickly.

`--fuzz N` sets the number of files (default 80; the seed is fixed).
"""

from __future__ import annotations

import gzip
import io
import json
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

import pytest

import mechopt as mo
from mechopt import cli
from tests import mutants

SLOWEST = 2.0  # seconds of one command
LONGEST = 2600  # bytes on stderr

MILD: list[Any] = [0, 0.1, 0.5, 1, 1, 2, 3.25, 7, 8, "1/3", 1e-9, 1e9, 1e15, 1e-20, 1e30]
NUMBERS: list[Any] = [
    0, -1, 1, 2, 1e-9, 1e9, 1e59, 1e61, 1e-61, 1e308, -1e308, 5e-324, 10**15, 10**309, 10**400,
    float("nan"), float("inf"), "1/3", "0.1", "1/0", "1_0", "nan", "1e999", "1" * 400, "1" * 20_000,
    f"{'7' * 500}/{'3' * 499}", "1,5", "",
]  # fmt: skip
OTHERS: list[Any] = [
    None, True, "", "x", "\ud800", "a\0b", "../../etc/passwd", "users.csv", [], [[]], [1], {},
    {"a": 1}, "=1", "é", [None] * 3, "x" * 5000, ["\ud800"] * 3, [0.5] * 40,
    {"widths": [1], "slopes": [1]},
]  # fmt: skip
MARKS = [
    "",
    ",",
    ";",
    "\n",
    '"',
    "-",
    "1",
    "e",
    "/",
    "\0",
    "é",
    "=",
    " ",
    "nan",
    "\r",
    "\t",
    "|",
    "#",
]
MARKS += ["'", "1e308", "5e-324", "1" * 400, "\ufeff", "%", "$", "1,234", "0,5", "−", "\ud7ff", "_"]


def documents(folder: Path) -> dict[str, Any]:
    """One small document of every kind, by the command that takes it."""
    instance = mo.Instance(
        cost=[1, 2.5, "7/2"], value=[6, 6, 0], capacity=[4, 3, 10], thresholds=[3, 8],
        shares=[0.5, 1], ids=["a", "b", "c"], provider_value=100, budget=50,
    )  # fmt: skip
    segmented = instance.replace(segments=([[1, 2], [3], [4, 5]], [[1, 2], [3], [1, "7/2"]]))
    limited = instance.replace(unit=0.5, least=1, contact_cost=0.1, group=["x", "y", "x"])
    limited = limited.replace(fixed=[None, 1, None], group_most={"x": 9}, exclusion=0.2)
    group = mo.Group(size=2, costs=[1, 2], probabilities=[0.5, 0.5], value=1, capacity=10)
    population = mo.Population(groups=[group, group], thresholds=[1.25], provider_value=1)
    things = {
        "solve": [instance, segmented, limited, population],
        "check": [
            mo.solve(instance, "burdens"),
            mo.solve(population.replace(groups=[group]), "direct"),
            mo.solve(population, "posted-price"),
        ],
    }
    found: dict[str, Any] = {}
    for command, ones in things.items():
        found[command] = []
        for thing in ones:
            thing.write(folder / "thing.json")
            found[command].append(json.loads((folder / "thing.json").read_text()))
    return found


def mutated(document: Any, random: Random) -> bytes:
    """A document with one to three places changed, half of the time to sensible numbers."""
    mild = random.random() < 0.5

    def change(spot: Any, last: Any) -> None:
        roll = random.random()
        if mild:
            if isinstance(spot[last], (int, float)) and not isinstance(spot[last], bool):
                spot[last] = random.choice(MILD)
        elif roll < 0.15:
            del spot[last]
        elif roll < 0.25 and isinstance(spot[last], list):
            spot[last] = spot[last] * random.choice([2, 50])
        else:
            spot[last] = json.loads(json.dumps(random.choice(random.choice([NUMBERS, OTHERS]))))

    document = mutants.mutated(document, random, change)
    return json.dumps(document, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def scrambled(content: bytes, random: Random) -> bytes:
    """Bytes with a few changed, cut or doubled."""
    raw = bytearray(content)
    for _ in range(random.choice([1, 2, 8])):
        at = random.randrange(len(raw))
        roll = random.random()
        if roll < 0.7:
            raw[at] = random.randrange(256)
        elif roll < 0.85:
            del raw[at : at + random.choice([1, 10, 1000])]
        else:
            raw[at:at] = raw[at : at + 40]
        if not raw:
            return b"x"
    return bytes(raw)


def retyped(text: str, random: Random) -> bytes:
    """A table with a few characters or whole cells replaced."""
    letters = list(text)
    first = text.index("\n") if random.random() < 0.8 else 0
    marks = list("0123456789") if random.random() < 0.4 else MARKS
    for _ in range(random.choice([1, 1, 2, 4])):
        letters[random.randrange(first, len(letters))] = random.choice(marks)
    coding = random.choice(["utf-8", "utf-8", "utf-8", "cp1252", "utf-16"])
    return "".join(letters).encode(coding, "replace")


def run(arguments: list[str]) -> tuple[int, str, float]:
    """Exit status, stderr and seconds of a command; a warning is an error."""
    said = io.StringIO()
    began = time.process_time()
    with warnings.catch_warnings(), redirect_stderr(said), redirect_stdout(io.StringIO()):
        warnings.simplefilter("error")
        status = cli.main(arguments)
    return status, said.getvalue(), time.process_time() - began


def commands(folder: Path, random: Random) -> Callable[[], list[str]]:
    """Makes a mutated file at each call, and the command that is given it."""
    known = documents(folder)
    tables = [
        "id,cost,value,capacity\na,1,6,10\nb,2.5,6,10\nc,4,6,10\n",
        "id;cost;value;capacity;name\na;1,5;6;10;x\nb;2,5;6;10;y\nc;4;6;10;z\n",
        "id,cost,value,width_1,slope_1,width_2,slope_2\na,1,2,3,1,2,2.5\nb,2,2,4,1,0,1\n",
        "id,cost,value,capacity,unit,fixed,group\na,1,6,10,1,,x\nb,2.5,6,10,1,2,y\nc,4,6,10,1,,x\n",
    ]
    plain = mo.Instance([1, 2.5, 4], 6, 10, [8], ids=["a", "b", "c"])
    plan = mo.solve(plain, "burdens", objective="expenditure")
    packed = {}
    for suffix in (".parquet", ".xlsx", ".csv"):
        plan.write(folder / f"good{suffix}")
        packed[suffix] = (folder / f"good{suffix}").read_bytes()
    beside = (folder / "good.csv.json").read_bytes()

    def make() -> list[str]:
        roll = random.random()
        if roll < 0.5:
            command = random.choice(["solve", "solve", "check"])
            content, name = mutated(random.choice(known[command]), random), "f.json"
            if random.random() < 0.1:
                content, name = scrambled(content, random), "f.json"
        elif roll < 0.8:
            command, name = "solve", "f.csv"
            content = retyped(random.choice(tables), random)
        elif roll < 0.9:
            command, suffix = "check", random.choice(list(packed))
            content, name = scrambled(packed[suffix], random), f"f{suffix}"
            (folder / "f.csv.json").write_bytes(
                mutated(json.loads(beside), random) if random.random() < 0.5 else beside
            )
        else:
            command, name = "solve", "f.csv.gz"
            content = scrambled(gzip.compress(random.choice(tables).encode()), random)
        (folder / name).write_bytes(content)
        more: list[str] = []
        if command == "solve":
            out = "out.json" if name == "f.json" else random.choice(["out.json", "out.csv"])
            more = ["--out", str(folder / out), "--time-limit", "1"]
            if name != "f.json":
                more += ["--threshold", "8"]
            if random.random() < 0.15:
                more.append("--exact")
        return [command, str(folder / name), *more, "--quiet"]

    return make


def test_mutated_files(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    random = Random(20)
    make = commands(tmp_path, random)
    answered = 0
    for _ in range(pytestconfig.getoption("fuzz")):
        for out in tmp_path.glob("out*"):
            out.unlink()
        arguments = make()
        about = f"{arguments}: {Path(arguments[1]).read_bytes()[:1500]!r}"
        try:
            status, said, seconds = run(arguments)
        except BaseException as error:
            raise AssertionError(about) from error
        assert status in (0, 1, 2, 3, 4), about
        assert seconds < SLOWEST, f"{seconds:.1f} s: {about}"
        assert len(said.encode("utf-8", "replace")) < LONGEST, said[:3000] + about
        assert all(line.startswith("mechopt: ") for line in said.splitlines()), said + about
        for out in tmp_path.glob("out*"):
            if out.name in ("out.json", "out.csv"):
                assert status in (0, 3, 4), about
                answer = mo.read(out)
                if answer.has_answer:
                    problem = getattr(answer, "instance", None) or answer.population
                    verdict = mo.audit(problem, answer)
                    assert verdict.ok, f"{verdict}\n{about}"
                    answered += 1
    assert answered > pytestconfig.getoption("fuzz") // 20

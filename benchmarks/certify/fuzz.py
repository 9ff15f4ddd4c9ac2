"""Coverage-guided fuzzing of everything that reads a file (optional: pip install atheris).

    python benchmarks/certify/fuzz.py [-max_total_time=300] [-seed=1] [CORPUS_FOLDER]

Bytes become a JSON, CSV or Parquet file of users, a JSON population or plan, or a certificate. The
reader must return or refuse with one of the package's errors, the checker must verify or refute;
an instance that is read is solved and its answer audited. Anything else is a finding: atheris
prints the exception and writes the input to crash-*.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["mechopt"]):
    import mechopt as mo
    from mechopt import checker, files

    for module in ("documents", "instances", "numbers", "plans", "tables"):
        import_module(f"mechopt.files.{module}")
    for module in ("instance", "plan", "population", "schema"):
        import_module(f"mechopt.{module}")

SUFFIXES = (".json", ".csv", ".parquet")
MOST_USERS = 50  # solved and audited only up to here: the readers are what is fuzzed
done: Counter[str] = Counter()


def one(data: bytes, folder: Path) -> None:
    """The first byte says what the rest is."""
    done["runs"] += 1
    if done["runs"] % 20_000 == 0:
        print(dict(sorted(done.items())), flush=True)
    kind, content = (data[0] if data else 0) % 4, data[1:]
    if kind == 3:
        certificate(content)
        return
    path = folder / f"file{SUFFIXES[kind]}"
    path.write_bytes(content)
    try:
        found = mo.read(path, thresholds=None if kind == 0 else [1])
    except mo.MechoptError:
        done[f"{SUFFIXES[kind]} refused"] += 1
        return
    done[f"{SUFFIXES[kind]} read"] += 1
    if isinstance(found, mo.Instance) and found.n <= MOST_USERS:
        plan = mo.solve(found, "burdens", objective="expenditure", time_limit=0.2)
        assert plan.status is mo.Status.UNKNOWN or mo.audit(found, plan).ok


def certificate(content: bytes) -> None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        done["certificate: no JSON"] += 1
        return
    if not isinstance(document, dict):
        return
    try:  # with a seal that is right, so that what lies behind it is reached
        checker.verify({**document, "seal": checker.seal_of(document)})
        done["certificate verified"] += 1
    except checker.Refuted:
        done["certificate refuted"] += 1


def seeds(folder: Path) -> set[str]:
    """A valid file of every kind to start from; the words in them."""
    instance = mo.Instance([1, "2/1", 4], 6, 10, [8], provider_value=100, ids=["a", "b", "c"])
    plan = mo.solve(instance, "burdens")
    group = mo.Group(2, ["1/4", 1], ["3/5", "2/5"], 1, 4)
    population = mo.Population([group], 4)
    options = {"objective": "improvement", "incentive": "bic", "transfers": False}
    mechanism = mo.solve(population, "direct", **options)
    for number, thing in enumerate((instance, plan, population, mechanism)):
        files.write(thing, folder / f"{number}.json")
    for suffix in (".csv", ".parquet"):
        files.write(plan, folder / f"plan{suffix}")
    users = "id,cost,value,capacity\na,1,6,10\nb,1/2,6,10\n"
    (folder / "users.csv").write_text(users)
    for number, one_ in enumerate((mo.certify(instance, plan), mo.certify(population, mechanism))):
        one_.write(folder / f"certificate{number}.json")
    words: set[str] = set()
    for path in sorted(folder.iterdir()):
        if path.suffix != ".parquet":
            words |= set(re.findall(r'"?[a-z_]+"?', path.read_text("utf-8")))
        kind = 3 if path.name.startswith("certificate") else SUFFIXES.index(path.suffix)
        path.write_bytes(bytes([kind]) + path.read_bytes())
    return words


def main() -> None:
    given = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as start:
        folder = Path(work)
        words = seeds(Path(start))
        quoted = (word.replace('"', '\\"') for word in sorted(words))
        (folder / "words").write_text("".join(f'"{word}"\n' for word in quoted))
        options.append(f"-dict={folder / 'words'}")
        atheris.Setup([sys.argv[0], *options, *given, start], lambda data: one(data, folder))
        atheris.Fuzz()


if __name__ == "__main__":
    main()

"""Property-based fuzzing: readers of anything, and the whole path solve – check – certify – export.

Readers must return or refuse with one of the package's errors; answers must pass their audit,
their certificate must verify and not contradict them, and what is written must read back.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from fractions import Fraction
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mechopt as mo
from mechopt import checker, files
from tests.mutants import places, put

FEW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))

INSTANCE = {
    "schema_version": 1,
    "kind": "instance",
    "provider": {"value": 100.0, "budget": None},
    "improvement": {"thresholds": [8.0], "shares": [1.0]},
    "users": {
        "id": ["a", "b", "c"],
        "cost": [1, "2/1", 4],
        "value": [6, 6, 6],
        "capacity": [10, 10, 10],
        "reversibility": [1, 1, 0.5],
    },
}
POPULATION = {
    "schema_version": 1,
    "kind": "population",
    "improvement": {"thresholds": [4], "shares": [1]},
    "groups": [
        {"size": 2, "costs": ["1/4", 1], "probabilities": [0.6, 0.4], "value": 1, "capacity": 4}
    ],
}
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(
        ["", "nan", "-1", "1/0", "1e400", "0x10", "=1+1", "\x00", "../x.csv", "½", "1e-9"]
    ),
    st.text(max_size=5),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def read(text: str | bytes, suffix: str) -> Any:
    """What the reader makes of a file, or None if it refuses."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        try:
            return mo.read(path, thresholds=[3] if suffix == ".csv" else None)
        except mo.MechoptError:
            return None


@MANY
@given(document=ANYTHING)
def test_any_json(document: Any) -> None:
    read(json.dumps(document), ".json")


@MANY
@given(data=st.data(), value=ANYTHING, document=st.sampled_from([INSTANCE, POPULATION]))
def test_documents_with_one_wrong_entry(data: Any, value: Any, document: Any) -> None:
    path = data.draw(st.sampled_from(places(document)))
    found = read(json.dumps(put(document, path, value)), ".json")
    if isinstance(found, mo.Instance):
        plan = mo.solve(found, "burdens", objective="expenditure", time_limit=1)
        assert plan.status is mo.Status.UNKNOWN or mo.audit(found, plan).ok


@MANY
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".json", ".csv", ".parquet"]))
def test_any_bytes(content: bytes, suffix: str) -> None:
    read(content, suffix)


@MANY
@given(
    rows=st.lists(st.lists(st.text(max_size=6), min_size=3, max_size=5), max_size=4),
    header=st.sampled_from(
        ["id,cost,value,capacity", "id,burden,payment", "cost,value", "\ufeffid"]
    ),
)
def test_any_table(rows: list[list[str]], header: str) -> None:
    read("\n".join([header, *(",".join(row) for row in rows)]), ".csv")


@MANY
@given(document=ANYTHING)
def test_any_certificate(document: Any) -> None:
    if isinstance(document, dict):
        with pytest.raises(checker.Refuted):
            checker.verify(document)


@pytest.fixture(scope="module")
def certificates() -> list[dict[str, Any]]:
    instance = mo.Instance([1, 2, 4], 6, 10, [8], provider_value=100)
    group = mo.Group(2, ["1/4", 1], ["3/5", "2/5"], 1, 4)
    population = mo.Population([group], 4)
    options = {"objective": "improvement", "incentive": "bic", "transfers": False}
    return [
        dict(mo.certify(instance, mo.solve(instance, "burdens")).document),
        dict(mo.certify(population, mo.solve(population, "direct", **options)).document),
    ]


@MANY
@given(data=st.data(), value=ANYTHING, which=st.integers(0, 1))
def test_certificates_with_one_wrong_entry(
    certificates: list[dict[str, Any]], data: Any, value: Any, which: int
) -> None:
    """Refused or verified, never another exception, whatever stands anywhere."""
    document = certificates[which]
    mutant = put(document, data.draw(st.sampled_from(places(document))), value)
    with suppress(checker.Refuted):
        checker.verify({**mutant, "seal": checker.seal_of(mutant)})


@st.composite
def instances(draw: Any) -> mo.Instance:
    n, levels = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    exact = draw(st.booleans())
    grid = 12 if exact else 16  # floats hold sixteenths exactly: their edges are true edges

    def fractions(low: int, high: int) -> st.SearchStrategy[Fraction]:
        return st.integers(low, high).map(lambda number: Fraction(number, grid))

    def column(entry: st.SearchStrategy[Fraction]) -> list[Fraction]:
        return draw(st.lists(entry, min_size=n, max_size=n))

    steps = draw(st.lists(fractions(1, 40), min_size=levels, max_size=levels))
    thresholds = [sum(steps[: k + 1], Fraction(0)) for k in range(levels)]
    give: dict[str, Any] = {
        "cost": column(fractions(1, 40)),
        "value": column(fractions(0, 60)),
        "capacity": column(fractions(1, 40)),
        "reversibility": column(fractions(0, 12)),
        "removable": column(st.one_of(st.just(Fraction(1)), fractions(0, 12))),
        "thresholds": thresholds,
        "shares": [Fraction(1, 3 if exact else 4), Fraction(1)][-levels:],
        "provider_value": draw(fractions(0, 300)),
        "budget": draw(st.one_of(st.none(), fractions(0, 60))),
    }
    if exact:
        return mo.Instance(**give)
    floats = {
        key: [float(one) for one in entry] if isinstance(entry, list) else entry and float(entry)
        for key, entry in give.items()
    }
    return mo.Instance(**floats)


@FEW
@given(
    instance=instances(),
    objective=st.sampled_from(
        ["provider-surplus", "welfare", "expenditure", "social-cost", "improvement"]
    ),
    mechanism=st.sampled_from(["burdens", "burdens", "subsidy", "complete-information"]),
    protocol=st.sampled_from(["simultaneous", "sequential", "none"]),
)
def test_solve_check_certify_write_read(
    instance: mo.Instance, objective: str, mechanism: str, protocol: str
) -> None:
    options = {"protocol": protocol, "time_limit": 1} if mechanism == "burdens" else {}
    plan = mo.solve(instance, mechanism, objective=objective, **options)
    certificate = mo.certify(instance, plan)
    assert certificate.agrees, certificate.remark
    checker.verify(json.loads(json.dumps(dict(certificate.document))))
    if plan.status is mo.Status.UNKNOWN:
        assert plan.reason
        return
    assert mo.audit(instance, plan).ok
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".json", ".csv"):
            path = Path(folder) / f"plan{suffix}"
            files.write(plan, path)
            again = mo.read(path, instance=None if suffix == ".json" else instance)
            if suffix == ".csv":  # users and amounts only: what the plan respects is not in there
                again = again.replace(protocol=plan.protocol, mechanism=plan.mechanism)
            assert again.burden == pytest.approx(plan.burden, rel=1e-12)  # decimals may be raised
            assert mo.audit(instance, again).ok


def test_a_little_of_the_long_run() -> None:
    """benchmarks/certify/run.py: every kind of instance, no wrong claim, the same when repeated."""
    place = Path(__file__).resolve().parents[2] / "benchmarks" / "certify" / "run.py"
    spec = spec_from_file_location("certify_run", place)
    assert spec is not None
    assert spec.loader is not None
    run = module_from_spec(spec)
    spec.loader.exec_module(run)
    rng = np.random.default_rng(3)
    for kind, _ in run.KINDS:
        for _ in range(4):
            assert kind(rng)[1] == []
    counts, _, lines, wrong = run.batch(5, 0, 10)
    assert (counts.total(), lines, wrong) == (10, [], 0)
    assert run.batch(5, 0, 10)[0] == counts

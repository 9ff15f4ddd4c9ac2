"""The names users rely on, used exactly as the contract writes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mechopt as mo


def test_instance_to_plan(tmp_path: Path) -> None:
    instance = mo.Instance(
        cost=[1.0, 2.0, 4.0],
        value=6.0,
        capacity=10.0,
        thresholds=[8.0],
        shares=[1.0],
        reversibility=1.0,
        removable=1.0,
        segments=None,
        provider_value=100.0,
        budget=None,
        ids=None,
    )
    plan = mo.solve(instance, "burdens", protocol="simultaneous")
    assert plan.status == mo.Status.OPTIMAL
    assert (plan.objective, plan.bound, plan.gap) == (100, 100, 0)
    assert plan.burden.shape == plan.payment.shape == (3,)
    assert (plan.level, plan.share, plan.total) == (1, 1.0, 8.0)
    names = (
        "improvement data social_cost expenditure leakage provider_surplus welfare participation"
    )
    assert set(names.split()) <= set(plan.metrics)
    mine = mo.Plan.from_arrays(instance, burden=[6, 2, 0], payment=[0, 0, 0])
    report = mo.check_withdrawal(instance, mine, protocol="sequential", order="small-first")
    assert report.stable is True
    assert report.margin == 0
    assert not report.deviations
    outcome = report.outcome
    assert outcome.stay.all()
    assert (outcome.total, outcome.share, outcome.social_cost) == (8, 1, 10)
    assert np.sum(outcome.payments) == 0
    simultaneous = mo.check_withdrawal(instance, mine)
    assert simultaneous.best is not None
    assert simultaneous.worst is not None
    audit = mo.audit(instance, mine)
    assert audit.ok
    assert len(audit.violations) == 0
    for suffix in (".csv", ".json", ".parquet"):
        path = tmp_path / f"plan{suffix}"
        plan.write(path)
        back = mo.read(path, instance=instance)
        assert mo.audit(instance, back).ok
    header = (tmp_path / "plan.csv").read_text().splitlines()[0]
    assert header == "id,burden,payment,cost,utility,stays"


def test_orders() -> None:
    """Worked example 2 under every order the contract names."""
    instance = mo.Instance(cost=[1, 0.5, 1 / 3, 0.25], value=5, capacity=9, thresholds=[7])
    plan = mo.Plan.from_arrays(instance, burden=[1, 2, 3, 4])
    stays = {
        str(order): np.flatnonzero(
            mo.check_withdrawal(instance, plan, protocol="sequential", order=order).outcome.stay
        ).tolist()
        for order in ("small-first", "large-first", [3, 2, 1, 0])
    }
    assert stays == {"small-first": [2, 3], "large-first": [0, 1, 3], "[3, 2, 1, 0]": [0, 1, 3]}
    none = mo.check_withdrawal(instance, plan, protocol="none")
    assert none.stable


def test_population_to_mechanism(tmp_path: Path) -> None:
    population = mo.Population(
        groups=[
            mo.Group(
                size=10,
                costs=[0.25, 1.0],
                probabilities=[0.6, 0.4],
                value=1.0,
                capacity=20.0,
                reversibility=1.0,
            )
        ],
        thresholds=[20.0],
        provider_value=0.0,
        budget=None,
        expected_budget=None,
    )
    mechanism = mo.solve(
        population,
        "direct",
        objective="improvement",
        incentive="dsic",
        participation="ex-post",
        withdrawal_rights=True,
        randomized=True,
        transfers=False,
    )
    assert isinstance(mechanism, mo.DirectMechanism)
    assert (
        mechanism.improvement
        == mechanism.objective
        == pytest.approx(mechanism.metrics["improvement"])
    )
    plan = mechanism.assign([0.25] * 10)
    assert isinstance(plan, mo.Plan)
    assert mo.audit(population, mechanism).ok
    path = tmp_path / "mechanism.json"
    mechanism.write(path)
    assert mo.read(path).improvement == mechanism.improvement
    mo.solve(population, "posted-price")
    mo.solve(population, "posted-price", price=1.0)
    best = mo.solve(population, "complete-information", objective="improvement", transfers=False)
    assert best.improvement >= mechanism.improvement


def test_generate_compare_export(tmp_path: Path) -> None:
    instance = mo.generate("lognormal", n=100, seed=7, tightness=0.8)
    assert instance == mo.generate("lognormal", n=100, seed=7, tightness=0.8)
    assert "lognormal" in mo.families()
    table = mo.compare(
        [instance], mechanisms=["burdens", "posted-price"], protocols=["simultaneous"], jobs=1
    )
    assert len(list(table)) == 2
    small = mo.generate("uniform", n=3, seed=1)
    model = mo.build_model(small, "burdens")
    assert type(model).__name__ == "ConcreteModel"
    for suffix in (".lp", ".mps"):
        mo.export_model(small, "burdens", tmp_path / f"model{suffix}")
        assert (tmp_path / f"model{suffix}").stat().st_size > 0


def test_the_file_of_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "instance.json"
    path.write_text(
        json.dumps(
            {
                "schema_version": 1,
                "kind": "instance",
                "provider": {"value": 100.0, "budget": None},
                "improvement": {"thresholds": [8.0], "shares": [1.0]},
                "users": {
                    "id": ["a", "b", "c"],
                    "cost": [1, 2, 4],
                    "value": [6, 6, 6],
                    "capacity": [10, 10, 10],
                    "reversibility": [1, 1, 1],
                },
            }
        )
    )
    instance = mo.read(path)
    assert mo.solve(instance).objective == 100
    assert instance.ids.tolist() == ["a", "b", "c"]


def test_every_public_name_is_there() -> None:
    for name in mo.__all__:
        assert getattr(mo, name) is not None
    assert issubclass(mo.InvalidInstance, mo.MechoptError)

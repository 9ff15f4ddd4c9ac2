"""The audit of direct mechanisms: counts every row, catches every kind of damage."""

from __future__ import annotations

import numpy as np
import pytest

import mechopt as mo

POPULATION = mo.Population(
    [mo.Group(3, [1, 2, 3], [0.3, 0.3, 0.4], 0.5, 3), mo.Group(1, [1, 4], [0.5, 0.5], 1, 3, 0.5)],
    [4],
    provider_value=8,
    budget=20,
)


@pytest.fixture(scope="module")
def mechanism():
    return mo.solve(POPULATION, "direct", incentive="dsic")


def test_every_row_is_counted(mechanism):
    audit = mo.audit(POPULATION, mechanism)
    assert audit.ok
    space = POPULATION.states
    pairs = sum(
        others.probability.size * group.types * (group.types - 1)
        for group, others in zip(POPULATION.groups, space.others)
    )
    assert audit.rows["D6"] == pairs
    assert audit.rows["D1"] == len(space)
    assert audit.rows["D4"] == audit.rows["D5"] == space.cells


def damaged(mechanism, **changes):
    arrays = {name: getattr(mechanism, name).copy() for name in ("run", "burden", "payment")}
    for name, change in changes.items():
        change(arrays[name])
    return mechanism.replace(**arrays)


@pytest.mark.parametrize("amount", [1e-6, 0.1])
def test_damage_is_found_with_tag_and_place(mechanism, amount):
    space = POPULATION.states
    running = int(np.argmax(mechanism.run[:, 0] * (space.counts[:, 0] > 0)))
    null = int(np.flatnonzero(mechanism.run[:, 0] == 0)[0])
    column = int(np.flatnonzero(space.counts[null])[0])

    def put(state, j, change):
        def apply(array):
            array[state, 0, j] += change

        return apply

    cases = {
        "D1": {"burden": put(running, 0, amount)},
        "A6": {"payment": put(null, column, amount)},
        "D2": {"payment": put(running, 0, -amount - mechanism.payment[running, 0, 0])},
    }
    for tag, changes in cases.items():
        audit = mo.audit(POPULATION, damaged(mechanism, **changes))
        assert not audit.ok
        assert tag in {violation.tag for violation in audit.violations}
        assert audit.worst[tag] >= amount * 0.99
        assert any("state" in violation.where for violation in audit.violations)


def test_paying_one_type_less_breaks_incentives_or_participation(mechanism):
    def less(array):
        array[:, 0, 1] = np.maximum(array[:, 0, 1] - 0.01, 0)

    audit = mo.audit(POPULATION, damaged(mechanism, payment=less))
    assert {violation.tag for violation in audit.violations} & {"D4", "D6"}
    assert "gains by reporting" in str(audit) or "loses" in str(audit)


def test_below_the_tolerance_is_accepted_above_is_not(mechanism):
    state = int(np.argmax(mechanism.run[:, 0]))

    def more(amount):
        def apply(array):
            array[state, 0, int(np.argmax(array[state, 0]))] += amount

        return apply

    assert mo.audit(POPULATION, damaged(mechanism, burden=more(1e-10))).ok
    assert not mo.audit(POPULATION, damaged(mechanism, burden=more(1e-7))).ok


def test_terms_are_held_against_the_mechanism(mechanism):
    from dataclasses import replace

    def held(**changes):
        terms = replace(mechanism.terms, **changes)
        return {v.tag for v in mo.audit(POPULATION, mechanism.replace(terms=terms)).violations}

    assert held(transfers=False) == {"D2"}
    assert held(objective="expenditure", target=1.0) <= {"target"}
    loose = mo.solve(
        POPULATION, "direct", incentive="bic", participation="interim", withdrawal_rights=False
    )
    strict = loose.replace(terms=mechanism.terms)
    assert {"D4", "D6"} & {v.tag for v in mo.audit(POPULATION, strict).violations}


def test_other_population_is_refused(mechanism):
    with pytest.raises(mo.InvalidPlan, match="another population"):
        mo.audit(POPULATION.replace(provider_value=1), mechanism)

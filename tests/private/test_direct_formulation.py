"""The readable formulation and the array-built path are one model: rows, bounds, optimum."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest

import mechopt as mo
from mechopt.formulations import direct
from mechopt.private.direct import arrays as direct_arrays
from mechopt.private.direct.optimise import SETTINGS
from mechopt.problem.direct_terms import read_terms
from mechopt.solver import highs

TWO = mo.Population(
    [
        mo.Group(2, [1, 1.5, 3], [0.2, 0.5, 0.3], 2, 3, 0.5),
        mo.Group(1, [0.5, 2], [0.4, 0.6], 1, reversibility=1, segments=([1, 2], [1, 1.5])),
    ],
    [2.5],
    provider_value=4,
    expected_budget=3,
)
LADDER = mo.Population(
    [mo.Group(2, [1, 2], [0.5, 0.5], 2, 3, 1), mo.Group(1, [1, 3], [0.5, 0.5], 1, 2, 0.5, 0)],
    [1, 2.5],
    [0.4, 1],
    provider_value=4,
    budget=2,
)
BARRED = LADDER.replace(
    groups=[group.replace(exclusion=share) for group, share in zip(LADDER.groups, (0.5, 1.0))]
)
OPTIONS = [
    dict(zip(("incentive", "participation", "withdrawal_rights", "transfers"), choice))
    for choice in product(
        ("dsic", "bic"), ("ex-post", "interim"), (True, "truthful", False), (True, False)
    )
]


def canonical(program, sizes):
    """Rows as a sorted list of (columns, coefficients, lower, upper), largest |coefficient| 1."""
    rows = []
    for r in range(program.rows):
        part = slice(program.start[r], program.start[r + 1])
        columns = sizes[program.index[part]]
        order = np.argsort(columns)
        values = program.value[part][order]
        keep = np.abs(values) > 0
        columns, values = columns[order][keep], values[keep]
        scale = np.abs(values).max() * np.sign(values[0])
        lower, upper = sorted((program.row_lower[r] / scale, program.row_upper[r] / scale))
        row = [
            tuple(columns.tolist()),
            tuple(np.round(values / scale, 9).tolist()),
            round(float(lower), 9) + 0.0,
            round(float(upper), 9) + 0.0,
        ]
        rows.append(row)
    return sorted(rows, key=repr)


def numbers(compiled, layout):
    """Array column of each Pyomo column, by what its name says."""
    cell = layout.space.cell
    fallback = iter(range(layout.w_start, layout.columns))
    places = {}
    found = []
    for variable in compiled.variables:
        name, index = variable.name.split("[")
        key = tuple(int(part) for part in re.findall(r"-?\d+", index))
        if name == "run":
            found.append((key[0] - 1) * layout.S + key[1])
        elif name == "give":
            k, s, j, part = key
            found.append(int(layout.y(k - 1, part, np.array([cell[s, j]]))[0]))
        elif name == "access":
            k, s, j = key
            found.append(int(layout.access(k - 1, np.array([cell[s, j]]))[0]))
        elif name == "utility":
            k, s, j = key
            found.append(layout.u_start + (k - 1) * layout.C + int(cell[s, j]))
        else:
            places[key] = len(found)
            found.append(-1)
    # array order of w: per lie (group, true, told), then level, then what is faced
    by_lie = sorted(places, key=lambda key: (key[1], key[2], key[3], key[0], key[4]))
    for key in by_lie:
        found[places[key]] = next(fallback)
    return np.array(found)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
@pytest.mark.parametrize(
    "population", [TWO, LADDER, BARRED], ids=["two-groups", "two-levels", "excluding"]
)
def test_same_rows_bounds_and_optimum(population, options):
    objective = "welfare" if options["transfers"] else "improvement"
    model = direct.build(population, objective=objective, **options)  # names live with the model
    compiled = highs.from_pyomo(model)
    terms = read_terms(population, objective=objective, randomized=True, target=None, **options)
    arrays = direct_arrays.build(population, terms)
    where = numbers(compiled, arrays.layout)
    assert sorted(where) == sorted(set(where))
    used = np.zeros(arrays.program.columns, dtype=bool)
    used[where] = True
    assert not np.isin(arrays.program.index, np.flatnonzero(~used)).any()
    assert canonical(compiled.program, where) == canonical(
        arrays.program, np.arange(arrays.program.columns)
    )
    for bound in ("lower", "upper"):
        mine = getattr(arrays.program, bound)[where]
        assert getattr(compiled.program, bound) == pytest.approx(mine, abs=1e-12)
    assert compiled.program.cost == pytest.approx(arrays.program.cost[where], abs=1e-12)
    one = highs.solve(compiled.program, **SETTINGS).objective
    other = highs.solve(arrays.program, **SETTINGS).objective
    assert one == pytest.approx(other, abs=1e-8)


@pytest.mark.parametrize("objective", ["expenditure", "social-cost", "provider-surplus"])
def test_same_optimum_for_every_objective(objective):
    target = 0.3 if objective in ("expenditure", "social-cost") else None
    model = direct.build_obedient(TWO, objective=objective, target=target)
    answer = mo.solve(TWO, "direct", incentive="bic", objective=objective, target=target)
    assert highs.solve_model(model, **SETTINGS).objective == pytest.approx(
        answer.objective, abs=1e-7
    )


def test_every_component_has_its_tag_in_the_sheet():
    model = direct.build_obedient(LADDER, participation="interim")
    import pyomo.environ as pyo

    tags = set()
    for kind in (pyo.Var, pyo.Constraint, pyo.Objective):
        for component in model.component_objects(kind):
            tag = re.match(r"\((D\d)\) \w", component.doc or "")
            assert tag, component.name
            tags.add(tag.group(1))
    assert tags <= {f"D{number}" for number in range(1, 9)}
    assert {"D1", "D2", "D3", "D4", "D5", "D6"} <= tags


def test_deterministic_formulation_is_a_milp():
    population = TWO.individual()
    model = direct.build_deterministic(population, objective="improvement", transfers=False)
    answer = mo.solve(TWO, "direct", objective="improvement", transfers=False, randomized=False)
    solution = highs.solve_model(model)
    assert solution.objective == pytest.approx(answer.objective, abs=1e-7)

"""The textbook model of the private-cost problem, as a yardstick: payments as variables, every
incentive pair a row (DSIC, ex-post participation, one threshold, linear costs, provider surplus).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mechopt.problem.direct_terms import payment_bounds
from mechopt.problem.population import Population
from mechopt.solver.highs import LinearProgram


def arrays(population: Population) -> LinearProgram:
    """Columns p (S), x (C), t (C)."""
    from scipy.sparse import csr_array

    space = population.states
    states, cells = len(space), space.cells
    group = population.group_of_type[space.cell_type]
    theta = population.type_costs[space.cell_type]
    value = np.array([g.value for g in population.groups])[group] * population.shares[0]
    cap = np.array([g.capacity for g in population.groups])[group]
    most = payment_bounds(population, 0)[group]
    count = space.cell_count.astype(float)
    here, every = space.cell_state, np.arange(cells)
    x, t = states + every, states + cells + every
    parts: list[tuple[Any, Any, Any]] = []
    lower: list[Any] = []
    upper: list[Any] = []
    rows = 0

    def add(size: int, low: float, high: float, *terms: tuple[Any, Any, Any]) -> None:
        nonlocal rows
        for at, columns, numbers in terms:
            parts.append((at + rows, columns, np.broadcast_to(numbers, at.shape)))
        lower.append(np.full(size, low))
        upper.append(np.full(size, high))
        rows += size

    threshold = population.thresholds[0]
    add(states, 0, 0, (np.arange(states), np.arange(states), -threshold), (here, x, count))
    add(cells, -np.inf, 0, (every, x, 1.0), (every, here, -cap))
    add(cells, -np.inf, 0, (every, t, 1.0), (every, here, -most))
    add(cells, 0, np.inf, (every, here, value), (every, t, 1.0), (every, x, -theta))
    for g, others in enumerate(space.others):
        first = population.first_type[g]
        worth = population.groups[g].value * population.shares[0]
        for true in range(population.groups[g].types):
            for told in range(population.groups[g].types):
                if true == told:
                    continue
                s, z = others.state[:, true], others.state[:, told]
                honest, lying = space.cell[s, first + true], space.cell[z, first + told]
                at = np.arange(s.size)
                cost = population.type_costs[first + true]
                add(
                    s.size,
                    0,
                    np.inf,
                    (at, s, worth),
                    (at, t[honest], 1.0),
                    (at, x[honest], -cost),
                    (at, z, -worth),
                    (at, t[lying], -1.0),
                    (at, x[lying], cost),
                )
    at, columns, numbers = (np.concatenate(part) for part in zip(*parts))
    matrix = csr_array((numbers, (at, columns)), shape=(rows, states + 2 * cells))
    weight = space.probability
    cost_vector = np.concatenate(
        [
            population.provider_value * population.shares[0] * weight,
            np.zeros(cells),
            -weight[here] * count,
        ]
    )
    return LinearProgram(
        cost=cost_vector,
        start=matrix.indptr.astype(np.int32),
        index=matrix.indices.astype(np.int32),
        value=matrix.data,
        row_lower=np.concatenate(lower),
        row_upper=np.concatenate(upper),
        lower=np.zeros(cost_vector.size),
        upper=np.concatenate([np.ones(states), np.full(2 * cells, np.inf)]),
        maximize=True,
    )


def pyomo_model(population: Population) -> Any:
    """The same model, rule-based, as one would write it down."""
    import pyomo.environ as pyo

    space = population.states
    group = population.groups[0]  # one group: the benchmark's populations
    costs, v = group.costs.tolist(), group.value * float(population.shares[0])
    counts, law = space.counts.tolist(), space.probability.tolist()
    faced = space.others[0].state.tolist()
    most = float(payment_bounds(population, 0)[0])
    threshold, V = float(population.thresholds[0]), population.provider_value
    m = pyo.ConcreteModel()
    m.S, m.K = pyo.RangeSet(0, len(law) - 1), pyo.RangeSet(0, len(costs) - 1)
    m.C = pyo.Set(initialize=[(s, k) for s in m.S for k in m.K if counts[s][k]], dimen=2)
    m.O = pyo.RangeSet(0, len(faced) - 1)
    m.p = pyo.Var(m.S, bounds=(0, 1))
    m.x = pyo.Var(m.C, domain=pyo.NonNegativeReals)
    m.t = pyo.Var(m.C, domain=pyo.NonNegativeReals)
    m.total = pyo.Constraint(
        m.S,
        rule=lambda m, s: (
            sum(counts[s][k] * m.x[s, k] for k in m.K if counts[s][k]) == threshold * m.p[s]
        ),
    )
    m.cap = pyo.Constraint(m.C, rule=lambda m, s, k: m.x[s, k] <= group.capacity * m.p[s])
    m.pay = pyo.Constraint(m.C, rule=lambda m, s, k: m.t[s, k] <= most * m.p[s])
    m.take = pyo.Constraint(
        m.C, rule=lambda m, s, k: v * m.p[s] + m.t[s, k] >= costs[k] * m.x[s, k]
    )

    def truthful(m: Any, o: int, k: int, told: int) -> Any:
        if k == told:
            return pyo.Constraint.Skip
        s, z = faced[o][k], faced[o][told]
        return (
            v * m.p[s] + m.t[s, k] - costs[k] * m.x[s, k]
            >= v * m.p[z] + m.t[z, told] - costs[k] * m.x[z, told]
        )

    m.truth = pyo.Constraint(m.O, m.K, m.K, rule=truthful)
    m.surplus = pyo.Objective(
        expr=sum(
            law[s] * (V * m.p[s] - sum(counts[s][k] * m.t[s, k] for k in m.K if counts[s][k]))
            for s in m.S
        ),
        sense=pyo.maximize,
    )
    return m

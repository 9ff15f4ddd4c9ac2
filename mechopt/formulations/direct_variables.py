"""Sets and variables of the direct mechanism, and the linear forms that its rows are made of.

Equations: models/direct-dsic/README.md, and the sheets of its relatives. Symbols: see `direct`.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression, MonomialTermExpression

from mechopt.formulations.parts import Model
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population

Form = list[tuple[float, Any]]  # a linear form: coefficient and variable of each term
MINUS = -1  # as an integer: exported without decimals


def scaled(factor: float, form: Form) -> Form:
    """factor · form."""
    return [(factor * coefficient, variable) for coefficient, variable in form]


def linear(*forms: Form) -> Any:
    """The sum of the forms as a Pyomo expression, its terms made directly.

    Operators on Pyomo variables look at the types of both sides each time; that took half of the
    time of building the model.
    """
    return LinearExpression(
        [
            variable
            if coefficient == 1
            else MonomialTermExpression((MINUS if coefficient == -1 else coefficient, variable))
            for form in forms
            for coefficient, variable in form
            if coefficient
        ]
    )


class DirectModel:
    """The model under construction: data, sets, variables and the terms of its rows.

    Data are kept as plain lists and variables in plain dictionaries: rows are read term by term.
    """

    def __init__(self, population: Population, terms: DirectTerms) -> None:
        self.population, self.terms = population, terms
        self.space = space = population.states
        self.law = space.probability.tolist()
        self.users = space.counts.tolist()  # [ω][j]
        self.state = [others.state.tolist() for others in space.others]  # [g][ω_−i][column of g]
        self.chance = [  # [g][own type][ω_−i]
            [others.given(k).tolist() for k in range(group.types)]
            for others, group in zip(space.others, population.groups)
        ]
        self.shares = [0.0, *population.shares.tolist()]
        self.thresholds = [0.0, *population.thresholds.tolist()]
        self.levels = range(1, population.levels + 1)
        self.theta = population.type_costs.tolist()
        self.group_of = population.group_of_type.tolist()
        self.groups = [population.groups[g] for g in self.group_of]  # of column j
        self.widths = [group.widths.tolist() for group in self.groups]
        self.slopes = [group.slopes.tolist() for group in self.groups]
        self.first = [int(column) for column in population.first_type]  # column of a group
        self.thoughtful = [
            terms.double_deviation(group, population.levels) for group in population.groups
        ]
        self.worth = [[group.value * share for group in self.groups] for share in self.shares]
        self.payments: dict[tuple[int, int, int], Form] = {}
        self.model: Model = pyo.ConcreteModel(name="direct")

    # -- what the rows are made of ---------------------------------------------------------

    def burden(self, k: int, s: int, j: int) -> Form:
        """x = Σ y."""
        return [(1, part) for part in self.parts[k, s, j]]

    def shape(self, k: int, s: int, j: int) -> Form:
        """G = Σ slope y."""
        return list(zip(self.slopes[j], self.parts[k, s, j]))

    def run(self, k: int, s: int, factor: float) -> Form:
        """factor · p."""
        return [(factor, self.chosen[k, s])]

    def enjoy(self, k: int, s: int, j: int, factor: float) -> Form:
        """factor · a."""
        return [(factor, self.access.get((k, s, j), self.chosen[k, s]))]

    def keep(self, k: int, j: int) -> float:
        share = 1 - self.groups[j].exclusion
        return share * self.worth[k if self.groups[j].removable == 0 else k - 1][j]

    def gain(self, k: int, s: int, j: int) -> Form:
        """u: a variable, or v b_k a − θ G without transfers."""
        if self.terms.transfers:
            return [(1, self.utility[k, s, j])]
        cost = scaled(-self.theta[j], self.shape(k, s, j))
        return self.enjoy(k, s, j, self.worth[k][j]) + cost

    def payment(self, k: int, s: int, j: int) -> Form:
        """t = u + θ G − v b_k a, worked out once."""
        form = self.payments.get((k, s, j))
        if form is None:
            cost = scaled(self.theta[j], self.shape(k, s, j))
            form = self.gain(k, s, j) + cost + self.enjoy(k, s, j, -self.worth[k][j])
            self.payments[k, s, j] = form
        return form

    def staying(self, k: int, s: int, told: int, true: int) -> Form:
        """Utility of a `true` type in the place of a `told` type who stays."""
        dearer = self.theta[told] - self.theta[true]
        return self.gain(k, s, told) + scaled(dearer, self.shape(k, s, told))

    def leaving(self, k: int, s: int, told: int, true: int) -> Form:
        """Utility of a `true` type in the place of a `told` type who withdraws."""
        sunk = (1 - self.groups[true].reversibility) * self.theta[true]
        return self.run(k, s, self.keep(k, told)) + scaled(-sunk, self.shape(k, s, told))

    # -- sets and variables ---------------------------------------------------------------

    def add_sets(self) -> None:
        model, population = self.model, self.population
        model.LEVELS = pyo.RangeSet(1, population.levels)
        model.STATES = pyo.RangeSet(0, len(self.space) - 1)
        model.TYPES = pyo.RangeSet(0, len(self.theta) - 1)
        self.cells = [
            (k, s, j)
            for k in self.levels
            for s, j in zip(self.space.cell_state.tolist(), self.space.cell_type.tolist())
        ]
        model.CELLS = pyo.Set(initialize=self.cells, dimen=3)
        model.PARTS = pyo.Set(
            initialize=[
                (k, s, j, part) for k, s, j in self.cells for part in range(len(self.widths[j]))
            ],
            dimen=4,
        )
        self.faced = [(g, o) for g, chance in enumerate(self.chance) for o in range(len(chance[0]))]
        model.FACED = pyo.Set(initialize=self.faced, dimen=2)
        self.lies = [
            (g, first + true, first + told)
            for g, (group, first) in enumerate(zip(population.groups, self.first))
            for true in range(group.types)
            for told in range(group.types)
            if true != told
        ]
        model.LIES = pyo.Set(initialize=self.lies, dimen=3)

    def add_variables(self) -> None:
        model = self.model
        model.run = pyo.Var(
            model.LEVELS,
            model.STATES,
            domain=pyo.NonNegativeReals if self.terms.randomized else pyo.Binary,
            bounds=(0, 1),
            doc="(D2) probability that the level is run",
        )
        self.chosen = dict(model.run.items())
        model.give = pyo.Var(
            model.PARTS,
            bounds=lambda m, k, s, j, part: (
                0,
                min(self.widths[j][part], self.thresholds[k] / self.users[s][j]),
            ),
            doc="(D2) burden on a segment, data",
        )
        self.access: dict[tuple[int, int, int], Any] = {}
        barred = [
            cell for cell in self.cells if self.groups[cell[2]].exclusion * self.worth[-1][cell[2]]
        ]
        if barred:
            model.access = pyo.Var(barred, bounds=(0, 1), doc="(F14) access to the improvement")
            self.access = dict(model.access.items())
        self.parts: dict[tuple[int, int, int], list[Any]] = {}
        for (k, s, j, _), variable in model.give.items():
            self.parts.setdefault((k, s, j), []).append(variable)
        if self.terms.transfers:
            model.utility = pyo.Var(
                model.CELLS,
                bounds=lambda m, k, s, j: (0 if self.never_loses(k, j) else None, None),
                doc="(D4) utility of a truthful user, money",
            )
            self.utility = dict(model.utility.items())

    def never_loses(self, k: int, j: int) -> bool:
        """Whether u ≥ 0 is a bound: ex-post participation, or D5 with ρ = 1 and keep = 0."""
        if self.terms.participation == "ex-post":
            return True
        full = self.groups[j].reversibility == 1 and self.keep(k, j) == 0
        return self.terms.obedient and full

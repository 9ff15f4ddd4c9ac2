"""Private costs: the optimal direct mechanism on count states, payments eliminated.

Equations: models/direct-dsic/README.md (D1-D4, D8), direct-bic (D5), direct-obedient (D6),
direct-excludable (F14); docs: model. Levels k, states ω, columns j of types, segments s:

    run[k, ω] = p                 probability that level k is run
    give[k, ω, j, s] = y          burden on a segment, data;  x = Σ_s y_s,  G = Σ_s slope_s y_s
    access[k, ω, j] = a           access to the improvement, only where η > 0; else a = p
    utility[k, ω, j] = u          of a truthful user, money; no variable without transfers
    fallback[k, g, true, told, o] = w    best of staying and withdrawing after a lie (D6)
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import Any

import pyomo.environ as pyo

from mechopt.formulations.direct_variables import DirectModel, Form, linear, scaled
from mechopt.formulations.parts import Model
from mechopt.problem.direct_size import refuse_if_large
from mechopt.problem.direct_terms import payment_bounds, read_terms
from mechopt.problem.population import Population


def build(
    population: Population,
    *,
    objective: str = "provider-surplus",
    incentive: str = "dsic",
    participation: str = "ex-post",
    withdrawal_rights: bool | str = True,
    randomized: bool = True,
    transfers: bool = True,
    target: float | None = None,
) -> Model:
    """The LP (or, deterministic, MILP) of the model. Options as `private.direct.solve`.

    Several segments are filled in any order here; the solver's clean-up checks the order.
    """
    terms = read_terms(
        population,
        objective=objective,
        incentive=incentive,
        participation=participation,
        withdrawal_rights=withdrawal_rights,
        randomized=randomized,
        transfers=transfers,
        target=target,
    )
    refuse_if_large(population, terms)
    sheet = _Sheet(population, terms)
    sheet.add_sets()
    sheet.add_variables()
    sheet.add_threshold()
    sheet.add_outcome()
    sheet.add_payments()
    sheet.add_incentives()
    sheet.add_participation()
    sheet.add_obedience()
    sheet.add_target()
    sheet.add_objective()
    return sheet.model


# Dominant strategies and ex-post participation (D1–D5); Bayesian incentives where truthful users
# may withdraw; Bayesian incentives where misreporters may too (D6); run probabilities 0 or 1.
build_dsic = partial(build, incentive="dsic")
build_bic = partial(build, incentive="bic", withdrawal_rights="truthful")
build_obedient = partial(build, incentive="bic", withdrawal_rights=True)
build_deterministic = partial(build, randomized=False)
build_excludable = partial(build, incentive="dsic")  # of groups with an exclusion


class _Sheet(DirectModel):
    """The rows and the objective: one method per line of the sheet."""

    def present(self, s: int) -> list[int]:
        return [j for j, users in enumerate(self.users[s]) if users]

    def add_threshold(self) -> None:
        self.model.threshold = pyo.Constraint(
            self.model.LEVELS,
            self.model.STATES,
            rule=lambda m, k, s: (
                linear(
                    *(scaled(self.users[s][j], self.burden(k, s, j)) for j in self.present(s)),
                    self.run(k, s, -self.thresholds[k]),
                )
                == 0
            ),
            doc="(D1) everyone who contributes is pivotal",
        )

    def add_outcome(self) -> None:
        model = self.model
        model.capacity = pyo.Constraint(
            [
                (k, s, j, part)
                for k, s, j in self.cells
                for part, width in enumerate(self.widths[j])
                if width * self.users[s][j] < self.thresholds[k]
            ],
            rule=lambda m, k, s, j, part: (
                linear([(1, self.parts[k, s, j][part])], self.run(k, s, -self.widths[j][part])) <= 0
            ),
            doc="(D2) capacity, nothing in the null outcome",
        )
        if self.access:
            model.access_most = pyo.Constraint(
                list(self.access),
                rule=lambda m, k, s, j: linear(self.enjoy(k, s, j, 1), self.run(k, s, -1)) <= 0,
                doc="(F14) no more access than there is improvement",
            )
            partly = [cell for cell in self.access if self.groups[cell[2]].exclusion < 1]
            model.access_least = pyo.Constraint(
                partly,
                rule=lambda m, k, s, j: (
                    linear(
                        self.enjoy(k, s, j, 1),
                        self.run(k, s, -(1 - self.groups[j].exclusion)),
                    )
                    >= 0
                ),
                doc="(F14) no more is denied than can be",
            )
        if self.population.levels > 1:
            model.lottery = pyo.Constraint(
                model.STATES,
                rule=lambda m, s: linear(*(self.run(k, s, 1) for k in self.levels)) <= 1,
                doc="(D2) at most one level is run",
            )

    def add_payments(self) -> None:
        if not self.terms.transfers:
            return
        model, population = self.model, self.population
        model.payment = pyo.Constraint(
            model.CELLS,
            rule=lambda m, k, s, j: linear(self.payment(k, s, j)) >= 0,
            doc="(D2) payments are not negative",
        )
        if population.budget < inf:
            model.budget = pyo.Constraint(
                model.LEVELS,
                model.STATES,
                rule=lambda m, k, s: (
                    linear(
                        *(scaled(self.users[s][j], self.payment(k, s, j)) for j in self.present(s)),
                        self.run(k, s, -population.budget),
                    )
                    <= 0
                ),
                doc="(D2) budget in every state",
            )
        else:
            most = {k: payment_bounds(population, k - 1).tolist() for k in self.levels}
            model.null = pyo.Constraint(
                model.CELLS,
                rule=lambda m, k, s, j: (
                    linear(self.payment(k, s, j), self.run(k, s, -most[k][self.group_of[j]])) <= 0
                ),
                doc="(D2) nothing is paid in the null outcome",
            )
        if population.expected_budget < inf:
            model.expected_budget = pyo.Constraint(
                expr=self.expected_payments() <= population.expected_budget,
                doc="(D2) expected budget",
            )

    def expected_payments(self) -> Any:
        return linear(
            *(
                scaled(self.law[s] * self.users[s][j], self.payment(k, s, j))
                for k, s, j in self.cells
            )
        )

    def state_when(self, g: int, o: int, j: int) -> int:
        """The state when a user of group g facing ω_−i number o reports column j."""
        return self.state[g][o][j - self.first[g]]

    def add_incentives(self) -> None:
        model, bic = self.model, self.terms.incentive == "bic"
        thoughtful = [lie for lie in self.lies if self.thoughtful[lie[0]]]
        plain = [
            lie
            for lie in self.lies
            if not self.thoughtful[lie[0]] and (bic or abs(lie[1] - lie[2]) == 1)
        ]
        cases = self.in_every_state(thoughtful)
        if thoughtful:
            model.fallback = pyo.Var(
                model.LEVELS, cases, doc="(D6) best of staying and withdrawing, money"
            )
            model.stay = pyo.Constraint(
                model.LEVELS,
                cases,
                rule=lambda m, k, g, true, told, o: (
                    m.fallback[k, g, true, told, o]
                    >= linear(self.staying(k, self.state_when(g, o, told), told, true))
                ),
                doc="(D6) a misreporter may stay",
            )
            model.withdraw = pyo.Constraint(
                model.LEVELS,
                cases,
                rule=lambda m, k, g, true, told, o: (
                    m.fallback[k, g, true, told, o]
                    >= linear(self.leaving(k, self.state_when(g, o, told), told, true))
                ),
                doc="(D6) a misreporter may withdraw",
            )
        if bic:
            model.bayesian = pyo.Constraint(
                [*plain, *thoughtful],
                rule=lambda m, g, true, told: (
                    linear(
                        *(
                            scaled(chance, self.regretted(g, true, told, o))
                            for o, chance in enumerate(self.chance[g][true - self.first[g]])
                        )
                    )
                    >= 0
                ),
                doc="(D3) nobody gains by misreporting, in expectation",
            )
            return
        model.dominant = pyo.Constraint(
            self.in_every_state([*plain, *thoughtful]),
            rule=lambda m, g, true, told, o: linear(self.regretted(g, true, told, o)) >= 0,
            doc="(D3) nobody gains by misreporting, whatever the others report",
        )
        if self.terms.honest_and_obedient:
            model.leave = pyo.Constraint(
                self.in_every_state([lie for lie in self.lies if self.leaving_matters(lie[0])]),
                rule=lambda m, g, true, told, o: (
                    linear(self.gain(1, self.state_when(g, o, true), true))
                    >= linear(self.leaving(1, self.state_when(g, o, told), told, true))
                ),
                doc="(D6) nobody gains by misreporting and withdrawing",
            )

    def in_every_state(self, lies: list[tuple[int, int, int]]) -> list[tuple[int, int, int, int]]:
        """Each lie with each ω_−i that its group may face."""
        return [(*lie, o) for lie in lies for o in range(len(self.chance[lie[0]][0]))]

    def regretted(self, g: int, true: int, told: int, o: int) -> Form:
        """Σ_k utility of the truth minus that of the lie."""
        honest, lying = self.state_when(g, o, true), self.state_when(g, o, told)
        form: Form = []
        for k in self.levels:
            form += self.gain(k, honest, true)
            if self.thoughtful[g]:
                form.append((-1, self.model.fallback[k, g, true, told, o]))
            else:
                form += scaled(-1, self.staying(k, lying, told, true))
        return form

    def leaving_matters(self, g: int) -> bool:
        """DSIC, one threshold: whether D6 says more than u ≥ 0 and D3."""
        group, j = self.population.groups[g], self.first[g]
        if group.reversibility == 0 or self.thoughtful[g]:
            return False
        safe = self.terms.participation == "ex-post" or group.reversibility == 1
        return not (safe and self.keep(1, j) == 0)

    def add_participation(self) -> None:
        model = self.model
        if self.terms.participation == "ex-post":
            if not self.terms.transfers:
                model.participation = pyo.Constraint(
                    model.CELLS,
                    rule=lambda m, k, s, j: linear(self.gain(k, s, j)) >= 0,
                    doc="(D4) ex-post participation",
                )
            return
        model.participation = pyo.Constraint(
            model.TYPES,
            rule=lambda m, j: (
                linear(
                    *(
                        scaled(chance, self.gain(k, self.state_when(g, o, j), j))
                        for g in [self.group_of[j]]
                        for o, chance in enumerate(self.chance[g][j - self.first[g]])
                        for k in self.levels
                    )
                )
                >= 0
            ),
            doc="(D4) interim participation",
        )

    def add_obedience(self) -> None:
        if not self.terms.obedient:
            return
        self.model.obedience = pyo.Constraint(
            [cell for cell in self.cells if self.obedience_matters(cell[0], cell[2])],
            rule=lambda m, k, s, j: linear(self.gain(k, s, j)) >= linear(self.leaving(k, s, j, j)),
            doc="(D5) obedience of truthful users",
        )

    def obedience_matters(self, k: int, j: int) -> bool:
        group, keeps = self.groups[j], self.keep(k, j)
        if group.reversibility == 0:
            return False
        if self.terms.participation == "ex-post" and keeps == 0:
            return False
        return not (self.terms.transfers and keeps == 0 and group.reversibility == 1)

    def share_reached(self) -> Any:
        return linear(
            *(
                self.run(k, s, chance * self.shares[k])
                for k in self.levels
                for s, chance in enumerate(self.law)
            )
        )

    def add_target(self) -> None:
        if self.terms.target is not None:
            self.model.target = pyo.Constraint(
                expr=self.share_reached() >= self.terms.target,
                doc="(D7) target of the expected share",
            )

    def expected_cost(self) -> Any:
        return linear(
            *(
                scaled(self.law[s] * self.users[s][j] * self.theta[j], self.shape(k, s, j))
                for k, s, j in self.cells
            )
        )

    def expected_benefit(self) -> Any:
        return linear(
            *(
                self.enjoy(k, s, j, self.law[s] * self.users[s][j] * self.worth[k][j])
                for k, s, j in self.cells
            )
        )

    def add_objective(self) -> None:
        name, population = self.terms.objective, self.population
        enjoyed = population.users_value
        everybody = population.provider_value + enjoyed
        expression = {
            "improvement": self.share_reached,
            "provider-surplus": lambda: (
                population.provider_value * self.share_reached()
                - (self.expected_payments() if self.terms.transfers else 0.0)
            ),
            "welfare": lambda: (
                (
                    population.provider_value * self.share_reached() + self.expected_benefit()
                    if self.access
                    else everybody * self.share_reached()
                )
                - self.expected_cost()
            ),
            "expenditure": lambda: self.expected_payments() if self.terms.transfers else 0.0,
            "social-cost": self.expected_cost,
        }[name]()
        sense = pyo.maximize if self.terms.maximise else pyo.minimize
        self.model.objective = pyo.Objective(expr=expression, sense=sense, doc=f"(D8) {name}")

"""Private costs: the optimal direct mechanism on count states, payments eliminated.

Sets: LEVELS k, STATES ω (count vectors), TYPES j (columns over groups), CELLS (ω, j) with at
least one such user, PARTS (ω, j, s) segments of a cell's cost curve, FACED (g, ω_−i) what a user
of group g may face, LIES (g, true, told). Variables, all expected over the lottery:

    run[k, ω] = p            probability that level k is run
    give[k, ω, j, s] = y     burden on segment s, data;  x = Σ_s y_s,  G = Σ_s slope_s y_s
    utility[k, ω, j] = u     utility of a truthful user, money;  t = u + θ G − v b_k p
    fallback[k, g, o, true, told] = w   best of staying and withdrawing after a lie (D6)

    Σ_j N_j(ω) x_j(ω) = T_k p_k(ω)                                    threshold      (D1)
    0 ≤ y_s ≤ width_s p,  Σ_k p_k ≤ 1                                 outcome        (D2)
    0 ≤ t ≤ t̄ p  (no finite β), or  Σ N t ≤ β p                       payments       (D2)
    Σ P(ω) Σ N t ≤ expected budget                                    payments       (D2)
    Σ_k u(ω_−i + θ) ≥ Σ_k [u + (θ' − θ) G](ω_−i + θ')                 incentives     (D3)
        for every ω_−i (DSIC, adjacent θ') or in expectation over it (BIC, all θ')
    u ≥ 0 (ex post), or E[Σ_k u | θ] ≥ 0 (interim)                    participation  (D4)
    u ≥ keep_k p − (1 − ρ) θ G                                        obedience      (D5)
    D3 with w on the right, w ≥ u + (θ' − θ) G, w ≥ keep_k p' − (1 − ρ) θ G'         (D6)
    E[B(X)] ≥ target                                                  target         (D7)

keep_k = v b_{k−1} (v b_k where δ = 0) is what a user who leaves level k still enjoys at most; with
one threshold D5 and D6 are exactly those of FORMULATION section 5. Rows that others imply are
left out: y ≤ width p where D1 implies it, D5 with ρ = 0, with keep = 0 under ex-post
participation, or as the bound u ≥ 0 with ρ = 1; D6 with ρ = 0; under DSIC with one threshold D6
needs no w, and no row at all where keep = 0 and u ≥ 0 holds.
Without transfers t = 0 and u = v b_k p − θ G is no variable.
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import Any

import pyomo.environ as pyo

from mechopt.formulations.parts import Model
from mechopt.mechanisms.direct_arrays import payment_bounds
from mechopt.mechanisms.direct_size import refuse_if_large
from mechopt.mechanisms.direct_terms import DirectTerms, read_terms
from mechopt.population import Population


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
    """The LP (or, deterministic, MILP) of FORMULATION section 5. Options as `direct_solve.solve`.

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


class _Sheet:
    """The model under construction; one method per line of the sheet."""

    def __init__(self, population: Population, terms: DirectTerms) -> None:
        self.population, self.terms = population, terms
        self.space = population.states
        self.shares = [0.0, *population.shares.tolist()]
        self.model: Model = pyo.ConcreteModel(name="direct")

    # -- what the rows are made of ---------------------------------------------------------

    def group(self, j: int) -> Any:
        return self.population.groups[int(self.population.group_of_type[j])]

    def theta(self, j: int) -> float:
        return float(self.population.type_costs[j])

    def users(self, s: int, j: int) -> int:
        return int(self.space.counts[s, j])

    def burden(self, k: int, s: int, j: int) -> Any:
        return sum(self.model.give[k, s, j, part] for part in range(self.group(j).widths.size))

    def shape(self, k: int, s: int, j: int) -> Any:
        """G = Σ slope y."""
        slopes = self.group(j).slopes.tolist()
        return sum(slope * self.model.give[k, s, j, part] for part, slope in enumerate(slopes))

    def worth(self, k: int, j: int) -> float:
        return float(self.group(j).value) * self.shares[k]

    def keep(self, k: int, j: int) -> float:
        group = self.group(j)
        return float(group.value) * self.shares[k if group.removable == 0 else k - 1]

    def gain(self, k: int, s: int, j: int) -> Any:
        """u: a variable, or v b_k p − θ G without transfers."""
        if self.terms.transfers:
            return self.model.utility[k, s, j]
        return self.worth(k, j) * self.model.run[k, s] - self.theta(j) * self.shape(k, s, j)

    def payment(self, k: int, s: int, j: int) -> Any:
        cost = self.theta(j) * self.shape(k, s, j)
        return self.gain(k, s, j) + cost - self.worth(k, j) * self.model.run[k, s]

    def staying(self, k: int, s: int, told: int, true: int) -> Any:
        """Utility of a `true` type in the place of a `told` type who stays."""
        dearer = self.theta(told) - self.theta(true)
        return self.gain(k, s, told) + dearer * self.shape(k, s, told)

    def leaving(self, k: int, s: int, told: int, true: int) -> Any:
        """Utility of a `true` type in the place of a `told` type who withdraws."""
        sunk = (1 - self.group(true).reversibility) * self.theta(true)
        return self.keep(k, told) * self.model.run[k, s] - sunk * self.shape(k, s, told)

    # -- sets and variables ---------------------------------------------------------------

    def add_sets(self) -> None:
        model, population = self.model, self.population
        model.LEVELS = pyo.RangeSet(1, population.levels)
        model.STATES = pyo.RangeSet(0, len(self.space) - 1)
        model.TYPES = pyo.RangeSet(0, population.type_costs.size - 1)
        cells = list(zip(self.space.cell_state.tolist(), self.space.cell_type.tolist()))
        model.CELLS = pyo.Set(initialize=cells, dimen=2)
        model.PARTS = pyo.Set(
            initialize=[
                (s, j, part) for s, j in cells for part in range(self.group(j).widths.size)
            ],
            dimen=3,
        )
        model.FACED = pyo.Set(
            initialize=[
                (g, o)
                for g, others in enumerate(self.space.others)
                for o in range(others.probability.size)
            ],
            dimen=2,
        )
        model.LIES = pyo.Set(
            initialize=[
                (g, first + true, first + told)
                for g, (group, first) in enumerate(zip(population.groups, population.first_type))
                for true in range(group.types)
                for told in range(group.types)
                if true != told
            ],
            dimen=3,
        )

    def add_variables(self) -> None:
        model, population = self.model, self.population
        thresholds = population.thresholds.tolist()
        model.run = pyo.Var(
            model.LEVELS,
            model.STATES,
            domain=pyo.NonNegativeReals if self.terms.randomized else pyo.Binary,
            bounds=(0, 1),
            doc="(D2) probability that the level is run",
        )
        model.give = pyo.Var(
            model.LEVELS,
            model.PARTS,
            bounds=lambda m, k, s, j, part: (
                0,
                min(float(self.group(j).widths[part]), thresholds[k - 1] / self.users(s, j)),
            ),
            doc="(D2) burden on a segment, data",
        )
        if self.terms.transfers:
            model.utility = pyo.Var(
                model.LEVELS,
                model.CELLS,
                bounds=lambda m, k, s, j: (0 if self.never_loses(k, j) else None, None),
                doc="(D4) utility of a truthful user, money",
            )

    def never_loses(self, k: int, j: int) -> bool:
        """Whether u ≥ 0 is a bound: ex-post participation, or D5 with ρ = 1 and keep = 0."""
        if self.terms.participation == "ex-post":
            return True
        full = self.group(j).reversibility == 1 and self.keep(k, j) == 0
        return self.terms.obedient and full

    # -- rows -------------------------------------------------------------------------------

    def present(self, s: int) -> list[int]:
        return [j for j in self.model.TYPES if self.users(s, j)]

    def add_threshold(self) -> None:
        thresholds = self.population.thresholds.tolist()
        self.model.threshold = pyo.Constraint(
            self.model.LEVELS,
            self.model.STATES,
            rule=lambda m, k, s: (
                sum(self.users(s, j) * self.burden(k, s, j) for j in self.present(s))
                == thresholds[k - 1] * m.run[k, s]
            ),
            doc="(D1) everyone who contributes is pivotal",
        )

    def add_outcome(self) -> None:
        model, thresholds = self.model, self.population.thresholds.tolist()
        model.capacity = pyo.Constraint(
            [
                (k, s, j, part)
                for k in model.LEVELS
                for s, j, part in model.PARTS
                if self.group(j).widths[part] * self.users(s, j) < thresholds[k - 1]
            ],
            rule=lambda m, k, s, j, part: (
                m.give[k, s, j, part] <= float(self.group(j).widths[part]) * m.run[k, s]
            ),
            doc="(D2) capacity, nothing in the null outcome",
        )
        if self.population.levels > 1:
            model.lottery = pyo.Constraint(
                model.STATES,
                rule=lambda m, s: sum(m.run[k, s] for k in m.LEVELS) <= 1,
                doc="(D2) at most one level is run",
            )

    def add_payments(self) -> None:
        if not self.terms.transfers:
            return
        model, population = self.model, self.population
        model.payment = pyo.Constraint(
            model.LEVELS,
            model.CELLS,
            rule=lambda m, k, s, j: self.payment(k, s, j) >= 0,
            doc="(D2) payments are not negative",
        )
        if population.budget < inf:
            model.budget = pyo.Constraint(
                model.LEVELS,
                model.STATES,
                rule=lambda m, k, s: (
                    sum(self.users(s, j) * self.payment(k, s, j) for j in self.present(s))
                    <= population.budget * m.run[k, s]
                ),
                doc="(D2) budget in every state",
            )
        else:
            most = {k: payment_bounds(population, k - 1) for k in model.LEVELS}
            model.null = pyo.Constraint(
                model.LEVELS,
                model.CELLS,
                rule=lambda m, k, s, j: (
                    self.payment(k, s, j)
                    <= float(most[k][population.group_of_type[j]]) * m.run[k, s]
                ),
                doc="(D2) nothing is paid in the null outcome",
            )
        if population.expected_budget < inf:
            model.expected_budget = pyo.Constraint(
                expr=self.expected_payments() <= population.expected_budget,
                doc="(D2) expected budget",
            )

    def expected_payments(self) -> Any:
        law = self.space.probability.tolist()
        return sum(
            law[s] * self.users(s, j) * self.payment(k, s, j)
            for k in self.model.LEVELS
            for s, j in self.model.CELLS
        )

    def state(self, g: int, o: int, j: int) -> int:
        """The state when a user of group g facing ω_−i number o reports column j."""
        return int(self.space.others[g].state[o, j - self.population.first_type[g]])

    def second_thoughts(self, g: int) -> bool:
        """Whether D6 needs the variable w."""
        if not self.terms.honest_and_obedient or self.population.groups[g].reversibility == 0:
            return False
        return self.terms.incentive == "bic" or self.population.levels > 1

    def add_incentives(self) -> None:
        model, bic = self.model, self.terms.incentive == "bic"
        plain = [
            lie
            for lie in model.LIES
            if not self.second_thoughts(lie[0]) and (bic or abs(lie[1] - lie[2]) == 1)
        ]
        thoughtful = [lie for lie in model.LIES if self.second_thoughts(lie[0])]
        cases = [(*lie, o) for lie in thoughtful for g, o in model.FACED if g == lie[0]]
        if thoughtful:
            model.fallback = pyo.Var(
                model.LEVELS, cases, doc="(D6) best of staying and withdrawing, money"
            )
            model.stay = pyo.Constraint(
                model.LEVELS,
                cases,
                rule=lambda m, k, g, true, told, o: (
                    m.fallback[k, g, true, told, o]
                    >= self.staying(k, self.state(g, o, told), told, true)
                ),
                doc="(D6) a misreporter may stay",
            )
            model.withdraw = pyo.Constraint(
                model.LEVELS,
                cases,
                rule=lambda m, k, g, true, told, o: (
                    m.fallback[k, g, true, told, o]
                    >= self.leaving(k, self.state(g, o, told), told, true)
                ),
                doc="(D6) a misreporter may withdraw",
            )
        if bic:
            model.bayesian = pyo.Constraint(
                [*plain, *thoughtful],
                rule=lambda m, g, true, told: (
                    sum(
                        chance * self.regretted(g, true, told, o)
                        for o, chance in enumerate(self.space.others[g].probability.tolist())
                    )
                    >= 0
                ),
                doc="(D3) nobody gains by misreporting, in expectation",
            )
            return
        model.dominant = pyo.Constraint(
            [(*lie, o) for lie in [*plain, *thoughtful] for g, o in model.FACED if g == lie[0]],
            rule=lambda m, g, true, told, o: self.regretted(g, true, told, o) >= 0,
            doc="(D3) nobody gains by misreporting, whatever the others report",
        )
        if self.terms.honest_and_obedient:
            model.leave = pyo.Constraint(
                [
                    (*lie, o)
                    for lie in model.LIES
                    for g, o in model.FACED
                    if g == lie[0] and self.leaving_matters(g)
                ],
                rule=lambda m, g, true, told, o: (
                    self.gain(1, self.state(g, o, true), true)
                    >= self.leaving(1, self.state(g, o, told), told, true)
                ),
                doc="(D6) nobody gains by misreporting and withdrawing",
            )

    def regretted(self, g: int, true: int, told: int, o: int) -> Any:
        """Σ_k utility of the truth minus that of the lie."""
        honest, lying = self.state(g, o, true), self.state(g, o, told)
        levels = self.model.LEVELS
        truth = sum(self.gain(k, honest, true) for k in levels)
        if self.second_thoughts(g):
            return truth - sum(self.model.fallback[k, g, true, told, o] for k in levels)
        return truth - sum(self.staying(k, lying, told, true) for k in levels)

    def leaving_matters(self, g: int) -> bool:
        """DSIC, one threshold: whether D6 says more than u ≥ 0 and D3."""
        group, j = self.population.groups[g], self.population.first_type[g]
        if group.reversibility == 0 or self.second_thoughts(g):
            return False
        safe = self.terms.participation == "ex-post" or group.reversibility == 1
        return not (safe and self.keep(1, j) == 0)

    def add_participation(self) -> None:
        model = self.model
        if self.terms.participation == "ex-post":
            if not self.terms.transfers:
                model.participation = pyo.Constraint(
                    model.LEVELS,
                    model.CELLS,
                    rule=lambda m, k, s, j: self.gain(k, s, j) >= 0,
                    doc="(D4) ex-post participation",
                )
            return
        model.participation = pyo.Constraint(
            model.TYPES,
            rule=lambda m, j: (
                sum(
                    chance * self.gain(k, self.state(g, o, j), j)
                    for g in [int(self.population.group_of_type[j])]
                    for o, chance in enumerate(self.space.others[g].probability.tolist())
                    for k in m.LEVELS
                )
                >= 0
            ),
            doc="(D4) interim participation",
        )

    def add_obedience(self) -> None:
        if not self.terms.obedient:
            return
        self.model.obedience = pyo.Constraint(
            [
                (k, s, j)
                for k in self.model.LEVELS
                for s, j in self.model.CELLS
                if self.obedience_matters(k, j)
            ],
            rule=lambda m, k, s, j: self.gain(k, s, j) >= self.leaving(k, s, j, j),
            doc="(D5) obedience of truthful users",
        )

    def obedience_matters(self, k: int, j: int) -> bool:
        group, keeps = self.group(j), self.keep(k, j)
        if group.reversibility == 0:
            return False
        if self.terms.participation == "ex-post" and keeps == 0:
            return False
        return not (self.terms.transfers and keeps == 0 and group.reversibility == 1)

    def share_reached(self) -> Any:
        law = self.space.probability.tolist()
        model = self.model
        return sum(
            law[s] * self.shares[k] * model.run[k, s] for k in model.LEVELS for s in model.STATES
        )

    def add_target(self) -> None:
        if self.terms.target is not None:
            self.model.target = pyo.Constraint(
                expr=self.share_reached() >= self.terms.target,
                doc="(D7) target of the expected share",
            )

    def add_objective(self) -> None:
        model, name, population = self.model, self.terms.objective, self.population
        law = self.space.probability.tolist()
        cost = sum(
            law[s] * self.users(s, j) * self.theta(j) * self.shape(k, s, j)
            for k in model.LEVELS
            for s, j in model.CELLS
        )
        paid = self.expected_payments() if self.terms.transfers else 0.0
        enjoyed = sum(group.size * group.value for group in population.groups)
        everybody = population.provider_value + enjoyed
        expression = {
            "improvement": lambda: self.share_reached(),
            "provider-surplus": lambda: population.provider_value * self.share_reached() - paid,
            "welfare": lambda: everybody * self.share_reached() - cost,
            "expenditure": lambda: paid,
            "social-cost": lambda: cost,
        }[name]()
        sense = pyo.maximize if self.terms.maximise else pyo.minimize
        model.objective = pyo.Objective(expr=expression, sense=sense, doc=f"(D8) {name}")

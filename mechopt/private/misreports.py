"""What users report to a rule that takes reports at face value: pure Bayes–Nash equilibria.

Every user of a type reports the same, one of finitely many reports of the group; a profile of
costs is then a profile of reports, and expectations run over the count states as elsewhere.
`equilibrium` follows best responses from the truth and verifies where they stop; `equilibria`
tries all strategies of tiny populations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import InvalidOption, TooLarge
from mechopt.private.rule_regret import others_of
from mechopt.private.rules import RULES, apply_rule, kept
from mechopt.problem.population import Population
from mechopt.words import choose

MOST_STRATEGIES = 5_000
MOST_ROUNDS = 200


@dataclass(frozen=True, eq=False)
class ReportEquilibrium:
    """Reports from which nobody gains by reporting otherwise, and what comes of them.

    :reports: of each type, money per data unit, shape (M,)
    :gain: the most that any other report of the list gains, money, ≤ 0 up to rounding
    :found: False if best responses ran in a circle; `reports` is then the last of them
    :metrics: expected at the true costs: improvement, data, social_cost, welfare
    """

    reports: FloatArray
    gain: float
    found: bool
    metrics: dict[str, float]


def equilibrium(
    population: Population, rule: str, *, reports: Sequence[Sequence[float]] | None = None
) -> ReportEquilibrium:
    """Best responses from the truth on, one type at a time, until nobody gains (verified).

    Should they run in a circle, all strategies are looked at, if there are few enough.

    :reports: per group, what its users may report; default the group's costs
    """
    game = _Game(population, rule, reports)
    strategy = game.truth()
    seen = set()
    for _ in range(MOST_ROUNDS):
        if strategy in seen:
            break
        seen.add(strategy)
        after = strategy
        for column in range(len(strategy)):
            payoff = game.payoffs(after, column)
            if payoff.max() > payoff[after[column]] + game.slack:
                better = int(np.argmax(payoff))
                after = (*after[:column], better, *after[column + 1 :])
        if after == strategy:
            return game.described(strategy, found=True)
        strategy = after
    if game.strategies() <= MOST_STRATEGIES:  # a circle: look at all of them
        return next(
            iter(equilibria(population, rule, reports=reports)),
            game.described(strategy, found=False),
        )
    return game.described(strategy, found=False)


def equilibria(
    population: Population, rule: str, *, reports: Sequence[Sequence[float]] | None = None
) -> list[ReportEquilibrium]:
    """All pure equilibria; TooLarge beyond MOST_STRATEGIES strategies."""
    game = _Game(population, rule, reports)
    sizes = [len(game.reports[g]) for g in population.group_of_type]
    if game.strategies() > MOST_STRATEGIES:
        raise TooLarge(f"misreports: {prod(sizes):,} strategies, more than {MOST_STRATEGIES:,}")
    found = [game.described(one, found=True) for one in product(*map(range, sizes))]
    return [one for one in found if one.gain <= game.slack]


class _Game:
    """The rule as a game: a strategy is the number of its group's report, per type column."""

    def __init__(
        self, population: Population, rule: str, reports: Sequence[Sequence[float]] | None
    ) -> None:
        self.population, self.rule = population, choose("rule", rule, RULES)
        given: list[Any] = [group.costs for group in population.groups]
        if reports is not None:
            if len(reports) != len(given):
                raise InvalidOption(f"reports: expected one list per group ({len(given)})")
            given = list(reports)
        self.reports = [np.unique(np.asarray(one, dtype=np.float64)) for one in given]
        for g, one in enumerate(self.reports):
            if one.size == 0 or not np.all((one >= 0) & np.isfinite(one)):
                raise InvalidOption(f"reports[{g}]: must be finite costs ≥ 0, got {one.tolist()}")
        self.told = population.replace(
            groups=[
                group.replace(costs=one, probabilities=np.full(one.size, 1 / one.size))
                for group, one in zip(population.groups, self.reports)
            ]
        )
        self.others = [others_of(population, g) for g in range(len(population.groups))]
        self.slack = tolerances.MONEY * max(1.0, *(group.value for group in population.groups))

    def strategies(self) -> int:
        """How many there are."""
        return prod(len(self.reports[g]) for g in self.population.group_of_type)

    def truth(self) -> tuple[int, ...]:
        """The report nearest to each type's cost."""
        return tuple(
            int(np.argmin(np.abs(self.reports[g] - cost)))
            for g, cost in zip(self.population.group_of_type, self.population.type_costs)
        )

    def told_counts(self, strategy: tuple[int, ...], counts: IntArray) -> IntArray:
        """Counts of reports when counts (R, M) of types follow the strategy."""
        moved = np.zeros((counts.shape[0], self.told.type_costs.size), dtype=np.int64)
        for column, report in enumerate(strategy):
            first = self.told.first_type[self.population.group_of_type[column]]
            moved[:, first + report] += counts[:, column]
        return moved

    def payoffs(self, strategy: tuple[int, ...], column: int) -> FloatArray:
        """Expected payoff of a user of type `column` from each report of her group, money."""
        g = int(self.population.group_of_type[column])
        group, (counts, weight) = self.population.groups[g], self.others[g]
        shares, theta = self.population.shares, float(self.population.type_costs[column])
        left = np.array([kept(group, shares, k) for k in range(shares.size)])
        base, first = self.told_counts(strategy, counts), self.told.first_type[g]
        found = np.empty(self.reports[g].size)
        for report in range(found.size):
            with_user = base.copy()
            with_user[:, first + report] += 1
            run, burden = apply_rule(self.told, self.rule, with_user)
            given = burden[:, :, first + report]
            cost = theta * group.shape(given)
            stay = group.value * shares * run - cost
            leave = left * run - (1 - group.reversibility) * cost
            better = np.where(given > 0, np.maximum(stay, leave), stay)
            found[report] = weight[:, column - self.population.first_type[g]] @ better.sum(axis=1)
        return found

    def described(self, strategy: tuple[int, ...], *, found: bool) -> ReportEquilibrium:
        gains = []
        for column, report in enumerate(strategy):
            payoff = self.payoffs(strategy, column)
            gains.append(float(payoff.max() - payoff[report]))
        chosen = [
            self.reports[g][report] for g, report in zip(self.population.group_of_type, strategy)
        ]
        return ReportEquilibrium(np.array(chosen), max(gains), found, self._metrics(strategy))

    def _metrics(self, strategy: tuple[int, ...]) -> dict[str, float]:
        population, space = self.population, self.population.states
        run, burden = apply_rule(self.told, self.rule, self.told_counts(strategy, space.counts))
        law, cost = space.probability, np.zeros(len(space))
        for column, g, theta, report in self._types(strategy):
            given = burden[:, :, self.told.first_type[g] + report]
            shaped = population.groups[g].shape(given).sum(axis=1)
            cost += space.counts[:, column] * theta * shaped
        improvement, social = float(law @ (run @ population.shares)), float(law @ cost)
        enjoyed = population.users_value
        return {
            "improvement": improvement,
            "data": float(law @ (run @ population.thresholds)),
            "social_cost": social,
            "welfare": (population.provider_value + enjoyed) * improvement - social,
        }

    def _types(self, strategy: tuple[int, ...]) -> Iterator[tuple[int, int, float, int]]:
        of = self.population.group_of_type
        for column, (theta, report) in enumerate(zip(self.population.type_costs, strategy)):
            yield column, int(of[column]), float(theta), report

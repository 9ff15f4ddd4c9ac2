"""Direct mechanisms that draw from plans held by what a withdrawal sets off: column generation.

The linear program of the simultaneous mechanism (`arrays`) gets one column more per plan in which
everybody stays by the exact game: its chance, with the plan's means in the rows that couple states
(D3 and D6, interim participation, expected budget, target). Multipliers of these rows price the
plans of every state and level (`pricing`); what no state's best plan can exceed at them is a bound
by weak duality, and where no plan is worth more than what its state has, the mechanism is optimal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import fsum, inf
from time import perf_counter

import numpy as np

from mechopt import tolerances
from mechopt.answer.lottery import Draw, totals
from mechopt.answer.mechanism import DirectMechanism
from mechopt.arrays import FloatArray
from mechopt.private.direct.arrays import objective_costs
from mechopt.private.direct.extract import audited, extract, objective_of
from mechopt.private.direct.layout import EXPECTATION
from mechopt.private.direct.optimise import SETTINGS, build_for, limit_of
from mechopt.private.direct.pricing import Prices, Pricing
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population
from mechopt.solver import highs, runs
from mechopt.solver.linear_program import LinearProgram
from mechopt.status import Status
from mechopt.withdrawal.mechanisms import Played, play

# A plan worth so little more than what its state has adds nothing; of what can be had at most.
_GAIN = 1e-10
_SEARCH = 0.9  # of the time is for plans, the rest for the lottery over those found last
_PRICE = 1e4  # of a unit of a coupling row where HiGHS gives no verdict, of what can be had at most

# Why the bound is not met, should it not be.
LATE = "time ended the search for plans that are worth more; the bound holds"
UNCLEAR = "the multipliers of the plans found are lost in rounding; the bound holds"


def by_lottery(
    population: Population, terms: DirectTerms, *, bound: float | None, deadline: float, seed: int
) -> DirectMechanism:
    """The best lottery found, with its bound; without an answer if the program has none in time.

    :bound: what is known already; deadline: of `time.perf_counter`, seconds
    """
    now = perf_counter()
    master = Master(population, terms, now + _SEARCH * (deadline - now))
    best = inf if bound is None else master.sign * bound
    found = None
    if terms.target is not None:  # out of reach without plans: those that reach most come first
        highest = replace(terms, objective="improvement", target=None)
        reached = by_lottery(population, highest, bound=None, deadline=deadline, seed=seed)
        most = inf if reached.bound is None else reached.bound
        if most < terms.target - tolerances.SOLVER:
            why = f"the target {terms.target:g} is out of reach; no mechanism exceeds {most:.9g}"
            return DirectMechanism(population, terms, Status.INFEASIBLE, reason=why, seed=seed)
        master.take(reached.plans or ())
    while perf_counter() < deadline:
        step = master.solve(deadline - perf_counter(), seed)
        if step.x is None or step.status is not Status.OPTIMAL:
            break
        found = step if master.held else found
        worth, more = runs.in_own_thread(master.priced, stop=master.stop)
        best = min(best, master.sign * master.bound(worth))
        if not more:
            break
    if found is None:
        return DirectMechanism(population, terms, Status.UNKNOWN, bound=bound, seed=seed)
    if terms.objective == "improvement" and terms.transfers:
        found = master.cheapest(found, max(0.0, deadline - perf_counter()), seed)
    reason = LATE if master.late() else UNCLEAR
    return master.mechanism(found, seed).replace(bound=master.sign * best, reason=reason)


@dataclass(eq=False)
class Master:
    """The linear program, its plans' columns, and the multipliers of its coupling rows.

    :deadline: of `time.perf_counter`, seconds: the search for plans ends there
    """

    population: Population
    terms: DirectTerms
    deadline: float
    plans: list[Draw] = field(default_factory=list)
    columns: list[FloatArray] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        from scipy.sparse import csr_array

        safe = replace(self.terms, levels="safe")  # the pieces without plans are held at once
        self.built = build_for(self.population, safe, pairs="all")
        self.layout, program = self.built.layout, self.built.program
        shape = (program.rows, program.columns)
        self.matrix = csr_array((program.value, program.index, program.start), shape=shape)
        coupling = {"D3 incentive", "D2 expected budget", "target"}
        if self.terms.participation != "ex-post":
            coupling.add("D4 participation")
        self.coupling = np.zeros(program.rows, dtype=bool)
        for name, first, size in self.built.names:
            self.coupling[first : first + size] = name in coupling
            if name == "D2 lottery":
                self.lottery = first
        self.sign = 1.0 if program.maximize else -1.0
        self.least = _GAIN * max(limit_of(self.population, self.terms), 1.0)
        self.pricing: dict[tuple[int, int], Pricing] = {}

    # -- plans ------------------------------------------------------------------------------------

    def _means(self, draw: Draw, played: Played) -> Iterator[tuple[int, float]]:
        """The plan in the columns of the layout: (column, number)."""
        layout, population = self.layout, self.population
        types, k, s = population.type_costs.size, draw.level, draw.state
        yield int(layout.p(k, np.array([s]))[0]), 1.0
        value = population.of_type("value")[draw.kind]
        own = value * population.shares[k] + draw.payment
        own = own - population.type_costs[draw.kind] * draw.burden
        burden, utility = draw.mean(draw.burden, types), draw.mean(own, types)
        here = layout.space.cell[s]
        for j in np.flatnonzero(here >= 0):
            cell = np.array([here[j]])
            yield int(layout.y(k, 0, cell)[0]), float(burden[j])
            if self.terms.transfers:
                yield int(layout.u_start + k * layout.C + here[j]), float(utility[j])
        rho = population.of_type("reversibility")[draw.kind]
        for column, true, told in self._deviations(s, k):
            cost = population.type_costs[true] * draw.burden
            stay = value * population.shares[k] + draw.payment - cost
            best = np.where(draw.burden > 0, np.maximum(stay, played.kept - (1 - rho) * cost), stay)
            yield column, float(draw.mean(best, types)[told])

    def _deviations(self, s: int, k: int) -> Iterator[tuple[int, int, int]]:
        """(column of w, true, told) of the reports that lead to a state, at a level."""
        for first, lying, true, told in self.layout.deviations:
            at = np.flatnonzero(lying == self.layout.space.cell[s, told])
            if at.size and self.layout.space.cell[s, told] >= 0:
                yield int(first + k * lying.size + at[0]), true, told

    def stop(self) -> None:
        """End the search for plans at its next case."""
        self.deadline = -inf

    def late(self) -> bool:
        return perf_counter() > self.deadline

    def priced(self) -> tuple[FloatArray, int]:
        """(what no plan of state s and level k is worth more than (S, K), plans added)."""
        worth, before = np.zeros((self.layout.S, self.layout.K)), len(self.plans)
        for s, k in np.ndindex(*worth.shape):
            if self.late():
                worth[s:] = inf
                break
            if (s, k) not in self.pricing:
                self.pricing[s, k] = Pricing(self.population, self.terms, s, k)
            enough = float(self.price[s]) + self.least
            most, draw = self.pricing[s, k].best(self.prices(s, k), enough, self.late)
            worth[s, k] = max(most, float(self.price[s]))
            if draw is not None:
                self._add(draw)
        return worth, len(self.plans) - before

    def take(self, draws: Sequence[Draw]) -> None:
        """Columns for plans in which everybody stays."""
        for draw in draws:
            self._keep(draw, *self._column(draw, play(self.population, draw)))

    def _add(self, draw: Draw) -> None:
        """One column more, if everybody stays and the plan is worth more than what there is."""
        played = play(self.population, draw)
        most = float(max(group.value for group in self.population.groups))
        if played.slack < -tolerances.TIGHT * most:
            return
        column, cost = self._column(draw, played)
        worth = self.sign * cost - float(self.weight @ column)
        if worth > self.price[draw.state] + self.least:
            self._keep(draw, column, cost)

    def _keep(self, draw: Draw, column: FloatArray, cost: float) -> None:
        self.plans.append(draw)
        self.columns.append(column)
        self.costs.append(cost)

    def _column(self, draw: Draw, played: Played) -> tuple[FloatArray, float]:
        means = dict(self._means(draw, played))
        place, number = np.array(list(means)), np.array(list(means.values()))
        column = np.where(self.coupling, self.matrix[:, place] @ number, 0.0)
        cost = float(self.built.program.cost[place] @ number)
        column[self.lottery + draw.state] = 1.0
        return column, cost

    # -- the linear program -----------------------------------------------------------------------

    def solve(self, time_limit: float, seed: int) -> highs.Solution:
        """The best lottery over the plans at hand; keeps the multipliers for `prices`.

        Where HiGHS gives no verdict, coupling rows yield at a price: its answer is then no
        mechanism (`held` is False), but any multipliers give a bound.
        """
        program, began = self.program(), perf_counter()
        found = highs.solve(program, time_limit=time_limit, seed=seed, **SETTINGS)
        self.held = found.status is not Status.UNKNOWN or perf_counter() - began >= time_limit
        if not self.held:
            left = time_limit - (perf_counter() - began)
            found = highs.solve(self._yielding(program), time_limit=left, seed=seed, **SETTINGS)
        if found.row_dual is not None and found.status is Status.OPTIMAL:
            program, dual = self.built.program, self.sign * found.row_dual
            dual = np.where((dual > 0) & np.isposinf(program.row_upper), 0.0, dual)
            dual = np.where((dual < 0) & np.isneginf(program.row_lower), 0.0, dual)
            self.price = np.maximum(dual[self.lottery : self.lottery + self.layout.S], 0.0)
            self.weight = np.where(self.coupling, dual, 0.0)
            self.reduced = self.sign * program.cost - self.matrix.T @ self.weight
        return found

    def program(self) -> LinearProgram:
        from scipy.sparse import csr_array, hstack

        program = self.built.program
        if not self.plans:
            return program
        more = csr_array(np.column_stack(self.columns))
        matrix = csr_array(hstack([self.matrix, more], format="csr"))
        zeros = np.zeros(len(self.plans))
        return replace(
            program,
            cost=np.concatenate([program.cost, self.costs]),
            start=matrix.indptr.astype(np.int32),
            index=matrix.indices.astype(np.int32),
            value=matrix.data,
            lower=np.concatenate([program.lower, zeros]),
            upper=np.concatenate([program.upper, zeros + 1.0]),
        )

    def _yielding(self, program: LinearProgram) -> LinearProgram:
        """The program with its coupling rows open at a price, so that multipliers stay small."""
        from scipy.sparse import csr_array, hstack

        rows = np.flatnonzero(self.coupling)
        up = np.where(np.isfinite(program.row_lower[rows]), 1.0, -1.0)
        entries = csr_array((up, (rows, np.arange(rows.size))), shape=(program.rows, rows.size))
        shape = (program.rows, program.columns)
        given = csr_array((program.value, program.index, program.start), shape=shape)
        matrix = csr_array(hstack([given, entries], format="csr"))
        price = -self.sign * _PRICE * self.least / _GAIN
        return replace(
            program,
            cost=np.concatenate([program.cost, np.full(rows.size, price)]),
            start=matrix.indptr.astype(np.int32),
            index=matrix.indices.astype(np.int32),
            value=matrix.data,
            lower=np.concatenate([program.lower, np.zeros(rows.size)]),
            upper=np.concatenate([program.upper, np.full(rows.size, inf)]),
        )

    def cheapest(self, found: highs.Solution, seconds: float, seed: int) -> highs.Solution:
        """The second stage of "improvement": least expected payments at the share reached."""
        program, row = self.program(), self.built.floor_row
        assert row is not None
        assert found.x is not None
        reached = EXPECTATION * float(program.cost @ found.x) * (1 - tolerances.REACH)
        spent = objective_costs(self.layout, "expenditure", 0.0)
        law = self.population.states.probability
        paid = [law[draw.state] * float(draw.payment.sum()) for draw in self.plans]
        floor = program.row_lower.copy()
        floor[row] = reached
        second = replace(program, cost=-np.concatenate([spent, paid]), row_lower=floor)
        cheaper = highs.solve(second, time_limit=seconds, seed=seed, **SETTINGS)
        return found if cheaper.x is None else cheaper

    def prices(self, s: int, k: int) -> Prices:
        """What a plan of this state and level is worth at the multipliers."""
        layout, types = self.layout, self.population.type_costs.size
        burden, utility = np.zeros(types), np.zeros(types)
        here = layout.space.cell[s]
        for j in np.flatnonzero(here >= 0):
            burden[j] = self.reduced[layout.y(k, 0, np.array([here[j]]))[0]]
            if self.terms.transfers:
                utility[j] = self.reduced[layout.u_start + k * layout.C + here[j]]
        misreport = {
            (told, true): min(0.0, float(self.reduced[column]))
            for column, true, told in self._deviations(s, k)
        }
        run = float(self.reduced[layout.p(k, np.array([s]))[0]])
        return Prices(run, burden, utility, misreport)

    def bound(self, worth: FloatArray) -> float:
        """What no mechanism can beat, if no plan of level k in state s is worth more than
        worth[s, k]."""
        program = self.built.program
        used = np.flatnonzero(self.weight)
        sides = np.where(self.weight > 0, program.row_upper, program.row_lower)[used]
        best = np.maximum(worth.max(axis=1), 0.0)
        return self.sign * fsum([*(self.weight[used] * sides), *best])

    def mechanism(self, found: highs.Solution, seed: int) -> DirectMechanism:
        """The lottery as a mechanism, audited; its objective recomputed."""
        assert found.x is not None
        known = self.layout.columns
        run, burden, payment, _, _ = extract(self.layout, found.x[:known])
        alike = DirectMechanism(
            self.population, self.terms, Status.FEASIBLE, run, burden, payment, seed=seed
        )
        if found.x.size == known or not (found.x[known:] > tolerances.SHOWN).any():
            return _with_objective(alike)
        draws = [
            replace(draw, chance=float(chance))
            for draw, chance in zip(self.plans, found.x[known:])
            if chance > tolerances.SHOWN
        ]
        counts = self.population.states.counts
        for s, k in zip(*np.nonzero(run > 0)):
            kind = np.repeat(np.arange(counts.shape[1]), counts[s])
            given, paid = burden[s, k, kind] / run[s, k], payment[s, k, kind] / run[s, k]
            draws.append(Draw(int(s), int(k), float(run[s, k]), kind, given, paid))
        draws.sort(key=lambda draw: (draw.state, draw.level))
        chance = np.bincount(
            [draw.state for draw in draws], [draw.chance for draw in draws], len(counts)
        )
        plans = tuple(
            replace(draw, chance=draw.chance / max(1.0, chance[draw.state])) for draw in draws
        )
        run, burden, payment = totals(plans, burden.shape)
        return _with_objective(alike.replace(run=run, burden=burden, payment=payment, plans=plans))


def _with_objective(mechanism: DirectMechanism) -> DirectMechanism:
    found = audited(mechanism)
    return found.replace(objective=objective_of(found))

"""The direct mechanism that is best against every law of costs near the estimate.

Under DSIC with ex-post participation the rows D1–D6 contain no probabilities (docs: model section
13); the objective, an expected budget and a target do. They are asked of every law in the ball
(`worst_law.Ball`): each group its own, users of a group independent draws from one law in it. Over
laws the expectation is a polynomial, not linear in the state probabilities, so there is no finite
dual to write down. Cutting planes instead:

* the master LP maximises z subject to z ≤ E_f[objective] for the laws f found so far: an upper
  bound on the guaranteed value, whatever the laws;
* the law that is worst for the master's mechanism is found exactly, and its value is what the
  mechanism guarantees: a lower bound. Until the two meet, the law is added;
* where a target or an expected budget holds under every law for one mechanism, it does for means
  of it with what the master finds (rows are linear), so there is an answer at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.arrays import FloatArray, IntArray
from mechopt.private.direct import arrays as direct_arrays
from mechopt.private.direct.expectations import state_values
from mechopt.private.direct.extract import AUDIT, audited, extract, verified
from mechopt.private.direct.layout import EXPECTATION
from mechopt.private.direct.optimise import (
    MIP_SETTINGS,
    SETTINGS,
    far_apart,
    limit_of,
    optimise,
    polish,
    without_presolve,
)
from mechopt.private.direct.units import in_units
from mechopt.private.worst_law import Ball, Laws, Worst, probability
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population
from mechopt.solver import highs
from mechopt.status import Status

MOST_LAWS = 300
CLOSED = 1e-9  # relative: where bound and guarantee count as met; both are computed to 1e-10
_SCALE = EXPECTATION


def optimise_robust(
    population: Population,
    terms: DirectTerms,
    *,
    time_limit: float | None = None,
    seed: int = 0,
) -> DirectMechanism:
    """The mechanism with the best guarantee; `terms.robust` and `radius` say against what.

    details["worst"] : the worst law, one list of probabilities per group; ["nominal"], the optimum
    if the law were the population's; ["nominal_guarantees"], what that mechanism is worth at its
    own worst law; ["price"], what the robust one loses at the population's law.
    """
    began = perf_counter()
    known = replace(terms, robust=None, radius=None)
    nominal = optimise(population, known, time_limit=time_limit, seed=seed)
    ends = inf if time_limit is None else began + time_limit

    def attempt(scaled: Population) -> DirectMechanism:
        search = _CuttingPlanes(scaled, terms, _ball(scaled, population, terms), ends, seed)
        answer = search.answer()
        if not answer.details.get("segments_in_order", True):
            search.ordered = True
            answer = search.answer()
        return answer

    return _compared(in_units(population, attempt), nominal, ends)


def as_robust(nominal: DirectMechanism, terms: DirectTerms) -> DirectMechanism:
    """The nominal optimum as the answer at radius 0."""
    value = nominal.objective
    about = {
        "worst": [group.probabilities.tolist() for group in nominal.population.groups],
        "nominal": value,
        "nominal_guarantees": value,
        "price": 0.0,
    }
    return nominal.replace(terms=terms, details={**nominal.details, **about})


def _ball(scaled: Population, population: Population, terms: DirectTerms) -> Ball:
    """The ball in the units of `scaled` (a Wasserstein radius is money per data unit)."""
    assert terms.robust is not None
    assert terms.radius is not None
    top = int(np.argmax(population.type_costs))
    dearest = population.type_costs[top]  # 0: no group has two types
    unit = float(scaled.type_costs[top] / dearest) if dearest else 1.0
    factor = unit if terms.robust == "wasserstein" else 1.0
    return Ball(scaled, terms.robust, tuple(factor * one for one in terms.radius))


def _compared(answer: DirectMechanism, nominal: DirectMechanism, ends: float) -> DirectMechanism:
    """`answer` with the price of robustness in its details; after `ends` what is nearly worst."""
    about: dict[str, Any] = {"nominal": nominal.objective}
    if answer.has_answer and nominal.has_answer:
        left = None if ends == inf else max(0.0, ends - perf_counter())
        ball = _ball(answer.population, answer.population, answer.terms)
        own, fragile = (_worst(one, ball, left) for one in (answer, nominal))
        name = answer.terms.objective.replace("-", "_")
        here = float(answer.population.states.probability @ state_values(answer)[name])
        sign = 1.0 if answer.terms.maximise else -1.0
        about |= {
            "worst": [law.tolist() for law in own.laws],
            "nominal_guarantees": fragile.low,
            "price": sign * ((nominal.objective or 0.0) - here),
        }
    return answer.replace(details={**answer.details, **about})


def _worst(mechanism: DirectMechanism, ball: Ball, time_limit: float | None) -> Worst:
    """The law at which the mechanism's objective is worst."""
    values = state_values(mechanism)[mechanism.terms.objective.replace("-", "_")]
    return ball.worst(values, maximise=not mechanism.terms.maximise, time_limit=time_limit)


@dataclass(frozen=True)
class _Held:
    """A mechanism and what it guarantees (larger is better)."""

    guarantee: float
    mechanism: DirectMechanism


class _CuttingPlanes:
    """The search for one population in its own units."""

    def __init__(
        self, population: Population, terms: DirectTerms, ball: Ball, ends: float, seed: int
    ) -> None:
        self.population, self.terms, self.ball = population, terms, ball
        self.seed, self.ends, self.ordered = seed, ends, False

    def left(self) -> float | None:
        return None if self.ends == inf else max(0.0, self.ends - perf_counter())

    def answer(self) -> DirectMechanism:
        """The best guarantee; for "improvement" then the least payments in the worst case."""
        terms, safe = self.terms, None
        if terms.target is not None:
            highest = self.maximin("improvement", None, None)
            if highest.objective is None or highest.objective < terms.target - AUDIT:
                return self._short(highest)
            safe = highest
        first = self.maximin(terms.objective, terms.target, safe)
        two = terms.objective == "improvement" and terms.transfers
        if not two or first.status is not Status.OPTIMAL or not first.objective:
            return first
        floor = first.objective * (1 - tolerances.MONEY)
        second = self.maximin("expenditure", floor, first)
        if second.status not in (Status.OPTIMAL, Status.FEASIBLE):
            return first
        guarantee = self.ball.worst(state_values(second)["improvement"]).low
        return first.replace(
            run=second.run,
            burden=second.burden,
            payment=second.payment,
            objective=guarantee,
            details={**first.details, "worst_expenditure": second.objective},
        )

    def maximin(
        self, objective: str, floor: float | None, safe: DirectMechanism | None
    ) -> DirectMechanism:
        """Cutting planes: status, guarantee and bound of `objective` with E_f[B] ≥ floor.

        :safe: a mechanism that keeps the floor and the budget under every law (None: the null one)

        Laws are sought for the master's mechanism, for its mean with the best one known, which is
        nearer to the optimum, and for it with as much of the safe one as its rows need.
        """
        goal = replace(self.terms, objective=objective, target=floor)
        sign = 1.0 if goal.maximise else -1.0
        master = _Master(self.population, goal, self.ordered, self.seed)
        start = self._nothing() if safe is None else safe
        best = self._held(start, goal)
        bound = limit_of(self.population, goal) if goal.maximise else 0.0
        iterations = 0
        status, reason = Status.FEASIBLE, "the limit was reached before guarantee and bound met"

        def open_() -> bool:
            return bound - best.guarantee > CLOSED * max(1.0, abs(best.guarantee))

        while iterations < MOST_LAWS and (iterations == 0 or perf_counter() < self.ends):
            iterations += 1
            solution = master.solve(self.left())
            if solution.x is None:
                reason = f"the solver stopped without an answer ({solution.termination})"
                break
            if solution.bound is not None and np.isfinite(solution.bound):
                bound = min(bound, solution.bound / _SCALE)
            found = master.mechanism(solution.x, self.terms)
            best, cuts = self._tried(best, found, goal)
            if self.mixes and open_() and cuts:
                for part, held in (
                    (0.5, best.mechanism),
                    (self._needed(start, found, goal), start),
                ):
                    if 0 < part < 1:
                        best, more = self._tried(best, self._mean(held, found, part), goal)
                        cuts += more
            fresh = [master.add(kind, laws) for kind, laws in cuts]
            if not open_() or not any(fresh):  # nothing fresh: the solver's accuracy is the end
                break
        if not open_():
            status, reason = Status.OPTIMAL, ""
        return best.mechanism.replace(
            status=status,
            reason=reason,
            objective=sign * best.guarantee,
            bound=sign * max(bound, best.guarantee),
            seed=self.seed,
            details={**best.mechanism.details, "laws": master.laws, "iterations": iterations},
        )

    @property
    def mixes(self) -> bool:
        """Whether a mean of two mechanisms is one: not of whole lotteries or curved costs."""
        return self.terms.randomized and self.population.linear

    def _nothing(self) -> DirectMechanism:
        """The mechanism that never runs: it keeps every row but a floor."""
        layout = direct_arrays.Layout(self.population, self.terms)
        about = {"mechanism": "direct", "solver": highs.version()}
        nothing = extract(layout, np.zeros(layout.columns))
        return verified(self.population, self.terms, nothing, about)

    def _held(self, mechanism: DirectMechanism, goal: DirectTerms) -> _Held:
        return _Held(self._worst(mechanism, goal, goal.objective).low, mechanism)

    def _worst(
        self, mechanism: DirectMechanism, goal: DirectTerms, name: str, enough: float | None = None
    ) -> Worst:
        """The law worst for a metric; costs count as negative."""
        costly = name == "expenditure" or (name == goal.objective and not goal.maximise)
        values = state_values(mechanism)[name.replace("-", "_")]
        values = -values if costly else values
        return self.ball.worst(values, enough=enough, time_limit=self.left())

    def _asked(self, goal: DirectTerms) -> list[tuple[str, str, float]]:
        """(row, metric, least) that must hold under every law; costs count as negative."""
        asked = []
        if goal.target is not None:
            asked.append(("floor", "improvement", goal.target))
        if goal.transfers and self.population.expected_budget < inf:
            asked.append(("budget", "expenditure", -self.population.expected_budget))
        return asked

    def _tried(
        self, best: _Held, found: DirectMechanism, goal: DirectTerms
    ) -> tuple[_Held, list[tuple[str, Laws]]]:
        """The better of `best` and `found`, and (row, law) to add: the worst laws for `found`, bad
        ones where it can be no better than the best known."""
        cuts = []
        for row, metric, least in self._asked(goal):
            room = AUDIT * max(1.0, abs(least))
            law = self._worst(found, goal, metric, least - room)
            if law.low < least - room:
                cuts.append((row, law.laws))
        worst = self._worst(found, goal, goal.objective, inf if cuts else best.guarantee)
        sound = not cuts and found.details["violation"] <= AUDIT
        better = sound and worst.low > best.guarantee
        return _Held(worst.low, found) if better else best, [*cuts, ("objective", worst.laws)]

    def _mean(self, one: DirectMechanism, other: DirectMechanism, part: float) -> DirectMechanism:
        """`part` of one mechanism and the rest of the other, audited."""

        def mean(mine: FloatArray | None, theirs: FloatArray | None) -> FloatArray | None:
            if mine is None or theirs is None:
                return None
            return part * mine + (1 - part) * theirs

        return audited(
            other.replace(
                run=mean(one.run, other.run),
                burden=mean(one.burden, other.burden),
                payment=mean(one.payment, other.payment),
                access=mean(one.access, other.access),
            )
        )

    def _needed(self, safe: DirectMechanism, found: DirectMechanism, goal: DirectTerms) -> float:
        """The part of the safe mechanism with which `found` keeps the rows that it breaks."""
        part = 0.0
        for _, metric, least in self._asked(goal):
            sure, low = (self._worst(one, goal, metric).low for one in (safe, found))
            if low < least:
                part = max(part, min(1.0, (least - low) / max(sure - low, tolerances.TINY)))
        return part * (1 + tolerances.PROBABILITY)

    def _short(self, highest: DirectMechanism) -> DirectMechanism:
        """Why no mechanism reaches the target under every law, or why none was found."""
        target, most = self.terms.target or 0.0, highest.bound
        text = f"the target {target:g} is out of reach under the worst law"
        proved = most is not None and most < target - AUDIT
        if highest.status is Status.OPTIMAL:
            text += f"; the highest share that can be guaranteed is {highest.objective:.9g}"
        elif not proved:
            text = (
                f"the limit was reached before a mechanism that guarantees the target {target:g} "
                f"was found; shares of {highest.objective:.6g} are guaranteed"
            )
        return DirectMechanism(
            self.population,
            self.terms,
            Status.INFEASIBLE if proved or highest.status is Status.OPTIMAL else Status.UNKNOWN,
            reason=text,
            solver=highs.version(),
            seed=self.seed,
        )


class _Master:
    """The LP (or MILP) over the laws found so far: maximise z with z ≤ E_f[objective] for each."""

    def __init__(
        self, population: Population, terms: DirectTerms, ordered: bool, seed: int
    ) -> None:
        self.population, self.terms, self.seed = population, terms, seed
        self.built = direct_arrays.build(population, terms, ordered=ordered)
        base = self.built.program
        top = limit_of(population, terms) if terms.maximise else 0.0
        self.program = replace(
            base,
            cost=np.append(np.zeros(base.columns), _SCALE),
            lower=np.append(base.lower, -inf),
            upper=np.append(base.upper, top),
            integer=None if base.integer is None else np.append(base.integer, False),
            maximize=True,
        )
        self.rows: list[tuple[float, float, IntArray, FloatArray]] = []
        self.known: set[tuple[Any, ...]] = set()
        self.session = None
        if not base.is_mip:
            settings = {**SETTINGS, "objective_scale": 1.0}
            self.session = highs.Session(self.program, seed=seed, **settings)
        self.add("objective", tuple(group.probabilities for group in population.groups))

    @property
    def laws(self) -> int:
        return len(self.rows)

    def add(self, kind: str, laws: tuple[FloatArray, ...]) -> bool:
        """Ask the row of this law as well; False if it is there already."""
        key = (kind, *(tuple(np.round(law, 13)) for law in laws))
        if key in self.known:
            return False
        self.known.add(key)
        law = probability(self.population, laws)
        terms, layout = self.terms, self.built.layout
        name = {"objective": terms.objective, "floor": "improvement", "budget": "expenditure"}[kind]
        costs = direct_arrays.objective_costs(layout, name, self.population.provider_value, law)
        row = np.append(_SCALE * costs, 0.0)
        low, high = 0.0, inf
        if kind == "objective":
            row = row if terms.maximise else -row
            row[-1] = -_SCALE
        elif kind == "floor":
            low = _SCALE * float(terms.target or 0.0)
        else:
            low, high = -inf, _SCALE * self.population.expected_budget
        columns = np.flatnonzero(row)
        self.rows.append((low, high, columns, row[columns]))
        if self.session is not None:
            self.session.add_row(low, high, columns, row[columns])
        return True

    def solve(self, time_limit: float | None) -> highs.Solution:
        if self.session is not None:
            ends = inf if time_limit is None else perf_counter() + time_limit

            def left() -> float | None:
                return None if ends == inf else max(0.0, ends - perf_counter())

            self.session.time_limit = left()
            found = self.session.solve()
            if found.x is None:  # presolve and tight tolerances can cause a false verdict
                self.session.time_limit = left()
                found = without_presolve(self.session, tolerance=tolerances.FEASIBILITY)
            if found.x is None and found.status is not Status.INFEASIBLE:  # a bad basis
                found = highs.solve(self._whole(), time_limit=left(), seed=self.seed)
            return found
        return highs.solve_twice(
            self._whole(),
            time_limit=time_limit,
            seed=self.seed,
            far=far_apart(self.population),
            **MIP_SETTINGS,
        )

    def _whole(self) -> highs.LinearProgram:
        """The program with all rows."""
        program = self.program
        sizes = np.array([row[2].size for row in self.rows])
        return replace(
            program,
            start=np.append(program.start, program.start[-1] + np.cumsum(sizes)).astype(np.int32),
            index=np.concatenate([program.index, *(r[2] for r in self.rows)]).astype(np.int32),
            value=np.concatenate([program.value, *(r[3] for r in self.rows)]),
            row_lower=np.append(program.row_lower, [row[0] for row in self.rows]),
            row_upper=np.append(program.row_upper, [row[1] for row in self.rows]),
        )

    def mechanism(self, x: FloatArray, terms: DirectTerms) -> DirectMechanism:
        """The master's point as an audited mechanism."""
        if self.session is None:
            x = polish(self._whole(), x, None)
        about: dict[str, Any] = {"mechanism": "direct", "solver": highs.version()}
        return verified(self.population, terms, extract(self.built.layout, x[:-1]), about)

"""What the private-cost problem yields: a direct mechanism, with its metrics and deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from mechopt import arrays, doors, tolerances
from mechopt.answer.common import Answer, header, read_header
from mechopt.answer.lottery import Draw, read_draws
from mechopt.answer.plan import Plan
from mechopt.answer.reports import types_of
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import InvalidFile, InvalidPlan
from mechopt.problem.arguments import LARGEST, SMALLEST
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population
from mechopt.status import Status


@dataclass(frozen=True, eq=False)
class Interim:
    """What a user of each type expects before the others' costs are known, shape (M,) each.

    run (probability), burden (data), payment, utility (money). `utility` is the information rent
    over the outside option 0.
    """

    run: FloatArray
    burden: FloatArray
    payment: FloatArray
    utility: FloatArray


@dataclass(frozen=True, eq=False)
class DirectMechanism(Answer):
    """A mapping from reported costs to run probability, burdens and payments (D1–D7). Frozen.

    States are count vectors (`population.states.counts`, shape (S, M)); all three arrays are
    *expected over the lottery*, i.e. multiplied by the run probability.

    :run: p_k(ω), probability that level k is run, shape (S, K)
    :burden: x of a user of type j in state ω at level k, data, shape (S, K, M), 0 if none there
    :payment: t, money, same shape
    :access: a, of a user of type j to level k, same shape, in [(1 − η) p, p]; None if nobody can be
        excluded: a = p
    :plans: the plans drawn, where users who said the same may be asked for different things; the
        three arrays are then their means. None: everybody of a type is treated alike
    :objective, bound: as in `Plan`; both are of the cleaned mechanism held here
    """

    population: Population = field(repr=False)
    terms: DirectTerms
    status: Status
    run: FloatArray | None = field(default=None, repr=False)
    burden: FloatArray | None = field(default=None, repr=False)
    payment: FloatArray | None = field(default=None, repr=False)
    access: FloatArray | None = field(default=None, repr=False)
    plans: tuple[Draw, ...] | None = field(default=None, repr=False)
    objective: float | None = None
    bound: float | None = None
    mechanism: str = "direct"
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    solver: str = ""
    seconds: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for array in (self.run, self.burden, self.payment, self.access):
            if array is not None:
                arrays.freeze(array)

    # -- derived --------------------------------------------------------------------------------

    @property
    def has_answer(self) -> bool:
        """Whether there is a mechanism to be deployed."""
        return self.run is not None

    def _answer(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        if self.run is None or self.burden is None or self.payment is None:
            raise InvalidPlan(
                f"there is no mechanism to use: the status is {self.status}"
                + (f" ({self.reason})" if self.reason else "")
            )
        return self.run, self.burden, self.payment

    @property
    def objective_name(self) -> str:
        """What was optimised."""
        return self.terms.objective

    @property
    def run_probability(self) -> FloatArray:
        """Σ_k p_k(ω), shape (S,)."""
        return self._answer()[0].sum(axis=1)

    @property
    def improvement(self) -> float | None:
        """E[B(X)]; None without an answer."""
        return self.metrics.get("improvement")

    @cached_property
    def effort(self) -> FloatArray:
        """p g(x/p), a cell's burden weighted by the slopes of its cost curve, data, (S, K, M)."""
        run, burden, _ = self._answer()
        running = run[:, :, None] > 0
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            given = np.where(running, burden / run[:, :, None], 0.0)
        population = self.population
        shaped = np.empty_like(burden)
        for g, group in enumerate(population.groups):
            columns = population.group_of_type == g
            shaped[:, :, columns] = group.shape(given[:, :, columns])
        return shaped * run[:, :, None]

    @property
    def costs(self) -> FloatArray:
        """C of a user of each cell, expected over the lottery, money, shape (S, K, M)."""
        return self.effort * self.population.type_costs

    @cached_property
    def kept(self) -> FloatArray:
        """(1 − η) v B(T_k − δ x) p: what whoever leaves level k still enjoys, money, (S, K, M)."""
        if self.terms.protocol == "sequential" and self.population.levels > 1:
            return doors.kept_small_first(self)
        run, burden, _ = self._answer()
        groups = [self.population.groups[g] for g in self.population.group_of_type]
        removable = np.array([group.removable for group in groups])
        value = np.array([(1 - group.exclusion) * group.value for group in groups])
        thresholds = self.population.thresholds
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            given = np.where(run[:, :, None] > 0, burden / run[:, :, None], 0.0)
        left = thresholds[:, None] - removable * given
        exactly = tolerances.rounding(self.population.n)
        reached = np.searchsorted(thresholds * (1 - exactly), left, side="right")
        share = np.concatenate([[0.0], self.population.shares])[reached]
        return value * share * run[:, :, None]

    @cached_property
    def utility(self) -> FloatArray:
        """u = v b_k a_k + t − C of a truthful user, money, shape (S, K, M)."""
        _, _, payment = self._answer()
        population = self.population
        value = population.of_type("value")
        return value * self.enjoyed + payment - self.costs

    @property
    def enjoyed(self) -> FloatArray:
        """b_k a_k: the share of the improvement that each cell enjoys, (S, K, M) or (S, K, 1)."""
        run, _, _ = self._answer()
        shares = self.population.shares
        if self.access is None:
            return (shares * run)[:, :, None]
        return shares[:, None] * self.access

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics of the model, expected; empty without an answer."""
        if self.run is None:
            return MappingProxyType({})
        return MappingProxyType(doors.mechanism_metrics(self))

    @cached_property
    def interim(self) -> Interim:
        """Interim curves by type; `interim.utility` are the information rents."""
        run, burden, payment = self._answer()
        space = self.population.states
        columns: list[list[float]] = []
        for g, others in enumerate(space.others):
            first = self.population.first_type[g]
            for k in range(self.population.groups[g].types):
                state, j = others.state[:, k], first + k
                columns.append(
                    [
                        float(others.given(k) @ curve)
                        for curve in (
                            run[state].sum(axis=1),
                            burden[state, :, j].sum(axis=1),
                            payment[state, :, j].sum(axis=1),
                            self.utility[state, :, j].sum(axis=1),
                        )
                    ]
                )
        return Interim(*(arrays.freeze(np.array(curve)) for curve in zip(*columns)))

    # -- deployment -----------------------------------------------------------------------------

    def assign(self, reports: Any, *, seed: int = 0) -> Plan:
        """The plan for these reported costs, shape (n,), users group after group.

        A randomized mechanism draws whether (and at which level) it runs from `seed`; if not run
        the plan is the null outcome. Raises InvalidPlan on a report that is no possible cost of
        the user's group. Where plans are drawn (`plans`), users of a type get its places at random
        and `details["order"]` is the order in which they move: by burden, equals by place.
        """
        run, burden, payment = self._answer()
        population, space = self.population, self.population.states
        types = types_of(population, reports)
        counts: IntArray = np.bincount(types, minlength=population.type_costs.size)
        state = space.index(counts)
        instance = population.instance(population.type_costs[types])
        draw = np.random.default_rng(seed).random()
        chances = np.cumsum(run[state])
        details = {"run_probability": float(chances[-1]), "draw": draw, "state": counts.tolist()}
        if self.plans is not None and draw < chances[-1]:
            return self._drawn(state, types, details, seed)
        level = int(np.searchsorted(chances, draw, side="right"))
        same: dict[str, Any] = {"mechanism": self.mechanism, "seed": seed, "details": details}
        if level >= population.levels:
            return Plan.null(
                instance,
                objective=None,
                bound=None,
                reason=f"the mechanism does not run (probability {chances[-1]:.6g})",
                **same,
            )
        chance = run[state, level]
        threshold = float(population.thresholds[level])
        given = arrays.settle(burden[state, level, types] / chance, instance.capacity, threshold)
        if self.access is not None:
            details["access"] = (self.access[state, level, types] / chance).tolist()
        return Plan.from_arrays(
            instance,
            burden=given,
            payment=payment[state, level, types] / chance,
            status=Status.FEASIBLE,
            **same,
        )

    def _drawn(self, state: int, types: IntArray, details: dict[str, Any], seed: int) -> Plan:
        """The plan drawn, its places given to the users of each type at random."""
        instance = self.population.instance(self.population.type_costs[types])
        random = np.random.default_rng([seed, 1])
        plans = [one for one in self.plans or () if one.state == state]
        number = np.searchsorted(np.cumsum([one.chance for one in plans]), details["draw"], "right")
        plan = plans[min(int(number), len(plans) - 1)]
        place = np.empty(types.size, dtype=np.int64)
        for kind in np.unique(types):
            place[types == kind] = random.permutation(np.flatnonzero(plan.kind == kind))
        given = np.minimum(plan.burden[place], instance.capacity)
        details["order"] = np.lexsort((place, given)).tolist()
        return Plan.from_arrays(
            instance,
            burden=given,
            payment=plan.payment[place],
            status=Status.FEASIBLE,
            mechanism=self.mechanism,
            seed=seed,
            details=details,
        )

    # -- words and files ------------------------------------------------------------------------

    def plot(self, axes: Any = None) -> Any:
        """Expected burden, payment and utility by type: Matplotlib axes."""
        return doors.plot(self, axes)

    def figure(self) -> Any:
        """Run probability against the state, burden (data) and payment (money) by type.

        A Matplotlib figure; ImportError names the extra if Matplotlib is missing.
        """
        return doors.mechanism_figure(self)

    def summary(self) -> str:
        """The mechanism in plain language."""
        return doors.mechanism_summary(self)

    def worth(self) -> dict[str, Any]:
        """What the budget, the prior and one more user are worth to the objective (docs: model).

        Keys `budget` and `expected_budget` (per money unit more, None without one), `prior` (per
        group and type, None where rows contain probabilities) and `user` (per group); money, or a
        share for "improvement". Raises NotSupported without a proved optimum for independent types.
        """
        return doors.mechanism_worth(self)

    def explain(self) -> str:
        """The summary, and what `worth` says, in sentences."""
        return doors.mechanism_explain(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON values, kind `mechanism`, with the population; no states without an answer."""
        said = {**header(self, "mechanism"), "terms": self.terms.to_dict()}
        said |= {"metrics": dict(self.metrics), "population": self.population.to_dict()}
        if not self.has_answer:
            return {**said, "states": None}
        run, burden, payment = self._answer()
        return {
            **said,
            "states": {
                "counts": self.population.states.counts.tolist(),
                "run": run.tolist(),
                "burden": burden.tolist(),
                "payment": payment.tolist(),
                **({} if self.access is None else {"access": self.access.tolist()}),
                **({} if self.plans is None else {"plans": [one.to_dict() for one in self.plans]}),
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DirectMechanism:
        """The mechanism described by `to_dict`'s format; InvalidFile on anything else."""
        derived = ("objective_name",)
        needed = ("terms", "population", "states")
        fields = read_header(data, "mechanism", needed, unknown=derived)
        population = Population.from_dict(data["population"])
        try:
            terms = DirectTerms.from_dict(data["terms"])
        except (TypeError, ValueError) as error:
            raise InvalidFile(f"terms: {error}") from None
        if data["states"] is None:
            return cls(population=population, terms=terms, **fields)
        states, types = len(population.states), population.type_costs.size
        shape = (states, population.levels, types)
        table: dict[str, Any] = {
            name: _table(data["states"], name, expected)
            for name, expected in (
                ("counts", (states, types)),
                ("run", shape[:2]),
                ("burden", shape),
                ("payment", shape),
                *([("access", shape)] if population.has_exclusion else []),
            )
            if name != "access" or name in data["states"]
        }
        if not (table.pop("counts") == population.states.counts).all():
            raise InvalidFile("states.counts: not the states of the population, in their order")
        tiny = (table["run"] > 0) & (table["run"] < SMALLEST)
        if tiny.any():
            row, level = np.argwhere(tiny)[0]
            raise InvalidFile(
                f"states.run[{row}][{level}]: a probability must be 0 or at least {SMALLEST:g}, "
                f"got {table['run'][row, level]:g}"
            )
        if "plans" in data["states"]:
            if terms.protocol != "sequential" or any(g.widths.size > 1 for g in population.groups):
                raise InvalidFile("states.plans: only in sequence, and with linear costs")
            counted = population.states.counts
            table["plans"] = read_draws(data["states"]["plans"], counted, population.levels)
        return cls(population=population, terms=terms, **table, **fields)

    def table(self) -> dict[str, Any]:
        """Columns of the table export: one row per level, state and type with a user there.

        group and level count from 1; burden (data), payment and utility (money) are per user and
        expected over the lottery.
        """
        run, burden, payment = self._answer()
        space, population = self.population.states, self.population
        state, kind = space.cell_state, space.cell_type
        K = population.levels

        def per_level(table: FloatArray) -> FloatArray:
            return np.concatenate([table[state, k, kind] for k in range(K)])

        return {
            "state": np.tile(state, K),
            "probability": np.tile(space.probability[state], K),
            "level": np.repeat(np.arange(1, K + 1), state.size),
            "group": np.tile(population.group_of_type[kind] + 1, K),
            "cost": np.tile(population.type_costs[kind], K),
            "users": np.tile(space.cell_count, K),
            "run": run[state].T.reshape(-1),
            "burden": per_level(burden),
            "payment": per_level(payment),
            "utility": per_level(self.utility),
        }


def _table(data: Any, name: str, shape: tuple[int, ...]) -> FloatArray:
    if not isinstance(data, Mapping) or name not in data:
        raise InvalidFile(f"states.{name}: missing")
    try:
        array = arrays.to_float(data[name])
    except ValueError as error:
        raise InvalidFile(f"states.{name}: {error.args[0]}") from None
    if array.shape != shape:
        raise InvalidFile(f"states.{name}: has shape {array.shape}, expected {shape}")
    if not ((array >= 0) & (array <= LARGEST)).all():
        raise InvalidFile(f"states.{name}: entries must be ≥ 0 and at most {LARGEST:g}")
    return array

"""Independent recomputation of every constraint of a direct mechanism, from its raw numbers.

Shares no code with the builders: states are found by hashed counts, costs by filling segments,
probabilities by the multinomial formula. Rows are those of the model D1–D6, for every state,
every true type and every report; a row's allowance is `tolerances.MONEY` times the money (data)
that occurs in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import lgamma
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from mechopt import tolerances
from mechopt.answer.lottery import Draw, totals
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.audits.verdict import Audit, Violation
from mechopt.errors import InvalidPlan
from mechopt.problem.population import Population
from mechopt.problem.states import StateSpace
from mechopt.problem.units import natural_population
from mechopt.withdrawal.mechanisms import misreporting, small_first

if TYPE_CHECKING:
    from mechopt.answer.mechanism import DirectMechanism


@dataclass(frozen=True, eq=False)
class Family:
    """Rows of one tag: how much each is violated (≤ 0 if it holds), the scale of each, names."""

    tag: str
    excess: FloatArray
    scale: FloatArray
    state: IntArray
    words: str

    @property
    def relative(self) -> FloatArray:
        """Excess in multiples of the scale; what is no number counts as violated."""
        with np.errstate(over="ignore"):  # beyond every scale: infinitely violated
            return np.nan_to_num(self.excess / self.scale, nan=np.inf, posinf=np.inf)


def audit_mechanism(population: Population, mechanism: DirectMechanism) -> Audit:
    """Check every row; see `mechopt.audit`. InvalidPlan if the mechanism has another population."""
    made_for = mechanism.population
    if made_for != population and made_for.n == len(made_for.groups):  # users of a group each alone
        population = population.individual()
    if made_for != population:
        raise InvalidPlan("the mechanism was made for another population")
    violations: list[Violation] = []
    rows: dict[str, int] = {}
    worst: dict[str, float] = {}
    if mechanism.run is None:
        return Audit()
    for family in families(mechanism):
        rows[family.tag] = rows.get(family.tag, 0) + family.excess.size
        bad = np.flatnonzero(family.relative > tolerances.MONEY)
        largest = float(family.excess[bad].max()) if bad.size else 0.0
        worst[family.tag] = max(worst.get(family.tag, 0.0), largest)
        for row in bad:
            amount = float(family.excess[row])
            where = _where(mechanism, int(family.state[row]))
            violations.append(
                Violation(family.tag, where, amount, f"{family.words}, by {amount:.3g}")
            )
    return Audit(tuple(violations), rows, worst)


def worst_row(population: Population, mechanism: DirectMechanism) -> tuple[float, str]:
    """(largest violation relative to its row's scale, 0 if none; which row)."""
    worst, name = 0.0, ""
    for family in families(mechanism):
        if family.excess.size:
            row = int(np.argmax(family.relative))
            if family.relative[row] > worst:
                worst = float(family.relative[row])
                name = f"({family.tag}) {_where(mechanism, int(family.state[row]))}: {family.words}"
    return worst, name


def _where(mechanism: DirectMechanism, state: int) -> str:
    if state < 0:
        return "in expectation"
    return f"state {mechanism.population.states.counts[state].tolist()}"


class _Numbers:
    """The raw numbers, per state ω, level k and type column j."""

    def __init__(self, mechanism: DirectMechanism) -> None:
        assert mechanism.run is not None
        assert mechanism.burden is not None
        assert mechanism.payment is not None
        population = mechanism.population
        self.population, self.terms = population, mechanism.terms
        self.p, self.x, self.t = mechanism.run, mechanism.burden, mechanism.payment
        self.counts = population.states.counts
        group = np.concatenate([[g] * one.costs.size for g, one in enumerate(population.groups)])
        self.group = group.astype(np.int64)
        self.theta = np.concatenate([one.costs for one in population.groups])
        self.chance = np.concatenate([one.probabilities for one in population.groups])
        of = population.groups
        self.value = np.array([of[g].value for g in self.group])
        self.rho = np.array([of[g].reversibility for g in self.group])
        self.removable = np.array([of[g].removable for g in self.group])
        self.cap = np.array([of[g].widths.sum() for g in self.group])
        self.size = np.array([of[g].size for g in self.group])
        self.b = population.shares
        self.unit = natural_population(population).money  # where a row has no money in it
        self.present = self.counts > 0
        self.law = self._law()
        self.g = self._shape()
        self.eta = np.array([of[g].exclusion for g in self.group])
        self.access = mechanism.access
        self.lottery = None if mechanism.plans is None else mechanism
        gain = self.value * (self.b * self.p)[:, :, None]
        if self.access is not None:
            gain = self.value * self.b[:, None] * self.access
        self.gain = gain
        self.u = gain + self.t - self.theta * self.g
        self.sequential = self.terms.protocol == "sequential" and self.b.size > 1
        if self.sequential:
            self.after_leaving, self.loss = small_first(mechanism)
        else:
            self.after_leaving = self._after_leaving()

    def _after_leaving(self) -> FloatArray:
        """What a user who leaves level k with T_k − δ x left still enjoys, times p, (S, K, M)."""
        thresholds, exactly = self.population.thresholds, tolerances.rounding(self.population.n)
        enjoyed = np.zeros(self.x.shape)
        for k, threshold in enumerate(thresholds):
            p = self.p[:, k, None]
            for m, edge in enumerate(thresholds[: k + 1]):  # T_m reached without δ x?
                left = threshold * p - self.removable * self.x[:, k, :]
                still = left >= edge * (1 - exactly) * p
                enjoyed[:, k, :] = np.where(still, self.b[m] * p, enjoyed[:, k, :])
        return (1 - self.eta) * self.value * enjoyed

    def _law(self) -> FloatArray:
        joint = self.population.law
        if joint is None:
            return self._independent(self.chance)
        if joint.worlds is not None:
            return np.asarray(
                sum(
                    weight * self._independent(np.concatenate(world))
                    for weight, world in zip(joint.weight, joint.worlds)
                )
            )
        assert joint.counts is not None
        found = np.zeros(self.counts.shape[0])
        for row, chance in zip(joint.counts, joint.weight):
            found[(self.counts == row).all(axis=1)] = chance
        return found

    def _independent(self, chance: FloatArray) -> FloatArray:
        """Probability of each state if users draw from `chance` (M,) independently."""
        factorial = np.array([lgamma(c + 1.0) for c in range(int(self.size.max()) + 1)])
        logs = np.zeros(self.counts.shape[0])
        for g, one in enumerate(self.population.groups):
            mine = self.counts[:, self.group == g]
            logs += factorial[one.size] - factorial[mine].sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs += np.where(self.counts > 0, self.counts * np.log(chance), 0.0).sum(axis=1)
        return np.exp(logs)

    def _shape(self) -> FloatArray:
        """p g(x / p): segments filled in order, (S, K, M)."""
        shaped = np.zeros(self.x.shape)
        for j, g in enumerate(self.group):
            one = self.population.groups[g]
            left = self.x[:, :, j].copy()
            last = one.widths.size - 1
            for part, (width, slope) in enumerate(zip(one.widths, one.slopes)):
                step = left if part == last else np.minimum(left, width * self.p)
                shaped[:, :, j] += slope * step
                left = left - step
        return shaped


Neighbours = tuple[int, int, IntArray, IntArray]
_KEPT = 1_000_000  # entries; lists up to this long are kept while their states are in use
_KNOWN: WeakKeyDictionary[StateSpace, list[Neighbours]] = WeakKeyDictionary()


def _neighbours(numbers: _Numbers) -> Iterable[Neighbours]:
    """(true column, told column, states with a true-type user, state after misreporting).

    A sweep has the same states at every point, and tiny ones spend a tenth of their time on this.
    """
    space, group = numbers.population.states, numbers.group
    if numbers.counts.shape[0] * group.size**2 > _KEPT:
        return _look_for_neighbours(numbers.counts, group)
    if space not in _KNOWN:
        _KNOWN[space] = list(_look_for_neighbours(numbers.counts, group))
    return _KNOWN[space]


def _look_for_neighbours(counts: IntArray, group: IntArray) -> Iterator[Neighbours]:
    random = np.random.default_rng(20261121)
    marks: IntArray = random.integers(1, 2**62, size=(counts.shape[1],), dtype=np.int64)
    keys: IntArray = counts @ marks
    order: IntArray = np.argsort(keys)
    for true in range(group.size):
        for told in np.flatnonzero(group == group[true]):
            if told == true:
                continue
            states = np.flatnonzero(counts[:, true] > 0)
            wanted = np.take(keys, states) + int(marks[told] - marks[true])
            found: IntArray = np.take(order, np.searchsorted(keys, wanted, sorter=order))
            moved = counts[states].copy()
            moved[:, true] -= 1
            moved[:, told] += 1
            assert (counts[found] == moved).all()
            yield true, int(told), states, found


def families(mechanism: DirectMechanism) -> Iterator[Family]:
    """All rows, family by family."""
    numbers = _Numbers(mechanism)
    yield from _outcome_rows(numbers)
    yield from _budget_rows(numbers)
    if mechanism.plans is not None:
        yield from _plan_rows(numbers, mechanism.plans)
    if not numbers.terms.randomized:
        fraction = np.minimum(numbers.p, 1 - numbers.p).ravel()
        where = np.repeat(np.arange(numbers.p.shape[0]), numbers.p.shape[1])
        one = np.ones(fraction.size)
        yield Family("deterministic", fraction, one, where, "runs with a fractional probability")
    yield from _user_rows(numbers)
    if numbers.terms.incentive != "none":
        yield from _incentive_rows(numbers)


def _cells(numbers: _Numbers, table: FloatArray) -> FloatArray:
    """Entries where the type is present, flattened (K blocks)."""
    return np.concatenate([table[:, k, :][numbers.present] for k in range(numbers.p.shape[1])])


def _cell_states(numbers: _Numbers) -> IntArray:
    return np.tile(np.nonzero(numbers.present)[0], numbers.p.shape[1])


def _outcome_rows(numbers: _Numbers) -> Iterator[Family]:
    p, states = numbers.p, np.arange(numbers.p.shape[0])
    spread = np.repeat(states, p.shape[1])
    one = np.ones(p.size)
    yield Family("D2", np.maximum(-p, p - 1).ravel(), one, spread, "p is no probability")
    yield Family("D2", p.sum(axis=1) - 1, np.ones(p.shape[0]), states, "Σ p exceeds 1")
    thresholds = numbers.population.thresholds
    total = np.einsum("sm,skm->sk", numbers.counts, numbers.x)
    off = np.abs(total - thresholds * p)
    yield Family("D1", off.ravel(), np.tile(thresholds, p.shape[0]), spread, "Σ x is not T p")
    absent = ~numbers.present
    for name, table in (("burden", numbers.x), ("payment", numbers.t)):
        null = (table > 0) & ((p[:, :, None] == 0) | absent[:, None, :])
        excess = np.where(null, table, 0.0).max(axis=(1, 2))
        tiny = np.full(excess.size, tolerances.TINY)  # exactly zero is asked for
        yield Family("A6", excess, tiny, states, f"a null outcome carries a {name}")
    cap = numbers.cap * p[:, :, None]
    where = _cell_states(numbers)
    scale = np.broadcast_to(np.maximum(numbers.cap, thresholds[:, None]), numbers.x.shape)
    yield Family("D2", _cells(numbers, numbers.x - cap), _cells(numbers, scale), where, "x > cap p")
    yield Family("D2", _cells(numbers, -numbers.x), _cells(numbers, scale), where, "x < 0")
    unit = np.full(where.size, numbers.unit)
    yield Family("D2", _cells(numbers, -numbers.t), unit, where, "t < 0")
    if numbers.access is not None:
        a, whole = numbers.access, numbers.p[:, :, None]
        low, over = (1 - numbers.eta) * whole - a, a - whole
        each = np.ones(where.size)
        yield Family("F14", _cells(numbers, over), each, where, "access exceeds p")
        yield Family("F14", _cells(numbers, low), each, where, "more is denied than η allows")
    if not numbers.terms.transfers:
        paid = _cells(numbers, numbers.t)
        yield Family("D2", paid, unit, where, "pays although transfers are off")


def _budget_rows(numbers: _Numbers) -> Iterator[Family]:
    population = numbers.population
    spent = np.einsum("sm,skm->sk", numbers.counts, numbers.t)
    if np.isfinite(population.budget):
        over = (spent - population.budget * numbers.p).ravel()
        where = np.repeat(np.arange(spent.shape[0]), spent.shape[1])
        scale = np.full(over.size, population.budget or numbers.unit)
        yield Family("D2", over, scale, where, "payments exceed the budget")
    if np.isfinite(population.expected_budget):
        over = np.array([numbers.law @ spent.sum(axis=1) - population.expected_budget])
        scale = np.array([population.expected_budget or numbers.unit])
        yield Family("D2", over, scale, np.array([-1]), "payments exceed the expected budget")
    if numbers.terms.target is not None:
        short = numbers.terms.target - float(numbers.law @ (numbers.p @ numbers.b))
        yield Family("target", np.array([short]), np.ones(1), np.array([-1]), "target missed")


def _plan_rows(numbers: _Numbers, plans: tuple[Draw, ...]) -> Iterator[Family]:
    """The rows of every plan that is drawn, and that the tables are their means."""
    population, chance = numbers.population, np.array([draw.chance for draw in plans])
    where = np.array([draw.state for draw in plans], dtype=np.int64)
    top = population.thresholds[[draw.level for draw in plans]]
    total = np.array([draw.burden.sum() for draw in plans])
    yield Family("D1", chance * np.abs(total - top), top, where, "Σ x of a plan is not T")
    over, loss, spent = np.zeros(chance.size), np.zeros(chance.size), np.zeros(chance.size)
    for row, draw in enumerate(plans):
        kind = draw.kind
        over[row] = (draw.burden - numbers.cap[kind]).max()
        cost = numbers.theta[kind] * draw.burden
        enjoyed = numbers.value[kind] * numbers.b[draw.level]
        loss[row] = (cost - enjoyed - draw.payment).max()
        spent[row] = draw.payment.sum() - population.budget
    yield Family("D2", chance * over, top, where, "x > cap in a plan")
    unit = np.full(chance.size, max(numbers.unit, float(numbers.value.max())))
    if numbers.terms.participation == "ex-post":
        yield Family("D4", chance * loss, unit, where, "a user loses by a plan")
    if np.isfinite(population.budget):
        yield Family("D2", chance * spent, unit, where, "a plan's payments exceed the budget")
    tables = zip((numbers.p, numbers.x, numbers.t), totals(plans, numbers.x.shape))
    off = [np.abs(table - mean).max(initial=0.0) for table, mean in tables]
    scale = np.array([1.0, float(population.thresholds[-1]), float(unit[0]) if unit.size else 1.0])
    yield Family("D2", np.array(off), scale, np.full(3, -1), "a table is not the plans' mean")


def _money(numbers: _Numbers) -> FloatArray:
    """The money that occurs in a user's rows, a natural unit at least: value, payment, cost."""
    money = np.maximum(numbers.value, numbers.t)
    return np.maximum(np.maximum(money, numbers.theta * numbers.g), numbers.unit)


def _user_rows(numbers: _Numbers) -> Iterator[Family]:
    scale = _money(numbers)
    where = _cell_states(numbers)
    if numbers.terms.participation == "ex-post":
        short = _cells(numbers, -numbers.u)
        yield Family("D4", short, _cells(numbers, scale), where, "a user loses by taking part")
    else:
        for j in range(numbers.theta.size):
            weight = _facing(numbers, j)
            loss = -float(weight @ numbers.u[:, :, j].sum(axis=1))
            largest = float(scale[:, :, j].max())
            yield Family(
                "D4",
                np.array([loss]),
                np.array([largest]),
                np.array([-1]),
                f"{numbers.population.type_name(j)} expects a loss",
            )
    if numbers.terms.obedient and numbers.sequential:
        asked = np.where(np.isfinite(numbers.loss), -numbers.loss, -1.0).ravel()
        states = np.repeat(np.arange(numbers.p.shape[0]), numbers.p.shape[1])
        most = scale.max(axis=2).ravel()
        yield Family("D5", asked, most, states, "a user leaves when it is her turn")
    elif numbers.terms.obedient:
        lost = numbers.gain - numbers.after_leaving
        short = numbers.rho * numbers.theta * numbers.g - lost - numbers.t
        asked = np.where(numbers.x > 0, short, -1.0)
        yield Family("D5", _cells(numbers, asked), _cells(numbers, scale), where, "a user leaves")


def _facing(numbers: _Numbers, j: int) -> FloatArray:
    """Probability that a user of type j ends up in each state, shape (S,); sums to 1."""
    return numbers.law * numbers.counts[:, j] / (numbers.size[j] * numbers.chance[j])


def _incentive_rows(numbers: _Numbers) -> Iterator[Family]:
    bic = numbers.terms.incentive == "bic"
    thoughtful = numbers.terms.honest_and_obedient
    scale = _money(numbers).sum(axis=1)
    for true, told, states, moved in _neighbours(numbers):
        dearer = numbers.theta[told] - numbers.theta[true]
        stay = numbers.u[moved, :, told] + dearer * numbers.g[moved, :, told]
        tag = "D3"
        if thoughtful:
            sunk = (1 - numbers.rho[true]) * numbers.theta[true] * numbers.g[moved, :, told]
            leave = numbers.after_leaving[moved, :, told] - sunk
            asked: BoolArray = numbers.x[moved, :, told] > 0
            stay = np.where(asked, np.maximum(stay, leave), stay)
            tag = "D6"
        told_so = stay.sum(axis=1)
        if numbers.lottery is not None:
            told_so = misreporting(numbers.lottery, true, told)[moved]
        gain = told_so - numbers.u[states, :, true].sum(axis=1)
        money = np.maximum(scale[states, true], scale[moved, told])
        names = numbers.population.type_name(true), numbers.population.type_name(told)
        words = f"{names[0]} gains by reporting {names[1]}"
        if bic:
            weight = _facing(numbers, true)[states]
            yield Family(
                tag,
                np.array([float(weight @ gain)]),
                np.array([float(money.max())]),
                np.array([-1]),
                words,
            )
        else:
            yield Family(tag, gain, money, states, words)

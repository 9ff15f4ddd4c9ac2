"""The withdrawal stage in raw numbers: what each user's decision depends on, and nothing else.

Payoffs are those of the model, measured from the payoff −(1 − ρ_i) C_i(x_i) of a user
who withdraws when nothing is trained:

    stays,  level m ≥ 1 : v_i b_m − r_i          r_i = ρ_i C_i(x_i) − t_i, net reversible burden
    stays,  level 0     : f_i                    f_i = failure bonus (F6)
    leaves, level m     : (1 − η_i) v_i b_m      b_0 = 0; η_i the share lost by exclusion

Data committed for good (y_i) stay whoever leaves: δ_i (x_i − y_i) goes with user i, and his
r_i = ρ_i (C_i(x_i) − C_i(y_i)) − t_i.

A plan with unconditional payments (posted price, posted contract) pays t_i to everyone who stays,
trained or not: r_i is the same and t_i is added to f_i. Whoever withdraws is never paid.
Users with x_i = y_i (0 where nothing is committed) never move and are counted as staying; they
get no failure bonus.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mechopt import arrays, tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray
from mechopt.errors import InvalidPlan
from mechopt.problem import cost_curves as curves

if TYPE_CHECKING:
    from mechopt.answer.plan import Plan
    from mechopt.problem.instance import Instance


Array = npt.NDArray[Any]  # float64, or Fraction objects when everything was given exactly


@dataclass(frozen=True, eq=False)
class Stage:
    """Everything the decisions depend on. Arrays are float64, or all of them Fraction objects.

    x (n,) data; r (n,) money; v (n,) money; removed (n,) data, δ_i (x_i − y_i); lost (n,) money,
    η_i v_i, the benefit that whoever leaves is excluded from; committed (n,) data, y_i; bonus (n,)
    money, f_i; thresholds (K,) data; shares (K + 1,), with b_0 = 0 first. `data_tolerance` (K,) is
    how far below T_k a total still counts as T_k (the rounding of sums), `money_tolerance` (n,) how
    much a user must gain to leave: both 0 in exact arithmetic.
    """

    x: Array
    r: Array
    v: Array
    removed: Array
    lost: Array
    committed: Array
    bonus: Array
    thresholds: Array
    shares: Array
    data_tolerance: Array
    money_tolerance: Array

    @classmethod
    def from_arrays(
        cls,
        x: Any,
        r: Any,
        v: Any,
        delta: Any,
        thresholds: Any,
        shares: Any,
        bonus: Any = 0,
        *,
        exclusion: Any = 0,
        committed: Any = 0,
        scale: Any = None,
    ) -> Stage:
        """From arrays or scalars; exact if `x` is an object array (of Fraction), else float.

        :scale: the money (n,) that a tolerance of money is a share of, where it is known
        """
        x = np.asarray(x)
        exact = x.dtype == object
        kind: Any = object if exact else np.float64
        thresholds = np.asarray(thresholds, dtype=kind)
        zero = thresholds[:1] * 0
        shares = np.concatenate((zero, np.asarray(shares, dtype=kind)))
        columns = [
            np.asarray(column, dtype=kind) for column in (r, v, delta, bonus, exclusion, committed)
        ]
        r, v, delta, bonus, exclusion, committed = (
            column if column.shape == x.shape else np.broadcast_to(column, x.shape)
            for column in columns
        )
        x = x.astype(kind, copy=False)
        if exact:
            data_tolerance, money_tolerance = thresholds * 0, np.broadcast_to(zero, x.shape)
        else:
            thresholds = _met(thresholds, float(x.sum()))
            data_tolerance = thresholds * tolerances.rounding(x.size)
            scale = v * shares[-1] + np.abs(r) + bonus if scale is None else scale
            money_tolerance = tolerances.MONEY * scale
        free = x if _nowhere(committed) or not committed.any() else x - committed
        removed = free if np.all(delta == 1) else delta * free
        lost = exclusion if _nowhere(exclusion) or not exclusion.any() else exclusion * v
        return cls(
            x,
            r,
            v,
            removed,
            lost,
            committed,
            bonus,
            thresholds,
            shares,
            data_tolerance,
            money_tolerance,
        )

    # -- sizes ----------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        return int(self.x.size)

    @property
    def levels(self) -> int:
        """K."""
        return int(self.thresholds.size)

    @property
    def exact(self) -> bool:
        """Whether decisions are made in Fractions, without tolerance."""
        return self.x.dtype == object

    @cached_property
    def able(self) -> BoolArray:
        """Who has something to withdraw, x_i > y_i, shape (n,)."""
        return np.asarray(self.x > self.committed, dtype=bool)

    @cached_property
    def movers(self) -> IntArray:
        """Users with something to withdraw, in position order."""
        return np.flatnonzero(self.able)

    @cached_property
    def settled(self) -> Any:
        """Σ x_i of those who have nothing to withdraw: there before anybody moves."""
        return self.x[~self.able].sum() if self.committed.any() else self.thresholds[0] * 0

    @cached_property
    def outside(self) -> Array:
        """(1 − η_i) v_i, what the full improvement is worth to whoever has left, money, (n,)."""
        return self.v if _nowhere(self.lost) else self.v - self.lost

    @cached_property
    def total(self) -> Any:
        """X, everyone staying."""
        return self.x.sum() if self.n else self.thresholds[0] * 0

    @cached_property
    def left_behind(self) -> Any:
        """Σ x_i − δ_i (x_i − y_i), the total when everyone leaves."""
        return (self.x - self.removed).sum() if self.removed is not self.x else self.x[0] * 0

    # -- levels and payoffs ---------------------------------------------------------------------

    @cached_property
    def reached(self) -> Array:
        """Totals from which T_k counts as reached, shape (K,)."""
        return self.thresholds - self.data_tolerance

    def level_of(self, totals: Any) -> Any:
        """Number of thresholds reached by each total."""
        return arrays.count_within(self.reached, totals)

    def total_of(self, stay: BoolArray) -> Any:
        """X_S of a stay-set (n,) bool."""
        gone = ~stay
        if not gone.any():
            return self.total
        return self.x[stay].sum() + (self.x[gone] - self.removed[gone]).sum()

    def without(self, users: Any) -> Array:
        """The totals when each of `users` leaves alone: Σ_{j≠i} x_j + (1 − δ_i) x_i.

        X − δ_i x_i, whose digits cancel where he gives nearly everything. Where that could decide
        about a level the sum is taken without him, as good as exactly.
        """
        totals = self.total - self.removed[users]
        if self.exact or not self.n:
            return totals
        error = 2 * tolerances.rounding(self.n) * self.total
        near = np.flatnonzero(self.level_of(totals - error) != self.level_of(totals + error))
        if near.size:
            x, removed = self.x[users][near], self.removed[users][near]
            totals[near] = arrays.sum_without(self.x, x) + (x - removed)
        return totals

    def staying_pays(self, users: Any, level: Any) -> Array:
        """Payoff of staying when `level` is reached, money."""
        trained = self.v[users] * self.shares[level] - self.r[users]
        if isinstance(level, int) and level > 0:
            return trained
        return np.where(np.asarray(level) > 0, trained, self.bonus[users])

    def leaving_pays(self, users: Any, level: Any) -> Array:
        """Payoff of leaving when `level` is reached, money."""
        return self.outside[users] * self.shares[level]

    def loss(self, users: Any, level: Any, after: Any) -> Array:
        """What falling from `level` to `after` by leaving costs, before r: money.

        v (b_level − b_after) + η v b_after; `users` and levels broadcast against each other.
        """
        return (
            self.v[users] * (self.shares[level] - self.shares[after])
            + self.lost[users] * self.shares[after]
        )

    def counting_ties(self, *, reached: bool) -> Stage:
        """The same stage with totals within `tolerances.DATA` of T_k counted as T_k, or short."""
        width = self.thresholds * tolerances.DATA
        return self._with(data_tolerance=width if reached else -width)

    def leaving_ties(self) -> Stage:
        """The same stage with users inside the tolerance of indifference leaving."""
        return self._with(money_tolerance=-self.money_tolerance)

    def paying(self, users: IntArray, extra: Any, *, unconditional: bool) -> Stage:
        """The stage of `users` alone, each paid `extra` more."""
        stage = self.subgame(users, self.thresholds[0] * 0)
        bonus = stage.bonus + extra if unconditional else stage.bonus
        return stage._with(r=stage.r - extra, bonus=bonus)

    def scaled(self, factor: Any, r: Array) -> Stage:
        """The stage with all data multiplied by `factor` and net reversible burdens r (n,)."""
        x = self.x * factor
        return self._with(x=x, removed=x if self.removed is self.x else self.removed * factor, r=r)

    def with_bonus(self, bonus: Any) -> Stage:
        """The stage with a failure bonus (money) for everybody who can move."""
        return self._with(bonus=np.where(self.able, bonus, self.bonus))

    def subgame(self, users: IntArray, so_far: Any) -> Stage:
        """The stage that `users` face when the others have left `so_far` data in the pool."""
        x = self.x[users]
        whole = self.removed is self.x
        return self._with(
            x=x,
            removed=x if whole else self.removed[users],
            r=self.r[users],
            v=self.v[users],
            lost=self.lost[users],
            committed=self.committed[users],
            bonus=self.bonus[users],
            money_tolerance=self.money_tolerance[users],
            thresholds=self.thresholds - so_far,
        )

    def _with(self, **changes: Array) -> Stage:
        names = self.__dataclass_fields__
        return Stage(**{name: changes.get(name, getattr(self, name)) for name in names})


def _nowhere(column: Array) -> bool:
    """Whether a column is one 0, seen n times."""
    return column.strides == (0,) and column.size > 0 and not column[0]


def _met(thresholds: Array, total: float) -> Array:
    """Thresholds (K,), those that X misses by rounding lowered to X (as `Plan.level` has it).

    Otherwise a user with less data than the tolerance would count as not needed although X is
    exactly what is needed.
    """
    near = (thresholds > total) & (thresholds * (1 - tolerances.DATA) <= total)
    return np.where(near, total, thresholds)


def stage_of(instance: Instance, plan: Plan, *, exact: bool | None = None) -> Stage:
    """The withdrawal stage of a plan; exact if both were given as exact numbers.

    Raises InvalidPlan if the plan has no burdens, another length, or burdens above capacity.
    """
    if exact is None:
        exact = instance.is_exact and plan.is_exact
    burden, payment, bonus = plan_columns(instance, plan, exact=exact)
    refund = reversible_cost(instance, burden, exact=exact)
    thresholds, shares = (
        field_of(instance, "thresholds", exact),
        field_of(instance, "shares", exact),
    )
    committed = field_of(instance, "committed", exact)
    value = field_of(instance, "value", exact)
    untrained: Any = 0.0
    if exact or plan.unconditional or bonus:
        untrained = np.where(
            burden > committed, (payment if plan.unconditional else payment * 0) + bonus, 0
        )
    if exact:
        untrained = untrained.astype(object)
    scale = None
    if not exact:
        scale = value * float(shares[-1]) + refund + payment + untrained
    return Stage.from_arrays(
        burden,
        refund - payment,
        value,
        field_of(instance, "removable", exact),
        thresholds,
        shares,
        untrained,
        exclusion=field_of(instance, "exclusion", exact),
        committed=committed,
        scale=scale,
    )


def at_stake(instance: Instance, plan: Plan) -> tuple[Instance, Plan, FloatArray | None]:
    """What can still be withdrawn where a price has bought floors for certain (docs: rights).

    (instance with the floors committed, plan with the payments on top of them, money paid for the
    floors (n,)); instance and plan themselves, and None, for every other plan.
    """
    floor = plan.details.get("floor") if plan.mechanism == "floor-and-burdens" else None
    if floor is None or plan.payment is None or plan.burden is None or not any(floor):
        return instance, plan, None
    committed = np.array(floor, dtype=np.float64)
    bought = float(plan.details["price"]) * committed
    on_top = np.maximum(plan.payment - bought, 0.0)
    on_top[on_top <= tolerances.REACH * bought] = 0.0
    floored = instance.replace(committed=np.minimum(committed, plan.burden))
    return floored, plan.replace(instance=floored, payment=on_top, _given={}), bought


def field_of(instance: Instance, field: str, exact: bool) -> Array:
    """A field of the instance as float64 or as Fractions."""
    return instance.exact(field) if exact else getattr(instance, field)


def plan_columns(instance: Instance, plan: Plan, *, exact: bool) -> tuple[Array, Array, Any]:
    """Burdens (n,), payments (n,) and failure bonus, checked against the instance."""
    if plan.burden is None or plan.payment is None:
        raise InvalidPlan(f"burden: the plan has none (its status is {plan.status.value!r})")
    if plan.burden.shape != (instance.n,):
        raise InvalidPlan(
            f"burden: has shape {plan.burden.shape}, but the instance has {instance.n} users"
        )
    if exact:
        above = plan.exact("burden") > instance.exact("capacity")
        below = plan.exact("burden") < instance.exact("committed")
    else:
        floor = instance.committed * (1 - tolerances.DATA) if instance.has_committed else 0.0
        below = plan.burden < floor
        above = plan.burden > instance.capacity * (1 + tolerances.DATA)
    worst = np.flatnonzero(above)
    if worst.size:
        problems = [
            f"burden[{row}] ({instance.name(row)}): is {plan.burden[row]:g}, above the capacity "
            f"{instance.capacity[row]:g} (data)"
            for row in worst[:5].tolist()
        ]
        if worst.size > 5:
            problems.append(f"burden: and {worst.size - 5} more users above capacity")
        raise InvalidPlan(problems)
    short = np.flatnonzero(below)
    if short.size:
        raise InvalidPlan(
            f"burden[{row}] ({instance.name(row)}): is {plan.burden[row]:g}, less than the "
            f"{instance.committed[row]:g} already committed (data)"
            for row in short[:5].tolist()
        )
    if exact:
        return plan.exact("burden"), plan.exact("payment"), plan.exact("failure_bonus")[()]
    return plan.burden, plan.payment, float(plan.failure_bonus)


def contribution_cost(instance: Instance, burden: Array, *, exact: bool) -> Array:
    """C_i(x_i), money, shape (n,)."""
    cost, widths, slopes = (
        field_of(instance, field, exact) for field in ("cost", "widths", "slopes")
    )
    return curves.cost_of(cost, widths, slopes, burden)


def reversible_cost(instance: Instance, burden: Array, *, exact: bool) -> Array:
    """ρ_i (C_i(x_i) − C_i(y_i)), what withdrawing recovers, money, shape (n,)."""
    rho = field_of(instance, "reversibility", exact)
    cost = contribution_cost(instance, burden, exact=exact)
    if not instance.has_committed:
        return rho * cost
    committed = field_of(instance, "committed", exact)
    return rho * (cost - contribution_cost(instance, committed, exact=exact))


def sunk_cost(instance: Instance, burden: Array, *, exact: bool) -> Array:
    """(1 − ρ_i) C_i(x_i) + ρ_i C_i(y_i), what withdrawing does not recover, money, (n,)."""
    rho = field_of(instance, "reversibility", exact)
    sunk = (1 - rho) * contribution_cost(instance, burden, exact=exact)
    if not instance.has_committed:
        return sunk
    committed = field_of(instance, "committed", exact)
    return sunk + rho * contribution_cost(instance, committed, exact=exact)


def as_float(array: Any) -> FloatArray:
    """Float view of a float or Fraction array."""
    return arrays.freeze(np.array(array, dtype=np.float64))

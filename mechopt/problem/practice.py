"""What a plan must respect to be carried out (docs: practice), as arrays.

`practice_of(instance)` is None where nothing of it is said: the plain problem knows nothing of it.
Burdens that may be asked of a free user are 0 and, from max(least, unit) on, every multiple of his
unit (everything, where he has none). A fixed burden stands as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import BoolArray, FloatArray, IntArray, exact_parts, exact_sum
from mechopt.errors import NotSupported

if TYPE_CHECKING:
    from mechopt.problem.instance import Instance

FIELDS = ("least", "unit", "contact_cost", "fixed", "required", "group")
_WHOLE = 1e-11  # relative: how near to a whole number of units a burden is one
_SAME = tolerances.TOTALS  # two multiples of a unit that are the same up to rounding


@dataclass(frozen=True, eq=False)
class Practice:
    """The terms of one instance; arrays of shape (n,) unless said otherwise.

    :least, unit: data, 0 where there is none; contact : money per user asked; fixed : the burden
        (data), NaN where it is free; required : who must be asked for something, whatever it is;
        step : money, payments are its multiples, 0 for none
    :group: position in `labels`, −1 for nobody's; data_least, data_most, share_least, share_most
        of shape (G,): limits on a group's data and on its share of the social cost
    """

    least: FloatArray
    unit: FloatArray
    contact: FloatArray
    fixed: FloatArray
    required: BoolArray
    step: float
    group: IntArray
    labels: tuple[str, ...]
    data_least: FloatArray
    data_most: FloatArray
    share_least: FloatArray
    share_most: FloatArray

    @property
    def free(self) -> BoolArray:
        """Users whose burden is to be chosen."""
        return np.isnan(self.fixed)

    @property
    def has_groups(self) -> bool:
        """Whether a group has a limit."""
        return bool(
            (self.data_least > 0).any()
            or (self.data_most < inf).any()
            or (self.share_least > 0).any()
            or (self.share_most < 1).any()
        )

    @property
    def has_shares(self) -> bool:
        """Whether a group's share of the social cost has a limit."""
        return bool((self.share_least > 0).any() or (self.share_most < 1).any())

    def contact_of(self, burden: FloatArray) -> float:
        """Σ κ_i over the users asked, money."""
        return exact_sum(np.where(burden > 0, self.contact, 0.0))

    def rounded_up(self, payment: FloatArray) -> FloatArray:
        """Payments as multiples of the step, not less than `payment`, money."""
        return payment if self.step == 0 else multiples(ceiling(payment, self.step), self.step)

    def counts(self, burden: FloatArray) -> FloatArray:
        """Burdens as numbers of units, rounded to the nearest; 0 where there is no unit."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.unit > 0, np.rint(burden / self.unit), 0.0)

    def range(self, capacity: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The least and the most that a user asked can be asked for, (n,) each; data.

        Where the least exceeds the most, he cannot be asked. Fixed users have their burden twice.
        """
        low, high = self.least.copy(), capacity.copy()
        for size in np.unique(self.unit[self.unit > 0]).tolist():
            mine = self.unit == size
            low[mine] = multiples(np.maximum(ceiling(low[mine], size), 1.0), size)
            high[mine] = multiples(flooring(high[mine], size), size)
        free = self.free
        return np.where(free, low, self.fixed), np.where(free, high, self.fixed)

    def most_of_groups(self, high: FloatArray) -> float:
        """What all users can give together, each at most `high` (n,), within groups' most; data."""
        most = exact_sum(high[self.group < 0])
        for place, limit in enumerate(self.data_most.tolist()):
            most += min(limit, exact_sum(high[self.group == place]))
        return most

    def binding_groups(self, burden: FloatArray, cost: FloatArray) -> dict[str, str]:
        """Groups whose limit a step less (or more) of `burden` (n,) would break: which, in words.

        :cost: C_i of the burdens, money, (n,)
        """
        found = {}
        for place, label in enumerate(self.labels):
            mine = (self.group == place) & (burden > 0)
            step = float(np.maximum(self.unit, _SAME * burden)[mine].max(initial=0.0))
            rate = float((cost[mine] / burden[mine]).max(initial=0.0))
            amounts = {"data": exact_sum(burden[mine]), "share": exact_sum(cost[mine])}
            whole = exact_sum(cost)
            for kind, side, limit in (
                ("data", "least", self.data_least[place]),
                ("data", "most", self.data_most[place]),
                ("share", "least", self.share_least[place]),
                ("share", "most", self.share_most[place]),
            ):
                bound, room = (limit, step) if kind == "data" else (limit * whole, step * rate)
                free = bound <= 0 or bound == inf or (kind == "share" and limit == 1)
                if not free and abs(amounts[kind] - bound) <= room:
                    size = f"{limit:g} data" if kind == "data" else f"{100 * limit:g} % of the cost"
                    found[label] = f"the {side} of group {label!r} ({size})"
        return found

    def below(self, burden: FloatArray, low: FloatArray) -> FloatArray:
        """The next lower burden that may be asked of each user, data; 0 below the least.

        Users without a unit have none above their least (they can go down to it): it is returned.
        """
        lower = np.where((burden > low) | self.required, low, 0.0)
        for size in np.unique(self.unit[self.unit > 0]).tolist():
            mine = self.unit == size
            step = multiples(np.rint(burden[mine] / size) - 1, size)
            lower[mine] = np.where(step >= low[mine] * (1 - _SAME), step, 0.0)
        lower = np.where(self.required & (lower == 0), burden, lower)
        return np.where(self.free, np.maximum(lower, 0.0), burden)

    def total(self, burden: FloatArray) -> Fraction:
        """Σ x_i: whole units and fixed burdens as they were typed, the others in binary; exact."""
        whole = (self.unit > 0) & self.free
        rest = burden[~whole & self.free]
        total = self.asked() + sum(map(Fraction, exact_parts(rest)), Fraction(0))
        for size in np.unique(self.unit[whole]).tolist():
            mine = whole & (self.unit == size)
            total += int(np.rint(burden[mine] / size).sum()) * typed(size)
        return total

    def asked(self) -> Fraction:
        """What the fixed users give, data."""
        return sum(map(typed, self.fixed[~self.free].tolist()), Fraction(0))

    def goal(self, threshold: float, reserve: float = 0.0) -> Fraction:
        """What `total` must reach: T + R, as typed where units or fixed burdens are counted so."""
        as_typed = (self.unit > 0).any() or not self.free.all()
        read = typed if as_typed else Fraction
        return read(threshold) + read(reserve)


def typed(number: float) -> Fraction:
    """The decimal a float stands for."""
    return Fraction(repr(float(number)))


def multiples(count: FloatArray, size: float) -> FloatArray:
    """count · size, each the float nearest to the decimal product (3 · 0.1 is 0.3)."""
    exact = typed(size)
    if max(exact.numerator, exact.denominator) > 2**40:
        return count * size
    return count * exact.numerator / exact.denominator


def counted(count: FloatArray, size: FloatArray) -> FloatArray:
    """count · size elementwise, nearest to the decimals, data."""
    out = np.zeros(count.size)
    for one in np.unique(size).tolist():
        mine = size == one
        out[mine] = multiples(count[mine], one)
    return out


def ceiling(amount: FloatArray, size: FloatArray | float) -> FloatArray:
    """The fewest multiples of `size` that reach `amount`, but for rounding."""
    ratio = amount / size
    return np.maximum(np.ceil(ratio - _WHOLE * np.maximum(ratio, 1.0)), 0.0)


def flooring(amount: FloatArray, size: FloatArray | float) -> FloatArray:
    """The most multiples of `size` within `amount`, but for rounding."""
    ratio = amount / size
    return np.floor(ratio + _WHOLE * np.maximum(ratio, 1.0))


def practice_of(instance: Instance) -> Practice | None:
    """The terms of section 11 that an instance has; None if it has none."""
    limits = (instance.group_least, instance.group_most)
    if not (instance.payment_step or any(limits) or set(FIELDS[:-1]) & set(instance.said)):
        return None
    labels, group = np.unique(instance.group, return_inverse=True)
    names = tuple(labels.tolist())
    if names and names[0] == "":
        names, group = names[1:], group - 1
    table = {
        "data_least": np.zeros(len(names)),
        "data_most": np.full(len(names), inf),
        "share_least": np.zeros(len(names)),
        "share_most": np.ones(len(names)),
    }
    for side, limit in zip(("least", "most"), limits):
        for label, (kind, number) in limit.items():
            table[f"{kind}_{side}"][names.index(label)] = number
    return Practice(
        least=instance.least,
        unit=instance.unit,
        contact=instance.contact_cost,
        fixed=instance.fixed,
        required=(instance.required > 0) & np.isnan(instance.fixed),
        step=instance.payment_step,
        group=group.reshape(-1).astype(np.int64),
        labels=names,
        **table,
    )


def said(instance: Instance) -> str:
    """The fields of section 11 that an instance has, by name: "unit, payment_step"."""
    names = [name for name in FIELDS[:-1] if name in instance.said]
    scalars = ("payment_step", "group_least", "group_most")
    return ", ".join([*names, *(name for name in scalars if getattr(instance, name))])


def refuse_with(instance: Instance, what: str) -> None:
    """NotSupported, naming both sides, if `what` meets a term of section 11."""
    if instance.practice is not None:
        raise NotSupported(f"{what}: not together with {said(instance)}; take out one or the other")


def read_limit(raw: Any) -> dict[str, tuple[str, float]]:
    """label -> ("data", amount) or, for "30 %", ("share", 0.3). Raises ValueError in words."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise ValueError('expected a mapping from group to data, such as {"de": 100}')
    found = {}
    for label, limit in raw.items():
        share = isinstance(limit, str) and limit.strip().endswith("%")
        try:
            text = limit.strip()[:-1].strip() if share else limit
            number = float(arrays.to_float(text))
        except (ValueError, TypeError):
            text = f"{label!r}: {limit!r} is no amount of data, nor a share such as 30 %"
            raise ValueError(text) from None
        if not 0 <= number < inf or (share and number > 100):
            text = f"{label!r}: must be ≥ 0 and finite (data) or at most 100 %, got {limit!r}"
            raise ValueError(text)
        found[str(label)] = ("share", number / 100) if share else ("data", number)
    return found

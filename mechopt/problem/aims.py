"""What is aimed at: the objective of section 4, the target share, the total a level requires."""

from __future__ import annotations

from collections.abc import Iterable
from math import fsum, inf
from numbers import Integral, Real
from typing import Any, TypeGuard, TypeVar

import numpy as np

from mechopt import arrays, tolerances, words
from mechopt.arrays import FloatArray
from mechopt.errors import InvalidOption
from mechopt.problem.instance import Instance

MINIMISED = ("expenditure", "social-cost")

# Relative to T_m: twice what a check of float data forgives, so that leaving surely costs level m.
MARGIN = 2 * tolerances.DATA


def default_objective(problem: Any) -> tuple[str, str]:
    """The objective where none is given, for an Instance or a Population, and why (for people)."""
    if problem.provider_value > 0:
        return "provider-surplus", ""
    capped = min(problem.budget, getattr(problem, "expected_budget", inf)) < inf
    if capped and problem.levels > 1:
        return "improvement", (
            "no provider value is given, but a budget, so the objective is improvement "
            "(the most that it buys)"
        )
    return "expenditure", (
        "no provider value is given, so the objective is expenditure "
        "(the least payments at the highest share)"
    )


def check_limits(time_limit: object, seed: object) -> None:
    """InvalidOption unless time_limit is None or a number ≥ 0 and seed a whole number ≥ 0."""
    if time_limit is not None and not (_is_number(time_limit) and time_limit >= 0):
        raise InvalidOption(f"time_limit: must be ≥ 0 seconds or None, got {time_limit!r}")
    if not (_is_number(seed) and isinstance(seed, Integral) and seed >= 0):
        raise InvalidOption(f"seed: must be a whole number ≥ 0, got {seed!r}")


Number = TypeVar("Number", float, FloatArray)


def objective_value(
    instance: Instance,
    objective: str,
    share: Number,
    spent: Number,
    cost: Number,
    contact: Number | float = 0.0,
) -> Number:
    """The objective of section 4 at a share b, payments and social cost (money), or at arrays.

    :contact: what asking costs, money: in `spent` already, and in welfare borne (nobody gets it)
    """
    if objective == "improvement":
        return share
    if objective == "expenditure":
        return spent
    if objective == "social-cost":
        return cost
    if objective == "provider-surplus":
        return instance.provider_value * share - spent
    everyone = arrays.exact_sum(instance.value)
    return (instance.provider_value + everyone) * share - (cost + contact)


def lead(objective: str, value: float, other: float) -> float:
    """By how much `value` is the better objective, in its unit; negative if `other` is."""
    return other - value if objective in MINIMISED else value - other


def weakest(objective: str, bounds: Iterable[float]) -> float:
    """What all of these bounds together prove of the objective."""
    return min(bounds) if objective in MINIMISED else max(bounds)


def worthless(instance: Instance, objective: str, cost: float = 0.0) -> float:
    """Up to which objective a plan that bears `cost` (money) is no better than doing nothing.

    What rounding may leave of the difference of worth and payments; −inf if it is minimised.
    """
    if objective in MINIMISED:
        return -inf
    scale = 0.0 if objective == "improvement" else max(instance.provider_value, cost)
    return tolerances.REACH * scale


def check_options(instance: Instance, objective: str, target: float | None, reserve: float) -> int:
    """Validate the common options; returns the lowest level that meets `target` (default K).

    Raises InvalidOption naming the option.
    """
    words.choose("objective", objective, words.OBJECTIVES)
    if not (_is_number(reserve) and 0 <= reserve < np.inf):
        raise InvalidOption(f"reserve: must be ≥ 0 and finite (data), got {reserve!r}")
    if target is None:
        return instance.levels
    if objective not in MINIMISED:
        raise InvalidOption(
            f"target: only 'expenditure' and 'social-cost' have one, not {objective!r}"
        )
    if not (_is_number(target) and 0 <= target <= 1):
        raise InvalidOption(f"target: must be a share in [0, 1], got {target!r}")
    if target > instance.shares[-1]:
        return instance.levels + 1
    return int(np.searchsorted(np.append(0.0, instance.shares), target, side="left"))


def leaving_loss(
    instance: Instance, level: int, after: Any, users: Any = slice(None)
) -> FloatArray:
    """v_i (b_level − (1 − η_i) b_after): what falling to `after` by leaving costs, money, (n,).

    :after: the level left, a number or one per user, shape (n,); `users` : their positions, where
        they are not everybody
    """
    shares, value = np.append(0.0, instance.shares), instance.value[users]
    lost = value * (shares[level] - shares[after])
    if instance.has_exclusion:
        lost = lost + instance.exclusion[users] * value * shares[after]
    return lost


def pivotal_from(instance: Instance, total: float, threshold: float) -> FloatArray:
    """The least burden whose leaving surely takes `total` below `threshold`, data, (n,).

    inf where all that the user can give does not: with float data what leaves must be more than
    the rounding of the total, so whose removable data are within that takes nothing. Exact data
    have no such width. Burdens keep the distance `MARGIN` from the jump where there is room for it.
    """
    removable = instance.removable
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        jump = (total - threshold) / removable
        width = noticed(instance, total) / removable
        apart = MARGIN * threshold * np.minimum(1 / removable, 10.0)
        close, wide = jump + width, jump + np.maximum(width, apart)
    least = np.where(wide <= instance.capacity, wide, close)
    return np.where((removable > 0) & (least <= instance.capacity), least, inf)


def noticed(instance: Instance, total: float) -> float:
    """How much must leave with a user for a sum of `total` to show it, data; 0 if data are exact.

    The withdrawal stage decides to `tolerances.rounding`; this is on the safe side of it.
    """
    return 0.0 if instance.is_exact else 2 * tolerances.rounding(instance.n) * total


def as_noticed(instance: Instance) -> Instance:
    """`instance` with δ_i = 0 where whatever leaves with user i is lost in the rounding of T_K."""
    taken = instance.removable * instance.capacity
    lost = (taken > 0) & (taken <= noticed(instance, float(instance.thresholds[-1])))
    if not lost.any():
        return instance
    return instance.replace(removable=np.where(lost, 0.0, instance.removable))


def _is_number(given: object) -> TypeGuard[float]:
    return isinstance(given, Real) and not isinstance(given, bool)


def required_total(instance: Instance, level: int, reserve: float) -> float:
    """P = T_level + R, data, rounded up: a sum that reaches it reaches T and R exactly."""
    threshold = float(instance.thresholds[level - 1])
    total = threshold + reserve
    return total if fsum((total, -threshold, -reserve)) >= 0 else float(np.nextafter(total, inf))

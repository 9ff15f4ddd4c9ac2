"""In which order users move: small-first, large-first, or a permutation given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt.arrays import IntArray
from mechopt.errors import InvalidOption

if TYPE_CHECKING:
    from mechopt.problem.instance import Instance
from mechopt.withdrawal.stage import Array, Stage, field_of

ORDERS = ("small-first", "large-first", "cost")


def order_of(instance: Instance, stage: Stage, order: Any) -> IntArray:
    """The users in the order in which they move, shape (n,).

    "small-first" by ascending x_i, "large-first" by descending x_i, "cost" by ascending θ_i, all
    with ties by position; or a permutation of 0 … n−1. Raises InvalidOption for anything else.
    """
    order = check_order(order, stage.n)
    if isinstance(order, str):
        if order == "cost":
            return ascending(field_of(instance, "cost", stage.exact))
        return ascending(burden_sign(order) * stage.x)
    return order


def burden_sign(order: Any) -> int:
    """1 if users move by ascending burden, −1 if by descending, 0 in any other order."""
    return {"small-first": 1, "large-first": -1}.get(order, 0) if isinstance(order, str) else 0


def check_order(order: Any, n: int, more: tuple[str, ...] = ()) -> str | IntArray:
    """`order` if it is one of `ORDERS` or of `more`, or the permutation of 0 … n−1 it gives.

    Raises InvalidOption for anything else.
    """
    if not isinstance(order, str):
        return permutation(order, n, (*ORDERS, *more))
    if order not in (*ORDERS, *more):
        raise InvalidOption(
            f"order: {order!r} is not known; choose from {', '.join((*ORDERS, *more))}, "
            "or give a permutation of the users"
        )
    return order


def ascending(keys: Array) -> IntArray:
    """Positions by ascending key, ties by position."""
    if keys.dtype != object:  # the unstable sort is several times as fast, and mostly enough
        order = np.argsort(keys)
        ranked = keys[order]
        if not (ranked[1:] == ranked[:-1]).any():
            return order
    return np.argsort(keys, kind="stable")


def permutation(order: Any, n: int, named: tuple[str, ...] = ORDERS) -> IntArray:
    """`order` as an index array, checked to be a permutation of 0 … n−1."""
    try:
        given = np.asarray(order)
    except ValueError:
        given = np.zeros(0)
    if given.shape != (n,) or given.dtype.kind not in "iu":
        whole = given.ndim == 1 and given.dtype.kind in "iu"
        raise InvalidOption(
            f"order: must be {', '.join(map(repr, named))} or a permutation of the {n} users "
            f"(each of 0 … {n - 1} once), got "
            + (f"{given.size} positions" if whole else f"{order!r:.60}")
        )
    counts = np.bincount(given, minlength=n) if n and given.min() >= 0 else np.zeros(0)
    if counts.size != n or (counts != 1).any():
        wrong = int(np.flatnonzero(counts != 1)[0]) if counts.size >= n else int(given.min())
        raise InvalidOption(
            f"order: is no permutation of the {n} users: user {wrong} must occur exactly once"
            if 0 <= wrong < n
            else f"order: {wrong} is not a user (0 … {n - 1})"
        )
    return given.astype(np.int64)

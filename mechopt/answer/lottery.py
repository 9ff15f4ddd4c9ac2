"""The plans that a mechanism draws from where users who said the same may be asked for different
things: users get the places of a plan at random, so only types matter before the draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mechopt import arrays
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import InvalidFile
from mechopt.problem.arguments import LARGEST


@dataclass(frozen=True, eq=False)
class Draw:
    """One plan of a state: what each place is asked and paid, if it is drawn. Frozen.

    :state, level: its state and its level (from 0)
    :chance: probability that it is drawn in that state
    :kind: type column of each place, shape (n,)
    :burden, payment: data and money of each place, given the draw, shape (n,)
    """

    state: int
    level: int
    chance: float
    kind: IntArray
    burden: FloatArray
    payment: FloatArray

    def __post_init__(self) -> None:
        for array in (self.kind, self.burden, self.payment):
            arrays.freeze(array)

    def mean(self, column: FloatArray, types: int) -> FloatArray:
        """The mean of a column (n,) over the users of each type, shape (M,); 0 if there is none."""
        total = np.bincount(self.kind, column, minlength=types)
        return total / np.maximum(np.bincount(self.kind, minlength=types), 1)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; state and level count from 0."""
        return {
            "state": self.state,
            "level": self.level,
            "chance": self.chance,
            "type": self.kind.tolist(),
            "burden": self.burden.tolist(),
            "payment": self.payment.tolist(),
        }


def totals(
    draws: tuple[Draw, ...], shape: tuple[int, int, int]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """run (S, K), burden and payment (S, K, M) of a lottery, expected over it."""
    run, burden, payment = np.zeros(shape[:2]), np.zeros(shape), np.zeros(shape)
    for draw in draws:
        at = draw.state, draw.level
        run[at] += draw.chance
        burden[at] += draw.chance * draw.mean(draw.burden, shape[2])
        payment[at] += draw.chance * draw.mean(draw.payment, shape[2])
    return run, burden, payment


def read_draws(given: Any, counts: IntArray, levels: int) -> tuple[Draw, ...]:
    """The draws of `Draw.to_dict`; InvalidFile names what is wrong.

    :counts: users by type of every state, shape (S, M)
    """
    if not isinstance(given, list):
        raise InvalidFile(f"states.plans: expected a list, got {given!r:.40}")
    draws = []
    for row, one in enumerate(given):
        where = f"states.plans[{row}]"
        if not isinstance(one, Mapping):
            raise InvalidFile(f"{where}: expected an object, got {one!r:.40}")
        state = _number(one, "state", where, counts.shape[0])
        level = _number(one, "level", where, levels)
        columns = {}
        for name in ("chance", "type", "burden", "payment"):
            try:
                columns[name] = arrays.to_float(one[name])
            except (KeyError, ValueError) as error:
                said = "missing" if isinstance(error, KeyError) else error.args[0]
                raise InvalidFile(f"{where}.{name}: {said}") from None
            expected = () if name == "chance" else (int(counts[state].sum()),)
            fits = (columns[name] >= 0) & (columns[name] <= LARGEST)
            if columns[name].shape != expected or not fits.all():
                numbers = f"{expected[0]} numbers" if expected else "a number"
                raise InvalidFile(f"{where}.{name}: expected {numbers} ≥ 0, at most {LARGEST:g}")
        kind = columns["type"].astype(np.int64)
        users = np.bincount(kind, minlength=counts.shape[1])
        if (kind != columns["type"]).any() or users.size != counts.shape[1]:
            raise InvalidFile(f"{where}.type: a type is a column, 0 … {counts.shape[1] - 1}")
        if (users != counts[state]).any():
            raise InvalidFile(f"{where}.type: has other users than the state {state}")
        chance = float(columns["chance"])
        draws.append(Draw(state, level, chance, kind, columns["burden"], columns["payment"]))
    return tuple(draws)


def _number(one: Mapping[str, Any], name: str, where: str, size: int) -> int:
    said = one.get(name)
    if type(said) is not int or not 0 <= said < size:
        raise InvalidFile(
            f"{where}.{name}: must be a number from 0 to {size - 1}, got {said!r:.40}"
        )
    return said

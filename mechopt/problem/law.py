"""Laws of the types beyond independent draws: a common shock, or any table over count states.

With a common shock one of several worlds is drawn, and in it all users draw independently; a table
gives each count state its probability. Users of a group stay exchangeable. The groups' own
probabilities are the marginals of the law.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt import arrays, tolerances
from mechopt.arrays import FloatArray, IntArray
from mechopt.errors import InvalidPopulation

if TYPE_CHECKING:
    from mechopt.problem.group import Group


@dataclass(frozen=True, eq=False)
class Law:
    """Worlds (weight (W,), per world one law per group) or a table (counts (R, M), chance (R,))."""

    weight: FloatArray
    worlds: tuple[tuple[FloatArray, ...], ...] | None
    counts: IntArray | None

    def probability(self, groups: Sequence[Group], counts: IntArray) -> FloatArray:
        """Of the count states `counts`, shape (S, M)."""
        from mechopt.problem.states import multinomial

        if self.worlds is None:
            assert self.counts is not None
            known = dict(zip(map(tuple, self.counts.tolist()), self.weight.tolist()))
            return np.array([known.get(tuple(row), 0.0) for row in counts.tolist()])
        total = np.zeros(counts.shape[0])
        for weight, world in zip(self.weight, self.worlds):
            first, chance = 0, np.full(counts.shape[0], weight)
            for law in world:
                mine = counts[:, first : first + law.size]
                able = law > 0
                fits = ~(mine[:, ~able] > 0).any(axis=1)
                chance *= fits
                chance[fits] *= multinomial(mine[fits][:, able], law[able])
                first += law.size
            total += chance
        return total

    def marginals(self, groups: Sequence[Group]) -> list[FloatArray]:
        """Law of one user's type, per group."""
        ends = np.cumsum([group.types for group in groups])[:-1]
        if self.worlds is not None:
            joint = sum(
                weight * np.concatenate(world) for weight, world in zip(self.weight, self.worlds)
            )
            return list(np.split(np.asarray(joint), ends))
        assert self.counts is not None
        means = np.split(self.weight @ self.counts, ends)
        return [mean / group.size for mean, group in zip(means, groups)]

    def individual(self, groups: Sequence[Group]) -> Law:
        """The same worlds with every user a group of her own."""
        assert self.worlds is not None
        sizes = [group.size for group in groups]
        worlds = tuple(
            tuple(law for law, size in zip(world, sizes) for _ in range(size))
            for world in self.worlds
        )
        return Law(self.weight, worlds, None)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `read_law` takes them back."""
        if self.worlds is None:
            assert self.counts is not None
            return {"counts": self.counts.tolist(), "probabilities": self.weight.tolist()}
        return {
            "worlds": [[law.tolist() for law in world] for world in self.worlds],
            "probabilities": self.weight.tolist(),
        }


def read_law(raw: Any, groups: Sequence[Group]) -> Law:
    """A law from {"worlds": …, "probabilities": …} or {"counts": …, "probabilities": …}.

    :worlds: per world one list of probabilities per group; counts : one row of counts of every type
        per state, all others have probability 0. Raises InvalidPopulation.
    """
    if not isinstance(raw, Mapping) or set(raw) not in (
        {"worlds", "probabilities"},
        {"counts", "probabilities"},
    ):
        raise InvalidPopulation(
            "law: expected {'worlds': [...], 'probabilities': [...]} (a common shock) or "
            "{'counts': [...], 'probabilities': [...]} (a table over count states)"
        )
    try:
        weight = np.asarray(arrays.to_float(raw["probabilities"]), dtype=np.float64)
    except ValueError as error:
        raise InvalidPopulation(f"law.probabilities: {error.args[0]}") from None
    rows = list(raw["worlds" if "worlds" in raw else "counts"])
    _check_law("law.probabilities", weight, len(rows))
    law = _worlds(rows, weight, groups) if "worlds" in raw else _table(rows, weight, groups)
    for g, (group, marginal) in enumerate(zip(groups, law.marginals(groups))):
        off = float(np.abs(marginal - group.probabilities).max())
        if off > tolerances.PROBABILITY:
            shown = ", ".join(f"{chance:.9g}" for chance in marginal)
            raise InvalidPopulation(
                f"groups[{g}].probabilities: must be the law's own for one user, ({shown})"
            )
    return law


def _check_law(name: str, law: FloatArray, size: int) -> None:
    if law.shape != (size,) or size == 0:
        raise InvalidPopulation(f"{name}: expected {size} numbers, got shape {law.shape}")
    if not bool(((law >= 0) & (law <= 1)).all()):
        raise InvalidPopulation(f"{name}: must lie in [0, 1]")
    if abs(float(law.sum()) - 1) > tolerances.PROBABILITY:
        raise InvalidPopulation(f"{name}: sum to {law.sum():.12g}, not to 1")


def _worlds(rows: list[Any], weight: FloatArray, groups: Sequence[Group]) -> Law:
    worlds = []
    for w, row in enumerate(rows):
        if len(row) != len(groups):
            raise InvalidPopulation(f"law.worlds[{w}]: expected one law per group ({len(groups)})")
        world = []
        for g, (one, group) in enumerate(zip(row, groups)):
            law = np.asarray(one, dtype=np.float64)
            _check_law(f"law.worlds[{w}][{g}]", law, group.types)
            world.append(arrays.freeze(law))
        worlds.append(tuple(world))
    return Law(arrays.freeze(weight), tuple(worlds), None)


def _table(rows: list[Any], weight: FloatArray, groups: Sequence[Group]) -> Law:
    types = sum(group.types for group in groups)
    counts: IntArray = np.array(rows)
    if counts.shape != (weight.size, types) or counts.dtype.kind != "i" or (counts < 0).any():
        raise InvalidPopulation(f"law.counts: expected rows of {types} whole numbers ≥ 0")
    first = 0
    for g, group in enumerate(groups):
        mine = counts[:, first : first + group.types].sum(axis=1)
        wrong = np.flatnonzero(mine != group.size)
        if wrong.size:
            raise InvalidPopulation(
                f"law.counts[{wrong[0]}]: group {g + 1} has {group.size} users, the row "
                f"{mine[wrong[0]]}"
            )
        first += group.types
    if len({tuple(row) for row in counts.tolist()}) < len(rows):
        raise InvalidPopulation("law.counts: a state is listed twice; add its probabilities")
    return Law(arrays.freeze(weight), None, counts.astype(np.int64))

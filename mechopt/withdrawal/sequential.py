"""Sequential withdrawal: users decide one after another; the exact subgame-perfect outcome.

With one threshold in closed form (F2, for any order, δ and bonus); with several by the recursion
F3: the final level as a function of what the movers so far have left, a step function whose
breakpoints are propagated from the last mover to the first.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mechopt import memory
from mechopt.arrays import BoolArray, IntArray
from mechopt.errors import TooLarge
from mechopt.withdrawal import cascades
from mechopt.withdrawal.moves import ascending, permutation
from mechopt.withdrawal.stage import Array, Stage

LevelArray = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Path:
    """The subgame-perfect path.

    stay (n,) bool; level, the one finally reached; movers (m,) users with x_i > 0 in the order
    in which they move; if_stays, if_leaves (m,) the level finally reached if this mover stays or
    leaves, those before him having moved as they do and those after him replying.
    """

    stay: BoolArray
    level: int
    movers: IntArray
    if_stays: IntArray
    if_leaves: IntArray

    def slack(self, stage: Stage) -> Array:
        """What each mover loses by leaving (negative: gains), money, shape (m,)."""
        return stage.staying_pays(self.movers, self.if_stays) - stage.leaving_pays(
            self.movers, self.if_leaves
        )


def sequential_outcome(
    x: Any,
    r: Any,
    v: Any,
    delta: Any,
    thresholds: Any,
    shares: Any,
    order: Any = None,
    bonus: Any = 0,
    **rights: Any,
) -> tuple[BoolArray, int]:
    """Subgame-perfect stay-set (n,) and level, from arrays; `order` None is small-first.

    :rights: exclusion η and committed y, 0 unless given
    """
    stage = Stage.from_arrays(x, r, v, delta, thresholds, shares, bonus, **rights)
    path = sequential_path(stage, _order(stage, order))
    return path.stay, path.level


def sequential_everyone_stays(
    x: Any,
    r: Any,
    v: Any,
    delta: Any,
    thresholds: Any,
    shares: Any,
    order: Any = None,
    bonus: Any = 0,
    **rights: Any,
) -> bool:
    """Whether the subgame-perfect outcome trains with everyone staying (True if x = 0)."""
    stage = Stage.from_arrays(x, r, v, delta, thresholds, shares, bonus, **rights)
    if not stage.movers.size:
        return True
    if not stage.level_of(stage.total):
        return False
    place = _order(stage, order)
    quickly = cascades.everyone_stays(stage, place[stage.able[place]])
    return bool(sequential_path(stage, place).stay.all()) if quickly is None else quickly


def _order(stage: Stage, order: Any) -> IntArray:
    if order is None:
        return ascending(stage.x)
    return permutation(order, stage.n)


def sequential_path(stage: Stage, order: IntArray) -> Path:
    """The subgame-perfect path when users move in `order` (n,), indifferent users staying."""
    if stage.levels == 1:
        return one_threshold(stage, order)
    movers = order[stage.able[order]]
    try:
        final = final_levels(stage, movers)
    except TooLarge:
        path = _held_by_cascades(stage, movers)
        if path is None:
            raise
        return path
    return follow(stage, movers, final)


def _held_by_cascades(stage: Stage, movers: IntArray) -> Path | None:
    """The path on which everyone stays, proved without the recursion; None if that fails.

    `if_leaves` is no lower than the level truly reached: slacks are understated, never overstated.
    """
    level = int(stage.level_of(stage.total))
    if level == 0 or not cascades.everyone_stays(stage, movers):
        return None
    most = cascades.levels_after(stage, movers)[1]
    return Path(np.ones(stage.n, dtype=bool), level, movers, np.full(movers.size, level), most)


# -- one threshold (F2) -------------------------------------------------------------------------


def one_threshold(stage: Stage, order: IntArray) -> Path:
    """K = 1 in closed form: what remains reaches T iff Σ e_j ≥ T.

    e_j = x_j for the willing (v_j b_1 ≥ r_j) and (1 − δ_j) x_j for the others: by induction from
    the last mover, i's successors reach T iff s ≥ T − Σ_{j ≥ i} e_j. If training happens, the
    willing with r > η v b_1 leave in turn as long as the slack Σ e − T pays for the data they
    take; if it does not, the unwilling stay in turn as long as that does not make it happen.
    """
    movers = order[stage.able[order]]
    if not movers.size:
        none = np.zeros(0, dtype=np.int64)
        level = int(stage.level_of(stage.total))
        return Path(np.ones(stage.n, dtype=bool), level, movers, none, none)
    removed, r = stage.removed[movers], stage.r[movers]
    tolerance = stage.money_tolerance[movers]
    willing = stage.v[movers] * stage.shares[1] - r >= -tolerance
    stay = np.ones(stage.n, dtype=bool)
    stay[movers] = willing
    spare = stage.total_of(stay) - stage.reached[0]
    trains = bool(spare >= 0)
    eager = r - stage.lost[movers] * stage.shares[1] > tolerance  # leaves unless needed
    takes = willing & eager if trains else ~willing
    before = _spare_before(removed[takes], spare if trains else -spare, strict=not trains)
    # What is spare (or short) just before each mover: it changes only at movers in `takes`.
    position = np.cumsum(takes) - takes
    spare_at = before[position]
    stays = np.ones(stage.n, dtype=bool)
    if trains:
        harmless = removed <= spare_at
        stays[movers] = willing & ~(eager & harmless)
        if_leaves = np.where(willing & ~harmless, 0, 1)
        if_stays = np.ones_like(if_leaves)
    else:
        decisive = ~willing & (removed >= spare_at)
        stays[movers] = ~decisive
        if_stays = decisive.astype(np.int64)
        if_leaves = np.zeros_like(if_stays)
    return Path(stays, int(trains), movers, if_stays, if_leaves)


def _spare_before(takes: Array, spare: Any, *, strict: bool) -> Array:
    """What is left before each item if items are taken in turn whenever they fit, and at the end.

    An item fits if it is at most (strictly less than, if `strict`) what is left.
    """
    if takes.dtype != object and np.all(takes[1:] >= takes[:-1]):
        # Ascending: after the first that does not fit none does.
        taken = np.concatenate(([0.0], np.cumsum(takes)))
        fits = int(np.searchsorted(taken, spare, side="left" if strict else "right"))
        np.minimum(taken, taken[max(fits - 1, 0)], out=taken)
        return spare - taken
    left = [spare]
    keep = left.append
    if strict:
        for item in takes.tolist():
            if item < spare:
                spare -= item
            keep(spare)
    else:
        for item in takes.tolist():
            if item <= spare:
                spare -= item
            keep(spare)
    return np.array(left)


# -- several thresholds (F3) --------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FinalLevels:
    """L_1 … L_{m+1} as step functions: breaks[i] ascending, levels[i] one longer.

    L_i(s) = levels[i][number of breaks[i] ≤ s]; index 0 is the first mover, index m the end.
    """

    breaks: list[Array]
    levels: list[LevelArray]

    def at(self, position: int, total: Any) -> int:
        """The level finally reached if the movers before `position` have left `total`."""
        return int(self.levels[position][bisect_right(self.breaks[position], total)])


MOST_PIECES = 5_000_000  # of all step functions together; random plans need a few K per mover
CHUNK = 4096  # movers whose preference tables are held at a time …
KEPT_ASIDE = 2.0**-10  # of the total, beyond the pieces that can be reached: far above rounding
PAIRS = 8_000_000  # … and entries of these tables: some 200 MB


def final_levels(stage: Stage, movers: IntArray, *, most: int | None = None) -> FinalLevels:
    """The recursion F3 for users moving in the order `movers` (m,).

    Only the pieces that the movers before i can reach are kept. Raises TooLarge beyond `most`
    pieces, by default `MOST_PIECES` (many users near indifference can double the pieces with every
    mover).
    """
    most = MOST_PIECES if most is None else most
    count, width = movers.size, stage.levels + 1
    stays, leaves = stage.x[movers], (stage.x - stage.removed)[movers]
    top, low = (
        stage.settled + np.concatenate((stage.x[:1] * 0, np.cumsum(column)))
        for column in (stays, leaves)
    )
    pieces = 0
    margin = top[-1] * KEPT_ASIDE
    breaks: list[Array] = [stage.reached] * (count + 1)
    levels: list[LevelArray] = [np.arange(width, dtype=np.int32)] * (count + 1)
    at, level = stage.reached, levels[count]
    memory.refuse_beyond(
        "sequential protocol",
        f"a mover's preferences between {width - 1:,} levels",
        25.0 * width**2,
        "Take fewer thresholds.",
    )
    chunk = max(1, min(CHUNK, PAIRS // width**2))
    for end in range(count, 0, -chunk):
        begin = max(end - chunk, 0)
        chosen = chosen_levels(stage, movers[begin:end])
        for position in range(end - 1, begin - 1, -1):
            at, level = step_back(
                at, level, stays[position], leaves[position], chosen[position - begin], width
            )
            if at.size > 2 * width:
                left = int(np.searchsorted(at, low[position] - margin, side="right"))
                right = int(np.searchsorted(at, top[position] + margin, side="right"))
                at, level = at[left:right], level[left : right + 1]
            breaks[position], levels[position] = at, level
            pieces += at.size
            if pieces > most:
                raise TooLarge(
                    f"the sequential outcome takes more than {most:,} pieces (reached at "
                    f"mover {position} of {count}): too many users are near indifference for the "
                    "exact recursion; check the protocol 'simultaneous', or fewer users"
                )
    return FinalLevels(breaks, levels)


def step_back(
    at: Array, level: LevelArray, stays: Any, leaves: Any, table: LevelArray, width: int
) -> tuple[Array, LevelArray]:
    """L_i from L_{i+1} = (breaks `at`, values `level`), for a mover who adds `stays` or `leaves`.

    `table` has the level that results for each pair (if he stays, if he leaves) of the `width`
    levels. New breaks are those of L_{i+1} shifted by either amount, where the level changes.
    """
    if_stays = at - stays
    if_leaves = at - leaves if leaves else at
    both = np.concatenate((if_stays, if_leaves))
    both.sort()
    pair = level[if_stays.searchsorted(both, side="right")] * width
    pair += level[if_leaves.searchsorted(both, side="right")]
    after = np.empty(both.size + 1, dtype=np.int32)
    after[0] = table[level[0] * (width + 1)]
    after[1:] = table[pair]
    changes = after[1:] != after[:-1]
    return both[changes], np.concatenate((after[:1], after[1:][changes]))


def chosen_levels(stage: Stage, users: IntArray) -> LevelArray:
    """The level that results for each pair (if he stays, if he leaves), shape (m, (K + 1)²)."""
    every = np.arange(stage.levels + 1, dtype=np.int32)
    stay = stage.staying_pays(users[:, None], every[None, :])
    leave = stage.leaving_pays(users[:, None], every[None, :])
    tolerance = stage.money_tolerance[users][:, None, None]
    prefers = stay[:, :, None] - leave[:, None, :] >= -tolerance
    result = np.where(prefers.astype(bool), every[None, :, None], every[None, None, :])
    return result.reshape(users.size, -1)


def follow(stage: Stage, movers: IntArray, final: FinalLevels) -> Path:
    """The path that the recursion prescribes from the first mover on."""
    total = stage.settled
    stays = stage.x[movers].tolist()
    leaves = (stage.x - stage.removed)[movers].tolist()
    if_stays = np.empty(movers.size, dtype=np.int64)
    if_leaves = np.empty(movers.size, dtype=np.int64)
    stay = np.ones(stage.n, dtype=bool)
    tolerance = stage.money_tolerance[movers]
    v, r, bonus = stage.v[movers].tolist(), stage.r[movers].tolist(), stage.bonus[movers].tolist()
    outside = stage.outside[movers].tolist()
    shares = stage.shares.tolist()
    for position in range(movers.size):
        high = final.at(position + 1, total + stays[position])
        low = final.at(position + 1, total + leaves[position])
        if_stays[position], if_leaves[position] = high, low
        worth = v[position] * shares[high] - r[position] if high else bonus[position]
        if worth - outside[position] * shares[low] >= -tolerance[position]:
            total = total + stays[position]
        else:
            total = total + leaves[position]
            stay[movers[position]] = False
    return Path(stay, final.at(movers.size, total), movers, if_stays, if_leaves)

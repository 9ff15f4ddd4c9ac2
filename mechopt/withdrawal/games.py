"""The withdrawal stage of a small plan as a game file that Gambit and others read.

`.nfg`: the simultaneous game, payoffs of all profiles. `.efg`: the sequential game, its full tree
with perfect information. Players are the users with x_i > 0, strategies "stay" and "leave",
payoffs those of the model (absolute, money), as rationals for exact input.
"""

from __future__ import annotations

from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mechopt.arrays import BoolArray
from mechopt.errors import InvalidOption, OutputError, TooLarge
from mechopt.withdrawal.coalition import payoffs
from mechopt.withdrawal.moves import order_of
from mechopt.withdrawal.stage import Array, Stage, plan_columns, stage_of, sunk_cost

if TYPE_CHECKING:
    from mechopt.answer.plan import Plan
    from mechopt.problem.instance import Instance

MOST_PLAYERS = 12  # 2^12 profiles


def write_game(
    instance: Instance, plan: Plan, path: str | PathLike[str], *, order: Any = "small-first"
) -> None:
    """Write the stage as `.nfg` (simultaneous) or `.efg` (sequential, in `order`).

    Raises TooLarge above 12 users with x_i > 0, InvalidOption for another suffix, OutputError if
    the file cannot be written.
    """
    target = Path(path)
    if target.suffix == ".nfg":
        text = simultaneous_game(instance, plan)
    elif target.suffix == ".efg":
        text = sequential_game(instance, plan, order)
    else:
        raise InvalidOption(f"path: a game file ends in .nfg or .efg, got {target.name!r}")
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror})") from error


def simultaneous_game(instance: Instance, plan: Plan) -> str:
    """The simultaneous game in strategic form (.nfg, payoff version).

    Profiles in Gambit's order: the first player's strategy changes fastest, "stay" first.
    """
    stage, sunk = _stage_and_sunk(instance, plan)
    users = stage.movers
    names = " ".join(_quoted(instance.name(user)) for user in users.tolist())
    strategies = "\n".join('{ "stay" "leave" }' for _ in users)
    lines = [
        f'NFG 1 R "withdrawal stage, simultaneous" {{ {names} }}',
        f"{{ {strategies} }}",
        "",
    ]
    for number in range(1 << users.size):
        stay = np.ones(stage.n, dtype=bool)
        stay[users] = (number >> np.arange(users.size) & 1) == 0
        lines.append(" ".join(_payoffs(stage, sunk, stay)))
    return "\n".join(lines) + "\n"


def sequential_game(instance: Instance, plan: Plan, order: Any = "small-first") -> str:
    """The sequential game in extensive form (.efg), every move seen by those who follow.

    Players are numbered in the order in which they move; nodes in prefix order, "stay" first.
    """
    stage, sunk = _stage_and_sunk(instance, plan)
    positions = order_of(instance, stage, order)
    movers = positions[stage.able[positions]].tolist()
    names = " ".join(_quoted(instance.name(user)) for user in movers)
    lines = [f'EFG 2 R "withdrawal stage, sequential" {{ {names} }}', '""', ""]
    counts = {"outcome": 0}
    sets = [0] * len(movers)

    def grow(depth: int, stay: BoolArray) -> None:
        if depth == len(movers):
            counts["outcome"] += 1
            values = ", ".join(_payoffs(stage, sunk, stay, movers))
            lines.append(f't "" {counts["outcome"]} "" {{ {values} }}')
            return
        sets[depth] += 1
        lines.append(f'p "" {depth + 1} {sets[depth]} "" {{ "stay" "leave" }} 0')
        for stays in (True, False):
            other = stay.copy()
            other[movers[depth]] = stays
            grow(depth + 1, other)

    grow(0, np.ones(stage.n, dtype=bool))
    return "\n".join(lines) + "\n"


def _stage_and_sunk(instance: Instance, plan: Plan) -> tuple[Stage, Array]:
    """The stage and what is sunk, which everybody bears whatever he does."""
    stage = stage_of(instance, plan)
    if not 1 <= stage.movers.size <= MOST_PLAYERS:
        raise TooLarge(
            f"{stage.movers.size} users have something to withdraw; "
            f"a game file needs 1 to {MOST_PLAYERS}"
        )
    burden, _, _ = plan_columns(instance, plan, exact=stage.exact)
    return stage, sunk_cost(instance, burden, exact=stage.exact)


def _payoffs(
    stage: Stage, sunk: Array, stay: BoolArray, users: list[int] | None = None
) -> list[str]:
    level = int(stage.level_of(stage.total_of(stay)))
    values = payoffs(stage, stay, level) - sunk
    return [_number(values[user]) for user in (stage.movers.tolist() if users is None else users)]


def _number(value: Any) -> str:
    if isinstance(value, Fraction):
        return str(value)
    return repr(float(value))


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

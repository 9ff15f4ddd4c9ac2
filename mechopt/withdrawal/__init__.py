"""The withdrawal stage: what happens to a plan when users may leave (docs: withdrawal).

`stage` has the raw numbers, `check` is the door; repairs/ and rights/ have rooms. May import
problem, answer, solver, dropouts and the ground. Names are loaded on first use: a verdict needs
neither equilibria nor repairs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# module of this folder -> what others use of it
_HOMES = {
    "check": (
        "Deviation",
        "WithdrawalReport",
        "all_equilibria",
        "check_withdrawal",
    ),
    "coalition": (
        "Coalition",
        "blocking_coalition",
    ),
    "games": (
        "sequential_game",
        "simultaneous_game",
        "write_game",
    ),
    "mistakes": (
        "Simulation",
        "simulate_withdrawal",
    ),
    "orders": (
        "BestOrder",
        "best_order",
        "sustaining_orders",
    ),
    "outcome": (
        "Equilibrium",
        "Outcome",
    ),
    "repairs.bonus": (
        "FailureBonus",
        "least_failure_bonus",
    ),
    "repairs.payments": (
        "Restoration",
        "least_extra_payments",
    ),
    "repairs.scaling": (
        "Scaling",
        "largest_scaling",
    ),
    "sequential": (
        "sequential_everyone_stays",
        "sequential_outcome",
    ),
    "simultaneous": ("simultaneous_slack",),
    "stage": (
        "Stage",
        "stage_of",
    ),
    "threats": ("Threat",),
    "ties": ("Tie",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)

"""The withdrawal stage: what happens to a plan when users may leave (FORMULATION section 3)."""

from mechopt.withdrawal.coalition import Coalition, blocking_coalition
from mechopt.withdrawal.outcome import Equilibrium, Outcome
from mechopt.withdrawal.report import (
    Deviation,
    WithdrawalReport,
    all_equilibria,
    check_withdrawal,
)
from mechopt.withdrawal.sequential import sequential_everyone_stays, sequential_outcome
from mechopt.withdrawal.simultaneous import simultaneous_slack
from mechopt.withdrawal.stage import Stage, stage_of
from mechopt.withdrawal.threats import Threat
from mechopt.withdrawal.ties import Tie

__all__ = [
    "Coalition",
    "Deviation",
    "Equilibrium",
    "Outcome",
    "Stage",
    "Threat",
    "Tie",
    "WithdrawalReport",
    "all_equilibria",
    "blocking_coalition",
    "check_withdrawal",
    "sequential_everyone_stays",
    "sequential_outcome",
    "simultaneous_slack",
    "stage_of",
]

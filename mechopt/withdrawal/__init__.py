"""The withdrawal stage: what happens to a plan when users may leave (FORMULATION section 3).

`stage` has the raw numbers, `check` is the door; repairs/ and rights/ have rooms. May import
problem, answer, solver, dropouts and the ground.
"""

from mechopt.withdrawal.check import (
    Deviation,
    WithdrawalReport,
    all_equilibria,
    check_withdrawal,
)
from mechopt.withdrawal.coalition import Coalition, blocking_coalition
from mechopt.withdrawal.games import sequential_game, simultaneous_game, write_game
from mechopt.withdrawal.mistakes import Simulation, simulate_withdrawal
from mechopt.withdrawal.orders import BestOrder, best_order, sustaining_orders
from mechopt.withdrawal.outcome import Equilibrium, Outcome
from mechopt.withdrawal.repairs.bonus import FailureBonus, least_failure_bonus
from mechopt.withdrawal.repairs.payments import Restoration, least_extra_payments
from mechopt.withdrawal.repairs.scaling import Scaling, largest_scaling
from mechopt.withdrawal.sequential import sequential_everyone_stays, sequential_outcome
from mechopt.withdrawal.simultaneous import simultaneous_slack
from mechopt.withdrawal.stage import Stage, stage_of
from mechopt.withdrawal.threats import Threat
from mechopt.withdrawal.ties import Tie

__all__ = [
    "BestOrder",
    "Coalition",
    "Deviation",
    "Equilibrium",
    "FailureBonus",
    "Outcome",
    "Restoration",
    "Scaling",
    "Simulation",
    "Stage",
    "Threat",
    "Tie",
    "WithdrawalReport",
    "all_equilibria",
    "best_order",
    "blocking_coalition",
    "check_withdrawal",
    "largest_scaling",
    "least_extra_payments",
    "least_failure_bonus",
    "sequential_everyone_stays",
    "sequential_game",
    "sequential_outcome",
    "simulate_withdrawal",
    "simultaneous_game",
    "simultaneous_slack",
    "stage_of",
    "sustaining_orders",
    "write_game",
]

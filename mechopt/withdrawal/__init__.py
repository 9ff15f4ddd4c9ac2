"""The withdrawal stage: what happens to a plan when users may leave (FORMULATION section 3)."""

from mechopt.withdrawal.report import Deviation, WithdrawalReport, check_withdrawal

__all__ = ["Deviation", "WithdrawalReport", "check_withdrawal"]

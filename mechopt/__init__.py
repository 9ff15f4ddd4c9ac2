"""mechopt: optimal incentive mechanisms for user data contributions under withdrawal rights.

>>> import mechopt as mo
>>> instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[8], provider_value=100)
>>> plan = mo.solve(instance, "burdens")
>>> plan.burden.tolist()
[6.0, 2.0, 0.0]

Names are loaded on first use, so that `import mechopt` is fast and Pyomo is imported only when a
model is built.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# public name -> module
_PUBLIC = {
    "Instance": "mechopt.problem.instance",
    "Plan": "mechopt.answer.plan",
    "Status": "mechopt.status",
    "Group": "mechopt.problem.population",
    "Population": "mechopt.problem.population",
    "DirectMechanism": "mechopt.answer.mechanism",
    "solve": "mechopt.solving",
    "check_withdrawal": "mechopt.withdrawal.check",
    "WithdrawalReport": "mechopt.withdrawal.check",
    "simulate_withdrawal": "mechopt.withdrawal.mistakes",
    "crossing": "mechopt.dropouts",
    "Crossing": "mechopt.dropouts",
    "audit": "mechopt.audits.answers",
    "certify": "mechopt.certificates.certify",
    "Certificate": "mechopt.certificates.certify",
    "read": "mechopt.files",
    "build_model": "mechopt.studies.models",
    "export_model": "mechopt.studies.models",
    "solve_model": "mechopt.studies.own_model",
    "StepCurve": "mechopt.problem.improvement_curves",
    "step_curve_from_losses": "mechopt.problem.improvement_curves",
    "step_curve_from_distribution": "mechopt.problem.improvement_curves",
    "Calibrated": "mechopt.cases.calibration",
    "instance_from_capacities": "mechopt.cases.calibration",
    "read_capacities": "mechopt.cases.calibration",
    "read_learning_curve": "mechopt.cases.calibration",
    "compare": "mechopt.studies.comparing",
    "Table": "mechopt.studies.results",
    "read_table": "mechopt.studies.results",
    "rights": "mechopt.studies.rights",
    "RightsTable": "mechopt.studies.rights",
    "frontier": "mechopt.studies.frontiers",
    "Frontier": "mechopt.studies.frontier_table",
    "generate": "mechopt.cases.generators",
    "families": "mechopt.cases.generators",
    "update": "mechopt.campaign.replay",
    "append_event": "mechopt.campaign.store",
    "append_events": "mechopt.campaign.store",
    "read_log": "mechopt.campaign.store",
    "Campaign": "mechopt.campaign.state",
    "withdrawal_shock": "mechopt.cases.dropouts",
    "bracket": "mechopt.private.large.bracket",
    "Bracket": "mechopt.answer.bracket",
    "PostedOffer": "mechopt.answer.offer",
    "MechoptError": "mechopt.errors",
    "InvalidInput": "mechopt.errors",
    "InvalidInstance": "mechopt.errors",
    "InvalidPopulation": "mechopt.errors",
    "InvalidPlan": "mechopt.errors",
    "InvalidOption": "mechopt.errors",
    "InvalidFile": "mechopt.errors",
    "NotSupported": "mechopt.errors",
    "TooLarge": "mechopt.errors",
    "SolverError": "mechopt.errors",
    "OutputError": "mechopt.errors",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from mechopt.answer.bracket import Bracket as Bracket
    from mechopt.answer.mechanism import DirectMechanism as DirectMechanism
    from mechopt.answer.offer import PostedOffer as PostedOffer
    from mechopt.answer.plan import Plan as Plan
    from mechopt.audits.answers import audit as audit
    from mechopt.campaign.replay import update as update
    from mechopt.campaign.state import Campaign as Campaign
    from mechopt.campaign.store import append_event as append_event
    from mechopt.campaign.store import append_events as append_events
    from mechopt.campaign.store import read_log as read_log
    from mechopt.cases.calibration import Calibrated as Calibrated
    from mechopt.cases.calibration import instance_from_capacities as instance_from_capacities
    from mechopt.cases.calibration import read_capacities as read_capacities
    from mechopt.cases.calibration import read_learning_curve as read_learning_curve
    from mechopt.cases.dropouts import withdrawal_shock as withdrawal_shock
    from mechopt.cases.generators import families as families
    from mechopt.cases.generators import generate as generate
    from mechopt.certificates.certify import Certificate as Certificate
    from mechopt.certificates.certify import certify as certify
    from mechopt.dropouts import Crossing as Crossing
    from mechopt.dropouts.crossing import crossing as crossing
    from mechopt.errors import InvalidFile as InvalidFile
    from mechopt.errors import InvalidInput as InvalidInput
    from mechopt.errors import InvalidInstance as InvalidInstance
    from mechopt.errors import InvalidOption as InvalidOption
    from mechopt.errors import InvalidPlan as InvalidPlan
    from mechopt.errors import InvalidPopulation as InvalidPopulation
    from mechopt.errors import MechoptError as MechoptError
    from mechopt.errors import NotSupported as NotSupported
    from mechopt.errors import OutputError as OutputError
    from mechopt.errors import SolverError as SolverError
    from mechopt.errors import TooLarge as TooLarge
    from mechopt.files import read as read
    from mechopt.private.large.bracket import bracket as bracket
    from mechopt.problem.improvement_curves import StepCurve as StepCurve
    from mechopt.problem.improvement_curves import (
        step_curve_from_distribution as step_curve_from_distribution,
    )
    from mechopt.problem.improvement_curves import step_curve_from_losses as step_curve_from_losses
    from mechopt.problem.instance import Instance as Instance
    from mechopt.problem.population import Group as Group
    from mechopt.problem.population import Population as Population
    from mechopt.solving import solve as solve
    from mechopt.status import Status as Status
    from mechopt.studies.comparing import compare as compare
    from mechopt.studies.frontier_table import Frontier as Frontier
    from mechopt.studies.frontiers import frontier as frontier
    from mechopt.studies.models import build_model as build_model
    from mechopt.studies.models import export_model as export_model
    from mechopt.studies.own_model import solve_model as solve_model
    from mechopt.studies.results import Table as Table
    from mechopt.studies.results import read_table as read_table
    from mechopt.studies.rights import RightsTable as RightsTable
    from mechopt.studies.rights import rights as rights
    from mechopt.withdrawal.check import WithdrawalReport as WithdrawalReport
    from mechopt.withdrawal.check import check_withdrawal as check_withdrawal
    from mechopt.withdrawal.mistakes import simulate_withdrawal as simulate_withdrawal


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mechopt' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

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

__version__ = "0.1.0"

# public name -> module
_PUBLIC = {
    "Instance": "mechopt.instance",
    "Plan": "mechopt.plan",
    "Status": "mechopt.plan",
    "Group": "mechopt.population",
    "Population": "mechopt.population",
    "DirectMechanism": "mechopt.mechanisms.direct",
    "solve": "mechopt.solve",
    "check_withdrawal": "mechopt.withdrawal",
    "WithdrawalReport": "mechopt.withdrawal",
    "simulate_withdrawal": "mechopt.withdrawal",
    "audit": "mechopt.audit",
    "read": "mechopt.files",
    "build_model": "mechopt.models",
    "export_model": "mechopt.models",
    "generate": "mechopt.generate",
    "families": "mechopt.generate",
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

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604

if TYPE_CHECKING:
    from mechopt.errors import (
        InvalidFile,
        InvalidInput,
        InvalidInstance,
        InvalidOption,
        InvalidPlan,
        InvalidPopulation,
        MechoptError,
        NotSupported,
        OutputError,
        SolverError,
        TooLarge,
    )
    from mechopt.instance import Instance
    from mechopt.plan import Plan, Status
    from mechopt.solve import solve


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mechopt' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])

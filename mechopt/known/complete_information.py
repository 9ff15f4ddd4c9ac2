"""Complete information: the first best when the provider knows every cost.

For an instance the costs are known already, so this is the burdens problem without withdrawal
rights; with one threshold it is the burdens problem itself (fact F7).
"""

from __future__ import annotations

from mechopt.answer.plan import Plan
from mechopt.known.burdens import solve as burdens
from mechopt.problem.instance import Instance


def solve(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    target: float | None = None,
    transfers: bool = True,
    reserve: float = 0.0,
    method: str = "auto",
    time_limit: float | None = None,
    seed: int = 0,
) -> Plan:
    """The upper bound every mechanism is held against (A1–A4, A6). Options as for burdens."""
    plan = burdens.solve(
        instance,
        objective=objective,
        protocol="none",
        target=target,
        transfers=transfers,
        reserve=reserve,
        method=method,
        time_limit=time_limit,
        seed=seed,
    )
    return plan.replace(mechanism="complete-information")

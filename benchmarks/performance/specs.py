"""All benchmark specs by name."""

from __future__ import annotations

import known_costs
import private_costs
import road
import withdrawal
from spec import Spec

SPECS: dict[str, Spec] = {
    spec.name: spec
    for spec in (
        known_costs.BURDENS,
        known_costs.BURDENS_LEVELS,
        known_costs.POSTED,
        withdrawal.SEQUENTIAL,
        withdrawal.SEQUENTIAL_LEVELS,
        withdrawal.SIMULTANEOUS,
        withdrawal.SIMULTANEOUS_LEVELS,
        private_costs.DSIC,
        private_costs.BIC,
        private_costs.CLOSED,
        private_costs.SWEEPS,
        road.HANDOFF,
        road.TOTAL,
    )
}

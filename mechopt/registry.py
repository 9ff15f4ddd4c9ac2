"""What there is: every mechanism and every formulation by name, and where its function lives.

Functions are named "module:function" and imported on first use, so that starting up stays fast
and a reader finds the whole catalogue on one page.
"""

from __future__ import annotations

from mechopt.formulations import FORMULATIONS as FORMULATIONS

# mechanism -> {problem kind: function(problem, *, options) -> Plan or DirectMechanism}
MECHANISMS: dict[str, dict[str, str]] = {
    "burdens": {"instance": "mechopt.known.burdens.solve:solve"},
    "floor-and-burdens": {"instance": "mechopt.known.floor_and_burdens:solve"},
    "rule": {"population": "mechopt.private.rules:solve"},
    "direct": {"population": "mechopt.private.direct.solve:solve"},
    "posted-price": {
        "instance": "mechopt.known.posted_price:solve",
        "population": "mechopt.private.benchmarks:posted_price",
    },
    "posted-contract": {
        "instance": "mechopt.known.posted_contract:solve",
        "population": "mechopt.private.benchmarks:posted_contract",
    },
    "subsidy": {"instance": "mechopt.known.subsidy:solve"},
    "complete-information": {
        "instance": "mechopt.known.complete_information:solve",
        "population": "mechopt.private.benchmarks:complete_information",
    },
}

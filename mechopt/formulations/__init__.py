"""The provider's problems as Pyomo models with equation tags, and nothing else.

A module per model (two are in parts), equations in models/NAME/README.md, what they share in
`parts`. May import problem, answer, solver, withdrawal (the stage) and the ground.
"""

from __future__ import annotations

# formulation (the name of its folder in models/) -> function(problem, *, options) -> ConcreteModel
FORMULATIONS: dict[str, str] = {
    "burdens": "mechopt.formulations.burdens:build",
    "burdens-levels": "mechopt.formulations.burdens_levels:build",
    "burdens-levels-bigm": "mechopt.formulations.burdens_levels_bigm:build",
    "burdens-practice": "mechopt.formulations.burdens_practice:build",
    "burdens-sequential": "mechopt.formulations.burdens_sequential:build",
    "burdens-zones": "mechopt.formulations.burdens_zones:build",
    "posted-price": "mechopt.formulations.posted_price:build",
    "posted-contract": "mechopt.formulations.posted_contract:build",
    "burdens-part": "mechopt.formulations.burdens_part:build",
    "floor-and-burdens": "mechopt.formulations.floor_and_burdens:build",
    "subsidy": "mechopt.formulations.subsidy:build",
    "direct-dsic": "mechopt.formulations.direct:build_dsic",
    "direct-bic": "mechopt.formulations.direct:build_bic",
    "direct-obedient": "mechopt.formulations.direct:build_obedient",
    "direct-excludable": "mechopt.formulations.direct:build_excludable",
    "direct-deterministic": "mechopt.formulations.direct:build_deterministic",
    "withdrawal-equilibrium": "mechopt.formulations.withdrawal_equilibrium:build",
    "blocking-coalition": "mechopt.formulations.blocking_coalition:build",
}

"""Costs known (docs: model): a module per mechanism; burdens and sequences have rooms.

May import everything above `known` in docs/architecture.md: problem, answer, solver, withdrawal,
formulations, exact, audits.
"""

"""Costs private (docs: model): direct mechanisms, rules, benchmarks, beyond counting.

May import everything above `private` in docs/architecture.md.
"""

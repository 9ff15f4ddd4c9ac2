"""Exact arithmetic for proofs: the optimum of an LP from its basis, prices that prove a plan.

May import the checker, problem and solver.
"""

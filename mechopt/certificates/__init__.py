"""Exact certificates of answers: proofs written down for the checker, which needs only Python.

`certify` is the door; drafts of plans and mechanisms. May import checker, problem, answer, exact.
"""

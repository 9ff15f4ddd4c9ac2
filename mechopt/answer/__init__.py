"""Data out: plans and direct mechanisms, frozen, with status, bound and their problem.

May import `problem` and the ground; conveniences that lie further down go through `mechopt.doors`.
"""

"""Populations beyond counting: a certified interval for the optimum and a rule to deploy.

`bracket` is the door. May import what `private` may.
"""

"""Populations beyond counting: a certified interval for the optimum and a rule to deploy."""

"""Plans that can be carried out (FORMULATION section 11): whole units, least amounts, groups.

May import what `known` may, the knapsack of `known.burdens` above all.
"""

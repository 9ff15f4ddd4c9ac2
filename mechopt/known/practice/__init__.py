"""Plans that can be carried out (docs: practice): whole units, least amounts, groups.

May import what `known` may, the knapsack of `known.burdens` above all.
"""

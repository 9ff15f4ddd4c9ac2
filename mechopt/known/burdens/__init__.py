"""Personalized burdens with withdrawal rights: one threshold, or several by levels (F7, F8).

`solve` is the mechanism; `several_levels` chooses among levels, `simultaneous_level` solves one by
its knapsack. May import what `known` may.
"""

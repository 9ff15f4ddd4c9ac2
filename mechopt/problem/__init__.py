"""Data in: instances, populations, their curves and numbers, and what is aimed at.

May import the ground (errors, arrays, tolerances, words, draws, memory) and nothing else.
"""

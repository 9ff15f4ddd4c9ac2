"""Looking at many problems, or long at one: compare, frontiers, claims, rights, pages, catalogue.

May import all but the explorer and the commands.
"""

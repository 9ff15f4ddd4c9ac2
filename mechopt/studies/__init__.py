"""Comparing mechanisms over many problems: runs, claims, figures, the report."""

"""Exact certificates of answers, and the checker that needs nothing but Python."""

"""Burdens under sequential withdrawal: small-first, large-first, a given or a designed order.

`solve` is called by `known.burdens.several_levels`; the stage is `mechopt.withdrawal.sequential`,
the model `formulations.burdens_sequential`. May import what `known` may.
"""

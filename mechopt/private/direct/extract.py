"""From the columns of the solver to a mechanism: rounding removed, every row audited."""

from __future__ import annotations

from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.answer.mechanism import DirectMechanism
from mechopt.arrays import FloatArray
from mechopt.private.direct.expectations import expectations
from mechopt.private.direct.layout import Layout
from mechopt.problem.direct_terms import DirectTerms
from mechopt.problem.population import Population
from mechopt.status import Status

AUDIT = tolerances.MONEY  # what a returned mechanism may violate, relative to the row's scale
_ZERO = 1e-14  # below this it is rounding of zero; rare runs (1e-12) may carry pay that matters

Numbers = tuple[FloatArray, FloatArray, FloatArray, FloatArray | None, bool]


def extract(layout: Layout, x: FloatArray) -> Numbers:
    """(run, burden, payment, access if any, whether segments are in order), rounding removed.

    Null states become exactly zero, Σ x = T p is restored, payments follow from utilities.
    """
    K, S, C, M = layout.K, layout.S, layout.C, layout.M
    space, cells = layout.space, np.arange(layout.C)
    run = np.clip(x[: K * S].reshape(K, S), 0.0, 1.0)
    run[run < _ZERO] = 0.0
    run[run > 1 - _ZERO] = 1.0
    run /= np.maximum(run.sum(axis=0), 1.0)
    burden, payment = np.zeros((S, K, M)), np.zeros((S, K, M))
    access = np.zeros((S, K, M)) if layout.barred.size else None
    in_order = True
    for k, threshold in enumerate(layout.population.thresholds):
        chance = run[k][space.cell_state]
        parts = np.zeros((C, layout.J))
        for j in range(layout.J):
            place = layout.y(k, j, cells)
            parts[:, j] = np.where(place >= 0, x[place], 0.0)
        parts = np.clip(parts, 0.0, layout.width * chance[:, None])
        parts[parts < _ZERO * threshold] = 0.0
        given = parts.sum(axis=1)
        total = np.bincount(space.cell_state, layout.count * given, minlength=S)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(total > 0, threshold * run[k] / total, 0.0)[space.cell_state]
        given = np.minimum(given * scale, layout.width.sum(axis=1) * chance)
        if layout.J > 1:
            full = layout.width[:, :-1] * chance[:, None]
            gap = np.minimum(full - parts[:, :-1], parts[:, 1:])
            in_order &= bool((gap <= tolerances.SOLVER * threshold).all())
        burden[space.cell_state, k, space.cell_type] = given
        entered = chance
        if access is not None:
            entered = np.clip(x[layout.access(k, cells)], (1 - layout.eta) * chance, chance)
            access[space.cell_state, k, space.cell_type] = entered
        if layout.terms.transfers:
            utility = x[layout.u_start + k * C + cells]
            cost = layout.theta * _cost_shape(layout, given, chance)
            worth = layout.value * layout.b[k] * entered
            paid = np.maximum(utility + cost - worth, 0.0) * (chance > 0)
            payment[space.cell_state, k, space.cell_type] = paid
    return np.ascontiguousarray(run.T), burden, payment, access, in_order


def _cost_shape(layout: Layout, given: FloatArray, chance: FloatArray) -> FloatArray:
    """p g(x / p) per cell, filling segments in order."""
    left, shaped = given.copy(), np.zeros(given.size)
    for j in range(layout.J):
        step = np.minimum(left, layout.width[:, j] * chance)
        if j == layout.J - 1:
            step = left
        shaped += layout.slope[:, j] * step
        left = left - step
    return shaped


def verified(
    population: Population,
    terms: DirectTerms,
    numbers: Numbers,
    about: dict[str, Any],
) -> DirectMechanism:
    """The mechanism of these numbers, audited."""
    run, burden, payment, access, in_order = numbers
    answer = DirectMechanism(
        population,
        terms,
        Status.UNKNOWN,
        run=run,
        burden=burden,
        payment=payment,
        access=access,
        **about,
    )
    return audited(answer, segments_in_order=in_order)


def audited(mechanism: DirectMechanism, **details: Any) -> DirectMechanism:
    """The mechanism with the worst row of its full audit in `details`."""
    from mechopt.audits.mechanisms import worst_row

    amount, where = worst_row(mechanism.population, mechanism)
    return mechanism.replace(details={**details, "violation": amount, "violated_row": where})


def objective_of(mechanism: DirectMechanism) -> float:
    """The objective, recomputed from the mechanism's own numbers."""
    return expectations(mechanism)[mechanism.terms.objective.replace("-", "_")]

"""Personalized burdens with withdrawal rights (docs: model).

One threshold, or no withdrawal rights: every level is a convex allocation, solved exactly by
selection (fact F7). Several thresholds under a withdrawal protocol, or a reserve, make the
withdrawal constraint (A5) part of the optimisation: `burdens_levels` does that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mechopt import words
from mechopt.answer.plan import Plan
from mechopt.arrays import BoolArray
from mechopt.errors import InvalidOption, NotSupported
from mechopt.known.burdens import exact_edge
from mechopt.known.burdens.committed import on_top
from mechopt.known.burdens.separable import Stakes, one_level, unsecured_share
from mechopt.known.levels import LevelAnswer, Wanted, best_level
from mechopt.known.natural import in_natural_units
from mechopt.problem.instance import Instance
from mechopt.problem.practice import refuse_with, said
from mechopt.withdrawal.moves import burden_sign
from mechopt.withdrawal.rights.reassign import levels_without

METHODS = ("auto", "selection", "model")
_NAMED = 3  # users named in a reason


def solve(
    instance: Instance,
    *,
    objective: str = "provider-surplus",
    protocol: str = "simultaneous",
    order: Any = "small-first",
    target: float | None = None,
    transfers: bool = True,
    reserve: float = 0.0,
    method: str = "auto",
    time_limit: float | None = None,
    seed: int = 0,
    known: dict[Any, Any] | None = None,
    withdrawal: str = "whole",
    dropout: Any = None,
    shock: Any = None,
    confidence: float | None = None,
) -> Plan:
    """Burdens x and payments t that everyone accepts and nobody undoes (A1–A6).

    :protocol: whose right to withdraw must be respected; "none" drops A5; "reassign": nobody gains
        by refusing, the mechanism then being run again without him (one threshold, no reserve)
    :target: share to reach, for "expenditure" and "social-cost"; default the highest
    :transfers: whether payments are allowed
    :reserve: R ≥ 0, data kept above the threshold
    :method: "selection" (one threshold), "model" (Pyomo and HiGHS), "auto" (the fastest exact one)
    :known: a dict that solves of the same users and options, with other budgets or provider values,
        fill and draw on (several thresholds; elsewhere there is nothing worth keeping)
    :withdrawal: "whole", or "part": users may take back any amount, and a payment goes only to who
        keeps everything (F15); the same problem for one threshold met exactly

    :dropout, shock, confidence: users are lost with these hazards (`mechopt.crossing`), and
        P(X ≥ T_k) must be at least `confidence` for the level k aimed at; no reserve of its own.
        In sequence, plans are those that hold in every order, but proved optima of a few users

    Infeasible: the null outcome with the reason, or INFEASIBLE if `target` was given.
    """
    wanted = Wanted(
        objective=objective,
        protocol=protocol,
        order=order,
        target=target,
        transfers=transfers,
        reserve=reserve,
        method=method,
        time_limit=time_limit,
        seed=seed,
        withdrawal=withdrawal,
        dropout=dropout,
        shock=shock,
        confidence=confidence,
    )
    return plan_for(instance, wanted, known)


def plan_for(instance: Instance, wanted: Wanted, known: dict[Any, Any] | None = None) -> Plan:
    """The plan by the road for what is asked; options that do not go together are refused."""
    words.choose("protocol", wanted.protocol, words.PROTOCOLS)
    words.choose("method", wanted.method, METHODS)
    words.choose("withdrawal", wanted.withdrawal, words.WITHDRAWALS)
    wanted.lowest(instance)
    protocol, method, reserve = wanted.protocol, wanted.method, wanted.reserve
    if instance.has_committed:
        return _on_committed(instance, wanted)
    practice = instance.practice is not None
    if any(loss is not None for loss in (wanted.dropout, wanted.shock, wanted.confidence)):
        return _safe(instance, wanted)
    if protocol == "reassign":
        refuse_with(instance, "protocol 'reassign'")
    if protocol == "reassign" and (instance.levels > 1 or reserve):
        raise NotSupported("protocol 'reassign' designs for one threshold without a reserve")
    separable = protocol in ("none", "reassign") or (
        instance.levels == 1 and reserve == 0 and not _held_by_exclusion_alone(instance)
    )
    if practice or not separable:
        return _together(instance, wanted, known)
    if method == "model" and protocol != "reassign":
        from mechopt.known import milp  # brings Pyomo and HiGHS

        return milp.solve(instance, "burdens", wanted)
    plan = best_level(instance, _one_at_a_time(instance, wanted), wanted, solver="selection")
    return exact_edge.in_fractions(plan, wanted)


def _together(instance: Instance, wanted: Wanted, known: dict[Any, Any] | None) -> Plan:
    """What keeps a user depends on how much he gives, or not every burden may be asked for."""
    practice = instance.practice is not None
    if wanted.method == "selection":
        raise InvalidOption(
            "method: 'selection' solves one threshold without a reserve, or protocol 'none'; "
            "use 'auto'"
        )
    if practice and wanted.method == "model":
        raise NotSupported(
            f"method 'model': with {said(instance)} use build_model(instance, "
            "'burdens-practice') and solve_model(model)"
        )
    from mechopt.known.burdens import several_levels

    def solved(problem: Instance, data: float) -> Plan:
        scaled = replace(wanted, reserve=wanted.reserve / data)
        return several_levels.solve(problem, scaled, known)

    # A unit as typed, such as 0.1, is no multiple of a power of two.
    if practice:
        return solved(instance, 1.0)
    return exact_edge.in_fractions(in_natural_units(instance, solved), wanted)


def _one_at_a_time(instance: Instance, wanted: Wanted) -> Callable[[int, str], LevelAnswer]:
    """The solver of one level by selection; for "reassign" with who would be replaced."""
    protocol = wanted.protocol
    replaced = np.zeros(instance.n, dtype=bool)
    if protocol == "reassign":
        again = {name: getattr(wanted, name) for name in ("objective", "target", "transfers")}
        plain = Plan.null(instance, mechanism="burdens", options=again)
        replaced = levels_without(instance, plain, np.arange(instance.n)) > 0
        replaced |= instance.removable == 0  # his data stay, so nobody has to replace him

    def solve_level(level: int, quantity: str) -> LevelAnswer:
        gain = instance.value * instance.share_at(level)
        if protocol == "reassign":
            gain = np.where(replaced, instance.exclusion * gain, gain)
        stakes = Stakes(gain, unsecured_share(instance, protocol))
        needed = protocol != "none"
        found = one_level(instance, level, quantity, wanted, stakes, needed=needed)
        if protocol == "reassign":
            return _too_many_replaced(instance, found, replaced)
        return exact_edge.decided(instance, found, wanted)

    return solve_level


def _too_many_replaced(instance: Instance, found: LevelAnswer, replaced: BoolArray) -> LevelAnswer:
    """Why re-assignment falls short unpaid: those who are needed give too little on their own."""
    shortfall = found.shortfall or {}
    if shortfall.get("constraint") != "participation" or not replaced.any():
        return found
    places = np.flatnonzero(replaced)
    names = ", ".join(instance.ids[places[:_NAMED]].tolist())
    names += ", …" if places.size > _NAMED else ""
    needed, there = (
        number * instance.units.data
        for number in (shortfall["data"] + shortfall["reachable"], shortfall["reachable"])
    )
    held = "lose only access by refusing" if instance.has_exclusion else "lose nothing by refusing"
    reason = (
        f"threshold {found.level} needs {needed:g} of data, but {places.size} of {instance.n} "
        f"users ({names}) would be replaced and {held}; unpaid all together accept only {there:g}: "
        f"short by {needed - there:g} (A1, A5)"
    )
    rest = {name: number for name, number in shortfall.items() if name != "payment"}
    return replace(found, reason=reason, shortfall=rest)


def _on_committed(instance: Instance, wanted: Wanted) -> Plan:
    """The plan on top of data committed for good; NotSupported for the order of burdens."""
    order = wanted.order
    ordered = instance.levels > 1 or wanted.confidence is not None
    if wanted.protocol == "sequential" and ordered and burden_sign(order):
        also = "several thresholds" if instance.levels > 1 else "drop-outs"
        raise NotSupported(
            f"committed: with {also} the order {order!r} is not designed for; give "
            "a permutation, or take the simultaneous protocol: its plans hold in any order"
        )

    def of_rest(rest: Instance, share: float | None) -> Plan:
        return plan_for(rest, replace(wanted, target=share))

    return on_top(instance, of_rest, wanted)


def _safe(instance: Instance, wanted: Wanted) -> Plan:
    """The plan for drop-outs; InvalidOption for options that say nothing there."""
    from mechopt.known.safety.solve import solve as solve_safely

    usual = Wanted()
    for name in ("reserve", "method", "withdrawal"):
        value = getattr(wanted, name)
        if not (np.isscalar(value) and value == getattr(usual, name)):
            raise InvalidOption(f"{name}: has no meaning with confidence; leave it out")
    return solve_safely(instance, wanted)


def _held_by_exclusion_alone(instance: Instance) -> bool:
    """Whether somebody leaves nothing missing (δ = 0) but would be excluded (η > 0)."""
    if not instance.has_exclusion:
        return False
    return bool(((instance.removable == 0) & (instance.exclusion > 0)).any())

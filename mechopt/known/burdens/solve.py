"""Personalized burdens with withdrawal rights (FORMULATION 4.3).

One threshold, or no withdrawal rights: every level is a convex allocation, solved exactly by
selection (fact F7). Several thresholds under a withdrawal protocol, or a reserve, make the
withdrawal constraint (A5) part of the optimisation: `burdens_levels` does that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mechopt import words
from mechopt.answer.plan import Plan
from mechopt.errors import InvalidOption, NotSupported
from mechopt.known.burdens import exact_edge as knife_edge
from mechopt.known.burdens.committed import on_top
from mechopt.known.burdens.separable import one_level, unsecured_share
from mechopt.known.levels import LevelAnswer, best_level
from mechopt.known.natural import in_natural_units
from mechopt.problem.aims import check_options
from mechopt.problem.instance import Instance
from mechopt.withdrawal.rights.reassign import levels_without

METHODS = ("auto", "selection", "model")


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
        P(X ≥ T) must be at least `confidence`; one threshold, no reserve of its own

    Infeasible: the null outcome with the reason, or INFEASIBLE if `target` was given.
    """
    words.choose("protocol", protocol, words.PROTOCOLS)
    words.choose("method", method, METHODS)
    words.choose("withdrawal", withdrawal, words.WITHDRAWALS)
    check_options(instance, objective, target, reserve)
    if instance.has_committed:
        by_burden = isinstance(order, str) and order in ("small-first", "large-first")
        if protocol == "sequential" and instance.levels > 1 and by_burden:
            raise NotSupported(
                f"committed: with several thresholds the order {order!r} is not designed for; give "
                "a permutation, or take the simultaneous protocol: its plans hold in any order"
            )

        def of_rest(rest: Instance, share: float | None) -> Plan:
            return solve(
                rest,
                objective=objective,
                protocol=protocol,
                order=order,
                target=share,
                transfers=transfers,
                reserve=reserve,
                method=method,
                time_limit=time_limit,
                seed=seed,
                withdrawal=withdrawal,
            )

        about = {"mechanism": "burdens", "protocol": protocol, "right": withdrawal, "seed": seed}
        return on_top(
            instance, of_rest, objective=objective, target=target, reserve=reserve, **about
        )
    practice = instance.practice is not None
    if dropout is not None or confidence is not None or shock is not None:
        return _safe(
            instance,
            {"reserve": reserve, "order": order, "method": method, "withdrawal": withdrawal},
            dropout=dropout,
            shock=shock,
            confidence=confidence,
            objective=objective,
            protocol=protocol,
            target=target,
            transfers=transfers,
            time_limit=time_limit,
            seed=seed,
        )
    if protocol == "reassign" and (instance.levels > 1 or reserve or instance.practice is not None):
        raise NotSupported("protocol 'reassign' designs for one threshold without a reserve")
    separable = protocol in ("none", "reassign") or (
        instance.levels == 1 and reserve == 0 and not _held_by_exclusion_alone(instance)
    )
    if practice or not separable:
        if method == "selection":
            raise InvalidOption(
                "method: 'selection' solves one threshold without a reserve, or protocol 'none'; "
                "use 'auto'"
            )
        if practice and method == "model":
            raise NotSupported(
                "method 'model': with least amounts, units, contact costs, fixed burdens, steps or "
                "groups use build_model(instance, 'burdens-practice') and solve_model(model)"
            )
        from mechopt.known.burdens import several_levels

        def solved(problem: Instance, data: float) -> Plan:
            return several_levels.solve(
                problem,
                objective=objective,
                protocol=protocol,
                order=order,
                target=target,
                transfers=transfers,
                reserve=reserve / data,
                method=method,
                time_limit=time_limit,
                seed=seed,
                known=known,
                withdrawal=withdrawal,
            )

        # A unit as typed, such as 0.1, is no multiple of a power of two.
        return solved(instance, 1.0) if practice else in_natural_units(instance, solved)
    fields: dict[str, Any] = {"mechanism": "burdens", "protocol": protocol, "order": order}
    fields["right"] = withdrawal
    if method == "model" and protocol != "reassign":
        from mechopt.known import milp  # brings Pyomo and HiGHS

        return milp.solve(
            instance,
            "burdens",
            objective=objective,
            target=target,
            transfers=transfers,
            reserve=reserve,
            time_limit=time_limit,
            seed=seed,
            model_options={"protocol": protocol},
            **fields,
        )

    replaced = np.zeros(instance.n, dtype=bool)
    if protocol == "reassign":
        again = {"objective": objective, "target": target, "transfers": transfers}
        plain = Plan.null(instance, mechanism="burdens", options=again)
        replaced = levels_without(instance, plain, np.arange(instance.n)) > 0

    def solve_level(level: int, quantity: str) -> LevelAnswer:
        gain = instance.value * instance.share_at(level)
        if protocol == "reassign":
            gain = np.where(replaced, instance.exclusion * gain, gain)
        found = one_level(
            instance,
            level,
            quantity,
            gain=gain,
            unsecured=unsecured_share(instance, protocol),
            transfers=transfers,
            reserve=reserve,
            needed=protocol != "none",
        )
        terms: dict[str, Any] = {
            "mechanism": "burdens",
            "protocol": protocol,
            "transfers": transfers,
        }
        if protocol == "reassign":
            return found
        return knife_edge.decided(instance, found, reserve=reserve, **terms)

    return best_level(
        instance,
        solve_level,
        objective=objective,
        target=target,
        reserve=reserve,
        solver="selection",
        seed=seed,
        **fields,
    )


def _safe(instance: Instance, others: dict[str, Any], **options: Any) -> Plan:
    """The plan for drop-outs; InvalidOption for options that say nothing there."""
    from mechopt.known.safety.solve import solve as solve_safely

    usual = {"reserve": 0, "order": "small-first", "method": "auto", "withdrawal": "whole"}
    for name, value in others.items():
        if not (np.isscalar(value) and value == usual[name]):
            raise InvalidOption(f"{name}: has no meaning with confidence; leave it out")
    return solve_safely(instance, **options)


def _held_by_exclusion_alone(instance: Instance) -> bool:
    """Whether somebody leaves nothing missing (δ = 0) but would be excluded (η > 0)."""
    if not instance.has_exclusion:
        return False
    return bool(((instance.removable == 0) & (instance.exclusion > 0)).any())

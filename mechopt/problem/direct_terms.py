"""What is asked of a direct mechanism: objective, incentive constraints, participation, rights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

import numpy as np

from mechopt import tolerances, words
from mechopt.arrays import FloatArray
from mechopt.errors import InvalidOption
from mechopt.problem.aims import MINIMISED
from mechopt.problem.aims import check_limits as check_limits
from mechopt.problem.population import Group, Population

INCENTIVES = ("dsic", "bic")
PARTICIPATIONS = ("ex-post", "interim")
LEVELS = ("safe", "exact")
PROTOCOLS = ("simultaneous", "sequential")
DISTANCES = ("total-variation", "wasserstein")
# t̄ in multiples of the most a user can lose or enjoy: payments t ≤ t̄ p vanish with p (D2), and a
# conditional payment of a hundred times that is none that incentives need.
PAYMENT_FACTOR = 100.0


@dataclass(frozen=True)
class DirectTerms:
    """The options of `solve(population, "direct", …)`, validated.

    :incentive: "dsic" or "bic" (D3); "none" when costs are observed (complete information)
    :participation: "ex-post" or "interim" (D4)
    :withdrawal_rights: True for D5 and D6, "truthful" for D5 alone (only those who reported
        truthfully may withdraw), False for neither
    :target: expected share E[B(X)] to reach, for "expenditure" and "social-cost"; else None
    :levels: "safe": who leaves level k loses b_k − b_{k−1}; "exact": what he really loses
    :robust, radius: the mechanism is best against every law within `radius` (one per group) of
        the population's, by "total-variation" or "wasserstein"; None if the law is known
    :protocol: how users withdraw once a level is drawn, "simultaneous" or "sequential"
        (small-first); the same with one threshold
    """

    objective: str = "provider-surplus"
    incentive: str = "dsic"
    participation: str = "ex-post"
    withdrawal_rights: bool | str = True
    randomized: bool = True
    transfers: bool = True
    target: float | None = None
    levels: str = "safe"
    robust: str | None = None
    radius: tuple[float, ...] | None = None
    protocol: str = "simultaneous"

    @property
    def obedient(self) -> bool:
        """Whether D5 is imposed."""
        return self.withdrawal_rights is not False

    @property
    def honest_and_obedient(self) -> bool:
        """Whether D6 is imposed."""
        return self.withdrawal_rights is True and self.incentive != "none"

    def double_deviation(self, group: Group, levels: int) -> bool:
        """Whether D6 needs the variables w: a misreporter's max{stay, withdraw}.

        Not if nothing is recovered (ρ = 0: staying is always better), and not under DSIC with one
        level, where the maximum is two rows.
        """
        if not self.honest_and_obedient or group.reversibility == 0:
            return False
        return self.incentive == "bic" or levels > 1

    @property
    def maximise(self) -> bool:
        return self.objective not in MINIMISED

    def to_dict(self) -> dict[str, Any]:
        """JSON values; what is not asked for is left out."""
        given = asdict(self)
        if self.robust is None:
            del given["robust"], given["radius"]
        if self.protocol == "simultaneous":
            del given["protocol"]
        return given

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> DirectTerms:
        """The terms of `to_dict`; TypeError or ValueError on anything else."""
        radius = given.get("radius")
        terms = cls(**{**given, "radius": None if radius is None else tuple(map(float, radius))})
        words.choose("objective", terms.objective, words.OBJECTIVES)
        words.choose("incentive", terms.incentive, (*INCENTIVES, "none"))
        words.choose("participation", terms.participation, PARTICIPATIONS)
        words.choose("levels", terms.levels, ("safe", "exact"))
        for name in ("withdrawal_rights", "randomized", "transfers"):
            said = getattr(terms, name)
            if type(said) is not bool and not (name == "withdrawal_rights" and said == "truthful"):
                raise ValueError(f"{name}: expected true or false, got {said!r:.40}")
        if terms.target is not None and not (
            type(terms.target) in (int, float) and 0 <= terms.target <= 1
        ):
            raise ValueError(f"target: must lie in [0, 1], got {terms.target!r:.40}")
        if terms.robust is not None:
            words.choose("robust", terms.robust, ("total-variation", "wasserstein"))
        return terms


def read_terms(population: Population, **said: Any) -> DirectTerms:
    """Validated terms; raises InvalidOption naming the option, its value and what it may be."""
    terms = DirectTerms(**said)
    words.choose("objective", terms.objective, words.OBJECTIVES)
    words.choose("incentive", terms.incentive, INCENTIVES)
    words.choose("participation", terms.participation, PARTICIPATIONS)
    words.choose("levels", terms.levels, LEVELS)
    words.choose("protocol", terms.protocol, PROTOCOLS)
    rights = terms.withdrawal_rights
    if not (isinstance(rights, bool) or rights == "truthful"):
        raise InvalidOption(
            "withdrawal_rights: must be True (D5 and D6), 'truthful' (D5 alone) or False, "
            f"got {rights!r}"
        )
    for name, flag in (("randomized", terms.randomized), ("transfers", terms.transfers)):
        if not isinstance(flag, bool):
            raise InvalidOption(f"{name}: must be True or False, got {flag!r}")
    distance, within = read_robust(population, terms.robust, terms.radius)
    if distance is not None and (terms.incentive, terms.participation) != ("dsic", "ex-post"):
        raise InvalidOption(
            "robust: needs incentive='dsic' and participation='ex-post', which hold whatever the "
            f"law of costs is; got {terms.incentive!r} and {terms.participation!r}"
        )
    target = read_target(population, terms.objective, terms.target)
    return replace(terms, target=target, robust=distance, radius=within)


def read_robust(
    population: Population, robust: object, radius: object
) -> tuple[str | None, tuple[float, ...] | None]:
    """(distance, one radius per group); InvalidOption unless both are given, or neither."""
    if robust is None:
        if radius is not None:
            raise InvalidOption(f"radius: needs robust={' or '.join(map(repr, DISTANCES))}")
        return None, None
    words.choose("robust", robust, DISTANCES)
    try:
        given = np.asarray(radius, dtype=np.float64)
    except (TypeError, ValueError):
        given = np.full(1, np.nan)
    if population.law is not None:
        raise InvalidOption("robust: the ball is one of independent draws; leave out law=")
    groups = len(population.groups)
    fits = given.shape in ((), (groups,)) and not isinstance(radius, bool)
    if not (fits and bool(((given >= 0) & np.isfinite(given)).all())):
        raise InvalidOption(
            f"radius: must be a finite number ≥ 0, or one per group ({groups}), got {radius!r}"
        )
    return str(robust), tuple(float(one) for one in np.broadcast_to(given, (groups,)))


def read_target(population: Population, objective: str, target: object) -> float | None:
    """The expected share to reach; default the highest share. InvalidOption if impossible."""
    if objective not in MINIMISED:
        if target is not None:
            raise InvalidOption(
                f"target: applies to {' and '.join(MINIMISED)} only, not to {objective}"
            )
        return None
    top = float(population.shares[-1])
    if target is None:
        return top
    if isinstance(target, bool) or not isinstance(target, (int, float)) or not isfinite(target):
        raise InvalidOption(f"target: must be a number in (0, {top:g}], got {target!r}")
    if not 0 < target <= top * (1 + tolerances.MONEY):
        raise InvalidOption(
            f"target: must lie in (0, {top:g}] (expected share of the improvement), got {target:g}"
        )
    return min(float(target), top)


def nothing_kept(group: Group, levels: int) -> bool:
    """Whether who leaves enjoys nothing afterwards, whatever the level."""
    return group.value == 0 or (levels == 1 and group.removable > 0)


def payment_bounds(population: Population, k: int) -> FloatArray:
    """t̄ per group, money: PAYMENT_FACTOR times the value and the dearest type's full cost."""
    threshold = float(population.thresholds[k])
    return PAYMENT_FACTOR * np.array(
        [
            group.value
            + group.costs[-1] * float(group.shape(np.array(min(group.capacity, threshold))))
            for group in population.groups
        ]
    )

"""How much a random supply S = Σ_g a_g Bin(n_g, F_g) falls short of an amount, at any n.

E[(T − S)⁺] and P(S ≥ T) in closed form for one random term, summed over windows of the others when
there are several, and from mean and variance, on the safe side, when those windows are too large:
E[(T − S)⁺] ≤ (√(σ² + (T − μ)²) + T − μ) / 2 (Scarf 1958) and Cantelli's inequality.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, sqrt

import numpy as np

from mechopt.arrays import FloatArray, IntArray
from mechopt.problem.population import Population
from mechopt.tolerances import REACH

_WINDOW = 200_000  # states of all but one group that are summed over
_SURE = 1e-15  # who gives with a probability this near to 1 is counted as giving
ROUNDING = 1e-12  # relative: what sums and binomial tails may be off by


def shortfall(
    population: Population, room: FloatArray, chance: FloatArray, amount: float
) -> tuple[float, float]:
    """(least, most) of E[(amount − S)⁺], S = Σ_g room_g Bin(n_g, chance_g); equal if exact."""
    size = np.array([group.size for group in population.groups])
    law = Supply.of(size, room, chance, amount)
    if law.left <= 0 or law.a == 0:
        return max(0.0, law.left), max(0.0, law.left)
    scarf = (sqrt(law.variance + (law.left - law.mean) ** 2) + law.left - law.mean) / 2
    if law.rest is None:
        return max(0.0, law.left - law.mean), scarf
    most = np.floor(law.rest / law.a)  # the largest count that falls short
    short = law.rest * law.below(most) - law.a * law.n * law.f * law.below(most - 1, law.n - 1)
    value = min(scarf, float(law.chance @ np.maximum(short, 0.0)))
    return value, value


def shortfall_of_parts(
    size: FloatArray,
    amounts: tuple[FloatArray, ...],
    chances: tuple[FloatArray, ...],
    amount: float,
) -> tuple[float, float]:
    """(least, most) of E[(amount − S)⁺] where a user of a group gives one of several amounts (G,),
    each with its chance (G,): from mean and variance."""
    first = sum(a * p for a, p in zip(amounts, chances))
    second = sum(a**2 * p for a, p in zip(amounts, chances))
    mean, variance = float(size @ first), max(0.0, float(size @ (second - first**2)))
    short = amount - mean
    return max(0.0, short), (sqrt(variance + short**2) + short) / 2


def reaches(
    population: Population, supply: FloatArray, chance: FloatArray, amount: float
) -> tuple[float, bool]:
    """(at least P(S ≥ amount), whether that is exact), S = Σ_g supply_g Bin(n_g, chance_g)."""
    size = np.array([group.size for group in population.groups])
    law = Supply.of(size, supply, chance, amount * (1 - REACH))
    if law.left <= 0 or law.a == 0:
        return float(law.left <= 0), True
    if law.rest is None:  # Cantelli
        spare = max(0.0, law.mean - law.left)
        return spare**2 / (spare**2 + law.variance), False
    short = law.below(np.ceil(law.rest / law.a) - 1)
    return max(0.0, float(law.chance @ (1 - short)) - ROUNDING), True


@dataclass(frozen=True, eq=False)
class Supply:
    """S against an amount: one binomial, a · Bin(n, f), against `rest` with probabilities `chance`.

    :left: the amount minus what is sure; rest : that minus what the other random groups supply,
        shape (W,), None if W is too large; mean, variance : of the random part
    """

    left: float
    mean: float
    variance: float
    n: int
    a: float
    f: float
    rest: FloatArray | None
    chance: FloatArray

    @classmethod
    def of(cls, size: IntArray, room: FloatArray, chance: FloatArray, amount: float) -> Supply:
        sure = chance >= 1 - _SURE
        left = amount - float((size * room)[sure].sum())
        open_ = np.flatnonzero(~sure & (chance > 0) & (room > 0))
        if open_.size == 0:
            return cls(left, 0.0, 0.0, 0, 0.0, 0.0, None, np.ones(1))
        spread = (size * chance * (1 - chance))[open_]
        inner = int(open_[np.argmax(spread)])
        outer = open_[open_ != inner]
        counts, law = _windows([(int(size[g]), float(chance[g])) for g in outer])
        return cls(
            left,
            float((size * room * chance)[open_].sum()),
            float((spread * room[open_] ** 2).sum()),
            int(size[inner]),
            float(room[inner]),
            float(chance[inner]),
            None if counts is None else left - counts @ room[outer],
            law,
        )

    def below(self, count: FloatArray, n: int | None = None) -> FloatArray:
        """P(Bin(n, f) ≤ count)."""
        from scipy.special import betainc

        n = self.n if n is None else n
        inside = np.clip(count, 0, max(n - 1, 0))
        law = betainc(n - inside, inside + 1, 1 - self.f) if n else np.ones(count.shape)
        return np.where(count < 0, 0.0, np.where(count >= n, 1.0, law))


def _windows(terms: list[tuple[int, float]]) -> tuple[IntArray | None, FloatArray]:
    """Joint counts (W, terms) of independent binomials and their probabilities (W,), without the
    tails beyond 9 deviations; no counts if there would be more than _WINDOW."""
    ranges = []
    for n, f in terms:
        spread = 9 * sqrt(n * f * (1 - f)) + 9
        ranges.append(np.arange(max(0, floor(n * f - spread)), min(n, int(n * f + spread)) + 1))
    if np.prod([float(one.size) for one in ranges]) > _WINDOW:
        return None, np.ones(1)
    if not terms:
        return np.zeros((1, 0), dtype=np.int64), np.ones(1)
    from scipy.stats import binom

    laws = [binom.pmf(one, n, f) for one, (n, f) in zip(ranges, terms)]
    counts = np.stack([grid.ravel() for grid in np.meshgrid(*ranges, indexing="ij")], axis=1)
    joint = np.prod([grid.ravel() for grid in np.meshgrid(*laws, indexing="ij")], axis=0)
    return counts, joint

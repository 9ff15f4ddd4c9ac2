"""The law of a sum of independent losses L = Σ a_i Z_i, P(Z_i = 1) = h_i: bounds on P(L ≤ s).

Three ways, tried in this order:

whole units   all a_i are multiples of one unit: exact convolution, pairwise, each part kept only
              where it has mass (what is cut off and what rounding can do is added to the bounds)
few losses    the subsets of users whose loss is at most `most` are listed, if they are few
smoothed      L + S with a small independent S in [−w, w]: P(L + S ≤ s − w) ≤ P(L ≤ s) ≤
              P(L + S ≤ s + w), whatever the law of L. S is a sum of 12 uniform variables, so the
              Fourier series of L + S is short; its frequencies are computed from all users, or
              dropped where a product over some of them already proves them negligible
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from math import ceil, comb, log, log2, pi, sqrt
from typing import Any

import numpy as np

from mechopt import tolerances
from mechopt.arrays import FloatArray, IntArray, exact_sum

_EPS = float(np.finfo(float).eps)
CUT = 1e-17  # mass that may be cut off at either end of a part
_LARGEST_WINDOW = 2**23  # places of one part, in units
_ATOMS, _ATOM_WORK = 2**15, 2e6
_UNIFORMS, _REACH = 12, 42.0  # |sin(u/12) / (u/12)|^12 < 3.1e-7 for u ≥ 42
_BEYOND = 2e-8  # what the frequencies beyond that add: (2/π) 3.1e-7 / 12
_OUTSIDE = 1e-8  # mass outside the window of the Fourier series
_NEGLIGIBLE = 1e-10
UNLIKELY = 1e-12  # what is called sure but for this
_FREQUENCIES = {True: (2**12, 2**17), False: (2**10, 2**12)}  # fine or coarse
_WORK = {True: 3e7, False: 1e6}  # user-frequency pairs
_CHUNK = 500_000  # of them at a time
_CUMULANTS = 20


@dataclass(frozen=True, eq=False)
class LossLaw:
    """P(L ≤ s) between two right-continuous step functions, for s ≤ `most`.

    `low_at` (m,) data ascending from −∞, `low` (m,) the lower bound from there on; `high_at`,
    `high` alike. `middle_at`, `middle`: an estimate at some points, None if it is `low`. More than
    `surely` is lost with a probability of at most 10⁻¹².
    """

    low_at: FloatArray
    low: FloatArray
    high_at: FloatArray
    high: FloatArray
    middle_at: FloatArray | None = None
    middle: FloatArray | None = None
    most: float = np.inf
    surely: float = np.inf

    def bounds(self, at: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(low, high) of P(L ≤ s) at every s, of the shape of `at`."""
        low = self.low[np.searchsorted(self.low_at, at, side="right") - 1]
        high = self.high[np.searchsorted(self.high_at, at, side="right") - 1]
        low = np.where(at >= self.surely, np.maximum(low, 1 - UNLIKELY), low)
        return low, np.where(at > self.most, 1.0, high)

    def estimate(self, at: FloatArray) -> FloatArray:
        """The probable value, between the bounds."""
        low, high = self.bounds(at)
        if self.middle_at is None or self.middle is None:
            return (low + high) / 2
        return np.clip(np.interp(at, self.middle_at, self.middle), low, high)


def laws_of_loss(
    amount: FloatArray, hazard: FloatArray, most: FloatArray, *, fine: bool = True
) -> list[LossLaw]:
    """The law of Σ amount_i Z_i up to each of `most` (descending), the same where one serves.

    :amount: data ≥ 0, (n,); hazard : in [0, 1], (n,); fine : False for coarser bounds, faster
    """
    first = _law(amount, hazard, float(most[0]), fine)
    if first.middle_at is None:
        return [first] * most.size
    return [first, *(_law(amount, hazard, room, fine, first) for room in most[1:].tolist())]


def _law(
    amount: FloatArray, hazard: FloatArray, most: float, fine: bool, smooth: LossLaw | None = None
) -> LossLaw:
    """`smooth`: what is known already, if nothing exact is found."""
    sure = exact_sum(amount[hazard >= 1])
    risky = (amount > 0) & (hazard > 0) & (hazard < 1)
    a, h, count = _grouped(amount[risky], hazard[risky])
    room = most - sure
    if room < 0 or not a.size:
        return _steps(np.array([sure]), np.array([1.0]), 0.0)
    law = _whole_units(a, h, count, room) or _few_losses(a, h, count, room)
    if law is None and smooth is not None:
        return smooth
    law = law or _smoothed(a, h, count, fine=fine)
    law = law if not sure else _moved(law, sure)
    return replace(law, most=most, surely=at_most(amount, hazard))


def at_most(amount: FloatArray, hazard: FloatArray) -> float:
    """What is lost at most but for a probability `UNLIKELY`, data, by Bernstein's inequality."""
    spread = hazard * (1 - hazard)
    variance = float((spread * amount * amount).sum())
    largest = float(np.max(amount, where=spread > 0, initial=0.0))
    return float((hazard * amount).sum()) + _radius(variance, largest, UNLIKELY)


def _radius(variance: float, largest: float, chance: float) -> float:
    """P(|L − mean| > r) ≤ 2 exp(−r² / (2 (variance + largest r / 3))) solved for r (Bernstein)."""
    rate = log(2 / chance)
    jump = rate * largest / 3
    return jump + sqrt(jump * jump + 2 * rate * variance)


def _grouped(amount: FloatArray, hazard: FloatArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """Distinct pairs (amount, hazard), by amount, and how often each occurs."""
    order = np.lexsort((hazard, amount))
    amount, hazard = amount[order], hazard[order]
    new = np.ones(amount.size, dtype=bool)
    new[1:] = (np.diff(amount) != 0) | (np.diff(hazard) != 0)
    start = np.flatnonzero(new)
    return amount[start], hazard[start], np.diff(np.append(start, amount.size))


def _steps(at: FloatArray, cumulative: FloatArray, error: float) -> LossLaw:
    at = np.append(-np.inf, at * (1 - tolerances.TOTALS))
    values = np.append(0.0, cumulative)
    low, high = np.maximum(values - error, 0.0), np.minimum(values + error, 1.0)
    high[0] = 0.0
    return LossLaw(at, low, at, high)


def _moved(law: LossLaw, by: float) -> LossLaw:
    middle_at = None if law.middle_at is None else law.middle_at + by
    return LossLaw(law.low_at + by, law.low, law.high_at + by, law.high, middle_at, law.middle)


# -- whole units ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Part:
    """Probabilities at the places start, start + 1, …; `error` bounds what is missing or wrong."""

    start: int
    mass: FloatArray
    error: float = 0.0


def _unit(a: FloatArray) -> float | None:
    """The largest unit of which all amounts are multiples; None if none is found."""
    for scale in (1.0, 10.0, 100.0, 1e3, 1e4, 2.0**14):
        whole = np.rint(a * scale)
        if whole.max() < 2**53 and (np.abs(a * scale - whole) <= tolerances.TOTALS * whole).all():
            return float(np.gcd.reduce(whole.astype(np.int64))) / scale
    return None


def _whole_units(a: FloatArray, h: FloatArray, count: IntArray, room: float) -> LossLaw | None:
    unit = _unit(a)
    if unit is None:
        return None
    size = np.rint(a / unit).astype(np.int64)
    last = int((room * (1 + tolerances.TOTALS)) / unit)
    first = np.flatnonzero(np.append(True, np.diff(size) > 0))
    sigma = np.sqrt(np.add.reduceat(count * h * (1 - h), first)) * size[first]
    windows = np.minimum(20 * sigma + 60 * size[first], last + 1.0)
    if windows.sum() > 8 * _LARGEST_WINDOW or min(20 * sqrt((sigma**2).sum()), last) > (
        _LARGEST_WINDOW
    ):
        return None
    parts = []
    for start, end in zip(first.tolist(), [*first[1:].tolist(), size.size]):
        step = int(size[start])
        lost = _number_lost(h[start:end], count[start:end], last // step)
        if not lost.mass.size:  # more is lost than there is room for
            return _steps(np.array([0.0]), np.array([0.0]), lost.error)
        mass = np.zeros((lost.mass.size - 1) * step + 1)
        mass[::step] = lost.mass
        parts.append(_Part(lost.start * step, mass, lost.error))
    whole = _sum_of(parts, last)
    at = (whole.start + np.arange(whole.mass.size)) * unit
    return _steps(np.asarray(at), np.cumsum(whole.mass), whole.error + whole.mass.size * _EPS)


def _number_lost(h: FloatArray, count: IntArray, last: int) -> _Part:
    """How many are lost of users with hazards h, `count` of each; places above `last` left out."""
    many = count > 8
    parts = [_power(float(p), int(c), last) for p, c in zip(h[many], count[many])]
    rows = np.repeat(h[~many], count[~many])
    mass, error = np.stack((1 - rows, rows), axis=1), 0.0
    while len(mass) > 1 and mass.shape[1] <= 512:
        if len(mass) % 2:
            nobody = np.zeros((1, mass.shape[1]))
            nobody[0, 0] = 1.0
            mass = np.concatenate((mass, nobody))
        error += len(mass) / 2 * _rounding(mass.shape[1], mass.shape[1])
        mass = _pairwise(mass[::2], mass[1::2])[:, : last + 1]
    parts += [_trimmed(0, row, error / len(mass), last) for row in mass]
    return _sum_of(parts, last)


def _pairwise(one: FloatArray, other: FloatArray) -> FloatArray:
    """The convolutions of rows, shape (m, k + k − 1)."""
    width = one.shape[1]
    if width > 32:
        return _by_fft(one, other)
    found = np.zeros((len(one), 2 * width - 1))
    for place in range(width):
        found[:, place : place + width] += one[:, place, None] * other
    return found


def _power(h: float, count: int, last: int) -> _Part:
    """The binomial law, by repeated squaring."""
    base, found = _Part(0, np.array([1 - h, h])), _Part(0, np.ones(1))
    while count:
        if count & 1:
            found = _added(found, base, last)
        count >>= 1
        if count:
            base = _added(base, base, last)
    return found


def _sum_of(parts: list[_Part], last: int) -> _Part:
    """The law of the sum of independent parts: the two shortest are joined first."""
    heap = [(part.mass.size, place, part) for place, part in enumerate(parts)]
    heapq.heapify(heap)
    place = len(heap)
    while len(heap) > 1:
        one, other = heapq.heappop(heap)[2], heapq.heappop(heap)[2]
        joined = _added(one, other, last)
        heapq.heappush(heap, (joined.mass.size, place, joined))
        place += 1
    return heap[0][2]


def _added(one: _Part, other: _Part, last: int) -> _Part:
    width = min(one.mass.size, other.mass.size)
    if not width:
        return _Part(last + 1, np.zeros(0), one.error + other.error)
    doubt = _rounding(one.mass.size, other.mass.size)
    if width > 32:
        mass = _by_fft(one.mass, other.mass)
    else:
        mass = np.convolve(one.mass, other.mass)
    error = one.error + other.error + doubt
    return _trimmed(one.start + other.start, mass, error, last, doubt)


def _by_fft(one: FloatArray, other: FloatArray) -> FloatArray:
    from scipy.fft import irfft, next_fast_len, rfft

    size = one.shape[-1] + other.shape[-1] - 1
    length = next_fast_len(size, real=True)
    product = rfft(one, length) * rfft(other, length)
    return np.maximum(irfft(product, length)[..., :size], 0.0)


def _rounding(one: int, other: int) -> float:
    """What rounding can change in any partial sum of a convolution of laws of these lengths.

    Directly: every entry has a relative error of at most (shorter + 1) ulps. By FFT the error in
    the Euclidean norm is at most about 3 log2 N ulps (Higham 2002, section 24.1, laws have norm at
    most 1), and a partial sum of N entries at most √N times that.
    """
    if min(one, other) <= 32:
        return (min(one, other) + 1) * _EPS
    size = one + other
    return 6 * log2(size) * sqrt(size) * _EPS


def _trimmed(start: int, mass: FloatArray, error: float, last: int, cut: float = CUT) -> _Part:
    """Without places above `last`, which no later part brings back, and without empty ends.

    The ends hold at most `cut` each, or what rounding may have put there.
    """
    mass = mass[: max(last + 1 - start, 0)]
    if mass.size <= 64:  # cutting takes longer than carrying the ends along
        return _Part(start, mass, error)
    low = int(np.searchsorted(np.cumsum(mass), cut))
    high = mass.size - int(np.searchsorted(np.cumsum(mass[::-1]), cut))
    if low >= high:  # nothing but rounding is left
        low, high = 0, 1
    return _Part(start + low, mass[low:high], error + 2 * cut)


# -- few losses -----------------------------------------------------------------------------------


def _few_losses(a: FloatArray, h: FloatArray, count: IntArray, room: float) -> LossLaw | None:
    """All losses that are possible up to `room`, if they are not too many."""
    # every choice of so many different amounts fits
    fitting = min(int(room / float(a[-1])), a.size // 2)
    if count.sum() > 4000 or comb(int(np.unique(a).size), min(fitting, 12)) > _ATOMS:
        return None
    at: FloatArray = np.zeros(1)
    mass, work = np.ones(1), 0.0
    for loss, risk in zip(np.repeat(a, count)[::-1], np.repeat(h, count)[::-1]):
        shifted = at + loss
        fits = shifted <= room * (1 + tolerances.TOTALS)
        places = np.concatenate((at, shifted[fits]))
        masses = np.concatenate((mass * (1 - risk), mass[fits] * risk))
        at, inverse = np.unique(places, return_inverse=True)
        mass = np.bincount(inverse, weights=masses).astype(np.float64)
        work += at.size
        if at.size > _ATOMS or work > _ATOM_WORK:
            return None
    return _steps(at, np.cumsum(mass), (int(count.sum()) + at.size) * 2 * _EPS)


# -- smoothed -------------------------------------------------------------------------------------


def _smoothed(a: FloatArray, h: FloatArray, count: IntArray, *, fine: bool = True) -> LossLaw:
    """Bounds from the Fourier series of L + S on a window that has all but 10⁻¹² of the mass."""
    mean = float((count * h * a).sum())
    variance = float((count * h * (1 - h) * a * a).sum())
    radius = _radius(variance, float(a.max()), _OUTSIDE)
    low, high = max(0.0, mean - radius), min(float((count * a).sum()), mean + radius)
    few, many = _FREQUENCIES[fine]
    chosen = _order_of_weight(h, count)
    share = _needed(h[chosen], count[chosen])
    terms = int(min(max(_WORK[fine] / share, few), many))
    # With window W and half-width w of S, frequency k has sinc(2π k w / (12 W))^12.
    width = (high - low) / (2 * pi * terms / _REACH - 2)
    low, high = low - width, high + width
    window = high - low
    factor, dropped, rounding = _coefficients(
        a[chosen], h[chosen], count[chosen], window, width, terms
    )
    index = np.arange(1, terms + 1)
    phase = 2 * pi * index / window
    series = factor * np.exp(-1j * phase * low) / (2j * pi * index)
    points = 4 * 2 ** ceil(log2(terms + 1))
    spectrum = np.zeros(points // 2 + 1, dtype=complex)
    spectrum[1 : terms + 1] = np.conj(series) * points
    from scipy.fft import irfft

    values = np.arange(points) / points + 2 * float(series.real.sum()) - irfft(spectrum, points)
    error = 3 * _OUTSIDE + _BEYOND + dropped + rounding
    grid = low + np.arange(points) * (window / points)
    lower = np.maximum.accumulate(np.clip(values - error, 0.0, 1.0))
    upper = np.clip(values + error, 0.0, 1.0)
    upper = np.append(np.minimum.accumulate(upper[::-1])[::-1], 1.0)
    return LossLaw(
        np.append(-np.inf, grid + width),
        np.append(0.0, lower),
        np.append(-np.inf, grid - width),
        upper,
        grid,
        np.clip(values, 0.0, 1.0),
    )


def _order_of_weight(h: FloatArray, count: IntArray) -> IntArray:
    """Heaviest first; those of equal weight mixed, so that the first ones have all sizes."""
    mixed = np.random.default_rng(0).permutation(h.size)
    weight = count * h * (1 - h)
    return mixed[np.argsort(-weight[mixed], kind="stable")]


def _needed(h: FloatArray, count: IntArray) -> float:
    """How many groups, heaviest first, make a frequency negligible where their phases differ."""
    weight = np.cumsum(count * h * (1 - h))
    return float(min(int(np.searchsorted(weight, 32.0)) + 1, h.size))


def _coefficients(
    a: FloatArray,
    h: FloatArray,
    count: IntArray,
    window: float,
    width: float,
    terms: int,
) -> tuple[np.ndarray, float, float]:
    """φ(2π k / W) of L + S, k = 1 … terms, what the dropped ones can add, and rounding."""
    index = np.arange(1, terms + 1)
    phase = 2 * pi * index / window
    smooth = np.sinc(phase * (width / _UNIFORMS) / pi) ** _UNIFORMS
    size = np.abs(smooth)
    # 1 − cos u ≥ 2 u² / π² for |u| ≤ π: all users at once
    turned = phase * float(a.max()) <= pi
    variance = float((count * h * (1 - h) * a * a).sum())
    size[turned] *= np.exp(-2 / pi**2 * variance * phase[turned] ** 2)
    open_ = np.flatnonzero(size > _NEGLIGIBLE)
    block = int(min(max(32, _needed(h, count) / 4), 256))
    bound = np.abs(smooth)
    for start in range(0, min(h.size, 40 * block), block):
        chosen = slice(start, start + block)
        spread = 2 * h[chosen] * (1 - h[chosen])
        for some in np.array_split(open_, max(1, open_.size * block // _CHUNK)):
            squared = 1 - spread * (1 - np.cos(phase[some, None] * a[chosen]))
            bound[some] *= np.sqrt(_product(squared, count[chosen]))
            size[some] = np.minimum(size[some], bound[some])
        open_ = open_[size[open_] > _NEGLIGIBLE]
    dropped = size * 2 / (pi * index)
    dropped[open_] = 0.0
    factor = np.zeros(terms, dtype=complex)
    factor[open_] = smooth[open_]
    radius = log(1 + 0.5 / float(h.max()))  # log(1 + h (e^z − 1)) is analytic for |z| ≤ radius
    near = phase[open_] * float(a.max()) <= radius / 8
    series = h.size > 1000 and int(near.sum()) > 2 * _CUMULANTS
    doubt = _EPS * (4.0 * count.sum() + phase * float((count * h * a).sum() + abs(window)))
    if series:
        slow, open_ = open_[near], open_[~near]
        factor[slow] *= _by_cumulants(a, h, count, phase[slow])
        doubt[slow] += float(count.sum()) * 8.0 ** -(_CUMULANTS + 1)
    step = max(1, _CHUNK // max(open_.size, 1))
    for start in range(0, h.size, step):
        chosen = slice(start, start + step)
        for some in np.array_split(open_, max(1, open_.size * min(step, h.size) // _CHUNK)):
            turn = phase[some, None] * a[chosen]
            value = 1 + h[chosen] * (np.exp(1j * turn) - 1)
            factor[some] *= _product(value, count[chosen])
    # Each factor is off by a few ulps, and by those of its angle.
    rounding = np.abs(factor) * 2 / (pi * index) * doubt
    return factor, float(dropped.sum()), float(rounding.sum())


def _by_cumulants(a: FloatArray, h: FloatArray, count: IntArray, phase: Any) -> np.ndarray:
    """φ_L at small frequencies: exp Σ_j κ_j (iω)^j / j!, κ_j the cumulants of L.

    Those of one user are κ_j(h) a^j with κ_1 = h and κ_{j+1} = h (1 − h) dκ_j/dh; on |z| ≤ radius
    the logarithm is at most log 2, so what is left out is at most 8^−(J+1) per user (Cauchy).
    """
    slope = np.polynomial.Polynomial([0.0, 1.0, -1.0])
    kappa = np.polynomial.Polynomial([0.0, 1.0])
    unit = float(a.max())
    logs, power, fact = np.zeros(phase.size, dtype=complex), count * (a / unit), 1.0
    one = h if np.ptp(h) else h[:1]
    for j in range(1, _CUMULANTS + 1):
        fact *= j
        logs += float((power * kappa(one)).sum()) / fact * (1j * phase * unit) ** j
        kappa = slope * kappa.deriv()
        power = power * (a / unit)
    return np.asarray(np.exp(logs))


def _product(values: np.ndarray, count: IntArray) -> np.ndarray:
    """Π_j values_kj^count_j."""
    if (count == 1).all():
        return values.prod(axis=1)
    return (values**count).prod(axis=1)

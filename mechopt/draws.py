"""Seeded random numbers that are the same, bit for bit, on every platform.

Uniforms come from NumPy's PCG64 stream; everything else is built from +, −, ×, ÷ and square
root, which IEEE 754 rounds correctly everywhere. `np.log`, `np.exp` and SciPy's samplers are not
used: their last bits depend on the C library and the processor.
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from zlib import crc32

import numpy as np

from mechopt.arrays import FloatArray

_LN2_HIGH = 0.6931471803691238  # 33 leading bits of ln 2: k · _LN2_HIGH is exact for |k| < 2^20
_LN2_LOW = 1.9082149292705877e-10


def uniform(seed: int, stream: str, n: int) -> FloatArray:
    """n draws in the open interval (0, 1); each (seed, stream) is its own sequence.

    Streams are named by what they are for, so that changing one parameter of a family leaves the
    draws of all others alone (common random numbers).
    """
    generator = np.random.Generator(np.random.PCG64([seed, crc32(stream.encode())]))
    return np.maximum(generator.random(n), 2.0**-54)  # never 0


def normal(seed: int, stream: str, n: int) -> FloatArray:
    """n standard normal draws by inversion."""
    return normal_quantile(uniform(seed, stream, n))


def permutation(seed: int, stream: str, n: int) -> np.ndarray:
    """A random order of 0..n−1."""
    return np.argsort(uniform(seed, stream, n), kind="stable")


def normal_scores(values: FloatArray, seed: int, stream: str) -> FloatArray:
    """Φ⁻¹(rank / (n + 1)), ties in random order: normal margins that keep the ranks, shape (n,)."""
    order = np.lexsort((uniform(seed, stream, values.size), values))
    rank = np.empty(values.size)
    rank[order] = np.arange(1, values.size + 1)
    return normal_quantile(rank / (values.size + 1))


def rounded(values: FloatArray, digits: int = 12) -> FloatArray:
    """Values rounded to significant decimal digits, so that files are short and read back equal."""
    return np.array([float(f"{value:.{digits}g}") for value in values.tolist()])


def interpolate(at: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Linear interpolation (np.interp may fuse multiply and add, which moves the last bit)."""
    j = np.clip(np.searchsorted(x, at, side="right"), 1, x.size - 1)
    part = (at - x[j - 1]) / (x[j] - x[j - 1])
    return y[j - 1] + np.clip(part, 0, 1) * (y[j] - y[j - 1])


def exp(x: FloatArray) -> FloatArray:
    """e^x within 2 units in the last place, by k ln 2 + r and Taylor's series in |r| ≤ 0.347."""
    k = np.rint(x / (_LN2_HIGH + _LN2_LOW))
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    series = np.ones_like(r)
    for term in range(16, 0, -1):
        series = 1 + series * (r / term)
    return np.ldexp(series, k.astype(np.int64))


def log(x: FloatArray) -> FloatArray:
    """ln x within 2 units in the last place, by 2 artanh((m − 1)/(m + 1)) and the exponent."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < 0.7071067811865476
    mantissa = np.where(small, mantissa * 2, mantissa)
    exponent = exponent - small
    s = (mantissa - 1) / (mantissa + 1)
    square = s * s
    series = np.zeros_like(s)
    for power in range(23, 0, -2):
        series = 1 / power + square * series
    return exponent * _LN2_HIGH + (exponent * _LN2_LOW + 2 * s * series)


# Wichura (1988), Algorithm AS 241 (PPND16), Applied Statistics 37, 477-484: relative accuracy 1e-16
_CENTRE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_MIDDLE = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_TAIL = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)


def normal_quantile(p: FloatArray) -> FloatArray:
    """Φ⁻¹(p) for 0 < p < 1, by the rational approximation AS 241."""
    q = p - 0.5
    tail = np.sqrt(-log(np.where(q < 0, p, 1 - p)))
    middle = _ratio(_MIDDLE, tail - 1.6)
    far = _ratio(_TAIL, tail - 5)
    outer = np.where(tail <= 5, middle, far)
    centre = q * _ratio(_CENTRE, 0.180625 - q * q)
    return np.where(np.abs(q) <= 0.425, centre, np.where(q < 0, -outer, outer))


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: FloatArray) -> FloatArray:
    above, below = (_polynomial(side, x) for side in coefficients)
    return above / below


def _polynomial(coefficients: tuple[float, ...], x: FloatArray) -> FloatArray:
    value = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = coefficient + x * value
    return value


def wilson(successes: float, draws: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927); it stays within [0, 1]."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = successes / draws, z * z / draws
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / draws + spread / (4 * draws)) / (1 + spread)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == draws else min(1.0, centre + half)
    return low, high

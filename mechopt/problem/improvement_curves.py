"""Step curves B(X): thresholds and shares from a learning curve or from an uncertain threshold.

An improvement curve s(X) (share of the full improvement reached with X data, or the probability
that X data suffice) is replaced by a step function with the chosen shares b_1 < … < b_K:

    "lower"    T_k = s⁻¹(b_k)                  never promises more than the curve
    "nearest"  T_k = s⁻¹((b_{k−1} + b_k) / 2)  halves the largest error, may promise too much

The error is stated with the result. Source: docs: model (both readings of K > 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from statistics import NormalDist

import numpy as np

from mechopt import arrays, draws, tolerances, words
from mechopt.arrays import FloatArray
from mechopt.errors import InvalidOption

DISCRETISATIONS = ("lower", "nearest")
DISTRIBUTIONS = ("normal", "lognormal", "empirical")


@dataclass(frozen=True, eq=False)
class StepCurve:
    """Thresholds T_k, data, and shares b_k, both (K,), of B(X), and how far from a curve s(X).

    :error: sup over X in [0, reach] of ``|s(X) − B(X)|``, in shares
    :overstated: sup over the same X of B(X) − s(X); 0 for the "lower" discretisation
    :reach: data up to which the curve is known (`inf` for a distribution)
    :description: what was discretised and how, in words
    """

    thresholds: FloatArray
    shares: FloatArray
    error: float
    overstated: float
    reach: float
    description: str


def step_curve_from_losses(
    sizes: Sequence[float] | FloatArray,
    losses: Sequence[float] | FloatArray,
    shares: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    *,
    discretisation: str = "lower",
    per_unit: float = 1.0,
) -> StepCurve:
    """Steps B(X) of a learning curve: test loss after training on each of several data sizes.

    :sizes: examples, increasing, the first may be 0 (loss before training); shape (m,)
    :losses: test loss at each size, shape (m,); lower is better
    :shares: share of the whole gain (loss at the first size − lowest loss) at each step
    :per_unit: examples in one data unit; thresholds are sizes / per_unit

    A loss that rises is replaced by the lowest so far (that model is still at hand). Between two
    sizes the gain is linear in log size, from size 0 linear in size.
    Raises InvalidOption on bad shapes or values, or a curve that never falls.
    """
    size, loss = _learning_points(sizes, losses)
    if not (isfinite(per_unit) and per_unit > 0):
        raise InvalidOption(f"per_unit: must be > 0 (examples per data unit), got {per_unit:g}")
    best = np.minimum.accumulate(loss)
    gain = best[0] - best[-1]
    if not gain > 0:
        raise InvalidOption(
            f"losses: none is below the first ({loss[0]:g}), so there is no gain to share out"
        )
    reached = (best[0] - best) / gain

    def inverse(share: float) -> float:
        j = int(np.argmax(reached >= share))
        part = (share - reached[j - 1]) / (reached[j] - reached[j - 1])
        if part == 1:
            return float(size[j] / per_unit)
        if size[j - 1] == 0:
            return float(part * size[j] / per_unit)
        ratio = draws.exp(part * draws.log(size[j : j + 1] / size[j - 1]))[0]
        return float(size[j - 1] * ratio / per_unit)

    steps = _shares(shares, None)
    return _discretise(
        inverse,
        steps,
        discretisation,
        reach=float(size[-1] / per_unit),
        what=f"learning curve with {size.size} sizes up to {size[-1]:g} examples",
    )


def step_curve_from_distribution(
    distribution: str,
    levels: int | None = None,
    *,
    shares: Sequence[float] | None = None,
    discretisation: str = "nearest",
    mean: float | None = None,
    sd: float | None = None,
    median: float | None = None,
    log_sd: float | None = None,
    sample: Sequence[float] | FloatArray | None = None,
) -> StepCurve:
    """Steps of a belief about an uncertain threshold T: B(X) approximates P(T ≤ X).

    :distribution: "normal" (mean, sd in data), "lognormal" (median in data, log_sd),
        "empirical" (sample of thresholds, data, shape (m,), equally likely)
    :levels, shares: K equally spaced shares (k / (K + 1) for "lower", k / K for "nearest", which
        make the error least), or the shares themselves; give one of the two

    A discretised empirical belief with as many levels as distinct values is exact.
    Raises InvalidOption on missing parameters, or if P(T ≤ 0) reaches the first step.
    """
    words.choose("distribution", distribution, DISTRIBUTIONS)
    words.choose("discretisation", discretisation, DISCRETISATIONS)
    given = {"mean": mean, "sd": sd, "median": median, "log_sd": log_sd, "sample": sample}
    _only(distribution, given)
    if (levels is None) == (shares is None):
        raise InvalidOption("levels, shares: give exactly one of the two")
    if distribution == "empirical":
        return _empirical(_sample(sample), levels, shares, discretisation)
    if distribution == "normal":
        centre, spread = _number("mean", mean), _number("sd", sd)
        what = f"normal threshold, mean {centre:g}, sd {spread:g}"

        def inverse(share: float) -> float:
            return centre + spread * _normal_score(share)
    else:
        centre, spread = _number("median", median), _number("log_sd", log_sd)
        what = f"lognormal threshold, median {centre:g}, log-sd {spread:g}"

        def inverse(share: float) -> float:
            return centre * float(draws.exp(np.array([spread * _normal_score(share)]))[0])

    steps = _shares(shares, levels, discretisation)
    at_zero = NormalDist(centre, spread).cdf(0) if distribution == "normal" else 0.0
    return _discretise(inverse, steps, discretisation, reach=inf, what=what, low=at_zero)


def _normal_score(share: float) -> float:
    if not 0 < share < 1:
        raise InvalidOption(
            f"shares: a normal or lognormal threshold has no quantile at {share:g}; "
            "end below 1 or use the nearest discretisation"
        )
    return float(draws.normal_quantile(np.array([share]))[0])


def _discretise(
    inverse: Callable[[float], float],
    steps: FloatArray,
    discretisation: str,
    *,
    reach: float,
    what: str,
    low: float = 0.0,
) -> StepCurve:
    """The step curve of a continuous increasing s with s(0) = low and sup s = 1."""
    words.choose("discretisation", discretisation, DISCRETISATIONS)
    before = np.concatenate([[0.0], steps[:-1]])
    crossed = steps if discretisation == "lower" else (before + steps) / 2
    thresholds = draws.rounded(np.array([inverse(float(share)) for share in crossed]))
    # just before T_k the curve is ahead by crossed − b_{k−1}, at T_k behind by b_k − crossed
    ahead = max(float(np.max(crossed - before)), 1 - float(steps[-1]))
    behind = float(np.max(steps - crossed))
    said = f"{what}; {steps.size} steps, {discretisation} discretisation"
    return _curve(what, said, (thresholds, steps), (max(ahead, behind), behind), reach, low)


def _empirical(
    sample: FloatArray, levels: int | None, shares: Sequence[float] | None, discretisation: str
) -> StepCurve:
    values, counts = np.unique(sample, return_counts=True)
    reached = np.cumsum(counts) / sample.size
    asked = _shares(shares, levels, discretisation)
    before = np.concatenate([[0.0], asked[:-1]])
    crossed = asked if discretisation == "lower" else (before + asked) / 2
    place = np.searchsorted(reached, crossed - tolerances.PROBABILITY)  # first value with F ≥ share
    if discretisation == "lower":  # each kept value at its own probability
        kept = np.unique(place)
        thresholds, steps = values[kept], reached[kept]
    else:  # several shares may fall on one value: the highest is reached there
        kept, last = np.unique(place[::-1], return_index=True)
        thresholds, steps = values[kept], asked[::-1][last]
    level = np.searchsorted(thresholds, values, side="right")
    promised = np.concatenate([[0.0], steps])[level]
    promised_before = np.concatenate([[0.0], promised[:-1]])
    reached_before = np.concatenate([[0.0], reached[:-1]])
    behind = max(0.0, float(np.max(promised - reached)))
    apart = float(np.max(np.abs(promised - reached)))
    just_before = float(np.max(np.abs(promised_before - reached_before)))
    what = f"empirical threshold, {sample.size} values, {values.size} distinct"
    said = f"{what}; {steps.size} steps, {discretisation} discretisation"
    return _curve(what, said, (thresholds, steps), (max(apart, just_before), behind), inf)


def _curve(
    what: str,
    said: str,
    points: tuple[FloatArray, FloatArray],
    errors: tuple[float, float],
    reach: float,
    low: float = 0.0,
) -> StepCurve:
    """The curve through these thresholds and shares; errors: the largest, and of overstating."""
    thresholds, steps = points
    if thresholds[0] <= 0:
        raise InvalidOption(
            f"{what}: the first step lies at {thresholds[0]:g} data, but thresholds must be > 0 "
            f"(P(T ≤ 0) = {low:.3g}); use larger shares, a smaller sd or a lognormal"
        )
    if np.any(np.diff(thresholds) <= 0):
        raise InvalidOption(
            f"{what}: two shares are reached at the same size; give fewer or other shares"
        )
    return StepCurve(
        thresholds=arrays.freeze(thresholds),
        shares=arrays.freeze(steps),
        error=errors[0],
        overstated=errors[1],
        reach=reach,
        description=f"{said}, largest error {errors[0]:.4g} of the full improvement",
    )


# -- reading the arguments ------------------------------------------------------------------------


def _shares(
    shares: Sequence[float] | None, levels: int | None, discretisation: str = "lower"
) -> FloatArray:
    if shares is None:
        if not isinstance(levels, int) or levels < 1:
            raise InvalidOption(f"levels: must be an integer ≥ 1, got {levels!r}")
        return np.arange(1, levels + 1) / (levels + (discretisation == "lower"))
    steps = np.asarray(shares, dtype=float)
    if steps.ndim != 1 or steps.size == 0:
        raise InvalidOption("shares: expected at least one number")
    if not (np.all(steps > 0) and np.all(steps <= 1) and np.all(np.diff(steps) > 0)):
        raise InvalidOption(f"shares: must increase and lie in (0, 1], got {steps.tolist()}")
    return steps


def _learning_points(
    sizes: Sequence[float] | FloatArray, losses: Sequence[float] | FloatArray
) -> tuple[FloatArray, FloatArray]:
    size, loss = np.asarray(sizes, dtype=float), np.asarray(losses, dtype=float)
    if size.ndim != 1 or size.shape != loss.shape or size.size < 2:
        raise InvalidOption(
            f"sizes, losses: need two or more points each and as many of one as of the other, "
            f"got shapes {size.shape} and {loss.shape}"
        )
    if not (np.all(np.isfinite(size)) and size[0] >= 0 and np.all(np.diff(size) > 0)):
        raise InvalidOption("sizes: must be finite, ≥ 0 and increasing (examples)")
    if not np.all(np.isfinite(loss)):
        raise InvalidOption("losses: must be finite")
    return size, loss


def _sample(sample: Sequence[float] | FloatArray | None) -> FloatArray:
    values = np.asarray(sample, dtype=float)
    if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values) & (values > 0)):
        raise InvalidOption("sample: expected one or more finite thresholds > 0 (data)")
    return values


def _number(name: str, value: float | None) -> float:
    if value is None or not isfinite(value) or value <= 0:
        raise InvalidOption(f"{name}: must be > 0 and finite, got {value}")
    return float(value)


def _only(distribution: str, given: Mapping[str, object]) -> None:
    wanted = {
        "normal": ("mean", "sd"),
        "lognormal": ("median", "log_sd"),
        "empirical": ("sample",),
    }[distribution]
    missing = [name for name in wanted if given[name] is None]
    extra = [name for name, value in given.items() if value is not None and name not in wanted]
    if missing or extra:
        raise InvalidOption(
            f"{distribution} threshold takes {' and '.join(wanted)}"
            + (f"; missing: {', '.join(missing)}" if missing else "")
            + (f"; not taken: {', '.join(extra)}" if extra else "")
        )

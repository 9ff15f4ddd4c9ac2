"""Generators: one battery for every family; stated distributions; bad arguments."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from math import exp, sqrt

import numpy as np
import pytest
from scipy.stats import spearmanr

import mechopt as mo
from mechopt.errors import InvalidOption
from mechopt.problem.population import Group, Population

INSTANCES = list(mo.families("instance"))
POPULATIONS = list(mo.families("population"))


def gives(instance: mo.Instance) -> np.ndarray:
    """min(cap_i, v_i / θ_i) for linear costs, from the definition."""
    return np.minimum(instance.capacity, instance.value / instance.cost)


# -- the battery: every family --------------------------------------------------------------------


@pytest.mark.parametrize("family", INSTANCES)
@pytest.mark.parametrize("n", [1, 2, 37])
def test_instances_have_the_asked_size_and_legal_ranges(family: str, n: int) -> None:
    instance = mo.generate(family, n, seed=3)
    assert instance.n == n
    assert (instance.cost > 0).all()
    assert (instance.value >= 0).all()
    assert (instance.capacity >= 0).all()
    assert instance.levels == 1
    assert instance.provider_value > 0


@pytest.mark.parametrize("family", INSTANCES)
@pytest.mark.parametrize("tightness", [0.3, 0.8, 1.5])
def test_tightness_is_threshold_over_what_all_would_give(family: str, tightness: float) -> None:
    instance = mo.generate(family, 50, seed=1, tightness=tightness)
    if instance.linear:
        reach = gives(instance).sum()
    else:  # the definition by bisection on C_i(x) = v_i
        low, high = np.zeros(instance.n), instance.capacity.copy()
        for _ in range(100):
            middle = (low + high) / 2
            fits = instance.cost_of(middle) <= instance.value
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        reach = low.sum()
    assert instance.thresholds[-1] == pytest.approx(tightness * reach, rel=1e-9)


@pytest.mark.parametrize("family", [*INSTANCES, *POPULATIONS])
def test_same_arguments_same_problem_other_seed_other_problem(family: str) -> None:
    one, again, other = (mo.generate(family, 6, seed=seed) for seed in (1, 1, 2))
    assert one == again
    drawn = family not in ("homogeneous", *POPULATIONS) or family == "population-individual"
    assert (one != other) == drawn


@pytest.mark.parametrize("family", [*INSTANCES, *POPULATIONS])
@pytest.mark.parametrize("steps", ["uncertain", "learning-curve"])
def test_several_levels_keep_the_top_threshold(family: str, steps: str) -> None:
    one = mo.generate(family, 8, seed=1)
    many = mo.generate(family, 8, seed=1, levels=4, steps=steps)
    assert many.thresholds.size == 4
    assert many.thresholds[-1] == pytest.approx(one.thresholds[-1], rel=1e-11)
    assert many.shares.tolist() == [0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize("family", [*INSTANCES, *POPULATIONS])
def test_numbers_are_frozen(family: str) -> None:
    """The same bits on every platform: a digest of the problem, recorded once."""
    problem = mo.generate(family, 9, seed=5, levels=2)
    digest = hashlib.sha256(problem.hash.encode()).hexdigest()[:12]
    assert digest == FROZEN[family]


FROZEN: dict[str, str] = {
    "uniform": "d1a0732d228e",
    "lognormal": "35d0a7e4b228",
    "pareto": "7c530330744f",
    "two-type": "04750949892e",
    "heavy-tailed": "259ac11c3559",
    "copula": "f79ffdf9d974",
    "clustered": "7f14b911a940",
    "convex": "9ef9ff850429",
    "homogeneous": "589a9010ed5d",
    "knife-edge": "6e6a4ee86b49",
    "prism": "db3dd7bca82f",
    "common-voice": "ddb162ae1954",
    "withdrawal-shock": "802c222953a4",
    "population-uniform": "eb311ef0c48d",
    "population-two-type": "b0677139fe1b",
    "population-lognormal": "238c8b94a0f1",
    "population-groups": "a87072e9f29d",
    "population-individual": "1b1409d06d39",
    "population-prism": "a70e3ae1c753",
}


@pytest.mark.parametrize("family", POPULATIONS)
def test_populations_have_the_asked_size_and_tightness(family: str) -> None:
    population = mo.generate(family, 7, seed=2, tightness=0.5)
    assert isinstance(population, Population)
    assert population.n == 7
    expected = sum(
        group.size * p * min(group.capacity, group.value / cost)
        for group in population.groups
        for cost, p in zip(group.costs, group.probabilities)
    )
    assert population.thresholds[0] == pytest.approx(0.5 * expected, rel=1e-11)


# -- the stated distributions ---------------------------------------------------------------------

N = 20_000
# family -> field -> (transform, mean, standard deviation)
MOMENTS = {
    "uniform": {
        "cost": (None, 1, 1 / sqrt(12)),
        "value": (None, 1, 2 / sqrt(12)),
        "capacity": (None, 1, 1 / sqrt(12)),
    },
    "lognormal": {"cost": (np.log, 0, 0.5), "value": (np.log, 0, 1), "capacity": (np.log, 0, 0.5)},
    "pareto": {"cost": (lambda c: np.log(c / 0.5), 0.4, 0.4), "value": (np.log, 0, 1)},
    "two-type": {"cost": (lambda c: c == 0.25, 0.87, sqrt(0.87 * 0.13))},
    "heavy-tailed": {"capacity": (np.log, 1 / 1.1, 1 / 1.1)},
    "copula": {"cost": (np.log, 0, 0.5), "value": (np.log, 0, 1), "capacity": (np.log, 0, 0.5)},
    "clustered": {"cost": (lambda c: c > 2, 0.2, 0.4), "capacity": (lambda c: c > 2, 0.2, 0.4)},
    "convex": {"cost": (np.log, 0, 0.5), "capacity": (np.log, 0, 0.5)},
    "homogeneous": {"cost": (None, 1, 0), "value": (None, 1, 0), "capacity": (None, 2, 0)},
    "knife-edge": {"cost": (lambda c: np.log2(c), 1, sqrt(2 / 3))},
    "prism": {"value": (np.log, 0.51, 2.33)},
    "common-voice": {"value": (np.log, 0.51, 2.33)},
    "withdrawal-shock": {
        "value": (np.log, 0.51, 2.33),
        "group": (lambda g: np.char.startswith(g, "women"), 0.5, 0.5),
    },
}


def test_every_family_has_a_stated_distribution() -> None:
    assert set(MOMENTS) == set(INSTANCES)


@pytest.mark.parametrize("family", INSTANCES)
def test_moments_are_as_stated(family: str) -> None:
    instance = mo.generate(family, N, seed=11)
    for field, (transform, mean, sd) in MOMENTS[family].items():
        column = getattr(instance, field)
        column = np.asarray(transform(column) if transform else column, dtype=float)
        assert column.mean() == pytest.approx(mean, abs=4.5 * sd / sqrt(N) + 1e-12), field
        kurtosis = 9 if sd and abs(column - mean).max() > 5 * sd else 3
        assert column.std() == pytest.approx(sd, abs=4.5 * sd * sqrt(kurtosis / N) + 1e-12), field


def test_copula_has_the_stated_dependence() -> None:
    instance = mo.generate("copula", N, seed=4)
    columns = {"cost": instance.cost, "value": instance.value, "capacity": instance.capacity}
    for one, other, r in (
        ("cost", "value", -0.2),
        ("cost", "capacity", -0.22),
        ("value", "capacity", 0.47),
    ):
        found = spearmanr(columns[one], columns[other]).statistic
        assert found == pytest.approx(6 / np.pi * np.arcsin(r / 2), abs=4 / sqrt(N))


def test_heavy_tail_holds_most_data_in_few_hands() -> None:
    capacity = np.sort(mo.generate("heavy-tailed", 1000, seed=1).capacity)
    assert capacity[-100:].sum() > 0.5 * capacity.sum()


@pytest.mark.parametrize(
    ("family", "source"),
    [
        ("prism", "prism_rated_responses"),
        ("common-voice", "commonvoice_en_delta13_validated_clips"),
    ],
)
def test_calibrated_capacities_follow_the_real_ones(shared_data, family: str, source: str) -> None:
    _, real = mo.read_capacities(shared_data / "contributions.csv", source)
    capacity = mo.generate(family, N, seed=2, never_sell=0).capacity
    for p in (0.05, 0.25, 0.5, 0.75, 0.9, 0.99):
        assert np.quantile(capacity, p) == pytest.approx(np.quantile(real, p), rel=0.1, abs=1)
    assert capacity.mean() == pytest.approx(real.mean(), rel=0.1)
    assert (mo.generate(family, N, seed=2).capacity == 0).sum() == round(0.11 * N)


def test_knife_edge_is_exact_and_on_the_edge() -> None:
    instance = mo.generate("knife-edge", 40, seed=1)
    assert instance.is_exact
    each = [
        min(Fraction(v) / c, cap)
        for c, v, cap in zip(*(instance.exact(f) for f in ("cost", "value", "capacity")))
    ]
    assert instance.exact("thresholds")[0] == sum(each)
    assert len(set(each)) <= 2  # equal burdens
    three = mo.generate("knife-edge", 40, seed=1, levels=3)
    assert three.is_exact
    assert three.exact("thresholds").tolist() == [sum(each) * k / 3 for k in (1, 2, 3)]


def test_a_parameter_changes_only_its_own_field() -> None:
    narrow = mo.generate("lognormal", 20, seed=1, cost_log_sd=0.1)
    wide = mo.generate("lognormal", 20, seed=1, cost_log_sd=1.0)
    assert narrow.value.tolist() == wide.value.tolist()
    assert narrow.capacity.tolist() == wide.capacity.tolist()
    assert np.log(wide.cost) == pytest.approx(10 * np.log(narrow.cost), rel=1e-6)


def test_population_costs_are_the_stated_laws() -> None:
    grid = mo.generate("population-uniform", 4, types=5).groups[0]
    assert grid.costs.tolist() == [0.5, 0.75, 1, 1.25, 1.5]
    two = mo.generate("population-two-type", 4).groups[0]
    assert (two.costs.tolist(), two.probabilities.tolist()) == ([0.25, 1], [0.6, 0.4])
    middle = mo.generate("population-lognormal", 4, types=3).groups[0].costs
    assert middle[1] == 1
    assert middle[0] * middle[2] == pytest.approx(1)
    assert [g.size for g in mo.generate("population-groups", 8).groups] == [6, 2]
    assert all(isinstance(g, Group) for g in mo.generate("population-individual", 3).groups)
    median = mo.generate("population-prism", 4).groups[0]
    assert median.costs[1] == pytest.approx(6.05 / 48 + 0.05)
    assert median.value == pytest.approx(exp(0.51))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("lognorml", 5), {}, "'lognormal'"),
        (("population-two-tpe", 5), {}, "'population-two-type'"),
        (("lognormal", 0), {}, r"n: must be a whole number ≥ 1 \(users\), got 0"),
        (("lognormal", 2.5), {}, "n: must be a whole"),
        (("lognormal", 5), {"tightness": 0}, "tightness"),
        (("lognormal", 5), {"tightness": float("nan")}, "tightness"),
        (("lognormal", 5), {"levels": 0}, "levels"),
        (("lognormal", 5), {"seed": -1}, "seed"),
        (("lognormal", 5), {"steps": "uncertan"}, "'uncertain'"),
        (("pareto", 5), {"tale": 2}, "'tail'"),
        (("copula", 5), {"cost_value": 0.9, "value_capacity": 0.9}, "cannot be the correlations"),
        (("copula", 5), {"cost_capacity": 1.0}, "cannot be the correlations"),
        (("copula", 5), {"cost_capacity": 1.5}, "cannot be the correlations"),
        (("uniform", 5), {"value": (0, 0)}, "nobody"),
        (("clustered", 5), {"cost": (1.0,)}, "as many"),
    ],
)
def test_bad_arguments_are_named(arguments, options, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        mo.generate(*arguments, **options)


@pytest.mark.parametrize(
    ("shape", "power"),
    [("linear", 1), ("diminishing", 0.5), ("accelerating", 2), (1.7, 1.7), ("3", 3)],
)
@pytest.mark.parametrize("family", ["lognormal", "knife-edge", "population-two-type"])
def test_shapes_are_powers_of_the_step(family: str, shape: str | float, power: float) -> None:
    problem = mo.generate(family, 8, seed=1, levels=4, shape=shape)
    assert problem.shares == pytest.approx((np.arange(1, 5) / 4) ** power, rel=1e-11)
    plain = mo.generate(family, 8, seed=1, levels=4)
    assert problem.thresholds.tolist() == plain.thresholds.tolist()


def test_a_learning_curve_keeps_its_shape() -> None:
    """The thresholds move to where the curve reaches the shares asked for."""
    curve = mo.generate("lognormal", 8, seed=1, levels=2, steps="learning-curve", shape=2)
    other = mo.generate("lognormal", 8, seed=1, levels=4, steps="learning-curve")
    assert curve.shares.tolist() == [0.25, 1]
    assert curve.thresholds[0] == pytest.approx(other.thresholds[0], rel=1e-11)


@pytest.mark.parametrize("shape", ["round", 0, -1, float("nan"), None])
def test_a_shape_that_is_none(shape: object) -> None:
    with pytest.raises(InvalidOption, match="shape: must be 'linear'"):
        mo.generate("lognormal", 8, levels=2, shape=shape)

"""Large populations: both ends of the bracket against enumeration and the direct LP."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import inf

import numpy as np
import pytest

import mechopt as mo
from mechopt.private.direct.extract import objective_of
from mechopt.private.large.assignment import Rule, rule_mechanism
from mechopt.private.large.assignment import outcome as rule_outcome
from mechopt.private.large.bracket import OBJECTIVES, rules
from mechopt.private.large.fluid_bound import upper_bound
from mechopt.private.large.interim_bound import interim_bound
from mechopt.private.large.supply_law import shortfall
from mechopt.problem.direct_terms import DirectTerms
from tests.problems import profiles
from tests.problems import random_population as draw


def random_population(rng: np.random.Generator, valued: bool) -> mo.Population:
    groups = []
    for _ in range(int(rng.integers(1, 3))):
        m = int(rng.integers(1, 4))
        costs = (np.cumsum(rng.integers(1, 9, m)) - rng.integers(2)) / 8
        law = rng.integers(1, 5, m) / 1.0
        groups.append(
            mo.Group(
                int(rng.integers(1, 4)),
                costs,
                law / law.sum(),
                value=float(rng.integers(0, 9)) / 4 if valued else 0.0,
                capacity=float(rng.integers(1, 7)) / 2,
                reversibility=float(rng.choice([0.0, 0.5, 1.0])),
            )
        )
    total = sum(group.size * group.capacity for group in groups)
    return mo.Population(
        groups,
        [float(rng.uniform(0.2, 1.05)) * total],
        provider_value=float(rng.uniform(0, 3)) * total,
        expected_budget=None if rng.random() < 0.7 else float(rng.uniform(0, 1)) * total,
    )


def check_rule(population: mo.Population, rule: Rule, objective: str) -> float:
    """The rule's expected value by enumeration; asserts D1–D6 in every profile."""
    threshold = float(population.thresholds[0])
    theta, of = population.type_costs, population.group_of_type
    value = np.array([group.value for group in population.groups])[of]
    capacity = np.array([group.capacity for group in population.groups])[of]
    rho = np.array([group.reversibility for group in population.groups])[of]
    expected, spent = 0.0, 0.0

    @cache
    def outcome(counts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
        runs, burden, payment = rule_outcome(population, rule, np.array([counts]))
        return (burden[0], payment[0]) if runs[0] else None

    def found_at(profile: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
        return outcome(tuple(map(profile.count, range(theta.size))))

    def utility(profile: tuple[int, ...], user: int, true: int) -> float:
        found = found_at(profile)
        if found is None:
            return 0.0
        told = profile[user]
        stay = value[true] + found[1][told] - theta[true] * found[0][told]
        return max(stay, -(1 - rho[true]) * theta[true] * found[0][told])

    for chance, kinds in profiles(population):
        profile = tuple(kinds)
        found = found_at(profile)
        for user, true in enumerate(profile):
            honest = utility(profile, user, true)
            group = population.groups[of[true]]
            for k in range(group.types):
                told = population.first_type[of[true]] + k
                lie = (*profile[:user], told, *profile[user + 1 :])
                assert utility(lie, user, true) <= honest + 1e-9
        if found is None:
            continue
        burden, payment = found[0][kinds], found[1][kinds]
        assert burden.sum() == pytest.approx(threshold)
        assert (burden >= 0).all()
        assert (burden <= capacity[kinds] * (1 + 1e-12)).all()
        assert (payment >= -1e-12).all()
        cost = theta[kinds] * burden
        assert (value[kinds] + payment - cost >= -1e-9).all()  # ex post, hence obedient
        assert payment.sum() <= population.budget * (1 + 1e-9)
        spent += chance * payment.sum()
        expected += (
            chance
            * {
                "improvement": 1.0,
                "provider-surplus": population.provider_value - payment.sum(),
                "welfare": population.provider_value + value[kinds].sum() - cost.sum(),
            }[objective]
        )
    assert rule.chance * spent <= population.expected_budget * (1 + 1e-9) + 1e-12
    return rule.chance * expected


@pytest.mark.parametrize("valued", [False, True])
def test_rules_are_what_they_claim(valued: bool) -> None:
    rng = np.random.default_rng(valued)
    kinds = set()
    for number in range(24):
        population = random_population(rng, valued)
        objective = OBJECTIVES[number % 3]
        for rule, worth, exact in rules(population, objective, True):
            true = check_rule(population, rule, objective)
            kinds.add(rule.kind)
            slack = 1e-9 * max(1.0, abs(true))
            assert worth <= true + slack
            if exact:
                assert worth == pytest.approx(true, abs=slack)
    assert kinds >= {"virtual-cost rule", "posted price with rationing"}


@pytest.mark.parametrize("transfers", [True, False])
def test_the_direct_lp_lies_between(transfers: bool) -> None:
    rng = np.random.default_rng(10 + transfers)
    for number in range(40):
        population = random_population(rng, valued=True)
        objective = OBJECTIVES[number % 3]
        found = mo.bracket(population, objective=objective, transfers=transfers)
        weakest = mo.solve(
            population,
            "direct",
            objective=objective,
            incentive="bic",
            participation="interim",
            withdrawal_rights=False,
            transfers=transfers,
        )
        strictest = mo.solve(population, "direct", objective=objective, transfers=transfers)
        scale = 1e-7 * max(1.0, abs(weakest.objective))
        assert weakest.objective <= found.upper + scale
        assert found.lower <= strictest.objective + scale
        assert found.lower <= found.upper


def test_limited_influence_without_payments() -> None:
    """Mailath–Postlewaite: with T ∝ n and no payments the bound on success falls to 0."""
    uppers = []
    for n in (4, 40, 4000, 400_000):
        group = mo.Group(n, [1, 2, 4], [0.4, 0.3, 0.3], value=1.0, capacity=5.0)
        population = mo.Population([group], [0.45 * n])
        uppers.append(upper_bound(population, objective="improvement", transfers=False))
    assert uppers == sorted(uppers, reverse=True)
    assert uppers[0] > 0.5
    assert uppers[-1] < 1e-2


def test_interval_tightens_at_a_million_users() -> None:
    gaps = []
    for n in (100, 10_000, 1_000_000):
        groups = [
            mo.Group(n // 2, [1, 2, 4], [0.3, 0.3, 0.4], value=0.5, capacity=3.0),
            mo.Group(n // 2, [0.5, 3], [0.5, 0.5], capacity=1.0),
        ]
        found = mo.bracket(mo.Population(groups, [0.8 * n], provider_value=3.0 * n))
        assert found.exact
        gaps.append(found.gap)
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2]
    assert gaps[2] < 1e-3


def test_shortfall_by_enumeration_and_by_scarf() -> None:
    from scipy.stats import binom

    rng = np.random.default_rng(3)
    for _ in range(20):
        sizes, chance = rng.integers(1, 9, 3), rng.random(3)
        room = rng.integers(1, 9, 3) / 2
        groups = [mo.Group(int(n), [1.0], [1.0], capacity=float(a)) for n, a in zip(sizes, room)]
        population = mo.Population(groups, [1.0])
        amount = float(rng.random() * (sizes @ room))
        expected = sum(
            max(0.0, amount - float(np.array(counts) @ room))
            * float(np.prod(binom.pmf(counts, sizes, chance)))
            for counts in product(*(range(int(n) + 1) for n in sizes))
        )
        low, high = shortfall(population, room, chance, amount)
        assert low == high == pytest.approx(expected, abs=1e-11)
    groups = [mo.Group(10**6, [1.0], [1.0], capacity=1.0) for _ in range(4)]
    population = mo.Population(groups, [1.0])
    low, high = shortfall(population, np.sqrt([1.0, 2, 3, 5]), np.full(4, 0.5), 3e6)
    draws = rng.binomial(10**6, 0.5, (4, 20000)).T @ np.sqrt([1.0, 2, 3, 5])
    assert low <= np.maximum(3e6 - draws, 0).mean() <= high


def test_deployed_at_scale() -> None:
    n = 20_000
    group = mo.Group(n, [1, 2, 4], [0.3, 0.3, 0.4], value=0.5, capacity=3.0)
    population = mo.Population([group], [1.2 * n], provider_value=3.0 * n)
    found = mo.bracket(population)
    reports = population.sample_costs(1, seed=3)[0]
    plan = found.assign(reports)
    audit = mo.audit(population.instance(reports), plan)
    assert audit.ok, audit.violations
    surplus = population.provider_value - float(plan.payment.sum())
    assert surplus == pytest.approx(found.lower, rel=0.05)
    with pytest.raises(mo.InvalidPlan, match=r"reports\[7\].*not a cost of the user's group"):
        found.assign(np.where(np.arange(n) == 7, 3.0, reports))
    with pytest.raises(mo.InvalidPlan, match="has 20000 users"):
        found.assign([1.0])


def test_null_and_refusals() -> None:
    group = mo.Group(1000, [2, 3], [0.5, 0.5], capacity=1.0)
    population = mo.Population([group], [500.0], provider_value=10.0)
    found = mo.bracket(population)
    assert (found.lower, found.mechanism) == (0.0, "null")
    assert found.upper < 1e-6
    assert found.assign(population.sample_costs(1)[0]).status is mo.Status.NULL
    with pytest.raises(mo.InvalidOption, match="objective"):
        mo.bracket(population, objective="profit")
    with pytest.raises(mo.InvalidOption, match="transfers"):
        mo.bracket(population, transfers=1)
    two = mo.Population([group], [100.0, 500.0], shares=[0.5, 1])
    with pytest.raises(mo.NotSupported, match="one threshold"):
        mo.bracket(two)


def test_budget_in_every_state() -> None:
    """With a finite budget the posted price, whose payments are sure, is what remains."""
    group = mo.Group(1000, [1, 2], [0.6, 0.4], capacity=1.0)
    population = mo.Population([group], [550.0], provider_value=2000.0, budget=560.0)
    found = mo.bracket(population)
    assert found.mechanism == "posted price with rationing"
    assert found.rule.price == 1.0
    assert found.lower == pytest.approx(1450.0 * (1 - 0.0006), rel=1e-3)
    assert found.upper <= 2000.0 < inf


def test_the_interim_bound_is_above_every_optimum_and_below_the_fluid_bound() -> None:
    """Against the LP of the weakest problem it covers: BIC, interim participation, no rights."""
    random = np.random.default_rng(12)
    for trial in range(14):
        population = draw(random, users=4, types=3, values=trial % 4 != 0)
        population = population.replace(
            groups=[group.replace(exclusion=0) for group in population.groups], shares=None
        )
        objective = ("provider-surplus", "welfare", "improvement")[trial % 3]
        transfers = bool(random.integers(2))
        bound = interim_bound(population, objective=objective, transfers=transfers)
        weakest = mo.solve(
            population,
            "direct",
            objective=objective,
            transfers=transfers,
            incentive="bic",
            participation="interim",
            withdrawal_rights=False,
        )
        room = 1e-6 * max(1.0, abs(weakest.objective))
        assert bound >= weakest.objective - room
        fluid = upper_bound(population, objective=objective, transfers=transfers)
        assert bound <= fluid + 1e-5 * max(1.0, fluid)


@pytest.mark.parametrize("n", [800, 1500, 3000])
def test_two_types_and_many_users_are_solved_and_pass_the_audit(n: int) -> None:
    group = mo.Group(n, [0.25, 2.0], [0.5, 0.5], value=1, capacity=4)
    population = mo.Population([group], [0.6 * n * (4 + 0.5) / 2], provider_value=n / 2)
    answer = mo.solve(population, "direct")
    assert answer.status is mo.Status.OPTIMAL, answer.reason
    assert answer.objective == pytest.approx(0.2875 * n, rel=1e-7)
    assert mo.audit(population, answer).ok


def test_80601_states_are_proved_by_a_rule_and_the_interim_bound() -> None:
    costs = [0.25, 1.125, 2.0]
    group = mo.Group(400, costs, [1 / 3] * 3, value=1, capacity=4)
    need = 0.6 * 400 * float(np.mean([min(4, 1 / cost) for cost in costs]))
    population = mo.Population([group], [need], provider_value=200)
    answer = mo.solve(population, "direct")
    assert answer.status is mo.Status.OPTIMAL, answer.reason
    assert abs(answer.bound - answer.objective) <= 1e-9 * answer.objective
    assert mo.audit(population, answer).ok


def test_many_states_are_within_1e_8_by_a_rule_and_the_interim_bound() -> None:
    n = 200
    costs = [0.25, 1.125, 2.0]
    group = mo.Group(n, costs, [1 / 3] * 3, value=1, capacity=4)
    need = 0.6 * n * float(np.mean([min(4, 1 / cost) for cost in costs]))
    population = mo.Population([group], [need], provider_value=n / 2)
    answer = mo.solve(population, "direct", time_limit=60)
    assert answer.gap <= 1e-8, answer.reason  # "optimal" is what is proved to 1e-9
    assert answer.objective == pytest.approx(71.1111111, rel=1e-6)
    assert mo.audit(population, answer).ok


def test_at_a_limit_the_answer_is_the_best_known_rule_with_a_bound() -> None:
    costs = np.linspace(0.25, 2, 5)
    group = mo.Group(20, costs, [0.2] * 5, value=1, capacity=4)
    need = 0.6 * 20 * float(np.mean(np.minimum(4, 1 / costs)))
    population = mo.Population([group], [need], provider_value=10)
    answer = mo.solve(population, "direct", time_limit=1)
    assert answer.status is mo.Status.FEASIBLE
    assert answer.objective > 7
    assert answer.bound < 8.1
    assert mo.audit(population, answer).ok


@pytest.mark.parametrize("n", [40, 10**3, 10**4, 10**5, 10**6, 10**7])
def test_the_rules_value_is_what_draws_and_counting_say(n: int) -> None:
    """Means over 1,000 drawn profiles lie within four standard errors of the value claimed."""
    groups = [
        mo.Group(n // 2, [1, 2, 4], [0.3, 0.3, 0.4], value=0.5, capacity=3.0),
        mo.Group(n // 2, [0.5, 3], [0.5, 0.5], capacity=1.0),
    ]
    population = mo.Population(groups, [0.8 * n], provider_value=3.0 * n)
    found = mo.bracket(population)
    assert found.exact
    drawn = found.metrics
    error = drawn["standard_error"]["provider_surplus"]
    assert abs(drawn["provider_surplus"] - found.lower) <= 4 * error + 1e-9 * n
    if n == 40:
        counted = rule_mechanism(population, found.rule, DirectTerms())
        assert objective_of(counted) == pytest.approx(found.lower, rel=1e-9)

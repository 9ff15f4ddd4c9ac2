"""Direct mechanisms: definitions first, known answers, metamorphic facts, deployment, files."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise, product
from time import process_time

import numpy as np
import pytest

import mechopt as mo
from mechopt.private import virtual_cost
from mechopt.private.direct.optimise import optimise
from mechopt.problem.direct_terms import DirectTerms, payment_bounds
from tests.oracles.oracle_direct import brute_force_deterministic, optimum
from tests.problems import RIGHTS, random_population

NO_PAY = {"objective": "improvement", "transfers": False}
COMBINATIONS = list(
    product(
        ("improvement", "provider-surplus", "welfare"),
        ("dsic", "bic"),
        ("ex-post", "interim"),
        RIGHTS,
        (True, False),
    )
)


def solve(population, combination, **more):
    names = ("objective", "incentive", "participation", "withdrawal_rights", "transfers")
    return mo.solve(population, "direct", **dict(zip(names, combination)), **more)


def bounds_of(population):
    return payment_bounds(population, 0)[population.group_of_user]


def close(one, other):
    return one == pytest.approx(other, abs=1e-7, rel=1e-7)


# -- against the definition -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_full_profile_lp_without_counting_agrees(seed):
    random = np.random.default_rng(seed)
    for combination in COMBINATIONS:
        population = random_population(random)
        answer = solve(population, combination)
        expected = optimum(population, *combination, payment_bounds=bounds_of(population))
        assert close(answer.objective, expected), (population.to_dict(), combination)
        assert answer.status == "optimal"
        assert mo.audit(population, answer).ok


def test_targets_agree_with_the_full_profile_lp():
    random = np.random.default_rng(11)
    infeasible = 0
    for i in range(36):
        population = random_population(random)
        objective = ("expenditure", "social-cost")[i % 2]
        combination = (objective, *COMBINATIONS[(7 * i) % 72][1:])
        target = 0.5 * float(population.shares[0])
        expected = optimum(population, *combination, target, payment_bounds=bounds_of(population))
        answer = solve(population, combination, target=target)
        if expected is None:
            infeasible += 1
            assert answer.status == "infeasible"
            assert "highest expected share" in answer.reason
            assert not answer.has_answer
        else:
            assert close(answer.objective, expected)
            assert answer.improvement >= target - 1e-9
            assert mo.audit(population, answer).ok
    assert 0 < infeasible < 36


def test_deterministic_by_brute_force_over_all_run_decisions():
    random = np.random.default_rng(5)
    for i in range(36):
        population = random_population(random, users=2, types=2)
        combination = COMBINATIONS[2 * i]
        answer = solve(population, combination, randomized=False)
        expected = brute_force_deterministic(
            population, *combination, payment_bounds=bounds_of(population)
        )
        assert close(answer.objective, expected), (population.to_dict(), combination)
        assert answer.status == "optimal"
        assert set(np.unique(answer.run)) <= {0.0, 1.0}
        assert mo.audit(population, answer).ok


def test_adjacent_rows_imply_all_pairs():
    random = np.random.default_rng(6)
    for i in range(100):
        population = random_population(random, types=4, levels=1 + i % 2)
        terms = DirectTerms(
            objective=("provider-surplus", "welfare", "improvement")[i % 3],
            participation=("ex-post", "interim")[i % 2],
            withdrawal_rights=RIGHTS[i % 3],
            transfers=i % 4 != 0,
        )
        adjacent = optimise(population, terms)
        every = optimise(population, terms, pairs="all")
        assert close(adjacent.objective, every.objective)
        assert mo.audit(population, adjacent).ok


def test_levels_and_segments_pass_the_audit():
    random = np.random.default_rng(7)
    for i in range(72):
        population = random_population(random, segments=True, levels=1 + i % 3)
        answer = solve(population, COMBINATIONS[i])
        assert answer.status == "optimal"
        audit = mo.audit(population, answer)
        assert audit.ok, str(audit)


# -- known answers --------------------------------------------------------------------------------


def two_users(rho):
    return mo.Population([mo.Group(2, [1, 2], [0.5, 0.5], 1, 10, rho)], ["5/4"])


@pytest.mark.parametrize(
    ("rho", "options", "expected"),
    [
        (1, {}, 0.625),
        (1, {"randomized": False}, 0.5),
        (1, {"incentive": "bic"}, 0.75),
        (1, {"incentive": "bic", "participation": "interim", "withdrawal_rights": False}, 0.8),
        (1, {"incentive": "bic", "participation": "interim"}, 0.75),
        (0.5, {"incentive": "bic", "participation": "interim"}, 0.8),
    ],
)
def test_worked_example_3(rho, options, expected):
    answer = mo.solve(two_users(rho), "direct", **NO_PAY, **options)
    assert close(answer.improvement, expected)


def test_worked_example_3_complete_information():
    answer = mo.solve(two_users(1), "complete-information", **NO_PAY)
    assert close(answer.improvement, 0.75)
    assert mo.audit(two_users(1), answer).ok


def test_worked_example_4():
    population = mo.Population([mo.Group(2, [1, 2], [0.5, 0.5], 1, 10)], [2], provider_value=3)
    for incentive in ("dsic", "bic"):
        answer = mo.solve(population, "direct", incentive=incentive)
        assert close(answer.objective, 1.75)
        assert close(answer.improvement, 0.75)
    free = {"incentive": "bic", "participation": "interim", "withdrawal_rights": False}
    answer = mo.solve(population, "direct", **free)
    assert close(answer.objective, 2)
    assert close(answer.improvement, 1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"incentive": "bic", "withdrawal_rights": "truthful"}, "16/27"),
        ({"incentive": "bic"}, "13/25"),
        ({}, "3/7"),
        (
            {"incentive": "bic", "participation": "interim", "withdrawal_rights": False},
            "83/135",
        ),
    ],
)
def test_worked_example_5(options, expected):
    population = mo.Population([mo.Group(2, ["1/8", "1/3", 1], ["1/5", "1/5", "3/5"], 1, 4)], [4])
    answer = mo.solve(population, "direct", **NO_PAY, **options)
    assert close(answer.improvement, float(Fraction(expected)))


FREE = {"incentive": "bic", "participation": "interim", "withdrawal_rights": False}
TERMS = {
    "GT01": [FREE, {}, {"randomized": False}, {"incentive": "bic"}],
    "GT04": [FREE, {}, {"randomized": False}, {"incentive": "bic"}],
    "GT07": [
        {**NO_PAY, **FREE},
        {**NO_PAY, "incentive": "bic", "withdrawal_rights": "truthful"},
    ],
    "GT08.BIC.interim.rand": [{**NO_PAY, **FREE}],
    "GT08.BIC.interim.det": [{**NO_PAY, **FREE, "randomized": False}],
    "GT08.DSIC.interim.rand": [{**NO_PAY, **FREE, "incentive": "dsic"}],
    "GT08.DSIC.expost.rand": [NO_PAY],
    "GT17": [{}, {"randomized": False}],
    "GT21.A.bic_expost": [{**NO_PAY, "incentive": "bic", "withdrawal_rights": "truthful"}],
    "GT21.A.bic_quit": [{**NO_PAY, "incentive": "bic"}],
    "GT21.A.dsic_expost": [NO_PAY],
}


def population_of(given):
    """The population of a case: iid (one group) or one user."""
    single = given.get("iid") is None
    first = (lambda entry: entry[0]) if single else (lambda entry: entry)
    group = mo.Group(
        given["n"],
        first(given["theta"]),
        first(given["prob"]),
        first(given["v"]),
        first(given["cap"]),
    )
    return mo.Population([group], [given["T"]], provider_value=given.get("V", 0))


def test_known_answers(shared_data):
    cases = json.loads((shared_data / "known_answers.json").read_text())["cases"]
    seen = set()
    for case in cases:
        for start, options in TERMS.items():
            if not case["id"].startswith(start):
                continue
            seen.add(start)
            population = population_of(case["instance"])
            for one in options:
                answer = mo.solve(population, "direct", **one)
                assert answer.status == "optimal"
                assert answer.objective == pytest.approx(case["value"], abs=1e-7), case["id"]
    assert seen == set(TERMS)


def test_closed_form_is_the_lp_optimum():
    random = np.random.default_rng(12)
    for i in range(60):
        population = random_population(random, users=4, types=4, values=False, budgets=False)
        terms = DirectTerms(incentive=("dsic", "bic")[i % 2])
        assert virtual_cost.applies(population, terms)
        answer = virtual_cost.mechanism(population, terms)
        assert close(answer.objective, optimise(population, terms).objective)
        assert close(answer.objective, answer.metrics["provider_surplus"])
        assert mo.audit(population, answer).ok
        for free in (False, True):
            looser = DirectTerms(incentive="bic", participation="interim", withdrawal_rights=free)
            assert close(answer.objective, optimise(population, looser).objective)


def test_ironing_pools_what_falls():
    group = mo.Group(2, [1, 2, 3], ["9/20", "1/10", "9/20"], 0, 1)
    assert virtual_cost.virtual_costs(group) == pytest.approx([1, 13 / 2, 38 / 9])
    assert virtual_cost.ironed(group) == pytest.approx([1, 51 / 11, 51 / 11])


# -- facts ----------------------------------------------------------------------------------------


def test_full_reversibility_under_interim_is_ex_post_participation():
    random = np.random.default_rng(13)
    for i in range(60):
        population = random_population(random)
        groups = [g.replace(reversibility=1, removable=1) for g in population.groups]
        population = population.replace(groups=groups)
        combination = COMBINATIONS[i]
        objective, incentive, _, _, transfers = combination
        d5 = solve(population, (objective, incentive, "interim", "truthful", transfers))
        veto = solve(population, (objective, incentive, "ex-post", False, transfers))
        assert close(d5.objective, veto.objective)


def test_nothing_recovered_is_no_right_at_all():
    random = np.random.default_rng(14)
    for i in range(72):
        population = random_population(random, levels=1 + i % 2)
        groups = [g.replace(reversibility=0) for g in population.groups]
        population = population.replace(groups=groups)
        objective, incentive, participation, _, transfers = COMBINATIONS[i]
        values = [
            solve(population, (objective, incentive, participation, rights, transfers)).objective
            for rights in RIGHTS
        ]
        assert close(values[0], values[2])
        assert close(values[1], values[2])


def test_improvement_does_not_rise_with_reversibility():
    random = np.random.default_rng(15)
    fell = 0
    for i in range(25):
        population = random_population(random)
        values = []
        for rho in (0, 0.25, 0.5, 0.75, 1):
            groups = [g.replace(reversibility=rho) for g in population.groups]
            answer = solve(
                population.replace(groups=groups),
                ("improvement", ("dsic", "bic")[i % 2], "interim", True, i % 3 == 0),
            )
            values.append(answer.improvement)
        assert all(later <= earlier + 1e-8 for earlier, later in pairwise(values))
        fell += values[-1] < values[0] - 1e-6
    assert fell > 0


def test_more_rights_and_stronger_terms_never_help():
    random = np.random.default_rng(16)
    for i in range(24):
        population = random_population(random)
        transfers = bool(i % 2)
        best = mo.solve(
            population, "complete-information", objective="improvement", transfers=transfers
        ).improvement
        free = solve(population, ("improvement", "bic", "ex-post", False, transfers)).improvement
        d5 = solve(population, ("improvement", "bic", "ex-post", "truthful", transfers))
        d6 = solve(population, ("improvement", "bic", "ex-post", True, transfers))
        dominant = solve(population, ("improvement", "dsic", "ex-post", True, transfers))
        chain = [best, free, d5.improvement, d6.improvement, dominant.improvement]
        assert all(later <= earlier + 1e-8 for earlier, later in pairwise(chain))


def test_null_states_are_exactly_zero_and_nothing_leaks():
    random = np.random.default_rng(17)
    for i in range(40):
        population = random_population(random)
        answer = solve(population, COMBINATIONS[i])
        null = answer.run[:, 0] == 0
        assert (answer.burden[null] == 0).all()
        assert (answer.payment[null] == 0).all()
        if population.shares[0] == 1:
            assert answer.metrics["leakage"] == 0


def test_improvement_breaks_ties_by_payments():
    population = mo.Population([mo.Group(2, [1, 2], [0.5, 0.5], 1, 10)], [2])
    answer = mo.solve(population, "direct", objective="improvement")
    least = mo.solve(population, "direct", objective="expenditure", target=answer.improvement)
    assert answer.improvement == pytest.approx(1)
    assert close(answer.metrics["expenditure"], least.objective)


# -- deployment, files, words ---------------------------------------------------------------------


def test_assign_deploys_the_mechanism(tmp_path):
    population = two_users(1)
    answer = mo.solve(population, "direct", **NO_PAY, incentive="bic")
    answer.write(tmp_path / "mechanism.json")
    again = mo.read(tmp_path / "mechanism.json")
    assert again.population == population
    assert (again.run == answer.run).all()
    assert mo.audit(population, again).ok
    plan = again.assign([1, 1])
    assert plan.total >= 1.25
    assert mo.audit(plan.instance, plan).ok
    assert plan.instance.cost.tolist() == [1, 1]
    null = again.assign([2, 2])
    assert null.status == "null"
    assert null.total == 0


def test_assign_draws_at_the_run_probability():
    population = two_users(1)
    answer = mo.solve(population, "direct", **NO_PAY)
    state = population.states.index(np.array([1, 1]))
    chance = float(answer.run[state, 0])
    assert 0 < chance < 1
    plans = [answer.assign([1, 2], seed=seed) for seed in range(400)]
    ran = [plan.level == 1 for plan in plans]
    assert np.mean(ran) == pytest.approx(chance, abs=0.08)
    assert ran == [answer.assign([1, 2], seed=seed).level == 1 for seed in range(400)]
    one = next(plan for plan in plans if plan.level == 1)
    assert mo.audit(one.instance, one).ok


@pytest.mark.parametrize(
    ("reports", "words"),
    [([1], "has shape"), ([1, 1.5], "reports[1]: 1.5 is not a cost"), (["a", 1], "reports")],
)
def test_impossible_reports_are_refused(reports, words):
    answer = mo.solve(two_users(1), "direct", **NO_PAY)
    with pytest.raises(mo.InvalidPlan) as caught:
        answer.assign(reports)
    assert words in str(caught.value)


def test_documents_that_do_not_fit_are_refused():
    document = mo.solve(two_users(1), "direct", **NO_PAY).to_dict()
    for change, words in (
        (lambda d: d["states"].pop("run"), "states.run: missing"),
        (lambda d: d["states"]["run"].pop(), "states.run: has shape"),
        (lambda d: d["states"]["counts"].reverse(), "states.counts"),
        (lambda d: d.pop("terms"), "terms: missing"),
        (lambda d: d.update(status="great"), "great"),
        (lambda d: d["states"]["run"][0].__setitem__(0, -1), "must be ≥ 0"),
    ):
        broken = json.loads(json.dumps(document))
        change(broken)
        with pytest.raises(mo.InvalidInput) as caught:
            mo.DirectMechanism.from_dict(broken)
        assert words in str(caught.value)


def test_interim_curves_and_rents():
    population = mo.Population(
        [mo.Group(3, [1, 2, 3], [0.3, 0.3, 0.4], 0.5, 3)], [4], provider_value=8
    )
    answer = mo.solve(population, "direct")
    curves = answer.interim
    law = population.groups[0].probabilities
    assert 3 * law @ curves.payment == pytest.approx(answer.metrics["expenditure"])
    assert 3 * law @ curves.burden == pytest.approx(answer.metrics["data"])
    assert law @ curves.run == pytest.approx(answer.improvement)
    assert (np.diff(curves.burden) <= 1e-9).all()
    assert (np.diff(curves.utility) <= 1e-9).all()
    text = str(answer)
    assert "runs with probability" in text
    assert "indifferent to reporting" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"incentive": "dsicc"}, "did you mean 'dsic'"),
        ({"participation": "interims"}, "interim"),
        ({"withdrawal_rights": "yes"}, "withdrawal_rights"),
        ({"withdrawal_rights": 1}, "withdrawal_rights"),
        ({"randomized": "no"}, "randomized"),
        ({"objective": "profit"}, "objective"),
        ({"target": 0.5, "objective": "welfare"}, "target: applies to"),
        ({"objective": "expenditure", "target": 1.5}, "target: must lie in (0, 1]"),
        ({"objective": "expenditure", "target": 0}, "target"),
        ({"time_limit": -1}, "time_limit"),
        ({"seed": 1.5}, "seed"),
        ({"symmetric": "x"}, "symmetric"),
        ({"protocol": "coalition"}, "protocol"),
        ({"reserve": 1}, "takes no option"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(mo.InvalidOption) as caught:
        mo.solve(two_users(1), "direct", **options)
    assert words in str(caught.value)


def test_a_time_limit_is_reported_honestly():
    population = mo.Population(
        [mo.Group(12, [1, 2, 3, 4], [0.25] * 4, 0.7, 3)], [9], provider_value=20
    )
    answer = mo.solve(population, "direct", time_limit=0)
    assert answer.status in ("unknown", "feasible")
    assert answer.objective is None or not answer.gap or answer.status == "feasible"


def test_symmetry_is_a_restriction_of_deterministic_mechanisms():
    alike = mo.solve(two_users(1), "direct", **NO_PAY, randomized=False, symmetric=True)
    free = mo.solve(two_users(1), "direct", **NO_PAY, randomized=False)
    assert alike.improvement == pytest.approx(0.25)
    assert free.improvement == pytest.approx(0.5)
    assert free.population == two_users(1).individual()
    assert mo.audit(two_users(1), free).ok


# -- several thresholds ---------------------------------------------------------------------------


def known_costs(random, n=3, levels=3):
    """Users with one possible cost each: nothing is private, D5 is W1."""
    groups = [
        mo.Group(
            1,
            [float(random.integers(1, 9)) / 4],
            [1.0],
            float(random.integers(0, 9)) / 2,
            float(random.integers(1, 9)) / 2,
            float(random.choice([0, 0.5, 1])),
            float(random.choice([1, 1, 0.5])),
        )
        for _ in range(n)
    ]
    thresholds = np.cumsum(random.integers(1, 4, levels)) / 2
    shares = np.cumsum(np.full(levels, 1 / levels))
    return mo.Population(
        groups, thresholds, np.minimum(shares, 1), provider_value=float(random.integers(1, 9))
    )


def test_exact_levels_with_known_costs_are_the_burdens_problem():
    random = np.random.default_rng(31)
    gained = 0
    for _ in range(40):
        population = known_costs(random)
        instance = population.instance(population.type_costs)
        plan = mo.solve(instance, "burdens", protocol="simultaneous")
        exact = mo.solve(population, "direct", levels="exact")
        safe = mo.solve(population, "direct")
        assert exact.objective == pytest.approx(plan.objective, abs=1e-4)
        assert safe.objective <= exact.objective + 1e-7
        assert mo.audit(population, exact).ok
        gained += exact.objective > safe.objective + 1e-6
    assert gained > 0


def test_exact_levels_lie_between_safe_ones_and_no_rights():
    random = np.random.default_rng(32)
    gained = 0
    for i in range(40):
        population = random_population(random, users=2, types=2, levels=2 + i % 2)
        objective, incentive, participation, _, transfers = COMBINATIONS[i]
        terms = (objective, incentive, participation)
        safe = solve(population, (*terms, True, transfers))
        exact = solve(population, (*terms, True, transfers), levels="exact")
        free = solve(population, (*terms, False, transfers))
        assert exact.status == "optimal"
        assert mo.audit(population, exact).ok
        assert safe.objective <= exact.objective + 1e-6
        assert exact.objective <= free.objective + 1e-6
        gained += exact.objective > safe.objective + 1e-5
    assert gained > 0


def test_table_export(tmp_path):
    population = two_users(1)
    answer = mo.solve(population, "direct", **NO_PAY)
    answer.write(tmp_path / "states.csv")
    lines = (tmp_path / "states.csv").read_text().splitlines()
    assert lines[0] == "state,probability,level,group,cost,users,run,burden,payment,utility"
    assert len(lines) == 1 + population.states.cells
    answer.write(tmp_path / "states.parquet")
    assert (tmp_path / "states.parquet").stat().st_size > 0


@pytest.mark.parametrize("target", [0.2, 0.25, 0.29, 0.3, 0.31, 0.5, 1])
def test_a_target_far_out_of_reach_is_infeasible(target: float) -> None:
    groups = [
        mo.Group(1, [0.31, 2.61], [1 / 3, 2 / 3], 1.17, 2.49, reversibility=0),
        mo.Group(1, [1.8, 2.58], [0.5, 0.5], 0.97, 1.68, reversibility=0.3),
    ]
    population = mo.Population(groups, [4.11], expected_budget=0.445)
    terms = {"incentive": "bic", "participation": "interim"}
    answer = mo.solve(population, "direct", objective="expenditure", target=target, **terms)
    assert answer.status == "infeasible"
    assert "highest expected share under these terms is 0.19364" in answer.reason


def test_one_dear_group_does_not_make_a_gap_look_closed() -> None:
    """Its stakes set the unit of money; what closes is judged by the answer's own size."""
    rng = np.random.default_rng(3)

    def group(scale: float) -> mo.Group:
        costs = np.sort(rng.lognormal(0, 0.7, 2)) * scale
        return mo.Group(3, costs, rng.dirichlet([1, 1]), rng.lognormal(), rng.lognormal())

    for dear in (1.0, 1e7):
        groups = [group(scale) for scale in (1.0, 1.0, dear)]
    most = sum(one.size * one.capacity for one in groups)
    population = mo.Population(groups, [0.3 * most, 0.6 * most], [0.5, 1.0], provider_value=20.0)
    answer = mo.solve(
        population, "direct", incentive="bic", randomized=False, symmetric=True, time_limit=3
    )
    gap = answer.bound - answer.objective
    assert answer.bound <= 20
    assert (answer.status is mo.Status.OPTIMAL) == (gap <= 1e-6 * answer.objective + 1e-9)


@pytest.mark.parametrize("mechanism", ["posted-price", "direct", "complete-information"])
def test_what_is_reached_for_sure_has_share_one(mechanism):
    """Not 0.9999999999999998, by the rounding of the chances."""
    group = mo.Group(7, [1, 2, 3], [1 / 3, 1 / 3, 1 / 3], value=50, capacity=10)
    found = mo.solve(mo.Population([group], thresholds=[1.25]), mechanism)
    assert found.metrics["improvement"] == 1.0


def test_a_run_probability_too_small_to_divide_by_is_refused(tmp_path):
    mechanism = mo.solve(mo.Population([mo.Group(2, [1, 2], [0.5, 0.5], 1, 10)], [1]), "direct")
    document = mechanism.to_dict()
    document["states"]["run"][0][0] = 5e-324
    (tmp_path / "m.json").write_text(json.dumps(document))
    with pytest.raises(mo.InvalidFile, match=r"states.run\[0\]\[0\]: .* at least 1e-60"):
        mo.read(tmp_path / "m.json")


def test_a_limit_shorter_than_any_answer_is_kept():
    groups = [mo.Group(10, [0.5, 1, 1.5, 2], [0.25] * 4, 1, 4.0) for _ in range(2)]
    population = mo.Population(groups, [16], provider_value=20)  # 81,796 states
    began = process_time()
    answer = mo.solve(population, "direct", time_limit=0.1)
    assert process_time() - began < 1  # five seconds for the first rule
    assert answer.status == "feasible"
    assert answer.objective == 0 <= answer.bound
    assert "time limit" in answer.reason

"""Plans in practice (docs: practice) against brute force, the audit, and files."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt.known.practice import few
from tests.practice_cases import agrees, agrees_in_sequence, case_in_sequence, random_case

EXAMPLE: dict[str, Any] = {
    "cost": [1.0, 2.0, 4.0],
    "value": 6.0,
    "capacity": 10.0,
    "thresholds": [8.0],
    "provider_value": 100.0,
}


@pytest.mark.parametrize("road", ["listed", "searched"])
@pytest.mark.parametrize("block", range(4))
def test_answers_are_those_of_brute_force(
    block: int, road: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few plans are listed; the search, for problems with more of them, must find the same."""
    if road == "searched":
        monkeypatch.setattr(few, "MOST_PLANS", 0)
    wrong = {}
    for seed in range(20_000 + 30 * block, 20_000 + 30 * (block + 1)):
        found = agrees(*random_case(seed))
        if found:
            wrong[seed] = found
    assert not wrong


def test_answers_in_sequence_are_those_of_the_game_tree() -> None:
    wrong = {}
    for seed in range(30_000, 30_120):
        found = agrees_in_sequence(*case_in_sequence(seed))
        if found:
            wrong[seed] = found
    assert not wrong


def test_plans_in_sequence_cut_short_claim_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    told = 0
    for seed in range(30_080, 30_140):
        instance, _, options = case_in_sequence(seed)
        truth = mo.solve(instance, "burdens", protocol="sequential", **options)
        sign = 1 if options["objective"] in ("expenditure", "social-cost") else -1
        for looks in (0, 1, 3, 10, 40):
            left = iter([0.0] * looks)
            with monkeypatch.context() as patch:
                patch.setattr(few, "perf_counter", lambda left=left: next(left, np.inf))
                plan = mo.solve(instance, "burdens", protocol="sequential", **options)
            if truth.level and plan.level:
                told += plan.status == "feasible"
                assert sign * (plan.bound - truth.objective) <= 1e-9
                assert sign * (plan.objective - truth.objective) >= -1e-9
            assert plan.status != "null" or not truth.level
    assert told > 5


def test_many_users_are_not_listed_one_by_one() -> None:
    n = 300_000
    instance = mo.Instance(1.0, 1.0, np.full(n, 4.0), [n / 2], unit=0.5, provider_value=n)
    began = process_time()
    plan = mo.solve(instance, "burdens")
    assert plan.status == "optimal"
    assert process_time() - began < 20


def test_groups_and_units_are_proved_with_a_reserve() -> None:
    """A reserve leaves nobody pivotal in sequence, either: participation alone proves nothing."""
    terms: dict[str, Any] = {**EXAMPLE, "unit": 1.5, "group": ["a", "b", "b"]}
    instance = mo.Instance(**terms, group_most={"a": 4.5}, payment_step=0.5)
    plan = mo.solve(instance, "burdens", protocol="sequential", reserve=1.0)
    assert plan.status == "optimal"
    assert plan.gap == 0
    assert mo.audit(instance, plan).ok


def test_half_open_users_with_cents_and_groups_take_no_minute() -> None:
    """Proved at once: a bound on what is spent is a whole number of steps."""
    instance = mo.Instance(
        **EXAMPLE, unit=[1, 0, 1], payment_step=0.01, contact_cost=0.25,
        group=["a", "b", "b"], group_least={"b": 3.0},
    )  # fmt: skip
    plan = mo.solve(instance, "burdens", objective="expenditure", time_limit=20)
    assert plan.status == "optimal"
    assert plan.details["levels"][0]["nodes"] < 20


def test_whole_units_round_up_and_nobody_gives_part_of_one() -> None:
    plan = mo.solve(mo.Instance(**EXAMPLE, unit=3), "burdens")
    assert plan.status == "optimal"
    assert plan.burden is not None
    assert plan.burden.tolist() == [6, 3, 0]
    assert plan.withdrawal().stable


def test_contact_costs_are_expenditure_and_count_against_the_budget() -> None:
    instance = mo.Instance(**EXAMPLE, contact_cost=1.5)
    plan = mo.solve(instance, "burdens", objective="expenditure")
    assert plan.objective == pytest.approx(3)  # two people, or one and 2 of payment: 3.5
    assert plan.metrics["expenditure"] == pytest.approx(3)
    assert plan.metrics["leakage"] == 0
    short = mo.solve(instance.replace(budget=2), "burdens", objective="expenditure")
    assert short.status == "null"
    assert "budget" in short.reason


def test_fixed_users_keep_their_burden_and_are_paid_for_it() -> None:
    plan = mo.solve(mo.Instance(**EXAMPLE, fixed=[None, 0, 5]), "burdens")
    assert plan.burden is not None
    assert plan.payment is not None
    assert plan.burden.tolist() == [3, 0, 5]
    assert plan.payment.tolist() == [0, 0, 14]


def test_who_is_required_is_asked_for_as_little_as_may_be() -> None:
    for terms, least in (({}, 0.0), ({"unit": 0.5}, 0.5), ({"least": 1.5}, 1.5)):
        instance = mo.Instance(**EXAMPLE, required=[0, 0, 1], **terms)
        plan = mo.solve(instance, "burdens", objective="social-cost")
        assert plan.status == "optimal"
        assert plan.burden is not None
        assert plan.burden[2] > 0
        assert plan.burden[2] == pytest.approx(least, abs=1e-6)
        assert mo.audit(instance, plan).ok
    refused = mo.solve(instance, "burdens", objective="social-cost", transfers=False)
    assert refused.status == "optimal"  # 4 · 1.5 is what he may be asked for unpaid
    dear = instance.replace(least=2)
    assert mo.solve(dear, "burdens", transfers=False).status == "null"


def test_required_is_said_by_numbers_or_truth_values() -> None:
    said = [mo.Instance(**EXAMPLE, required=one) for one in (
        [0, 0, 1], [False, False, True], np.array([False, False, True]), np.array([0, 0, 1.0])
    )]  # fmt: skip
    assert all(one == said[0] for one in said)
    assert all(one.required.tolist() == [0, 0, 1] for one in said)


def test_a_fixed_total_above_the_threshold_leaves_nobody_pivotal() -> None:
    plan = mo.solve(
        mo.Instance(cost=[1, 1], value=6, capacity=10, thresholds=[8], fixed=[9, 9]),
        "burdens",
        objective="expenditure",
    )
    assert plan.payment is not None
    assert plan.payment.tolist() == [9, 9]  # 9 of 18 are enough: leaving costs nobody anything
    assert mo.audit(plan.instance, plan).ok


def test_payments_come_in_steps_and_never_fall_short_of_what_is_needed() -> None:
    instance = mo.Instance(**{**EXAMPLE, "thresholds": [11.0]}, payment_step=0.3)
    plan = mo.solve(instance, "burdens", objective="expenditure")
    assert plan.payment is not None
    assert plan.objective == pytest.approx(0.6)
    assert np.allclose(plan.payment / 0.3, np.rint(plan.payment / 0.3))
    assert mo.audit(instance, plan).ok


def test_groups_by_data_and_by_share_of_the_cost() -> None:
    instance = mo.Instance(**EXAMPLE, group=["a", "a", "b"], group_least={"b": 2})
    plan = mo.solve(instance, "burdens", objective="social-cost")
    assert plan.burden is not None
    assert plan.burden.tolist() == pytest.approx([6, 0, 2])
    assert plan.status == "optimal"
    fair = instance.replace(group_least={"b": "50 %"})
    plan = mo.solve(fair, "burdens", objective="social-cost")
    cost = fair.cost_of(plan.burden)
    assert plan.status == "optimal"
    assert cost[2] >= 0.5 * cost.sum() - 1e-9


@pytest.mark.parametrize(
    ("terms", "tag", "burden"),
    [
        ({"least": 3}, "B1", [6, 2, 0]),
        ({"unit": 3}, "B2", [6, 2, 0]),
        ({"fixed": [5, None, None]}, "B3", [6, 2, 0]),
        ({"group": ["a", "b", "b"], "group_least": {"b": 3}}, "B5", [6, 2, 0]),
        ({"group": ["a", "b", "b"], "group_most": {"a": "50%"}}, "B6", [6, 2, 0]),
        ({"contact_cost": 1, "budget": 1}, "A4", [6, 2, 0]),
        ({"payment_step": 0.3}, "B4", [6, 2, 0]),
        ({"required": [0, 0, 1]}, "B3", [6, 2, 0]),
    ],
)
def test_the_audit_sees_every_new_row(terms: dict[str, Any], tag: str, burden: list[int]) -> None:
    instance = mo.Instance(**EXAMPLE, **terms)
    payment = [0.5, 0, 0] if tag == "B4" else 0
    verdict = mo.audit(instance, mo.Plan.from_arrays(instance, burden, payment))
    assert {row.tag for row in verdict.violations} == {tag}


@pytest.mark.parametrize("unit", [0.1, 0.3, 0.7, 1 / 3, 1.1])
@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_written_plan_reaches_the_threshold(unit: float, suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(int(unit * 100))
    for number in range(4):
        n = 12
        instance = mo.Instance(
            cost=rng.uniform(0.5, 2, n),
            value=rng.uniform(0, 2, n),
            capacity=unit * rng.integers(1, 9, n),
            thresholds=[float(Fraction(repr(unit)) * int(rng.integers(8, 20)))],
            unit=unit,
            payment_step=float(rng.choice([0, 0.01, 0.05])),
            contact_cost=float(rng.choice([0, 0.1])),
        )
        plan = mo.solve(instance, "burdens", objective="expenditure")
        assert plan.status == "optimal"
        path = tmp_path / f"{number}{suffix}"
        plan.write(path)
        again = mo.read(path, instance=instance)
        verdict = mo.audit(instance, again)
        assert verdict.ok, str(verdict)
        assert again.level == 1
        assert np.array_equal(np.rint(again.burden / unit), np.rint(plan.burden / unit))


def test_the_terms_survive_files(tmp_path: Path) -> None:
    instance = mo.Instance(
        **EXAMPLE,
        least=[1, 2, 0],
        unit=0.5,
        contact_cost=0.1,
        fixed=[None, 3, None],
        payment_step="1/100",
        group=["a", "", "b"],
        group_least={"a": 1},
        group_most={"b": "40 %"},
    )
    path = tmp_path / "instance.json"
    instance.write(path)
    again = mo.read(path)
    assert again == instance
    assert again.group_most == {"b": ("share", 0.4)}
    assert instance != instance.replace(group_most=None)


def test_columns_and_options_of_the_command_line(tmp_path: Path, capsys: Any) -> None:
    from mechopt.cli import main

    path = tmp_path / "users.csv"
    path.write_text("id,cost,value,capacity,least,fixed,group\na,1,6,10,3,,x\nb,2,6,10,0,,y\n"
                    "c,4,6,10,0,1,y\n")  # fmt: skip
    out = tmp_path / "plan.json"
    said = [str(path), "--threshold", "8", "--unit", "0.5", "--group-least", "y=3"]
    assert main(["solve", *said, "--payment-step", "0.01", "--out", str(out)]) == 0
    plan = mo.read(out)
    assert plan.burden.tolist() == [5, 2, 1]
    assert plan.instance.unit.tolist() == [0.5] * 3
    assert main(["solve", str(path), "--threshold", "8", "--group-least", "z=3"]) == 2
    assert "'z' is nobody's group" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"least": -1}, "least: must be ≥ 0"),
        ({"fixed": [11, None, None]}, "fixed[0]: is 11, above the capacity 10"),
        ({"group_least": {"a": 1}}, "'a' is nobody's group"),
        ({"group": ["a", "b", "c"], "group_most": {"a": "x"}}, "no amount of data"),
        ({"payment_step": -1}, "payment_step: must be ≥ 0"),
        ({"required": [0, 0.5, 1]}, "required[1]: must be 0 or 1, got 0.5"),
        (
            {"required": [1, 0, 0], "fixed": [0, None, None]},
            "required[0]: is 1 (must be asked), but",
        ),
    ],
)
def test_wrong_terms_are_named(terms: dict[str, Any], words: str) -> None:
    with pytest.raises(mo.InvalidInstance, match=re.escape(words)):
        mo.Instance(**EXAMPLE, **terms)


@pytest.mark.parametrize("seed", range(25))
def test_posted_prices_buy_what_may_be_asked(seed: int) -> None:
    instance, oracle, _ = random_case(40_000 + seed)
    free = {"fixed": None, "required": 0, "group_least": None, "group_most": None}
    free["payment_step"] = None
    instance = instance.replace(**free)
    if instance.practice is None:
        return
    oracle.d.update(fixed=[None] * instance.n, required=[False] * instance.n, step=0)
    allowed = [oracle.allowed(i) for i in range(instance.n)]
    slopes = {
        (oracle.cost(i, y) - oracle.cost(i, x)) / (y - x)
        for i in range(instance.n)
        for x in allowed[i]
        for y in allowed[i]
        if y > x
    }
    best = Fraction(0)
    for price in slopes:
        x = [
            max(allowed[i], key=lambda give, i=i: (price * give - oracle.cost(i, give), give))
            for i in range(instance.n)
        ]
        spent = price * sum(x) + sum(k for k, give in zip(oracle.d["contact"], x) if give)
        if oracle.d["budget"] is None or spent <= oracle.d["budget"]:
            worth = oracle.d["provider_value"] * oracle.b[oracle.level(sum(x))]
            best = max(best, worth - spent)
    plan = mo.solve(instance, "posted-price", objective="provider-surplus")
    assert plan.objective == pytest.approx(float(best))
    assert mo.audit(instance, plan).ok


@pytest.mark.parametrize("seed", range(4))
def test_units_too_many_to_list_are_looked_at_near_the_price(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mechopt.known.practice import curves

    rng = np.random.default_rng(seed)
    n = 200
    cost, value = rng.lognormal(0, 0.6, n), rng.lognormal(1, 0.8, n)
    capacity = np.round(rng.uniform(2, 12, n), 1)
    given = float(np.minimum(capacity, value / cost).sum())
    instance = mo.Instance(
        cost=cost,
        value=value,
        capacity=capacity,
        thresholds=[1.1 * given],
        unit=0.5,
        least=2.0,
        contact_cost=0.3,
        payment_step=0.05,
    )
    listed = mo.solve(instance, "burdens", objective="expenditure")
    tight = instance.replace(budget=1.3 * listed.objective)
    cheap = mo.solve(tight, "burdens", objective="social-cost")
    monkeypatch.setattr(curves, "MOST_POINTS", 0)
    for problem, objective, best in (
        (instance, "expenditure", listed),
        (tight, "social-cost", cheap),
    ):
        plan = mo.solve(problem, "burdens", objective=objective)
        assert (plan.status, best.status) == ("optimal", "optimal")
        assert plan.objective == pytest.approx(best.objective, rel=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_posted_contracts_in_whole_units_equal_every_contract_there_is(seed: int) -> None:
    instance, oracle, options = random_case(60_000 + seed)
    instance = instance.replace(required=0, group_least=None, group_most=None)
    out = np.where(instance.fixed > 0, np.nan, instance.fixed)
    instance = instance.replace(fixed=out)
    d, n = oracle.d, instance.n
    given = [Fraction(int(k), 8) for k in range(1, 81)]
    values = [Fraction(0)] if options["objective"] not in ("expenditure", "social-cost") else []
    for amount in given:
        can = [
            i
            for i in range(n)
            if out[i] != 0
            and amount >= d["least"][i]
            and amount <= sum(d["widths"][i])
            and (amount / d["unit"][i]).denominator == 1
        ]
        for first in can:
            pay = oracle.cost(first, amount)
            step = d["step"]
            pay = -(-pay // step) * step if step else pay
            who = [i for i in can if oracle.cost(i, amount) <= pay]
            level = oracle.level(amount * len(who))
            contact = sum(d["contact"][i] for i in who)
            spent = pay * len(who) + contact
            cost = sum(oracle.cost(i, amount) for i in who)
            if d["budget"] is not None and spent > d["budget"]:
                continue
            values += oracle.worth(
                options["objective"], instance.levels, level, spent, cost, contact
            )
    plan = mo.solve(instance, "posted-contract", objective=options["objective"])
    if not values:
        assert plan.status in ("infeasible", "null")
        return
    best = (min if options["objective"] in ("expenditure", "social-cost") else max)(values)
    assert plan.status in ("optimal", "null")
    assert plan.objective == pytest.approx(float(best))
    assert plan.burden is not None
    assert mo.audit(instance, plan).ok


def test_posted_contracts_without_units_say_what_is_proved() -> None:
    plain = mo.solve(mo.Instance(**EXAMPLE), "posted-contract", objective="expenditure")
    least = mo.Instance(**EXAMPLE, least=[5, 0, 0])
    plan = mo.solve(least, "posted-contract", objective="expenditure")
    assert plan.status == "optimal"
    assert plan.burden is not None
    assert (plan.burden[plan.burden > 0] >= 4).all()
    contact = mo.Instance(**EXAMPLE, contact_cost=0.5, payment_step=0.25)
    plan = mo.solve(contact, "posted-contract", objective="expenditure")
    assert plan.status in ("optimal", "feasible")
    assert plan.bound is not None
    assert plan.objective is not None
    assert plan.bound <= plan.objective
    assert plain.objective is not None
    assert plan.objective >= plain.objective
    with pytest.raises(mo.NotSupported, match="required"):
        mo.solve(mo.Instance(**EXAMPLE, required=[1, 0, 0]), "posted-contract")
    with pytest.raises(mo.InvalidOption, match="no multiple of payment_step"):
        mo.solve(contact, "posted-contract", floor=4, payment=8.1)


@pytest.mark.parametrize("terms", [{"fixed": [None, 2, None]}, {"required": [0, 1, 0]}])
def test_rights_are_compared_where_somebody_is_held_to_give(terms: dict[str, Any]) -> None:
    table = mo.rights(mo.Instance(**EXAMPLE, **terms))
    assert "reassign" in str(table)


@pytest.mark.parametrize("field", ["unit", "least", "contact_cost", "payment_step"])
def test_what_goes_with_no_such_term_names_both(field: str) -> None:
    instance = mo.Instance(**EXAMPLE, **{field: 0.5})
    for call in (
        lambda: mo.solve(instance.replace(committed=[1, 0, 0]), "burdens"),
        lambda: mo.solve(instance, "burdens", withdrawal="part"),
        lambda: mo.solve(instance, "burdens", protocol="reassign"),
        lambda: mo.solve(instance, "floor-and-burdens"),
    ):
        with pytest.raises(mo.NotSupported, match=f"(committed|part|reassign|floor).*{field}"):
            call()


def test_a_least_amount_beyond_all_numbers_leaves_the_others() -> None:
    instance = mo.Instance(
        [1, 2.5, 3.5], [6, 6, 0], [4, 3, 10], [3], provider_value=100, unit=0.5, least=[1e30, 1, 1]
    )
    plan = mo.solve(instance)
    without = mo.solve(instance.replace(least=1, fixed=[0, None, None]))
    assert plan.status == without.status == "optimal"
    assert plan.objective == pytest.approx(without.objective)


def test_a_contact_for_everybody_asked_is_counted_in_whole_people() -> None:
    """The relaxation asks a fraction of the last person; most give without payment."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        cost, value = np.round(rng.uniform(0.2, 2, 100), 2), np.round(rng.uniform(0, 12, 100), 1)
        capacity = rng.integers(4, 12, 100).astype(float)
        instance = mo.Instance(
            cost=cost, value=value, capacity=capacity, thresholds=[round(capacity.sum() / 2)],
            least=3, contact_cost=0.5,
        )  # fmt: skip
        plan = mo.solve(instance, objective="expenditure", time_limit=20)
        assert plan.status == "optimal"
        assert plan.objective == (31.0, 30.5, 27.5)[seed]


def test_no_bound_of_whole_people_is_above_a_plan() -> None:
    """Few people without units: every subset of those asked, its least payments by hand."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(3, 8))
        capacity = rng.integers(2, 6, n).astype(float)
        cost, gain = rng.integers(1, 9, n) / 4, rng.integers(0, 5, n) / 2
        contact, least = rng.integers(0, 5, n) / 4, rng.integers(0, 3, n).astype(float)
        goal = float(max(1, round(capacity.sum() * rng.uniform(0.3, 0.9))))
        best = np.inf
        for asked in itertools.product([False, True], repeat=n):
            some = np.flatnonzero(asked)
            if capacity[some].sum() < goal or not some.size:
                continue
            spent = contact[some].sum() + np.maximum(cost * least - gain, 0)[some].sum()
            unpaid = np.clip(gain / cost, least, capacity)  # then the cheapest data first
            short = goal - unpaid[some].sum()
            for user in some[np.argsort(cost[some])]:
                bought = min(max(short, 0.0), capacity[user] - unpaid[user])
                spent, short = spent + cost[user] * bought, short - bought
            best = min(best, spent)
        instance = mo.Instance(
            cost=cost, value=gain, capacity=capacity, thresholds=[goal], least=least,
            contact_cost=contact,
        )  # fmt: skip
        plan = mo.solve(instance, objective="expenditure", protocol="none")
        assert plan.status == "optimal", seed
        assert plan.objective == pytest.approx(best, abs=1e-8), seed


def test_a_line_cut_down_to_nothing_is_no_column() -> None:
    """Beside a core of points one line was left with no width: HiGHS refused its slope."""
    instance = mo.Instance(
        cost=[2, 0.75, 0.5], value=[3.5, 1, 2], capacity=[1.5, 3, 2.5], thresholds=[7],
        shares=[0.375], removable=[0.5, 1, 1], least=[1, 1, 0], unit=[0, 1, 0],
        contact_cost=[0, 0, 0.25], group=["a", "a", "b"], group_least={"a": "75 %"},
    )  # fmt: skip
    assert mo.solve(instance, objective="expenditure").status == "optimal"


def test_groups_that_together_are_too_few_are_named_with_what_is_short() -> None:
    instance = mo.Instance(
        cost=1, value=5, capacity=[8] * 6, thresholds=[40], unit=1, group=list("aabbcc"),
        group_most={"a": 10, "b": 10},
    )  # fmt: skip
    plan = mo.solve(instance)
    assert "within the limits of their groups all users together can give only 36" in plan.reason
    assert plan.shortfall is not None
    assert plan.shortfall["data"] == 4


def test_a_payment_in_steps_covers_a_cost_that_rounding_put_above_it() -> None:
    """200 · 0.136 is 27.200000000000003 in binary, and 27.2 is paid: nobody leaves for that."""
    instance = mo.Instance(
        cost=[0.136] * 4, value=0, capacity=200, thresholds=[600], unit=50, payment_step=0.05
    )
    plan = mo.solve(instance, objective="expenditure", reserve=200)
    assert plan.status == "optimal"
    assert plan.payment is not None
    assert plan.payment.tolist() == [27.2] * 4
    assert mo.audit(instance, plan).ok

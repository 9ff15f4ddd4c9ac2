"""What the budget, the prior and one more user are worth, against solving again."""

from __future__ import annotations

import pytest

import mechopt as mo
from mechopt.private.direct.worth import figure, worth


def test_worth_is_what_solving_again_gains():
    group = mo.Group(4, [0.5, 1.5], [0.5, 0.5], value=0.2, capacity=2.0)
    population = mo.Population([group], [3.0], provider_value=5.0, budget=0.9)
    answer = mo.solve(population, "direct")
    found = worth(answer)
    more = mo.solve(population.replace(budget=0.901), "direct").objective
    assert found["budget"] == pytest.approx((more - answer.objective) / 0.001, rel=1e-2)
    assert found["expected_budget"] is None
    wider = population.replace(groups=[group.replace(size=5)])
    gained = mo.solve(wider, "direct").objective - answer.objective
    assert found["user"] == [pytest.approx(gained, abs=1e-7)]
    step = 1e-5
    moved = [0.5 + step * (1 - 0.5), 0.5 * (1 - step)]
    other = population.replace(groups=[group.replace(probabilities=moved)])
    slope = (mo.solve(other, "direct").objective - answer.objective) / step
    assert found["prior"][0][0] == pytest.approx(slope, rel=1e-3)
    assert sum(0.5 * one for one in found["prior"][0]) == pytest.approx(0, abs=1e-9)
    assert len(figure(answer).axes) == 2
    with pytest.raises(mo.NotSupported, match="optimal"):
        worth(answer.replace(status=mo.Status.FEASIBLE))


def test_explain_says_it_in_sentences():
    group = mo.Group(4, [0.5, 1.5], [0.5, 0.5], value=0.2, capacity=2.0)
    population = mo.Population([group], [3.0], provider_value=5.0, budget=0.9)
    answer = mo.solve(population, "direct")
    text = answer.explain()
    assert answer.summary() in text
    assert (
        f"one money unit more of budget changes the objective by {answer.worth()['budget']:.4g}"
        in text
    )
    assert "one user more changes it by" in text
    assert "higher by 0.01" in text
    assert len(answer.figure().axes) == 2
    assert (
        "worth: needs an optimal mechanism" in answer.replace(status=mo.Status.FEASIBLE).explain()
    )

"""Known theorems on public projects and procurement, from formulas of their own."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest

import mechopt as mo


def virtual(costs, law, value=1.0):
    """Virtual willingness to give ψ of two types, data: a_1 and a_2 − (f_1/f_2)(a_1 − a_2)."""
    a = value / np.asarray(costs)
    return np.array([a[0], a[1] - law[0] / law[1] * (a[0] - a[1])])


def second_best(n, costs, law, threshold, excluded=False):
    """Highest success probability under BIC and interim participation, no transfers.

    Güth and Hellwig (1986): max E[p] subject to E[p (Σ ψ − T)] ≥ 0, a fractional knapsack over the
    number of cheap users. With exclusion (Cornelli 1996) types of negative ψ get no access.
    """
    psi = virtual(costs, law)
    if excluded:
        psi = np.maximum(psi, 0)
    spare = [
        (k * psi[0] + (n - k) * psi[1] - threshold, comb(n, k) * law[0] ** k * law[1] ** (n - k))
        for k in range(n + 1)
    ]
    room = sum(chance * gain for gain, chance in spare if gain >= 0)
    found = sum(chance for gain, chance in spare if gain >= 0)
    for gain, chance in sorted(spare, reverse=True):
        if gain < 0 and room > 0:
            part = min(1.0, room / (chance * -gain))
            room -= part * chance * -gain
            found += part * chance
    return found


def solved(n, costs, law, threshold, exclusion=0.0):
    group = mo.Group(n, costs, law, value=1.0, capacity=100.0, exclusion=exclusion)
    population = mo.Population([group], [threshold])
    answer = mo.solve(
        population,
        "direct",
        objective="improvement",
        incentive="bic",
        participation="interim",
        withdrawal_rights=False,
        transfers=False,
    )
    assert mo.audit(population, answer).ok
    return answer.objective


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("threshold", [0.5, 0.62, 0.8])
def test_guth_hellwig_second_best(n, threshold):
    found = solved(n, [1, 2], [0.5, 0.5], threshold * n)
    assert found == pytest.approx(second_best(n, [1, 2], [0.5, 0.5], threshold * n), abs=1e-7)


def test_worked_example_3_is_the_formula():
    assert second_best(2, [1, 2], [0.5, 0.5], 1.25) == pytest.approx(0.8)


def test_mailath_postlewaite_success_vanishes_exponentially():
    """T = 0.6 n lies above E[ψ] = 1/2 and below E[a] = 3/4: efficient, and ever less often done."""
    sizes = np.array([50, 100, 200, 400])
    found = [solved(int(n), [1, 2], [0.5, 0.5], 0.6 * n) for n in sizes]
    formula = [second_best(int(n), [1, 2], [0.5, 0.5], 0.6 * n) for n in sizes]
    assert found == pytest.approx(formula, abs=1e-9)
    rates = np.diff(np.log(found)) / np.diff(sizes)
    exact = -(0.6 * np.log(0.6 / 0.5) + 0.4 * np.log(0.4 / 0.5))  # Chernoff, of 0.6 n cheap ones
    assert (rates < 0).all()
    assert rates[-1] == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize("n", [3, 5])
def test_cornelli_exclusion_sells_access_to_the_willing_only(n):
    """With two users the formula is a bound only: dear users alone would have to bear T unpaid."""
    costs, law, threshold = [1, 4], [0.5, 0.5], 0.6 * n
    assert virtual(costs, law)[1] < 0
    found = solved(n, costs, law, threshold, exclusion=1.0)
    formula = second_best(n, costs, law, threshold, excluded=True)
    assert found == pytest.approx(formula, abs=1e-7)
    assert found > solved(n, costs, law, threshold) + 1e-3


def test_myerson_procurement_state_by_state():
    """Users who value nothing: buy from the lowest ψ = c + F/f Δc, run iff that is worth V."""
    costs, law, V, T = np.array([1.0, 1.5, 3.0]), np.array([0.3, 0.4, 0.3]), 4.2, 2.0
    below = np.concatenate([[0], np.cumsum(law)[:-1]])
    psi = costs + below / law * np.diff(costs, prepend=costs[0])
    expected = 0.0
    for kinds in product(range(3), repeat=2):
        chance = law[kinds[0]] * law[kinds[1]]
        prices = sorted(psi[list(kinds)])
        expected += chance * max(0.0, V - (1.5 * prices[0] + 0.5 * prices[1]))
    population = mo.Population([mo.Group(2, costs, law, 0.0, 1.5)], [T], provider_value=V)
    answer = mo.solve(population, "direct")
    assert answer.objective == pytest.approx(expected)
    from mechopt.private.direct.optimise import optimise

    by_lp = optimise(population, answer.terms)
    assert by_lp.objective == pytest.approx(expected, abs=1e-7)

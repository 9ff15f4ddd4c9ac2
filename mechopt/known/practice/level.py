"""One level in practice: the best burdens that may be asked, for what the total then really is.

Units, least amounts and fixed burdens can force a total above the goal P = T_k + R, and then users
who would be pivotal at P may not be: their payments depend on the excess e = X − P. Payments never
fall as e grows, so the curves at the smallest e of an interval bound all plans in it. The search
halves intervals of e until bound and plan meet: best first, and at once where nobody's payment
changes (fact: lowering a free user to the next burden that may be asked, while X ≥ P, costs less
and makes everybody more pivotal; so w.l.o.g. e is less than every free user's last step, and with
one threshold and δ = 1 everybody free is pivotal).

In sequence a plan that is stable if all decide at once is stable in every order (F1); the bound
then is that of participation alone (A3). Where plans are few they are listed, under every protocol
(`few`).
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from time import perf_counter

from mechopt import arrays, tolerances
from mechopt.arrays import exact_sum
from mechopt.known.allocation import Allocation
from mechopt.known.burdens.simultaneous_level import over_budget
from mechopt.known.levels import LevelAnswer, Wanted
from mechopt.known.practice.curves import Terms
from mechopt.known.practice.few import Few, Found, few_plans
from mechopt.known.practice.search import ExcessSearch
from mechopt.problem.instance import Instance

_PROOF = 2e-10  # of the value: when it stops if little of the money is at stake


def solve_level(
    instance: Instance,
    level: int,
    quantity: str,
    wanted: Wanted,
    deadline: float,
) -> LevelAnswer:
    """Least payments and contacts ("pay"), or least cost ("cost"), that sustain `level`."""
    seed, subsidy = wanted.seed, wanted.mechanism == "subsidy"
    rights = "withdrawal" if wanted.protocol != "none" else "participation"
    terms = Terms(
        instance,
        level,
        wanted.reserve,
        "cost" if subsidy else rights,
        wanted.transfers or subsidy,
        wanted.objective == "welfare",
    )
    search = ExcessSearch(terms, quantity, deadline, seed)
    plans = few_plans(terms, search.low, search.high, search.widest(everything=True))
    if plans is not None:
        listed = _listed(search, plans, wanted)
        if listed is not None:
            return listed
    search.run()
    if search.value - search.bound > 2 * _PROOF * search.value and not search.whole_steps:
        again = ExcessSearch(terms, quantity, deadline, seed)
        again.accuracy, again.tie = min(again.accuracy, _PROOF * search.value), 0.0
        again.run()
        if again.value <= search.value:
            again.bound = max(again.bound, search.bound)  # the first may have had more time
            search = again
    if search.burden is None:
        return _nothing(search)
    bound = search.bound
    if wanted.protocol == "sequential":
        relaxed = ExcessSearch(replace(terms, rights="participation"), quantity, deadline, seed)
        relaxed.run()
        bound = min(bound, relaxed.bound)
    burden, payment, value = search.burden, search.payment, search.value
    bound = search.in_steps(bound)
    if quantity == "pay" and terms.practice.has_groups and perf_counter() < deadline:
        # among equal payments the least cost
        limit = value + tolerances.REACH * max(value, exact_sum(instance.cost_of(burden)))
        second = ExcessSearch(terms, "cost", deadline, seed, limit)
        second.run()
        if second.burden is not None and second.payment is not None:
            burden, payment = second.burden, second.payment
            value = exact_sum(payment) + terms.practice.contact_of(burden)
    bound = min(value, max(0.0, bound))
    final = Allocation(burden, value, bound, search.data_price, search.budget_price)
    found_by = "pieces of the curves (practice)"
    return LevelAnswer(level, final, payment, quantity, nodes=search.nodes, found_by=found_by)


def _listed(search: ExcessSearch, plans: Few, wanted: Wanted) -> LevelAnswer | None:
    """The best of all plans; None if they are too many for this protocol."""
    quantity, limit = search.quantity, search.limit
    found: Found | None = plans.best(quantity, limit)
    if wanted.protocol == "sequential":
        found = plans.best_in_sequence(quantity, limit, wanted.order, search.deadline)
    if found is None:
        return None
    search.over_budget, search.value = found.over_budget, found.value
    search.bound = min(found.bound, found.over_budget) if quantity == "pay" else found.bound
    if found.burden is None:
        return _nothing(search)
    final = Allocation(arrays.freeze(found.burden), found.value, found.bound, 0.0, 0.0)
    assert found.payment is not None
    answer = LevelAnswer(search.terms.level, final, arrays.freeze(found.payment), quantity)
    return replace(answer, nodes=found.plans, order=found.order, found_by="every plan")


def _nothing(search: ExcessSearch) -> LevelAnswer:
    """Why there is no plan: what is short, or that it was not decided."""
    terms = search.terms
    instance, level, quantity = terms.instance, terms.level, search.quantity

    def refused(reason: str, **numbers: object) -> LevelAnswer:
        return LevelAnswer(level, None, None, quantity, reason, {"level": level, **numbers})

    practice, goal = terms.practice, float(terms.goal)
    most = exact_sum(search.high)
    if most < goal * (1 - tolerances.REACH):
        return refused(
            f"level {level} needs {goal:g} of data, but with the least amounts, units and fixed "
            f"burdens all users together can give only {most:g}: short by {goal - most:g} (A1, A2)",
            constraint="capacity",
            data=goal - most,
            reachable=most,
        )
    most = practice.most_of_groups(search.high)
    if most < goal * (1 - tolerances.REACH):
        return refused(
            f"level {level} needs {goal:g} of data, but within the limits of their groups all "
            f"users together can give only {most:g}: short by {goal - most:g} (A1, B6)",
            constraint="groups",
            data=goal - most,
            reachable=most,
        )
    if search.over_budget < inf and search.quantity == "pay" and search.bound > instance.budget:
        return over_budget(instance, level, quantity, search.bound, instance.budget)
    if search.bound < inf:
        late = refused(
            f"whether level {level} can be reached was not decided in time", constraint="time"
        )
        return replace(late, least=max(0.0, search.bound))
    if search.widest() < 0:
        return refused(
            f"level {level} would be passed: every total that may be asked reaches level "
            f"{level + 1}",
            constraint="unit",
        )
    return refused(
        f"no burdens that may be asked (least amounts, units, fixed burdens, groups) reach level "
        f"{level} with what users accept (A3, A5, B1–B6)",
        constraint="practice",
    )

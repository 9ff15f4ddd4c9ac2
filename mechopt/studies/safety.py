"""How safe a plan is: what one refusal does, what few mistakes do, and what would help."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mechopt import tolerances
from mechopt.answer.plan import Plan
from mechopt.errors import MechoptError
from mechopt.known.burdens.level_curves import payment_needed
from mechopt.known.levels import spending
from mechopt.problem.practice import ceiling, counted
from mechopt.solving import solve_again
from mechopt.withdrawal.mistakes import Simulation, simulate_withdrawal

MISTAKE, DRAWS = 0.01, 1000
_DRAWN = 20_000_000  # decisions drawn in all: a million users get fewer draws, in 0.2 s
_PATIENCE = 2.0  # seconds for the plan with a reserve
_LARGEST = 2_000  # users of a problem that is solved again


@dataclass(frozen=True, eq=False)
class Safety:
    """Slack (data) above the threshold reached; how many are pivotal of how many asked; the chance
    that the level survives mistakes; the reserve (data) that helps, its chance and its price.
    """

    slack: float
    pivotal: int
    asked: int
    kept: float
    reserve: float | None = None
    kept_with: float | None = None
    price: float | None = None
    draws: int = DRAWS

    def lines(self) -> list[str]:
        """In words, where it matters; nothing for a plan that one refusal does not hurt."""
        chance = _percent(self.kept)
        if self.pivotal == 0 and self.kept >= 0.99:
            return []
        said = [
            f"how safe: {_n(self.slack)} data above the threshold, and {self.pivotal:,} of the "
            f"{self.asked:,} people asked lose the level by refusing alone; if each refuses by "
            f"mistake with probability 1 %, it is kept in {chance} of {self.draws:,} draws"
        ]
        if self.reserve is not None and self.kept_with is not None and self.price is not None:
            cost = "at no cost" if self.price == 0 else f"for {_n(self.price)} more money"
            said.append(
                f"--reserve {self.reserve:.4g} keeps it in {_percent(self.kept_with)}, {cost}"
            )
        return said


def safety(plan: Plan, *, seed: int = 0) -> Safety | None:
    """How safe a plan that reaches a level is; None for the others."""
    instance = plan.instance
    if plan.burden is None or not plan.level or plan.unconditional:
        return None
    threshold = float(instance.thresholds[plan.level - 1])
    total = float(plan.total or 0.0)
    left = total - instance.removable * plan.burden
    decisive = (left < threshold * (1 - tolerances.TOTALS)) & (plan.burden > 0)
    found = _mistakes(plan, seed)
    kept = float(found.levels[plan.level :].sum())
    plain = Safety(
        max(0.0, total - threshold),
        int(decisive.sum()),
        int((plan.burden > 0).sum()),
        kept,
        draws=_draws(instance.n),
    )
    if kept >= 0.99 or plan.reserve or instance.n > _LARGEST or plan.objective_name is None:
        return plain
    if plan.dropout is not None:  # a confidence has no reserve of its own
        return plain
    patience = time_left(plan, _PATIENCE)
    return _with_reserve(plan, plain, found, patience, seed) if patience > 0 else plain


def time_left(plan: Plan, most: float) -> float:
    """Seconds for questions around a plan: at most `most`, and what its time limit left."""
    limit = plan.options.get("time_limit")
    return most if limit is None else min(most, float(limit) - plan.seconds)


def restoring(plan: Plan) -> str:
    """What brings a plan short of the first threshold back to it, in words; "" for the others.

    The one person whose payment (then cost) rises least by giving all that is short; if nobody can
    alone, what all together can.
    """
    instance, x = plan.instance, plan.burden
    if x is None or plan.payment is None or plan.level or not x.any() or plan.unconditional:
        return ""
    practice, threshold = instance.practice, float(instance.thresholds[0]) + plan.reserve
    short = np.full(instance.n, threshold - float(plan.total or 0.0))
    if practice is not None:
        whole = practice.unit > 0
        size = np.where(whole, practice.unit, 1.0)
        short = np.where(whole, counted(ceiling(short, size), size), short)
    more = x + short
    able = more <= instance.capacity * (1 + tolerances.REACH)
    if practice is not None:
        able &= practice.free & (more >= practice.least)
    if not able.any():
        room = float((instance.capacity - x).sum())
        return f"to restore it: nobody alone can give what is missing; all have {room:g} left"
    need = payment_needed(instance, 1, threshold, np.minimum(more, instance.capacity))
    rise = np.where(able, np.maximum(need - plan.payment, 0.0), np.inf)
    who = int(np.lexsort((instance.cost_of(more) - instance.cost_of(x), rise))[0])
    paid = "no payment more" if rise[who] == 0 else f"{_n(float(rise[who]))} more of payment"
    return (
        f"to restore it: {instance.ids[who]} (asked for {x[who]:g} of at most "
        f"{instance.capacity[who]:g}) can give {short[who]:g} more for {paid}; or solve again"
    )


def _mistakes(plan: Plan, seed: int) -> Simulation:
    # In any order whoever stays is meant to: the simultaneous draw is the plan with refusals.
    draws = _draws(plan.instance.n)
    return simulate_withdrawal(plan.instance, plan, "none", mistake=MISTAKE, draws=draws, seed=seed)


def _draws(n: int) -> int:
    return min(DRAWS, max(20, _DRAWN // n))


def _with_reserve(
    plan: Plan, plain: Safety, found: Simulation, patience: float, seed: int
) -> Safety:
    """The reserve that covers 99 % of what mistakes lose, rounded up; what the plan then costs.

    :patience: seconds; half of them for each of two reserves
    """
    instance = plan.instance
    assert plan.burden is not None
    assert plan.payment is not None
    spent = spending(instance, plan.burden, plan.payment)
    reserve = float(np.quantile(float(plan.total or 0.0) - found.totals, 0.99))
    digits = 10 ** np.floor(np.log10(max(reserve, tolerances.TINY)) - 1)
    for factor in (1.0, 1.5):
        wanted = float(np.ceil(factor * reserve / digits) * digits)
        try:
            safe = solve_again(plan, instance, reserve=wanted, time_limit=patience / 2)
        except MechoptError:
            return plain
        if not safe.has_answer or safe.level != plan.level:
            return plain
        kept = float(_mistakes(safe, seed).levels[plan.level :].sum())
        if kept >= 0.99:
            price = spending(instance, safe.burden, safe.payment) - spent
            price = 0.0 if abs(price) <= tolerances.MONEY * max(1.0, spent) else price
            return replace(plain, reserve=wanted, kept_with=kept, price=price)
    return plain


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _n(number: float) -> str:
    return f"{0.0 if abs(number) < tolerances.MONEY else number:,.4g}"

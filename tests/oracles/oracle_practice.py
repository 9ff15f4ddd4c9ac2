"""Oracle for plans in practice (docs: practice): every plan of a finite set, in fractions.

Shares no code with mechopt. With whole units there are finitely many burdens per user; payments are
the least that (A3) and (W1) allow, rounded up to steps.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations, product
from math import ceil

from tests.oracles import oracle_withdrawal as stage


class Problem:
    """The data of one instance as plain fractions; see `best`."""

    def __init__(self, data):
        self.d = data
        self.n = len(data["cost"])
        self.T, self.b = data["thresholds"], [Fraction(0), *data["shares"]]

    def cost(self, i, x):
        money, left = Fraction(0), x
        for width, slope in zip(self.d["widths"][i], self.d["slopes"][i]):
            step = min(width, left)
            money += self.d["cost"][i] * slope * step
            left -= step
        return money

    def allowed(self, i):
        fixed = self.d["fixed"][i]
        if fixed is not None:
            return [fixed]
        unit, least = self.d["unit"][i], self.d["least"][i]
        most = sum(self.d["widths"][i])
        found, x = [] if self.d["required"][i] else [Fraction(0)], unit
        while x <= most:
            if x >= least:
                found.append(x)
            x += unit
        return found

    def level(self, total):
        return sum(total >= t for t in self.T)

    def payments(self, x, level, rights):
        """Least payments in steps; rights: "withdrawal", "participation", "cost"."""
        total, paid = sum(x), []
        for i, give in enumerate(x):
            cost, v = self.cost(i, give), self.d["value"][i]
            need = max(Fraction(0), cost - v * self.b[level])
            if rights == "withdrawal" and give > 0:
                after = self.level(total - self.d["removable"][i] * give)
                kept = v * (self.b[level] - self.b[after])
                need = max(need, self.d["reversibility"][i] * cost - kept)
            if rights == "cost":
                need = cost
            step = self.d["step"]
            paid.append(ceil(need / step) * step if step else need)
        return paid

    def groups_hold(self, x):
        costs = [self.cost(i, give) for i, give in enumerate(x)]
        for label, (kind, low, high) in self.d["groups"].items():
            mine = [i for i in range(self.n) if self.d["group"][i] == label]
            amount = sum(x[i] for i in mine)
            if kind == "share":
                amount, low, high = (
                    sum(costs[i] for i in mine),
                    *(None if side is None else side * sum(costs) for side in (low, high)),
                )
            if (low is not None and amount < low) or (high is not None and amount > high):
                return False
        return True

    def plans(self, *, rights="withdrawal", reserve=0, transfers=True):
        """(level, spent with contacts, social cost, contacts) of every plan that holds."""
        for x in product(*map(self.allowed, range(self.n))):
            level = self.level(sum(x))
            if level == 0 or sum(x) < self.T[level - 1] + reserve or not self.groups_hold(x):
                continue
            paid = self.payments(x, level, rights)
            if not transfers and any(paid):
                continue
            contact = sum(k for k, give in zip(self.d["contact"], x) if give > 0)
            spent = sum(paid) + contact
            if self.d["budget"] is not None and spent > self.d["budget"]:
                continue
            yield level, spent, sum(self.cost(i, g) for i, g in enumerate(x)), contact

    def best(self, objective, lowest, **options):
        """The best value of an objective; None if no plan reaches what is asked for."""
        minimised = objective in ("expenditure", "social-cost")
        values = [] if minimised else [Fraction(0)]
        for outcome in self.plans(**options):
            values += self.worth(objective, lowest, *outcome)
        return min(values, default=None) if minimised else max(values)

    def best_in_sequence(self, objective, lowest, order, *, reserve=0, transfers=True):
        """`best` where users decide one after another, by the game tree; payments come in steps.

        One piece of cost per user. `order`: a name, or "designed": any.
        """
        minimised = objective in ("expenditure", "social-cost")
        sign, value = (1, None) if minimised else (-1, Fraction(0))
        for x in product(*map(self.allowed, range(self.n))):
            level = self.level(sum(x))
            if level == 0 or sum(x) < self.T[level - 1] + reserve or not self.groups_hold(x):
                continue
            contact = sum(k for k, give in zip(self.d["contact"], x) if give > 0)
            cost = sum(self.cost(i, give) for i, give in enumerate(x))
            for paid in (
                self._payments_in_steps(x, level) if transfers else [[Fraction(0)] * self.n]
            ):
                if any(
                    self.cost(i, give) > self.d["value"][i] * self.b[level] + paid[i]
                    for i, give in enumerate(x)
                ):
                    continue
                spent = sum(paid) + contact
                if self.d["budget"] is not None and spent > self.d["budget"]:
                    continue
                worth = self.worth(objective, lowest, level, spent, cost, contact)
                if not worth or (value is not None and sign * worth[0] >= sign * value):
                    continue
                if self._everyone_stays(x, paid, order):
                    value = worth[0]
        return value

    def _payments_in_steps(self, x, level):
        """Every payment up to the cost and a step more, in steps; nobody unasked is paid."""
        step = self.d["step"]
        ranges = []
        for i, give in enumerate(x):
            most = ceil(self.cost(i, give) / step) + 1 if give else 0
            ranges.append([k * step for k in range(most + 1)])
        return product(*ranges)

    def _everyone_stays(self, x, paid, order):
        game = {
            "x": list(x), "t": list(paid), "theta": self.slopes(), "v": self.d["value"],
            "rho": self.d["reversibility"], "delta": self.d["removable"], "T": self.T,
            "b": self.b[1:], "unconditional": False, "f": Fraction(0),
        }  # fmt: skip
        if not stage.movers(game):
            return True
        if order == "designed":
            orders = permutations(range(self.n))
        else:
            orders = [stage.order_by(game, order)]
        return any(all(stage.subgame_perfect(game, list(turn))) for turn in orders)

    def slopes(self):
        """Money per unit of data, one piece per user."""
        return [theta * slope[0] for theta, slope in zip(self.d["cost"], self.d["slopes"])]

    def worth(self, objective, lowest, level, spent, cost, contact):
        """[the objective of an outcome]; [] if it misses the level that must be reached."""
        V, everyone, share = self.d["provider_value"], sum(self.d["value"]), self.b[level]
        if objective in ("expenditure", "social-cost") and level < lowest:
            return []
        return [
            {
                "provider-surplus": V * share - spent,
                "welfare": (V + everyone) * share - cost - contact,
                "expenditure": spent,
                "social-cost": cost,
                "improvement": share,
            }[objective]
        ]
